/* spawn - see spawn.h. */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"
#include "user.h"

#define CHILD_STACK (64 * 1024)
#define CANDIDATES_MAX 256 /* directories of a PATH that are tried */
#define CODE_NOT_EXECUTABLE 126
#define CODE_NOT_FOUND 127

enum stage { STAGE_STDIO, STAGE_WORKDIR, STAGE_USER, STAGE_EXEC };

/* All that the child needs, and the two words it answers with. */
struct child {
	char **argv, **envp;
	char **candidates;       /* paths to try in order; NULL-terminated */
	bool searched;           /* they come from PATH */
	const char *workdir;
	int stdio[3];
	bool tty, switch_user;
	struct user user;
	const struct rlimit *nofile;
	enum stage stage;        /* set by the child */
	int error;               /* set by the child; 0 = exec'ed */
};

/* ---- in the child: system calls only, raw ones where the C library would reach for threads ------ */

static int child_fail(struct child *c, enum stage stage)
{
	c->stage = stage;
	c->error = errno;
	return CODE_NOT_FOUND;
}

static int child_become_user(const struct child *c)
{
	const struct user *u = &c->user;

	if (!c->switch_user)
		return 0;
	if (syscall(SYS_setgroups, u->n_groups, u->groups) < 0 ||
	    syscall(SYS_setresgid, u->gid, u->gid, u->gid) < 0 ||
	    syscall(SYS_setresuid, u->uid, u->uid, u->uid) < 0)
		return -1;
	return 0;
}

/* By system call: the C library keeps 32 and 33 to itself, and would pass on an ignored one. */
static void child_default_signals(void)
{
	const struct {
		void (*handler)(int);
		unsigned long flags;
		void (*restorer)(void);
		uint64_t mask;
	} dfl = {SIG_DFL, 0, NULL, 0};
	sigset_t none;

	for (int sig = 1; sig <= 64; sig++)
		syscall(SYS_rt_sigaction, sig, &dfl, NULL, sizeof(dfl.mask));
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* What execvp does: a candidate that is missing or may not be executed hides no later one. */
static int child_exec(const struct child *c)
{
	for (char **path = c->candidates; *path; path++) {
		execve(*path, c->argv, c->envp);
		if (!c->searched)
			return -1;
		if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
			return -1;
	}
	errno = ENOENT;
	return -1;
}

__attribute__((no_sanitize("address"))) static int child_main(void *arg)
{
	struct child *c = arg;

	setsid();
	for (int fd = 0; fd < 3; fd++)
		if (dup2(c->stdio[fd], fd) < 0)
			return child_fail(c, STAGE_STDIO);
	if (c->tty && ioctl(0, TIOCSCTTY, 0) < 0)
		return child_fail(c, STAGE_STDIO);
	umask(022);
	if (c->nofile)
		syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, c->nofile, NULL);
	/* As root first, then as the user: either may be the one who can enter. */
	bool inside = chdir(c->workdir) == 0;
	if (!inside && errno != EACCES)
		return child_fail(c, STAGE_WORKDIR);
	if (child_become_user(c) < 0)
		return child_fail(c, STAGE_USER);
	if (!inside && chdir(c->workdir) < 0)
		return child_fail(c, STAGE_WORKDIR);
	syscall(SYS_close_range, 3, ~0U, 0); /* all of ours are CLOEXEC; this is for inherited ones */
	child_default_signals();
	child_exec(c);
	return child_fail(c, STAGE_EXEC);
}

/* ---- before and after -------------------------------------------------------------------------- */

/* Every signal is blocked, so that no handler of ours runs in the child on the shared memory. */
static pid_t run_child(struct child *c)
{
	static char stack[CHILD_STACK] __attribute__((aligned(16)));
	sigset_t all, before;
	pid_t pid;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = clone(child_main, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, c);
	int saved = errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = saved;
	return pid;
}

/* Go's spelling of an errno: the message of the C library with a small first letter. */
static const char *reason(int errnum, char out[128])
{
	const char *text = strerror(errnum);
	size_t n = strnlen(text, 127);

	memcpy(out, text, n);
	out[n] = '\0';
	if (out[0] >= 'A' && out[0] <= 'Z')
		out[0] = (char)(out[0] - 'A' + 'a');
	return out;
}

static int code_of(int errnum)
{
	return errnum == ENOENT ? CODE_NOT_FOUND : CODE_NOT_EXECUTABLE;
}

static char *join_path(const char *dir, const char *name)
{
	return *name == '/' ? xstrdup(name) : xasprintf("%s/%s", dir, name);
}

/* Which sentence fits a failed execve: the same errno has several causes. */
static int explain_exec(const struct child *c, const char *name, int *ret_code, struct err *err)
{
	char text[128];
	struct stat st;

	*ret_code = code_of(c->error);
	if (c->searched && c->error == ENOENT)
		return err_set(err, ERR_NOT_FOUND,
			       "exec: \"%.256s\": executable file not found in $PATH", name);
	if (!c->searched) {
		AUTO_FREE char *path = join_path(c->workdir, name);

		if (stat(path, &st) < 0 && c->error == errno)
			return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_INVALID,
				       "exec: \"%.256s\": stat %.256s: %s", name, name,
				       reason(c->error, text));
		/* A directory too: this text, and no other, is 126 to every version of the client. */
		if (c->error == EACCES)
			return err_set(err, ERR_INVALID, "exec: \"%.256s\": permission denied", name);
	}
	/* The file is there: its format, or the interpreter its first line names, is what is wrong. */
	return err_set(err, ERR_INVALID, "exec %.256s: %s", name, reason(c->error, text));
}

static int explain(const struct child *c, const struct exec_spec *spec, int *ret_code,
		   struct err *err)
{
	char text[128];

	*ret_code = code_of(c->error);
	switch (c->stage) {
	case STAGE_WORKDIR: /* 126 whatever the cause, as runc */
		*ret_code = CODE_NOT_EXECUTABLE;
		return err_set(err, ERR_INVALID, "chdir to cwd (\"%.256s\") failed: %s", c->workdir,
			       reason(c->error, text));
	case STAGE_USER:
		*ret_code = CODE_NOT_EXECUTABLE;
		return err_set(err, ERR_FORBIDDEN, "cannot become user \"%.64s\" (uid %u, gid %u): %s",
			       spec->user, c->user.uid, c->user.gid, reason(c->error, text));
	case STAGE_STDIO:
		return err_set(err, ERR_SYSTEM, "set up stdio: %s", reason(c->error, text));
	case STAGE_EXEC:
		break;
	}
	return explain_exec(c, spec->argv.v[0], ret_code, err);
}

/* argv[0] with a slash is itself the only candidate; else one per directory of the process' PATH. */
static void find_candidates(const struct exec_spec *spec, struct child *c, struct strv *ret)
{
	const char *name = spec->argv.v[0];
	const char *path = strv_env_get(&spec->env, "PATH");
	AUTO_FREE char *dirs = xstrdup(path ? path : SPAWN_PATH_DEFAULT);
	char *rest = dirs, *dir;

	c->searched = !strchr(name, '/');
	if (!c->searched)
		strv_add(ret, name);
	else if (*name)
		while ((dir = strsep(&rest, ":")) && ret->n < CANDIDATES_MAX)
			strv_take(ret, xasprintf("%s/%s", *dir ? dir : ".", name));
	if (!ret->v) /* "" is found nowhere: an empty list, not NULL */
		ret->v = xcalloc(1, sizeof(*ret->v));
	c->candidates = ret->v;
}

static int resolve_user(const struct spawn_options *opt, struct child *c, struct err *err)
{
	const char *user = opt->spec->user;

	if (!user || !*user)
		return 0;
	if (user_resolve(opt->passwd_file, opt->group_file, user, &c->user, err) < 0)
		return -1;
	c->switch_user = c->user.uid != geteuid() || c->user.gid != getegid() || geteuid() == 0;
	return 0;
}

/* The environment as given, with what Docker adds: HOME by the user, TERM with a terminal. */
static void complete_env(const struct spawn_options *opt, const struct child *c, struct strv *ret)
{
	strv_copy(ret, &opt->spec->env);
	if (!strv_env_get(ret, "HOME")) {
		AUTO_FREE char *home = c->user.home ? xstrdup(c->user.home)
						    : user_home(opt->passwd_file, geteuid());
		strv_take(ret, xasprintf("HOME=%s", home));
	}
	if (opt->spec->tty && !strv_env_get(ret, "TERM"))
		strv_add(ret, "TERM=xterm");
	if (!ret->v)
		ret->v = xcalloc(1, sizeof(*ret->v));
}

static int make_directories(const char *path, struct err *err)
{
	AUTO_FREE char *copy = xstrdup(path);
	char text[128];

	for (char *p = copy + 1;; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
			return err_set(err, ERR_INVALID, "mkdir %.256s: %s", path, reason(errno, text));
		if (c == '\0')
			return 0;
		*p = c;
	}
}

static void close_pair(int pair[2])
{
	for (int i = 0; i < 2; i++) {
		if (pair[i] >= 0)
			close(pair[i]);
		pair[i] = -1;
	}
}

/* A pipe whose end `ours` is non-blocking. The user must own the other: a program may open
 * /dev/stdout, which is the pipe itself. */
static int make_pipe(int pair[2], int ours, const struct child *c, struct err *err)
{
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	fcntl(pair[ours], F_SETFL, O_NONBLOCK);
	if (c->switch_user)
		(void)!fchown(pair[!ours], c->user.uid, c->user.gid);
	return 0;
}

/* in[0], out[1], errout[1] are the child's ends; the others ours. */
struct plumbing {
	int in[2], out[2], errout[2];
};

static int plumb_pipes(const struct exec_spec *spec, const struct child *c, struct plumbing *p,
		       struct err *err)
{
	if (spec->open_stdin && !spec->detach) {
		if (make_pipe(p->in, 1, c, err) < 0)
			return -1;
	} else {
		p->in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (p->in[0] < 0) { /* an image without /dev: a pipe that is at its end does as well */
			if (make_pipe(p->in, 1, c, err) < 0)
				return -1;
			close(p->in[1]);
			p->in[1] = -1;
		}
	}
	if (spec->detach) {
		p->out[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
		p->errout[1] = p->out[1] < 0 ? -1 : fcntl(p->out[1], F_DUPFD_CLOEXEC, 3);
		return p->errout[1] < 0 ? err_sys(err, errno, "open /dev/null") : 0;
	}
	if (make_pipe(p->out, 0, c, err) < 0 || make_pipe(p->errout, 0, c, err) < 0)
		return -1;
	return 0;
}

static int plumb_terminal(const struct exec_spec *spec, const struct child *c, struct plumbing *p,
			  struct err *err)
{
	struct winsize size = {.ws_row = spec->rows, .ws_col = spec->cols};
	int unlock = 0;

	p->out[0] = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (p->out[0] < 0)
		p->out[0] = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (p->out[0] < 0)
		return err_sys(err, errno, "open /dev/ptmx");
	if (ioctl(p->out[0], TIOCSPTLCK, &unlock) < 0)
		return err_sys(err, errno, "unlock the terminal");
	p->out[1] = ioctl(p->out[0], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (p->out[1] < 0)
		return err_sys(err, errno, "open the terminal");
	if (size.ws_row && size.ws_col)
		ioctl(p->out[0], TIOCSWINSZ, &size);
	if (c->switch_user)
		(void)!fchown(p->out[1], c->user.uid, (gid_t)-1);
	/* One descriptor to read and one to write: the poller knows each by itself. */
	p->in[1] = fcntl(p->out[0], F_DUPFD_CLOEXEC, 3);
	p->in[0] = fcntl(p->out[1], F_DUPFD_CLOEXEC, 3);
	p->errout[1] = fcntl(p->out[1], F_DUPFD_CLOEXEC, 3);
	if (p->in[1] < 0 || p->in[0] < 0 || p->errout[1] < 0)
		return err_sys(err, errno, "open the terminal");
	return 0;
}

int spawn(const struct spawn_options *opt, struct spawned *ret, int *ret_code, struct err *err)
{
	const struct exec_spec *spec = opt->spec;
	struct plumbing p = {{-1, -1}, {-1, -1}, {-1, -1}};
	struct strv env = {0}, candidates = {0};
	struct child c = {.argv = spec->argv.v, .tty = spec->tty, .nofile = opt->nofile};
	int rc = -1;

	*ret_code = CODE_NOT_EXECUTABLE;
	if (spec->argv.n == 0)
		return err_set(err, ERR_INVALID, "no command specified");
	c.workdir = spec->workdir && *spec->workdir ? spec->workdir : "/";
	if (resolve_user(opt, &c, err) < 0)
		goto out;
	if (opt->make_workdir && make_directories(c.workdir, err) < 0)
		goto out;
	complete_env(opt, &c, &env);
	c.envp = env.v;
	find_candidates(spec, &c, &candidates);
	if ((spec->tty ? plumb_terminal(spec, &c, &p, err) : plumb_pipes(spec, &c, &p, err)) < 0)
		goto out;
	c.stdio[0] = p.in[0];
	c.stdio[1] = p.out[1];
	c.stdio[2] = p.errout[1];

	if (opt->watch) {
		*ret = (struct spawned){0, steal_fd(&p.in[1]), steal_fd(&p.out[0]), steal_fd(&p.errout[0])};
		opt->watch(opt->ctx, ret);
	}
	ret->pid = run_child(&c);
	if (ret->pid < 0) {
		err_sys(err, errno, "clone");
		goto out;
	}
	if (c.error) {
		waitpid(ret->pid, NULL, 0);
		explain(&c, spec, ret_code, err);
		goto out;
	}
	ret->in = steal_fd(&p.in[1]); /* -1 each when the watcher has them */
	ret->out = steal_fd(&p.out[0]);
	ret->errout = steal_fd(&p.errout[0]);
	rc = 0;
out:
	close_pair(p.in);
	close_pair(p.out);
	close_pair(p.errout);
	user_release(&c.user);
	strv_release(&env);
	strv_release(&candidates);
	return rc;
}
