/* registry_token - distribution's token authentication: a challenge, the token server, a Bearer token. */
#ifndef IMAGE_REGISTRY_TOKEN_H
#define IMAGE_REGISTRY_TOKEN_H

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "image/credentials.h"
#include "net/http_client.h"

/* The parameters of the response's challenge of this scheme ("Bearer", "Basic"), or NULL. Borrowed. */
const char *challenge_find(const struct http_response *r, const char *scheme);
/* The value of key in them; NULL if absent. Caller frees. */
char *challenge_param(const char *params, const char *key);
/* "Basic dTpw"; caller frees. */
char *credentials_basic(const struct credentials *c);

struct registry_token_request {
	const char *realm, *service; /* service may be NULL */
	const char *host;            /* the registry, for sentences */
	const char *ca_file;
	bool public_only;            /* http_call_options */
	struct strv scopes;
	const struct credentials *cred;
	bool offline;                /* a refresh token is wanted too */
};
struct registry_token_answer {
	const char *token, *refresh_token; /* borrowed; the second may be NULL */
};
struct registry_token;
/* Exactly one of a and err; ERR_DENIED: the credentials are refused, ERR_FORBIDDEN: nobody without them gets a token. */
typedef void registry_token_cb(void *ctx, const struct registry_token_answer *a, const struct err *err);
struct registry_token *registry_token_start(struct http_client *http, const struct registry_token_request *q,
					    registry_token_cb *cb, void *ctx, struct err *err);
void registry_token_cancel(struct registry_token *t); /* NULL is fine */

#endif
