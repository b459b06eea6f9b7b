/* websocket_link - a conn that speaks WebSocket, for the agent (client of the callback, server of
 * forward mode) and for the gateway's forward dial. Binary messages in, binary messages out, or text
 * messages after wslink_speak_text.
 *
 * Sending is pull: wslink_wake() says there is something; when the socket has room, the link asks
 * next() for one message after the other and writes several at once. At most
 * WSLINK_AHEAD bytes are taken ahead of the kernel, so that a ping never waits behind more.
 * Pings are answered inside. Close is immediate and two-phase; on_close runs exactly once, unless
 * wslink_close() was called. */
#ifndef NET_WEBSOCKET_LINK_H
#define NET_WEBSOCKET_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/conn.h"

#define WSLINK_AHEAD (128 * 1024)
#define WSLINK_DEAD_MS 20000 /* bytes the peer's kernel does not confirm for so long end it */
#define WSLINK_MESSAGE_MAX (4 * 1024 * 1024) /* a HELLO that lists thousands of processes */

struct wslink;

/* One outgoing message in two pieces, so that a payload is copied only while being masked. The head is
 * lent until the next call of next(), the body until that one has said 0 or has not been called any more. */
struct wslink_out {
	const uint8_t *head;
	size_t head_len;
	const uint8_t *body;
	size_t body_len;
};

struct wslink_ops {
	void (*on_open)(void *ctx, struct wslink *l);
	void (*on_message)(void *ctx, struct wslink *l, const uint8_t *p, size_t n);
	/* 1 and *ret filled (valid until the next call), or 0: nothing now. */
	int (*next)(void *ctx, struct wslink *l, struct wslink_out *ret);
	/* http_status: what the peer answered instead of 101, or 0. reason: a sentence. */
	void (*on_close)(void *ctx, struct wslink *l, int http_status, const char *reason);
};

struct wslink_options {
	const char *url;             /* ws:// wss:// http:// https:// host[:port]/path?query */
	const char *subprotocol;     /* offered, and required in the answer */
	bool subprotocol_optional;   /* but an answer without it will do: see wslink_has_subprotocol */
	struct strv headers;         /* "Authorization: Bearer ..." */
	const char *answer_header;   /* of the 101, kept for wslink_answer; NULL: none */
	struct tls *tls;             /* client context; needed for wss and https */
	uint64_t timeout_ms;         /* connect + handshake */
};

struct wslink *wslink_connect(uv_loop_t *loop, const struct wslink_options *opt,
			      const struct wslink_ops *ops, void *ctx, struct err *err);
/* Server side of an already answered handshake: conn comes from exchange_hijack (ours from here),
 * leftover's bytes are consumed. on_open is not called. */
struct wslink *wslink_adopt(struct conn *conn, struct buf *leftover, const struct wslink_ops *ops,
			    void *ctx);
bool wslink_has_subprotocol(const struct wslink *l); /* the one that was offered; once open */
const char *wslink_answer(const struct wslink *l); /* its answer_header, or NULL; once open */
void wslink_speak_text(struct wslink *l);     /* from here on text both ways, and no binary */
void wslink_give(struct wslink *l, const struct wslink_ops *ops, void *ctx); /* to another owner */
void wslink_wake(struct wslink *l);           /* cheap; may be called at any time, also in callbacks */
void wslink_pause_reading(struct wslink *l, int pause);
void wslink_close(struct wslink *l);          /* no callback from here on; NULL is fine */
const char *wslink_peer(const struct wslink *l);
size_t wslink_kernel_queue(const struct wslink *l); /* ... in the kernel, not yet confirmed by the peer's */
uint64_t wslink_unsent_bytes(const struct wslink *l); /* taken from next() but not yet in the kernel */

#endif
