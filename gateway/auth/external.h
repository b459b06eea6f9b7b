/* external - workload identity federation: an identity of somewhere else for a token of Google's (AIP-4117).
 * Inside gateway/auth only. Where the identity comes from: external.c (file, url), external_aws.c,
 * external_executable.c. */
#ifndef AUTH_EXTERNAL_H
#define AUTH_EXTERNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

struct adc;
struct aws;
struct fetch;

int external_check(const struct adc *a, struct err *err);

/* ---- for the sources: --- */
void external_exchange(struct fetch *f, const char *subject_token); /* the identity is there */

void aws_start(struct fetch *f);
void aws_free(struct aws *a); /* NULL is fine */
int aws_check(const struct adc *a, struct err *err);

void external_executable_start(struct fetch *f);
int external_executable_check(const struct adc *a, struct err *err);
/* What an executable (or its output file) says, as of now_s: the subject token the caller frees, or NULL.
 * ERR_NOT_FOUND: only that it has ended, or has no end although need_end. */
char *external_executable_read(const char *text, size_t len, int64_t now_s, bool need_end, struct err *err);

/* Amazon's Signature Version 4 of a request without a body, as the JSON value that Google's STS wants:
 * {"url", "method", "headers": [{"key", "value"}]}. Pure. */
struct aws_request {
	const char *method, *url;          /* https:// */
	const char *region, *service;      /* service NULL: the host's first label */
	const char *key_id, *secret, *session_token; /* the last one NULL: permanent keys */
	int64_t now_s;
	struct strv headers;               /* "name: value", signed as well; names in lower case */
};
json_t *aws_sign(const struct aws_request *q);

#endif
