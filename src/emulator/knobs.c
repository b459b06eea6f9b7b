/* knobs - see knobs.h. */
#include "knobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "wall.h"

#define LATENCY_MAX_MS (10 * 60 * 1000)

void knobs_init(struct knobs *k)
{
	*k = (struct knobs){ .shutdown_grace_ms = 1000, .max_jobs = 1000 };
}

static void drop_injections(struct knobs *k)
{
	for (size_t i = 0; i < k->n_injections; i++) {
		free(k->injections[i].method);
		free(k->injections[i].path);
	}
	k->n_injections = 0;
}

void knobs_release(struct knobs *k)
{
	drop_injections(k);
}

/* Strings are copied. */
static int add_injection(struct knobs *k, const struct injection *in, struct err *err)
{
	bool true_answer = in->status == -1 && (in->half || in->stall_ms);

	if (in->status && !true_answer && (in->status < 400 || in->status > 599))
		return err_set(err, ERR_INVALID, "an injected status must be 0 (cut the connection) or 400 "
			       "to 599, or -1 with half or stallMs");
	if (k->n_injections == KNOBS_INJECTIONS_MAX)
		return err_set(err, ERR_LIMIT, "more than %d injected errors", KNOBS_INJECTIONS_MAX);
	k->injections[k->n_injections] = *in;
	k->injections[k->n_injections].method = xstrdup(in->method);
	k->injections[k->n_injections++].path = xstrdup(in->path);
	return 0;
}

int knobs_add_injection(struct knobs *k, const char *text, struct err *err)
{
	AUTO_FREE char *copy = xstrdup(text);
	char *path = strchr(copy, ':');
	int64_t status, count = -1;

	if (path) {
		*path++ = 0;
		char *count_at = strrchr(path, ':');
		if (count_at && parse_i64(count_at + 1, &count) == 0) {
			*count_at = 0;
			char *status_at = strrchr(path, ':');
			if (status_at && parse_i64(status_at + 1, &status) == 0) {
				*status_at = 0;
				return add_injection(k, &(struct injection){ .method = copy, .path = path,
					.status = (int)status, .count = count }, err);
			}
		}
	}
	return err_set(err, ERR_INVALID, "'%s' is not METHOD:path-substring:status:count", text);
}

int knobs_require_token(struct knobs *k, const char *token, struct err *err)
{
	if (strlen(token) >= sizeof(k->require_token))
		return err_set(err, ERR_INVALID, "requireToken has at most %zu bytes", sizeof(k->require_token) - 1);
	snprintf(k->require_token, sizeof(k->require_token), "%s", token);
	return 0;
}

int knobs_set_quota(struct knobs *k, const char *text, struct err *err)
{
	struct quota *q = !strncmp(text, "run=", 4) ? &k->run_quota
			: !strncmp(text, "log-read=", 9) ? &k->log_read_quota : NULL;
	int64_t n;

	if (!q || parse_i64(strchr(text, '=') + 1, &n) < 0 || n < 0)
		return err_set(err, ERR_INVALID, "'%s' is not run=N or log-read=N", text);
	*q = (struct quota){ .per_minute = n, .tokens = (double)n };
	return 0;
}

json_t *knobs_show(const struct knobs *k)
{
	json_t *errors = json_array();

	for (size_t i = 0; i < k->n_injections; i++) {
		const struct injection *in = &k->injections[i];
		json_array_append_new(errors, json_pack("{s:s, s:s, s:i, s:I, s:b, s:b, s:I, s:i}",
			"method", in->method, "path", in->path, "status", in->status,
			"count", (json_int_t)in->count, "after", in->after, "half", in->half,
			"stallMs", (json_int_t)in->stall_ms, "retryAfter", in->retry_after_s));
	}
	return json_pack("{s:I, s:I, s:b, s:{s:i, s:I}, s:I, s:I, s:I, s:I, s:I, s:{s:I, s:I}, s:s, s:o}",
		"notFoundMs", (json_int_t)k->not_found_ms,
		"clockSkewMs", (json_int_t)k->clock_skew_ms,
		"logDisorder", k->log_disorder,
		"operationError", "code", k->operation_error_code,
		"count", (json_int_t)k->operation_error_count,
		"startLatencyMs", (json_int_t)k->start_latency_ms,
		"logDelayMs", (json_int_t)k->log_delay_ms,
		"operationLatencyMs", (json_int_t)k->operation_latency_ms,
		"shutdownGraceMs", (json_int_t)k->shutdown_grace_ms,
		"maxJobs", (json_int_t)k->max_jobs,
		"quota", "run", (json_int_t)k->run_quota.per_minute,
		"logRead", (json_int_t)k->log_read_quota.per_minute,
		"requireToken", k->require_token,
		"errors", errors);
}

static int read_latency(const json_t *v, const char *key, uint64_t *ret, struct err *err)
{
	if (!json_is_integer(v) || json_integer_value(v) < 0 ||
	    json_integer_value(v) > LATENCY_MAX_MS)
		return err_set(err, ERR_INVALID, "%s must be 0 to %d", key, LATENCY_MAX_MS);
	*ret = (uint64_t)json_integer_value(v);
	return 0;
}

static int read_quota(const json_t *v, struct knobs *k, struct err *err)
{
	const char *key;
	json_t *n;

	json_object_foreach((json_t *)v, key, n) {
		struct quota *q = !strcmp(key, "run") ? &k->run_quota
				: !strcmp(key, "logRead") ? &k->log_read_quota : NULL;
		if (!q || !json_is_integer(n) || json_integer_value(n) < 0)
			return err_set(err, ERR_INVALID, "quota knows run and logRead, requests per minute");
		*q = (struct quota){ .per_minute = json_integer_value(n),
				     .tokens = (double)json_integer_value(n) };
	}
	return 0;
}

/* The list replaces the former one. */
static int read_errors(const json_t *list, struct knobs *k, struct err *err)
{
	json_t *v;
	size_t i;

	k->n_injections = 0;
	if (!json_is_array(list))
		return err_set(err, ERR_INVALID, "errors must be a list");
	json_array_foreach((json_t *)list, i, v) {
		struct injection in = { .method = (char *)"*", .path = (char *)"" };
		json_int_t count = 1, stall_ms = 0;
		int after = 0, half = 0;
		in.status = json_object_get(v, "half") || json_object_get(v, "stallMs") ? -1 : 503;
		if (json_unpack(v, "{s?s, s?s, s?i, s?I, s?b, s?b, s?I, s?i !}", "method", &in.method, "path", &in.path,
				"status", &in.status, "count", &count, "after", &after, "half", &half,
				"stallMs", &stall_ms, "retryAfter", &in.retry_after_s) < 0 ||
		    stall_ms < 0 || stall_ms > LATENCY_MAX_MS)
			return err_set(err, ERR_INVALID, "an error is {method, path, status, count, after, half, "
				       "stallMs, retryAfter}, not more");
		in.count = count;
		in.after = after;
		in.half = half;
		in.stall_ms = (uint64_t)stall_ms;
		if (add_injection(k, &in, err) < 0)
			return -1;
	}
	return 0;
}

static int read_operation_error(const json_t *v, struct knobs *k, struct err *err)
{
	json_int_t code = 13, count = 1;

	if (json_unpack((json_t *)v, "{s?I, s?I !}", "code", &code, "count", &count) < 0 || code < 0 || code > 16)
		return err_set(err, ERR_INVALID, "operationError is {code: 0 to 16, count}");
	k->operation_error_code = (int)code;
	k->operation_error_count = count;
	return 0;
}

static int read_knob(const char *key, const json_t *v, struct knobs *k, struct err *err)
{
	if (!strcmp(key, "startLatencyMs"))
		return read_latency(v, key, &k->start_latency_ms, err);
	if (!strcmp(key, "logDelayMs"))
		return read_latency(v, key, &k->log_delay_ms, err);
	if (!strcmp(key, "operationLatencyMs"))
		return read_latency(v, key, &k->operation_latency_ms, err);
	if (!strcmp(key, "shutdownGraceMs"))
		return read_latency(v, key, &k->shutdown_grace_ms, err);
	if (!strcmp(key, "notFoundMs"))
		return read_latency(v, key, &k->not_found_ms, err);
	if (!strcmp(key, "clockSkewMs") && json_is_integer(v)) {
		k->clock_skew_ms = json_integer_value(v);
		return 0;
	}
	if (!strcmp(key, "logDisorder") && json_is_boolean(v)) {
		k->log_disorder = json_is_true(v);
		return 0;
	}
	if (!strcmp(key, "operationError"))
		return read_operation_error(v, k, err);
	if (!strcmp(key, "maxJobs") && json_is_integer(v) && json_integer_value(v) > 0) {
		k->max_jobs = json_integer_value(v);
		return 0;
	}
	if (!strcmp(key, "quota") && json_is_object(v))
		return read_quota(v, k, err);
	if (!strcmp(key, "requireToken") && json_is_string(v))
		return knobs_require_token(k, json_string_value(v), err);
	if (!strcmp(key, "errors"))
		return read_errors(v, k, err);
	return err_set(err, ERR_INVALID, "no such knob, or a wrong value: %.60s", key);
}

int knobs_update(struct knobs *k, const json_t *o, struct err *err)
{
	struct knobs next = *k; /* a draft: the injections it starts with are still k's */
	const char *key;
	json_t *v;
	bool own = json_object_get(o, "errors") != NULL;

	if (!json_is_object(o))
		return err_set(err, ERR_INVALID, "knobs must be an object");
	json_object_foreach((json_t *)o, key, v)
		if (read_knob(key, v, &next, err) < 0) {
			if (own && next.n_injections &&
			    next.injections[0].method != k->injections[0].method)
				drop_injections(&next);
			return -1;
		}
	if (own)
		drop_injections(k);
	*k = next;
	wall_set_skew_ms(k->clock_skew_ms);
	return 0;
}

bool knobs_inject(struct knobs *k, const char *method, const char *path, struct injection *ret)
{
	for (size_t i = 0; i < k->n_injections; i++) {
		struct injection *in = &k->injections[i];
		if (in->count == 0 || (strcmp(in->method, "*") && strcasecmp(in->method, method)) ||
		    !strstr(path, in->path))
			continue;
		*ret = *in;
		if (in->count > 0)
			in->count--;
		return true;
	}
	return false;
}

bool quota_take(struct quota *q)
{
	uint64_t now = clock_mono_ms();

	if (!q->per_minute)
		return true;
	q->tokens += (double)(now - (q->filled_ms ? q->filled_ms : now)) * (double)q->per_minute / 60000;
	q->filled_ms = now;
	if (q->tokens > (double)q->per_minute)
		q->tokens = (double)q->per_minute;
	if (q->tokens < 1)
		return false;
	q->tokens -= 1;
	return true;
}
