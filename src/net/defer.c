/* defer - the queue of things to do after the current loop round, and one-shot timers.
 *
 * One queue per loop, found through a list that belongs to the loop's thread. It is emptied in the
 * check phase, right behind polling; an idle handle keeps the loop from sleeping while it holds
 * something. What a deferred function defers runs in the next round, so it cannot starve events. */
#include "net/defer.h"

#include <stdlib.h>
#include <utlist.h>

#include "base/mem.h"

struct deferred {
	void (*fn)(void *);
	void *p;
};

struct defer_queue {
	struct defer_queue *next; /* in the thread's list */
	uv_loop_t *loop;
	uv_check_t check;
	uv_idle_t idle;
	struct deferred *items; /* [head, tail) wait */
	size_t head, tail, cap;
	int open_handles;
};

static _Thread_local struct defer_queue *queues;

/* Run what is there now; what comes meanwhile is appended behind and waits. */
static void queue_run(struct defer_queue *q)
{
	/* Counted, not compared with a position: pushing may slide the queue. */
	for (size_t n = q->tail - q->head; n; n--) {
		struct deferred d = q->items[q->head++];

		d.fn(d.p);
	}
	if (q->head == q->tail) {
		q->head = q->tail = 0;
		uv_idle_stop(&q->idle);
		uv_check_stop(&q->check);
	}
}

static void on_check(uv_check_t *h)
{
	queue_run(h->data);
}

static void on_idle(uv_idle_t *h)
{
	/* Its being active is its work: the loop polls without waiting. */
}

static struct defer_queue *queue_of(uv_loop_t *loop, int create)
{
	struct defer_queue *q;

	LL_FOREACH(queues, q)
		if (q->loop == loop)
			return q;
	if (!create)
		return NULL;
	q = xcalloc(1, sizeof(*q));
	q->loop = loop;
	uv_check_init(loop, &q->check);
	uv_idle_init(loop, &q->idle);
	q->check.data = q->idle.data = q;
	q->open_handles = 2;
	LL_PREPEND(queues, q);
	return q;
}

static void queue_push(struct defer_queue *q, struct deferred d)
{
	if (q->tail == q->cap) {
		if (q->head > q->cap / 2) { /* more than half is done with: slide, do not grow */
			for (size_t i = q->head; i < q->tail; i++)
				q->items[i - q->head] = q->items[i];
			q->tail -= q->head;
			q->head = 0;
		} else {
			q->cap = q->cap ? 2 * q->cap : 32;
			q->items = xrealloc(q->items, q->cap * sizeof(*q->items));
		}
	}
	q->items[q->tail++] = d;
}

void loop_defer(uv_loop_t *loop, void (*fn)(void *), void *p)
{
	struct defer_queue *q = queue_of(loop, 1);

	if (q->head == q->tail) {
		uv_idle_start(&q->idle, on_idle);
		uv_check_start(&q->check, on_check);
	}
	queue_push(q, (struct deferred){fn, p});
}

bool loop_defer_flush(uv_loop_t *loop, int rounds)
{
	struct defer_queue *q = queue_of(loop, 0);

	for (; q && q->head < q->tail && rounds > 0; rounds--)
		queue_run(q);
	return !q || q->head == q->tail;
}

static void queue_closed(uv_handle_t *h)
{
	struct defer_queue *q = h->data;

	if (--q->open_handles)
		return;
	free(q->items);
	free(q);
}

void loop_defer_finish(uv_loop_t *loop)
{
	struct defer_queue *q = queue_of(loop, 0);

	if (!q)
		return;
	while (q->head < q->tail)
		queue_run(q);
	LL_DELETE(queues, q);
	uv_close((uv_handle_t *)&q->check, queue_closed);
	uv_close((uv_handle_t *)&q->idle, queue_closed);
}

struct timer {
	uv_timer_t uv;
	void (*fn)(void *);
	void *p;
};

static void timer_closed(uv_handle_t *h)
{
	free(h->data);
}

static void timer_fired(uv_timer_t *uv)
{
	struct timer *t = uv->data;

	/* Closed first: fn may call timer_cancel with a pointer that it still holds. */
	uv_close((uv_handle_t *)uv, timer_closed);
	t->fn(t->p);
}

struct timer *timer_start(uv_loop_t *loop, uint64_t ms, void (*fn)(void *), void *p)
{
	struct timer *t = xmalloc(sizeof(*t));

	t->fn = fn;
	t->p = p;
	uv_timer_init(loop, &t->uv);
	t->uv.data = t;
	uv_update_time(loop); /* the loop's clock may be old when we start outside a callback */
	uv_timer_start(&t->uv, timer_fired, ms, 0);
	return t;
}

void timer_cancel(struct timer **t)
{
	struct timer *was = *t;

	*t = NULL;
	if (was && !uv_is_closing((uv_handle_t *)&was->uv))
		uv_close((uv_handle_t *)&was->uv, timer_closed);
}
