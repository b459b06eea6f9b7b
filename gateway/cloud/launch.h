/* launch - one execution of one job, from a specification to the execution's name: the Google calls of a start,
 * what repeats them, what puts them right and what undoes them. Nothing about containers or agents.
 *
 *   LAUNCH_NEW     CreateJob → RunJob                       two calls; the first start of a container
 *   LAUNCH_AGAIN   PatchJob (allowMissing) → RunJob         two calls; the job is there, its execution has ended
 *   LAUNCH_OVER    DeleteJob → (operation) → as NEW         nobody knows what is there
 *
 * With a start token (SOCKERLESS_GCR_START_TOKEN) create and patch run the job themselves: one call.
 *
 * RunJob is asked at once, without waiting for the job's operation; if Cloud Run says that the job is not
 * ready, the operation is awaited and RunJob asked again. Each launch puts a random mark on job and execution:
 * when an answer is lost, the mark tells whether the request had its effect. A launch that fails or is
 * cancelled deletes its job in the background. */
#ifndef CLOUD_LAUNCH_H
#define CLOUD_LAUNCH_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

struct cloud;
struct cloud_call;
struct launch;

#define LAUNCH_JOB_MAX 64
#define LAUNCH_MARK "sockerless_start" /* the annotation */

enum launch_how { LAUNCH_NEW, LAUNCH_AGAIN, LAUNCH_OVER };

/* Exactly one of execution (short name, borrowed) and err is non-NULL; l is gone after it. */
typedef void launch_cb(void *ctx, const char *execution, const struct err *err);

/* The job that runs this container. */
void launch_job_name(const char *container_id, char ret[LAUNCH_JOB_MAX]);
/* job is stolen. */
struct launch *launch_begin(struct cloud *c, const char *job_id, json_t *job, enum launch_how how, launch_cb *cb,
			    void *ctx);
/* No callback any more. undo: delete the job; else it stays as it is (the gateway is going away). */
void launch_cancel(struct launch *l, bool undo);

/* Delete a job, or one execution of it, in the background; what cannot be deleted is logged. */
void launch_discard(struct cloud *c, const char *job_id, const char *execution_or_null);

#endif
