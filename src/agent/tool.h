/* tool - what `sockerless-agent tool NAME ARGV...` does: small blocking programs that speak through stdin,
 * stdout and their exit code (tool_exit.h), run by the agent beside the container's processes.
 * One file each; tool.c has the table. docs/agent.md lists them. */
#ifndef AGENT_TOOL_H
#define AGENT_TOOL_H

#include <jansson.h>
#include <stddef.h>

#include "base/err.h"
#include "tool_exit.h"

/* argv[0] is the tool's name. Returns the exit code; the process ends with it. */
int tool_run(int argc, char *argv[]);

/* Says the sentence on stderr; returns code. */
int tool_fail(enum tool_exit code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A line of JSON to stdout; takes the reference. TOOL_OK or TOOL_FAILED. */
int tool_write_json(json_t *value);
/* A file of /proc or /sys as a string, cut at 1 MiB; the caller frees. NULL: it cannot be read. */
char *tool_read_file(const char *path);

int tool_connect(int argc, char *argv[]); /* connect HOST PORT: a TCP connection's two directions */
int tool_stat(int argc, char *argv[]);    /* stat [--container ID] PATH: its state as JSON */
int tool_get(int argc, char *argv[]);     /* get ...: that and the archive of it */
int tool_put(int argc, char *argv[]);     /* put ... PATH: an archive on stdin is extracted there */
int tool_export(int argc, char *argv[]);  /* export: an archive of the root file system */
int tool_changes(int argc, char *argv[]); /* changes SINCE_NS: its paths, and which of them are new */
int tool_top(int argc, char *argv[]);     /* the container's processes, as JSON */
int tool_stats(int argc, char *argv[]);   /* stats [--once]: what it uses, as JSON, every second */
int tool_freeze(int argc, char *argv[]);  /* freeze, thaw: SIGSTOP, SIGCONT to all of it */

#endif
