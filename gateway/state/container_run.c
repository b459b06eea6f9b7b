/* container_run - what happens to a container between its start and its end: paused, restarted by its
 * policy, found healthy or not, changed by docker update. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "state/container_ops.h"
#include "state/health.h"

int container_set_restarting(struct container *c, int exit_code, int64_t finished_ns, int count, struct err *err)
{
	struct container before = *c;

	if (c->state != CONTAINER_RUNNING)
		return 0; /* it is being removed: nothing begins again */
	container_end_process(c, exit_code, finished_ns);
	c->restarting = true;
	c->restart_count = count;
	if (container_commit(c, &before, err) < 0)
		return -1;
	/* As in dockerd: every exit is one, whoever waits and whatever follows. */
	container_wake(c, WAIT_NOT_RUNNING);
	container_wake(c, WAIT_NEXT_EXIT);
	container_emit_die(c, &before);
	return 0;
}

int container_set_restarted(struct container *c, uint32_t pid, int64_t started_ns, int count, struct err *err)
{
	bool restarting = c->restarting;
	int before = c->restart_count;

	c->restarting = true;
	c->restart_count = count;
	if (container_set_running(c, pid, started_ns, err) == 0)
		return 0;
	c->restarting = restarting;
	c->restart_count = before;
	return -1;
}

int container_set_found(struct container *c, uint32_t pid, int64_t started_ns, int count, struct err *err)
{
	struct container before = *c;

	c->pid = pid;
	c->started_ns = started_ns;
	c->restart_count = count;
	return container_commit(c, &before, err);
}

int container_set_held(struct container *c, uint64_t owners_run, struct err *err)
{
	struct container before = *c;

	c->state = CONTAINER_CREATED;
	c->staged_run = owners_run;
	c->started_ns = 0;
	c->execution = c->job = NULL;
	return container_commit(c, &before, err);
}

int container_set_paused(struct container *c, bool paused, struct err *err)
{
	struct container before = *c;

	c->paused = paused;
	if (paused && c->health)
		c->health = health_suspended(c->health);
	if (container_commit(c, &before, err) < 0)
		return -1;
	container_emit(c, paused ? "pause" : "unpause");
	return 0;
}

int container_set_health(struct container *c, json_t *health, struct err *err)
{
	struct container before = *c;
	AUTO_FREE char *was = xstrdup(health_status(c->health));

	c->health = health;
	if (container_commit(c, &before, err) < 0)
		return -1;
	if (strcmp(was, health_status(c->health)) != 0) {
		AUTO_FREE char *action = xasprintf("health_status: %s", health_status(c->health));

		container_emit(c, action);
	}
	return 0;
}

int container_set_stop_asked(struct container *c, bool for_good, struct err *err)
{
	struct container before = *c;

	if (c->stopped_by_hand && (c->exit_on_next || !for_good))
		return 0;
	c->stopped_by_hand = true;
	c->exit_on_next = c->exit_on_next || for_good;
	return container_commit(c, &before, err);
}

int container_set_host_config(struct container *c, json_t *host_config, struct err *err)
{
	struct container before = *c;

	c->host_config = host_config;
	if (container_commit(c, &before, err) < 0)
		return -1;
	container_emit(c, "update");
	return 0;
}
