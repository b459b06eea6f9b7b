/* auth - keeps the token, lines up those who wait, and decides when to fetch. */
#include "auth/auth.h"

#include <stdbool.h>
#include <string.h>
#include <utlist.h>

#include "auth/fetch.h"
#include "base/clock.h"
#include "base/log.h"
#include "gateway.h"
#include "net/defer.h"

#define RENEW_BEFORE_S 225
#define LAST_USE_S 10         /* before its end, or a tenth of its life: a request must not outlive it */
#define RENEW_AGAIN_MS 30000

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
	char *quota_project;
	char *universe;
	uint64_t renew_ms;        /* monotonic; from here on another one is fetched */
	uint64_t end_ms;          /* from here on it is not given out */
	int64_t clock_ahead_s;
	struct fetch *fetch;      /* under way */
	struct timer *deliver;    /* an answer that is known already */
	struct auth_wait *waiting;
	uint64_t next_number;
};

static bool wants_token(const struct config *c)
{
	return !c->endpoint_url || (c->endpoint_auth && strcmp(c->endpoint_auth, "google") == 0);
}

/* Without asking anybody. */
static bool answer_known(const struct auth *a)
{
	return !wants_token(a->g->config) || (a->token && clock_mono_ms() < a->end_ms);
}

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

static void keep(struct auth *a, const struct fetched *t)
{
	uint64_t now = clock_mono_ms();
	int64_t spare = t->life_s / 10 < LAST_USE_S ? t->life_s / 10 : LAST_USE_S;
	int64_t last = t->life_s - (spare ? spare : 1);

	free(a->token);
	free(a->quota_project);
	a->token = xstrdup(t->token);
	a->quota_project = xstrdup(t->quota_project);
	a->end_ms = now + (uint64_t)last * 1000;
	/* One that ends soon is still good for a while, or we would ask without end. */
	a->renew_ms = t->life_s > 2 * RENEW_BEFORE_S ? now + (uint64_t)(t->life_s - RENEW_BEFORE_S) * 1000
						      : now + (uint64_t)t->life_s * 500;
}

static void on_fetched(void *ctx, const struct fetched *t, const struct err *err)
{
	struct auth *a = ctx;

	a->fetch = NULL;
	if (t)
		keep(a, t);
	if (t || !answer_known(a)) {
		settle(a, err);
		return;
	}
	log_warn("the access token cannot be renewed, the present one is used to its end", "error=\"%s\"", err->msg);
	a->renew_ms = clock_mono_ms() + RENEW_AGAIN_MS;
	settle(a, NULL);
}

static void fetch(struct auth *a)
{
	if (!a->fetch)
		a->fetch = fetch_start(a->g, &a->clock_ahead_s, on_fetched, a);
}

static void on_deliver(void *ctx)
{
	struct auth *a = ctx;

	a->deliver = NULL;
	if (answer_known(a))
		settle(a, NULL);
	else
		fetch(a); /* refused in between */
}

/* ---- API -------------------------------------------------------------------------------------- */

int auth_check(const struct config *config, struct err *err)
{
	struct adc adc = {0};
	int rc = wants_token(config) ? adc_load(&adc, err) : 0;

	adc_release(&adc);
	return rc;
}

struct auth *auth_new(struct gateway *g)
{
	struct auth *a = xcalloc(1, sizeof(*a));
	struct adc adc = {0};

	a->g = g;
	if (wants_token(g->config))
		adc_load(&adc, NULL);
	a->universe = xstrdup(adc.universe ? adc.universe : "googleapis.com");
	adc_release(&adc);
	return a;
}

void auth_free(struct auth *a)
{
	if (!a)
		return;
	while (a->waiting)
		auth_cancel(a->waiting);
	fetch_cancel(a->fetch);
	timer_cancel(&a->deliver);
	free(a->token);
	free(a->quota_project);
	free(a->universe);
	free(a);
}

const char *auth_universe(const struct auth *a)
{
	return a->universe;
}

struct auth_wait *auth_token(struct auth *a, auth_cb *cb, void *ctx)
{
	struct auth_wait *w = xcalloc(1, sizeof(*w));

	w->auth = a;
	w->cb = cb;
	w->ctx = ctx;
	w->number = a->next_number++;
	DL_APPEND(a->waiting, w);
	if (answer_known(a) && !a->deliver)
		a->deliver = timer_start(a->g->loop, 0, on_deliver, a);
	if (!answer_known(a) || (wants_token(a->g->config) && clock_mono_ms() >= a->renew_ms))
		fetch(a);
	return w;
}

void auth_cancel(struct auth_wait *w)
{
	if (!w)
		return;
	DL_DELETE(w->auth->waiting, w);
	free(w);
}

const char *auth_quota_project(const struct auth *a)
{
	return wants_token(a->g->config) ? a->quota_project : NULL;
}

void auth_refused(struct auth *a, const char *token)
{
	if (!a->token || strcmp(a->token, token) != 0)
		return;
	free(a->token);
	a->token = NULL;
}
