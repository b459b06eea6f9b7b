/* http_server - connections of HTTP clients: reading, parsing, sending, deadlines, the end.
 *
 * Owns every client from accept to close, except for a conn that was hijacked. What an exchange is to its owner is
 * http_exchange.c, the head of an answer http_answer.c, a planned restart http_carry.c. One exchange at a
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
#include <unistd.h>
#include <utlist.h>

#include "base/mem.h"
#include "http_server_state.h"
#include "net/listen.h"

#define DROP_BODY_MAX (1024 * 1024)
#define OUT_MAX (1024UL * 1024 * 1024) /* what our own code may queue: a bound against its bugs */
#define LINGER_MS 2000

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
		server_client_close(c); /* idle, a head that does not end, a client that does not read */
}

/* ---- the end of clients ---- */

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
void server_client_detach(struct client *c)
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

void server_client_close(struct client *c)
{
	if (c->phase == DEAD)
		return;
	c->phase = DEAD; /* on_close may still call exchange_write: into the void */
	server_exchange_lost(c->x);
	conn_close(c->conn);
	c->conn = NULL;
	server_client_detach(c);
}

static void client_die(void *p)
{
	server_client_close(p);
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
void server_client_send(struct client *c, struct iovec *iov, int n)
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
			server_client_close(c);
			return;
		}
		c->shut = rc == 0;
	}
	if (c->shut && c->eof)
		server_client_close(c);
}

static void client_next(struct client *c)
{
	http1_reset(c->parser);
	c->phase = HEAD;
	c->head_timed = c->parser_stopped = false;
	set_deadline(c, c->server->opt.idle_timeout_ms);
}

/* ---- parsing ---- */

static void body_piece(struct client *c, const char *p, size_t n)
{
	if (c->x) {
		server_exchange_body(c->x, p, n);
		return;
	}
	c->dropped += n;
	c->close_after |= c->dropped > DROP_BODY_MAX;
}

/* The message cannot be understood, or its end will never come. */
static void bad_message(struct client *c, int status, const char *why)
{
	bool answerable = c->phase == HEAD || (c->x && !c->x->begun);

	server_exchange_lost(c->x);
	if (c->phase == DEAD)
		return;
	c->close_after = true;
	if (answerable)
		server_refuse(c, status, why);
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
		c->dropped = 0;
		c->close_after = !http1_keep_alive(c->parser);
		c->deadline = 0;
		server_exchange_open(c);
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
		server_exchange_body_end(x);
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
void server_client_pump(struct client *c)
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
		server_client_close(c);
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
		server_client_close(c);
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
		server_client_close(c);
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
			server_client_pump(c);
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
		server_client_close(s->clients);
	free(s->server_name);
	s->server_name = NULL;
	loop_defer(s->loop, free, s); /* we may be inside a handler, with a client_feed below it */
}
