/* conn_dial - resolving and the attempts to connect (conn_dial.h).
 *
 * Owns the resolver's request, the addresses, the socket of the attempt under way and one timer, which bounds what
 * is going on: the resolving, or an attempt. */
#include "conn_dial.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/defer.h"

struct resolve { /* outlives a dial that is cancelled while the resolver works */
	uv_getaddrinfo_t req;
	struct conn_dial *dial; /* NULL once nobody waits */
};

struct attempt { /* a socket on its way; goes its own way when its address does not answer */
	uv_poll_t poll;
	int fd; /* ours, closed only when libuv has let go of it; -1: given to the owner */
};

struct conn_dial {
	uv_loop_t *loop;
	conn_dial_cb *cb;       /* NULL: told, or nobody waits any more */
	void *ctx;
	char *host;             /* ours */
	uint16_t port;
	uint64_t deadline_ms;   /* on the loop's clock */
	struct timer *timer;
	struct resolve *resolve;
	struct addrinfo *addrs, *addr; /* ours (uv_freeaddrinfo); the one being tried */
	struct attempt *attempt;
	char why[256];          /* of the last attempt that failed */
};

static uint64_t ms_left(struct conn_dial *d)
{
	uint64_t now;

	uv_update_time(d->loop);
	now = uv_now(d->loop);
	return now < d->deadline_ms ? d->deadline_ms - now : 0;
}

/* ---- its end ---- */

static void attempt_closed(uv_handle_t *h)
{
	struct attempt *a = h->data;

	if (a->fd >= 0)
		close(a->fd);
	free(a);
}

static void attempt_drop(struct conn_dial *d)
{
	if (!d->attempt)
		return;
	d->attempt->poll.data = d->attempt;
	uv_close((uv_handle_t *)&d->attempt->poll, attempt_closed);
	d->attempt = NULL;
}

static void dial_free(void *p)
{
	struct conn_dial *d = p;

	uv_freeaddrinfo(d->addrs);
	free(d->host);
	free(d);
}

/* Silent from here on; freed after the round, because what fails at once tells after it as well. */
void conn_dial_cancel(struct conn_dial *d)
{
	if (!d)
		return;
	d->cb = NULL;
	timer_cancel(&d->timer);
	attempt_drop(d);
	if (d->resolve) {
		d->resolve->dial = NULL;
		uv_cancel((uv_req_t *)&d->resolve->req);
		d->resolve = NULL;
	}
	loop_defer(d->loop, dial_free, d);
}

static void dial_tell(struct conn_dial *d, int fd)
{
	conn_dial_cb *cb = d->cb;
	void *ctx = d->ctx;

	conn_dial_cancel(d);
	cb(fd, d->why, ctx);
}

static void tell_failure(void *p)
{
	struct conn_dial *d = p;

	if (d->cb)
		dial_tell(d, -1);
}

/* ---- attempts ---- */

static void connect_next(struct conn_dial *d);

/* This address is no good: note why, try the next. */
static void connect_failed(struct conn_dial *d, int errnum)
{
	timer_cancel(&d->timer);
	attempt_drop(d);
	snprintf(d->why, sizeof(d->why), "connect to %s:%u: %s", d->host, d->port, strerror(errnum));
	d->addr = d->addr ? d->addr->ai_next : NULL;
	connect_next(d);
}

static void on_slice_over(void *p)
{
	struct conn_dial *d = p;

	d->timer = NULL;
	connect_failed(d, ETIMEDOUT);
}

static void on_attempt(uv_poll_t *h, int status, int events)
{
	struct conn_dial *d = h->data;
	int fd = d->attempt->fd, errnum = 0;
	socklen_t len = sizeof(errnum);

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &len);
	if (errnum || status < 0 || !(events & UV_WRITABLE)) {
		connect_failed(d, errnum ? errnum : ECONNABORTED);
		return;
	}
	d->attempt->fd = -1;
	dial_tell(d, fd);
}

/* Takes fd, whose connect has begun. */
static int attempt_watch(struct conn_dial *d, int fd)
{
	struct attempt *a = xmalloc(sizeof(*a));

	if (uv_poll_init(d->loop, &a->poll, fd) < 0) {
		free(a);
		close(fd);
		return -1;
	}
	a->poll.data = d;
	a->fd = fd;
	d->attempt = a;
	/* PRIORITIZED makes libuv report EPOLLHUP and EPOLLERR as well. */
	uv_poll_start(&a->poll, UV_WRITABLE | UV_PRIORITIZED, on_attempt);
	return 0;
}

static void connect_next(struct conn_dial *d)
{
	unsigned left = 0;
	int fd, errnum;

	for (struct addrinfo *a = d->addr; a; a = a->ai_next)
		left++;
	if (!left || !ms_left(d)) {
		loop_defer(d->loop, tell_failure, d);
		return;
	}
	fd = socket(d->addr->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		connect_failed(d, errno);
		return;
	}
	if (connect(fd, d->addr->ai_addr, d->addr->ai_addrlen) < 0 && errno != EINPROGRESS) {
		errnum = errno;
		close(fd);
		connect_failed(d, errnum);
		return;
	}
	if (attempt_watch(d, fd) < 0) {
		connect_failed(d, EMFILE);
		return;
	}
	d->timer = timer_start(d->loop, ms_left(d) / left, on_slice_over, d);
}

/* ---- names ---- */

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
	struct resolve *r = req->data;
	struct conn_dial *d = r->dial;

	free(r);
	if (!d) {
		uv_freeaddrinfo(res);
		return;
	}
	d->resolve = NULL;
	timer_cancel(&d->timer);
	if (status < 0) {
		snprintf(d->why, sizeof(d->why), "resolve %s: %s", d->host, uv_strerror(status));
		dial_tell(d, -1);
		return;
	}
	d->addrs = d->addr = res;
	connect_next(d);
}

static void on_resolve_timeout(void *p)
{
	struct conn_dial *d = p;

	d->timer = NULL;
	snprintf(d->why, sizeof(d->why), "resolve %s: no answer in time", d->host);
	dial_tell(d, -1);
}

static void resolve_start(struct conn_dial *d, const char *service)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	int rc;

	/* A plain address needs neither a thread nor the files and servers of name look-up. */
	if (getaddrinfo(d->host, service, &hints, &d->addrs) == 0) {
		d->addr = d->addrs;
		connect_next(d);
		return;
	}
	d->addrs = NULL;
	hints.ai_flags = AI_NUMERICSERV;
	d->resolve = xcalloc(1, sizeof(*d->resolve));
	d->resolve->dial = d;
	d->resolve->req.data = d->resolve;
	rc = uv_getaddrinfo(d->loop, &d->resolve->req, on_resolved, d->host, service, &hints);
	if (rc < 0) {
		free(d->resolve);
		d->resolve = NULL;
		snprintf(d->why, sizeof(d->why), "resolve %s: %s", d->host, uv_strerror(rc));
		loop_defer(d->loop, tell_failure, d);
		return;
	}
	d->timer = timer_start(d->loop, ms_left(d), on_resolve_timeout, d);
}

/* ---- API ---- */

struct conn_dial *conn_dial(uv_loop_t *loop, const char *host, uint16_t port, uint64_t timeout_ms, conn_dial_cb *cb,
			    void *ctx)
{
	struct conn_dial *d = xcalloc(1, sizeof(*d));
	char service[8];

	d->loop = loop;
	d->cb = cb;
	d->ctx = ctx;
	d->host = xstrdup(host);
	d->port = port;
	uv_update_time(loop);
	d->deadline_ms = uv_now(loop) + timeout_ms;
	snprintf(d->why, sizeof(d->why), "connect to %s:%u: no answer in time", host, port);
	snprintf(service, sizeof(service), "%u", port);
	resolve_start(d, service);
	return d;
}
