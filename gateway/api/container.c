/* container - start, stop, restart, kill, wait, rename, resize, remove, prune: the calls that change a
 * container or wait for it to change. The work is cloud/lifecycle's and goes on when the client leaves. */
#include "state/container.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agents/tunnel.h"
#include "api/filters.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cloud/lifecycle.h"
#include "net/defer.h"
#include "state/events.h"

#define SIGNAL_KILL 9
#define STOP_TIMEOUT_S 10
#define KILL_WAIT_MS 10000

/* What any of these calls may be waiting for. */
struct waiting {
	struct lifecycle_wait *operation;
	struct container_waiter *waiter;
	struct timer *timer;
	enum wait_condition cond;
	struct strv doomed;            /* prune: IDs, removed one after the other */
	size_t next;
	json_t *removed;
};

static void release(struct request *r)
{
	struct waiting *w = r->state;

	lifecycle_forget(w->operation);
	container_unwait(w->waiter);
	timer_cancel(&w->timer);
	strv_release(&w->doomed);
	json_decref(w->removed);
	free(w);
}

static struct waiting *waiting_new(struct request *r)
{
	struct waiting *w = xcalloc(1, sizeof(*w));

	r->state = w;
	r->release = release;
	return w;
}

/* The common end: 204, or what went wrong. */
static void done(void *ctx, const struct err *err)
{
	struct request *r = ctx;

	((struct waiting *)r->state)->operation = NULL;
	if (err)
		reply_err(r, err);
	else
		reply_empty(r, 204);
}

static void await(struct request *r, struct lifecycle_wait *operation, const struct err *err)
{
	if (operation)
		((struct waiting *)r->state)->operation = operation;
	else
		reply_err(r, err);
}

/* The same request joins the same operation in the image that takes over. */
static bool carry_operation(struct exchange *x, void *ctx, struct pack *p)
{
	return lifecycle_waits(((struct waiting *)((struct request *)ctx)->state)->operation);
}

/* ---- start, stop, restart ------------------------------------------------------------------------ */

static void start_drained(struct request *r, size_t body_len)
{
	struct container *c;
	struct err err;

	if (body_len > strlen("null\r\n") + 1) {
		reply_error(r, ERR_INVALID, "starting container with non-empty request body was deprecated since API v1.22 "
			    "and removed in v1.24");
		return;
	}
	c = request_container(r);
	if (!c)
		return;
	waiting_new(r);
	exchange_on_carry(r->x, carry_operation, r);
	await(r, lifecycle_start(r->g->lifecycle, c, done, r, &err), &err);
}

void container_start(struct request *r)
{
	AUTO_FREE char *checkpoint = request_query(r, "checkpoint");

	if (checkpoint && *checkpoint)
		reply_error(r, ERR_INVALID, "checkpoints are not available on Cloud Run");
	else
		request_drain(r, start_drained);
}

/* signal= and t= of stop and restart; 0 and the container's own time when not given. */
static int read_stop(struct request *r, struct container *c, int *ret_signal, int *ret_timeout_s, struct err *err)
{
	AUTO_FREE char *signal = request_query(r, "signal");
	json_t *own = json_object_get(c->config, "StopTimeout");
	int64_t t = json_is_integer(own) ? json_integer_value(own) : STOP_TIMEOUT_S;

	if (request_int(r, "t", &t, err) < 0)
		return -1;
	*ret_signal = signal && *signal ? parse_signal(signal) : 0;
	if (*ret_signal < 0)
		return err_set(err, ERR_INVALID, "Invalid signal: %s", signal);
	*ret_timeout_s = t < 0 ? -1 : t > INT32_MAX ? INT32_MAX : (int)t;
	return 0;
}

/* By lifecycle_stop, or by lifecycle_restart. */
static void stop_with(struct request *r, __typeof__(lifecycle_stop) *stop)
{
	struct container *c = request_container(r);
	int signal = 0, timeout_s = 0;
	struct err err;

	if (!c)
		return;
	if (read_stop(r, c, &signal, &timeout_s, &err) < 0) {
		reply_err(r, &err);
		return;
	}
	waiting_new(r);
	if (stop == lifecycle_stop) /* a restart would begin with its stop again */
		exchange_on_carry(r->x, carry_operation, r);
	await(r, stop(r->g->lifecycle, c, signal, timeout_s, done, r, &err), &err);
}

void container_stop(struct request *r)
{
	stop_with(r, lifecycle_stop);
}

void container_restart(struct request *r)
{
	stop_with(r, lifecycle_restart);
}

/* ---- pause --------------------------------------------------------------------------------------- */

static void set_paused(struct request *r, bool pause)
{
	struct container *c = request_container(r);
	struct err err;

	if (!c)
		return;
	waiting_new(r);
	await(r, lifecycle_pause(r->g->lifecycle, c, pause, done, r, &err), &err);
}

void container_pause(struct request *r)
{
	set_paused(r, true);
}

void container_unpause(struct request *r)
{
	set_paused(r, false);
}

/* ---- kill ---------------------------------------------------------------------------------------- */

static void killed(void *ctx, int exit_code, const char *error)
{
	struct request *r = ctx;

	((struct waiting *)r->state)->waiter = NULL;
	reply_empty(r, 204);
}

/* Delivered; that nobody has reported the end yet does not make the call fail. */
static void killed_long_ago(void *p)
{
	struct request *r = p;

	((struct waiting *)r->state)->timer = NULL;
	reply_empty(r, 204);
}

void container_kill(struct request *r)
{
	AUTO_FREE char *text = request_query(r, "signal");
	int signal = text && *text ? parse_signal(text) : SIGNAL_KILL;
	struct container *c;
	struct waiting *w;
	int64_t number;
	struct err err;

	if (signal < 0 && parse_i64(text, &number) == 0 && number != 0) {
		reply_error(r, ERR_INVALID, "Cannot kill container: %s: The linux daemon does not support signal %llu",
			    r->name, (unsigned long long)number);
		return;
	}
	if (signal < 0) {
		reply_error(r, ERR_INVALID, "Invalid signal: %s", text);
		return;
	}
	c = containers_find(r->g->containers, r->name, &err);
	if (!c) {
		err_wrap(&err, "Cannot kill container: %s", r->name);
		reply_err(r, &err);
		return;
	}
	if (lifecycle_kill(r->g->lifecycle, c, signal, &err) < 0) {
		err_wrap(&err, "Cannot kill container: %s", r->name);
		reply_err(r, &err);
		return;
	}
	if (signal != SIGNAL_KILL) {
		reply_empty(r, 204);
		return;
	}
	/* As in dockerd, after a SIGKILL the container is seen to be dead. */
	w = waiting_new(r);
	w->waiter = container_wait(c, WAIT_NOT_RUNNING, killed, r);
	w->timer = timer_start(r->g->loop, KILL_WAIT_MS, killed_long_ago, r);
}

/* ---- wait ---------------------------------------------------------------------------------------- */

static void waited(void *ctx, int exit_code, const char *error)
{
	struct request *r = ctx;
	json_t *body = json_pack("{s:i}", "StatusCode", exit_code);

	((struct waiting *)r->state)->waiter = NULL;
	if (error && *error)
		json_object_set_new(body, "Error", json_pack("{s:o}", "Message", reply_string(error)));
	else if (r->version < 42)
		json_object_set_new(body, "Error", json_null());
	reply_line(r, body);
	reply_end(r);
}

static bool carry_wait(struct exchange *x, void *ctx, struct pack *p)
{
	return ((struct waiting *)((struct request *)ctx)->state)->waiter != NULL;
}

void container_wait_for(struct request *r)
{
	static const char *const names[] = {
		[WAIT_NOT_RUNNING] = "not-running", [WAIT_NEXT_EXIT] = "next-exit", [WAIT_REMOVED] = "removed",
	};
	AUTO_FREE char *text = request_query(r, "condition");
	struct container *c = request_container(r);
	int cond = text && *text && r->version >= 30 ? -1 : WAIT_NOT_RUNNING; /* before 1.30 nobody read it */
	struct waiting *w;

	if (!c)
		return;
	for (int i = 0; cond < 0 && i < 3; i++)
		if (strcmp(text, names[i]) == 0)
			cond = i;
	if (cond < 0) {
		reply_error(r, ERR_INVALID, "invalid condition: \"%s\"", text);
		return;
	}
	w = waiting_new(r);
	reply_begin(r, "application/json"); /* docker run starts the container only when it has this */
	w->waiter = container_wait(c, (enum wait_condition)cond, waited, r);
	exchange_on_carry(r->x, carry_wait, r);
}

/* ---- rename, resize ------------------------------------------------------------------------------ */

void container_rename_to(struct request *r)
{
	AUTO_FREE char *name = request_query(r, "name");
	struct container *c = request_container(r);
	struct err err;

	if (!c)
		return;
	if (container_rename(c, name ? name : "", &err) < 0)
		reply_err(r, &err);
	else
		reply_empty(r, 204);
}

void container_resize(struct request *r)
{
	struct container *c = request_container(r);
	int64_t h = 0, w = 0;
	json_t *attributes;
	struct err err;

	if (!c)
		return;
	if (request_need_int(r, "h", &h, &err) < 0 || request_need_int(r, "w", &w, &err) < 0) {
		reply_err(r, &err);
		return;
	}
	if (h < 0 || h > UINT16_MAX || w < 0 || w > UINT16_MAX) {
		reply_error(r, ERR_INVALID, "invalid terminal size: %lld rows, %lld columns", (long long)h, (long long)w);
		return;
	}
	if (!container_is_running(c) || !c->tunnel) {
		reply_error(r, ERR_CONFLICT, "Container %s is not running", c->id);
		return;
	}
	if (tunnel_resize(c->tunnel, 1, (uint16_t)h, (uint16_t)w, &err) < 0) {
		reply_err(r, &err);
		return;
	}
	attributes = container_event_attributes(c);
	json_object_set_new(attributes, "height", json_sprintf("%d", (int)h));
	json_object_set_new(attributes, "width", json_sprintf("%d", (int)w));
	events_emit(r->g->events, "container", "resize", c->id, attributes);
	reply_empty(r, 200);
}

/* ---- remove -------------------------------------------------------------------------------------- */

void container_delete(struct request *r)
{
	struct container *c = request_container(r);
	struct lifecycle_removal how;
	struct err err;

	if (!c)
		return;
	how = (struct lifecycle_removal){.force = request_flag(r, "force"), .volumes = request_flag(r, "v")};
	if (request_flag(r, "link")) {
		reply_error(r, ERR_SYSTEM, "Conflict, cannot remove the default link name of the container");
		return;
	}
	waiting_new(r);
	await(r, lifecycle_remove(r->g->lifecycle, c, how, done, r, &err), &err);
}

static void prune_next(struct request *r);

static void pruned(void *ctx, const struct err *err)
{
	struct request *r = ctx;
	struct waiting *w = r->state;

	w->operation = NULL;
	if (!err)
		json_array_append_new(w->removed, json_string(w->doomed.v[w->next - 1]));
	prune_next(r);
}

/* One at a time; what cannot be removed (somebody started it meanwhile) is left alone. */
static void prune_next(struct request *r)
{
	struct waiting *w = r->state;

	while (w->next < w->doomed.n) {
		struct container *c = containers_by_id(r->g->containers, w->doomed.v[w->next++]);

		w->operation = c ? lifecycle_remove(r->g->lifecycle, c, (struct lifecycle_removal){0}, pruned, r, NULL) : NULL;
		if (w->operation)
			return;
	}
	events_emit(r->g->events, "container", "prune", "", json_pack("{s:s}", "reclaimed", "0"));
	reply_json(r, 200, json_pack("{s:o, s:i}", "ContainersDeleted",
				     json_array_size(w->removed) ? json_incref(w->removed) : json_null(),
				     "SpaceReclaimed", 0));
}

void container_prune(struct request *r)
{
	static const char *const allowed[] = {"label", "label!", "until", NULL};
	AUTO_FREE char *text = request_query(r, "filters");
	struct container **list;
	int64_t until_ns;
	struct waiting *w;
	struct filters f;
	struct err err;

	if (filters_parse(&f, text, &err) < 0 || filters_check(&f, allowed, &err) < 0 ||
	    filters_until(&f, clock_wall_ns(), &until_ns, &err) < 0) {
		filters_release(&f);
		reply_err(r, &err);
		return;
	}
	w = waiting_new(r);
	w->removed = json_array();
	list = containers_list(r->g->containers);
	for (size_t i = 0; list[i]; i++) {
		json_t *labels = json_object_get(list[i]->config, "Labels");

		if ((list[i]->state == CONTAINER_CREATED || list[i]->state == CONTAINER_EXITED) &&
		    list[i]->created_ns < until_ns && filters_labels(&f, "label", labels) &&
		    !(filters_has(&f, "label!") && filters_labels(&f, "label!", labels)))
			strv_add(&w->doomed, list[i]->id);
	}
	free(list);
	filters_release(&f);
	prune_next(r);
}
