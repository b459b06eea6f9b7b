/* auth - Google access tokens: fetched once, shared by all calls, renewed before they end.
 *
 * Where they come from is Application Default Credentials (auth/adc.h), read anew for every token, so that
 * a rotated key or a new `gcloud auth` is taken up without a restart. With SOCKERLESS_ENDPOINT_URL there are
 * no credentials and the token is NULL, unless SOCKERLESS_ENDPOINT_AUTH=google.
 * One fetch serves all who wait. From 3 min 45 s before its end a token is renewed while it is still given
 * out; if that fails, it is tried again 30 s later. Source: Google AIP-4110 to 4117. Loop thread only. */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "base/err.h"

struct gateway;
struct config;
struct cloud;
struct auth;
struct auth_wait;

/* At start: are the credentials there and complete? Asks nobody. A machine's metadata server counts as there. */
int auth_check(const struct config *config, struct err *err);

struct auth *auth_new(struct gateway *g);
void auth_free(struct auth *a); /* calls no one; NULL is fine */
struct auth *cloud_auth(struct cloud *c); /* the one all calls share; borrowed */
/* The domain of Google's hosts: "googleapis.com", or of another universe. Borrowed. */
const char *auth_universe(const struct auth *a);

/* err NULL: token is valid, or NULL for none needed; borrowed, during the call only. Runs once, from
 * the loop, never inside auth_token. ERR_SYSTEM: something is wrong with the credentials on this machine;
 * ERR_UPSTREAM: they were refused; ERR_UNAVAILABLE: nobody answered. No sentence holds a secret. */
typedef void auth_cb(void *ctx, const char *token, const struct err *err);
struct auth_wait *auth_token(struct auth *a, auth_cb *cb, void *ctx);
void auth_cancel(struct auth_wait *w); /* cb will not run; NULL is fine */
/* The project that pays for calls made with the token just given ("x-goog-user-project"), or NULL. Borrowed. */
const char *auth_quota_project(const struct auth *a);
/* Google said 401 to this token: fetch another one next time. */
void auth_refused(struct auth *a, const char *token);

#endif
