/* http_client - asynchronous HTTP requests by libcurl on our loop. The only user of curl.
 *
 * start returns 0 and calls cb exactly once (never inside the call), or returns NULL and never
 * does. Redirects are not followed and proxies come from the environment as curl defines them.
 * A response of any status is a success here; err is set only when there is no response.
 *
 * Large bodies flow: `read` gives the request's body and `write` takes that of a successful response, piece
 * by piece. Either may say "not now", and http_call_resume goes on; so a slow side stops the fast one. */
#ifndef NET_HTTP_CLIENT_H
#define NET_HTTP_CLIENT_H

#include <stdbool.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "base/err.h"
#include "base/mem.h"

struct http_client;
struct http_call;

struct http_call_options {
	const char *method;          /* "GET" */
	const char *url;
	struct strv headers;         /* "Name: value"; borrowed for the call of start */
	const void *body;            /* copied; NULL for none */
	size_t body_len;
	uint64_t timeout_ms;         /* whole call; required */
	size_t max_response_bytes;   /* ERR_LIMIT beyond; 0 means 16 MiB */
	const char *ca_file;         /* NULL: the system's store */
	/* The URL is a stranger's: ERR_FORBIDDEN if its host has a private address, before a byte is sent. Where a
	 * proxy is configured for it, that is the proxy's decision. */
	bool public_only;
	bool direct;                 /* not by a proxy, whatever the environment says */
	/* Instead of body, body_len bytes as they come, with cb's ctx: how many were given (at most n), 0 for
	 * none now, -1 to give up. */
	ssize_t (*read)(void *ctx, void *p, size_t n);
	/* Instead of collecting the body of a 2xx: 0 for taken, 1 for not now (the same bytes come again after
	 * http_call_resume), -1 to give up. Neither may start, cancel or free calls. */
	int (*write)(void *ctx, const void *p, size_t n);
	/* The request has an effect and must not be sent twice, also not when a kept connection turns out to be dead,
	 * after which curl by itself would send it again over a new one. It needs a body. */
	bool once;
	uint64_t stall_ms;           /* no byte for so long ends the call; 0: only timeout_ms does */
};

struct http_response {
	int status;
	const char *body;            /* NUL-terminated behind len; borrowed, valid during cb */
	size_t len;
	struct strv headers;         /* "name: value", names in lower case; borrowed */
	const char *peer;            /* the address that answered; borrowed */
};
const char *http_response_header(const struct http_response *r, const char *lower_name);

/* Exactly one of r and err is non-NULL. */
typedef void http_call_cb(void *ctx, const struct http_response *r, const struct err *err);

struct http_client *http_client_new(uv_loop_t *loop);
void http_client_free(struct http_client *c); /* cancels what runs, calling no one */
struct http_call *http_client_start(struct http_client *c, const struct http_call_options *opt,
				    http_call_cb *cb, void *ctx, struct err *err);
void http_call_resume(struct http_call *call); /* in the next loop round; may be called from read and write */
void http_call_cancel(struct http_call *call); /* cb will not run; NULL is fine */

#endif
