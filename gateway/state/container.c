/* container - records, their state machine and who waits for it.
 *
 * A transition changes the record, stores it, and only then frees what it replaced, wakes and emits;
 * if the store refuses, the record is put back as it was. Waiters leave their container's list when
 * they are fired and live on in the loop's queue until they are told, so a container may be freed
 * while its waiters are still on their way. */
#include "state/container.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <utlist.h>

#include "base/clock.h"
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
#include "state/names.h"
#include "state/pending_files.h"
#include "state/store.h"

#define KIND "container"
#define NAME_RETRIES 6
#define SHORT_ID 12

struct containers {
	struct gateway *g;
	char *log_dir;
	struct container *by_id, *by_name; /* ours; two hashes over the same records */
	int64_t last_created_ns;
};

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

static const char *const stored_state[] = {
	[CONTAINER_CREATED] = "created", [CONTAINER_STARTING] = "starting", [CONTAINER_RUNNING] = "running",
	[CONTAINER_EXITED] = "exited", [CONTAINER_REMOVING] = "removing",
};

static void container_free(struct container *c)
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

/* ---- stored form -------------------------------------------------------------------------------- */

static json_t *to_doc(const struct container *c)
{
	json_t *d = json_object();

	json_object_set_new(d, "name", doc_text(c->name));
	json_object_set_new(d, "created", json_integer(c->created_ns));
	json_object_set(d, "config", c->config);
	json_object_set(d, "hostConfig", c->host_config);
	if (c->networking)
		json_object_set(d, "networking", c->networking);
	if (c->mounts)
		json_object_set(d, "mounts", c->mounts);
	if (c->ports)
		json_object_set(d, "ports", c->ports);
	json_object_set_new(d, "image", doc_text(c->image));
	json_object_set_new(d, "imageID", doc_text(c->image_id));
	json_object_set_new(d, "imageRef", doc_text(c->image_ref));
	json_object_set_new(d, "state", json_string(stored_state[c->state]));
	json_object_set_new(d, "exitCode", json_integer(c->exit_code));
	json_object_set_new(d, "error", doc_text(c->error));
	json_object_set_new(d, "started", json_integer(c->started_ns));
	json_object_set_new(d, "finished", json_integer(c->finished_ns));
	json_object_set_new(d, "pid", json_integer(c->pid));
	json_object_set_new(d, "outputIncomplete", json_boolean(c->output_incomplete));
	json_object_set_new(d, "runs", json_integer((json_int_t)c->runs));
	json_object_set_new(d, "paused", json_boolean(c->paused));
	json_object_set_new(d, "restarting", json_boolean(c->restarting));
	json_object_set_new(d, "restartCount", json_integer(c->restart_count));
	json_object_set_new(d, "restartBase", json_integer(c->restart_base));
	json_object_set_new(d, "executionsLost", json_integer(c->executions_lost));
	json_object_set_new(d, "stoppedByHand", json_boolean(c->stopped_by_hand));
	json_object_set_new(d, "exitOnNext", json_boolean(c->exit_on_next));
	json_object_set_new(d, "memoryLimit", json_integer(c->memory_limit));
	if (c->health)
		json_object_set(d, "health", c->health);
	json_object_set_new(d, "job", doc_text(c->job));
	json_object_set_new(d, "execution", doc_text(c->execution));
	json_object_set_new(d, "token", doc_text(c->token));
	json_object_set_new(d, "stagedRun", json_integer((json_int_t)c->staged_run));
	if (c->foreign)
		json_object_set_new(d, "foreign", json_true());
	return d;
}

/* What is read often out of the configuration. */
static void derive(struct container *c)
{
	c->tty = doc_bool(c->config, "Tty");
	c->open_stdin = doc_bool(c->config, "OpenStdin");
	c->stdin_once = doc_bool(c->config, "StdinOnce");
	c->auto_remove = doc_bool(c->host_config, "AutoRemove");
}

static int state_from_doc(struct container *c, const json_t *d, struct err *err)
{
	const char *name = doc_str(d, "state");

	for (size_t i = 0; name && i < sizeof(stored_state) / sizeof(stored_state[0]); i++) {
		if (strcmp(stored_state[i], name) != 0)
			continue;
		c->state = (enum container_state)i;
		return 0;
	}
	return err_set(err, ERR_INVALID, "container %s: unknown state \"%s\"", c->id, name ? name : "");
}

static struct container *from_doc(const char *id, const json_t *d, struct err *err)
{
	struct container *c = xcalloc(1, sizeof(*c));

	snprintf(c->id, sizeof(c->id), "%s", id);
	c->name = doc_dup(d, "name");
	c->created_ns = doc_int(d, "created");
	c->config = doc_object(d, "config");
	c->host_config = doc_object(d, "hostConfig");
	c->networking = doc_object(d, "networking");
	c->mounts = json_incref(json_object_get(d, "mounts"));
	c->ports = doc_object(d, "ports");
	c->image = doc_dup(d, "image");
	c->image_id = doc_dup(d, "imageID");
	c->image_ref = doc_dup(d, "imageRef");
	c->exit_code = (int)doc_int(d, "exitCode");
	c->error = doc_dup(d, "error");
	c->started_ns = doc_int(d, "started");
	c->finished_ns = doc_int(d, "finished");
	c->pid = (uint32_t)doc_int(d, "pid");
	c->output_incomplete = doc_bool(d, "outputIncomplete");
	c->runs = (uint64_t)doc_int(d, "runs");
	c->paused = doc_bool(d, "paused");
	c->restarting = doc_bool(d, "restarting");
	c->restart_count = (int)doc_int(d, "restartCount");
	c->restart_base = (int)doc_int(d, "restartBase");
	c->executions_lost = (int)doc_int(d, "executionsLost");
	c->stopped_by_hand = doc_bool(d, "stoppedByHand");
	c->exit_on_next = doc_bool(d, "exitOnNext");
	c->memory_limit = doc_int(d, "memoryLimit");
	c->health = doc_object(d, "health");
	c->job = doc_dup(d, "job");
	c->execution = doc_dup(d, "execution");
	doc_copy(d, "token", c->token, sizeof(c->token));
	c->staged_run = (uint64_t)doc_int(d, "stagedRun");
	c->foreign = doc_bool(d, "foreign");
	if (state_from_doc(c, d, err) < 0)
		goto fail;
	if (!c->name || !c->config || !c->host_config) {
		err_set(err, ERR_INVALID, "container %s: the stored record is incomplete", id);
		goto fail;
	}
	derive(c);
	return c;
fail:
	container_free(c);
	return NULL;
}

static void table_add(struct containers *t, struct container *c)
{
	c->table = t;
	HASH_ADD_KEYPTR(hh_id, t->by_id, c->id, strlen(c->id), c);
	HASH_ADD_KEYPTR(hh_name, t->by_name, c->name, strlen(c->name), c);
	if (c->created_ns > t->last_created_ns)
		t->last_created_ns = c->created_ns;
}

static struct container *by_name(struct containers *t, const char *name)
{
	struct container *c;

	HASH_FIND(hh_name, t->by_name, name, strlen(name), c);
	return c;
}

/* ---- the table ---------------------------------------------------------------------------------- */

struct loading {
	struct containers *table;
	struct err *err;
};

static int load_one(void *ctx, const char *key, const char *text, uint64_t version)
{
	struct loading *l = ctx;
	json_t *d = doc_load(KIND, key, text, l->err);
	struct container *c = d ? from_doc(key, d, l->err) : NULL;

	json_decref(d);
	if (!c)
		return -1;
	c->version = version;
	if (by_name(l->table, c->name)) {
		err_set(l->err, ERR_INVALID, "two stored containers are called %s", c->name);
		container_free(c);
		return -1;
	}
	table_add(l->table, c);
	return 0;
}

struct containers *containers_new(struct gateway *g, const char *log_dir, struct err *err)
{
	struct containers *t = xcalloc(1, sizeof(*t));
	struct err failed = {0};
	struct loading l = {t, &failed};

	t->g = g;
	t->log_dir = xstrdup(log_dir);
	if (mkdir(log_dir, 0700) < 0 && errno != EEXIST) {
		err_sys(err, errno, "mkdir %s", log_dir);
		goto fail;
	}
	if (store_scan(g->store, KIND, load_one, &l, &failed) < 0 || failed.kind) {
		err_set(err, failed.kind, "%s", failed.msg);
		goto fail;
	}
	return t;
fail:
	containers_free(t);
	return NULL;
}

void containers_free(struct containers *t)
{
	struct container *c, *tmp;

	if (!t)
		return;
	HASH_CLEAR(hh_name, t->by_name);
	HASH_ITER(hh_id, t->by_id, c, tmp) {
		HASH_DELETE(hh_id, t->by_id, c);
		container_free(c);
	}
	free(t->log_dir);
	free(t);
}

struct container *containers_by_id(struct containers *t, const char *id)
{
	struct container *c;

	HASH_FIND(hh_id, t->by_id, id, strlen(id), c);
	return c;
}

static struct container *by_prefix(struct containers *t, const char *ref, bool *ret_ambiguous)
{
	size_t n = strlen(ref);
	struct container *c, *tmp, *found = NULL;

	*ret_ambiguous = false;
	if (n == 0 || n >= ID_HEX_MAX || strspn(ref, "0123456789abcdef") != n)
		return NULL;
	HASH_ITER(hh_id, t->by_id, c, tmp) {
		if (strncmp(c->id, ref, n) != 0)
			continue;
		*ret_ambiguous = found != NULL;
		if (found)
			return NULL;
		found = c;
	}
	return found;
}

struct container *containers_find(struct containers *t, const char *ref, struct err *err)
{
	struct container *c = containers_by_id(t, ref);
	bool ambiguous = false;

	if (!c)
		c = by_name(t, ref + (ref[0] == '/'));
	if (!c)
		c = by_prefix(t, ref, &ambiguous);
	if (ambiguous)
		err_set(err, ERR_INVALID, "multiple IDs found with provided prefix: %s", ref);
	else if (!c)
		err_set(err, ERR_NOT_FOUND, "No such container: %s", ref);
	return c;
}

size_t containers_count(const struct containers *t)
{
	return HASH_CNT(hh_id, t->by_id);
}

static int newest_first(const void *a, const void *b)
{
	const struct container *x = *(struct container *const *)a, *y = *(struct container *const *)b;

	return (x->created_ns < y->created_ns) - (x->created_ns > y->created_ns);
}

struct container **containers_list(struct containers *t)
{
	size_t n = 0;
	struct container **list = xcalloc(containers_count(t) + 1, sizeof(*list)), *c, *tmp;

	HASH_ITER(hh_id, t->by_id, c, tmp)
		list[n++] = c;
	qsort(list, n, sizeof(*list), newest_first);
	return list;
}

/* ---- names and new records ---------------------------------------------------------------------- */

static int name_check(struct containers *t, const char *name, struct err *err)
{
	struct container *other;

	if (!name_valid(name))
		return err_set(err, ERR_INVALID,
			       "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name);
	other = by_name(t, name);
	if (!other)
		return 0;
	return err_set(err, ERR_CONFLICT,
		       "Conflict. The container name \"/%s\" is already in use by container \"%s\". "
		       "You have to remove (or rename) that container to be able to reuse that name.",
		       name, other->id);
}

static char *name_make_up(struct containers *t, const char *id)
{
	char name[NAME_GENERATED_MAX];

	for (unsigned retry = 0; retry < NAME_RETRIES; retry++) {
		name_generate(name, retry);
		if (!by_name(t, name))
			return xstrdup(name);
	}
	return xstrndup(id, SHORT_ID);
}

struct container *containers_add(struct containers *t, struct container_new *spec, struct err *err)
{
	const char *name = spec->name && spec->name[0] == '/' ? spec->name + 1 : spec->name;
	struct container *c = xcalloc(1, sizeof(*c));
	int64_t now = clock_wall_ns();

	c->table = t;
	c->config = spec->config;
	c->host_config = spec->host_config;
	c->networking = spec->networking;
	c->mounts = spec->mounts;
	c->image = xstrdup(spec->image);
	c->image_id = xstrdup(spec->image_id);
	c->image_ref = xstrdup(spec->image_ref);
	/* Never the same twice, so that "newest first" has one answer. */
	c->created_ns = now > t->last_created_ns ? now : t->last_created_ns + 1;
	random_hex(c->id, ID_HEX_MAX - 1);
	derive(c);
	if (name && name_check(t, name, err) < 0)
		goto fail;
	c->name = name ? xstrdup(name) : name_make_up(t, c->id);
	if (container_save(c, err) < 0)
		goto fail;
	table_add(t, c);
	container_emit(c, "create");
	return c;
fail:
	container_free(c);
	return NULL;
}

/* ---- lost and found ----------------------------------------------------------------------------- */

json_t *container_record(const struct container *c)
{
	static const char *const state[] = {"state", "exitCode", "error", "started", "finished", "pid", "outputIncomplete",
					    "paused", "restarting", "restartCount", "restartBase", "executionsLost",
					    "stoppedByHand", "exitOnNext", "memoryLimit", "health", "job", "execution", "token"};
	json_t *d = to_doc(c);

	for (size_t i = 0; i < sizeof(state) / sizeof(state[0]); i++)
		json_object_del(d, state[i]);
	return d;
}

struct container *containers_adopt(struct containers *t, const char *id, const json_t *record, struct err *err)
{
	struct container *c;

	if (strlen(id) != ID_HEX_MAX - 1 || strspn(id, "0123456789abcdef") != ID_HEX_MAX - 1 || containers_by_id(t, id)) {
		err_set(err, ERR_CONFLICT, "container %s: the ID makes no sense or is taken", id);
		return NULL;
	}
	c = from_doc(id, record, err);
	if (!c)
		return NULL;
	c->table = t;
	if (by_name(t, c->name)) {
		char *other = xasprintf("%s-%.*s", c->name, SHORT_ID, id);

		free(c->name);
		c->name = other;
	}
	if (container_save(c, err) < 0) {
		container_free(c);
		return NULL;
	}
	table_add(t, c);
	return c;
}

/* ---- changes ------------------------------------------------------------------------------------ */

int container_save(struct container *c, struct err *err)
{
	return doc_save(c->table->g->store, KIND, c->id, to_doc(c), &c->version, err);
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

int container_rename(struct container *c, const char *name, struct err *err)
{
	struct containers *t = c->table;
	struct container before = *c;
	json_t *attributes;

	name += name[0] == '/';
	if (!*name)
		return err_set(err, ERR_INVALID, "Neither old nor new names may be empty");
	if (strcmp(name, c->name) == 0)
		return err_set(err, ERR_INVALID, "Renaming a container with the same name as its current name");
	if (!name_valid(name)) /* with the slash, unlike at create */
		return err_set(err, ERR_INVALID, "Error when allocating new name: Invalid container name (/%s), "
			       "only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name);
	if (name_check(t, name, err) < 0)
		return err_wrap(err, "Error when allocating new name");
	attributes = json_object();
	json_object_set_new(attributes, "oldName", json_sprintf("/%s", c->name));
	/* The hash's key is the string itself: out before it is freed, in again whatever happens. */
	HASH_DELETE(hh_name, t->by_name, c);
	before = *c;
	c->name = xstrdup(name);
	if (container_commit(c, &before, err) < 0) {
		HASH_ADD_KEYPTR(hh_name, t->by_name, c->name, strlen(c->name), c);
		json_decref(attributes);
		return -1;
	}
	HASH_ADD_KEYPTR(hh_name, t->by_name, c->name, strlen(c->name), c);
	json_object_update_new(attributes, container_event_attributes(c));
	emit(c, "rename", attributes);
	return 0;
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
	c->staged_run = 0;
	snprintf(c->token, sizeof(c->token), "%s", token);
	return container_commit(c, &before, err);
}

int container_set_staged(struct container *c, const char *token, uint64_t owners_run, const char *hostname,
			 struct err *err)
{
	struct container before = *c;

	snprintf(c->token, sizeof(c->token), "%s", token);
	c->staged_run = owners_run;
	c->job = c->execution = NULL; /* of a former run */
	json_object_set_new(c->config, "Hostname", doc_text(hostname)); /* as dockerd, whose containers share it */
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
	if (store_delete(t->g->store, KIND, c->id, &err) < 0)
		log_error("container record not deleted", "container=%.12s error=\"%s\"", c->id, err.msg);
	HASH_DELETE(hh_id, t->by_id, c);
	HASH_DELETE(hh_name, t->by_name, c);
	pending_files_forget(t->g->pending_files, c->id);
	container_wake(c, WAIT_NOT_RUNNING);
	container_wake(c, WAIT_NEXT_EXIT);
	container_wake(c, WAIT_REMOVED);
	container_emit(c, "destroy");
	container_free(c);
}

/* ---- looking and waiting ------------------------------------------------------------------------ */

const char *container_state_name(const struct container *c)
{
	if (c->state == CONTAINER_REMOVING)
		return stored_state[c->state];
	if (c->restarting)
		return "restarting";
	if (c->paused)
		return "paused";
	if (c->state == CONTAINER_STARTING)
		return c->started_ns ? "exited" : "created";
	return stored_state[c->state];
}

bool container_is_running(const struct container *c)
{
	return c->state == CONTAINER_RUNNING || (c->state == CONTAINER_STARTING && c->restarting);
}

int container_check_process(const struct container *c, struct err *err)
{
	if (!container_is_running(c))
		return err_set(err, ERR_CONFLICT, "Container %s is not running", c->id);
	if (c->foreign)
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
