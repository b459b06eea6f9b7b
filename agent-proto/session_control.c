/* session_control - session messages as records of streams 0 and 1: in order, exactly once, across
 * any number of links. */
#include "session_state.h"

#include <assert.h>
#include <string.h>

#include "frame.h"

/* ---- receiving ------------------------------------------------------------------------------- */

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
 * delivered all the same, so that it does not come back on the next. Behind an impossible length nobody
 * knows where the next one begins: the session ends, and nothing more is kept for it. */
int session_take_records(struct session *s, const uint8_t *p, size_t n, struct err *err)
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

		if (left < CONTROL_RECORD_LENGTH)
			break;
		len = (size_t)q[0] << 24 | (size_t)q[1] << 16 | (size_t)q[2] << 8 | q[3];
		if (len == 0 || len > CONTROL_MESSAGE_MAX) {
			rx->reset = true;
			return err_set(rc ? NULL : err, ERR_INVALID, "control record of %zu bytes", len);
		}
		if (left < CONTROL_RECORD_LENGTH + len)
			break;
		rx->delivered += CONTROL_RECORD_LENGTH + len;
		if (control_message(s, q + CONTROL_RECORD_LENGTH, len, rc ? NULL : err) < 0)
			rc = -1;
		if (s->control_epoch != epoch)
			return rc;
		if (in_place) {
			p += CONTROL_RECORD_LENGTH + len;
			n -= CONTROL_RECORD_LENGTH + len;
		} else
			buf_consume(&rx->keep, CONTROL_RECORD_LENGTH + len);
	}
	if (in_place && n > 0 && buf_append(&rx->keep, p, n) < 0)
		assert(!"less than one record and one frame fits");
	session_note(s, rx, rx_ack_due(rx) ? NOTE_ACK : NOTE_ACK_LATER);
	return rc;
}
/* ---- sending --------------------------------------------------------------------------------- */

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
		session_wake(s);
		return 0;
	}
	if (c->type == CONTROL_MIGRATING) {
		s->migrating_due = s->phase == LINK_UP && (s->features & FEATURE_MIGRATING);
		session_wake(s);
		return 0;
	}
	assert(c->type >= CONTROL_EXEC);
	buf_consume(&s->scratch, s->scratch.len);
	buf_append(&s->scratch, "\0\0\0\0", CONTROL_RECORD_LENGTH);
	if (control_encode(c, &s->scratch, err) < 0)
		return -1;
	stale = stale_resize(s, c);
	if (s->scratch.len > stream_space(tx) + stale)
		return err_set(err, ERR_UNAVAILABLE,
			       "%zu bytes of control messages wait for the peer", tx_unacked(tx));
	len = s->scratch.len - CONTROL_RECORD_LENGTH;
	for (int i = 0; i < CONTROL_RECORD_LENGTH; i++)
		buf_head(&s->scratch)[i] = (uint8_t)(len >> (8 * (CONTROL_RECORD_LENGTH - 1 - i)));
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
		session_wake(s);
	return 0;
}

/* ---- across links ---------------------------------------------------------------------------- */

/* Both directions of channel 0 count from 0 again. What the gateway has queued, this agent has never
 * seen: it stays. What the agent queued before its HELLO, the HELLO has told: it goes. */
void session_restart_control(struct session *s)
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
static const struct stream_row *find_row(const struct stream_row *rows, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].id == id)
			return &rows[i];
	return NULL;
}

int session_resume_control(struct session *s, const struct stream_row *rows, size_t n, struct err *err)
{
	const struct stream_row *ours = find_row(rows, n, s->control_tx->id);
	const struct stream_row *theirs = find_row(rows, n, s->control_rx->id);
	size_t freed;

	if (s->control_rx->reset || !ours || !theirs || theirs->acked > s->control_rx->received ||
	    theirs->next_send < s->control_rx->received ||
	    tx_rewind(s->control_tx, ours, &freed) < 0)
		return err_set(err, ERR_INVALID, "control streams cannot be resumed: positions do not fit");
	s->stats.replay_bytes -= freed;
	return 0;
}
