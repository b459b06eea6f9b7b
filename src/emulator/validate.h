/* validate - what the API refuses beyond types: names, limits, references between fields, and what
 * this emulator cannot do (it says so instead of pretending). Pure. */
#ifndef EMULATOR_VALIDATE_H
#define EMULATOR_VALIDATE_H

#include <jansson.h>
#include <stdint.h>

#include "base/mem.h"
#include "rpc.h"

/* ^[a-z]([-a-z0-9]*[a-z0-9])?$ with at most 49 characters */
int validate_job_id(const char *id, struct rpc_error *e);
/* request: "CreateJobRequest", for the errors' field paths. secrets: the NAME=FILE that exist. */
int validate_job(const char *request, const char *job_id, const json_t *job,
		 const struct strv *secrets, struct rpc_error *e);
/* job: with defaults applied. */
int validate_overrides(const json_t *overrides, const json_t *job, const struct strv *secrets,
		       struct rpc_error *e);
/* "128Mi", "1G", "1000000" in bytes; 0 or -1. */
int validate_size(const char *s, uint64_t *ret);

#endif
