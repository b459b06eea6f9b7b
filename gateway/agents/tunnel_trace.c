/* tunnel_trace - the last frames of a session, their heads alone: what a tunnel that stands still did last. Always on, so
 * small: no byte that passes is kept. And the PING that somebody waits for. */
#include "agents/tunnel_state.h"

#include <utlist.h>

#include "base/clock.h"
#include "base/mem.h"
#include "frame.h"

#define TRACE_FRAMES 32
#define KIND_PONG 5 /* field of the message in agent.proto, as all of link_kinds */

struct traced {
	uint64_t a;           /* as struct frame has them */
	uint32_t at_ms;       /* since the agent's first HELLO */
	uint32_t stream;
	uint32_t more;        /* b - a, of an ACK: what may still be sent */
	uint16_t body_len;
	uint8_t type : 3, out : 1, kind : 4; /* kind: which link message */
};

struct tunnel_trace {
	size_t n; /* ever */
	struct traced ring[TRACE_FRAMES];
};

static const char *const types[] = {
	[FRAME_DATA] = "DATA", [FRAME_ACK] = "ACK", [FRAME_FIN] = "FIN", [FRAME_RESET] = "RESET", [FRAME_CONTROL] = "CONTROL",
};
static const char *const link_kinds[16] = {
	[2] = "HELLO", [3] = "WELCOME", [4] = "PING", [KIND_PONG] = "PONG", [6] = "GOAWAY", [7] = "MIGRATING",
};

/* head: with or without the body behind it, whose length is body_len if it is elsewhere. */
static const struct traced *note(struct tunnel *t, bool out, const uint8_t *head, size_t n, size_t body_len)
{
	struct traced *e;
	struct frame f;

	if (!frame_peek(head, n, &f))
		return NULL;
	if (!t->trace)
		t->trace = xcalloc(1, sizeof(*t->trace));
	e = &t->trace->ring[t->trace->n++ % TRACE_FRAMES];
	body_len += f.body_len;
	*e = (struct traced){
		.a = f.a, .at_ms = (uint32_t)(clock_mono_ms() - t->connected_ms), .stream = f.stream,
		.more = f.type == FRAME_ACK && f.b > f.a ? (uint32_t)(f.b - f.a) : 0,
		.body_len = (uint16_t)(body_len < UINT16_MAX ? body_len : UINT16_MAX),
		.type = f.type, .out = out,
		.kind = f.type == FRAME_CONTROL && f.body_len ? (f.body[0] >> 3) & 15 : 0,
	};
	return e;
}

void tunnel_trace_out(struct tunnel *t, const struct frame_out *f)
{
	note(t, true, f->head, f->head_len, f->body_len);
}

bool tunnel_trace_in(struct tunnel *t, const uint8_t *frame, size_t n)
{
	const struct traced *e = note(t, false, frame, n, 0);

	return e && e->kind == KIND_PONG;
}

void tunnel_trace_each(const struct tunnel *t, void (*fn)(void *ctx, const struct tunnel_frame *f), void *ctx)
{
	size_t n = t->trace ? t->trace->n : 0;
	uint32_t now = (uint32_t)(clock_mono_ms() - t->connected_ms);

	for (size_t i = n < TRACE_FRAMES ? 0 : n - TRACE_FRAMES; i < n; i++) {
		const struct traced *e = &t->trace->ring[i % TRACE_FRAMES];
		struct tunnel_frame f = {
			.ago_ms = now - e->at_ms, .to_agent = e->out, .type = types[e->type], .stream = e->stream,
			.offset = e->a, .limit = e->type == FRAME_ACK ? e->a + e->more : 0, .bytes = e->body_len,
		};

		if (link_kinds[e->kind])
			f.type = link_kinds[e->kind];
		fn(ctx, &f);
	}
}

/* ---- who waits for an answer ----------------------------------------------------------------------- */

struct ping_waiter {
	void (*fn)(void *ctx, bool answered);
	void *ctx;
	struct ping_waiter *prev, *next;
};

bool tunnel_ping(struct tunnel *t, void (*fn)(void *ctx, bool answered), void *ctx)
{
	struct ping_waiter *w;

	if (!tunnel_is_up(t))
		return false;
	w = xcalloc(1, sizeof(*w));
	w->fn = fn;
	w->ctx = ctx;
	DL_APPEND(t->pings, w);
	session_ask(t->session, clock_mono_ms());
	tunnel_arm_tick(t, clock_mono_ms() + SESSION_PROBE_MS);
	return true;
}

void tunnel_unping(struct tunnel *t, void *ctx)
{
	struct ping_waiter *w, *tmp;

	DL_FOREACH_SAFE(t->pings, w, tmp)
		if (w->ctx == ctx) {
			DL_DELETE(t->pings, w);
			free(w);
		}
}

void tunnel_answer_pings(struct tunnel *t, bool answered)
{
	while (t->pings) {
		struct ping_waiter w = *t->pings, *first = t->pings;

		DL_DELETE(t->pings, first);
		free(first);
		w.fn(w.ctx, answered);
	}
}
