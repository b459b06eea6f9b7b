/* session - see session.h and PROTOCOL.md. Owns the streams, the two control streams, the handshake
 * and the order in which frames leave.
 *
 * A stream the application has closed stays in the table while the peer may still speak of it: a
 * sender until its bytes and FIN are acknowledged; a finished or cancelled one ("lingering", without
 * memory) until the peer has answered a PING sent after our last word on it. So a cut link at any
 * moment finds both sides able to say how each stream ended.
 *
 * Callbacks may close and open streams: nothing is freed while one runs (depth), and no loop over
 * the table calls back (struct events). */
#include "session.h"

#include <assert.h>
#include <string.h>
#include <utlist.h>

#include "base/mem.h"
#include "frame.h"
#include "stream.h"

#define CONTROL_IN 0                  /* stream ids of channel 0, as the agent sees them */
#define CONTROL_OUT 1
#define RECORD_LENGTH 4
#define LIGHT_QUANTUM (16 * 1024)     /* what a stream may send ahead of the bulk ... */
#define LIGHT_RENEWAL (64 * 1024)     /* ... once per so many bulk bytes */
#define FIN_COST 16                   /* what a FIN counts in its stream's turn */
#define LINGER_PING 128               /* so many lingering streams are worth a ping of their own */
#define LINGER_MAX 4096
#define ORPHANS_MAX 32
#define ACK_DELAY_MS 25
#define PING_IDLE_MS 10000
#define PING_BUSY_MS 5000
#define ERROR_SHORT 64

enum phase { LINK_DOWN, LINK_GREETING, LINK_UP };

struct session {
	enum session_role role;
	uint8_t own_id[BOOT_ID_LEN];
	uint8_t gateway_id[BOOT_ID_LEN];   /* agent: of the last WELCOME that let us in */
	struct session_ops ops;
	void *ctx;
	uint64_t now_ms;                   /* as last told */
	unsigned depth;                    /* callbacks may be running */

	struct stream *streams;            /* by id; channel 0 is apart */
	struct stream *last;               /* the last one looked up */
	struct stream *dead;               /* freed at depth 0 */
	struct stream *linger;
	size_t n_open, n_linger;
	uint32_t top_id;                   /* highest ever opened: at or below it and gone = closed */

	struct stream *control_tx, *control_rx;
	unsigned control_epoch;            /* counts restarts of the control streams */
	uint64_t hello_mark;               /* agent: control_tx->written when HELLO was made */
	uint64_t tail_start;               /* last record queued, */
	uint32_t tail_resize;              /* its channel if it is a RESIZE, else 0 */
	struct buf scratch;

	/* the present link */
	enum phase phase;
	bool woken, greeting_due, ping_due, pong_due, goaway_due, ping_out;
	struct buf greeting;               /* HELLO or WELCOME */
	int verdict;
	uint32_t retry_after_ms;          /* agent: of the last WELCOME; gateway: for the next */
	uint64_t pong_stamp;
	uint32_t goaway_within_ms;
	uint64_t last_rx_ms, last_ping_ms, later_since_ms;
	size_t credit_in, credit_out;      /* from HELLO: granted to a new stream without an ACK */
	struct stream *interactive, *light, *bulk;
	struct stream *later, *acks, *resets;
	uint64_t bulk_sent;
	struct { uint32_t id, code; } orphans[ORPHANS_MAX];
	size_t n_orphans;
	uint8_t head[FRAME_HEAD_MAX];

	struct session_stats stats;
};

/* What the application has to hear once a handshake's positions are all applied. */
struct events {
	struct event { uint32_t id, code; bool writable; } *v;
	size_t n;
};

/* ---- table ----------------------------------------------------------------------------------- */

static bool we_send(const struct session *s, uint32_t id)
{
	return (s->role == SESSION_GATEWAY) == (id % 2 == 0);
}

static struct stream *find(struct session *s, uint32_t id)
{
	struct stream *st = s->last;

	if (st && st->id == id)
		return st;
	HASH_FIND(hh, s->streams, &id, sizeof(id), st);
	if (st)
		s->last = st;
	return st;
}

static void wake(struct session *s)
{
	if (s->woken || s->phase == LINK_DOWN)
		return;
	s->woken = true;
	s->ops.on_wake(s->ctx);
}

static struct stream **note_list(struct session *s, enum stream_note note)
{
	return note == NOTE_RESET ? &s->resets : note == NOTE_ACK ? &s->acks : &s->later;
}

static void note_clear(struct session *s, struct stream *st)
{
	if (st->note != NOTE_NONE)
		DL_DELETE2(*note_list(s, st->note), st, note_prev, note_next);
	st->note = NOTE_NONE;
}

/* Something to tell about this stream; the most urgent wins. */
static void note_set(struct session *s, struct stream *st, enum stream_note note)
{
	if (note <= st->note)
		return;
	note_clear(s, st);
	if (note == NOTE_ACK_LATER && !s->later)
		s->later_since_ms = s->now_ms;
	DL_APPEND2(*note_list(s, note), st, note_prev, note_next);
	st->note = note;
	if (note > NOTE_ACK_LATER && s->phase == LINK_UP)
		wake(s);
}

static void flush_later(struct session *s)
{
	while (s->later)
		note_set(s, s->later, NOTE_ACK);
}

static struct stream **queue_list(struct session *s, enum stream_queue q)
{
	return q == QUEUE_INTERACTIVE ? &s->interactive : q == QUEUE_LIGHT ? &s->light : &s->bulk;
}

static void queue_remove(struct session *s, struct stream *st)
{
	if (st->queue == QUEUE_NONE)
		return;
	DL_DELETE2(*queue_list(s, st->queue), st, queue_prev, queue_next);
	/* What is left of a bulk turn must not become a head start. */
	if (st->queue == QUEUE_BULK && st->deficit > 0)
		st->deficit = 0;
	st->queue = QUEUE_NONE;
}

static void queue_append(struct session *s, struct stream *st, enum stream_queue q)
{
	DL_APPEND2(*queue_list(s, q), st, queue_prev, queue_next);
	st->queue = q;
}

/* Put a sender that has something to send into the queue it deserves: interactive ones ahead of all;
 * one that was quiet ahead of the bulk, for a quantum; then in turn with the bulk. */
static void activate(struct session *s, struct stream *st)
{
	if (s->phase != LINK_UP || st->queue != QUEUE_NONE || !tx_ready(st))
		return;
	if (!s->bulk || s->bulk_sent - st->refreshed >= LIGHT_RENEWAL) {
		st->deficit = LIGHT_QUANTUM;
		st->refreshed = s->bulk_sent;
	}
	queue_append(s, st, st->interactive ? QUEUE_INTERACTIVE :
			    st->deficit > 0 ? QUEUE_LIGHT : QUEUE_BULK);
	wake(s);
}

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
	if (!st->in_data) /* else the callback may still look at them */
		stream_drop_bytes(st);
}

/* Out of the table; the memory lives until no callback is running. */
static void drop(struct session *s, struct stream *st)
{
	assert(!st->dead);
	forget_bytes(s, st);
	queue_remove(s, st);
	note_clear(s, st);
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

static void enter(struct session *s)
{
	s->depth++;
}

static void leave(struct session *s)
{
	struct stream *st, *next;

	if (--s->depth > 0)
		return;
	LL_FOREACH_SAFE2(s->dead, st, next, linger_next)
		stream_free(st);
	s->dead = NULL;
}

static void linger(struct session *s, struct stream *st)
{
	if (!st->in_data)
		stream_drop_bytes(st);
	st->lingering = true;
	DL_APPEND2(s->linger, st, linger_prev, linger_next);
	if (++s->n_linger > LINGER_MAX)
		drop(s, s->linger);
}

/* The peer answered a PING of ours: what we had sent before it, it has read. */
static void linger_confirmed(struct session *s, uint64_t stamp_us)
{
	struct stream *st, *next;

	DL_FOREACH_SAFE2(s->linger, st, next, linger_next)
		if (st->note == NOTE_NONE && st->noted_us < stamp_us)
			drop(s, st);
}

static void give_up(struct session *s, struct stream *st, uint32_t code, bool ours)
{
	forget_bytes(s, st);
	queue_remove(s, st);
	note_clear(s, st);
	st->reset = true;
	st->reset_ours = ours;
	st->reset_code = code;
	if (ours)
		note_set(s, st, NOTE_RESET);
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
	s->top_id = 1;
	s->credit_in = s->credit_out = STREAM_WINDOW_DEFAULT;
	s->control_tx = stream_new(agent ? CONTROL_OUT : CONTROL_IN, true, 0, CONTROL_BACKLOG_MAX, 0);
	s->control_tx->limit = OFFSET_MAX; /* bounded by the backlog, not by credit */
	s->control_rx = stream_new(agent ? CONTROL_IN : CONTROL_OUT, false, 0, CONTROL_BACKLOG_MAX, 0);
	s->control_rx->granted = OFFSET_MAX;
	buf_init(&s->control_rx->keep, RECORD_LENGTH + CONTROL_MESSAGE_MAX + FRAME_MAX);
	buf_init(&s->scratch, RECORD_LENGTH + CONTROL_MESSAGE_MAX);
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
		HASH_DEL(s->streams, st);
		stream_free(st);
	}
	stream_free(s->control_tx);
	stream_free(s->control_rx);
	buf_release(&s->scratch);
	buf_release(&s->greeting);
	free(s);
}

/* ---- streams --------------------------------------------------------------------------------- */

struct stream *session_open(struct session *s, uint32_t id, uint64_t offset, size_t window)
{
	struct stream *st;

	assert(id > CONTROL_OUT);
	if (offset > OFFSET_MAX / 2 || find(s, id) ||
	    HASH_COUNT(s->streams) - s->n_linger >= SESSION_STREAMS_MAX)
		return NULL;
	if (window == 0)
		window = STREAM_WINDOW_DEFAULT;
	if (window > STREAM_WINDOW_MAX)
		window = STREAM_WINDOW_MAX;
	st = stream_new(id, we_send(s, id), offset, window, id % 2 ? s->credit_out : s->credit_in);
	st->session = s;
	st->deficit = LIGHT_QUANTUM;
	HASH_ADD(hh, s->streams, id, sizeof(st->id), st);
	s->n_open++;
	if (id > s->top_id)
		s->top_id = id;
	if (!st->sender && rx_ack_pending(st))
		note_set(s, st, NOTE_ACK);
	return st;
}

struct stream *session_stream(struct session *s, uint32_t id)
{
	struct stream *st = find(s, id);

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
		give_up(s, st, RESET_CANCELLED, true);
	if (st->sender && !st->reset) {
		if (tx_finished(st))
			drop(s, st);
	} else if (st->reset && !st->reset_ours)
		drop(s, st);
	else
		linger(s, st);
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
	st->written += n;
	st->used = true;
	st->session->stats.replay_bytes += n;
	activate(st->session, st);
}

void stream_fin(struct stream *st)
{
	assert(st->sender);
	if (st->fin || st->reset)
		return;
	st->fin = true;
	activate(st->session, st);
}

void stream_reset(struct stream *st, uint32_t code)
{
	if (!st->reset)
		give_up(st->session, st, code, true);
}

void stream_set_bulk(struct stream *st, bool bulk)
{
	if (st->interactive == !bulk)
		return;
	st->interactive = !bulk;
	queue_remove(st->session, st);
	if (st->sender)
		activate(st->session, st);
}

/* ---- receiving data -------------------------------------------------------------------------- */

static void delivered_more(struct session *s, struct stream *st)
{
	if (st->fin && !st->fin_done && st->delivered == st->final) {
		st->fin_done = true;
		note_set(s, st, NOTE_ACK);
		s->ops.on_fin(s->ctx, st);
	} else if (rx_ack_due(st))
		note_set(s, st, NOTE_ACK);
	else if (rx_ack_pending(st))
		note_set(s, st, NOTE_ACK_LATER);
}

/* Hands bytes to the application; how many it took, or -1: it gave the stream up meanwhile. */
static int64_t offer(struct session *s, struct stream *st, const uint8_t *p, size_t n)
{
	size_t taken;

	st->in_data = true;
	taken = s->ops.on_data(s->ctx, st, p, n);
	st->in_data = false;
	if (st->closed || st->reset) {
		stream_drop_bytes(st);
		return -1;
	}
	assert(taken <= n);
	st->delivered += taken;
	return (int64_t)taken;
}

static void keep(struct session *s, struct stream *st, const uint8_t *p, size_t n)
{
	int rc = buf_append(&st->keep, p, n);

	assert(rc == 0); /* its maximum is the credit, which was checked */
	(void)rc;
	st->used = true;
	s->stats.kept_bytes += n;
}

static void take_data(struct session *s, struct stream *st, const uint8_t *p, size_t n)
{
	bool waiting = rx_kept(st) > 0; /* for stream_resume: order forbids passing these on */
	int64_t taken = 0;

	st->received += n;
	if (!waiting)
		taken = offer(s, st, p, n);
	if (taken < 0)
		return;
	if ((size_t)taken < n)
		keep(s, st, p + taken, n - (size_t)taken);
	if (taken > 0)
		delivered_more(s, st);
}

void stream_resume(struct stream *st)
{
	struct session *s = st->session;
	size_t before;
	int64_t taken;

	assert(!st->sender && !st->closed);
	if (st->in_data || st->reset || st->keep.len == 0)
		return;
	enter(s);
	before = st->keep.len;
	taken = offer(s, st, buf_head(&st->keep), before);
	if (taken > 0) {
		buf_consume(&st->keep, (size_t)taken);
		s->stats.kept_bytes -= (size_t)taken;
		delivered_more(s, st);
	}
	leave(s);
}

/* A frame for a stream we do not have, or have closed: the peer must not wait for us. */
static void answer_stray(struct session *s, struct stream *st, uint32_t id)
{
	if (st) {
		if (st->reset_ours)
			note_set(s, st, NOTE_RESET);
		else if (!st->reset)
			note_set(s, st, NOTE_ACK);
		return;
	}
	for (size_t i = 0; i < s->n_orphans; i++)
		if (s->orphans[i].id == id)
			return;
	if (s->n_orphans == ORPHANS_MAX)
		return; /* its next frame will ask again */
	s->orphans[s->n_orphans].id = id;
	s->orphans[s->n_orphans++].code = id <= s->top_id ? RESET_CANCELLED : RESET_UNKNOWN_STREAM;
	wake(s);
}

static int control_message(struct session *s, const uint8_t *p, size_t n, struct err *err)
{
	struct control c;
	bool fits, from_agent;

	if (control_decode(p, n, &c, err) < 0)
		return -1;
	from_agent = c.type == CONTROL_STARTED || c.type == CONTROL_EXIT || c.type == CONTROL_RESTARTING;
	fits = c.type >= CONTROL_EXEC && from_agent == (s->role == SESSION_GATEWAY);
	if (fits)
		s->ops.on_control(s->ctx, &c);
	else
		err_set(err, ERR_INVALID, "control message of type %d in this direction", (int)c.type);
	control_release(&c);
	return fits ? 0 : -1;
}

/* Cuts the control stream into records. One that cannot be understood ends this link, but counts as
 * delivered all the same, so that it does not come back on the next. */
static int take_control(struct session *s, const uint8_t *p, size_t n, struct err *err)
{
	struct stream *rx = s->control_rx;
	unsigned epoch = s->control_epoch;
	bool in_place = rx->keep.len == 0;
	int rc = 0;

	rx->received += n;
	if (!in_place && buf_append(&rx->keep, p, n) < 0)
		assert(!"one record and one frame fit");
	for (;;) {
		const uint8_t *q = in_place ? p : buf_head(&rx->keep);
		size_t left = in_place ? n : rx->keep.len, len;

		if (left < RECORD_LENGTH)
			break;
		len = (size_t)q[0] << 24 | (size_t)q[1] << 16 | (size_t)q[2] << 8 | q[3];
		if (len == 0 || len > CONTROL_MESSAGE_MAX) {
			rc = err_set(rc ? NULL : err, ERR_INVALID, "control record of %zu bytes", len);
			break;
		}
		if (left < RECORD_LENGTH + len)
			break;
		rx->delivered += RECORD_LENGTH + len;
		if (control_message(s, q + RECORD_LENGTH, len, rc ? NULL : err) < 0)
			rc = -1;
		if (s->control_epoch != epoch)
			return rc;
		if (in_place) {
			p += RECORD_LENGTH + len;
			n -= RECORD_LENGTH + len;
		} else
			buf_consume(&rx->keep, RECORD_LENGTH + len);
	}
	if (in_place && n > 0 && buf_append(&rx->keep, p, n) < 0)
		assert(!"less than one record and one frame fits");
	note_set(s, rx, rx_ack_due(rx) ? NOTE_ACK : NOTE_ACK_LATER);
	return rc;
}

static int bad_frame(struct err *err, const struct frame *f, const char *why)
{
	return err_set(err, ERR_INVALID, "%s: frame type %d, stream %u, %llu", why, (int)f->type,
		       f->stream, (unsigned long long)f->a);
}

static int receive_data(struct session *s, const struct frame *f, struct err *err)
{
	bool control = f->stream <= CONTROL_OUT;
	struct stream *st = control ? s->control_rx : find(s, f->stream);
	size_t skip;

	if (we_send(s, f->stream))
		return bad_frame(err, f, "wrong direction");
	s->stats.bytes_in += f->body_len;
	if (!st || st->closed || st->reset) {
		answer_stray(s, st, f->stream);
		return 0;
	}
	switch (rx_judge(st, f->a, f->body_len, &skip)) {
	case RX_OLD:
		s->stats.duplicate_bytes += f->body_len;
		return 0;
	case RX_GAP:
		return bad_frame(err, f, "gap");
	case RX_PAST_FIN:
		return bad_frame(err, f, "data after the end");
	case RX_NO_CREDIT:
		give_up(s, st, RESET_FLOW_ERROR, true);
		s->ops.on_reset(s->ctx, st, RESET_FLOW_ERROR);
		return 0;
	case RX_TAKE:
		break;
	}
	s->stats.duplicate_bytes += skip;
	if (control)
		return take_control(s, f->body + skip, f->body_len - skip, err);
	take_data(s, st, f->body + skip, f->body_len - skip);
	return 0;
}

static int receive_fin(struct session *s, const struct frame *f, struct err *err)
{
	struct stream *st = find(s, f->stream);

	if (f->stream <= CONTROL_OUT || we_send(s, f->stream))
		return bad_frame(err, f, "wrong direction");
	if (!st || st->closed || st->reset) {
		answer_stray(s, st, f->stream);
		return 0;
	}
	if (f->a != (st->fin ? st->final : st->received))
		return bad_frame(err, f, "end not where the bytes end");
	if (st->fin) {
		if (st->fin_done)
			note_set(s, st, NOTE_ACK);
		return 0;
	}
	st->fin = true;
	st->final = f->a;
	delivered_more(s, st);
	return 0;
}

static int receive_ack(struct session *s, const struct frame *f, struct err *err)
{
	bool control = f->stream <= CONTROL_OUT, was_full;
	struct stream *st = control ? s->control_tx : find(s, f->stream);
	int64_t freed;

	if (!we_send(s, f->stream))
		return bad_frame(err, f, "wrong direction");
	if (!st || st->reset)
		return 0;
	was_full = stream_space(st) == 0;
	freed = tx_acked(st, f->a, control ? 0 : f->b);
	if (freed < 0)
		return bad_frame(err, f, "acknowledges what was not sent");
	s->stats.replay_bytes -= (size_t)freed;
	if (control)
		return 0;
	activate(s, st);
	if (st->closed) {
		if (tx_finished(st))
			drop(s, st);
	} else if (was_full && stream_space(st) > 0)
		s->ops.on_writable(s->ctx, st);
	return 0;
}

static int receive_reset(struct session *s, const struct frame *f, struct err *err)
{
	struct stream *st = find(s, f->stream);

	if (f->stream <= CONTROL_OUT)
		return bad_frame(err, f, "the control stream cannot be reset");
	if (!st)
		return 0;
	if (st->closed)
		drop(s, st);
	else if (st->reset) {
		st->reset_ours = false; /* both gave up: nobody needs telling */
		note_clear(s, st);
	} else {
		give_up(s, st, (uint32_t)f->a, false);
		s->ops.on_reset(s->ctx, st, st->reset_code);
	}
	return 0;
}

/* ---- control --------------------------------------------------------------------------------- */

/* A RESIZE that never left is replaced by the next one for the same process: the latest wins.
 * Returns how many bytes at the end of the control stream that makes superfluous. */
static size_t stale_resize(const struct session *s, const struct control *c)
{
	const struct stream *tx = s->control_tx;

	if (c->type != CONTROL_RESIZE || c->channel != s->tail_resize ||
	    s->tail_start < tx->sent_max || s->tail_start < s->hello_mark)
		return 0;
	return (size_t)(tx->written - s->tail_start);
}

int session_send(struct session *s, const struct control *c, struct err *err)
{
	struct stream *tx = s->control_tx;
	size_t len, piece, stale;
	uint8_t *to;

	if (c->type == CONTROL_GOAWAY) { /* of this link: not repeated on the next */
		s->goaway_due = s->phase == LINK_UP;
		s->goaway_within_ms = c->goaway.reconnect_within_ms;
		wake(s);
		return 0;
	}
	assert(c->type >= CONTROL_EXEC);
	buf_consume(&s->scratch, s->scratch.len);
	buf_append(&s->scratch, "\0\0\0\0", RECORD_LENGTH);
	if (control_encode(c, &s->scratch, err) < 0)
		return -1;
	stale = stale_resize(s, c);
	if (s->scratch.len > stream_space(tx) + stale)
		return err_set(err, ERR_UNAVAILABLE,
			       "%zu bytes of control messages wait for the peer", tx_unacked(tx));
	len = s->scratch.len - RECORD_LENGTH;
	for (int i = 0; i < RECORD_LENGTH; i++)
		buf_head(&s->scratch)[i] = (uint8_t)(len >> (8 * (RECORD_LENGTH - 1 - i)));
	tx_truncate(tx, tx->written - stale);
	s->stats.replay_bytes -= stale;
	s->tail_start = tx->written;
	s->tail_resize = c->type == CONTROL_RESIZE ? c->channel : 0;
	while (s->scratch.len > 0) {
		to = stream_reserve(tx, s->scratch.len, &piece);
		memcpy(to, buf_head(&s->scratch), piece);
		tx->written += piece;
		s->stats.replay_bytes += piece;
		buf_consume(&s->scratch, piece);
	}
	if (s->phase == LINK_UP)
		wake(s);
	return 0;
}

/* Both directions of channel 0 count from 0 again. What the gateway has queued, this agent has never
 * seen: it stays. What the agent queued before its HELLO, the HELLO has told: it goes. */
static void restart_control(struct session *s)
{
	struct stream *tx = s->control_tx;
	uint64_t from = s->role == SESSION_AGENT ? s->hello_mark : tx->acked;

	s->stats.replay_bytes -= tx_restart(tx, from);
	s->tail_start = s->tail_start >= from ? s->tail_start - from : 0;
	if (tx->written == 0)
		s->tail_resize = 0;
	s->hello_mark = 0;
	rx_restart(s->control_rx);
	s->control_epoch++;
}

/* ---- handshake ------------------------------------------------------------------------------- */

static struct stream_row row_of(const struct stream *st)
{
	struct stream_row row = { .id = st->id, .fin = st->fin, .reset = st->reset };

	if (st->sender) {
		row.acked = st->acked;
		row.next_send = st->written;
	} else {
		row.received = st->received;
		row.delivered = st->delivered;
	}
	return row;
}

static void list_streams(struct session *s, struct stream_row **ret, size_t *ret_n)
{
	struct stream_row *rows = xcalloc(HASH_COUNT(s->streams) + 2, sizeof(*rows));
	struct stream *st, *next;
	size_t n = 0;

	rows[n++] = row_of(s->control_tx);
	rows[n++] = row_of(s->control_rx);
	HASH_ITER(hh, s->streams, st, next) {
		st->listed = true;
		rows[n++] = row_of(st);
	}
	*ret = rows;
	*ret_n = n;
}

static const struct stream_row *find_row(const struct stream_row *rows, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].id == id)
			return &rows[i];
	return NULL;
}

static void event_add(struct events *e, const struct stream *st, uint32_t code, bool writable)
{
	if (st->closed)
		return;
	if ((e->n & (e->n + 1)) == 0)
		e->v = xrealloc(e->v, (2 * e->n + 1) * sizeof(*e->v));
	e->v[e->n++] = (struct event){ .id = st->id, .code = code, .writable = writable };
}

static void events_tell(struct session *s, struct events *e)
{
	for (size_t i = 0; i < e->n; i++) {
		struct stream *st = session_stream(s, e->v[i].id);

		if (!st)
			continue; /* closed by an earlier callback */
		if (!e->v[i].writable)
			s->ops.on_reset(s->ctx, st, e->v[i].code);
		else if (stream_space(st) > 0)
			s->ops.on_writable(s->ctx, st);
	}
	free(e->v);
}

static void set_credit(struct session *s, const struct hello *h)
{
	struct stream *st, *next;

	s->credit_in = h->window_in ? h->window_in : STREAM_WINDOW_DEFAULT;
	s->credit_out = h->window_out ? h->window_out : STREAM_WINDOW_DEFAULT;
	if (s->credit_in > STREAM_WINDOW_MAX)
		s->credit_in = STREAM_WINDOW_MAX;
	if (s->credit_out > STREAM_WINDOW_MAX)
		s->credit_out = STREAM_WINDOW_MAX;
	/* Streams opened before the first HELLO said what a new stream may send unasked. */
	if (s->stats.links == 0)
		HASH_ITER(hh, s->streams, st, next)
			stream_set_credit(st, st->id % 2 ? s->credit_out : s->credit_in);
}

static void park_senders(struct session *s)
{
	struct stream *st, *next;

	HASH_ITER(hh, s->streams, st, next)
		if (st->sender) {
			st->sent = st->acked;
			st->fin_sent = false;
		}
}

/* One row of the peer's list against our stream of that id. fresh: the peer is a new gateway (or we
 * are), which knows of no credit granted by the old one. */
static void apply_row(struct session *s, struct stream *st, const struct stream_row *row, bool fresh,
		      struct events *e)
{
	bool was_full;
	size_t freed;

	st->listed = false;
	if (!st->sender || st->reset || row->reset)
		return; /* whoever gave it up says so in a RESET that follows */
	was_full = stream_space(st) == 0;
	if (tx_rewind(st, row, &freed) < 0) {
		give_up(s, st, RESET_LOST, true);
		event_add(e, st, RESET_LOST, false);
		if (st->closed && !st->lingering)
			linger(s, st);
		return;
	}
	s->stats.replay_bytes -= freed;
	if (fresh)
		st->limit = row->received;
	if (st->closed && tx_finished(st))
		drop(s, st);
	else if (was_full && stream_space(st) > 0)
		event_add(e, st, 0, true);
}

static void apply_rows(struct session *s, const struct stream_row *rows, size_t n, bool fresh,
		       struct events *e)
{
	park_senders(s);
	for (size_t i = 0; i < n; i++) {
		struct stream *st = rows[i].id > CONTROL_OUT ? find(s, rows[i].id) : NULL;

		if (st)
			apply_row(s, st, &rows[i], fresh, e);
	}
}

/* Agent: what we listed in HELLO and the gateway did not list in return, it does not have. */
static void lose_unlisted(struct session *s, struct events *e)
{
	struct stream *st, *next;

	HASH_ITER(hh, s->streams, st, next) {
		bool missing = st->listed;

		st->listed = false;
		if (!missing)
			continue;
		if (st->closed)
			drop(s, st);
		else if (st->reset)
			st->reset_ours = false;
		else {
			give_up(s, st, RESET_UNKNOWN_STREAM, false);
			event_add(e, st, RESET_UNKNOWN_STREAM, false);
		}
	}
}

static int resume_control(struct session *s, const struct stream_row *rows, size_t n, struct err *err)
{
	const struct stream_row *ours = find_row(rows, n, s->control_tx->id);
	const struct stream_row *theirs = find_row(rows, n, s->control_rx->id);
	size_t freed;

	if (!ours || !theirs || theirs->acked > s->control_rx->received ||
	    theirs->next_send < s->control_rx->received ||
	    tx_rewind(s->control_tx, ours, &freed) < 0)
		return err_set(err, ERR_INVALID, "control streams cannot be resumed: positions do not fit");
	s->stats.replay_bytes -= freed;
	return 0;
}

static void link_up(struct session *s)
{
	struct stream *st, *next;

	s->phase = LINK_UP;
	s->stats.links++;
	s->ping_due = true;
	s->last_ping_ms = s->now_ms;
	note_set(s, s->control_rx, NOTE_ACK);
	HASH_ITER(hh, s->streams, st, next) {
		if (st->reset_ours)
			note_set(s, st, NOTE_RESET);
		else if (!st->reset && !st->sender)
			note_set(s, st, NOTE_ACK);
		else if (!st->reset) {
			queue_remove(s, st);
			activate(s, st);
		}
	}
	wake(s);
}

/* The greeting is encoded at once: positions as of now, the old link being parked. */
static void greet(struct session *s, struct control *c)
{
	static const uint8_t type = FRAME_CONTROL;
	int rc;

	buf_append(&s->greeting, &type, 1);
	rc = control_encode(c, &s->greeting, NULL);
	for (size_t i = 0; rc < 0 && c->type == CONTROL_HELLO && i < c->hello.n_procs; i++) {
		char *error = c->hello.procs[i].exit.error;

		if (error && strlen(error) > ERROR_SHORT)
			error[ERROR_SHORT] = '\0';
	}
	if (rc < 0)
		rc = control_encode(c, &s->greeting, NULL);
	assert(rc == 0); /* with texts that short, all rows fit by their bounds */
	s->greeting_due = true;
}

void session_hello(struct session *s, struct hello *hello, uint64_t now_ms)
{
	struct control c = { .type = CONTROL_HELLO };

	assert(s->role == SESSION_AGENT && hello->n_procs <= CONTROL_PROCS_MAX);
	session_link_down(s);
	s->now_ms = s->last_rx_ms = now_ms;
	hello->version = TUNNEL_PROTOCOL_VERSION;
	memcpy(hello->boot_id, s->own_id, BOOT_ID_LEN);
	memcpy(hello->gateway_id, s->gateway_id, BOOT_ID_LEN);
	free(hello->streams);
	list_streams(s, &hello->streams, &hello->n_streams);
	set_credit(s, hello);
	s->hello_mark = s->control_tx->written;
	s->verdict = -1;
	s->retry_after_ms = 0;
	c.hello = *hello;
	greet(s, &c);
	s->phase = LINK_GREETING;
	wake(s);
}

int session_accept(struct session *s, const struct hello *hello, bool new_session, uint64_t now_ms,
		   struct err *err)
{
	struct control c = { .type = CONTROL_WELCOME };
	struct events e = { 0 };

	assert(s->role == SESSION_GATEWAY);
	if (!new_session && memcmp(hello->gateway_id, s->own_id, BOOT_ID_LEN) != 0) {
		/* Our WELCOME was lost: the agent has heard nothing of us, so we begin once more. */
		if (s->control_tx->acked || s->control_rx->received)
			return err_set(err, ERR_CONFLICT, "the agent was last welcomed by another session");
		new_session = true;
	}
	session_link_down(s);
	if (!new_session && resume_control(s, hello->streams, hello->n_streams, err) < 0)
		return -1;
	enter(s);
	s->now_ms = s->last_rx_ms = now_ms;
	set_credit(s, hello);
	if (new_session)
		restart_control(s);
	apply_rows(s, hello->streams, hello->n_streams, new_session, &e);
	link_up(s);
	c.welcome.verdict = new_session ? WELCOME_NEW : WELCOME_RESUMED;
	c.welcome.retry_after_ms = s->retry_after_ms;
	memcpy(c.welcome.gateway_id, s->own_id, BOOT_ID_LEN);
	list_streams(s, &c.welcome.streams, &c.welcome.n_streams);
	greet(s, &c);
	control_release(&c);
	events_tell(s, &e);
	leave(s);
	return 0;
}

static int receive_welcome(struct session *s, const struct welcome *w, struct err *err)
{
	static const uint8_t nobody[BOOT_ID_LEN];
	bool fresh = w->verdict == WELCOME_NEW;
	bool known = memcmp(w->gateway_id, s->gateway_id, BOOT_ID_LEN) == 0;
	struct events e = { 0 };

	s->verdict = (int)w->verdict;
	s->retry_after_ms = w->retry_after_ms;
	if (!fresh && w->verdict != WELCOME_RESUMED) {
		session_link_down(s);
		return 0;
	}
	if (memcmp(w->gateway_id, nobody, BOOT_ID_LEN) == 0 || (!fresh && !known)) {
		s->verdict = -1;
		return err_set(err, ERR_INVALID, "welcome by nobody, or resumed by another gateway");
	}
	if (fresh)
		restart_control(s);
	else if (resume_control(s, w->streams, w->n_streams, err) < 0) {
		memset(s->gateway_id, 0, BOOT_ID_LEN); /* the next HELLO asks for a new session */
		s->verdict = -1;
		return -1;
	}
	memcpy(s->gateway_id, w->gateway_id, BOOT_ID_LEN);
	apply_rows(s, w->streams, w->n_streams, fresh, &e);
	lose_unlisted(s, &e);
	link_up(s);
	events_tell(s, &e);
	return 0;
}

int session_refusal(enum welcome_verdict verdict, uint32_t retry_after_ms, const char *message,
		    struct buf *out, struct err *err)
{
	static const uint8_t type = FRAME_CONTROL;
	struct control c = { .type = CONTROL_WELCOME };

	assert(verdict > WELCOME_NEW);
	c.welcome.verdict = verdict;
	c.welcome.retry_after_ms = retry_after_ms;
	c.welcome.message = (char *)message; /* only read */
	if (buf_append(out, &type, 1) < 0)
		return err_set(err, ERR_LIMIT, "no room for a refusal");
	return control_encode(&c, out, err);
}

int session_peek_hello(const uint8_t *frame, size_t n, struct hello *ret, struct err *err)
{
	struct control c;
	struct frame f;

	if (frame_decode(frame, n, &f, err) < 0)
		return -1;
	if (f.type != FRAME_CONTROL)
		return err_set(err, ERR_INVALID, "the first frame is not a HELLO");
	if (control_decode(f.body, f.body_len, &c, err) < 0)
		return -1;
	if (c.type != CONTROL_HELLO) {
		control_release(&c);
		return err_set(err, ERR_INVALID, "the first message is not a HELLO");
	}
	*ret = c.hello;
	return 0;
}

void hello_release(struct hello *h)
{
	struct control c = { .type = CONTROL_HELLO, .hello = *h };

	control_release(&c);
	*h = (struct hello){ 0 };
}

/* ---- link ------------------------------------------------------------------------------------ */

void session_link_down(struct session *s)
{
	s->phase = LINK_DOWN;
	s->woken = s->greeting_due = s->ping_due = s->pong_due = s->goaway_due = s->ping_out = false;
	s->n_orphans = 0;
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

int session_verdict(const struct session *s, uint32_t *ret_retry_after_ms)
{
	if (ret_retry_after_ms)
		*ret_retry_after_ms = s->retry_after_ms;
	return s->verdict;
}

static void receive_pong(struct session *s, uint64_t stamp_us)
{
	uint64_t now_us = s->now_ms * 1000;

	s->ping_out = false;
	if (stamp_us > now_us)
		return;
	/* The clock ticks in milliseconds; 0 is taken for "none yet". */
	s->stats.rtt_us = now_us > stamp_us ? now_us - stamp_us : 1;
	linger_confirmed(s, stamp_us);
}

static int receive_link_message(struct session *s, const struct frame *f, struct err *err)
{
	struct control c;
	int rc = 0;

	if (control_decode(f->body, f->body_len, &c, err) < 0)
		return -1;
	if (s->phase == LINK_GREETING && c.type == CONTROL_WELCOME)
		rc = receive_welcome(s, &c.welcome, err);
	else if (s->phase == LINK_UP && c.type == CONTROL_PING) {
		s->pong_due = true;
		s->pong_stamp = c.ping.stamp_us;
		wake(s);
	} else if (s->phase == LINK_UP && c.type == CONTROL_PONG)
		receive_pong(s, c.ping.stamp_us);
	else if (s->phase == LINK_UP && c.type == CONTROL_GOAWAY && s->role == SESSION_AGENT)
		s->ops.on_control(s->ctx, &c);
	else
		rc = err_set(err, ERR_INVALID, "unexpected link message of type %d", (int)c.type);
	control_release(&c);
	return rc;
}

static int receive(struct session *s, const struct frame *f, struct err *err)
{
	if (f->type == FRAME_CONTROL)
		return receive_link_message(s, f, err);
	if (s->phase != LINK_UP)
		return bad_frame(err, f, "before the WELCOME");
	switch (f->type) {
	case FRAME_DATA:
		return receive_data(s, f, err);
	case FRAME_ACK:
		return receive_ack(s, f, err);
	case FRAME_FIN:
		return receive_fin(s, f, err);
	default:
		return receive_reset(s, f, err);
	}
}

int session_receive(struct session *s, const uint8_t *frame, size_t n, uint64_t now_ms, struct err *err)
{
	struct frame f;
	int rc;

	s->now_ms = s->last_rx_ms = now_ms;
	if (s->phase == LINK_DOWN)
		return err_set(err, ERR_INVALID, "a frame without a link");
	if (frame_decode(frame, n, &f, err) < 0)
		return -1;
	enter(s);
	rc = receive(s, &f, err);
	leave(s);
	return rc;
}

/* ---- sending --------------------------------------------------------------------------------- */

static int emit_head(struct session *s, struct frame_out *ret, enum frame_type type,
		     const struct stream *st, uint64_t a, uint64_t b)
{
	*ret = (struct frame_out){ .head = s->head,
				   .head_len = frame_head(s->head, type, st->id, a, b) };
	return 1;
}

static int emit_link_message(struct session *s, struct frame_out *ret, const struct control *c)
{
	static const uint8_t type = FRAME_CONTROL;

	buf_consume(&s->scratch, s->scratch.len);
	buf_append(&s->scratch, &type, 1);
	control_encode(c, &s->scratch, NULL);
	*ret = (struct frame_out){ .head = buf_head(&s->scratch), .head_len = s->scratch.len };
	return 1;
}

static int next_link_message(struct session *s, struct frame_out *ret)
{
	struct control c = { .type = CONTROL_PONG };

	if (s->pong_due) {
		s->pong_due = false;
		c.ping.stamp_us = s->pong_stamp;
	} else if (s->ping_due) {
		s->ping_due = false;
		s->ping_out = true;
		c.type = CONTROL_PING;
		c.ping.stamp_us = s->now_ms * 1000;
	} else if (s->goaway_due) {
		s->goaway_due = false;
		c.type = CONTROL_GOAWAY;
		c.goaway.reconnect_within_ms = s->goaway_within_ms;
	} else
		return 0;
	return emit_link_message(s, ret, &c);
}

static int next_ack(struct session *s, struct frame_out *ret)
{
	struct stream *st = s->acks;
	uint64_t limit;

	if (!st)
		return 0;
	note_clear(s, st);
	limit = st == s->control_rx ? st->delivered : rx_limit(st);
	if (st != s->control_rx)
		st->granted = limit;
	st->told_delivered = st->delivered;
	st->told_limit = limit;
	st->noted_us = s->now_ms * 1000;
	return emit_head(s, ret, FRAME_ACK, st, st->delivered + st->fin_done, limit);
}

static int next_reset(struct session *s, struct frame_out *ret)
{
	struct stream *st = s->resets;

	if (st) {
		note_clear(s, st);
		st->noted_us = s->now_ms * 1000;
		return emit_head(s, ret, FRAME_RESET, st, st->reset_code, 0);
	}
	if (s->n_orphans == 0)
		return 0;
	s->n_orphans--;
	*ret = (struct frame_out){ .head = s->head };
	ret->head_len = frame_head(s->head, FRAME_RESET, s->orphans[s->n_orphans].id,
				   s->orphans[s->n_orphans].code, 0);
	return 1;
}

static int emit_data(struct session *s, struct frame_out *ret, struct stream *st, size_t max)
{
	uint64_t offset = st->sent;

	emit_head(s, ret, FRAME_DATA, st, offset, 0);
	ret->body = tx_piece(st, max, &ret->body_len);
	s->stats.bytes_out += ret->body_len;
	s->stats.resent_bytes += tx_advance(st, ret->body_len);
	return 1;
}

/* The stream whose turn it is. Streams found empty leave their queue here. */
static struct stream *pick(struct session *s)
{
	struct stream *st;

	while ((st = s->interactive ? s->interactive : s->light ? s->light : s->bulk)) {
		if (!tx_ready(st))
			queue_remove(s, st);
		else if (st->queue == QUEUE_INTERACTIVE || st->deficit > 0)
			return st;
		else {
			enum stream_queue was = st->queue;

			queue_remove(s, st);
			if (was == QUEUE_BULK)
				st->deficit += FRAME_DATA_MAX;
			queue_append(s, st, QUEUE_BULK);
		}
	}
	return NULL;
}

static int next_data(struct session *s, struct frame_out *ret, struct stream *st)
{
	bool alone = !st->queue_next && !s->bulk;
	size_t max = st->queue == QUEUE_BULK || alone ? FRAME_DATA_MAX : LIGHT_QUANTUM;
	size_t cost = FIN_COST;

	if (tx_fin_due(st)) {
		st->fin_sent = true;
		emit_head(s, ret, FRAME_FIN, st, st->written, 0);
	} else {
		emit_data(s, ret, st, max);
		cost = ret->body_len;
	}
	st->deficit -= (int64_t)cost;
	if (st->queue == QUEUE_BULK)
		s->bulk_sent += cost;
	if (st->queue == QUEUE_INTERACTIVE) {
		queue_remove(s, st);
		queue_append(s, st, QUEUE_INTERACTIVE);
	}
	return 1;
}

static int next_frame(struct session *s, struct frame_out *ret)
{
	struct stream *st;
	bool control;

	if (s->greeting_due) {
		s->greeting_due = false;
		*ret = (struct frame_out){ .head = buf_head(&s->greeting), .head_len = s->greeting.len };
		return 1;
	}
	if (s->phase != LINK_UP)
		return 0;
	if (s->greeting.len)
		buf_consume(&s->greeting, s->greeting.len); /* it has been copied by now */
	if (next_link_message(s, ret) || next_ack(s, ret))
		return 1;
	control = tx_sendable(s->control_tx);
	if (!control && next_reset(s, ret))
		return 1;
	st = control ? s->control_tx : pick(s);
	if (!st)
		return 0;
	if (s->later) { /* since bytes go out anyway */
		flush_later(s);
		return next_ack(s, ret);
	}
	return control ? emit_data(s, ret, st, FRAME_DATA_MAX) : next_data(s, ret, st);
}

int session_next_frame(struct session *s, struct frame_out *ret, uint64_t now_ms)
{
	s->now_ms = now_ms;
	if (s->phase != LINK_DOWN && next_frame(s, ret))
		return 1;
	s->woken = false;
	return 0;
}

void session_ping(struct session *s)
{
	if (s->phase != LINK_UP)
		return;
	s->ping_due = true;
	s->last_ping_ms = s->now_ms;
	wake(s);
}

static void trim(struct session *s)
{
	struct stream *st, *next;

	stream_trim(s->control_tx);
	stream_trim(s->control_rx);
	HASH_ITER(hh, s->streams, st, next)
		if (!st->in_data)
			stream_trim(st);
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
		flush_later(s);
	next = s->last_ping_ms + interval;
	return s->later && s->later_since_ms + ACK_DELAY_MS < next ? s->later_since_ms + ACK_DELAY_MS : next;
}

uint64_t session_silent_ms(const struct session *s, uint64_t now_ms)
{
	return now_ms - s->last_rx_ms;
}

void session_stats(const struct session *s, struct session_stats *ret)
{
	*ret = s->stats;
	ret->streams = s->n_open;
}
