/* container_ops - what container.c, container_doc.c, container_table.c and container_run.c share; private to them. */
#ifndef STATE_CONTAINER_OPS_H
#define STATE_CONTAINER_OPS_H

#include "state/container.h"

#define CONTAINER_KIND "container" /* in the store */

struct containers {
	struct gateway *g;
	char *log_dir;
	struct container *by_id, *by_name; /* ours; two hashes over the same records */
	int64_t last_created_ns;
	size_t sharing;                      /* how many have shares_network */
};

void container_free(struct container *c); /* of no table; NULL is fine */

/* container_doc.c */
json_t *container_to_doc(const struct container *c);
struct container *container_from_doc(const char *id, const json_t *d, struct err *err);
void container_derive(struct container *c); /* what is read often out of the configuration */

/* Store what was changed since `before` was copied from *c; on failure it has not happened. */
int container_commit(struct container *c, const struct container *before, struct err *err);
void container_wake(struct container *c, enum wait_condition cond);
/* Main is no more: its fields. The caller commits, and tells with the record as it was before. */
void container_end_process(struct container *c, int exit_code, int64_t finished_ns);
void container_emit_die(struct container *c, const struct container *before);

#endif
