/* executions - see executions.h. Tasks run in the order of their index, `parallelism` at a time; a
 * failed one is tried again up to maxRetries times. */
#include "executions.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "jobs.h"
#include "net/defer.h"
#include "operations.h"
#include "schema.h"
#include "wall.h"

#define KEPT_PER_JOB 1000 /* completed executions; the oldest goes. Source: Cloud Run quotas */

static void advance(struct execution *e);

static void set_condition(struct execution *e, int which, enum condition_state state,
			  const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static void set_condition(struct execution *e, int which, enum condition_state state,
			  const char *fmt, ...)
{
	struct condition *c = &e->conditions[which];
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	free(c->message);
	c->message = *text ? xstrdup(text) : NULL;
	c->state = state;
	c->time_ns = e->update_ns = wall_now_ns();
}

/* ---- the state machine ---- */

static bool all_tasks_over(const struct execution *e)
{
	return e->in_flight == 0 &&
	       (e->next_task == e->task_count || e->cancelling || e->failed > 0);
}

static bool was_cancelled(const struct execution *e)
{
	return e->cancelling && e->succeeded < e->task_count;
}

static double seconds_since_creation(const struct execution *e)
{
	return (double)(wall_now_ns() - e->create_ns) / 1e9;
}

static void drop_oldest_completed(struct execution *e)
{
	struct execution *i, *oldest = NULL;
	int count = 0;

	DL_FOREACH(e->emu->store->executions, i)
		if (i->job && i->job == e->job && i->complete_ns) {
			count++;
			oldest = i;
		}
	if (count > KEPT_PER_JOB)
		execution_delete(oldest);
}

static void free_later(void *p)
{
	struct execution *e = p;

	store_remove_execution(e->emu->store, e);
}

static void complete(struct execution *e)
{
	struct condition *c = &e->conditions[COND_COMPLETED];

	if (e->complete_ns)
		return;
	e->complete_ns = wall_now_ns();
	store_etag(e->etag);
	if (c->state == STATE_FAILED) /* whatever failed has said why */
		c->time_ns = e->complete_ns;
	else if (was_cancelled(e)) {
		e->cancelled += e->task_count - e->succeeded - e->failed - e->cancelled;
		set_condition(e, COND_COMPLETED, STATE_FAILED, "Execution %s has been cancelled.", e->id);
		c->execution_reason = "CANCELLED";
	} else {
		c->execution_reason = NULL; /* a cancellation that came too late */
		set_condition(e, COND_COMPLETED, STATE_SUCCEEDED, "Execution completed successfully in "
			      "%.2fs.", seconds_since_creation(e));
	}
	log_info("execution completed", "name=%s succeeded=%d failed=%d cancelled=%d", e->id,
		 e->succeeded, e->failed, e->cancelled);
	operations_settle(e);
	if (e->deleted)
		loop_defer(e->emu->loop, free_later, e);
	else
		drop_oldest_completed(e);
}

static int max_retries(const struct execution *e)
{
	return (int)json_integer_value(json_object_get(e->template, "maxRetries"));
}

static void fail_execution(struct execution *e, const struct execution_task *task,
			   const struct task_result *r)
{
	struct condition *c = &e->conditions[COND_COMPLETED];

	if (e->cancelling || c->state == STATE_FAILED)
		return;
	if (r->outcome == TASK_CANNOT_START) {
		set_condition(e, COND_CONTAINER, STATE_FAILED, "%s", r->message);
		e->conditions[COND_CONTAINER].reason = r->reason;
		set_condition(e, COND_COMPLETED, STATE_FAILED, "%s", r->message);
		c->reason = r->reason;
		return;
	}
	if (r->exit_code)
		set_condition(e, COND_COMPLETED, STATE_FAILED, "Task %s-task%d failed with exit code: %d "
			      "and message: %s", e->id, task->index, r->exit_code, r->message);
	else
		set_condition(e, COND_COMPLETED, STATE_FAILED, "Task %s-task%d failed with message: %s",
			      e->id, task->index, r->message);
	if (r->has_exit_code && r->exit_code)
		c->execution_reason = "NON_ZERO_EXIT_CODE";
}

static void task_over(struct execution_task *task)
{
	struct execution *e = task->execution;
	const struct task_result *r = &task->result;

	task->state = TASK_ENDED;
	task->complete_ns = wall_now_ns();
	e->in_flight--;
	switch (r->outcome) {
	case TASK_SUCCEEDED:
		e->succeeded++;
		break;
	case TASK_CANCELLED:
		e->cancelled++;
		break;
	case TASK_FAILED:
	case TASK_CANNOT_START:
		e->failed++;
		fail_execution(e, task, r);
		break;
	}
}

static void on_attempt(void *ctx, enum task_event event, const struct task_result *result);

static void start_attempt(struct execution_task *task)
{
	struct execution *e = task->execution;
	int64_t timeout_ms;

	schema_duration_ms(json_string_value(json_object_get(e->template, "timeout")), &timeout_ms);
	task->attempt = task_start(e->emu, &(struct task_spec){
		.project = e->project, .location = e->location, .job = e->job_id, .execution = e->id,
		.index = task->index, .attempt = task->retried, .count = e->task_count,
		.template = e->template, .timeout_ms = (uint64_t)timeout_ms }, on_attempt, task);
}

static void on_images(struct execution *e)
{
	if (e->conditions[COND_CONTAINER].state == STATE_SUCCEEDED)
		return;
	set_condition(e, COND_CONTAINER, STATE_SUCCEEDED, "Imported container image in %.2fs.",
		      seconds_since_creation(e));
}

static void on_started(struct execution_task *task)
{
	struct execution *e = task->execution;

	task->state = TASK_RUNNING;
	e->running++;
	if (!task->start_ns)
		task->start_ns = wall_now_ns();
	if (e->start_ns)
		return;
	e->start_ns = wall_now_ns();
	set_condition(e, COND_RESOURCES, STATE_SUCCEEDED, "Provisioned imported containers.");
	set_condition(e, COND_STARTED, STATE_SUCCEEDED, "Started deployed execution in %.2fs.",
		      seconds_since_creation(e));
	set_condition(e, COND_COMPLETED, STATE_RECONCILING, "Waiting for execution to complete.");
	operations_settle(e);
}

static void on_done(struct execution_task *task, const struct task_result *result)
{
	struct execution *e = task->execution;

	task->attempt = NULL;
	task->result = *result;
	task->has_result = true;
	e->update_ns = wall_now_ns();
	if (task->state == TASK_RUNNING)
		e->running--;
	task->state = TASK_PENDING;
	if (result->outcome == TASK_FAILED && task->retried < max_retries(e) && !e->cancelling) {
		e->retried += task->retried++ == 0;
		start_attempt(task);
		return;
	}
	task_over(task);
	advance(e);
}

static void on_attempt(void *ctx, enum task_event event, const struct task_result *result)
{
	struct execution_task *task = ctx;

	switch (event) {
	case TASK_HAS_IMAGES:
		on_images(task->execution);
		break;
	case TASK_STARTED:
		on_started(task);
		break;
	case TASK_DONE:
		on_done(task, result);
		break;
	}
}

/* Start what may start; complete when nothing is left. */
static void advance(struct execution *e)
{
	int limit = e->parallelism ? e->parallelism : e->task_count;

	while (!e->cancelling && !e->failed && !e->emu->stopping && e->next_task < e->task_count &&
	       e->in_flight < limit) {
		e->in_flight++;
		start_attempt(&e->tasks[e->next_task++]);
	}
	if (all_tasks_over(e))
		complete(e);
}

static void first_advance(void *p)
{
	advance(p);
}

static void cancel_execution(struct execution *e)
{
	if (e->complete_ns || e->cancelling)
		return;
	e->cancelling = true;
	set_condition(e, COND_COMPLETED, STATE_RECONCILING, "Cancelling execution.");
	e->conditions[COND_COMPLETED].execution_reason = "CANCELLING";
	for (int i = 0; i < e->next_task; i++)
		if (e->tasks[i].attempt)
			task_cancel(e->tasks[i].attempt, TASK_STOP_GRACE_MS);
	if (all_tasks_over(e))
		complete(e);
}

void execution_delete(struct execution *e)
{
	bool was_complete = e->complete_ns != 0;

	store_hide_execution(e->emu->store, e);
	e->delete_ns = wall_now_ns();
	if (was_complete)
		loop_defer(e->emu->loop, free_later, e);
	else
		cancel_execution(e);
}

/* ---- creation ---- */

static json_t *find_override(const json_t *list, const json_t *container)
{
	const char *name = json_string_value(json_object_get(container, "name"));
	json_t *o;
	size_t i;

	json_array_foreach(list, i, o) {
		const char *wanted = json_string_value(json_object_get(o, "name"));
		if (!wanted || (name && !strcmp(name, wanted)))
			return o;
	}
	return NULL;
}

/* Variables of the override replace those of the same name and are added otherwise. */
static void merge_env(json_t *container, const json_t *env)
{
	json_t *own = json_object_get(container, "env"), *v, *w;
	size_t i, k;

	if (!own) {
		own = json_array();
		json_object_set_new(container, "env", own);
	}
	json_array_foreach(env, i, v) {
		const char *name = json_string_value(json_object_get(v, "name"));
		json_array_foreach(own, k, w)
			if (!strcmp(name, json_string_value(json_object_get(w, "name"))))
				break;
		if (k < json_array_size(own))
			json_array_set(own, k, v);
		else
			json_array_append(own, v);
	}
}

static void apply_overrides(struct execution *e, const json_t *overrides)
{
	const json_t *list = json_object_get(overrides, "containerOverrides");
	json_t *c, *v;
	size_t i;

	json_array_foreach(json_object_get(e->template, "containers"), i, c) {
		const json_t *o = find_override(list, c);
		if (!o)
			continue;
		if ((v = json_object_get(o, "args")))
			json_object_set(c, "args", v);
		else if (json_is_true(json_object_get(o, "clearArgs")))
			json_object_del(c, "args");
		if ((v = json_object_get(o, "env")))
			merge_env(c, v);
	}
	if ((v = json_object_get(overrides, "timeout")))
		json_object_set(e->template, "timeout", v);
	if ((v = json_object_get(overrides, "taskCount")))
		e->task_count = (int)json_integer_value(v);
}

static void create_tasks(struct execution *e)
{
	e->tasks = xcalloc((size_t)e->task_count, sizeof *e->tasks);
	for (int i = 0; i < e->task_count; i++) {
		e->tasks[i].execution = e;
		e->tasks[i].index = i;
		store_uuid(e->tasks[i].uid);
	}
}

struct execution *execution_new(struct emulator *emu, struct job *j, const char *suffix,
				const json_t *overrides)
{
	const json_t *t = json_object_get(j->spec, "template");
	struct execution *e = xcalloc(1, sizeof *e);

	e->emu = emu;
	e->job = j;
	e->project = xstrdup(j->project);
	e->location = xstrdup(j->location);
	e->job_id = xstrdup(j->id);
	e->id = xasprintf("%s-%s", j->id, suffix);
	e->name = xasprintf("%s/executions/%s", j->name, e->id);
	e->labels = json_deep_copy(json_object_get(t, "labels"));
	e->annotations = json_deep_copy(json_object_get(t, "annotations"));
	e->template = json_deep_copy(json_object_get(t, "template"));
	e->launch_stage = xstrdup(json_string_value(json_object_get(j->spec, "launchStage")));
	e->client = xstrdup(json_string_value(json_object_get(j->spec, "client")));
	e->client_version = xstrdup(json_string_value(json_object_get(j->spec, "clientVersion")));
	e->task_count = (int)json_integer_value(json_object_get(t, "taskCount"));
	e->parallelism = (int)json_integer_value(json_object_get(t, "parallelism"));
	apply_overrides(e, overrides);
	create_tasks(e);
	store_uuid(e->uid);
	store_etag(e->etag);
	e->create_ns = wall_now_ns();
	set_condition(e, COND_COMPLETED, STATE_PENDING, "Waiting for execution to complete.");
	set_condition(e, COND_CONTAINER, STATE_RECONCILING, "Importing container image.");
	set_condition(e, COND_RESOURCES, STATE_PENDING, "%s", "");
	set_condition(e, COND_STARTED, STATE_PENDING, "%s", "");
	store_add_execution(emu->store, e);
	j->latest = e;
	j->execution_count++;
	log_info("execution created", "name=%s tasks=%d", e->id, e->task_count);
	loop_defer(emu->loop, first_advance, e);
	return e;
}

/* ---- rendering ---- */

int execution_error_code(const struct execution *e)
{
	if (was_cancelled(e))
		return RPC_CANCELLED;
	for (int i = 0; i < e->task_count; i++)
		if (e->tasks[i].has_result && e->tasks[i].result.outcome != TASK_SUCCEEDED)
			return e->tasks[i].result.code;
	return RPC_INTERNAL;
}

static json_t *condition_json(const char *type, const struct condition *c)
{
	static const char *const states[] = { "STATE_UNSPECIFIED", "CONDITION_PENDING",
		"CONDITION_RECONCILING", "CONDITION_FAILED", "CONDITION_SUCCEEDED" };
	json_t *o = json_pack("{s:s, s:s}", "type", type, "state", states[c->state]);

	rpc_put_string(o, "message", c->message);
	rpc_put_time(o, "lastTransitionTime", c->time_ns);
	rpc_put_string(o, "reason", c->reason);
	rpc_put_string(o, "executionReason", c->execution_reason);
	return o;
}

static json_t *execution_conditions(const struct execution *e)
{
	static const char *const types[N_CONDITIONS] = { "Completed", "ResourcesAvailable", "Started",
							 "ContainerReady" };
	json_t *list = json_array();

	for (int i = 0; i < N_CONDITIONS; i++)
		json_array_append_new(list, condition_json(types[i], &e->conditions[i]));
	return list;
}

static char *log_uri(const struct execution *e, const char *task)
{
	return xasprintf("https://console.cloud.google.com/logs/viewer?project=%s&advancedFilter="
		"resource.type%%3D%%22cloud_run_job%%22%%0Aresource.labels.job_name%%3D%%22%s%%22%%0A"
		"resource.labels.location%%3D%%22%s%%22%%0Alabels.%%22run.googleapis.com/execution_name"
		"%%22%%3D%%22%s%%22%s%s", e->project, e->job_id, e->location, e->id,
		task ? "%0Alabels.%22run.googleapis.com/task_index%22%3D" : "", task ? task : "");
}

static void put_copy(json_t *o, const char *key, const json_t *v)
{
	if (v)
		json_object_set_new(o, key, json_deep_copy(v));
}

json_t *execution_json(const struct execution *e)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:s}", "name", e->name, "uid", e->uid, "generation", "1",
			      "job", e->job_id);
	AUTO_FREE char *uri = log_uri(e, NULL);

	put_copy(o, "labels", e->labels);
	put_copy(o, "annotations", e->annotations);
	rpc_put_string(o, "creator", EMULATED_USER);
	rpc_put_time(o, "createTime", e->create_ns);
	rpc_put_time(o, "startTime", e->start_ns);
	rpc_put_time(o, "completionTime", e->complete_ns);
	rpc_put_time(o, "updateTime", e->update_ns);
	rpc_put_time(o, "deleteTime", e->delete_ns);
	rpc_put_string(o, "launchStage", e->launch_stage);
	rpc_put_string(o, "client", e->client);
	rpc_put_string(o, "clientVersion", e->client_version);
	rpc_put_int(o, "parallelism", e->parallelism);
	rpc_put_int(o, "taskCount", e->task_count);
	put_copy(o, "template", e->template);
	if (!e->complete_ns)
		json_object_set_new(o, "reconciling", json_true());
	json_object_set_new(o, "conditions", execution_conditions(e));
	json_object_set_new(o, "observedGeneration", json_string("1"));
	rpc_put_int(o, "runningCount", e->running);
	rpc_put_int(o, "succeededCount", e->succeeded);
	rpc_put_int(o, "failedCount", e->failed);
	rpc_put_int(o, "cancelledCount", e->cancelled);
	rpc_put_int(o, "retriedCount", e->retried);
	rpc_put_string(o, "logUri", uri);
	rpc_put_string(o, "etag", e->etag);
	return o;
}

json_t *execution_reference(const struct execution *e)
{
	json_t *o = json_pack("{s:s}", "name", e->id);
	const char *status = !e->complete_ns ? (e->start_ns ? "EXECUTION_RUNNING" : "EXECUTION_PENDING")
			   : was_cancelled(e) ? "EXECUTION_CANCELLED"
			   : e->conditions[COND_COMPLETED].state == STATE_SUCCEEDED
			   ? "EXECUTION_SUCCEEDED" : "EXECUTION_FAILED";

	rpc_put_time(o, "createTime", e->create_ns);
	rpc_put_time(o, "completionTime", e->complete_ns);
	rpc_put_string(o, "completionStatus", status);
	return o;
}

static json_t *attempt_result_json(const struct task_result *r)
{
	json_t *o = json_object(), *status = json_object();

	rpc_put_int(status, "code", r->code);
	if (r->outcome != TASK_SUCCEEDED)
		rpc_put_string(status, "message", r->message);
	json_object_set_new(o, "status", status);
	if (r->has_exit_code)
		rpc_put_int(o, "exitCode", r->exit_code);
	rpc_put_int(o, "termSignal", r->term_signal);
	return o;
}

static json_t *task_conditions(const struct execution_task *t)
{
	struct condition started = { .state = t->start_ns ? STATE_SUCCEEDED : STATE_PENDING,
				     .time_ns = t->start_ns };
	struct condition done = { .state = STATE_RECONCILING, .time_ns = t->start_ns };

	if (t->state == TASK_ENDED) {
		bool good = t->result.outcome == TASK_SUCCEEDED;
		done = (struct condition){ .state = good ? STATE_SUCCEEDED : STATE_FAILED,
					   .time_ns = t->complete_ns,
					   .message = good ? NULL : (char *)t->result.message };
		if (t->result.outcome == TASK_CANCELLED)
			done.execution_reason = "CANCELLED";
		else if (t->result.exit_code)
			done.execution_reason = "NON_ZERO_EXIT_CODE";
	}
	return json_pack("[o, o]", condition_json("Completed", &done),
			 condition_json("Started", &started));
}

static json_t *task_json(const struct execution_task *t)
{
	static const char *const copied[] = { "containers", "volumes", "maxRetries", "timeout",
		"serviceAccount", "executionEnvironment", "encryptionKey", "vpcAccess", "nodeSelector" };
	const struct execution *e = t->execution;
	AUTO_FREE char *name = xasprintf("%s/tasks/%s-task%d", e->name, e->id, t->index);
	AUTO_FREE char *index = xasprintf("%d", t->index);
	AUTO_FREE char *uri = log_uri(e, index);
	json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", name, "uid", t->uid, "generation", "1",
			      "job", e->job_id, "execution", e->id);

	put_copy(o, "labels", e->labels);
	put_copy(o, "annotations", e->annotations);
	rpc_put_time(o, "createTime", e->create_ns);
	rpc_put_time(o, "scheduledTime", t->start_ns ? e->create_ns : 0);
	rpc_put_time(o, "startTime", t->start_ns);
	rpc_put_time(o, "completionTime", t->complete_ns);
	rpc_put_time(o, "updateTime", t->complete_ns ? t->complete_ns
						     : t->start_ns ? t->start_ns : e->create_ns);
	for (size_t i = 0; i < sizeof copied / sizeof copied[0]; i++)
		put_copy(o, copied[i], json_object_get(e->template, copied[i]));
	if (t->state != TASK_ENDED)
		json_object_set_new(o, "reconciling", json_true());
	json_object_set_new(o, "conditions", task_conditions(t));
	json_object_set_new(o, "observedGeneration", json_string("1"));
	rpc_put_int(o, "index", t->index);
	rpc_put_int(o, "retried", t->retried);
	if (t->has_result)
		json_object_set_new(o, "lastAttemptResult", attempt_result_json(&t->result));
	rpc_put_string(o, "logUri", uri);
	rpc_put_string(o, "etag", e->etag);
	return o;
}

/* ---- requests ---- */

static struct execution *find(struct emulator *emu, struct exchange *x, const char *name)
{
	struct execution *e = store_execution(emu->store, name);
	struct rpc_error err = { 0 };

	if (e && wall_now_ns() - e->create_ns < (int64_t)emu->knobs.not_found_ms * 1000000)
		e = NULL; /* what was just made is not found at once */
	if (!e) {
		rpc_fail(&err, RPC_NOT_FOUND, "Resource '%.300s' of kind 'EXECUTION' does not exist.", name);
		rpc_reply_error(x, &err);
	}
	return e;
}

void executions_get(struct emulator *emu, struct exchange *x, const char *name)
{
	struct execution *e = find(emu, x, name);

	if (e)
		rpc_reply(x, execution_json(e));
}

/* "-" is any job, or any execution. */
static bool wanted(const struct execution *e, const char *project, const char *location,
		   const char *job, const char *execution)
{
	return !e->deleted && !strcmp(e->project, project) && !strcmp(e->location, location) &&
	       (!strcmp(job, "-") || !strcmp(e->job_id, job)) &&
	       (!strcmp(execution, "-") || !strcmp(e->id, execution));
}

void executions_list(struct emulator *emu, struct exchange *x, const char *parent,
		     const char *project, const char *location, const char *job)
{
	struct rpc_error err = { 0 };
	struct execution *e;
	struct page page;

	if (page_begin(&page, exchange_query(x), parent, &err) < 0) {
		rpc_reply_error(x, &err);
		return;
	}
	DL_FOREACH(emu->store->executions, e)
		if (wanted(e, project, location, job, "-") && page_wants(&page, e->seq))
			page_add(&page, e->seq, execution_json(e));
	page_reply(&page, x, "executions");
}

void executions_cancel(struct emulator *emu, struct exchange *x, const char *name,
		       const json_t *body)
{
	struct execution *e = find(emu, x, name);
	struct rpc_error err = { 0 };

	if (!e)
		return;
	if (store_check_etag(e->etag, json_string_value(json_object_get(body, "etag")), &err) == 0 &&
	    e->complete_ns)
		rpc_fail(&err, RPC_FAILED_PRECONDITION, "Execution %s is already completed.", e->id);
	if (err.code) {
		rpc_reply_error(x, &err);
		return;
	}
	if (!json_is_true(json_object_get(body, "validateOnly")))
		cancel_execution(e);
	rpc_reply(x, operation_for_execution(emu, e, false));
}

void executions_delete(struct emulator *emu, struct exchange *x, const char *name)
{
	AUTO_FREE char *etag = parse_query(exchange_query(x), "etag");
	AUTO_FREE char *validate = parse_query(exchange_query(x), "validateOnly");
	struct execution *e = find(emu, x, name);
	struct rpc_error err = { 0 };

	if (!e)
		return;
	if (store_check_etag(e->etag, etag, &err) < 0) {
		rpc_reply_error(x, &err);
		return;
	}
	json_t *op = operation_for_execution(emu, e, false);
	if (!validate || strcmp(validate, "true"))
		execution_delete(e);
	rpc_reply(x, op);
}

void tasks_get(struct emulator *emu, struct exchange *x, const char *execution, const char *task)
{
	struct execution *e = find(emu, x, execution);
	struct rpc_error err = { 0 };
	int64_t index;

	if (!e)
		return;
	size_t n = strlen(e->id);
	if (strncmp(task, e->id, n) || strncmp(task + n, "-task", 5) ||
	    parse_i64(task + n + 5, &index) < 0 || index < 0 || index >= e->task_count) {
		rpc_fail(&err, RPC_NOT_FOUND, "Resource '%.200s' of kind 'TASK' does not exist.", task);
		rpc_reply_error(x, &err);
		return;
	}
	rpc_reply(x, task_json(&e->tasks[index]));
}

/* The position of a task in the list of all: executions newest first, tasks by index. */
static uint64_t task_seq(const struct execution *e, int index)
{
	return e->seq << 16 | (uint64_t)(0xffff - index);
}

void tasks_list(struct emulator *emu, struct exchange *x, const char *parent, const char *project,
		const char *location, const char *job, const char *execution)
{
	struct rpc_error err = { 0 };
	struct execution *e;
	struct page page;

	if (page_begin(&page, exchange_query(x), parent, &err) < 0) {
		rpc_reply_error(x, &err);
		return;
	}
	DL_FOREACH(emu->store->executions, e)
		for (int i = 0; wanted(e, project, location, job, execution) && i < e->task_count; i++)
			if (page_wants(&page, task_seq(e, i)))
				page_add(&page, task_seq(e, i), task_json(&e->tasks[i]));
	page_reply(&page, x, "tasks");
}
