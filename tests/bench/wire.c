/* wire - a long line between this network namespace and another: two TUN devices, and every IP packet that the
 * kernel puts into one comes out of the other after a fixed time, or never. What netem does, where there is none.
 *
 *   wire PID HERE THERE MICROSECONDS LOSS SEED
 *
 * HERE is the device's name in our namespace, THERE in that of the process PID; the time is one way; of a million
 * packets LOSS are dropped each way, at random by SEED. Prints "ready" when both devices exist (addresses and
 * routes are the caller's), and at SIGTERM what it carried. A queue of QUEUE_MAX bytes each way; what comes beyond
 * is dropped and counted. Without loss the kernel may hand over up to 64 KiB as one packet, as a network card
 * would take it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define PACKET_MAX (64 * 1024 + 64) /* with the header that tells how to cut it */
#define QUEUE_MAX (64u << 20)
#define PER_TURN 64                 /* packets of one way, then the other's */
#define MILLION 1000000

struct packet {
	struct packet *next;
	uint64_t due_ns;
	size_t len;
	char bytes[];
};

struct way {
	int from, to;
	struct packet *first, **last;
	size_t queued;
	uint64_t dice;
	uint64_t carried, lost, overflowed;
};

static struct way way[2];
static uint64_t delay_ns, loss;
static volatile sig_atomic_t ended;

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* splitmix64: the same seed gives the same losses. */
static uint64_t roll(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* Where we are: the device belongs to the namespace in which the file was opened. */
static int open_device(const char *name)
{
	struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (!loss) /* else a packet is what a line carries, and is lost by itself */
		r.ifr_flags |= IFF_VNET_HDR;
	snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &r) < 0)
		die(name);
	if (!loss && ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) < 0)
		die("TUNSETOFFLOAD");
	return fd;
}

static int open_there(const char *pid, const char *name)
{
	char path[64];
	int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), there, fd;

	snprintf(path, sizeof path, "/proc/%s/ns/net", pid);
	there = open(path, O_RDONLY | O_CLOEXEC);
	if (here < 0 || there < 0 || setns(there, CLONE_NEWNET) < 0)
		die(path);
	fd = open_device(name);
	if (setns(here, CLONE_NEWNET) < 0)
		die("setns");
	close(here);
	close(there);
	return fd;
}

static void take(struct way *w)
{
	static char bytes[PACKET_MAX];
	uint64_t due = now_ns() + delay_ns;

	for (int i = 0; i < PER_TURN; i++) {
		ssize_t n = read(w->from, bytes, sizeof bytes);
		struct packet *p;

		if (n <= 0) {
			if (n < 0 && errno != EAGAIN && errno != EINTR)
				die("read");
			return;
		}
		if (roll(&w->dice) % MILLION < loss) {
			w->lost++;
			continue;
		}
		if (w->queued + (size_t)n > QUEUE_MAX || !(p = malloc(sizeof *p + (size_t)n))) {
			w->overflowed++;
			continue;
		}
		p->next = NULL;
		p->due_ns = due;
		p->len = (size_t)n;
		memcpy(p->bytes, bytes, p->len);
		*w->last = p;
		w->last = &p->next;
		w->queued += p->len;
	}
}

static void give(struct way *w)
{
	uint64_t now = now_ns();

	for (struct packet *p; (p = w->first) && p->due_ns <= now;) {
		if (write(w->to, p->bytes, p->len) < 0) {
			if (errno == EAGAIN)
				return;
			w->overflowed++; /* a device that is down takes nothing */
		} else
			w->carried++;
		w->queued -= p->len;
		if (!(w->first = p->next))
			w->last = &w->first;
		free(p);
	}
}

static void on_term(int signal)
{
	ended = 1;
}

static void carry(const sigset_t *awake)
{
	while (!ended) {
		uint64_t now = now_ns(), wake = now + 1000000000, left;
		struct pollfd p[2];

		for (int i = 0; i < 2; i++) {
			p[i] = (struct pollfd){ .fd = way[i].from, .events = POLLIN };
			if (way[i].first && way[i].first->due_ns < wake)
				wake = way[i].first->due_ns;
		}
		left = wake > now ? wake - now : 0;
		ppoll(p, 2, &(struct timespec){ (time_t)(left / 1000000000), (long)(left % 1000000000) }, awake);
		for (int i = 0; i < 2; i++) {
			if (p[i].revents & POLLIN)
				take(&way[i]);
			give(&way[i]);
		}
	}
}

static void report(uint64_t seed)
{
	printf("{\"seed\": %llu, \"carried\": [%llu, %llu], \"lost\": [%llu, %llu], \"overflowed\": [%llu, %llu]}\n",
	       (unsigned long long)seed, (unsigned long long)way[0].carried, (unsigned long long)way[1].carried,
	       (unsigned long long)way[0].lost, (unsigned long long)way[1].lost,
	       (unsigned long long)way[0].overflowed, (unsigned long long)way[1].overflowed);
}

int main(int argc, char **argv)
{
	struct sigaction act = { .sa_handler = on_term };
	sigset_t term, awake;
	uint64_t seed;
	int here;

	if (argc != 7) {
		fprintf(stderr, "usage: wire PID HERE THERE MICROSECONDS LOSS_PER_MILLION SEED\n");
		return 2;
	}
	delay_ns = strtoull(argv[4], NULL, 10) * 1000;
	loss = strtoull(argv[5], NULL, 10);
	seed = strtoull(argv[6], NULL, 10);
	/* Only ppoll is interrupted, so that no signal falls between a look at `ended` and the sleep. */
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, &awake);
	sigaction(SIGTERM, &act, NULL);
	prctl(PR_SET_TIMERSLACK, 1000);
	here = open_device(argv[2]);
	way[0] = (struct way){ .from = here, .to = open_there(argv[1], argv[3]), .dice = seed };
	way[1] = (struct way){ .from = way[0].to, .to = here, .dice = ~seed };
	for (int i = 0; i < 2; i++)
		way[i].last = &way[i].first;
	puts("ready");
	fflush(stdout);
	carry(&awake);
	report(seed);
	return 0;
}
