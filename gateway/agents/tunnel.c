/* tunnel - see tunnel.h.
 * Session callbacks run inside session_receive and stream_resume and only change state; what follows
 * from it (ends, exits) is settled afterwards in tunnel_settle, so nothing is freed under the
 * session's feet. */
#include "agents/tunnel_state.h"

#include <assert.h>
#include <signal.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/token.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/container.h"
#include "state/events.h"
#include "state/exec.h"
#include "state/logs.h"

#define ACK_DELAY_MS 25
#define LOG_RETRY_MS 1000
#define CHANGED "the output was changed on its way (checksums differ)"
/* How long a client's exec outlives its agent's link before the client is told (R19). */
#define LINK_RETENTION_MS (10 * 60 * 1000)

/* ---- channels ------------------------------------------------------------------------------------ */

struct channel *tunnel_channel(struct tunnel *t, uint32_t number)
{
	struct channel *ch;

	HASH_FIND(hh, t->channels, &number, sizeof(number), ch);
	return ch;
}

static struct channel *channel_of(struct tunnel *t, struct stream *st)
{
	return tunnel_channel(t, stream_id(st) / 2);
}

struct channel *tunnel_channel_add(struct tunnel *t, uint32_t number, const char *exec_id)
{
	struct channel *ch = xcalloc(1, sizeof(*ch));

	ch->number = number;
	snprintf(ch->exec_id, sizeof(ch->exec_id), "%s", exec_id);
	HASH_ADD(hh, t->channels, number, sizeof(number), ch);
	return ch;
}

static void channel_close_streams(struct channel *ch)
{
	if (ch->in)
		stream_close(ch->in);
	if (ch->out)
		stream_close(ch->out);
	ch->in = ch->out = NULL;
}

static void channel_free(struct tunnel *t, struct channel *ch)
{
	HASH_DEL(t->channels, ch);
	free(ch->status.error);
	free(ch);
}

static bool channel_output_complete(const struct channel *ch)
{
	return !ch->out || ch->lost || stream_delivered(ch->out) >= ch->status.final_offset;
}

/* ---- session callbacks --------------------------------------------------------------------------- */

static void retry_log(void *ctx)
{
	struct tunnel *t = ctx;
	struct channel *ch = tunnel_channel(t, MAIN_CHANNEL);

	t->log_retry = NULL;
	if (ch && ch->out)
		tunnel_output_resume(t, MAIN_CHANNEL);
}

static size_t store_output(struct tunnel *t, const uint8_t *p, size_t n)
{
	struct err err;
	struct log *log = container_log(t->c, &err);

	if (log && log_append(log, p, n, &err) == 0)
		return n;
	/* Nothing is acknowledged, so the agent keeps the bytes and the process waits. */
	log_error("container output cannot be stored; trying again", "container=%.12s error=\"%s\"", t->c->id, err.msg);
	if (!t->log_retry)
		t->log_retry = timer_start(t->g->loop, LOG_RETRY_MS, retry_log, t);
	return 0;
}

static size_t on_data(void *ctx, struct stream *st, const uint8_t *p, size_t n)
{
	struct tunnel *t = ctx;
	struct channel *ch = channel_of(t, st);

	if (!ch)
		return n;
	if (ch->exited || (ch->number == MAIN_CHANNEL && t->main_news))
		t->dirty = true;
	if (ch->number == MAIN_CHANNEL)
		return store_output(t, p, n);
	if (ch->sink && !ch->sink->detached)
		return ch->sink->on_output(ch->ctx, p, n);
	ch->discarded += n;
	return n;
}

static void on_fin(void *ctx, struct stream *st)
{
	((struct tunnel *)ctx)->dirty = true;
}

static void on_reset(void *ctx, struct stream *st, uint32_t code)
{
	struct tunnel *t = ctx;
	struct channel *ch = channel_of(t, st);

	if (!ch)
		return;
	if (code == RESET_CORRUPT)
		log_error("checksums differ at the end of a stream", "container=%.12s channel=%u stream=%u", t->c->id, ch->number,
			  stream_id(st));
	if (st == ch->in && code == RESET_CORRUPT && ch->number != MAIN_CHANNEL) {
		ch->lost = "the input was changed on its way (checksums differ)";
		t->dirty = true;
	}
	if (st == ch->in) {          /* the process has closed its stdin: what comes is dropped, as by a pipe */
		stream_close(ch->in);
		ch->in = NULL;
		if (ch->sink && !ch->sink->detached)
			ch->sink->on_input_room(ch->ctx);
		return;
	}
	log_warn("output stream lost", "container=%.12s channel=%u code=%u", t->c->id, ch->number, code);
	stream_close(ch->out);
	ch->out = NULL;
	ch->lost = code == RESET_CORRUPT ? CHANGED : "the output stream was lost";
	t->dirty = true;
}

static void wake_main_waiters(struct tunnel *t)
{
	struct input_waiter *w, *list = t->main_waiters, *tmp;

	t->main_waiters = NULL;
	DL_FOREACH_SAFE(list, w, tmp) {
		void (*fn)(void *) = w->fn;
		void *ctx = w->ctx;

		DL_DELETE(list, w);
		free(w);
		fn(ctx);
	}
}

static void on_writable(void *ctx, struct stream *st)
{
	struct tunnel *t = ctx;
	struct channel *ch = channel_of(t, st);

	if (ch && ch->number == MAIN_CHANNEL)
		wake_main_waiters(t);
	else if (ch && ch->sink && !ch->sink->detached)
		ch->sink->on_input_room(ch->ctx);
}

void tunnel_take_exit(struct tunnel *t, struct channel *ch, const struct exit_status *status)
{
	if (ch->exited)
		return;
	ch->exited = true;
	ch->status = *status;
	ch->status.error = xstrdup(status->error);
	t->dirty = true;
}

static void on_control(void *ctx, const struct control *c)
{
	struct tunnel *t = ctx;
	struct channel *ch = tunnel_channel(t, c->channel);
	const struct tunnel_sink *sink;
	struct exec *e;

	if (c->type == CONTROL_MIGRATING) {
		t->migrating = true;
		log_info("agent is being moved", "container=%.12s", t->c->id);
		return;
	}
	if (!ch)
		return;
	switch (c->type) {
	case CONTROL_STARTED:
		if (ch->number == MAIN_CHANNEL) {
			tunnel_take_start(t, c->started.pid, c->started.started_ns);
			break;
		}
		e = execs_find(t->g->execs, ch->exec_id, NULL);
		if (e)
			exec_set_pid(e, c->started.pid);
		if (ch->sink && ch->sink->detached) {
			sink = ch->sink;
			ch->sink = NULL;
			sink->on_started(ch->ctx);
		}
		break;
	case CONTROL_EXIT:
		tunnel_take_exit(t, ch, &c->exit.status);
		break;
	case CONTROL_RESTARTING:
		if (ch->number == MAIN_CHANNEL)
			tunnel_take_restart(t, &c->restarting.status, c->restarting.count);
		break;
	default:
		log_warn("unexpected control message", "container=%.12s type=%d", t->c->id, (int)c->type);
	}
}

static void on_wake(void *ctx)
{
	struct tunnel *t = ctx;

	if (t->link)
		t->link->ops->wake(t->link);
}

static uint64_t now_us(void *ctx)
{
	return clock_mono_us();
}

const struct session_ops tunnel_session_ops = {
	.on_data = on_data,
	.on_fin = on_fin,
	.on_reset = on_reset,
	.on_writable = on_writable,
	.on_control = on_control,
	.on_wake = on_wake,
	.now_us = now_us,
};

/* ---- what follows from it ------------------------------------------------------------------------ */

static void send_exit_ack(struct tunnel *t, uint32_t channel)
{
	struct control c = { .type = CONTROL_EXIT_ACK, .channel = channel };
	struct err err;

	if (session_send(t->session, &c, &err) < 0)
		log_warn("exit cannot be acknowledged", "container=%.12s error=\"%s\"", t->c->id, err.msg);
}

static void emit_exec_die(struct tunnel *t, const struct channel *ch)
{
	json_t *attributes = container_event_attributes(t->c);

	json_object_set_new(attributes, "execID", json_string(ch->exec_id));
	json_object_set_new(attributes, "exitCode", json_sprintf("%d", ch->status.code));
	events_emit(t->g->events, "container", "exec_die", t->c->id, attributes);
}

/* The exit code is visible to docker exec inspect at once; the client's stream ends after its last byte. */
static void record_exec_exit(struct tunnel *t, struct channel *ch)
{
	struct exec *e = execs_find(t->g->execs, ch->exec_id, NULL);
	struct err err;

	if (e && e->state != EXEC_EXITED) {
		if (exec_set_exited(e, ch->status.code, ch->status.error, ch->status.finished_ns, &err) < 0)
			log_error("exec's end cannot be stored", "exec=%.12s error=\"%s\"", ch->exec_id, err.msg);
		if (!ch->status.error) /* as in dockerd, what could not be run does not die */
			emit_exec_die(t, ch);
	}
	send_exit_ack(t, ch->number);
}

static void end_exec(struct tunnel *t, struct channel *ch, const char *lost)
{
	const struct tunnel_sink *sink = ch->sink;
	void *ctx = ch->ctx;
	int code = ch->status.code;

	channel_close_streams(ch);
	channel_free(t, ch);
	if (sink)
		sink->on_end(ctx, code, lost);
}

/* All has come: is it what was sent? A sentence if not. */
static const char *output_damage(struct tunnel *t, struct channel *ch)
{
	uint64_t sent = ch->status.output_check, come = ch->out ? stream_check(ch->out) : 0;

	if (!ch->lost && sent && come && sent != come) {
		ch->lost = CHANGED;
		log_error("checksums differ at the end of an output", "container=%.12s channel=%u", t->c->id, ch->number);
	}
	return ch->lost;
}

static void settle_main(struct tunnel *t, struct channel *ch)
{
	if (!tunnel_settle_restarts(t, ch) || t->main_reported || !ch->exited || !channel_output_complete(ch))
		return;
	t->main_reported = true;
	if (output_damage(t, ch))
		log_error("container ended, output incomplete", "container=%.12s reason=\"%s\"", t->c->id, ch->lost);
	send_exit_ack(t, MAIN_CHANNEL);
	t->observer->main_exited(t->observer_ctx, t->c, &ch->status);
}

static void tunnel_settle(struct tunnel *t)
{
	struct channel *ch, *tmp;

	while (t->dirty && !t->freed) {
		t->dirty = false;
		HASH_ITER(hh, t->channels, ch, tmp) {
			if (ch->number == MAIN_CHANNEL)
				continue;
			if (ch->exited && !ch->ended) {
				ch->ended = true;
				record_exec_exit(t, ch);
			}
			if (ch->exited && channel_output_complete(ch))
				end_exec(t, ch, output_damage(t, ch));
			else if (ch->lost)
				end_exec(t, ch, ch->lost);
			if (t->dirty)
				break; /* the sink changed the table: start over */
		}
	}
	ch = tunnel_channel(t, MAIN_CHANNEL);
	if (ch)
		settle_main(t, ch);
}

/* ---- time ---------------------------------------------------------------------------------------- */

static void arm_tick(struct tunnel *t, uint64_t due_ms);

static void lose_retained_execs(struct tunnel *t)
{
	struct channel *ch, *tmp;

	HASH_ITER(hh, t->channels, ch, tmp)
		if (ch->number != MAIN_CHANNEL && ch->sink) {
			const struct tunnel_sink *sink = ch->sink;

			ch->sink = NULL;
			if (ch->in)
				stream_fin(ch->in);
			sink->on_end(ch->ctx, 0, "the container's agent has not been heard of for 10 minutes");
		}
}

void tunnel_on_tick(uv_timer_t *timer)
{
	struct tunnel *t = timer->data;
	uint64_t now = clock_mono_ms();

	if (t->link && session_link_dead(t->session, t->link->ops->queue(t->link), now) &&
	    (!t->migrating || session_silent_ms(t->session, now) > LINK_RETENTION_MS)) {
		log_warn("agent silent, link closed", "container=%.12s after_ms=%llu", t->c->id,
			 (unsigned long long)session_silent_ms(t->session, now));
		tunnel_cut(t);
	}
	now = clock_mono_ms(); /* the link may just have been lost, after the moment above */
	if (!t->link && t->link_lost_ms && now - t->link_lost_ms > LINK_RETENTION_MS) {
		t->link_lost_ms = 0;
		lose_retained_execs(t);
	}
	t->tick_due_ms = 0;
	arm_tick(t, session_tick(t->session, now));
}

/* Fire at due_ms or earlier, if something earlier is armed already. */
static void arm_tick(struct tunnel *t, uint64_t due_ms)
{
	uint64_t now = clock_mono_ms();

	if (t->tick_due_ms && t->tick_due_ms <= due_ms)
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
			channel_free(t, ch);
		else
			end_exec(t, ch, ch->exited ? NULL : "the container has ended");
	wake_main_waiters(t);
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
	t->link_lost_ms = 0;
	t->migrating = false;
	l->ops->wake(l);
	arm_tick(t, clock_mono_ms() + ACK_DELAY_MS);
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
	t->observer->agent_lost(t->observer_ctx, t->c);
}

int tunnel_receive(struct tunnel *t, const uint8_t *frame, size_t n, struct err *err)
{
	uint64_t now = clock_mono_ms();

	if (session_receive(t->session, frame, n, now, err) < 0)
		return -1;
	arm_tick(t, now + ACK_DELAY_MS);
	if (t->dirty)
		tunnel_settle(t);
	return 0;
}

int tunnel_next_frame(struct tunnel *t, struct frame_out *ret)
{
	return session_next_frame(t->session, ret, clock_mono_ms());
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

/* ---- processes ----------------------------------------------------------------------------------- */

/* What need not be sent to be refused. (An exec is sent: its client sees the sentence when the agent refuses it.) */
static int request(struct tunnel *t, const struct control *c, struct err *err)
{
	const char *why = t->link && t->link->ops->cannot ? t->link->ops->cannot(t->link, c) : NULL;

	return why ? err_set(err, ERR_UNSUPPORTED, "%s", why) : session_send(t->session, c, err);
}

static struct exec_spec spec_of(const struct exec *e, uint32_t channel)
{
	return (struct exec_spec){
		.channel = channel,
		.exec_id = (char *)e->id,
		.argv = e->argv,
		.env = e->env,
		.workdir = e->workdir,
		.user = e->user,
		.tty = e->tty,
		.open_stdin = e->attach_stdin,
		.rows = e->rows,
		.cols = e->cols,
	};
}

/* The two streams of a process that has just been asked for. */
static struct channel *add_exec_channel(struct tunnel *t, uint32_t number, const char *id,
					const struct tunnel_sink *sink, void *ctx, struct err *err)
{
	struct channel *ch = tunnel_channel_add(t, number, id);

	ch->sink = sink;
	ch->ctx = ctx;
	ch->in = session_open(t->session, 2 * number, 0, STREAM_WINDOW_IN);
	ch->out = session_open(t->session, 2 * number + 1, 0, STREAM_WINDOW_OUT);
	if (ch->in && ch->out) {
		session_probe(t->session, clock_mono_ms());
		arm_tick(t, clock_mono_ms() + SESSION_PROBE_MS);
		return ch;
	}
	channel_close_streams(ch);
	channel_free(t, ch);
	err_set(err, ERR_LIMIT, "more than %d streams are open in container %.12s", SESSION_STREAMS_MAX, t->c->id);
	return NULL;
}

/* Nobody wants the output any more, and nobody feeds the process. */
static void discard(struct tunnel *t, struct channel *ch)
{
	ch->sink = NULL;
	if (ch->in)
		stream_fin(ch->in);
	if (ch->out)
		tunnel_output_resume(t, ch->number);
}

int tunnel_exec(struct tunnel *t, struct exec *e, const struct tunnel_sink *sink, void *ctx, struct err *err)
{
	uint32_t number = t->next_channel;
	struct control c = { .type = CONTROL_EXEC, .channel = number, .exec = spec_of(e, number) };
	struct channel *ch;

	c.exec.detach = !sink || sink->detached;
	t->next_channel++;
	if (exec_set_started(e, number, err) < 0)
		return -1;
	if (session_send(t->session, &c, err) < 0) {
		exec_set_exited(e, 126, err ? err->msg : "the agent's queue is full", clock_wall_ns(), NULL);
		return -1;
	}
	ch = add_exec_channel(t, number, e->id, sink, ctx, err);
	if (!ch)
		return -1;
	if (e->tty)
		stream_set_bulk(ch->in, false);
	if (!e->attach_stdin || c.exec.detach)
		stream_fin(ch->in);
	return 0;
}

int tunnel_tool(struct tunnel *t, const struct strv *argv, bool input, const struct tunnel_sink *sink, void *ctx,
		uint32_t *ret_channel, struct err *err)
{
	uint32_t number = t->next_channel++;
	char id[ID_HEX_MAX];
	struct control c = { .type = CONTROL_EXEC, .channel = number,
			     .exec = { .channel = number, .exec_id = id, .argv = *argv, .open_stdin = input, .tool = true } };
	struct channel *ch;

	random_hex(id, ID_HEX_MAX - 1);
	if (request(t, &c, err) < 0)
		return -1;
	ch = add_exec_channel(t, number, id, sink, ctx, err);
	if (!ch)
		return -1;
	if (!input)
		stream_fin(ch->in);
	*ret_channel = number;
	return 0;
}

void tunnel_give_up_orphans(struct tunnel *t)
{
	uint32_t *numbers = xcalloc(HASH_COUNT(t->channels) + 1, sizeof(*numbers));
	size_t n = 0;

	for (struct channel *ch = t->channels; ch; ch = ch->hh.next)
		if (ch->number != MAIN_CHANNEL && !ch->sink)
			numbers[n++] = ch->number;
	for (size_t i = 0; i < n; i++) {
		struct channel *ch = tunnel_channel(t, numbers[i]); /* each may end others */

		if (ch && execs_find(t->g->execs, ch->exec_id, NULL))
			discard(t, ch);
		else
			tunnel_tool_cancel(t, numbers[i]);
	}
	free(numbers);
}

void tunnel_tool_cancel(struct tunnel *t, uint32_t channel)
{
	struct channel *ch = tunnel_channel(t, channel);

	if (!ch)
		return;
	tunnel_signal(t, channel, SIGKILL, NULL);
	discard(t, ch);
}

bool tunnel_set_sink(struct tunnel *t, uint32_t channel, const char *exec_id, const struct tunnel_sink *sink, void *ctx)
{
	struct channel *ch = tunnel_channel(t, channel);

	if (!ch || channel == MAIN_CHANNEL || ch->sink || (exec_id && strcmp(ch->exec_id, exec_id) != 0))
		return false;
	ch->sink = sink;
	ch->ctx = ctx;
	return true;
}

void tunnel_exec_detach(struct tunnel *t, struct exec *e)
{
	struct channel *ch = tunnel_channel(t, e->channel);

	if (ch)
		discard(t, ch);
}

size_t tunnel_input_room(struct tunnel *t, uint32_t channel)
{
	struct channel *ch = tunnel_channel(t, channel);

	return ch && ch->in ? stream_space(ch->in) : FRAME_DATA_MAX; /* nobody reads it: take and drop */
}

size_t tunnel_input(struct tunnel *t, uint32_t channel, const void *p, size_t n)
{
	struct channel *ch = tunnel_channel(t, channel);

	return ch && ch->in ? stream_write(ch->in, p, n) : n;
}

void tunnel_input_eof(struct tunnel *t, uint32_t channel)
{
	struct channel *ch = tunnel_channel(t, channel);

	if (ch && ch->in)
		stream_fin(ch->in);
}

void tunnel_output_resume(struct tunnel *t, uint32_t channel)
{
	struct channel *ch = tunnel_channel(t, channel);

	if (!ch || !ch->out)
		return;
	stream_resume(ch->out);
	arm_tick(t, clock_mono_ms() + ACK_DELAY_MS);
	if (t->dirty)
		tunnel_settle(t);
}

void tunnel_main_input_wait(struct tunnel *t, void (*fn)(void *ctx), void *ctx)
{
	struct input_waiter *w = xcalloc(1, sizeof(*w));

	w->fn = fn;
	w->ctx = ctx;
	DL_APPEND(t->main_waiters, w);
}

void tunnel_main_input_unwait(struct tunnel *t, void *ctx)
{
	struct input_waiter *w, *tmp;

	DL_FOREACH_SAFE(t->main_waiters, w, tmp)
		if (w->ctx == ctx) {
			DL_DELETE(t->main_waiters, w);
			free(w);
		}
}

int tunnel_begin_main(struct tunnel *t, struct err *err)
{
	struct control c = { .type = CONTROL_BEGIN, .channel = MAIN_CHANNEL };

	return request(t, &c, err);
}

int tunnel_set_restart_policy(struct tunnel *t, const struct restart_policy *policy, struct err *err)
{
	struct control c = { .type = CONTROL_RESTART_POLICY, .channel = MAIN_CHANNEL, .restart_policy = *policy };

	return request(t, &c, err);
}

int tunnel_leave(struct tunnel *t, struct err *err)
{
	struct control c = { .type = CONTROL_LEAVE, .channel = MAIN_CHANNEL };

	return request(t, &c, err);
}

int tunnel_signal(struct tunnel *t, uint32_t channel, int number, struct err *err)
{
	struct control c = { .type = CONTROL_SIGNAL, .channel = channel, .signal.number = number };

	return request(t, &c, err);
}

int tunnel_resize(struct tunnel *t, uint32_t channel, uint16_t rows, uint16_t cols, struct err *err)
{
	struct control c = { .type = CONTROL_RESIZE, .channel = channel, .resize = { rows, cols } };

	return request(t, &c, err);
}

void tunnel_info(const struct tunnel *t, struct tunnel_info *ret)
{
	*ret = (struct tunnel_info){
		.peer = tunnel_peer(t),
		.execution = t->execution,
		.up = tunnel_is_up(t),
		.migrating = t->migrating,
		.connected_ms = clock_mono_ms() - t->connected_ms,
		.silent_ms = t->link ? session_silent_ms(t->session, clock_mono_ms()) : 0,
		.queue = t->link ? t->link->ops->queue(t->link) : 0,
	};
	for (const struct channel *ch = t->channels; ch; ch = ch->hh.next) {
		ret->processes++;
		ret->unacknowledged += ch->exited && !(ch->number == MAIN_CHANNEL ? t->main_reported : ch->ended);
	}
	session_stats(t->session, &ret->stats);
}
