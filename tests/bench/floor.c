/* floor - what the machine gives at best, with nothing of Docker or ours in between: the ground under the
 * figures of client.c. Prints one JSON object.
 *
 *   floor exec N PROGRAM [ARG]    ms of fork and exec, until the program has been collected
 *   floor open N PROGRAM [ARG]    ms from fork to the first byte that the program (cat) echoes through pipes
 *   floor rate N PROGRAM [ARG]    the first, 8 at a time: per second
 *   floor echo N                  us of a byte there and back over loopback TCP
 *   floor bulk STREAMS MIB        MB/s over loopback TCP, all streams together
 *   floor far-echo N PID ADDRESS  the same echo between the network namespace of a process and ADDRESS here
 *   floor far-out MIB PID ADDRESS MB/s of one TCP connection from there, of its second half; far-in: to there
 *   floor memcpy MIB              MB/s from one buffer larger than the caches into another */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WAYS 8
#define BLOCK 65536
#define COPY_BYTES (64u << 20)

extern char **environ;
static char **program;

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void print_latency(double *v, int n)
{
	qsort(v, (size_t)n, sizeof *v, by_value);
	printf("{\"p50\": %.4f, \"p99\": %.4f, \"max\": %.4f, \"n\": %d}\n", v[(int)(0.50 * (n - 1))],
	       v[(int)(0.99 * (n - 1))], v[n - 1], n);
}

/* ---- processes -------------------------------------------------------------------------------------- */

static pid_t spawn(posix_spawn_file_actions_t *actions)
{
	pid_t pid;

	if ((errno = posix_spawn(&pid, program[0], actions, NULL, program, environ)))
		die(program[0]);
	return pid;
}

static void collect(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status)
		die("the program failed");
}

static double exec_ms(void)
{
	double start = now_ms();

	collect(spawn(NULL));
	return now_ms() - start;
}

static double open_ms(void)
{
	posix_spawn_file_actions_t actions;
	int in[2], out[2];
	double start = now_ms(), ms;
	pid_t pid;
	char c;

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		die("pipe");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], 0);
	posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	pid = spawn(&actions);
	posix_spawn_file_actions_destroy(&actions);
	if (write(in[1], "x", 1) != 1 || read(out[0], &c, 1) != 1)
		die("no echo");
	ms = now_ms() - start;
	close(in[0]);
	close(in[1]);
	close(out[0]);
	close(out[1]);
	collect(pid);
	return ms;
}

static void *exec_loop(void *arg)
{
	for (int i = *(int *)arg; i > 0; i--)
		exec_ms();
	return NULL;
}

static double rate(int n)
{
	int each = (n + WAYS - 1) / WAYS;
	pthread_t t[WAYS];
	double start = now_ms();

	for (int i = 0; i < WAYS; i++)
		if (pthread_create(&t[i], NULL, exec_loop, &each))
			die("thread");
	for (int i = 0; i < WAYS; i++)
		pthread_join(t[i], NULL);
	return WAYS * each / ((now_ms() - start) / 1e3);
}

/* ---- loopback TCP ----------------------------------------------------------------------------------- */

/* NULL: here, over loopback. A socket belongs to the namespace in which it was made, wherever its owner goes. */
static const char *far_pid, *near_address = "127.0.0.1";

static int far_socket(void)
{
	int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), there = here, fd;
	char path[64];

	if (far_pid) {
		snprintf(path, sizeof path, "/proc/%s/ns/net", far_pid);
		there = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (there < 0 || (far_pid && setns(there, CLONE_NEWNET) < 0))
		die(path);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (far_pid && setns(here, CLONE_NEWNET) < 0)
		die("setns");
	if (there != here)
		close(there);
	close(here);
	return fd;
}

/* pair[0] is the far one. */
static void tcp_pair(int pair[2])
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof a;
	int on = 1, listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	pair[0] = far_socket();
	if (inet_pton(AF_INET, near_address, &a.sin_addr) != 1 || bind(listening, (struct sockaddr *)&a, sizeof a) < 0 || listen(listening, 1) < 0 ||
	    getsockname(listening, (struct sockaddr *)&a, &len) < 0 ||
	    connect(pair[0], (struct sockaddr *)&a, sizeof a) < 0 ||
	    (pair[1] = accept4(listening, NULL, NULL, SOCK_CLOEXEC)) < 0)
		die("loopback TCP");
	close(listening);
	for (int i = 0; i < 2; i++)
		setsockopt(pair[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void *echo_back(void *arg)
{
	int fd = *(int *)arg;
	char c;

	while (read(fd, &c, 1) == 1)
		if (write(fd, &c, 1) != 1)
			break;
	close(fd);
	return NULL;
}

static void echo(double *us, int n)
{
	int pair[2];
	pthread_t t;
	char c = 'x';

	tcp_pair(pair);
	if (pthread_create(&t, NULL, echo_back, &pair[1]))
		die("thread");
	for (int i = -1; i < n; i++) {
		double start = now_ms();

		if (write(pair[0], &c, 1) != 1 || read(pair[0], &c, 1) != 1)
			die("no echo");
		if (i >= 0)
			us[i] = (now_ms() - start) * 1e3;
	}
	close(pair[0]);
	pthread_join(t, NULL);
}

struct stream { int pair[2]; uint64_t bytes; double half_ms, end_ms; };

static void *send_all(void *arg)
{
	static const char zeros[BLOCK];
	struct stream *s = arg;
	ssize_t n;

	for (uint64_t left = s->bytes; left; left -= (uint64_t)n)
		if ((n = write(s->pair[0], zeros, left < BLOCK ? left : BLOCK)) <= 0)
			die("write");
	close(s->pair[0]);
	return NULL;
}

static void *receive_all(void *arg)
{
	struct stream *s = arg;
	char *sink = malloc(BLOCK);
	uint64_t got = 0;
	ssize_t n;

	while ((n = read(s->pair[1], sink, BLOCK)) > 0) {
		if (got < s->bytes / 2 && got + (uint64_t)n >= s->bytes / 2)
			s->half_ms = now_ms();
		got += (uint64_t)n;
	}
	s->end_ms = now_ms();
	if (n < 0 || got != s->bytes)
		die("read");
	close(s->pair[1]);
	free(sink);
	return NULL;
}

static double bulk(int streams, int mib)
{
	struct stream *s = calloc((size_t)streams, sizeof *s);
	pthread_t *t = calloc(2 * (size_t)streams, sizeof *t);
	uint64_t each = ((uint64_t)mib << 20) / (uint64_t)streams;
	double start, ms;

	for (int i = 0; i < streams; i++) {
		tcp_pair(s[i].pair);
		s[i].bytes = each;
	}
	start = now_ms();
	for (int i = 0; i < streams; i++)
		if (pthread_create(&t[2 * i], NULL, send_all, &s[i]) || pthread_create(&t[2 * i + 1], NULL, receive_all, &s[i]))
			die("thread");
	for (int i = 0; i < 2 * streams; i++)
		pthread_join(t[i], NULL);
	ms = now_ms() - start;
	free(s);
	free(t);
	return (double)each * streams / 1e6 / (ms / 1e3);
}

/* In all, and the second half, without the growing of the kernel's own window. */
static void far_bulk(int mib, bool from_there)
{
	struct stream s = { .bytes = (uint64_t)mib << 20 };
	pthread_t t[2];
	double start;
	int far;

	tcp_pair(s.pair);
	if (!from_there) {
		far = s.pair[0];
		s.pair[0] = s.pair[1];
		s.pair[1] = far;
	}
	start = now_ms();
	if (pthread_create(&t[0], NULL, send_all, &s) || pthread_create(&t[1], NULL, receive_all, &s))
		die("thread");
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	printf("{\"mb_s\": %.1f, \"half_mb_s\": %.1f}\n", (double)s.bytes / 1e6 / ((s.end_ms - start) / 1e3),
	       (double)s.bytes / 2 / 1e6 / ((s.end_ms - s.half_ms) / 1e3));
}

static double copy(int mib)
{
	char *from = malloc(COPY_BYTES), *to = malloc(COPY_BYTES);
	double start;
	int rounds = (mib + 63) / 64;

	if (!from || !to)
		die("memory");
	memset(from, 1, COPY_BYTES);
	memset(to, 2, COPY_BYTES);
	start = now_ms();
	for (int i = 0; i < rounds; i++) {
		memcpy(to, from, COPY_BYTES);
		__asm__ volatile("" : : "r"(to) : "memory"); /* it is wanted */
	}
	return (double)COPY_BYTES * rounds / 1e6 / ((now_ms() - start) / 1e3);
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	int n = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0;
	double *v = n > 0 ? calloc((size_t)n, sizeof *v) : NULL;
	bool spawns = !strcmp(what, "exec") || !strcmp(what, "open") || !strcmp(what, "rate");

	bool far = !strncmp(what, "far-", 4);

	if (!v || (spawns && argc < 4) || (!strcmp(what, "bulk") && argc < 4) || (far && argc < 5)) {
		fprintf(stderr, "usage: floor FIGURE N ...; the figures are in floor.c\n");
		return 2;
	}
	program = argv + 3;
	if (far) {
		far_pid = argv[3];
		near_address = argv[4];
	}
	if (!strcmp(what, "rate")) {
		printf("{\"per_s\": %.1f}\n", rate(n));
	} else if (!strcmp(what, "bulk")) {
		printf("{\"mb_s\": %.1f}\n", bulk(n, (int)strtol(argv[3], NULL, 10)));
	} else if (!strcmp(what, "far-out") || !strcmp(what, "far-in")) {
		far_bulk(n, !strcmp(what, "far-out"));
	} else if (!strcmp(what, "memcpy")) {
		printf("{\"mb_s\": %.1f}\n", copy(n));
	} else {
		if (!strcmp(what, "echo") || !strcmp(what, "far-echo"))
			echo(v, n);
		for (int i = 0; spawns && i < n; i++)
			v[i] = !strcmp(what, "exec") ? exec_ms() : open_ms();
		print_latency(v, n);
	}
	free(v);
	return 0;
}
