/* registry_session - a conversation with one registry about one repository: who we are, tokens, redirects.
 *
 * Credentials are found once (header, Docker's file, a helper, Google), before the first request. A 401 is
 * answered by a token or a password and the request sent again; a token that has run out is renewed.
 * Authorization never leaves the registry's origin, and https never becomes http. A registry with a public address
 * cannot send us (redirects, token servers) to a private one, unless SOCKERLESS_PRIVATE_HOSTS names it. */
#ifndef IMAGE_REGISTRY_SESSION_H
#define IMAGE_REGISTRY_SESSION_H

#include <stdbool.h>

#include "base/err.h"
#include "image/reference.h"
#include "net/http_client.h"

struct gateway;
struct registry_session;
struct registry_call;

/* What tokens are asked for, and how refusals read. INSPECT: as a pull, in the registry's own words. */
enum registry_access { REGISTRY_PULL, REGISTRY_INSPECT, REGISTRY_PUSH, REGISTRY_LOGIN };

/* auth: the value of X-Registry-Auth, or NULL. */
struct registry_session *registry_open(struct gateway *g, const struct reference *ref, const char *auth,
				       enum registry_access access);
/* Calls that run still end; the memory goes with the last of them. NULL is fine. */
void registry_close(struct registry_session *s);
const char *registry_name(const struct registry_session *s); /* familiar, without tag: "busybox" */
const char *registry_host(const struct registry_session *s);
const char *registry_repo(const struct registry_session *s);
/* Tokens from now on also read this repository of the registry: for mounting its blobs. */
void registry_also_read(struct registry_session *s, const char *repo);
/* From the token server, when it has given one (a login asks for it); NULL otherwise. Borrowed. */
const char *registry_identity_token(const struct registry_session *s);

struct registry_request {
	const char *method;      /* NULL: GET. GET and HEAD follow redirects */
	const char *path;        /* "blobs/sha256:…", "/v2/", or a URL as registry_location made it */
	struct strv headers;     /* borrowed for the call */
	const void *body;        /* as in http_call_options from here on; the same for read and write */
	size_t body_len;
	uint64_t timeout_ms;     /* 0: a minute; redirects and tokens included */
	uint64_t stall_ms;
	size_t max_response_bytes;
	ssize_t (*read)(void *ctx, void *p, size_t n);
	int (*write)(void *ctx, const void *p, size_t n);
};
/* NULL with err, or cb exactly once: a response of any status but 401, or an error, ERR_DENIED among them. */
struct registry_call *registry_ask(struct registry_session *s, const struct registry_request *q,
				   http_call_cb *cb, void *ctx, struct err *err);
void registry_resume(struct registry_call *call); /* http_call_resume */
void registry_cancel(struct registry_call *call); /* cb will not run; NULL is fine */

/* The absolute URL of a response's Location; NULL if there is none or it goes from https to http. */
char *registry_location(const struct registry_session *s, const struct http_response *r);
/* The sentence dockerd has for a response that is no success; always -1. of_manifest: a 404 means it. */
int registry_refused(const struct registry_session *s, const struct http_response *r, bool of_manifest,
		     struct err *err);

/* "sha256:" and 64 lower-case digits. */
#define REGISTRY_DIGEST_MAX 72
bool registry_is_digest(const char *s);
void registry_digest_of(const void *p, size_t n, char out[REGISTRY_DIGEST_MAX]);

#endif
