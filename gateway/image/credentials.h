/* credentials - who we are to a registry: what the client sent, Docker's config.json on this machine, or
 * one of its credential helpers. Passwords are held for as long as the conversation and never logged. */
#ifndef IMAGE_CREDENTIALS_H
#define IMAGE_CREDENTIALS_H

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

#include "base/err.h"

struct credentials {
	char *user, *password;   /* both or none */
	char *identity_token;    /* OAuth refresh token, instead of a password */
	char *registry_token;    /* a Bearer token as it is */
};
void credentials_release(struct credentials *c);
bool credentials_given(const struct credentials *c);

/* X-Registry-Auth: base64 (either alphabet) of an AuthConfig. Its serveraddress must name host when
 * only_for_host. What is none counts as nothing given, as in dockerd. */
void credentials_from_header(const char *header, const char *host, bool only_for_host, struct credentials *ret);

/* $DOCKER_CONFIG/config.json or ~/.docker/config.json. Either ret is filled, or *ret_helper is the name of
 * the helper that knows (caller frees), or neither. */
void credentials_from_file(const char *host, struct credentials *ret, char **ret_helper);
/* docker-credential-<helper> as a child: 20 s, 64 KiB of answer. cb runs once, never inside the call; c is
 * empty when the helper knows nothing or fails (logged). */
struct credentials_query;
typedef void credentials_cb(void *ctx, struct credentials *c);
struct credentials_query *credentials_ask(uv_loop_t *loop, const char *helper, const char *host,
					  credentials_cb *cb, void *ctx);
void credentials_ask_cancel(struct credentials_query *q); /* NULL is fine */

#endif
