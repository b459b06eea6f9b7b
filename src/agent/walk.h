/* walk - the container's processes as /proc shows them: all that descend from the agent but its tools
 * (tool.h) and what those have started. The agent adopts orphans (PR_SET_CHILD_SUBREAPER), so nothing
 * gets away by forking twice. One walk is no snapshot: who must not miss anything walks until two walks
 * say the same. Blocking, but /proc only; used by the agent at main's end and by the tools. */
#ifndef AGENT_WALK_H
#define AGENT_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define WALK_TASKS_MAX 65536

struct task {                    /* numbers as /proc/PID/stat has them */
	pid_t pid, ppid, pgrp, session, tpgid;
	int tty, nice, threads;
	char state;
	char comm[64];
	uint64_t utime, stime, cutime, cstime, start; /* ticks; c: of children that were waited for */
	uint64_t vsize, rss;     /* bytes, pages */
	uint8_t verdict;         /* inside */
};

struct tasks {
	struct task *v;          /* by pid; ours */
	size_t n;
	bool unsteady;           /* one went away during the walk, and what it left may not be listed */
};

/* agent: the pid of the agent whose container it is. */
int walk_tasks(pid_t agent, struct tasks *ret, struct err *err);
void tasks_release(struct tasks *t);
/* One process, whoever's it is. */
int walk_task(pid_t pid, struct task *ret);
/* The same process, not only the same number? NULL if it is not in t. */
const struct task *tasks_find(const struct tasks *t, const struct task *like);

static inline bool task_is_dead(const struct task *t)
{
	return t->state == 'Z' || t->state == 'X' || t->state == 'x';
}

/* To its process group as well, in which no fork gets away: the kernel lets none pass a group's signal. */
void task_kill(const struct task *t, int sig);

/* The first n - 1 bytes of /proc/PID/FILE, and a NUL. -1: there is no such process or file. */
ssize_t walk_read(pid_t pid, const char *file, char *out, size_t n);

#endif
