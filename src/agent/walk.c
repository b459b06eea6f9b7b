/* walk - see walk.h. */
#include "walk.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum { UNKNOWN, OUTSIDE, MEMBER };

ssize_t walk_read(pid_t pid, const char *file, char *out, size_t n)
{
	char path[64];
	AUTO_CLOSE int fd = -1;
	size_t at = 0;
	ssize_t got = 0;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	while (at < n - 1 && (got = read(fd, out + at, n - 1 - at)) > 0)
		at += (size_t)got;
	out[at] = '\0';
	return got < 0 ? -1 : (ssize_t)at;
}

/* pid (comm) state ppid ...: the name may hold anything, also a parenthesis. */
int walk_task(pid_t pid, struct task *ret)
{
	char text[1024], *open_at, *close_at;
	size_t n;

	if (walk_read(pid, "stat", text, sizeof(text)) <= 0)
		return -1;
	open_at = strchr(text, '(');
	close_at = strrchr(text, ')');
	if (!open_at || !close_at || close_at < open_at)
		return -1;
	*ret = (struct task){.pid = pid};
	n = (size_t)(close_at - open_at - 1);
	n = n < sizeof(ret->comm) ? n : sizeof(ret->comm) - 1;
	memcpy(ret->comm, open_at + 1, n);
	/* fields 3 to 24 of proc(5) */
	return sscanf(close_at + 1,
		      " %c %d %d %d %d %d %*u %*u %*u %*u %*u %lu %lu %lu %lu %*d %d %d %*d %lu %lu %lu",
		      &ret->state, &ret->ppid, &ret->pgrp, &ret->session, &ret->tty, &ret->tpgid, &ret->utime,
		      &ret->stime, &ret->cutime, &ret->cstime, &ret->nice, &ret->threads, &ret->start, &ret->vsize, &ret->rss) == 15 ? 0 : -1;
}

static int by_pid(const void *a, const void *b)
{
	pid_t x = ((const struct task *)a)->pid, y = ((const struct task *)b)->pid;

	return x < y ? -1 : x > y;
}

static struct task *find(const struct tasks *t, pid_t pid)
{
	struct task key = {.pid = pid};

	return t->n ? bsearch(&key, t->v, t->n, sizeof(*t->v), by_pid) : NULL;
}

static bool same_program(pid_t pid)
{
	struct stat own, other;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	return stat("/proc/self/exe", &own) == 0 && stat(path, &other) == 0 && own.st_dev == other.st_dev &&
	       own.st_ino == other.st_ino;
}

/* A child of the agent that is the agent's own program: a tool, or one that the agent has cloned and that
 * has not exec'ed yet. The latter must be left alone: it runs on the agent's memory, and the agent waits. */
static bool agents_own(pid_t agent, pid_t pid)
{
	char line[256], of_agent[256];
	ssize_t n, m;

	if (!same_program(pid))
		return false;
	n = walk_read(pid, "cmdline", line, sizeof(line));
	m = walk_read(agent, "cmdline", of_agent, sizeof(of_agent));
	if (n <= 0 || (n == m && memcmp(line, of_agent, (size_t)n) == 0))
		return true;
	return strcmp(line + strnlen(line, (size_t)n - 1) + 1, "tool") == 0;
}

/* What needs no look at the parents' parents. */
static uint8_t judge_by_itself(struct tasks *t, struct task *k, pid_t agent)
{
	struct task now;

	if (k->pid == agent || k->ppid == 0)
		return agent == 1 && k->pid != agent ? MEMBER : OUTSIDE;
	if (k->ppid == agent)
		return agents_own(agent, k->pid) ? OUTSIDE : MEMBER;
	if (find(t, k->ppid))
		return UNKNOWN;
	if (agent == 1)
		return MEMBER; /* all that init can see is the container's */
	/* The parent has ended while we walked: it has another one by now, or has ended itself. */
	if (walk_task(k->pid, &now) == 0 && now.start == k->start && now.ppid != k->ppid) {
		k->ppid = now.ppid;
		return judge_by_itself(t, k, agent);
	}
	t->unsteady = true;
	return OUTSIDE;
}

/* As the nearest forefather of whom it is known; all on the way are the same. */
static void judge(struct tasks *t, struct task *k, pid_t agent)
{
	struct task *source = k, *at;
	uint8_t verdict = UNKNOWN;
	size_t steps = 0; /* a walk is no snapshot: the chain could be a ring */

	for (;;) {
		verdict = source->verdict ? source->verdict : judge_by_itself(t, source, agent);
		if (verdict != UNKNOWN || ++steps > t->n)
			break;
		source = find(t, source->ppid);
	}
	for (at = k; at != source; at = find(t, at->ppid))
		at->verdict = verdict == UNKNOWN ? OUTSIDE : verdict;
	source->verdict = verdict == UNKNOWN ? OUTSIDE : verdict;
}

static void keep_members(struct tasks *t, pid_t agent)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		judge(t, &t->v[i], agent);
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].verdict == MEMBER)
			t->v[n++] = t->v[i];
	t->n = n;
}

int walk_tasks(pid_t agent, struct tasks *ret, struct err *err)
{
	DIR *d = opendir("/proc");
	size_t room = 0;
	struct dirent *e;

	*ret = (struct tasks){0};
	if (!d)
		return err_sys(err, errno, "open /proc");
	while ((e = readdir(d)) && ret->n < WALK_TASKS_MAX) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		if (ret->n == room) {
			room = room ? 2 * room : 64;
			ret->v = xrealloc(ret->v, room * sizeof(*ret->v));
		}
		if (walk_task((pid_t)strtol(e->d_name, NULL, 10), &ret->v[ret->n]) == 0)
			ret->n++;
		else if (agent == 1) /* elsewhere it is most likely somebody else's */
			ret->unsteady = true;
	}
	closedir(d);
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), by_pid);
	keep_members(ret, agent);
	return 0;
}

void tasks_release(struct tasks *t)
{
	free(t->v);
	*t = (struct tasks){0};
}

const struct task *tasks_find(const struct tasks *t, const struct task *like)
{
	const struct task *k = find(t, like->pid);

	return k && k->start == like->start ? k : NULL;
}

void task_kill(const struct task *t, int sig)
{
	/* Processes of the container are never in a group of the agent's or a tool's: each begins in a
	 * session of its own. */
	if (t->pgrp > 1 && t->pgrp != getpgrp())
		kill(-t->pgrp, sig);
	kill(t->pid, sig);
}
