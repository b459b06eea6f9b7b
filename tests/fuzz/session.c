/* fuzz: two session machines face to face. The input is a program: what the applications do, which
 * frames pass, are lost, are bent in a byte or are made up, when the link is cut, when the gateway's
 * program is replaced. Memory must stay within the bounds, honest streams must carry the right bytes,
 * nothing may crash or leak. */
#include <assert.h>
#include <string.h>

#include "session.h"

#define WINDOW 100
#define IDS 32
#define LOAN 1000              /* what windows may grow by, together */

struct side {
	struct session *s;
	struct tunnel_budget budget;
	uint64_t offset[IDS];
	size_t appetite;
};

static struct side A, G;
static bool honest;            /* no frame was bent or made up since the sessions began */
static uint8_t gateway_id[BOOT_ID_LEN];
static uint64_t now, looks, link_no;
static const uint8_t *prog;
static size_t prog_len;

static uint8_t arg(void)
{
	if (prog_len == 0)
		return 0;
	prog_len--;
	return *prog++;
}

static uint8_t pattern(uint32_t id, uint64_t offset) { return (uint8_t)(offset * 37 + id); }

static size_t on_data(void *ctx, struct stream *st, const uint8_t *p, size_t n)
{
	struct side *x = ctx;
	uint32_t id = stream_id(st);
	size_t take = n < x->appetite ? n : x->appetite;

	x->appetite -= take;
	assert(n > 0);
	for (size_t i = 0; honest && id < IDS && i < take; i++)
		assert(p[i] == pattern(id, stream_delivered(st) + i));
	if (x->appetite == 6) { /* now and then: close in the callback */
		stream_close(st);
		session_open(x->s, 2 + (id & 1), 0, WINDOW);
		assert(memchr(p, p[n - 1], n)); /* they are still there */
	}
	return take;
}

static void on_fin(void *ctx, struct stream *st)
{
	if (stream_id(st) % 4 < 2)
		stream_close(st);
}

static void on_reset(void *ctx, struct stream *st, uint32_t code)
{
	if (stream_id(st) % 3 < 2)
		stream_close(st);
}

static void on_writable(void *ctx, struct stream *st)
{
	assert(stream_space(st) > 0);
}

static void on_control(void *ctx, const struct control *c)
{
	struct side *x = ctx;

	if (c->type == CONTROL_EXEC && c->channel < IDS / 2) {
		session_open(x->s, 2 * c->channel, 0, WINDOW);
		session_open(x->s, 2 * c->channel + 1, 0, WINDOW);
	}
}

static void on_wake(void *ctx) {}

static uint64_t now_us(void *ctx)
{
	return now * 1000 + ++looks;
}

static const struct session_ops ops = {
	.on_data = on_data,
	.on_fin = on_fin,
	.on_reset = on_reset,
	.on_writable = on_writable,
	.on_control = on_control,
	.on_wake = on_wake,
	.now_us = now_us,
};

static void link_down(void)
{
	session_link_down(A.s);
	session_link_down(G.s);
}

static void hear(struct side *to, const uint8_t *p, size_t n)
{
	uint8_t *copy = xmalloc(n + 1);
	struct hello h;

	memcpy(copy, p, n);
	if (to == &G && !session_link_up(G.s)) {
		if (session_peek_hello(copy, n, &h, NULL) == 0) {
			bool fresh = link_no % 2 && memcmp(h.gateway_id, gateway_id, BOOT_ID_LEN) != 0;

			if (session_accept(G.s, &h, fresh, now, NULL) < 0)
				link_down();
			hello_release(&h);
		}
	} else if (session_receive(to->s, copy, n, now, NULL) < 0)
		link_down();
	free(copy);
}

/* bend: 0 = pass on, 1 = lose it and with it the link, 2 = bend a byte */
static void pass(struct side *from, struct side *to, int bend)
{
	static uint8_t flat[FRAME_HANDSHAKE_MAX];
	struct frame_out f;

	if (!session_next_frame(from->s, &f, now))
		return;
	assert(f.head_len + f.body_len <= FRAME_MAX);
	memcpy(flat, f.head, f.head_len);
	if (f.body_len)
		memcpy(flat + f.head_len, f.body, f.body_len);
	if (bend == 1) {
		link_down();
		return;
	}
	if (bend == 2) {
		honest = false;
		flat[arg() % (f.head_len + f.body_len)] = arg();
	}
	hear(to, flat, f.head_len + f.body_len);
}

static void write_some(struct side *x, uint32_t id, size_t n)
{
	struct stream *st = session_stream(x->s, id);
	uint8_t chunk[256];

	if (!st || n > sizeof(chunk))
		return;
	for (size_t i = 0; i < n; i++)
		chunk[i] = pattern(id, stream_written(st) + i);
	stream_write(st, chunk, n);
	assert(stream_space(st) <= WINDOW + LOAN);
}

static void made_up(struct side *to)
{
	uint8_t n = arg() % 64, frame[64] = { 0 };

	honest = false;
	for (uint8_t i = 0; i < n; i++)
		frame[i] = arg();
	hear(to, frame, n);
}

static size_t varint(uint8_t *p, uint64_t v)
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		p[n++] = (uint8_t)(v | 0x80);
	p[n++] = (uint8_t)v;
	return n;
}

/* Well-formed, and about a stream that exists, near where it stands: only the sense may be wrong. */
static void forged(struct side *to, uint32_t id)
{
	struct stream *st = session_stream(to->s, id);
	uint64_t at = 0;
	uint8_t frame[400];
	size_t n = 1;

	if (st && (to == &G) == (id % 2 == 0))
		at = arg() % 2 ? stream_acked(st) : stream_written(st);
	else if (st)
		at = stream_delivered(st) + stream_kept(st);
	at += arg();
	honest = false;
	frame[0] = 1 + arg() % 4;
	n += varint(frame + n, id);
	n += varint(frame + n, at > 128 ? at - 128 : 0);
	if (frame[0] == 2)
		n += varint(frame + n, at + arg());
	if (frame[0] == 1)
		for (uint8_t len = 1 + arg() % 200; len > 0; len--)
			frame[n++] = len;
	hear(to, frame, n);
}

static void say(struct side *x, bool gateway)
{
	struct control c = { .channel = 1 + arg() % 15 };
	static const enum control_type down[] = { CONTROL_EXEC, CONTROL_SIGNAL, CONTROL_RESIZE,
						  CONTROL_EXIT_ACK, CONTROL_GOAWAY };
	int rc;

	c.type = gateway ? down[arg() % 5] : arg() % 2 ? CONTROL_STARTED : CONTROL_EXIT;
	if (c.type == CONTROL_SIGNAL)
		c.signal.number = 1 + arg() % 64;
	if (c.type == CONTROL_EXEC)
		strv_add(&c.exec.argv, "x");
	rc = session_send(x->s, &c, NULL);
	assert(rc == 0); /* an input is too short to fill the backlog */
	(void)rc;
	if (c.type == CONTROL_EXEC)
		strv_release(&c.exec.argv);
}

static void dial(void)
{
	struct hello h = { .link_no = ++link_no, .window_in = WINDOW, .window_out = 70 };

	link_down();
	session_hello(A.s, &h, now);
	hello_release(&h);
	pass(&A, &G, 0);
}

static void check(const struct side *x)
{
	struct session_stats stats;

	session_stats(x->s, &stats);
	assert(stats.kept_bytes <= IDS * WINDOW + LOAN);
	assert(stats.window_bytes == x->budget.used && x->budget.used <= LOAN);
	assert(stats.replay_bytes <= IDS * WINDOW * 8 + LOAN + CONTROL_BACKLOG_MAX);
	assert(stats.streams <= IDS);
}

/* The gateway's program is replaced: its session goes through bytes, and is the same without its link. */
static void replace_gateway(void)
{
	struct session_stats before, after;
	struct unpack u;
	struct pack p;

	link_down();
	session_stats(G.s, &before);
	pack_init(&p);
	session_save(G.s, &p);
	session_free(G.s);
	u = (struct unpack){ .at = buf_head(&p.bytes), .left = p.bytes.len };
	G.s = session_restore(&ops, &G, now, &u);
	assert(G.s && u.left == 0);
	session_set_budget(G.s, &G.budget);
	pack_release(&p);
	session_stats(G.s, &after);
	assert(after.streams == before.streams && after.kept_bytes == before.kept_bytes);
	assert(after.replay_bytes == before.replay_bytes && after.links == before.links);
}

static void step(void)
{
	uint8_t op = arg();
	uint32_t id = 2 + arg() % (IDS - 2);
	bool gateway = op & 0x80;
	struct side *x = gateway ? &G : &A, *y = gateway ? &A : &G;
	struct stream *st = session_stream(x->s, id);
	bool sends = gateway == (id % 2 == 0);

	switch (op & 0x0f) {
	case 0:
		if (op & 0x40)
			forged(x, id);
		else
			made_up(x);
		break;
	case 1:
		pass(x, y, 2);
		break;
	case 2:
		pass(x, y, 1);
		break;
	case 3:
		dial();
		break;
	case 4:
		session_open(x->s, id, 0, WINDOW);
		session_open(y->s, id, 0, WINDOW);
		break;
	case 5:
		if (sends)
			write_some(x, id, arg());
		break;
	case 6:
		if (st && sends)
			stream_fin(st);
		break;
	case 7:
		if (st)
			stream_reset(st, RESET_CANCELLED);
		break;
	case 8:
		if (st)
			stream_close(st);
		break;
	case 9:
		x->appetite = 2u * arg();
		if (st && !sends)
			stream_resume(st);
		break;
	case 10:
		now += 40u * arg();
		session_tick(x->s, now);
		break;
	case 11:
		say(x, gateway);
		break;
	case 12:
		if (st)
			stream_set_bulk(st, op & 0x40);
		break;
	case 13:
		if (!gateway)
			replace_gateway();
		break;
	default:
		for (int i = 0; i < 8; i++)
			pass(x, y, 0);
	}
	check(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	uint8_t boot[BOOT_ID_LEN] = { 1 };

	if (n > 8192)
		return 0;
	memset(gateway_id, 7, sizeof(gateway_id));
	A = (struct side){ .appetite = 10000 };
	G = (struct side){ .appetite = 10000 };
	A.s = session_new(SESSION_AGENT, boot, &ops, &A);
	G.s = session_new(SESSION_GATEWAY, gateway_id, &ops, &G);
	A.budget = G.budget = (struct tunnel_budget){ .limit = LOAN };
	session_set_budget(A.s, &A.budget);
	session_set_budget(G.s, &G.budget);
	if (n % 4 < 2)
		session_set_checks(G.s);
	if (n % 4 == 1)
		session_set_checks(A.s);
	honest = true;
	now = 1000;
	looks = 0;
	link_no = 0;
	prog = p;
	prog_len = n;
	dial();
	while (prog_len > 0)
		step();
	session_free(A.s);
	session_free(G.s);
	assert(!A.budget.used && !G.budget.used);
	return 0;
}
