/* delay - a TCP proxy that passes every byte on after a fixed time, in both directions: a long line where the
 * kernel has no netem. No loss, no limit of bandwidth, a bound of PENDING_MAX on what is under way.
 *
 *   delay LISTEN_HOST:PORT HOST:PORT MICROSECONDS      one way; prints "ready" when it listens */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINES_MAX 512
#define CHUNK (64 * 1024)
#define PENDING_MAX (64u << 20)

struct chunk {
	struct chunk *next;
	uint64_t due_ns;
	size_t len, sent;      /* len 0: the end */
	char bytes[];
};

struct way { struct chunk *first, **last; size_t pending; bool ended, done; };

struct line { int fd[2]; struct way way[2]; }; /* way[i]: what fd[i] says, for fd[1 - i] */

static struct line lines[LINES_MAX];
static struct sockaddr_in target;
static uint64_t delay_ns;

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "delay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static struct sockaddr_in address(const char *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	const char *colon = strrchr(s, ':');
	char host[64];

	snprintf(host, sizeof host, "%.*s", colon ? (int)(colon - s) : 0, s);
	if (!colon || inet_pton(AF_INET, host, &a.sin_addr) != 1) {
		errno = EINVAL;
		die(s);
	}
	a.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	return a;
}

static void line_close(struct line *l)
{
	for (int i = 0; i < 2; i++) {
		close(l->fd[i]);
		for (struct chunk *c = l->way[i].first, *next; c; c = next) {
			next = c->next;
			free(c);
		}
	}
	memset(l, 0, sizeof *l);
	l->fd[0] = l->fd[1] = -1;
}

static void line_open(int fd)
{
	int on = 1, other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct line *l = lines;

	while (l < lines + LINES_MAX && l->fd[0] >= 0)
		l++;
	if (l == lines + LINES_MAX || connect(other, (struct sockaddr *)&target, sizeof target) < 0) {
		close(fd);
		close(other);
		return;
	}
	l->fd[0] = fd;
	l->fd[1] = other;
	for (int i = 0; i < 2; i++) {
		setsockopt(l->fd[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		l->way[i].last = &l->way[i].first;
	}
}

static bool take(struct line *l, int from)
{
	struct way *w = &l->way[from];
	struct chunk *c = malloc(sizeof *c + CHUNK);
	ssize_t n = c ? recv(l->fd[from], c->bytes, CHUNK, MSG_DONTWAIT) : -1;

	if (n < 0) {
		free(c);
		return errno == EAGAIN;
	}
	c = realloc(c, sizeof *c + (size_t)n);
	c->next = NULL;
	c->due_ns = now_ns() + delay_ns;
	c->len = (size_t)n;
	c->sent = 0;
	*w->last = c;
	w->last = &c->next;
	w->pending += c->len;
	w->ended = n == 0;
	return true;
}

static bool give(struct line *l, int from)
{
	struct way *w = &l->way[from];

	for (struct chunk *c; (c = w->first) && c->due_ns <= now_ns();) {
		ssize_t n = c->len ? send(l->fd[1 - from], c->bytes + c->sent, c->len - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

		if (n < 0)
			return errno == EAGAIN;
		c->sent += (size_t)n;
		w->pending -= (size_t)n;
		if (c->sent < c->len)
			return true;
		if (!c->len) {
			shutdown(l->fd[1 - from], SHUT_WR);
			w->done = true;
		}
		if (!(w->first = c->next))
			w->last = &w->first;
		free(c);
	}
	return true;
}

/* What to wait for on fd[i], and until when something is due. */
static short wants(struct line *l, int i, uint64_t now, uint64_t *wake)
{
	struct way *out = &l->way[1 - i], *in = &l->way[i];
	short events = !in->ended && in->pending < PENDING_MAX ? POLLIN : 0;

	if (out->first && out->first->due_ns <= now)
		events |= POLLOUT;
	else if (out->first && out->first->due_ns < *wake)
		*wake = out->first->due_ns;
	return events;
}

static void serve(struct line *l, const struct pollfd *p)
{
	bool well = true;

	for (int i = 0; i < 2 && well; i++) {
		if (p[i].revents & POLLIN)
			well = take(l, i);
		else if (p[i].revents & (POLLERR | POLLHUP) && !(p[i].events & POLLIN))
			well = false;
		well = well && give(l, 1 - i);
	}
	if (!well || (l->way[0].done && l->way[1].done))
		line_close(l);
}

int main(int argc, char **argv)
{
	static struct pollfd p[1 + 2 * LINES_MAX];
	int on = 1, listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in own;

	if (argc != 4) {
		fprintf(stderr, "usage: delay LISTEN_HOST:PORT HOST:PORT MICROSECONDS\n");
		return 2;
	}
	own = address(argv[1]);
	target = address(argv[2]);
	delay_ns = strtoull(argv[3], NULL, 10) * 1000;
	setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(listening, (struct sockaddr *)&own, sizeof own) < 0 || listen(listening, 128) < 0)
		die(argv[1]);
	for (int i = 0; i < LINES_MAX; i++)
		lines[i].fd[0] = lines[i].fd[1] = -1;
	puts("ready");
	fflush(stdout);
	for (;;) {
		uint64_t now = now_ns(), wake = now + 1000000000, left;

		p[0] = (struct pollfd){ .fd = listening, .events = POLLIN };
		for (int k = 0; k < LINES_MAX; k++)
			for (int i = 0; i < 2; i++)
				p[1 + 2 * k + i] = (struct pollfd){ .fd = lines[k].fd[i],
					.events = lines[k].fd[i] < 0 ? 0 : wants(&lines[k], i, now, &wake) };
		left = wake - now;
		ppoll(p, 1 + 2 * LINES_MAX, &(struct timespec){ (time_t)(left / 1000000000), (long)(left % 1000000000) }, NULL);
		for (int k = 0; k < LINES_MAX; k++)
			if (lines[k].fd[0] >= 0)
				serve(&lines[k], &p[1 + 2 * k]);
		if (p[0].revents & POLLIN)
			line_open(accept4(listening, NULL, NULL, SOCK_CLOEXEC));
	}
}
