/* rpc - Google's error bodies and JSON replies; see rpc.h. */
#include "rpc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "wire.h"

static const struct {
	enum rpc_code code;
	int http;
	const char *name;
} codes[] = {
	/* Several codes share a status; the first one is what the status alone means. */
	{ RPC_OK, 200, "OK" },
	{ RPC_INVALID_ARGUMENT, 400, "INVALID_ARGUMENT" },
	{ RPC_UNAUTHENTICATED, 401, "UNAUTHENTICATED" },
	{ RPC_PERMISSION_DENIED, 403, "PERMISSION_DENIED" },
	{ RPC_NOT_FOUND, 404, "NOT_FOUND" },
	{ RPC_ALREADY_EXISTS, 409, "ALREADY_EXISTS" },
	{ RPC_RESOURCE_EXHAUSTED, 429, "RESOURCE_EXHAUSTED" },
	{ RPC_CANCELLED, 499, "CANCELLED" },
	{ RPC_INTERNAL, 500, "INTERNAL" },
	{ RPC_UNIMPLEMENTED, 501, "UNIMPLEMENTED" },
	{ RPC_UNAVAILABLE, 503, "UNAVAILABLE" },
	{ RPC_DEADLINE_EXCEEDED, 504, "DEADLINE_EXCEEDED" },
	{ RPC_FAILED_PRECONDITION, 400, "FAILED_PRECONDITION" },
	{ RPC_OUT_OF_RANGE, 400, "OUT_OF_RANGE" },
	{ RPC_ABORTED, 409, "ABORTED" },
	{ RPC_UNKNOWN, 500, "UNKNOWN" },
};
#define N_CODES (sizeof codes / sizeof codes[0])

static const char *code_name(enum rpc_code code)
{
	for (size_t i = 0; i < N_CODES; i++)
		if (codes[i].code == code)
			return codes[i].name;
	return "UNKNOWN";
}

static int http_status(enum rpc_code code)
{
	for (size_t i = 0; i < N_CODES; i++)
		if (codes[i].code == code)
			return codes[i].http;
	return 500;
}

static enum rpc_code code_of_http(int status)
{
	for (size_t i = 0; i < N_CODES; i++)
		if (codes[i].http == status)
			return codes[i].code;
	return status >= 500 ? RPC_INTERNAL : RPC_FAILED_PRECONDITION;
}

const char *rpc_status_name(int http_status)
{
	return code_name(code_of_http(http_status));
}

int rpc_fail(struct rpc_error *e, enum rpc_code code, const char *fmt, ...)
{
	va_list ap;

	e->code = code;
	va_start(ap, fmt);
	vsnprintf(e->message, sizeof e->message, fmt, ap);
	va_end(ap);
	return -1;
}

/* A sentence that quotes a peer's bytes may hold, or be cut to, what is not UTF-8. */
static json_t *sentence(const char *text)
{
	AUTO_FREE char *clean = utf8_clean(text, strlen(text), NULL);

	return json_string(clean);
}

static void add_violation(struct rpc_error *e, const char *field, const char *description)
{
	if (!e->violations)
		e->violations = json_array();
	json_t *v = json_object();
	if (*field)
		json_object_set_new(v, "field", sentence(field));
	json_object_set_new(v, "description", sentence(description));
	json_array_append_new(e->violations, v);
}

int rpc_violation(struct rpc_error *e, const char *field, const char *fmt, ...)
{
	char text[RPC_MESSAGE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	rpc_fail(e, RPC_INVALID_ARGUMENT, "Violation in %s: %s", field, text);
	add_violation(e, field, text);
	return -1;
}

int rpc_bad_json(struct rpc_error *e, const char *field, const char *fmt, ...)
{
	va_list ap;

	e->code = RPC_INVALID_ARGUMENT;
	va_start(ap, fmt);
	vsnprintf(e->message, sizeof e->message, fmt, ap);
	va_end(ap);
	add_violation(e, field, e->message);
	return -1;
}

static void send_json(struct exchange *x, int status, json_t *body)
{
	char *text = json_dumps(body, JSON_COMPACT | JSON_PRESERVE_ORDER);

	assert(text);
	wire_reply(x, status, "application/json; charset=UTF-8", text, strlen(text));
	free(text);
	json_decref(body);
}

void rpc_reply(struct exchange *x, json_t *body)
{
	send_json(x, 200, body);
}

void rpc_reply_error(struct exchange *x, struct rpc_error *e)
{
	int status = http_status(e->code);
	json_t *inner = json_pack("{s:i, s:o, s:s}", "code", status, "message", sentence(e->message),
				  "status", code_name(e->code));

	if (e->violations)
		json_object_set_new(inner, "details", json_pack("[{s:s, s:o}]", "@type",
			"type.googleapis.com/google.rpc.BadRequest", "fieldViolations",
			e->violations));
	e->violations = NULL;
	send_json(x, status, json_pack("{s:o}", "error", inner));
}

void rpc_reply_status(struct exchange *x, int http_status, const char *message)
{
	json_t *inner = json_pack("{s:i, s:o, s:s}", "code", http_status, "message", sentence(message),
				  "status", code_name(code_of_http(http_status)));
	send_json(x, http_status, json_pack("{s:o}", "error", inner));
}

void rpc_put_string(json_t *o, const char *key, const char *value)
{
	if (value && *value)
		json_object_set_new(o, key, json_string(value));
}

void rpc_put_int(json_t *o, const char *key, json_int_t value)
{
	if (value)
		json_object_set_new(o, key, json_integer(value));
}

void rpc_put_time(json_t *o, const char *key, int64_t wall_ns)
{
	char text[CLOCK_RFC3339_MAX];

	if (wall_ns)
		json_object_set_new(o, key, json_string(
			clock_format(wall_ns / 1000 * 1000, 0, text)));
}
