/* request - one API call on its way through a handler.
 *
 * It lives from the route to its answer, or until the client hangs up; either way request_free runs
 * once and calls `release`, which cancels whatever the handler still waits for. So an asynchronous
 * handler puts what it waits for into one struct, sets state and release, and has no other clean-up. */
#ifndef API_REQUEST_H
#define API_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "gateway.h"
#include "net/http_server.h"

#define API_BODY_MAX (4 * 1024 * 1024)

struct container;

struct request {
	struct gateway *g;
	struct exchange *x;       /* borrowed; gone once answered */
	int version;              /* minor version of the API the client speaks: 41 for 1.41 */
	char *path;               /* decoded, without the version; ours */
	char *name;               /* what the pattern's '*' stood for, or ""; ours */
	void *state;              /* the handler's own */
	void (*release)(struct request *r); /* frees state; runs once, also when the client is gone */
	struct request_json *json;          /* a body on its way; ours */
};

/* Takes over the exchange's user pointer and its on_close. path and name are taken. */
struct request *request_new(struct gateway *g, struct exchange *x, int version, char *path, char *name);
void request_free(struct request *r); /* for whoever has ended the exchange: reply.c, hijackers */

/* The query: a string the caller frees, or NULL; Docker's boolean; a whole number. */
char *request_query(const struct request *r, const char *key);
bool request_flag(const struct request *r, const char *key);
/* 0 with *ret untouched if absent or empty; -1 with dockerd's sentence (ERR_INVALID). */
int request_int(const struct request *r, const char *key, int64_t *ret, struct err *err);
/* The same for a number that must be given, and for a time (since, until). *ret_given may be NULL. */
int request_need_int(const struct request *r, const char *key, int64_t *ret, struct err *err);
int request_time(const struct request *r, const char *key, int64_t *ret_ns, bool *ret_given, struct err *err);

/* The body as a JSON object, then fn; a body that is none is answered here. optional: a missing body
 * gives fn an empty object. The object is borrowed during fn. */
void request_json(struct request *r, bool optional, void (*fn)(struct request *r, json_t *body));
/* The body is read and dropped, then fn: before a hijack nothing of it may be left on the line. */
void request_drain(struct request *r, void (*fn)(struct request *r, size_t body_len));

/* The container the path names, or NULL after a 404 (or 400) answer: then r is gone. */
struct container *request_container(struct request *r);

#endif
