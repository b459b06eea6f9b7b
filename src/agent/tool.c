/* tool - see tool.h: the table and what all tools share. */
#include "tool.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *name;
	int (*run)(int argc, char *argv[]);
} tools[] = {
	{"changes", tool_changes},
	{"connect", tool_connect},
	{"export", tool_export},
	{"get", tool_get},
	{"put", tool_put},
	{"stat", tool_stat},
};

int tool_fail(enum tool_exit code, const char *fmt, ...)
{
	char text[TOOL_SENTENCE_MAX + 1];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	tool_write(STDERR_FILENO, text, n < 0 ? 0 : n > TOOL_SENTENCE_MAX ? TOOL_SENTENCE_MAX : (size_t)n);
	return code;
}

int tool_write(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n) {
		ssize_t wrote = write(fd, at, n);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return -1;
		at += wrote;
		n -= (size_t)wrote;
	}
	return 0;
}

int tool_run(int argc, char *argv[])
{
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; argc > 0 && i < sizeof(tools) / sizeof(tools[0]); i++)
		if (strcmp(tools[i].name, argv[0]) == 0)
			return tools[i].run(argc, argv);
	return tool_fail(TOOL_INVALID, "the container's agent has no tool named '%s': its version is %s",
			 argc > 0 ? argv[0] : "", VERSION);
}
