/* dialect - see dialect.h: the connections, and the moving of frames between the two ends of the session. */
#include "dialect.h"

#include <assert.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/token.h"
#include "dialect_state.h"
#include "net/defer.h"

#define QUEUE_MAX (8 * 1024 * 1024)
#define MOVES_PER_ROUND 64 /* frames each way, then others have their turn */

static void move(void *ctx);

void dialect_wake(struct dialect *d)
{
	if (!d->active || d->wake_due)
		return;
	d->wake_due = true;
	loop_defer(&d->agent->loop, move, d);
}

/* ---- connections ------------------------------------------------------------------------------------ */

static void wire_free(struct wire *w)
{
	struct dialect *d = w->dialect;
	bool dialled = w->dialled;

	DL_DELETE(d->wires, w);
	dialect_wire_lost(w);
	dialect_queue_release(&w->out);
	free(w);
	if (dialled && d->active)
		d->on_lost(d->ctx);
	dialect_wake(d);
}

static void cut(struct wire *w, const char *why)
{
	log_warn("back end's connection closed", "peer=%s reason=\"%s\"", wslink_peer(w->ws), why);
	wslink_close(w->ws);
	wire_free(w);
}

void dialect_say(struct wire *w, const struct dialect_message *m)
{
	struct dialect_message lossy = *m;
	struct err err;

	if (dialect_queue_say(&w->out, m, &err) < 0) {
		/* A sentence of ours may hold the name of a file: the rest of the message counts. */
		lossy.message = NULL;
		if (!m->message || dialect_queue_say(&w->out, &lossy, &err) < 0)
			log_error("message to the back end lost", "type=%d error=\"%s\"", (int)m->type, err.msg);
	}
	wslink_wake(w->ws);
}

void dialect_set_paused(struct wire *w)
{
	wslink_pause_reading(w->ws, w->waits_for != NULL);
}

static struct wire *wire_of(struct dialect *d, const struct wslink *ws)
{
	struct wire *w;

	DL_FOREACH(d->wires, w)
		if (w->ws == ws)
			return w;
	return NULL;
}

static void on_open(void *ctx, struct wslink *ws)
{
	/* What we are given is open. */
}

static void on_message(void *ctx, struct wslink *ws, const uint8_t *text, size_t n)
{
	struct dialect *d = ctx;
	struct wire *w = wire_of(d, ws);
	struct err err;

	if (!w || !d->active)
		return;
	if (dialect_take(w, text, n, &err) < 0) {
		cut(w, err.msg);
		return;
	}
	dialect_set_paused(w);
	dialect_wake(d);
}

static int next(void *ctx, struct wslink *ws, struct wslink_out *ret)
{
	struct wire *w = wire_of(ctx, ws);

	*ret = (struct wslink_out){0};
	if (w && dialect_queue_next(&w->out, &ret->head, &ret->head_len))
		return 1;
	dialect_wake(ctx); /* there is room, or the last word is out */
	return 0;
}

static void on_close(void *ctx, struct wslink *ws, int http_status, const char *reason)
{
	struct wire *w = wire_of(ctx, ws);

	if (!w)
		return;
	log_info("back end's connection is closed", "reason=\"%s\"", reason);
	wire_free(w);
}

static const struct wslink_ops ws_ops = {
	.on_open = on_open, .on_message = on_message, .next = next, .on_close = on_close,
};

const struct wslink_ops *dialect_wslink_ops(void)
{
	return &ws_ops;
}

void dialect_add(struct dialect *d, struct wslink *ws, bool dialled)
{
	struct wire *w = xcalloc(1, sizeof(*w));

	assert(d->active);
	w->dialect = d;
	w->ws = ws;
	w->dialled = dialled;
	dialect_queue_init(&w->out, QUEUE_MAX);
	DL_APPEND(d->wires, w);
	wslink_speak_text(ws);
	wslink_give(ws, &ws_ops, d);
	log_info("a back end of the predecessor", "peer=%s dialled=%d", wslink_peer(ws), dialled);
}

bool dialect_dialled(const struct dialect *d)
{
	const struct wire *w;

	DL_FOREACH(d->wires, w)
		if (w->dialled)
			return true;
	return false;
}

/* ---- frames ----------------------------------------------------------------------------------------- */

static size_t gather(struct dialect *d, const struct frame_out *f)
{
	memcpy(d->frame, f->head, f->head_len);
	if (f->body_len)
		memcpy(d->frame + f->head_len, f->body, f->body_len);
	return f->head_len + f->body_len;
}

/* The first frame: the agent's processes and positions. */
static int take_hello(struct dialect *d, size_t n, struct err *err)
{
	uint8_t own_id[BOOT_ID_LEN];
	struct hello h;
	int rc;

	if (session_peek_hello(d->frame, n, &h, err) < 0)
		return -1;
	random_bytes(own_id, sizeof(own_id));
	d->session = session_new(SESSION_GATEWAY, own_id, &dialect_session_ops, d);
	rc = dialect_adopt(d, &h, err);
	if (rc == 0)
		rc = session_accept(d->session, &h, true, clock_mono_ms(), err);
	hello_release(&h);
	return rc;
}

static int exchange(struct dialect *d, bool *ret_more, struct err *err)
{
	struct session *agents = d->agent->session;
	uint64_t now = clock_mono_ms();
	struct frame_out f;

	*ret_more = true;
	for (int i = 0; *ret_more && i < MOVES_PER_ROUND; i++) {
		*ret_more = false;
		if (session_next_frame(agents, &f, now)) {
			size_t n = gather(d, &f);

			*ret_more = true;
			if ((d->session ? session_receive(d->session, d->frame, n, now, err) : take_hello(d, n, err)) < 0)
				return -1;
		}
		if (d->session && session_next_frame(d->session, &f, now)) {
			*ret_more = true;
			if (session_receive(agents, d->frame, gather(d, &f), now, err) < 0)
				return -1;
			procs_unblock(d->agent->procs);
		}
	}
	return 0;
}

static void on_tick(uv_timer_t *t)
{
	dialect_wake(t->data);
}

static void move(void *ctx)
{
	struct dialect *d = ctx;
	struct err err;
	uint64_t now, due;
	bool more;

	d->wake_due = false;
	if (!d->active)
		return;
	if (exchange(d, &more, &err) < 0) {
		log_error("our own frame is refused", "error=\"%s\"", err.msg);
		abort();
	}
	dialect_settle(d);
	if (more)
		dialect_wake(d);
	now = clock_mono_ms();
	due = session_tick(d->session, now);
	uv_update_time(&d->agent->loop);
	uv_timer_start(d->tick, on_tick, due > now ? due - now : 1, 0);
}

/* ---- life ------------------------------------------------------------------------------------------- */

struct dialect *dialect_new(struct agent *a, void (*on_lost)(void *ctx), void *ctx)
{
	struct dialect *d = xcalloc(1, sizeof(*d));

	d->agent = a;
	d->on_lost = on_lost;
	d->ctx = ctx;
	d->frame = xmalloc(FRAME_HANDSHAKE_MAX);
	for (int i = 0; i < 2; i++)
		buf_init(&d->ring[i], 2 * DIALECT_REPLAY);
	d->tick = xcalloc(1, sizeof(*d->tick));
	uv_timer_init(&a->loop, d->tick);
	d->tick->data = d;
	return d;
}

void dialect_begin(struct dialect *d)
{
	d->active = true;
	move(d); /* HELLO and its answer: processes are known before a back end can speak of them */
}

void dialect_end(struct dialect *d)
{
	struct wire *w;

	d->active = false;
	while ((w = d->wires)) {
		wslink_close(w->ws);
		wire_free(w);
	}
	dialect_release_all(d);
	session_free(d->session);
	d->session = NULL;
	uv_timer_stop(d->tick);
}

static void free_tick(uv_handle_t *h)
{
	free(h);
}

static void free_dialect(void *ctx)
{
	struct dialect *d = ctx;

	for (int i = 0; i < 2; i++)
		buf_release(&d->ring[i]);
	free(d->frame);
	free(d);
}

void dialect_free(struct dialect *d)
{
	if (!d)
		return;
	dialect_end(d);
	uv_close((uv_handle_t *)d->tick, free_tick);
	loop_defer(&d->agent->loop, free_dialect, d); /* behind a move that waits */
}
