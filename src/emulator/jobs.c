/* jobs - see jobs.h. */
#include "jobs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/token.h"
#include "executions.h"
#include "metadata.h"
#include "oci.h"
#include "operations.h"
#include "schema.h"
#include "validate.h"
#include "wall.h"

#define SUFFIX_LEN 5

static const char *get(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static bool query_true(struct exchange *x, const char *key)
{
	AUTO_FREE char *v = parse_query(exchange_query(x), key);

	return v && !strcmp(v, "true");
}

/* ---- defaults ---- */

static void put_default(json_t *o, const char *key, json_t *v)
{
	if (json_object_get(o, key))
		json_decref(v);
	else
		json_object_set_new(o, key, v);
}

static void container_defaults(json_t *c)
{
	json_t *probe = json_object_get(c, "startupProbe");

	put_default(c, "resources", json_object());
	json_t *resources = json_object_get(c, "resources");
	put_default(resources, "limits", json_object());
	json_t *limits = json_object_get(resources, "limits");
	put_default(limits, "cpu", json_string("1000m"));
	put_default(limits, "memory", json_string("512Mi"));
	if (probe) {
		put_default(probe, "timeoutSeconds", json_integer(1));
		put_default(probe, "periodSeconds", json_integer(10));
		put_default(probe, "failureThreshold", json_integer(3));
	}
}

static void apply_defaults(json_t *spec, const char *project)
{
	json_t *outer = json_object_get(spec, "template"), *t = json_object_get(outer, "template"), *c;
	char account[96];
	size_t i;

	snprintf(account, sizeof account, "%lld-compute@developer.gserviceaccount.com",
		 metadata_project_number(project));
	put_default(spec, "launchStage", json_string("GA"));
	put_default(outer, "taskCount", json_integer(1));
	put_default(t, "maxRetries", json_integer(3));
	put_default(t, "timeout", json_string("600s"));
	put_default(t, "serviceAccount", json_string(account));
	put_default(t, "executionEnvironment", json_string("EXECUTION_ENVIRONMENT_GEN2"));
	json_array_foreach(json_object_get(t, "containers"), i, c)
		container_defaults(c);
}

/* ---- rendering ---- */

json_t *job_json(const struct job *j)
{
	char generation[24];
	json_t *ready, *o;

	snprintf(generation, sizeof generation, "%" PRId64, j->generation);
	o = json_pack("{s:s, s:s, s:s}", "name", j->name, "uid", j->uid, "generation", generation);
	json_t *spec = json_deep_copy(j->spec);
	json_object_update(o, spec);
	json_decref(spec);
	rpc_put_time(o, "createTime", j->create_ns);
	rpc_put_time(o, "updateTime", j->update_ns);
	rpc_put_time(o, "deleteTime", j->delete_ns);
	rpc_put_string(o, "creator", EMULATED_USER);
	rpc_put_string(o, "lastModifier", EMULATED_USER);
	json_object_set_new(o, "observedGeneration", json_string(generation));
	ready = json_pack("{s:s, s:s}", "type", "Ready", "state", "CONDITION_SUCCEEDED");
	rpc_put_time(ready, "lastTransitionTime", j->update_ns);
	json_object_set_new(o, "terminalCondition", ready);
	rpc_put_int(o, "executionCount", j->execution_count);
	if (j->latest)
		json_object_set_new(o, "latestCreatedExecution", execution_reference(j->latest));
	rpc_put_string(o, "etag", j->etag);
	return o;
}

/* ---- helpers of the requests ---- */

static void refuse_missing(struct exchange *x, const char *name)
{
	struct rpc_error e = { 0 };

	rpc_fail(&e, RPC_NOT_FOUND, "Resource '%.300s' of kind 'JOB' does not exist.", name);
	rpc_reply_error(x, &e);
}

static struct job *find(struct emulator *emu, struct exchange *x, const char *name)
{
	struct job *j = store_job(emu->store, name);

	if (!j)
		refuse_missing(x, name);
	return j;
}

/* As find, but what was just made is not there yet (the knob notFoundMs). */
static struct job *find_settled(struct emulator *emu, struct exchange *x, const char *name)
{
	struct job *j = store_job(emu->store, name);

	if (j && wall_now_ns() - j->create_ns >= (int64_t)emu->knobs.not_found_ms * 1000000)
		return j;
	refuse_missing(x, name);
	return NULL;
}

static int64_t count_jobs(struct emulator *emu, const char *project, const char *location)
{
	struct job *j;
	int64_t n = 0;

	DL_FOREACH(emu->store->jobs, j)
		n += !strcmp(j->project, project) && !strcmp(j->location, location);
	return n;
}

/* The user's fields, checked and completed; NULL and e otherwise. */
static json_t *read_spec(struct emulator *emu, const char *request, const char *project,
			 const char *id, const json_t *body, struct rpc_error *e)
{
	json_t *spec = body ? schema_parse(&schema_job, "job", body, e) : NULL;

	if (!body)
		rpc_violation(e, "job", "job is required");
	oci_secrets_scan(&emu->secrets, emu->secrets_dir);
	if (spec && validate_job(request, id, spec, &emu->secrets, e) < 0) {
		json_decref(spec);
		return NULL;
	}
	if (!spec)
		return NULL;
	json_object_del(spec, "name");
	json_object_del(spec, "etag");
	apply_defaults(spec, project);
	return spec;
}

/* The execution that a token in the spec asks for, unless there is one of that name already. */
static struct execution *start_by_token(struct emulator *emu, struct job *j, bool *ret_to_its_end)
{
	const char *start = get(j->spec, "startExecutionToken");
	const char *run = get(j->spec, "runExecutionToken");

	*ret_to_its_end = run != NULL;
	if (!start && !run)
		return NULL;
	AUTO_FREE char *name = xasprintf("%s/executions/%s-%s", j->name, j->id, start ? start : run);
	struct execution *e = store_execution(emu->store, name);
	return e ? NULL : execution_new(emu, j, start ? start : run, NULL);
}

/* Takes spec. */
static struct job *job_new(struct emulator *emu, const char *project, const char *location,
			   const char *id, json_t *spec)
{
	struct job *j = xcalloc(1, sizeof *j);

	j->name = xasprintf("projects/%s/locations/%s/jobs/%s", project, location, id);
	j->project = xstrdup(project);
	j->location = xstrdup(location);
	j->id = xstrdup(id);
	j->spec = spec;
	j->generation = 1;
	j->create_ns = j->update_ns = wall_now_ns();
	store_uuid(j->uid);
	store_etag(j->etag);
	store_add_job(emu->store, j);
	log_info("job created", "name=%s", j->id);
	return j;
}

/* What validateOnly is answered with: an operation that changed nothing. */
static void reply_validated(struct emulator *emu, struct exchange *x, const char *project,
			    const char *location, const char *id, json_t *spec)
{
	struct job draft = { .project = (char *)project, .location = (char *)location, .spec = spec,
			     .id = (char *)id, .generation = 1 };
	AUTO_FREE char *name = xasprintf("projects/%s/locations/%s/jobs/%s", project, location, id);

	draft.name = name;
	rpc_reply(x, operation_for_job(emu, &draft, NULL, false));
	json_decref(spec);
}

static void create(struct emulator *emu, struct exchange *x, const char *project,
		   const char *location, const char *id, json_t *spec)
{
	bool to_its_end;
	struct job *j = job_new(emu, project, location, id, spec);
	struct execution *e = start_by_token(emu, j, &to_its_end);

	rpc_reply(x, operation_for_job(emu, j, e, to_its_end));
}

/* ---- requests ---- */

void jobs_create(struct emulator *emu, struct exchange *x, const char *project,
		 const char *location, const json_t *body)
{
	AUTO_FREE char *id = parse_query(exchange_query(x), "jobId");
	struct rpc_error e = { 0 };
	json_t *spec = NULL;

	if (!id || !*id) {
		char hex[13];
		random_hex(hex, 12);
		free(id);
		id = xasprintf("job-%s", hex);
	}
	AUTO_FREE char *name = xasprintf("projects/%s/locations/%s/jobs/%s", project, location, id);
	if (validate_job_id(id, &e) == 0)
		spec = read_spec(emu, "CreateJobRequest", project, id, body, &e);
	if (spec && get(body, "name") && *get(body, "name"))
		rpc_violation(&e, "CreateJobRequest.job.name", "job.name must be empty on CreateJobRequest");
	else if (spec && store_job(emu->store, name))
		rpc_fail(&e, RPC_ALREADY_EXISTS, "Resource '%s' already exists.", id);
	else if (spec && count_jobs(emu, project, location) >= emu->knobs.max_jobs)
		rpc_fail(&e, RPC_RESOURCE_EXHAUSTED, "Quota exceeded: at most %" PRId64 " jobs per project and "
			 "region", emu->knobs.max_jobs);
	if (e.code) {
		json_decref(spec);
		rpc_reply_error(x, &e);
	} else if (query_true(x, "validateOnly")) {
		reply_validated(emu, x, project, location, id, spec);
	} else {
		create(emu, x, project, location, id, spec);
	}
}

void jobs_get(struct emulator *emu, struct exchange *x, const char *name)
{
	struct job *j = find_settled(emu, x, name);

	if (j)
		rpc_reply(x, job_json(j));
}

void jobs_list(struct emulator *emu, struct exchange *x, const char *parent)
{
	AUTO_FREE char *prefix = xasprintf("%s/jobs/", parent);
	struct rpc_error e = { 0 };
	struct page page;
	struct job *j;

	if (page_begin(&page, exchange_query(x), parent, &e) < 0) {
		rpc_reply_error(x, &e);
		return;
	}
	DL_FOREACH(emu->store->jobs, j)
		if (!strncmp(j->name, prefix, strlen(prefix)) && page_wants(&page, j->seq))
			page_add(&page, j->seq, job_json(j));
	page_reply(&page, x, "jobs");
}

void jobs_patch(struct emulator *emu, struct exchange *x, const char *project,
		const char *location, const char *id, const json_t *body)
{
	AUTO_FREE char *name = xasprintf("projects/%s/locations/%s/jobs/%s", project, location, id);
	struct job *j = store_job(emu->store, name);
	struct rpc_error e = { 0 };
	json_t *spec = NULL;
	bool to_its_end;

	if (!j && !query_true(x, "allowMissing")) {
		find(emu, x, name);
		return;
	}
	if (j || validate_job_id(id, &e) == 0)
		spec = read_spec(emu, "UpdateJobRequest", project, id, body, &e);
	if (spec && j)
		store_check_etag(j->etag, get(body, "etag"), &e);
	if (e.code) {
		json_decref(spec);
		rpc_reply_error(x, &e);
		return;
	}
	if (query_true(x, "validateOnly")) {
		reply_validated(emu, x, project, location, id, spec);
		return;
	}
	if (!j) {
		create(emu, x, project, location, id, spec);
		return;
	}
	json_decref(j->spec);
	j->spec = spec;
	j->generation++;
	j->update_ns = wall_now_ns();
	store_etag(j->etag);
	struct execution *started = start_by_token(emu, j, &to_its_end);
	rpc_reply(x, operation_for_job(emu, j, started, to_its_end));
}

void jobs_delete(struct emulator *emu, struct exchange *x, const char *name)
{
	AUTO_FREE char *etag = parse_query(exchange_query(x), "etag");
	struct job *j = find(emu, x, name);
	struct execution *e, *tmp;
	struct rpc_error err = { 0 };

	if (!j)
		return;
	if (store_check_etag(j->etag, etag, &err) < 0) {
		rpc_reply_error(x, &err);
		return;
	}
	if (query_true(x, "validateOnly")) {
		rpc_reply(x, operation_for_job(emu, j, NULL, false));
		return;
	}
	j->delete_ns = wall_now_ns();
	json_t *op = operation_for_job(emu, j, NULL, false);
	DL_FOREACH_SAFE(emu->store->executions, e, tmp)
		if (e->job == j)
			execution_delete(e);
	log_info("job deleted", "name=%s", j->id);
	store_remove_job(emu->store, j);
	rpc_reply(x, op);
}

static void random_suffix(char out[SUFFIX_LEN + 1])
{
	static const char set[] = "bcdfghjklmnpqrstvwxz2456789"; /* Kubernetes' own: no words */
	uint8_t r[SUFFIX_LEN];

	random_bytes(r, sizeof r);
	for (int i = 0; i < SUFFIX_LEN; i++)
		out[i] = set[r[i] % (sizeof set - 1)];
	out[SUFFIX_LEN] = 0;
}

void jobs_run(struct emulator *emu, struct exchange *x, const char *name, const json_t *body)
{
	struct job *j = find_settled(emu, x, name);
	struct rpc_error err = { 0 };
	char suffix[SUFFIX_LEN + 1];

	if (!j)
		return;
	json_t *request = body ? schema_parse(&schema_run_job_request, "", body, &err) : json_object();
	const json_t *overrides = json_object_get(request, "overrides");
	if (request && store_check_etag(j->etag, get(request, "etag"), &err) == 0 && overrides)
		validate_overrides(overrides, j->spec, &emu->secrets, &err);
	if (err.code) {
		rpc_reply_error(x, &err);
	} else if (json_is_true(json_object_get(request, "validateOnly"))) {
		rpc_reply(x, operation_for_job(emu, j, NULL, false));
	} else {
		random_suffix(suffix);
		rpc_reply(x, operation_for_execution(emu, execution_new(emu, j, suffix, overrides), true));
	}
	json_decref(request);
}
