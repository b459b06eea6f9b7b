/* remove - docker rm: (force: SIGKILL, then cancel) → delete the job → forget the record.
 * The record goes even when Google does not answer any more: the job is then logged as left behind. */
#include <string.h>

#include "agents/ports.h"
#include "agents/registry.h"
#include "agents/tunnel.h"
#include "base/log.h"
#include "base/mem.h"
#include "cloud/launch.h"
#include "cloud/lifecycle_ops.h"
#include "cloud/run.h"
#include "cloud/storage.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/container.h"
#include "state/exec.h"
#include "state/network.h"
#include "state/volume.h"

#define SIGNAL_KILL 9
#define KILL_GRACE_MS 10000    /* from SIGKILL to going on without the agent's word */
#define LEAVE_GRACE_MS 2000    /* from the container's end to its agent hanging up */

struct removal {
	struct slot *slot;
	struct timer *timer;
	struct container_waiter *exit;
	struct cloud_call *call;
	struct lifecycle_wait *waits;
	bool agent_awaited, with_volumes;
};

struct lifecycle_wait **removal_waits(struct removal *r)
{
	return &r->waits;
}

void removal_take_volumes(struct removal *r)
{
	r->with_volumes = true;
}

void removal_end(struct removal *r, const struct err *err)
{
	struct slot *s = r->slot;

	timer_cancel(&r->timer);
	if (r->exit)
		container_unwait(r->exit);
	cloud_cancel(r->call);
	s->removal = NULL;
	waits_finish(&r->waits, err);
	free(r);
	slot_release(s);
}

static void on_emptied(void *ctx, const struct err *err)
{
	AUTO_FREE char *name = ctx;

	if (err)
		log_error("a removed volume's objects are left behind", "volume=%s error=\"%s\"", name, err->msg);
}

/* docker rm -v and --rm: the volumes nobody named go with their last container. */
static void discard_volumes(struct gateway *g, json_t *mounts)
{
	json_t *m;
	size_t i;

	json_array_foreach(mounts, i, m) {
		const char *name = json_string_value(json_object_get(m, "name"));
		struct volume *v = name ? volumes_find(g->volumes, name, NULL) : NULL;
		json_t *users = v && v->anonymous ? volume_users(g->volumes, name) : NULL;

		if (users && json_array_size(users) == 0) {
			if (v->place == VOLUME_IN_BUCKET && g->config->volume_bucket)
				storage_empty(g->cloud, name, on_emptied, xstrdup(name));
			volume_remove(g->volumes, v);
		}
		json_decref(users);
	}
}

static void forget(struct removal *r)
{
	struct slot *s = r->slot;
	struct container *c = slot_container(s);

	watch_end(s);
	slot_hang_up(s);
	cloud_cancel(s->cancel);
	s->cancel = NULL;
	if (s->stop)
		stop_end_soon(s->stop);
	if (c) {
		json_t *mounts = r->with_volumes || c->auto_remove ? json_incref(c->mounts) : NULL;

		ports_close(s->l->g->ports, c);
		registry_drop(s->l->g->registry, c);
		execs_container_removed(s->l->g->execs, c->id);
		container_remove(c);
		discard_volumes(s->l->g, mounts);
		json_decref(mounts);
	}
	removal_end(r, NULL);
}

static void on_deleted(void *ctx, json_t *json, const struct err *err)
{
	struct removal *r = ctx;

	r->call = NULL;
	if (err && err->kind != ERR_NOT_FOUND)
		log_error("job is left behind", "container=%.12s error=\"%s\"", r->slot->id, err->msg);
	forget(r);
}

static void proceed(void *ctx);

/* An agent whose main process has ended leaves once it knows that we know, and that nobody wants the files any
 * more. Deleting the job before would kill it with its last word unread, and show the execution as cancelled. */
static bool await_agents_leave(struct removal *r, struct container *c)
{
	struct err err;

	if (r->agent_awaited || c->state == CONTAINER_RUNNING || !c->tunnel || !tunnel_is_up(c->tunnel))
		return false;
	if ((c->staged_run && tunnel_signal(c->tunnel, 1, SIGNAL_KILL, &err) < 0) || tunnel_leave(c->tunnel, &err) < 0)
		log_warn("an agent is not told to leave", "container=%.12s error=\"%s\"", c->id, err.msg);
	r->agent_awaited = true;
	r->timer = timer_start(r->slot->l->g->loop, LEAVE_GRACE_MS, proceed, r);
	return true;
}

void removal_agent_left(struct removal *r)
{
	if (!r->agent_awaited || r->call)
		return;
	timer_cancel(&r->timer);
	r->timer = timer_start(r->slot->l->g->loop, 0, proceed, r);
}

static void delete_job(struct removal *r)
{
	struct container *c = slot_container(r->slot);
	char job[LAUNCH_JOB_MAX];
	struct err err = { 0 };

	if (c && await_agents_leave(r, c))
		return;
	if (!c || c->runs == 0 || network_shared_with(c)) { /* a shared job is its owner's */
		forget(r);
		return;
	}
	if (c->state != CONTAINER_REMOVING && container_set_removing(c, &err) < 0) {
		removal_end(r, &err);
		return;
	}
	launch_job_name(c->id, job); /* also of a start that failed and could not tidy up */
	r->call = run_delete_job(r->slot->l->g->cloud, c->job ? c->job : job, on_deleted, r);
}

static void proceed(void *ctx)
{
	struct removal *r = ctx;

	r->timer = NULL;
	if (r->exit)
		container_unwait(r->exit);
	r->exit = NULL;
	delete_job(r);
}

static void on_exit_code(void *ctx, int code, const char *error)
{
	struct removal *r = ctx;

	r->exit = NULL;
	timer_cancel(&r->timer);
	r->timer = timer_start(r->slot->l->g->loop, 0, proceed, r);
}

static void kill_first(struct removal *r, struct container *c)
{
	struct err err = { 0 };

	if (c->state == CONTAINER_STARTING && r->slot->start) {
		start_abort(r->slot->start, "the container was removed before it had started");
		r->timer = timer_start(r->slot->l->g->loop, 0, proceed, r);
		return;
	}
	if (container_set_stop_asked(c, true, &err) < 0)
		log_error("removal goes on", "container=%.12s error=\"%s\"", c->id, err.msg);
	if ((!c->tunnel && !r->slot->again) || lifecycle_kill(r->slot->l, c, 9, &err) < 0)
		cancel_execution(r->slot, c);
	r->exit = container_wait(c, WAIT_NOT_RUNNING, on_exit_code, r);
	r->timer = timer_start(r->slot->l->g->loop, KILL_GRACE_MS, proceed, r);
}

int removal_begin(struct slot *s, struct container *c, bool force, struct err *err)
{
	struct removal *r = xcalloc(1, sizeof(*r));

	r->slot = s;
	s->removal = r;
	if (force && (container_is_running(c) || c->state == CONTAINER_STARTING))
		kill_first(r, c);
	else
		r->timer = timer_start(s->l->g->loop, 0, proceed, r);
	return 0;
}

void removal_automatic(struct slot *s, struct container *c)
{
	struct err err = { 0 };

	if (removal_begin(s, c, false, &err) < 0)
		log_error("automatic removal failed", "container=%.12s error=\"%s\"", c->id, err.msg);
}
