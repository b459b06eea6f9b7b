/* stream - see stream.h. The replay ring grows by doubling up to the window and is mapped by
 * absolute offset, so that nothing moves when bytes are acknowledged. */
#include "stream.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "frame.h"

struct stream *stream_new(uint32_t id, bool sender, uint64_t offset, size_t window, size_t credit)
{
	struct stream *st = xcalloc(1, sizeof(*st));

	st->id = id;
	st->sender = sender;
	st->window = st->first_window = window;
	if (sender) {
		st->acked = st->sent = st->sent_max = st->written = st->base = offset;
	} else {
		st->delivered = st->received = st->told_delivered = offset;
		st->epoch_delivered = st->rest_delivered = offset;
		buf_init(&st->keep, 0);
	}
	stream_set_credit(st, credit);
	return st;
}

void stream_set_credit(struct stream *st, size_t credit)
{
	size_t most = credit > st->window ? credit : st->window;

	if (st->sender) {
		st->limit = st->sent_max + (credit < st->window ? credit : st->window);
		return;
	}
	st->granted = st->received + most;
	st->told_limit = st->received + credit;
	rx_keep_at_most(st, most);
}

void stream_drop_bytes(struct stream *st)
{
	if (st->sender) {
		free(st->ring);
		st->ring = NULL;
		st->cap = 0;
	} else
		buf_release(&st->keep);
}

void stream_free(struct stream *st)
{
	if (!st)
		return;
	stream_drop_bytes(st);
	free(st);
}

void stream_trim(struct stream *st)
{
	bool empty = st->sender ? st->acked == st->written : st->keep.len == 0;

	if (empty && !st->used)
		stream_drop_bytes(st);
	st->used = false;
}

uint32_t stream_id(const struct stream *st) { return st->id; }
void stream_set_user(struct stream *st, void *p) { st->user = p; }
void *stream_user(const struct stream *st) { return st->user; }

uint64_t stream_check(const struct stream *st)
{
	return st->checked ? STREAM_CHECK | st->crc : 0;
}

/* ---- sender ----------------------------------------------------------------------------------- */

size_t stream_space(const struct stream *st)
{
	assert(st->sender);
	return st->fin || st->reset ? 0 : st->window - tx_unacked(st);
}

/* Room for `want` more bytes behind the unacknowledged ones; want is at most the space. */
static void ring_grow(struct stream *st, size_t want)
{
	size_t used = tx_unacked(st), cap = st->cap ? st->cap : RING_MIN, at, first;
	uint8_t *ring;

	if (used == 0)
		st->base = st->written; /* an empty ring starts at its beginning: fewer cut pieces */
	if (used + want <= st->cap)
		return;
	while (cap < used + want)
		cap *= 2;
	ring = xmalloc(cap);
	if (used) {
		at = (size_t)(st->acked - st->base) & (st->cap - 1);
		first = used < st->cap - at ? used : st->cap - at;
		memcpy(ring, st->ring + at, first);
		memcpy(ring + first, st->ring, used - first);
	}
	free(st->ring);
	st->ring = ring;
	st->cap = cap;
	st->base = st->acked;
}

uint8_t *stream_reserve(struct stream *st, size_t want, size_t *ret_n)
{
	size_t space = stream_space(st), at, n = want < space ? want : space;

	if (n == 0)
		return NULL;
	ring_grow(st, n);
	at = (size_t)(st->written - st->base) & (st->cap - 1);
	*ret_n = n < st->cap - at ? n : st->cap - at;
	return st->ring + at;
}

uint64_t stream_written(const struct stream *st)
{
	assert(st->sender);
	return st->written;
}

uint64_t stream_acked(const struct stream *st)
{
	assert(st->sender);
	return st->acked;
}

bool stream_fin_acked(const struct stream *st)
{
	return st->sender && st->fin_done;
}

bool tx_finished(const struct stream *st)
{
	return st->acked == st->written && (!st->fin || st->fin_done);
}

size_t tx_sendable(const struct stream *st)
{
	uint64_t end = st->written < st->limit ? st->written : st->limit;

	return st->reset || end <= st->sent ? 0 : (size_t)(end - st->sent);
}

bool tx_fin_due(const struct stream *st)
{
	return st->fin && !st->fin_sent && !st->fin_done && !st->reset && st->sent == st->written;
}

const uint8_t *tx_piece(const struct stream *st, size_t max, size_t *ret_n)
{
	size_t at = (size_t)(st->sent - st->base) & (st->cap - 1), n = tx_sendable(st);

	assert(n > 0);
	if (n > max)
		n = max;
	*ret_n = n < st->cap - at ? n : st->cap - at;
	return st->ring + at;
}

size_t tx_advance(struct stream *st, size_t n)
{
	uint64_t before = st->sent;

	st->sent += n;
	if (st->sent <= st->sent_max)
		return n;
	n = (size_t)(st->sent_max - before);
	st->sent_max = st->sent;
	return n;
}

static size_t tx_forget(struct stream *st, uint64_t delivered)
{
	size_t freed = 0;

	if (delivered > st->acked) {
		freed = (size_t)(delivered - st->acked);
		st->acked = delivered;
		st->used = true;
	}
	if (st->sent < st->acked)
		st->sent = st->acked;
	return freed;
}

int64_t tx_acked(struct stream *st, uint64_t delivered, uint64_t limit)
{
	if (delivered > st->sent_max) { /* one past the end acknowledges the FIN itself */
		if (!(st->fin_sent || st->fin_done) || delivered != st->written + 1)
			return -1;
		st->fin_done = true;
		delivered = st->written;
	}
	if (limit > st->limit)
		st->limit = limit;
	return (int64_t)tx_forget(st, delivered);
}

int tx_rewind(struct stream *st, const struct stream_row *row, size_t *ret_freed)
{
	*ret_freed = 0;
	if (row->received < st->acked || row->received > st->sent_max ||
	    row->delivered > row->received ||
	    (row->fin && (!st->fin || row->received != st->written)))
		return -1;
	st->sent = row->received;
	st->fin_sent = row->fin;
	if (row->fin && row->delivered == st->written)
		st->fin_done = true;
	*ret_freed = tx_forget(st, row->delivered);
	return 0;
}

size_t tx_restart(struct stream *st, uint64_t from)
{
	size_t freed = tx_forget(st, from);

	st->written -= from;
	st->base -= from; /* wraps below 0, as does the subtraction that maps an offset */
	st->acked = st->sent = st->sent_max = 0;
	return freed;
}

void tx_truncate(struct stream *st, uint64_t end)
{
	assert(end >= st->sent_max && end >= st->acked && end <= st->written);
	st->written = end;
}

/* ---- receiver --------------------------------------------------------------------------------- */

uint64_t stream_delivered(const struct stream *st)
{
	assert(!st->sender);
	return st->delivered;
}

size_t stream_kept(const struct stream *st)
{
	assert(!st->sender);
	return rx_kept(st);
}

bool stream_fin_received(const struct stream *st)
{
	return !st->sender && st->fin;
}

enum rx_verdict rx_judge(const struct stream *st, uint64_t offset, size_t n, size_t *ret_skip)
{
	uint64_t end = offset + n;

	*ret_skip = n;
	if (offset > st->received)
		return RX_GAP;
	if (end <= st->received)
		return RX_OLD;
	if (st->fin)
		return RX_PAST_FIN;
	if (end > st->granted)
		return RX_NO_CREDIT;
	*ret_skip = (size_t)(st->received - offset);
	return RX_TAKE;
}

uint64_t rx_limit(const struct stream *st)
{
	uint64_t limit = st->delivered + st->window;

	return limit > st->granted ? limit : st->granted;
}

/* At once: a good piece was delivered, or the sender would soon stand still for want of credit. */
bool rx_ack_due(const struct stream *st)
{
	uint64_t news = st->delivered - st->told_delivered;

	return news >= ACK_BYTES || (news > 0 && news >= st->window / 2);
}

bool rx_ack_pending(const struct stream *st)
{
	return st->delivered != st->told_delivered || rx_limit(st) > st->told_limit;
}

void rx_restart(struct stream *st)
{
	buf_release(&st->keep);
	st->reset = false;
	st->delivered = st->received = st->told_delivered = st->told_limit = 0;
	st->granted = OFFSET_MAX;
}
