/* worker - see worker.h. The thread closes its end of the pipe last, so that all of its output is known
 * to be there when it has ended; cancelling closes ours, and its next write fails. */
#include "image/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/defer.h"

#define PIECE (64 * 1024)
#define WORKERS_MAX 16 /* threads at a time */

struct worker {
	uv_loop_t *loop;
	worker_fn *fn;
	void *arg;
	const struct worker_ops *ops;
	void *ctx;
	uv_thread_t thread;
	uv_poll_t poll;          /* of our end of the pipe */
	uv_async_t finished;     /* the thread's last deed */
	int in, out;             /* our end and the thread's */
	unsigned refs;           /* poll, finished, a queued resume */
	bool done;               /* the thread has been joined */
	bool eof, queued;
	bool over;               /* no callbacks any more */
	size_t held_off, held_len;
	int rc;
	struct err err;
	uint8_t held[PIECE];     /* read, but not taken */
};

static unsigned n_workers; /* of the one loop */

static void run(void *p)
{
	struct worker *w = p;

	w->rc = w->fn(w->arg, w->out, &w->err);
	close(w->out);
	uv_async_send(&w->finished);
}

/* ---- the end ------------------------------------------------------------------------------------- */

static void unref(struct worker *w)
{
	if (--w->refs)
		return;
	w->ops->release(w->arg);
	n_workers--;
	free(w);
}

static void poll_closed(uv_handle_t *h)
{
	struct worker *w = h->data;

	close(w->in);
	unref(w);
}

static void finished_closed(uv_handle_t *h)
{
	unref(h->data);
}

static void end_if_over(struct worker *w)
{
	if (w->over || !w->done || !w->eof || w->held_len)
		return;
	w->over = true;
	w->ops->on_end(w->ctx, w->rc < 0 ? &w->err : NULL);
	uv_close((uv_handle_t *)&w->poll, poll_closed);
	uv_close((uv_handle_t *)&w->finished, finished_closed);
}

static void on_finished(uv_async_t *a)
{
	struct worker *w = a->data;

	uv_thread_join(&w->thread);
	w->done = true;
	if (w->over)
		uv_close((uv_handle_t *)a, finished_closed);
	else
		end_if_over(w);
}

/* ---- output -------------------------------------------------------------------------------------- */

static void offer(struct worker *w)
{
	while (w->held_len && !w->over) {
		size_t taken = w->held_len;

		if (w->ops->on_output)
			taken = w->ops->on_output(w->ctx, w->held + w->held_off, w->held_len);
		w->held_off += taken;
		w->held_len -= taken;
		if (taken == 0)
			return;
	}
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct worker *w = poll->data;
	ssize_t n = read(w->in, w->held, PIECE);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	w->held_off = 0;
	w->held_len = n > 0 ? (size_t)n : 0;
	w->eof = n <= 0;
	offer(w);
	if (!w->over && (w->held_len || w->eof))
		uv_poll_stop(poll);
	end_if_over(w);
}

static void resumed(void *p)
{
	struct worker *w = p;

	w->queued = false;
	offer(w);
	if (!w->over && !w->held_len && !w->eof)
		uv_poll_start(&w->poll, UV_READABLE, on_readable);
	end_if_over(w);
	unref(w);
}

void worker_resume(struct worker *w)
{
	if (w->queued || w->over)
		return;
	w->queued = true;
	w->refs++;
	loop_defer(w->loop, resumed, w);
}

/* ---- life ---------------------------------------------------------------------------------------- */

void worker_cancel(struct worker *w)
{
	if (!w || w->over)
		return;
	w->over = true;
	uv_close((uv_handle_t *)&w->poll, poll_closed);
	if (w->done)
		uv_close((uv_handle_t *)&w->finished, finished_closed);
}

struct worker *worker_start(uv_loop_t *loop, worker_fn *fn, void *arg, const struct worker_ops *ops, void *ctx,
			    struct err *err)
{
	struct worker *w;
	int fds[2];

	if (n_workers >= WORKERS_MAX || pipe2(fds, O_CLOEXEC) < 0) {
		ops->release(arg);
		err_set(err, ERR_LIMIT, "too many files of images are being read at once");
		return NULL;
	}
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	w = xcalloc(1, sizeof(*w));
	*w = (struct worker){ .loop = loop, .fn = fn, .arg = arg, .ops = ops, .ctx = ctx, .in = fds[0],
			      .out = fds[1], .refs = 2 };
	n_workers++;
	uv_poll_init(loop, &w->poll, w->in);
	uv_async_init(loop, &w->finished, on_finished);
	w->poll.data = w->finished.data = w;
	uv_poll_start(&w->poll, UV_READABLE, on_readable);
	if (uv_thread_create(&w->thread, run, w) == 0)
		return w;
	close(w->out);
	w->over = true;
	uv_close((uv_handle_t *)&w->poll, poll_closed);
	uv_close((uv_handle_t *)&w->finished, finished_closed);
	err_set(err, ERR_SYSTEM, "no thread for reading an image");
	return NULL;
}
