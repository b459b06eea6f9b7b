/* session_receive - what a frame from the present link does to its stream. Judges everything a peer
 * sends; a protocol error ends the link, never the session. */
#include "session_state.h"

#include <assert.h>
#include <string.h>

#include "base/crc32c.h"
#include "frame.h"
#include "proof.h"

/* ---- bytes ----------------------------------------------------------------------------------- */

static void delivered_more(struct session *s, struct stream *st)
{
	if (st->fin && !st->fin_done && st->delivered == st->final) {
		st->fin_done = true;
		session_note(s, st, NOTE_ACK);
		s->ops.on_fin(s->ctx, st);
	} else if (rx_ack_due(st))
		session_note(s, st, NOTE_ACK);
	else if (rx_ack_pending(st))
		session_note(s, st, NOTE_ACK_LATER);
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
	if (!st->full_ms)
		session_moves(s, st);
	session_stands(s, st);
	s->stats.kept_bytes += n;
}

static void take_data(struct session *s, struct stream *st, const uint8_t *p, size_t n)
{
	bool waiting = rx_kept(st) > 0; /* for stream_resume: order forbids passing these on */
	int64_t taken = 0;

	if (!st->epoch_us)
		st->epoch_us = session_now_us(s);
	st->received += n;
	if (st->checked)
		st->crc = crc32c(st->crc, p, n);
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
	session_enter(s);
	before = st->keep.len;
	taken = offer(s, st, buf_head(&st->keep), before);
	if (taken > 0) {
		buf_consume(&st->keep, (size_t)taken);
		s->stats.kept_bytes -= (size_t)taken;
		if (st->keep.len == 0)
			session_moves(s, st);
		else
			st->moved_ms = s->now_ms;
		delivered_more(s, st);
	}
	session_leave(s);
}

/* A frame for a stream we do not have, or have closed: the peer must not wait for us. */
static void answer_stray(struct session *s, struct stream *st, uint32_t id)
{
	if (st) {
		if (st->reset_ours)
			session_note(s, st, NOTE_RESET);
		else if (!st->reset)
			session_note(s, st, NOTE_ACK);
		return;
	}
	for (size_t i = 0; i < s->n_orphans; i++)
		if (s->orphans[i].id == id)
			return;
	if (s->n_orphans == ORPHANS_MAX)
		return; /* its next frame will ask again */
	s->orphans[s->n_orphans].id = id;
	s->orphans[s->n_orphans++].code = id <= s->top_id ? RESET_CANCELLED : RESET_UNKNOWN_STREAM;
	session_wake(s);
}
/* ---- frames of streams ----------------------------------------------------------------------- */

static int bad_frame(struct err *err, const struct frame *f, const char *why)
{
	return err_set(err, ERR_INVALID, "%s: frame type %d, stream %u, %llu", why, (int)f->type,
		       f->stream, (unsigned long long)f->a);
}

static int receive_data(struct session *s, const struct frame *f, struct err *err)
{
	bool control = f->stream <= CONTROL_OUT;
	struct stream *st = control ? s->control_rx : session_find(s, f->stream);
	size_t skip;

	if (session_sends(s, f->stream))
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
		session_give_up(s, st, RESET_FLOW_ERROR, true);
		s->ops.on_reset(s->ctx, st, RESET_FLOW_ERROR);
		return 0;
	case RX_TAKE:
		break;
	}
	s->stats.duplicate_bytes += skip;
	if (control)
		return session_take_records(s, f->body + skip, f->body_len - skip, err);
	take_data(s, st, f->body + skip, f->body_len - skip);
	return 0;
}

static int receive_fin(struct session *s, const struct frame *f, struct err *err)
{
	struct stream *st = session_find(s, f->stream);

	if (f->stream <= CONTROL_OUT || session_sends(s, f->stream))
		return bad_frame(err, f, "wrong direction");
	if (!st || st->closed || st->reset) {
		answer_stray(s, st, f->stream);
		return 0;
	}
	if (f->a != (st->fin ? st->final : st->received))
		return bad_frame(err, f, "end not where the bytes end");
	if (st->fin) {
		if (st->fin_done)
			session_note(s, st, NOTE_ACK);
		return 0;
	}
	if (f->b && st->checked && f->b != stream_check(st)) {
		session_give_up(s, st, RESET_CORRUPT, true);
		s->ops.on_reset(s->ctx, st, RESET_CORRUPT);
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
	struct stream *st = control ? s->control_tx : session_find(s, f->stream);
	int64_t freed;

	if (!session_sends(s, f->stream))
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
	session_tune_sender(s, st);
	session_pace_acked(s, st);
	if (freed > 0)
		session_moves(s, st);
	session_queue(s, st);
	if (st->closed) {
		if (tx_finished(st))
			session_drop(s, st);
	} else if (was_full && stream_space(st) > 0)
		s->ops.on_writable(s->ctx, st);
	return 0;
}

static int receive_reset(struct session *s, const struct frame *f, struct err *err)
{
	struct stream *st = session_find(s, f->stream);

	if (f->stream <= CONTROL_OUT)
		return bad_frame(err, f, "the control stream cannot be reset");
	if (!st)
		return 0;
	if (st->closed)
		session_drop(s, st);
	else if (st->reset) {
		st->reset_ours = false; /* both gave up: nobody needs telling */
		session_unnote(s, st);
	} else {
		session_give_up(s, st, (uint32_t)f->a, false);
		s->ops.on_reset(s->ctx, st, st->reset_code);
	}
	return 0;
}
/* ---- frames of the link ---------------------------------------------------------------------- */

static void receive_pong(struct session *s, uint64_t stamp_us)
{
	uint64_t now_us = session_now_us(s), base = s->stats.rtt_base_us;

	s->ping_out = false;
	if (stamp_us > now_us)
		return;
	/* 0 is taken for "none yet". The least counts, and rises only by what was asked on a quiet link: what a queue adds
	 * is no distance. */
	s->stats.rtt_us = now_us > stamp_us ? now_us - stamp_us : 1;
	if (session_pace_ponged(s, stamp_us))
		base = 2 * base + 1;
	s->stats.rtt_base_us = s->stats.rtt_base_us && base < s->stats.rtt_us ? base : s->stats.rtt_us;
	session_linger_confirmed(s, stamp_us);
}

static int receive_link_message(struct session *s, const struct frame *f, struct err *err)
{
	struct control c;
	int rc = 0;

	if (control_decode(f->body, f->body_len, &c, err) < 0)
		return -1;
	if (s->phase == LINK_GREETING && c.type == CONTROL_WELCOME)
		rc = session_receive_welcome(s, &c.welcome, err);
	else if (s->phase == LINK_UP && c.type == CONTROL_PING) {
		s->pong_due = true;
		s->pong_stamp = c.ping.stamp_us;
		session_wake(s);
	} else if (s->phase == LINK_UP && c.type == CONTROL_PONG)
		receive_pong(s, c.ping.stamp_us);
	else if (s->phase == LINK_UP && c.type == (s->role == SESSION_AGENT ? CONTROL_GOAWAY : CONTROL_MIGRATING))
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
	s->probe_ms = 0;
	if (s->phase == LINK_DOWN)
		return err_set(err, ERR_INVALID, "a frame without a link");
	if (s->phase == LINK_GREETING && s->proof && proof_check(s->proof, SESSION_GATEWAY, frame, &n, err) < 0)
		return -1;
	if (frame_decode(frame, n, &f, err) < 0)
		return -1;
	session_enter(s);
	rc = receive(s, &f, err);
	session_leave(s);
	return rc;
}
