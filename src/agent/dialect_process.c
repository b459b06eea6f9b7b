/* dialect_process - the processes that a back end of the predecessor runs and listens to: its messages on one side, the
 * session's streams and control messages on the other. */
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "dialect_state.h"

#define OUT_HIGH (256 * 1024)  /* so much may wait for a back end's socket; then the process waits */

static struct served *by_channel(struct dialect *d, uint32_t channel)
{
	struct served *p;

	DL_FOREACH(d->served, p)
		if (p->channel == channel)
			return p;
	return NULL;
}

static struct served *by_id(const struct wire *w, const char *id)
{
	struct audience *l;
	struct served *p;

	DL_FOREACH(w->dialect->served, p)
		if (p->wire == w && !p->over && !strcmp(p->id, id))
			return p;
	DL_FOREACH(w->dialect->audience, l)
		if (l->wire == w && !strcmp(l->id, id))
			return w->dialect->main;
	return NULL;
}

static void tell(struct dialect *d, const struct control *c)
{
	struct err err;

	if (session_send(d->session, c, &err) < 0)
		log_warn("control message not queued", "channel=%u error=\"%s\"", c->channel, err.msg);
}

static void acknowledge(struct dialect *d, uint32_t channel)
{
	tell(d, &(struct control){ .type = CONTROL_EXIT_ACK, .channel = channel });
}

/* ---- life ------------------------------------------------------------------------------------------- */

static struct served *served_new(struct dialect *d, uint32_t channel, const char *id)
{
	struct served *p = xcalloc(1, sizeof(*p));

	p->dialect = d;
	p->channel = channel;
	p->id = xstrdup(id);
	buf_init(&p->rest, DIALECT_MESSAGE_MAX);
	DL_APPEND(d->served, p);
	return p;
}

static void close_streams(struct served *p)
{
	if (p->in)
		stream_close(p->in);
	if (p->out)
		stream_close(p->out);
	p->in = p->out = NULL;
}

static void served_free(struct served *p)
{
	struct wire *w;

	DL_FOREACH(p->dialect->wires, w)
		if (w->waits_for == p)
			w->waits_for = NULL;
	DL_DELETE(p->dialect->served, p);
	buf_release(&p->rest);
	free(p->status.error);
	free(p->id);
	free(p);
}

static void leave_audience(struct dialect *d, struct audience *l)
{
	DL_DELETE(d->audience, l);
	free(l->id);
	free(l);
}

void dialect_release_all(struct dialect *d)
{
	while (d->served)
		served_free(d->served);
	while (d->audience)
		leave_audience(d, d->audience);
	d->main = NULL;
}

/* Docker's rule for a client that goes away: the process goes on, reads EOF and is not listened to. */
void dialect_wire_lost(struct wire *w)
{
	struct dialect *d = w->dialect;
	struct audience *l, *ltmp;
	struct served *p;

	DL_FOREACH(d->served, p) {
		if (p->wire != w)
			continue;
		p->wire = NULL;
		buf_consume(&p->rest, p->rest.len);
		if (p->in)
			stream_fin(p->in);
		if (p->out)
			stream_resume(p->out);
	}
	DL_FOREACH_SAFE(d->audience, l, ltmp)
		if (l->wire == w)
			leave_audience(d, l);
}

/* ---- output ----------------------------------------------------------------------------------------- */

static bool has_room(const struct wire *w)
{
	return dialect_queue_len(&w->out) < OUT_HIGH;
}

static void say_output(struct wire *w, const char *id, uint8_t tag, const uint8_t *data, size_t n)
{
	dialect_say(w, &(struct dialect_message){ .type = tag == 2 ? DIALECT_STDERR : DIALECT_STDOUT, .id = (char *)id,
						  .data = data, .data_len = n });
}

static void remember(struct dialect *d, uint8_t tag, const uint8_t *data, size_t n)
{
	struct buf *ring = &d->ring[tag == 2];

	if (n > buf_room(ring)) /* it holds twice as much, so that it is seldom moved */
		buf_consume(ring, ring->len + n - DIALECT_REPLAY);
	buf_append(ring, data, n);
}

/* Everybody who listens has room for a piece of output; nobody listening is room enough. */
static bool listeners_have_room(const struct served *p)
{
	const struct audience *l;

	if (p != p->dialect->main)
		return !p->wire || has_room(p->wire);
	DL_FOREACH(p->dialect->audience, l)
		if (!has_room(l->wire))
			return false;
	return true;
}

static void give_output(struct served *p, uint8_t tag, const uint8_t *data, size_t n)
{
	struct audience *l;

	if (p != p->dialect->main) {
		if (p->wire)
			say_output(p->wire, p->id, tag, data, n);
		return;
	}
	remember(p->dialect, tag, data, n);
	DL_FOREACH(p->dialect->audience, l)
		say_output(l->wire, l->id, tag, data, n);
}

/* A record's header, which may come in pieces (session.h). Returns the bytes that belong to it. */
static size_t take_header(struct served *p, const uint8_t *data, size_t n)
{
	size_t whole, done = 0;

	do {
		whole = p->head_len > 1 && p->head[1] == RECORD_TIMED ? RECORD_HEADER + RECORD_TIME : RECORD_HEADER;
		if (p->head_len >= whole)
			break;
		p->head[p->head_len++] = data[done++];
	} while (done < n);
	whole = p->head_len > 1 && p->head[1] == RECORD_TIMED ? RECORD_HEADER + RECORD_TIME : RECORD_HEADER;
	if (p->head_len == whole)
		p->left = (size_t)p->head[4] << 24 | (size_t)p->head[5] << 16 | (size_t)p->head[6] << 8 | p->head[7];
	return done;
}

static size_t on_data(void *ctx, struct stream *st, const uint8_t *data, size_t n)
{
	struct served *p = by_channel(ctx, stream_id(st) / 2);
	bool records = p && (!p->tty || p == p->dialect->main);
	size_t done = 0, piece;

	if (!p)
		return n;
	while (done < n) {
		if (records && !p->left) {
			if (p->head_len && p->head_len >= RECORD_HEADER + (p->head[1] == RECORD_TIMED ? RECORD_TIME : 0))
				p->head_len = 0; /* the next one's */
			done += take_header(p, data + done, n - done);
			continue;
		}
		if (!listeners_have_room(p))
			break;
		piece = n - done < DIALECT_CHUNK ? n - done : DIALECT_CHUNK;
		if (records && piece > p->left)
			piece = p->left;
		give_output(p, records ? p->head[0] : 1, data + done, piece);
		if (records)
			p->left -= piece;
		done += piece;
	}
	if (p == p->dialect->main)
		p->dialect->main_offset += done;
	return done;
}

/* ---- ends ------------------------------------------------------------------------------------------- */

static void say_end(struct wire *w, const char *id, const struct exit_status *e)
{
	if (e->error)
		dialect_say(w, &(struct dialect_message){ .type = DIALECT_ERROR, .id = (char *)id, .message = e->error });
	else
		dialect_say(w, &(struct dialect_message){ .type = DIALECT_EXIT, .id = (char *)id, .has_code = true, .code = e->code });
}

static bool all_sent(const struct dialect *d)
{
	const struct audience *l;

	DL_FOREACH(d->audience, l)
		if (dialect_queue_len(&l->wire->out) || wslink_unsent_bytes(l->wire->ws))
			return false;
	return true;
}

static void tell_end(struct served *p)
{
	struct audience *l;

	p->over = true;
	if (p->wire)
		say_end(p->wire, p->id, &p->status);
	if (p == p->dialect->main)
		DL_FOREACH(p->dialect->audience, l)
			say_end(l->wire, l->id, &p->status);
	close_streams(p);
}

/* The end is told after the last byte. Main's is acknowledged when the kernel has it all: then we leave. */
static void settle_end(struct served *p)
{
	if (!p->exited || (p->out && stream_delivered(p->out) < p->status.final_offset))
		return;
	if (!p->over)
		tell_end(p);
	if (p->acked || (p == p->dialect->main && !all_sent(p->dialect)))
		return;
	p->acked = true;
	acknowledge(p->dialect, p->channel);
	if (p != p->dialect->main)
		served_free(p);
}

static void flush_input(struct served *p)
{
	if (!p->rest.len)
		return;
	if (!p->in)
		buf_consume(&p->rest, p->rest.len);
	else
		buf_consume(&p->rest, stream_write(p->in, buf_head(&p->rest), p->rest.len));
}

void dialect_settle(struct dialect *d)
{
	struct served *p, *tmp;
	struct wire *w;

	DL_FOREACH_SAFE(d->served, p, tmp) {
		flush_input(p);
		if (p->out && stream_kept(p->out) && listeners_have_room(p))
			stream_resume(p->out);
		settle_end(p);
	}
	DL_FOREACH(d->wires, w) {
		if (w->waits_for && !w->waits_for->rest.len)
			w->waits_for = NULL;
		dialect_set_paused(w);
	}
}

/* ---- session callbacks ------------------------------------------------------------------------------ */

static void on_fin(void *ctx, struct stream *st)
{
	dialect_wake(ctx);
}

static void on_reset(void *ctx, struct stream *st, uint32_t code)
{
	struct served *p = by_channel(ctx, stream_id(st) / 2);

	if (p && st == p->in)
		p->in = NULL;
	else if (p)
		p->out = NULL;
	stream_close(st);
	dialect_wake(ctx);
}

static void on_writable(void *ctx, struct stream *st)
{
	dialect_wake(ctx);
}

static void on_control(void *ctx, const struct control *c)
{
	struct served *p = by_channel(ctx, c->channel);

	if (c->type != CONTROL_EXIT)
		return;
	if (!p) /* of a back end before */
		acknowledge(ctx, c->channel);
	if (!p || p->exited)
		return;
	p->exited = true;
	p->status = c->exit.status;
	p->status.error = xstrdup(c->exit.status.error);
	dialect_wake(ctx);
}

static void on_wake(void *ctx)
{
	dialect_wake(ctx);
}

const struct session_ops dialect_session_ops = {
	.on_data = on_data, .on_fin = on_fin, .on_reset = on_reset, .on_writable = on_writable,
	.on_control = on_control, .on_wake = on_wake,
};

/* ---- what the agent has when we begin --------------------------------------------------------------- */

static const struct stream_row *find_row(const struct hello *h, uint32_t id)
{
	for (size_t i = 0; i < h->n_streams; i++)
		if (h->streams[i].id == id)
			return &h->streams[i];
	return NULL;
}

static void adopt_main(struct dialect *d, const struct hello *h, const struct proc_row *row)
{
	const struct stream_row *out = find_row(h, 2 * MAIN_CHANNEL + 1), *in = find_row(h, 2 * MAIN_CHANNEL);
	struct served *p = served_new(d, MAIN_CHANNEL, "");

	d->main = p;
	if (out && !out->reset) {
		if (d->main_offset < out->acked || d->main_offset > out->next_send)
			d->main_offset = out->acked;
		p->out = session_open(d->session, out->id, d->main_offset, STREAM_WINDOW_DEFAULT);
	}
	if (in && !in->fin && !in->reset)
		p->in = session_open(d->session, in->id, in->received, STREAM_WINDOW_DEFAULT);
	if (row->state == PROC_EXITED) {
		p->exited = true;
		p->status = row->exit;
		p->status.error = xstrdup(row->exit.error);
	}
}

int dialect_adopt(struct dialect *d, const struct hello *h, struct err *err)
{
	d->next_channel = MAIN_CHANNEL + 1;
	for (size_t i = 0; i < h->n_procs; i++) {
		const struct proc_row *row = &h->procs[i];

		if (row->channel >= d->next_channel)
			d->next_channel = row->channel + 1;
		if (row->channel == MAIN_CHANNEL)
			adopt_main(d, h, row);
		else if (row->state == PROC_EXITED)
			acknowledge(d, row->channel);
	}
	return d->main ? 0 : err_set(err, ERR_INVALID, "HELLO lists no main process");
}

/* ---- from the back end ------------------------------------------------------------------------------ */

static void say_error(struct wire *w, const char *id, const char *fmt, const char *what)
{
	AUTO_FREE char *text = what ? xasprintf("%s%s", fmt, what) : xstrdup(fmt);

	dialect_say(w, &(struct dialect_message){ .type = DIALECT_ERROR, .id = (char *)id, .message = text });
}

static void take_exec(struct wire *w, const struct dialect_message *m)
{
	struct dialect *d = w->dialect;
	uint32_t channel = d->next_channel;
	struct control c = { .type = CONTROL_EXEC, .channel = channel,
			     .exec = { .channel = channel, .exec_id = m->id, .argv = m->cmd, .env = m->env,
				       .workdir = m->workdir, .tty = m->tty, .open_stdin = true } };
	struct served *p;
	struct err err;

	if (!m->id || !*m->id) {
		say_error(w, NULL, "exec requires id", NULL);
	} else if (!m->cmd.n) {
		say_error(w, m->id, "exec requires cmd", NULL);
	} else if (by_id(w, m->id)) {
		say_error(w, m->id, "exec id reused", NULL);
	} else if (session_send(d->session, &c, &err) < 0) {
		say_error(w, m->id, err.msg, NULL);
	} else {
		d->next_channel++;
		p = served_new(d, channel, m->id);
		p->wire = w;
		p->tty = m->tty;
		p->in = session_open(d->session, 2 * channel, 0, STREAM_WINDOW_DEFAULT);
		p->out = session_open(d->session, 2 * channel + 1, 0, STREAM_WINDOW_DEFAULT);
	}
}

/* The replay, whole, as one message for each output; then what comes. */
static void take_attach(struct wire *w, const struct dialect_message *m)
{
	struct dialect *d = w->dialect;
	struct audience *l;

	if (!m->id || !*m->id) {
		say_error(w, NULL, "attach requires id", NULL);
		return;
	}
	for (uint8_t tag = 1; tag <= 2; tag++) {
		const struct buf *ring = &d->ring[tag - 1];
		size_t n = ring->len < DIALECT_REPLAY ? ring->len : DIALECT_REPLAY;

		if (n)
			say_output(w, m->id, tag, buf_head(ring) + ring->len - n, n);
	}
	if (d->main->over) {
		say_end(w, m->id, &d->main->status);
		return;
	}
	DL_FOREACH(d->audience, l)
		if (l->wire == w && !strcmp(l->id, m->id))
			return;
	l = xcalloc(1, sizeof(*l));
	l->wire = w;
	l->id = xstrdup(m->id);
	DL_APPEND(d->audience, l);
}

static void take_stdin(struct wire *w, struct served *p, const struct dialect_message *m)
{
	size_t done;

	if (!p->in)
		return; /* it does not read */
	done = p->rest.len ? 0 : stream_write(p->in, m->data, m->data_len);
	if (done == m->data_len)
		return;
	if (buf_append(&p->rest, m->data + done, m->data_len - done) < 0)
		log_warn("input of several back ends at once is lost", "bytes=%zu", m->data_len - done);
	w->waits_for = p;
}

static void take_close_stdin(struct served *p)
{
	flush_input(p);
	if (p->in && !p->rest.len)
		stream_fin(p->in);
}

static void take_signal(struct served *p, const struct dialect_message *m)
{
	int number = parse_signal(m->signal ? m->signal : "");

	if (number > 0)
		tell(p->dialect, &(struct control){ .type = CONTROL_SIGNAL, .channel = p->channel, .signal.number = number });
	else
		log_warn("unknown signal", "name=\"%.32s\"", m->signal ? m->signal : "");
}

static void take_message(struct wire *w, const struct dialect_message *m)
{
	struct served *p = m->id ? by_id(w, m->id) : NULL;

	switch (m->type) {
	case DIALECT_EXEC:
		take_exec(w, m);
		return;
	case DIALECT_ATTACH:
		take_attach(w, m);
		return;
	case DIALECT_STDIN:
		if (p)
			take_stdin(w, p, m);
		return;
	case DIALECT_CLOSE_STDIN:
		if (p)
			take_close_stdin(p);
		return;
	case DIALECT_SIGNAL:
		if (p)
			take_signal(p, m);
		return;
	case DIALECT_RESIZE:
		if (p && m->width && m->height)
			tell(p->dialect, &(struct control){ .type = CONTROL_RESIZE, .channel = p->channel,
							    .resize = { m->height, m->width } });
		return;
	case DIALECT_UNKNOWN:
		say_error(w, m->id, "unknown message type: ", m->type_name);
		return;
	default: /* an agent's: not for us */
		say_error(w, m->id, "that is for an agent to say", NULL);
	}
}

int dialect_take(struct wire *w, const void *text, size_t n, struct err *err)
{
	struct dialect_message m;

	if (dialect_decode(text, n, &m, err) < 0)
		return -1;
	take_message(w, &m);
	dialect_release(&m);
	return 0;
}
