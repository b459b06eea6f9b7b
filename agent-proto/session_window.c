/* session_window - how large a stream's window may become (R4). The receiver decides: it doubles a window
 * whose half was used up within four round trips, so that no window is smaller than what is under way at
 * the speed the destination takes. The sender follows what it is granted. Both only while the process's
 * budget lends what is beyond the first window; a credit once granted is never taken back. */
#include "session_state.h"

#define BRISK_ROUND_TRIPS 4

static size_t capped(uint64_t window)
{
	return window < STREAM_WINDOW_MAX ? (size_t)window : STREAM_WINDOW_MAX;
}

static void owe(struct session *s, struct stream *st, size_t lent)
{
	s->budget->used = s->budget->used - st->lent + lent;
	s->stats.window_bytes = s->stats.window_bytes - st->lent + lent;
	st->lent = lent;
}

static bool borrow(struct session *s, struct stream *st, size_t window)
{
	struct tunnel_budget *b = s->budget;
	size_t lent = window - st->first_window;

	if (lent > st->lent) {
		if (b->used >= b->limit || lent - st->lent > b->limit - b->used) {
			b->refused++;
			return false;
		}
		owe(s, st, lent);
	}
	st->window = window;
	return true;
}

/* What a receiver has to keep at most is what it has granted: only what is used up can be given back. */
static void give_back(struct session *s, struct stream *st)
{
	uint64_t granted = st->granted > st->delivered ? st->granted - st->delivered : 0;
	size_t most = st->window > granted ? st->window : (size_t)granted;
	size_t lent = most > st->first_window ? most - st->first_window : 0;

	if (lent < st->lent)
		owe(s, st, lent);
}

void session_tune_receiver(struct session *s, struct stream *st)
{
	uint64_t now;

	if (!s->budget)
		return;
	if (st->lent)
		give_back(s, st);
	if (st->delivered - st->epoch_delivered < st->window / 2)
		return;
	now = session_now_us(s);
	if (st->window < STREAM_WINDOW_MAX && st->epoch_us &&
	    now - st->epoch_us < BRISK_ROUND_TRIPS * s->stats.rtt_base_us &&
	    borrow(s, st, capped(2 * (uint64_t)st->window)) && st->keep.max < 2 * st->window)
		rx_keep_at_most(st, st->window);
	st->epoch_us = now;
	st->epoch_delivered = st->delivered;
}

void session_tune_sender(struct session *s, struct stream *st)
{
	uint64_t granted = st->limit > st->acked ? st->limit - st->acked : 0;

	if (s->budget && granted > st->window && st->window < STREAM_WINDOW_MAX)
		borrow(s, st, capped(granted));
}

void session_rest_window(struct session *s, struct stream *st)
{
	if (!st->lent)
		return;
	if (st->sender) {
		if (st->acked == st->written && !st->cap) { /* stream_trim has just found it idle */
			st->window = st->first_window;
			owe(s, st, 0);
		}
		return;
	}
	if (st->rest_delivered == st->delivered && st->received == st->delivered)
		st->window = st->first_window;
	st->rest_delivered = st->delivered;
}

void session_return_window(struct session *s, struct stream *st)
{
	if (st->lent)
		owe(s, st, 0);
}

void session_lend_again(struct session *s)
{
	for (struct stream *st = s->streams; st; st = st->hh.next)
		if (!st->reset && st->window > st->first_window)
			owe(s, st, st->window - st->first_window);
}
