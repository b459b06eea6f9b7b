/* shared_task - containers that share a network run as one Cloud Run task (docs/decisions/0007).
 *
 * The owner is the container with a network of its own; members were created with --network
 * container:OWNER. A task's containers are fixed when it starts, so the owner's start brings all
 * members that exist and do not run: each has its agent, which holds its main process until the
 * member's own docker start ("staged"). A member that came later, or has run already, waits for
 * the owner's next start. Nothing here outlives its call but what is in the records. */
#ifndef CLOUD_SHARED_TASK_H
#define CLOUD_SHARED_TASK_H

#include <stdbool.h>

#include "base/err.h"

struct container;
struct gateway;
struct lifecycle;

/* Owner's members that are staged for its present run; NULL-terminated, caller frees. */
struct container **shared_task_staged(struct gateway *g, const struct container *owner);
/* NULL with dockerd's sentence (ERR_NOT_FOUND) when it is not there. */
struct container *shared_task_owner(struct gateway *g, const struct container *member, struct err *err);

/* Owner is starting, in state STARTING: what still ran in its former task has ended, and who may come along is staged. */
int shared_task_stage(struct lifecycle *l, struct container *owner, struct err *err);
/* May the member start now? Its owner, or NULL with the reason. */
struct container *shared_task_join(struct gateway *g, const struct container *member, struct err *err);
/* After any container's end, and when an ended one's agent is back: once the owner has ended and no member
 * runs, the agents that wait are told to leave, and with them goes the task. */
void shared_task_settle(struct gateway *g, const struct container *ended);

#endif
