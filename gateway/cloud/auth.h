/* auth - Google access tokens: fetched once, shared by all calls, renewed before they end.
 *
 * With SOCKERLESS_ENDPOINT_URL there are no credentials and the token is NULL. Otherwise the metadata
 * server (metadata.google.internal, or $GCE_METADATA_HOST) is asked; credential files are refused with a
 * sentence that says so. A token is renewed 3 min 45 s before it ends, by one request however many wait.
 * Source: Google AIP-4110 and AIP-4115. Loop thread only. */
#ifndef CLOUD_AUTH_H
#define CLOUD_AUTH_H

#include "base/err.h"

struct gateway;
struct cloud;
struct auth;
struct auth_wait;

struct auth *auth_new(struct gateway *g);
void auth_free(struct auth *a); /* calls no one; NULL is fine */
struct auth *cloud_auth(struct cloud *c); /* the one all calls share; borrowed */

/* err NULL: token is valid, or NULL for none needed; borrowed, during the call only. Runs once, from
 * the loop, never inside auth_token. ERR_UNAVAILABLE, ERR_UPSTREAM or ERR_UNSUPPORTED. */
typedef void auth_cb(void *ctx, const char *token, const struct err *err);
struct auth_wait *auth_token(struct auth *a, auth_cb *cb, void *ctx);
void auth_cancel(struct auth_wait *w); /* cb will not run; NULL is fine */
/* Google said 401 to this token: fetch another one next time. */
void auth_refused(struct auth *a, const char *token);

#endif
