/* request - see request.h. */
#include "api/request.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

#include "api/reply.h"
#include "base/mem.h"
#include "base/parse.h"
#include "state/container.h"

struct request_json {
	void (*json)(struct request *r, json_t *body);
	void (*drained)(struct request *r, size_t body_len);
	bool optional;
};

static void on_close(struct exchange *x, void *ctx)
{
	request_free(ctx);
}

struct request *request_new(struct gateway *g, struct exchange *x, int version, char *path, char *name)
{
	struct request *r = xcalloc(1, sizeof(*r));

	r->g = g;
	r->x = x;
	r->version = version;
	r->path = path;
	r->name = name;
	exchange_set_user(x, r);
	exchange_on_close(x, on_close, r);
	return r;
}

void request_free(struct request *r)
{
	if (r->release)
		r->release(r);
	free(r->json);
	free(r->path);
	free(r->name);
	free(r);
}

char *request_query(const struct request *r, const char *key)
{
	return parse_query(exchange_query(r->x), key);
}

bool request_flag(const struct request *r, const char *key)
{
	AUTO_FREE char *value = request_query(r, key);

	return parse_docker_bool(value);
}

int request_int(const struct request *r, const char *key, int64_t *ret, struct err *err)
{
	AUTO_FREE char *value = request_query(r, key);

	if (!value || !*value)
		return 0;
	if (parse_i64(value + (value[0] == '+'), ret) < 0)
		return err_set(err, ERR_INVALID, "strconv.Atoi: parsing \"%s\": invalid syntax", value);
	return 0;
}

int request_need_int(const struct request *r, const char *key, int64_t *ret, struct err *err)
{
	AUTO_FREE char *value = request_query(r, key);

	if (!value || !*value)
		return err_set(err, ERR_INVALID, "strconv.Atoi: parsing \"\": invalid syntax");
	return request_int(r, key, ret, err);
}

int request_time(const struct request *r, const char *key, int64_t *ret_ns, bool *ret_given, struct err *err)
{
	AUTO_FREE char *text = request_query(r, key);

	if (ret_given)
		*ret_given = text && *text;
	if (text && *text && parse_docker_time(text, ret_ns) < 0)
		return err_set(err, ERR_INVALID, "strconv.ParseInt: parsing \"%s\": invalid syntax", text);
	return 0;
}

/* "application/json", with or without parameters behind it. */
static bool is_json(const char *content_type)
{
	static const char json[] = "application/json";

	content_type += strspn(content_type, " \t");
	return strncasecmp(content_type, json, sizeof(json) - 1) == 0 &&
	       strchr("; \t", content_type[sizeof(json) - 1]);
}

static void have_json(struct exchange *x, void *ctx, const char *text, size_t len)
{
	struct request *r = ctx;
	const char *content_type = exchange_header(x, "Content-Type");
	json_error_t bad;
	json_t *body;

	if (len > 0 && (!content_type || !is_json(content_type))) {
		reply_error(r, ERR_INVALID, "unsupported Content-Type header (%s): must be 'application/json'",
			    content_type ? content_type : "");
		return;
	}
	if (len == 0 && !r->json->optional) {
		reply_error(r, ERR_INVALID, "invalid JSON: got EOF while reading request body");
		return;
	}
	body = len ? json_loadb(text, len, 0, &bad) : json_object();
	if (!body)
		reply_error(r, ERR_INVALID, "invalid JSON: %s at byte %d", bad.text, bad.position);
	else if (!json_is_object(body))
		reply_error(r, ERR_INVALID, "invalid JSON: an object is wanted");
	else
		r->json->json(r, body);
	json_decref(body);
}

void request_json(struct request *r, bool optional, void (*fn)(struct request *r, json_t *body))
{
	r->json = xcalloc(1, sizeof(*r->json));
	r->json->json = fn;
	r->json->optional = optional;
	exchange_collect_body(r->x, API_BODY_MAX, have_json, r);
}

static void have_drained(struct exchange *x, void *ctx, const char *text, size_t len)
{
	struct request *r = ctx;

	r->json->drained(r, len);
}

void request_drain(struct request *r, void (*fn)(struct request *r, size_t body_len))
{
	r->json = xcalloc(1, sizeof(*r->json));
	r->json->drained = fn;
	exchange_collect_body(r->x, API_BODY_MAX, have_drained, r);
}

struct container *request_container(struct request *r)
{
	struct err err;
	struct container *c = containers_find(r->g->containers, r->name, &err);

	if (!c)
		reply_err(r, &err);
	return c;
}
