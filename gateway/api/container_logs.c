/* container_logs - GET /containers/{id}/logs: lines of the container's log, and with follow the ones to
 * come until the container's run ends. A client that does not read stops this cursor and nothing else.
 *
 * When the gateway has nothing of a container that did run, the lines are those of Cloud Logging (cloud_log.h). */
#include "state/logs.h"
#include "state/network.h"

#include <stdio.h>
#include <string.h>

#include "api/cloud_log.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "net/defer.h"
#include "state/container.h"
#include "stdcopy.h"

#define BATCH (64 * 1024)
#define LINE_OUT_MAX (LOG_LINE_MAX + STDCOPY_HEADER + 1024) /* a line with time and details before it */

struct logs {
	struct request *r;
	char id[ID_HEX_MAX];
	struct log_query q;
	char *details;           /* ours; q points to it */
	struct log_lines *lines;
	struct container_waiter *exit_waiter;
	struct cloud_log *history;
	bool follow, tty;
	bool final;              /* nothing more will be printed */
	bool blocked;            /* the client's queue is full: drained() goes on */
	bool queued, gone;
};

static uint8_t batch[BATCH + LINE_OUT_MAX];

static void pump(struct logs *l);

static void free_logs(void *p)
{
	struct logs *l = p;

	free(l->details);
	free(l);
}

/* Memory goes after the round: a pump may still be queued. */
static void release(struct request *r)
{
	struct logs *l = r->state;

	l->gone = true;
	container_unwait(l->exit_waiter);
	log_lines_free(l->lines);
	cloud_log_close(l->history);
	loop_defer(r->g->loop, free_logs, l);
}

static void queued_pump(void *p)
{
	struct logs *l = p;

	l->queued = false;
	if (!l->gone)
		pump(l);
}

static void queue_pump(struct logs *l)
{
	if (!l->queued)
		loop_defer(l->r->g->loop, queued_pump, l);
	l->queued = true;
}

static void grew(void *ctx)
{
	queue_pump(ctx);
}

static void drained(struct exchange *x, void *ctx)
{
	struct logs *l = ctx;

	l->blocked = false;
	pump(l);
}

static void ended(void *ctx, int exit_code, const char *error)
{
	struct logs *l = ctx;

	l->exit_waiter = NULL;
	l->final = true;
	queue_pump(l);
}

static size_t add_line(const struct logs *l, uint8_t *out, uint8_t tag, const uint8_t *p, size_t n)
{
	size_t head = l->tty ? 0 : STDCOPY_HEADER;

	if (!l->tty)
		stdcopy_header(out, tag, (uint32_t)n);
	memcpy(out + head, p, n);
	return head + n;
}

/* One batch; what is left is done in another round of the loop. */
static void pump(struct logs *l)
{
	size_t used = 0, n;
	const uint8_t *p;
	struct err err;
	uint8_t tag;
	int got = 1;

	if (l->blocked)
		return;
	while (used < BATCH) {
		got = log_lines_next(l->lines, l->final, &tag, &p, &n, &err);
		if (got != 1)
			break;
		if (n > LINE_OUT_MAX - STDCOPY_HEADER) { /* long labels in front: cannot be batched */
			got = -1;
			err_set(&err, ERR_LIMIT, "a line of %zu bytes", n);
			break;
		}
		used += add_line(l, batch + used, tag, p, n);
	}
	if (used && !exchange_write(l->r->x, batch, used)) {
		l->blocked = true;
		exchange_on_drain(l->r->x, drained, l);
	}
	if (got == 1 || got == 3) {
		queue_pump(l);
	} else if (got == 0 && !l->final) {
		log_lines_follow(l->lines, grew, l);
	} else if (got < 0) {
		log_error("container log cannot be read", "container=%.12s error=\"%s\"", l->id, err.msg);
		exchange_abort(l->r->x);
		request_free(l->r);
	} else {
		reply_end(l->r);
	}
}

/* What Cloud Logging tells has no place to go on from: its reader is cut, not waited for. */
static bool carry(struct exchange *x, void *ctx, struct pack *p)
{
	struct logs *l = ctx;

	if (!l->lines || (!l->history && !log_lines_can_save(l->lines)))
		return false;
	if (p)
		pack_num(p, l->history != NULL);
	if (p && !l->history)
		log_lines_save(l->lines, p);
	return true;
}

static void begin_reply(struct logs *l, struct log *log)
{
	struct request *r = l->r;
	struct unpack *carried = exchange_carried(r->x);

	if (!carried)
		l->lines = log_lines_new(log, &l->q);
	else if (!unpack_num(carried))
		l->lines = log_lines_restore(log, &l->q, carried);
	if (!l->lines) {
		log_warn("a reader of a log is cut by the restart", "container=%.12s", l->id);
		exchange_abort(r->x);
		request_free(r);
		return;
	}
	exchange_on_carry(r->x, carry, l);
	reply_begin(r, r->version < 42 ? NULL : l->tty ? "application/vnd.docker.raw-stream"
						       : "application/vnd.docker.multiplexed-stream");
	queue_pump(l);
}

static void serve(struct logs *l, struct container *c)
{
	struct err err;
	struct log *log = container_log(c, &err);
	bool live = c->state == CONTAINER_RUNNING || c->state == CONTAINER_STARTING;

	if (!log) {
		reply_err(l->r, &err);
		return;
	}
	if (!c->tunnel)
		log_settle(log); /* what a lost disk had of it: better with a repetition than not at all */
	l->final = !(l->follow && live);
	l->q.as_it_is = live && !l->follow;
	if (!l->final)
		l->exit_waiter = container_wait(c, WAIT_NOT_RUNNING, ended, l);
	begin_reply(l, log);
}

/* ---- history ------------------------------------------------------------------------------------- */

static void history_ready(void *ctx)
{
	struct logs *l = ctx;

	begin_reply(l, cloud_log_log(l->history));
}

static void history_complete(void *ctx)
{
	struct logs *l = ctx;

	l->final = true;
	queue_pump(l);
}

static const struct cloud_log_ops history_ops = {history_ready, history_complete};

/* ---- the request --------------------------------------------------------------------------------- */

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* One "k=v" for each key that the comma-separated list of the log option names. */
static void add_labels(struct strv *ret, const char *keys, json_t *labels)
{
	for (size_t n; *keys; keys += n + (keys[n] == ',')) {
		AUTO_FREE char *key = NULL;
		const char *value;

		n = strcspn(keys, ",");
		key = xstrndup(keys, n);
		value = json_string_value(json_object_get(labels, key));
		if (value)
			strv_take(ret, xasprintf("%s=%s", key, value));
	}
}

static void add_variables(struct strv *ret, const char *keys, json_t *env)
{
	for (size_t n; *keys; keys += n + (keys[n] == ',')) {
		json_t *v;
		size_t i;

		n = strcspn(keys, ",");
		json_array_foreach(env, i, v) {
			const char *entry = json_string_value(v);

			if (n && strncmp(entry, keys, n) == 0 && entry[n] == '=')
				strv_add(ret, entry);
		}
	}
}

/* What stands before each line with details=1: "k=v,k=v " of the log options labels and env, or a blank. */
static char *details_of(const struct container *c)
{
	json_t *options = json_object_get(json_object_get(c->host_config, "LogConfig"), "Config");
	const char *labels = json_string_value(json_object_get(options, "labels"));
	const char *env = json_string_value(json_object_get(options, "env"));
	struct strv list = {0};
	char *text = xstrdup("");

	add_labels(&list, labels ? labels : "", json_object_get(c->config, "Labels"));
	add_variables(&list, env ? env : "", json_object_get(c->config, "Env"));
	if (list.n)
		qsort(list.v, list.n, sizeof(*list.v), compare_strings);
	for (size_t i = 0; i <= list.n; i++) {
		AUTO_FREE char *before = text;

		text = xasprintf("%s%s%s", before, i < list.n ? list.v[i] : " ", i + 1 < list.n ? "," : "");
	}
	strv_release(&list);
	return text;
}

static int read_query(struct request *r, struct logs *l, struct err *err)
{
	AUTO_FREE char *tail = request_query(r, "tail");

	l->q = (struct log_query){
		.want_stdout = request_flag(r, "stdout"), .want_stderr = request_flag(r, "stderr"),
		.timestamps = request_flag(r, "timestamps"), .tail = -1,
	};
	l->follow = request_flag(r, "follow");
	if (!l->q.want_stdout && !l->q.want_stderr)
		return err_set(err, ERR_INVALID, "Bad parameters: you must choose at least one stream");
	if (tail && (parse_i64(tail, &l->q.tail) < 0 || l->q.tail < 0))
		l->q.tail = -1; /* "all", and whatever else is no number */
	if (request_time(r, "since", &l->q.since_ns, NULL, err) < 0)
		return -1;
	return request_time(r, "until", &l->q.until_ns, NULL, err);
}

void container_logs(struct request *r)
{
	struct logs *l = xcalloc(1, sizeof(*l));
	struct container *c;
	struct err err;

	l->r = r;
	r->state = l;
	r->release = release;
	if (read_query(r, l, &err) < 0) {
		reply_err(r, &err);
		return;
	}
	c = request_container(r);
	if (!c)
		return;
	snprintf(l->id, sizeof(l->id), "%s", c->id);
	if (request_flag(r, "details"))
		l->q.details = l->details = details_of(c);
	l->tty = c->tty;
	if (exchange_carried(r->x) || !cloud_log_wanted(c))
		serve(l, c);
	else if (!(l->history = cloud_log_open(r->g, c, &l->q, l->follow, &history_ops, l, &err)))
		reply_err(r, &err);
}
