/* client - measures one figure of a Docker engine over its unix socket, with the calls the docker client
 * makes. The same program measures dockerd and the gateway, so that a ratio compares engines, not clients.
 * Prints one JSON object. Any wrong answer, exit code or byte count ends it with status 1.
 *
 *   client SOCKET CONTAINER exec N              ms of an exec of `true`: create, start, its end, inspect
 *   client SOCKET CONTAINER open N              ms from create to the first byte echoed by `cat`
 *   client SOCKET CONTAINER rate N              execs per second, 8 at a time, N in all
 *   client SOCKET CONTAINER stdout STREAMS MIB  MB/s of all streams together; of one, of its second half as well
 *   client SOCKET CONTAINER stdin STREAMS MIB
 *   client SOCKET CONTAINER echo N              us of a byte there and back
 *   client SOCKET CONTAINER echo-bulk N         the same by itself and, in turns, beside a bulk stream
 *   client SOCKET CONTAINER echo-unread N       ... beside a stream whose client does not read
 *   client SOCKET IMAGE start N                 ms from start to the first byte of stdout, attached before
 *   client SOCKET CONTAINER watch SECONDS       execs one after the other; the slowest */
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
#define STREAMS_MAX 256
#define TURNS 15              /* with and without load; 2 in a short run */
#define BLOCK 65536

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

/* ---- latencies ------------------------------------------------------------------------------------ */

struct sample { double *v; int n, size; };

static void sample_add(struct sample *s, double v)
{
	if (s->n == s->size) {
		s->size = s->size ? 2 * s->size : 256;
		s->v = realloc(s->v, (size_t)s->size * sizeof *s->v);
		if (!s->v)
			die("out of memory");
	}
	s->v[s->n++] = v;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double quantile(struct sample *s, double q)
{
	qsort(s->v, (size_t)s->n, sizeof *s->v, by_value);
	return s->v[(int)(q * (s->n - 1))];
}

static void print_latency(struct sample *s)
{
	printf("{\"p50\": %.4f, \"p99\": %.4f, \"max\": %.4f, \"n\": %d}\n", quantile(s, 0.50), quantile(s, 0.99),
	       quantile(s, 1), s->n);
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

static void measure_exec(int n)
{
	struct sample s = { 0 };
	struct http control;

	http_open(&control);
	one_exec_ms(&control); /* the first pays for caches */
	while (s.n < n)
		sample_add(&s, one_exec_ms(&control));
	close(control.fd);
	print_latency(&s);
}

static void measure_watch(double seconds)
{
	struct sample s = { 0 };
	struct http control;
	double end = now_ms() + seconds * 1e3;

	http_open(&control);
	while (now_ms() < end)
		sample_add(&s, one_exec_ms(&control));
	close(control.fd);
	print_latency(&s);
}

static void cat_end(struct exec *e, struct http *control)
{
	char c;

	shutdown(e->stream.fd, SHUT_WR);
	while (exec_read(e, &c, 1))
		die("more than was echoed");
	exec_finish(e, control);
}

static void echo_once(struct exec *e)
{
	char c;

	write_all(e->stream.fd, "x", 1);
	if (exec_read(e, &c, 1) != 1 || c != 'x')
		die("no echo");
}

static void measure_open(int n)
{
	struct sample s = { 0 };
	struct http control;

	http_open(&control);
	for (int i = -1; i < n; i++) {
		struct exec e;
		double start = now_ms();

		exec_start(&e, &control, "[\"cat\"]", true);
		echo_once(&e);
		if (i >= 0)
			sample_add(&s, now_ms() - start);
		cat_end(&e, &control);
	}
	close(control.fd);
	print_latency(&s);
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

static void measure_rate(int n)
{
	int each = (n + WAYS - 1) / WAYS;
	pthread_t t[WAYS];
	double start = now_ms();

	for (int i = 0; i < WAYS; i++)
		if (pthread_create(&t[i], NULL, exec_loop, &each))
			die("no thread");
	for (int i = 0; i < WAYS; i++)
		pthread_join(t[i], NULL);
	printf("{\"per_s\": %.1f}\n", WAYS * each / ((now_ms() - start) / 1e3));
}

/* ---- bulk ------------------------------------------------------------------------------------------ */

struct bulk {
	struct exec e;
	struct http control;
	uint64_t bytes;           /* each */
	double half_ms, last_ms;  /* when half of them had passed us, and the last */
	bool out;                 /* from the container to us */
	pthread_barrier_t *all_open;
};

/* The programs wait for a byte, so that what is timed is the transfer and not their start. */
static void bulk_open(struct bulk *b)
{
	char argv[160];

	http_open(&b->control);
	snprintf(argv, sizeof argv, b->out ?
		 "[\"sh\",\"-c\",\"read x; exec dd if=/dev/zero bs=64k count=%llu status=none\"]" :
		 "[\"dd\",\"of=/dev/null\",\"bs=64k\",\"iflag=fullblock\"]", (unsigned long long)(b->bytes / BLOCK));
	exec_start(&b->e, &b->control, argv, true);
}

static void bulk_read(struct bulk *b)
{
	char *sink = malloc(BLOCK);
	uint64_t got = 0;
	size_t n;

	write_all(b->e.stream.fd, "\n", 1);
	while ((n = exec_read(&b->e, sink, BLOCK))) {
		if (got < b->bytes / 2 && got + n >= b->bytes / 2)
			b->half_ms = now_ms();
		got += n;
	}
	b->last_ms = now_ms();
	if (got != b->bytes)
		die("%llu of %llu bytes of stdout", (unsigned long long)got, (unsigned long long)b->bytes);
	free(sink);
}

static void bulk_write(struct bulk *b)
{
	static const char zeros[BLOCK];
	char said[4096], want[64];
	size_t n, len = 0;

	for (uint64_t left = b->bytes; left; left -= sizeof zeros) {
		if (left > b->bytes / 2)
			b->half_ms = now_ms();
		write_all(b->e.stream.fd, zeros, sizeof zeros);
	}
	b->last_ms = now_ms();
	shutdown(b->e.stream.fd, SHUT_WR);
	while ((n = exec_read(&b->e, said + len, sizeof said - 1 - len)))
		len += n;
	said[len] = 0;
	snprintf(want, sizeof want, "%llu+0 records in", (unsigned long long)(b->bytes / BLOCK));
	if (!strstr(said, want))
		die("wanted %s, dd said: %s", want, said);
}

static void bulk_transfer(struct bulk *b)
{
	if (b->out)
		bulk_read(b);
	else
		bulk_write(b);
}

static void *bulk_thread(void *arg)
{
	struct bulk *b = arg;

	bulk_open(b);
	pthread_barrier_wait(b->all_open);
	bulk_transfer(b);
	return NULL;
}

static void measure_bulk(bool out, int streams, int mib)
{
	struct bulk *b = calloc((size_t)streams, sizeof *b);
	pthread_t *t = calloc((size_t)streams, sizeof *t);
	uint64_t each = ((uint64_t)mib << 20) / (uint64_t)streams / BLOCK * BLOCK;
	pthread_barrier_t all_open;
	double start;

	if (!b || !t || !each)
		die("%d MiB cannot be spread over %d streams", mib, streams);
	pthread_barrier_init(&all_open, NULL, (unsigned)streams + 1);
	for (int i = 0; i < streams; i++) {
		b[i].bytes = each;
		b[i].out = out;
		b[i].all_open = &all_open;
		if (pthread_create(&t[i], NULL, bulk_thread, &b[i]))
			die("no thread");
	}
	pthread_barrier_wait(&all_open);
	start = now_ms();
	for (int i = 0; i < streams; i++)
		pthread_join(t[i], NULL);
	printf("{\"mb_s\": %.1f, \"half_mb_s\": %.1f}\n", (double)each * streams / 1e6 / ((now_ms() - start) / 1e3),
	       (double)each / 2 / 1e6 / ((b[0].last_ms - b[0].half_ms) / 1e3));
	for (int i = 0; i < streams; i++) {
		exec_finish(&b[i].e, &b[i].control);
		close(b[i].control.fd);
	}
	free(b);
	free(t);
}

/* ---- echo, and what others do to it ------------------------------------------------------------------ */

static void echoes(struct exec *e, int n, struct sample *s)
{
	for (int i = 0; i < n; i++) {
		double start = now_ms();

		echo_once(e);
		sample_add(s, (now_ms() - start) * 1e3);
	}
}

static void measure_echo(int n)
{
	struct sample s = { 0 };
	struct http control;
	struct exec e;

	http_open(&control);
	exec_start(&e, &control, "[\"cat\"]", true);
	echo_once(&e); /* waits for cat to run */
	echoes(&e, n, &s);
	cat_end(&e, &control);
	close(control.fd);
	print_latency(&s);
}

static volatile bool enough;

static void *bulk_until_enough(void *arg)
{
	struct bulk *b = arg;

	while (!enough) {
		bulk_open(b);
		bulk_transfer(b);
		exec_finish(&b->e, &b->control);
		close(b->control.fd);
	}
	return NULL;
}

static void echoes_beside_bulk(struct exec *e, int n, struct sample *s)
{
	static struct bulk b = { .bytes = 32 << 20, .out = true };
	pthread_t t;

	enough = false;
	if (pthread_create(&t, NULL, bulk_until_enough, &b))
		die("no thread");
	usleep(200 * 1000); /* the stream is at full speed */
	echoes(e, n, s);
	enough = true;
	pthread_join(t, NULL);
}

static void echoes_beside_unread(struct exec *e, int n, struct sample *s)
{
	static struct bulk b = { .bytes = 64 << 20, .out = true };

	bulk_open(&b);
	write_all(b.e.stream.fd, "\n", 1);
	usleep(500 * 1000); /* every buffer on the way is full */
	echoes(e, n, s);
	bulk_read(&b);
	exec_finish(&b.e, &b.control);
	close(b.control.fd);
}

static double p99_of(void (*load)(struct exec *, int, struct sample *), struct exec *e, int n, struct sample *all)
{
	struct sample s = { 0 };
	double p99;

	if (load)
		load(e, n, &s);
	else
		echoes(e, n, &s);
	for (int i = 0; i < s.n; i++)
		sample_add(all, s.v[i]);
	p99 = quantile(&s, 0.99);
	free(s.v);
	return p99;
}

/* In turns, each of which gives one ratio: what the machine does meanwhile changes both of its parts. Which of them
 * is first changes from turn to turn. */
static void measure_beside(void (*load)(struct exec *, int, struct sample *), int n)
{
	struct sample quiet = { 0 }, loaded = { 0 }, change = { 0 };
	int turns = n < 1000 ? 2 : TURNS;
	struct http control;
	struct exec e;

	http_open(&control);
	exec_start(&e, &control, "[\"cat\"]", true);
	echo_once(&e);
	for (int i = 0; i < turns; i++) {
		double without = i % 2 ? 0 : p99_of(NULL, &e, n / turns, &quiet);
		double with = p99_of(load, &e, n / turns, &loaded);

		if (!without)
			without = p99_of(NULL, &e, n / turns, &quiet);
		sample_add(&change, with / without);
	}
	cat_end(&e, &control);
	close(control.fd);
	printf("{\"p50\": %.2f, \"p99\": %.2f, \"quiet_p50\": %.2f, \"quiet_p99\": %.2f, \"change\": %.4f}\n",
	       quantile(&loaded, 0.5), quantile(&loaded, 0.99), quantile(&quiet, 0.5), quantile(&quiet, 0.99),
	       quantile(&change, 0.5));
}

/* ---- docker start ------------------------------------------------------------------------------------ */

/* On a connection of its own, whose end is the answer's: wait answers in chunks, rm with no body. */
static void ask(const char *method, const char *path, int want_status)
{
	struct http h;
	char req[512];
	int n = snprintf(req, sizeof req, "%s " API "%s HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n"
			 "Content-Length: 0\r\n\r\n", method, path);

	http_open(&h);
	write_all(h.fd, req, (size_t)n);
	http_head(&h, want_status);
	do
		h.off = h.len = 0;
	while (http_fill(&h));
	close(h.fd);
}

static double start_to_first_byte(struct http *control)
{
	char answer[4096], path[256], body[256], id[65], *at, c;
	struct exec e = { 0 };
	double start, ms;
	int n;

	snprintf(body, sizeof body, "{\"Image\":\"%s\",\"Cmd\":[\"echo\",\"x\"],\"AttachStdout\":true}", container);
	http_call(control, "POST", "/containers/create", body, 201, answer, sizeof answer);
	if (!(at = strstr(answer, "\"Id\":\"")))
		die("no id in %s", answer);
	snprintf(id, sizeof id, "%.64s", at + 6);
	http_open(&e.stream);
	n = snprintf(body, sizeof body, "POST " API "/containers/%s/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: docker\r\n"
		     "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n", id);
	write_all(e.stream.fd, body, (size_t)n);
	http_head(&e.stream, 101);

	start = now_ms();
	snprintf(path, sizeof path, "/containers/%s/start", id);
	ask("POST", path, 204);
	if (exec_read(&e, &c, 1) != 1 || c != 'x')
		die("not what echo says");
	ms = now_ms() - start;
	while (exec_read(&e, &c, 1))
		;
	close(e.stream.fd);
	snprintf(path, sizeof path, "/containers/%s/wait", id);
	ask("POST", path, 200);
	snprintf(path, sizeof path, "/containers/%s?force=1", id);
	ask("DELETE", path, 204);
	return ms;
}

static void measure_start(int n)
{
	struct sample s = { 0 };
	struct http control;

	http_open(&control);
	start_to_first_byte(&control);
	while (s.n < n)
		sample_add(&s, start_to_first_byte(&control));
	close(control.fd);
	print_latency(&s);
}

int main(int argc, char **argv)
{
	const char *what = argc > 4 ? argv[3] : "";
	int n = argc > 4 ? (int)strtol(argv[4], NULL, 10) : 0, mib = argc > 5 ? (int)strtol(argv[5], NULL, 10) : 0;

	if (argc > 2) {
		socket_path = argv[1];
		container = argv[2];
	}
	if (!strcmp(what, "exec") && n > 0)
		measure_exec(n);
	else if (!strcmp(what, "open") && n > 0)
		measure_open(n);
	else if (!strcmp(what, "rate") && n > 0)
		measure_rate(n);
	else if ((!strcmp(what, "stdout") || !strcmp(what, "stdin")) && n > 0 && n <= STREAMS_MAX && mib > 0)
		measure_bulk(!strcmp(what, "stdout"), n, mib);
	else if (!strcmp(what, "echo") && n > 0)
		measure_echo(n);
	else if (!strcmp(what, "echo-bulk") && n >= TURNS)
		measure_beside(echoes_beside_bulk, n);
	else if (!strcmp(what, "echo-unread") && n >= TURNS)
		measure_beside(echoes_beside_unread, n);
	else if (!strcmp(what, "start") && n > 0)
		measure_start(n);
	else if (!strcmp(what, "watch") && n > 0)
		measure_watch(n);
	else {
		fprintf(stderr, "usage: client SOCKET CONTAINER|IMAGE FIGURE NUMBER [MIB]; the figures are in client.c\n");
		return 2;
	}
	return 0;
}
