/* callback - see callback.h. Our own listener accepts; libwebsockets adopts the socket, so that later
 * shards can share one port. One struct agent_link per WebSocket, owned by libwebsockets. */
#include "agents/callback.h"

#include <libwebsockets.h>
#include <netinet/tcp.h>
#include <string.h>
#include <utlist.h>

#include "agents/admission.h"
#include "agents/dialect_agent.h"
#include "agents/enrol.h"
#include "agents/link_memory.h"
#include "agents/registry.h"
#include "agents/tunnel.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/token.h"
#include "gateway.h"
#include "net/defer.h"
#include "net/listen.h"
#include "net/socket.h"
#include "net/tls_borrowed.h"
#include "state/container.h"

#define TOKEN_HEADER_MAX 512
#define WRITES_PER_ROUND 16
#define GATHERED_PER_ROUND 4 /* of them over TLS, as whether there is room is asked once for all */
#define DEAD_PEER_MS 20000   /* unacknowledged bytes for so long: the connection is gone (R22) */
#define RECORDS_PER_ROUND 16 /* of 16 KiB */
#define CLOSE_ROUNDS 1000
#define CALLS_AT_ONCE 20     /* handshakes begun in a row: TLS takes about a millisecond for each */
#define DIALECT_PROTOCOL "none" /* the predecessor's agents ask for no subprotocol */
#define DIALECT_PING_MS 25000 /* the predecessor's agent sends none itself, and proxies cut what is idle */

struct callback {
	struct gateway *g;
	struct lws_context *context;
	struct lws_vhost *vhost;
	struct listener *listener;
	struct admission calls;  /* TCP and TLS; the kernel's queue holds who has to wait */
	struct timer *pause;
	struct agent_link *busy; /* those that read or write once more in this round */
	bool turn_deferred;
	struct agent_link *turn; /* whose turn it is; NULL once it is gone */
	uint8_t *out;            /* LWS_PRE + FRAME_HANDSHAKE_MAX bytes; only a WELCOME needs more than FRAME_MAX */
};

struct agent_link {
	struct link base;        /* first: a struct link is a struct agent_link */
	struct callback *callback;
	struct lws *wsi;
	char id[ID_HEX_MAX];
	char peer[64];
	bool greeted;            /* HELLO has been seen */
	bool closing;
	struct buf message;      /* pieces of a message that came in several callbacks */
	struct buf last_words;   /* a refusal to send before closing */
	struct timer *hello_timer;
	struct tls_borrowed tls;
	bool is_busy, woken;
	bool awaits_room;        /* libwebsockets has been asked to say when its socket is writable */
	struct agent_link *prev, *next; /* of the busy ones */
	bool proves;             /* it has proved what it calls with, and base.proof is: */
	struct proof proof;
	bool dialect;            /* the predecessor's agent: no frames, and wire instead of base.tunnel */
	struct dialect_wire *wire; /* NULL: it is of no use any more */
	struct timer *ping_timer;
	bool ping_due;
};

static struct agent_link *agent_link(struct link *l)
{
	return (struct agent_link *)l;
}

static void turns(void *ctx);

static void turn_later(struct agent_link *a)
{
	struct callback *cb = a->callback;

	if (!a->is_busy)
		DL_APPEND(cb->busy, a);
	a->is_busy = true;
	if (!cb->turn_deferred)
		loop_defer(cb->g->loop, turns, cb);
	cb->turn_deferred = true;
}

static void no_turn(struct agent_link *a)
{
	if (a->is_busy)
		DL_DELETE(a->callback->busy, a);
	a->is_busy = false;
}

static void await_room(struct agent_link *a)
{
	a->awaits_room = true;
	lws_callback_on_writable(a->wsi);
}

/* Nearly always there is room: to write, once in a round, and only then to ask is cheaper by a turn of the loop. */
static void link_wake(struct link *l)
{
	struct agent_link *a = agent_link(l);

	if (a->closing || a->awaits_room)
		return;
	a->woken = true;
	if (a->callback->turn != a)
		turn_later(a);
}

static void link_close(struct link *l)
{
	struct agent_link *a = agent_link(l);

	if (a->closing)
		return;
	a->closing = true;
	/* On a foreign loop the timeout alone is looked at only when libwebsockets next runs, which may be
	 * seconds away; the shut socket makes it run now. */
	lws_set_timeout(a->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
	shutdown(lws_get_socket_fd(a->wsi), SHUT_RDWR);
}

static const char *link_peer(const struct link *l)
{
	return ((const struct agent_link *)l)->peer;
}

static size_t link_queue(const struct link *l)
{
	return socket_queue(lws_get_socket_fd(((const struct agent_link *)l)->wsi));
}

static void link_refuse(struct link *l, const struct buf *frame)
{
	struct agent_link *a = agent_link(l);

	if (a->closing)
		return;
	if (!frame->len || buf_append(&a->last_words, buf_head(frame), frame->len) < 0) {
		link_close(l);
		return;
	}
	await_room(a);
}

static const struct link_ops link_ops = {
	.wake = link_wake,
	.close = link_close,
	.peer = link_peer,
	.queue = link_queue,
	.refuse = link_refuse,
};

/* ---- the predecessor's agent ------------------------------------------------------------------------ */

static void wire_wake(void *ctx)
{
	struct agent_link *a = ctx;

	if (!a->closing)
		await_room(a);
}

static void wire_pause(void *ctx, bool pause)
{
	struct agent_link *a = ctx;

	if (!a->closing)
		lws_rx_flow_control(a->wsi, !pause);
}

static void wire_close(void *ctx)
{
	((struct agent_link *)ctx)->wire = NULL;
	link_close(ctx);
}

static const char *wire_peer(void *ctx)
{
	return link_peer(ctx);
}

static const struct dialect_wire_ops wire_ops = {
	.wake = wire_wake,
	.pause = wire_pause,
	.close = wire_close,
	.peer = wire_peer,
};

static void ping_later(void *ctx)
{
	struct agent_link *a = ctx;

	a->ping_due = true;
	wire_wake(a);
	a->ping_timer = timer_start(a->callback->g->loop, DIALECT_PING_MS, ping_later, a);
}

static int dialect_established(struct agent_link *a)
{
	a->dialect = true;
	a->wire = dialect_wire_new(a->callback->g->dialects, a->id, &wire_ops, a);
	if (!a->wire)
		return -1;
	log_info("the predecessor's agent has connected", "container=%.12s peer=%s", a->id, a->peer);
	a->ping_timer = timer_start(a->callback->g->loop, DIALECT_PING_MS, ping_later, a);
	return 0;
}

static int dialect_receive(struct agent_link *a, const uint8_t *p, size_t n)
{
	struct err err;

	if (!a->wire)
		return 0;
	if (!lws_frame_is_binary(a->wsi) && dialect_wire_receive(a->wire, p, n, &err) == 0)
		return 0;
	log_warn("predecessor's agent is cut off", "container=%.12s peer=%s reason=\"%s\"", a->id, a->peer,
		 lws_frame_is_binary(a->wsi) ? "a binary message without our subprotocol" : err.msg);
	return -1;
}

static int dialect_writeable(struct agent_link *a)
{
	uint8_t *out = a->callback->out + LWS_PRE;
	const uint8_t *text;
	size_t n;

	if (a->ping_due) {
		a->ping_due = false;
		return lws_write(a->wsi, out, 0, LWS_WRITE_PING) < 0 ? -1 : (lws_callback_on_writable(a->wsi), 0);
	}
	for (int i = 0; i < WRITES_PER_ROUND && a->wire; i++) {
		if (!dialect_wire_next(a->wire, &text, &n))
			return 0;
		memcpy(out, text, n);
		if (lws_write(a->wsi, out, n, LWS_WRITE_TEXT) < (int)n)
			return -1;
		if (lws_send_pipe_choked(a->wsi))
			break;
	}
	lws_callback_on_writable(a->wsi);
	return 0;
}

/* ---- before the upgrade -------------------------------------------------------------------------- */

static int deny(struct lws *wsi, unsigned status, const char *sentence)
{
	char body[256];

	snprintf(body, sizeof(body), "{\"message\":\"%s\"}", sentence);
	lws_return_http_status(wsi, status, body);
	return 1;
}

static const char *bearer(struct lws *wsi, char *buf, int size)
{
	if (lws_hdr_copy(wsi, buf, size, WSI_TOKEN_HTTP_AUTHORIZATION) <= 0 || strncasecmp(buf, "Bearer ", 7))
		return NULL;
	return buf + 7;
}

static const char *container_id(struct lws *wsi, char *buf, int size)
{
	const char *v = lws_get_urlarg_by_name(wsi, "id=", buf, size);

	if (!v)
		v = lws_get_urlarg_by_name(wsi, "session_id=", buf, size);
	return v && v[0] ? v : NULL;
}

/* Does it call with a proof? Then it is judged here: *ret_rc. */
static bool prove(struct callback *cb, struct lws *wsi, const char *id, struct agent_link *a, int *ret_rc, struct err *err)
{
	char header[TOKEN_HEADER_MAX];

	a->proves = false;
	if (lws_hdr_copy(wsi, header, sizeof(header), WSI_TOKEN_HTTP_AUTHORIZATION) <= 0 || !proof_is_meant(header))
		return false;
	*ret_rc = enrol_take_request(registry_enrolment(cb->g->registry), containers_by_id(cb->g->containers, id), header,
				     &a->proof, err);
	a->proves = *ret_rc == 0;
	return true;
}

/* The other half of it, in the 101. */
static int add_answer(struct lws *wsi, const struct agent_link *a, struct lws_process_html_args *args)
{
	char text[PROOF_TEXT_MAX];
	uint8_t *at = (uint8_t *)args->p;

	if (!a || !a->proves)
		return 0;
	proof_answer(&a->proof, SESSION_GATEWAY, text);
	if (lws_add_http_header_by_name(wsi, (const uint8_t *)PROOF_ANSWER ":", (const uint8_t *)text, (int)strlen(text), &at,
					at + args->max_len))
		return -1;
	args->p = (char *)at;
	return 0;
}

/* In the header, or, as the predecessor has it, in the query. Its later agents have none at all (up to us). */
static int authorize(struct callback *cb, struct lws *wsi, const char *id, bool dialect, struct err *err)
{
	char header[TOKEN_HEADER_MAX], query[TOKEN_HEADER_MAX];
	const char *token = bearer(wsi, header, sizeof(header));
	const char *argument = lws_get_urlarg_by_name(wsi, "token=", query, sizeof(query));
	const struct container *c = containers_by_id(cb->g->containers, id);
	int rc = registry_authorize(cb->g->registry, id, token, err);

	if (rc < 0 && err->kind == ERR_DENIED && argument)
		rc = registry_authorize(cb->g->registry, id, argument, err);
	if (rc < 0 && dialect && cb->g->config->accept_bootstraps && c && !c->token[0])
		rc = 0;
	lws_explicit_bzero(header, sizeof(header));
	lws_explicit_bzero(query, sizeof(query));
	return rc;
}

static int filter(struct callback *cb, struct lws *wsi, struct agent_link *a)
{
	char id_buf[128], offered[128] = "";
	const char *id = container_id(wsi, id_buf, sizeof(id_buf));
	struct err err = { 0 };
	int rc;

	if (!id)
		return deny(wsi, HTTP_STATUS_BAD_REQUEST, "id query parameter is required");
	lws_hdr_copy(wsi, offered, sizeof(offered), WSI_TOKEN_PROTOCOL);
	if (!prove(cb, wsi, id, a, &rc, &err))
		rc = authorize(cb, wsi, id, !offered[0], &err);
	if (rc < 0) {
		char peer[64] = "?";

		lws_get_peer_simple(wsi, peer, sizeof(peer));
		log_warn("agent refused", "peer=%s reason=\"%s\"", peer, err.msg);
		return deny(wsi, err.kind == ERR_NOT_FOUND ? HTTP_STATUS_NOT_FOUND : HTTP_STATUS_UNAUTHORIZED,
			    err.kind == ERR_NOT_FOUND ? "no such container" : "unauthorized");
	}
	if ((offered[0] || a->proves) && !strstr(offered, TUNNEL_SUBPROTOCOL))
		return deny(wsi, HTTP_STATUS_BAD_REQUEST, "this gateway speaks " TUNNEL_SUBPROTOCOL);
	return 0;
}

/* ---- after it ------------------------------------------------------------------------------------ */

static void no_hello(void *ctx)
{
	struct agent_link *a = ctx;

	a->hello_timer = NULL;
	log_warn("agent said no hello in time", "container=%.12s peer=%s", a->id, a->peer);
	link_close(&a->base);
}

static void on_record(struct tls_borrowed *tls);

static int established(struct callback *cb, struct lws *wsi, struct agent_link *a)
{
	char id_buf[128];
	const char *id = container_id(wsi, id_buf, sizeof(id_buf));
	bool proves = a->proves;
	struct proof proof = a->proof;

	memset(a, 0, sizeof(*a));
	a->base.ops = &link_ops;
	a->proves = proves;
	a->proof = proof;
	a->base.proof = proves ? &a->proof : NULL;
	a->callback = cb;
	a->wsi = wsi;
	snprintf(a->id, sizeof(a->id), "%s", id ? id : "");
	lws_get_peer_simple(wsi, a->peer, sizeof(a->peer));
	buf_init(&a->message, FRAME_HANDSHAKE_MAX); /* HELLO; the session refuses other long ones */
	buf_init(&a->last_words, FRAME_MAX);
	if (!strcmp(lws_get_protocol(wsi)->name, DIALECT_PROTOCOL))
		return dialect_established(a);
	a->hello_timer = timer_start(cb->g->loop, CALLBACK_HELLO_MS, no_hello, a);
	if (lws_get_ssl(wsi))
		tls_borrow(&a->tls, lws_get_ssl(wsi), lws_get_socket_fd(wsi), on_record);
	return 0;
}

static int take_message(struct agent_link *a, const uint8_t *p, size_t n)
{
	struct registry *r = a->callback->g->registry;
	struct err err = { 0 };
	struct buf refusal;
	int rc = 0;

	if (a->dialect)
		return dialect_receive(a, p, n);
	if (a->base.tunnel) {
		rc = tunnel_receive(a->base.tunnel, p, n, &err);
	} else if (!a->greeted) {
		a->greeted = true;
		timer_cancel(&a->hello_timer);
		buf_init(&refusal, FRAME_MAX);
		rc = registry_hello(r, a->id, &a->base, p, n, &refusal, &err);
		if (rc < 0) {
			log_warn("agent's hello refused", "container=%.12s peer=%s reason=\"%s\"", a->id, a->peer, err.msg);
			if (refusal.len) {
				link_refuse(&a->base, &refusal);
				rc = 0;
			}
		}
		buf_release(&refusal);
		return rc;
	}
	/* else: fenced, or waiting for a challenge to end; its frames are nobody's */
	if (rc < 0)
		log_warn("link closed on a protocol error", "container=%.12s peer=%s reason=\"%s\"", a->id, a->peer, err.msg);
	return rc;
}

static int receive(struct agent_link *a, const uint8_t *p, size_t n)
{
	bool whole = lws_is_final_fragment(a->wsi) && !lws_remaining_packet_payload(a->wsi);
	int rc;

	if (a->closing)
		return 0;
	if (whole && !a->message.len)
		return take_message(a, p, n);
	if (buf_append(&a->message, p, n) < 0) {
		log_warn("link closed: message too long", "container=%.12s limit=%d", a->id, FRAME_HANDSHAKE_MAX);
		return -1;
	}
	if (!whole)
		return 0;
	rc = take_message(a, buf_head(&a->message), a->message.len);
	buf_consume(&a->message, a->message.len);
	return rc;
}

static int write_message(struct agent_link *a, const struct frame_out *f)
{
	uint8_t *out = a->callback->out + LWS_PRE;
	size_t n = f->head_len + f->body_len;

	memcpy(out, f->head, f->head_len);
	if (f->body_len)
		memcpy(out + f->head_len, f->body, f->body_len);
	return lws_write(a->wsi, out, n, LWS_WRITE_BINARY) < (int)n ? -1 : 0;
}

/* More would only wait behind the kernel's queue. What is gathered is not there yet. */
static bool choked(const struct agent_link *a)
{
	return a->tls.ssl ? lws_partial_buffered(a->wsi) || a->tls.owed.len : lws_send_pipe_choked(a->wsi);
}

static int write_messages(struct agent_link *a)
{
	struct frame_out f;

	for (int i = 0; i < (a->tls.ssl ? GATHERED_PER_ROUND : WRITES_PER_ROUND) && a->base.tunnel; i++) {
		if (!tunnel_next_frame(a->base.tunnel, &f))
			return 0;
		if (write_message(a, &f) < 0)
			return -1;
		if (choked(a)) {
			await_room(a);
			return 0;
		}
	}
	a->woken = true;
	return 0;
}

static int say_last_words(struct agent_link *a)
{
	struct frame_out f = { .head = buf_head(&a->last_words), .head_len = a->last_words.len };

	write_message(a, &f);
	return -1;
}

static int write_now(struct agent_link *a)
{
	int rc = 0;

	if (a->closing)
		return 0;
	if (a->last_words.len)
		return say_last_words(a);
	if (a->tls.ssl && lws_send_pipe_choked(a->wsi)) {
		await_room(a);
		return 0;
	}
	if (tls_send_gathered(&a->tls)) { /* what was left of the last time */
		tls_gather(&a->tls);
		rc = write_messages(a);
	}
	if (!tls_send_gathered(&a->tls))
		await_room(a);
	return rc;
}

static int writeable(struct agent_link *a)
{
	int rc;

	a->awaits_room = false;
	if (a->dialect)
		return a->closing ? 0 : dialect_writeable(a);
	rc = write_now(a);
	if (rc == 0 && a->woken)
		turn_later(a);
	return rc;
}

/* ---- once more in this round ------------------------------------------------------------------------- */

static void on_record(struct tls_borrowed *tls)
{
	struct agent_link *a = (struct agent_link *)((char *)tls - offsetof(struct agent_link, tls));

	if (a->callback->turn != a)
		turn_later(a);
}

/* libwebsockets reads one record when its socket is readable: tell it that it still is. False: the link is gone. */
static bool read_records(struct callback *cb, struct agent_link *a)
{
	struct lws_pollfd readable = { .fd = lws_get_socket_fd(a->wsi), .events = LWS_POLLIN };

	for (int i = 0; i < RECORDS_PER_ROUND && !a->closing && tls_holds_records(&a->tls); i++) {
		readable.revents = LWS_POLLIN;
		lws_service_fd(cb->context, &readable);
		if (!cb->turn)
			return false;
	}
	if (!a->closing && tls_holds_records(&a->tls))
		turn_later(a);
	return true;
}

static void turns(void *ctx)
{
	struct callback *cb = ctx;
	struct agent_link *a;
	int n;

	cb->turn_deferred = false;
	DL_COUNT(cb->busy, a, n);
	for (; n > 0 && cb->busy; n--) {
		a = cb->turn = cb->busy;
		no_turn(a);
		if (read_records(cb, a) && a->woken) {
			a->woken = false;
			if (write_now(a) < 0)
				link_close(&a->base);
			else if (a->woken)
				turn_later(a); /* others first */
		}
	}
	cb->turn = NULL;
}

static void closed(struct agent_link *a)
{
	if (!a->callback)
		return;
	a->closing = true;
	no_turn(a);
	tls_return(&a->tls);
	if (a->callback->turn == a)
		a->callback->turn = NULL;
	timer_cancel(&a->hello_timer);
	timer_cancel(&a->ping_timer);
	if (a->wire)
		dialect_wire_gone(a->wire);
	if (a->base.tunnel || a->wire)
		log_info("agent's link closed", "container=%.12s peer=%s", a->id, a->peer);
	registry_link_gone(a->callback->g->registry, &a->base);
	buf_release(&a->message);
	buf_release(&a->last_words);
}

static int on_http(struct lws *wsi)
{
	char uri[128] = "";

	lws_hdr_copy(wsi, uri, sizeof(uri), WSI_TOKEN_GET_URI);
	if (!strcmp(uri, "/healthz"))
		return lws_return_http_status(wsi, HTTP_STATUS_OK, "{\"status\":\"ok\"}") ? -1 : 1;
	return deny(wsi, HTTP_STATUS_NOT_FOUND, "only agents call here, over WebSocket");
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct lws_vhost *vh = lws_get_vhost(wsi);
	struct callback *cb = vh ? lws_get_vhost_user(vh) : NULL;
	struct agent_link *a = user;

	switch (reason) {
	case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
		tls_tune_for_agents(user);
		return 0;
	case LWS_CALLBACK_HTTP:
		return on_http(wsi);
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		return filter(cb, wsi, a);
	case LWS_CALLBACK_ADD_HEADERS:
		return add_answer(wsi, a, in);
	case LWS_CALLBACK_ESTABLISHED:
		return established(cb, wsi, a);
	case LWS_CALLBACK_RECEIVE:
		return receive(a, in, len);
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return writeable(a);
	case LWS_CALLBACK_CLOSED:
		closed(a);
		return 0;
	default:
		return 0;
	}
}

/* The first protocol is what a client without a subprotocol gets. */
static const struct lws_protocols protocols[] = {
	{ .name = DIALECT_PROTOCOL, .callback = on_event, .per_session_data_size = sizeof(struct agent_link), .rx_buffer_size = FRAME_MAX },
	{ .name = TUNNEL_SUBPROTOCOL, .callback = on_event, .per_session_data_size = sizeof(struct agent_link), .rx_buffer_size = FRAME_MAX },
	{ 0 },
};

static void pause_over(void *ctx)
{
	struct callback *cb = ctx;

	cb->pause = NULL;
	listener_pause(cb->listener, false);
}

static void on_accept(int fd, void *ctx)
{
	struct callback *cb = ctx;
	uint64_t wait_us = admission_count(&cb->calls, clock_mono_us());
	int on = 1;

	if (wait_us && !cb->pause) {
		listener_pause(cb->listener, true);
		cb->pause = timer_start(cb->g->loop, wait_us / 1000 + 1, pause_over, cb);
	}

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	socket_give_up_after(fd, DEAD_PEER_MS);
	if (!lws_adopt_socket_vhost(cb->vhost, fd))
		log_warn("agent's connection could not be taken", "fd=%d", fd);
}

static void lws_log(int level, const char *line)
{
	size_t n = strcspn(line, "\n");

	log_warn("libwebsockets", "level=%d text=\"%.*s\"", level, (int)n, line);
}

/* Sessions ping by themselves and know when a link is dead; libwebsockets' own watch over each connection is one
 * more entry, five minutes ahead, in a list of all that is sorted by walking through it. */
static const lws_retry_bo_t no_watch;

struct callback *callback_new(struct gateway *g, int listen_fd, const char *cert, const char *key, struct err *err)
{
	struct callback *cb = xcalloc(1, sizeof(*cb));
	void *loops[1] = { g->loop };
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.protocols = protocols,
		.user = cb,
		.gid = -1, .uid = -1,
		.foreign_loops = loops,
		.pt_serv_buf_size = 72 * 1024,
		.fd_limit_per_thread = CALLBACK_LINKS_MAX,
		.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
			   LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS |
			   (cert ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0),
		.vhost_name = "agents",
		.ssl_cert_filepath = cert,
		.ssl_private_key_filepath = key,
		.alpn = "http/1.1",
		.timeout_secs = 10,
		.retry_and_idle_policy = &no_watch,
		.pcontext = &cb->context, /* set to NULL when the context is really gone */
	};

	cb->g = g;
	admission_init(&cb->calls, (uint64_t)g->config->agent_rate, CALLS_AT_ONCE);
	cb->out = xmalloc(LWS_PRE + FRAME_HANDSHAKE_MAX);
	lws_set_log_level(LLL_ERR, lws_log);
	lws_set_allocator(link_memory);
	cb->context = lws_create_context(&info);
	if (!cb->context) {
		close(listen_fd);
		err_set(err, ERR_SYSTEM, "libwebsockets context (is libwebsockets-evlib-uv installed?)");
		goto fail;
	}
	cb->vhost = lws_create_vhost(cb->context, &info);
	if (!cb->vhost) {
		close(listen_fd);
		err_set(err, ERR_INVALID, "callback listener: certificate %s with key %s", cert ? cert : "-", key ? key : "-");
		goto fail;
	}
	cb->listener = listener_new(g->loop, listen_fd, on_accept, cb, err);
	if (!cb->listener)
		goto fail;
	return cb;
fail:
	callback_free(cb);
	return NULL;
}

void callback_free(struct callback *cb)
{
	if (!cb)
		return;
	timer_cancel(&cb->pause);
	listener_close(cb->listener);
	if (cb->context)
		lws_context_destroy(cb->context);
	/* On a foreign loop it is gone only after its handles have closed; until then it calls back. */
	for (int i = 0; (cb->context || cb->turn_deferred) && i < CLOSE_ROUNDS; i++)
		uv_run(cb->g->loop, UV_RUN_NOWAIT);
	if (cb->context)
		lws_context_destroy(cb->context); /* the second call frees what the first has taken apart */
	free(cb->out);
	free(cb);
}
