/* tunnel_inbound - what a session tells: bytes, ends of streams, records of the agent. Runs inside session_receive and
 * stream_resume and only changes state; what follows from it (ends, exits) is settled afterwards in tunnel_settle.c, so
 * nothing is freed under the session's feet. */
#include "agents/tunnel_state.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/container.h"
#include "state/exec.h"
#include "state/logs.h"

#define LOG_RETRY_MS 1000

static struct channel *channel_of(struct tunnel *t, struct stream *st)
{
	return tunnel_channel(t, stream_id(st) / 2);
}

/* ---- streams ------------------------------------------------------------------------------------- */

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
	t->discarded += n;
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
	ch->lost = code == RESET_CORRUPT ? OUTPUT_CHANGED : "the output stream was lost";
	t->dirty = true;
}

static void on_writable(void *ctx, struct stream *st)
{
	struct tunnel *t = ctx;
	struct channel *ch = channel_of(t, st);

	if (ch && ch->number == MAIN_CHANNEL)
		tunnel_wake_main_waiters(t);
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
		e = tunnel_exec_record(t, ch->exec_id);
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
