/* tool_top - the container's processes as one line of JSON, with what ps(1) can show of them. Names are
 * those of the container's own files; the agent and its tools are left out. docs/agent.md has the keys. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "tool.h"
#include "user.h"
#include "walk.h"

#define ARGS_MAX (32 * 1024)

/* What all processes are measured by. */
struct machine {
	double uptime;           /* seconds */
	double total_kb;         /* memory */
	int64_t boot_unix;
	long ticks, page;
};

struct ids { uint32_t uid, gid; };

/* The number behind a word at the beginning of a line; 0 if there is none. */
static double figure(const char *text, const char *word)
{
	const char *at = text;

	while (at && strncmp(at, word, strlen(word)) != 0)
		at = (at = strchr(at, '\n')) ? at + 1 : NULL;
	return at ? strtod(at + strlen(word), NULL) : 0;
}

static double read_figure(const char *file, const char *word)
{
	AUTO_FREE char *text = tool_read_file(file);

	return text ? figure(text, word) : 0;
}

static struct machine measure(void)
{
	return (struct machine){
		.uptime = read_figure("/proc/uptime", ""),
		.total_kb = read_figure("/proc/meminfo", "MemTotal:"),
		.boot_unix = (int64_t)read_figure("/proc/stat", "btime "),
		.ticks = sysconf(_SC_CLK_TCK),
		.page = sysconf(_SC_PAGESIZE),
	};
}

/* The effective ones, as ps shows them. */
static struct ids ids_of(pid_t pid)
{
	char text[4096];
	const char *at;
	struct ids ids = {0, 0};

	if (walk_read(pid, "status", text, sizeof(text)) <= 0)
		return ids;
	if ((at = strstr(text, "\nUid:")))
		sscanf(at, "\nUid: %*u %u", &ids.uid);
	if ((at = strstr(text, "\nGid:")))
		sscanf(at, "\nGid: %*u %u", &ids.gid);
	return ids;
}

static json_t *name_of(const char *file, uint32_t id)
{
	AUTO_FREE char *name = user_name_of_id(file, id);
	json_t *text = name ? json_string(name) : NULL;

	return text ? text : json_sprintf("%u", id);
}

/* By the numbers of Documentation/admin-guide/devices.txt. */
static json_t *tty_of(int number)
{
	unsigned major = (unsigned)number >> 8 & 0xfff, minor = ((unsigned)number >> 12 & 0xfff00) | ((unsigned)number & 0xff);

	if (major >= 136 && major <= 143)
		return json_sprintf("pts/%u", (major - 136) * 256 + minor);
	if (major == 4 && minor < 64)
		return json_sprintf("tty%u", minor);
	if (major == 4)
		return json_sprintf("ttyS%u", minor - 64);
	return json_string(major == 5 && minor == 1 ? "console" : "?");
}

/* ps' STAT. */
static json_t *stat_of(const struct task *t)
{
	return json_sprintf("%c%s%s%s%s", t->state, t->nice < 0 ? "<" : t->nice > 0 ? "N" : "",
			    t->session == t->pid ? "s" : "", t->threads > 1 ? "l" : "",
			    t->tpgid == t->pgrp ? "+" : "");
}

/* One that a terminal can take and JSON can hold. */
static json_t *printable(char *text, size_t n)
{
	json_t *string;

	for (size_t i = 0; i < n; i++)
		if (text[i] == '\0' || text[i] == '\n')
			text[i] = ' ';
		else if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			text[i] = '?';
	string = json_stringn(text, n);
	for (size_t i = 0; !string && i < n; i++)
		if ((unsigned char)text[i] >= 0x80)
			text[i] = '?';
	return string ? string : json_stringn(text, n);
}

static json_t *args_of(const struct task *t)
{
	static char text[ARGS_MAX];
	ssize_t n = walk_read(t->pid, "cmdline", text, sizeof(text));

	while (n > 0 && text[n - 1] == '\0')
		n--;
	if (n > 0)
		return printable(text, (size_t)n);
	n = snprintf(text, sizeof(text), "[%s]%s", t->comm, task_is_dead(t) ? " <defunct>" : "");
	return printable(text, (size_t)n);
}

static json_t *describe(const struct task *t, const struct machine *m)
{
	struct ids ids = ids_of(t->pid);
	double cpu = (double)(t->utime + t->stime) / (double)m->ticks, age = m->uptime - (double)t->start / (double)m->ticks;
	double rss_kb = (double)t->rss * (double)m->page / 1024;
	char comm[sizeof(t->comm)];

	memcpy(comm, t->comm, sizeof(comm));
	return json_pack("{s:i s:i s:I s:I s:o s:o s:i s:i s:i s:o s:s% s:o s:i s:i s:I s:I s:I s:I s:I s:f s:f s:o s:o}",
			 "pid", (int)t->pid, "ppid", (int)t->ppid, "uid", (json_int_t)ids.uid, "gid", (json_int_t)ids.gid,
			 "user", name_of("/etc/passwd", ids.uid), "group", name_of("/etc/group", ids.gid),
			 "sid", (int)t->session, "pgid", (int)t->pgrp, "tpgid", (int)t->tpgid, "tty", tty_of(t->tty),
			 "state", &t->state, (size_t)1, "stat", stat_of(t), "nice", t->nice, "threads", t->threads,
			 "vsz_kb", (json_int_t)(t->vsize / 1024), "rss_kb", (json_int_t)rss_kb,
			 "utime_ticks", (json_int_t)t->utime, "stime_ticks", (json_int_t)t->stime,
			 "start_unix", (json_int_t)(m->boot_unix + (int64_t)t->start / m->ticks),
			 "pcpu", age > 0 ? 100 * cpu / age : 0.0, "pmem", m->total_kb > 0 ? 100 * rss_kb / m->total_kb : 0.0,
			 "comm", printable(comm, strnlen(comm, sizeof(comm))), "args", args_of(t));
}

int tool_top(int argc, char *argv[])
{
	struct machine m = measure();
	json_t *list = json_array();
	struct tasks tasks;
	struct err err;

	if (argc != 1)
		return tool_fail(TOOL_INVALID, "usage: top");
	if (walk_tasks(getppid(), &tasks, &err) < 0)
		return tool_fail(TOOL_FAILED, "list processes: %s", err.msg);
	for (size_t i = 0; i < tasks.n; i++)
		json_array_append_new(list, describe(&tasks.v[i], &m));
	tasks_release(&tasks);
	return tool_write_json(json_pack("{s:o}", "processes", list));
}
