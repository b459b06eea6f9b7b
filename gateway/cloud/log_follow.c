/* log_follow - the one poller of Cloud Logging and those it serves; and the quota that all reads share. See logging.h. */
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cloud/call.h"
#include "cloud/logging.h"
#include "gateway.h"
#include "net/defer.h"

#define POLL_MIN_MS 2000
#define POLL_MAX_MS 5000
#define LOOK_BACK_NS (30 * 1000000000LL) /* entries have been seen to come so late */
#define BATCH_MAX 100                    /* executions in one question: a filter may have 20,000 characters */
#define MINUTE_MS 60000

struct log_follow {
	struct log_poller *poller;  /* NULL: it has gone */
	char *job, *execution;
	bool asked;                 /* the question under way is for it too */
	int64_t newest_ns;          /* by Google's clock; 0: nothing seen */
	log_follow_cb *cb;
	void *ctx;
	struct log_follow *prev, *next;
};

struct log_poller {
	struct cloud *cloud;
	struct log_follow *follows;
	struct cloud_call *call;
	struct timer *timer;
	uint64_t every_ms;
};

/* ---- the quota ---------------------------------------------------------------------------------------- */

uint64_t logging_take_turn(struct cloud *c)
{
	uint64_t now = clock_mono_ms(), *oldest = &c->log_reads[c->n_log_reads % LOGGING_READS_MAX];

	if (c->n_log_reads >= LOGGING_READS_MAX && now - *oldest < MINUTE_MS)
		return MINUTE_MS - (now - *oldest);
	*oldest = now;
	c->n_log_reads++;
	return 0;
}

/* ---- the poller --------------------------------------------------------------------------------------- */

static void poll_now(void *ctx);

static void poll_later(struct log_poller *p, uint64_t ms)
{
	if (!p->timer && !p->call && p->follows)
		p->timer = timer_start(p->cloud->g->loop, ms, poll_now, p);
}

static void append(char **list, const char *name)
{
	AUTO_FREE char *before = *list;

	*list = xasprintf("%s%s\"%s\"", before ? before : "(", before ? " OR " : "", name);
}

static bool is_followed(const struct log_poller *p, const struct log_follow *f)
{
	const struct log_follow *o;

	DL_FOREACH(p->follows, o)
		if (o == f)
			return true;
	return false;
}

static json_t *entries_of(struct log_follow *f, json_t *entries)
{
	json_t *mine = json_array(), *entry;
	size_t i;

	json_array_foreach(entries, i, entry) {
		const char *name = json_string_value(json_object_get(json_object_get(entry, "labels"),
								     "run.googleapis.com/execution_name"));
		const char *at = json_string_value(json_object_get(entry, "timestamp"));
		int64_t time_ns;

		if (!name || strcmp(name, f->execution) != 0)
			continue;
		json_array_append(mine, entry);
		if (at && clock_parse(at, &time_ns) == 0 && time_ns > f->newest_ns)
			f->newest_ns = time_ns;
	}
	return mine;
}

/* Those that were asked for, unless they have left meanwhile; then they go to the end of the list. */
static size_t tell(struct log_poller *p, json_t *entries)
{
	struct log_follow *batch[BATCH_MAX], *f;
	size_t n = 0, n_new = 0;

	DL_FOREACH(p->follows, f)
		if (f->asked && n < BATCH_MAX)
			batch[n++] = f;
	for (size_t i = 0; i < n; i++) {
		int64_t before;
		json_t *mine;

		f = batch[i];
		if (!is_followed(p, f))
			continue;
		f->asked = false;
		DL_DELETE(p->follows, f);
		DL_APPEND(p->follows, f);
		before = f->newest_ns;
		mine = entries_of(f, entries);
		n_new += f->newest_ns > before;
		f->cb(f->ctx, mine);
		json_decref(mine);
	}
	return n_new;
}

static void on_entries(void *ctx, json_t *json, const struct err *err)
{
	struct log_poller *p = ctx;
	bool busy = false;

	if (err)
		log_warn("Cloud Logging has no answer", "error=\"%s\"", err->msg);
	else
		busy = tell(p, json_object_get(json, "entries")) > 0;
	p->call = NULL;
	p->every_ms = busy ? POLL_MIN_MS : p->every_ms + 500 < POLL_MAX_MS ? p->every_ms + 500 : POLL_MAX_MS;
	poll_later(p, p->every_ms);
}

static void poll_now(void *ctx)
{
	struct log_poller *p = ctx;
	AUTO_FREE char *jobs = NULL, *executions = NULL, *list = NULL, *filter = NULL;
	int64_t since_ns = INT64_MAX;
	struct log_follow *f;
	size_t n = 0;

	p->timer = NULL;
	DL_FOREACH(p->follows, f) {
		f->asked = n++ < BATCH_MAX;
		if (!f->asked)
			continue;
		append(&jobs, f->job);
		append(&executions, f->execution);
		since_ns = f->newest_ns < since_ns ? f->newest_ns : since_ns;
	}
	list = xasprintf("%s)", jobs);
	filter = xasprintf("%s)", executions);
	free(executions);
	executions = logging_filter(p->cloud->g->config, list, filter, false, since_ns > LOOK_BACK_NS ? since_ns - LOOK_BACK_NS : 0, 0);
	p->call = logging_query(p->cloud, executions, false, 0, on_entries, p);
}

/* ---- API ---------------------------------------------------------------------------------------------- */

struct log_follow *log_follow_begin(struct cloud *c, const char *job, const char *execution, log_follow_cb *cb, void *ctx)
{
	struct log_follow *f = xcalloc(1, sizeof(*f));

	if (!c->log_poller) {
		c->log_poller = xcalloc(1, sizeof(*c->log_poller));
		c->log_poller->cloud = c;
		c->log_poller->every_ms = POLL_MIN_MS;
	}
	f->poller = c->log_poller;
	f->job = xstrdup(job);
	f->execution = xstrdup(execution);
	f->cb = cb;
	f->ctx = ctx;
	DL_PREPEND(f->poller->follows, f); /* new ones first */
	poll_later(f->poller, 0);
	return f;
}

void log_follow_end(struct log_follow *f)
{
	if (!f)
		return;
	if (f->poller) {
		DL_DELETE(f->poller->follows, f);
		if (!f->poller->follows)
			timer_cancel(&f->poller->timer);
	}
	free(f->job);
	free(f->execution);
	free(f);
}

void log_follow_stop_all(struct cloud *c)
{
	struct log_poller *p = c->log_poller;
	struct log_follow *f;

	if (!p)
		return;
	DL_FOREACH(p->follows, f)
		f->poller = NULL;
	timer_cancel(&p->timer);
	cloud_cancel(p->call);
	free(p);
	c->log_poller = NULL;
}
