/* agent_spawn - real processes: what they find, and what is said when they cannot start. */
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/agent/spawn.h"
#include "base/mem.h"

#define COMMAND(...) command((const char *[]){__VA_ARGS__, NULL})

static struct exec_spec command(const char *const *argv)
{
	struct exec_spec s = {0};

	for (; *argv; argv++)
		strv_add(&s.argv, *argv);
	strv_add(&s.env, "PATH=/usr/bin:/bin");
	return s;
}

static struct spawn_options options(const struct exec_spec *s)
{
	return (struct spawn_options){.spec = s, .passwd_file = "/etc/passwd",
				      .group_file = "/etc/group"};
}

/* Everything up to the end of fd, within 10 s. */
static char *read_all(int fd)
{
	char *text = xcalloc(1, 65536);
	size_t n = 0;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t got;

		cr_assert_gt(poll(&p, 1, 10000), 0);
		got = read(fd, text + n, 65535 - n);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close(fd);
	return text;
}

/* Run it, take the exit status, and return what it wrote to stdout (or the terminal). */
static char *run(struct exec_spec *s, int *ret_status)
{
	struct spawn_options o = options(s);
	struct spawned p;
	struct err err = {0};
	char *text;
	int code;

	cr_assert_eq(spawn(&o, &p, &code, &err), 0, "%s", err.msg);
	text = read_all(p.out);
	if (p.errout >= 0)
		close(p.errout);
	if (p.in >= 0)
		close(p.in);
	cr_assert_eq(waitpid(p.pid, ret_status, 0), p.pid);
	exec_spec_release(s);
	return text;
}

static void prints(struct exec_spec s, const char *expected)
{
	int status;
	AUTO_FREE char *text = run(&s, &status);

	cr_assert_str_eq(text, expected);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void fails(struct exec_spec s, int code, const char *sentence)
{
	struct spawn_options o = options(&s);
	struct spawned p;
	struct err err = {0};
	int got = 0;

	cr_assert_eq(spawn(&o, &p, &got, &err), -1);
	cr_assert_str_eq(err.msg, sentence);
	cr_assert_eq(got, code);
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "a child is left");
	exec_spec_release(&s);
}

Test(spawn, stdout_is_read_and_the_status_is_the_process_own)
{
	struct exec_spec s = COMMAND("sh", "-c", "echo hi; exit 42");
	int status;
	AUTO_FREE char *text = run(&s, &status);

	cr_assert_str_eq(text, "hi\n");
	cr_assert_eq(WEXITSTATUS(status), 42);
}

Test(spawn, the_sentences_and_codes_are_dockers)
{
	char file[] = "/tmp/agent-spawn-XXXXXX";

	close(mkstemp(file));
	AUTO_FREE char *denied = xasprintf("exec: \"%s\": permission denied", file);
	AUTO_FREE char *format = xasprintf("exec %s: exec format error", file);

	fails(COMMAND("no-such-program"), 127,
	      "exec: \"no-such-program\": executable file not found in $PATH");
	fails(COMMAND(""), 127, "exec: \"\": executable file not found in $PATH");
	fails(COMMAND("/no/such"), 127, "exec: \"/no/such\": stat /no/such: no such file or directory");
	fails(COMMAND("./no-such"), 127, "exec: \"./no-such\": stat ./no-such: no such file or directory");
	fails(COMMAND("/tmp"), 126, "exec: \"/tmp\": permission denied");
	fails(COMMAND(file), 126, denied);
	chmod(file, 0755);
	fails(COMMAND(file), 126, format);
	unlink(file);
	fails((struct exec_spec){0}, 126, "no command specified");
}

Test(spawn, a_missing_interpreter_is_not_a_missing_file)
{
	char file[] = "/tmp/agent-spawn-XXXXXX";
	int fd = mkstemp(file);
	AUTO_FREE char *sentence = xasprintf("exec %s: no such file or directory", file);

	cr_assert_eq(write(fd, "#!/no/such/sh\n", 14), 14);
	fchmod(fd, 0755);
	close(fd);
	fails(COMMAND(file), 127, sentence);
	unlink(file);
}

Test(spawn, the_path_is_the_process_own)
{
	struct exec_spec s = COMMAND("sh");

	strv_env_set(&s.env, "PATH=/tmp");
	fails(s, 127, "exec: \"sh\": executable file not found in $PATH");
}

Test(spawn, working_directory_and_environment)
{
	struct exec_spec s = COMMAND("sh", "-c", "pwd; echo $X; umask");

	s.workdir = xstrdup("/usr/bin");
	strv_add(&s.env, "X=y");
	prints(s, "/usr/bin\ny\n0022\n");
	s = COMMAND("true");
	s.workdir = xstrdup("/no/such/dir");
	fails(s, 126, "chdir to cwd (\"/no/such/dir\") failed: no such file or directory");
}

Test(spawn, a_containers_working_directory_is_made)
{
	struct exec_spec s = COMMAND("pwd");
	struct spawn_options o = options(&s);
	AUTO_FREE char *dir = xasprintf("/tmp/agent-spawn-%d/a/b", (int)getpid());
	struct spawned p;
	int code;

	s.workdir = xstrdup(dir);
	o.make_workdir = true;
	cr_assert_eq(spawn(&o, &p, &code, NULL), 0);
	AUTO_FREE char *text = read_all(p.out);
	close(p.errout);
	waitpid(p.pid, NULL, 0);
	cr_assert(strncmp(text, dir, strlen(dir)) == 0);
	for (int i = 0; i < 3; i++) {
		rmdir(dir);
		*strrchr(dir, '/') = '\0';
	}
	exec_spec_release(&s);
}

Test(spawn, the_child_has_three_descriptors_and_default_signals)
{
	struct exec_spec s = COMMAND("sh", "-c", "ls /proc/self/fd | wc -l; exec grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status");
	int status;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	AUTO_FREE char *text = run(&s, &status);

	/* ls itself has the directory open */
	cr_assert(strncmp(text, "4\n", 2) == 0, "%s", text);
	cr_assert(strstr(text, "SigBlk:\t0000000000000000"), "%s", text);
	cr_assert(strstr(text, "SigIgn:\t0000000000000000"), "%s", text);
}

Test(spawn, it_leads_its_own_session_and_group)
{
	struct exec_spec s = COMMAND("sh", "-c", "set -- $(cat /proc/$$/stat); [ $1 = $5 ] && [ $1 = $6 ] && echo yes");

	prints(s, "yes\n");
}

Test(spawn, a_terminal_has_its_size_before_the_program_runs)
{
	struct exec_spec s = COMMAND("sh", "-c", "stty size; tty >/dev/null && echo $TERM");

	s.tty = true;
	s.rows = 33;
	s.cols = 99;
	prints(s, "33 99\r\nxterm\r\n");
}

Test(spawn, the_terminal_is_the_controlling_one)
{
	struct exec_spec s = COMMAND("sh", "-c", "echo through >/dev/tty");

	s.tty = true;
	prints(s, "through\r\n");
}

Test(spawn, without_stdin_it_reads_an_end)
{
	prints(COMMAND("cat"), "");
}

Test(spawn, stdin_is_a_pipe_that_can_be_closed)
{
	struct exec_spec s = COMMAND("cat");
	struct spawn_options o = options(&s);
	struct spawned p;
	int code;

	s.open_stdin = true;
	cr_assert_eq(spawn(&o, &p, &code, NULL), 0);
	cr_assert_eq(write(p.in, "abc", 3), 3);
	close(p.in);
	AUTO_FREE char *text = read_all(p.out);

	cr_assert_str_eq(text, "abc");
	close(p.errout);
	waitpid(p.pid, NULL, 0);
	exec_spec_release(&s);
}

Test(spawn, the_user_changes_with_groups_and_home)
{
	struct exec_spec s = COMMAND("sh", "-c", "id -u; id -g; id -G; echo $HOME");

	if (geteuid() != 0)
		cr_skip("needs root");
	s.user = xstrdup("12345:54321");
	prints(s, "12345\n54321\n54321\n/\n");
	s = COMMAND("sh", "-c", "echo to-the-pipe >/dev/stdout");
	s.user = xstrdup("12345");
	prints(s, "to-the-pipe\n"); /* it owns its stdout */
	s = COMMAND("true");
	s.user = xstrdup("nobody-of-that-name");
	fails(s, 126, "unable to find user nobody-of-that-name: no matching entries in passwd file");
}

Test(spawn, another_user_without_root_is_said_clearly)
{
	struct exec_spec s = COMMAND("true");

	if (geteuid() == 0)
		cr_assert_eq(setuid(4321), 0);
	s.user = xstrdup("0");
	fails(s, 126, "cannot become user \"0\" (uid 0, gid 0): operation not permitted");
}
