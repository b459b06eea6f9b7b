/* shared_task - see shared_task.h. */
#include "cloud/shared_task.h"

#include <string.h>

#include "agents/tunnel.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/token.h"
#include "cloud/lifecycle_ops.h"
#include "gateway.h"
#include "state/container.h"
#include "state/network.h"

#define SHORT_ID 12
#define LOST_EXIT_CODE 137

/* Asked for every start and every agent that comes: with nobody to look for, thousands are not looked through. */
static struct container **members_where(struct gateway *g, const struct container *owner, bool staged)
{
	struct container **list;
	size_t kept = 0;

	if (!containers_sharing(g->containers))
		return xcalloc(1, sizeof(*list));
	list = containers_list(g->containers);
	for (size_t i = 0; list[i]; i++) {
		const char *ref = network_shared_with(list[i]);

		if (ref && containers_find(g->containers, ref, NULL) == owner && list[i] != owner &&
		    (!staged || (list[i]->staged_run && list[i]->staged_run == owner->runs)))
			list[kept++] = list[i];
	}
	list[kept] = NULL;
	return list;
}

/* Owner's, staged or not; NULL-terminated, caller frees. */
static struct container **all_members(struct gateway *g, const struct container *owner)
{
	return members_where(g, owner, false);
}

struct container **shared_task_staged(struct gateway *g, const struct container *owner)
{
	return members_where(g, owner, true);
}

struct container *shared_task_owner(struct gateway *g, const struct container *member, struct err *err)
{
	return containers_find(g->containers, network_shared_with(member), err);
}

/* ---- the owner's start ------------------------------------------------------------------------------ */

static const char *hostname_of(const struct container *c)
{
	const char *name = json_string_value(json_object_get(c->config, "Hostname"));

	return name ? name : "";
}

static int stage(struct gateway *g, struct container *owner, struct container *member, struct err *err)
{
	AUTO_FREE char *hostname = *hostname_of(owner) ? xstrdup(hostname_of(owner)) : xstrndup(owner->id, SHORT_ID);
	char token[ID_HEX_MAX];

	if (g->config->agent_token)
		snprintf(token, sizeof(token), "%s", g->config->agent_token);
	else
		random_hex(token, 64);
	member->hold = true;
	return container_set_staged(member, token, owner->runs, hostname, err);
}

int shared_task_stage(struct lifecycle *l, struct container *owner, struct err *err)
{
	struct container **members = all_members(l->g, owner);
	int rc = 0;

	for (size_t i = 0; rc == 0 && members[i]; i++) {
		struct container *m = members[i];

		if (m->state == CONTAINER_RUNNING)
			run_lost(slot_get(l, m->id), m, LOST_EXIT_CODE, "the task it ran in is started anew");
		/* Without a callback every agent would have to listen on the same port of the shared loopback. */
		if ((m->state == CONTAINER_CREATED || m->state == CONTAINER_EXITED) && l->g->config->callback_url)
			rc = stage(l->g, owner, m, err);
	}
	free(members);
	return rc;
}

/* ---- the member's start --------------------------------------------------------------------------- */

struct container *shared_task_join(struct gateway *g, const struct container *member, struct err *err)
{
	struct container *owner = shared_task_owner(g, member, err);
	const char *why = "it was created after that container had started";

	if (!owner)
		return NULL;
	if (owner == member || !container_is_running(owner)) {
		err_set(err, ERR_CONFLICT, "cannot join network of a non running container: %s", owner->id);
		return NULL;
	}
	if (member->staged_run && member->staged_run == owner->runs)
		return owner;
	if (!g->config->callback_url)
		why = "this gateway has no callback URL, and agents that are dialled cannot share a loopback";
	else if (owner->execution && member->execution && strcmp(owner->execution, member->execution) == 0)
		why = "it has run there once already";
	err_set(err, ERR_CONFLICT, "container %.12s cannot join the network of container %.12s (%s): on Cloud Run the containers "
		"of a task are fixed when it starts, and %s. Start %s anew, then this one", member->id, owner->id, owner->name,
		why, owner->name);
	return NULL;
}

/* ---- the end ------------------------------------------------------------------------------------------ */

static bool lives(const struct container *c)
{
	return c->state == CONTAINER_RUNNING || c->state == CONTAINER_STARTING;
}

static void dismiss(struct container *c, bool held)
{
	struct err err;

	if (!c->tunnel)
		return;
	if ((held && tunnel_signal(c->tunnel, 1, 9, &err) < 0) || tunnel_leave(c->tunnel, &err) < 0)
		log_warn("an agent is not told to leave", "container=%.12s error=\"%s\"", c->id, err.msg);
}

void shared_task_settle(struct gateway *g, const struct container *ended)
{
	struct container *owner = network_shared_with(ended) ? shared_task_owner(g, ended, NULL)
							     : containers_by_id(g->containers, ended->id);
	struct container **members;
	bool over;

	if (!owner)
		return;
	members = all_members(g, owner);
	over = !lives(owner) && members[0];
	for (size_t i = 0; members[i]; i++)
		over = over && !lives(members[i]);
	for (size_t i = 0; over && members[i]; i++)
		dismiss(members[i], members[i]->staged_run != 0);
	if (over)
		dismiss(owner, false);
	free(members);
}
