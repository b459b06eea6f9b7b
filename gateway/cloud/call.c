/* call - the mechanics under every typed call: token → request → (wait → request)* → answer.
 *
 *   repeatable requests   429, 502, 503, 504, an answer cut short and no answer at all: again
 *   any request           429: again, it was refused before it did anything; 401: once, with a fresh token
 *   nothing else is retried; the deadline covers everything, one try has a third of it
 *
 * Again: five tries, after a random part of 200 ms, 400 ms ... 4 s (so that many callers do not come in step),
 * or after what the answer asks for (Retry-After, RetryInfo). All calls share a budget of repetitions that
 * answers refill: when Google is down, we do not multiply what we ask. */
#include "cloud/call.h"

#include <string.h>
#include <utlist.h>

#include "auth/auth.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/token.h"
#include "cloud/logging.h"
#include "gateway.h"
#include "net/defer.h"
#include "net/http_client.h"

#define TRIES_MAX 5
#define RETRY_MS 200
#define RETRY_MAX_MS 4000
#define BUDGET_MAX 60         /* repetitions; an answer gives half of one back */
#define TRY_MIN_MS 500
#define RESPONSE_MAX (192 * 1024 * 1024) /* a page of long log entries */

static void get_token(struct cloud_call *call);

static void call_free(struct cloud_call *call)
{
	auth_cancel(call->auth);
	http_call_cancel(call->http);
	timer_cancel(&call->timer);
	free(call->url);
	free(call->body);
	free(call->token);
	free(call->resource);
	json_decref(call->query);
	json_decref(call->sum);
	json_decref(call->seen);
	free(call);
}

void call_finish(struct cloud_call *call, json_t *json, const struct err *err)
{
	DL_DELETE(call->cloud->calls, call);
	call->done = true;
	call->cb(call->ctx, err ? NULL : json, err);
	call_free(call);
}

void cloud_cancel(struct cloud_call *call)
{
	if (!call || call->done)
		return;
	DL_DELETE(call->cloud->calls, call);
	call_free(call);
}

static uint64_t time_left(const struct cloud_call *call)
{
	uint64_t now = clock_mono_ms();

	return now < call->deadline_ms ? call->deadline_ms - now : 0;
}

/* ---- errors ----------------------------------------------------------------------------------- */

static enum err_kind kind_of_http(int status)
{
	switch (status) {
	case 400: return ERR_INVALID;
	case 401: return ERR_DENIED;
	case 403: return ERR_FORBIDDEN;
	case 404: return ERR_NOT_FOUND;
	case 409: return ERR_CONFLICT;
	case 429: return ERR_LIMIT;
	default: return ERR_UPSTREAM;
	}
}

/* google.rpc.Code, as an operation's error has it. */
static enum err_kind kind_of_grpc(int code)
{
	switch (code) {
	case 3: return ERR_INVALID;
	case 5: return ERR_NOT_FOUND;
	case 6: return ERR_CONFLICT;
	case 7: return ERR_FORBIDDEN;
	case 8: return ERR_LIMIT;
	case 16: return ERR_DENIED;
	default: return ERR_UPSTREAM;
	}
}

int call_error(json_t *error, int http_status, struct err *err)
{
	const char *message = json_string_value(json_object_get(error, "message"));
	int code = (int)json_integer_value(json_object_get(error, "code"));

	if (message && *message)
		err_set(err, http_status ? kind_of_http(http_status) : kind_of_grpc(code), "%s", message);
	else if (http_status)
		err_set(err, kind_of_http(http_status), "HTTP status %d without a reason", http_status);
	else
		err_set(err, kind_of_grpc(code), "operation failed with code %d and no reason", code);
	err->code = http_status ? http_status : code;
	return -1;
}

/* ---- one request ------------------------------------------------------------------------------ */

static void on_again(void *ctx)
{
	struct cloud_call *call = ctx;

	call->timer = NULL;
	get_token(call);
}

/* What the answer itself asks for, or 0: the header, or RetryInfo {"retryDelay": "1.5s"} among the error's details. */
static uint64_t asked_to_wait_ms(const struct http_response *r)
{
	const char *after = http_response_header(r, "retry-after"), *text;
	json_t *json, *detail;
	double s = 0;
	int64_t whole;
	size_t i;

	if (after && parse_i64(after, &whole) == 0 && whole > 0)
		return whole < 3600 ? (uint64_t)whole * 1000 : 3600000;
	json = json_loadb(r->body, r->len, JSON_ALLOW_NUL, NULL);
	json_array_foreach(json_object_get(json_object_get(json, "error"), "details"), i, detail) {
		text = json_string_value(json_object_get(detail, "retryDelay"));
		if (text && !s)
			s = strtod(text, NULL);
	}
	json_decref(json);
	return s > 0 ? (uint64_t)((s < 3600 ? s : 3600) * 1000) : 0;
}

static uint64_t random_part(uint64_t ms)
{
	uint32_t r;

	random_bytes(&r, sizeof(r));
	return ms * r / UINT32_MAX;
}

static bool in_budget(struct cloud *c)
{
	if (c->repeated >= BUDGET_MAX)
		return false;
	c->repeated++;
	return true;
}

/* r: the answer that refused, or NULL. False: no tries, no time or no budget left. */
static bool try_again(struct cloud_call *call, const struct http_response *r)
{
	uint64_t most = (uint64_t)RETRY_MS << call->tries, wait_ms = r ? asked_to_wait_ms(r) : 0;

	if (!(call->repeatable || (r && r->status == 429)) || ++call->tries >= TRIES_MAX)
		return false;
	wait_ms += random_part(most < RETRY_MAX_MS ? most : RETRY_MAX_MS);
	if (wait_ms >= time_left(call) || !in_budget(call->cloud))
		return false;
	call->timer = timer_start(call->cloud->g->loop, wait_ms, on_again, call);
	return true;
}

static void on_failed(struct cloud_call *call, const struct err *failed)
{
	struct err err = *failed;

	if (failed->kind != ERR_LIMIT && failed->kind != ERR_INVALID && try_again(call, NULL))
		return;
	if (!strstr(err.msg, call->url))
		err_wrap(&err, "%s %s", call->method, call->url);
	call_finish(call, NULL, &err);
}

static void on_success(struct cloud_call *call, const struct http_response *r)
{
	json_t *json = r->len ? json_loadb(r->body, r->len, JSON_ALLOW_NUL, NULL) : json_object();
	struct err err;

	if (!json_is_object(json)) {
		json_decref(json);
		err_set(&err, ERR_UPSTREAM, "the answer is not a JSON object");
		on_failed(call, &err);
		return;
	}
	if (call->cloud->repeated > 0)
		call->cloud->repeated -= 0.5;
	call->step(call, json);
	json_decref(json);
}

static void on_response(void *ctx, const struct http_response *r, const struct err *failed)
{
	struct cloud_call *call = ctx;
	struct err err;
	json_t *json;

	call->http = NULL;
	if (failed) {
		on_failed(call, failed);
		return;
	}
	if (r->status >= 200 && r->status < 300) {
		on_success(call, r);
		return;
	}
	if (r->status == 401 && call->token && call->refusals++ == 0) {
		auth_refused(call->cloud->auth, call->token);
		get_token(call);
		return;
	}
	if ((r->status == 429 || (r->status >= 502 && r->status <= 504)) && try_again(call, r))
		return;
	json = json_loadb(r->body, r->len, JSON_ALLOW_NUL, NULL);
	call_error(json_object_get(json, "error"), r->status, &err);
	json_decref(json);
	if (!call->otherwise || !call->otherwise(call, &err))
		call_finish(call, NULL, &err);
}

/* A try that hangs leaves time for another. */
static uint64_t one_try_ms(const struct cloud_call *call)
{
	uint64_t left = time_left(call), part = call->timeout_ms / 3;

	if (!call->repeatable || left <= part)
		return left;
	return part < TRY_MIN_MS && left > TRY_MIN_MS ? TRY_MIN_MS : part;
}

static void on_token(void *ctx, const char *token, const struct err *failed)
{
	struct cloud_call *call = ctx;
	struct http_call_options opt = {
		.method = call->method,
		.url = call->url,
		.body = call->body,
		.body_len = call->body ? strlen(call->body) : 0,
		.timeout_ms = one_try_ms(call),
		.max_response_bytes = RESPONSE_MAX,
		.once = !call->repeatable && call->body,
	};
	struct err err;

	call->auth = NULL;
	timer_cancel(&call->timer);
	if (failed) {
		call_finish(call, NULL, failed);
		return;
	}
	if (!opt.timeout_ms) {
		err_set(&err, ERR_TIMEOUT, "%s %s: no answer in time", call->method, call->url);
		call_finish(call, NULL, &err);
		return;
	}
	free(call->token);
	call->token = xstrdup(token);
	if (token)
		strv_take(&opt.headers, xasprintf("Authorization: Bearer %s", token));
	if (token && auth_quota_project(call->cloud->auth))
		strv_take(&opt.headers, xasprintf("X-Goog-User-Project: %s", auth_quota_project(call->cloud->auth)));
	if (call->body)
		strv_add(&opt.headers, "Content-Type: application/json");
	strv_add(&opt.headers, "Accept: application/json");
	strv_add(&opt.headers, "User-Agent: sockerless-gateway/" VERSION);
	call->http = http_client_start(call->cloud->g->http, &opt, on_response, call, &err);
	strv_release(&opt.headers);
	if (!call->http)
		call_finish(call, NULL, &err);
}

static void on_no_token(void *ctx)
{
	struct cloud_call *call = ctx;
	struct err err;

	call->timer = NULL;
	err_set(&err, ERR_TIMEOUT, "%s %s: no access token in time", call->method, call->url);
	call_finish(call, NULL, &err);
}

/* The token's own tries may take longer than this call has. */
static void get_token(struct cloud_call *call)
{
	uint64_t turn_ms = call->is_log_read ? logging_take_turn(call->cloud) : 0;

	if (turn_ms) {
		call->deadline_ms += turn_ms; /* the quota is not the question's fault */
		call->timer = timer_start(call->cloud->g->loop, turn_ms, on_again, call);
		return;
	}
	call->timer = timer_start(call->cloud->g->loop, time_left(call), on_no_token, call);
	call->auth = auth_token(call->cloud->auth, on_token, call);
}

/* ---- API -------------------------------------------------------------------------------------- */

uint64_t call_timeout_ms(const struct cloud *c)
{
	return (uint64_t)c->g->config->call_timeout_ms;
}

struct cloud_call *call_new(struct cloud *c, uint64_t timeout_ms, cloud_cb *cb, void *ctx)
{
	struct cloud_call *call = xcalloc(1, sizeof(*call));

	call->cloud = c;
	call->cb = cb;
	call->ctx = ctx;
	call->timeout_ms = timeout_ms;
	call->deadline_ms = clock_mono_ms() + timeout_ms;
	DL_APPEND(c->calls, call);
	return call;
}

void call_ask(struct cloud_call *call, const char *method, char *url, json_t *body, bool repeatable,
	      void (*step)(struct cloud_call *, json_t *))
{
	free(call->url);
	free(call->body);
	call->method = method;
	call->url = url;
	call->body = body ? json_dumps(body, JSON_COMPACT) : NULL;
	call->repeatable = repeatable;
	call->step = step;
	call->tries = 0;
	json_decref(body);
	get_token(call);
}

void call_repeat_after(struct cloud_call *call, uint64_t ms)
{
	call->tries = 0;
	call->timer = timer_start(call->cloud->g->loop, ms, on_again, call);
}
