/* storage_api - see storage_api.h. Its errors are not those of the other APIs: no status, a list of reasons. */
#include "storage_api.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "buckets.h"
#include "rpc.h"
#include "schema.h"
#include "wall.h"
#include "wire.h"

#define PAGE_DEFAULT 1000

static void refuse(struct exchange *x, int status, const char *reason, const char *message)
{
	json_t *body = json_pack("{s:{s:i, s:s, s:[{s:s, s:s, s:s}]}}", "error", "code", status, "message", message,
				 "errors", "message", message, "domain", "global", "reason", reason);
	char *text;

	if (!body) /* a sentence that quotes what is not UTF-8 */
		body = json_pack("{s:{s:i, s:s}}", "error", "code", status, "message", reason);
	text = json_dumps(body, JSON_COMPACT);
	wire_reply(x, status, "application/json; charset=UTF-8", text, strlen(text));
	free(text);
	json_decref(body);
}

static void refuse_err(struct exchange *x, const struct err *err)
{
	if (err->kind == ERR_NOT_FOUND)
		refuse(x, 404, "notFound", err->msg);
	else if (err->kind == ERR_CONFLICT)
		refuse(x, 409, "conflict", err->msg);
	else
		refuse(x, 500, "backendError", err->msg);
}

/* ---- buckets ---- */

static int check_bucket(const json_t *b, const char *project, const char **ret_why)
{
	const char *name = json_string_value(json_object_get(b, "name"));
	const char *prevention = json_string_value(json_object_get(json_object_get(b, "iamConfiguration"),
								   "publicAccessPrevention"));

	*ret_why = NULL;
	if (!project || !*project)
		*ret_why = "Required parameter: project";
	else if (!name || !bucket_name_valid(name))
		*ret_why = "Invalid bucket name";
	else if (prevention && strcmp(prevention, "enforced") && strcmp(prevention, "inherited"))
		*ret_why = "Invalid argument: publicAccessPrevention";
	return *ret_why ? -1 : 0;
}

static void insert(struct emulator *emu, struct exchange *x, const char *body, size_t len)
{
	AUTO_FREE char *project = parse_query(exchange_query(x), "project");
	json_t *given = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
	struct rpc_error e = { 0 };
	json_t *b = given ? schema_parse(&schema_bucket, "", given, &e) : NULL;
	const char *why = "Parse Error", *name = json_string_value(json_object_get(b, "name"));
	char now[CLOCK_RFC3339_MAX];
	struct err err;

	json_decref(given);
	if (!b || check_bucket(b, project, &why) < 0) {
		refuse(x, 400, "invalid", e.code ? e.message : why);
	} else if (bucket_exists(emu, name)) {
		refuse(x, 409, "conflict", "Your previous request to create the named bucket succeeded and you already own it.");
	} else {
		clock_format(wall_now_ns() / 1000000 * 1000000, 0, now);
		json_object_set_new(b, "kind", json_string("storage#bucket"));
		json_object_set_new(b, "id", json_string(name));
		json_object_set_new(b, "timeCreated", json_string(now));
		json_object_set_new(b, "updated", json_string(now));
		if (bucket_make(emu, name, b, &err) < 0)
			refuse_err(x, &err);
		else
			rpc_reply(x, json_incref(b));
	}
	json_decref(e.violations);
	json_decref(b);
}

static void list_buckets(struct emulator *emu, struct exchange *x)
{
	json_t *names = buckets_names(emu), *items = json_array(), *name;
	size_t i;

	json_array_foreach(names, i, name) {
		json_t *b = bucket_resource(emu, json_string_value(name));
		if (b)
			json_array_append_new(items, b);
	}
	json_decref(names);
	rpc_reply(x, json_pack("{s:s, s:o}", "kind", "storage#buckets", "items", items));
}

/* ---- objects ---- */

/* A page token is the last name of the page before. */
static void list_objects(struct emulator *emu, struct exchange *x, const char *bucket)
{
	AUTO_FREE char *prefix = parse_query(exchange_query(x), "prefix");
	AUTO_FREE char *after = parse_query(exchange_query(x), "pageToken");
	AUTO_FREE char *max = parse_query(exchange_query(x), "maxResults");
	json_t *names = bucket_objects(emu, bucket, prefix ? prefix : ""), *items = json_array(), *answer, *name;
	const char *last = NULL;
	int64_t limit = PAGE_DEFAULT;
	size_t i;

	if (max && (parse_i64(max, &limit) < 0 || limit < 1 || limit > PAGE_DEFAULT))
		limit = PAGE_DEFAULT;
	answer = json_pack("{s:s}", "kind", "storage#objects");
	json_array_foreach(names, i, name) {
		json_t *o;
		if (after && strcmp(json_string_value(name), after) <= 0)
			continue;
		if ((int64_t)json_array_size(items) == limit) {
			json_object_set_new(answer, "nextPageToken", json_string(last));
			break;
		}
		last = json_string_value(name);
		o = bucket_object(emu, bucket, last);
		if (o)
			json_array_append_new(items, o);
	}
	if (json_array_size(items))
		json_object_set(answer, "items", items);
	json_decref(items);
	json_decref(names);
	rpc_reply(x, answer);
}

static void media(struct emulator *emu, struct exchange *x, const char *bucket, const char *name)
{
	struct err err;
	size_t len;
	AUTO_FREE char *content = bucket_read_object(emu, bucket, name, &len, &err);

	if (content)
		wire_reply(x, 200, "application/octet-stream", content, len);
	else
		refuse_err(x, &err);
}

static void object(struct emulator *emu, struct exchange *x, const char *bucket, const char *name)
{
	AUTO_FREE char *alt = parse_query(exchange_query(x), "alt");
	const char *method = exchange_method(x);
	struct err err;
	json_t *o;

	if (!strcmp(method, "GET") && alt && !strcmp(alt, "media")) {
		media(emu, x, bucket, name);
		return;
	}
	if (!strcmp(method, "DELETE")) {
		if (bucket_delete_object(emu, bucket, name, &err) < 0)
			refuse_err(x, &err);
		else
			wire_reply(x, 204, NULL, NULL, 0);
		return;
	}
	o = strcmp(method, "GET") ? NULL : bucket_object(emu, bucket, name);
	if (o)
		rpc_reply(x, o);
	else
		refuse(x, 404, "notFound", "No such object");
}

static void bucket(struct emulator *emu, struct exchange *x, const char *name)
{
	struct err err;

	if (!strcmp(exchange_method(x), "GET"))
		rpc_reply(x, bucket_resource(emu, name));
	else if (strcmp(exchange_method(x), "DELETE"))
		refuse(x, 404, "notFound", "Not Found");
	else if (bucket_remove(emu, name, &err) < 0)
		refuse_err(x, &err);
	else
		wire_reply(x, 204, NULL, NULL, 0);
}

void storage_api_upload(struct emulator *emu, struct exchange *x, const char *body, size_t len)
{
	static const char top[] = "/upload/storage/v1/b/";
	AUTO_FREE char *bucket = xstrdup(exchange_path(x) + strlen(top));
	AUTO_FREE char *type = parse_query(exchange_query(x), "uploadType");
	AUTO_FREE char *name = parse_query(exchange_query(x), "name");
	char *slash = strchr(bucket, '/');
	struct err err;

	if (!slash || strcmp(slash, "/o") || !type || strcmp(type, "media") || !name) {
		refuse(x, 400, "invalid", "Only uploadType=media with a name is emulated.");
		return;
	}
	*slash = 0;
	if (parse_percent_decode(bucket) < 0 || !bucket_exists(emu, bucket))
		refuse(x, 404, "notFound", "The specified bucket does not exist.");
	else if (bucket_write_object(emu, bucket, name, body, len, &err) < 0)
		refuse_err(x, &err);
	else
		rpc_reply(x, bucket_object(emu, bucket, name));
}

void storage_api_handle(struct emulator *emu, struct exchange *x, const char *body, size_t len)
{
	static const char top[] = "/storage/v1/b";
	AUTO_FREE char *path = xstrdup(exchange_path(x) + strlen(top));
	bool get = !strcmp(exchange_method(x), "GET");
	char *name = path + 1, *rest;

	if (!*path || !strcmp(path, "/")) {
		if (get)
			list_buckets(emu, x);
		else if (!strcmp(exchange_method(x), "POST"))
			insert(emu, x, body, len);
		else
			refuse(x, 404, "notFound", "Not Found");
		return;
	}
	rest = strchr(name, '/');
	if (rest)
		*rest++ = 0;
	if (parse_percent_decode(name) < 0 || !bucket_exists(emu, name))
		refuse(x, 404, "notFound", "The specified bucket does not exist.");
	else if (!rest)
		bucket(emu, x, name);
	else if (!strcmp(rest, "o") && get)
		list_objects(emu, x, name);
	else if (!strncmp(rest, "o/", 2) && parse_percent_decode(rest + 2) >= 0)
		object(emu, x, name, rest + 2);
	else
		refuse(x, 404, "notFound", "Not Found");
}
