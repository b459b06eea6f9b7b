/* reply - answers: the only place where an error kind becomes an HTTP status.
 * Every function that ends the exchange also frees the request: r is gone after it. */
#ifndef API_REPLY_H
#define API_REPLY_H

#include <jansson.h>
#include <stdbool.h>

#include "api/request.h"
#include "base/err.h"

void reply_json(struct request *r, int status, json_t *body); /* body is stolen */
void reply_empty(struct request *r, int status);              /* 200, 201, 204, 304 without a body */
void reply_text(struct request *r, int status, const char *text);
void reply_err(struct request *r, const struct err *err);     /* {"message": …} */
void reply_error(struct request *r, enum err_kind kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Streams: the head at once, then one JSON object a line (stolen), then the end. False: stop until the
 * exchange drains. */
void reply_begin(struct request *r, const char *content_type);
bool reply_line(struct request *r, json_t *line);
void reply_end(struct request *r);

/* A JSON string of any bytes: what is not UTF-8 becomes U+FFFD. NULL gives "". */
json_t *reply_string(const char *s);

#endif
