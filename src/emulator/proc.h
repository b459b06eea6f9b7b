/* proc - child processes, and orphans that become ours.
 *
 * The emulator is process 1 of its own PID namespace (main.c), so a container that `crun run
 * --detach` leaves behind is re-parented here and its true wait status (exit code or signal) can be
 * had by adopting it. This module therefore reaps every child; libuv's uv_spawn must not be used
 * beside it. */
#ifndef EMULATOR_PROC_H
#define EMULATOR_PROC_H

#include <sys/types.h>
#include <uv.h>

#include "base/err.h"

struct procs;

/* status as waitpid() gives it. Never called inside the call that registered it. */
typedef void proc_cb(void *ctx, int status);

struct procs *procs_new(uv_loop_t *loop, struct err *err);
void procs_free(struct procs *p);

/* Start argv with stdin from /dev/null; stdout and stderr fds are the caller's and stay open. */
int proc_start(struct procs *p, const char *const argv[], int out_fd, int err_fd, proc_cb *cb,
	       void *ctx, pid_t *ret_pid, struct err *err);

/* Run a tool to its end: cb gets its status and what it printed on stdout and on stderr, up to
 * 1 MiB each. SIGKILL after timeout_ms. */
typedef void proc_output_cb(void *ctx, int status, const char *out, const char *err_text);
int proc_run(struct procs *p, const char *const argv[], uint64_t timeout_ms, proc_output_cb *cb,
	     void *ctx, struct err *err);

/* Between expect and settle the statuses of unknown children are kept, because the orphan may end
 * before its pid is known. */
void proc_expect_orphan(struct procs *p);
void proc_settle_orphan(struct procs *p);
/* Be told when pid ends (it may already have). Call between expect and settle. */
void proc_adopt(struct procs *p, pid_t pid, proc_cb *cb, void *ctx);

#endif
