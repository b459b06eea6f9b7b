/* fetch - the way to one access token: read the credentials, go through the steps of their type, perhaps
 * become another service account, done. Each step is an HTTP request with three tries, in a minute for all.
 *
 * Inside gateway/auth only. A type has one function that begins it (below); it asks with fetch_ask, gets the
 * answer in its step, and ends with fetch_token or fetch_fail, after which f is gone. */
#ifndef AUTH_FETCH_H
#define AUTH_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/adc.h"
#include "base/mem.h"
#include "net/http_client.h"

#define FETCH_SCOPE "https://www.googleapis.com/auth/cloud-platform"

struct gateway;
struct fetch;
struct fetched {
	const char *token;
	int64_t life_s;
	const char *quota_project; /* or NULL */
};
/* Once, from the loop, never inside fetch_start. Exactly one of t and err is NULL. */
typedef void fetch_cb(void *ctx, const struct fetched *t, const struct err *err);
/* *clock_ahead_s: Google's clock minus ours, as far as known; fetches learn it. Outlives the fetch. */
struct fetch *fetch_start(struct gateway *g, int64_t *clock_ahead_s, fetch_cb *cb, void *ctx);
void fetch_cancel(struct fetch *f); /* cb will not run; NULL is fine */

/* ---- for the types -------------------------------------------------------------------------------- */

typedef void fetch_step(struct fetch *f, const struct http_response *r);

struct fetch {
	struct gateway *g;
	struct adc adc;
	int64_t *clock_ahead_s;
	fetch_cb *cb;
	void *ctx;
	uint64_t deadline_ms;
	struct timer *timer;      /* the beginning, or between two tries */

	/* The present request. */
	const char *method;
	char *url, *body;
	struct strv headers, next_headers;
	struct http_call *http;
	fetch_step *step;
	bool (*unanswered)(struct fetch *f); /* nobody answers: true if it goes on otherwise. NULL: an error */
	int tries;

	/* Of the types. */
	bool skew_corrected;      /* service_account; and what it took Google's clock for */
	int64_t signed_ahead_s;
	struct aws *aws;          /* external_aws */
	struct executable *child; /* external_executable */
};

/* url and body (NULL: none) are taken; headers were added before with fetch_header. step gets any answer but those
 * that were worth another try. */
void fetch_header(struct fetch *f, char *line); /* taken; for the next fetch_ask */
void fetch_ask(struct fetch *f, const char *method, char *url, char *body, fetch_step *step);
/* The same with a form; the last key is NULL, a NULL value leaves its field out. */
struct form_field {
	const char *key, *value;
};
void fetch_post_form(struct fetch *f, const char *url, fetch_step *step, const struct form_field *fields);
void fetch_basic(struct fetch *f, const char *user, const char *password); /* header for the next one */
/* An OAuth answer (RFC 6749): goes to fetch_token or fetch_fail. */
void fetch_oauth_step(struct fetch *f, const struct http_response *r);
/* A refusal in its own words, as far as they hold no secret; hint may be "". */
int fetch_refusal(struct fetch *f, const struct http_response *r, const char *hint, struct err *err);
/* Who we are is proven: becomes the other service account if the credentials say so, else that is it. */
void fetch_token(struct fetch *f, const char *token, int64_t life_s);
void fetch_done(struct fetch *f, const char *token, int64_t life_s);
void fetch_fail(struct fetch *f, const struct err *err);
int64_t fetch_google_now_s(const struct fetch *f); /* wall clock, as Google's has it */

/* The beginnings. */
void service_account_start(struct fetch *f);
void user_start(struct fetch *f);
void metadata_start(struct fetch *f);
void external_start(struct fetch *f);
void impersonate_start(struct fetch *f, const char *token);

#endif
