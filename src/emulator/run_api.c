/* run_api - see run_api.h.   projects/P/locations/L/<collection>[/ID[/<collection>[/ID ...]]][:verb] */
#include "run_api.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"
#include "executions.h"
#include "jobs.h"
#include "operations.h"
#include "rpc.h"
#include "schema.h"

#define SEGMENTS_MAX 10

/* Where a request goes. */
struct target {
	char *segment[SEGMENTS_MAX]; /* point into text */
	size_t n;
	const char *verb;            /* "" if none */
	char *text;                  /* ours */
	char *resource;              /* ours: "projects/P/locations/L/..." without the verb */
	char *parent;                /* ours: without the last segment */
};

typedef void handler(struct emulator *emu, struct exchange *x, const struct target *t,
		     const json_t *body);

static void target_release(struct target *t)
{
	free(t->text);
	free(t->resource);
	free(t->parent);
}

/* Names are printable ASCII: they end up in JSON, log names and arguments. */
static bool is_plain(const char *s)
{
	for (const char *c = s; *c; c++)
		if (*c <= ' ' || *c > '~' || strchr("/\"\\", *c))
			return false;
	return *s != 0;
}

/* 0, or -1 if it is not a path of this API at all. */
static int target_parse(const char *path, struct target *t)
{
	*t = (struct target){ .verb = "" };
	path += strlen("/v2/");
	t->text = xstrdup(path);
	char *colon = strrchr(t->text, ':');
	if (colon && !strchr(colon, '/')) {
		*colon = 0;
		t->verb = colon + 1;
	}
	for (char *at = t->text; at;) {
		char *slash = strchr(at, '/');
		if (t->n == SEGMENTS_MAX)
			return -1;
		if (slash)
			*slash++ = 0;
		if (parse_percent_decode(at) < 0 || !is_plain(at))
			return -1;
		t->segment[t->n++] = at;
		at = slash;
	}
	if (t->n < 5 || strcmp(t->segment[0], "projects") || strcmp(t->segment[2], "locations"))
		return -1;
	t->resource = xstrdup(t->segment[0]);
	for (size_t i = 1; i < t->n; i++) {
		char *longer = xasprintf("%s/%s", t->resource, t->segment[i]);
		if (i + 1 == t->n)
			t->parent = t->resource;
		else
			free(t->resource);
		t->resource = longer;
	}
	return 0;
}

#define PROJECT(t) ((t)->segment[1])
#define LOCATION(t) ((t)->segment[3])
#define JOB(t) ((t)->segment[5])
#define EXECUTION(t) ((t)->segment[7])

static void job_create(struct emulator *emu, struct exchange *x, const struct target *t,
		       const json_t *body)
{
	jobs_create(emu, x, PROJECT(t), LOCATION(t), body);
}
static void job_list(struct emulator *emu, struct exchange *x, const struct target *t,
		     const json_t *body)
{
	jobs_list(emu, x, t->parent);
}
static void job_get(struct emulator *emu, struct exchange *x, const struct target *t,
		    const json_t *body)
{
	jobs_get(emu, x, t->resource);
}
static void job_patch(struct emulator *emu, struct exchange *x, const struct target *t,
		      const json_t *body)
{
	jobs_patch(emu, x, PROJECT(t), LOCATION(t), JOB(t), body);
}
static void job_delete(struct emulator *emu, struct exchange *x, const struct target *t,
		       const json_t *body)
{
	jobs_delete(emu, x, t->resource);
}
static void job_run(struct emulator *emu, struct exchange *x, const struct target *t,
		    const json_t *body)
{
	jobs_run(emu, x, t->resource, body);
}
static void execution_list(struct emulator *emu, struct exchange *x, const struct target *t,
			   const json_t *body)
{
	executions_list(emu, x, t->resource, PROJECT(t), LOCATION(t), JOB(t));
}
static void execution_get(struct emulator *emu, struct exchange *x, const struct target *t,
			  const json_t *body)
{
	executions_get(emu, x, t->resource);
}
static void execution_remove(struct emulator *emu, struct exchange *x, const struct target *t,
			     const json_t *body)
{
	executions_delete(emu, x, t->resource);
}
static void execution_stop(struct emulator *emu, struct exchange *x, const struct target *t,
			   const json_t *body)
{
	struct rpc_error e = { 0 };
	json_t *request = body ? schema_parse(&schema_cancel_request, "", body, &e) : json_object();

	if (request)
		executions_cancel(emu, x, t->resource, request);
	else
		rpc_reply_error(x, &e);
	json_decref(request);
}
static void task_list(struct emulator *emu, struct exchange *x, const struct target *t,
		      const json_t *body)
{
	tasks_list(emu, x, t->resource, PROJECT(t), LOCATION(t), JOB(t), EXECUTION(t));
}
static void task_get(struct emulator *emu, struct exchange *x, const struct target *t,
		     const json_t *body)
{
	AUTO_FREE char *execution = xstrdup(t->parent);

	*strrchr(execution, '/') = 0; /* without "/tasks" */
	tasks_get(emu, x, execution, t->segment[9]);
}
static void operation_list(struct emulator *emu, struct exchange *x, const struct target *t,
			   const json_t *body)
{
	operations_list(emu, x, t->parent);
}
static void operation_get(struct emulator *emu, struct exchange *x, const struct target *t,
			  const json_t *body)
{
	operations_get(emu, x, t->resource);
}
static void operation_delete(struct emulator *emu, struct exchange *x, const struct target *t,
			     const json_t *body)
{
	operations_delete(emu, x, t->resource);
}
static void operation_wait(struct emulator *emu, struct exchange *x, const struct target *t,
			   const json_t *body)
{
	struct rpc_error e = { 0 };
	json_t *request = body ? schema_parse(&schema_wait_request, "", body, &e) : json_object();

	if (request)
		operations_wait(emu, x, t->resource, request);
	else
		rpc_reply_error(x, &e);
	json_decref(request);
}

#define PAGE "pageSize pageToken "
static const struct route {
	const char *method;
	const char *collection[3]; /* segments 4, 6, 8 */
	size_t n;                  /* of segments */
	const char *verb;
	const char *query;         /* parameters it takes, each followed by a space */
	handler *handler;
} routes[] = {
	{ "POST",   { "jobs" }, 5, "", "jobId validateOnly ", job_create },
	{ "GET",    { "jobs" }, 5, "", PAGE "showDeleted ", job_list },
	{ "GET",    { "jobs" }, 6, "", "", job_get },
	{ "PATCH",  { "jobs" }, 6, "", "allowMissing validateOnly ", job_patch },
	{ "DELETE", { "jobs" }, 6, "", "etag validateOnly ", job_delete },
	{ "POST",   { "jobs" }, 6, "run", "", job_run },
	{ "GET",    { "jobs", "executions" }, 7, "", PAGE "showDeleted ", execution_list },
	{ "GET",    { "jobs", "executions" }, 8, "", "", execution_get },
	{ "DELETE", { "jobs", "executions" }, 8, "", "etag validateOnly ", execution_remove },
	{ "POST",   { "jobs", "executions" }, 8, "cancel", "", execution_stop },
	{ "GET",    { "jobs", "executions", "tasks" }, 9, "", PAGE "showDeleted ", task_list },
	{ "GET",    { "jobs", "executions", "tasks" }, 10, "", "", task_get },
	{ "GET",    { "operations" }, 5, "", PAGE "filter ", operation_list },
	{ "GET",    { "operations" }, 6, "", "", operation_get },
	{ "DELETE", { "operations" }, 6, "", "", operation_delete },
	{ "POST",   { "operations" }, 6, "wait", "", operation_wait },
};

static const struct route *find_route(const char *method, const struct target *t)
{
	for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
		const struct route *r = &routes[i];
		bool same = r->n == t->n && !strcmp(r->method, method) && !strcmp(r->verb, t->verb);
		for (size_t k = 0; same && k < 3 && r->collection[k]; k++)
			same = !strcmp(r->collection[k], t->segment[4 + 2 * k]);
		if (same)
			return r;
	}
	return NULL;
}

/* An unknown parameter is an error: it is how a filter that jobs.list does not have is noticed. */
static int check_query(const struct route *r, const char *query, struct rpc_error *e)
{
	static const char system[] = "alt $alt key fields prettyPrint quotaUser access_token callback "
				     "oauth_token uploadType upload_protocol $.xgafv ";

	while (*query) {
		size_t n = strcspn(query, "=&");
		AUTO_FREE char *name = xasprintf("%.*s ", (int)n, query);
		const char *known = strstr(r->query, name), *any = strstr(system, name);
		bool ok = (known && (known == r->query || known[-1] == ' ')) ||
			  (any && (any == system || any[-1] == ' '));
		name[strlen(name) - 1] = 0;
		if (n && !ok)
			return rpc_bad_json(e, "", "Invalid JSON payload received. Unknown name \"%.100s\": "
				"Cannot bind query parameter. Field '%.100s' could not be found in request "
				"message.", name, name);
		query += strcspn(query, "&");
		query += *query == '&';
	}
	return 0;
}

void run_api_handle(struct emulator *emu, struct exchange *x, const char *text, size_t len)
{
	struct rpc_error e = { 0 };
	json_error_t why;
	json_t *body = NULL;
	struct target t;
	const struct route *r = target_parse(exchange_path(x), &t) == 0
		? find_route(exchange_method(x), &t) : NULL;

	if (!r)
		rpc_fail(&e, RPC_NOT_FOUND, "Method not found: %s %.300s", exchange_method(x),
			 exchange_path(x));
	else if (!quota_take(&emu->knobs.run_quota))
		rpc_fail(&e, RPC_RESOURCE_EXHAUSTED, "Quota exceeded for quota metric 'Requests' and limit "
			 "'Requests per minute' of service 'run.googleapis.com' for consumer '%.100s'.",
			 PROJECT(&t));
	else if (check_query(r, exchange_query(x), &e) == 0 && len) {
		body = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
		if (!body)
			rpc_bad_json(&e, "", "Invalid JSON payload received. %.200s", why.text);
	}
	if (e.code)
		rpc_reply_error(x, &e);
	else
		r->handler(emu, x, &t, body);
	json_decref(body);
	target_release(&t);
}
