/* How windows grow (R4): two sessions with a long way between them, in simulated time. Nothing here
 * depends on how fast the machine is. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "base/pack.h"
#include "session.h"

#define ONE_WAY_MS 50
#define MIB (1024 * 1024)
#define FLIGHT_MAX 65536

struct flight {
	uint8_t *p;
	size_t n;
	uint64_t at_ms;
};

struct side {
	struct session *s;
	struct flight *out;       /* on the way to the other side */
	size_t head, tail;
	uint64_t free_us;         /* when what is on the line already has left it */
	uint64_t taken;
	uint64_t appetite;        /* bytes its application takes, in all */
	uint32_t only;            /* of this stream; 0: of any */
};

static struct side A, G;
static struct tunnel_budget agent_budget, gateway_budget;
static uint64_t now;
static uint64_t width;            /* bytes a millisecond from the agent to the gateway; 0: any number */
static const uint8_t gateway_id[BOOT_ID_LEN] = { 7 };

static size_t on_data(void *ctx, struct stream *st, const uint8_t *p, size_t n)
{
	struct side *x = ctx;
	size_t take = x->only && stream_id(st) != x->only ? 0 : n < x->appetite ? n : (size_t)x->appetite;

	x->taken += take;
	x->appetite -= take;
	return take;
}

static void on_stream(void *ctx, struct stream *st) {}
static void on_reset(void *ctx, struct stream *st, uint32_t code) { cr_assert_fail("reset %u", code); }
static void on_control(void *ctx, const struct control *c) {}
static void on_wake(void *ctx) {}
static uint64_t now_us(void *ctx) { return now * 1000; }

static const struct session_ops ops = {
	.on_data = on_data, .on_fin = on_stream, .on_reset = on_reset, .on_writable = on_stream,
	.on_control = on_control, .on_wake = on_wake, .now_us = now_us,
};

static void say(struct side *x)
{
	struct frame_out f;

	while (session_next_frame(x->s, &f, now)) {
		struct flight *l = &x->out[x->tail++ % FLIGHT_MAX];

		cr_assert_leq(x->tail - x->head, FLIGHT_MAX);
		l->n = f.head_len + f.body_len;
		l->p = xmalloc(l->n);
		if (x->free_us < now * 1000)
			x->free_us = now * 1000;
		if (x == &A && width)
			x->free_us += l->n * 1000 / width;
		l->at_ms = x->free_us / 1000 + ONE_WAY_MS;
		memcpy(l->p, f.head, f.head_len);
		if (f.body_len)
			memcpy(l->p + f.head_len, f.body, f.body_len);
	}
}

static void hear(struct side *x, struct side *from)
{
	struct hello h;
	struct err err;

	while (from->head < from->tail && from->out[from->head % FLIGHT_MAX].at_ms <= now) {
		struct flight *l = &from->out[from->head++ % FLIGHT_MAX];

		if (x == &G && !session_link_up(G.s)) {
			cr_assert_eq(session_peek_hello(l->p, l->n, &h, &err), 0);
			cr_assert_eq(session_accept(G.s, &h, true, now, &err), 0);
			hello_release(&h);
		} else
			cr_assert_eq(session_receive(x->s, l->p, l->n, now, &err), 0, "%s", err.msg);
		free(l->p);
	}
}

/* The agent's process writes as much as it may, for so long. */
static void flow(struct stream *source, uint64_t ms)
{
	static const uint8_t bytes[64 * 1024];

	for (uint64_t end = now + ms; now < end; now++) {
		hear(&G, &A);
		hear(&A, &G);
		while (source && stream_space(source) > 0 && stream_write(source, bytes, sizeof(bytes)) > 0)
			;
		session_tick(A.s, now);
		session_tick(G.s, now);
		say(&A);
		say(&G);
	}
}

static void setup(void)
{
	uint8_t boot[BOOT_ID_LEN] = { 1 };
	struct hello h = { .link_no = 1, .window_in = STREAM_WINDOW_IN, .window_out = STREAM_WINDOW_OUT };

	now = 1000;
	width = 0;
	memset(&A, 0, sizeof(A));
	memset(&G, 0, sizeof(G));
	agent_budget = gateway_budget = (struct tunnel_budget){ .limit = 32 * MIB };
	A.s = session_new(SESSION_AGENT, boot, &ops, &A);
	G.s = session_new(SESSION_GATEWAY, gateway_id, &ops, &G);
	A.out = xcalloc(FLIGHT_MAX, sizeof(*A.out));
	G.out = xcalloc(FLIGHT_MAX, sizeof(*G.out));
	A.appetite = G.appetite = UINT64_MAX;
	h.container_id = xstrdup("c0ffee");
	session_hello(A.s, &h, now);
	hello_release(&h);
}

static void teardown(void)
{
	for (; A.head < A.tail; A.head++)
		free(A.out[A.head % FLIGHT_MAX].p);
	for (; G.head < G.tail; G.head++)
		free(G.out[G.head % FLIGHT_MAX].p);
	free(A.out);
	free(G.out);
	session_free(A.s);
	session_free(G.s);
	cr_assert_eq(agent_budget.used, 0);
	cr_assert_eq(gateway_budget.used, 0);
}

static struct stream *open_output(uint32_t channel)
{
	cr_assert(session_open(G.s, 2 * channel + 1, 0, STREAM_WINDOW_OUT));
	return session_open(A.s, 2 * channel + 1, 0, STREAM_WINDOW_OUT);
}

static void lend(void)
{
	session_set_budget(A.s, &agent_budget);
	session_set_budget(G.s, &gateway_budget);
}

TestSuite(window, .init = setup, .fini = teardown);

Test(window, grows_until_a_long_way_is_filled)
{
	struct stream *out = open_output(1);
	struct session_stats stats;

	lend();
	flow(out, 1500);
	G.taken = 0;
	flow(out, 1000);
	/* 8 MiB each 100 ms, within 10 %. */
	cr_assert_gt(G.taken, 75 * MIB, "%llu bytes in a second", (unsigned long long)G.taken);
	cr_assert_leq(gateway_budget.used, STREAM_WINDOW_MAX);
	session_stats(G.s, &stats);
	cr_assert_eq(stats.window_bytes, gateway_budget.used);
	cr_assert_eq(stats.rtt_us, 2000 * ONE_WAY_MS);
}

Test(window, stays_small_for_a_destination_that_takes_little)
{
	struct stream *out = open_output(1);

	lend();
	G.appetite = 0;
	for (int i = 0; i < 100; i++) { /* 160 KiB a second */
		G.appetite += 16 * 1024;
		stream_resume(session_stream(G.s, 3));
		flow(out, 100);
	}
	cr_assert_eq(gateway_budget.used, 0);
	cr_assert_leq(stream_kept(session_stream(G.s, 3)), STREAM_WINDOW_OUT);
}

Test(window, without_a_budget_none_grows)
{
	struct stream *out = open_output(1);

	flow(out, 1000);
	G.taken = 0;
	flow(out, 1000);
	cr_assert_lt(G.taken, 11 * STREAM_WINDOW_OUT);
	cr_assert_gt(G.taken, 8 * STREAM_WINDOW_OUT);
}

Test(window, a_short_budget_refuses_and_all_go_on)
{
	struct stream *out[8];

	lend();
	gateway_budget.limit = 2 * MIB;
	for (uint32_t i = 0; i < 8; i++)
		out[i] = open_output(i + 1);
	for (int round = 0; round < 2000; round++)
		for (int i = 0; i < 8; i++) {
			now -= i > 0; /* all in the same millisecond */
			flow(out[i], 1);
		}
	cr_assert_leq(gateway_budget.used, gateway_budget.limit);
	cr_assert_gt(gateway_budget.refused, 0);
	for (int i = 0; i < 8; i++)
		cr_assert_gt(stream_acked(out[i]), 10 * STREAM_WINDOW_OUT);
}

Test(window, the_senders_budget_counts_too)
{
	struct stream *out = open_output(1);
	struct session_stats stats;

	lend();
	agent_budget.limit = MIB;
	for (int i = 0; i < 2000; i++) {
		flow(out, 1);
		session_stats(A.s, &stats);
		cr_assert_leq(stats.replay_bytes, STREAM_WINDOW_OUT + MIB);
	}
	cr_assert_gt(agent_budget.refused, 0);
}

Test(window, a_stream_that_rests_gives_back_what_it_was_lent)
{
	struct stream *out = open_output(1);
	static const uint8_t byte;

	lend();
	flow(out, 1500);
	cr_assert_gt(gateway_budget.used, 4 * MIB);
	flow(NULL, 30000);
	cr_assert_eq(agent_budget.used, 0);
	/* What was granted stays granted: it comes back as it is used up, slowly. */
	for (int i = 0; i < 9000; i++) {
		for (int k = 0; k < 1024; k++)
			stream_write(out, &byte, 1);
		flow(NULL, 20);
	}
	cr_assert_leq(gateway_budget.used, 2 * STREAM_WINDOW_OUT);
}

Test(window, a_restored_session_is_lent_what_it_had_and_no_more)
{
	struct stream *out = open_output(1);
	struct unpack u;
	struct pack p;
	size_t lent;

	lend();
	flow(out, 1500);
	session_link_down(G.s);
	lent = gateway_budget.used;
	cr_assert_gt(lent, 0);
	pack_init(&p);
	session_save(G.s, &p);
	session_free(G.s);
	cr_assert_eq(gateway_budget.used, 0);
	u = (struct unpack){ .at = buf_head(&p.bytes), .left = p.bytes.len };
	G.s = session_restore(&ops, &G, now, &u);
	pack_release(&p);
	cr_assert_not_null(G.s);
	session_set_budget(G.s, &gateway_budget);
	cr_assert_eq(gateway_budget.used, lent); /* and teardown sees that all of it comes back */
}

Test(window, a_closed_stream_gives_back_what_it_was_lent)
{
	struct stream *out = open_output(1);

	lend();
	flow(out, 1500);
	cr_assert_gt(gateway_budget.used, 0);
	cr_assert_gt(agent_budget.used, 0);
	stream_fin(out);
	flow(NULL, 1000);
	cr_assert(stream_fin_acked(out));
	stream_close(out);
	stream_close(session_stream(G.s, 3));
	cr_assert_eq(gateway_budget.used, 0);
	cr_assert_eq(agent_budget.used, 0);
}

/* ---- what is under way ------------------------------------------------------------------------ */

#define BULK 16

/* Sixteen streams that pour out over a line of 20 MB/s, the gateway reading them all. */
static void pour(struct stream *bulk[BULK], uint64_t ms)
{
	for (uint64_t end = now + ms; now < end;)
		for (int i = 0; i < BULK; i++) {
			now -= i > 0; /* all in the same millisecond */
			flow(bulk[i], 1);
		}
}

static uint64_t on_the_line(void)
{
	uint64_t bytes = 0;

	for (size_t i = A.head; i < A.tail; i++)
		bytes += A.out[i % FLIGHT_MAX].n;
	return bytes;
}

static void open_bulk(struct stream *bulk[BULK])
{
	for (uint32_t i = 0; i < BULK; i++)
		bulk[i] = open_output(i + 10);
	lend();
	width = 20000;
}

Test(window, no_more_is_under_way_than_the_line_holds)
{
	struct stream *bulk[BULK];

	open_bulk(bulk);
	pour(bulk, 3000);
	G.taken = 0;
	for (int i = 0; i < 10; i++) {
		pour(bulk, 200);
		/* The line holds 2 MB there and back; the windows are 4 MiB together, and would grow. */
		cr_assert_leq(on_the_line(), 3 * 20000 * 2 * ONE_WAY_MS, "%llu bytes", (unsigned long long)on_the_line());
	}
	cr_assert_gt(G.taken, 2000 * 19000, "%llu bytes in two seconds", (unsigned long long)G.taken);
}

Test(window, a_word_beside_bulk_does_not_wait_for_it)
{
	struct stream *bulk[BULK], *word = open_output(1);
	uint64_t asked, worst = 0;

	open_bulk(bulk);
	pour(bulk, 3000);
	for (int i = 0; i < 20; i++) {
		cr_assert_eq(stream_write(word, "x", 1), 1);
		for (asked = now; stream_delivered(session_stream(G.s, 3)) < stream_written(word); )
			pour(bulk, 1);
		if (i > 5 && now - asked > worst)
			worst = now - asked;
		pour(bulk, 100);
	}
	/* Half of what the line holds is in the way at most, once it is known that somebody speaks. */
	cr_assert_leq(worst, 2 * ONE_WAY_MS + ONE_WAY_MS, "%llu ms", (unsigned long long)worst);
}

/* Then no ACK tells that the line is free: it has to be asked. */
Test(window, streams_nobody_reads_do_not_hold_the_others)
{
	struct stream *bulk[BULK], *read = open_output(1);
	uint64_t before;

	open_bulk(bulk);
	width = 5000;
	flow(read, 1000);
	flow(NULL, 2 * ONE_WAY_MS);
	G.only = 3;
	pour(bulk, 90);
	before = G.taken;
	flow(read, 3000);
	cr_assert_gt(G.taken - before, 1000 * 5000, "%llu bytes in three seconds", (unsigned long long)(G.taken - before));
}
