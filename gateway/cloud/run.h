/* run - typed, asynchronous calls to Cloud Run v2 over net/http_client.
 * Each call does one thing, has a deadline, is repeated where that does no harm (call.c), and gives the callback the
 * parsed JSON or an err holding the sentence Google gave (ERR_NOT_FOUND, ERR_CONFLICT, ERR_INVALID,
 * ERR_DENIED, ERR_FORBIDDEN, ERR_LIMIT for 429, ERR_UPSTREAM). Credentials: none with
 * SOCKERLESS_ENDPOINT_URL, else auth/auth.h. Source: run.googleapis.com v2 discovery. */
#ifndef CLOUD_RUN_H
#define CLOUD_RUN_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"

struct gateway;
struct cloud;
struct cloud_call;

struct cloud *cloud_new(struct gateway *g);
void cloud_free(struct cloud *c);

/* Exactly one of json (borrowed) and err is non-NULL. Never inside the starting call. */
typedef void cloud_cb(void *ctx, json_t *json, const struct err *err);
void cloud_cancel(struct cloud_call *call); /* cb will not run; NULL is fine */

/* Short names throughout; the parent is projects/P/locations/R. job is stolen. */
struct cloud_call *run_create_job(struct cloud *c, const char *job_id, json_t *job, cloud_cb *cb, void *ctx);
struct cloud_call *run_patch_job(struct cloud *c, const char *job_id, json_t *job, cloud_cb *cb, void *ctx); /* or create it */
struct cloud_call *run_get_job(struct cloud *c, const char *job_id, cloud_cb *cb, void *ctx);
struct cloud_call *run_delete_job(struct cloud *c, const char *job_id, cloud_cb *cb, void *ctx);
struct cloud_call *run_list_jobs(struct cloud *c, cloud_cb *cb, void *ctx);       /* all pages: {"jobs":[…]} */
struct cloud_call *run_run_job(struct cloud *c, const char *job_id, cloud_cb *cb, void *ctx); /* the operation */
struct cloud_call *run_get_execution(struct cloud *c, const char *job_id, const char *execution, cloud_cb *cb, void *ctx);
struct cloud_call *run_cancel_execution(struct cloud *c, const char *job_id, const char *execution, cloud_cb *cb, void *ctx);
struct cloud_call *run_delete_execution(struct cloud *c, const char *job_id, const char *execution, cloud_cb *cb, void *ctx);
struct cloud_call *run_list_executions(struct cloud *c, const char *job_id, cloud_cb *cb, void *ctx); /* the 20 newest */
struct cloud_call *run_list_tasks(struct cloud *c, const char *job_id, const char *execution, cloud_cb *cb, void *ctx);
/* Wait for a create or delete operation (never for a run): polls operations.get, 100 ms doubling to 2 s,
 * until done; an operation error becomes err. cb gets the operation. */
struct cloud_call *run_wait_operation(struct cloud *c, const char *operation_name, uint64_t timeout_ms, cloud_cb *cb, void *ctx);

/* What an execution resource says. */
enum execution_phase { EXECUTION_PENDING, EXECUTION_RUNNING, EXECUTION_SUCCEEDED, EXECUTION_FAILED, EXECUTION_CANCELLED };
enum execution_phase run_execution_phase(json_t *execution);
const char *run_execution_message(json_t *execution); /* the failed condition's sentence, or NULL; borrowed */
/* Exit code from a tasks.list answer: exitCode, 128+termSignal, or -1 if it does not say. */
int run_task_exit_code(json_t *tasks);
/* A variable of one of a job's containers, or NULL; borrowed. */
const char *run_container_env(json_t *container, const char *name);

#endif
