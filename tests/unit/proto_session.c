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
#define NOTHING UINT32_MAX

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
	unsigned wakes, errors;
	bool close_on_fin;
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
	size_t take = at + n <= x->got[id].appetite ? n : (size_t)(x->got[id].appetite - at);

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
	static const char *const names[] = { "hello", "welcome", "ping", "pong", "goaway", "exec",
					     "started", "exit", "exit_ack", "signal", "resize" };
	struct side *x = ctx;
	int more = 0;

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
	struct stream *small;

	put(out_a, 256 * 1024);
	small = session_open(A.s, 5, 0, 65536);
	cr_assert_eq(next_of(&A).id, 3);
	cr_assert_eq(next_of(&A).id, 3);
	put(small, 10);
	cr_assert_eq(next_of(&A).id, 5);
	cr_assert_eq(next_of(&A).id, 3);
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
