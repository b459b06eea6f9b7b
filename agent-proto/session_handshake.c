/* session_handshake - HELLO and WELCOME: each side's positions, and what the peer's do to our senders. */
#include "session_state.h"

#include <assert.h>
#include <string.h>

#include "frame.h"
#include "proof.h"

#define ERROR_SHORT 64

/* What the application has to hear once a handshake's positions are all applied. */
struct events {
	struct event { uint32_t id, code; bool writable; } *v;
	size_t n;
};
/* ---- our positions --------------------------------------------------------------------------- */

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
/* ---- what the application hears of it ---------------------------------------------------------- */

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
/* ---- the peer's positions -------------------------------------------------------------------- */

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
		session_give_up(s, st, RESET_LOST, true);
		event_add(e, st, RESET_LOST, false);
		if (st->closed && !st->lingering)
			session_linger(s, st);
		return;
	}
	s->stats.replay_bytes -= freed;
	if (fresh)
		st->limit = row->received;
	if (st->closed && tx_finished(st))
		session_drop(s, st);
	else if (was_full && stream_space(st) > 0)
		event_add(e, st, 0, true);
}

static void apply_rows(struct session *s, const struct stream_row *rows, size_t n, bool fresh,
		       struct events *e)
{
	park_senders(s);
	for (size_t i = 0; i < n; i++) {
		struct stream *st = rows[i].id > CONTROL_OUT ? session_find(s, rows[i].id) : NULL;

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
			session_drop(s, st);
		else if (st->reset)
			st->reset_ours = false;
		else {
			session_give_up(s, st, RESET_UNKNOWN_STREAM, false);
			event_add(e, st, RESET_UNKNOWN_STREAM, false);
		}
	}
}
/* ---- greeting -------------------------------------------------------------------------------- */

static void link_up(struct session *s)
{
	struct stream *st, *next;

	s->phase = LINK_UP;
	s->stats.links++;
	s->stats.rtt_base_us = 0; /* it may be another way */
	if (s->lost_ms)
		s->stats.down_ms += s->now_ms - s->lost_ms;
	s->lost_ms = 0;
	s->ping_due = true;
	s->last_ping_ms = s->now_ms;
	session_note(s, s->control_rx, NOTE_ACK);
	HASH_ITER(hh, s->streams, st, next) {
		if (st->reset_ours)
			session_note(s, st, NOTE_RESET);
		else if (!st->reset && !st->sender)
			session_note(s, st, NOTE_ACK);
		else if (!st->reset) {
			session_unqueue(s, st);
			session_queue(s, st);
		}
	}
	session_wake(s);
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
	if (s->proof)
		proof_sign(s->proof, s->role, &s->greeting);
	s->greeting_due = true;
}

void session_set_proof(struct session *s, struct proof *p)
{
	s->proof = p;
}

void session_hello(struct session *s, struct hello *hello, uint64_t now_ms)
{
	struct control c = { .type = CONTROL_HELLO };

	assert(s->role == SESSION_AGENT && hello->n_procs <= CONTROL_PROCS_MAX);
	session_link_down(s);
	s->now_ms = s->last_rx_ms = now_ms;
	hello->version = TUNNEL_PROTOCOL_VERSION;
	hello->features = FEATURE_CHECKS | FEATURE_MIGRATING;
	memcpy(hello->boot_id, s->own_id, BOOT_ID_LEN);
	memcpy(hello->gateway_id, s->gateway_id, BOOT_ID_LEN);
	free(hello->streams);
	list_streams(s, &hello->streams, &hello->n_streams);
	set_credit(s, hello);
	s->hello_mark = s->control_tx->written;
	s->verdict = -1;
	s->retry_after_ms = 0;
	s->link_lifetime_ms = 0;
	c.hello = *hello;
	greet(s, &c);
	s->phase = LINK_GREETING;
	session_wake(s);
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
	if (!new_session && session_resume_control(s, hello->streams, hello->n_streams, err) < 0)
		return -1;
	session_enter(s);
	s->now_ms = s->last_rx_ms = now_ms;
	set_credit(s, hello);
	s->features = hello->features & ((s->checks ? FEATURE_CHECKS : 0) | FEATURE_MIGRATING);
	if (new_session)
		session_restart_control(s);
	apply_rows(s, hello->streams, hello->n_streams, new_session, &e);
	link_up(s);
	c.welcome.verdict = new_session ? WELCOME_NEW : WELCOME_RESUMED;
	c.welcome.retry_after_ms = s->retry_after_ms;
	c.welcome.features = s->features;
	c.welcome.link_lifetime_ms = s->link_lifetime_ms;
	memcpy(c.welcome.gateway_id, s->own_id, BOOT_ID_LEN);
	list_streams(s, &c.welcome.streams, &c.welcome.n_streams);
	greet(s, &c);
	s->proof = NULL;
	control_release(&c);
	events_tell(s, &e);
	session_leave(s);
	return 0;
}

/* The gateway wants them: also of streams that are open and have carried nothing yet. */
static void begin_checks(struct session *s)
{
	struct stream *st, *next;

	s->checks = true;
	HASH_ITER(hh, s->streams, st, next)
		if ((st->sender ? st->written : st->received) == 0)
			st->checked = true;
}

int session_receive_welcome(struct session *s, const struct welcome *w, struct err *err)
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
		session_restart_control(s);
	else if (session_resume_control(s, w->streams, w->n_streams, err) < 0) {
		memset(s->gateway_id, 0, BOOT_ID_LEN); /* the next HELLO asks for a new session */
		s->verdict = -1;
		return -1;
	}
	memcpy(s->gateway_id, w->gateway_id, BOOT_ID_LEN);
	s->features = w->features;
	s->link_lifetime_ms = w->link_lifetime_ms;
	if (s->features & FEATURE_CHECKS)
		begin_checks(s);
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
