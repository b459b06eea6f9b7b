/* logging_api - see logging_api.h. Limits as published: 1000 entries a page, 100 resource names. */
#include "logging_api.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/parse.h"
#include "base/token.h"
#include "rpc.h"
#include "schema.h"
#include "wall.h"

#define PAGE_DEFAULT_ENTRIES 50
#define PAGE_MAX_ENTRIES 1000
#define RESOURCES_MAX 100
#define WRITE_MAX 10000
#define RETENTION_NS ((int64_t)30 * 86400 * 1000000000)
#define DAY_NS ((int64_t)86400 * 1000000000)

static const char *get(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static json_t *read_request(const struct schema *s, const char *text, size_t len,
			    struct rpc_error *e)
{
	json_error_t why;
	json_t *body = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why), *out;

	if (!body) {
		rpc_bad_json(e, "", "Invalid JSON payload received. %.200s", why.text);
		return NULL;
	}
	out = schema_parse(s, "", body, e);
	json_decref(body);
	return out;
}

/* ---- list ---- */

/* "projects/P" or what lies below it; projectIds are the names alone. */
static int read_projects(const json_t *request, struct strv *out, struct rpc_error *e)
{
	const json_t *names = json_object_get(request, "resourceNames");
	const json_t *ids = json_object_get(request, "projectIds"), *v;
	size_t i;

	json_array_foreach(ids, i, v)
		strv_add(out, json_string_value(v));
	json_array_foreach(names, i, v) {
		const char *s = json_string_value(v);
		if (strncmp(s, "projects/", 9) || !s[9])
			return rpc_fail(e, RPC_INVALID_ARGUMENT, "Unsupported resource name: %.200s (only "
					"projects are emulated)", s);
		strv_take(out, xstrndup(s + 9, strcspn(s + 9, "/")));
	}
	if (!out->n)
		return rpc_fail(e, RPC_INVALID_ARGUMENT, "At least one resource name must be specified");
	if (out->n > RESOURCES_MAX)
		return rpc_fail(e, RPC_INVALID_ARGUMENT, "At most %d resource names may be specified",
				RESOURCES_MAX);
	return 0;
}

static int read_order(const char *order, bool *ret_newest_first, struct rpc_error *e)
{
	*ret_newest_first = order && !strcmp(order, "timestamp desc");
	if (order && *order && !*ret_newest_first && strcmp(order, "timestamp") &&
	    strcmp(order, "timestamp asc"))
		return rpc_fail(e, RPC_INVALID_ARGUMENT, "order_by must be \"timestamp asc\" or "
				"\"timestamp desc\"");
	return 0;
}

/* A token belongs to one query; its text is "HASH TIME INSERTID". */
static void query_hash(const json_t *request, char out[17])
{
	uint8_t hash[SHA256_LEN];
	json_t *key = json_pack("{s:O?, s:O?, s:O?, s:O?}",
		"f", json_object_get(request, "filter"), "o", json_object_get(request, "orderBy"),
		"r", json_object_get(request, "resourceNames"), "p", json_object_get(request, "projectIds"));
	AUTO_FREE char *text = json_dumps(key, JSON_COMPACT | JSON_SORT_KEYS);

	json_decref(key);
	sha256(text, strlen(text), hash);
	hex_encode(hash, 8, out);
}

static int read_token(const char *token, const char *hash, struct logs_query *q,
		      struct rpc_error *e)
{
	size_t len;
	AUTO_FREE char *bytes = (char *)base64_decode(token, &len);
	AUTO_FREE char *text = bytes ? xstrndup(bytes, len) : NULL;
	char given[17];

	if (!text || sscanf(text, "%16s %" SCNd64 " %63s", given, &q->position_time_ns,
			    q->position_id) != 3 || strcmp(given, hash))
		return rpc_fail(e, RPC_INVALID_ARGUMENT, "page_token doesn't match arguments from the request");
	q->has_position = true;
	return 0;
}

static json_t *make_token(const char *hash, const struct logs_query *q)
{
	AUTO_FREE char *text = xasprintf("%s %" PRId64 " %s", hash, q->position_time_ns, q->position_id);
	AUTO_FREE char *out = xmalloc(base64_encoded_len(strlen(text)) + 1);

	base64_encode(text, strlen(text), out);
	return json_string(out);
}

/* The page backwards, and its first half twice. */
static json_t *disorder(json_t *entries)
{
	size_t n = json_array_size(entries);
	json_t *out = json_array();

	for (size_t i = n; i-- > 0;)
		json_array_append(out, json_array_get(entries, i));
	for (size_t i = 0; i < n / 2; i++)
		json_array_append(out, json_array_get(entries, i));
	json_decref(entries);
	return out;
}

static json_t *list(struct emulator *emu, const json_t *request, struct rpc_error *e)
{
	json_int_t size = json_integer_value(json_object_get(request, "pageSize"));
	const char *token = get(request, "pageToken"), *text = get(request, "filter");
	struct strv projects = { 0 };
	struct logs_query q = { .page_size = PAGE_DEFAULT_ENTRIES };
	struct filter *filter = NULL;
	struct err err = { 0 };
	char hash[17];
	json_t *out = NULL;
	bool more;

	query_hash(request, hash);
	if (size < 0)
		rpc_fail(e, RPC_INVALID_ARGUMENT, "page_size must not be negative");
	else if (size)
		q.page_size = size > PAGE_MAX_ENTRIES ? PAGE_MAX_ENTRIES : (size_t)size;
	if (e->code || read_projects(request, &projects, e) < 0 ||
	    read_order(get(request, "orderBy"), &q.newest_first, e) < 0 ||
	    (token && read_token(token, hash, &q, e) < 0))
		goto done;
	filter = filter_new(text ? text : "", &logs_filter_ops, &err);
	if (!filter) {
		rpc_fail(e, RPC_INVALID_ARGUMENT, "%s", err.msg);
		goto done;
	}
	q.filter = filter;
	q.projects = (const char *const *)projects.v;
	q.n_projects = projects.n;
	q.visible_before_ns = emu->knobs.log_delay_ms
		? wall_now_ns() - (int64_t)emu->knobs.log_delay_ms * 1000000 : INT64_MAX;
	json_t *entries = logs_list(emu->logs, &q, &more);
	if (emu->knobs.log_disorder)
		entries = disorder(entries);
	out = json_object();
	if (json_array_size(entries))
		json_object_set(out, "entries", entries);
	json_decref(entries);
	if (more)
		json_object_set_new(out, "nextPageToken", make_token(hash, &q));
done:
	filter_free(filter);
	strv_release(&projects);
	return out;
}

void logging_list(struct emulator *emu, struct exchange *x, const char *body, size_t len)
{
	struct rpc_error e = { 0 };
	json_t *request = NULL, *out = NULL;

	if (!quota_take(&emu->knobs.log_read_quota))
		rpc_fail(&e, RPC_RESOURCE_EXHAUSTED, "Quota exceeded for quota metric 'Read requests' and "
			 "limit 'Read requests per minute' of service 'logging.googleapis.com'.");
	else
		request = read_request(&schema_list_entries_request, body, len, &e);
	if (request)
		out = list(emu, request, &e);
	json_decref(request);
	if (out)
		rpc_reply(x, out);
	else
		rpc_reply_error(x, &e);
}

/* ---- write ---- */

static void inherit(json_t *entry, const json_t *request, const char *key)
{
	json_t *v = json_object_get(request, key);

	if (v && !json_object_get(entry, key))
		json_object_set_new(entry, key, json_deep_copy(v));
}

struct written {
	size_t bytes;
	int64_t time_ns;
};

/* Fill in what the request says for all; 0 and *ret, or -1. */
static int complete_entry(json_t *entry, const json_t *request, int64_t now, struct written *ret,
			  struct rpc_error *e)
{
	const char *name, *time = get(entry, "timestamp"), *id = get(entry, "insertId");
	json_t *labels = json_object_get(request, "labels"), *own = json_object_get(entry, "labels");

	inherit(entry, request, "logName");
	inherit(entry, request, "resource");
	if (labels && own)
		json_object_update_missing(own, labels);
	else
		inherit(entry, request, "labels");
	name = get(entry, "logName");
	if (!name || strncmp(name, "projects/", 9) || !strstr(name + 9, "/logs/") ||
	    strchr(strstr(name + 9, "/logs/") + 6, '/'))
		return rpc_fail(e, RPC_INVALID_ARGUMENT, "log_name must be projects/PROJECT/logs/LOG_ID with "
				"LOG_ID URL-encoded");
	if (id && (strlen(id) > 63 || strchr(id, ' ')))
		return rpc_fail(e, RPC_INVALID_ARGUMENT, "insert_id is too long");
	ret->time_ns = now;
	if (time && clock_parse(time, &ret->time_ns) < 0)
		return rpc_fail(e, RPC_INVALID_ARGUMENT, "timestamp '%.60s' is not RFC 3339", time);
	if (ret->time_ns < now - RETENTION_NS || ret->time_ns > now + DAY_NS)
		return rpc_fail(e, RPC_INVALID_ARGUMENT, "Log entries cannot be more than 30 days old or more "
				"than a day in the future");
	AUTO_FREE char *text = json_dumps(entry, JSON_COMPACT);
	ret->bytes = strlen(text);
	if (ret->bytes > LOGS_LINE_MAX)
		return rpc_fail(e, RPC_INVALID_ARGUMENT, "Log entry with size %zu exceeds maximum size of "
				"256.0K", ret->bytes);
	return 0;
}

static int write_entries(struct emulator *emu, const json_t *request, struct rpc_error *e)
{
	const json_t *entries = json_object_get(request, "entries");
	size_t n = json_array_size(entries), i;
	int64_t now = wall_now_ns();

	if (!n || n > WRITE_MAX)
		return rpc_fail(e, RPC_INVALID_ARGUMENT, "entries must have 1 to %d entries", WRITE_MAX);
	struct written *w = xcalloc(n, sizeof *w);
	for (i = 0; i < n; i++)
		if (complete_entry(json_array_get(entries, i), request, now, &w[i], e) < 0) {
			free(w);
			return -1; /* all or nothing, unlike partialSuccess */
		}
	for (i = 0; i < n && !json_is_true(json_object_get(request, "dryRun")); i++)
		logs_add_written(emu->logs, json_incref(json_array_get(entries, i)), w[i].bytes,
				 w[i].time_ns);
	free(w);
	return 0;
}

void logging_write(struct emulator *emu, struct exchange *x, const char *body, size_t len)
{
	struct rpc_error e = { 0 };
	json_t *request = read_request(&schema_write_entries_request, body, len, &e);

	if (request && write_entries(emu, request, &e) == 0)
		rpc_reply(x, json_object());
	else
		rpc_reply_error(x, &e);
	json_decref(request);
}
