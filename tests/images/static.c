/* static - the only file of the image library/static: a program with no shell, libc file or /tmp
 * around it. It shows that the agent needs nothing of the image it runs in.
 *
 *   /static args A B...   one argument a line        /static env NAME    its value
 *   /static cat           stdin to stdout            /static exit N      that status
 *   /static ids           "uid gid pid"              /static cwd         the working directory
 *   /static sleep         until a signal             /static             "hello from scratch" */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int cat(void)
{
	char buf[65536];
	ssize_t n;

	while ((n = read(0, buf, sizeof buf)) > 0)
		for (ssize_t off = 0, w; off < n; off += w)
			if ((w = write(1, buf + off, (size_t)(n - off))) < 0)
				return 1;
	return n < 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	char cwd[4096];

	if (!strcmp(what, "cat"))
		return cat();
	if (!strcmp(what, "exit"))
		return argc > 2 ? (int)strtol(argv[2], NULL, 10) : 2;
	if (!strcmp(what, "sleep"))
		return pause();
	if (!strcmp(what, "ids"))
		printf("%d %d %d\n", (int)getuid(), (int)getgid(), (int)getpid());
	else if (!strcmp(what, "cwd"))
		puts(getcwd(cwd, sizeof cwd) ? cwd : "none");
	else if (!strcmp(what, "env"))
		puts(argc > 2 && getenv(argv[2]) ? getenv(argv[2]) : "unset");
	else if (!strcmp(what, "args"))
		for (int i = 2; i < argc; i++)
			puts(argv[i]);
	else
		puts("hello from scratch");
	return fflush(stdout) ? 1 : 0;
}
