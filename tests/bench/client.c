/* client - measures one Docker engine over its unix socket, with the calls the docker client makes.
 * The same program measures dockerd and the gateway, so that a ratio compares engines and not clients.
 * Prints one JSON object. Any wrong answer, exit code or byte count ends it with status 1.
 *
 *   client SOCKET CONTAINER [execs] [bulk-MiB] [echoes] */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define API "/v1.41"
#define IO_TIMEOUT_S 60
#define WAYS 8

static const char *socket_path, *container;

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "bench client: %s: ", socket_path);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* ---- one HTTP connection ------------------------------------------------------------------------- */

struct http {
	int fd;
	size_t off, len;          /* unread bytes in buf */
	char buf[65536];
};

static void http_open(struct http *h)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = IO_TIMEOUT_S};

	if ((size_t)snprintf(a.sun_path, sizeof a.sun_path, "%s", socket_path) >= sizeof a.sun_path)
		die("path too long");
	h->off = h->len = 0;
	h->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(h->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(h->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	if (connect(h->fd, (struct sockaddr *)&a, sizeof a) < 0)
		die("connect: %s", strerror(errno));
}

static void write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t w = send(fd, p, n, MSG_NOSIGNAL);
		if (w < 0)
			die("write: %s", strerror(errno));
		p += w;
		n -= (size_t)w;
	}
}

/* More bytes into the empty or partly used buffer; false at EOF. */
static bool http_fill(struct http *h)
{
	ssize_t n;

	if (h->off) {
		memmove(h->buf, h->buf + h->off, h->len);
		h->off = 0;
	}
	n = recv(h->fd, h->buf + h->len, sizeof h->buf - 1 - h->len, 0);
	if (n < 0)
		die("read: %s", strerror(errno));
	h->len += (size_t)n;
	h->buf[h->len] = 0;
	return n > 0;
}

/* Reads the head of an answer, leaving what follows in buf. Returns Content-Length, 0 if absent. */
static size_t http_head(struct http *h, int want_status)
{
	char *end, *length;
	size_t n = 0;

	h->buf[h->off + h->len] = 0;
	while (!(end = strstr(h->buf + h->off, "\r\n\r\n")))
		if (h->len == sizeof h->buf - 1 || !http_fill(h))
			die("no answer");
	*end = 0;
	if (strncmp(h->buf + h->off, "HTTP/1.1 ", 9) ||
	    strtol(h->buf + h->off + 9, NULL, 10) != want_status)
		die("wanted %d, got: %s\n%s", want_status, h->buf + h->off, end + 4);
	if ((length = strcasestr(h->buf + h->off, "\r\nContent-Length:")))
		n = strtoul(length + 17, NULL, 10);
	h->len -= (size_t)(end + 4 - (h->buf + h->off));
	h->off = (size_t)(end + 4 - h->buf);
	return n;
}

/* One request with a small answer on a kept connection; the body is copied to out. */
static void http_call(struct http *h, const char *method, const char *path, const char *body,
		      int want_status, char *out, size_t size)
{
	char req[2048];
	int n = snprintf(req, sizeof req,
			 "%s " API "%s HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n"
			 "Content-Length: %zu\r\n\r\n%s", method, path, strlen(body), body);
	size_t length;

	write_all(h->fd, req, (size_t)n);
	length = http_head(h, want_status);
	if (!length || length >= size)
		die("%s %s: body of %zu bytes", method, path, length);
	while (h->len < length)
		if (!http_fill(h))
			die("%s %s: body cut short", method, path);
	memcpy(out, h->buf + h->off, length);
	out[length] = 0;
	h->off += length;
	h->len -= length;
}

/* ---- one exec ------------------------------------------------------------------------------------- */

struct exec {
	struct http stream;       /* hijacked: frames of 8 + n bytes from there, raw bytes to there */
	char id[65];
	uint32_t left;            /* of the current frame's payload */
};

static void exec_start(struct exec *e, struct http *control, const char *argv_json, bool with_stdin)
{
	static const char start[] = "{\"Detach\":false,\"Tty\":false}";
	char path[256], body[1024], answer[4096], *id;
	int n;

	snprintf(path, sizeof path, "/containers/%s/exec", container);
	snprintf(body, sizeof body,
		 "{\"AttachStdin\":%s,\"AttachStdout\":true,\"AttachStderr\":true,\"Cmd\":%s}",
		 with_stdin ? "true" : "false", argv_json);
	http_call(control, "POST", path, body, 201, answer, sizeof answer);
	if (!(id = strstr(answer, "\"Id\":\"")) || strlen(id) < 6 + 64)
		die("no exec id in %s", answer);
	snprintf(e->id, sizeof e->id, "%.64s", id + 6);

	http_open(&e->stream);
	n = snprintf(body, sizeof body,
		     "POST " API "/exec/%s/start HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\n"
		     "Upgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		     e->id, strlen(start), start);
	write_all(e->stream.fd, body, (size_t)n);
	http_head(&e->stream, 101);
	e->left = 0;
	if (!with_stdin)
		shutdown(e->stream.fd, SHUT_WR);
}

/* Up to size payload bytes (stdout and stderr alike); 0 at the end of the stream. */
static size_t exec_read(struct exec *e, char *out, size_t size)
{
	struct http *h = &e->stream;

	while (!e->left) {
		while (h->len < 8)
			if (!http_fill(h)) {
				if (h->len)
					die("stream ends inside a header");
				return 0;
			}
		const uint8_t *p = (const uint8_t *)h->buf + h->off;
		if ((p[0] != 1 && p[0] != 2) || p[1] || p[2] || p[3])
			die("not a stream header: %02x%02x%02x%02x", p[0], p[1], p[2], p[3]);
		e->left = (uint32_t)p[4] << 24 | (uint32_t)p[5] << 16 | (uint32_t)p[6] << 8 | p[7];
		h->off += 8;
		h->len -= 8;
	}
	if (!h->len && !http_fill(h))
		die("stream ends inside a frame");
	size_t n = h->len < e->left ? h->len : e->left;
	if (n > size)
		n = size;
	memcpy(out, h->buf + h->off, n);
	h->off += n;
	h->len -= n;
	e->left -= (uint32_t)n;
	return n;
}

static void exec_finish(struct exec *e, struct http *control)
{
	char path[128], answer[8192];

	close(e->stream.fd);
	snprintf(path, sizeof path, "/exec/%s/json", e->id);
	http_call(control, "GET", path, "", 200, answer, sizeof answer);
	if (!strstr(answer, "\"ExitCode\":0,") && !strstr(answer, "\"ExitCode\":0}"))
		die("exit code is not 0: %s", answer);
}

/* ---- the measurements ------------------------------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double quantile(double *v, int n, double q)
{
	qsort(v, (size_t)n, sizeof *v, by_value);
	return v[(int)(q * (n - 1))];
}

static double one_exec_ms(struct http *control)
{
	struct exec e;
	char out[256];
	double start = now_ms();

	exec_start(&e, control, "[\"true\"]", false);
	while (exec_read(&e, out, sizeof out))
		die("output from true");
	exec_finish(&e, control);
	return now_ms() - start;
}

static void exec_latency(int n, double *ret_p50, double *ret_p99)
{
	double *ms = calloc((size_t)n, sizeof *ms);
	struct http control;

	http_open(&control);
	one_exec_ms(&control); /* the first pays for caches */
	for (int i = 0; i < n; i++)
		ms[i] = one_exec_ms(&control);
	*ret_p50 = quantile(ms, n, 0.50);
	*ret_p99 = quantile(ms, n, 0.99);
	close(control.fd);
	free(ms);
}

static void *exec_loop(void *arg)
{
	struct http control;

	http_open(&control);
	for (int i = *(int *)arg; i > 0; i--)
		one_exec_ms(&control);
	close(control.fd);
	return NULL;
}

static double execs_per_second(int each)
{
	pthread_t t[WAYS];
	double start = now_ms();

	for (int i = 0; i < WAYS; i++)
		if (pthread_create(&t[i], NULL, exec_loop, &each))
			die("no thread");
	for (int i = 0; i < WAYS; i++)
		pthread_join(t[i], NULL);
	return WAYS * each / ((now_ms() - start) / 1e3);
}

static double stdout_mb_s(uint64_t bytes)
{
	static char sink[65536];
	struct http control;
	struct exec e;
	char argv[160];
	uint64_t got = 0;
	size_t n;

	http_open(&control);
	snprintf(argv, sizeof argv,
		 "[\"dd\",\"if=/dev/zero\",\"bs=64k\",\"count=%llu\",\"status=none\"]",
		 (unsigned long long)(bytes / sizeof sink));
	double start = now_ms();
	exec_start(&e, &control, argv, false);
	while ((n = exec_read(&e, sink, sizeof sink)))
		got += n;
	double ms = now_ms() - start;
	exec_finish(&e, &control);
	close(control.fd);
	if (got != bytes)
		die("%llu of %llu bytes of stdout", (unsigned long long)got, (unsigned long long)bytes);
	return (double)bytes / 1e6 / (ms / 1e3);
}

static double stdin_mb_s(uint64_t bytes)
{
	static const char zeros[65536];
	struct http control;
	struct exec e;
	char said[4096], want[64];
	size_t n, len = 0;

	http_open(&control);
	double start = now_ms();
	exec_start(&e, &control,
		   "[\"dd\",\"of=/dev/null\",\"bs=64k\",\"iflag=fullblock\"]", true);
	for (uint64_t left = bytes; left; left -= n) {
		n = left < sizeof zeros ? (size_t)left : sizeof zeros;
		write_all(e.stream.fd, zeros, n);
	}
	shutdown(e.stream.fd, SHUT_WR);
	while ((n = exec_read(&e, said + len, sizeof said - 1 - len)))
		len += n;
	double ms = now_ms() - start;
	exec_finish(&e, &control);
	close(control.fd);
	said[len] = 0;
	snprintf(want, sizeof want, "%llu+0 records in", (unsigned long long)(bytes / sizeof zeros));
	if (!strstr(said, want))
		die("wanted %s, dd said: %s", want, said);
	return (double)bytes / 1e6 / (ms / 1e3);
}

static double echo_us(int n)
{
	double *us = calloc((size_t)n, sizeof *us);
	struct http control;
	struct exec e;
	char c;

	http_open(&control);
	exec_start(&e, &control, "[\"cat\"]", true);
	for (int i = -1; i < n; i++) { /* the first one waits for cat to run */
		double start = now_ms();
		write_all(e.stream.fd, "x", 1);
		if (exec_read(&e, &c, 1) != 1 || c != 'x')
			die("no echo");
		if (i >= 0)
			us[i] = (now_ms() - start) * 1e3;
	}
	shutdown(e.stream.fd, SHUT_WR);
	while (exec_read(&e, &c, 1))
		die("more than was echoed");
	exec_finish(&e, &control);
	close(control.fd);
	double p50 = quantile(us, n, 0.5);
	free(us);
	return p50;
}

static int argument(int argc, char **argv, int i, int otherwise)
{
	return argc > i ? (int)strtol(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: client SOCKET CONTAINER [execs] [bulk-MiB] [echoes]\n");
		return 2;
	}
	socket_path = argv[1];
	container = argv[2];
	int execs = argument(argc, argv, 3, 100), echoes = argument(argc, argv, 5, 2000);
	uint64_t bulk = (uint64_t)argument(argc, argv, 4, 512) << 20; /* a multiple of dd's block */
	double p50, p99;

	exec_latency(execs, &p50, &p99);
	printf("{\"exec_ms\": %.3f, \"exec_p99_ms\": %.3f, ", p50, p99);
	printf("\"echo_us\": %.1f, ", echo_us(echoes));
	printf("\"stdout_mb_s\": %.1f, ", stdout_mb_s(bulk));
	printf("\"stdin_mb_s\": %.1f, ", stdin_mb_s(bulk));
	printf("\"execs_per_s\": %.1f}\n", execs_per_second((execs + WAYS - 1) / WAYS * 2));
	return 0;
}
