/* tool - see tool.h: the table and what all tools share. */
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/mem.h"

#define READ_MAX (1024 * 1024)
#define READ_PIECE 4096

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
	{"top", tool_top},
	{"stats", tool_stats},
	{"freeze", tool_freeze},
	{"thaw", tool_freeze},
};

int tool_fail(enum tool_exit code, const char *fmt, ...)
{
	char text[TOOL_SENTENCE_MAX + 1];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	write_all(STDERR_FILENO, text, n < 0 ? 0 : n > TOOL_SENTENCE_MAX ? TOOL_SENTENCE_MAX : (size_t)n);
	return code;
}

int tool_write_json(json_t *value)
{
	AUTO_FREE char *text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(6));
	AUTO_FREE char *line = text ? xasprintf("%s\n", text) : NULL;

	json_decref(value);
	return line && write_all(STDOUT_FILENO, line, strlen(line)) == 0 ? TOOL_OK : TOOL_FAILED;
}

char *tool_read_file(const char *path)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct buf b;
	uint8_t *room;
	ssize_t n = -1;

	if (fd < 0)
		return NULL;
	buf_init(&b, READ_MAX);
	while ((room = buf_reserve(&b, READ_PIECE)) && (n = read(fd, room, READ_PIECE)) > 0)
		buf_commit(&b, (size_t)n);
	if (n < 0 && room) {
		buf_release(&b);
		return NULL;
	}
	return buf_detach(&b, NULL);
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
