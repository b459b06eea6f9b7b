/* session - one agent process and its gateway, across any number of WebSockets.
 *
 * Pure: bytes in, bytes out, the time as an argument; no fd, loop, clock or allocation beyond the
 * bounds below. Both sides use this same code. Specification: PROTOCOL.md. Requirements: R1 to R3,
 * R5 to R8, R10 to R12, R14, R15, R17, R18, R21 of the tunnel's list.
 *
 * A channel is one process: channel 0 is the session's own (control records), 1 the main process,
 * 2 and up execs. Each channel has two one-way streams:
 *     id = 2 * channel      the gateway sends, the agent receives (stdin)
 *     id = 2 * channel + 1  the agent sends, the gateway receives (output)
 * Every stream counts bytes from 0 in 64 bits. A sender keeps what is not acknowledged (the replay
 * buffer) and never more than the window, so its process or client is stopped by its own full pipe
 * rather than anything being dropped.
 *
 * The output of a process is a sequence of records, so that stdout and stderr share one order:
 *     non-TTY exec     [tag 1|2][0 0 0][length u32 BE][bytes]              tag 1 stdout, 2 stderr
 *     main process     [tag 1|2][1 0 0][length u32 BE][time ns u64 BE][bytes]     (also with a TTY)
 *     TTY exec         raw bytes, no records
 * The session itself treats all stream bytes alike. */
#ifndef AGENT_PROTO_SESSION_H
#define AGENT_PROTO_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/pack.h"
#include "control.h"

#define FRAME_MAX (64 * 1024)        /* one frame = one WebSocket message, never longer */
#define FRAME_HANDSHAKE_MAX (CONTROL_HANDSHAKE_MAX + PROOF_TRAILER_LEN + 1) /* but HELLO and WELCOME with many rows */
#define FRAME_DATA_MAX (FRAME_MAX - 32)
#define STREAM_WINDOW_IN (32 * 1024)   /* what a stream begins with, towards the agent ... */
#define STREAM_WINDOW_OUT (256 * 1024) /* ... and from it; tuned from there (session_set_budget) */
#define STREAM_WINDOW_DEFAULT (1024 * 1024) /* of a HELLO that names none */
#define STREAM_WINDOW_MAX (8 * 1024 * 1024)
#define SESSION_STREAMS_MAX 16384    /* open at once */
#define RECORD_HEADER 8
#define RECORD_TIME 8
#define RECORD_TIMED 1               /* flag in byte 1: a time follows the header */

enum session_role { SESSION_AGENT, SESSION_GATEWAY };

struct session;
struct stream;
struct proof;

/* Callbacks run inside session_receive, session_accept and stream_resume, and may call any function
 * here except session_free and session_receive. None may be NULL but now_us. */
struct session_ops {
	/* Bytes arrived. Return how many of them have been written to their destination (0..n): those
	 * count as delivered. The rest stays in the session, bounded by the credit granted, until
	 * stream_resume(). p is valid during the call only. */
	size_t (*on_data)(void *ctx, struct stream *st, const uint8_t *p, size_t n);
	/* All bytes up to the peer's FIN are delivered. Once. */
	void (*on_fin)(void *ctx, struct stream *st);
	/* The peer gave the stream up, or an offset was impossible after a resume (code RESET_LOST). */
	void (*on_reset)(void *ctx, struct stream *st, uint32_t code);
	/* There is room again after stream_space() was 0. */
	void (*on_writable)(void *ctx, struct stream *st);
	/* A session message, in order, exactly once. c is valid during the call only. GOAWAY and MIGRATING
	 * come this way too, but are one link's: not repeated after a cut. */
	void (*on_control)(void *ctx, const struct control *c);
	/* Something can be sent: ask session_next_frame when the link has room. Must only note it. */
	void (*on_wake)(void *ctx);
	/* The same clock as now_ms, finer: for round trips. NULL: now_ms has to do. */
	uint64_t (*now_us)(void *ctx);
};

enum { RESET_CANCELLED = 1, RESET_LOST = 2, RESET_FLOW_ERROR = 3, RESET_UNKNOWN_STREAM = 4, RESET_CORRUPT = 5 };

struct session *session_new(enum session_role role, const uint8_t own_id[BOOT_ID_LEN],
			    const struct session_ops *ops, void *ctx);
void session_free(struct session *s); /* no callbacks; NULL is fine */
/* Gateway: the session as it would be without its link, for a process image that takes over, whose WELCOME is
 * RESUMED. Not inside a callback. restore: streams as they were (session_stream), without users; NULL if the bytes
 * make no sense. */
void session_save(const struct session *s, struct pack *p);
struct session *session_restore(const struct session_ops *ops, void *ctx, uint64_t now_ms, struct unpack *u);

/* What all sessions of a process may hold beyond the windows their streams begin with (R4). While there is
 * some left, a window whose half is used up within about a round trip is doubled, up to
 * STREAM_WINDOW_MAX; a stream that rests gives back what it was lent. */
struct tunnel_budget {
	size_t limit, used;               /* bytes */
	uint64_t refused;                 /* a window would have grown */
};
/* Borrowed, for good. NULL, as at first: windows stay as they were opened. */
void session_set_budget(struct session *s, struct tunnel_budget *budget);
/* Keep a checksum of every stream opened from here on, and compare it at its end (R9). The gateway's wish
 * decides for both; an agent that is told from its beginning covers what it has sent before, too. */
void session_set_checks(struct session *s);

/* ---- streams ---------------------------------------------------------------------------------- */

/* Open the stream with this id (direction follows from id and role). offset: where counting starts:
 * 0, or the position known from a HELLO when a restarted gateway adopts a running agent.
 * window: bytes unacknowledged at most, both replay and receive bound, at first. NULL when the id is open
 * already or SESSION_STREAMS_MAX is reached. */
struct stream *session_open(struct session *s, uint32_t id, uint64_t offset, size_t window);
struct stream *session_stream(struct session *s, uint32_t id); /* NULL if not open */
/* Forget a stream: both sides are done with it (FIN delivered, or reset). A sender with bytes or a
 * FIN unacknowledged is kept inside until the peer has them, with no more callbacks. Late frames for
 * it are ignored. */
void stream_close(struct stream *st);

uint32_t stream_id(const struct stream *st);
void stream_set_user(struct stream *st, void *p);
void *stream_user(const struct stream *st);

/* Sender. */
size_t stream_space(const struct stream *st);                 /* bytes that may be written now */
size_t stream_write(struct stream *st, const void *p, size_t n); /* how many were taken */
/* Contiguous room of at least 1 and at most `want` bytes inside the replay buffer, to read() into
 * (*ret_n = how many), then commit what was read; nothing else may touch the stream between.
 * NULL when there is no space. */
uint8_t *stream_reserve(struct stream *st, size_t want, size_t *ret_n);
void stream_commit(struct stream *st, size_t n);
void stream_fin(struct stream *st);                           /* end here (half-close) */
void stream_reset(struct stream *st, uint32_t code);          /* either side: give it up */
uint64_t stream_written(const struct stream *st);             /* offset of the end */
uint64_t stream_acked(const struct stream *st);               /* the peer's delivered */
bool stream_fin_acked(const struct stream *st);               /* all bytes and the FIN are delivered */
/* STREAM_CHECK + CRC32C of all bytes so far (written, or received); 0: not kept for this stream. */
#define STREAM_CHECK ((uint64_t)1 << 32)
uint64_t stream_check(const struct stream *st);
void stream_set_bulk(struct stream *st, bool bulk);           /* scheduling: bulk last (default) or interactive */

/* Receiver. */
void stream_resume(struct stream *st);                        /* offer the kept bytes to on_data again */
uint64_t stream_delivered(const struct stream *st);
size_t stream_kept(const struct stream *st);                  /* received, not yet delivered */
bool stream_fin_received(const struct stream *st);

/* ---- control ---------------------------------------------------------------------------------- */

/* Queue a session message on the control stream. -1 only when it is too large, or more than
 * CONTROL_BACKLOG_MAX bytes wait unacknowledged (the peer is long gone). A RESIZE replaces the one
 * before it if that has not left yet. GOAWAY and MIGRATING go out on the present link, if any (MIGRATING
 * only to a gateway that knows it). */
#define CONTROL_BACKLOG_MAX (4 * 1024 * 1024)
int session_send(struct session *s, const struct control *c, struct err *err);

/* ---- link ------------------------------------------------------------------------------------- */

/* Agent: a WebSocket is open. The session parks the old link, fills version, boot_id, gateway_id and
 * the stream list of *hello (the caller fills the rest; hello is the caller's to release) and sends
 * HELLO as the first frame. Nothing else is sent before WELCOME. link_no is chosen by the caller,
 * ever higher. After WELCOME_NEW messages queued before this call are gone: the process table in
 * HELLO has told them, except that each EXIT not yet acknowledged must be sent again. */
void session_hello(struct session *s, struct hello *hello, uint64_t now_ms);

/* Gateway: a HELLO came in on a new WebSocket (decode it with session_peek_hello) and is for this
 * session. Parks the old link, rewinds the senders to the agent's positions, queues WELCOME with our
 * positions. new_session: true when this gateway has just made the session, having opened every
 * stream it wants to go on with (streams the agent has and we have not are reset on the agent's
 * side). With false hello->gateway_id should be our own id: if it is not, and no control message has
 * passed yet, our WELCOME was lost and the session is greeted as new once more; what was queued here
 * is kept and sent. -1 if messages have passed, or the control streams cannot be continued: then make
 * a new session. */
int session_accept(struct session *s, const struct hello *hello, bool new_session, uint64_t now_ms,
		   struct err *err);
/* Gateway: what WELCOME tells agents about their tries when the link is lost, from now on; 0 = nothing. */
void session_set_retry_spread(struct session *s, uint32_t spread_ms);
/* Gateway: what WELCOME tells agents of the age at which a link is ended by something on the way. */
void session_set_link_lifetime(struct session *s, uint32_t ms);
/* Agent: what the last WELCOME said of it; 0 = nothing. */
uint32_t session_link_lifetime(const struct session *s);
/* The handshake of the link to come is proved (proof.h): HELLO and WELCOME are signed, and to the agent a WELCOME
 * without the right proof is a protocol error. Borrowed: by the gateway until session_accept returns, by the agent for as
 * long as it is set. NULL: it is not. */
void session_set_proof(struct session *s, struct proof *p);
/* The WELCOME frame for a refusal, for a link that gets no session. Frame bytes are appended. */
int session_refusal(enum welcome_verdict verdict, uint32_t retry_after_ms, const char *message,
		    struct buf *out, struct err *err);
/* The first frame of a link: must be HELLO. */
int session_peek_hello(const uint8_t *frame, size_t n, struct hello *ret, struct err *err);
void hello_release(struct hello *h);

/* The link is gone. Positions stay; nothing is lost. */
void session_link_down(struct session *s);
bool session_link_up(const struct session *s);   /* handshake complete on the present link */
/* Agent: the verdict of the last WELCOME, WELCOME_RESUMED or _NEW meaning we are up; -1 = none yet.
 * *ret_retry_after_ms: its retry_after_ms. */
int session_verdict(const struct session *s, uint32_t *ret_retry_after_ms);

/* One frame from the present link. -1: protocol error (err says which): close the link and resume. */
int session_receive(struct session *s, const uint8_t *frame, size_t n, uint64_t now_ms, struct err *err);

/* The next frame to send, by priority: link control, acknowledgements, control stream, interactive
 * streams, bulk streams in deficit round robin. 1 and the two pieces (valid until the next call into
 * the session), or 0. Call until 0 or until the socket is full. */
struct frame_out {
	const uint8_t *head;
	size_t head_len;
	const uint8_t *body;     /* points into the replay buffer: no copy */
	size_t body_len;
};
int session_next_frame(struct session *s, struct frame_out *ret, uint64_t now_ms);

/* Call at or after the time it returned last (monotonic ms), and after session_receive and
 * stream_resume, which may bring that time forward; cheap. Sends pings (10 s; 5 s while streams of
 * processes are open), releases delayed acknowledgements (25 ms), gives idle buffers back. Returns
 * when to call again. */
uint64_t session_tick(struct session *s, uint64_t now_ms);
/* Send a PING as soon as the link can: whoever is alive answers, and has SESSION_PROBE_MS for it (R21). */
void session_ask(struct session *s, uint64_t now_ms);
bool session_has_answered(const struct session *s); /* anything has come since */
/* Something is about to depend on the link: when it has been silent for more than SESSION_PROBE_SILENCE_MS, it has
 * to show within SESSION_PROBE_MS that it lives. */
#define SESSION_PROBE_SILENCE_MS 5000
#define SESSION_PROBE_MS 2000
void session_probe(struct session *s, uint64_t now_ms);
#define SESSION_SILENCE_MS 25000
uint64_t session_silent_ms(const struct session *s, uint64_t now_ms); /* since any frame arrived */
/* Is the present link of no more use: silent for SESSION_SILENCE_MS, or a probe unanswered? Not while our own
 * bytes still leave the kernel (queued: how many of them wait there), as the answer is behind them: for
 * four times as long at most. */
bool session_link_dead(struct session *s, size_t queued, uint64_t now_ms);

struct session_stats {
	uint64_t rtt_us;                  /* of the last PONG; 0 = none yet */
	uint64_t bytes_in, bytes_out;     /* stream payload, retransmissions included */
	uint64_t resent_bytes, duplicate_bytes;
	uint64_t links;                   /* handshakes completed; resumes = links - 1 */
	size_t streams;                   /* open now, channel 0 not counted */
	size_t replay_bytes, kept_bytes;  /* held in memory now */
	size_t window_bytes;              /* lent by the budget now */
	uint64_t rtt_base_us;             /* the least of late: a round trip without queues */
	uint64_t paused_ms;               /* streams have stood still so long, together: full, or their bytes not taken */
	uint64_t oldest_ms;               /* since the stream that has waited longest moved: unacknowledged, or not taken */
	uint64_t down_ms;                 /* between two links, all together */
};
void session_stats(const struct session *s, struct session_stats *ret);

/* One stream, as far as this side knows both ends of it. */
struct stream_info {
	uint32_t id;
	bool sender, fin, reset;
	uint64_t end;                     /* sender: written; receiver: received */
	uint64_t sent, delivered, limit;  /* sender: sent, the peer's delivered and limit; receiver: sent = received */
	size_t window;
	uint64_t paused_ms, waiting_ms;   /* altogether; since it moved last, if it has something to move */
};
/* Those the application has open, in no order. fn may not touch the session. */
void session_each_stream(const struct session *s, void (*fn)(void *ctx, const struct stream_info *i), void *ctx);

#endif
