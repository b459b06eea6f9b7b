/* container - see container.h. `crun run --detach` leaves the container's first process as our
 * child (we are the namespace's process 1), so its wait status is the kernel's own word. */
#include "container.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/parse.h"
#include "fs.h"
#include "net/defer.h"
#include "probe.h"

#define PIPE_BYTES (1024 * 1024)
#define READ_BYTES (64 * 1024)
#define READS_PER_EVENT 8      /* then the loop serves others */
#define DRAIN_TIMEOUT_MS 3000  /* somebody outside the container may hold its pipe */

struct output {
	uv_poll_t poll;
	int fd;
	bool grown;                /* its pipe has been found full once */
	struct container *c;       /* NULL once the container gave up on it */
	struct log_lines lines;
};

static void check_exited(struct container *c)
{
	if (!c->exited || c->open_outputs)
		return;
	timer_cancel(&c->drain_timer);
	c->state = CONTAINER_ENDED;
	c->cb(c->ctx, c, CONTAINER_EXITED, NULL);
}

/* ---- output ---- */

static void output_closed(uv_handle_t *h)
{
	struct output *o = h->data;

	close(o->fd);
	free(o);
}

static void output_end(struct output *o)
{
	struct container *c = o->c;

	log_lines_end(&o->lines);
	uv_close((uv_handle_t *)&o->poll, output_closed);
	c->output[o == c->output[1]] = NULL;
	c->open_outputs--;
	o->c = NULL;
}

static void on_output(uv_poll_t *h, int status, int events)
{
	static char chunk[READ_BYTES]; /* loop thread only */
	struct output *o = h->data;
	struct container *c = o->c;
	ssize_t n = 0;

	for (int i = 0; i < READS_PER_EVENT; i++) {
		n = read(o->fd, chunk, sizeof chunk);
		if (n <= 0)
			break;
		log_lines_feed(&o->lines, chunk, (size_t)n);
		if (n == sizeof chunk && !o->grown) {
			o->grown = true;
			(void)fcntl(o->fd, F_SETPIPE_SZ, PIPE_BYTES); /* else 64 KiB: slower, not wrong */
		}
	}
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	output_end(o);
	check_exited(c);
}

static void on_drain_timeout(void *p)
{
	struct container *c = p;

	c->drain_timer = NULL;
	for (int i = 0; i < 2; i++)
		if (c->output[i])
			output_end(c->output[i]);
	check_exited(c);
}

/* A pipe whose lines go to stream; returns the end for the container. */
static int output_open(struct container *c, enum log_stream stream, struct err *err)
{
	int fd[2];

	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	fcntl(fd[0], F_SETFL, O_NONBLOCK);
	struct output *o = xcalloc(1, sizeof *o);
	o->fd = fd[0];
	o->c = c;
	log_lines_init(&o->lines, c->emu->logs, c->source, stream);
	uv_poll_init(c->emu->loop, &o->poll, o->fd);
	o->poll.data = o;
	uv_poll_start(&o->poll, UV_READABLE, on_output);
	c->output[stream == LOG_STDERR] = o;
	c->open_outputs++;
	return fd[1];
}

/* ---- life ---- */

static void on_exit_status(void *ctx, int status)
{
	struct container *c = ctx;

	c->exited = true;
	c->pid = 0;
	c->status = status;
	/* crun's own record of it; a file or two on our tmpfs, not worth a process */
	AUTO_FREE char *record = xasprintf("%s/crun/%s", c->emu->run_dir, c->id);
	fs_remove_tree(record);
	if (c->open_outputs)
		c->drain_timer = timer_start(c->emu->loop, DRAIN_TIMEOUT_MS, on_drain_timeout, c);
	check_exited(c);
}

static void start_failed(struct container *c, const char *why)
{
	for (int i = 0; i < 2; i++)
		if (c->output[i])
			output_end(c->output[i]);
	c->state = CONTAINER_ENDED;
	c->cb(c->ctx, c, CONTAINER_START_FAILED, why);
}

static pid_t read_pid(const struct container *c)
{
	AUTO_FREE char *path = xasprintf("%s/pid", c->bundle);
	AUTO_FREE char *text = fs_read(path, 64, NULL, NULL);
	int64_t pid;

	return text && parse_i64(text, &pid) == 0 && pid > 1 ? (pid_t)pid : 0;
}

/* What crun wrote to its log: "2024-01-01T00:00:00.000000Z: the sentence" */
static void crun_complaint(const struct container *c, int status, char *out, size_t size)
{
	AUTO_FREE char *path = xasprintf("%s/crun.log", c->bundle);
	AUTO_FREE char *text = fs_read(path, 64 * 1024, NULL, NULL);
	const char *at = text ? strstr(text, "Z: ") : NULL;

	snprintf(out, size, "%s", at ? at + 3 : text && *text ? text : "the container runtime failed");
	out[strcspn(out, "\n")] = 0;
}

static void on_crun_exit(void *ctx, int status)
{
	struct container *c = ctx;
	pid_t pid = status == 0 ? read_pid(c) : 0;

	if (!pid) {
		char why[512];
		crun_complaint(c, status, why, sizeof why);
		proc_settle_orphan(c->emu->procs);
		start_failed(c, why);
		return;
	}
	c->pid = pid;
	c->state = CONTAINER_RUNNING;
	proc_adopt(c->emu->procs, pid, on_exit_status, c);
	proc_settle_orphan(c->emu->procs);
	c->cb(c->ctx, c, CONTAINER_STARTED, NULL);
	if (c->signal_when_started && c->pid)
		kill(c->pid, c->signal_when_started);
}

void container_init(struct container *c, struct emulator *emu, const json_t *spec, char *id,
		    char *bundle, container_cb *cb, void *ctx)
{
	const char *name = json_string_value(json_object_get(spec, "name"));

	*c = (struct container){ .emu = emu, .spec = spec, .id = id, .bundle = bundle, .cb = cb,
				 .ctx = ctx };
	c->name = xstrdup(name ? name : "worker");
}

void container_release(struct container *c)
{
	assert(c->state == CONTAINER_WAITING || c->state == CONTAINER_ENDED);
	image_request_cancel(c->request);
	probe_cancel(c->probe);
	timer_cancel(&c->drain_timer);
	log_source_unref(c->source);
	free(c->name);
	free(c->id);
	free(c->bundle);
	*c = (struct container){ 0 };
}

int container_start(struct container *c, struct err *err)
{
	AUTO_FREE char *root = xasprintf("%s/crun", c->emu->run_dir);
	AUTO_FREE char *log = xasprintf("%s/crun.log", c->bundle);
	AUTO_FREE char *pid = xasprintf("%s/pid", c->bundle);
	const char *const argv[] = { "crun", "--cgroup-manager=disabled", "--root", root, "--log", log,
				     "run", "--detach", "--pid-file", pid, "--bundle", c->bundle, c->id,
				     NULL };
	AUTO_CLOSE int out = output_open(c, LOG_STDOUT, err);
	AUTO_CLOSE int errfd = out < 0 ? -1 : output_open(c, LOG_STDERR, err);

	c->state = CONTAINER_STARTING;
	if (out >= 0 && errfd >= 0 &&
	    proc_start(c->emu->procs, argv, out, errfd, on_crun_exit, c, NULL, err) == 0) {
		proc_expect_orphan(c->emu->procs);
		return 0;
	}
	for (int i = 0; i < 2; i++)
		if (c->output[i])
			output_end(c->output[i]);
	c->state = CONTAINER_ENDED;
	return -1;
}

void container_signal(struct container *c, int sig)
{
	if (c->state == CONTAINER_STARTING && c->signal_when_started != SIGKILL)
		c->signal_when_started = sig;
	else if (c->state == CONTAINER_RUNNING && c->pid)
		kill(c->pid, sig);
}
