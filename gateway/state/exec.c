/* exec - the records of docker exec: a hash by id, and two lists through it.
 * "open" are those that may still run (docker inspect's ExecIDs; looked at on the way of every docker
 * exec, so it must not walk the finished ones); "done" are those that may be forgotten, oldest first. */
#include "state/exec.h"

#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "gateway.h"
#include "state/container.h"
#include "state/doc.h"
#include "state/events.h"
#include "state/store.h"

#define KIND "exec"
#define EVENT_ACTION_MAX (4 * 1024 * 1024)
#define EXIT_LOST 137           /* its container is gone: as if killed */

struct entry {
	struct exec exec;           /* first: an exec is its entry */
	struct entry *prev, *next;  /* in the table's open or done list */
	bool done;
};

struct execs {
	struct gateway *g;
	struct exec *by_id;         /* ours */
	struct entry *open, *done;
	size_t n_open, n_done;
};

static const char *const stored_state[] = {
	[EXEC_CREATED] = "created", [EXEC_STARTED] = "started", [EXEC_EXITED] = "exited",
};

static void exec_free(struct exec *e)
{
	strv_release(&e->argv);
	strv_release(&e->env);
	free(e->workdir);
	free(e->user);
	free(e->detach_keys);
	free(e->by);
	free(e->error);
	free((struct entry *)e);
}

/* ---- stored form -------------------------------------------------------------------------------- */

static json_t *to_doc(const struct exec *e)
{
	json_t *d = json_object();

	json_object_set_new(d, "container", doc_text(e->container_id));
	json_object_set_new(d, "run", json_integer((json_int_t)e->run));
	json_object_set_new(d, "channel", json_integer(e->channel));
	json_object_set_new(d, "argv", doc_list(&e->argv));
	json_object_set_new(d, "env", doc_list(&e->env));
	json_object_set_new(d, "workdir", doc_text(e->workdir));
	json_object_set_new(d, "user", doc_text(e->user));
	json_object_set_new(d, "detachKeys", doc_text(e->detach_keys));
	json_object_set_new(d, "tty", json_boolean(e->tty));
	json_object_set_new(d, "stdin", json_boolean(e->attach_stdin));
	json_object_set_new(d, "stdout", json_boolean(e->attach_stdout));
	json_object_set_new(d, "stderr", json_boolean(e->attach_stderr));
	json_object_set_new(d, "privileged", json_boolean(e->privileged));
	json_object_set_new(d, "probe", json_boolean(e->probe));
	json_object_set_new(d, "detached", json_boolean(e->detached));
	json_object_set_new(d, "by", doc_text(e->by));
	json_object_set_new(d, "rows", json_integer(e->rows));
	json_object_set_new(d, "cols", json_integer(e->cols));
	json_object_set_new(d, "state", json_string(stored_state[e->state]));
	json_object_set_new(d, "pid", json_integer(e->pid));
	json_object_set_new(d, "exitCode", json_integer(e->exit_code));
	json_object_set_new(d, "error", doc_text(e->error));
	json_object_set_new(d, "created", json_integer(e->created_ns));
	json_object_set_new(d, "finished", json_integer(e->finished_ns));
	return d;
}

static struct exec *from_doc(const char *id, const json_t *d)
{
	struct exec *e = xcalloc(1, sizeof(struct entry));
	const char *state = doc_str(d, "state");

	snprintf(e->id, sizeof(e->id), "%s", id);
	doc_copy(d, "container", e->container_id, sizeof(e->container_id));
	e->run = (uint64_t)doc_int(d, "run");
	e->channel = (uint32_t)doc_int(d, "channel");
	doc_strv(d, "argv", &e->argv);
	doc_strv(d, "env", &e->env);
	e->workdir = doc_dup(d, "workdir");
	e->user = doc_dup(d, "user");
	e->detach_keys = doc_dup(d, "detachKeys");
	e->tty = doc_bool(d, "tty");
	e->attach_stdin = doc_bool(d, "stdin");
	e->attach_stdout = doc_bool(d, "stdout");
	e->attach_stderr = doc_bool(d, "stderr");
	e->privileged = doc_bool(d, "privileged");
	e->probe = doc_bool(d, "probe");
	e->detached = doc_bool(d, "detached");
	e->by = doc_dup(d, "by");
	e->rows = (uint16_t)doc_int(d, "rows");
	e->cols = (uint16_t)doc_int(d, "cols");
	e->pid = (uint32_t)doc_int(d, "pid");
	e->exit_code = (int)doc_int(d, "exitCode");
	e->error = doc_dup(d, "error");
	e->created_ns = doc_int(d, "created");
	e->finished_ns = doc_int(d, "finished");
	for (int i = EXEC_CREATED; state && i <= EXEC_EXITED; i++)
		if (strcmp(stored_state[i], state) == 0)
			e->state = (enum exec_state)i;
	e->exit_visible = e->state == EXEC_EXITED;
	return e;
}

static int save(struct exec *e, struct err *err)
{
	if (doc_save(e->table->g->store, KIND, e->id, to_doc(e), &e->version, err) < 0)
		return err_wrap(err, "exec %.12s", e->id);
	return 0;
}

/* ---- the table ---------------------------------------------------------------------------------- */

static void table_add(struct execs *t, struct exec *e)
{
	struct entry *x = (struct entry *)e;

	e->table = t;
	HASH_ADD_KEYPTR(hh, t->by_id, e->id, strlen(e->id), e);
	x->done = e->state == EXEC_EXITED;
	if (x->done) {
		DL_APPEND(t->done, x);
		t->n_done++;
	} else {
		DL_APPEND(t->open, x);
		t->n_open++;
	}
}

static void forget(struct exec *e)
{
	struct entry *x = (struct entry *)e;
	struct execs *t = e->table;
	struct err err;

	if (store_delete(t->g->store, KIND, e->id, &err) < 0)
		log_warn("exec record not deleted", "exec=%.12s error=\"%s\"", e->id, err.msg);
	HASH_DEL(t->by_id, e);
	if (x->done) {
		DL_DELETE(t->done, x);
		t->n_done--;
	} else {
		DL_DELETE(t->open, x);
		t->n_open--;
	}
	exec_free(e);
}

static void forget_oldest(struct execs *t)
{
	while (t->n_done > EXECS_KEPT_MAX)
		forget(&t->done->exec);
}

/* Nothing more will happen to it: it may be forgotten when its turn comes. */
static void retire(struct exec *e)
{
	struct entry *x = (struct entry *)e;
	struct execs *t = e->table;

	if (x->done)
		return;
	DL_DELETE(t->open, x);
	t->n_open--;
	DL_APPEND(t->done, x);
	t->n_done++;
	x->done = true;
	forget_oldest(t);
}

/* The run it belongs to is over. */
static void end(struct exec *e)
{
	struct err err;

	if (e->state == EXEC_CREATED) /* can never be started now, but docker inspect knows it */
		retire(e);
	else if (exec_set_exited(e, EXIT_LOST, NULL, clock_wall_ns(), &err) < 0)
		log_warn("exec's end not stored", "exec=%.12s error=\"%s\"", e->id, err.msg);
}

static int load_one(void *ctx, const char *key, json_t *d, uint64_t version, struct err *err)
{
	struct exec *e = from_doc(key, d);

	e->version = version;
	table_add(ctx, e);
	return 0;
}

static int oldest_first(const struct entry *a, const struct entry *b)
{
	return (a->exec.finished_ns > b->exec.finished_ns) - (a->exec.finished_ns < b->exec.finished_ns);
}

/* What a gateway that was killed had no time for: the container went away, or its run had ended. */
static void settle(struct execs *t)
{
	struct entry *x, *tmp;

	DL_FOREACH_SAFE(t->open, x, tmp) {
		struct container *c = containers_by_id(t->g->containers, x->exec.container_id);

		if (!c)
			forget(&x->exec);
		else if (c->runs != x->exec.run || c->state == CONTAINER_EXITED)
			end(&x->exec);
	}
}

struct execs *execs_new(struct gateway *g, struct err *err)
{
	struct execs *t = xcalloc(1, sizeof(*t));

	t->g = g;
	if (doc_load_all(g->store, KIND, load_one, t, err) < 0) {
		execs_free(t);
		return NULL;
	}
	DL_SORT(t->done, oldest_first);
	settle(t);
	forget_oldest(t);
	return t;
}

void execs_free(struct execs *t)
{
	struct exec *e, *tmp;

	if (!t)
		return;
	HASH_ITER(hh, t->by_id, e, tmp) {
		HASH_DEL(t->by_id, e);
		exec_free(e);
	}
	free(t);
}

struct exec *execs_find(struct execs *t, const char *ref, struct err *err)
{
	size_t n = strlen(ref), found = 0;
	struct exec *e, *tmp, *match = NULL;

	HASH_FIND(hh, t->by_id, ref, n, e);
	if (e)
		return e;
	if (n && n < ID_HEX_MAX - 1 && strspn(ref, "0123456789abcdef") == n) {
		HASH_ITER(hh, t->by_id, e, tmp) {
			if (strncmp(e->id, ref, n) != 0)
				continue;
			match = e;
			found++;
		}
	}
	if (found == 1)
		return match;
	err_set(err, ERR_NOT_FOUND, "No such exec instance: %s", ref);
	return NULL;
}

struct exec *execs_add(struct execs *t, struct container *c, struct exec *spec, struct err *err)
{
	struct exec *e;

	if (t->n_open >= EXECS_OPEN_MAX) {
		err_set(err, ERR_LIMIT, "%d execs wait or run already", EXECS_OPEN_MAX);
		return NULL;
	}
	e = xcalloc(1, sizeof(struct entry));
	*e = *spec;
	memset(&e->hh, 0, sizeof(e->hh));
	random_hex(e->id, ID_HEX_MAX - 1);
	snprintf(e->container_id, sizeof(e->container_id), "%s", c->id);
	e->run = c->runs;
	e->state = EXEC_CREATED;
	e->channel = e->pid = 0;
	e->created_ns = clock_wall_ns();
	e->finished_ns = 0;
	e->version = 0;
	e->exit_visible = false;
	e->table = t;
	if (save(e, err) < 0) {
		free((struct entry *)e); /* the contents are still the caller's */
		return NULL;
	}
	*spec = (struct exec){0};
	table_add(t, e);
	return e;
}

/* ---- changes ------------------------------------------------------------------------------------ */

int exec_set_started(struct exec *e, uint32_t channel, struct err *err)
{
	struct exec before = *e;

	e->channel = channel;
	e->state = EXEC_STARTED;
	if (save(e, err) < 0) {
		*e = before;
		return -1;
	}
	return 0;
}

void exec_set_pid(struct exec *e, uint32_t pid)
{
	e->pid = pid; /* stored with the next change; until then the agent's table has it too */
}

int exec_set_exited(struct exec *e, int exit_code, const char *error, int64_t finished_ns, struct err *err)
{
	struct exec before = *e;

	if (e->state == EXEC_EXITED)
		return 0; /* told twice: the first one counts */
	e->state = EXEC_EXITED;
	e->exit_code = exit_code;
	e->error = xstrdup(error);
	e->finished_ns = finished_ns;
	e->exit_visible = true;
	if (save(e, err) < 0) {
		free(e->error);
		*e = before;
		return -1;
	}
	free(before.error);
	retire(e);
	return 0;
}

char *exec_start_error(const struct exec *e)
{
	if (e->state != EXEC_EXITED || !e->error || !*e->error)
		return NULL;
	if (strncmp(e->error, "unable to find ", 15) == 0) /* user or group: not the runtime's */
		return xstrdup(e->error);
	/* Clients look for "executable file not found" and the like in it. */
	return xasprintf("OCI runtime exec failed: exec failed: unable to start container process: %s: unknown", e->error);
}

void exec_emit(const struct exec *e, struct container *c, const char *what)
{
	json_t *attributes = container_event_attributes(c);
	AUTO_FREE char *action = NULL;
	struct buf b;

	buf_init(&b, EVENT_ACTION_MAX);
	buf_printf(&b, "%s: %s ", what, e->argv.v[0]);
	for (size_t i = 1; i < e->argv.n; i++)
		buf_printf(&b, "%s%s", i > 1 ? " " : "", e->argv.v[i]);
	action = buf_detach(&b, NULL);
	json_object_set_new(attributes, "execID", json_string(e->id));
	events_emit(e->table->g->events, "container", action, c->id, attributes);
}

void execs_container_ended(struct execs *t, const char *container_id, uint64_t run)
{
	struct entry *x, *tmp;

	DL_FOREACH_SAFE(t->open, x, tmp)
		if (x->exec.run <= run && strcmp(x->exec.container_id, container_id) == 0)
			end(&x->exec);
}

void execs_container_removed(struct execs *t, const char *container_id)
{
	struct exec *e, *tmp;

	HASH_ITER(hh, t->by_id, e, tmp)
		if (strcmp(e->container_id, container_id) == 0)
			forget(e);
}

void execs_count(const struct execs *t, size_t ret[EXEC_EXITED + 1])
{
	const struct entry *x;

	memset(ret, 0, (EXEC_EXITED + 1) * sizeof(*ret));
	DL_FOREACH(t->open, x)
		ret[x->exec.state]++;
	ret[EXEC_EXITED] += t->n_done;
}

json_t *execs_ids(struct execs *t, const char *container_id)
{
	json_t *ids = NULL;
	struct entry *x;

	DL_FOREACH(t->open, x) {
		if (strcmp(x->exec.container_id, container_id) != 0)
			continue;
		if (!ids)
			ids = json_array();
		json_array_append_new(ids, json_string(x->exec.id));
	}
	return ids ? ids : json_null();
}
