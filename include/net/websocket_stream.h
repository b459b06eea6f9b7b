/* websocket_stream - a client that speaks WebSocket, seen as a plain byte stream: for whoever already
 * serves bare connections. What it sends in text or binary messages comes out of the stream; what is
 * written into the stream goes to it in binary messages. Pings are answered inside. The end of the
 * stream becomes a close handshake with the client; the client's Close frame, or its going away, becomes
 * the stream's EOF. Source: RFC 6455. Bounded: one message of 1 MiB from the client, 64 KiB to it. */
#ifndef NET_WEBSOCKET_STREAM_H
#define NET_WEBSOCKET_STREAM_H

#include <uv.h>

#include "base/buf.h"
#include "base/err.h"
#include "net/conn.h"

#define WS_STREAM_MESSAGE_MAX (1024 * 1024)
#define WS_STREAM_CLOSE_MS 5000 /* how long the client has to answer our Close */

/* client: the connection behind an accepted handshake, ours from here on; leftover: bytes of it that were
 * read already, ours. answer: the 101 head, sent first. Returns our caller's end of the stream, which
 * behaves like any conn and is its to close; NULL (and the client is cut) with err set. */
struct conn *ws_stream_open(uv_loop_t *loop, struct conn *client, struct buf *leftover, const char *answer,
			    conn_cb *cb, void *ctx, struct err *err);

#endif
