/* cloud_log - see cloud_log.h. */
#include "api/cloud_log.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/token.h"
#include "cloud/job_spec.h"
#include "cloud/log_gather.h"
#include "cloud/logging.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/container.h"
#include "state/network.h"
#include "stdcopy.h"

#define SETTLE_NS (1500 * 1000000LL) /* a line this much older than the newest has nothing before it any more, mostly */
#define LOOK_BACK_NS (30 * 1000000000LL)
#define TAIL_MAX 100000

struct cloud_log {
	struct gateway *g;
	struct log *log;
	struct log *keep;                /* the container's own, which gets the lines too; or NULL */
	struct log_gather *gather;
	char *job, *execution;
	struct cloud_call *call;
	struct log_follow *follow;
	struct container_waiter *exit;
	struct timer *quiet;             /* the run is over: complete, unless something comes */
	bool ready, over;
	const struct cloud_log_ops *ops;
	void *ctx;
};

bool cloud_log_wanted(struct container *c)
{
	struct log *log = container_log(c, NULL);

	if (c->state == CONTAINER_REMOVING || c->runs == 0 || !c->job || !c->execution || !log || log_has_output(log))
		return false;
	return !c->tunnel || !container_is_running(c); /* an agent that is there has the better word */
}

static void write_lines(struct cloud_log *l, int64_t until_ns)
{
	struct log_line line;
	struct err err;

	while (log_gather_next(l->gather, until_ns, &line)) {
		uint8_t tag = line.is_stderr ? STDCOPY_STDERR : STDCOPY_STDOUT;

		if (log_append_record(l->log, tag, line.time_ns, line.text, line.len, &err) < 0 ||
		    (l->keep && log_append_record(l->keep, tag, line.time_ns, line.text, line.len, &err) < 0))
			log_warn("a line of Cloud Logging is lost", "error=\"%s\"", err.msg);
	}
}

static void on_last(void *ctx, json_t *json, const struct err *err)
{
	struct cloud_log *l = ctx;

	l->call = NULL;
	if (err)
		log_warn("Cloud Logging has no answer; the last lines may be missing", "execution=%s error=\"%s\"", l->execution, err->msg);
	log_gather_add(l->gather, json_object_get(json, "entries"));
	write_lines(l, INT64_MAX);
	if (!l->ready) {
		l->ready = true;
		l->ops->ready(l->ctx);
	}
	l->ops->complete(l->ctx);
}

/* The poller may not have asked since. */
static void on_quiet(void *ctx)
{
	struct cloud_log *l = ctx;
	int64_t newest_ns = log_gather_newest_ns(l->gather);
	struct logging_ask ask = {.job = l->job, .execution = l->execution,
				  .since_ns = newest_ns > LOOK_BACK_NS ? newest_ns - LOOK_BACK_NS : 0};

	l->quiet = NULL;
	log_follow_end(l->follow);
	l->follow = NULL;
	l->call = logging_list(l->g->cloud, &ask, on_last, l);
}

/* Entries come late: by default 10 s of silence are the end. */
static void wait_for_quiet(struct cloud_log *l)
{
	timer_cancel(&l->quiet);
	l->quiet = timer_start(l->g->loop, (uint64_t)l->g->config->log_timeout_ms / 3, on_quiet, l);
}

static void on_followed(void *ctx, json_t *entries)
{
	struct cloud_log *l = ctx;
	size_t n = log_gather_add(l->gather, entries);

	write_lines(l, n ? log_gather_newest_ns(l->gather) - SETTLE_NS : INT64_MAX - 1);
	if (n && l->over)
		wait_for_quiet(l);
	if (!l->ready) {
		l->ready = true;
		l->ops->ready(l->ctx);
	}
}

static void on_exit_code(void *ctx, int exit_code, const char *error)
{
	struct cloud_log *l = ctx;

	l->exit = NULL;
	l->over = true;
	wait_for_quiet(l);
}

static void on_all(void *ctx, json_t *json, const struct err *err)
{
	struct cloud_log *l = ctx;

	l->call = NULL;
	if (err)
		log_warn("Cloud Logging has no answer; logs are empty", "execution=%s error=\"%s\"", l->execution, err->msg);
	else
		log_gather_add(l->gather, json_object_get(json, "entries"));
	if (l->keep && log_has_output(l->keep)) /* another request was faster */
		l->keep = NULL;
	write_lines(l, INT64_MAX);
	l->keep = NULL;
	l->ready = true;
	l->ops->ready(l->ctx);
	l->ops->complete(l->ctx);
}

struct cloud_log *cloud_log_open(struct gateway *g, struct container *c, const struct log_query *q, bool follow,
				 const struct cloud_log_ops *ops, void *ctx, struct err *err)
{
	AUTO_FREE char *name = network_shared_with(c) ? xasprintf("shared-%.12s", c->id) : xstrdup(JOB_SPEC_MAIN);
	AUTO_FREE char *path = NULL;
	struct cloud_log *l;
	char random[17];
	struct log *log;

	random_hex(random, 16);
	path = xasprintf("%s/cloud-log-%s", g->config->state_dir, random);
	log = log_open(path, err);
	if (!log)
		return NULL;
	log_unlink(log);
	l = xcalloc(1, sizeof(*l));
	*l = (struct cloud_log){.g = g, .log = log, .gather = log_gather_new(name), .job = xstrdup(c->job),
				.execution = xstrdup(c->execution), .ops = ops, .ctx = ctx};
	if (follow && (c->state == CONTAINER_RUNNING || c->state == CONTAINER_STARTING)) {
		l->follow = log_follow_begin(g->cloud, l->job, l->execution, on_followed, l);
		l->exit = container_wait(c, WAIT_NOT_RUNNING, on_exit_code, l);
	} else {
		struct logging_ask ask = {l->job, l->execution, false, q->since_ns, q->until_ns, 0};

		if (q->tail > 0 && q->tail <= TAIL_MAX && !network_shared_with(c))
			ask.newest = (size_t)q->tail * 2 + 100; /* the sidecar's lines are among them */
		if (c->state == CONTAINER_EXITED && !q->since_ns && !q->until_ns && !ask.newest)
			l->keep = container_log(c, NULL);
		l->call = logging_list(g->cloud, &ask, on_all, l);
	}
	return l;
}

struct log *cloud_log_log(struct cloud_log *l)
{
	return l->log;
}

void cloud_log_close(struct cloud_log *l)
{
	if (!l)
		return;
	cloud_cancel(l->call);
	log_follow_end(l->follow);
	container_unwait(l->exit);
	timer_cancel(&l->quiet);
	log_gather_free(l->gather);
	log_close(l->log);
	free(l->job);
	free(l->execution);
	free(l);
}
