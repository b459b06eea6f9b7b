/* run - Cloud Run v2 jobs, executions, tasks and operations: addresses, pages, and reading states. */
#include "cloud/run.h"

#include <curl/curl.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "auth/auth.h"
#include "cloud/call.h"
#include "cloud/logging.h"
#include "cloud/storage.h"
#include "cloud/volume_records.h"
#include "gateway.h"

#define LIST_TIMEOUT_MS 60000
#define POLL_MIN_MS 100
#define POLL_MAX_MS 2000

/* ---- the client ------------------------------------------------------------------------------- */

/* "https://run.googleapis.com", unless everything is asked elsewhere. */
static char *base_url(const struct cloud *c, const char *service, const char *path)
{
	const char *endpoint = c->g->config->endpoint_url;

	if (endpoint)
		return xasprintf("%s/%s", endpoint, path);
	return xasprintf("https://%s.%s/%s", service, auth_universe(c->auth), path);
}

struct cloud *cloud_new(struct gateway *g)
{
	struct cloud *c = xcalloc(1, sizeof(*c));

	c->g = g;
	c->auth = auth_new(g);
	c->run_base = base_url(c, "run", "v2");
	c->run_parent = xasprintf("%s/projects/%s/locations/%s", c->run_base, g->config->project,
				  g->config->region);
	c->logging_base = base_url(c, "logging", "v2");
	c->storage_base = base_url(c, "storage", "storage/v1");
	c->upload_base = base_url(c, "storage", "upload/storage/v1");
	return c;
}

void cloud_free(struct cloud *c)
{
	if (!c)
		return;
	storage_stop(c);
	volume_records_stop(c);
	log_follow_stop_all(c);
	while (c->calls)
		cloud_cancel(c->calls);
	auth_free(c->auth);
	free(c->run_base);
	free(c->run_parent);
	free(c->logging_base);
	free(c->storage_base);
	free(c->upload_base);
	free(c);
}

struct auth *cloud_auth(struct cloud *c)
{
	return c->auth;
}

/* ---- single requests -------------------------------------------------------------------------- */

/* Of all answers only an operation has an error at the top: one that failed at once. */
static void pass_on(struct cloud_call *call, json_t *answer)
{
	json_t *error = json_object_get(answer, "error");
	struct err err;

	if (error)
		call_error(error, 0, &err);
	call_finish(call, answer, error ? &err : NULL);
}

static struct cloud_call *ask(struct cloud *c, const char *method, char *url, json_t *body,
			      cloud_cb *cb, void *ctx)
{
	struct cloud_call *call = call_new(c, call_timeout_ms(c), cb, ctx);

	/* Of all we ask, only a run does harm when it is asked twice: launch.c looks what became of it. */
	call_ask(call, method, url, body, strcmp(url + strlen(url) - strlen(":run"), ":run") != 0, pass_on);
	return call;
}

static char *execution_url(struct cloud *c, const char *job_id, const char *execution, const char *tail)
{
	return xasprintf("%s/jobs/%s/executions%s%s%s", c->run_parent, job_id, *execution ? "/" : "",
			 execution, tail);
}

struct cloud_call *run_create_job(struct cloud *c, const char *job_id, json_t *job, cloud_cb *cb, void *ctx)
{
	return ask(c, "POST", xasprintf("%s/jobs?jobId=%s", c->run_parent, job_id), job, cb, ctx);
}

/* A job that is not there is made. */
struct cloud_call *run_patch_job(struct cloud *c, const char *job_id, json_t *job, cloud_cb *cb, void *ctx)
{
	return ask(c, "PATCH", xasprintf("%s/jobs/%s?allowMissing=true", c->run_parent, job_id), job, cb, ctx);
}

struct cloud_call *run_get_job(struct cloud *c, const char *job_id, cloud_cb *cb, void *ctx)
{
	return ask(c, "GET", xasprintf("%s/jobs/%s", c->run_parent, job_id), NULL, cb, ctx);
}

struct cloud_call *run_delete_job(struct cloud *c, const char *job_id, cloud_cb *cb, void *ctx)
{
	return ask(c, "DELETE", xasprintf("%s/jobs/%s", c->run_parent, job_id), NULL, cb, ctx);
}

struct cloud_call *run_run_job(struct cloud *c, const char *job_id, cloud_cb *cb, void *ctx)
{
	return ask(c, "POST", xasprintf("%s/jobs/%s:run", c->run_parent, job_id), json_object(), cb, ctx);
}

struct cloud_call *run_get_execution(struct cloud *c, const char *job_id, const char *execution,
				     cloud_cb *cb, void *ctx)
{
	return ask(c, "GET", execution_url(c, job_id, execution, ""), NULL, cb, ctx);
}

struct cloud_call *run_cancel_execution(struct cloud *c, const char *job_id, const char *execution,
					cloud_cb *cb, void *ctx)
{
	return ask(c, "POST", execution_url(c, job_id, execution, ":cancel"), json_object(), cb, ctx);
}

struct cloud_call *run_delete_execution(struct cloud *c, const char *job_id, const char *execution,
					cloud_cb *cb, void *ctx)
{
	return ask(c, "DELETE", execution_url(c, job_id, execution, ""), NULL, cb, ctx);
}

struct cloud_call *run_list_executions(struct cloud *c, const char *job_id, cloud_cb *cb, void *ctx)
{
	return ask(c, "GET", execution_url(c, job_id, "", "?pageSize=20"), NULL, cb, ctx);
}

/* One task per execution: one page holds it. */
struct cloud_call *run_list_tasks(struct cloud *c, const char *job_id, const char *execution,
				  cloud_cb *cb, void *ctx)
{
	return ask(c, "GET", execution_url(c, job_id, execution, "/tasks"), NULL, cb, ctx);
}

/* ---- all jobs --------------------------------------------------------------------------------- */

static void on_jobs(struct cloud_call *call, json_t *answer)
{
	const char *next = json_string_value(json_object_get(answer, "nextPageToken"));
	struct err err;
	char *escaped;

	json_array_extend(json_object_get(call->sum, "jobs"), json_object_get(answer, "jobs"));
	if (!next || !*next) {
		call_finish(call, call->sum, NULL);
		return;
	}
	if (++call->pages >= CALL_PAGES_MAX) {
		err_set(&err, ERR_LIMIT, "list jobs: more than %d pages", CALL_PAGES_MAX);
		call_finish(call, NULL, &err);
		return;
	}
	escaped = curl_easy_escape(NULL, next, 0);
	call_ask(call, "GET", xasprintf("%s&pageToken=%s", call->resource, escaped), NULL, true, on_jobs);
	curl_free(escaped);
}

struct cloud_call *run_list_jobs(struct cloud *c, cloud_cb *cb, void *ctx)
{
	struct cloud_call *call = call_new(c, LIST_TIMEOUT_MS, cb, ctx);

	call->resource = xasprintf("%s/jobs?pageSize=100", c->run_parent);
	call->sum = json_pack("{s:[]}", "jobs");
	call_ask(call, "GET", xstrdup(call->resource), NULL, true, on_jobs);
	return call;
}

/* ---- operations ------------------------------------------------------------------------------- */

static void on_operation(struct cloud_call *call, json_t *operation)
{
	json_t *error = json_object_get(operation, "error");
	struct err err;

	if (error) {
		call_error(error, 0, &err);
		call_finish(call, NULL, &err);
		return;
	}
	if (json_is_true(json_object_get(operation, "done"))) {
		call_finish(call, operation, NULL);
		return;
	}
	if (clock_mono_ms() + call->delay_ms >= call->deadline_ms) {
		err_set(&err, ERR_TIMEOUT, "operation %s is not done in time", call->resource);
		call_finish(call, NULL, &err);
		return;
	}
	call_repeat_after(call, call->delay_ms);
	call->delay_ms = call->delay_ms * 2 < POLL_MAX_MS ? call->delay_ms * 2 : POLL_MAX_MS;
}

struct cloud_call *run_wait_operation(struct cloud *c, const char *operation_name, uint64_t timeout_ms,
				      cloud_cb *cb, void *ctx)
{
	struct cloud_call *call = call_new(c, timeout_ms, cb, ctx);

	call->resource = xstrdup(operation_name);
	call->delay_ms = POLL_MIN_MS;
	call_ask(call, "GET", xasprintf("%s/%s", c->run_base, operation_name), NULL, true, on_operation);
	return call;
}

/* ---- reading resources ------------------------------------------------------------------------ */

static int is_set(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && *s;
}

static int has(json_t *o, const char *key, const char *value)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && strcmp(s, value) == 0;
}

static json_t *completed_condition(json_t *resource)
{
	json_t *condition;
	size_t i;

	json_array_foreach(json_object_get(resource, "conditions"), i, condition)
		if (has(condition, "type", "Completed"))
			return condition;
	return NULL;
}

static int count(json_t *execution, const char *key)
{
	return json_integer_value(json_object_get(execution, key)) > 0;
}

enum execution_phase run_execution_phase(json_t *execution)
{
	json_t *completed = completed_condition(execution);
	int succeeded = has(completed, "state", "CONDITION_SUCCEEDED");
	int failed = has(completed, "state", "CONDITION_FAILED");

	if (!is_set(execution, "completionTime") && !succeeded && !failed)
		return count(execution, "runningCount") ? EXECUTION_RUNNING : EXECUTION_PENDING;
	if (count(execution, "cancelledCount") || has(completed, "executionReason", "CANCELLED"))
		return EXECUTION_CANCELLED;
	if (count(execution, "failedCount") || failed)
		return EXECUTION_FAILED;
	return EXECUTION_SUCCEEDED;
}

const char *run_execution_message(json_t *execution)
{
	json_t *condition = completed_condition(execution);
	size_t i;

	if (!has(condition, "state", "CONDITION_FAILED"))
		json_array_foreach(json_object_get(execution, "conditions"), i, condition)
			if (has(condition, "state", "CONDITION_FAILED"))
				break;
	if (!has(condition, "state", "CONDITION_FAILED"))
		return NULL;
	return json_string_value(json_object_get(condition, "message"));
}

/* Zeros are left out of the JSON: a task without exitCode has exited with 0 only if it says that it
 * succeeded. */
int run_task_exit_code(json_t *tasks)
{
	json_t *task = json_array_get(json_object_get(tasks, "tasks"), 0);
	json_t *result = json_object_get(task, "lastAttemptResult");
	json_int_t code = json_integer_value(json_object_get(result, "exitCode"));
	json_int_t signal = json_integer_value(json_object_get(result, "termSignal"));

	if (signal > 0)
		return 128 + (int)signal;
	if (code != 0)
		return (int)code;
	if (has(completed_condition(task), "state", "CONDITION_SUCCEEDED"))
		return 0;
	return json_object_get(result, "exitCode") ? 0 : -1;
}

const char *run_container_env(json_t *container, const char *name)
{
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(container, "env"), i, v)
		if (has(v, "name", name))
			return json_string_value(json_object_get(v, "value"));
	return NULL;
}
