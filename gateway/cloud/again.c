/* again - a new execution for a container that its restart policy keeps alive and whose execution was lost:
 * the instance is gone, or the task's time was up. Its file system starts afresh. A new execution costs
 * money, so the pause is longer than the agent's, and there is an end to it. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cloud/lifecycle_ops.h"
#include "cloud/policy.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/container.h"
#include "state/exec.h"

#define PAUSE_FIRST_MS 1000
#define PAUSE_MAX_MS (5 * 60 * 1000)
#define IN_A_ROW_MAX 10                    /* executions lost before they were stable */
#define STABLE_NS (10 * 60 * 1000000000LL) /* a run of this length starts the count over */

struct again {
	struct slot *slot;
	struct timer *timer;
};

static void free_again(struct again *a)
{
	timer_cancel(&a->timer);
	a->slot->again = NULL;
	free(a);
}

static void begin(void *ctx)
{
	struct again *a = ctx;
	struct slot *s = a->slot;
	struct container *c = slot_container(s);
	struct err err = { 0 };

	a->timer = NULL;
	free_again(a);
	if (c && start_begin(s, c, &err) < 0) {
		log_error("a new execution cannot be begun", "container=%.12s error=\"%s\"", s->id, err.msg);
		container_set_exited(c, c->exit_code, c->finished_ns, c->output_incomplete, &err);
	}
	slot_release(s);
}

static void wait_and_begin(struct slot *s, struct container *c)
{
	uint64_t ms = PAUSE_FIRST_MS;

	for (int i = 1; i < c->executions_lost && ms < PAUSE_MAX_MS; i++)
		ms *= 2;
	ms = ms > PAUSE_MAX_MS ? PAUSE_MAX_MS : ms;
	s->again = xcalloc(1, sizeof(*s->again));
	s->again->slot = s;
	s->again->timer = timer_start(s->l->g->loop, ms, begin, s->again);
	log_warn("a new execution follows", "container=%.12s lost=%d in_ms=%llu", c->id, c->executions_lost,
		 (unsigned long long)ms);
}

static bool in_budget(const struct container *c)
{
	if (c->executions_lost <= IN_A_ROW_MAX)
		return true;
	log_error("executions are lost again and again, giving up", "container=%.12s lost=%d", c->id, c->executions_lost);
	return false;
}

/* A gateway that is started again goes on counting. */
static void keep_count(struct container *c)
{
	struct err err = { 0 };

	if (container_save(c, &err) < 0)
		log_error("the count of lost executions is not stored", "container=%.12s error=\"%s\"", c->id, err.msg);
}

bool again_after_end(struct slot *s, struct container *c, int exit_code, int64_t finished_ns, bool incomplete)
{
	bool pausing = c->restarting; /* this exit is known, and counted */
	struct err err = { 0 };

	if (c->state != CONTAINER_RUNNING || s->stop || s->removal || s->start || s->again ||
	    !(pausing ? policy_of(c).when != RESTART_NO : policy_wants(c, exit_code)))
		return false;
	c->executions_lost = finished_ns - c->started_ns >= STABLE_NS ? 1 : c->executions_lost + 1;
	if (!in_budget(c))
		return false;
	execs_container_ended(s->l->g->execs, c->id, c->runs);
	if (!pausing && container_set_restarting(c, exit_code, finished_ns, c->restart_count + 1, &err) < 0) {
		log_error("container's end cannot be stored", "container=%.12s error=\"%s\"", c->id, err.msg);
		return false;
	}
	c->output_incomplete = incomplete;
	if (pausing)
		keep_count(c);
	wait_and_begin(s, c);
	return true;
}

bool again_after_failed_start(struct slot *s, struct container *c)
{
	if (!c->restarting || s->stop || s->removal || policy_of(c).when == RESTART_NO)
		return false;
	c->executions_lost++;
	keep_count(c);
	if (!in_budget(c))
		return false;
	wait_and_begin(s, c);
	return true;
}

bool again_end(struct slot *s)
{
	if (!s->again)
		return false;
	free_again(s->again);
	return true;
}
