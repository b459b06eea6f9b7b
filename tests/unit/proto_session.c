/* The session machine: two of them face to face, joined by a wire that can be cut anywhere.
 * Stream contents are a function of stream and offset, so every byte is checked as it arrives. */
#include <assert.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/token.h"
#include "session.h"

#define IDS 256

/* ---- an application on either side, and the wire ----------------------------------------------- */

struct frame_copy {
	uint8_t *p;
	size_t n;
};

struct wire {
	struct frame_copy *v;
	size_t head, tail, cap;
};

struct side {
	struct session *s;
	enum session_role role;
	struct wire out;
	struct {
		uint64_t offset;      /* taken so far */
		uint64_t appetite;    /* may take up to this offset */
		unsigned fins, resets, writables;
		uint32_t reset_code;
	} got[IDS];
	char log[8192];               /* control messages, in words */
	size_t log_len;
	unsigned wakes;
	bool close_on_fin;
	bool opens;                   /* an EXEC opens its streams */
	bool sequenced;               /* signals and pids count up; the log stays empty */
	uint32_t next_expected, next_sent;
};

static struct side A, G; /* agent, gateway */
static uint8_t gateway_id[BOOT_ID_LEN];
static uint64_t now, link_no;
static struct err last_error;

static uint8_t pattern(uint32_t id, uint64_t offset)
{
	return (uint8_t)((offset * 2654435761u >> 11) + id * 101);
}

static size_t on_data(void *ctx, struct stream *st, const uint8_t *p, size_t n)
{
	struct side *x = ctx;
	uint32_t id = stream_id(st);
	uint64_t at = x->got[id].offset;
	uint64_t may = x->got[id].appetite > at ? x->got[id].appetite - at : 0;
	size_t take = n < may ? n : (size_t)may;

	cr_assert_eq(at, stream_delivered(st));
	for (size_t i = 0; i < take; i++)
		cr_assert_eq(p[i], pattern(id, at + i), "stream %u, offset %zu", id, (size_t)at + i);
	x->got[id].offset += take;
	return take;
}

static void on_fin(void *ctx, struct stream *st)
{
	struct side *x = ctx;

	x->got[stream_id(st)].fins++;
	if (x->close_on_fin)
		stream_close(st);
}

static void on_reset(void *ctx, struct stream *st, uint32_t code)
{
	struct side *x = ctx;

	x->got[stream_id(st)].resets++;
	x->got[stream_id(st)].reset_code = code;
}

static void on_writable(void *ctx, struct stream *st)
{
	((struct side *)ctx)->got[stream_id(st)].writables++;
}

static void on_control(void *ctx, const struct control *c)
{
	static const char *const names[] = { "hello", "welcome", "ping", "pong", "goaway", "migrating", "exec",
					     "started", "exit", "exit_ack", "signal", "resize" };
	struct side *x = ctx;
	int more = 0;

	if (x->sequenced) { /* exactly once, in order */
		uint32_t no = c->type == CONTROL_SIGNAL ? (uint32_t)c->signal.number : c->started.pid;

		cr_assert_eq(no, x->next_expected % 64 + 1);
		x->next_expected++;
		return;
	}
	if (c->type == CONTROL_EXEC && x->opens) {
		session_open(x->s, 2 * c->channel, 0, 65536);
		session_open(x->s, 2 * c->channel + 1, 0, 65536);
	}
	if (c->type == CONTROL_SIGNAL)
		more = c->signal.number;
	if (c->type == CONTROL_RESIZE)
		more = c->resize.rows;
	if (c->type == CONTROL_EXIT)
		more = c->exit.status.code;
	x->log_len += (size_t)snprintf(x->log + x->log_len, sizeof(x->log) - x->log_len, "%s%s %u %d",
				       x->log_len ? ", " : "", names[c->type], c->channel, more);
	assert(x->log_len < sizeof(x->log));
}

static void on_wake(void *ctx)
{
	((struct side *)ctx)->wakes++;
}

static const struct session_ops ops = {
	.on_data = on_data,
	.on_fin = on_fin,
	.on_reset = on_reset,
	.on_writable = on_writable,
	.on_control = on_control,
	.on_wake = on_wake,
};

static void side_init(struct side *x, enum session_role role, const uint8_t id[BOOT_ID_LEN])
{
	memset(x, 0, sizeof(*x));
	x->role = role;
	for (int i = 0; i < IDS; i++)
		x->got[i].appetite = UINT64_MAX;
	x->s = session_new(role, id, &ops, x);
}

static void wire_clear(struct wire *w)
{
	while (w->head < w->tail)
		free(w->v[w->head++].p);
	w->head = w->tail = 0;
}

static void wire_put(struct wire *w, const struct frame_out *f)
{
	struct frame_copy *c;

	if (w->tail == w->cap)
		w->v = xrealloc(w->v, (w->cap = w->cap ? 2 * w->cap : 64) * sizeof(*w->v));
	c = &w->v[w->tail++];
	c->n = f->head_len + f->body_len;
	c->p = xmalloc(c->n + 1);
	memcpy(c->p, f->head, f->head_len);
	if (f->body_len)
		memcpy(c->p + f->head_len, f->body, f->body_len);
}

/* Everything the side has to say now goes onto its wire; returns how many frames. */
static size_t say(struct side *x)
{
	struct frame_out f;
	size_t n = 0;

	while (session_next_frame(x->s, &f, now)) {
		wire_put(&x->out, &f);
		n++;
	}
	return n;
}

static int hear(struct side *x, const uint8_t *p, size_t n)
{
	return session_receive(x->s, p, n, now, &last_error);
}

static struct hello hello_for(const struct side *x)
{
	struct hello h = { .link_no = ++link_no, .window_in = 64 * 1024, .window_out = 256 * 1024 };

	h.container_id = xstrdup("c0ffee");
	return h;
}

static void cut(void)
{
	session_link_down(A.s);
	session_link_down(G.s);
	wire_clear(&A.out);
	wire_clear(&G.out);
}

/* Agent's first frame reaches the gateway, which accepts. */
static void greet(bool new_session)
{
	struct hello h = hello_for(&A), heard;
	struct frame_out f;
	int rc;

	cut();
	session_hello(A.s, &h, now);
	hello_release(&h);
	cr_assert(session_next_frame(A.s, &f, now));
	wire_put(&A.out, &f);
	cr_assert_not(session_next_frame(A.s, &f, now), "nothing may follow HELLO");
	cr_assert_eq(session_peek_hello(A.out.v[0].p, A.out.v[0].n, &heard, &last_error), 0);
	wire_clear(&A.out);
	rc = session_accept(G.s, &heard, new_session, now, &last_error);
	hello_release(&heard);
	cr_assert_eq(rc, 0, "%s", last_error.msg);
}

/* Both sides talk until neither has anything to say. */
static void settle(void)
{
	do {
		say(&A);
		say(&G);
		while (A.out.head < A.out.tail) {
			struct frame_copy f = A.out.v[A.out.head++];

			cr_assert_eq(hear(&G, f.p, f.n), 0, "%s", last_error.msg);
			free(f.p);
		}
		while (G.out.head < G.out.tail) {
			struct frame_copy f = G.out.v[G.out.head++];

			cr_assert_eq(hear(&A, f.p, f.n), 0, "%s", last_error.msg);
			free(f.p);
		}
		wire_clear(&A.out);
		wire_clear(&G.out);
	} while (say(&A) + say(&G) > 0);
}

static void quiet(void)
{
	settle();
	now += 30;
	session_tick(A.s, now);
	session_tick(G.s, now);
	settle();
}

static void connect_new(void)
{
	greet(true);
	settle();
}

static void resume(void)
{
	greet(false);
	settle();
}

static void setup(void)
{
	uint8_t boot[BOOT_ID_LEN] = { 1 };

	now = 1000;
	link_no = 0;
	memset(gateway_id, 7, sizeof(gateway_id));
	side_init(&A, SESSION_AGENT, boot);
	side_init(&G, SESSION_GATEWAY, gateway_id);
}

static void teardown(void)
{
	cut();
	session_free(A.s);
	session_free(G.s);
	free(A.out.v);
	free(G.out.v);
}

/* Stream 3: the main process's output; stream 2: its stdin. */
static struct stream *out_a, *out_g, *in_a, *in_g;

static void open_pair(uint32_t channel, size_t window)
{
	in_a = session_open(A.s, 2 * channel, 0, window);
	in_g = session_open(G.s, 2 * channel, 0, window);
	out_a = session_open(A.s, 2 * channel + 1, 0, window);
	out_g = session_open(G.s, 2 * channel + 1, 0, window);
	cr_assert(in_a && in_g && out_a && out_g);
}

static void setup_pair(void)
{
	setup();
	open_pair(1, 256 * 1024);
	connect_new();
}

/* Appends up to n of the stream's own bytes; how many were taken. */
static size_t put(struct stream *st, size_t n)
{
	uint64_t at = stream_written(st);
	uint8_t chunk[4096];
	size_t done = 0, took;

	while (done < n) {
		size_t want = n - done < sizeof(chunk) ? n - done : sizeof(chunk);

		for (size_t i = 0; i < want; i++)
			chunk[i] = pattern(stream_id(st), at + done + i);
		took = stream_write(st, chunk, want);
		done += took;
		if (took < want)
			break;
	}
	return done;
}

static void control(struct side *x, enum control_type type, uint32_t channel, int value)
{
	struct control c = { .type = type, .channel = channel };

	if (type == CONTROL_SIGNAL)
		c.signal.number = value;
	if (type == CONTROL_STARTED)
		c.started.pid = (uint32_t)value;
	if (type == CONTROL_RESIZE)
		c.resize.rows = (uint16_t)value;
	if (type == CONTROL_EXIT)
		c.exit.status.code = value;
	if (type == CONTROL_EXEC) {
		c.exec.exec_id = (char *)"e";
		strv_add(&c.exec.argv, "true");
	}
	cr_assert_eq(session_send(x->s, &c, &last_error), 0, "%s", last_error.msg);
	if (type == CONTROL_EXEC)
		strv_release(&c.exec.argv);
}

/* ---- frames by hand ---------------------------------------------------------------------------- */

static size_t varint(uint8_t *p, uint64_t v)
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		p[n++] = (uint8_t)(v | 0x80);
	p[n++] = (uint8_t)v;
	return n;
}

enum { DATA = 1, ACK = 2, FIN = 3, RESET = 4, CONTROL = 5 };

/* type, stream, then the numbers given until NOTHING64. */
#define NOTHING64 UINT64_MAX
static int hear_numbers(struct side *x, uint8_t type, uint32_t id, uint64_t a, uint64_t b)
{
	uint8_t f[64];
	size_t n = 1;

	f[0] = type;
	n += varint(f + n, id);
	n += varint(f + n, a);
	if (b != NOTHING64)
		n += varint(f + n, b);
	return hear(x, f, n);
}

static int hear_data(struct side *x, uint32_t id, uint64_t offset, size_t n_bytes)
{
	uint8_t *f = xmalloc(FRAME_MAX + 64);
	size_t n = 1;
	int rc;

	f[0] = DATA;
	n += varint(f + n, id);
	n += varint(f + n, offset);
	for (size_t i = 0; i < n_bytes; i++)
		f[n++] = pattern(id, offset + i);
	rc = hear(x, f, n);
	free(f);
	return rc;
}

/* What the side's next frame is: its type and stream; type 0 = none. */
struct seen {
	int type;
	uint32_t id;
	uint64_t a, b;
	size_t body;
};
static struct seen next_of(struct side *x)
{
	struct frame_out f;
	struct seen seen = { 0 };
	uint64_t v[3] = { 0 };
	size_t at = 1;

	if (!session_next_frame(x->s, &f, now))
		return seen;
	seen.type = f.head[0];
	seen.body = f.body_len;
	if (seen.type == CONTROL)
		return seen;
	for (int i = 0; i < 3 && at < f.head_len; i++)
		for (int shift = 0;; shift += 7) {
			v[i] |= (uint64_t)(f.head[at] & 0x7f) << shift;
			if (!(f.head[at++] & 0x80))
				break;
		}
	seen.id = (uint32_t)v[0];
	seen.a = v[1];
	seen.b = v[2];
	return seen;
}

/* ---- handshake --------------------------------------------------------------------------------- */

TestSuite(session, .init = setup, .fini = teardown);
TestSuite(pair, .init = setup_pair, .fini = teardown);

Test(session, comes_up_by_hello_and_welcome)
{
	uint32_t after;

	cr_assert_eq(session_verdict(A.s, &after), -1);
	cr_assert_not(session_link_up(A.s));
	greet(true);
	cr_assert(session_link_up(G.s));
	cr_assert_not(session_link_up(A.s));
	settle();
	cr_assert(session_link_up(A.s));
	cr_assert_eq(session_verdict(A.s, &after), WELCOME_NEW);
	cut();
	resume();
	cr_assert_eq(session_verdict(A.s, &after), WELCOME_RESUMED);
}

Test(session, takes_nothing_before_the_welcome)
{
	struct hello h = hello_for(&A);

	cr_assert_eq(hear_data(&A, 2, 0, 1), -1);
	session_hello(A.s, &h, now);
	hello_release(&h);
	cr_assert_eq(hear_data(&A, 2, 0, 1), -1);
	cr_assert_eq(hear_numbers(&A, ACK, 3, 0, 100), -1);
}

Test(pair, carries_bytes_both_ways_and_the_ends)
{
	cr_assert_eq(put(out_a, 100000), 100000);
	cr_assert_eq(put(in_g, 5000), 5000);
	stream_fin(out_a);
	stream_fin(in_g);
	quiet();
	cr_assert_eq(G.got[3].offset, 100000);
	cr_assert_eq(A.got[2].offset, 5000);
	cr_assert_eq(G.got[3].fins, 1);
	cr_assert_eq(A.got[2].fins, 1);
	cr_assert(stream_fin_acked(out_a));
	cr_assert(stream_fin_acked(in_g));
	cr_assert_eq(stream_acked(out_a), 100000);
}

Test(pair, control_messages_arrive_in_order)
{
	control(&G, CONTROL_EXEC, 2, 0);
	control(&G, CONTROL_SIGNAL, 2, 15);
	control(&G, CONTROL_SIGNAL, 2, 15);
	control(&A, CONTROL_STARTED, 2, 0);
	control(&A, CONTROL_EXIT, 2, 42);
	quiet();
	cr_assert_str_eq(A.log, "exec 2 0, signal 2 15, signal 2 15");
	cr_assert_str_eq(G.log, "started 2 0, exit 2 42");
}

/* ---- order of sending -------------------------------------------------------------------------- */

static struct seen next_but_not(struct side *x, int type)
{
	struct seen f;

	do
		f = next_of(x);
	while (f.type == type);
	return f;
}

Test(pair, ping_ack_and_control_leave_before_data)
{
	put(out_a, 200000);
	control(&A, CONTROL_STARTED, 1, 0);
	cr_assert_eq(hear_data(&A, 2, 0, 60000), 0); /* more than half of the window: acknowledged at once */
	now += 5000;
	session_tick(A.s, now);
	cr_assert_eq(next_of(&A).type, CONTROL);
	cr_assert_eq(next_of(&A).type, ACK);
	struct seen f = next_of(&A);
	cr_assert_eq(f.type, DATA);
	cr_assert_eq(f.id, 1);
	f = next_of(&A);
	cr_assert_eq(f.type, DATA);
	cr_assert_eq(f.id, 3);
}

Test(pair, small_stream_does_not_wait_behind_bulk)
{
	struct stream *small, *bulk[3] = { out_a };

	for (uint32_t i = 1; i < 3; i++)
		bulk[i] = session_open(A.s, 3 + 2 * i, 0, 256 * 1024);
	for (int i = 0; i < 3; i++)
		put(bulk[i], 256 * 1024);
	small = session_open(A.s, 15, 0, 65536);
	for (int i = 0; i < 4; i++)
		cr_assert_neq(next_of(&A).id, 15);
	put(small, 10);
	cr_assert_eq(next_of(&A).id, 15);
	cr_assert_neq(next_of(&A).id, 15);
}

Test(pair, many_small_pieces_do_not_starve_the_bulk)
{
	struct stream *busy = session_open(A.s, 15, 0, 8 << 20);
	size_t bulk = 0, pieces = 0;

	put(out_a, 256 * 1024);
	while (bulk == 0 && pieces < 100) {
		struct seen f;

		put(busy, 1000);
		f = next_of(&A);
		if (f.id == 3)
			bulk += f.body;
		else
			pieces++;
	}
	cr_assert_gt(bulk, 0, "a stream that is never empty is not a small one");
}

Test(pair, interactive_stream_goes_first)
{
	struct stream *tty;

	put(out_a, 256 * 1024);
	tty = session_open(A.s, 5, 0, 65536);
	stream_set_bulk(tty, false);
	for (int i = 0; i < 3; i++) {
		put(tty, 10);
		cr_assert_eq(next_of(&A).id, 5);
		cr_assert_eq(next_of(&A).id, 3);
	}
}

Test(pair, bulk_streams_share_evenly)
{
	uint64_t sent[IDS] = { 0 };

	for (uint32_t id = 3; id <= 9; id += 2) {
		struct stream *st = id == 3 ? out_a : session_open(A.s, id, 0, 8 << 20);

		session_open(G.s, id, 0, 8 << 20);
		put(st, 256 * 1024);
	}
	for (int i = 0; i < 12; i++) {
		struct seen f = next_but_not(&A, ACK);

		cr_assert_eq(f.type, DATA);
		sent[f.id] += f.body;
	}
	for (uint32_t id = 3; id <= 9; id += 2)
		cr_assert(sent[id] >= 90000 && sent[id] <= 256 * 1024, "stream %u sent %zu", id, (size_t)sent[id]);
}

Test(pair, no_frame_is_longer_than_the_limit)
{
	struct frame_out f;

	put(out_a, 256 * 1024);
	stream_fin(out_a);
	while (session_next_frame(A.s, &f, now))
		cr_assert(f.head_len + f.body_len <= FRAME_MAX);
}

/* ---- window ------------------------------------------------------------------------------------ */

Test(pair, window_zero_stops_the_sender_and_opens_again)
{
	G.got[3].appetite = 1000;
	cr_assert_eq(put(out_a, 1 << 20), 256 * 1024, "never more than the window");
	cr_assert_eq(stream_space(out_a), 0);
	quiet();
	cr_assert_eq(G.got[3].offset, 1000);
	cr_assert_eq(stream_kept(out_g), 256 * 1024 - 1000);
	cr_assert_eq(stream_acked(out_a), 1000);
	cr_assert_eq(A.got[3].writables, 1);
	cr_assert_eq(put(out_a, 1 << 20), 1000);
	quiet();
	cr_assert_eq(stream_kept(out_g), 256 * 1024, "what is kept never passes the window");
	G.got[3].appetite = UINT64_MAX;
	stream_resume(out_g);
	quiet();
	cr_assert_eq(stream_kept(out_g), 0);
	cr_assert_eq(stream_space(out_a), 256 * 1024);
	cr_assert_eq(A.got[3].writables, 2);
}

Test(pair, credit_is_renewed_before_the_sender_runs_dry)
{
	/* Delivered at once, acknowledged at half a window without waiting for a tick. */
	struct stream *small_g = session_open(G.s, 4, 0, 32 * 1024);
	struct seen f;

	session_open(A.s, 4, 0, 32 * 1024);
	put(small_g, 32 * 1024);
	settle();
	cr_assert_eq(stream_acked(small_g), 32 * 1024);
	cr_assert_eq(hear_data(&A, 4, 32 * 1024, 100), 0);
	f = next_of(&A);
	cr_assert_eq(f.type, 0, "a hundred bytes are not worth a frame of their own");
}

Test(pair, late_acknowledgement_rides_with_data)
{
	cr_assert_eq(hear_data(&A, 2, 0, 10), 0);
	cr_assert_eq(next_of(&A).type, 0);
	put(out_a, 1);
	struct seen f = next_of(&A);
	cr_assert_eq(f.type, ACK);
	cr_assert_eq(f.id, 2);
	cr_assert_eq(f.a, 10);
	cr_assert_eq(next_of(&A).type, DATA);
}

Test(pair, late_acknowledgement_leaves_after_25_ms)
{
	cr_assert_eq(hear_data(&A, 2, 0, 10), 0);
	cr_assert_leq(session_tick(A.s, now), now + 25);
	now += 24;
	session_tick(A.s, now);
	cr_assert_eq(next_of(&A).type, 0);
	now += 1;
	session_tick(A.s, now);
	cr_assert_eq(next_of(&A).type, ACK);
}

Test(pair, credit_is_absolute_and_never_revoked)
{
	struct seen f;

	G.got[3].appetite = 0;
	put(out_a, 256 * 1024);
	settle();
	cr_assert_eq(hear_numbers(&A, ACK, 3, 5000, 300000), 0);
	cr_assert_eq(hear_numbers(&A, ACK, 3, 5000, 300000), 0, "twice is once");
	cr_assert_eq(hear_numbers(&A, ACK, 3, 4000, 1000), 0, "an older one changes nothing");
	cr_assert_eq(stream_acked(out_a), 5000);
	cr_assert_eq(put(out_a, 100000), 5000);
	f = next_of(&A);
	cr_assert_eq(f.type, DATA);
	cr_assert_eq(f.a, 256 * 1024);
	cr_assert_eq(f.body, 5000);
}

Test(pair, acknowledging_unsent_bytes_is_an_error)
{
	put(out_a, 10);
	cr_assert_eq(hear_numbers(&A, ACK, 3, 1, 100000), -1);
	settle();
	cr_assert_eq(hear_numbers(&A, ACK, 3, 11, 100000), -1, "that would be the FIN");
	stream_fin(out_a);
	next_of(&A);
	cr_assert_eq(hear_numbers(&A, ACK, 3, 11, 100000), 0);
	cr_assert(stream_fin_acked(out_a));
}

Test(pair, reserve_and_commit_fill_the_ring_to_its_end)
{
	uint64_t total = 0;

	while (total < 3 * 256 * 1024) {
		size_t n;
		uint8_t *p = stream_reserve(out_a, 10007, &n);

		if (!p) {
			settle();
			continue;
		}
		cr_assert(n > 0 && n <= 10007);
		for (size_t i = 0; i < n; i++)
			p[i] = pattern(3, total + i);
		stream_commit(out_a, n);
		total += n;
	}
	quiet();
	cr_assert_eq(G.got[3].offset, total);
}

/* ---- what a peer may and may not send ------------------------------------------------------------ */

Test(pair, duplicates_and_overlaps_are_cut_silently)
{
	struct session_stats stats;

	cr_assert_eq(hear_data(&G, 3, 0, 100), 0);
	cr_assert_eq(hear_data(&G, 3, 0, 100), 0);
	cr_assert_eq(hear_data(&G, 3, 50, 10), 0);
	cr_assert_eq(hear_data(&G, 3, 90, 20), 0);
	cr_assert_eq(G.got[3].offset, 110);
	session_stats(G.s, &stats);
	cr_assert_eq(stats.duplicate_bytes, 100 + 10 + 10);
	cr_assert_eq(stats.bytes_in, 230);
}

Test(pair, gap_ends_the_link)
{
	cr_assert_eq(hear_data(&G, 3, 0, 100), 0);
	cr_assert_eq(hear_data(&G, 3, 101, 1), -1);
	cr_assert(strstr(last_error.msg, "gap"));
	cr_assert_eq(G.got[3].offset, 100);
}

Test(pair, exceeding_credit_resets_that_stream_only)
{
	struct stream *five = session_open(G.s, 5, 0, 1000); /* the floor is what HELLO granted */
	struct seen f;

	cr_assert_not_null(five);
	quiet();
	G.got[5].appetite = 0;
	for (uint64_t at = 0; at < 256 * 1024; at += 32 * 1024)
		cr_assert_eq(hear_data(&G, 5, at, 32 * 1024), 0);
	cr_assert_eq(G.got[5].resets, 0);
	cr_assert_eq(stream_kept(five), 256 * 1024);
	cr_assert_eq(hear_data(&G, 5, 256 * 1024, 1), 0);
	cr_assert_eq(G.got[5].resets, 1);
	cr_assert_eq(G.got[5].reset_code, RESET_FLOW_ERROR);
	f = next_of(&G);
	cr_assert_eq(f.type, RESET);
	cr_assert_eq(f.id, 5);
	cr_assert_eq(f.a, RESET_FLOW_ERROR);
	cr_assert_eq(stream_kept(five), 0);
	cr_assert_eq(hear_data(&G, 3, 0, 100), 0);
	cr_assert_eq(G.got[3].offset, 100);
}

Test(pair, fin_stands_where_the_bytes_end)
{
	cr_assert_eq(hear_data(&G, 3, 0, 100), 0);
	cr_assert_eq(hear_numbers(&G, FIN, 3, 101, NOTHING64), -1);
	cr_assert_eq(hear_numbers(&G, FIN, 3, 99, NOTHING64), -1);
	cr_assert_eq(hear_numbers(&G, FIN, 3, 100, NOTHING64), 0);
	cr_assert_eq(hear_numbers(&G, FIN, 3, 100, NOTHING64), 0);
	cr_assert_eq(G.got[3].fins, 1);
	cr_assert_eq(hear_data(&G, 3, 0, 100), 0, "a repeat is no news");
	cr_assert_eq(hear_data(&G, 3, 100, 1), -1);
}

Test(pair, fin_waits_for_the_kept_bytes)
{
	G.got[3].appetite = 50;
	put(out_a, 100);
	stream_fin(out_a);
	quiet();
	cr_assert_eq(G.got[3].fins, 0);
	cr_assert(stream_fin_received(out_g));
	cr_assert_not(stream_fin_acked(out_a));
	G.got[3].appetite = 100;
	stream_resume(out_g);
	settle(); /* no tick: the end is acknowledged at once */
	cr_assert_eq(G.got[3].fins, 1);
	cr_assert(stream_fin_acked(out_a));
}

Test(pair, frames_that_are_not_frames_are_refused)
{
	static const struct {
		const char *what;
		uint8_t bytes[16];
		size_t n;
	} bad[] = {
		{ "nothing", { 0 }, 0 },
		{ "type 0", { 0, 3, 0, 1 }, 4 },
		{ "type 6", { 6, 3, 0, 1 }, 4 },
		{ "data without a payload", { DATA, 3, 0 }, 3 },
		{ "data without an offset", { DATA, 3 }, 2 },
		{ "a number that does not end", { DATA, 3, 0x80 }, 3 },
		{ "a number in a longer form than needed", { DATA, 3, 0x80, 0, 1 }, 5 },
		{ "a stream id beyond 32 bits", { DATA, 0xff, 0xff, 0xff, 0xff, 0x1f, 0, 1 }, 8 },
		{ "an offset beyond 2^62",
		  { DATA, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1 }, 12 },
		{ "a number of ten bytes",
		  { DATA, 3, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 1 }, 13 },
		{ "bytes after an ACK", { ACK, 2, 0, 0, 0 }, 5 },
		{ "bytes after a FIN", { FIN, 3, 0, 0 }, 4 },
		{ "an empty link message", { CONTROL }, 1 },
		{ "a link message that is not protobuf", { CONTROL, 0xff, 0xff }, 3 },
		{ "data on a stream of the gateway's own", { DATA, 2, 0, 1 }, 4 },
		{ "the end of a control stream", { FIN, 1, 0 }, 3 },
		{ "a reset of a control stream", { RESET, 1, 1 }, 3 },
		{ "an acknowledgement for a stream we receive", { ACK, 3, 0, 0 }, 4 },
	};
	uint8_t *big = xcalloc(1, FRAME_MAX + 1);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(hear(&G, bad[i].bytes, bad[i].n), -1, "%s", bad[i].what);
	big[0] = DATA;
	big[1] = 3;
	cr_expect_eq(hear(&G, big, FRAME_MAX + 1), -1, "a frame beyond the limit");
	free(big);
	cr_assert_eq(G.got[3].offset, 0);
}

Test(pair, unknown_stream_is_answered)
{
	struct seen f;

	cr_assert_eq(hear_data(&G, 201, 0, 5), 0);
	f = next_of(&G);
	cr_assert_eq(f.type, RESET);
	cr_assert_eq(f.id, 201);
	cr_assert_eq(f.a, RESET_UNKNOWN_STREAM);
	cr_assert_eq(hear_numbers(&G, RESET, 201, RESET_CANCELLED, NOTHING64), 0);
	cr_assert_eq(hear_numbers(&G, ACK, 200, 0, 0), 0);
	cr_assert_eq(next_of(&G).type, 0);
}

Test(pair, strays_are_answered_in_bounded_memory)
{
	unsigned resets = 0;

	for (uint32_t id = 101; id < 100101; id += 2)
		cr_assert_eq(hear_data(&G, id, 0, 1), 0);
	for (struct seen f; (f = next_of(&G)).type; resets++)
		cr_assert_eq(f.type, RESET);
	cr_assert(resets > 0 && resets <= 64);
}

/* ---- giving up and closing ---------------------------------------------------------------------- */

Test(pair, reset_is_heard_once)
{
	put(out_a, 100000);
	stream_reset(out_a, RESET_CANCELLED);
	quiet();
	cr_assert_eq(G.got[3].resets, 1);
	cr_assert_eq(G.got[3].reset_code, RESET_CANCELLED);
	cr_assert_eq(A.got[3].resets, 0);
	cr_assert_eq(put(out_a, 1), 0);
	stream_close(out_a);
	stream_close(out_g);
	quiet();
	resume();
	cr_assert_eq(G.got[3].resets, 1);
}

Test(pair, receiver_that_closes_tells_the_sender)
{
	stream_close(out_g);
	quiet();
	cr_assert_eq(A.got[3].resets, 1);
	cr_assert_eq(A.got[3].reset_code, RESET_CANCELLED);
}

Test(pair, cancellation_survives_the_cut_that_swallowed_it)
{
	stream_close(out_g);
	say(&G);
	cut();
	cr_assert_eq(A.got[3].resets, 0);
	put(out_a, 100000);
	resume();
	cr_assert_eq(A.got[3].resets, 1);
	cr_assert_eq(A.got[3].reset_code, RESET_CANCELLED);
}

Test(pair, closed_sender_is_kept_until_all_is_acknowledged)
{
	struct session_stats stats;

	G.got[3].appetite = 10;
	put(out_a, 200000);
	stream_fin(out_a);
	stream_close(out_a);
	quiet();
	cr_assert_null(session_stream(A.s, 3));
	cut();
	resume();
	session_stats(A.s, &stats);
	cr_assert_eq(stats.replay_bytes, 200000 - 10);
	G.got[3].appetite = UINT64_MAX;
	stream_resume(out_g);
	quiet();
	cr_assert_eq(G.got[3].offset, 200000);
	cr_assert_eq(G.got[3].fins, 1);
	session_stats(A.s, &stats);
	cr_assert_eq(stats.replay_bytes, 0);
}

Test(pair, last_acknowledgement_lost_is_no_loss)
{
	G.close_on_fin = true;
	put(out_a, 1000);
	stream_fin(out_a);
	say(&A);
	while (A.out.head < A.out.tail) {
		struct frame_copy f = A.out.v[A.out.head++];

		cr_assert_eq(hear(&G, f.p, f.n), 0);
		free(f.p);
	}
	cr_assert_eq(G.got[3].fins, 1);
	say(&G);
	cut(); /* the gateway has closed the stream; the agent knows nothing of it */
	cr_assert_not(stream_fin_acked(out_a));
	resume();
	cr_assert(stream_fin_acked(out_a));
	cr_assert_eq(A.got[3].resets, 0);
}

Test(pair, closed_streams_are_forgotten_once_the_peer_must_know)
{
	struct session_stats stats;

	G.close_on_fin = true;
	for (uint32_t id = 11; id < 251; id += 2) {
		struct stream *st = session_open(A.s, id, 0, 65536);

		session_open(G.s, id, 0, 65536);
		put(st, 10);
		stream_fin(st);
		stream_close(st);
	}
	quiet();
	now += 5000;
	quiet();
	/* Nothing is left to list: both HELLO and WELCOME hold channels 0 and 1 only. */
	struct hello h = hello_for(&A);
	session_hello(A.s, &h, now);
	cr_assert_eq(h.n_streams, 4);
	hello_release(&h);
	session_stats(A.s, &stats);
	cr_assert_eq(stats.streams, 2);
}

Test(pair, stream_cancelled_before_its_exec_arrived_stays_cancelled)
{
	struct stream *g9;

	cut();
	control(&G, CONTROL_EXEC, 4, 0);
	g9 = session_open(G.s, 9, 0, 65536);
	stream_close(g9);
	greet(false);
	say(&G); /* EXEC precedes the RESET */
	while (G.out.head < G.out.tail) {
		struct frame_copy f = G.out.v[G.out.head++];

		cr_assert_eq(hear(&A, f.p, f.n), 0);
		if (A.log_len && !session_stream(A.s, 9))
			session_open(A.s, 9, 0, 65536);
		free(f.p);
	}
	quiet();
	cr_assert_eq(A.got[9].resets, 1);
}

Test(pair, input_written_behind_an_exec_that_was_lost_arrives)
{
	struct stream *in;

	A.opens = true;
	control(&G, CONTROL_EXEC, 4, 0);
	in = session_open(G.s, 8, 0, 65536);
	session_open(G.s, 9, 0, 65536);
	put(in, 1000);
	stream_fin(in);
	say(&G);
	resume(); /* HELLO does not know the stream; it must not count as sent */
	quiet();
	cr_assert_eq(A.got[8].offset, 1000);
	cr_assert_eq(A.got[8].fins, 1);
	cr_assert(stream_fin_acked(in));
}

Test(pair, answer_to_an_earlier_ping_proves_nothing)
{
	struct hello h;

	put(out_a, 10);
	quiet();
	now += 10;
	session_ask(G.s, now);
	say(&G);
	now += 10;
	stream_close(out_g); /* its RESET follows the ping, and is lost */
	say(&G);
	cr_assert_eq(G.out.tail, 2);
	cr_assert_eq(hear(&A, G.out.v[0].p, G.out.v[0].n), 0);
	say(&A);
	cr_assert_eq(A.out.tail, 1);
	cr_assert_eq(hear(&G, A.out.v[0].p, A.out.v[0].n), 0);
	h = hello_for(&A);
	session_hello(A.s, &h, now);
	hello_release(&h);
	resume();
	cr_assert_eq(A.got[3].reset_code, RESET_CANCELLED);
}

/* Callbacks that pull the rug: close the stream, open another, then look at the bytes. */
static bool not_yet;
static size_t on_data_closing(void *ctx, struct stream *st, const uint8_t *p, size_t n)
{
	struct side *x = ctx;
	uint32_t id = stream_id(st);

	if (not_yet)
		return 0;
	stream_close(st);
	for (size_t i = 0; i < n; i++)
		cr_assert_eq(p[i], pattern(id, x->got[id].offset + i));
	session_open(x->s, id + 2, 0, 65536);
	return n;
}

Test(session, stream_may_be_closed_in_its_own_callback)
{
	struct session_ops closing = ops;
	struct session_stats stats;

	session_free(G.s);
	closing.on_data = on_data_closing;
	G.s = session_new(SESSION_GATEWAY, gateway_id, &closing, &G);
	open_pair(1, 256 * 1024);
	connect_new();
	put(out_a, 100000);
	quiet();
	cr_assert_null(session_stream(G.s, 3));
	cr_assert_not_null(session_stream(G.s, 5));
	cr_assert_eq(A.got[3].resets, 1);
	session_stats(G.s, &stats);
	cr_assert_eq(stats.kept_bytes, 0);
	/* And with bytes that were kept. */
	not_yet = true;
	out_a = session_open(A.s, 5, 0, 256 * 1024);
	put(out_a, 100000);
	quiet();
	session_stats(G.s, &stats);
	cr_assert_eq(stats.kept_bytes, 100000);
	not_yet = false;
	stream_resume(session_stream(G.s, 5));
	session_stats(G.s, &stats);
	cr_assert_eq(stats.kept_bytes, 0);
	cr_assert_null(session_stream(G.s, 5));
}

/* ---- control ------------------------------------------------------------------------------------ */

Test(pair, latest_resize_wins_and_no_signal_is_lost)
{
	control(&G, CONTROL_RESIZE, 1, 10);
	control(&G, CONTROL_RESIZE, 1, 20);
	control(&G, CONTROL_SIGNAL, 1, 2);
	control(&G, CONTROL_RESIZE, 1, 30);
	control(&G, CONTROL_RESIZE, 2, 99);
	control(&G, CONTROL_RESIZE, 2, 40);
	control(&G, CONTROL_SIGNAL, 1, 2);
	quiet();
	cr_assert_str_eq(A.log, "resize 1 20, signal 1 2, resize 1 30, resize 2 40, signal 1 2");
}

Test(pair, resize_that_has_left_is_not_taken_back)
{
	control(&G, CONTROL_RESIZE, 1, 10);
	say(&G);
	control(&G, CONTROL_RESIZE, 1, 20);
	resume();
	cr_assert_str_eq(A.log, "resize 1 10, resize 1 20");
}

Test(pair, control_beyond_the_backlog_is_refused)
{
	struct control c = { .type = CONTROL_EXEC, .channel = 2 };
	char *big = xmalloc(400 * 1024);
	size_t queued = 0;

	memset(big, 'x', 400 * 1024);
	big[400 * 1024 - 1] = '\0';
	c.exec.exec_id = (char *)"";
	strv_add(&c.exec.argv, big);
	cut();
	while (session_send(G.s, &c, &last_error) == 0)
		queued++;
	cr_assert_eq(queued, 10);
	cr_assert_eq(last_error.kind, ERR_UNAVAILABLE);
	strv_add(&c.exec.argv, big);
	cr_assert_eq(session_send(G.s, &c, &last_error), -1);
	cr_assert_eq(last_error.kind, ERR_LIMIT);
	strv_release(&c.exec.argv);
	free(big);
	resume();
	cr_assert(strlen(A.log) == queued * strlen("exec 2 0, ") - 2, "%s", A.log);
}

Test(pair, control_in_the_wrong_direction_is_refused_and_not_repeated)
{
	control(&A, CONTROL_EXEC, 5, 0); /* an agent that starts processes at the gateway */
	control(&A, CONTROL_EXIT, 2, 3);
	say(&A);
	cr_assert_eq(A.out.tail, 1);
	cr_assert_eq(hear(&G, A.out.v[0].p, A.out.v[0].n), -1);
	resume();
	cr_assert_str_eq(G.log, "exit 2 3");
}

Test(pair, record_length_beyond_the_limit_is_refused)
{
	static const uint8_t f[] = { DATA, 1, 0, 0x00, 0x08, 0x00, 0x01, 0 }; /* 512 KiB and one */

	cr_assert_eq(hear(&G, f, sizeof(f)), -1);
}

Test(pair, goaway_reaches_the_agent_on_this_link_only)
{
	struct control c = { .type = CONTROL_GOAWAY };

	c.goaway.reconnect_within_ms = 9;
	cr_assert_eq(session_send(G.s, &c, NULL), 0);
	cut();
	resume();
	cr_assert_str_eq(A.log, "");
	cr_assert_eq(session_send(G.s, &c, NULL), 0);
	quiet();
	cr_assert_str_eq(A.log, "goaway 0 0");
}

/* ---- time --------------------------------------------------------------------------------------- */

Test(pair, pings_every_five_seconds_while_processes_run)
{
	struct session_stats stats;
	uint64_t due = session_tick(A.s, now);

	quiet();
	due = session_tick(A.s, now);
	cr_assert_leq(due, now + 5000);
	now = due - 1;
	session_tick(A.s, now);
	cr_assert_eq(next_of(&A).type, 0);
	now = due;
	session_tick(A.s, now);
	say(&A);
	cr_assert_eq(A.out.tail, 1);
	now += 40;
	cr_assert_eq(hear(&G, A.out.v[0].p, A.out.v[0].n), 0);
	wire_clear(&A.out);
	settle();
	session_stats(A.s, &stats);
	cr_assert_eq(stats.rtt_us, 40000);
	cr_assert_eq(session_silent_ms(A.s, now + 77), 77);
}

Test(session, pings_every_ten_seconds_when_idle)
{
	connect_new();
	uint64_t up = now;
	cr_assert_eq(session_tick(A.s, now), up + 10000);
}

Test(pair, idle_streams_give_their_memory_back)
{
	size_t n;
	uint8_t *before, *after;

	put(out_a, 256 * 1024);
	quiet();
	for (int i = 0; i < 2; i++) {
		now += 5000;
		quiet();
	}
	before = stream_reserve(out_a, 256 * 1024, &n);
	cr_assert_not_null(before);
	cr_assert_eq(n, 256 * 1024, "an empty ring starts at its beginning");
	stream_commit(out_a, 0);
	after = stream_reserve(out_a, 1, &n);
	cr_assert_eq(before, after);
	stream_commit(out_a, 0);
}

Test(pair, wakes_once_until_drained)
{
	unsigned wakes;

	quiet();
	wakes = A.wakes;
	put(out_a, 10);
	put(out_a, 10);
	control(&A, CONTROL_STARTED, 1, 0);
	cr_assert_eq(A.wakes, wakes + 1);
	say(&A);
	put(out_a, 10);
	cr_assert_eq(A.wakes, wakes + 2);
	cut();
	put(out_a, 10);
	cr_assert_eq(A.wakes, wakes + 2, "without a link there is nobody to wake");
}

/* ---- bounds ------------------------------------------------------------------------------------- */

Test(session, opens_no_more_streams_than_allowed)
{
	uint32_t id;

	connect_new();
	for (id = 3; id < 3 + 2 * SESSION_STREAMS_MAX; id += 2)
		cr_assert_not_null(session_open(A.s, id, 0, 65536));
	cr_assert_null(session_open(A.s, id, 0, 65536));
	stream_close(session_stream(A.s, 3));
	cr_assert_not_null(session_open(A.s, id, 0, 65536));
	cr_assert_null(session_open(A.s, id, 0, 65536), "an id is open once");
	/* All of them fit into one HELLO. */
	cut();
	struct hello h = hello_for(&A), heard;
	struct frame_out f;
	session_hello(A.s, &h, now);
	hello_release(&h);
	cr_assert(session_next_frame(A.s, &f, now));
	cr_assert_eq(session_peek_hello(f.head, f.head_len, &heard, &last_error), 0, "%s", last_error.msg);
	cr_assert_eq(heard.n_streams, SESSION_STREAMS_MAX + 2);
	hello_release(&heard);
}

Test(session, hello_with_a_full_table_and_long_errors_fits)
{
	struct hello h = hello_for(&A), heard;
	struct frame_out f;

	h.n_procs = CONTROL_PROCS_MAX;
	h.procs = xcalloc(h.n_procs, sizeof(*h.procs));
	for (size_t i = 0; i < h.n_procs; i++) {
		struct proc_row *row = &h.procs[i];

		*row = (struct proc_row){ .channel = (uint32_t)i + 1, .state = PROC_EXITED, .pid = 1 << 21 };
		row->exec_id = xmalloc(65);
		snprintf(row->exec_id, 65, "%064zx", i);
		memset(row->spec_hash, 0xee, sizeof(row->spec_hash));
		row->exit = (struct exit_status){ .code = 127, .final_offset = 1ull << 60,
						  .started_ns = INT64_MAX, .finished_ns = INT64_MAX };
		row->exit.error = xmalloc(1001);
		memset(row->exit.error, 'e', 1000);
		row->exit.error[1000] = '\0';
	}
	session_hello(A.s, &h, now);
	hello_release(&h);
	cr_assert(session_next_frame(A.s, &f, now));
	cr_assert_eq(session_peek_hello(f.head, f.head_len, &heard, &last_error), 0, "%s", last_error.msg);
	cr_assert_eq(heard.n_procs, CONTROL_PROCS_MAX);
	cr_assert_eq(heard.procs[5].exit.error[0], 'e');
	hello_release(&heard);
}

/* ---- resuming ----------------------------------------------------------------------------------- */

Test(pair, resume_continues_with_kept_bytes_on_both_sides)
{
	struct session_stats stats;

	G.got[3].appetite = 70000;
	A.got[2].appetite = 5;
	put(out_a, 150000);
	put(in_g, 50000);
	quiet();
	cut();
	put(out_a, 50000);
	resume();
	cr_assert_eq(G.got[3].offset, 70000);
	G.got[3].appetite = A.got[2].appetite = UINT64_MAX;
	stream_resume(out_g);
	stream_resume(in_a);
	quiet();
	cr_assert_eq(G.got[3].offset, 200000);
	cr_assert_eq(A.got[2].offset, 50000);
	session_stats(G.s, &stats);
	cr_assert_eq(stats.links, 2);
	cr_assert_eq(stats.duplicate_bytes, 0, "the sender starts where the receiver stopped");
}

Test(pair, exit_is_known_early_and_complete_late)
{
	/* Control overtakes data; final_offset says when the exit may be shown (R10). */
	struct stream *st = out_a;

	G.got[3].appetite = 10;
	put(st, 100000);
	stream_fin(st);
	control(&A, CONTROL_EXIT, 1, 42);
	say(&A);
	cut();
	resume();
	cr_assert_str_eq(G.log, "exit 1 42");
	cr_assert_lt(stream_delivered(out_g), 100000);
	G.got[3].appetite = UINT64_MAX;
	stream_resume(out_g);
	quiet();
	cr_assert_eq(stream_delivered(out_g), 100000);
	cr_assert_eq(G.got[3].fins, 1);
	cr_assert_str_eq(G.log, "exit 1 42");
}

Test(pair, agent_stream_the_gateway_does_not_have_is_reset)
{
	session_open(A.s, 9, 0, 65536);
	resume();
	cr_assert_eq(A.got[9].resets, 1);
	cr_assert_eq(A.got[9].reset_code, RESET_UNKNOWN_STREAM);
	cr_assert_eq(A.got[3].resets, 0);
}

Test(pair, impossible_position_is_lost_loudly_on_both_sides)
{
	struct hello h, heard;
	struct frame_out f;

	put(in_g, 1000);
	quiet();
	cut();
	h = hello_for(&A);
	session_hello(A.s, &h, now);
	hello_release(&h);
	cr_assert(session_next_frame(A.s, &f, now));
	cr_assert_eq(session_peek_hello(f.head, f.head_len, &heard, &last_error), 0);
	for (size_t i = 0; i < heard.n_streams; i++)
		if (heard.streams[i].id == 2)
			heard.streams[i].received = heard.streams[i].delivered = 2000;
	cr_assert_eq(session_accept(G.s, &heard, false, now, &last_error), 0);
	hello_release(&heard);
	cr_assert_eq(G.got[2].resets, 1);
	cr_assert_eq(G.got[2].reset_code, RESET_LOST);
	settle();
	cr_assert_eq(A.got[2].resets, 1);
	cr_assert_eq(A.got[2].reset_code, RESET_LOST);
	put(out_a, 10);
	quiet();
	cr_assert_eq(G.got[3].offset, 10, "the other streams live");
}

static void new_gateway(uint8_t id)
{
	uint8_t own[BOOT_ID_LEN];

	cut();
	session_free(G.s);
	free(G.out.v);
	memset(own, id, sizeof(own));
	side_init(&G, SESSION_GATEWAY, own);
}

Test(pair, resume_needs_the_same_gateway_session)
{
	uint8_t other[BOOT_ID_LEN] = { 9 };
	struct hello h, heard;
	struct frame_out f;

	control(&A, CONTROL_STARTED, 1, 0);
	quiet();
	h = hello_for(&A);
	session_hello(A.s, &h, now);
	hello_release(&h);
	cr_assert(session_next_frame(A.s, &f, now));
	cr_assert_eq(session_peek_hello(f.head, f.head_len, &heard, &last_error), 0);
	memcpy(heard.gateway_id, other, sizeof(other)); /* it has been with another since */
	cr_assert_eq(session_accept(G.s, &heard, false, now, &last_error), -1);
	cr_assert_eq(last_error.kind, ERR_CONFLICT);
	hello_release(&heard);
}

Test(pair, new_gateway_adopts_a_running_agent)
{
	/* The old gateway had delivered 70000 of 150000 bytes and sent 40000 of stdin, of which the
	 * process had read 5. */
	G.got[3].appetite = 70000;
	A.got[2].appetite = 5;
	put(out_a, 150000);
	put(in_g, 40000);
	control(&G, CONTROL_SIGNAL, 1, 1);
	quiet();
	control(&A, CONTROL_EXIT, 1, 1); /* told by HELLO's table: not sent again */
	new_gateway(8);
	G.got[3].offset = 70000;
	out_g = session_open(G.s, 3, 70000, 256 * 1024);
	in_g = session_open(G.s, 2, 40000, 256 * 1024);
	control(&G, CONTROL_SIGNAL, 1, 9);
	greet(true);
	control(&A, CONTROL_EXIT, 2, 2); /* after HELLO: nobody else will tell */
	settle();
	cr_assert_str_eq(A.log, "signal 1 1, signal 1 9");
	cr_assert_str_eq(G.log, "exit 2 2");
	put(in_g, 1000);
	A.got[2].appetite = UINT64_MAX;
	stream_resume(in_a);
	quiet();
	cr_assert_eq(G.got[3].offset, 150000);
	cr_assert_eq(A.got[2].offset, 41000);
	put(out_a, 200000);
	stream_fin(out_a);
	quiet();
	cr_assert_eq(G.got[3].offset, 350000);
	cr_assert_eq(G.got[3].fins, 1);
	cr_assert_eq(A.got[3].resets + A.got[2].resets + G.got[3].resets + G.got[2].resets, 0);
	resume();
	cr_assert_str_eq(A.log, "signal 1 1, signal 1 9");
}

Test(pair, adoption_grants_no_credit_twice)
{
	/* A process that does not read, and gateways that come and go: its kept bytes stay bounded. */
	A.got[2].appetite = 0;
	put(in_g, 256 * 1024);
	quiet();
	cr_assert_eq(stream_kept(in_a), 256 * 1024);
	for (uint8_t id = 8; id < 12; id++) {
		new_gateway(id);
		out_g = session_open(G.s, 3, 0, 256 * 1024);
		in_g = session_open(G.s, 2, 256 * 1024, 256 * 1024);
		greet(true);
		put(in_g, 256 * 1024);
		quiet();
		cr_assert_eq(stream_kept(in_a), 256 * 1024);
		cr_assert_eq(A.got[2].resets, 0);
	}
}

Test(pair, new_gateway_that_takes_nothing_over_resets_everything)
{
	new_gateway(8);
	greet(true);
	settle();
	cr_assert_eq(A.got[2].reset_code, RESET_UNKNOWN_STREAM);
	cr_assert_eq(A.got[3].reset_code, RESET_UNKNOWN_STREAM);
	cr_assert(session_link_up(A.s));
}

Test(session, exec_queued_before_a_lost_first_welcome_runs_once)
{
	for (int i = 0; i < 3; i++) {
		if (i == 1)
			control(&G, CONTROL_EXEC, 2, 0);
		greet(i == 0);
		say(&G);
		cut();
	}
	resume();
	cut();
	resume();
	cr_assert_str_eq(A.log, "exec 2 0");
}

Test(session, refusal_is_a_verdict)
{
	struct hello h = hello_for(&A);
	struct frame_out f;
	struct buf b;
	uint32_t after = 0;

	buf_init(&b, 4096);
	session_hello(A.s, &h, now);
	hello_release(&h);
	cr_assert(session_next_frame(A.s, &f, now));
	cr_assert_eq(session_refusal(WELCOME_RETRY, 1500, "busy", &b, &last_error), 0);
	cr_assert_eq(hear(&A, buf_head(&b), b.len), 0);
	buf_release(&b);
	cr_assert_not(session_link_up(A.s));
	cr_assert_eq(session_verdict(A.s, &after), WELCOME_RETRY);
	cr_assert_eq(after, 1500);
}

/* ---- cut anywhere -------------------------------------------------------------------------------- */

/* A world of many streams in which anything may happen at any time, but at the end every byte and
 * every message has arrived once. Streams 3, 5, 7 ... carry output, 2, 4, 6 ... input. */
struct world {
	uint32_t random;
	uint32_t channels;
	uint64_t goal[IDS];
	bool fin[IDS];
	bool gateway_dies;
	bool met;
	unsigned cuts, deaths, messages;
};

static uint32_t roll(struct world *w, uint32_t below)
{
	w->random = w->random * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)(w->random >> 8) * below) >> 24);
}

static struct side *sender_of(uint32_t id) { return id % 2 ? &A : &G; }
static struct side *receiver_of(uint32_t id) { return id % 2 ? &G : &A; }

static void world_write(struct world *w, uint32_t id, size_t n)
{
	struct stream *st = session_stream(sender_of(id)->s, id);
	uint64_t left;

	if (!st)
		return;
	left = w->goal[id] - stream_written(st);
	put(st, n < left ? n : (size_t)left);
	if (w->fin[id] && stream_written(st) == w->goal[id])
		stream_fin(st);
}

static void world_read(struct world *w, uint32_t id, size_t n)
{
	struct side *x = receiver_of(id);
	struct stream *st = session_stream(x->s, id);

	x->got[id].appetite = x->got[id].offset + n;
	if (st)
		stream_resume(st);
}

static void world_message(struct world *w)
{
	struct side *x = roll(w, 2) ? &A : &G;

	/* What an agent queues before it was ever welcomed, the table in its HELLO tells. */
	if (w->messages == 0 || !w->met)
		return;
	w->messages--;
	control(x, x == &A ? CONTROL_STARTED : CONTROL_SIGNAL, 1, (int)(x->next_sent % 64 + 1));
	x->next_sent++;
}

static void world_connect(struct world *w)
{
	struct hello h = hello_for(&A);

	session_hello(A.s, &h, now);
	hello_release(&h);
	wire_clear(&A.out);
	wire_clear(&G.out);
}

static void world_adopt(struct world *w, const struct hello *h)
{
	for (size_t i = 0; i < h->n_streams; i++) {
		const struct stream_row *row = &h->streams[i];

		if (row->id < 2 || row->reset)
			continue;
		if (row->id % 2) {
			if (session_open(G.s, row->id, row->acked, 64 * 1024))
				G.got[row->id].offset = row->acked;
		} else if (!row->fin)
			session_open(G.s, row->id, row->received, 64 * 1024);
	}
}

static void world_deliver(struct world *w, struct side *from, struct side *to)
{
	struct frame_copy f;

	if (from->out.head == from->out.tail)
		return;
	f = from->out.v[from->out.head++];
	if (to == &G && f.n > 2 && f.p[0] == CONTROL && !session_link_up(G.s)) {
		struct hello h;
		bool fresh;

		cr_assert_eq(session_peek_hello(f.p, f.n, &h, &last_error), 0);
		fresh = memcmp(h.gateway_id, gateway_id, BOOT_ID_LEN) != 0;
		if (fresh && w->deaths)
			world_adopt(w, &h);
		cr_assert_eq(session_accept(G.s, &h, fresh, now, &last_error), 0, "%s", last_error.msg);
		hello_release(&h);
	} else
		cr_assert_eq(hear(to, f.p, f.n), 0, "%s", last_error.msg);
	w->met |= session_link_up(A.s);
	free(f.p);
}

static void world_gateway_dies(struct world *w)
{
	uint64_t appetite[IDS];

	w->deaths++;
	for (int i = 0; i < IDS; i++)
		appetite[i] = G.got[i].appetite;
	new_gateway((uint8_t)(100 + w->deaths));
	memset(gateway_id, 100 + (int)w->deaths, sizeof(gateway_id));
	for (int i = 0; i < IDS; i++)
		G.got[i].appetite = appetite[i];
	G.sequenced = true;
	G.next_expected = G.next_sent = 0;
	A.next_expected = A.next_sent = 0;
	world_connect(w);
}

static void world_step(struct world *w)
{
	uint32_t id = 2 + roll(w, 2 * w->channels);
	struct frame_out f;
	struct side *x;

	switch (roll(w, 100)) {
	case 0:
		if (roll(w, 1 + w->channels / 4)) /* a link must live for some frames of each stream */
			return;
		w->cuts++;
		if (roll(w, 2))
			session_link_down(G.s); /* it may hear of the cut first, or by the new HELLO only */
		world_connect(w);
		session_link_down(G.s);
		return;
	case 1:
		now += roll(w, 3000);
		session_tick(A.s, now);
		session_tick(G.s, now);
		return;
	case 2:
		if (w->gateway_dies && w->deaths < 20 && roll(w, 20 + w->channels) == 0)
			world_gateway_dies(w);
		return;
	case 3 ... 5:
		if (!w->gateway_dies)
			world_message(w);
		return;
	case 6 ... 20:
		world_write(w, id, roll(w, 30000));
		return;
	case 21 ... 35:
		world_read(w, id, roll(w, 30000));
		return;
	case 36 ... 65:
		x = roll(w, 2) ? &A : &G;
		if (session_next_frame(x->s, &f, now))
			wire_put(&x->out, &f);
		return;
	case 66 ... 82:
		world_deliver(w, &A, &G);
		return;
	default:
		world_deliver(w, &G, &A);
	}
}

static bool world_done(struct world *w)
{
	for (uint32_t id = 2; id < 2 + 2 * w->channels; id++)
		if (receiver_of(id)->got[id].offset < w->goal[id] ||
		    (w->fin[id] && !receiver_of(id)->got[id].fins))
			return false;
	return w->messages == 0 && A.next_expected == G.next_sent && G.next_expected == A.next_sent;
}

static void world_run(uint32_t seed, bool gateway_dies)
{
	struct world w = { .random = seed * 7919 + 1, .gateway_dies = gateway_dies, .messages = 200 };
	unsigned steps = 0;

	setup();
	A.sequenced = G.sequenced = true;
	w.channels = seed % 5 == 0 ? 64 : 1 + roll(&w, 8);
	if (gateway_dies)
		w.messages = 0;
	for (uint32_t id = 2; id < 2 + 2 * w.channels; id++) {
		size_t window = 1000 + roll(&w, 100000);

		w.goal[id] = roll(&w, 4) ? roll(&w, 60000) : roll(&w, 400000);
		w.fin[id] = !gateway_dies && roll(&w, 4) > 0;
		A.got[id].appetite = G.got[id].appetite = 0;
		session_open(A.s, id, 0, window);
		session_open(G.s, id, 0, gateway_dies ? 64 * 1024 : 1000 + roll(&w, 100000));
	}
	world_connect(&w);
	while (!world_done(&w)) {
		cr_assert(steps++ < 2000000, "seed %u does not come to an end", seed);
		world_step(&w);
	}
	for (uint32_t id = 2; id < 2 + 2 * w.channels; id++) {
		cr_assert_eq(receiver_of(id)->got[id].offset, w.goal[id]);
		cr_assert_eq(receiver_of(id)->got[id].fins, w.fin[id]);
		cr_assert_eq(A.got[id].resets + G.got[id].resets, 0, "seed %u, stream %u", seed, id);
	}
	/* Nobody owes anything: all is acknowledged. */
	world_connect(&w);
	session_link_down(G.s);
	for (int i = 0; i < 3; i++) {
		while (say(&A) + say(&G) > 0 || A.out.head < A.out.tail || G.out.head < G.out.tail) {
			world_deliver(&w, &A, &G);
			world_deliver(&w, &G, &A);
		}
		now += 30;
		session_tick(A.s, now);
		session_tick(G.s, now);
	}
	struct session_stats a, g;
	session_stats(A.s, &a);
	session_stats(G.s, &g);
	cr_assert_eq(a.replay_bytes + g.replay_bytes, 0, "seed %u", seed);
	cr_assert_eq(a.kept_bytes + g.kept_bytes, 0, "seed %u", seed);
	teardown();
	cr_assert(w.cuts > 0 || steps < 1000);
}

Test(world, random_cuts_lose_nothing_and_repeat_nothing)
{
	for (uint32_t seed = 1; seed <= 40; seed++)
		world_run(seed, false);
}

Test(world, dying_gateways_lose_nothing)
{
	for (uint32_t seed = 1; seed <= 25; seed++)
		world_run(seed, true);
}

/* One conversation, cut after every single byte that goes over the wire, either direction. */
static size_t conversation(size_t cut_after)
{
	struct world w = { .channels = 2 };
	size_t passed = 0;
	bool was_cut = false;

	setup();
	A.sequenced = G.sequenced = true;
	for (uint32_t id = 2; id < 6; id++) {
		session_open(A.s, id, 0, 300);
		session_open(G.s, id, 0, 300);
		w.goal[id] = 100 * id;
		w.fin[id] = true;
	}
	world_connect(&w);
	w.messages = 8;
	for (unsigned turn = 0; !world_done(&w); turn++) {
		struct side *from = turn % 2 ? &G : &A, *to = turn % 2 ? &A : &G;
		struct frame_out f;

		cr_assert_lt(turn, 10000, "cut after byte %zu: no end", cut_after);
		for (uint32_t id = 2; id < 6; id++)
			world_write(&w, id, 70);
		world_message(&w);
		if (session_next_frame(from->s, &f, now)) {
			wire_put(&from->out, &f);
			passed += f.head_len + f.body_len;
			if (!was_cut && passed > cut_after) { /* this frame stays incomplete: it is nothing */
				was_cut = true;
				world_connect(&w);
				session_link_down(G.s);
				continue;
			}
		} else {
			now += 30;
			session_tick(A.s, now);
			session_tick(G.s, now);
		}
		if (turn % 3) /* some frames are still under way when it happens */
			world_deliver(&w, from, to);
		if (turn % 5 == 0)
			world_deliver(&w, to, from);
	}
	for (uint32_t id = 2; id < 6; id++)
		cr_assert_eq(A.got[id].resets + G.got[id].resets, 0, "cut after byte %zu", cut_after);
	teardown();
	return passed;
}

Test(world, cut_after_every_byte_of_a_conversation)
{
	size_t whole = conversation(SIZE_MAX);

	cr_assert_gt(whole, 1400);
	for (size_t i = 0; i <= whole; i++)
		conversation(i);
}

/* ---- checksums (R9) ---------------------------------------------------------------------------- */

/* Like settle, but the n-th DATA frame of a stream has one bit changed. */
static void settle_bent(struct side *from, struct side *to, uint32_t id, int n)
{
	do {
		say(from);
		while (from->out.head < from->out.tail) {
			struct frame_copy f = from->out.v[from->out.head++];

			if (f.p[0] == 1 && f.p[1] == id && n-- == 0)
				f.p[f.n - 1] ^= 0x10;
			cr_assert_eq(hear(to, f.p, f.n), 0, "%s", last_error.msg);
			free(f.p);
		}
		wire_clear(&from->out);
		say(to);
		while (to->out.head < to->out.tail) {
			struct frame_copy f = to->out.v[to->out.head++];

			cr_assert_eq(hear(from, f.p, f.n), 0, "%s", last_error.msg);
			free(f.p);
		}
		wire_clear(&to->out);
	} while (say(&A) + say(&G) > 0);
}

static size_t take_all(void *ctx, struct stream *st, const uint8_t *p, size_t n) { return n; }

/* Both sides as usual, but they do not look at what comes: that is the checksum's business. */
static void setup_blind(bool agent_checks, bool gateway_checks)
{
	static struct session_ops blind;
	uint8_t boot[BOOT_ID_LEN] = { 1 };

	blind = ops;
	blind.on_data = take_all;
	session_free(A.s);
	session_free(G.s);
	A.s = session_new(SESSION_AGENT, boot, &blind, &A);
	G.s = session_new(SESSION_GATEWAY, gateway_id, &blind, &G);
	if (agent_checks)
		session_set_checks(A.s);
	if (gateway_checks)
		session_set_checks(G.s);
	open_pair(1, 256 * 1024);
}

Test(session, a_changed_byte_is_told_at_the_end_of_the_stream)
{
	setup_blind(false, true);
	connect_new();
	put(out_a, 150000);
	put(in_g, 150000);
	settle_bent(&A, &G, 3, 1);
	cr_assert_eq(stream_delivered(out_g), 150000);
	cr_assert_neq(stream_check(out_g), stream_check(out_a));
	cr_assert_eq(stream_check(in_a), stream_check(in_g));
	cr_assert_gt(stream_check(in_a), STREAM_CHECK);
	stream_fin(out_a);
	stream_fin(in_g);
	quiet();
	cr_assert_eq(G.got[3].resets, 1);
	cr_assert_eq(G.got[3].reset_code, RESET_CORRUPT);
	cr_assert_eq(A.got[3].reset_code, RESET_CORRUPT, "the sender hears of it, too");
	cr_assert_eq(G.got[3].fins, 0);
	cr_assert_eq(A.got[2].fins, 1);
}

Test(session, a_checksum_counts_each_byte_once_across_cuts)
{
	setup_blind(false, true);
	connect_new();
	for (int i = 0; i < 20; i++) {
		put(out_a, 30000);
		say(&A);
		if (i % 3) /* the first frame arrives, the rest is lost */
			hear(&G, A.out.v[0].p, A.out.v[0].n);
		resume();
	}
	stream_fin(out_a);
	quiet();
	cr_assert_eq(G.got[3].fins, 1);
	cr_assert_eq(stream_check(out_g), stream_check(out_a));
}

Test(session, checksums_are_kept_only_where_the_gateway_wants_them)
{
	setup_blind(false, false);
	connect_new();
	put(out_a, 1000);
	settle_bent(&A, &G, 3, 0);
	stream_fin(out_a);
	quiet();
	cr_assert_eq(stream_check(out_a), 0);
	cr_assert_eq(G.got[3].fins, 1, "nobody has looked");
}

Test(session, what_was_sent_before_the_gateway_asked_has_no_checksum)
{
	setup_blind(false, true);
	put(out_a, 1000);
	connect_new();
	cr_assert_eq(stream_check(out_a), 0);
	cr_assert_gt(stream_check(in_a), 0);
	stream_fin(out_a);
	quiet();
	cr_assert_eq(G.got[3].fins, 1);
	/* An agent that knows from its beginning has one of all. */
	setup_blind(true, true);
	put(out_a, 1000);
	connect_new();
	quiet();
	cr_assert_gt(stream_check(out_a), 0);
	cr_assert_eq(stream_check(out_a), stream_check(out_g));
}

Test(session, a_migrating_agent_says_so)
{
	connect_new();
	control(&A, CONTROL_MIGRATING, 0, 0);
	quiet();
	cr_assert_str_eq(G.log, "migrating 0 0");
	cut();
	control(&A, CONTROL_MIGRATING, 0, 0);
	resume();
	cr_assert_str_eq(G.log, "migrating 0 0", "it is one link's");
}

/* ---- is the link alive? (R22) ------------------------------------------------------------------- */

static bool dead_after(struct session *s, uint64_t ms, size_t queued)
{
	now += ms;
	session_tick(s, now);
	return session_link_dead(s, queued, now);
}

Test(session, a_silent_link_is_dead_after_25_seconds)
{
	connect_new();
	cr_assert_not(dead_after(A.s, 25000, 0));
	cr_assert(dead_after(A.s, 1, 0));
}

Test(session, a_silent_link_lives_while_our_own_bytes_leave)
{
	connect_new();
	cr_assert_not(dead_after(A.s, 25001, 4000000));
	cr_assert_not(dead_after(A.s, 4000, 3000000), "1 MB has gone");
	cr_assert_not(dead_after(A.s, 4000, 2000000));
	cr_assert_not(dead_after(A.s, 4999, 2000000));
	cr_assert(dead_after(A.s, 1, 2000000), "nothing has gone for 5 s");
	resume();
	for (size_t queued = 1000000, t = 0; t < 25; t++)
		cr_assert_not(dead_after(A.s, 4000, --queued));
	cr_assert(dead_after(A.s, 4000, 1), "at some time it is enough");
}

Test(session, a_link_has_to_answer_before_something_depends_on_it)
{
	struct frame_out f;

	connect_new();
	session_probe(G.s, now);
	cr_assert_not(session_next_frame(G.s, &f, now), "it has just been heard");
	now += 5001;
	session_probe(G.s, now);
	cr_assert_leq(session_tick(G.s, now), now + SESSION_PROBE_MS);
	quiet();
	cr_assert_not(dead_after(G.s, 3000, 0), "it has answered");
	now += 5001;
	session_probe(G.s, now);
	session_probe(G.s, now + 1000);
	cr_assert_not(dead_after(G.s, 1999, 0));
	cr_assert(dead_after(G.s, 1, 0));
}

/* ---- what the metrics say ------------------------------------------------------------------------ */

static void remember_stream(void *ctx, const struct stream_info *i)
{
	((struct stream_info *)ctx)[i->id] = *i;
}

Test(pair, a_stream_that_stands_still_is_seen_from_both_ends)
{
	struct stream_info at[IDS] = { 0 };
	struct session_stats stats;

	G.got[3].appetite = 1000;
	put(out_a, 256 * 1024);
	quiet();
	put(out_a, 1000);
	quiet();
	now += 7000;
	session_tick(A.s, now);
	session_tick(G.s, now);
	session_stats(A.s, &stats);
	cr_assert_geq(stats.oldest_ms, 7000);
	session_stats(G.s, &stats);
	cr_assert_geq(stats.oldest_ms, 7000);
	cr_assert_eq(stats.paused_ms, 0, "counted when it is over");
	session_each_stream(G.s, remember_stream, at);
	cr_assert_eq(at[3].end, 256 * 1024 + 1000);
	cr_assert_eq(at[3].delivered, 1000);
	cr_assert_geq(at[3].waiting_ms, 7000);
	cr_assert_eq(at[2].waiting_ms, 0);
	cr_assert(at[2].sender && !at[3].sender);
	session_each_stream(A.s, remember_stream, at);
	cr_assert_eq(at[3].delivered, 1000);
	cr_assert_geq(at[3].paused_ms, 7000, "its window is full");
	G.got[3].appetite = UINT64_MAX;
	stream_resume(out_g);
	quiet();
	session_stats(A.s, &stats);
	cr_assert_geq(stats.paused_ms, 7000);
	cr_assert_eq(stats.oldest_ms, 0);
	session_stats(G.s, &stats);
	cr_assert_geq(stats.paused_ms, 7000);
	cr_assert_eq(stats.oldest_ms, 0);
	cut();
	now += 3000;
	resume();
	session_stats(G.s, &stats);
	cr_assert_geq(stats.down_ms, 3000);
}

/* ---- older peers --------------------------------------------------------------------------------- */

/* What an agent or a gateway of before the features sent and understood. */
Test(session, an_older_peer_hears_nothing_it_does_not_know)
{
	struct hello h = hello_for(&A), heard;
	struct frame_out f;

	setup_blind(true, true);
	session_hello(A.s, &h, now);
	hello_release(&h);
	cr_assert(session_next_frame(A.s, &f, now));
	wire_put(&A.out, &f);
	cr_assert_eq(session_peek_hello(A.out.v[0].p, A.out.v[0].n, &heard, &last_error), 0);
	wire_clear(&A.out);
	cr_assert_eq(heard.features, FEATURE_CHECKS | FEATURE_MIGRATING);
	heard.features = 0;
	heard.window_in = heard.window_out = STREAM_WINDOW_DEFAULT;
	cr_assert_eq(session_accept(G.s, &heard, true, now, &last_error), 0);
	hello_release(&heard);
	settle();
	put(out_a, 100000);
	put(in_g, 100000);
	control(&A, CONTROL_MIGRATING, 0, 0);
	stream_fin(out_a);
	stream_fin(in_g);
	do {
		say(&A);
		say(&G);
		for (struct side *x = &A; x; x = x == &A ? &G : NULL)
			while (x->out.head < x->out.tail) {
				struct frame_copy c = x->out.v[x->out.head++];

				cr_assert(c.p[0] != 3 || c.n <= 5, "a FIN with a checksum");
				cr_assert_eq(hear(x == &A ? &G : &A, c.p, c.n), 0, "%s", last_error.msg);
				free(c.p);
			}
	} while (say(&A) + say(&G) > 0);
	quiet();
	cr_assert_eq(G.got[3].fins, 1);
	cr_assert_eq(A.got[2].fins, 1);
	cr_assert_str_eq(G.log, "");
}
