/* lifecycle - see lifecycle.h. This file owns the slots and the callers' list, and turns the outside's
 * calls and the agent's news into operations; the operations are in start.c, stop.c, remove.c, again.c, watch.c. */
#include "cloud/lifecycle.h"

#include <string.h>
#include <utlist.h>

#include "agents/ports.h"
#include "agents/registry.h"
#include "agents/tunnel.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cloud/lifecycle_ops.h"
#include "cloud/policy.h"
#include "cloud/run.h"
#include "cloud/shared_task.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/container.h"
#include "state/events.h"
#include "state/exec.h"
#include "state/network.h"

#define RECOVER_LOOK_MS 3000
#define LOST_LOOK_MS 5000

/* ---- slots ---------------------------------------------------------------------------------------- */

static struct slot *slot_find(struct lifecycle *l, const char *id)
{
	struct slot *s;

	HASH_FIND_STR(l->slots, id, s);
	return s;
}

struct slot *slot_get(struct lifecycle *l, const char *id)
{
	struct slot *s = slot_find(l, id);

	if (s)
		return s;
	s = xcalloc(1, sizeof(*s));
	snprintf(s->id, sizeof(s->id), "%s", id);
	s->l = l;
	HASH_ADD_STR(l->slots, id, s);
	return s;
}

void slot_release(struct slot *s)
{
	if (s->start || s->stop || s->removal || s->freeze || s->again || s->watch || s->dial || s->finding || s->cancel ||
	    s->hang_up || s->hanging_up)
		return;
	HASH_DEL(s->l->slots, s);
	free(s);
}

struct container *slot_container(const struct slot *s)
{
	return containers_by_id(s->l->g->containers, s->id);
}

/* ---- callers -------------------------------------------------------------------------------------- */

struct lifecycle_wait {
	lifecycle_cb *cb;
	void *ctx;
	struct lifecycle *l;
	struct lifecycle_wait **list;  /* NULL once finished */
	struct timer *timer;           /* finished, and waiting for its turn in the loop */
	bool failed;
	struct err err;
	struct lifecycle_wait *prev, *next;
};

struct lifecycle_wait *waits_add(struct lifecycle *l, struct lifecycle_wait **list, lifecycle_cb *cb, void *ctx)
{
	struct lifecycle_wait *w = xcalloc(1, sizeof(*w));

	w->cb = cb;
	w->ctx = ctx;
	w->l = l;
	w->list = list;
	DL_APPEND(*list, w);
	return w;
}

static void fire(void *p)
{
	struct lifecycle_wait *w = p;

	w->timer = NULL;
	w->cb(w->ctx, w->failed ? &w->err : NULL);
	free(w);
}

void waits_finish(struct lifecycle_wait **list, const struct err *err)
{
	struct lifecycle_wait *w, *tmp;

	DL_FOREACH_SAFE(*list, w, tmp) {
		DL_DELETE(*list, w);
		w->list = NULL;
		w->failed = err != NULL;
		if (err)
			w->err = *err;
		w->timer = timer_start(w->l->g->loop, 0, fire, w);
	}
}

bool lifecycle_waits(const struct lifecycle_wait *w)
{
	return w && w->list;
}

void lifecycle_forget(struct lifecycle_wait *w)
{
	if (!w)
		return;
	if (w->list)
		DL_DELETE(*w->list, w);
	timer_cancel(&w->timer);
	free(w);
}

/* ---- end ----------------------------------------------------------------------------------------- */

/* Operations are not undone: the next start of the gateway finds them in the store. */
void lifecycle_free(struct lifecycle *l)
{
	struct slot *s, *tmp;
	struct err err = { 0 };

	if (!l)
		return;
	l->stopping = true;
	recovery_end(l);
	err_set(&err, ERR_UNAVAILABLE, "the gateway is shutting down");
	HASH_ITER(hh, l->slots, s, tmp) {
		slot_hang_up(s);
		cloud_cancel(s->cancel);
		s->cancel = NULL;
		watch_end(s);
		again_end(s);
	}
	while (l->slots) {
		s = l->slots;
		if (s->start)
			start_abort(s->start, NULL);
		if (s->stop)
			stop_end(s->stop, &err);
		if (s->removal)
			removal_end(s->removal, &err);
		if (l->slots == s && s->freeze)
			freeze_end(s->freeze, &err);
		if (l->slots == s)
			slot_release(s);
	}
	free(l);
}

/* How long the agent of an ended container may still be there for its files. */
static uint64_t stays_for_ms(const struct lifecycle *l, const struct container *c)
{
	int64_t until_ns = c->finished_ns + l->g->config->exit_stay_ms * 1000000, now = clock_wall_ns();

	return c->state == CONTAINER_EXITED && until_ns > now ? (uint64_t)(until_ns - now) / 1000000 + 1 : 0;
}

static void stay_is_over(void *p)
{
	struct slot *s = p;

	s->hang_up = NULL;
	log_info("an ended container's agent is no longer kept for its files", "container=%.12s", s->id);
	slot_hang_up(s);
	slot_release(s);
}

static void hang_up_later(struct slot *s, uint64_t ms)
{
	timer_cancel(&s->hang_up);
	s->hang_up = timer_start(s->l->g->loop, ms, stay_is_over, s);
}

static void recover_staying(struct slot *s, struct container *c)
{
	find_agent_if_silent(s, c, 0);
	if (s->dial || s->finding)
		hang_up_later(s, stays_for_ms(s->l, c));
	else
		slot_release(s);
}

void take_up(struct lifecycle *l, struct container *c)
{
	struct slot *s;
	struct err err = { 0 };

	switch (c->state) {
	case CONTAINER_STARTING:
		start_resume(slot_get(l, c->id), c);
		break;
	case CONTAINER_RUNNING:
		s = slot_get(l, c->id);
		ports_reopen(l->g->ports, c);
		ports_serve(l->g->ports, c);
		if (!c->foreign) /* of those the sweep sees the end */
			watch_begin(s, RECOVER_LOOK_MS);
		find_agent_if_silent(s, c, 0);
		slot_release(s);
		break;
	case CONTAINER_REMOVING:
		s = slot_get(l, c->id);
		if (removal_begin(s, c, true, &err) < 0)
			log_error("removal cannot be taken up again", "container=%.12s error=\"%s\"", c->id, err.msg);
		break;
	case CONTAINER_EXITED:
		if (c->auto_remove)
			removal_automatic(slot_get(l, c->id), c);
		else if (stays_for_ms(l, c) > 0)
			recover_staying(slot_get(l, c->id), c);
		break;
	case CONTAINER_CREATED:
		break;
	}
}

/* ---- what callers ask ----------------------------------------------------------------------------- */

static int refuse_removing(const struct container *c, struct err *err)
{
	if (c->state != CONTAINER_REMOVING)
		return 0;
	return err_set(err, ERR_CONFLICT, "removal of container %s is already in progress", c->id);
}

struct lifecycle_wait *lifecycle_start(struct lifecycle *l, struct container *c, lifecycle_cb *cb, void *ctx, struct err *err)
{
	struct slot *s = slot_find(l, c->id);

	if (c->paused) {
		err_set(err, ERR_CONFLICT, "cannot start a paused container, try unpause instead");
		return NULL;
	}
	if (container_is_running(c)) {
		err_set(err, ERR_NOT_MODIFIED, "container %s is already running", c->id);
		return NULL;
	}
	/* From the request on: the record says it only when the job's deletion begins. */
	if (c->state == CONTAINER_REMOVING || (s && s->removal)) {
		err_set(err, ERR_CONFLICT, "container is marked for removal and cannot be started");
		return NULL;
	}
	if (c->foreign) {
		err_set(err, ERR_CONFLICT, "container %s was made by another backend: it can be looked at, stopped and removed here, "
			"but not started", c->id);
		return NULL;
	}
	s = slot_get(l, c->id);
	if (!s->start && start_begin(s, c, err) < 0) {
		slot_release(s);
		return NULL;
	}
	return waits_add(l, start_waits(s->start), cb, ctx);
}

struct lifecycle_wait *lifecycle_stop(struct lifecycle *l, struct container *c, int signal, int timeout_s,
				      lifecycle_cb *cb, void *ctx, struct err *err)
{
	struct slot *s;

	if (refuse_removing(c, err) < 0)
		return NULL;
	if (c->state != CONTAINER_RUNNING && c->state != CONTAINER_STARTING) {
		err_set(err, ERR_NOT_MODIFIED, "container %s is already stopped", c->id);
		return NULL;
	}
	s = slot_get(l, c->id);
	if (!s->stop && stop_begin(s, c, signal, timeout_s, err) < 0) {
		slot_release(s);
		return NULL;
	}
	return waits_add(l, stop_waits(s->stop), cb, ctx);
}

/* dockerd's rules: any signal is a stop by hand, and unless the container has a StopSignal that is another
 * one, main is not run again. The agent knows before it has the signal. */
static int ask_to_stop(struct container *c, int signal, struct err *err)
{
	const char *own = json_string_value(json_object_get(c->config, "StopSignal"));
	bool for_good = !own || !*own || signal == 9 || signal == signal_number_of(c);

	if (container_set_stop_asked(c, for_good, err) < 0)
		return -1;
	if (policy_any(c))
		policy_tell(c);
	return 0;
}

/* There is no process to signal: the agent, told its policy, says EXIT; a lost execution has no successor. */
static void end_restart(struct lifecycle *l, struct container *c)
{
	struct slot *s = slot_get(l, c->id);
	struct err err = { 0 };

	/* With a successor waiting, an agent that is still there is the lost execution's. */
	if (policy_of(c).when == RESTART_NO && (!c->tunnel || s->again)) {
		if (again_end(s)) {
			if (container_set_exited(c, c->exit_code, c->finished_ns, c->output_incomplete, &err) < 0)
				log_error("container's end cannot be stored", "container=%.12s error=\"%s\"", c->id, err.msg);
			run_ended(l, c);
			if (s->stop)
				stop_end_soon(s->stop);
		} else if (s->start) {
			start_abort(s->start, "the container was stopped before it had started");
			return;
		} else {
			cancel_execution(s, c);
		}
	}
	slot_release(s);
}

int lifecycle_kill(struct lifecycle *l, struct container *c, int signal, struct err *err)
{
	json_t *attributes;

	if (!container_is_running(c))
		return err_set(err, ERR_CONFLICT, "Container %s is not running", c->id);
	if (ask_to_stop(c, signal, err) < 0)
		return -1;
	if (c->restarting) {
		end_restart(l, c);
		return 0;
	}
	if (c->tunnel) {
		if (tunnel_signal(c->tunnel, 1, signal, err) < 0)
			return -1;
	} else if ((signal == 9 || signal == 15) && !network_shared_with(c)) {
		cancel_execution(slot_get(l, c->id), c);
	} else {
		return err_set(err, ERR_UNAVAILABLE,
			       "signal %s cannot be delivered: the agent of container %s is not connected",
			       signal_name(signal), c->id);
	}
	attributes = container_event_attributes(c);
	json_object_set_new(attributes, "signal", json_sprintf("%d", signal));
	events_emit(l->g->events, "container", "kill", c->id, attributes);
	if (c->paused && c->tunnel && c->exit_on_next)
		thaw_for_signal(slot_get(l, c->id), c);
	return 0;
}

void lifecycle_policy_changed(struct lifecycle *l, struct container *c)
{
	if (container_is_running(c))
		policy_tell(c);
	if (c->restarting)
		end_restart(l, c);
}

/* Two operations: restart is stop, then start, and a removal may wait for a start. The callers' interest moves from one to
 * the other. */
struct sequence {
	struct lifecycle *l;
	char id[ID_HEX_MAX];
	struct lifecycle_removal removal;
	struct lifecycle_wait *wait;    /* on the operation in progress */
	struct lifecycle_wait *callers;
};

static void sequence_end(struct sequence *r, const struct err *err)
{
	waits_finish(&r->callers, err);
	free(r);
}

static void restart_started(void *ctx, const struct err *err)
{
	struct sequence *r = ctx;
	struct container *c = containers_by_id(r->l->g->containers, r->id);

	if (!err && c)
		container_emit(c, "restart");
	sequence_end(r, err);
}

static void restart_stopped(void *ctx, const struct err *stop_err)
{
	struct sequence *r = ctx;
	struct container *c = containers_by_id(r->l->g->containers, r->id);
	struct err err = { 0 };

	if (stop_err) {
		sequence_end(r, stop_err);
		return;
	}
	if (!c)
		err_set(&err, ERR_NOT_FOUND, "No such container: %s", r->id);
	else
		r->wait = lifecycle_start(r->l, c, restart_started, r, &err);
	if (err.kind)
		sequence_end(r, &err);
}

struct lifecycle_wait *lifecycle_restart(struct lifecycle *l, struct container *c, int signal, int timeout_s,
					 lifecycle_cb *cb, void *ctx, struct err *err)
{
	struct sequence *r = xcalloc(1, sizeof(*r));

	r->l = l;
	snprintf(r->id, sizeof(r->id), "%s", c->id);
	if (container_is_running(c))
		r->wait = lifecycle_stop(l, c, signal, timeout_s, restart_stopped, r, err);
	else
		r->wait = lifecycle_start(l, c, restart_started, r, err);
	if (!r->wait) {
		free(r);
		return NULL;
	}
	return waits_add(l, &r->callers, cb, ctx);
}

static void start_is_over(void *ctx, const struct err *start_err);

static struct lifecycle_wait *remove_when_started(struct slot *s, struct lifecycle_removal how, lifecycle_cb *cb, void *ctx)
{
	struct sequence *r = xcalloc(1, sizeof(*r));

	r->l = s->l;
	r->removal = how;
	snprintf(r->id, sizeof(r->id), "%s", s->id);
	r->wait = waits_add(s->l, start_waits(s->start), start_is_over, r);
	return waits_add(s->l, &r->callers, cb, ctx);
}

struct lifecycle_wait *lifecycle_remove(struct lifecycle *l, struct container *c, struct lifecycle_removal how, lifecycle_cb *cb,
					void *ctx, struct err *err)
{
	struct slot *s = slot_find(l, c->id);

	if (!how.force && refuse_removing(c, err) < 0)
		return NULL;
	if (!how.force && container_is_running(c)) {
		err_set(err, ERR_CONFLICT, "You cannot remove a %s container %s. %s the container before attempting "
			"removal or force remove", container_state_name(c), c->id,
			c->paused ? "Unpause and then stop" : "Stop");
		return NULL;
	}
	if (!how.force && s && s->start && !s->removal)
		return remove_when_started(s, how, cb, ctx);
	s = slot_get(l, c->id);
	if (!s->removal && removal_begin(s, c, how.force, err) < 0) {
		slot_release(s);
		return NULL;
	}
	if (how.volumes)
		removal_take_volumes(s->removal);
	return waits_add(l, removal_waits(s->removal), cb, ctx);
}

static void start_removed(void *ctx, const struct err *err)
{
	sequence_end(ctx, err);
}

/* As in dockerd, which waits for the lock that the start holds. */
static void start_is_over(void *ctx, const struct err *start_err)
{
	struct sequence *r = ctx;
	struct container *c = containers_by_id(r->l->g->containers, r->id);
	struct err err = { 0 };

	if (!c)
		err_set(&err, ERR_NOT_FOUND, "No such container: %s", r->id);
	else
		r->wait = lifecycle_remove(r->l, c, r->removal, start_removed, r, &err);
	if (err.kind)
		sequence_end(r, &err);
}

/* What this machine gave to a run goes back. */
void run_ended(struct lifecycle *l, struct container *c)
{
	ports_close(l->g->ports, c);
	networks_emit(l->g->networks, c, "disconnect");
	shared_task_settle(l->g, c);
}

/* ---- what the agent tells ------------------------------------------------------------------------- */

/* Main runs anew by its policy; perhaps not for the first time since we last heard of it. */
static bool note_restart(struct container *c)
{
	int64_t started_ns;
	uint32_t pid;
	int total;
	struct err err = { 0 };

	if (!c->tunnel || !tunnel_main_started(c->tunnel, &pid, &started_ns))
		return false;
	total = c->restart_base + (int)tunnel_main_restarts(c->tunnel);
	if (!c->restarting && total <= c->restart_count)
		return false;
	if (container_set_restarted(c, pid, started_ns, total, &err) < 0)
		log_error("container's restart cannot be stored", "container=%.12s error=\"%s\"", c->id, err.msg);
	return true;
}

/* Adopted from its job as running: is it, and since when? What is held and was to be prepared cannot be begun any
 * more, as what it waited for is lost; but a member of a shared task can still be started. */
static void take_agents_word(struct lifecycle *l, struct container *c)
{
	struct container *owner = network_shared_with(c) ? shared_task_owner(l->g, c, NULL) : NULL;
	int64_t started_ns;
	uint32_t pid;
	struct err err = { 0 };
	int rc;

	if (!c->tunnel)
		return;
	if (tunnel_main_started(c->tunnel, &pid, &started_ns))
		rc = container_set_found(c, pid, started_ns, c->restart_base + (int)tunnel_main_restarts(c->tunnel), &err);
	else if (owner)
		rc = container_set_held(c, owner->runs, &err);
	else
		rc = tunnel_signal(c->tunnel, 1, 9, &err);
	if (rc < 0)
		log_error("an adopted container's state cannot be told", "container=%.12s error=\"%s\"", c->id, err.msg);
}

static void on_agent_up(void *ctx, struct container *c)
{
	struct lifecycle *l = ctx;
	struct slot *s = slot_find(l, c->id);

	if (c->state == CONTAINER_EXITED)
		shared_task_settle(l->g, c); /* it may have been away when the last of them ended */
	if (s)
		watch_end(s);
	if (s && s->start) {
		start_agent_up(s->start, c);
		return;
	}
	if (c->state == CONTAINER_RUNNING && !c->pid && !c->restarting)
		take_agents_word(l, c);
	if (c->state == CONTAINER_RUNNING && !note_restart(c))
		policy_tell(c); /* it may have been changed while the agent was away */
	if (s)
		slot_release(s);
}

static void on_main_restarting(void *ctx, struct container *c, const struct exit_status *status, uint32_t count)
{
	struct lifecycle *l = ctx;
	struct slot *s = slot_find(l, c->id);
	int total = c->restart_base + (int)count;
	struct err err = { 0 };

	if (s && s->start)
		start_main_exited(s->start, c, status); /* it has started, then */
	if (c->restarting && c->restart_count == total)
		return; /* a former gateway process recorded it */
	execs_container_ended(l->g->execs, c->id, c->runs);
	if (container_set_restarting(c, status->code, status->finished_ns, total, &err) < 0)
		log_error("container's end cannot be stored", "container=%.12s error=\"%s\"", c->id, err.msg);
	log_info("container is restarting", "container=%.12s code=%d count=%d", c->id, status->code, total);
}

static void on_agent_lost(void *ctx, struct container *c)
{
	struct lifecycle *l = ctx;
	struct slot *s = slot_find(l, c->id);

	if (l->stopping)
		return;
	if (s && s->hanging_up) { /* whoever hangs up knows, and goes on with the slot */
		if (!container_is_running(c) && c->state != CONTAINER_STARTING && c->tunnel && tunnel_is_idle(c->tunnel))
			registry_drop(l->g->registry, c);
		return;
	}
	if (c->state == CONTAINER_RUNNING && !(s && s->again)) {
		watch_begin(slot_get(l, c->id), LOST_LOOK_MS);
	} else if (c->state != CONTAINER_STARTING && c->tunnel && tunnel_is_idle(c->tunnel)) {
		registry_drop(l->g->registry, c); /* the run is over and the agent has left */
		if (s && s->dial && stays_for_ms(l, c) > 0 && !s->removal)
			hang_up_later(s, stays_for_ms(l, c)); /* or it was only cut off */
		else if (s)
			slot_hang_up(s);
	}
	if (s && s->start)
		start_agent_lost(s->start);
	if (s && s->removal)
		removal_agent_left(s->removal);
	else if (s)
		slot_release(s);
}

static void on_main_exited(void *ctx, struct container *c, const struct exit_status *status)
{
	struct lifecycle *l = ctx;
	struct slot *s = slot_get(l, c->id);
	struct err err = { 0 };

	if (c->state == CONTAINER_EXITED || c->state == CONTAINER_CREATED) {
		slot_release(s);
		return; /* known already: a former gateway process recorded it */
	}
	if (s->start) {
		start_main_exited(s->start, c, status);
		if (c->state != CONTAINER_RUNNING)
			return;
		s = slot_get(l, c->id);
	}
	if (c->state == CONTAINER_RUNNING && (!c->restarting || status->started_ns > c->started_ns))
		note_restart(c);
	/* The policy is the agent's business: if it does not obey, it was told to leave by Cloud Run. */
	if (!status->error && again_after_end(s, c, status->code, status->finished_ns, false))
		return;
	execs_container_ended(l->g->execs, c->id, c->runs);
	if (container_set_exited(c, status->code, status->finished_ns, false, &err) < 0)
		log_error("container's end cannot be stored", "container=%.12s error=\"%s\"", c->id, err.msg);
	run_ended(l, c);
	log_info("container ended", "container=%.12s code=%d", c->id, status->code);
	watch_end(s);
	if (s->stop)
		stop_end(s->stop, NULL);
	else if (c->auto_remove && !s->removal)
		removal_automatic(s, c);
	slot_release(slot_get(l, c->id));
}

/* ---- birth ---------------------------------------------------------------------------------------- */

static const struct tunnel_observer observer = {
	.agent_up = on_agent_up,
	.agent_lost = on_agent_lost,
	.main_restarting = on_main_restarting,
	.main_exited = on_main_exited,
};

struct lifecycle *lifecycle_new(struct gateway *g)
{
	struct lifecycle *l = xcalloc(1, sizeof(*l));

	l->g = g;
	registry_observe(g->registry, &observer, l);
	return l;
}
