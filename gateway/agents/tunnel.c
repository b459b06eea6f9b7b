/* tunnel - see tunnel.h. Life, links and time of a session; what comes of it and what is asked is in tunnel_*.c. */
#include "agents/tunnel_state.h"

#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/container.h"

#define LINK_RETENTION_MS (10 * 60 * 1000) /* a client's exec outlives its agent's link for so long (R19) */

/* ---- time ---------------------------------------------------------------------------------------- */

void tunnel_on_tick(uv_timer_t *timer)
{
	struct tunnel *t = timer->data;
	uint64_t now = clock_mono_ms();

	if (t->link && session_link_dead(t->session, t->link->ops->queue(t->link), now) &&
	    (!t->migrating || session_silent_ms(t->session, now) > LINK_RETENTION_MS)) {
		log_warn("agent silent, link closed", "container=%.12s after_ms=%llu", t->c->id,
			 (unsigned long long)session_silent_ms(t->session, now));
		tunnel_cut(t);
		if (t->freed) /* nobody needs it any more */
			return;
	}
	now = clock_mono_ms(); /* the link may just have been lost, after the moment above */
	if (!t->link && t->link_lost_ms && now - t->link_lost_ms > LINK_RETENTION_MS) {
		t->link_lost_ms = 0;
		tunnel_lose_clients(t);
	}
	t->tick_due_ms = 0;
	tunnel_arm_tick(t, tunnel_hang_up_abandoned(t, now));
	tunnel_arm_tick(t, session_tick(t->session, now));
}

/* Fire at due_ms or earlier, if something earlier is armed already. */
void tunnel_arm_tick(struct tunnel *t, uint64_t due_ms)
{
	uint64_t now = clock_mono_ms();

	if (due_ms == UINT64_MAX || (t->tick_due_ms && t->tick_due_ms <= due_ms))
		return;
	t->tick_due_ms = due_ms > now ? due_ms : now + 1;
	uv_timer_start(t->tick, tunnel_on_tick, t->tick_due_ms - now, 0);
}

/* ---- life ---------------------------------------------------------------------------------------- */

struct tunnel *tunnel_alloc(struct gateway *g, struct container *c, const struct tunnel_observer *observer, void *observer_ctx)
{
	struct tunnel *t = xcalloc(1, sizeof(*t));

	t->g = g;
	t->c = c;
	t->observer = observer;
	t->observer_ctx = observer_ctx;
	t->tick = xcalloc(1, sizeof(*t->tick));
	uv_timer_init(g->loop, t->tick);
	t->tick->data = t;
	return t;
}

struct tunnel *tunnel_new(struct gateway *g, struct container *c, const struct hello *h,
			  const struct tunnel_observer *observer, void *observer_ctx)
{
	struct tunnel *t = tunnel_alloc(g, c, observer, observer_ctx);

	random_bytes(t->own_id, sizeof(t->own_id));
	t->session = session_new(SESSION_GATEWAY, t->own_id, &tunnel_session_ops, t);
	memcpy(t->boot_id, h->boot_id, BOOT_ID_LEN);
	t->execution = xstrdup(h->execution ? h->execution : "");
	t->attempt = h->task_attempt;
	t->next_channel = MAIN_CHANNEL + 1;
	t->connected_ms = clock_mono_ms();
	return t;
}

static void free_timer(uv_handle_t *h)
{
	free(h);
}

static void free_tunnel(void *p)
{
	struct tunnel *t = p;
	struct main_news *news, *tmp;

	DL_FOREACH_SAFE(t->main_news, news, tmp)
		free(news);
	session_free(t->session);
	free(t->trace);
	free(t->execution);
	free(t);
}

void tunnel_free(struct tunnel *t)
{
	struct channel *ch, *tmp;
	struct link *l;

	if (!t || t->freed)
		return;
	t->freed = true;
	l = t->link;
	t->link = NULL;
	if (l) {
		l->tunnel = NULL;
		l->ops->close(l);
	}
	HASH_ITER(hh, t->channels, ch, tmp)
		if (ch->number == MAIN_CHANNEL)
			tunnel_channel_free(t, ch);
		else
			tunnel_end_exec(t, ch, ch->exited ? NULL : "the container has ended");
	tunnel_wake_main_waiters(t);
	tunnel_answer_pings(t, false);
	timer_cancel(&t->log_retry);
	uv_timer_stop(t->tick);
	uv_close((uv_handle_t *)t->tick, free_timer);
	t->tick = NULL;
	loop_defer(t->g->loop, free_tunnel, t); /* we may be inside one of the session's callbacks */
}

/* ---- links --------------------------------------------------------------------------------------- */

static void fence(struct tunnel *t)
{
	struct link *old = t->link;

	t->link = NULL;
	if (!old)
		return;
	old->tunnel = NULL;
	session_link_down(t->session);
	old->ops->close(old);
}

int tunnel_attach_link(struct tunnel *t, struct link *l, const struct hello *h, bool new_session, struct err *err)
{
	fence(t);
	if (new_session && tunnel_adopt(t, h, err) < 0)
		return -1;
	if (session_accept(t->session, h, new_session, clock_mono_ms(), err) < 0)
		return -1;
	if (!new_session && memcmp(h->gateway_id, t->own_id, BOOT_ID_LEN) != 0)
		tunnel_adopt_again(t, h);
	t->link = l;
	l->tunnel = t;
	t->link_no = h->link_no;
	t->links++;
	t->link_lost_ms = 0;
	t->migrating = false;
	l->ops->wake(l);
	tunnel_arm_tick(t, clock_mono_ms() + TUNNEL_ACK_DELAY_MS);
	tunnel_settle(t);
	return 0;
}

void tunnel_link_lost(struct tunnel *t, struct link *l)
{
	l->tunnel = NULL;
	if (t->link != l)
		return;
	t->link = NULL;
	t->link_lost_ms = clock_mono_ms();
	session_link_down(t->session);
	tunnel_answer_pings(t, false);
	t->observer->agent_lost(t->observer_ctx, t->c);
}

int tunnel_receive(struct tunnel *t, const uint8_t *frame, size_t n, struct err *err)
{
	uint64_t now = clock_mono_ms();
	bool pong = tunnel_trace_in(t, frame, n);

	if (session_receive(t->session, frame, n, now, err) < 0)
		return -1;
	if (pong)
		tunnel_answer_pings(t, true);
	tunnel_arm_tick(t, now + TUNNEL_ACK_DELAY_MS);
	if (t->dirty)
		tunnel_settle(t);
	return 0;
}

int tunnel_next_frame(struct tunnel *t, struct frame_out *ret)
{
	if (!session_next_frame(t->session, ret, clock_mono_ms()))
		return 0;
	tunnel_trace_out(t, ret);
	return 1;
}

bool tunnel_is_up(const struct tunnel *t)
{
	return t->link && session_link_up(t->session);
}

const char *tunnel_peer(const struct tunnel *t)
{
	return t->link ? t->link->ops->peer(t->link) : "";
}

bool tunnel_main_started(const struct tunnel *t, uint32_t *ret_pid, int64_t *ret_started_ns)
{
	struct channel *ch = tunnel_channel((struct tunnel *)t, MAIN_CHANNEL);

	*ret_pid = t->main_pid;
	*ret_started_ns = t->main_started_ns;
	return ch && (ch->exited ? !ch->status.error || ch->status.started_ns : t->main_pid != 0);
}

uint32_t tunnel_main_restarts(const struct tunnel *t)
{
	return t->restarts;
}

bool tunnel_is_idle(const struct tunnel *t)
{
	const struct channel *ch;

	for (ch = t->channels; ch; ch = ch->hh.next)
		if (ch->sink)
			return false;
	return true;
}

bool tunnel_cut(struct tunnel *t)
{
	struct link *l = t->link;

	if (!l)
		return false;
	tunnel_link_lost(t, l);
	l->ops->close(l);
	return true;
}

const uint8_t *tunnel_boot_id(const struct tunnel *t)
{
	return t->boot_id;
}

const char *tunnel_execution(const struct tunnel *t)
{
	return t->execution;
}

uint32_t tunnel_attempt(const struct tunnel *t)
{
	return t->attempt;
}

uint64_t tunnel_link_no(const struct tunnel *t)
{
	return t->link_no;
}

struct session *tunnel_session(struct tunnel *t)
{
	return t->session;
}

struct container *tunnel_container(const struct tunnel *t)
{
	return t->c;
}
bool tunnel_process(const struct tunnel *t, uint32_t channel, struct tunnel_process *ret)
{
	const struct channel *ch = tunnel_channel((struct tunnel *)t, channel);

	if (!ch)
		return false;
	*ret = (struct tunnel_process){
		.exec_id = ch->exec_id,
		.has_client = ch->number == MAIN_CHANNEL || (ch->sink && !ch->sink->detached),
		.input = ch->input,
		.discarded = ch->discarded,
		.alone_ms = ch->alone_ms ? clock_mono_ms() - ch->alone_ms : 0,
	};
	return true;
}

void tunnel_info(const struct tunnel *t, struct tunnel_info *ret)
{
	*ret = (struct tunnel_info){
		.peer = tunnel_peer(t),
		.execution = t->execution,
		.up = tunnel_is_up(t),
		.migrating = t->migrating,
		.connected_ms = clock_mono_ms() - t->connected_ms,
		.away_ms = t->link ? 0 : clock_mono_ms() - t->link_lost_ms,
		.silent_ms = t->link ? session_silent_ms(t->session, clock_mono_ms()) : 0,
		.queue = t->link ? t->link->ops->queue(t->link) : 0,
		.discarded = t->discarded,
		.hang_ups = t->hang_ups,
	};
	for (const struct channel *ch = t->channels; ch; ch = ch->hh.next) {
		ret->processes++;
		ret->abandoned += ch->alone_ms && !ch->exited;
		ret->unacknowledged += ch->exited && !(ch->number == MAIN_CHANNEL ? t->main_reported : ch->ended);
	}
	session_stats(t->session, &ret->stats);
}
