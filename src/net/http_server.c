/* http_server - connections of HTTP clients and the exchanges on them.
 *
 * Owns every client from accept to close, except for a conn that was hijacked. One exchange at a
 * time: the parser stands still until the answer is in the kernel, which is all that pipelining
 * needs. Callbacks into the owner come from the loop only, never from inside an exchange_* call,
 * so that an exchange does not vanish under its caller. Two things advance on their own: the
 * message (phase) and the exchange (client.x, NULL when ended); the next message waits for both.
 *
 *   HEAD --handler--> BODY --last byte--> DONE --exchange ended, answer flushed--> HEAD
 *   LINGER: answered, our side closed; what the client still sends is dropped for a moment, because
 *           closing with unread bytes would reset the connection and take the answer along. */
#include "net/http_server.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <utlist.h>

#include "base/mem.h"
#include "http_server_state.h"
#include "net/listen.h"

#define DROP_BODY_MAX (1024 * 1024)
#define OUT_MAX (1024UL * 1024 * 1024) /* what our own code may queue: a bound against its bugs */
#define LINGER_MS 2000
#define HEAD_MAX 2048                   /* of an answer, without the extra headers */
#define EXTRA_MAX (256 * 1024)

static void client_close(struct client *c);

/* ---- deadlines: one timer per connection, moved lazily ---- */

static void on_timer(void *p);

static void set_deadline(struct client *c, uint64_t ms)
{
	uint64_t now = uv_now(c->server->loop);

	c->deadline = ms ? now + ms : 0;
	if (!ms || (c->timer && c->timer_at <= c->deadline))
		return;
	timer_cancel(&c->timer);
	c->timer_at = c->deadline;
	c->timer = timer_start(c->server->loop, ms, on_timer, c);
}

static void on_timer(void *p)
{
	struct client *c = p;
	uint64_t now = uv_now(c->server->loop);

	c->timer = NULL;
	if (!c->deadline)
		return;
	if (now < c->deadline)
		set_deadline(c, c->deadline - now);
	else
		client_close(c); /* idle, a head that does not end, a client that does not read */
}

/* ---- the end of exchanges and clients ---- */

static void exchange_free(struct exchange *x)
{
	x->client->x = NULL;
	buf_release(&x->body);
	buf_release(&x->extra);
	free(x);
}

/* The exchange ends without its owner's doing: tell it, once. */
static void exchange_lost(struct exchange *x)
{
	if (!x)
		return;
	x->lost = true;
	if (x->on_close)
		x->on_close(x, x->close_ctx);
	exchange_free(x);
}

static void client_free(void *p)
{
	struct client *c = p;

	http1_free(c->parser);
	buf_release(&c->in);
	buf_release(&c->out);
	free(c);
}

static void pause_listening(struct http_server *s, bool paused)
{
	struct listening *l;

	LL_FOREACH(s->listening, l)
		listener_pause(l->listener, paused);
}

/* Out of the list; memory goes after the round, because client_feed may be on the stack. */
static void client_detach(struct client *c)
{
	struct http_server *s = c->server;

	c->phase = DEAD;
	c->view_len = 0;
	timer_cancel(&c->timer);
	DL_DELETE(s->clients, c);
	if (s->n_clients-- == s->opt.max_connections)
		pause_listening(s, false);
	loop_defer(s->loop, client_free, c);
}

static void client_close(struct client *c)
{
	if (c->phase == DEAD)
		return;
	c->phase = DEAD; /* on_close may still call exchange_write: into the void */
	exchange_lost(c->x);
	conn_close(c->conn);
	c->conn = NULL;
	client_detach(c);
}

static void client_die(void *p)
{
	client_close(p);
}

/* An error was met inside an exchange_* call, where on_close must not run. */
static void client_broken(struct client *c)
{
	if (c->broken)
		return;
	c->broken = true;
	loop_defer(c->server->loop, client_die, c);
}

/* ---- sending ---- */

/* Between two requests, and the next one is not to begin. */
static bool is_held(const struct client *c)
{
	return c->server->held && !c->x && c->phase == HEAD && !http1_started(c->parser);
}

void server_client_want(struct client *c)
{
	unsigned want = 0;

	if (c->phase == DEAD || c->broken)
		return;
	/* Also behind a complete request: one buffer of the next one, or the EOF. */
	if (!c->eof && !is_held(c) && c->in.len == 0 && !(c->x && c->x->body_paused))
		want |= CONN_READ;
	if (c->out.len || (c->phase == LINGER && !c->shut))
		want |= CONN_WRITE;
	conn_want(c->conn, want);
}

/* To the kernel what it takes, the rest to out. */
static void client_send(struct client *c, struct iovec *iov, int n)
{
	bool was_empty = c->out.len == 0;
	ssize_t sent;

	if (c->broken || c->phase == DEAD)
		return;
	sent = was_empty ? conn_writev(c->conn, iov, n) : 0;
	if (sent == CONN_FAILED) {
		client_broken(c);
		return;
	}
	for (size_t skip = sent > 0 ? (size_t)sent : 0; n > 0; n--, iov++) {
		size_t k = skip < iov->iov_len ? skip : iov->iov_len;

		skip -= k;
		if (buf_append(&c->out, (char *)iov->iov_base + k, iov->iov_len - k) < 0) {
			client_broken(c);
			return;
		}
	}
	if (was_empty && c->out.len) {
		set_deadline(c, c->server->opt.write_stall_ms);
		server_client_want(c);
	}
}

static const char *reason_phrase(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} known[] = {
		{200, "OK"}, {201, "Created"}, {202, "Accepted"}, {204, "No Content"},
		{206, "Partial Content"}, {301, "Moved Permanently"}, {302, "Found"},
		{304, "Not Modified"}, {307, "Temporary Redirect"}, {308, "Permanent Redirect"},
		{400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"},
		{405, "Method Not Allowed"}, {406, "Not Acceptable"}, {408, "Request Timeout"},
		{409, "Conflict"}, {410, "Gone"}, {411, "Length Required"},
		{412, "Precondition Failed"}, {413, "Request Entity Too Large"},
		{415, "Unsupported Media Type"}, {416, "Range Not Satisfiable"},
		{417, "Expectation Failed"}, {426, "Upgrade Required"}, {429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"}, {500, "Internal Server Error"},
		{501, "Not Implemented"}, {502, "Bad Gateway"}, {503, "Service Unavailable"},
		{504, "Gateway Timeout"},
		{505, "HTTP Version Not Supported"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (known[i].status == status)
			return known[i].phrase;
	return "Status";
}

/* "Sun, 06 Nov 1994 08:49:37 GMT", made once a second. */
static const char *http_date(void)
{
	static _Thread_local char text[40];
	static _Thread_local time_t made_at;
	time_t now = time(NULL);
	struct tm tm;

	if (now != made_at) {
		gmtime_r(&now, &tm);
		strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		made_at = now;
	}
	return text;
}

/* One of our own header lines; fmt has one conversion and the line end. */
static size_t head_line(char *out, size_t n, const char *name, const char *value)
{
	if (!value)
		return n;
	n += (size_t)snprintf(out + n, HEAD_MAX - n, "%s: %s\r\n", name, value);
	assert(n < HEAD_MAX); /* names and types are ours, not a peer's */
	return n;
}

enum framing { NO_BODY, UNTIL_CLOSE, CHUNKED, LENGTH };

static size_t make_head(const struct client *c, char out[HEAD_MAX], int status, const char *type,
			enum framing framing, size_t length)
{
	char digits[24];
	size_t n = (size_t)snprintf(out, HEAD_MAX, "HTTP/1.1 %d %s\r\n", status,
				    reason_phrase(status));

	snprintf(digits, sizeof(digits), "%zu", length);
	n = head_line(out, n, "Date", http_date());
	n = head_line(out, n, "Server", c->server->server_name);
	n = head_line(out, n, "Content-Type", type);
	n = head_line(out, n, "Content-Length", framing == LENGTH ? digits : NULL);
	n = head_line(out, n, "Transfer-Encoding", framing == CHUNKED ? "chunked" : NULL);
	if (c->close_after)
		n = head_line(out, n, "Connection", "close");
	else if (http1_is_1_0(c->parser))
		n = head_line(out, n, "Connection", "keep-alive");
	return n;
}

static void send_head(struct client *c, int status, const char *type, enum framing framing,
		      const void *body, size_t len, struct buf *extra, bool with_body)
{
	char head[HEAD_MAX];
	struct iovec iov[4];

	iov[0] = (struct iovec){head, make_head(c, head, status, type, framing, len)};
	iov[1] = (struct iovec){extra && extra->len ? buf_head(extra) : NULL,
				extra ? extra->len : 0};
	iov[2] = (struct iovec){"\r\n", 2};
	iov[3] = (struct iovec){(void *)body, len};
	client_send(c, iov, with_body && len ? 4 : 3);
}

/* An answer of the server's own, where there is no exchange, or none any more. */
static void client_refuse(struct client *c, int status, const char *why)
{
	AUTO_FREE char *text = xasprintf("{\"message\":\"%s\"}\n", why); /* our words: no escapes */

	c->close_after = true;
	send_head(c, status, "application/json", LENGTH, text, strlen(text), NULL, true);
}

/* ---- between messages ---- */

/* Everything is answered and the connection is to end: close our half, and drop what still comes
 * for a moment, because closing with unread bytes resets the connection and the answer with it. */
static void client_linger(struct client *c)
{
	if (c->phase != LINGER) {
		c->phase = LINGER;
		c->view_len = 0;
		buf_consume(&c->in, c->in.len);
		set_deadline(c, LINGER_MS);
	}
	if (!c->shut) {
		int rc = conn_shutdown_write(c->conn);

		if (rc == CONN_FAILED) {
			client_close(c);
			return;
		}
		c->shut = rc == 0;
	}
	if (c->shut && c->eof)
		client_close(c);
}

static void client_next(struct client *c)
{
	http1_reset(c->parser);
	c->phase = HEAD;
	c->head_timed = c->parser_stopped = false;
	set_deadline(c, c->server->opt.idle_timeout_ms);
}

/* ---- parsing ---- */

static void begin_exchange(struct client *c)
{
	struct exchange *x = xcalloc(1, sizeof(*x));
	char *target = http1_target_mutable(c->parser), *mark = strchr(target, '?');

	c->x = x;
	c->dropped = 0;
	c->close_after = !http1_keep_alive(c->parser);
	c->deadline = 0;
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

static void body_piece(struct client *c, const char *p, size_t n)
{
	struct exchange *x = c->x;
	char why[64];

	if (!x) {
		c->dropped += n;
		c->close_after |= c->dropped > DROP_BODY_MAX;
		return;
	}
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
	exchange_lost(x);
	client_refuse(c, 413, why);
}

static void tell_end(struct exchange *x)
{
	x->end_told = true;
	if (x->mode == STREAM) {
		x->ops.end(x, x->body_ctx);
		return;
	}
	buf_append(&x->body, "", 1);
	x->collected(x, x->body_ctx, (char *)buf_head(&x->body), x->body.len - 1);
}

/* The message cannot be understood, or its end will never come. */
static void bad_message(struct client *c, int status, const char *why)
{
	bool answerable = c->phase == HEAD || (c->x && !c->x->begun);

	exchange_lost(c->x);
	if (c->phase == DEAD)
		return;
	c->close_after = true;
	if (answerable)
		client_refuse(c, status, why);
	c->phase = DONE;
}

/* May the parser see what there is? */
static bool may_parse(const struct client *c)
{
	if ((c->view_len == 0 && !c->parser_stopped) || (c->phase != HEAD && c->phase != BODY) || is_held(c))
		return false;
	return !c->x || (c->x->mode != HOLD && !c->x->body_paused);
}

static void parse_step(struct client *c)
{
	const char *body;
	size_t used, len;
	struct err err;
	enum http1_event e = http1_next(c->parser, c->view, c->view_len, &used, &body, &len, &err);

	c->view += used;
	c->view_len -= used;
	c->parser_stopped = e != HTTP1_MORE;
	switch (e) {
	case HTTP1_MORE:
		if (c->phase == HEAD && !c->head_timed && http1_started(c->parser)) {
			c->head_timed = true;
			set_deadline(c, c->server->opt.head_timeout_ms);
		}
		break;
	case HTTP1_HEAD:
		c->phase = BODY;
		if (!http1_has_body(c->parser)) {
			/* The end needs no byte more. Found now, the handler may hijack at once. */
			e = http1_next(c->parser, c->view, 0, &used, &body, &len, &err);
			assert(e == HTTP1_END);
			c->phase = DONE;
		}
		begin_exchange(c);
		break;
	case HTTP1_BODY:
		body_piece(c, body, len);
		break;
	case HTTP1_END:
		c->phase = DONE;
		break;
	case HTTP1_ERROR:
		bad_message(c, http1_error_status(c->parser), err.msg);
		break;
	}
}

/* One thing that can be done now; false if there is none. */
static bool feed_step(struct client *c)
{
	struct exchange *x = c->x;
	bool dry = c->eof && c->view_len == 0 && !c->parser_stopped;

	if (c->phase >= LINGER || c->broken)
		return false;
	if (x && c->phase == DONE && x->mode != HOLD && !x->end_told && !x->body_paused) {
		tell_end(x);
		return true;
	}
	if (!x && !c->out.len &&
	    ((dry && c->phase != DONE) || (c->close_after && c->phase != HEAD))) {
		client_linger(c);
		return false;
	}
	if (!x && !c->out.len && c->phase == DONE) {
		client_next(c);
		return true;
	}
	if (may_parse(c)) {
		parse_step(c);
		return true;
	}
	if (x && c->phase == BODY && dry) {
		bad_message(c, 400, "the request body ends too early");
		return true;
	}
	return false;
}

/* Go on as far as it goes: with the n bytes at p, or with what was kept when p is NULL. */
void server_client_feed(struct client *c, const char *p, size_t n)
{
	bool kept = !p;

	if (!kept)
		c->view = p;
	else
		c->view = c->in.len ? (char *)buf_head(&c->in) : "";
	c->view_len = kept ? c->in.len : n;
	c->in_feed = true;
	while (feed_step(c))
		;
	c->in_feed = false;
	if (c->phase == DEAD)
		return;
	if (kept)
		buf_consume(&c->in, c->in.len - (c->phase == LINGER ? 0 : c->view_len));
	else
		buf_append(&c->in, c->view, c->view_len);
	server_client_want(c);
}

static void pump(void *p)
{
	struct client *c = p;

	c->pump_deferred = false;
	if (c->phase != DEAD)
		server_client_feed(c, NULL, 0);
}

/* Something has changed inside an exchange_* call: go on from the loop. */
static void client_pump(struct client *c)
{
	if (c->in_feed || c->pump_deferred || c->phase == DEAD)
		return;
	c->pump_deferred = true;
	loop_defer(c->server->loop, pump, c);
}

/* ---- events ---- */

static void on_readable(struct client *c)
{
	struct http_server *s = c->server;
	ssize_t n = conn_read(c->conn, s->scratch, sizeof(s->scratch));

	if (n == CONN_FAILED) {
		client_close(c);
		return;
	}
	if (n == CONN_AGAIN)
		return;
	c->eof = n == 0;
	if (c->phase == LINGER) {
		client_linger(c);
		if (c->phase != DEAD)
			server_client_want(c);
		return;
	}
	server_client_feed(c, n ? s->scratch : NULL, (size_t)n);
}

static void on_writable(struct client *c)
{
	struct exchange *x = c->x;
	ssize_t n = 0;

	if (c->out.len)
		n = conn_write(c->conn, buf_head(&c->out), c->out.len);
	if (n == CONN_FAILED) {
		client_close(c);
		return;
	}
	if (n > 0) {
		buf_consume(&c->out, (size_t)n);
		set_deadline(c, c->out.len ? c->server->opt.write_stall_ms : 0);
	}
	if (c->phase == LINGER) {
		client_linger(c);
	} else if (x && x->congested && c->out.len < EXCHANGE_OUT_HIGH / 4) {
		x->congested = false;
		if (x->on_drain)
			x->on_drain(x, x->drain_ctx);
	}
	if (c->phase < LINGER && !c->x && !c->out.len)
		server_client_feed(c, NULL, 0);
	else if (c->phase != DEAD)
		server_client_want(c);
}

static void on_conn(struct conn *conn, void *ctx, unsigned events)
{
	struct client *c = ctx;

	if (events & CONN_HANGUP) {
		client_close(c);
		return;
	}
	if (events & CONN_WRITE)
		on_writable(c);
	if ((events & CONN_READ) && c->phase != DEAD && c->conn)
		on_readable(c);
}

/* ---- server ---- */

static uint64_t or_default(uint64_t v, uint64_t def)
{
	return v ? v : def;
}

struct http_server *http_server_new(uv_loop_t *loop, const struct http_server_options *opt,
				    http_handler *handler, void *ctx)
{
	struct http_server *s = xcalloc(1, sizeof(*s));

	s->loop = loop;
	if (opt)
		s->opt = *opt;
	s->opt.max_header_bytes = or_default(s->opt.max_header_bytes, 1024 * 1024);
	s->opt.max_connections = or_default(s->opt.max_connections, 4096);
	s->opt.head_timeout_ms = or_default(s->opt.head_timeout_ms, 30000);
	s->opt.idle_timeout_ms = or_default(s->opt.idle_timeout_ms, 300000);
	s->server_name = xstrdup(s->opt.server_name);
	s->handler = handler;
	s->ctx = ctx;
	return s;
}

struct client *server_client_new(struct http_server *s, int fd, struct tls *tls, struct err *err)
{
	struct client *c = xcalloc(1, sizeof(*c));

	c->conn = conn_adopt(s->loop, fd, tls, s->opt.head_timeout_ms, on_conn, c, err);
	if (!c->conn) {
		free(c);
		return NULL;
	}
	c->server = s;
	c->parser = http1_new_request(s->opt.max_header_bytes);
	buf_init(&c->in, READ_BYTES_PER_EVENT);
	buf_init(&c->out, OUT_MAX);
	DL_APPEND(s->clients, c);
	if (++s->n_clients == s->opt.max_connections)
		pause_listening(s, true);
	set_deadline(c, s->opt.idle_timeout_ms);
	return c;
}

int http_server_accept(struct http_server *s, int fd, struct tls *tls, struct err *err)
{
	struct client *c;

	if (s->n_clients >= s->opt.max_connections) {
		close(fd);
		return err_set(err, ERR_LIMIT, "too many connections (%zu)", s->n_clients);
	}
	c = server_client_new(s, fd, tls, err);
	if (!c)
		return -1;
	server_client_want(c);
	return 0;
}

static void on_accepted(int fd, void *ctx)
{
	struct listening *l = ctx;

	(void)http_server_accept(l->server, fd, l->tls, NULL); /* has closed fd if it failed */
}

int http_server_listen(struct http_server *s, int fd, struct tls *tls, struct err *err)
{
	struct listening *l = xcalloc(1, sizeof(*l));

	l->listener = listener_new(s->loop, fd, on_accepted, l, err);
	if (!l->listener) {
		free(l);
		return -1;
	}
	l->server = s;
	l->tls = tls ? tls_ref(tls) : NULL;
	listener_pause(l->listener, s->n_clients >= s->opt.max_connections);
	LL_APPEND(s->listening, l);
	return 0;
}

void http_server_hold(struct http_server *s, bool hold)
{
	struct client *c;

	s->held = hold;
	DL_FOREACH(s->clients, c) {
		server_client_want(c);
		if (!hold)
			client_pump(c);
	}
}

size_t http_server_connections(const struct http_server *s)
{
	return s->n_clients;
}

void http_server_stop_listening(struct http_server *s)
{
	struct listening *l, *next;

	LL_FOREACH_SAFE(s->listening, l, next) {
		listener_close(l->listener);
		tls_unref(l->tls);
		free(l);
	}
	s->listening = NULL;
}

void http_server_free(struct http_server *s)
{
	if (!s)
		return;
	http_server_stop_listening(s);
	while (s->clients)
		client_close(s->clients);
	free(s->server_name);
	s->server_name = NULL;
	loop_defer(s->loop, free, s); /* we may be inside a handler, with a client_feed below it */
}

/* ---- exchange: the request ---- */

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

bool exchange_http_1_0(const struct exchange *x)
{
	return x->http_1_0;
}

const char *exchange_peer(const struct exchange *x)
{
	return conn_peer(x->client->conn);
}

uv_loop_t *exchange_loop(const struct exchange *x)
{
	return x->client->server->loop;
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

/* ---- exchange: the body ---- */

static void ask_for_body(struct exchange *x, enum body_mode mode)
{
	struct client *c = x->client;
	size_t arrived = c->in_feed ? c->view_len : c->in.len;

	assert(x->mode == HOLD);
	x->mode = mode;
	if (x->owes_continue && !arrived) {
		struct iovec iov = {"HTTP/1.1 100 Continue\r\n\r\n", 25};

		client_send(c, &iov, 1);
	}
	x->owes_continue = false;
	client_pump(c);
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
	client_pump(x->client);
}

/* ---- exchange: the answer ---- */

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
	client_pump(c);
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
	send_head(x->client, status, content_type, sized ? LENGTH : NO_BODY, body, len, &x->extra,
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
	send_head(x->client, status, content_type, framing, NULL, 0, &x->extra, false);
}

bool exchange_write(struct exchange *x, const void *p, size_t n)
{
	struct client *c = x->client;
	struct iovec iov[3] = {{NULL, 0}, {(void *)p, n}, {"\r\n", 2}};
	char size[24];

	assert(x->begun);
	if (n && x->chunked) {
		iov[0] = (struct iovec){size, (size_t)snprintf(size, sizeof(size), "%zx\r\n", n)};
		client_send(c, iov, 3);
	} else if (n && !x->bodyless) {
		client_send(c, iov + 1, 1);
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
		client_send(x->client, &last, 1);
	exchange_over(x);
}

void exchange_abort(struct exchange *x)
{
	struct client *c = x->client;

	assert(!x->lost);
	exchange_free(x);
	client_close(c);
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
	client_detach(c);
	return conn;
}
