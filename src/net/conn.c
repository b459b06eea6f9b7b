/* conn - one non-blocking stream on the loop, plain or TLS. Its listening half is listen.c.
 *
 * Owns the fd, its uv_poll, the SSL object, the connect attempt and its deadline. The owner's wish
 * (want) and what the kernel watches (armed) are kept apart: a wish that is withdrawn is only taken
 * from the kernel when its event comes after all, because each change costs two epoll calls.
 * UV_PRIORITIZED stays armed always: it makes libuv report EPOLLHUP and EPOLLERR, which epoll
 * never mutes, also when nothing is wanted and after the peer has half-closed.
 *
 *   RESOLVING -> CONNECTING -> HANDSHAKE -> OPEN -> BROKEN -> CLOSED    (may skip ahead) */
#include "net/conn.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/defer.h"

#define TLS_RECORD_MAX (16 * 1024)
#define TLS_GATHER_RECORDS 8   /* so many go to the kernel in one call */
#define TLS_RECORD_ROOM (TLS_RECORD_MAX + 256) /* with its header, padding and tag */
#define UNIX_CONNECT_MS 5000   /* a unix listener with a full queue gives EAGAIN: how long we ask */
#define UNIX_RETRY_MS 10
#define KEEPALIVE_IDLE_S 60    /* a vanished TCP peer is noticed after 60 + 4 * 15 seconds */
#define KEEPALIVE_EVERY_S 15
#define KEEPALIVE_PROBES 4

enum conn_state { RESOLVING, CONNECTING, HANDSHAKE, OPEN, BROKEN, CLOSED };

struct resolve { /* outlives a conn that is closed while the resolver works */
	uv_getaddrinfo_t req;
	struct conn *conn; /* NULL once nobody waits */
};

struct watch { /* an fd and its poll handle; goes its own way when an address does not answer */
	uv_poll_t poll;
	int fd; /* ours; closed only when libuv has let go of it */
};

struct conn {
	uv_loop_t *loop;
	struct watch *watch;    /* ours; NULL between attempts to connect */
	int fd;                 /* the watch's, or -1 */
	int armed;              /* UV_* bits the kernel watches; 0 = not started */
	unsigned want;
	enum conn_state state;
	bool eof;               /* the peer has half-closed and we have read up to there */
	bool kicked;            /* a conn_kick is deferred */
	conn_cb *cb;
	void *ctx;
	struct timer *timer;    /* of connecting and the handshake */
	uint64_t deadline_ms;   /* on the loop's clock */

	struct tls *tls;        /* referenced; NULL = plain */
	SSL *ssl;
	bool tls_drained;       /* the last SSL_read wanted more: OpenSSL holds no whole record */
	bool tls_owes;          /* EOF or an error came behind bytes: the next conn_read tells */
	bool read_needs_write;
	/* Records that the kernel has not taken whole. The owner has not been told that their payload is
	 * written, so it still has these bytes at the front of what it offers next. */
	struct buf owed;
	size_t owed_payload;

	struct resolve *resolve;
	struct addrinfo *addrs, *addr; /* ours (uv_freeaddrinfo); the one being tried */
	char *host;             /* for verification and messages */
	uint16_t port;
	char *unix_path;
	char peer[64];
	char error[256];
};

static void on_poll(uv_poll_t *h, int status, int events);
static void arm_exactly(struct conn *c, int bits);

static uint64_t now_ms(struct conn *c)
{
	uv_update_time(c->loop);
	return uv_now(c->loop);
}

static uint64_t ms_left(struct conn *c)
{
	uint64_t now = now_ms(c);

	return now < c->deadline_ms ? c->deadline_ms - now : 0;
}

/* ---- failure ---- */

__attribute__((format(printf, 2, 3)))
static ssize_t conn_break(struct conn *c, const char *fmt, ...)
{
	va_list ap;

	if (c->state >= BROKEN)
		return CONN_FAILED; /* the first reason is the real one */
	va_start(ap, fmt);
	vsnprintf(c->error, sizeof(c->error), fmt, ap);
	va_end(ap);
	c->state = BROKEN;
	return CONN_FAILED;
}

/* Tell the owner once that it is over; nothing is watched from here on. */
static void conn_hangup(struct conn *c)
{
	if (c->state == CLOSED)
		return;
	conn_break(c, "the peer hung up");
	timer_cancel(&c->timer);
	arm_exactly(c, 0);
	c->cb(c, c->ctx, CONN_HANGUP);
}

static void hangup_later(void *p)
{
	conn_hangup(p);
}

/* ---- OpenSSL's way to the socket: send and recv, so that SIGPIPE never happens ---- */

/* Records of one tls_writev on their way to one send: a call for each 16 KiB would walk through the whole
 * network stack four times as often. Empty between calls; one for all, as all is one thread. */
static struct gathered {
	struct conn *conn;      /* whose records are being made, or NULL */
	size_t len;
	int n;
	struct {
		size_t bytes, payload; /* up to here, this record included */
	} end[TLS_GATHER_RECORDS];
	uint8_t bytes[TLS_GATHER_RECORDS * TLS_RECORD_ROOM];
} gathered;

static int bio_write(BIO *b, const char *p, int n)
{
	struct conn *c = BIO_get_data(b);
	ssize_t sent;

	BIO_clear_retry_flags(b);
	if (gathered.conn == c) {
		assert((size_t)n <= sizeof(gathered.bytes) - gathered.len);
		memcpy(gathered.bytes + gathered.len, p, (size_t)n);
		gathered.len += (size_t)n;
		return n;
	}
	if (c->owed.len) { /* records must not overtake one another */
		BIO_set_retry_write(b);
		return -1;
	}
	sent = send(c->fd, p, (size_t)n, MSG_NOSIGNAL);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(b);
	return (int)sent;
}

static int bio_read(BIO *b, char *p, int n)
{
	struct conn *c = BIO_get_data(b);
	ssize_t got = recv(c->fd, p, (size_t)n, 0);

	BIO_clear_retry_flags(b);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(b);
	if (got == 0)
		BIO_set_flags(b, BIO_FLAGS_IN_EOF);
	return (int)got;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *p)
{
	if (cmd == BIO_CTRL_EOF)
		return BIO_test_flags(b, BIO_FLAGS_IN_EOF) != 0;
	return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP;
}

static BIO_METHOD *bio_method(void)
{
	static BIO_METHOD *m; /* one for the process, reachable until its end */

	if (!m) {
		m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "conn");
		BIO_meth_set_write(m, bio_write);
		BIO_meth_set_read(m, bio_read);
		BIO_meth_set_ctrl(m, bio_ctrl);
	}
	return m;
}

static void tls_begin(struct conn *c)
{
	struct in6_addr any;
	BIO *bio = BIO_new(bio_method());

	c->ssl = SSL_new(tls_context(c->tls));
	if (!c->ssl || !bio)
		abort(); /* out of memory */
	BIO_set_data(bio, c);
	BIO_set_init(bio, 1);
	SSL_set_bio(c->ssl, bio, bio);
	if (tls_is_server(c->tls)) {
		SSL_set_accept_state(c->ssl);
	} else {
		SSL_set_connect_state(c->ssl);
		if (inet_pton(AF_INET, c->host, &any) == 1 ||
		    inet_pton(AF_INET6, c->host, &any) == 1) {
			X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), c->host);
		} else {
			SSL_set_tlsext_host_name(c->ssl, c->host);
			SSL_set1_host(c->ssl, c->host);
		}
	}
	c->state = HANDSHAKE;
}

/* What OpenSSL has to say, or errno, as the conn's error. */
static ssize_t tls_break(struct conn *c, const char *doing, int ssl_error, int errnum)
{
	unsigned long e = ERR_peek_error();
	long verify = SSL_get_verify_result(c->ssl);
	const char *why = e ? ERR_reason_error_string(e) : NULL;
	const char *more = verify != X509_V_OK ? X509_verify_cert_error_string(verify) : NULL;

	if (ssl_error == SSL_ERROR_SYSCALL && !e)
		why = errnum ? strerror(errnum) : "unexpected eof";
	ERR_clear_error();
	return conn_break(c, "%s: %s%s%s", doing, why ? why : "TLS error", more ? ": " : "",
			  more ? more : "");
}

/* ---- what the kernel watches ---- */

static int wanted_bits(const struct conn *c)
{
	int bits = UV_PRIORITIZED;

	switch (c->state) {
	case CONNECTING:
		return UV_WRITABLE | UV_PRIORITIZED;
	case HANDSHAKE:
		return (c->read_needs_write ? UV_WRITABLE : UV_READABLE) | UV_PRIORITIZED;
	case OPEN:
		/* At EOF the socket stays readable for ever: asking on would spin. */
		if ((c->want & CONN_READ) && !c->eof)
			bits |= c->read_needs_write ? UV_WRITABLE : UV_READABLE;
		if (c->want & CONN_WRITE)
			bits |= UV_WRITABLE;
		return bits;
	default:
		return 0;
	}
}

static void arm_exactly(struct conn *c, int bits)
{
	if (!c->watch || bits == c->armed)
		return;
	c->armed = bits;
	if (bits)
		uv_poll_start(&c->watch->poll, bits, on_poll);
	else
		uv_poll_stop(&c->watch->poll);
}

/* Add what is missing; what is too much goes when it comes. */
static void conn_arm(struct conn *c)
{
	int bits = wanted_bits(c);

	if (bits & ~c->armed)
		arm_exactly(c, bits | c->armed);
}

static bool tls_holds_bytes(const struct conn *c)
{
	return c->ssl && c->state == OPEN && !c->eof && !c->tls_drained &&
	       (c->tls_owes || SSL_has_pending(c->ssl));
}

static void conn_kick(void *p)
{
	struct conn *c = p;

	c->kicked = false;
	if ((c->want & CONN_READ) && tls_holds_bytes(c))
		c->cb(c, c->ctx, CONN_READ);
	if ((c->want & CONN_READ) && tls_holds_bytes(c) && !c->kicked) {
		c->kicked = true; /* one callback per round: others get their turn */
		loop_defer(c->loop, conn_kick, c);
	}
}

/* epoll is silent about bytes that OpenSSL has already taken from the kernel. */
static void kick_if_needed(struct conn *c)
{
	if (c->kicked || !(c->want & CONN_READ) || !tls_holds_bytes(c))
		return;
	c->kicked = true;
	loop_defer(c->loop, conn_kick, c);
}

/* ---- watches ---- */

static void watch_closed(uv_handle_t *h)
{
	struct watch *w = h->data;

	close(w->fd);
	free(w);
}

static void unwatch(struct conn *c)
{
	if (!c->watch)
		return;
	c->watch->poll.data = c->watch;
	uv_close((uv_handle_t *)&c->watch->poll, watch_closed);
	c->watch = NULL;
	c->fd = -1;
	c->armed = 0;
}

/* Takes fd, even on error. */
static int watch_fd(struct conn *c, int fd, struct err *err)
{
	struct watch *w = xmalloc(sizeof(*w));
	int rc = uv_poll_init(c->loop, &w->poll, fd); /* makes it non-blocking */

	if (rc < 0) {
		free(w);
		close(fd);
		return err_sys(err, -rc, "watch a socket");
	}
	w->poll.data = c;
	w->fd = fd;
	c->watch = w;
	c->fd = fd;
	return 0;
}

static void conn_destroy(void *p)
{
	struct conn *c = p;

	unwatch(c);
	SSL_free(c->ssl);
	buf_release(&c->owed);
	tls_unref(c->tls);
	uv_freeaddrinfo(c->addrs);
	free(c->host);
	free(c->unix_path);
	free(c);
}

static struct conn *conn_new(uv_loop_t *loop, struct tls *tls, conn_cb *cb, void *ctx)
{
	struct conn *c = xcalloc(1, sizeof(*c));

	c->loop = loop;
	c->fd = -1;
	c->cb = cb;
	c->ctx = ctx;
	c->tls = tls ? tls_ref(tls) : NULL;
	buf_init(&c->owed, sizeof(gathered.bytes));
	return c;
}

/* Errors are ignored: a unix socket knows none of these, no TCP option is worth a connection. */
static void tune(int fd)
{
	static const int on = 1, idle = KEEPALIVE_IDLE_S, every = KEEPALIVE_EVERY_S,
			 probes = KEEPALIVE_PROBES;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

static void name_peer(struct conn *c)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);
	char ip[INET6_ADDRSTRLEN] = "?";

	snprintf(c->peer, sizeof(c->peer), "unix");
	if (getpeername(c->fd, (struct sockaddr *)&ss, &len) < 0)
		return;
	if (ss.ss_family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)&ss;

		inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip));
		snprintf(c->peer, sizeof(c->peer), "%s:%u", ip, ntohs(in->sin_port));
	} else if (ss.ss_family == AF_INET6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;

		bool v4 = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);

		inet_ntop(v4 ? AF_INET : AF_INET6, in6->sin6_addr.s6_addr + (v4 ? 12 : 0), ip, sizeof(ip));
		snprintf(c->peer, sizeof(c->peer), v4 ? "%s:%u" : "[%s]:%u", ip, ntohs(in6->sin6_port));
	}
}

/* ---- towards OPEN ---- */

static void conn_opened(struct conn *c, bool tell)
{
	timer_cancel(&c->timer);
	c->state = OPEN;
	c->read_needs_write = false;
	conn_arm(c);
	if (tell)
		c->cb(c, c->ctx, CONN_OPEN);
	if (c->state == OPEN) /* records may have come together with the handshake's last bytes */
		kick_if_needed(c);
}

static void handshake_step(struct conn *c)
{
	int rc, e, errnum;

	ERR_clear_error();
	rc = SSL_do_handshake(c->ssl);
	errnum = errno;
	if (rc == 1) {
		conn_opened(c, true);
		return;
	}
	e = SSL_get_error(c->ssl, rc);
	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
		c->read_needs_write = e == SSL_ERROR_WANT_WRITE;
		arm_exactly(c, wanted_bits(c));
		return;
	}
	tls_break(c, "TLS handshake", e, errnum);
	conn_hangup(c);
}

static void on_deadline(void *p)
{
	struct conn *c = p;

	c->timer = NULL;
	if (c->state == RESOLVING)
		conn_break(c, "resolve %s: no answer in time", c->host);
	else
		conn_break(c, "TLS handshake: no end in time");
	conn_hangup(c);
}

/* ---- connecting ---- */

static void connect_next(struct conn *c);

static void connected(struct conn *c)
{
	timer_cancel(&c->timer);
	c->error[0] = '\0';
	name_peer(c);
	tune(c->fd);
	if (!c->tls) {
		conn_opened(c, true);
		return;
	}
	tls_begin(c);
	c->timer = timer_start(c->loop, ms_left(c), on_deadline, c);
	handshake_step(c);
}

/* This address is no good: note why, try the next. */
static void connect_failed(struct conn *c, int errnum)
{
	timer_cancel(&c->timer);
	unwatch(c);
	if (c->unix_path)
		snprintf(c->error, sizeof(c->error), "connect to %s: %s", c->unix_path,
			 strerror(errnum));
	else
		snprintf(c->error, sizeof(c->error), "connect to %s:%u: %s", c->host, c->port,
			 strerror(errnum));
	c->addr = c->addr ? c->addr->ai_next : NULL;
	connect_next(c);
}

static void on_slice_over(void *p)
{
	struct conn *c = p;

	c->timer = NULL;
	connect_failed(c, ETIMEDOUT);
}

/* Start the attempt at c->addr. Each gets its fair part of the time left, so that one address that
 * swallows packets does not cost us the ones behind it. */
static void connect_next(struct conn *c)
{
	unsigned left = 0;
	int fd;

	for (struct addrinfo *a = c->addr; a; a = a->ai_next)
		left++;
	if (!left || !ms_left(c)) {
		char why[sizeof(c->error)];

		memcpy(why, c->error, sizeof(why));
		conn_break(c, "%s", why);
		loop_defer(c->loop, hangup_later, c);
		return;
	}
	fd = socket(c->addr->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		connect_failed(c, errno);
		return;
	}
	if (connect(fd, c->addr->ai_addr, c->addr->ai_addrlen) < 0 && errno != EINPROGRESS) {
		int errnum = errno;

		close(fd);
		connect_failed(c, errnum);
		return;
	}
	if (watch_fd(c, fd, NULL) < 0) {
		connect_failed(c, EMFILE);
		return;
	}
	c->state = CONNECTING;
	c->timer = timer_start(c->loop, ms_left(c) / left, on_slice_over, c);
	conn_arm(c);
}

static void on_connect_event(struct conn *c, int events)
{
	int errnum = 0;
	socklen_t len = sizeof(errnum);

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &errnum, &len);
	if (!errnum && (events & UV_WRITABLE))
		connected(c);
	else
		connect_failed(c, errnum ? errnum : ECONNABORTED);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
	struct resolve *r = req->data;
	struct conn *c = r->conn;

	free(r);
	if (!c) {
		uv_freeaddrinfo(res);
		return;
	}
	c->resolve = NULL;
	timer_cancel(&c->timer);
	if (status < 0) {
		conn_break(c, "resolve %s: %s", c->host, uv_strerror(status));
		conn_hangup(c);
		return;
	}
	c->addrs = c->addr = res;
	connect_next(c);
}

static void resolve_start(struct conn *c, const char *service)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	int rc;

	/* A plain address needs neither a thread nor the files and servers of name look-up. */
	if (getaddrinfo(c->host, service, &hints, &c->addrs) == 0) {
		c->addr = c->addrs;
		connect_next(c);
		return;
	}
	c->addrs = NULL;
	hints.ai_flags = AI_NUMERICSERV;
	c->resolve = xcalloc(1, sizeof(*c->resolve));
	c->resolve->conn = c;
	c->resolve->req.data = c->resolve;
	rc = uv_getaddrinfo(c->loop, &c->resolve->req, on_resolved, c->host, service, &hints);
	if (rc < 0) {
		free(c->resolve);
		c->resolve = NULL;
		conn_break(c, "resolve %s: %s", c->host, uv_strerror(rc));
		loop_defer(c->loop, hangup_later, c);
		return;
	}
	c->timer = timer_start(c->loop, ms_left(c), on_deadline, c);
}

/* A listener whose queue is full answers EAGAIN and tells nobody when there is room: ask again. */
static void connect_unix_step(void *p)
{
	struct conn *c = p;
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int errnum = fd < 0 ? errno : 0;

	c->timer = NULL;
	memcpy(sun.sun_path, c->unix_path, strlen(c->unix_path));
	if (!errnum && connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		errnum = errno;
	if (!errnum && watch_fd(c, fd, NULL) == 0) {
		c->state = CONNECTING; /* writable at once: CONN_OPEN comes from the loop */
		conn_arm(c);
		return;
	}
	if (fd >= 0 && errnum)
		close(fd);
	if (errnum == EAGAIN && ms_left(c)) {
		c->timer = timer_start(c->loop, UNIX_RETRY_MS, connect_unix_step, c);
		return;
	}
	connect_failed(c, errnum ? errnum : EMFILE);
}

/* ---- events ---- */

static bool bytes_wait(const struct conn *c)
{
	int n = 0;

	return tls_holds_bytes(c) || (ioctl(c->fd, FIONREAD, &n) == 0 && n > 0);
}

/* libuv has seen EPOLLHUP, EPOLLERR or EPOLLPRI. What is it, and may we say so already?
 * Bytes that came before the end are read first: an owner that wants them gets CONN_READ (and from
 * conn_read in time EOF or the error); one that is throttled gets silence until it wants again. */
static unsigned on_exception(struct conn *c)
{
	struct pollfd pfd = {.fd = c->fd, .events = POLLPRI};
	int errnum = 0;
	socklen_t len = sizeof(errnum);

	if (poll(&pfd, 1, 0) <= 0)
		return 0;
	if (!(pfd.revents & (POLLHUP | POLLERR))) {
		conn_break(c, "the peer sent urgent data");
		return CONN_HANGUP;
	}
	if ((c->want & CONN_READ) && !c->eof) {
		conn_arm(c);
		return CONN_READ;
	}
	if (!(pfd.revents & POLLERR) && !c->eof && bytes_wait(c)) {
		arm_exactly(c, 0); /* conn_want(CONN_READ) starts it again */
		return 0;
	}
	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &errnum, &len);
	if (errnum)
		conn_break(c, "%s", strerror(errnum));
	return CONN_HANGUP;
}

static unsigned owner_events(const struct conn *c, int events)
{
	unsigned tell = 0;

	if ((c->want & CONN_READ) && !c->eof &&
	    (events & (c->read_needs_write ? UV_WRITABLE : UV_READABLE)))
		tell |= CONN_READ;
	if ((c->want & CONN_WRITE) && (events & UV_WRITABLE))
		tell |= CONN_WRITE;
	return tell;
}

static void on_poll(uv_poll_t *h, int status, int events)
{
	struct conn *c = h->data;
	unsigned tell;

	if (status < 0) { /* EPOLLERR with EPOLLHUP: libuv has stopped the handle */
		c->armed = 0;
		events = 0;
	}
	if (c->state == CLOSED)
		return;
	if (c->state == CONNECTING) {
		on_connect_event(c, events);
		return;
	}
	if (c->state == HANDSHAKE) {
		handshake_step(c);
		return;
	}
	tell = c->state == OPEN ? owner_events(c, events) : CONN_HANGUP;
	if (c->state == OPEN && (status < 0 || (events & UV_PRIORITIZED)))
		tell |= on_exception(c);
	if (tell & CONN_HANGUP) {
		conn_hangup(c);
		return;
	}
	if (tell)
		c->cb(c, c->ctx, tell);
	if (c->state != OPEN)
		return;
	/* What nobody wanted is muted; and room to write, which would come back at once. */
	if (c->armed && (!tell || (c->armed & ~wanted_bits(c) & UV_WRITABLE)))
		arm_exactly(c, wanted_bits(c));
	kick_if_needed(c);
}

/* ---- API ---- */

struct conn *conn_adopt(uv_loop_t *loop, int fd, struct tls *tls, uint64_t handshake_ms,
			conn_cb *cb, void *ctx, struct err *err)
{
	struct conn *c = conn_new(loop, tls, cb, ctx);

	fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (watch_fd(c, fd, err) < 0) {
		conn_destroy(c);
		return NULL;
	}
	name_peer(c);
	tune(fd);
	if (!tls) {
		c->state = OPEN;
	} else {
		tls_begin(c);
		c->timer = timer_start(loop, handshake_ms, on_deadline, c);
	}
	conn_arm(c);
	return c;
}

struct conn *conn_connect(uv_loop_t *loop, const char *host, uint16_t port, struct tls *tls,
			  uint64_t timeout_ms, conn_cb *cb, void *ctx, struct err *err)
{
	struct conn *c;
	char service[8];

	if (!*host || port == 0) {
		err_set(err, ERR_INVALID, "connect to \"%s\" port %u: not an address", host, port);
		return NULL;
	}
	c = conn_new(loop, tls, cb, ctx);
	c->host = xstrdup(host);
	c->port = port;
	snprintf(c->peer, sizeof(c->peer), "%.50s:%u", host, port);
	snprintf(c->error, sizeof(c->error), "connect to %s:%u: no answer in time", host, port);
	snprintf(service, sizeof(service), "%u", port);
	c->deadline_ms = now_ms(c) + timeout_ms;
	resolve_start(c, service);
	return c;
}

struct conn *conn_connect_unix(uv_loop_t *loop, const char *path, conn_cb *cb, void *ctx,
			       struct err *err)
{
	struct conn *c;

	if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
		err_set(err, ERR_INVALID, "connect to %s: the path is too long for a socket", path);
		return NULL;
	}
	c = conn_new(loop, NULL, cb, ctx);
	c->unix_path = xstrdup(path);
	c->deadline_ms = now_ms(c) + UNIX_CONNECT_MS;
	connect_unix_step(c);
	return c;
}

void conn_set_callback(struct conn *c, conn_cb *cb, void *ctx)
{
	c->cb = cb;
	c->ctx = ctx;
}

void conn_want(struct conn *c, unsigned events)
{
	assert(!(events & ~(unsigned)(CONN_READ | CONN_WRITE)));
	c->want = events;
	if (c->state != OPEN)
		return;
	conn_arm(c);
	kick_if_needed(c);
}

static ssize_t tls_read(struct conn *c, uint8_t *p, size_t n)
{
	size_t done = 0;

	c->tls_drained = false;
	while (done < n) {
		size_t got;
		int rc, e, errnum;

		ERR_clear_error();
		rc = SSL_read_ex(c->ssl, p + done, n - done, &got);
		errnum = errno;
		if (rc == 1) {
			done += got;
			continue;
		}
		e = SSL_get_error(c->ssl, rc);
		if (e == SSL_ERROR_ZERO_RETURN) {
			c->eof = done == 0;
			c->tls_owes = true;
			break;
		}
		if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
			c->tls_drained = true;
			if (c->read_needs_write != (e == SSL_ERROR_WANT_WRITE)) {
				c->read_needs_write = e == SSL_ERROR_WANT_WRITE;
				conn_arm(c);
			}
			return done ? (ssize_t)done : CONN_AGAIN;
		}
		if (done && e == SSL_ERROR_SSL) { /* OpenSSL says it again */
			c->tls_owes = true;
			break;
		}
		tls_break(c, "read", e, errnum);
		return done ? (ssize_t)done : CONN_FAILED;
	}
	return (ssize_t)done;
}

ssize_t conn_read(struct conn *c, void *p, size_t n)
{
	ssize_t got;

	assert(n > 0);
	if (c->state != OPEN)
		return c->state < OPEN ? CONN_AGAIN : CONN_FAILED;
	if (c->eof)
		return 0;
	if (c->ssl)
		return tls_read(c, p, n);
	do
		got = recv(c->fd, p, n, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? CONN_AGAIN : conn_break(c, "read: %s", strerror(errno));
	c->eof = got == 0;
	return got;
}

/* Where in the owner's pieces the next byte comes from. */
struct cursor {
	const struct iovec *iov;
	int n;
	size_t off; /* within iov[0] */
};

static size_t cursor_skip(struct cursor *at, size_t n)
{
	size_t done = 0;

	while (at->n > 0 && (done < n || at->off >= at->iov->iov_len)) {
		size_t left = at->iov->iov_len - at->off, step = left < n - done ? left : n - done;

		at->off += step;
		done += step;
		if (at->off >= at->iov->iov_len) {
			at->iov++;
			at->n--;
			at->off = 0;
		}
	}
	return done;
}

/* The next record's payload: small pieces are put together, since a record costs 22 bytes and its own
 * run of the cipher; a long one is taken from where it lies. */
static const uint8_t *cursor_record(const struct cursor *at, uint8_t scratch[TLS_RECORD_MAX], size_t *ret_n)
{
	size_t first = at->iov->iov_len - at->off, have = 0, off = at->off;

	if (first >= TLS_RECORD_MAX || at->n == 1) {
		*ret_n = first < TLS_RECORD_MAX ? first : TLS_RECORD_MAX;
		return (const uint8_t *)at->iov->iov_base + off;
	}
	for (int i = 0; i < at->n && have < TLS_RECORD_MAX; i++, off = 0) {
		size_t k = at->iov[i].iov_len - off, room = TLS_RECORD_MAX - have;

		k = k < room ? k : room;
		if (k)
			memcpy(scratch + have, (const uint8_t *)at->iov[i].iov_base + off, k);
		have += k;
	}
	*ret_n = have;
	return scratch;
}

/* False: the kernel is full, or the conn is broken. */
static bool send_owed(struct conn *c)
{
	while (c->owed.len) {
		ssize_t sent = send(c->fd, buf_head(&c->owed), c->owed.len, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0) {
			if (errno != EAGAIN)
				conn_break(c, "write: %s", strerror(errno));
			return false;
		}
		buf_consume(&c->owed, (size_t)sent);
	}
	buf_release(&c->owed);
	return true;
}

/* What was gathered goes to the kernel; the rest is owed. How much payload is surely with the kernel:
 * that of the records it has taken whole. */
static size_t send_gathered(struct conn *c, size_t payload)
{
	size_t surely = 0;

	for (size_t off = 0; off < gathered.len;) {
		ssize_t sent = send(c->fd, gathered.bytes + off, gathered.len - off, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno != EAGAIN)
			conn_break(c, "write: %s", strerror(errno));
		if (sent < 0) {
			buf_append(&c->owed, gathered.bytes + off, gathered.len - off);
			break;
		}
		off += (size_t)sent;
		for (int i = 0; i < gathered.n && gathered.end[i].bytes <= off; i++)
			surely = gathered.end[i].payload;
	}
	c->owed_payload = payload - surely;
	return surely;
}

/* Up to TLS_GATHER_RECORDS records and one call to the kernel. */
static ssize_t tls_write_batch(struct conn *c, struct cursor *at)
{
	uint8_t scratch[TLS_RECORD_MAX];
	size_t payload = 0, n, written;

	gathered.conn = c;
	gathered.len = 0;
	gathered.n = 0;
	while (at->n > 0 && gathered.n < TLS_GATHER_RECORDS) {
		const uint8_t *from = cursor_record(at, scratch, &n);
		int rc, errnum;

		if (n == 0)
			break;
		ERR_clear_error();
		rc = SSL_write_ex(c->ssl, from, n, &written);
		errnum = errno;
		if (rc != 1) { /* there is room for the record: no WANT can come of it */
			gathered.conn = NULL;
			return tls_break(c, "write", SSL_get_error(c->ssl, rc), errnum);
		}
		payload += written;
		cursor_skip(at, written);
		gathered.end[gathered.n].bytes = gathered.len;
		gathered.end[gathered.n++].payload = payload;
	}
	gathered.conn = NULL;
	return (ssize_t)send_gathered(c, payload);
}

static ssize_t tls_writev(struct conn *c, const struct iovec *iov, int n)
{
	struct cursor at = {iov, n, 0};
	size_t total = 0;

	if (c->owed.len && !send_owed(c))
		return c->state == OPEN ? CONN_AGAIN : CONN_FAILED;
	total = cursor_skip(&at, c->owed_payload);
	c->owed_payload = 0;
	while (at.n > 0 && !c->owed.len && c->state == OPEN) {
		ssize_t sent = tls_write_batch(c, &at);

		if (sent <= 0)
			break;
		total += (size_t)sent;
	}
	return total ? (ssize_t)total : c->state == OPEN ? CONN_AGAIN : CONN_FAILED;
}

ssize_t conn_writev(struct conn *c, const struct iovec *iov, int n)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
	ssize_t sent;

	if (c->state != OPEN)
		return c->state < OPEN ? CONN_AGAIN : CONN_FAILED;
	if (c->ssl)
		return tls_writev(c, iov, n);
	do
		sent = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return errno == EAGAIN ? CONN_AGAIN : conn_break(c, "write: %s", strerror(errno));
	return sent;
}

ssize_t conn_write(struct conn *c, const void *p, size_t n)
{
	struct iovec iov = {.iov_base = (void *)p, .iov_len = n};

	return conn_writev(c, &iov, 1);
}

int conn_shutdown_write(struct conn *c)
{
	int rc, e, errnum;

	if (c->state != OPEN)
		return c->state < OPEN ? CONN_AGAIN : CONN_FAILED;
	if (!c->ssl) {
		if (shutdown(c->fd, SHUT_WR) < 0)
			return (int)conn_break(c, "shutdown: %s", strerror(errno));
		return 0;
	}
	if (!send_owed(c))
		return c->state == OPEN ? CONN_AGAIN : CONN_FAILED;
	/* close_notify only: TCP stays whole, the peer may need it for its own TLS messages. */
	ERR_clear_error();
	rc = SSL_shutdown(c->ssl);
	errnum = errno;
	if (rc >= 0)
		return 0;
	e = SSL_get_error(c->ssl, rc);
	if (e == SSL_ERROR_WANT_WRITE || e == SSL_ERROR_WANT_READ)
		return CONN_AGAIN;
	return (int)tls_break(c, "shutdown", e, errnum);
}

const char *conn_error(const struct conn *c)
{
	return c->error;
}

const char *conn_peer(const struct conn *c)
{
	return c->peer;
}

size_t socket_queue(int fd)
{
	int n = 0;

	return ioctl(fd, TIOCOUTQ, &n) < 0 || n < 0 ? 0 : (size_t)n; /* SIOCOUTQ by its other name */
}

void socket_give_up_after(int fd, unsigned ms)
{
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms)); /* a unix socket does not mind */
}

int conn_fd(const struct conn *c)
{
	return c->fd;
}

uv_loop_t *conn_loop(const struct conn *c)
{
	return c->loop;
}

bool conn_is_open(const struct conn *c)
{
	return c->state == OPEN;
}

bool conn_is_plain(const struct conn *c)
{
	return !c->tls;
}

bool conn_is_sealed(const struct conn *c)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&ss;
	uint32_t v4 = 0;

	if (c->ssl || getpeername(c->fd, (struct sockaddr *)&ss, &len) < 0)
		return c->ssl;
	if (ss.ss_family == AF_INET)
		v4 = ntohl(((const struct sockaddr_in *)&ss)->sin_addr.s_addr);
	else if (ss.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		v4 = ntohl(in6->sin6_addr.s6_addr32[3]);
	else if (ss.ss_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) || IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr);
	return ss.ss_family == AF_UNIX || v4 >> 24 == 127 || v4 >> 16 == (169u << 8 | 254);
}

void conn_close(struct conn *c)
{
	if (!c)
		return;
	assert(c->state != CLOSED);
	c->state = CLOSED;
	c->want = 0;
	timer_cancel(&c->timer);
	if (c->resolve) {
		c->resolve->conn = NULL;
		uv_cancel((uv_req_t *)&c->resolve->req);
		c->resolve = NULL;
	}
	loop_defer(c->loop, conn_destroy, c);
}
