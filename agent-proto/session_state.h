/* session_state - struct session and what the session_*.c files share; private to this folder.
 *
 *     session.c            table of streams, life, time          session_handshake.c  HELLO, WELCOME, positions
 *     session_send.c       the order in which frames leave       session_control.c    records of streams 0 and 1
 *     session_receive.c    what a frame does to its stream       stream.c             one stream's bytes and offsets
 *     session_window.c     how large a window may become     session_pace.c       how much is under way on the link */
#ifndef AGENT_PROTO_SESSION_STATE_H
#define AGENT_PROTO_SESSION_STATE_H

#include "base/mem.h"
#include "frame.h"
#include "session.h"
#include "stream.h"

#define CONTROL_IN 0                  /* stream ids of channel 0, as the agent sees them */
#define CONTROL_OUT 1
#define CONTROL_RECORD_LENGTH 4       /* the length before each message */
#define STREAM_QUANTUM (16 * 1024)    /* what a new stream may send ahead of the bulk */
#define ORPHANS_MAX 32

enum phase { LINK_DOWN, LINK_GREETING, LINK_UP };

/* See session_pace.c. Bytes of streams are counted as they leave, whatever stream they are of, from 0 on each link. */
struct pace {
	uint64_t sent, heard;              /* by us; of these the peer has read */
	struct pace_mark {
		uint64_t at, heard, us;    /* sent and heard when it was set, and when that was */
		uint64_t offset;           /* an ACK of this stream up to here says that all before it was read */
		uint32_t stream;
	} *marks;                          /* NULL until there is much to send */
	size_t n_marks;
	uint64_t marked;                   /* `at` of the last */
	uint64_t best[2], best_us;         /* bytes a second: of this period, of the one before; its beginning */
	uint64_t ping_stamp, ping_at, ping_bytes; /* of the last PING: `sent`, and bytes both ways */
	uint64_t news_us;                  /* when `heard` last grew */
	uint64_t poured_us, shared_us;     /* when bulk was last sent, and last something small beside it */
	bool holding;                      /* a stream waits */
};

/* What outlives a link is in session_save.c, too; of a stream likewise. */
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
	struct tunnel_budget *budget;      /* borrowed; NULL: no window grows */
	size_t reached;                    /* the largest window of late that was used up in time, */
	uint64_t reached_us;               /* and when */
	bool checks;                       /* of streams that are opened now */
	struct proof *proof;               /* borrowed; NULL: the handshake goes without */
	uint32_t features;                 /* as agreed in the last handshake */
	uint32_t link_lifetime_ms;         /* agent: of the last WELCOME; gateway: for the next */

	/* the present link */
	enum phase phase;
	bool woken, greeting_due, ping_due, pong_due, goaway_due, migrating_due, ping_out;
	struct buf greeting;               /* HELLO or WELCOME */
	int verdict;
	uint32_t retry_after_ms;          /* agent: of the last WELCOME; gateway: for the next */
	uint64_t pong_stamp;
	uint32_t goaway_within_ms;
	uint64_t last_rx_ms, last_ping_ms, later_since_ms;
	uint64_t probe_ms;                 /* when it was begun; 0 = none */
	uint64_t drained_ms;               /* when least_queued was found */
	size_t least_queued;
	uint64_t lost_ms;                  /* when the last link went down; 0 = it is up, or never was */
	size_t credit_in, credit_out;      /* from HELLO: granted to a new stream without an ACK */
	struct stream *interactive, *light, *bulk;
	struct stream *later, *acks, *resets;
	uint64_t bulk_sent;
	struct pace pace;
	struct { uint32_t id, code; } orphans[ORPHANS_MAX];
	size_t n_orphans;
	uint8_t head[FRAME_HEAD_MAX];

	struct session_stats stats;
};

static inline bool session_sends(const struct session *s, uint32_t id)
{
	return (s->role == SESSION_GATEWAY) == (id % 2 == 0);
}

static inline struct stream *session_find(struct session *s, uint32_t id)
{
	struct stream *st = s->last;

	if (st && st->id == id)
		return st;
	HASH_FIND(hh, s->streams, &id, sizeof(id), st);
	if (st)
		s->last = st;
	return st;
}

static inline uint64_t session_now_us(const struct session *s)
{
	return s->ops.now_us ? s->ops.now_us(s->ctx) : s->now_ms * 1000;
}

static inline void session_wake(struct session *s)
{
	if (s->woken || s->phase == LINK_DOWN)
		return;
	s->woken = true;
	s->ops.on_wake(s->ctx);
}

/* ---- session.c ---- */
void session_ping(struct session *s);
/* Out of the table; the memory lives until no callback is running. */
void session_drop(struct session *s, struct stream *st);
/* Around whatever may call back: what is dropped meanwhile is freed at the outermost leave. */
void session_enter(struct session *s);
void session_leave(struct session *s);
void session_linger(struct session *s, struct stream *st);
void session_linger_confirmed(struct session *s, uint64_t stamp_us);
/* The stream's bytes will not come. ours: the peer does not know yet. */
void session_give_up(struct session *s, struct stream *st, uint32_t code, bool ours);

/* ---- session_send.c ---- */
void session_note(struct session *s, struct stream *st, enum stream_note note);
void session_unnote(struct session *s, struct stream *st);
void session_flush_acks(struct session *s);  /* the delayed ones are due */
void session_queue(struct session *s, struct stream *st);
void session_unqueue(struct session *s, struct stream *st);

/* It stands still from now on, or goes on. */
static inline void session_stands(struct session *s, struct stream *st)
{
	if (!st->full_ms)
		st->full_ms = s->now_ms;
}

static inline void session_moves(struct session *s, struct stream *st)
{
	st->moved_ms = s->now_ms;
	if (!st->full_ms)
		return;
	st->paused_ms += s->now_ms - st->full_ms;
	s->stats.paused_ms += s->now_ms - st->full_ms;
	st->full_ms = 0;
}

/* ---- session_window.c ---- */
void session_tune_receiver(struct session *s, struct stream *st); /* an ACK of it leaves */
void session_tune_sender(struct session *s, struct stream *st);   /* an ACK of it has come */
void session_rest_window(struct session *s, struct stream *st);   /* nothing has passed for a while */
void session_return_window(struct session *s, struct stream *st); /* no bytes will pass any more */
void session_lend_again(struct session *s);  /* windows that had grown in another process image */

/* ---- session_pace.c ---- */
bool session_pace_holds(struct session *s, const struct stream *st); /* its bytes have to wait; wakes when not any more */
void session_pace_sent(struct session *s, struct stream *st, size_t n); /* these have just left */
void session_pace_acked(struct session *s, const struct stream *st);
void session_pace_pinged(struct session *s, uint64_t stamp_us);
bool session_pace_ponged(struct session *s, uint64_t stamp_us); /* true: nothing to speak of was under way beside it */
uint64_t session_pace_tick(struct session *s, uint64_t next_ms);  /* when to look again, if that is sooner */
void session_pace_reset(struct session *s);                       /* another link */

/* ---- session_control.c ---- */
int session_take_records(struct session *s, const uint8_t *p, size_t n, struct err *err);
void session_restart_control(struct session *s);
int session_resume_control(struct session *s, const struct stream_row *rows, size_t n, struct err *err);

/* ---- session_handshake.c ---- */
int session_receive_welcome(struct session *s, const struct welcome *w, struct err *err);

#endif
