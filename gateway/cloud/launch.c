/* launch - see launch.h. One struct, one call at a time, one function per answer; `steps` says of each step
 * what it is in a sentence. */
#include "cloud/launch.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/token.h"
#include "cloud/call.h"
#include "cloud/run.h"
#include "gateway.h"
#include "net/defer.h"

#define OPERATION_TIMEOUT_MS 60000
#define MARK_DIGITS 16
#define RUNS_MAX 3           /* requests to run, when nobody can say what became of the last one */
#define LOOKS_MAX 3          /* for an execution that was perhaps made: lists are eventually consistent */
#define MISSING_MAX 3        /* times that a job just made is not found */
#define LOOK_MS 200

enum step { STEP_DELETE, STEP_GONE, STEP_CREATE, STEP_COMPARE, STEP_RUN, STEP_FIND, STEP_READY };

static const char *const steps[] = {
	[STEP_DELETE] = "delete the job of the former run",
	[STEP_GONE] = "delete the job of the former run",
	[STEP_CREATE] = "create the Cloud Run job",
	[STEP_COMPARE] = "create the Cloud Run job",
	[STEP_RUN] = "run the Cloud Run job",
	[STEP_FIND] = "run the Cloud Run job",
	[STEP_READY] = "create the Cloud Run job",
};

struct launch {
	struct cloud *cloud;
	char job_id[LAUNCH_JOB_MAX], mark[MARK_DIGITS + 1];
	json_t *job;
	enum launch_how how;
	enum step step;
	bool made;              /* a job of ours may be there */
	bool replaced;          /* a left-over was deleted once */
	char *operation;        /* of the create or patch, while it is not known to be done */
	int runs, looks, missing;
	struct err lost;        /* why the last run's fate is unknown */
	struct cloud_call *call;
	struct timer *timer;
	launch_cb *cb;
	void *ctx;
};

static void make_job(struct launch *l);
static void run_job(struct launch *l);
static void find_execution(void *ctx);

/* ---- in the background ------------------------------------------------------------------------------ */

static void on_discarded(void *ctx, json_t *json, const struct err *err)
{
	struct cloud_call *call = ctx;

	if (err && err->kind != ERR_NOT_FOUND)
		log_error("left behind in Cloud Run", "what=%s error=\"%s\"", call->resource, err->msg);
}

void launch_discard(struct cloud *c, const char *job_id, const char *execution)
{
	struct cloud_call *call = execution ? run_delete_execution(c, job_id, execution, on_discarded, NULL)
					    : run_delete_job(c, job_id, on_discarded, NULL);

	call->ctx = call;
	call->resource = xstrdup(execution ? execution : job_id);
}

static void on_unwanted(void *ctx, json_t *json, const struct err *err)
{
	struct cloud_call *call = ctx;

	launch_discard(call->cloud, call->resource, NULL);
}

/* A create or patch that is under way: Google may have it already, so that a deletion now could come before it. What it
 * makes is deleted once it is answered. */
static void disown(struct cloud_call *call, const char *job_id)
{
	call->repeatable = false;
	call->cb = on_unwanted;
	call->ctx = call;
	call->resource = xstrdup(job_id);
}

/* Before the job is made anew: a deletion that comes later would hit the new one. */
static void recall_discards(struct cloud *c, const char *job_id)
{
	struct cloud_call *call, *tmp;

	DL_FOREACH_SAFE(c->calls, call, tmp)
		if ((call->cb == on_discarded || call->cb == on_unwanted) && strcmp(call->resource, job_id) == 0)
			cloud_cancel(call);
}

/* ---- the end ---------------------------------------------------------------------------------------- */

static void launch_free(struct launch *l)
{
	cloud_cancel(l->call);
	timer_cancel(&l->timer);
	json_decref(l->job);
	free(l->operation);
	free(l);
}

static void succeed(struct launch *l, const char *execution)
{
	AUTO_FREE char *name = xstrdup(execution);

	l->cb(l->ctx, name, NULL);
	launch_free(l);
}

static void fail(struct launch *l, const struct err *why)
{
	struct err err = *why;

	err_wrap(&err, "%s", steps[l->step]);
	if (l->made)
		launch_discard(l->cloud, l->job_id, NULL);
	l->cb(l->ctx, NULL, &err);
	launch_free(l);
}

void launch_cancel(struct launch *l, bool undo)
{
	if (!l)
		return;
	if (undo && l->step == STEP_CREATE && l->call)
		disown(steal_ptr(&l->call), l->job_id);
	else if (undo && l->made)
		launch_discard(l->cloud, l->job_id, NULL);
	launch_free(l);
}

/* ---- reading answers -------------------------------------------------------------------------------- */

/* Google has said no; otherwise the request may have had its effect. */
static bool is_refusal(const struct err *err)
{
	switch (err->kind) {
	case ERR_INVALID:
	case ERR_DENIED:
	case ERR_FORBIDDEN:
	case ERR_NOT_FOUND:
	case ERR_CONFLICT:
	case ERR_LIMIT:
		return true;
	default:
		return false;
	}
}

static const char *annotation(json_t *resource, const char *key)
{
	return json_string_value(json_object_get(json_object_get(resource, "annotations"), key));
}

static bool is_marked(const struct launch *l, json_t *resource)
{
	const char *mark = annotation(resource, LAUNCH_MARK);

	return mark && strcmp(mark, l->mark) == 0;
}

static bool is_done(json_t *operation)
{
	return json_is_true(json_object_get(operation, "done"));
}

static const char *name_of(json_t *o)
{
	return json_string_value(json_object_get(o, "name"));
}

static const char *short_name(json_t *o)
{
	const char *name = name_of(o), *slash = name ? strrchr(name, '/') : NULL;

	return slash && slash[1] ? slash + 1 : NULL;
}

/* ---- delete ----------------------------------------------------------------------------------------- */

static void on_gone(void *ctx, json_t *json, const struct err *err)
{
	struct launch *l = ctx;

	l->call = NULL;
	if (err && err->kind != ERR_NOT_FOUND)
		fail(l, err);
	else
		make_job(l);
}

static void on_deleted(void *ctx, json_t *json, const struct err *err)
{
	struct launch *l = ctx;

	l->call = NULL;
	if (!err && name_of(json) && !is_done(json)) {
		l->step = STEP_GONE;
		l->call = run_wait_operation(l->cloud, name_of(json), OPERATION_TIMEOUT_MS, on_gone, l);
	} else {
		on_gone(l, json, err);
	}
}

static void delete_job(struct launch *l)
{
	l->step = STEP_DELETE;
	l->call = run_delete_job(l->cloud, l->job_id, on_deleted, l);
}

/* ---- create or patch -------------------------------------------------------------------------------- */

static void job_is_there(struct launch *l)
{
	AUTO_FREE char *execution = NULL;

	if (!json_object_get(l->job, "startExecutionToken")) {
		run_job(l);
		return;
	}
	execution = xasprintf("%s-%s", l->job_id, l->mark);
	succeed(l, execution);
}

/* A job of this name exists: made by a create whose answer was lost, or by a start that was cut short. */
static void on_present(void *ctx, json_t *json, const struct err *err)
{
	struct launch *l = ctx;
	const char *whose = annotation(json, "sockerless_container_id"), *ours = annotation(l->job, "sockerless_container_id");
	struct err other = {0};

	l->call = NULL;
	if (err && err->kind != ERR_NOT_FOUND) {
		fail(l, err);
	} else if (!err && is_marked(l, json)) {
		job_is_there(l);
	} else if (!err && whose && ours && strcmp(whose, ours) != 0) {
		l->made = false;
		err_set(&other, ERR_CONFLICT, "the job %s exists and belongs to container %.12s", l->job_id, whose);
		fail(l, &other);
	} else if (l->replaced) {
		err_set(&other, ERR_CONFLICT, "the job %s exists again after it was deleted", l->job_id);
		fail(l, &other);
	} else {
		l->replaced = true;
		delete_job(l);
	}
}

static void on_made(void *ctx, json_t *json, const struct err *err)
{
	struct launch *l = ctx;

	l->call = NULL;
	if (err && err->kind == ERR_CONFLICT && l->how != LAUNCH_AGAIN) {
		l->step = STEP_COMPARE;
		l->call = run_get_job(l->cloud, l->job_id, on_present, l);
	} else if (err) {
		fail(l, err);
	} else {
		if (name_of(json) && !is_done(json))
			l->operation = xstrdup(name_of(json));
		job_is_there(l);
	}
}

static void make_job(struct launch *l)
{
	l->step = STEP_CREATE;
	l->made = true;
	if (l->how == LAUNCH_AGAIN)
		l->call = run_patch_job(l->cloud, l->job_id, json_incref(l->job), on_made, l);
	else
		l->call = run_create_job(l->cloud, l->job_id, json_incref(l->job), on_made, l);
}

/* ---- run -------------------------------------------------------------------------------------------- */

static void on_ready(void *ctx, json_t *json, const struct err *err)
{
	struct launch *l = ctx;

	l->call = NULL;
	if (err)
		fail(l, err);
	else
		run_job(l);
}

static void await_ready(struct launch *l)
{
	AUTO_FREE char *operation = steal_ptr(&l->operation);

	l->step = STEP_READY;
	l->call = run_wait_operation(l->cloud, operation, OPERATION_TIMEOUT_MS, on_ready, l);
}

static void run_again(void *ctx)
{
	struct launch *l = ctx;

	l->timer = NULL;
	run_job(l);
}

static void on_run(void *ctx, json_t *json, const struct err *err)
{
	struct launch *l = ctx;
	json_t *execution = json_object_get(json, "metadata");
	struct err none = {0};

	l->call = NULL;
	if (err && is_refusal(err)) {
		if (l->operation && err->kind != ERR_LIMIT && err->kind != ERR_DENIED)
			await_ready(l); /* the job was not ready; or its operation knows better why not */
		else if (err->kind == ERR_NOT_FOUND && l->missing++ < MISSING_MAX)
			l->timer = timer_start(l->cloud->g->loop, LOOK_MS << l->missing, run_again, l);
		else
			fail(l, err);
	} else if (err) {
		l->lost = *err;
		l->looks = 0;
		find_execution(l);
	} else if (!short_name(execution)) {
		err_set(&none, ERR_UPSTREAM, "the answer names no execution");
		fail(l, &none);
	} else if (annotation(execution, LAUNCH_MARK) && !is_marked(l, execution) && l->operation) {
		launch_discard(l->cloud, l->job_id, short_name(execution)); /* it runs what the job was before the patch */
		await_ready(l);
	} else {
		succeed(l, short_name(execution));
	}
}

static void run_job(struct launch *l)
{
	l->step = STEP_RUN;
	l->runs++;
	l->call = run_run_job(l->cloud, l->job_id, on_run, l);
}

/* ---- what became of a run whose answer was lost ------------------------------------------------------ */

static void on_executions(void *ctx, json_t *json, const struct err *err)
{
	struct launch *l = ctx;
	json_t *e;
	size_t i;

	l->call = NULL;
	json_array_foreach(json_object_get(json, "executions"), i, e)
		if (is_marked(l, e) && short_name(e)) {
			succeed(l, short_name(e));
			return;
		}
	if (++l->looks < LOOKS_MAX)
		l->timer = timer_start(l->cloud->g->loop, LOOK_MS << l->looks, find_execution, l);
	else if (!err && l->runs < RUNS_MAX)
		run_job(l);
	else
		fail(l, &l->lost);
}

static void find_execution(void *ctx)
{
	struct launch *l = ctx;

	l->timer = NULL;
	l->step = STEP_FIND;
	l->call = run_list_executions(l->cloud, l->job_id, on_executions, l);
}

/* ---- API -------------------------------------------------------------------------------------------- */

void launch_job_name(const char *container_id, char ret[LAUNCH_JOB_MAX])
{
	snprintf(ret, LAUNCH_JOB_MAX, "sockerless-%.12s", container_id);
}

static void put_annotation(json_t *o, const char *value)
{
	json_t *all = json_object_get(o, "annotations");

	if (!all)
		json_object_set_new(o, "annotations", all = json_object());
	json_object_set_new(all, LAUNCH_MARK, json_string(value));
}

struct launch *launch_begin(struct cloud *c, const char *job_id, json_t *job, enum launch_how how, launch_cb *cb,
			    void *ctx)
{
	struct launch *l = xcalloc(1, sizeof(*l));

	assert(json_object_get(job, "template"));
	l->cloud = c;
	l->job = job;
	l->how = how;
	l->cb = cb;
	l->ctx = ctx;
	snprintf(l->job_id, sizeof(l->job_id), "%s", job_id);
	random_hex(l->mark, MARK_DIGITS);
	put_annotation(job, l->mark);
	put_annotation(json_object_get(job, "template"), l->mark);
	if (c->g->config->start_token)
		json_object_set_new(job, "startExecutionToken", json_string(l->mark));
	recall_discards(c, job_id);
	if (how == LAUNCH_OVER)
		delete_job(l);
	else
		make_job(l);
	return l;
}
