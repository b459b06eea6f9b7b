/* session - see session.h and PROTOCOL.md. Owns the table of streams and when one may be forgotten.
 *
 * A stream the application has closed stays in the table while the peer may still speak of it: a
 * sender until its bytes and FIN are acknowledged; a finished or cancelled one ("lingering", without
 * memory) until the peer has answered a PING sent after our last word on it. So a cut link at any
 * moment finds both sides able to say how each stream ended.
 *
 * Callbacks may close and open streams: nothing is freed while one runs (depth), and no loop over
 * the table calls back (struct events). */
#include "session_state.h"

#include <assert.h>
#include <string.h>
#include <utlist.h>

#include "base/crc32c.h"
#include "frame.h"

#define LINGER_PING 128               /* so many lingering streams are worth a ping of their own */
#define LINGER_MAX 4096
#define ACK_DELAY_MS 25
#define PING_IDLE_MS 10000
#define PING_BUSY_MS 5000
#define DRAIN_MS 5000                 /* our queue must have become shorter within so long */

/* ---- table ----------------------------------------------------------------------------------- */

static void forget_bytes(struct session *s, struct stream *st)
{
	if (st->sender) {
		s->stats.replay_bytes -= tx_unacked(st);
		st->sent = st->sent_max = st->acked = st->written;
	} else {
		s->stats.kept_bytes -= st->keep.len;
		st->keep.len = 0;
		st->delivered = st->received;
	}
	session_return_window(s, st);
	st->full_ms = 0;
	if (!st->in_data) /* else the callback may still look at them */
		stream_drop_bytes(st);
}

/* Out of the table; the memory lives until no callback is running. */
void session_drop(struct session *s, struct stream *st)
{
	assert(!st->dead);
	forget_bytes(s, st);
	session_unqueue(s, st);
	session_unnote(s, st);
	if (st->lingering) {
		DL_DELETE2(s->linger, st, linger_prev, linger_next);
		s->n_linger--;
	}
	HASH_DEL(s->streams, st);
	if (s->last == st)
		s->last = NULL;
	st->dead = true;
	if (s->depth == 0)
		stream_free(st);
	else
		LL_PREPEND2(s->dead, st, linger_next);
}

void session_enter(struct session *s)
{
	s->depth++;
}

void session_leave(struct session *s)
{
	struct stream *st, *next;

	if (--s->depth > 0)
		return;
	LL_FOREACH_SAFE2(s->dead, st, next, linger_next)
		stream_free(st);
	s->dead = NULL;
}

void session_linger(struct session *s, struct stream *st)
{
	if (!st->in_data)
		stream_drop_bytes(st);
	session_return_window(s, st);
	st->lingering = true;
	DL_APPEND2(s->linger, st, linger_prev, linger_next);
	if (++s->n_linger > LINGER_MAX)
		session_drop(s, s->linger);
}

/* The peer answered a PING of ours: what we had sent before it, it has read. */
void session_linger_confirmed(struct session *s, uint64_t stamp_us)
{
	struct stream *st, *next;

	DL_FOREACH_SAFE2(s->linger, st, next, linger_next)
		if (st->note == NOTE_NONE && st->noted_us < stamp_us)
			session_drop(s, st);
}

void session_give_up(struct session *s, struct stream *st, uint32_t code, bool ours)
{
	forget_bytes(s, st);
	session_unqueue(s, st);
	session_unnote(s, st);
	st->reset = true;
	st->reset_ours = ours;
	st->reset_code = code;
	if (ours)
		session_note(s, st, NOTE_RESET);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct session *session_new(enum session_role role, const uint8_t own_id[BOOT_ID_LEN],
			    const struct session_ops *ops, void *ctx)
{
	struct session *s = xcalloc(1, sizeof(*s));
	bool agent = role == SESSION_AGENT;

	assert(ops->on_data && ops->on_fin && ops->on_reset && ops->on_writable &&
	       ops->on_control && ops->on_wake);
	s->role = role;
	memcpy(s->own_id, own_id, BOOT_ID_LEN);
	s->ops = *ops;
	s->ctx = ctx;
	s->verdict = -1;
	s->least_queued = SIZE_MAX;
	s->top_id = 1;
	s->credit_in = s->credit_out = STREAM_WINDOW_DEFAULT;
	s->control_tx = stream_new(agent ? CONTROL_OUT : CONTROL_IN, true, 0, CONTROL_BACKLOG_MAX, 0);
	s->control_tx->limit = OFFSET_MAX; /* bounded by the backlog, not by credit */
	s->control_rx = stream_new(agent ? CONTROL_IN : CONTROL_OUT, false, 0, CONTROL_BACKLOG_MAX, 0);
	s->control_rx->granted = OFFSET_MAX;
	buf_init(&s->control_rx->keep, CONTROL_RECORD_LENGTH + CONTROL_MESSAGE_MAX + FRAME_MAX);
	buf_init(&s->scratch, CONTROL_RECORD_LENGTH + CONTROL_MESSAGE_MAX);
	buf_init(&s->greeting, FRAME_HANDSHAKE_MAX);
	return s;
}

void session_free(struct session *s)
{
	struct stream *st, *next;

	if (!s)
		return;
	assert(s->depth == 0);
	HASH_ITER(hh, s->streams, st, next) {
		session_return_window(s, st);
		HASH_DEL(s->streams, st);
		stream_free(st);
	}
	stream_free(s->control_tx);
	stream_free(s->control_rx);
	session_pace_reset(s);
	buf_release(&s->scratch);
	buf_release(&s->greeting);
	free(s);
}

void session_set_budget(struct session *s, struct tunnel_budget *budget)
{
	assert(!s->budget && budget);
	s->budget = budget;
	session_lend_again(s); /* of a restored session */
}

void session_set_checks(struct session *s)
{
	s->checks = true;
}

/* ---- streams --------------------------------------------------------------------------------- */

struct stream *session_open(struct session *s, uint32_t id, uint64_t offset, size_t window)
{
	struct stream *st;

	assert(id > CONTROL_OUT);
	if (offset > OFFSET_MAX / 2 || session_find(s, id) ||
	    HASH_COUNT(s->streams) - s->n_linger >= SESSION_STREAMS_MAX)
		return NULL;
	if (window == 0)
		window = STREAM_WINDOW_DEFAULT;
	if (window > STREAM_WINDOW_MAX)
		window = STREAM_WINDOW_MAX;
	st = stream_new(id, session_sends(s, id), offset, window, id % 2 ? s->credit_out : s->credit_in);
	st->session = s;
	st->checked = s->checks && offset == 0;
	st->deficit = STREAM_QUANTUM;
	HASH_ADD(hh, s->streams, id, sizeof(st->id), st);
	s->n_open++;
	if (id > s->top_id)
		s->top_id = id;
	if (!st->sender && rx_ack_pending(st))
		session_note(s, st, NOTE_ACK);
	return st;
}

struct stream *session_stream(struct session *s, uint32_t id)
{
	struct stream *st = session_find(s, id);

	return st && !st->closed ? st : NULL;
}

void stream_close(struct stream *st)
{
	struct session *s = st->session;

	assert(!st->closed);
	st->closed = true;
	st->user = NULL;
	s->n_open--;
	if (!st->sender && !st->reset && !st->fin_done)
		session_give_up(s, st, RESET_CANCELLED, true);
	if (st->sender && !st->reset) {
		if (tx_finished(st))
			session_drop(s, st);
	} else if (st->reset && !st->reset_ours)
		session_drop(s, st);
	else
		session_linger(s, st);
}

size_t stream_write(struct stream *st, const void *p, size_t n)
{
	size_t taken = 0, piece;
	uint8_t *to;

	while (taken < n && (to = stream_reserve(st, n - taken, &piece))) {
		memcpy(to, (const uint8_t *)p + taken, piece);
		stream_commit(st, piece);
		taken += piece;
	}
	return taken;
}

void stream_commit(struct stream *st, size_t n)
{
	assert(n <= stream_space(st));
	if (st->checked && n > 0)
		st->crc = crc32c(st->crc, st->ring + ((size_t)(st->written - st->base) & (st->cap - 1)), n);
	if (st->written == st->acked)
		st->moved_ms = st->session->now_ms;
	st->written += n;
	if (tx_unacked(st) == st->window)
		session_stands(st->session, st);
	st->used = true;
	st->session->stats.replay_bytes += n;
	session_queue(st->session, st);
}

void stream_fin(struct stream *st)
{
	assert(st->sender);
	if (st->fin || st->reset)
		return;
	st->fin = true;
	session_queue(st->session, st);
}

void stream_reset(struct stream *st, uint32_t code)
{
	if (!st->reset)
		session_give_up(st->session, st, code, true);
}

void stream_set_bulk(struct stream *st, bool bulk)
{
	if (st->interactive == !bulk)
		return;
	st->interactive = !bulk;
	session_unqueue(st->session, st);
	if (st->sender)
		session_queue(st->session, st);
}
/* ---- link ------------------------------------------------------------------------------------ */

void session_link_down(struct session *s)
{
	if (s->phase == LINK_UP)
		s->lost_ms = s->now_ms;
	s->phase = LINK_DOWN;
	s->woken = s->greeting_due = s->ping_due = s->pong_due = s->ping_out = false;
	s->goaway_due = s->migrating_due = false;
	s->probe_ms = s->drained_ms = 0;
	s->least_queued = SIZE_MAX;
	s->n_orphans = 0;
	session_pace_reset(s);
	buf_consume(&s->greeting, s->greeting.len);
}

bool session_link_up(const struct session *s)
{
	return s->phase == LINK_UP;
}

void session_set_retry_spread(struct session *s, uint32_t spread_ms)
{
	assert(s->role == SESSION_GATEWAY);
	s->retry_after_ms = spread_ms;
}

void session_set_link_lifetime(struct session *s, uint32_t ms)
{
	assert(s->role == SESSION_GATEWAY);
	s->link_lifetime_ms = ms;
}

uint32_t session_link_lifetime(const struct session *s)
{
	return s->link_lifetime_ms;
}

int session_verdict(const struct session *s, uint32_t *ret_retry_after_ms)
{
	if (ret_retry_after_ms)
		*ret_retry_after_ms = s->retry_after_ms;
	return s->verdict;
}
void session_ping(struct session *s)
{
	if (s->phase != LINK_UP)
		return;
	s->ping_due = true;
	s->last_ping_ms = s->now_ms;
	session_wake(s);
}

static void trim(struct session *s)
{
	struct stream *st, *next;

	stream_trim(s->control_tx);
	stream_trim(s->control_rx);
	HASH_ITER(hh, s->streams, st, next)
		if (!st->in_data) {
			stream_trim(st);
			session_rest_window(s, st);
		}
}

uint64_t session_tick(struct session *s, uint64_t now_ms)
{
	uint64_t interval = s->n_open ? PING_BUSY_MS : PING_IDLE_MS, next;

	s->now_ms = now_ms;
	if (s->phase != LINK_UP)
		return now_ms + interval;
	if (now_ms - s->last_ping_ms >= interval) {
		session_ping(s);
		trim(s);
	} else if (s->n_linger >= LINGER_PING && !s->ping_out && !s->ping_due)
		session_ping(s);
	if (s->later && now_ms - s->later_since_ms >= ACK_DELAY_MS)
		session_flush_acks(s);
	next = session_pace_tick(s, s->last_ping_ms + interval);
	if (s->probe_ms && s->probe_ms + SESSION_PROBE_MS < next)
		next = s->probe_ms + SESSION_PROBE_MS;
	return s->later && s->later_since_ms + ACK_DELAY_MS < next ? s->later_since_ms + ACK_DELAY_MS : next;
}

uint64_t session_silent_ms(const struct session *s, uint64_t now_ms)
{
	return now_ms - s->last_rx_ms;
}

void session_probe(struct session *s, uint64_t now_ms)
{
	if (session_silent_ms(s, now_ms) > SESSION_PROBE_SILENCE_MS)
		session_ask(s, now_ms);
}

void session_ask(struct session *s, uint64_t now_ms)
{
	s->now_ms = now_ms;
	if (s->phase != LINK_UP || s->probe_ms)
		return;
	s->probe_ms = now_ms;
	session_ping(s);
}

bool session_has_answered(const struct session *s)
{
	return !s->probe_ms;
}

static bool drains(struct session *s, size_t queued, uint64_t now_ms)
{
	if (queued > 0 && queued < s->least_queued) {
		s->least_queued = queued;
		s->drained_ms = now_ms;
	}
	return now_ms - s->drained_ms < DRAIN_MS;
}

bool session_link_dead(struct session *s, size_t queued, uint64_t now_ms)
{
	uint64_t silent = session_silent_ms(s, now_ms);

	if (s->probe_ms && now_ms - s->probe_ms >= SESSION_PROBE_MS)
		return !drains(s, queued, now_ms);
	if (silent <= SESSION_SILENCE_MS) {
		if (!s->probe_ms)
			s->least_queued = SIZE_MAX;
		return false;
	}
	return silent > 4 * SESSION_SILENCE_MS || !drains(s, queued, now_ms);
}

static void describe(const struct session *s, const struct stream *st, struct stream_info *ret)
{
	bool waits = st->sender ? st->written > st->acked : st->received > st->delivered;

	*ret = (struct stream_info){
		.id = st->id, .sender = st->sender, .fin = st->fin, .reset = st->reset, .window = st->window,
		.end = st->sender ? st->written : st->received,
		.sent = st->sender ? st->sent : st->received,
		.delivered = st->sender ? st->acked : st->delivered,
		.limit = st->sender ? st->limit : st->granted,
		.paused_ms = st->paused_ms + (st->full_ms ? s->now_ms - st->full_ms : 0),
		.waiting_ms = waits ? s->now_ms - st->moved_ms : 0,
	};
}

void session_each_stream(const struct session *s, void (*fn)(void *ctx, const struct stream_info *i), void *ctx)
{
	struct stream_info i;

	for (const struct stream *st = s->streams; st; st = st->hh.next) {
		if (st->closed)
			continue;
		describe(s, st, &i);
		fn(ctx, &i);
	}
}

void session_stats(const struct session *s, struct session_stats *ret)
{
	struct stream_info i;

	*ret = s->stats;
	ret->streams = s->n_open;
	for (const struct stream *st = s->streams; st; st = st->hh.next) {
		describe(s, st, &i);
		if (i.waiting_ms > ret->oldest_ms)
			ret->oldest_ms = i.waiting_ms;
	}
}
