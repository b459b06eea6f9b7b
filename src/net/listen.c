/* listen - the sockets to listen on, known for the next process image, and the accepting (net/listen.h).
 *
 * A listener owns its fd and poll handle. Out of descriptors it rests a moment instead of spinning
 * on a queue that it cannot empty; paused by its owner it leaves the queue to the kernel. */
#include "net/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <utlist.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/defer.h"

#define LISTEN_BACKLOG 4096
#define ACCEPTS_PER_EVENT 64
#define ACCEPT_BACKOFF_MS 100

/* ---- sockets that outlive a process image ---------------------------------------------------------- */

struct known {
	char *host;        /* of TCP, "" for every address; or the unix socket's path */
	int asked, port;   /* TCP: the port asked for (0: any) and the one it is; -1: unix */
	int fd;            /* borrowed; ours while inherited */
	ino_t ino;         /* a number that was used again is another socket */
	bool inherited;    /* and nobody has asked for it yet */
	struct known *next;
};
static struct known *all; /* of the process: descriptors are its */

static bool still_listens(const struct known *k)
{
	int listens = 0;
	socklen_t len = sizeof(listens);
	struct stat st;

	return fstat(k->fd, &st) == 0 && st.st_ino == k->ino &&
	       getsockopt(k->fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens;
}

static void forget(struct known *k)
{
	LL_DELETE(all, k);
	free(k->host);
	free(k);
}

static void remember(int fd, const char *host, int asked, bool inherited)
{
	struct known *k = xcalloc(1, sizeof(*k)), *old, *next;
	struct stat st = {0};

	LL_FOREACH_SAFE(all, old, next)
		if (!still_listens(old))
			forget(old);
	fstat(fd, &st);
	k->host = xstrdup(host);
	k->asked = asked;
	k->port = asked < 0 ? -1 : listen_port(fd);
	k->fd = fd;
	k->ino = st.st_ino;
	k->inherited = inherited;
	LL_APPEND(all, k);
}

/* -1: there is none. */
static int inherit(const char *host, int asked)
{
	struct known *k;

	LL_FOREACH(all, k) {
		if (!k->inherited || strcmp(k->host, host) != 0 || (k->asked != asked && k->port != asked))
			continue;
		k->inherited = false;
		return k->fd;
	}
	return -1;
}

void listen_save(struct pack *p)
{
	struct known *k, *next;
	size_t n;

	LL_FOREACH_SAFE(all, k, next)
		if (!still_listens(k))
			forget(k);
	LL_COUNT(all, k, n);
	pack_num(p, n);
	LL_FOREACH(all, k) {
		pack_str(p, k->host);
		pack_num(p, (uint64_t)(k->asked + 1));
		pack_fd(p, k->fd);
	}
}

void listen_restore(struct unpack *u)
{
	for (uint64_t n = unpack_num(u); n && !u->bad; n--) {
		AUTO_FREE char *host = unpack_str(u);
		int asked = (int)unpack_num(u) - 1, fd = unpack_fd(u);

		if (host && fd >= 0)
			remember(fd, host, asked, true);
	}
}

void listen_close_unwanted(void)
{
	struct known *k, *next;

	LL_FOREACH_SAFE(all, k, next) {
		if (!k->inherited)
			continue;
		log_info("no longer listening", "addr=%s port=%d", k->host, k->port);
		if (k->port < 0)
			unlink(k->host);
		close(k->fd);
		forget(k);
	}
}

/* ---- new ones -------------------------------------------------------------------------------------- */

static int bind_and_listen(int fd, const struct sockaddr *sa, socklen_t len)
{
	return bind(fd, sa, len) < 0 || listen(fd, LISTEN_BACKLOG) < 0 ? -1 : 0;
}

static int listen_address(const struct addrinfo *a, bool freebind)
{
	static const int on = 1, off = 0;
	AUTO_CLOSE int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (freebind && setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)) < 0)
		return -1;
	if (bind_and_listen(fd, a->ai_addr, a->ai_addrlen) < 0)
		return -1;
	return steal_fd(&fd);
}

int listen_tcp(const char *host, uint16_t port, bool freebind, struct err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *list;
	bool any = !host || !*host || strcmp(host, "*") == 0;
	char service[8];
	int rc, fd = inherit(any ? "" : host, port), errnum = 0;

	if (fd >= 0)
		return fd;
	snprintf(service, sizeof(service), "%u", port);
	/* "::" takes IPv4 as well; where there is no IPv6, the second turn finds 0.0.0.0. */
	for (int turn = 0; fd < 0 && turn < (any ? 2 : 1); turn++) {
		hints.ai_family = !any ? AF_UNSPEC : turn ? AF_INET : AF_INET6;
		rc = getaddrinfo(any ? NULL : host, service, &hints, &list);
		if (rc != 0) {
			if (any && !turn)
				continue;
			return err_set(err, ERR_INVALID, "listen on %s: %s", any ? "*" : host,
				       gai_strerror(rc));
		}
		for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
			fd = listen_address(a, freebind);
			errnum = errno;
		}
		freeaddrinfo(list);
	}
	if (fd < 0)
		return err_sys(err, errnum, "listen on %s:%u", any ? "*" : host, port);
	remember(fd, any ? "" : host, port, false);
	return fd;
}

/* A socket file nobody answers on is left over from a crash and may go; anything else stays. */
static int remove_stale(const char *path, const struct sockaddr_un *sun, struct err *err)
{
	AUTO_CLOSE int fd = -1;
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "listen on %s", path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, ERR_CONFLICT, "listen on %s: exists and is no socket", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(err, errno, "listen on %s", path);
	if (connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 || errno != ECONNREFUSED)
		return err_set(err, ERR_CONFLICT, "listen on %s: another process listens there",
			       path);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_sys(err, errno, "remove stale %s", path);
	return 0;
}

int listen_unix(const char *path, mode_t mode, struct err *err)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	AUTO_CLOSE int fd = -1;
	struct stat st;

	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && (fd = inherit(path, -1)) >= 0)
		return steal_fd(&fd);
	if (strlen(path) >= sizeof(sun.sun_path))
		return err_set(err, ERR_INVALID, "listen on %s: the path is too long for a socket",
			       path);
	memcpy(sun.sun_path, path, strlen(path));
	if (remove_stale(path, &sun, err) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* The mode of the unbound socket is the file's (less umask): never wider, not for a moment.
	 */
	if (fd < 0 || fchmod(fd, mode) < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		return err_sys(err, errno, "listen on %s", path);
	if (chmod(path, mode) == 0 && listen(fd, LISTEN_BACKLOG) == 0) {
		remember(fd, path, -1, false);
		return steal_fd(&fd);
	}
	err_sys(err, errno, "listen on %s", sun.sun_path);
	unlink(path);
	return -1;
}

uint16_t listen_port(int fd)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		return 0;
	if (ss.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&ss)->sin6_port);
	return ss.ss_family == AF_INET ? ntohs(((struct sockaddr_in *)&ss)->sin_port) : 0;
}

struct listener {
	uv_poll_t poll;
	uv_loop_t *loop;
	int fd; /* ours */
	listener_cb *cb;
	void *ctx;
	struct timer *backoff;
	bool paused;  /* by the owner */
	bool starved; /* said so already: one line per shortage */
	bool closed;
};

static void on_incoming(uv_poll_t *h, int status, int events);

static void listener_resume(void *p)
{
	struct listener *l = p;

	l->backoff = NULL;
	if (!l->paused)
		uv_poll_start(&l->poll, UV_READABLE, on_incoming);
}

static void listener_starved(struct listener *l, int errnum)
{
	if (!l->starved)
		log_warn("cannot accept", "reason=\"%s\" retry_ms=%d", strerror(errnum),
			 ACCEPT_BACKOFF_MS);
	l->starved = true;
	uv_poll_stop(&l->poll);
	l->backoff = timer_start(l->loop, ACCEPT_BACKOFF_MS, listener_resume, l);
}

static void on_incoming(uv_poll_t *h, int status, int events)
{
	struct listener *l = h->data;

	for (int i = 0; i < ACCEPTS_PER_EVENT && !l->closed && !l->paused; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			l->starved = false;
			l->cb(fd, l->ctx);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			listener_starved(l, errno);
		if (errno != ECONNABORTED &&
		    errno != EINTR) /* these are about one peer, not about us */
			return;
	}
}

struct listener *listener_new(uv_loop_t *loop, int fd, listener_cb *cb, void *ctx, struct err *err)
{
	struct listener *l = xcalloc(1, sizeof(*l));
	int rc = uv_poll_init(loop, &l->poll, fd);

	if (rc < 0) {
		err_sys(err, -rc, "watch a listening socket");
		free(l);
		close(fd);
		return NULL;
	}
	l->loop = loop;
	l->fd = fd;
	l->cb = cb;
	l->ctx = ctx;
	l->poll.data = l;
	uv_poll_start(&l->poll, UV_READABLE, on_incoming);
	return l;
}

void listener_pause(struct listener *l, bool paused)
{
	if (l->paused == paused)
		return;
	l->paused = paused;
	if (paused)
		uv_poll_stop(&l->poll);
	else if (!l->backoff)
		uv_poll_start(&l->poll, UV_READABLE, on_incoming);
}

static void listener_closed(uv_handle_t *h)
{
	struct listener *l = h->data;

	close(l->fd);
	free(l);
}

void listener_close(struct listener *l)
{
	if (!l)
		return;
	l->closed = true;
	timer_cancel(&l->backoff);
	uv_close((uv_handle_t *)&l->poll, listener_closed);
}
