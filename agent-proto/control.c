/* control - between the plain structs of control.h and protobuf. See control.h and tunnel.proto.
 *
 * Unpacking counts what it allocates: a short run of protobuf bytes can ask for forty times its
 * size in empty rows, and the bytes come from the other side. */
#include "control.h"

#include <assert.h>
#include <string.h>

#include "base/token.h"
#include "tunnel.pb-c.h"

#define TEXT_MAX 4096               /* any one string that is not an argument or a variable */
#define UNPACK_MEMORY_MAX (16 << 20)

/* ---- plain to protobuf ------------------------------------------------------------------------ */

/* The generated structs of one message, and the arrays behind their lists. */
struct packing {
	Tunnel__Control control;
	union {
		Tunnel__Hello hello;
		Tunnel__Welcome welcome;
		Tunnel__Ping ping;
		Tunnel__Pong pong;
		Tunnel__Goaway goaway;
		Tunnel__Exec exec;
		Tunnel__Started started;
		Tunnel__Exit exit;
		Tunnel__ExitAck exit_ack;
		Tunnel__Signal signal;
		Tunnel__Resize resize;
		Tunnel__Begin begin;
		Tunnel__RestartPolicy restart_policy;
		Tunnel__Restarting restarting;
		Tunnel__Leave leave;
		Tunnel__Migrating migrating;
	} body;
	Tunnel__ExitStatus status;
	struct packed_proc {
		Tunnel__ProcRow row;
		Tunnel__ExitStatus exit;
	} *procs;
	Tunnel__ProcRow **proc_list;
	Tunnel__StreamRow *streams, **stream_list;
};

static char *text_or_empty(const char *s)
{
	return (char *)(s ? s : protobuf_c_empty_string);
}

static ProtobufCBinaryData bytes_unless_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return (ProtobufCBinaryData){ .len = n, .data = (uint8_t *)p };
	return (ProtobufCBinaryData){ 0 };
}

static void pack_status(const struct exit_status *from, Tunnel__ExitStatus *to)
{
	tunnel__exit_status__init(to);
	to->code = from->code;
	to->signal = from->signal;
	to->core_dumped = from->core_dumped;
	to->pipes_held = from->pipes_held;
	to->final_offset = from->final_offset;
	to->output_check = from->output_check;
	to->started_ns = from->started_ns;
	to->finished_ns = from->finished_ns;
	to->error = text_or_empty(from->error);
}

static void pack_procs(struct packing *pk, const struct proc_row *rows, size_t n)
{
	pk->procs = xcalloc(n + 1, sizeof(*pk->procs));
	pk->proc_list = xcalloc(n + 1, sizeof(*pk->proc_list));
	for (size_t i = 0; i < n; i++) {
		Tunnel__ProcRow *to = &pk->procs[i].row;

		tunnel__proc_row__init(to);
		to->channel = rows[i].channel;
		to->exec_id = text_or_empty(rows[i].exec_id);
		to->spec_hash = bytes_unless_zero(rows[i].spec_hash, sizeof(rows[i].spec_hash));
		to->state = rows[i].state;
		to->pid = rows[i].pid;
		to->restarts = rows[i].restarts;
		if (rows[i].state == PROC_EXITED || rows[i].state == PROC_RESTARTING ||
		     rows[i].exit.started_ns) { /* running: started_ns only */
			to->exit = &pk->procs[i].exit;
			pack_status(&rows[i].exit, to->exit);
		}
		pk->proc_list[i] = to;
	}
}

static void pack_streams(struct packing *pk, const struct stream_row *rows, size_t n)
{
	pk->streams = xcalloc(n + 1, sizeof(*pk->streams));
	pk->stream_list = xcalloc(n + 1, sizeof(*pk->stream_list));
	for (size_t i = 0; i < n; i++) {
		Tunnel__StreamRow *to = &pk->streams[i];

		tunnel__stream_row__init(to);
		to->id = rows[i].id;
		to->received = rows[i].received;
		to->delivered = rows[i].delivered;
		to->acked = rows[i].acked;
		to->next_send = rows[i].next_send;
		to->fin = rows[i].fin;
		to->reset = rows[i].reset;
		pk->stream_list[i] = to;
	}
}

static void pack_hello(struct packing *pk, const struct hello *h)
{
	Tunnel__Hello *to = &pk->body.hello;

	tunnel__hello__init(to);
	to->version = h->version;
	to->container_id = text_or_empty(h->container_id);
	to->execution = text_or_empty(h->execution);
	to->agent_version = text_or_empty(h->agent_version);
	to->task_attempt = h->task_attempt;
	to->boot_id = (ProtobufCBinaryData){ BOOT_ID_LEN, (uint8_t *)h->boot_id };
	to->link_no = h->link_no;
	to->gateway_id = bytes_unless_zero(h->gateway_id, BOOT_ID_LEN);
	to->window_in = h->window_in;
	to->window_out = h->window_out;
	to->features = h->features;
	pack_procs(pk, h->procs, h->n_procs);
	to->n_procs = h->n_procs;
	to->procs = pk->proc_list;
	pack_streams(pk, h->streams, h->n_streams);
	to->n_streams = h->n_streams;
	to->streams = pk->stream_list;
	pk->control.hello = to;
	pk->control.body_case = TUNNEL__CONTROL__BODY_HELLO;
}

static void pack_welcome(struct packing *pk, const struct welcome *w)
{
	Tunnel__Welcome *to = &pk->body.welcome;

	tunnel__welcome__init(to);
	to->verdict = w->verdict;
	to->gateway_id = bytes_unless_zero(w->gateway_id, BOOT_ID_LEN);
	to->retry_after_ms = w->retry_after_ms;
	to->features = w->features;
	to->link_lifetime_ms = w->link_lifetime_ms;
	to->message = text_or_empty(w->message);
	pack_streams(pk, w->streams, w->n_streams);
	to->n_streams = w->n_streams;
	to->streams = pk->stream_list;
	pk->control.welcome = to;
	pk->control.body_case = TUNNEL__CONTROL__BODY_WELCOME;
}

static void pack_exec(const struct exec_spec *spec, Tunnel__Exec *to)
{
	tunnel__exec__init(to);
	to->exec_id = text_or_empty(spec->exec_id);
	to->n_argv = spec->argv.n;
	to->argv = spec->argv.v;
	to->n_env = spec->env.n;
	to->env = spec->env.v;
	to->workdir = text_or_empty(spec->workdir);
	to->user = text_or_empty(spec->user);
	to->tty = spec->tty;
	to->open_stdin = spec->open_stdin;
	to->detach = spec->detach;
	to->rows = spec->rows;
	to->cols = spec->cols;
	to->tool = spec->tool;
}

/* Messages of a few numbers: initialise the part of the union and hang it into the oneof. */
#define PACK_BODY(NAME, name)                                                                      \
	do {                                                                                       \
		tunnel__##name##__init(&pk->body.name);                                            \
		pk->control.name = &pk->body.name;                                                 \
		pk->control.body_case = TUNNEL__CONTROL__BODY_##NAME;                              \
	} while (0)

static void pack(struct packing *pk, const struct control *c)
{
	tunnel__control__init(&pk->control);
	pk->control.channel = c->channel;
	switch (c->type) {
	case CONTROL_HELLO:
		pack_hello(pk, &c->hello);
		return;
	case CONTROL_WELCOME:
		pack_welcome(pk, &c->welcome);
		return;
	case CONTROL_PING:
		PACK_BODY(PING, ping);
		pk->body.ping.stamp_us = c->ping.stamp_us;
		return;
	case CONTROL_PONG:
		PACK_BODY(PONG, pong);
		pk->body.pong.stamp_us = c->ping.stamp_us;
		return;
	case CONTROL_GOAWAY:
		PACK_BODY(GOAWAY, goaway);
		pk->body.goaway.reconnect_within_ms = c->goaway.reconnect_within_ms;
		return;
	case CONTROL_EXEC:
		PACK_BODY(EXEC, exec);
		pack_exec(&c->exec, &pk->body.exec);
		return;
	case CONTROL_STARTED:
		PACK_BODY(STARTED, started);
		pk->body.started.pid = c->started.pid;
		pk->body.started.started_ns = c->started.started_ns;
		return;
	case CONTROL_EXIT:
		PACK_BODY(EXIT, exit);
		pack_status(&c->exit.status, &pk->status);
		pk->body.exit.status = &pk->status;
		return;
	case CONTROL_EXIT_ACK:
		PACK_BODY(EXIT_ACK, exit_ack);
		return;
	case CONTROL_SIGNAL:
		PACK_BODY(SIGNAL, signal);
		pk->body.signal.number = c->signal.number;
		return;
	case CONTROL_RESIZE:
		PACK_BODY(RESIZE, resize);
		pk->body.resize.rows = c->resize.rows;
		pk->body.resize.cols = c->resize.cols;
		return;
	case CONTROL_BEGIN:
		PACK_BODY(BEGIN, begin);
		return;
	case CONTROL_RESTART_POLICY:
		PACK_BODY(RESTART_POLICY, restart_policy);
		pk->body.restart_policy.when = c->restart_policy.when;
		pk->body.restart_policy.max_retries = c->restart_policy.max_retries;
		return;
	case CONTROL_RESTARTING:
		PACK_BODY(RESTARTING, restarting);
		pack_status(&c->restarting.status, &pk->status);
		pk->body.restarting.status = &pk->status;
		pk->body.restarting.count = c->restarting.count;
		pk->body.restarting.delay_ms = c->restarting.delay_ms;
		return;
	case CONTROL_LEAVE:
		PACK_BODY(LEAVE, leave);
		return;
	case CONTROL_MIGRATING:
		PACK_BODY(MIGRATING, migrating);
		return;
	}
	assert(!"a control type of ours");
}

static void packing_release(struct packing *pk)
{
	free(pk->procs);
	free(pk->proc_list);
	free(pk->streams);
	free(pk->stream_list);
}

static int too_long(const char *text, const char *what, struct err *err)
{
	size_t n = text ? strlen(text) : 0;

	return n > TEXT_MAX ? err_set(err, ERR_INVALID, "a %s of %zu bytes: %d is the limit", what, n, TEXT_MAX) : 0;
}

/* What the other side would refuse, and the whole link with it. */
static int check_exec(const struct exec_spec *e, struct err *err)
{
	return too_long(e->exec_id, "name", err) < 0 || too_long(e->workdir, "working directory", err) < 0 ||
	       too_long(e->user, "user", err) < 0 ? -1 : 0;
}

int control_encode(const struct control *c, struct buf *out, struct err *err)
{
	bool handshake = c->type == CONTROL_HELLO || c->type == CONTROL_WELCOME;
	size_t n, max = handshake ? CONTROL_HANDSHAKE_MAX : CONTROL_MESSAGE_MAX;
	struct packing pk = { 0 };
	uint8_t *to;
	int rc = -1;

	if (c->type == CONTROL_EXEC && check_exec(&c->exec, err) < 0)
		return -1;
	pack(&pk, c);
	n = tunnel__control__get_packed_size(&pk.control);
	if (n > max || !(to = buf_reserve(out, n)))
		err_set(err, ERR_LIMIT, "control message of %zu bytes", n);
	else {
		buf_commit(out, tunnel__control__pack(&pk.control, to));
		rc = 0;
	}
	packing_release(&pk);
	return rc;
}

void exec_spec_hash(const struct exec_spec *spec, uint8_t out[32])
{
	Tunnel__Exec exec;
	uint8_t *bytes;
	size_t n;

	pack_exec(spec, &exec);
	n = tunnel__exec__get_packed_size(&exec);
	bytes = xmalloc(n + 1);
	tunnel__exec__pack(&exec, bytes);
	sha256(bytes, n, out);
	free(bytes);
}

/* ---- protobuf to plain ------------------------------------------------------------------------ */

static int out_of_range(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, "control message: %s out of range", what);
}

static int take_text(const char *from, char **ret, struct err *err)
{
	size_t n = strlen(from);

	if (n > TEXT_MAX)
		return err_set(err, ERR_LIMIT, "control message: text of %zu bytes", n);
	*ret = xstrndup(from, n);
	return 0;
}

/* Absent means zero: a gateway_id before the first welcome, the hash of the main process. */
static int take_bytes(const ProtobufCBinaryData *from, uint8_t *to, size_t n, const char *what,
		      struct err *err)
{
	if (from->len != 0 && from->len != n)
		return out_of_range(err, what);
	if (from->len)
		memcpy(to, from->data, n);
	return 0;
}

static int take_status(const Tunnel__ExitStatus *from, struct exit_status *to, struct err *err)
{
	if (!from || from->code < 0 || from->code > 255 || from->signal < 0 || from->signal > 64)
		return out_of_range(err, "exit status");
	to->code = from->code;
	to->signal = from->signal;
	to->core_dumped = from->core_dumped;
	to->pipes_held = from->pipes_held;
	to->final_offset = from->final_offset;
	to->output_check = from->output_check;
	to->started_ns = from->started_ns;
	to->finished_ns = from->finished_ns;
	return from->error[0] ? take_text(from->error, &to->error, err) : 0;
}

static int take_proc(const Tunnel__ProcRow *from, struct proc_row *to, struct err *err)
{
	if (from->channel < 1 || from->channel > CONTROL_CHANNEL_MAX || from->state > PROC_RESTARTING)
		return out_of_range(err, "process row");
	to->channel = from->channel;
	to->state = from->state;
	to->pid = from->pid;
	to->restarts = from->restarts;
	if (take_bytes(&from->spec_hash, to->spec_hash, sizeof(to->spec_hash), "spec hash", err) < 0 ||
	    take_text(from->exec_id, &to->exec_id, err) < 0)
		return -1;
	if (to->state != PROC_EXITED && to->state != PROC_RESTARTING && !from->exit)
		return 0;
	return take_status(from->exit, &to->exit, err);
}

static int take_streams(Tunnel__StreamRow **from, size_t n, struct stream_row **ret, size_t *ret_n,
			struct err *err)
{
	if (n > CONTROL_STREAMS_MAX)
		return out_of_range(err, "number of streams");
	*ret = xcalloc(n + 1, sizeof(**ret));
	for (*ret_n = 0; *ret_n < n; ++*ret_n) {
		const Tunnel__StreamRow *row = from[*ret_n];

		(*ret)[*ret_n] = (struct stream_row){
			.id = row->id, .received = row->received, .delivered = row->delivered,
			.acked = row->acked, .next_send = row->next_send,
			.fin = row->fin, .reset = row->reset,
		};
	}
	return 0;
}

static int take_hello(const Tunnel__Hello *from, struct hello *to, struct err *err)
{
	if (from->version == 0 || from->boot_id.len != BOOT_ID_LEN)
		return out_of_range(err, "version or boot id");
	if (from->n_procs > CONTROL_PROCS_MAX)
		return out_of_range(err, "number of processes");
	to->version = from->version;
	to->task_attempt = from->task_attempt;
	to->link_no = from->link_no;
	to->window_in = from->window_in;
	to->window_out = from->window_out;
	to->features = from->features;
	if (take_bytes(&from->boot_id, to->boot_id, BOOT_ID_LEN, "boot id", err) < 0 ||
	    take_bytes(&from->gateway_id, to->gateway_id, BOOT_ID_LEN, "gateway id", err) < 0 ||
	    take_text(from->container_id, &to->container_id, err) < 0 ||
	    take_text(from->execution, &to->execution, err) < 0 ||
	    take_text(from->agent_version, &to->agent_version, err) < 0)
		return -1;
	to->procs = xcalloc(from->n_procs + 1, sizeof(*to->procs));
	while (to->n_procs < from->n_procs) {
		size_t i = to->n_procs++; /* counted first: a half-taken row is released too */

		if (take_proc(from->procs[i], &to->procs[i], err) < 0)
			return -1;
	}
	return take_streams(from->streams, from->n_streams, &to->streams, &to->n_streams, err);
}

static int take_welcome(const Tunnel__Welcome *from, struct welcome *to, struct err *err)
{
	if (from->verdict > WELCOME_RETRY)
		return out_of_range(err, "verdict");
	to->verdict = from->verdict;
	to->retry_after_ms = from->retry_after_ms;
	to->features = from->features;
	to->link_lifetime_ms = from->link_lifetime_ms;
	if (take_bytes(&from->gateway_id, to->gateway_id, BOOT_ID_LEN, "gateway id", err) < 0 ||
	    (from->message[0] && take_text(from->message, &to->message, err) < 0))
		return -1;
	return take_streams(from->streams, from->n_streams, &to->streams, &to->n_streams, err);
}

static int take_exec(const Tunnel__Exec *from, uint32_t channel, struct exec_spec *to,
		     struct err *err)
{
	if (from->n_argv == 0 || from->rows > UINT16_MAX || from->cols > UINT16_MAX)
		return out_of_range(err, "exec");
	to->channel = channel;
	for (size_t i = 0; i < from->n_argv; i++)
		strv_add(&to->argv, from->argv[i]);
	for (size_t i = 0; i < from->n_env; i++)
		strv_add(&to->env, from->env[i]);
	to->tty = from->tty;
	to->open_stdin = from->open_stdin;
	to->detach = from->detach;
	to->rows = (uint16_t)from->rows;
	to->cols = (uint16_t)from->cols;
	to->tool = from->tool;
	if (take_text(from->exec_id, &to->exec_id, err) < 0 ||
	    (from->workdir[0] && take_text(from->workdir, &to->workdir, err) < 0) ||
	    (from->user[0] && take_text(from->user, &to->user, err) < 0))
		return -1;
	return 0;
}

static int take(const Tunnel__Control *m, struct control *ret, struct err *err)
{
	ret->channel = m->channel;
	if (m->channel > CONTROL_CHANNEL_MAX ||
	    (m->channel == 0) != (m->body_case < TUNNEL__CONTROL__BODY_EXEC))
		return out_of_range(err, "channel");
	switch (m->body_case) {
	case TUNNEL__CONTROL__BODY_HELLO:
		ret->type = CONTROL_HELLO;
		return take_hello(m->hello, &ret->hello, err);
	case TUNNEL__CONTROL__BODY_WELCOME:
		ret->type = CONTROL_WELCOME;
		return take_welcome(m->welcome, &ret->welcome, err);
	case TUNNEL__CONTROL__BODY_PING:
		ret->type = CONTROL_PING;
		ret->ping.stamp_us = m->ping->stamp_us;
		return 0;
	case TUNNEL__CONTROL__BODY_PONG:
		ret->type = CONTROL_PONG;
		ret->ping.stamp_us = m->pong->stamp_us;
		return 0;
	case TUNNEL__CONTROL__BODY_GOAWAY:
		ret->type = CONTROL_GOAWAY;
		ret->goaway.reconnect_within_ms = m->goaway->reconnect_within_ms;
		return 0;
	case TUNNEL__CONTROL__BODY_MIGRATING:
		ret->type = CONTROL_MIGRATING;
		return 0;
	case TUNNEL__CONTROL__BODY_EXEC:
		ret->type = CONTROL_EXEC;
		return take_exec(m->exec, m->channel, &ret->exec, err);
	case TUNNEL__CONTROL__BODY_STARTED:
		ret->type = CONTROL_STARTED;
		ret->started.pid = m->started->pid;
		ret->started.started_ns = m->started->started_ns;
		return 0;
	case TUNNEL__CONTROL__BODY_EXIT:
		ret->type = CONTROL_EXIT;
		return take_status(m->exit->status, &ret->exit.status, err);
	case TUNNEL__CONTROL__BODY_EXIT_ACK:
		ret->type = CONTROL_EXIT_ACK;
		return 0;
	case TUNNEL__CONTROL__BODY_SIGNAL:
		ret->type = CONTROL_SIGNAL;
		ret->signal.number = m->signal->number;
		if (m->signal->number < 1 || m->signal->number > 64)
			return out_of_range(err, "signal");
		return 0;
	case TUNNEL__CONTROL__BODY_RESIZE:
		ret->type = CONTROL_RESIZE;
		if (m->resize->rows > UINT16_MAX || m->resize->cols > UINT16_MAX)
			return out_of_range(err, "size");
		ret->resize.rows = (uint16_t)m->resize->rows;
		ret->resize.cols = (uint16_t)m->resize->cols;
		return 0;
	case TUNNEL__CONTROL__BODY_BEGIN:
		ret->type = CONTROL_BEGIN;
		return 0;
	case TUNNEL__CONTROL__BODY_RESTART_POLICY:
		ret->type = CONTROL_RESTART_POLICY;
		if (m->restart_policy->when > RESTART_ALWAYS)
			return out_of_range(err, "restart policy");
		ret->restart_policy.when = m->restart_policy->when;
		ret->restart_policy.max_retries = m->restart_policy->max_retries;
		return 0;
	case TUNNEL__CONTROL__BODY_RESTARTING:
		ret->type = CONTROL_RESTARTING;
		ret->restarting.count = m->restarting->count;
		ret->restarting.delay_ms = m->restarting->delay_ms;
		return take_status(m->restarting->status, &ret->restarting.status, err);
	case TUNNEL__CONTROL__BODY_LEAVE:
		ret->type = CONTROL_LEAVE;
		return 0;
	default:
		return err_set(err, ERR_UNSUPPORTED, "control message of an unknown type");
	}
}

static void *counted_alloc(void *left, size_t n)
{
	size_t *budget = left;

	if (n > *budget)
		return NULL;
	*budget -= n;
	return malloc(n ? n : 1);
}

static void counted_free(void *left, void *p)
{
	free(p);
}

int control_decode(const uint8_t *p, size_t n, struct control *ret, struct err *err)
{
	size_t left = UNPACK_MEMORY_MAX;
	ProtobufCAllocator counted = { counted_alloc, counted_free, &left };
	struct control c = { 0 };
	Tunnel__Control *m;
	int rc;

	if (n > CONTROL_HANDSHAKE_MAX + PROOF_TRAILER_LEN)
		return err_set(err, ERR_LIMIT, "control message of %zu bytes", n);
	m = tunnel__control__unpack(&counted, n, p);
	if (!m)
		return err_set(err, ERR_INVALID, "control message is not valid protobuf");
	rc = take(m, &c, err);
	tunnel__control__free_unpacked(m, &counted);
	if (rc < 0)
		control_release(&c);
	else
		*ret = c;
	return rc;
}

/* ---- release ---------------------------------------------------------------------------------- */

void exec_spec_release(struct exec_spec *spec)
{
	free(spec->exec_id);
	strv_release(&spec->argv);
	strv_release(&spec->env);
	free(spec->workdir);
	free(spec->user);
	*spec = (struct exec_spec){ 0 };
}

void control_release(struct control *c)
{
	switch (c->type) {
	case CONTROL_HELLO: {
		struct hello *h = &c->hello;

		free(h->container_id);
		free(h->execution);
		free(h->agent_version);
		for (size_t i = 0; i < h->n_procs; i++) {
			free(h->procs[i].exec_id);
			free(h->procs[i].exit.error);
		}
		free(h->procs);
		free(h->streams);
		break;
	}
	case CONTROL_WELCOME:
		free(c->welcome.message);
		free(c->welcome.streams);
		break;
	case CONTROL_EXEC:
		exec_spec_release(&c->exec);
		break;
	case CONTROL_EXIT:
		free(c->exit.status.error);
		break;
	case CONTROL_RESTARTING:
		free(c->restarting.status.error);
		break;
	default:
		break;
	}
	*c = (struct control){ 0 };
}
