/* operations - see operations.h. */
#include "operations.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/mem.h"
#include "base/parse.h"
#include "executions.h"
#include "jobs.h"
#include "net/defer.h"
#include "schema.h"
#include "wire.h"

#define KEPT_MAX 10000            /* finished ones; then the oldest are forgotten */
#define WAIT_DEFAULT_MS 30000
#define WAIT_MAX_MS (10 * 60 * 1000)
#define TYPE "type.googleapis.com/google.cloud.run.v2."

enum until { UNTIL_NOW, UNTIL_STARTED, UNTIL_COMPLETED };

struct waiter {
	struct operation *op;
	struct exchange *x;
	struct timer *timer;
	struct waiter *prev, *next;
};

struct operation {
	struct emulator *emu;
	char *name;                /* projects/P/locations/L/operations/UUID */
	enum until until;
	bool fails;                /* an execution's failure is ours */
	struct execution *execution; /* until done, or NULL */
	char *job;                 /* name of the job, if it is about one */
	bool done;
	json_t *metadata;          /* of a job, or final */
	json_t *response;
	int error_code;
	char *error_message;
	struct waiter *waiters;
	struct timer *latency;
	uint64_t seq;
	struct operation *prev, *next;           /* newest first */
	struct operation *exec_prev, *exec_next; /* execution->operations */
	UT_hash_handle hh;
};

static json_t *typed(const char *type, json_t *resource)
{
	json_t *o = json_object();
	AUTO_FREE char *full = xasprintf(TYPE "%s", type);

	json_object_set_new(o, "@type", json_string(full));
	json_object_update(o, resource);
	json_decref(resource);
	return o;
}

static json_t *render(const struct operation *op)
{
	json_t *o = json_pack("{s:s}", "name", op->name);

	json_object_set_new(o, "metadata", op->metadata ? json_incref(op->metadata)
			    : typed("Execution", execution_json(op->execution)));
	if (!op->done)
		return o;
	json_object_set_new(o, "done", json_true());
	if (op->error_message)
		json_object_set_new(o, "error", json_pack("{s:i, s:s}", "code", op->error_code,
							   "message", op->error_message));
	else
		json_object_set(o, "response", op->response);
	return o;
}

static void waiter_end(struct waiter *w)
{
	DL_DELETE(w->op->waiters, w);
	timer_cancel(&w->timer);
	free(w);
}

static void waiter_answer(void *p)
{
	struct waiter *w = p;
	struct exchange *x = w->x;
	json_t *o = render(w->op);

	waiter_end(w);
	rpc_reply(x, o);
}

static void waiter_left(struct exchange *x, void *p)
{
	wire_forget(x);
	waiter_end(p);
}

static void operation_free(struct store *s, struct operation *op)
{
	struct waiter *w, *tmp;

	DL_FOREACH_SAFE(op->waiters, w, tmp)
		waiter_answer(w);
	if (op->execution)
		DL_DELETE2(op->execution->operations, op, exec_prev, exec_next);
	timer_cancel(&op->latency);
	HASH_DEL(s->operations_by_name, op);
	DL_DELETE(s->operations, op);
	s->n_operations--;
	free(op->name);
	free(op->job);
	free(op->error_message);
	json_decref(op->metadata);
	json_decref(op->response);
	free(op);
}

static void finish(void *p)
{
	struct operation *op = p;
	struct waiter *w, *tmp;

	timer_cancel(&op->latency);
	if (op->job) {
		struct job *j = store_job(op->emu->store, op->job);
		if (j) { /* as it is now; a deleted one stays as it was */
			json_decref(op->metadata);
			op->metadata = typed("Job", job_json(j));
		}
	} else if (op->execution) { /* a deleted one stays as it was */
		json_decref(op->metadata);
		op->metadata = typed("Execution", execution_json(op->execution));
	}
	op->response = json_incref(op->metadata);
	op->done = true;
	if (op->execution)
		DL_DELETE2(op->execution->operations, op, exec_prev, exec_next);
	op->execution = NULL;
	DL_FOREACH_SAFE(op->waiters, w, tmp)
		waiter_answer(w);
}

static bool is_due(const struct operation *op)
{
	const struct execution *e = op->execution;

	return !e || e->complete_ns || (op->until == UNTIL_STARTED && e->start_ns);
}

void operations_settle(struct execution *e)
{
	struct operation *op, *tmp;

	for (op = e->operations; op; op = tmp) {
		tmp = op->exec_next;
		if (!is_due(op))
			continue;
		if (op->fails && e->conditions[COND_COMPLETED].state == STATE_FAILED) {
			op->error_code = execution_error_code(e);
			op->error_message = xstrdup(e->conditions[COND_COMPLETED].message);
		}
		finish(op);
	}
}

void operations_forget(struct execution *e)
{
	struct operation *op, *tmp;

	for (op = e->operations; op; op = tmp) {
		tmp = op->exec_next;
		if (!op->job && !op->metadata)
			op->metadata = typed("Execution", execution_json(e));
		op->execution = NULL;
	}
	e->operations = NULL;
}

static void forget_old(struct store *s)
{
	struct operation *op = s->operations ? s->operations->prev : NULL; /* utlist: head->prev = tail */

	while (s->n_operations > KEPT_MAX && op != s->operations) {
		struct operation *newer = op->prev;
		if (op->done)
			operation_free(s, op);
		op = newer;
	}
}

static struct operation *operation_new(struct emulator *emu, const char *project,
				       const char *location)
{
	struct operation *op = xcalloc(1, sizeof *op);
	struct store *s = emu->store;
	char uuid[UUID_MAX];

	store_uuid(uuid);
	op->emu = emu;
	op->name = xasprintf("projects/%s/locations/%s/operations/%s", project, location, uuid);
	op->seq = ++s->seq;
	HASH_ADD_KEYPTR(hh, s->operations_by_name, op->name, strlen(op->name), op);
	DL_PREPEND(s->operations, op);
	s->n_operations++;
	forget_old(s);
	return op;
}

static void attach(struct operation *op, struct execution *e)
{
	op->execution = e;
	DL_APPEND2(e->operations, op, exec_prev, exec_next);
}

/* The knob's error is that of the next create, patch or delete. */
static void take_injected_error(struct operation *op)
{
	struct knobs *k = &op->emu->knobs;

	if (!op->job || !k->operation_error_count || op->error_message)
		return;
	if (k->operation_error_count > 0)
		k->operation_error_count--;
	op->error_code = k->operation_error_code;
	op->error_message = xstrdup("Injected by the emulator.");
}

/* Done at once, after the knob's latency, or when the execution says so. */
static json_t *launch(struct operation *op)
{
	uint64_t latency_ms = op->emu->knobs.operation_latency_ms;

	take_injected_error(op);
	if (!is_due(op))
		;
	else if (latency_ms)
		op->latency = timer_start(op->emu->loop, latency_ms, finish, op);
	else
		finish(op);
	return render(op);
}

json_t *operation_for_job(struct emulator *emu, const struct job *j, struct execution *until,
			  bool to_its_end)
{
	struct operation *op = operation_new(emu, j->project, j->location);

	op->job = xstrdup(j->name);
	op->metadata = typed("Job", job_json(j));
	op->until = !until ? UNTIL_NOW : to_its_end ? UNTIL_COMPLETED : UNTIL_STARTED;
	op->fails = until != NULL;
	if (until)
		attach(op, until);
	return launch(op);
}

json_t *operation_for_execution(struct emulator *emu, struct execution *e, bool fails)
{
	struct operation *op = operation_new(emu, e->project, e->location);

	op->until = UNTIL_COMPLETED;
	op->fails = fails;
	attach(op, e);
	return launch(op);
}

/* ---- requests ---- */

static struct operation *find(struct emulator *emu, struct exchange *x, const char *name)
{
	struct rpc_error e = { 0 };
	struct operation *op;

	HASH_FIND_STR(emu->store->operations_by_name, name, op);
	if (!op) {
		rpc_fail(&e, RPC_NOT_FOUND, "Operation '%.300s' was not found.", name);
		rpc_reply_error(x, &e);
	}
	return op;
}

void operations_get(struct emulator *emu, struct exchange *x, const char *name)
{
	struct operation *op = find(emu, x, name);

	if (op)
		rpc_reply(x, render(op));
}

void operations_list(struct emulator *emu, struct exchange *x, const char *parent)
{
	AUTO_FREE char *filter = parse_query(exchange_query(x), "filter");
	AUTO_FREE char *prefix = xasprintf("%s/operations/", parent);
	struct rpc_error e = { 0 };
	struct operation *op;
	struct page page;

	if (filter && *filter && strcmp(filter, "done:true") && strcmp(filter, "done:false"))
		rpc_fail(&e, RPC_INVALID_ARGUMENT, "The filter may be done:true or done:false");
	else
		page_begin(&page, exchange_query(x), parent, &e);
	if (e.code) {
		rpc_reply_error(x, &e);
		return;
	}
	DL_FOREACH(emu->store->operations, op) {
		if (strncmp(op->name, prefix, strlen(prefix)) ||
		    (filter && *filter && op->done != !strcmp(filter, "done:true")))
			continue;
		if (page_wants(&page, op->seq))
			page_add(&page, op->seq, render(op));
	}
	page_reply(&page, x, "operations");
}

void operations_wait(struct emulator *emu, struct exchange *x, const char *name, const json_t *body)
{
	struct operation *op = find(emu, x, name);
	const char *timeout = json_string_value(json_object_get(body, "timeout"));
	int64_t ms = WAIT_DEFAULT_MS;

	if (!op)
		return;
	if (timeout)
		schema_duration_ms(timeout, &ms); /* the schema has seen to its form */
	if (op->done || ms == 0) {
		rpc_reply(x, render(op));
		return;
	}
	struct waiter *w = xcalloc(1, sizeof *w);
	w->op = op;
	w->x = x;
	w->timer = timer_start(emu->loop, (uint64_t)(ms > WAIT_MAX_MS ? WAIT_MAX_MS : ms),
			       waiter_answer, w);
	DL_APPEND(op->waiters, w);
	exchange_on_close(x, waiter_left, w);
}

void operations_delete(struct emulator *emu, struct exchange *x, const char *name)
{
	struct operation *op = find(emu, x, name);

	if (!op)
		return;
	operation_free(emu->store, op);
	rpc_reply(x, json_object());
}

void operations_free(struct store *s)
{
	struct operation *op, *tmp;

	DL_FOREACH_SAFE(s->operations, op, tmp)
		operation_free(s, op);
}
