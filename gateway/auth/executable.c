/* executable - a child in a session of its own, so that a kill reaches all it started. The report waits for both
 * its end and the end of its output; x lives until libuv has let go of every handle. */
#include "auth/executable.h"

#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/defer.h"

struct executable {
	uv_process_t process;
	uv_pipe_t out;
	struct timer *deadline;
	uint64_t timeout_ms;
	struct buf output;
	char *program;
	struct err err;          /* ERR_NONE so far */
	executable_cb *cb;       /* NULL once cancelled or told */
	void *ctx;
	int open_handles;
};

static void report(struct executable *x)
{
	executable_cb *cb = x->cb;

	x->cb = NULL;
	if (!cb)
		return;
	*buf_reserve(&x->output, 1) = '\0';
	if (x->err.kind == ERR_NONE)
		cb(x->ctx, (const char *)buf_head(&x->output), x->output.len, NULL);
	else
		cb(x->ctx, NULL, 0, &x->err);
}

static void on_closed(uv_handle_t *h)
{
	struct executable *x = h->data;

	if (--x->open_handles > 0)
		return;
	timer_cancel(&x->deadline);
	report(x);
	buf_release(&x->output);
	free(x->program);
	free(x);
}

static void close_handle(void *handle)
{
	if (!uv_is_closing(handle))
		uv_close(handle, on_closed);
}

static void fail(struct executable *x, const char *what)
{
	if (x->err.kind == ERR_NONE)
		err_set(&x->err, ERR_SYSTEM, "%s: %s", x->program, what);
}

static void kill_all(struct executable *x)
{
	if (uv_is_active((uv_handle_t *)&x->process))
		kill(-x->process.pid, SIGKILL); /* its exit closes the process handle */
	close_handle(&x->out);
}

static void on_exited(uv_process_t *p, int64_t status, int sig)
{
	struct executable *x = p->data;
	char what[64];

	if (sig)
		snprintf(what, sizeof(what), "killed by signal %d", sig);
	else
		snprintf(what, sizeof(what), "ended with status %d", (int)status);
	if (sig || status)
		fail(x, what);
	close_handle(&x->process);
}

static void on_deadline(void *ctx)
{
	struct executable *x = ctx;
	char what[64];

	x->deadline = NULL;
	snprintf(what, sizeof(what), "not done after %llu s, killed", (unsigned long long)x->timeout_ms / 1000);
	fail(x, what);
	kill_all(x);
}

static void on_room(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
	struct executable *x = h->data;
	size_t room = buf_room(&x->output) - 1, n = room < 4096 ? room : 4096; /* one byte is the NUL's */

	*buf = uv_buf_init(n ? (char *)buf_reserve(&x->output, n) : NULL, (unsigned)n);
}

static void on_output(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct executable *x = s->data;

	if (n > 0) {
		buf_commit(&x->output, (size_t)n);
	} else if (n == UV_ENOBUFS) {
		fail(x, "prints more than 256 KiB, killed");
		kill_all(x);
	} else if (n < 0) {
		if (n != UV_EOF)
			fail(x, uv_strerror((int)n));
		close_handle(&x->out);
	}
}

struct executable *executable_start(uv_loop_t *loop, char **argv, char **env, uint64_t timeout_ms,
				    executable_cb *cb, void *ctx)
{
	struct executable *x = xcalloc(1, sizeof(*x));
	uv_stdio_container_t stdio[3] = {
		{.flags = UV_IGNORE},
		{.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&x->out},
		{.flags = UV_IGNORE},
	};
	uv_process_options_t opt = {
		.exit_cb = on_exited, .file = argv[0], .args = argv, .env = env, .flags = UV_PROCESS_DETACHED,
		.stdio_count = 3, .stdio = stdio,
	};
	int rc;

	x->cb = cb;
	x->ctx = ctx;
	x->timeout_ms = timeout_ms;
	x->open_handles = 2;
	x->program = xstrdup(argv[0]);
	buf_init(&x->output, EXECUTABLE_OUTPUT_MAX + 1);
	uv_pipe_init(loop, &x->out, 0);
	x->process.data = x->out.data = x;
	rc = uv_spawn(loop, &x->process, &opt);
	if (rc < 0) {
		fail(x, uv_strerror(rc));
		close_handle(&x->out);
		close_handle(&x->process); /* initialised by uv_spawn also when that fails */
		return x;
	}
	x->deadline = timer_start(loop, timeout_ms, on_deadline, x);
	uv_read_start((uv_stream_t *)&x->out, on_room, on_output);
	return x;
}

void executable_cancel(struct executable *x)
{
	if (!x)
		return;
	x->cb = NULL;
	timer_cancel(&x->deadline);
	kill_all(x);
}
