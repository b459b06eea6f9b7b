/* conn - one non-blocking stream on the loop, plain or TLS: what is wanted, what the kernel watches, what is told.
 *
 * Owns the fd with its uv_poll. How the fd comes to be connected is conn_dial's, what TLS makes of it conn_tls's.
 * The owner's wish (want) and what the kernel watches (armed) are kept apart: a wish that is withdrawn is only taken
 * from the kernel when its event comes after all, because each change costs two epoll calls.
 * UV_PRIORITIZED stays armed always: it makes libuv report EPOLLHUP and EPOLLERR, which epoll
 * never mutes, also when nothing is wanted and after the peer has half-closed.
 *
 *   DIALLING -> HANDSHAKE -> OPEN -> BROKEN -> CLOSED    (may skip ahead) */
#include "net/conn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "conn_dial.h"
#include "conn_tls.h"
#include "net/defer.h"
#include "net/socket.h"

enum conn_state { DIALLING, HANDSHAKE, OPEN, BROKEN, CLOSED };

struct conn {
	uv_loop_t *loop;
	struct conn_dial *dial; /* DIALLING */
	uv_poll_t poll;         /* from HANDSHAKE on */
	int fd;                 /* ours, closed only when libuv has let go of it; -1 while DIALLING */
	int armed;              /* UV_* bits the kernel watches; 0 = not started */
	unsigned want;
	enum conn_state state;
	bool eof;               /* the peer has half-closed and we have read up to there */
	bool kicked;            /* a conn_kick is deferred */
	conn_cb *cb;
	void *ctx;

	struct tls *context;    /* referenced; NULL = plain */
	struct conn_tls *tls;   /* ours; from HANDSHAKE on, NULL = plain */
	char *host;             /* ours; whom a TLS client verifies */
	uint64_t deadline_ms;   /* of a conn_connect, on the loop's clock */
	struct timer *timer;    /* of the handshake */

	char peer[SOCKET_PEER_MAX];
	char error[256];
};

static void on_poll(uv_poll_t *h, int status, int events);
static void arm_exactly(struct conn *c, int bits);

static uint64_t now_ms(struct conn *c)
{
	uv_update_time(c->loop);
	return uv_now(c->loop);
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

/* ---- what the kernel watches ---- */

/* The event behind which the next bytes are. */
static int reads_by(const struct conn *c)
{
	return c->tls && conn_tls_needs_room(c->tls) ? UV_WRITABLE : UV_READABLE;
}

static int wanted_bits(const struct conn *c)
{
	int bits = UV_PRIORITIZED;

	switch (c->state) {
	case HANDSHAKE:
		return reads_by(c) | UV_PRIORITIZED;
	case OPEN:
		/* At EOF the socket stays readable for ever: asking on would spin. */
		if ((c->want & CONN_READ) && !c->eof)
			bits |= reads_by(c);
		if (c->want & CONN_WRITE)
			bits |= UV_WRITABLE;
		return bits;
	default:
		return 0;
	}
}

static void arm_exactly(struct conn *c, int bits)
{
	if (c->fd < 0 || bits == c->armed)
		return;
	c->armed = bits;
	if (bits)
		uv_poll_start(&c->poll, bits, on_poll);
	else
		uv_poll_stop(&c->poll);
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
	return c->tls && c->state == OPEN && !c->eof && conn_tls_holds(c->tls);
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

/* ---- beginning and end ---- */

static struct conn *conn_new(uv_loop_t *loop, struct tls *tls, conn_cb *cb, void *ctx)
{
	struct conn *c = xcalloc(1, sizeof(*c));

	c->loop = loop;
	c->fd = -1;
	c->cb = cb;
	c->ctx = ctx;
	c->context = tls ? tls_ref(tls) : NULL;
	return c;
}

/* Takes fd, even on error. */
static int conn_attach(struct conn *c, int fd, struct err *err)
{
	int rc = uv_poll_init(c->loop, &c->poll, fd); /* makes it non-blocking */

	if (rc < 0) {
		close(fd);
		return err_sys(err, -rc, "watch a socket");
	}
	c->poll.data = c;
	c->fd = fd;
	socket_peer(fd, c->peer);
	socket_tune(fd);
	return 0;
}

static void poll_closed(uv_handle_t *h)
{
	struct conn *c = h->data;

	close(c->fd);
	free(c);
}

static void conn_destroy(void *p)
{
	struct conn *c = p;

	conn_tls_free(c->tls);
	tls_unref(c->context);
	free(c->host);
	if (c->fd < 0)
		free(c);
	else
		uv_close((uv_handle_t *)&c->poll, poll_closed);
}

/* ---- towards OPEN ---- */

static void conn_opened(struct conn *c)
{
	timer_cancel(&c->timer);
	c->state = OPEN;
	conn_arm(c);
	c->cb(c, c->ctx, CONN_OPEN);
	if (c->state == OPEN) /* records may have come together with the handshake's last bytes */
		kick_if_needed(c);
}

static void handshake_step(struct conn *c)
{
	int rc = conn_tls_handshake(c->tls);

	if (rc == 0) {
		conn_opened(c);
	} else if (rc == CONN_AGAIN) {
		arm_exactly(c, wanted_bits(c));
	} else {
		conn_break(c, "%s", conn_tls_error(c->tls));
		conn_hangup(c);
	}
}

static void on_deadline(void *p)
{
	struct conn *c = p;

	c->timer = NULL;
	conn_break(c, "TLS handshake: no end in time");
	conn_hangup(c);
}

static void handshake_begin(struct conn *c, uint64_t ms)
{
	c->state = HANDSHAKE;
	c->tls = conn_tls_new(c->context, c->fd, c->host);
	c->timer = timer_start(c->loop, ms, on_deadline, c);
}

static void on_dialled(int fd, const char *why, void *ctx)
{
	struct conn *c = ctx;
	struct err err;
	uint64_t now;

	c->dial = NULL;
	if (fd < 0 || conn_attach(c, fd, &err) < 0) {
		conn_break(c, "%s", fd < 0 ? why : err.msg);
		conn_hangup(c);
	} else if (c->context) {
		now = now_ms(c);
		handshake_begin(c, now < c->deadline_ms ? c->deadline_ms - now : 0);
		handshake_step(c);
	} else {
		conn_opened(c);
	}
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

	if ((c->want & CONN_READ) && !c->eof && (events & reads_by(c)))
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
	if (conn_attach(c, fd, err) < 0) {
		conn_destroy(c);
		return NULL;
	}
	if (tls)
		handshake_begin(c, handshake_ms);
	else
		c->state = OPEN;
	conn_arm(c);
	return c;
}

struct conn *conn_connect(uv_loop_t *loop, const char *host, uint16_t port, struct tls *tls,
			  uint64_t timeout_ms, conn_cb *cb, void *ctx, struct err *err)
{
	struct conn *c;

	if (!*host || port == 0) {
		err_set(err, ERR_INVALID, "connect to \"%s\" port %u: not an address", host, port);
		return NULL;
	}
	c = conn_new(loop, tls, cb, ctx);
	c->host = tls ? xstrdup(host) : NULL;
	c->deadline_ms = now_ms(c) + timeout_ms;
	snprintf(c->peer, sizeof(c->peer), "%.50s:%u", host, port);
	c->dial = conn_dial(loop, host, port, timeout_ms, on_dialled, c);
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

/* What conn_tls has to say, as the conn's own. */
static ssize_t tls_result(struct conn *c, ssize_t rc)
{
	return rc == CONN_FAILED ? conn_break(c, "%s", conn_tls_error(c->tls)) : rc;
}

static ssize_t tls_read(struct conn *c, void *p, size_t n)
{
	int by = reads_by(c);
	ssize_t got = conn_tls_read(c->tls, p, n);

	if (reads_by(c) != by)
		conn_arm(c);
	return tls_result(c, got);
}

static ssize_t plain_read(struct conn *c, void *p, size_t n)
{
	ssize_t got;

	do
		got = recv(c->fd, p, n, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? CONN_AGAIN : conn_break(c, "read: %s", strerror(errno));
	return got;
}

ssize_t conn_read(struct conn *c, void *p, size_t n)
{
	ssize_t got;

	assert(n > 0);
	if (c->state != OPEN)
		return c->state < OPEN ? CONN_AGAIN : CONN_FAILED;
	if (c->eof)
		return 0;
	got = c->tls ? tls_read(c, p, n) : plain_read(c, p, n);
	c->eof = got == 0;
	return got;
}

ssize_t conn_writev(struct conn *c, const struct iovec *iov, int n)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
	ssize_t sent;

	if (c->state != OPEN)
		return c->state < OPEN ? CONN_AGAIN : CONN_FAILED;
	if (c->tls)
		return tls_result(c, conn_tls_writev(c->tls, iov, n));
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
	if (c->state != OPEN)
		return c->state < OPEN ? CONN_AGAIN : CONN_FAILED;
	/* close_notify only: TCP stays whole, the peer may need it for its own TLS messages. */
	if (c->tls)
		return (int)tls_result(c, conn_tls_shutdown(c->tls));
	if (shutdown(c->fd, SHUT_WR) < 0)
		return (int)conn_break(c, "shutdown: %s", strerror(errno));
	return 0;
}

const char *conn_error(const struct conn *c)
{
	return c->error;
}

const char *conn_peer(const struct conn *c)
{
	return c->peer;
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
	return !c->context;
}

bool conn_is_sealed(const struct conn *c)
{
	return c->tls || socket_is_near(c->fd);
}

void conn_close(struct conn *c)
{
	if (!c)
		return;
	assert(c->state != CLOSED);
	c->state = CLOSED;
	c->want = 0;
	timer_cancel(&c->timer);
	conn_dial_cancel(c->dial);
	c->dial = NULL;
	loop_defer(c->loop, conn_destroy, c);
}
