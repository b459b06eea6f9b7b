/* logging - what Cloud Logging has of one execution's stdout and stderr.
 * Google may answer an empty page with a token while it is still looking, and entries of one instant
 * come in no promised order of pages: all pages are read, and an insertId is taken once. */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cloud/call.h"
#include "cloud/job_spec.h"
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

/* The sidecar shares the execution's log; Cloud Run says whose a line is, mostly. */
static bool is_ours(json_t *entry)
{
	json_t *labels = json_object_get(entry, "labels");

	return strcmp(text_at(labels, "container_name"), JOB_SPEC_SIDECAR) != 0;
}

static bool is_new(json_t *seen, json_t *entry)
{
	const char *id = text_at(entry, "insertId");

	if (*id && json_object_get(seen, id))
		return false;
	if (*id)
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
		if (is_ours(entry) && is_new(call->seen, entry))
			json_array_append(all, entry);
	}
	call->bytes += (int64_t)bytes;
	if (!*next || (call->first_page_only && json_array_size(all) > 0)) {
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
	/* A POST, but only a question. */
	call_ask(call, "POST", xasprintf("%s/entries:list", call->cloud->logging_base), body, true, on_page);
}

/* The log names keep Cloud Audit Logs of the same job out. */
static char *make_filter(const struct config *cfg, const char *job_id, const char *execution,
			 int64_t since_ns)
{
	AUTO_FREE char *base = xasprintf(
		"resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"%s\" AND "
		"resource.labels.location=\"%s\" AND "
		"labels.\"run.googleapis.com/execution_name\"=\"%s\" AND "
		"logName=(\"projects/%s/logs/run.googleapis.com%%2Fstdout\" OR "
		"\"projects/%s/logs/run.googleapis.com%%2Fstderr\")",
		job_id, cfg->region, execution, cfg->project, cfg->project);
	char since[CLOCK_RFC3339_MAX];

	if (!since_ns)
		return steal_ptr(&base);
	return xasprintf("%s AND timestamp>=\"%s\"", base, clock_format(since_ns, 1, since));
}

static struct cloud_call *list(struct cloud *c, const char *job_id, const char *execution,
			       int64_t since_ns, int page_size, cloud_cb *cb, void *ctx)
{
	const struct config *cfg = c->g->config;
	struct cloud_call *call = call_new(c, (uint64_t)cfg->log_timeout_ms, cb, ctx);
	AUTO_FREE char *filter = make_filter(cfg, job_id, execution, since_ns);
	AUTO_FREE char *project = xasprintf("projects/%s", cfg->project);

	call->query = json_pack("{s:[s], s:s, s:s, s:i}", "resourceNames", project, "filter", filter,
				"orderBy", "timestamp asc", "pageSize", page_size);
	call->sum = json_pack("{s:[]}", "entries");
	call->seen = json_object();
	ask_page(call, NULL);
	return call;
}

struct cloud_call *logging_list(struct cloud *c, const char *job_id, const char *execution,
				int64_t since_ns, cloud_cb *cb, void *ctx)
{
	return list(c, job_id, execution, since_ns, PAGE_SIZE, cb, ctx);
}

struct cloud_call *logging_first(struct cloud *c, const char *job_id, const char *execution,
				 cloud_cb *cb, void *ctx)
{
	struct cloud_call *call = list(c, job_id, execution, 0, FIRST_ENTRIES, cb, ctx);

	call->first_page_only = true;
	return call;
}
