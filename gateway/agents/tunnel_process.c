/* tunnel_process - what the gateway asks of an agent's processes: begin one, feed it, take its output, signal it. The table
 * of them, and who waits for room in main's input. */
#include "agents/tunnel_state.h"

#include <signal.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gateway.h"
#include "state/container.h"
#include "state/exec.h"

/* ---- channels ------------------------------------------------------------------------------------ */

struct channel *tunnel_channel(struct tunnel *t, uint32_t number)
{
	struct channel *ch;

	HASH_FIND(hh, t->channels, &number, sizeof(number), ch);
	return ch;
}

struct channel *tunnel_channel_add(struct tunnel *t, uint32_t number, const char *exec_id)
{
	struct channel *ch = xcalloc(1, sizeof(*ch));

	ch->number = number;
	snprintf(ch->exec_id, sizeof(ch->exec_id), "%s", exec_id);
	HASH_ADD(hh, t->channels, number, sizeof(number), ch);
	return ch;
}

struct exec *tunnel_exec_record(const struct tunnel *t, const char *exec_id)
{
	struct exec *e = execs_find(t->g->execs, exec_id, NULL);

	return e && !strcmp(e->id, exec_id) && !strcmp(e->container_id, t->c->id) ? e : NULL;
}

void tunnel_channel_close(struct channel *ch)
{
	if (ch->in)
		stream_close(ch->in);
	if (ch->out)
		stream_close(ch->out);
	ch->in = ch->out = NULL;
}

void tunnel_channel_free(struct tunnel *t, struct channel *ch)
{
	HASH_DEL(t->channels, ch);
	free(ch->status.error);
	free(ch);
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

	ch->links = t->links;
	ch->sink = sink;
	ch->ctx = ctx;
	ch->in = session_open(t->session, 2 * number, 0, STREAM_WINDOW_IN);
	ch->out = session_open(t->session, 2 * number + 1, 0, STREAM_WINDOW_OUT);
	if (ch->in && ch->out) {
		session_probe(t->session, clock_mono_ms());
		tunnel_arm_tick(t, clock_mono_ms() + SESSION_PROBE_MS);
		return ch;
	}
	tunnel_channel_close(ch);
	tunnel_channel_free(t, ch);
	err_set(err, ERR_LIMIT, "more than %d streams are open in container %.12s", SESSION_STREAMS_MAX, t->c->id);
	return NULL;
}

int tunnel_exec(struct tunnel *t, struct exec *e, const struct tunnel_sink *sink, void *ctx, struct err *err)
{
	uint32_t number = t->next_channel;
	struct control c = { .type = CONTROL_EXEC, .channel = number, .exec = spec_of(e, number) };
	struct channel *ch;

	c.exec.detach = e->detached = !sink || sink->detached;
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

void tunnel_tool_cancel(struct tunnel *t, uint32_t channel)
{
	struct channel *ch = tunnel_channel(t, channel);

	if (!ch)
		return;
	tunnel_signal(t, channel, SIGKILL, NULL);
	tunnel_abandon(t, ch);
}

bool tunnel_set_sink(struct tunnel *t, uint32_t channel, const char *exec_id, const struct tunnel_sink *sink, void *ctx)
{
	struct channel *ch = tunnel_channel(t, channel);

	if (!ch || channel == MAIN_CHANNEL || ch->sink || (exec_id && strcmp(ch->exec_id, exec_id) != 0))
		return false;
	ch->sink = sink;
	ch->ctx = ctx;
	ch->alone_ms = 0;
	return true;
}

size_t tunnel_input_room(struct tunnel *t, uint32_t channel)
{
	struct channel *ch = tunnel_channel(t, channel);

	return ch && ch->in ? stream_space(ch->in) : FRAME_DATA_MAX; /* nobody reads it: take and drop */
}

size_t tunnel_input(struct tunnel *t, uint32_t channel, const void *p, size_t n)
{
	struct channel *ch = tunnel_channel(t, channel);

	if (!ch || !ch->in)
		return n;
	n = stream_write(ch->in, p, n);
	ch->input += n;
	return n;
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
	tunnel_arm_tick(t, clock_mono_ms() + TUNNEL_ACK_DELAY_MS);
	if (t->dirty)
		tunnel_settle(t);
}

void tunnel_wake_main_waiters(struct tunnel *t)
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
