/* watch - looks at an execution while no agent speaks for it: after a lost link, a restart of the
 * gateway, or a cancellation. The agent's word is better (exact code, every byte), but an execution that
 * has ended has no agent any more: then the task's own result counts. */
#include <string.h>

#include "agents/registry.h"
#include "agents/tunnel.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cloud/job_spec.h"
#include "cloud/lifecycle_ops.h"
#include "cloud/log_gather.h"
#include "cloud/logging.h"
#include "cloud/run.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/container.h"
#include "state/exec.h"
#include "state/network.h"

#define LOOK_MAX_MS 30000
#define SYSTEM_LOOKS_MAX 3
#define SYSTEM_LOOK_MS 2000
#define UNKNOWN_EXIT_CODE 137 /* ended, and nobody can say how: as if killed */

struct watch {
	struct slot *slot;
	struct timer *timer;
	struct cloud_call *call;
	uint64_t every_ms, since_ms;
	int system_looks;
};

static void look(void *ctx);
static void look_at_system_log(void *ctx);

static void look_again(struct watch *w)
{
	uint64_t max = LOOK_MAX_MS;

	w->timer = timer_start(w->slot->l->g->loop, w->every_ms, look, w);
	w->every_ms = w->every_ms * 2 > max ? max : w->every_ms * 2;
}

void watch_end(struct slot *s)
{
	struct watch *w = s->watch;

	if (!w)
		return;
	s->watch = NULL;
	timer_cancel(&w->timer);
	cloud_cancel(w->call);
	free(w);
}

void watch_begin(struct slot *s, uint64_t first_ms)
{
	struct watch *w = s->watch;

	if (!w) {
		w = xcalloc(1, sizeof(*w));
		w->slot = s;
		w->since_ms = clock_mono_ms();
		s->watch = w;
	} else if (w->call) {
		return; /* it is looking right now */
	}
	timer_cancel(&w->timer);
	w->every_ms = (uint64_t)s->l->g->config->poll_interval_ms;
	w->timer = timer_start(s->l->g->loop, first_ms, look, w);
}

void run_lost(struct slot *s, struct container *c, int code, const char *how)
{
	struct gateway *g = s->l->g;
	struct err err = { 0 };

	if (s->again) { /* that is known, and counted; its successor waits */
		watch_end(s);
		return;
	}
	log_warn("container ended without its agent's word; output may be incomplete",
		 "container=%.12s code=%d how=\"%s\"", c->id, code, how);
	watch_end(s);
	slot_hang_up(s);
	registry_drop(g->registry, c);
	if (again_after_end(s, c, code, clock_wall_ns(), true))
		return;
	execs_container_ended(g->execs, c->id, c->runs);
	if (container_set_exited(c, code, clock_wall_ns(), true, &err) < 0)
		log_error("container's end cannot be stored", "container=%.12s error=\"%s\"", c->id, err.msg);
	run_ended(s->l, c);
	if (s->stop)
		stop_end_soon(s->stop);
	else if (c->auto_remove && !s->removal)
		removal_automatic(s, c);
	slot_release(s);
}

static void settle(struct watch *w, struct container *c, int code, const char *how)
{
	run_lost(w->slot, c, code >= 0 ? code : UNKNOWN_EXIT_CODE, how);
}

/* Cloud Run writes "Container called exit(N)." for each container of a task, after a while. */
static void on_system_log(void *ctx, json_t *json, const struct err *err)
{
	struct watch *w = ctx;
	struct slot *s = w->slot;
	struct container *c = slot_container(s);
	struct log_gather *gather;
	int code;

	w->call = NULL;
	if (!c || c->state != CONTAINER_RUNNING) {
		watch_end(s);
		slot_release(s);
		return;
	}
	AUTO_FREE char *name = network_shared_with(c) ? xasprintf("shared-%.12s", c->id) : xstrdup(JOB_SPEC_MAIN);

	gather = log_gather_new(name);
	log_gather_add(gather, json_object_get(json, "entries"));
	code = log_gather_exit_code(gather);
	log_gather_free(gather);
	if (code < 0 && ++w->system_looks < SYSTEM_LOOKS_MAX)
		w->timer = timer_start(s->l->g->loop, SYSTEM_LOOK_MS, look_at_system_log, w);
	else
		settle(w, c, code, code >= 0 ? "Cloud Run's log" : "nobody knows the exit code");
}

static void look_at_system_log(void *ctx)
{
	struct watch *w = ctx;
	struct container *c = slot_container(w->slot);

	w->timer = NULL;
	if (!c || !c->execution) {
		struct slot *s = w->slot;

		watch_end(s);
		slot_release(s);
		return;
	}
	w->call = logging_list(w->slot->l->g->cloud, &(struct logging_ask){c->job, c->execution, .of_system = true},
			       on_system_log, w);
}

static void on_tasks(void *ctx, json_t *json, const struct err *err)
{
	struct watch *w = ctx;
	struct slot *s = w->slot;
	struct container *c = slot_container(s);
	/* A task's result is that of its main container. */
	int code = json && c && !network_shared_with(c) ? run_task_exit_code(json) : -1;

	w->call = NULL;
	if (!c || c->state != CONTAINER_RUNNING) {
		watch_end(s);
		slot_release(s);
	} else if (code >= 0) {
		settle(w, c, code, "task result");
	} else {
		look_at_system_log(w);
	}
}

static void on_execution(void *ctx, json_t *json, const struct err *err)
{
	struct watch *w = ctx;
	struct slot *s = w->slot;
	struct container *c = slot_container(s);
	enum execution_phase phase;

	w->call = NULL;
	if (!c || c->state != CONTAINER_RUNNING) {
		watch_end(s);
		slot_release(s);
		return;
	}
	if (err && err->kind == ERR_NOT_FOUND) {
		run_lost(s, c, UNKNOWN_EXIT_CODE, "the execution is gone");
		return;
	}
	phase = err ? EXECUTION_RUNNING : run_execution_phase(json);
	if (phase == EXECUTION_PENDING || phase == EXECUTION_RUNNING || (c->tunnel && tunnel_is_up(c->tunnel))) {
		if (!c->tunnel)
			find_agent_if_silent(s, c, clock_mono_ms() - w->since_ms);
		look_again(w);
		return;
	}
	w->call = run_list_tasks(s->l->g->cloud, c->job, c->execution, on_tasks, w);
}

static void look(void *ctx)
{
	struct watch *w = ctx;
	struct slot *s = w->slot;
	struct container *c = slot_container(s);

	w->timer = NULL;
	if (!c || c->state != CONTAINER_RUNNING || !c->execution) {
		watch_end(s);
		slot_release(s);
		return;
	}
	w->call = run_get_execution(s->l->g->cloud, c->job, c->execution, on_execution, w);
}
