/* http1 - one direction of an HTTP/1.1 connection as pure code: bytes in, head and body out.
 * llhttp in strict mode does the parsing and stays inside http1.c; on top are the checks that it
 * leaves to us. No socket. Used for requests (http_server) and for the answer to a WebSocket
 * handshake (websocket_link).
 *
 * Call http1_next with what there is; it uses some of it and says what it found. It stops behind
 * every event, so that nothing of a pipelined message is looked at before the caller wants it. */
#ifndef NET_HTTP1_H
#define NET_HTTP1_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define HTTP1_HEADERS_MAX 1000

enum http1_event {
	HTTP1_MORE,  /* all bytes are used; feed more */
	HTTP1_HEAD,  /* the head is complete: the getters below are valid until http1_reset */
	HTTP1_BODY,  /* a piece of the body: *ret_body, in the caller's bytes */
	HTTP1_END,   /* the message is complete; http1_reset before the next */
	HTTP1_ERROR, /* http1_error_status and err say what to answer; then close */
};

struct http1;

struct http1 *http1_new_request(size_t max_head_bytes);
struct http1 *http1_new_response(size_t max_head_bytes);
void http1_free(struct http1 *h); /* NULL is fine */
void http1_reset(struct http1 *h);

/* *ret_used bytes of p are done with, whatever the event. */
enum http1_event http1_next(struct http1 *h, const char *p, size_t n, size_t *ret_used,
			    const char **ret_body, size_t *ret_body_len, struct err *err);

bool http1_started(const struct http1 *h);           /* a byte of this message has been seen */
const char *http1_method(const struct http1 *h);
const char *http1_target(const struct http1 *h);     /* as sent */
char *http1_target_mutable(struct http1 *h);         /* the same, for cutting at '?' */
int http1_status(const struct http1 *h);             /* of a response */
const char *http1_header(const struct http1 *h, const char *name); /* first; any case; or NULL */
bool http1_header_at(const struct http1 *h, size_t i, const char **ret_name, const char **ret_value); /* in lower case */
bool http1_header_has_token(const struct http1 *h, const char *name, const char *token);
bool http1_is_1_0(const struct http1 *h);
bool http1_keep_alive(const struct http1 *h);
bool http1_wants_upgrade(const struct http1 *h);     /* Upgrade, and Connection: Upgrade */
bool http1_has_body(const struct http1 *h);          /* HTTP1_BODY may follow the head */
int http1_error_status(const struct http1 *h);       /* 400, 417, 431, 501 or 505 */

#endif
