/* proc - spawning, reaping, adopting; see proc.h. Loop thread only. */
#include "proc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <uthash.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/defer.h"

#define OUTPUT_MAX (1024 * 1024)

extern char **environ;

struct child {
	pid_t pid;
	proc_cb *cb; /* NULL: forgotten, or an orphan nobody has claimed yet */
	void *ctx;
	bool dead;
	int status;
	UT_hash_handle hh;
};

struct procs {
	uv_loop_t *loop;
	uv_signal_t sigchld;
	struct child *children;
	unsigned expecting; /* orphans that may yet be adopted */
};

static struct child *add_child(struct procs *p, pid_t pid, proc_cb *cb, void *ctx)
{
	struct child *c = xcalloc(1, sizeof *c);

	c->pid = pid;
	c->cb = cb;
	c->ctx = ctx;
	HASH_ADD(hh, p->children, pid, sizeof c->pid, c);
	return c;
}

static struct child *find_child(struct procs *p, pid_t pid)
{
	struct child *c;

	HASH_FIND(hh, p->children, &pid, sizeof pid, c);
	return c;
}

static void drop_child(struct procs *p, struct child *c)
{
	HASH_DEL(p->children, c);
	free(c);
}

static void on_sigchld(uv_signal_t *sig, int signum)
{
	struct procs *p = sig->data;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *c = find_child(p, pid);
		if (!c) {
			if (p->expecting) {
				c = add_child(p, pid, NULL, NULL);
				c->dead = true;
				c->status = status;
			}
			continue;
		}
		proc_cb *cb = c->cb;
		void *ctx = c->ctx;
		drop_child(p, c);
		if (cb)
			cb(ctx, status);
	}
}

struct procs *procs_new(uv_loop_t *loop, struct err *err)
{
	struct procs *p = xcalloc(1, sizeof *p);
	int rc;

	p->loop = loop;
	p->sigchld.data = p;
	uv_signal_init(loop, &p->sigchld);
	if ((rc = uv_signal_start(&p->sigchld, on_sigchld, SIGCHLD)) < 0) {
		err_sys(err, -rc, "watch SIGCHLD");
		uv_close((uv_handle_t *)&p->sigchld, NULL);
		loop_defer(loop, free, p);
		return NULL;
	}
	uv_unref((uv_handle_t *)&p->sigchld);
	return p;
}

static void procs_closed(uv_handle_t *h)
{
	free(h->data);
}

void procs_free(struct procs *p)
{
	struct child *c, *tmp;

	if (!p)
		return;
	HASH_ITER(hh, p->children, c, tmp)
		drop_child(p, c);
	uv_close((uv_handle_t *)&p->sigchld, procs_closed);
}

int proc_start(struct procs *p, const char *const argv[], int out_fd, int err_fd, proc_cb *cb,
	       void *ctx, pid_t *ret_pid, struct err *err)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	pid_t pid;

	/* posix_spawn and not fork: our pages may hold hundreds of MiB of log entries. */
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, out_fd, 1);
	posix_spawn_file_actions_adddup2(&files, err_fd, 2);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	int rc = posix_spawnp(&pid, argv[0], &files, &attr, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	if (rc)
		return err_sys(err, rc, "start %s", argv[0]);
	struct child *stale = find_child(p, pid); /* an unclaimed orphan whose number came round */
	if (stale)
		drop_child(p, stale);
	add_child(p, pid, cb, ctx);
	if (ret_pid)
		*ret_pid = pid;
	return 0;
}

void proc_expect_orphan(struct procs *p)
{
	p->expecting++;
}

void proc_settle_orphan(struct procs *p)
{
	struct child *c, *tmp;

	assert(p->expecting > 0);
	if (--p->expecting)
		return;
	HASH_ITER(hh, p->children, c, tmp)
		if (c->dead && !c->cb)
			drop_child(p, c);
}

struct late {
	proc_cb *cb;
	void *ctx;
	int status;
};

static void tell_late(void *p)
{
	struct late *l = p;

	l->cb(l->ctx, l->status);
	free(l);
}

void proc_adopt(struct procs *p, pid_t pid, proc_cb *cb, void *ctx)
{
	struct child *c = find_child(p, pid);

	assert(p->expecting > 0);
	if (!c) {
		add_child(p, pid, cb, ctx);
		return;
	}
	assert(c->dead);
	struct late *l = xmalloc(sizeof *l);
	*l = (struct late){ cb, ctx, c->status };
	drop_child(p, c);
	loop_defer(p->loop, tell_late, l);
}

/* ---- a tool, to its end ---- */

struct tool {
	struct procs *procs;
	pid_t pid;
	int fd[2];
	uv_poll_t poll[2];
	struct buf text[2];
	bool open[2];
	struct timer *deadline;
	int status;
	unsigned closing;
	proc_output_cb *cb;
	void *ctx;
};

static void tool_read(struct tool *t, int i)
{
	char chunk[16 * 1024];
	ssize_t n;

	while ((n = read(t->fd[i], chunk, sizeof chunk)) > 0)
		if (buf_room(&t->text[i]))
			buf_append(&t->text[i], chunk,
				   (size_t)n < buf_room(&t->text[i]) ? (size_t)n
								     : buf_room(&t->text[i]));
	if (n == 0)
		uv_poll_stop(&t->poll[i]);
}

static void on_tool_readable(uv_poll_t *h, int status, int events)
{
	struct tool *t = h->data;

	tool_read(t, h == &t->poll[1]);
}

static void tool_closed(uv_handle_t *h)
{
	struct tool *t = h->data;

	if (--t->closing)
		return;
	close(t->fd[0]);
	close(t->fd[1]);
	AUTO_FREE char *out = buf_detach(&t->text[0], NULL);
	AUTO_FREE char *err_text = buf_detach(&t->text[1], NULL);
	t->cb(t->ctx, t->status, out, err_text);
	free(t);
}

static void on_tool_exit(void *ctx, int status)
{
	struct tool *t = ctx;

	t->status = status;
	timer_cancel(&t->deadline);
	t->closing = 2;
	for (int i = 0; i < 2; i++) {
		tool_read(t, i);
		uv_close((uv_handle_t *)&t->poll[i], tool_closed);
	}
}

static void on_tool_late(void *p)
{
	struct tool *t = p;

	t->deadline = NULL;
	kill(t->pid, SIGKILL);
}

int proc_run(struct procs *p, const char *const argv[], uint64_t timeout_ms, proc_output_cb *cb,
	     void *ctx, struct err *err)
{
	struct tool *t = xcalloc(1, sizeof *t);
	int w[2];

	for (int i = 0; i < 2; i++) {
		int pipefd[2];
		if (pipe2(pipefd, O_CLOEXEC) < 0) {
			err_sys(err, errno, "pipe for %s", argv[0]);
			if (i)
				close(t->fd[0]), close(w[0]);
			free(t);
			return -1;
		}
		t->fd[i] = pipefd[0];
		w[i] = pipefd[1];
		fcntl(t->fd[i], F_SETFL, O_NONBLOCK);
	}
	t->procs = p;
	t->cb = cb;
	t->ctx = ctx;
	int rc = proc_start(p, argv, w[0], w[1], on_tool_exit, t, &t->pid, err);
	close(w[0]);
	close(w[1]);
	if (rc < 0) {
		close(t->fd[0]);
		close(t->fd[1]);
		free(t);
		return -1;
	}
	for (int i = 0; i < 2; i++) {
		buf_init(&t->text[i], OUTPUT_MAX);
		uv_poll_init(p->loop, &t->poll[i], t->fd[i]);
		t->poll[i].data = t;
		uv_poll_start(&t->poll[i], UV_READABLE, on_tool_readable);
	}
	t->deadline = timer_start(p->loop, timeout_ms, on_tool_late, t);
	return 0;
}
