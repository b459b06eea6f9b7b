/* find_agent - forward mode: where a container's agent listens (docs/decisions/0004), and the dialling of it.
 * The container's label knows, or the setting, or the execution's log, in which the agent itself says so;
 * the log may be late, so whoever waits for the agent asks again. */
#include <jansson.h>

#include "agents/dial.h"
#include "base/log.h"
#include "cloud/lifecycle_ops.h"
#include "cloud/logging.h"
#include "cloud/run.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/container.h"

#define ADDRESS_LABEL "run.sockerless.agent-address"

static void dial(struct slot *s, struct container *c, const char *address)
{
	struct err err = { 0 };

	s->dial = dial_start(s->l->g, s->id, address, c->token, &err);
	if (!s->dial)
		log_warn("agent cannot be dialled", "container=%.12s error=\"%s\"", s->id, err.msg);
}

static const char *address_in_entry(json_t *entry)
{
	json_t *addresses = json_object_get(json_object_get(json_object_get(entry, "jsonPayload"), "sockerless_agent"), "listen");

	return json_string_value(json_array_get(addresses, 0));
}

static void on_address_log(void *ctx, json_t *json, const struct err *err)
{
	struct slot *s = ctx;
	struct container *c = slot_container(s);
	json_t *entry;
	size_t i;

	s->finding = NULL;
	json_array_foreach(json_object_get(json, "entries"), i, entry) {
		const char *address = address_in_entry(entry);

		if (c && address && !s->dial)
			dial(s, c, address);
	}
	slot_release(s);
}

void find_agent_if_silent(struct slot *s, struct container *c, uint64_t silent_ms)
{
	struct gateway *g = s->l->g;
	const struct config *cfg = g->config;
	const char *label = json_string_value(json_object_get(json_object_get(c->config, "Labels"), ADDRESS_LABEL));

	if (s->dial || s->finding || !c->execution || (cfg->callback_url && silent_ms <= (uint64_t)cfg->agent_timeout_ms))
		return;
	if (label || cfg->agent_address)
		dial(s, c, label ? label : cfg->agent_address);
	else
		s->finding = logging_first(g->cloud, c->job, c->execution, on_address_log, s);
}

/* The link that goes down tells on_agent_lost, which may hang up and release, too: the slot is still ours then. */
void slot_hang_up(struct slot *s)
{
	if (s->hanging_up)
		return;
	cloud_cancel(s->finding);
	s->finding = NULL;
	s->hanging_up = true;
	dial_stop(s->dial);
	s->hanging_up = false;
	s->dial = NULL;
	timer_cancel(&s->hang_up);
}
