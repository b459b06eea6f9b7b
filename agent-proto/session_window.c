/* session_window - how large a stream's window may become (R4). The receiver decides: it doubles a window
 * whose half was used up within about a round trip, so that a window ends at some three times what is under way at
 * the speed the destination takes; a stream that comes later goes there in one step. The sender follows what it is
 * granted. Both only while the process's budget lends what is beyond the first window; a credit once granted is
 * never taken back. */
#include "session_state.h"

#define SMALL STREAM_WINDOW_OUT       /* up to here a window grows readily: it is wake-ups that take time, not distance */
#define REACHED_US 30000000           /* what a window has reached on this link is worth trying for so long */

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

/* A gateway's sessions are of different containers: none takes more than it leaves to the others, whatever its agent
 * grants and acknowledges. */
static bool may_lend(const struct session *s, size_t more)
{
	const struct tunnel_budget *b = s->budget;

	if (b->used >= b->limit || more > b->limit - b->used)
		return false;
	return s->role == SESSION_AGENT || s->stats.window_bytes + more <= b->limit - b->used - more;
}

static bool borrow(struct session *s, struct stream *st, size_t window)
{
	struct tunnel_budget *b = s->budget;
	size_t lent = window - st->first_window;

	if (lent > st->lent) {
		if (!may_lend(s, lent - st->lent)) {
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

static bool brisk(const struct session *s, const struct stream *st, uint64_t us)
{
	uint64_t rtt = s->stats.rtt_base_us;

	return us < (st->window < SMALL ? 4 * rtt : rtt + rtt / 2);
}

/* What a window of this link has reached before is tried at once, while there is budget in plenty. */
static void grow(struct session *s, struct stream *st, uint64_t now)
{
	const struct tunnel_budget *b = s->budget;
	size_t window = capped(2 * (uint64_t)st->window);

	if (s->reached > window && now - s->reached_us < REACHED_US && b->used + 4 * s->reached <= b->limit)
		window = s->reached;
	if (borrow(s, st, window) && st->keep.max < 2 * window)
		rx_keep_at_most(st, window);
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
	if (st->epoch_us && brisk(s, st, now - st->epoch_us)) {
		if (st->window < STREAM_WINDOW_MAX)
			grow(s, st, now);
		if (st->window >= s->reached || now - s->reached_us >= REACHED_US) {
			s->reached = st->window;
			s->reached_us = now;
		}
	}
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
	if (st->rest_delivered == st->delivered && st->received == st->delivered) {
		st->window = st->first_window;
		st->epoch_us = 0;
	}
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
