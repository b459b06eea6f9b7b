/* defer - do it after this loop round: the two-phase close of everything asynchronous.
 * fn(p) runs once, from the loop, never inside the call. Order is first in, first out. */
#ifndef NET_DEFER_H
#define NET_DEFER_H

#include <stdbool.h>
#include <uv.h>

void loop_defer(uv_loop_t *loop, void (*fn)(void *), void *p);
/* Run what is deferred now, and what that defers, at most so many rounds. True: nothing is left. Not from a deferred
 * function. */
bool loop_defer_flush(uv_loop_t *loop, int rounds);
/* A one-shot timer that frees itself. Cancel with timer_cancel before it fires. */
struct timer;
struct timer *timer_start(uv_loop_t *loop, uint64_t ms, void (*fn)(void *), void *p);
void timer_cancel(struct timer **t); /* sets *t to NULL; NULL inside is fine. fn may cancel itself */
/* Before the loop is closed: run what is deferred and close the module's own handle. */
void loop_defer_finish(uv_loop_t *loop);

#endif
