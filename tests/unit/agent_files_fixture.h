/* agent_files_fixture - a small root file system in a temporary folder, the agent's tools run in it
 * (chroot in a child), and archives written by hand, for GNU tar refuses to make hostile ones. */
#ifndef TESTS_AGENT_FILES_FIXTURE_H
#define TESTS_AGENT_FILES_FIXTURE_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/agent/tool.h"
#include "base/mem.h"

static char work[] = "/tmp/agent-files-XXXXXX";
static char said[4096]; /* on stderr, by the last tool */

static inline int sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static inline int sh(const char *fmt, ...)
{
	char *cmd;
	va_list ap;
	int status;

	va_start(ap, fmt);
	cr_assert(vasprintf(&cmd, fmt, ap) > 0);
	va_end(ap);
	status = system(cmd);
	free(cmd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* The root is work/root; in and out are files of work, NULL for none. before runs in the child. */
static inline int tool_in(const char *root, void (*before)(void), const char *in, const char *out,
			  const char *const argv[])
{
	int n = 0, status, fd;
	pid_t pid;

	while (argv[n])
		n++;
	pid = fork();
	if (pid == 0) {
		int fds[3] = {open(in ? in : "/dev/null", O_RDONLY),
			      open(out ? out : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0600),
			      open("said", O_WRONLY | O_CREAT | O_TRUNC, 0600)};

		if (before)
			before();
		if (chroot(root) < 0 || chdir("/") < 0)
			_exit(99);
		for (int i = 0; i < 3; i++)
			dup2(fds[i], i);
		status = tool_run(n, (char **)argv);
		_exit(status);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	fd = open("said", O_RDONLY);
	n = (int)read(fd, said, sizeof(said) - 1);
	said[n > 0 ? n : 0] = '\0';
	close(fd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}
#define TOOL(root, in, out, ...) tool_in(root, NULL, in, out, (const char *const[]){__VA_ARGS__, NULL})

static inline void need_root(void)
{
	if (geteuid() != 0)
		cr_skip("needs root: owners, devices and chroot");
}

static inline void files_set_up(void)
{
	need_root();
	cr_assert(mkdtemp(work));
	cr_assert_eq(chdir(work), 0);
	umask(022);
	cr_assert_eq(sh("mkdir -p root/dir/sub root/etc; echo hi >root/dir/f; ln root/dir/f root/dir/hard;"
			"ln -s f root/dir/s; ln -s /dir root/dlink; ln -s dir/sub root/sublink; ln -s loop root/loop;"
			"ln -s /nowhere/x root/dangling; ln -s ../../../../etc/passwd root/up; chmod 4755 root/dir/f;"
			"printf 'root:x:0:0::/:\\napp:x:1000:1001::/:\\n' >root/etc/passwd; echo g:x:7: >root/etc/group;"
			"touch -d '2020-01-02 03:04:05.25Z' root/dir/sub; echo canary >canary; mkdir out"), 0);
}

static inline void files_tear_down(void)
{
	if (geteuid() == 0)
		sh("rm -rf %s", work);
}

/* ---- archives by hand ---- */
struct raw {
	const char *name;
	char type;         /* '0' if 0 */
	const char *link, *data;
	unsigned mode;     /* 0640 if 0 */
	unsigned major, minor;
};

static inline void raw_block(FILE *f, const struct raw *r)
{
	char h[512] = {0};
	size_t n = r->data ? strlen(r->data) : 0;
	unsigned sum = 0;

	snprintf(h, 100, "%s", r->name);
	snprintf(h + 100, 8, "%07o", (r->mode ? r->mode : 0640) & 07777);
	snprintf(h + 108, 8, "%07o", 7);
	snprintf(h + 116, 8, "%07o", 8);
	snprintf(h + 124, 12, "%011zo", n & 07777777);
	snprintf(h + 136, 12, "%011o", 1000000000);
	memset(h + 148, ' ', 8);
	h[156] = r->type ? r->type : '0';
	snprintf(h + 157, 100, "%s", r->link ? r->link : "");
	memcpy(h + 257, "ustar\00000", 8);
	snprintf(h + 329, 8, "%07o", r->major & 07777);
	snprintf(h + 337, 8, "%07o", r->minor & 07777);
	for (size_t i = 0; i < sizeof(h); i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum);
	cr_assert_eq(fwrite(h, sizeof(h), 1, f), 1);
	if (n)
		cr_assert_eq(fwrite(r->data, n, 1, f), 1);
	for (; n % 512; n++)
		putc('\0', f);
}

static inline void raw_archive(const char *file, const struct raw *r, size_t n)
{
	static const char end[1024];
	FILE *f = fopen(file, "w");

	for (size_t i = 0; i < n; i++)
		raw_block(f, &r[i]);
	cr_assert_eq(fwrite(end, sizeof(end), 1, f), 1);
	cr_assert_eq(fclose(f), 0);
}
#define RAW(file, ...) raw_archive(file, (struct raw[]){__VA_ARGS__}, \
				   sizeof((struct raw[]){__VA_ARGS__}) / sizeof(struct raw))

#endif
