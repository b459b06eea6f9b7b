/* worker - a function that may take its time, in a thread of its own: image layers are unpacked there.
 * What it writes to out_fd (a pipe) is offered to the loop as it comes, and waits while it is not taken.
 * It shares nothing with the loop but arg, which is its own until on_end. */
#ifndef IMAGE_WORKER_H
#define IMAGE_WORKER_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"

struct worker;

/* In the thread. 0, or -1 with err. A write that fails with EPIPE means that nobody wants it any more. */
typedef int worker_fn(void *arg, int out_fd, struct err *err);

struct worker_ops {
	/* How many of the n bytes were taken (0..n); for the rest call worker_resume. NULL: no output. */
	size_t (*on_output)(void *ctx, const uint8_t *p, size_t n);
	/* Last call, when all output was taken; the worker is gone, arg is released after it. */
	void (*on_end)(void *ctx, const struct err *err);
	void (*release)(void *arg);  /* from the loop, exactly once, also when cancelled */
};

/* NULL with err, and arg released. No callback runs inside the call. */
struct worker *worker_start(uv_loop_t *loop, worker_fn *fn, void *arg, const struct worker_ops *ops, void *ctx,
			    struct err *err);
void worker_resume(struct worker *w);
/* No more callbacks but release, which waits for the function to notice. NULL is fine. */
void worker_cancel(struct worker *w);

#endif
