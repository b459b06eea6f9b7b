/* stream - one direction of one channel: offsets, window, replay ring or keep-buffer, fin, reset.
 * Private to this folder. Owns its bytes; the session owns the stream, its place in the lists and
 * everything that is a frame. Nothing here calls back.
 *
 *      sender      acked ........ sent ........ written        acked + window >= written
 *                  | replay      | to be sent  |               sent <= limit (but for control)
 *      receiver    delivered ... received ... granted          granted - delivered <= window
 *                  | kept        | credit     |                                               */
#ifndef AGENT_PROTO_STREAM_H
#define AGENT_PROTO_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "base/buf.h"
#include "control.h"
#include "session.h"

#define RING_MIN (16 * 1024)
#define ACK_BYTES (64 * 1024)   /* acknowledge at once after this much, or half a window (R5) */

enum stream_queue { QUEUE_NONE, QUEUE_INTERACTIVE, QUEUE_LIGHT, QUEUE_BULK };
enum stream_note { NOTE_NONE, NOTE_ACK_LATER, NOTE_ACK, NOTE_RESET };

struct stream {
	struct session *session;   /* borrowed */
	void *user;                /* the application's */
	uint32_t id;
	bool sender;
	bool interactive;
	bool closed;               /* by the application: no more callbacks */
	bool dead;                 /* out of the session's table, freed when no callback is running */
	bool listed;               /* named in our last HELLO, or in the peer's list just being read */
	bool reset;                /* given up by either side: no bytes, no credit */
	bool reset_ours;           /* ... by us: the peer is told on every link until it surely knows */
	bool fin, fin_sent;        /* sender: wanted, sent on this link; receiver: fin seen */
	bool fin_done;             /* sender: acknowledged; receiver: on_fin is due or was called */
	bool in_data;              /* on_data is running for it */
	bool used;                 /* since the last trim */
	bool checked;              /* crc is of all its bytes */
	uint32_t crc;
	uint32_t reset_code;
	size_t window;
	size_t first_window;       /* what it was opened with */
	size_t lent;               /* by the session's budget */
	uint64_t moved_ms;         /* bytes left its hands, or came into empty ones */
	uint64_t paused_ms;        /* it stood still so long, before the present pause */
	uint64_t full_ms;          /* since when: sender: without space; receiver: not taken. 0 = it is not */

	union {
		struct {           /* sender */
			uint64_t acked, sent, written, limit;
			uint64_t sent_max;       /* ever, on any link: below it is a retransmission */
			uint8_t *ring;           /* [acked, written): offset o is at (o - base) & mask */
			size_t cap;              /* a power of two, or 0 */
			uint64_t base;
			uint64_t burst_us;       /* since when burst counts what is sent; before that burst_before */
			size_t burst, burst_before;
		};
		struct {           /* receiver */
			uint64_t delivered, received, granted;
			uint64_t final;          /* offset of the fin */
			uint64_t told_delivered, told_limit; /* in the last ACK sent on this link */
			uint64_t epoch_delivered, epoch_us; /* when half a window was last used up */
			uint64_t rest_delivered;            /* at the last trim */
			struct buf keep;         /* [delivered, received) */
		};
	};

	/* the session's lists */
	enum stream_queue queue;
	struct stream *queue_prev, *queue_next;
	int64_t deficit;           /* bytes it may still send in its turn */
	uint64_t refreshed;        /* bulk bytes the session had sent when deficit was last renewed */
	enum stream_note note;
	struct stream *note_prev, *note_next;
	bool lingering;
	uint64_t noted_us;         /* when its last ACK or RESET went out */
	struct stream *linger_prev, *linger_next; /* next: also the list of the dead */
	UT_hash_handle hh;
};

/* credit: what both sides take as granted before the first ACK. */
struct stream *stream_new(uint32_t id, bool sender, uint64_t offset, size_t window, size_t credit);
void stream_free(struct stream *st);
/* Before the first byte: what both sides take as granted is this. */
void stream_set_credit(struct stream *st, size_t credit);
void stream_drop_bytes(struct stream *st); /* the memory; offsets stay */
void stream_trim(struct stream *st);       /* give back memory not used since the last trim */

/* ---- sender ---- */
size_t tx_sendable(const struct stream *st);        /* bytes written and allowed, not yet sent */
bool tx_fin_due(const struct stream *st);
static inline bool tx_ready(const struct stream *st)
{
	return tx_sendable(st) > 0 || tx_fin_due(st);
}
static inline size_t tx_unacked(const struct stream *st)
{
	return (size_t)(st->written - st->acked);
}
bool tx_finished(const struct stream *st);          /* the peer has all there is */
/* The longest contiguous piece at `sent`, at most max; and to move past it. */
const uint8_t *tx_piece(const struct stream *st, size_t max, size_t *ret_n);
size_t tx_advance(struct stream *st, size_t n);     /* returns how many of them were sent before */
/* The peer's ACK. Returns bytes freed, or -1: it acknowledges what was never sent. */
int64_t tx_acked(struct stream *st, uint64_t delivered, uint64_t limit);
/* A new link: go on from the peer's row. -1: it does not fit what we hold. *ret_freed: bytes. */
int tx_rewind(struct stream *st, const struct stream_row *row, size_t *ret_freed);
/* Count from 0 again, forgetting everything below `from`. Returns bytes freed. */
size_t tx_restart(struct stream *st, uint64_t from);
void tx_truncate(struct stream *st, uint64_t end);  /* take back bytes that were never sent */

/* ---- receiver ---- */
enum rx_verdict { RX_TAKE, RX_OLD, RX_GAP, RX_NO_CREDIT, RX_PAST_FIN };
/* What of [offset, offset+n) is new: *ret_skip bytes at the front are not. Changes nothing. */
enum rx_verdict rx_judge(const struct stream *st, uint64_t offset, size_t n, size_t *ret_skip);
static inline size_t rx_kept(const struct stream *st) { return (size_t)(st->received - st->delivered); }
/* Room for twice as much: of a full buffer that gives up little at a time, each piece that comes would
 * else move all the rest. */
static inline void rx_keep_at_most(struct stream *st, size_t n) { st->keep.max = 2 * n; }
uint64_t rx_limit(const struct stream *st);         /* what an ACK sent now may grant */
bool rx_ack_due(const struct stream *st);           /* worth telling at once */
bool rx_ack_pending(const struct stream *st);       /* worth telling at all */
void rx_restart(struct stream *st);

#endif
