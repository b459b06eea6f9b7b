/* policy - see policy.h. */
#include "cloud/policy.h"

#include <string.h>

#include "agents/tunnel.h"
#include "base/log.h"
#include "state/container.h"
#include "state/doc.h"

static const char *name_of(const struct container *c, int *ret_max)
{
	json_t *policy = json_object_get(c->host_config, "RestartPolicy");
	const char *name = doc_str(policy, "Name");

	*ret_max = (int)doc_int(policy, "MaximumRetryCount");
	return name ? name : "";
}

bool policy_any(const struct container *c)
{
	int max;
	const char *name = name_of(c, &max);

	return *name && strcmp(name, "no") != 0;
}

struct restart_policy policy_of(const struct container *c)
{
	int max;
	const char *name = name_of(c, &max);

	if (c->exit_on_next)
		return (struct restart_policy){RESTART_NO, 0};
	if (strcmp(name, "always") == 0 || (strcmp(name, "unless-stopped") == 0 && !c->stopped_by_hand))
		return (struct restart_policy){RESTART_ALWAYS, 0};
	/* The agent counts the restarts of its own execution. */
	if (strcmp(name, "on-failure") == 0 && (max == 0 || max > c->restart_base))
		return (struct restart_policy){RESTART_ON_FAILURE, max ? (uint32_t)(max - c->restart_base) : 0};
	return (struct restart_policy){RESTART_NO, 0};
}

json_t *policy_spec(const struct container *c)
{
	struct restart_policy p = policy_of(c);

	if (p.when == RESTART_NO)
		return NULL;
	return json_pack("{s:s, s:i}", "when", p.when == RESTART_ALWAYS ? "always" : "on-failure", "maxRetries",
			 (int)p.max_retries);
}

void policy_tell(struct container *c)
{
	struct restart_policy p = policy_of(c);
	struct err err;

	if (c->tunnel && tunnel_set_restart_policy(c->tunnel, &p, &err) < 0)
		log_error("the agent cannot be told its restart policy", "container=%.12s error=\"%s\"", c->id, err.msg);
}

bool policy_wants(const struct container *c, int exit_code)
{
	int max;

	switch (policy_of(c).when) {
	case RESTART_ALWAYS:
		return true;
	case RESTART_ON_FAILURE:
		(void)name_of(c, &max);
		return exit_code != 0 && (max == 0 || c->restart_count < max);
	default:
		return false;
	}
}
