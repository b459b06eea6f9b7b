/* executable - one run of a program for what it prints: bounded in time (it and its children are killed) and in
 * size, without stdin, its stderr thrown away. Inside gateway/auth only. */
#ifndef AUTH_EXECUTABLE_H
#define AUTH_EXECUTABLE_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"

#define EXECUTABLE_OUTPUT_MAX (256 * 1024)

struct executable;
/* Once, never inside executable_start. err NULL: it ended with status 0; output is NUL-terminated, borrowed. */
typedef void executable_cb(void *ctx, const char *output, size_t len, const struct err *err);
struct executable *executable_start(uv_loop_t *loop, char **argv, char **env, uint64_t timeout_ms,
				    executable_cb *cb, void *ctx);
void executable_cancel(struct executable *x); /* killed, cb will not run; NULL is fine */

#endif
