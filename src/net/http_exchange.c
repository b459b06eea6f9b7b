/* http_exchange - one request and its answer, as the owner of the exchange sees them (net/http_server.h).
 *
 * Owns the exchange from the end of its head to exactly one end: the owner's (reply, end, hijack, abort) or the
 * client's (lost). The owner is called back when http_server.c feeds, never from inside what the owner calls. */
#include "net/http_server.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "http_server_state.h"

#define EXTRA_MAX (256 * 1024)

/* ---- beginning and end, for http_server.c ---- */

void server_exchange_open(struct client *c)
{
	struct exchange *x = xcalloc(1, sizeof(*x));
	char *target = http1_target_mutable(c->parser), *mark = strchr(target, '?');

	c->x = x;
	x->client = c;
	x->path = target;
	x->query = mark ? mark + 1 : "";
	if (mark)
		*mark = '\0';
	x->http_1_0 = http1_is_1_0(c->parser);
	x->head_request = strcmp(http1_method(c->parser), "HEAD") == 0;
	x->owes_continue = http1_has_body(c->parser) && !x->http_1_0 &&
			   http1_header(c->parser, "expect");
	buf_init(&x->extra, EXTRA_MAX);
	x->carried = c->server->carried;
	if (x->carried) {
		x->resumed = x->begun = c->server->carried_answer & ANSWER_BEGUN;
		x->bodyless = c->server->carried_answer & ANSWER_BODYLESS;
		x->chunked = c->server->carried_answer & ANSWER_CHUNKED;
	}
	c->server->handler(x, c->server->ctx);
}

static void exchange_free(struct exchange *x)
{
	x->client->x = NULL;
	buf_release(&x->body);
	buf_release(&x->extra);
	free(x);
}

void server_exchange_lost(struct exchange *x)
{
	if (!x)
		return;
	x->lost = true;
	if (x->on_close)
		x->on_close(x, x->close_ctx);
	exchange_free(x);
}

void server_exchange_body(struct exchange *x, const char *p, size_t n)
{
	struct client *c = x->client;
	char why[64];

	x->owes_continue = false;
	if (x->mode == STREAM) {
		x->ops.data(x, x->body_ctx, p, n);
		return;
	}
	if (n < buf_room(&x->body)) {
		buf_append(&x->body, p, n);
		return;
	}
	snprintf(why, sizeof(why), "the request body is larger than %zu bytes", x->body.max - 1);
	c->close_after = true;
	server_exchange_lost(x);
	server_refuse(c, 413, why);
}

void server_exchange_body_end(struct exchange *x)
{
	x->end_told = true;
	if (x->mode == STREAM) {
		x->ops.end(x, x->body_ctx);
		return;
	}
	buf_append(&x->body, "", 1);
	x->collected(x, x->body_ctx, (char *)buf_head(&x->body), x->body.len - 1);
}

/* ---- the request ---- */

const char *exchange_method(const struct exchange *x)
{
	return http1_method(x->client->parser);
}

const char *exchange_path(const struct exchange *x)
{
	return x->path;
}

const char *exchange_query(const struct exchange *x)
{
	return x->query;
}

const char *exchange_header(const struct exchange *x, const char *name)
{
	return http1_header(x->client->parser, name);
}

const char *exchange_peer(const struct exchange *x)
{
	return conn_peer(x->client->conn);
}

void exchange_set_user(struct exchange *x, void *p)
{
	x->user = p;
}

void *exchange_user(const struct exchange *x)
{
	return x->user;
}

void exchange_on_close(struct exchange *x, void (*fn)(struct exchange *x, void *ctx), void *ctx)
{
	x->on_close = fn;
	x->close_ctx = ctx;
}

void exchange_on_carry(struct exchange *x, exchange_carry *fn, void *ctx)
{
	x->carry = fn;
	x->carry_ctx = ctx;
}

struct unpack *exchange_carried(struct exchange *x)
{
	return x->carried;
}

/* ---- the body ---- */

static void ask_for_body(struct exchange *x, enum body_mode mode)
{
	struct client *c = x->client;
	size_t arrived = c->in_feed ? c->view_len : c->in.len;

	assert(x->mode == HOLD);
	x->mode = mode;
	if (x->owes_continue && !arrived) {
		struct iovec iov = {"HTTP/1.1 100 Continue\r\n\r\n", 25};

		server_client_send(c, &iov, 1);
	}
	x->owes_continue = false;
	server_client_pump(c);
}

void exchange_collect_body(struct exchange *x, size_t max_bytes, exchange_body_cb *fn, void *ctx)
{
	buf_init(&x->body, max_bytes + 1);
	x->collected = fn;
	x->body_ctx = ctx;
	ask_for_body(x, COLLECT);
}

void exchange_stream_body(struct exchange *x, const struct exchange_body_ops *ops, void *ctx)
{
	x->ops = *ops;
	x->body_ctx = ctx;
	ask_for_body(x, STREAM);
}

void exchange_pause_body(struct exchange *x)
{
	x->body_paused = true;
	server_client_want(x->client);
}

void exchange_resume_body(struct exchange *x)
{
	if (!x->body_paused)
		return;
	x->body_paused = false;
	server_client_pump(x->client);
}

/* ---- the answer ---- */

void exchange_add_header(struct exchange *x, const char *name, const char *fmt, ...)
{
	char value[8192];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	/* A value may carry text of a peer: it must not become another header. */
	for (char *p = value; *p; p++)
		if ((unsigned char)*p < 0x20 && *p != '\t')
			*p = ' ';
	buf_printf(&x->extra, "%s: %s\r\n", name, value);
}

/* The owner's part is over. */
static void exchange_over(struct exchange *x)
{
	struct client *c = x->client;

	assert(!x->lost); /* on_close has said that it is gone */
	exchange_free(x);
	server_client_pump(c);
}

static bool has_body(const struct exchange *x, int status)
{
	return !x->head_request && status >= 200 && status != 204 && status != 304;
}

/* A client that was never told to send its body may do so or not: no way to go on from there. */
static void settle_connection(struct exchange *x)
{
	x->client->close_after |= x->owes_continue;
}

void exchange_reply(struct exchange *x, int status, const char *content_type, const void *body,
		    size_t len)
{
	bool sized = status >= 200 && status != 204 && status != 304;

	assert(!x->begun);
	settle_connection(x);
	server_answer(x->client, status, content_type, sized ? LENGTH : NO_BODY, body, len, &x->extra,
		  has_body(x, status));
	exchange_over(x);
}

void exchange_begin(struct exchange *x, int status, const char *content_type)
{
	enum framing framing;

	if (x->resumed) /* the client has the head */
		return;
	assert(!x->begun);
	x->begun = true;
	x->bodyless = !has_body(x, status);
	x->chunked = !x->bodyless && !x->http_1_0;
	settle_connection(x);
	x->client->close_after |= !x->bodyless && !x->chunked;
	framing = x->chunked ? CHUNKED : x->bodyless ? NO_BODY : UNTIL_CLOSE;
	server_answer(x->client, status, content_type, framing, NULL, 0, &x->extra, false);
}

bool exchange_write(struct exchange *x, const void *p, size_t n)
{
	struct client *c = x->client;
	struct iovec iov[3] = {{NULL, 0}, {(void *)p, n}, {"\r\n", 2}};
	char size[24];

	assert(x->begun);
	if (n && x->chunked) {
		iov[0] = (struct iovec){size, (size_t)snprintf(size, sizeof(size), "%zx\r\n", n)};
		server_client_send(c, iov, 3);
	} else if (n && !x->bodyless) {
		server_client_send(c, iov + 1, 1);
	}
	x->congested |= c->out.len > EXCHANGE_OUT_HIGH;
	return !x->congested && !c->broken && c->phase != DEAD;
}

void exchange_on_drain(struct exchange *x, void (*fn)(struct exchange *x, void *ctx), void *ctx)
{
	x->on_drain = fn;
	x->drain_ctx = ctx;
}

void exchange_end(struct exchange *x)
{
	struct iovec last = {"0\r\n\r\n", 5};

	assert(x->begun);
	if (x->chunked)
		server_client_send(x->client, &last, 1);
	exchange_over(x);
}

void exchange_abort(struct exchange *x)
{
	struct client *c = x->client;

	assert(!x->lost);
	exchange_free(x);
	server_client_close(c);
}

/* ---- hijack ---- */

bool exchange_wants_upgrade(const struct exchange *x)
{
	return http1_wants_upgrade(x->client->parser);
}

struct conn *exchange_hijack(struct exchange *x, struct buf *leftover, bool *ret_eof)
{
	struct client *c = x->client;
	struct conn *conn = c->conn;
	const char *rest = c->in_feed ? c->view : (char *)buf_head(&c->in);
	size_t n = c->in_feed ? c->view_len : c->in.len;

	assert(!x->begun && !x->lost);
	if (c->phase != DONE || c->out.len || c->broken || buf_append(leftover, rest, n) < 0) {
		exchange_abort(x);
		return NULL;
	}
	*ret_eof = c->eof;
	exchange_free(x);
	c->conn = NULL;
	conn_want(conn, 0);
	server_client_detach(c);
	return conn;
}
