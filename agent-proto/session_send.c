/* session_send - the order in which frames leave, see session_state.h and "Order of sending" in PROTOCOL.md.
 * Owns the queues of streams that have bytes (interactive, light, bulk) and the lists of those that
 * have an ACK or a RESET to tell. */
#include "session_state.h"

#include <assert.h>
#include <string.h>
#include <utlist.h>

#include "frame.h"

#define LIGHT_RENEWAL (64 * 1024)     /* STREAM_QUANTUM may go ahead of the bulk, once per so many bulk bytes */
#define FIN_COST 16                   /* what a FIN counts in its stream's turn */

/* ---- what there is to tell ------------------------------------------------------------------- */

static struct stream **note_list(struct session *s, enum stream_note note)
{
	return note == NOTE_RESET ? &s->resets : note == NOTE_ACK ? &s->acks : &s->later;
}

void session_unnote(struct session *s, struct stream *st)
{
	if (st->note != NOTE_NONE)
		DL_DELETE2(*note_list(s, st->note), st, note_prev, note_next);
	st->note = NOTE_NONE;
}

/* Something to tell about this stream; the most urgent wins. */
void session_note(struct session *s, struct stream *st, enum stream_note note)
{
	if (note <= st->note)
		return;
	session_unnote(s, st);
	if (note == NOTE_ACK_LATER && !s->later)
		s->later_since_ms = s->now_ms;
	DL_APPEND2(*note_list(s, note), st, note_prev, note_next);
	st->note = note;
	if (note > NOTE_ACK_LATER && s->phase == LINK_UP)
		session_wake(s);
}

void session_flush_acks(struct session *s)
{
	while (s->later)
		session_note(s, s->later, NOTE_ACK);
}
/* ---- whose turn it is ------------------------------------------------------------------------ */

static struct stream **queue_list(struct session *s, enum stream_queue q)
{
	return q == QUEUE_INTERACTIVE ? &s->interactive : q == QUEUE_LIGHT ? &s->light : &s->bulk;
}

void session_unqueue(struct session *s, struct stream *st)
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
void session_queue(struct session *s, struct stream *st)
{
	if (s->phase != LINK_UP || st->queue != QUEUE_NONE || !tx_ready(st))
		return;
	if (!s->bulk || s->bulk_sent - st->refreshed >= LIGHT_RENEWAL) {
		st->deficit = STREAM_QUANTUM;
		st->refreshed = s->bulk_sent;
	}
	queue_append(s, st, st->interactive ? QUEUE_INTERACTIVE :
			    st->deficit > 0 ? QUEUE_LIGHT : QUEUE_BULK);
	session_wake(s);
}

/* ---- frames ---------------------------------------------------------------------------------- */

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
		c.ping.stamp_us = session_now_us(s);
		session_pace_pinged(s, c.ping.stamp_us);
	} else if (s->goaway_due) {
		s->goaway_due = false;
		c.type = CONTROL_GOAWAY;
		c.goaway.reconnect_within_ms = s->goaway_within_ms;
	} else if (s->migrating_due) {
		s->migrating_due = false;
		c.type = CONTROL_MIGRATING;
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
	session_unnote(s, st);
	if (st == s->control_rx) {
		limit = st->delivered;
	} else {
		if (!st->fin)
			session_tune_receiver(s, st);
		st->granted = limit = rx_limit(st);
	}
	st->told_delivered = st->delivered;
	st->told_limit = limit;
	st->noted_us = session_now_us(s);
	return emit_head(s, ret, FRAME_ACK, st, st->delivered + st->fin_done, limit);
}

static int next_reset(struct session *s, struct frame_out *ret)
{
	struct stream *st = s->resets;

	if (st) {
		session_unnote(s, st);
		st->noted_us = session_now_us(s);
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
	if (st != s->control_tx)
		session_pace_sent(s, st, ret->body_len);
	return 1;
}

/* The stream whose turn it is. Streams found empty leave their queue here, and those that pour out while enough is
 * under way go behind the bulk, which waits. */
static struct stream *pick(struct session *s)
{
	struct stream *st;

	while ((st = s->interactive ? s->interactive : s->light ? s->light : s->bulk)) {
		if (!tx_ready(st))
			session_unqueue(s, st);
		else if (session_pace_holds(s, st)) {
			if (st->queue == QUEUE_BULK)
				return NULL;
			session_unqueue(s, st);
			queue_append(s, st, QUEUE_BULK);
		} else if (st->queue == QUEUE_INTERACTIVE || st->deficit > 0)
			return st;
		else {
			enum stream_queue was = st->queue;

			session_unqueue(s, st);
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
	size_t max = st->queue == QUEUE_BULK || alone ? FRAME_DATA_MAX : STREAM_QUANTUM;
	size_t cost = FIN_COST;

	if (tx_fin_due(st)) {
		st->fin_sent = true;
		emit_head(s, ret, FRAME_FIN, st, st->written, s->features & FEATURE_CHECKS ? stream_check(st) : 0);
	} else {
		emit_data(s, ret, st, max);
		cost = ret->body_len;
	}
	st->deficit -= (int64_t)cost;
	if (st->queue == QUEUE_BULK)
		s->bulk_sent += cost;
	if (st->queue == QUEUE_INTERACTIVE) {
		session_unqueue(s, st);
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
		return next_link_message(s, ret); /* it may have found that something must be asked */
	if (s->later) { /* since bytes go out anyway */
		session_flush_acks(s);
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
