/* session_pace - how much bulk may be under way on the link, all streams together (R4, R7). What waits in the
 * kernels and buffers between two sides makes no transfer faster, but whatever is sent next waits behind it. So a
 * stream that pours out is stopped once more is under way than the path holds: the best rate of late times the
 * least round trip, with some to spare. Streams that say little never wait for that.
 *
 * What the peer has read is known from its ACKs, since frames arrive in order: when a stream's bytes are
 * acknowledged, all that was sent before them has been read as well. Where no ACK comes (their readers have
 * stopped) a PING is asked instead. A clock of milliseconds is too coarse for all this: nothing is paced then. */
#include "session_state.h"

#include <string.h>

#define UNDER_WAY_MAX_LEAST (256 * 1024) /* so much may be under way on a fast path however short it is ... */
#define UNDER_WAY_MIN (64 * 1024)        /* ... and so much on any */
#define MARKS 32
#define MARK_EVERY_MIN (16 * 1024)
#define RATE_US 10000000      /* the best rate counts for one to two of these */
#define BURST_US 100000       /* a stream that sends more than ... */
#define BURST_BYTES (16 * 1024) /* ... in one or two of these pours out */
#define WORD_BYTES 1024       /* a stream's whole say: a key, a line */
#define SHARED_US 1000000     /* so long after somebody had such a say beside bulk, less of that is under way */
#define PATIENCE_US 2000      /* and two round trips without news: ask */

static bool is_paced(const struct session *s)
{
	return s->ops.now_us && s->stats.rtt_base_us;
}

static bool pours_out(const struct stream *st, uint64_t now)
{
	uint64_t age = now - st->burst_us;
	size_t bytes = age < BURST_US ? st->burst_before + st->burst : age < 2 * BURST_US ? st->burst : 0;

	return bytes > BURST_BYTES;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* A millisecond's worth, within bounds: below that it is wake-ups that decide, not distance. */
static uint64_t least_under_way(uint64_t rate)
{
	uint64_t least = rate / 1000;

	if (rate == 0 || least > UNDER_WAY_MAX_LEAST)
		return UNDER_WAY_MAX_LEAST;
	return larger(least, UNDER_WAY_MIN);
}

static uint64_t most_under_way(const struct session *s, uint64_t now)
{
	const struct pace *p = &s->pace;
	uint64_t rate = larger(p->best[0], p->best[1]), least = least_under_way(rate);
	uint64_t path = rate * s->stats.rtt_base_us / 1000000;

	if (p->shared_us && now - p->shared_us < SHARED_US)
		return larger(path + path / 2, least / 2);
	return larger(2 * path + path / 2, least);
}

static uint64_t patience_us(const struct session *s)
{
	return PATIENCE_US + 2 * s->stats.rtt_base_us;
}

bool session_pace_holds(struct session *s, const struct stream *st)
{
	struct pace *p = &s->pace;
	uint64_t now;

	if (!is_paced(s) || p->sent - p->heard < UNDER_WAY_MIN / 2)
		return false;
	now = session_now_us(s);
	if (p->sent - p->heard < most_under_way(s, now) || !pours_out(st, now))
		return false;
	p->holding = true;
	if (!s->ping_out && now - p->news_us > patience_us(s))
		s->ping_due = true;
	return true;
}

/* ---- sending --------------------------------------------------------------------------------- */

static void count_burst(struct stream *st, size_t n, uint64_t now)
{
	if (now - st->burst_us >= BURST_US) {
		st->burst_before = now - st->burst_us < 2 * BURST_US ? st->burst : 0;
		st->burst = 0;
		st->burst_us = now;
	}
	st->burst += n;
}

static void mark(struct pace *p, const struct stream *st, uint64_t now)
{
	if (!p->marks)
		p->marks = xcalloc(MARKS, sizeof(*p->marks));
	p->marks[p->n_marks++] = (struct pace_mark){ .at = p->sent, .heard = p->heard, .us = now, .offset = st->sent,
						     .stream = st->id };
	p->marked = p->sent;
}

void session_pace_sent(struct session *s, struct stream *st, size_t n)
{
	struct pace *p = &s->pace;
	uint64_t now, every;

	if (!is_paced(s))
		return;
	now = session_now_us(s);
	if (pours_out(st, now))
		p->poured_us = now;
	else if (n <= WORD_BYTES && !tx_sendable(st) && p->poured_us && now - p->poured_us < BURST_US)
		p->shared_us = now;
	count_burst(st, n, now);
	if (p->sent == p->heard)
		p->news_us = now; /* nothing could be heard before */
	p->sent += n;
	every = (p->sent - p->heard) / (MARKS / 2);
	if (p->n_marks < MARKS && p->sent - p->marked >= (every > MARK_EVERY_MIN ? every : MARK_EVERY_MIN))
		mark(p, st, now);
}

/* ---- what the peer has read ------------------------------------------------------------------- */

static void heard_up_to(struct session *s, uint64_t at, uint64_t now)
{
	struct pace *p = &s->pace;
	size_t gone = 0;

	if (at <= p->heard)
		return;
	p->heard = at;
	p->news_us = now;
	while (gone < p->n_marks && p->marks[gone].at <= at)
		gone++;
	p->n_marks -= gone;
	if (p->n_marks)
		memmove(p->marks, p->marks + gone, p->n_marks * sizeof(*p->marks));
	if (p->holding)
		session_wake(s);
	p->holding = false;
}

static void learn(struct session *s, const struct pace_mark *m, uint64_t now)
{
	struct pace *p = &s->pace;
	uint64_t us = now - m->us, rate;

	if (us == 0)
		return;
	rate = (m->at - m->heard) * 1000000 / us;
	if (us < s->stats.rtt_base_us)
		s->stats.rtt_base_us = us;
	if (now - p->best_us > RATE_US) {
		p->best[1] = now - p->best_us < 2 * RATE_US ? p->best[0] : 0;
		p->best[0] = 0;
		p->best_us = now;
	}
	if (rate > p->best[0])
		p->best[0] = rate;
}

void session_pace_acked(struct session *s, const struct stream *st)
{
	struct pace *p = &s->pace;
	uint64_t now;

	for (size_t i = p->n_marks; i-- > 0;)
		if (p->marks[i].stream == st->id && p->marks[i].offset <= st->acked) {
			struct pace_mark m = p->marks[i];

			now = session_now_us(s);
			learn(s, &m, now);
			heard_up_to(s, m.at, now);
			return;
		}
}

void session_pace_pinged(struct session *s, uint64_t stamp_us)
{
	s->pace.ping_stamp = stamp_us;
	s->pace.ping_at = s->pace.sent;
	s->pace.ping_bytes = s->stats.bytes_in + s->stats.bytes_out;
}

bool session_pace_ponged(struct session *s, uint64_t stamp_us)
{
	struct pace *p = &s->pace;
	uint64_t moved = s->stats.bytes_in + s->stats.bytes_out - p->ping_bytes;

	if (stamp_us != p->ping_stamp)
		return false;
	heard_up_to(s, p->ping_at, session_now_us(s));
	return moved < BURST_BYTES;
}

/* ---- time ------------------------------------------------------------------------------------ */

uint64_t session_pace_tick(struct session *s, uint64_t next_ms)
{
	struct pace *p = &s->pace;
	uint64_t now, due;

	if (!p->holding)
		return next_ms;
	now = session_now_us(s);
	due = p->news_us + patience_us(s);
	if (due > now)
		next_ms = next_ms < s->now_ms + (due - now) / 1000 + 1 ? next_ms : s->now_ms + (due - now) / 1000 + 1;
	else if (!s->ping_out) {
		s->ping_due = true;
		session_wake(s);
	}
	return next_ms;
}

void session_pace_reset(struct session *s)
{
	struct pace *p = &s->pace;

	free(p->marks);
	*p = (struct pace){ .best = { p->best[0], p->best[1] }, .best_us = p->best_us };
}
