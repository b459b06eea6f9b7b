/* session_save - a session as bytes, for the process image that takes over (session.h). What is saved is the
 * session as it is when its link is lost: positions, what waits for an acknowledgement, what is not delivered.
 * The lists of what is to be sent are made anew by the next handshake. */
#include "session_state.h"

#include <assert.h>
#include <string.h>
#include <utlist.h>

/* ---- streams ---------------------------------------------------------------------------------- */

enum { INTERACTIVE = 1, CLOSED = 2, RESET = 4, RESET_OURS = 8, FIN = 16, FIN_SENT = 32, FIN_DONE = 64, LINGERING = 128, CHECKED = 256 };

static unsigned flags_of(const struct stream *st)
{
	return (st->interactive ? INTERACTIVE : 0u) | (st->closed ? CLOSED : 0u) | (st->reset ? RESET : 0u) |
	       (st->reset_ours ? RESET_OURS : 0u) | (st->fin ? FIN : 0u) | (st->fin_sent ? FIN_SENT : 0u) |
	       (st->fin_done ? FIN_DONE : 0u) | (st->lingering ? LINGERING : 0u) |
	       (st->checked ? CHECKED : 0u);
}

static void set_flags(struct stream *st, unsigned f)
{
	st->interactive = f & INTERACTIVE;
	st->closed = f & CLOSED;
	st->reset = f & RESET;
	st->reset_ours = f & RESET_OURS;
	st->fin = f & FIN;
	st->fin_sent = f & FIN_SENT;
	st->fin_done = f & FIN_DONE;
	st->checked = f & CHECKED;
}

/* [acked, written), which may be in two pieces. */
static void save_ring(const struct stream *st, struct pack *p)
{
	size_t n = tx_unacked(st), at = st->cap ? (size_t)(st->acked - st->base) & (st->cap - 1) : 0;
	size_t first = n < st->cap - at ? n : st->cap - at;

	pack_num(p, n);
	buf_append(&p->bytes, st->ring ? st->ring + at : NULL, first);
	buf_append(&p->bytes, st->ring, n - first);
}

static void save_stream(const struct stream *st, struct pack *p)
{
	pack_num(p, st->id);
	pack_num(p, st->first_window);
	pack_num(p, st->window);
	pack_num(p, flags_of(st));
	pack_num(p, st->reset_code);
	pack_num(p, st->crc);
	pack_num(p, st->moved_ms); /* the clock is the machine's */
	pack_num(p, st->paused_ms);
	pack_num(p, st->full_ms);
	if (st->sender) {
		pack_num(p, st->acked);
		pack_num(p, st->sent);
		pack_num(p, st->sent_max);
		pack_num(p, st->limit);
		save_ring(st, p);
		return;
	}
	pack_num(p, st->delivered);
	pack_num(p, st->received);
	pack_num(p, st->granted);
	pack_num(p, st->final);
	pack_num(p, st->told_delivered);
	pack_num(p, st->told_limit);
	pack_buf(p, &st->keep);
}

static void restore_ring(struct session *s, struct stream *st, struct unpack *u)
{
	size_t n, done = 0, piece;
	const uint8_t *p = unpack_bytes(u, &n);
	uint8_t *to;

	u->bad |= n > st->window;
	/* As the application would write it, but a closed or reset stream takes nothing from there. */
	while (!u->bad && done < n && (to = stream_reserve(st, n - done, &piece))) {
		memcpy(to, p + done, piece);
		st->written += piece;
		done += piece;
	}
	u->bad |= done < n;
	s->stats.replay_bytes += done;
}

static void restore_positions(struct session *s, struct stream *st, struct unpack *u)
{
	size_t n;
	const uint8_t *kept;

	if (st->sender) {
		st->acked = st->written = st->base = unpack_num(u);
		st->sent = unpack_num(u);
		st->sent_max = unpack_num(u);
		st->limit = unpack_num(u);
		restore_ring(s, st, u);
		u->bad |= st->sent < st->acked || st->sent > st->written || st->sent_max > st->written;
		return;
	}
	st->delivered = unpack_num(u);
	st->received = unpack_num(u);
	st->granted = unpack_num(u);
	st->final = unpack_num(u);
	st->told_delivered = unpack_num(u);
	st->told_limit = unpack_num(u);
	kept = unpack_bytes(u, &n);
	if (st->id > CONTROL_OUT)
		rx_keep_at_most(st, st->granted - st->delivered > st->window ? st->granted - st->delivered : st->window);
	u->bad |= n > st->keep.max;
	if (u->bad)
		return;
	if (n)
		buf_append(&st->keep, kept, n);
	s->stats.kept_bytes += n;
}

static void restore_times(struct stream *st, struct unpack *u)
{
	st->moved_ms = unpack_num(u);
	st->paused_ms = unpack_num(u);
	st->full_ms = unpack_num(u);
}

static void restore_control(struct session *s, struct stream *st, struct unpack *u)
{
	uint64_t kept = s->stats.kept_bytes;

	if (unpack_num(u) != st->id)
		u->bad = true;
	unpack_num(u);
	unpack_num(u);
	set_flags(st, (unsigned)unpack_num(u));
	unpack_num(u);
	unpack_num(u);
	restore_times(st, u);
	restore_positions(s, st, u);
	s->stats.kept_bytes = kept;
}

static void restore_stream(struct session *s, struct unpack *u)
{
	uint32_t id = (uint32_t)unpack_num(u);
	size_t first_window = unpack_num(u), window = unpack_num(u);
	unsigned flags = (unsigned)unpack_num(u);
	struct stream *st = u->bad || id <= CONTROL_OUT ? NULL : session_open(s, id, 0, first_window);

	if (!st) {
		u->bad = true;
		return;
	}
	session_unnote(s, st);
	st->window = window;
	st->reset_code = (uint32_t)unpack_num(u);
	st->crc = (uint32_t)unpack_num(u);
	restore_times(st, u);
	restore_positions(s, st, u);
	set_flags(st, flags);
	st->used = true;
	if (flags & CLOSED)
		s->n_open--;
	if (flags & LINGERING)
		session_linger(s, st);
}

/* ---- session ---------------------------------------------------------------------------------- */

void session_save(const struct session *s, struct pack *p)
{
	const struct stream *st;

	assert(s->depth == 0);
	pack_bytes(p, s->own_id, sizeof(s->own_id));
	pack_num(p, s->top_id);
	pack_num(p, s->tail_start);
	pack_num(p, s->tail_resize);
	pack_num(p, s->retry_after_ms);
	pack_num(p, s->link_lifetime_ms);
	pack_num(p, s->features);
	pack_num(p, s->checks);
	pack_num(p, s->credit_in);
	pack_num(p, s->credit_out);
	pack_num(p, s->stats.bytes_in);
	pack_num(p, s->stats.bytes_out);
	pack_num(p, s->stats.resent_bytes);
	pack_num(p, s->stats.duplicate_bytes);
	pack_num(p, s->stats.links);
	pack_num(p, s->stats.paused_ms);
	pack_num(p, s->stats.down_ms);
	save_stream(s->control_tx, p);
	save_stream(s->control_rx, p);
	pack_num(p, HASH_COUNT(s->streams));
	for (st = s->streams; st; st = st->hh.next)
		save_stream(st, p);
}

struct session *session_restore(const struct session_ops *ops, void *ctx, uint64_t now_ms, struct unpack *u)
{
	uint8_t own_id[BOOT_ID_LEN];
	struct session *s;
	uint32_t top_id;

	unpack_exact(u, own_id, sizeof(own_id));
	s = session_new(SESSION_GATEWAY, own_id, ops, ctx);
	top_id = (uint32_t)unpack_num(u);
	s->tail_start = unpack_num(u);
	s->tail_resize = (uint32_t)unpack_num(u);
	s->retry_after_ms = (uint32_t)unpack_num(u);
	s->link_lifetime_ms = (uint32_t)unpack_num(u);
	s->features = (uint32_t)unpack_num(u);
	s->checks = unpack_num(u);
	s->credit_in = unpack_num(u);
	s->credit_out = unpack_num(u);
	s->stats.bytes_in = unpack_num(u);
	s->stats.bytes_out = unpack_num(u);
	s->stats.resent_bytes = unpack_num(u);
	s->stats.duplicate_bytes = unpack_num(u);
	s->stats.links = unpack_num(u);
	s->stats.paused_ms = unpack_num(u);
	s->stats.down_ms = unpack_num(u);
	s->now_ms = s->last_rx_ms = s->lost_ms = now_ms;
	restore_control(s, s->control_tx, u);
	restore_control(s, s->control_rx, u);
	for (uint64_t n = unpack_num(u); n && !u->bad; n--)
		restore_stream(s, u);
	if (top_id > s->top_id)
		s->top_id = top_id;
	if (!u->bad)
		return s;
	session_free(s);
	return NULL;
}
