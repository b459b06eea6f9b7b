/* store - jobs, executions and operations: the records, their names, and finding them.
 * What they do is in jobs.c, executions.c, operations.c. Memory only: a new emulator is an empty
 * Cloud Run. */
#ifndef EMULATOR_STORE_H
#define EMULATOR_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "emulator.h"
#include "rpc.h"
#include "task.h"

struct exchange;

#define UUID_MAX 37
#define PAGE_DEFAULT 100
#define PAGE_MAX 1000

struct job {
	char *name;                    /* projects/P/locations/L/jobs/J */
	char *project, *location, *id;
	char uid[UUID_MAX], etag[40];
	json_t *spec;                  /* what users may write, with defaults */
	int64_t generation, create_ns, update_ns, delete_ns;
	int64_t execution_count;
	struct execution *latest;      /* NULL: none, or deleted */
	uint64_t seq;
	struct job *prev, *next;       /* newest first */
	UT_hash_handle hh;
};

enum condition_state { STATE_UNSPECIFIED, STATE_PENDING, STATE_RECONCILING, STATE_FAILED,
		       STATE_SUCCEEDED };

struct condition {
	enum condition_state state;
	char *message;                 /* ours */
	const char *reason, *execution_reason; /* constants, or NULL */
	int64_t time_ns;
};

enum { COND_COMPLETED, COND_RESOURCES, COND_STARTED, COND_CONTAINER, N_CONDITIONS };

enum task_state { TASK_PENDING, TASK_RUNNING, TASK_ENDED };

struct execution_task {
	struct execution *execution;
	int index, retried;
	enum task_state state;
	char uid[UUID_MAX];
	int64_t start_ns, complete_ns;
	struct task *attempt;          /* while one runs */
	bool has_result;
	struct task_result result;     /* of the last attempt */
};

struct execution {
	struct emulator *emu;
	struct job *job;               /* NULL once that is deleted */
	char *name, *project, *location, *job_id, *id;
	char uid[UUID_MAX], etag[40];
	json_t *labels, *annotations;  /* or NULL */
	json_t *template;              /* TaskTemplate, overrides applied */
	char *launch_stage, *client, *client_version;
	int64_t create_ns, start_ns, complete_ns, update_ns, delete_ns;
	int task_count, parallelism;
	struct execution_task *tasks;
	int next_task, running, succeeded, failed, cancelled, retried, in_flight;
	bool cancelling, deleted;      /* deleted: no longer findable, waits for its tasks to end */
	struct condition conditions[N_CONDITIONS];
	struct operation *operations;  /* that wait for us */
	uint64_t seq;
	struct execution *prev, *next; /* newest first; also while deleted */
	UT_hash_handle hh;
};

struct store {
	struct job *jobs_by_name, *jobs;
	struct execution *executions_by_name, *executions;
	struct operation *operations_by_name, *operations;
	size_t n_operations;
	uint64_t seq;
};

struct store *store_new(void);
void store_free(struct store *s);

struct job *store_job(struct store *s, const char *name);
struct execution *store_execution(struct store *s, const char *name);
void store_add_job(struct store *s, struct job *j);
void store_remove_job(struct store *s, struct job *j); /* frees */
void store_add_execution(struct store *s, struct execution *e);
void store_hide_execution(struct store *s, struct execution *e); /* no longer findable */
void store_remove_execution(struct store *s, struct execution *e); /* frees */

void store_uuid(char out[UUID_MAX]);
void store_etag(char out[40]);
/* "" matches anything; ABORTED otherwise. */
int store_check_etag(const char *current, const char *given, struct rpc_error *e);

/* One page of a list that is sorted by seq, newest first. */
struct page {
	size_t size;
	uint64_t before_seq; /* only records with a smaller seq */
	const char *parent;
	json_t *list;
	uint64_t last_seq;   /* of what is on the page so far */
	bool more;           /* there was one for another page */
};
int page_begin(struct page *p, const char *query, const char *parent, struct rpc_error *e);
/* Whether the record belongs on it: give it to page_add then. p->more: there is no need to look at others. */
bool page_wants(struct page *p, uint64_t seq);
void page_add(struct page *p, uint64_t seq, json_t *record); /* takes record */
void page_reply(struct page *p, struct exchange *x, const char *name); /* the end of it */

#endif
