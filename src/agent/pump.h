/* pump - one poller for the descriptors of every process, and the order in which they get a turn.
 *
 * All pipes and terminals sit in one edge-triggered epoll set, which the loop watches as a single
 * descriptor. Edge-triggered, because its ready list then keeps the order in which descriptors
 * became ready: what a program wrote to stderr before stdout is read in that order. An item gets
 * turns until it says that it would block; items take turns in a circle, a bounded number per loop
 * round. Adding a process costs three epoll_ctl and no loop handle. */
#ifndef AGENT_PUMP_H
#define AGENT_PUMP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"

enum pump_verdict {
	PUMP_WAIT,  /* the descriptor would block, or the item waits for something else (pump_kick) */
	PUMP_AGAIN, /* there may be more: another turn, after the others */
};

struct pump;
struct pump_item {
	int fd;             /* -1 = not added; ours to close once added */
	uint32_t events;    /* EPOLL* seen so far; HUP and ERR stay */
	bool queued;
	enum pump_verdict (*turn)(struct pump_item *it); /* may remove any item, its own too */
	struct pump *pump;
	struct pump_item *prev, *next;
};

struct pump *pump_new(uv_loop_t *loop, struct err *err);
void pump_close(struct pump *p); /* all items have been removed; frees itself through the loop */

/* Watch fd (non-blocking, ours from here on) for EPOLLIN and/or EPOLLOUT. -1: fd is still the
 * caller's; errno EPERM means a file that never blocks. The item's turn must be set. */
int pump_add(struct pump *p, struct pump_item *it, int fd, uint32_t events);
/* Unwatch and close; a removed item is left alone. */
void pump_remove(struct pump_item *it);
/* Unwatch without closing. */
void pump_release(struct pump_item *it);
/* Give the item a turn soon: what it waited for has come. */
void pump_kick(struct pump_item *it);
/* Take turns now, within one round's budget; the rest follows in the next round. */
void pump_run(struct pump *p);

#endif
