/* session_cuts - one conversation of two real sessions, recorded, then had again and again with the link cut after
 * every byte of it in turn. Between them is what the WebSocket gives: whole messages, in order, until the cut; the
 * message in which it falls is gone. A cut has variants: who hears of it, what was under way the other way, and
 * whether the next link is cut as well, a random number of bytes later.
 *
 *     session_cuts SEED [EVERY]     EVERY n-th byte only; prints one line of JSON */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "session.h"

#define CHANNELS 4       /* main and three execs */
#define IDS (2 * CHANNELS + 2)
#define QUEUE 4096
#define TURNS_MAX 20000
#define VARIANTS 8
#define WINDOW 400

struct message {
	uint8_t *p;
	size_t n;
};

struct side {
	struct session *s;
	enum session_role role;
	struct message queue[QUEUE]; /* on the way to the other side */
	unsigned head, tail;
	uint64_t got[IDS];
	unsigned fins[IDS];
	unsigned execs, exits, signals; /* control messages that came, each numbered */
	unsigned sent;
};

struct totals {
	uint64_t runs, cuts, bytes, lost, repeated, wrong_codes, twice, hangs, other;
};

static struct side A, G;
static uint8_t gateway_id[BOOT_ID_LEN];
static uint64_t now, link_no, goal[IDS], passed, cut_at;
static uint32_t state;
static struct totals total;
static unsigned notes;

static void blame(uint64_t *field, uint64_t n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void blame(uint64_t *field, uint64_t n, const char *fmt, ...)
{
	va_list ap;

	*field += n;
	if (!n || notes++ > 20)
		return;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static uint32_t roll(uint32_t below)
{
	state = state * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)(state >> 8) * below) >> 24);
}

static uint8_t pattern(uint32_t id, uint64_t offset)
{
	return (uint8_t)((offset * 2654435761u >> 11) + id * 101);
}

/* ---- what the two applications do ---------------------------------------------------------------- */

/* Takes a little less than it is offered: some bytes always wait in the session. */
static size_t on_data(void *ctx, struct stream *st, const uint8_t *p, size_t n)
{
	struct side *x = ctx;
	uint32_t id = stream_id(st);
	size_t take = n > 64 ? n - n / 4 : n;

	for (size_t i = 0; i < take; i++)
		if (p[i] != pattern(id, x->got[id] + i)) {
			blame(&total.lost, 1, "stream %u: another byte at %llu", id, (unsigned long long)x->got[id] + i);
			break;
		}
	x->got[id] += take;
	total.bytes += take;
	return take;
}

static void on_fin(void *ctx, struct stream *st)
{
	((struct side *)ctx)->fins[stream_id(st)]++;
}

static void on_reset(void *ctx, struct stream *st, uint32_t code)
{
	blame(&total.lost, 1, "stream %u is given up, code %u", stream_id(st), code);
}

static void on_writable(void *ctx, struct stream *st)
{
}

static void on_control(void *ctx, const struct control *c)
{
	struct side *x = ctx;

	switch (c->type) {
	case CONTROL_EXEC:
		blame(&total.twice, c->channel != x->execs + 2, "EXEC of channel %u after %u", c->channel, x->execs);
		x->execs++;
		session_open(x->s, 2 * c->channel, 0, WINDOW);
		session_open(x->s, 2 * c->channel + 1, 0, WINDOW);
		break;
	case CONTROL_EXIT:
		blame(&total.wrong_codes, c->exit.status.code != (int)c->channel + 6, "channel %u: code %d", c->channel, c->exit.status.code);
		blame(&total.twice, c->channel != x->exits + 2, "EXIT of channel %u after %u", c->channel, x->exits);
		x->exits++;
		break;
	case CONTROL_SIGNAL:
		blame(&total.twice, c->signal.number != (int)x->signals + 1, "signal %d after %u", c->signal.number, x->signals);
		x->signals++;
		break;
	default:
		blame(&total.other, 1, "control message %d", (int)c->type);
	}
}

static void on_wake(void *ctx)
{
}

static uint64_t now_us(void *ctx)
{
	return now * 1000;
}

static const struct session_ops ops = {
	.on_data = on_data, .on_fin = on_fin, .on_reset = on_reset, .on_writable = on_writable,
	.on_control = on_control, .on_wake = on_wake, .now_us = now_us,
};

static void send_control(struct side *x, enum control_type type, uint32_t channel)
{
	static char *argv[] = { (char *)"sh", (char *)"-c", (char *)"exit 7" };
	char id[] = "exec-0";
	struct control c = { .type = type, .channel = channel };
	struct err err;

	id[5] = (char)('0' + channel);
	if (type == CONTROL_EXEC)
		c.exec = (struct exec_spec){ .channel = channel, .exec_id = id, .argv = { .v = argv, .n = 3 }, .open_stdin = true };
	if (type == CONTROL_EXIT)
		c.exit.status = (struct exit_status){ .code = (int)channel + 6, .final_offset = goal[2 * channel + 1] };
	if (type == CONTROL_SIGNAL)
		c.signal.number = (int)x->sent++ + 1;
	blame(&total.other, session_send(x->s, &c, &err) < 0, "control message %d cannot be queued", (int)type);
}

static void side_init(struct side *x, enum session_role role, uint8_t fill)
{
	uint8_t id[BOOT_ID_LEN];

	memset(x, 0, sizeof(*x));
	memset(id, fill, sizeof(id));
	x->role = role;
	x->s = session_new(role, id, &ops, x);
}

static void clear(struct side *x)
{
	while (x->head != x->tail)
		free(x->queue[x->head++ % QUEUE].p);
}

/* A little more on each stream, and its end when all is written. */
static void write_some(struct side *x)
{
	for (uint32_t id = x->role == SESSION_AGENT ? 3 : 2; id < IDS; id += 2) {
		struct stream *st = session_stream(x->s, id);
		uint8_t bytes[70];
		uint64_t at;
		size_t n;

		if (!st)
			continue;
		at = stream_written(st);
		n = goal[id] - at < sizeof(bytes) ? (size_t)(goal[id] - at) : sizeof(bytes);
		for (size_t i = 0; i < n; i++)
			bytes[i] = pattern(id, at + i);
		if (stream_write(st, bytes, n) == n && at + n == goal[id])
			stream_fin(st);
	}
}

static void read_some(struct side *x)
{
	for (uint32_t id = 2; id < IDS; id++) {
		struct stream *st = session_stream(x->s, id);

		if (st && id % 2 == (x->role == SESSION_GATEWAY))
			stream_resume(st);
	}
}

/* What is asked and answered besides: execs and signals from the gateway, exits from the agent. */
static void say_some(unsigned turn)
{
	if (turn % 12 == 5 && G.execs < CHANNELS - 1) {
		uint32_t channel = 2 + G.execs++;

		send_control(&G, CONTROL_EXEC, channel);
		session_open(G.s, 2 * channel, 0, WINDOW);
		session_open(G.s, 2 * channel + 1, 0, WINDOW);
	}
	if (turn % 9 == 4 && G.sent < 6)
		send_control(&G, CONTROL_SIGNAL, 1);
	if (A.exits < A.execs) {
		struct stream *st = session_stream(A.s, 2 * (A.exits + 2) + 1);

		if (st && stream_written(st) == goal[2 * (A.exits + 2) + 1])
			send_control(&A, CONTROL_EXIT, A.exits++ + 2);
	}
}

static bool finished(void)
{
	for (uint32_t id = 2; id < IDS; id++) {
		const struct side *x = id % 2 ? &G : &A;

		if (x->got[id] < goal[id] || !x->fins[id])
			return false;
	}
	return A.execs == CHANNELS - 1 && G.exits == CHANNELS - 1 && A.signals == 6;
}

/* ---- the link ------------------------------------------------------------------------------------- */

static void connect_again(void)
{
	struct hello h = { .container_id = xstrdup("c0ffee"), .execution = xstrdup("job-1"), .link_no = ++link_no,
			   .window_in = WINDOW, .window_out = WINDOW };

	clear(&A);
	clear(&G);
	session_hello(A.s, &h, now);
	hello_release(&h);
}

static void deliver(struct side *from, struct side *to)
{
	struct message m;
	struct err err;
	struct hello h;

	if (from->head == from->tail)
		return;
	m = from->queue[from->head++ % QUEUE];
	if (to == &G && !session_link_up(G.s) && session_peek_hello(m.p, m.n, &h, &err) == 0) {
		bool fresh = !gateway_id[0];

		gateway_id[0] = 1;
		blame(&total.other, session_accept(G.s, &h, fresh, now, &err) < 0, "not accepted: %s", err.msg);
		hello_release(&h);
	} else if (session_receive(to->s, m.p, m.n, now, &err) < 0) {
		blame(&total.other, 1, "protocol error: %s", err.msg);
	}
	free(m.p);
}

/* variant, bit 0: what was under way is lost as well; bit 1: the gateway hears of the cut only by the next HELLO;
 * bit 2: the next link is cut, too. */
static void cut(unsigned variant)
{
	total.cuts++;
	if (!(variant & 1)) {
		while (A.head != A.tail && session_link_up(G.s))
			deliver(&A, &G);
		while (G.head != G.tail)
			deliver(&G, &A);
	}
	if (!(variant & 2))
		session_link_down(G.s);
	session_link_down(A.s);
	connect_again();
	session_link_down(G.s); /* as the registry does when a HELLO is there, before it is accepted */
}

/* One message onto the wire; true if the link was cut in it. */
static bool send_one(struct side *x, unsigned *variant)
{
	struct frame_out f;
	uint8_t *p;

	if (!session_next_frame(x->s, &f, now))
		return false;
	passed += f.head_len + f.body_len;
	if (passed > cut_at) {
		cut_at = *variant & 4 ? passed + roll(1200) : UINT64_MAX;
		*variant &= 3;
		cut(*variant);
		return true;
	}
	p = xmalloc(f.head_len + f.body_len);
	memcpy(p, f.head, f.head_len);
	if (f.body_len)
		memcpy(p + f.head_len, f.body, f.body_len);
	x->queue[x->tail++ % QUEUE] = (struct message){ p, f.head_len + f.body_len };
	return false;
}

static void settle(void)
{
	struct session_stats a, g;
	unsigned none = 0;

	for (unsigned i = 0; i < 400; i++) {
		send_one(&A, &none);
		send_one(&G, &none);
		deliver(&A, &G);
		deliver(&G, &A);
		if (i % 20 == 0) {
			now += 30;
			session_tick(A.s, now);
			session_tick(G.s, now);
		}
	}
	session_stats(A.s, &a);
	session_stats(G.s, &g);
	blame(&total.other, a.replay_bytes + g.replay_bytes + a.kept_bytes + g.kept_bytes, "bytes are owed at the end");
}

/* The conversation, cut after that many bytes. Returns how many went over the wire. */
static uint64_t converse(uint64_t cut_after, unsigned variant)
{
	unsigned turn = 0;

	now = 1000;
	link_no = passed = 0;
	cut_at = cut_after;
	state = (uint32_t)cut_after * 8 + variant;
	memset(gateway_id, 0, sizeof(gateway_id));
	side_init(&A, SESSION_AGENT, 0xaa);
	side_init(&G, SESSION_GATEWAY, 0xbb);
	for (uint32_t id = 2; id < 4; id++) {
		session_open(A.s, id, 0, WINDOW);
		session_open(G.s, id, 0, WINDOW);
	}
	connect_again();
	for (; !finished() && turn < TURNS_MAX; turn++) {
		write_some(&A);
		write_some(&G);
		say_some(turn);
		if (turn % 3 == 0) {
			read_some(&A);
			read_some(&G);
		}
		if (send_one(&A, &variant) || send_one(&G, &variant))
			continue;
		if (A.tail - A.head > turn % 4)
			deliver(&A, &G);
		if (G.tail - G.head > turn % 3)
			deliver(&G, &A);
		if (turn % 10 == 9) {
			now += 30;
			session_tick(A.s, now);
			session_tick(G.s, now);
		}
	}
	cut_at = UINT64_MAX;
	blame(&total.hangs, turn == TURNS_MAX, "no end, cut after %llu", (unsigned long long)cut_after);
	for (uint32_t id = 2; id < IDS; id++) {
		const struct side *x = id % 2 ? &G : &A;

		blame(&total.lost, x->got[id] < goal[id] ? goal[id] - x->got[id] : 0, "stream %u: bytes lost, cut after %llu",
		      id, (unsigned long long)cut_after);
		blame(&total.repeated, x->got[id] > goal[id] ? x->got[id] - goal[id] : 0, "stream %u: bytes repeated, cut after %llu",
		      id, (unsigned long long)cut_after);
		blame(&total.twice, x->fins[id] > 1, "stream %u: ends twice, cut after %llu", id, (unsigned long long)cut_after);
	}
	settle();
	clear(&A);
	clear(&G);
	session_free(A.s);
	session_free(G.s);
	total.runs++;
	return passed;
}

int main(int argc, char **argv)
{
	uint32_t seed = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1;
	uint64_t every = argc > 2 ? strtoull(argv[2], NULL, 10) : 1, whole;

	state = seed;
	for (uint32_t id = 2; id < IDS; id++)
		goal[id] = 40 + roll(160) * id;
	whole = converse(UINT64_MAX, 0);
	for (uint64_t at = 0; at < whole; at += every)
		for (unsigned variant = 0; variant < VARIANTS; variant++)
			converse(at, variant);
	printf("{\"whole\": %llu, \"runs\": %llu, \"cuts\": %llu, \"bytes\": %llu, \"lost\": %llu, \"repeated\": %llu, "
	       "\"wrong_codes\": %llu, \"twice\": %llu, \"hangs\": %llu, \"other\": %llu}\n", (unsigned long long)whole,
	       (unsigned long long)total.runs, (unsigned long long)total.cuts, (unsigned long long)total.bytes,
	       (unsigned long long)total.lost, (unsigned long long)total.repeated, (unsigned long long)total.wrong_codes,
	       (unsigned long long)total.twice, (unsigned long long)total.hangs, (unsigned long long)total.other);
	return 0;
}
