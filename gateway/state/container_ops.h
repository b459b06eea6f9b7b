/* container_ops - what container.c and container_run.c share; private to them. */
#ifndef STATE_CONTAINER_OPS_H
#define STATE_CONTAINER_OPS_H

#include "state/container.h"

/* Store what was changed since `before` was copied from *c; on failure it has not happened. */
int container_commit(struct container *c, const struct container *before, struct err *err);
void container_wake(struct container *c, enum wait_condition cond);
/* Main is no more: its fields. The caller commits, and tells with the record as it was before. */
void container_end_process(struct container *c, int exit_code, int64_t finished_ns);
void container_emit_die(struct container *c, const struct container *before);

#endif
