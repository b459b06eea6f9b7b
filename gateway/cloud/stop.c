/* stop - docker stop: signal through the agent, wait, SIGKILL, and if nobody answers cancel the
 * execution. Ends when the container has exited (on_main_exited or watch.c says so). */
#include <string.h>

#include "agents/tunnel.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cloud/lifecycle_ops.h"
#include "cloud/run.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/container.h"
#include "state/network.h"

#define KILL_GRACE_MS 10000     /* from SIGKILL to cancelling the execution */
#define CANCEL_GRACE_MS 30000   /* from cancelling to giving up */

/* What comes when the timer fires. */
enum stop_next { NEXT_NOTHING, NEXT_KILL, NEXT_CANCEL, NEXT_GIVE_UP, NEXT_END };

struct stop {
	struct slot *slot;
	struct timer *timer;
	enum stop_next next;
	uint64_t due_ms;                /* monotonic */
	struct lifecycle_wait *waits;
};

struct lifecycle_wait **stop_waits(struct stop *st)
{
	return &st->waits;
}

void stop_end(struct stop *st, const struct err *err)
{
	struct slot *s = st->slot;
	struct container *c = slot_container(s);

	timer_cancel(&st->timer);
	s->stop = NULL;
	if (c && !err) {
		container_emit(c, "stop");
		if (c->auto_remove && !s->removal && c->state == CONTAINER_EXITED)
			removal_automatic(s, c);
	}
	waits_finish(&st->waits, err);
	free(st);
	slot_release(s);
}

static void then(struct stop *st, uint64_t ms, enum stop_next next);

static void end_well(void *ctx)
{
	struct stop *st = ctx;

	st->timer = NULL;
	stop_end(st, NULL);
}

/* From the loop: the caller may not have joined yet. */
void stop_end_soon(struct stop *st)
{
	timer_cancel(&st->timer);
	then(st, 0, NEXT_END);
}

int signal_number_of(const struct container *c)
{
	const char *name = json_string_value(json_object_get(c->config, "StopSignal"));
	int n = name && name[0] ? parse_signal(name) : -1;

	return n > 0 ? n : 15;
}

/* ---- Cloud Run's own way ----------------------------------------------------------------------------- */

static void on_cancelled(void *ctx, json_t *json, const struct err *err)
{
	struct slot *s = ctx;

	s->cancel = NULL;
	if (err && err->kind != ERR_NOT_FOUND)
		log_warn("execution could not be cancelled", "container=%.12s error=\"%s\"", s->id, err->msg);
	slot_release(s);
}

void cancel_execution(struct slot *s, struct container *c)
{
	if (s->cancel || !c->job || !c->execution)
		return;
	if (network_shared_with(c)) { /* others run in it */
		watch_begin(s, 500);
		return;
	}
	log_info("cancelling the execution", "container=%.12s execution=%s", c->id, c->execution);
	s->cancel = run_cancel_execution(s->l->g->cloud, c->job, c->execution, on_cancelled, s);
	watch_begin(s, 500);
}

/* ---- the steps --------------------------------------------------------------------------------------- */

static void give_up(void *ctx)
{
	struct stop *st = ctx;
	struct err err = { 0 };

	st->timer = NULL;
	err_set(&err, ERR_TIMEOUT, "container %.12s has neither ended by signal nor by cancelling its execution", st->slot->id);
	stop_end(st, &err);
}

static void cancel_it(void *ctx)
{
	struct stop *st = ctx;
	struct container *c = slot_container(st->slot);

	then(st, CANCEL_GRACE_MS, NEXT_GIVE_UP);
	if (c)
		cancel_execution(st->slot, c);
}

static void kill_it(void *ctx)
{
	struct stop *st = ctx;
	struct container *c = slot_container(st->slot);
	struct err err = { 0 };

	st->timer = NULL;
	if (!c || lifecycle_kill(st->slot->l, c, 9, &err) < 0)
		cancel_it(st);
	else
		then(st, KILL_GRACE_MS, NEXT_CANCEL);
}

static void then(struct stop *st, uint64_t ms, enum stop_next next)
{
	static void (*const steps[])(void *ctx) = {
		[NEXT_KILL] = kill_it, [NEXT_CANCEL] = cancel_it, [NEXT_GIVE_UP] = give_up, [NEXT_END] = end_well,
	};

	st->next = next;
	st->due_ms = clock_mono_ms() + ms;
	st->timer = timer_start(st->slot->l->g->loop, ms, steps[next], st);
}

int stop_begin(struct slot *s, struct container *c, int signal, int timeout_s, struct err *err)
{
	struct stop *st;

	/* Whatever ends it now, no policy runs it again. */
	if (container_set_stop_asked(c, true, err) < 0)
		return -1;
	st = xcalloc(1, sizeof(*st));
	st->slot = s;
	s->stop = st;
	if (s->start)
		start_abort(s->start, "the container was stopped before it had started"); /* ends us soon */
	else if (!c->tunnel && !s->again)
		cancel_it(st);
	else if (lifecycle_kill(s->l, c, signal ? signal : signal_number_of(c), err) < 0)
		cancel_it(st);
	else if (timeout_s >= 0 && !st->timer)
		then(st, (uint64_t)timeout_s * 1000, NEXT_KILL);
	return 0;
}

/* ---- another process image ----------------------------------------------------------------------------- */

bool stop_is_waiting(const struct stop *st)
{
	return st->next != NEXT_END && !st->slot->start && !st->slot->again;
}

void stop_save(const struct stop *st, struct pack *p)
{
	pack_num(p, st->timer ? st->next : NEXT_NOTHING);
	pack_num(p, st->due_ms);
}

/* The clock is the machine's: what was due meanwhile is due now. */
void stop_restore(struct slot *s, struct unpack *u)
{
	enum stop_next next = (enum stop_next)unpack_num(u);
	uint64_t due_ms = unpack_num(u), now = clock_mono_ms();
	struct stop *st;

	if (u->bad || s->stop || next >= NEXT_END)
		return;
	st = xcalloc(1, sizeof(*st));
	st->slot = s;
	s->stop = st;
	if (next != NEXT_NOTHING)
		then(st, due_ms > now ? due_ms - now : 0, next);
}
