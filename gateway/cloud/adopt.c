/* adopt - see adopt.h. */
#include "cloud/adopt.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cloud/job_identity.h"
#include "cloud/job_record.h"
#include "cloud/job_resources.h"
#include "cloud/job_spec.h"
#include "cloud/lifecycle_ops.h"
#include "cloud/log_gather.h"
#include "cloud/logging.h"
#include "cloud/predecessor.h"
#include "cloud/run.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/container.h"
#include "state/health.h"
#include "state/logs.h"
#include "state/network.h"
#include "state/volume.h"

#define UNKNOWN_EXIT_CODE 137 /* as if killed; cloud/watch.c */
#define SHORT_ID 12

struct adoption {
	struct lifecycle *l;
	json_t *job;
	struct job_identity who;   /* borrows from job */
	struct timer *timer;
	struct cloud_call *call;
	json_t *entries;           /* of Cloud Logging, or NULL */
	adopt_cb *cb;
	void *ctx;
};

static const char *get(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

/* ---- the job's containers ----------------------------------------------------------------------------- */

static json_t *container_named(json_t *job, const char *name)
{
	json_t *task = json_object_get(json_object_get(job, "template"), "template"), *c;
	size_t i;

	json_array_foreach(json_object_get(task, "containers"), i, c)
		if (get(c, "name") && strcmp(get(c, "name"), name) == 0)
			return c;
	return NULL;
}

/* What its agent was told (job_spec.h), or NULL. */
static json_t *spec_of(json_t *container)
{
	AUTO_FREE char *all = xstrdup("");
	AUTO_FREE uint8_t *raw = NULL;
	size_t n;

	for (int i = 1; i <= JOB_SPEC_PIECES_MAX; i++) {
		char name[40] = "SOCKERLESS_AGENT_SPEC";
		const char *piece;
		char *longer;

		if (i > 1)
			snprintf(name, sizeof(name), "SOCKERLESS_AGENT_SPEC_%d", i);
		piece = run_container_env(container, name);
		if (!piece)
			break;
		longer = xasprintf("%s%s", all, piece);
		free(all);
		all = longer;
	}
	raw = base64_decode(all, &n);
	return raw ? json_loadb((char *)raw, n, 0, NULL) : NULL;
}

/* "run -- argv..." */
static json_t *argv_of(json_t *container, json_t *spec)
{
	json_t *args = json_object_get(container, "args"), *list = json_array();

	if (json_object_get(spec, "argv")) {
		json_decref(list);
		return json_incref(json_object_get(spec, "argv"));
	}
	for (size_t i = 2; i < json_array_size(args); i++)
		json_array_append(list, json_array_get(args, i));
	return list;
}

/* What had no room in the annotations, from the job's own container. */
static void restore_cut(json_t *record, json_t *container)
{
	json_t *config = json_object_get(json_object_get(record, "container"), "config"), *v, *spec;
	size_t i;

	if (!json_array_size(json_object_get(record, "cut")))
		return;
	spec = spec_of(container);
	json_array_foreach(json_object_get(record, "cut"), i, v) {
		const char *what = json_string_value(v) ? json_string_value(v) : "";

		if (strcmp(what, "Env") == 0)
			json_object_set(config, what, json_object_get(spec, "env"));
		if (strcmp(what, "Cmd") == 0) {
			json_object_set_new(config, what, argv_of(container, spec));
			json_object_del(config, "Entrypoint"); /* it is in there */
		}
		log_warn("part of a container's configuration had no room in its job", "what=%s", what);
	}
	json_decref(spec);
}

/* ---- state -------------------------------------------------------------------------------------------- */

static json_t *execution_of(json_t *job)
{
	json_t *execution = json_object_get(job, "latestCreatedExecution");

	return get(execution, "name") ? execution : NULL;
}

static const char *short_name(json_t *execution)
{
	const char *name = get(execution, "name"), *slash = strrchr(name, '/');

	return slash ? slash + 1 : name;
}

/* Then the execution's log is that of several containers. */
static bool is_shared(json_t *job)
{
	json_t *task = json_object_get(json_object_get(job, "template"), "template"), *c;
	size_t i;

	json_array_foreach(json_object_get(task, "containers"), i, c)
		if (get(c, "name") && strncmp(get(c, "name"), "shared-", strlen("shared-")) == 0)
			return true;
	return false;
}

static bool is_over(json_t *execution)
{
	const char *status = get(execution, "completionStatus");

	if (get(execution, "completionTime"))
		return true;
	return status && (strcmp(status, "EXECUTION_SUCCEEDED") == 0 || strcmp(status, "EXECUTION_FAILED") == 0 ||
			  strcmp(status, "EXECUTION_CANCELLED") == 0);
}

static void set_time(json_t *doc, const char *key, const char *first, const char *second)
{
	int64_t ns = 0;

	if ((!first || clock_parse(first, &ns) < 0) && second)
		clock_parse(second, &ns);
	json_object_set_new(doc, key, json_integer(ns));
}

/* tasks: of the execution, once it is over. */
static void set_state(struct adoption *a, json_t *doc, bool owner, json_t *tasks)
{
	json_t *execution = execution_of(a->job), *task = json_array_get(json_object_get(tasks, "tasks"), 0);
	int code = owner && tasks ? run_task_exit_code(tasks) : -1;

	json_object_set_new(doc, "job", json_string(a->who.job));
	if (!execution) {
		json_object_set_new(doc, "state", json_string("created"));
		return;
	}
	json_object_set_new(doc, "execution", json_string(short_name(execution)));
	set_time(doc, "started", get(task, "startTime"), get(execution, "createTime"));
	if (!is_over(execution)) {
		json_object_set_new(doc, "state", json_string("running"));
		if (health_wanted(json_object_get(doc, "config")))
			json_object_set_new(doc, "health", health_starting(NULL));
		return;
	}
	json_object_set_new(doc, "state", json_string("exited"));
	json_object_set_new(doc, "stagedRun", json_integer(0));
	json_object_set_new(doc, "exitCode", json_integer(code >= 0 ? code : UNKNOWN_EXIT_CODE));
	json_object_set_new(doc, "outputIncomplete", json_true());
	set_time(doc, "finished", get(task, "completionTime"), get(execution, "completionTime"));
	if (health_wanted(json_object_get(doc, "config"))) {
		json_t *before = health_starting(NULL);

		json_object_set_new(doc, "health", health_suspended(before));
		json_decref(before);
	}
}

/* ---- into the table ----------------------------------------------------------------------------------- */

static void adopt_surroundings(struct gateway *g, json_t *record)
{
	struct err err = {0};
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(record, "networks"), i, v)
		if (networks_adopt(g->networks, v, &err) < 0)
			log_warn("a network is not known any more", "error=\"%s\"", err.msg);
	json_array_foreach(json_object_get(record, "volumes"), i, v)
		if (volumes_adopt(g->volumes, v, &err) < 0)
			log_warn("a volume is not known any more", "error=\"%s\"", err.msg);
}

static struct container *adopt_one(struct adoption *a, const char *id, json_t *record, const char *name, json_t *tasks,
				   struct err *err)
{
	struct gateway *g = a->l->g;
	json_t *doc = json_object_get(record, "container"), *container = container_named(a->job, name);
	const char *token = run_container_env(container, "SOCKERLESS_AGENT_TOKEN");
	struct job_resources size;
	struct container *c;

	restore_cut(record, container);
	adopt_surroundings(g, record);
	set_state(a, doc, strcmp(name, JOB_SPEC_MAIN) == 0, tasks);
	json_object_set_new(doc, "token", json_string(token ? token : ""));
	c = containers_adopt(g->containers, id, doc, err);
	if (!c)
		return NULL;
	if (!c->foreign && job_resources_pick(g->config, c, &size, NULL) == 0)
		c->memory_limit = size.memory_mib * 1024 * 1024;
	log_info("container adopted", "container=%.12s name=%s job=%s state=%s", c->id, c->name, a->who.job, container_state_name(c));
	return c;
}

/* "sockerless_record_<12 digits>_1" of each container that shares the network; its full ID is its agent's. */
static void adopt_members(struct adoption *a, json_t *tasks)
{
	json_t *annotations = json_object_get(a->job, "annotations"), *v;
	const char *key, *at, *id;

	json_object_foreach(annotations, key, v) {
		size_t n = strlen(JOB_RECORD_PREFIX "_");
		AUTO_FREE char *prefix = NULL, *name = NULL;
		struct err err = {0};
		struct container *c;
		json_t *record;

		at = key + n;
		if (strncmp(key, JOB_RECORD_PREFIX "_", n) != 0 || strlen(at) != SHORT_ID + 2 || strcmp(at + SHORT_ID, "_1") != 0)
			continue;
		name = xasprintf("shared-%.*s", SHORT_ID, at);
		id = run_container_env(container_named(a->job, name), "SOCKERLESS_CONTAINER_ID");
		prefix = xasprintf("%.*s", (int)(n + SHORT_ID), key);
		record = id ? job_record_read(annotations, prefix, &err) : NULL;
		c = record ? adopt_one(a, id, record, name, tasks, &err) : NULL;
		if (c)
			take_up(a->l, c);
		else
			log_warn("a container of a shared task is not adopted", "job=%s container=%s error=\"%s\"", a->who.job, name,
				 err.msg);
		json_decref(record);
	}
}

static void end(struct adoption *a, const struct err *err)
{
	adopt_cb *cb = a->cb;
	void *ctx = a->ctx;

	adopt_cancel(a);
	cb(ctx, err);
}

static void remember(struct container *c, json_t *entries)
{
	struct log *log = json_array_size(entries) ? container_log(c, NULL) : NULL;
	struct log_gather *gather = log_gather_new(JOB_SPEC_MAIN);
	struct log_line line;

	log_gather_add(gather, entries);
	while (log && log_gather_next(gather, INT64_MAX, &line))
		log_remember(log, line.is_stderr ? 2 : 1, line.time_ns, line.text, line.len);
	log_gather_free(gather);
}

static void settle(struct adoption *a, json_t *tasks)
{
	json_t *annotations = json_object_get(a->job, "annotations");
	struct err err = {0};
	json_t *record = a->who.predecessors ? predecessor_record(a->job, &a->who)
					     : job_record_read(annotations, JOB_RECORD_PREFIX, &err);
	struct container *c = record ? adopt_one(a, a->who.id, record, JOB_SPEC_MAIN, tasks, &err) : NULL;

	json_decref(record);
	if (c) {
		remember(c, a->entries);
		adopt_members(a, tasks);
		take_up(a->l, c);
	}
	end(a, c ? NULL : &err);
}

/* What a running one has printed: a gateway that is lost had it, and told the agent so. */
static void on_history(void *ctx, json_t *json, const struct err *err)
{
	struct adoption *a = ctx;

	a->call = NULL;
	a->entries = json_incref(json_object_get(json, "entries"));
	if (err)
		log_warn("Cloud Logging has no answer; older output is not shown", "job=%s error=\"%s\"", a->who.job, err->msg);
	settle(a, NULL);
}

static void on_tasks(void *ctx, json_t *json, const struct err *err)
{
	struct adoption *a = ctx;

	a->call = NULL;
	if (err && err->kind != ERR_NOT_FOUND)
		end(a, err);
	else
		settle(a, json);
}

static void look(void *ctx)
{
	struct adoption *a = ctx;
	json_t *execution = execution_of(a->job);
	const char *name = execution ? short_name(execution) : NULL;

	a->timer = NULL;
	if (execution && is_over(execution))
		a->call = run_list_tasks(a->l->g->cloud, a->who.job, name, on_tasks, a);
	else if (execution && !a->who.predecessors && !is_shared(a->job))
		a->call = logging_list(a->l->g->cloud, &(struct logging_ask){.job = a->who.job, .execution = name}, on_history, a);
	else
		settle(a, NULL);
}

const char *adopt_objection(struct lifecycle *l, json_t *job, const struct job_identity *who)
{
	const char *calls = run_container_env(container_named(job, JOB_SPEC_MAIN), "SOCKERLESS_AGENT_CALLBACK_URL");
	AUTO_FREE char *here = job_spec_callback_url(l->g->config, who->id);

	if (who->instance && strcmp(who->instance, l->g->config->instance) != 0)
		return "it belongs to another instance (SOCKERLESS_GCR_INSTANCE)";
	if (!who->predecessors && calls && (!here || strcmp(calls, here) != 0))
		return "its agent calls another gateway (SOCKERLESS_CALLBACK_URL)";
	return NULL;
}

struct adoption *adopt_begin(struct lifecycle *l, json_t *job, adopt_cb *cb, void *ctx)
{
	struct adoption *a = xcalloc(1, sizeof(*a));

	a->l = l;
	a->job = json_incref(job);
	a->cb = cb;
	a->ctx = ctx;
	(void) job_identity_read(job, &a->who);
	a->timer = timer_start(l->g->loop, 0, look, a);
	return a;
}

void adopt_cancel(struct adoption *a)
{
	if (!a)
		return;
	timer_cancel(&a->timer);
	cloud_cancel(a->call);
	json_decref(a->job);
	json_decref(a->entries);
	free(a);
}
