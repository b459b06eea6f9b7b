/* err - how a function says what went wrong.
 *
 * A failing function returns -1 or NULL and fills the struct err its caller passed; on success it
 * leaves it untouched. The leaf names the thing ("open /dev/ptmx: Permission denied"), each caller
 * adds its intention once with err_wrap(), so the sentence reads outside-in:
 * "start exec 3f2a: open /dev/ptmx: Permission denied".
 * Fixed size: an error can neither leak nor fail. NULL is accepted where the caller does not care. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define ERR_MSG_MAX 1024

/* What kind of failure; gateway/api/reply.c alone turns a kind into an HTTP status. */
enum err_kind {
	ERR_NONE = 0,
	ERR_INVALID,      /* the caller's input is wrong: 400 */
	ERR_DENIED,       /* who are you: 401 */
	ERR_FORBIDDEN,    /* you may not: 403 */
	ERR_NOT_FOUND,    /* 404 */
	ERR_CONFLICT,     /* 409 */
	ERR_NOT_MODIFIED, /* already so: 304 */
	ERR_LIMIT,        /* a documented bound was reached: 413 or 429 */
	ERR_TIMEOUT,      /* a deadline passed: 504 */
	ERR_UPSTREAM,     /* Google, a registry or an agent answered with an error: 500 */
	ERR_UNAVAILABLE,  /* nobody answers right now: 503 */
	ERR_UNSUPPORTED,  /* cannot be had on Cloud Run: 501 */
	ERR_SYSTEM,       /* a system call failed: 500 */
};

struct err {
	enum err_kind kind;
	int code; /* errno for ERR_SYSTEM, HTTP status for ERR_UPSTREAM, else 0 */
	char msg[ERR_MSG_MAX];
};

/* All three return -1, so that "return err_set(...)" reads well. */
int err_set(struct err *err, enum err_kind kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int err_sys(struct err *err, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 3, 4))); /* appends ": <strerror>" */
int err_wrap(struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3))); /* prepends "<text>: ", keeps kind and code */

#endif
