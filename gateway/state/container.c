/* container - the state machine of a record, and who waits for it. The record as it is stored is
 * container_doc.c, the table of all container_table.c, what happens during a run container_run.c.
 *
 * A transition changes the record, stores it, and only then frees what it replaced, wakes and emits;
 * if the store refuses, the record is put back as it was. Waiters leave their container's list when
 * they are fired and live on in the loop's queue until they are told, so a container may be freed
 * while its waiters are still on their way. */
#include "state/container.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/container_ops.h"
#include "state/doc.h"
#include "state/events.h"
#include "state/health.h"
#include "state/logs.h"
#include "state/pending_files.h"
#include "state/store.h"

#define SHORT_ID 12

struct container_waiter {
	struct container_waiter *prev, *next;
	struct container *container; /* NULL once fired */
	enum wait_condition cond;
	container_wait_cb *fn;
	void *ctx;
	int exit_code;
	char *error;                 /* ours */
	bool cancelled;
};

void container_free(struct container *c)
{
	struct container_waiter *w, *tmp;

	if (!c)
		return;
	DL_FOREACH_SAFE(c->waiters, w, tmp)
		free(w);
	if (c->log)
		log_close(c->log);
	json_decref(c->config);
	json_decref(c->host_config);
	json_decref(c->networking);
	json_decref(c->health);
	json_decref(c->mounts);
	json_decref(c->ports);
	free(c->name);
	free(c->image);
	free(c->image_id);
	free(c->image_ref);
	free(c->overlay_ref);
	free(c->error);
	free(c->job);
	free(c->execution);
	free(c);
}

/* ---- changes ------------------------------------------------------------------------------------ */

int container_save(struct container *c, struct err *err)
{
	return doc_save(c->table->g->store, CONTAINER_KIND, c->id, container_to_doc(c), &c->version, err);
}

static void free_replaced(const struct container *old, const struct container *new)
{
	if (old->name != new->name)
		free(old->name);
	if (old->error != new->error)
		free(old->error);
	if (old->job != new->job)
		free(old->job);
	if (old->execution != new->execution)
		free(old->execution);
	if (old->health != new->health)
		json_decref(old->health);
	if (old->host_config != new->host_config)
		json_decref(old->host_config);
}

int container_commit(struct container *c, const struct container *before, struct err *err)
{
	if (container_save(c, err) < 0) {
		free_replaced(c, before);
		*c = *before;
		return err_wrap(err, "container %.*s", SHORT_ID, c->id);
	}
	free_replaced(before, c);
	return 0;
}

static void waiter_tell(void *p)
{
	struct container_waiter *w = p;

	if (!w->cancelled)
		w->fn(w->ctx, w->exit_code, w->error);
	free(w->error);
	free(w);
}

static void waiter_fire(struct container_waiter *w)
{
	struct container *c = w->container;

	DL_DELETE(c->waiters, w);
	w->container = NULL;
	w->exit_code = c->exit_code;
	/* Who waits for the removal is told how that went, not how the container did. */
	w->error = w->cond == WAIT_REMOVED ? NULL : xstrdup(c->error);
	loop_defer(c->table->g->loop, waiter_tell, w);
}

void container_wake(struct container *c, enum wait_condition cond)
{
	struct container_waiter *w, *tmp;

	DL_FOREACH_SAFE(c->waiters, w, tmp)
		if (w->cond == cond)
			waiter_fire(w);
}

static void emit(const struct container *c, const char *action, json_t *attributes)
{
	events_emit(c->table->g->events, "container", action, c->id, attributes);
}

static char *log_path(const struct container *c)
{
	return xasprintf("%s/%s.log", c->table->log_dir, c->id);
}

/* json-file's options; what they say was checked at create. */
static void set_rotation(const struct container *c, struct log *log)
{
	json_t *o = json_object_get(json_object_get(c->host_config, "LogConfig"), "Config");
	const char *size = json_string_value(json_object_get(o, "max-size"));
	const char *files = json_string_value(json_object_get(o, "max-file"));
	int64_t segment = 0, n = 1;

	if (!size || parse_size(size, &segment) < 0 || segment <= 0)
		return;
	if (files && (parse_i64(files, &n) < 0 || n < 1))
		n = 1;
	log_set_rotation(log, (uint64_t)segment, n > LOG_SEGMENTS_MAX ? LOG_SEGMENTS_MAX : (unsigned)n);
}

struct log *container_log(struct container *c, struct err *err)
{
	if (!c->log) {
		AUTO_FREE char *path = log_path(c);

		c->log = log_open(path, err);
		if (c->log)
			set_rotation(c, c->log);
	}
	return c->log;
}

int container_set_starting(struct container *c, const char *token, struct err *err)
{
	struct container before = *c;

	c->state = CONTAINER_STARTING;
	c->runs++;
	c->pid = 0;
	if (!c->restarting) {
		c->restart_count = 0;
		c->stopped_by_hand = c->exit_on_next = false;
		c->executions_lost = 0;
	}
	c->restart_base = c->restart_count;
	c->job = c->execution = c->error = NULL;
	if (!c->staged_run) /* else its agent is there already */
		c->agent_key[0] = c->agent_public[0] = '\0';
	c->staged_run = 0;
	snprintf(c->token, sizeof(c->token), "%s", token);
	return container_commit(c, &before, err);
}

int container_set_staged(struct container *c, const char *token, uint64_t owners_run, const char *hostname,
			 struct err *err)
{
	struct container before = *c;

	snprintf(c->token, sizeof(c->token), "%s", token);
	c->agent_key[0] = c->agent_public[0] = '\0';
	c->staged_run = owners_run;
	c->job = c->execution = NULL; /* of a former run */
	json_object_set_new(c->config, "Hostname", doc_text(hostname)); /* as dockerd, whose containers share it */
	return container_commit(c, &before, err);
}

int container_set_agent_key(struct container *c, const char *key, const char *public_key, struct err *err)
{
	struct container before = *c;

	snprintf(c->agent_key, sizeof(c->agent_key), "%s", key);
	snprintf(c->agent_public, sizeof(c->agent_public), "%s", public_key);
	return container_commit(c, &before, err);
}

int container_set_ports(struct container *c, json_t *ports, struct err *err)
{
	json_t *before = c->ports;

	if (json_object_size(ports) == 0 && json_object_size(before) == 0) {
		json_decref(ports);
		return 0;
	}
	c->ports = ports;
	if (container_save(c, err) == 0) {
		json_decref(before);
		return 0;
	}
	json_decref(ports);
	c->ports = before;
	return err_wrap(err, "container %.*s", SHORT_ID, c->id);
}

int container_set_job(struct container *c, const char *job, const char *execution, struct err *err)
{
	struct container before = *c;

	c->job = xstrdup(job);
	c->execution = xstrdup(execution);
	return container_commit(c, &before, err);
}

/* As in dockerd, a start that failed is no exit: whoever waits for the next one goes on waiting. */
int container_set_start_failed(struct container *c, int exit_code, const char *sentence, struct err *err)
{
	struct container before = *c;

	if (c->state != CONTAINER_REMOVING)
		c->state = c->started_ns ? CONTAINER_EXITED : CONTAINER_CREATED;
	c->exit_code = exit_code;
	c->error = xstrdup(sentence);
	c->pid = 0;
	c->restarting = false;
	if (container_commit(c, &before, err) < 0)
		return -1;
	container_wake(c, WAIT_NOT_RUNNING);
	return 0;
}

int container_set_running(struct container *c, uint32_t pid, int64_t started_ns, struct err *err)
{
	struct container before = *c;
	bool begins = c->state == CONTAINER_STARTING || c->restarting;

	if (c->state != CONTAINER_REMOVING)
		c->state = CONTAINER_RUNNING;
	c->pid = pid;
	c->started_ns = started_ns;
	c->exit_code = 0;
	c->error = NULL;
	c->output_incomplete = c->restarting = c->paused = false;
	if (begins)
		c->health = health_wanted(c->config) ? health_starting(c->health) : NULL;
	if (container_commit(c, &before, err) < 0)
		return -1;
	if (begins)
		container_emit(c, "start");
	return 0;
}

/* Is there a main process that may still exit? Also while it is being removed by force. */
static bool is_live(const struct container *c)
{
	return c->state == CONTAINER_STARTING || c->state == CONTAINER_RUNNING ||
	       (c->state == CONTAINER_REMOVING && c->pid != 0);
}

void container_end_process(struct container *c, int exit_code, int64_t finished_ns)
{
	c->exit_code = exit_code;
	c->finished_ns = finished_ns;
	c->pid = 0;
	c->paused = false;
	if (c->health)
		c->health = health_suspended(c->health);
}

void container_emit_die(struct container *c, const struct container *before)
{
	/* STARTING: it ended before we heard that it ran, and started_ns is of a former run. */
	int64_t ran_s = before->state == CONTAINER_STARTING ? 0 : (c->finished_ns - c->started_ns) / 1000000000;
	json_t *attributes = container_event_attributes(c);

	json_object_set_new(attributes, "exitCode", json_sprintf("%d", c->exit_code));
	json_object_set_new(attributes, "execDuration", json_sprintf("%lld", (long long)(ran_s > 0 ? ran_s : 0)));
	emit(c, "die", attributes);
}

int container_set_exited(struct container *c, int exit_code, int64_t finished_ns, bool incomplete,
			 struct err *err)
{
	struct container before = *c;

	if (!is_live(c))
		return 0; /* the agent and Cloud Run may both tell us: the first one counts */
	if (c->state != CONTAINER_REMOVING)
		c->state = CONTAINER_EXITED;
	container_end_process(c, exit_code, finished_ns);
	c->output_incomplete = incomplete;
	c->restarting = false;
	if (container_commit(c, &before, err) < 0)
		return -1;
	if (c->log)
		log_settle(c->log);
	container_wake(c, WAIT_NOT_RUNNING);
	container_wake(c, WAIT_NEXT_EXIT);
	if (!before.restarting || before.finished_ns != finished_ns)
		container_emit_die(c, &before);
	return 0;
}

int container_set_removing(struct container *c, struct err *err)
{
	struct container before = *c;

	c->state = CONTAINER_REMOVING;
	return container_commit(c, &before, err);
}

void container_remove(struct container *c)
{
	struct containers *t = c->table;
	AUTO_FREE char *path = log_path(c);
	struct err err;

	assert(!c->tunnel);
	if (c->log)
		log_unlink(c->log);
	else
		(void) unlink(path); /* absent when it never printed */
	/* If this fails the record is "removing" after a restart, and is removed then. */
	if (store_delete(t->g->store, CONTAINER_KIND, c->id, &err) < 0)
		log_error("container record not deleted", "container=%.12s error=\"%s\"", c->id, err.msg);
	HASH_DELETE(hh_id, t->by_id, c);
	HASH_DELETE(hh_name, t->by_name, c);
	t->sharing -= c->shares_network;
	pending_files_forget(t->g->pending_files, c->id);
	container_wake(c, WAIT_NOT_RUNNING);
	container_wake(c, WAIT_NEXT_EXIT);
	container_wake(c, WAIT_REMOVED);
	container_emit(c, "destroy");
	container_free(c);
}

/* ---- looking and waiting ------------------------------------------------------------------------ */

bool container_is_running(const struct container *c)
{
	return c->state == CONTAINER_RUNNING || (c->state == CONTAINER_STARTING && c->restarting);
}

int container_check_process(const struct container *c, struct err *err)
{
	if (!container_is_running(c))
		return err_set(err, ERR_CONFLICT, "Container %s is not running", c->id);
	if (c->foreign && !c->tunnel) /* unless its agent has called: docs/predecessor.md */
		return err_set(err, ERR_CONFLICT, "Container %s was made by another backend: its processes cannot be reached from here",
			       c->id);
	if (c->restarting)
		return err_set(err, ERR_CONFLICT, "Container %s is restarting, wait until the container is running", c->id);
	return 0;
}

struct container_waiter *container_wait(struct container *c, enum wait_condition cond, container_wait_cb *fn,
					void *ctx)
{
	struct container_waiter *w = xcalloc(1, sizeof(*w));

	w->container = c;
	w->cond = cond;
	w->fn = fn;
	w->ctx = ctx;
	DL_APPEND(c->waiters, w);
	if (cond == WAIT_NOT_RUNNING && !is_live(c))
		waiter_fire(w);
	return w;
}

void container_unwait(struct container_waiter *w)
{
	if (!w)
		return;
	if (!w->container) { /* fired: the loop's queue has it and frees it */
		w->cancelled = true;
		return;
	}
	DL_DELETE(w->container->waiters, w);
	free(w);
}

json_t *container_event_attributes(const struct container *c)
{
	json_t *attributes = json_object(), *value;
	const char *key;

	json_object_foreach(json_object_get(c->config, "Labels"), key, value)
		if (json_is_string(value))
			json_object_set(attributes, key, value);
	if (c->image)
		json_object_set_new(attributes, "image", doc_text(c->image));
	json_object_set_new(attributes, "name", doc_text(c->name));
	return attributes;
}

void container_emit(struct container *c, const char *action)
{
	emit(c, action, container_event_attributes(c));
}
