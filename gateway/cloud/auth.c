/* auth - the metadata server's access token, kept until shortly before its end.
 * Everybody who asks waits in one line; a refresh serves all who wait when it comes back. */
#include "cloud/auth.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gateway.h"
#include "net/defer.h"
#include "net/http_client.h"

#define METADATA_HOST "metadata.google.internal"
#define TOKEN_PATH "/computeMetadata/v1/instance/service-accounts/default/token"
#define REQUEST_TIMEOUT_MS 3000
#define RESPONSE_MAX (64 * 1024)
#define RENEW_BEFORE_S 225
#define TRIES_MAX 3
#define RETRY_MS 1000

struct auth_wait {
	struct auth *auth;
	auth_cb *cb;
	void *ctx;
	uint64_t number;
	struct auth_wait *prev, *next;
};

struct auth {
	struct gateway *g;
	char *token;              /* NULL: none */
	uint64_t renew_ms;        /* monotonic; from here on it is not given out */
	struct http_call *call;   /* the refresh under way */
	struct timer *retry;      /* between two tries of it */
	struct timer *deliver;    /* an answer that is known already */
	struct err failure;       /* what deliver says; ERR_NONE: the token */
	int tries;
	struct auth_wait *waiting;
	uint64_t next_number;
};

static void refresh(struct auth *a);

/* Serve those who wait now; a callback may ask again, or cancel anybody. */
static void settle(struct auth *a, const struct err *err)
{
	AUTO_FREE char *token = err ? NULL : xstrdup(a->token);
	uint64_t end = a->next_number;

	while (a->waiting && a->waiting->number < end) {
		struct auth_wait *w = a->waiting;

		DL_DELETE(a->waiting, w);
		w->cb(w->ctx, token, err);
		free(w);
	}
}

static bool needs_token(const struct auth *a)
{
	return !a->g->config->endpoint_url;
}

static void on_deliver(void *ctx)
{
	struct auth *a = ctx;
	struct err failure = a->failure;

	a->deliver = NULL;
	a->failure.kind = ERR_NONE;
	if (failure.kind != ERR_NONE)
		settle(a, &failure);
	else if (needs_token(a) && !a->token) /* refused in between */
		refresh(a);
	else
		settle(a, NULL);
}

/* From the loop, so that no waiter is called inside auth_token. */
static void deliver(struct auth *a)
{
	a->deliver = timer_start(a->g->loop, 0, on_deliver, a);
}

static int take_token(struct auth *a, const struct http_response *r, struct err *err)
{
	json_t *root;
	const char *token;
	int64_t life_s;

	if (r->status != 200)
		return err_set(err, ERR_UPSTREAM, "metadata server: HTTP status %d: %.200s", r->status, r->body);
	root = json_loadb(r->body, r->len, 0, NULL);
	token = json_string_value(json_object_get(root, "access_token"));
	life_s = json_integer_value(json_object_get(root, "expires_in"));
	if (!token || !*token || strpbrk(token, "\r\n") || life_s <= 0) {
		json_decref(root);
		return err_set(err, ERR_UPSTREAM, "metadata server: the answer holds no access token");
	}
	/* One that ends soon is still good for a while, or we would ask without end. */
	life_s = life_s > 2 * RENEW_BEFORE_S ? life_s - RENEW_BEFORE_S : life_s / 2;
	free(a->token);
	a->token = xstrdup(token);
	a->renew_ms = clock_mono_ms() + (uint64_t)life_s * 1000;
	json_decref(root);
	return 0;
}

static void on_retry(void *ctx)
{
	struct auth *a = ctx;

	a->retry = NULL;
	refresh(a);
}

static void on_response(void *ctx, const struct http_response *r, const struct err *failed)
{
	struct auth *a = ctx;
	bool transient = failed || r->status == 429 || r->status >= 500;
	struct err err;

	a->call = NULL;
	if (transient && ++a->tries < TRIES_MAX) {
		a->retry = timer_start(a->g->loop, (uint64_t)RETRY_MS << (a->tries - 1), on_retry, a);
		return;
	}
	if (failed) {
		err_set(&err, ERR_UNAVAILABLE, "no Google credentials: metadata server: %s (this gateway "
			"takes them from the metadata server of a Google machine, or needs none with "
			"SOCKERLESS_ENDPOINT_URL)", failed->msg);
		settle(a, &err);
	} else {
		settle(a, take_token(a, r, &err) < 0 ? &err : NULL);
	}
}

static void refresh(struct auth *a)
{
	const char *host = getenv("GCE_METADATA_HOST");
	AUTO_FREE char *url = xasprintf("http://%s" TOKEN_PATH, host && *host ? host : METADATA_HOST);
	struct http_call_options opt = {
		.method = "GET",
		.url = url,
		.timeout_ms = REQUEST_TIMEOUT_MS,
		.max_response_bytes = RESPONSE_MAX,
	};

	strv_add(&opt.headers, "Metadata-Flavor: Google");
	a->call = http_client_start(a->g->http, &opt, on_response, a, &a->failure);
	strv_release(&opt.headers);
	if (!a->call)
		deliver(a);
}

/* NULL when the metadata server may be asked. */
static const char *credentials_file(void)
{
	const char *file = getenv("GOOGLE_APPLICATION_CREDENTIALS");

	return file && *file ? file : NULL;
}

/* ---- API -------------------------------------------------------------------------------------- */

struct auth *auth_new(struct gateway *g)
{
	struct auth *a = xcalloc(1, sizeof(*a));

	a->g = g;
	return a;
}

void auth_free(struct auth *a)
{
	if (!a)
		return;
	while (a->waiting)
		auth_cancel(a->waiting);
	http_call_cancel(a->call);
	timer_cancel(&a->retry);
	timer_cancel(&a->deliver);
	free(a->token);
	free(a);
}

struct auth_wait *auth_token(struct auth *a, auth_cb *cb, void *ctx)
{
	struct auth_wait *w = xcalloc(1, sizeof(*w));

	w->auth = a;
	w->cb = cb;
	w->ctx = ctx;
	w->number = a->next_number++;
	DL_APPEND(a->waiting, w);
	if (a->call || a->retry || a->deliver)
		return w;
	a->tries = 0;
	if (!needs_token(a) || (a->token && clock_mono_ms() < a->renew_ms)) {
		deliver(a);
	} else if (credentials_file()) {
		err_set(&a->failure, ERR_UNSUPPORTED, "GOOGLE_APPLICATION_CREDENTIALS names %.200s, but "
			"credential files are not supported yet; supported are the metadata server "
			"(unset the variable) and SOCKERLESS_ENDPOINT_URL without credentials",
			credentials_file());
		deliver(a);
	} else {
		refresh(a);
	}
	return w;
}

void auth_cancel(struct auth_wait *w)
{
	if (!w)
		return;
	DL_DELETE(w->auth->waiting, w);
	free(w);
}

void auth_refused(struct auth *a, const char *token)
{
	if (!a->token || strcmp(a->token, token) != 0)
		return;
	free(a->token);
	a->token = NULL;
}
