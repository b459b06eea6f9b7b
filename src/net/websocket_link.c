/* websocket_link - drives one conn with RFC 6455 frames, as client or as server.
 *
 * Owns the conn, the read buffer and the output buffer; frees itself after on_close or
 * wslink_close, in the deferred phase. on_close is always called from the loop, never inside a
 * wslink_* call. Output is made in one place (flush): the owner's messages are masked straight into
 * the output buffer, or lent where no mask changes them, and go to the kernel in one write.
 * A client's key is random on a line that others may read, and 0 elsewhere (decision 0012).
 *
 *   CONNECTING --conn open--> UPGRADING --101--> OPEN --any end--> GONE */
#include "net/socket.h"
#include "net/websocket_link.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/parse.h"
#include "base/token.h"
#include "http1.h"
#include "net/defer.h"
#include "net/websocket.h"

#define IN_MAX (WSLINK_MESSAGE_MAX + READ_LARGE)
#define READ_SMALL (16 * 1024)         /* per read, until a read fills it: then large ones */
#define READ_LARGE (256 * 1024)
#define OUT_MAX (WSLINK_AHEAD + WSLINK_MESSAGE_MAX + 1024)
#define DIRECT_MIN 1024                /* a shorter body is copied: cheaper than a piece of its own */
#define DIRECT_MAX 8                   /* bodies in one write */
#define FLUSH_BYTES_PER_ROUND (1024 * 1024)
#define ANSWER_HEAD_MAX (64 * 1024)
#define REQUEST_MAX (256 * 1024)
#define MASK_POOL 256

enum link_state { CONNECTING, UPGRADING, OPEN, GONE };

/* A body that goes out from where it lies, behind the first `at` bytes of the output buffer. */
struct direct {
	size_t at;
	const uint8_t *p;
	size_t n;
};

struct wslink {
	uv_loop_t *loop;
	struct conn *conn; /* ours; NULL when GONE */
	const struct wslink_ops *ops;
	void *ctx;
	enum link_state state;
	bool server, text;
	bool subprotocol_optional, has_subprotocol;
	bool plain_key;                 /* client: frames carry the key 0, which changes no byte */
	bool paused, read_much;
	bool in_messages, in_flush;     /* on the stack: flush later, do not recurse */
	bool woken, wake_deferred, look_deferred;
	struct ws_decoder decoder;
	struct buf in, out;
	struct direct direct[DIRECT_MAX]; /* only within flush: what the kernel does not take is copied */
	int n_direct;
	size_t direct_bytes;
	bool pong_due;
	uint8_t pong[125];
	size_t pong_len;
	uint8_t masks[MASK_POOL][4];    /* fresh from the system, used once each */
	size_t masks_left;
	/* until OPEN */
	struct http1 *answer;
	struct timer *timer;
	uint64_t deadline_ms;
	char key[25];
	char *request, *subprotocol;    /* ours */
	char *answer_header, *answer_value;
	/* for on_close */
	int http_status;
	bool closed_by_owner;
	char reason[256];
	char peer[64];
};

static void flush(struct wslink *l);

/* ---- the end ---- */

static void link_free(void *p)
{
	struct wslink *l = p;

	ws_decoder_release(&l->decoder);
	buf_release(&l->in);
	buf_release(&l->out);
	http1_free(l->answer);
	free(l->request);
	free(l->subprotocol);
	free(l->answer_header);
	free(l->answer_value);
	free(l);
}

static void link_gone(struct wslink *l)
{
	l->state = GONE;
	timer_cancel(&l->timer);
	conn_close(l->conn);
	l->conn = NULL;
}

static void tell_close(void *p)
{
	struct wslink *l = p;

	if (!l->closed_by_owner)
		l->ops->on_close(l->ctx, l, l->http_status, l->reason);
	link_free(l); /* what was deferred before has run, and a link that is GONE defers nothing */
}

__attribute__((format(printf, 2, 3)))
static void fail(struct wslink *l, const char *fmt, ...)
{
	va_list ap;

	if (l->state == GONE)
		return;
	va_start(ap, fmt);
	vsnprintf(l->reason, sizeof(l->reason), fmt, ap);
	va_end(ap);
	link_gone(l);
	loop_defer(l->loop, tell_close, l);
}

/* The last frame, if there is room for it: a courtesy, not a promise. */
static void send_close(struct wslink *l, unsigned status)
{
	uint8_t frame[WS_HEADER_MAX + 2], mask[4];
	uint8_t code[2] = {(uint8_t)(status >> 8), (uint8_t)status};
	size_t n;

	if (l->out.len) /* in the middle of another frame */
		return;
	random_bytes(mask, sizeof(mask));
	n = ws_header(frame, WS_CLOSE, 2, l->server ? NULL : mask);
	if (l->server)
		memcpy(frame + n, code, 2);
	else
		ws_mask(frame + n, code, 2, mask, 0);
	if (conn_write(l->conn, frame, n + 2) > 0)
		conn_shutdown_write(l->conn);
}

/* ---- output ---- */

/* Fresh from the system, and used once. */
static const uint8_t *next_mask(struct wslink *l)
{
	static const uint8_t zero[4];

	if (l->plain_key)
		return zero;
	if (!l->masks_left) {
		random_bytes(l->masks, sizeof(l->masks));
		l->masks_left = MASK_POOL;
	}
	return l->masks[--l->masks_left];
}

static size_t waiting(const struct wslink *l)
{
	return l->out.len + l->direct_bytes;
}

/* One frame behind what waits. The room is there: out holds AHEAD and one message more. */
static void put_frame(struct wslink *l, enum ws_opcode op, const struct wslink_out *m)
{
	const uint8_t *mask = l->server ? NULL : next_mask(l);
	bool changed = mask && !l->plain_key;
	bool direct = !changed && m->body_len >= DIRECT_MIN && l->n_direct < DIRECT_MAX;
	size_t len = m->head_len + m->body_len, n;
	uint8_t *to;

	assert(len <= WSLINK_MESSAGE_MAX);
	to = buf_reserve(&l->out, WS_HEADER_MAX + len - (direct ? m->body_len : 0));
	n = ws_header(to, op, len, mask);
	if (changed) {
		ws_mask(to + n, m->head, m->head_len, mask, 0);
		ws_mask(to + n + m->head_len, m->body, m->body_len, mask, m->head_len);
	} else {
		if (m->head_len)
			memcpy(to + n, m->head, m->head_len);
		if (m->body_len && !direct)
			memcpy(to + n + m->head_len, m->body, m->body_len);
	}
	buf_commit(&l->out, n + len - (direct ? m->body_len : 0));
	if (direct) {
		l->direct[l->n_direct++] = (struct direct){l->out.len, m->body, m->body_len};
		l->direct_bytes += m->body_len;
	}
}

/* Take messages until AHEAD bytes wait. True: the owner may have more. */
static bool fill(struct wslink *l)
{
	struct wslink_out m = {0};

	if (l->pong_due && l->out.len < WSLINK_AHEAD) {
		m = (struct wslink_out){.head = l->pong, .head_len = l->pong_len};
		put_frame(l, WS_PONG, &m);
		l->pong_due = false;
	}
	while (waiting(l) < WSLINK_AHEAD) {
		m = (struct wslink_out){0};
		if (!l->ops->next(l->ctx, l, &m) || l->state != OPEN)
			return false;
		put_frame(l, l->text ? WS_TEXT : WS_BINARY, &m);
	}
	return true;
}

/* All that waits, in its order. */
static int gather(const struct wslink *l, struct iovec iov[2 * DIRECT_MAX + 1])
{
	size_t off = 0;
	int n = 0;

	for (int i = 0; i < l->n_direct; i++) {
		const struct direct *d = &l->direct[i];

		if (d->at > off)
			iov[n++] = (struct iovec){buf_head(&l->out) + off, d->at - off};
		iov[n++] = (struct iovec){(void *)d->p, d->n};
		off = d->at;
	}
	if (l->out.len > off)
		iov[n++] = (struct iovec){buf_head(&l->out) + off, l->out.len - off};
	return n;
}

/* Of what was gathered, `sent` bytes are gone: keep our own copy of the rest, since bodies are lent
 * until here and no longer. */
static void keep_rest(struct wslink *l, const struct iovec *iov, int n, size_t sent)
{
	struct buf rest;

	if (!l->n_direct) {
		buf_consume(&l->out, sent);
		return;
	}
	buf_init(&rest, OUT_MAX);
	for (; n > 0; iov++, n--) {
		size_t skip = sent < iov->iov_len ? sent : iov->iov_len;

		sent -= skip;
		if (skip < iov->iov_len)
			buf_append(&rest, (uint8_t *)iov->iov_base + skip, iov->iov_len - skip);
	}
	buf_release(&l->out);
	l->out = rest;
	l->n_direct = 0;
	l->direct_bytes = 0;
}

static void set_want(struct wslink *l)
{
	if (l->state == UPGRADING || l->state == OPEN)
		conn_want(l->conn, (l->paused ? 0 : CONN_READ) | (l->out.len ? CONN_WRITE : 0));
}

/* Write what waits. False: the kernel is full, or it is over. */
static bool write_out(struct wslink *l)
{
	struct iovec iov[2 * DIRECT_MAX + 1];
	size_t all = waiting(l);
	ssize_t sent;
	int n;

	if (!all)
		return true;
	n = gather(l, iov);
	sent = conn_writev(l->conn, iov, n);
	if (sent == CONN_FAILED)
		fail(l, "%s", conn_error(l->conn));
	keep_rest(l, iov, n, sent < 0 ? 0 : (size_t)sent);
	return sent >= 0 && (size_t)sent == all;
}

static void deferred_flush(void *p)
{
	struct wslink *l = p;

	l->wake_deferred = false;
	flush(l);
}

static void defer_flush(struct wslink *l)
{
	if (l->wake_deferred)
		return;
	l->wake_deferred = true;
	loop_defer(l->loop, deferred_flush, l);
}

static void flush(struct wslink *l)
{
	size_t sent = 0;
	bool more;

	if (l->state != OPEN || l->in_flush)
		return;
	l->in_flush = true;
	do {
		l->woken = false;
		more = fill(l);
		if (l->state != OPEN)
			break;
		sent += waiting(l);
		if (!write_out(l))
			break;
	} while ((more || l->woken) && sent < FLUSH_BYTES_PER_ROUND);
	l->in_flush = false;
	if (l->state != OPEN)
		return;
	if ((more || l->woken) && !l->out.len)
		defer_flush(l); /* it could go on: others first */
	set_want(l);
}

/* ---- input ---- */

static void on_frame(struct wslink *l, const struct ws_message *m)
{
	unsigned status;

	switch (m->op) {
	case WS_TEXT:
	case WS_BINARY:
		if ((m->op == WS_TEXT) != l->text) {
			send_close(l, 1003);
			fail(l, "the peer sent a %s message", m->op == WS_TEXT ? "text" : "binary");
			break;
		}
		l->ops->on_message(l->ctx, l, m->data, m->len);
		break;
	case WS_PING: /* only the last one matters, RFC 6455 5.5.3 */
		if (m->len)
			memcpy(l->pong, m->data, m->len);
		l->pong_len = m->len;
		l->pong_due = true;
		break;
	case WS_CLOSE:
		status = m->len >= 2 ? (unsigned)(m->data[0] << 8 | m->data[1]) : 1005;
		send_close(l, m->len >= 2 ? status : 1000);
		fail(l, "the peer closed the WebSocket: %u %.*s", status,
		     m->len > 2 ? (int)m->len - 2 : 0, m->len > 2 ? (const char *)m->data + 2 : "");
		break;
	default: /* PONG */
		break;
	}
}

/* Hand out every whole message; then write, once, what these have woken. */
static void take_messages(struct wslink *l)
{
	size_t off = 0;

	if (l->in_messages)
		return;
	l->in_messages = true;
	while (l->state == OPEN && !l->paused && off < l->in.len) {
		struct ws_message m;
		size_t used, need;
		struct err err;
		int rc = ws_decode(&l->decoder, buf_head(&l->in) + off, l->in.len - off, &m, &used,
				   &need, &err);

		off += used;
		if (rc < 0) {
			send_close(l, 1002);
			fail(l, "%s", err.msg);
		}
		if (rc <= 0)
			break;
		on_frame(l, &m);
	}
	l->in_messages = false;
	if (l->state != OPEN)
		return;
	buf_consume(&l->in, off);
	if (l->woken || l->pong_due)
		flush(l);
	else
		set_want(l);
}

/* Messages that are there already but were not asked for: behind a handshake, or after a pause. */
static void look_again(void *p)
{
	struct wslink *l = p;

	l->look_deferred = false;
	if (l->state == OPEN)
		take_messages(l);
}

static void defer_look(struct wslink *l)
{
	if (l->look_deferred || !l->in.len || l->state != OPEN)
		return;
	l->look_deferred = true;
	loop_defer(l->loop, look_again, l);
}

/* False: nothing came, or it is over. */
static bool read_in(struct wslink *l)
{
	size_t room = buf_room(&l->in);
	ssize_t n;

	if (room == 0) /* whole messages from before a pause: these first */
		return true;
	if (!l->read_much && room > READ_SMALL)
		room = READ_SMALL;
	if (room > READ_LARGE)
		room = READ_LARGE;
	n = conn_read(l->conn, buf_reserve(&l->in, room), room);
	if (n > 0) {
		buf_commit(&l->in, (size_t)n);
		l->read_much = (size_t)n == room || (l->read_much && n >= READ_SMALL);
		return true;
	}
	if (n == 0)
		fail(l, "the peer closed the connection");
	else if (n == CONN_FAILED)
		fail(l, "%s", conn_error(l->conn));
	return false;
}

/* ---- the client's handshake ---- */

static const char *answer_offence(struct wslink *l)
{
	const char *accept = http1_header(l->answer, "Sec-WebSocket-Accept");
	const char *proto = http1_header(l->answer, "Sec-WebSocket-Protocol");
	char right[29];

	ws_accept_key(l->key, right);
	if (!http1_header_has_token(l->answer, "Upgrade", "websocket") ||
	    !http1_header_has_token(l->answer, "Connection", "upgrade"))
		return "it does not upgrade to WebSocket";
	if (!accept || strcmp(accept, right) != 0)
		return "its Sec-WebSocket-Accept is wrong";
	l->has_subprotocol = l->subprotocol && proto && strcmp(proto, l->subprotocol) == 0;
	if (l->has_subprotocol != (l->subprotocol != NULL) && (proto || !l->subprotocol_optional))
		return "it does not speak our subprotocol";
	if (proto && !l->subprotocol)
		return "it speaks a subprotocol that was not offered";
	if (http1_header(l->answer, "Sec-WebSocket-Extensions"))
		return "it uses an extension that was not offered";
	return NULL;
}

static void take_answer(struct wslink *l)
{
	const char *body, *why;
	size_t used, len;
	struct err err;
	enum http1_event e = http1_next(l->answer, (char *)buf_head(&l->in), l->in.len, &used,
					&body, &len, &err);

	buf_consume(&l->in, used);
	if (e == HTTP1_ERROR)
		fail(l, "the answer to the handshake: %s", err.msg);
	if (e != HTTP1_HEAD)
		return;
	if (http1_status(l->answer) != 101) {
		l->http_status = http1_status(l->answer);
		fail(l, "the server answered %d instead of 101", l->http_status);
		return;
	}
	why = answer_offence(l);
	if (why) {
		fail(l, "the server answered 101, but %s", why);
		return;
	}
	timer_cancel(&l->timer);
	if (l->answer_header)
		l->answer_value = xstrdup(http1_header(l->answer, l->answer_header));
	http1_free(l->answer);
	l->answer = NULL;
	l->state = OPEN;
	l->ops->on_open(l->ctx, l);
	if (l->state == OPEN)
		take_messages(l);
}

static void on_deadline(void *p)
{
	struct wslink *l = p;

	l->timer = NULL;
	fail(l, "the server did not answer the handshake in time");
}

static void on_connected(struct wslink *l)
{
	uint64_t now = uv_now(l->loop);

	l->state = UPGRADING;
	socket_give_up_after(conn_fd(l->conn), WSLINK_DEAD_MS);
	l->plain_key = conn_is_sealed(l->conn);
	snprintf(l->peer, sizeof(l->peer), "%s", conn_peer(l->conn));
	l->timer = timer_start(l->loop, now < l->deadline_ms ? l->deadline_ms - now : 0,
			       on_deadline, l);
	buf_append(&l->out, l->request, strlen(l->request));
	write_out(l);
	set_want(l);
}

static void on_conn(struct conn *c, void *ctx, unsigned events)
{
	struct wslink *l = ctx;

	if (events & CONN_HANGUP) {
		fail(l, "%s", conn_error(c));
		return;
	}
	if (events & CONN_OPEN)
		on_connected(l);
	if ((events & CONN_READ) && l->state != GONE && read_in(l)) {
		if (l->state == UPGRADING)
			take_answer(l);
		else
			take_messages(l);
	}
	if (!(events & CONN_WRITE))
		return;
	if (l->state == UPGRADING) {
		write_out(l);
		set_want(l);
	}
	flush(l);
}

/* ---- URL and request ---- */

struct url {
	bool secure;
	char host[256];
	uint16_t port;
	const char *path; /* within the text, or "/" */
};

/* ws://host[:port][/path][?query], with http(s) for ws(s); [::1] for IPv6. No user, no fragment. */
static int url_parse(const char *text, struct url *u, struct err *err)
{
	const char *s = strstr(text, "://"), *host, *end;
	size_t scheme = s ? (size_t)(s - text) : 0, host_len;
	int64_t port;

	u->secure = (scheme == 3 && strncasecmp(text, "wss", 3) == 0) ||
		    (scheme == 5 && strncasecmp(text, "https", 5) == 0);
	if (!u->secure && !(scheme == 2 && strncasecmp(text, "ws", 2) == 0) &&
	    !(scheme == 4 && strncasecmp(text, "http", 4) == 0))
		goto bad;
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p <= 0x20 || *p == 0x7f || *p == '#')
			goto bad;
	host = s + 3;
	end = host + strcspn(host, "/?");
	u->path = *end ? end : "/";
	if (memchr(host, '@', (size_t)(end - host)))
		goto bad;
	if (*host == '[') {
		host_len = strcspn(++host, "]");
		s = host + host_len + 1;
		if (s > end)
			goto bad;
	} else {
		host_len = strcspn(host, ":/?");
		s = host + host_len;
	}
	if (host_len == 0 || host_len >= sizeof(u->host))
		goto bad;
	memcpy(u->host, host, host_len);
	u->host[host_len] = '\0';
	u->port = u->secure ? 443 : 80;
	if (s < end) {
		char digits[8];

		if (*s != ':' || end - s - 1 < 1 || end - s - 1 > 5)
			goto bad;
		memcpy(digits, s + 1, (size_t)(end - s - 1));
		digits[end - s - 1] = '\0';
		if (parse_i64(digits, &port) < 0 || port < 1 || port > 65535)
			goto bad;
		u->port = (uint16_t)port;
	}
	return 0;
bad:
	return err_set(err, ERR_INVALID, "not a WebSocket URL: %s", text);
}

static char *make_request(const struct wslink *l, const struct wslink_options *opt,
			  const struct url *u, struct err *err)
{
	bool v6 = strchr(u->host, ':');
	char port[8] = "";
	struct buf b;

	for (size_t i = 0; i < opt->headers.n; i++) {
		if (strpbrk(opt->headers.v[i], "\r\n") || !strchr(opt->headers.v[i], ':')) {
			err_set(err, ERR_INVALID, "header %zu is not one line of \"Name: value\"",
				i + 1);
			return NULL;
		}
	}
	if (u->port != (u->secure ? 443 : 80))
		snprintf(port, sizeof(port), ":%u", u->port);
	buf_init(&b, REQUEST_MAX);
	buf_printf(&b,
		   "GET %s%s HTTP/1.1\r\nHost: %s%s%s%s\r\nUpgrade: websocket\r\n"
		   "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n",
		   *u->path == '?' ? "/" : "", u->path, v6 ? "[" : "", u->host, v6 ? "]" : "", port,
		   l->key);
	if (opt->subprotocol)
		buf_printf(&b, "Sec-WebSocket-Protocol: %s\r\n", opt->subprotocol);
	for (size_t i = 0; i < opt->headers.n; i++)
		buf_printf(&b, "%s\r\n", opt->headers.v[i]);
	if (buf_append(&b, "\r\n", 2) < 0) {
		buf_release(&b);
		err_set(err, ERR_LIMIT, "the WebSocket request is longer than %d bytes",
			REQUEST_MAX);
		return NULL;
	}
	return buf_detach(&b, NULL);
}

/* ---- API ---- */

static struct wslink *link_new(uv_loop_t *loop, bool server, const struct wslink_ops *ops,
			       void *ctx)
{
	struct wslink *l = xcalloc(1, sizeof(*l));

	l->loop = loop;
	l->server = server;
	l->ops = ops;
	l->ctx = ctx;
	buf_init(&l->in, IN_MAX);
	buf_init(&l->out, OUT_MAX);
	ws_decoder_init(&l->decoder, server, WSLINK_MESSAGE_MAX);
	return l;
}

struct wslink *wslink_connect(uv_loop_t *loop, const struct wslink_options *opt,
			      const struct wslink_ops *ops, void *ctx, struct err *err)
{
	struct wslink *l;
	struct url u;

	if (url_parse(opt->url, &u, err) < 0)
		return NULL;
	if (u.secure && !opt->tls) {
		err_set(err, ERR_INVALID, "%s needs a CA to verify it with", opt->url);
		return NULL;
	}
	l = link_new(loop, false, ops, ctx);
	ws_make_key(l->key);
	l->request = make_request(l, opt, &u, err);
	if (!l->request)
		goto fail;
	l->subprotocol = xstrdup(opt->subprotocol);
	l->answer_header = xstrdup(opt->answer_header);
	l->subprotocol_optional = opt->subprotocol_optional;
	l->answer = http1_new_response(ANSWER_HEAD_MAX);
	uv_update_time(loop);
	l->deadline_ms = uv_now(loop) + opt->timeout_ms;
	snprintf(l->peer, sizeof(l->peer), "%.50s:%u", u.host, u.port);
	l->conn = conn_connect(loop, u.host, u.port, u.secure ? opt->tls : NULL, opt->timeout_ms,
			       on_conn, l, err);
	if (!l->conn)
		goto fail;
	return l;
fail:
	link_free(l);
	return NULL;
}

struct wslink *wslink_adopt(struct conn *conn, struct buf *leftover, const struct wslink_ops *ops,
			    void *ctx)
{
	struct wslink *l = link_new(conn_loop(conn), true, ops, ctx);

	l->conn = conn;
	l->state = OPEN;
	socket_give_up_after(conn_fd(conn), WSLINK_DEAD_MS);
	snprintf(l->peer, sizeof(l->peer), "%s", conn_peer(conn));
	conn_set_callback(conn, on_conn, l);
	if (buf_append(&l->in, leftover->len ? buf_head(leftover) : NULL, leftover->len) < 0)
		fail(l, "too many bytes behind the handshake");
	buf_consume(leftover, leftover->len);
	defer_look(l);
	set_want(l);
	return l;
}

bool wslink_has_subprotocol(const struct wslink *l)
{
	return l->has_subprotocol;
}

const char *wslink_answer(const struct wslink *l)
{
	return l->answer_value;
}

void wslink_speak_text(struct wslink *l)
{
	l->text = true;
}

void wslink_give(struct wslink *l, const struct wslink_ops *ops, void *ctx)
{
	l->ops = ops;
	l->ctx = ctx;
}

void wslink_wake(struct wslink *l)
{
	l->woken = true;
	if (l->state == OPEN && !l->in_messages && !l->in_flush && !l->out.len)
		defer_flush(l); /* several wakes of a round become one write */
}

void wslink_pause_reading(struct wslink *l, int pause)
{
	if (l->paused == !!pause)
		return;
	l->paused = pause;
	set_want(l);
	if (!pause && !l->in_messages)
		defer_look(l);
}

void wslink_close(struct wslink *l)
{
	if (!l)
		return;
	l->closed_by_owner = true;
	if (l->state == GONE) /* tell_close is on its way and will say nothing */
		return;
	if (l->state == OPEN)
		send_close(l, 1000);
	link_gone(l);
	loop_defer(l->loop, link_free, l);
}

const char *wslink_peer(const struct wslink *l)
{
	return l->peer;
}

size_t wslink_kernel_queue(const struct wslink *l)
{
	return l->state == OPEN ? socket_queue(conn_fd(l->conn)) : 0;
}

uint64_t wslink_unsent_bytes(const struct wslink *l)
{
	return waiting(l);
}
