/* logging - what Cloud Logging has of an execution's stdout and stderr, or of its system log.
 * Google may answer an empty page with a token while it is still looking, and entries of one instant
 * come in no promised order of pages: all pages are read, and an entry is taken once. */
#include "cloud/logging.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cloud/call.h"
#include "cloud/log_gather.h"
#include "gateway.h"

#define PAGE_SIZE 100  /* of entries up to 256 KB, whose JSON may be six times that: call.c's bound */
#define FIRST_ENTRIES 10
#define BYTES_MAX (256LL * 1024 * 1024) /* of text; ERR_LIMIT beyond */

static void ask_page(struct cloud_call *call, const char *page_token);

static const char *text_at(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static bool is_new(json_t *seen, json_t *entry)
{
	AUTO_FREE char *id = log_entry_id(entry);

	if (id && json_object_get(seen, id))
		return false;
	if (id)
		json_object_set_new(seen, id, json_true());
	return true;
}

static void on_page(struct cloud_call *call, json_t *answer)
{
	const char *next = text_at(answer, "nextPageToken");
	json_t *all = json_object_get(call->sum, "entries"), *entry;
	size_t bytes = 0, i;
	struct err err;

	json_array_foreach(json_object_get(answer, "entries"), i, entry) {
		bytes += json_string_length(json_object_get(entry, "textPayload"));
		if (is_new(call->seen, entry))
			json_array_append(all, entry);
	}
	call->bytes += (int64_t)bytes;
	if (!*next || (call->enough && json_array_size(all) >= call->enough)) {
		call_finish(call, call->sum, NULL);
	} else if (++call->pages >= CALL_PAGES_MAX || call->bytes > BYTES_MAX) {
		err_set(&err, ERR_LIMIT, "Cloud Logging has more of this execution than fits: %d pages",
			call->pages);
		call_finish(call, NULL, &err);
	} else {
		ask_page(call, next);
	}
}

static void ask_page(struct cloud_call *call, const char *page_token)
{
	json_t *body = json_copy(call->query);

	if (page_token)
		json_object_set_new(body, "pageToken", json_string(page_token));
	call->is_log_read = true;
	/* A POST, but only a question. */
	call_ask(call, "POST", xasprintf("%s/entries:list", call->cloud->logging_base), body, true, on_page);
}

/* The log names keep Cloud Audit Logs of the same job out. executions: "\"a\" OR \"b\"". */
char *logging_filter(const struct config *cfg, const char *jobs, const char *executions, bool of_system, int64_t since_ns,
		     int64_t until_ns)
{
	AUTO_FREE char *names = of_system
		? xasprintf("\"projects/%s/logs/run.googleapis.com%%2Fvarlog%%2Fsystem\"", cfg->project)
		: xasprintf("(\"projects/%s/logs/run.googleapis.com%%2Fstdout\" OR "
			    "\"projects/%s/logs/run.googleapis.com%%2Fstderr\")", cfg->project, cfg->project);
	char since[CLOCK_RFC3339_MAX], until[CLOCK_RFC3339_MAX];

	clock_format(since_ns, 1, since);
	clock_format(until_ns, 1, until);
	return xasprintf("resource.type=\"cloud_run_job\" AND resource.labels.job_name=%s AND "
			 "resource.labels.location=\"%s\" AND labels.\"run.googleapis.com/execution_name\"=%s AND logName=%s"
			 "%s%s%s%s%s%s", jobs, cfg->region, executions, names,
			 since_ns ? " AND timestamp>=\"" : "", since_ns ? since : "", since_ns ? "\"" : "",
			 until_ns ? " AND timestamp<=\"" : "", until_ns ? until : "", until_ns ? "\"" : "");
}

struct cloud_call *logging_query(struct cloud *c, const char *filter, bool newest_first, size_t enough, cloud_cb *cb, void *ctx)
{
	const struct config *cfg = c->g->config;
	struct cloud_call *call = call_new(c, (uint64_t)cfg->log_timeout_ms, cb, ctx);
	AUTO_FREE char *project = xasprintf("projects/%s", cfg->project);

	call->query = json_pack("{s:[s], s:s, s:s, s:i}", "resourceNames", project, "filter", filter,
				"orderBy", newest_first ? "timestamp desc" : "timestamp asc",
				"pageSize", enough && enough < PAGE_SIZE ? (int)enough : PAGE_SIZE);
	call->sum = json_pack("{s:[]}", "entries");
	call->seen = json_object();
	call->enough = enough;
	ask_page(call, NULL);
	return call;
}

struct cloud_call *logging_list(struct cloud *c, const struct logging_ask *ask, cloud_cb *cb, void *ctx)
{
	AUTO_FREE char *job = xasprintf("\"%s\"", ask->job), *execution = xasprintf("\"%s\"", ask->execution);
	AUTO_FREE char *filter = logging_filter(c->g->config, job, execution, ask->of_system, ask->since_ns, ask->until_ns);

	return logging_query(c, filter, ask->newest > 0, ask->newest, cb, ctx);
}

struct cloud_call *logging_first(struct cloud *c, const char *job_id, const char *execution,
				 cloud_cb *cb, void *ctx)
{
	AUTO_FREE char *job = xasprintf("\"%s\"", job_id), *name = xasprintf("\"%s\"", execution);
	AUTO_FREE char *filter = logging_filter(c->g->config, job, name, false, 0, 0);
	struct cloud_call *call = logging_query(c, filter, false, FIRST_ENTRIES, cb, ctx);

	call->enough = 1;
	return call;
}
