/* executions - a run of a job: its tasks, its conditions, its counts, and the requests about them.
 *
 *   created -> (image found) -> started (first task) -> completed: succeeded, failed or cancelled */
#ifndef EMULATOR_EXECUTIONS_H
#define EMULATOR_EXECUTIONS_H

#include "store.h"

/* Create and schedule. suffix: of the name, "{job}-{suffix}"; overrides: as validated, or NULL. */
struct execution *execution_new(struct emulator *emu, struct job *j, const char *suffix,
				const json_t *overrides);
/* No longer findable; cancelled if it runs; freed when its tasks are gone. */
void execution_delete(struct execution *e);

json_t *execution_json(const struct execution *e);
/* What jobs show as latestCreatedExecution. */
json_t *execution_reference(const struct execution *e);
int execution_error_code(const struct execution *e); /* google.rpc.Code of the failure */

void executions_get(struct emulator *emu, struct exchange *x, const char *name);
/* job may be "-" */
void executions_list(struct emulator *emu, struct exchange *x, const char *parent,
		     const char *project, const char *location, const char *job);
void executions_cancel(struct emulator *emu, struct exchange *x, const char *name,
		       const json_t *body);
void executions_delete(struct emulator *emu, struct exchange *x, const char *name);
void tasks_get(struct emulator *emu, struct exchange *x, const char *execution, const char *task);
/* job and execution may be "-" */
void tasks_list(struct emulator *emu, struct exchange *x, const char *parent, const char *project,
		const char *location, const char *job, const char *execution);

#endif
