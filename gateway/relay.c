/* relay - see relay.h.
 *
 * A relay is freed by loop_defer only: whatever is deferred before that still finds it, DEAD. */
#include "relay_state.h"

#include <assert.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <utlist.h>

#include "agents/registry.h"
#include "agents/tunnel.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/token.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/container.h"
#include "state/events.h"
#include "state/exec.h"
#include "state/logs.h"
#include "stdcopy.h"

#define MAIN_CHANNEL 1
#define READ_MAX (64 * 1024)
#define OUT_MAX (16 * 1024)
#define PUMP_SLICE (256 * 1024)
#define AGENT_WAIT_MS (60 * 1000)
#define HEAD_POLL_MS 1
#define HEAD_POLLS 100

struct relay *relays; /* for relay_close_all, too */
static uint8_t scratch[READ_MAX + DETACH_KEYS_MAX], typed[READ_MAX];

static void relay_input(struct relay *r);
static void relay_pump(struct relay *r);
static void queue_input(struct relay *r);

/* ---- life ---------------------------------------------------------------------------------------- */

struct relay *relay_new(struct gateway *g)
{
	struct relay *r = xcalloc(1, sizeof(*r));

	r->g = g;
	buf_init(&r->out, OUT_MAX);
	DL_APPEND(relays, r);
	return r;
}

static void relay_free(void *p)
{
	struct relay *r = p;

	buf_release(&r->out);
	buf_release(&r->in);
	free(r);
}

static struct container *relay_container(const struct relay *r)
{
	return containers_by_id(r->g->containers, r->container_id);
}

static void stop_waiting_for_input(struct relay *r)
{
	struct container *c = r->input_waits ? relay_container(r) : NULL;

	if (c && c->tunnel)
		tunnel_main_input_unwait(c->tunnel, r);
	r->input_waits = false;
	registry_unwait(&r->agent_waiter);
	events_unwatch(r->start_watch);
	r->start_watch = NULL;
}

/* The process goes on, without us. */
static void leave_exec(struct relay *r)
{
	struct tunnel *t = r->tunnel;

	r->tunnel = NULL;
	if (t)
		tunnel_exec_detach(t, r->channel);
}

/* The client's side is over; the process goes on. */
void relay_die(struct relay *r)
{
	if (r->state == RELAY_DEAD)
		return;
	r->state = RELAY_DEAD;
	stop_waiting_for_input(r);
	container_unwait(r->exit_waiter);
	r->exit_waiter = NULL;
	if (r->cursor)
		log_cursor_free(r->cursor);
	r->cursor = NULL;
	timer_cancel(&r->linger);
	timer_cancel(&r->head_timer);
	conn_close(r->conn);
	r->conn = NULL;
	leave_exec(r);
	DL_DELETE(relays, r);
	loop_defer(r->g->loop, relay_free, r);
}

void relay_linger_over(void *p)
{
	struct relay *r = p;

	r->linger = NULL;
	relay_die(r);
}

/* As an EOF would, a client that is gone ends the input that was only for it. */
static void client_left(void *p)
{
	struct relay *r = p;
	struct container *c = !r->exec_id[0] && r->close_stdin && r->stdin_wanted && !r->eof_passed ? relay_container(r) : NULL;

	if (r->state == RELAY_OPEN && c && c->tunnel)
		tunnel_input_eof(c->tunnel, r->channel);
	relay_die(r);
}

static void want(struct relay *r, unsigned events)
{
	if (events != r->want)
		conn_want(r->conn, events);
	r->want = events;
}

/* ---- to the client ------------------------------------------------------------------------------- */

static void relay_writable(struct relay *r);

static void head_waited(void *p)
{
	struct relay *r = p;

	r->head_timer = NULL;
	if (r->conn && (r->state == RELAY_OPEN || r->state == RELAY_FLUSHING))
		relay_writable(r);
}

/* Docker's Python SDK loses output that comes with the answer's head, in one read: it parses the head from a
 * buffer and goes on below it. dockerd is slow enough; here nothing is written before the head has been read,
 * where the kernel can tell. False: head_waited will go on. */
static bool head_is_read(struct relay *r)
{
	int unread;

	if (r->head_timer)
		return false;
	if (!r->head_polls || ioctl(conn_fd(r->conn), SIOCOUTQ, &unread) < 0 || unread == 0) {
		r->head_polls = 0;
		return true;
	}
	r->head_polls--;
	r->head_timer = timer_start(r->g->loop, HEAD_POLL_MS, head_waited, r);
	return false;
}

/* Write what waits in r->out and then p[0..n) with one call. How many bytes of p are done with; a client
 * that is gone takes everything, and the relay dies after this round. */
static size_t relay_write(struct relay *r, const uint8_t *p, size_t n)
{
	struct iovec iov[2] = {{buf_head(&r->out), r->out.len}, {(void *)p, n}};
	bool head = r->out.len > 0;
	ssize_t done;

	if (!r->conn || !head_is_read(r))
		return 0;
	done = conn_writev(r->conn, head ? iov : iov + 1, head ? 2 : 1);
	if (done == CONN_FAILED) {
		buf_consume(&r->out, r->out.len);
		loop_defer(r->g->loop, client_left, r);
		return n;
	}
	if (done == CONN_AGAIN)
		done = 0;
	if (head) {
		size_t taken = (size_t)done < r->out.len ? (size_t)done : r->out.len;

		buf_consume(&r->out, taken);
		done -= (ssize_t)taken;
	}
	if ((size_t)done < n || r->out.len)
		want(r, r->want | CONN_WRITE);
	return (size_t)done;
}

/* Everything has been written: FIN. What the client still sends is read and dropped for a while, since
 * closing a socket with unread bytes would destroy the output on its way. */
static void relay_flush(struct relay *r)
{
	int done;

	if (r->out.len)
		relay_write(r, NULL, 0);
	if (r->out.len)
		return;
	done = conn_shutdown_write(r->conn);
	if (done == CONN_AGAIN) {
		want(r, r->want | CONN_WRITE);
		return;
	}
	if (done == CONN_FAILED || r->client_eof) {
		relay_die(r);
		return;
	}
	r->state = RELAY_LINGERING;
	r->linger = timer_start(r->g->loop, RELAY_LINGER_MS, relay_linger_over, r);
	want(r, CONN_READ);
}

/* No more output will come. */
static void relay_finish(struct relay *r)
{
	stop_waiting_for_input(r);
	r->state = RELAY_FLUSHING;
	if (r->conn)
		relay_flush(r);
}

static void linger(struct relay *r)
{
	ssize_t n = conn_read(r->conn, typed, sizeof(typed));

	if (n == 0 || n == CONN_FAILED)
		relay_die(r);
}

/* A sentence in the stream itself, as Docker puts it there: the answer's status is long sent. */
static void say(struct relay *r, uint8_t stream, const char *text)
{
	uint8_t head[STDCOPY_HEADER];
	size_t len = strlen(text) + 2, room = buf_room(&r->out) - sizeof(head);

	if (len > room)
		len = room;
	stdcopy_header(head, stream, (uint32_t)len);
	if (!r->raw)
		buf_append(&r->out, head, sizeof(head));
	buf_append(&r->out, text, len - 2);
	buf_append(&r->out, "\r\n", 2);
}

/* ---- exec: output -------------------------------------------------------------------------------- */

/* Bytes without frames for a client that expects them: one frame per piece. */
static size_t write_framed(struct relay *r, const uint8_t *p, size_t n)
{
	size_t done;

	if (!r->frame_left) {
		uint8_t head[STDCOPY_HEADER];

		stdcopy_header(head, STDCOPY_STDOUT, (uint32_t)n);
		buf_append(&r->out, head, sizeof(head));
		r->frame_left = (uint32_t)n;
	}
	if (n > r->frame_left)
		n = r->frame_left;
	done = relay_write(r, p, n);
	r->frame_left -= (uint32_t)done;
	return done;
}

static size_t write_filtered(struct relay *r, const uint8_t *p, size_t n)
{
	size_t total = 0;

	while (total < n) {
		bool pass;
		size_t run = stdcopy_filter_next(&r->filter, p + total, n - total, &pass);
		size_t done = pass ? relay_write(r, p + total, run) : run;

		stdcopy_filter_advance(&r->filter, p + total, done);
		total += done;
		if (done < run)
			break;
	}
	return total;
}

static size_t exec_output(void *ctx, const uint8_t *p, size_t n)
{
	struct relay *r = ctx;

	if (!r->conn)
		return 0;
	if (r->filtering)
		return write_filtered(r, p, n);
	return r->framing ? write_framed(r, p, n) : relay_write(r, p, n);
}

static void exec_input_room(void *ctx)
{
	queue_input(ctx);
}

void relay_say_lost(struct relay *r, const char *why)
{
	AUTO_FREE char *text = xasprintf("exec stream lost: %s", why);

	say(r, STDCOPY_ERROR, text);
	relay_finish(r);
}

static void exec_end(void *ctx, int exit_code, const char *lost)
{
	struct relay *r = ctx;
	struct exec *e = execs_find(r->g->execs, r->exec_id, NULL);
	AUTO_FREE char *error = e ? exec_start_error(e) : NULL;

	r->tunnel = NULL;
	if (lost) {
		relay_say_lost(r, lost);
		return;
	}
	if (error)
		say(r, STDCOPY_STDOUT, error);
	relay_finish(r);
}

const struct tunnel_sink relay_exec_sink = {
	.on_output = exec_output,
	.on_input_room = exec_input_room,
	.on_end = exec_end,
};

/* ---- from the client ----------------------------------------------------------------------------- */

static void on_container_event(void *ctx, json_t *event);

static void agent_waited(void *ctx, bool ok)
{
	struct relay *r = ctx;

	r->agent_waiter = NULL;
	relay_input(r);
}

static void main_input_room(void *ctx)
{
	struct relay *r = ctx;

	r->input_waits = false;
	queue_input(r);
}

static void queued_input(void *p)
{
	struct relay *r = p;

	r->input_queued = false;
	if (r->state == RELAY_OPEN)
		relay_input(r);
}

/* Whoever tells us of room is inside the session or the event list: go on after this round. */
static void queue_input(struct relay *r)
{
	if (!r->input_queued)
		loop_defer(r->g->loop, queued_input, r);
	r->input_queued = true;
}

/* Where this client's bytes go now; NULL: nowhere yet, and somebody will call relay_input. */
static struct tunnel *input_tunnel(struct relay *r)
{
	struct container *c;

	if (r->exec_id[0])
		return r->tunnel;
	c = relay_container(r);
	if (!c || r->exited)
		return NULL; /* the stream ends by itself */
	if (container_is_running(c) && c->tunnel)
		return c->tunnel;
	if (!container_is_running(c) && !r->start_watch)
		r->start_watch = events_watch(r->g->events, on_container_event, r);
	if (container_is_running(c) && !r->agent_waiter)
		r->agent_waiter = registry_wait(r->g->registry, c->id, AGENT_WAIT_MS, agent_waited, r);
	return NULL;
}

/* Every start of a container, told inside events_emit: only note it. */
static void on_container_event(void *ctx, json_t *event)
{
	struct relay *r = ctx;
	const char *id = json_string_value(json_object_get(json_object_get(event, "Actor"), "ID"));
	const char *action = json_string_value(json_object_get(event, "Action"));

	if (!id || !action || strcmp(action, "start") != 0 || strcmp(id, r->container_id) != 0)
		return;
	events_unwatch(r->start_watch);
	r->start_watch = NULL;
	queue_input(r);
}

static void wait_for_room(struct relay *r, struct tunnel *t)
{
	want(r, r->want & ~(unsigned)CONN_READ);
	if (r->exec_id[0] || r->input_waits)
		return;
	r->input_waits = true;
	tunnel_main_input_wait(t, main_input_room, r);
}

static void emit_detach(struct relay *r, struct container *c)
{
	json_t *attributes = container_event_attributes(c);

	if (r->exec_id[0])
		json_object_set_new(attributes, "execID", json_string(r->exec_id));
	events_emit(r->g->events, "container", r->exec_id[0] ? "exec_detach" : "detach", c->id, attributes);
}

static void relay_detach(struct relay *r)
{
	struct container *c = relay_container(r);

	if (c)
		emit_detach(r, c);
	r->eof_passed = true;
	stop_waiting_for_input(r);
	leave_exec(r);
	relay_finish(r);
}

/* dockerd: a client's EOF closes main's stdin when the container was made for one (StdinOnce, no
 * terminal); else it only ends this client's stream. */
static void pass_eof(struct relay *r, struct tunnel *t)
{
	want(r, r->want & ~(unsigned)CONN_READ);
	if (r->eof_passed)
		return;
	r->eof_passed = true;
	if (r->exec_id[0] || r->close_stdin) {
		tunnel_input_eof(t, r->channel);
		return;
	}
	r->exited = true; /* for this client: what is in the log by now, and no more */
	relay_pump(r);
}

/* The process takes what it can; the rest waits in r->in and the client is not read meanwhile. */
static void take_input(struct relay *r, struct tunnel *t, const uint8_t *p, size_t n)
{
	size_t taken;

	if (n == 0)
		return;
	taken = tunnel_input(t, r->channel, p, n);
	if (taken < n)
		buf_append(&r->in, p + taken, n - taken);
}

static void read_client(struct relay *r, struct tunnel *t, size_t room)
{
	ssize_t n = conn_read(r->conn, typed, room < READ_MAX ? room : READ_MAX);
	bool detach = false;

	if (n == CONN_FAILED) {
		client_left(r);
		return;
	}
	if (n == CONN_AGAIN) {
		want(r, r->want | CONN_READ);
		return;
	}
	if (n == 0) {
		r->client_eof = true;
		if (r->keys.n)
			take_input(r, t, scratch, detach_keys_flush(&r->keys, scratch));
		if (!r->in.len)
			pass_eof(r, t);
		return;
	}
	want(r, r->want | CONN_READ);
	if (!r->keys.n) {
		take_input(r, t, typed, (size_t)n);
		return;
	}
	take_input(r, t, scratch, detach_keys_scan(&r->keys, typed, (size_t)n, scratch, &detach));
	if (detach)
		relay_detach(r);
}

/* What a client sends that nobody asked for is read and dropped, so that its EOF is seen. */
static void discard_input(struct relay *r)
{
	ssize_t n = conn_read(r->conn, typed, sizeof(typed));

	buf_consume(&r->in, r->in.len);
	if (n == CONN_FAILED) {
		relay_die(r);
		return;
	}
	if (n == 0)
		r->client_eof = true;
	want(r, n == 0 ? r->want & ~(unsigned)CONN_READ : r->want | CONN_READ);
}

static void relay_input(struct relay *r)
{
	struct tunnel *t;
	size_t room;

	assert(r->conn && r->state == RELAY_OPEN);
	if (!r->stdin_wanted) {
		discard_input(r);
		return;
	}
	t = input_tunnel(r);
	if (!t) {
		want(r, r->want & ~(unsigned)CONN_READ);
		return;
	}
	if (r->in.len)
		buf_consume(&r->in, tunnel_input(t, r->channel, buf_head(&r->in), r->in.len));
	if (r->in.len) {
		wait_for_room(r, t);
		return;
	}
	if (r->client_eof) {
		pass_eof(r, t);
		return;
	}
	room = tunnel_input_room(t, r->channel);
	if (room)
		read_client(r, t, room);
	if (r->state == RELAY_OPEN && (!room || r->in.len))
		wait_for_room(r, t);
}

/* ---- attach: output ------------------------------------------------------------------------------ */

static void queued_pump(void *p)
{
	struct relay *r = p;

	r->pump_queued = false;
	if (r->conn && r->state == RELAY_OPEN)
		relay_pump(r);
}

static void queue_pump(struct relay *r)
{
	if (!r->pump_queued)
		loop_defer(r->g->loop, queued_pump, r);
	r->pump_queued = true;
}

static void log_grew(void *ctx)
{
	struct relay *r = ctx;

	if (r->conn && r->state == RELAY_OPEN)
		relay_pump(r);
}

/* 1: r->piece has something to show; 0: nothing for now; -1: the log cannot be read. */
static int next_piece(struct relay *r)
{
	uint8_t tag, head[STDCOPY_HEADER];
	int64_t time_ns;
	struct err err;
	int more;

	for (;;) {
		more = log_cursor_next(r->cursor, &tag, &time_ns, &r->piece, &r->piece_len, &err);
		if (more < 0)
			log_error("container log cannot be read", "container=%.12s error=\"%s\"",
				  r->container_id, err.msg);
		if (more <= 0) {
			r->piece_len = 0;
			return more;
		}
		if ((tag == STDCOPY_STDOUT && r->filter.want_stdout) ||
		    (tag == STDCOPY_STDERR && r->filter.want_stderr))
			break;
	}
	if (!r->raw) {
		stdcopy_header(head, tag, (uint32_t)r->piece_len);
		buf_append(&r->out, head, sizeof(head));
	}
	return 1;
}

static void relay_pump(struct relay *r)
{
	size_t budget = PUMP_SLICE, done;

	if (r->out.len)
		relay_write(r, NULL, 0);
	while (budget) {
		if (!r->piece_len) {
			int more = next_piece(r);

			if (more < 0 || (more == 0 && (r->exited || !r->follow))) {
				relay_finish(r);
				return;
			}
			if (more == 0) {
				log_cursor_follow(r->cursor, log_grew, r);
				return;
			}
		}
		done = relay_write(r, r->piece, r->piece_len);
		r->piece += done;
		r->piece_len -= done;
		if (r->piece_len)
			return; /* CONN_WRITE goes on */
		budget -= done < budget ? done : budget;
	}
	queue_pump(r);
}

/* The run is over and its log complete. */
void relay_attach_exited(void *ctx, int exit_code, const char *error)
{
	struct relay *r = ctx;

	r->exit_waiter = NULL;
	r->exited = true;
	if (r->conn && r->state == RELAY_OPEN)
		relay_pump(r);
}

/* ---- both ---------------------------------------------------------------------------------------- */

static void relay_writable(struct relay *r)
{
	want(r, r->want & ~(unsigned)CONN_WRITE);
	if (r->state == RELAY_FLUSHING) {
		relay_flush(r);
	} else if (!r->exec_id[0]) {
		relay_pump(r);
	} else {
		if (r->out.len)
			relay_write(r, NULL, 0);
		if (!r->out.len && r->tunnel)
			tunnel_output_resume(r->tunnel, r->channel);
	}
}

void relay_on_client(struct conn *conn, void *ctx, unsigned events)
{
	struct relay *r = ctx;

	if (events & CONN_HANGUP) {
		client_left(r);
		return;
	}
	if (r->state == RELAY_LINGERING) {
		linger(r);
		return;
	}
	if (events & CONN_WRITE)
		relay_writable(r);
	if ((events & CONN_READ) && r->state == RELAY_OPEN)
		relay_input(r);
}

struct relay *relay_exec(struct gateway *g, struct container *c, struct exec *e, bool raw_client,
			 const struct detach_keys *keys, struct err *err)
{
	struct relay *r;

	if (!c->tunnel) {
		err_set(err, ERR_CONFLICT, "container %.12s has no agent", c->id);
		return NULL;
	}
	r = relay_new(g);
	snprintf(r->exec_id, sizeof(r->exec_id), "%s", e->id);
	snprintf(r->container_id, sizeof(r->container_id), "%s", c->id);
	r->stdin_wanted = e->attach_stdin;
	r->filter.want_stdout = e->attach_stdout;
	r->filter.want_stderr = e->attach_stderr;
	r->raw = raw_client;
	r->filter.drop_headers = raw_client && !e->tty;
	r->filtering = !e->tty && (raw_client || !e->attach_stdout || !e->attach_stderr);
	r->framing = e->tty && !raw_client;
	if (e->tty && keys)
		r->keys = *keys;
	r->tunnel = c->tunnel;
	if (tunnel_exec(c->tunnel, e, &relay_exec_sink, r, err) < 0) {
		r->tunnel = NULL;
		relay_die(r);
		return NULL;
	}
	r->channel = e->channel;
	return r;
}

struct relay *relay_attach(struct gateway *g, struct container *c, const struct relay_attach_options *opt,
			   struct err *err)
{
	struct log *log = container_log(c, err);
	struct relay *r;

	if (!log)
		return NULL;
	r = relay_new(g);
	snprintf(r->container_id, sizeof(r->container_id), "%s", c->id);
	r->channel = MAIN_CHANNEL;
	r->raw = c->tty || opt->raw;
	r->close_stdin = c->stdin_once && !c->tty;
	r->stdin_wanted = opt->in && opt->stream && c->open_stdin;
	r->filter.want_stdout = opt->out;
	r->filter.want_stderr = opt->err;
	if (c->tty && opt->keys)
		r->keys = *opt->keys;
	r->follow = opt->stream;
	r->cursor = log_cursor_new(log, opt->logs ? LOG_FROM_START : LOG_FROM_NOW);
	if (r->follow)
		r->exit_waiter = container_wait(c, WAIT_NEXT_EXIT, relay_attach_exited, r);
	return r;
}

void relay_go_on(void *ctx)
{
	struct relay *r = ctx;

	if (r->state == RELAY_FLUSHING)
		relay_flush(r);
	if (r->state == RELAY_OPEN)
		relay_input(r);
	if (r->state != RELAY_OPEN)
		return;
	if (!r->exec_id[0])
		relay_pump(r);
	else if (r->tunnel)
		tunnel_output_resume(r->tunnel, r->channel);
}

void relay_open(struct relay *r, struct conn *conn, struct buf *leftover, bool eof, const char *head)
{
	bool detach = false;

	assert(r->state == RELAY_HELD);
	if (!conn) {
		buf_release(leftover);
		relay_die(r);
		return;
	}
	r->conn = conn;
	buf_init(&r->in, leftover->len + RELAY_IN_MAX);
	buf_append(&r->in, buf_head(leftover), leftover->len);
	buf_release(leftover);
	if (r->keys.n && r->in.len) { /* typed ahead: the keys count as well */
		uint8_t *all = xmalloc(r->in.len + DETACH_KEYS_MAX);
		size_t n = detach_keys_scan(&r->keys, buf_head(&r->in), r->in.len, all, &detach);

		buf_consume(&r->in, r->in.len);
		buf_append(&r->in, all, n);
		free(all);
	}
	r->client_eof = eof;
	conn_set_callback(conn, relay_on_client, r);
	buf_append(&r->out, head, strlen(head));
	r->state = RELAY_OPEN;
	relay_write(r, NULL, 0);
	if (*head && strcmp(conn_peer(conn), "unix") == 0)
		r->head_polls = HEAD_POLLS;
	relay_go_on(r);
	if (detach && r->state == RELAY_OPEN)
		relay_detach(r);
}

void relay_close_all(void)
{
	struct relay *r, *tmp;

	DL_FOREACH_SAFE(relays, r, tmp)
		relay_die(r);
}
