/* http_server - HTTP/1.1 for Docker clients: keep-alive, pipelining, chunked bodies, 100-continue,
 * streaming answers, hijack. Parsing is llhttp in strict mode (src/net/http1.c), never ours.
 *
 * One `struct exchange` is one request and its answer. The handler is called when the head is
 * complete; it must sooner or later end the exchange by exactly one of exchange_reply,
 * exchange_end, exchange_hijack, exchange_abort. After that the pointer is gone.
 * A client that hangs up before that: on_close is called once and the exchange is gone as well.
 * EOF from a client before its request is complete, or after a hijack, is a half-close; while an
 * answer is pending it is not yet a hang-up (curl and Go half-close too): only HANGUP, or an error
 * on write, is. Slow clients: exchange_write never drops, it says when to stop (below).
 * Bounds: all in http_server_options. Loop thread only. */
#ifndef NET_HTTP_SERVER_H
#define NET_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/pack.h"
#include "net/conn.h"
#include "net/tls.h"

struct http_server;
struct exchange;

struct http_server_options {
	size_t max_header_bytes;    /* request line and headers; 431 beyond. Default 1 MiB */
	size_t max_connections;     /* then accepting pauses. Default 4096 */
	uint64_t head_timeout_ms;   /* first byte to end of head. Default 30000 */
	uint64_t idle_timeout_ms;   /* between requests. Default 300000 */
	uint64_t write_stall_ms;    /* a client that takes no byte for so long is cut. 0 = never */
	const char *server_name;    /* the Server header's value, or NULL */
};

typedef void http_handler(struct exchange *x, void *ctx);

struct http_server *http_server_new(uv_loop_t *loop, const struct http_server_options *opt,
				    http_handler *handler, void *ctx);
/* Serve what is accepted on fd (ours from here on). tls may be NULL; it is referenced. */
int http_server_listen(struct http_server *s, int fd, struct tls *tls, struct err *err);
/* Serve one already accepted connection. */
int http_server_accept(struct http_server *s, int fd, struct tls *tls, struct err *err);
size_t http_server_connections(const struct http_server *s);
void http_server_stop_listening(struct http_server *s);
void http_server_free(struct http_server *s); /* cuts what is left; on_close is called for each */

/* For the process image that takes over (gateway/handover.h). hold: no request is begun any more, nor one more byte
 * read of a client that is between two. busy: exchanges under way that could not be carried, and in why what the first
 * is. save: every plain connection, its exchange if it can be carried. restore: in an image that listens already;
 * carried exchanges reach the handler once more. How many connections it has taken. */
void http_server_hold(struct http_server *s, bool hold);
size_t http_server_busy(const struct http_server *s, char *why, size_t cap);
void http_server_save(const struct http_server *s, struct pack *p);
size_t http_server_restore(struct http_server *s, struct unpack *u);
/* Whoever takes over can go on with this exchange. p NULL: only say whether that is so at this moment. An exchange
 * whose answer has begun goes on behind what was written; its body has been consumed, and is not there again. */
typedef bool exchange_carry(struct exchange *x, void *ctx, struct pack *p);
void exchange_on_carry(struct exchange *x, exchange_carry *fn, void *ctx);
/* What the former image's exchange_carry has packed; NULL: this exchange is new. Gone after the handler's return. */
struct unpack *exchange_carried(struct exchange *x);

/* The request. Strings live as long as the exchange. */
const char *exchange_method(const struct exchange *x);
const char *exchange_path(const struct exchange *x);      /* raw, before '?' */
const char *exchange_query(const struct exchange *x);     /* raw, after '?'; "" if none */
const char *exchange_header(const struct exchange *x, const char *name); /* any case; NULL if absent */
const char *exchange_peer(const struct exchange *x);
void exchange_set_user(struct exchange *x, void *p);
void *exchange_user(const struct exchange *x);
/* Called once if the exchange ends without you: the client goes away, its body is broken or too
 * large. The exchange is still readable inside the call, gone after it. */
void exchange_on_close(struct exchange *x, void (*fn)(struct exchange *x, void *ctx), void *ctx);

/* The body. Call at most one of the two; a body nobody asked for is read and dropped (up to 1 MiB,
 * then the connection closes after the answer). 100-continue is sent when asked for.
 * collect: fn gets the whole body, NUL-terminated behind len; above max_bytes the exchange is
 * answered with 413 {"message":...} and fn is not called. Runs even for an empty body. */
typedef void exchange_body_cb(struct exchange *x, void *ctx, const char *body, size_t len);
void exchange_collect_body(struct exchange *x, size_t max_bytes, exchange_body_cb *fn, void *ctx);
/* stream: data(…) per piece, end(…) once after the last. Pause stops reading the socket. */
struct exchange_body_ops {
	void (*data)(struct exchange *x, void *ctx, const void *p, size_t n);
	void (*end)(struct exchange *x, void *ctx);
};
void exchange_stream_body(struct exchange *x, const struct exchange_body_ops *ops, void *ctx);
void exchange_pause_body(struct exchange *x);
void exchange_resume_body(struct exchange *x);

/* The answer. Extra headers first. */
void exchange_add_header(struct exchange *x, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Whole answer with Content-Length, one send; ends the exchange. 204 and 304 and HEAD send no body
 * (HEAD sends the Content-Length). content_type may be NULL. */
void exchange_reply(struct exchange *x, int status, const char *content_type, const void *body,
		    size_t len);
/* Streaming answer: head now, then chunks (HTTP/1.0: until close). */
void exchange_begin(struct exchange *x, int status, const char *content_type);
#define EXCHANGE_OUT_HIGH (256 * 1024)
/* Queue bytes. True: go on. False: they are queued, but stop now; drain(…) is called when less than
 * a quarter of EXCHANGE_OUT_HIGH waits. */
bool exchange_write(struct exchange *x, const void *p, size_t n);
void exchange_on_drain(struct exchange *x, void (*fn)(struct exchange *x, void *ctx), void *ctx);
void exchange_end(struct exchange *x);   /* last chunk; ends the exchange */
void exchange_abort(struct exchange *x); /* cut the connection; ends the exchange */

/* Take the connection: the request body (if any) must have been consumed. The conn is open, wants
 * nothing, and its callback must be set; bytes the parser has already read are moved to leftover
 * (which the caller has initialised, with a max of 64 KiB or more). Nothing has been answered. eof
 * tells whether the client has already half-closed. Ends the exchange; NULL (and the connection is
 * cut) if there is body left or the connection broke in this very round. */
struct conn *exchange_hijack(struct exchange *x, struct buf *leftover, bool *ret_eof);
bool exchange_wants_upgrade(const struct exchange *x); /* Connection: Upgrade and an Upgrade header */

#endif
