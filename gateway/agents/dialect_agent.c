/* dialect_agent - see dialect_agent.h: the agents, their wires, and the moving of frames.
 *
 *   socket ==texts==> wire ==messages==> dialect_process.c ==> session ==frames==> tunnel
 *
 * Whatever happens only notes it and asks for move(), which runs from the loop and is the one place from
 * which the tunnel is called, and in which wires and agents end. */
#include "agents/dialect_agent.h"

#include <string.h>
#include <utlist.h>

#include "agents/dialect_state.h"
#include "agents/registry.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/container.h"
#include "state/logs.h"

#define QUEUE_MAX (8 * 1024 * 1024)
#define MOVES_PER_ROUND 64                /* frames each way, then others have their turn */
#define LOST_DRAIN_MS 10000               /* what came before the agent went away is delivered so long */
#define END_QUIET_MS 1000                 /* main is known to have ended: so long for what it has printed */
#define FORGET_MS (10 * 60 * 1000)        /* it dials ten times at most, with pauses of up to 30 s */

struct dialects {
	struct gateway *g;
	struct dialect_agent *agents;
	uint8_t *frame;                   /* FRAME_HANDSHAKE_MAX: one on its way */
};

static void move(void *p);
static void agent_free(struct dialect_agent *a);

void dialect_wake(struct dialect_agent *a)
{
	if (a->wake_due || a->freed)
		return;
	a->wake_due = true;
	loop_defer(a->all->g->loop, move, a);
}

/* ---- as the tunnel sees it -------------------------------------------------------------------------- */

static void link_wake(struct link *l)
{
	dialect_wake((struct dialect_agent *)l);
}

static void link_close(struct link *l)
{
	((struct dialect_agent *)l)->closing = true;
	link_wake(l);
}

static const char *link_peer(const struct link *l)
{
	return ((const struct dialect_agent *)l)->peer;
}

static size_t link_queue(const struct link *l)
{
	return 0; /* frames are taken at once */
}

static void link_refuse(struct link *l, const struct buf *frame)
{
	link_close(l); /* the agent hears of it by its socket's end */
}

static const struct link_ops link_ops = {
	.wake = link_wake,
	.close = link_close,
	.peer = link_peer,
	.queue = link_queue,
	.refuse = link_refuse,
	.cannot = dialect_cannot,
};

/* ---- wires ------------------------------------------------------------------------------------------ */

static struct dialect_wire *wire_add(struct dialect_agent *a, const struct dialect_wire_ops *ops)
{
	struct dialect_wire *w = xcalloc(1, sizeof(*w));

	w->agent = a;
	w->ops = ops;
	dialect_queue_init(&w->out, QUEUE_MAX);
	dialect_queue_init(&w->in, QUEUE_MAX);
	DL_APPEND(a->wires, w);
	return w;
}

static void wire_free(struct dialect_wire *w)
{
	struct dialect_agent *a = w->agent;
	struct dialect_process *p, *tmp;

	DL_DELETE(a->wires, w);
	if (a->main == w)
		a->main = NULL;
	HASH_ITER(hh, a->processes, p, tmp)
		if (p->wire == w)
			dialect_process_lost(p);
	dialect_queue_release(&w->out);
	dialect_queue_release(&w->in);
	free(w);
}

/* Our end of it. What has come through it is still looked at. */
static void wire_shut(struct dialect_wire *w)
{
	if (w->closed)
		return;
	w->closed = true;
	w->ops->close(w->ctx);
}

void dialect_say(struct dialect_wire *w, const struct dialect_message *m)
{
	struct err err;

	if (w->closed)
		return;
	if (dialect_queue_say(&w->out, m, &err) < 0) {
		log_warn("agent's connection closed", "container=%.12s reason=\"%s\"", w->agent->id, err.msg);
		wire_shut(w);
		dialect_wake(w->agent);
		return;
	}
	w->ops->wake(w->ctx);
}

struct dialect_wire *dialect_wire_for(struct dialect_agent *a, uint32_t channel)
{
	struct dialect_wire *w;

	if (!a->main || a->main->closed || !a->main->ops->open)
		return a->main && !a->main->closed ? a->main : NULL;
	w = wire_add(a, a->main->ops);
	w->only = channel;
	w->ctx = a->main->ops->open(a->main->ctx, w);
	if (w->ctx)
		return w;
	wire_free(w);
	return NULL;
}

static void set_paused(struct dialect_wire *w)
{
	bool pause = w->waits_for || dialect_queue_len(&w->in) || w->held;

	if (w->paused == pause || w->closed)
		return;
	w->paused = pause;
	w->ops->pause(w->ctx, pause);
}

/* What waited for room, as far as there is some. False: the agent cannot be understood. */
static bool wire_catch_up(struct dialect_wire *w)
{
	const uint8_t *text;
	struct err err;
	size_t n;

	if (w->held)
		return true;
	for (;;) {
		if (w->waits_for && !dialect_process_flush(w->waits_for))
			return true;
		w->waits_for = NULL;
		if (!dialect_queue_next(&w->in, &text, &n))
			return true;
		if (dialect_process_take(w, text, n, &err) < 0) {
			log_warn("agent's message refused", "container=%.12s reason=\"%s\"", w->agent->id, err.msg);
			return false;
		}
	}
}

static struct dialect_process *main_of(struct dialect_agent *a)
{
	struct dialect_process *main;
	uint32_t channel = MAIN_CHANNEL;

	HASH_FIND(hh, a->processes, &channel, sizeof(channel), main);
	return main;
}

static void wire_activate(struct dialect_agent *a, struct dialect_wire *w)
{
	struct dialect_process *main = main_of(a);

	w->held = false;
	a->main = w;
	a->lost_ms = 0;
	main->wire = w;
	dialect_process_attach(main);
}

/* All wires: go on where there is room, end what has ended. */
static void look_after_wires(struct dialect_agent *a)
{
	struct dialect_wire *w, *tmp;
	struct dialect_process *p, *ptmp;

	DL_FOREACH_SAFE(a->wires, w, tmp) {
		if (!wire_catch_up(w)) {
			wire_shut(w);
			wire_free(w);
		} else if (w->closed && (w->held || (!w->waits_for && !dialect_queue_len(&w->in))))
			wire_free(w);
		else
			set_paused(w);
	}
	if (!a->main && !a->seeding)
		DL_FOREACH_SAFE(a->wires, w, tmp)
			if (w->held && !a->main)
				wire_activate(a, w);
	HASH_ITER(hh, a->processes, p, ptmp)
		dialect_process_feed(p);
	for (w = a->wires; w; w = w->next)
		if (w->only && !w->closed) {
			HASH_FIND(hh, a->processes, &w->only, sizeof(w->only), p);
			if (!p || p->exited)
				wire_shut(w);
		}
}

/* ---- the session's other end ------------------------------------------------------------------------ */

static void say_hello(struct dialect_agent *a)
{
	struct hello h = {
		.container_id = xstrdup(a->id),
		.execution = xstrdup(a->execution),
		.agent_version = xstrdup("predecessor"),
		.link_no = ++a->link_no,
		.window_in = STREAM_WINDOW_DEFAULT,
		.window_out = STREAM_WINDOW_DEFAULT,
	};
	struct dialect_process *p, *tmp;

	h.procs = xcalloc(HASH_COUNT(a->processes), sizeof(*h.procs));
	HASH_ITER(hh, a->processes, p, tmp) {
		struct proc_row *row = &h.procs[h.n_procs++];

		*row = (struct proc_row){ .channel = p->channel, .pid = p->channel == MAIN_CHANNEL, .exit = p->status,
					  .state = p->exited ? PROC_EXITED : PROC_RUNNING };
		row->exec_id = xstrdup(p->channel == MAIN_CHANNEL ? "" : p->id);
		row->exit.error = xstrdup(p->status.error);
	}
	session_hello(a->session, &h, clock_mono_ms());
	hello_release(&h);
}

/* The session's frame goes up. False: that was the end of it. */
static bool give_frame(struct dialect_agent *a, size_t n)
{
	struct registry *r = a->all->g->registry;
	const uint8_t *frame = a->all->frame;
	struct err err = { 0 };
	struct buf refusal;
	int rc = 0;

	if (a->base.tunnel) {
		rc = tunnel_receive(a->base.tunnel, frame, n, &err);
	} else if (!a->greeted) {
		a->greeted = true;
		buf_init(&refusal, FRAME_MAX);
		rc = registry_hello(r, a->id, &a->base, frame, n, &refusal, &err);
		buf_release(&refusal);
	}
	if (rc < 0)
		log_warn("predecessor's agent refused", "container=%.12s peer=%s reason=\"%s\"", a->id, a->peer, err.msg);
	return rc == 0;
}

static size_t gather(struct dialect_agent *a, const struct frame_out *f)
{
	memcpy(a->all->frame, f->head, f->head_len);
	if (f->body_len)
		memcpy(a->all->frame + f->head_len, f->body, f->body_len);
	return f->head_len + f->body_len;
}

/* Frames, both ways. False: it is over. *ret_more: there may be more. */
static bool exchange_frames(struct dialect_agent *a, bool *ret_more)
{
	struct frame_out f;
	struct err err;

	*ret_more = true;
	for (int i = 0; *ret_more && i < MOVES_PER_ROUND; i++) {
		*ret_more = false;
		if (session_next_frame(a->session, &f, clock_mono_ms())) {
			*ret_more = true;
			if (!give_frame(a, gather(a, &f)))
				return false;
		}
		if (a->base.tunnel && tunnel_next_frame(a->base.tunnel, &f)) {
			*ret_more = true;
			if (session_receive(a->session, a->all->frame, gather(a, &f), clock_mono_ms(), &err) < 0) {
				log_error("our own frame is refused", "container=%.12s reason=\"%s\"", a->id, err.msg);
				return false;
			}
		}
		if (a->closing)
			return false;
	}
	return true;
}

static void link_down(struct dialect_agent *a)
{
	registry_link_gone(a->all->g->registry, &a->base);
	session_link_down(a->session);
	a->greeted = false;
	a->lost_ms = 0;
}

static bool all_delivered(const struct dialect_agent *a)
{
	struct session_stats stats;

	session_stats(a->session, &stats);
	return !stats.replay_bytes && HASH_COUNT(a->processes) == 1;
}

/* The agent is away. What it has said is delivered first, and that it is gone is told then. */
static void settle_loss(struct dialect_agent *a)
{
	uint64_t now = clock_mono_ms();

	if (a->main || a->wires || !a->greeted)
		return;
	if (!a->lost_ms)
		a->lost_ms = now;
	if (all_delivered(a) || now - a->lost_ms >= LOST_DRAIN_MS)
		link_down(a);
}

static void on_tick(uv_timer_t *t)
{
	dialect_wake(t->data);
}

static void arm_tick(struct dialect_agent *a)
{
	uint64_t now = clock_mono_ms(), due = session_tick(a->session, now);

	if (a->lost_ms && due > a->lost_ms + LOST_DRAIN_MS)
		due = a->lost_ms + LOST_DRAIN_MS;
	if (!a->greeted) {
		uv_timer_stop(a->tick);
		return;
	}
	uv_update_time(a->all->g->loop);
	uv_timer_start(a->tick, on_tick, due > now ? due - now : 1, 0);
}

static void move(void *ctx)
{
	struct dialect_agent *a = ctx;
	bool more;

	a->wake_due = false;
	if (a->freed)
		return;
	look_after_wires(a);
	if (a->main && !a->greeted)
		say_hello(a);
	if (a->closing || !exchange_frames(a, &more)) {
		agent_free(a);
		return;
	}
	look_after_wires(a); /* there may be room now */
	settle_loss(a);
	if (more)
		dialect_wake(a);
	arm_tick(a);
}

/* ---- what is known of main's output ----------------------------------------------------------------- */

static struct container *container_of_agent(const struct dialect_agent *a)
{
	return containers_by_id(a->all->g->containers, a->id);
}

static void seed_more(void *ctx)
{
	struct dialect_agent *a = ctx;
	struct container *c = container_of_agent(a);
	const uint8_t *p;
	int64_t time_ns;
	struct err err;
	uint8_t tag;
	size_t n, read = 0;
	int rc = 0;

	if (a->freed)
		return;
	while (c && read < LOG_READ_SLICE && (rc = log_cursor_next(a->seed, &tag, &time_ns, &p, &n, &err)) == 1) {
		read += n;
		if (time_ns >= c->started_ns && (tag == 1 || tag == 2))
			replay_tail_add(&a->tail[tag - 1], p, n);
	}
	if (rc == 1) {
		loop_defer(a->all->g->loop, seed_more, a);
		return;
	}
	log_cursor_free(a->seed);
	a->seed = NULL;
	a->seeding = false;
	dialect_wake(a);
}

/* A gateway that was started again has this run's output in the container's log. */
static void seed(struct dialect_agent *a, struct container *c)
{
	struct log *log = c->state == CONTAINER_RUNNING ? container_log(c, NULL) : NULL;

	if (!log || !log_has_output(log))
		return;
	a->seed = log_cursor_new(log, LOG_FROM_START);
	a->seeding = true;
	loop_defer(a->all->g->loop, seed_more, a);
}

/* ---- agents ----------------------------------------------------------------------------------------- */

static void forget(void *ctx)
{
	struct dialect_agent *a = ctx;

	a->forget = NULL;
	if (a->wires)
		a->forget = timer_start(a->all->g->loop, FORGET_MS, forget, a);
	else
		agent_free(a);
}

static struct dialect_agent *agent_new(struct dialects *d, struct container *c)
{
	struct dialect_agent *a = xcalloc(1, sizeof(*a));
	uint8_t boot_id[BOOT_ID_LEN];

	random_bytes(boot_id, sizeof(boot_id));
	a->base.ops = &link_ops;
	a->all = d;
	snprintf(a->id, sizeof(a->id), "%s", c->id);
	a->execution = xstrdup(c->execution ? c->execution : "");
	a->session = session_new(SESSION_AGENT, boot_id, &dialect_session_ops, a);
	for (int i = 0; i < 2; i++)
		replay_tail_init(&a->tail[i]);
	a->tick = xcalloc(1, sizeof(*a->tick));
	uv_timer_init(d->g->loop, a->tick);
	a->tick->data = a;
	a->forget = timer_start(d->g->loop, FORGET_MS, forget, a);
	dialect_process_new(a, MAIN_CHANNEL, a->id);
	seed(a, c);
	DL_APPEND(d->agents, a);
	return a;
}

static void free_tick(uv_handle_t *h)
{
	free(h);
}

static void free_agent(void *ctx)
{
	struct dialect_agent *a = ctx;

	session_free(a->session);
	for (int i = 0; i < 2; i++)
		replay_tail_release(&a->tail[i]);
	free(a->execution);
	free(a);
}

static void agent_free(struct dialect_agent *a)
{
	struct dialect_process *p, *tmp;

	a->freed = true;
	DL_DELETE(a->all->agents, a);
	while (a->wires) {
		wire_shut(a->wires);
		wire_free(a->wires);
	}
	registry_link_gone(a->all->g->registry, &a->base);
	HASH_ITER(hh, a->processes, p, tmp)
		dialect_process_free(p);
	log_cursor_free(a->seed);
	timer_cancel(&a->forget);
	timer_cancel(&a->end);
	uv_timer_stop(a->tick);
	uv_close((uv_handle_t *)a->tick, free_tick);
	loop_defer(a->all->g->loop, free_agent, a);
}

/* The one that served this run of the container, if its main process has not ended: it is the same. */
static struct dialect_agent *agent_of(struct dialects *d, struct container *c)
{
	struct dialect_agent *a, *tmp;

	DL_FOREACH_SAFE(d->agents, a, tmp) {
		if (strcmp(a->id, c->id) != 0)
			continue;
		if (!main_of(a)->exited && (!a->execution[0] || !c->execution || !strcmp(a->execution, c->execution)))
			return a;
		agent_free(a);
	}
	return agent_new(d, c);
}

/* ---- API -------------------------------------------------------------------------------------------- */

struct dialects *dialects_new(struct gateway *g)
{
	struct dialects *d = xcalloc(1, sizeof(*d));

	d->g = g;
	d->frame = xmalloc(FRAME_HANDSHAKE_MAX);
	return d;
}

void dialects_free(struct dialects *d)
{
	if (!d)
		return;
	while (d->agents)
		agent_free(d->agents);
	free(d->frame);
	free(d);
}

struct dialect_wire *dialect_wire_new(struct dialects *d, const char *container_id,
				      const struct dialect_wire_ops *ops, void *ctx)
{
	struct container *c = containers_by_id(d->g->containers, container_id);
	struct dialect_agent *a = c ? agent_of(d, c) : NULL;
	struct dialect_wire *w, *old;

	if (!a)
		return NULL;
	for (old = a->wires; old; old = old->next)
		if (!old->only)
			wire_shut(old);
	w = wire_add(a, ops);
	w->ctx = ctx;
	w->held = true; /* until what came through the old one is looked at */
	snprintf(a->peer, sizeof(a->peer), "%s", ops->peer(ctx));
	dialect_wake(a);
	return w;
}

static void on_end(void *ctx)
{
	struct dialect_agent *a = ctx;

	a->end = NULL;
	dialect_process_end(main_of(a), a->end_code, NULL);
}

void dialect_wire_main_ended(struct dialect_wire *w, int code)
{
	struct dialect_agent *a = w->agent;

	a->end_code = code & 0xff;
	if (!a->end)
		a->end = timer_start(a->all->g->loop, END_QUIET_MS, on_end, a);
}

int dialect_wire_receive(struct dialect_wire *w, const void *text, size_t n, struct err *err)
{
	int rc;

	if (w->waits_for || w->held || dialect_queue_len(&w->in)) {
		rc = dialect_queue_put(&w->in, text, n);
		if (rc < 0)
			err_set(err, ERR_LIMIT, "the agent does not stop sending");
	} else {
		rc = dialect_process_take(w, text, n, err);
		set_paused(w);
	}
	dialect_wake(w->agent);
	return rc;
}

bool dialect_wire_next(struct dialect_wire *w, const uint8_t **ret, size_t *ret_len)
{
	struct dialect_process *p;

	if (dialect_queue_next(&w->out, ret, ret_len))
		return true;
	for (p = w->agent->processes; p; p = p->hh.next)
		if (p->wire == w && p->in && stream_kept(p->in)) {
			dialect_wake(w->agent);
			break;
		}
	return false;
}

void dialect_wire_gone(struct dialect_wire *w)
{
	w->closed = true;
	dialect_wake(w->agent);
}
