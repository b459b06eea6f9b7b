/* tool_freeze - `freeze` and `thaw`: docker pause without a freezer cgroup, which a Cloud Run container
 * does not have. Every process of the container is stopped, again and again until two walks in a row meet
 * nobody new and nobody who runs: what was forked before its parent stopped is caught by the next walk. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tool.h"
#include "walk.h"

#define PATIENCE_MS 10000
#define STUCK_MS 1000            /* one deep in the kernel runs nothing of its own, and stops when it is back */
#define PAUSE_US 1000

static bool stopped(const struct task *t)
{
	return t->state == 'T' || t->state == 't';
}

/* Nothing of its own runs any more: also one that has vforked a child that is stopped before its exec. */
static bool still(const struct tasks *all, const struct task *t)
{
	for (size_t i = 0; t->state == 'D' && i < all->n; i++)
		if (all->v[i].ppid == t->pid && stopped(&all->v[i]))
			return true;
	return stopped(t);
}

/* Stops all who run. Returns how many are not known to be still. */
static size_t stop_all(const struct tasks *now, const struct tasks *before, bool patient)
{
	size_t open = now->unsteady;

	for (size_t i = 0; i < now->n; i++) {
		const struct task *t = &now->v[i];

		if (task_is_dead(t))
			continue;
		if (!tasks_find(before, t) || (!still(now, t) && (patient || t->state != 'D')))
			open++;
		if (!stopped(t))
			task_kill(t, SIGSTOP);
	}
	return open;
}

/* Also to those who do not look stopped: a stop may be on its way to them. */
static size_t continue_all(const struct tasks *now, const struct tasks *before)
{
	size_t open = 0;

	for (size_t i = 0; i < now->n; i++) {
		const struct task *t = &now->v[i];

		if (task_is_dead(t) || (t->state != 'T' && tasks_find(before, t)))
			continue;
		open++;
		kill(t->pid, SIGCONT);
	}
	return open;
}

/* How many are not as wanted in the end; -1: /proc cannot be read. */
static ssize_t until_settled(pid_t agent, bool freeze, struct err *err)
{
	uint64_t began = clock_mono_ms(), spent = 0;
	struct tasks now, before = {0};
	size_t open = 1;

	while (open && spent < (freeze ? PATIENCE_MS : STUCK_MS)) {
		if (walk_tasks(agent, &now, err) < 0)
			return -1;
		spent = clock_mono_ms() - began;
		open = freeze ? stop_all(&now, &before, spent < STUCK_MS) : continue_all(&now, &before);
		tasks_release(&before);
		before = now;
		if (open)
			usleep(PAUSE_US);
	}
	tasks_release(&before);
	return (ssize_t)open;
}

int tool_freeze(int argc, char *argv[])
{
	bool freeze = strcmp(argv[0], "freeze") == 0;
	struct err err;
	ssize_t open;

	if (argc != 1)
		return tool_fail(TOOL_INVALID, "usage: %s", argv[0]);
	open = until_settled(getppid(), freeze, &err);
	if (open < 0)
		return tool_fail(TOOL_FAILED, "list processes: %s", err.msg);
	if (!freeze || open == 0) /* who is stopped again by now has done so itself */
		return TOOL_OK;
	until_settled(getppid(), false, NULL); /* not half of it */
	return tool_fail(TOOL_FAILED, "%zd processes of the container do not stop", open);
}
