/* policy - Docker's restart policy of a container, for whoever acts on it: the agent runs main again inside
 * its execution, again.c makes a new execution when that has been lost. Pure but for policy_tell. */
#ifndef CLOUD_POLICY_H
#define CLOUD_POLICY_H

#include <jansson.h>
#include <stdbool.h>

#include "control.h"

struct container;

bool policy_any(const struct container *c); /* is there one but "no"? */
/* What the agent of the present execution is to do from now on. */
struct restart_policy policy_of(const struct container *c);
/* The agent's specification: {"when", "maxRetries"}; NULL when it is "no". */
json_t *policy_spec(const struct container *c);
void policy_tell(struct container *c); /* the agent, if there is one; else it is told when it calls */
/* Is a container that ended so to be run again, if nobody has stopped it? */
bool policy_wants(const struct container *c, int exit_code);

#endif
