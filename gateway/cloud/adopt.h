/* adopt - containers that this disk has lost, from their job: what they are from the job's annotations (of the
 * predecessor's jobs, from what there is), the token from its environment, the state from its latest execution.
 * The agent of one that runs corrects the rest when it calls. */
#ifndef CLOUD_ADOPT_H
#define CLOUD_ADOPT_H

#include <jansson.h>

#include "base/err.h"

struct lifecycle;
struct job_identity;
struct adoption;

/* Why not without being asked to: another instance's, or its agent calls another gateway. NULL: it is ours. Borrowed. */
const char *adopt_objection(struct lifecycle *l, json_t *job, const struct job_identity *who);
/* err NULL: its containers are in the table and taken up. From the loop, never inside the call. */
typedef void adopt_cb(void *ctx, const struct err *err);
/* A call to Google if its execution has ended (the exit code), else none. job: one of jobs.list, borrowed. */
struct adoption *adopt_begin(struct lifecycle *l, json_t *job, adopt_cb *cb, void *ctx);
void adopt_cancel(struct adoption *a); /* cb will not run; NULL is fine */

#endif
