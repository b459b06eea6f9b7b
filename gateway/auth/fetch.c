/* fetch - asks, waits and tries again; knows of no type but where each begins.
 * Tries: no answer, 408, 429 and 5xx, three of them 1 s and 2 s apart (more or less a tenth, or as Retry-After
 * says), all within a minute. Source: AIP-4111 and what Google's own libraries do. */
#include "auth/fetch.h"

#include <assert.h>
#include <string.h>

#include "auth/executable.h"
#include "auth/external.h"
#include "auth/sign.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/token.h"
#include "gateway.h"
#include "net/defer.h"

#define FETCH_MS 60000
#define REQUEST_MS 10000
#define METADATA_MS 3000
#define RESPONSE_MAX (256 * 1024)
#define FORM_MAX (4 * 1024 * 1024)
#define TRIES_MAX 3
#define RETRY_MS 1000
#define SKEW_IGNORED_S 30

static void send_request(struct fetch *f);

static void fetch_free(struct fetch *f)
{
	http_call_cancel(f->http);
	timer_cancel(&f->timer);
	executable_cancel(f->child);
	aws_free(f->aws);
	free(f->url);
	free(f->body);
	strv_release(&f->headers);
	strv_release(&f->next_headers);
	adc_release(&f->adc);
	free(f);
}

/* ---- one request ------------------------------------------------------------------------------ */

static void on_retry(void *ctx)
{
	struct fetch *f = ctx;

	f->timer = NULL;
	send_request(f);
}

static bool try_again(struct fetch *f, const struct http_response *r)
{
	const char *after = r ? http_response_header(r, "retry-after") : NULL;
	uint64_t wait_ms = (uint64_t)RETRY_MS << f->tries;
	uint16_t jitter;
	int64_t s;

	if (++f->tries >= TRIES_MAX)
		return false;
	random_bytes(&jitter, sizeof(jitter));
	wait_ms += wait_ms / 10 * (jitter % 201) / 100 - wait_ms / 10;
	if (after && parse_i64(after, &s) == 0 && s > 0 && s < FETCH_MS / 1000)
		wait_ms = (uint64_t)s * 1000;
	if (clock_mono_ms() + wait_ms >= f->deadline_ms)
		return false;
	f->timer = timer_start(f->g->loop, wait_ms, on_retry, f);
	return true;
}

/* Every answer tells Google's time. */
static void learn_clock(struct fetch *f, const struct http_response *r)
{
	const char *date = http_response_header(r, "date");
	struct tm tm = {0};
	int64_t ahead;

	if (f->adc.type == ADC_METADATA || !date || !strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &tm))
		return;
	ahead = timegm(&tm) - clock_wall_ns() / 1000000000;
	*f->clock_ahead_s = ahead > SKEW_IGNORED_S || ahead < -SKEW_IGNORED_S ? ahead : 0;
}

static void on_response(void *ctx, const struct http_response *r, const struct err *failed)
{
	struct fetch *f = ctx;
	bool transient = failed ? failed->kind != ERR_LIMIT
				: r->status == 408 || r->status == 429 || r->status >= 500;
	struct err err;

	f->http = NULL;
	if (transient && try_again(f, r))
		return;
	if (!failed) {
		learn_clock(f, r);
		f->step(f, r);
		return;
	}
	if (f->unanswered && f->unanswered(f))
		return;
	err = *failed;
	err.kind = ERR_UNAVAILABLE;
	if (f->adc.path)
		err_wrap(&err, "Google credentials %s", f->adc.path);
	else
		err_set(&err, ERR_UNAVAILABLE, "no Google credentials: GOOGLE_APPLICATION_CREDENTIALS names no file, gcloud has "
			"left none (gcloud auth application-default login) and this is no machine of Google's: "
			"metadata server: %s", failed->msg);
	fetch_fail(f, &err);
}

static void send_request(struct fetch *f)
{
	uint64_t now = clock_mono_ms(), left = now < f->deadline_ms ? f->deadline_ms - now : 1;
	uint64_t most = f->adc.type == ADC_METADATA ? METADATA_MS : REQUEST_MS;
	struct http_call_options opt = {
		.method = f->method,
		.url = f->url,
		.headers = f->headers,
		.body = f->body,
		.body_len = f->body ? strlen(f->body) : 0,
		.timeout_ms = left < most ? left : most,
		.max_response_bytes = RESPONSE_MAX,
		.direct = strncmp(f->url, "http://", 7) == 0, /* a metadata server: never by a proxy */
	};
	struct err err;

	f->http = http_client_start(f->g->http, &opt, on_response, f, &err);
	if (!f->http)
		fetch_fail(f, &err);
}

void fetch_header(struct fetch *f, char *line)
{
	strv_take(&f->next_headers, line);
}

void fetch_ask(struct fetch *f, const char *method, char *url, char *body, fetch_step *step)
{
	free(f->url);
	free(f->body);
	strv_release(&f->headers);
	f->headers = f->next_headers;
	f->next_headers = (struct strv){0};
	f->method = method;
	f->url = url;
	f->body = body;
	f->step = step;
	f->tries = 0;
	send_request(f);
}

void fetch_basic(struct fetch *f, const char *user, const char *password)
{
	AUTO_FREE char *pair = xasprintf("%s:%s", user, password ? password : "");
	AUTO_FREE char *coded = xmalloc(base64_encoded_len(strlen(pair)) + 1);

	base64_encode(pair, strlen(pair), coded);
	fetch_header(f, xasprintf("Authorization: Basic %s", coded));
}

void fetch_post_form(struct fetch *f, const char *url, fetch_step *step, const struct form_field *fields)
{
	struct buf b;

	buf_init(&b, FORM_MAX);
	for (; fields->key; fields++) {
		AUTO_FREE char *coded = fields->value ? sign_percent_encode(fields->value, "") : NULL;

		if (coded && buf_printf(&b, "%s%s=%s", b.len ? "&" : "", fields->key, coded) < 0)
			assert(!"every value is shorter than the form"); /* files and answers have at most 256 KiB */
	}
	fetch_header(f, xstrdup("Content-Type: application/x-www-form-urlencoded"));
	fetch_ask(f, "POST", xstrdup(url), buf_detach(&b, NULL), step);
}

/* ---- answers ---------------------------------------------------------------------------------- */

/* OAuth's {error, error_description}, Google's {error: {message}}, the metadata server's plain words. A body of
 * another form is not quoted. */
int fetch_refusal(struct fetch *f, const struct http_response *r, const char *hint, struct err *err)
{
	json_t *root = json_loadb(r->body, r->len, 0, NULL), *error = json_object_get(root, "error");
	const char *code = json_string_value(error);
	const char *text = json_string_value(json_object_get(code ? root : error, code ? "error_description" : "message"));

	if (!root && f->adc.type == ADC_METADATA && r->len)
		text = r->body;
	err_set(err, ERR_UPSTREAM, "Google credentials %s: %.*s: HTTP status %d%s%.100s%s%.400s%s",
		f->adc.path ? f->adc.path : "of the metadata server", (int)strcspn(f->url, "?"), f->url, r->status,
		code ? ", " : "", code ? code : "", text ? ": " : "", text ? text : "", hint);
	err->code = r->status;
	json_decref(root);
	return -1;
}

void fetch_oauth_step(struct fetch *f, const struct http_response *r)
{
	json_t *root, *life;
	const char *token;
	int64_t life_s = 0;
	struct err err;

	if (r->status != 200) {
		fetch_refusal(f, r, "", &err);
		fetch_fail(f, &err);
		return;
	}
	root = json_loadb(r->body, r->len, 0, NULL);
	token = json_string_value(json_object_get(root, "access_token"));
	life = json_object_get(root, "expires_in");
	if (!json_is_string(life) || parse_i64(json_string_value(life), &life_s) < 0) /* some say it in quotes */
		life_s = json_integer_value(life);
	if (token && *token && !strpbrk(token, "\r\n") && life_s > 0) {
		fetch_token(f, token, life_s);
	} else {
		err_set(&err, ERR_UPSTREAM, "Google credentials %s: %s: the answer holds no access token%s",
			f->adc.path ? f->adc.path : "of the metadata server", f->url,
			token && life_s <= 0 ? " that is still valid" : "");
		fetch_fail(f, &err);
	}
	json_decref(root);
}

int64_t fetch_google_now_s(const struct fetch *f)
{
	return clock_wall_ns() / 1000000000 + *f->clock_ahead_s;
}

/* ---- the end ---------------------------------------------------------------------------------- */

void fetch_done(struct fetch *f, const char *token, int64_t life_s)
{
	struct fetched t = {.token = token, .life_s = life_s, .quota_project = f->adc.quota_project};

	f->cb(f->ctx, &t, NULL);
	fetch_free(f);
}

void fetch_token(struct fetch *f, const char *token, int64_t life_s)
{
	if (f->adc.impersonate_url)
		impersonate_start(f, token);
	else
		fetch_done(f, token, life_s);
}

void fetch_fail(struct fetch *f, const struct err *err)
{
	f->cb(f->ctx, NULL, err);
	fetch_free(f);
}

/* ---- API -------------------------------------------------------------------------------------- */

static void on_begin(void *ctx)
{
	static void (*const start[])(struct fetch *) = {
		[ADC_METADATA] = metadata_start,
		[ADC_SERVICE_ACCOUNT] = service_account_start,
		[ADC_USER] = user_start,
		[ADC_EXTERNAL] = external_start,
		[ADC_EXTERNAL_USER] = user_start,
	};
	struct fetch *f = ctx;
	struct err err;

	f->timer = NULL;
	if (adc_load(&f->adc, &err) < 0)
		fetch_fail(f, &err);
	else
		start[f->adc.type](f);
}

struct fetch *fetch_start(struct gateway *g, int64_t *clock_ahead_s, fetch_cb *cb, void *ctx)
{
	struct fetch *f = xcalloc(1, sizeof(*f));

	f->g = g;
	f->clock_ahead_s = clock_ahead_s;
	f->cb = cb;
	f->ctx = ctx;
	f->deadline_ms = clock_mono_ms() + FETCH_MS;
	f->timer = timer_start(g->loop, 0, on_begin, f);
	return f;
}

void fetch_cancel(struct fetch *f)
{
	if (f)
		fetch_free(f);
}
