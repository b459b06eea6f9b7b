/* operations - long-running operations: what they wait for, and who waits for them.
 *
 * jobs.run is done when the execution completes, a create or patch with a startExecutionToken when
 * it has started, everything else at once (or after the knob operationLatencyMs). */
#ifndef EMULATOR_OPERATIONS_H
#define EMULATOR_OPERATIONS_H

#include "store.h"

struct operation;

/* About a job, which is its metadata and, when done, its response. until: wait for that
 * execution (NULL: none), to its end or only to its start. The reply is the operation. */
json_t *operation_for_job(struct emulator *emu, const struct job *j, struct execution *until,
			  bool to_its_end);
/* About an execution; done when that has completed. fails: as the execution does (run), or never
 * (cancel, delete). */
json_t *operation_for_execution(struct emulator *emu, struct execution *e, bool fails);

/* An execution started, completed, or goes away for ever: look again. */
void operations_settle(struct execution *e);
/* It is about to be freed: operations that are still to be told so (latency) keep its last look. */
void operations_forget(struct execution *e);

/* /v2/projects/P/locations/L/operations[/O][:wait] */
void operations_get(struct emulator *emu, struct exchange *x, const char *name);
void operations_list(struct emulator *emu, struct exchange *x, const char *parent);
void operations_wait(struct emulator *emu, struct exchange *x, const char *name, const json_t *body);
void operations_delete(struct emulator *emu, struct exchange *x, const char *name);

void operations_free(struct store *s);

#endif
