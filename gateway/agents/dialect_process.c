/* dialect_process - one process of a predecessor's agent: its messages on one side, two streams, control messages and an
 * exit on the other. Session callbacks only queue and note; dialect_agent.c moves what follows. */
#include <signal.h>
#include <string.h>

#include "agents/dialect_state.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"

#define OUT_HIGH (256 * 1024) /* so much input may wait for the socket */
#define CODE_REFUSED 126
#define CODE_NOT_FOUND 127
#define SPEAKS "the container's agent is the predecessor's, which "

/* ---- what it cannot -------------------------------------------------------------------------------- */

static bool all_text(const struct strv *list)
{
	for (size_t i = 0; i < list->n; i++)
		if (!dialect_can_carry(list->v[i]))
			return false;
	return true;
}

static const char *cannot_run(const struct exec_spec *e)
{
	if (e->tool)
		return SPEAKS "cannot copy files, list or freeze processes, measure them or reach their ports";
	if (e->user && *e->user)
		return SPEAKS "runs processes as its own user only";
	if (!all_text(&e->argv) || !all_text(&e->env) || !dialect_can_carry(e->workdir))
		return SPEAKS "takes only UTF-8 in arguments and variables";
	return NULL;
}

const char *dialect_cannot(struct link *l, const struct control *c)
{
	switch (c->type) {
	case CONTROL_EXEC:
		if (((struct dialect_agent *)l)->expired)
			return SPEAKS "has come to the end of its life and takes no more processes: start the container again";
		return cannot_run(&c->exec);
	case CONTROL_SIGNAL:
		return dialect_signal_name(c->signal.number) ? NULL :
		       SPEAKS "knows only the signals TERM, KILL, INT, HUP, QUIT, USR1 and USR2";
	case CONTROL_RESTART_POLICY:
		return c->restart_policy.when == RESTART_NO ? NULL : SPEAKS "does not run a command again";
	default:
		return NULL;
	}
}

/* ---- life ------------------------------------------------------------------------------------------ */

struct dialect_process *dialect_process_new(struct dialect_agent *a, uint32_t channel, const char *id)
{
	struct dialect_process *p = xcalloc(1, sizeof(*p));

	p->agent = a;
	p->channel = channel;
	snprintf(p->id, sizeof(p->id), "%s", id);
	p->status.started_ns = clock_wall_ns();
	buf_init(&p->rest, DIALECT_MESSAGE_MAX);
	p->in = session_open(a->session, 2 * channel, 0, STREAM_WINDOW_DEFAULT);
	p->out = session_open(a->session, 2 * channel + 1, 0, STREAM_WINDOW_DEFAULT);
	HASH_ADD(hh, a->processes, channel, sizeof(p->channel), p);
	HASH_ADD_KEYPTR(hh_id, a->by_id, p->id, strlen(p->id), p);
	return p;
}

static void close_streams(struct dialect_process *p)
{
	if (p->in)
		stream_close(p->in);
	if (p->out)
		stream_close(p->out);
	p->in = p->out = NULL;
}

void dialect_process_free(struct dialect_process *p)
{
	struct dialect_agent *a = p->agent;
	struct dialect_wire *w;

	for (w = a->wires; w; w = w->next)
		if (w->waits_for == p)
			w->waits_for = NULL;
	HASH_DEL(a->processes, p);
	HASH_DELETE(hh_id, a->by_id, p);
	close_streams(p);
	buf_release(&p->rest);
	free(p->status.error);
	free(p);
}

static struct dialect_process *by_channel(struct dialect_agent *a, uint32_t channel)
{
	struct dialect_process *p;

	HASH_FIND(hh, a->processes, &channel, sizeof(channel), p);
	return p;
}

static void tell(struct dialect_agent *a, const struct control *c)
{
	struct err err;

	if (session_send(a->session, c, &err) < 0)
		log_warn("control message not queued", "container=%.12s error=\"%s\"", a->id, err.msg);
}

void dialect_process_end(struct dialect_process *p, int code, const char *error)
{
	struct control c = { .type = CONTROL_EXIT, .channel = p->channel };

	if (p->exited)
		return;
	p->exited = true;
	p->status.code = code;
	p->status.finished_ns = clock_wall_ns();
	p->status.error = xstrdup(error);
	if (error)
		p->status.started_ns = 0;
	p->status.final_offset = p->out ? stream_written(p->out) : 0;
	c.exit.status = p->status;
	tell(p->agent, &c);
	if (p->out)
		stream_fin(p->out);
	if (p->in)
		stream_close(p->in);
	p->in = NULL;
	dialect_wake(p->agent);
}

void dialect_process_lost(struct dialect_process *p)
{
	p->wire = NULL;
	if (p->channel == MAIN_CHANNEL || p->exited)
		return;
	p->status.signal = SIGKILL;
	dialect_process_end(p, 128 + SIGKILL, NULL);
}

/* ---- from the agent -------------------------------------------------------------------------------- */

static void put_be(uint8_t *at, uint64_t v, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--, v >>= 8)
		at[i] = (uint8_t)v;
}

/* As many bytes as there is room for, behind a record's header where the stream has them (session.h). */
static size_t put_output(struct dialect_process *p, uint8_t tag, const uint8_t *data, size_t n)
{
	size_t head = p->channel == MAIN_CHANNEL ? RECORD_HEADER + RECORD_TIME : p->tty ? 0 : RECORD_HEADER;
	uint8_t header[RECORD_HEADER + RECORD_TIME] = { tag, head > RECORD_HEADER ? RECORD_TIMED : 0 };
	size_t done = 0;

	while (done < n && p->out) {
		size_t space = stream_space(p->out), piece = n - done;

		if (space <= head)
			return done;
		if (piece > space - head)
			piece = space - head;
		if (piece > FRAME_DATA_MAX - head)
			piece = FRAME_DATA_MAX - head;
		put_be(header + 4, piece, 4);
		if (head > RECORD_HEADER)
			put_be(header + RECORD_HEADER, (uint64_t)clock_wall_ns(), RECORD_TIME);
		stream_write(p->out, header, head);
		stream_write(p->out, data + done, piece);
		done += piece;
	}
	return n; /* all of it, or nobody wants it */
}

/* Of a replay only what is new. */
static void skip_known(struct dialect_agent *a, int which, const uint8_t **data, size_t *n)
{
	int64_t known;

	if (a->replay_due[which]) {
		a->replay_due[which] = false;
		known = replay_tail_known(&a->tail[which], *data, *n);
		if (known < 0)
			log_warn("the agent's replay does not follow what came before: output may be missing",
				 "container=%.12s stream=%d bytes=%zu", a->id, which + 1, *n);
		*data += known > 0 ? known : 0;
		*n -= (size_t)(known > 0 ? known : 0);
	}
	replay_tail_add(&a->tail[which], *data, *n);
}

static void take_output(struct dialect_wire *w, struct dialect_process *p, const struct dialect_message *m)
{
	uint8_t tag = m->type == DIALECT_STDERR && !p->tty ? 2 : 1;
	const uint8_t *data = m->data;
	size_t n = m->data_len, done;

	if (!n || p->exited)
		return;
	if (p->channel == MAIN_CHANNEL)
		skip_known(p->agent, tag - 1, &data, &n);
	p->said = true;
	done = put_output(p, tag, data, n);
	if (done == n)
		return;
	p->rest_tag = tag;
	buf_append(&p->rest, data + done, n - done);
	w->waits_for = p;
}

bool dialect_process_flush(struct dialect_process *p)
{
	size_t done = put_output(p, p->rest_tag, buf_head(&p->rest), p->rest.len);

	buf_consume(&p->rest, done);
	return p->rest.len == 0;
}

/* The agent says only that a signal ended it, with -1. */
static int exit_code(struct dialect_process *p, const struct dialect_message *m)
{
	if (m->code >= 0)
		return m->code & 0xff;
	p->status.signal = p->signal ? p->signal : SIGKILL;
	return 128 + p->status.signal;
}

static void take_error(struct dialect_process *p, const struct dialect_message *m)
{
	const char *why = m->message && *m->message ? m->message : "the agent does not say why";
	bool missing = strstr(why, "executable file not found") || strstr(why, "no such file");

	if (p->channel == MAIN_CHANNEL) /* a bootstrap, which has none; its output is in Cloud Logging */
		log_warn("main cannot be attached to", "container=%.12s reason=\"%.200s\"", p->agent->id, why);
	else if (p->said) {
		log_warn("the agent has given an exec up", "exec=%.12s reason=\"%.200s\"", p->id, why);
		dialect_process_end(p, CODE_REFUSED, NULL);
	} else
		dialect_process_end(p, missing ? CODE_NOT_FOUND : CODE_REFUSED, why);
}

static void take_message(struct dialect_wire *w, struct dialect_process *p, const struct dialect_message *m)
{
	switch (m->type) {
	case DIALECT_STDOUT:
	case DIALECT_STDERR:
		take_output(w, p, m);
		break;
	case DIALECT_EXIT:
		dialect_process_end(p, exit_code(p, m), NULL);
		break;
	case DIALECT_ERROR:
		take_error(p, m);
		break;
	default: /* health, and what later versions may say */
		break;
	}
}

int dialect_process_take(struct dialect_wire *w, const void *text, size_t n, struct err *err)
{
	struct dialect_agent *a = w->agent;
	struct dialect_process *p = NULL;
	struct dialect_message m;

	if (dialect_decode(text, n, &m, err) < 0)
		return -1;
	if (m.type == DIALECT_LIFETIME_EXPIRED) {
		log_warn("the agent takes no more processes: its instance will be recycled", "container=%.12s", a->id);
		a->expired = true;
	}
	if (m.id)
		HASH_FIND(hh_id, a->by_id, m.id, strlen(m.id), p);
	if (p && p->wire == w)
		take_message(w, p, &m);
	dialect_release(&m);
	return 0;
}

/* ---- to the agent ---------------------------------------------------------------------------------- */

static void say(struct dialect_process *p, struct dialect_message m)
{
	m.id = p->id;
	if (p->wire)
		dialect_say(p->wire, &m);
}

void dialect_process_attach(struct dialect_process *p)
{
	struct dialect_agent *a = p->agent;

	for (int i = 0; i < 2; i++)
		a->replay_due[i] = a->tail[i].total > 0;
	say(p, (struct dialect_message){ .type = DIALECT_ATTACH });
	if (p->in_ended && !p->tty)
		say(p, (struct dialect_message){ .type = DIALECT_CLOSE_STDIN });
}

void dialect_process_feed(struct dialect_process *p)
{
	if (p->in && p->wire && stream_kept(p->in) && dialect_queue_len(&p->wire->out) < OUT_HIGH / 2)
		stream_resume(p->in);
}

static size_t on_data(void *ctx, struct stream *st, const uint8_t *data, size_t n)
{
	struct dialect_process *p = by_channel(ctx, stream_id(st) / 2);
	size_t done = 0;

	if (!p || p->exited)
		return n;
	while (done < n && p->wire && dialect_queue_len(&p->wire->out) < OUT_HIGH) {
		size_t piece = n - done < DIALECT_CHUNK ? n - done : DIALECT_CHUNK;

		say(p, (struct dialect_message){ .type = DIALECT_STDIN, .data = data + done, .data_len = piece });
		done += piece;
	}
	return done;
}

static void on_fin(void *ctx, struct stream *st)
{
	struct dialect_process *p = by_channel(ctx, stream_id(st) / 2);

	if (!p)
		return;
	p->in_ended = true;
	if (!p->tty) /* it would close the terminal */
		say(p, (struct dialect_message){ .type = DIALECT_CLOSE_STDIN });
}

static void on_reset(void *ctx, struct stream *st, uint32_t code)
{
	struct dialect_process *p = by_channel(ctx, stream_id(st) / 2);

	if (p && st == p->in)
		p->in = NULL;
	else if (p)
		p->out = NULL;
	stream_close(st);
	dialect_wake(ctx);
}

static void on_room(void *ctx, struct stream *st)
{
	dialect_wake(ctx);
}

static void start_exec(struct dialect_agent *a, const struct control *c)
{
	struct control started = { .type = CONTROL_STARTED, .channel = c->channel };
	const struct exec_spec *e = &c->exec;
	struct dialect_process *p = dialect_process_new(a, c->channel, e->exec_id);
	const char *why = dialect_cannot(&a->base, c);

	p->tty = e->tty;
	if (!why && !(p->wire = dialect_wire_for(a, c->channel)))
		why = SPEAKS "is not connected";
	if (why) {
		dialect_process_end(p, CODE_REFUSED, why);
		return;
	}
	say(p, (struct dialect_message){ .type = DIALECT_EXEC, .cmd = e->argv, .env = e->env,
					 .workdir = e->workdir, .tty = e->tty });
	if (e->tty && e->rows && e->cols)
		say(p, (struct dialect_message){ .type = DIALECT_RESIZE, .width = e->cols, .height = e->rows });
	started.started.started_ns = p->status.started_ns;
	tell(a, &started);
}

static void on_control(void *ctx, const struct control *c)
{
	struct dialect_agent *a = ctx;
	struct dialect_process *p = by_channel(a, c->channel);

	if (c->type == CONTROL_EXEC && !p) {
		start_exec(a, c);
		return;
	}
	if (!p)
		return;
	switch (c->type) {
	case CONTROL_SIGNAL:
		if (p->exited || !dialect_signal_name(c->signal.number))
			break;
		p->signal = c->signal.number;
		say(p, (struct dialect_message){ .type = DIALECT_SIGNAL, .signal = (char *)signal_name(c->signal.number) });
		break;
	case CONTROL_RESIZE: /* the agent does nothing of the kind for main */
		if (p->channel != MAIN_CHANNEL && !p->exited)
			say(p, (struct dialect_message){ .type = DIALECT_RESIZE, .width = c->resize.cols, .height = c->resize.rows });
		break;
	case CONTROL_EXIT_ACK:
		if (p->exited && p->channel != MAIN_CHANNEL)
			dialect_process_free(p);
		break;
	default: /* BEGIN, LEAVE, RESTART_POLICY, GOAWAY: it cannot be held and knows no policy */
		break;
	}
	dialect_wake(a);
}

static void on_wake(void *ctx)
{
	dialect_wake(ctx);
}

const struct session_ops dialect_session_ops = {
	.on_data = on_data, .on_fin = on_fin, .on_reset = on_reset, .on_writable = on_room,
	.on_control = on_control, .on_wake = on_wake,
};
