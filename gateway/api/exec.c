/* exec - create, start, inspect, resize of what docker exec runs. */
#include "state/exec.h"

#include <stdio.h>
#include <string.h>

#include "agents/registry.h"
#include "agents/tunnel.h"
#include "api/fields.h"
#include "api/handlers.h"
#include "api/hijack.h"
#include "api/reply.h"
#include "base/mem.h"
#include "base/parse.h"
#include "relay.h"
#include "state/container.h"

/* ---- create -------------------------------------------------------------------------------------- */

static const struct field create_fields[] = {
	{"User", FIELD_STRING}, {"Privileged", FIELD_BOOL}, {"Tty", FIELD_BOOL}, {"ConsoleSize", FIELD_SIZE},
	{"AttachStdin", FIELD_BOOL}, {"AttachStderr", FIELD_BOOL}, {"AttachStdout", FIELD_BOOL},
	{"Detach", FIELD_BOOL}, {"DetachKeys", FIELD_STRING}, {"Env", FIELD_STRINGS}, {"WorkingDir", FIELD_STRING},
	{"Cmd", FIELD_STRINGS}, {NULL, 0},
};

static bool bool_of(json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

static void copy_list(json_t *list, struct strv *ret)
{
	json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
		strv_add(ret, json_string_value(v));
}

/* [rows, columns], known since API 1.42. */
static void read_size(const struct request *r, json_t *body, struct exec *e)
{
	json_t *size = json_object_get(body, "ConsoleSize");
	json_int_t rows = json_integer_value(json_array_get(size, 0));
	json_int_t cols = json_integer_value(json_array_get(size, 1));

	if (r->version < 42 || rows <= 0 || cols <= 0 || rows > UINT16_MAX || cols > UINT16_MAX)
		return;
	e->rows = (uint16_t)rows;
	e->cols = (uint16_t)cols;
}

static void spec_release(struct exec *e)
{
	strv_release(&e->argv);
	strv_release(&e->env);
	free(e->workdir);
	free(e->user);
	free(e->detach_keys);
}

static int check_create(struct request *r, json_t *body, struct container **ret, struct err *err)
{
	const char *keys = NULL, *dir;
	struct detach_keys parsed;

	if (fields_check(body, "ExecConfig", create_fields, err) < 0)
		return -1;
	if (json_array_size(json_object_get(body, "Cmd")) == 0)
		return err_set(err, ERR_INVALID, "No exec command specified");
	*ret = containers_find(r->g->containers, r->name, err);
	if (!*ret)
		return -1;
	if (container_check_process(*ret, err) < 0)
		return -1;
	if ((*ret)->paused)
		return err_set(err, ERR_CONFLICT, "Container %s is paused, unpause the container before exec", r->name);
	keys = json_string_value(json_object_get(body, "DetachKeys"));
	if (detach_keys_parse(&parsed, keys, err) < 0)
		return err_set(err, ERR_INVALID, "Invalid escape keys (%s) provided", keys);
	if (bool_of(body, "Privileged"))
		return err_set(err, ERR_INVALID, "privileged exec is not available: Cloud Run gives every process the same rights");
	dir = json_string_value(json_object_get(body, "WorkingDir"));
	if (dir && *dir && *dir != '/')
		return err_set(err, ERR_INVALID, "Cwd must be an absolute path");
	return 0;
}

static void create(struct request *r, json_t *body)
{
	struct exec spec = {0}, *e;
	struct container *c = NULL;
	struct err err;

	if (check_create(r, body, &c, &err) < 0) {
		reply_err(r, &err);
		return;
	}
	copy_list(json_object_get(body, "Cmd"), &spec.argv);
	copy_list(json_object_get(body, "Env"), &spec.env);
	spec.workdir = xstrdup(json_string_value(json_object_get(body, "WorkingDir")));
	spec.user = xstrdup(json_string_value(json_object_get(body, "User")));
	spec.detach_keys = xstrdup(json_string_value(json_object_get(body, "DetachKeys")));
	spec.tty = bool_of(body, "Tty");
	spec.attach_stdin = bool_of(body, "AttachStdin");
	spec.attach_stdout = bool_of(body, "AttachStdout");
	spec.attach_stderr = bool_of(body, "AttachStderr");
	read_size(r, body, &spec);
	e = execs_add(r->g->execs, c, &spec, &err);
	if (!e) {
		spec_release(&spec);
		reply_err(r, &err);
		return;
	}
	exec_emit(e, c, "exec_create");
	reply_json(r, 201, json_pack("{s:s}", "Id", e->id));
}

void exec_create(struct request *r)
{
	request_json(r, false, create);
}

/* ---- start --------------------------------------------------------------------------------------- */

static const struct field start_fields[] = {
	{"Detach", FIELD_BOOL}, {"Tty", FIELD_BOOL}, {"ConsoleSize", FIELD_SIZE}, {NULL, 0},
};

/* A start whose container's agent is away for the moment (the gateway has just come up). */
struct starting {
	char id[ID_HEX_MAX];
	bool detach, tty;
	struct registry_waiter *agent;
	struct tunnel *tunnel;       /* borrowed; a detached one, asked for and not known to run */
	uint32_t channel;            /* there */
};

/* A detached one that is under way goes on when its client leaves. */
static void release(struct request *r)
{
	struct starting *s = r->state;

	if (s->tunnel)
		tunnel_exec_detach(s->tunnel, s->channel);
	registry_unwait(&s->agent);
	free(s);
}

/* The exec if it can be started, with dockerd's reasons if not. */
static struct exec *startable(struct request *r, const char *id, struct container **ret, struct err *err)
{
	struct exec *e = execs_find(r->g->execs, id, err);

	if (!e)
		return NULL;
	*ret = containers_by_id(r->g->containers, e->container_id);
	if (!*ret || !container_is_running(*ret) || e->run != (*ret)->runs)
		err_set(err, ERR_CONFLICT, "Container %s is not running", e->container_id);
	else if (container_check_process(*ret, err) < 0)
		return NULL;
	else if ((*ret)->paused)
		err_set(err, ERR_CONFLICT, "Container %s is paused, unpause the container before exec", e->container_id);
	else if (e->state == EXEC_EXITED)
		err_set(err, ERR_CONFLICT, "Error: Exec command %s has already run", e->id);
	else if (e->state == EXEC_STARTED)
		err_set(err, ERR_CONFLICT, "Error: Exec command %s is already running", e->id);
	else
		return e;
	return NULL;
}

/* As dockerd, a detached start is answered when it is known to run, or why not. */
static void detached_runs(void *ctx)
{
	struct request *r = ctx;

	((struct starting *)r->state)->tunnel = NULL;
	reply_empty(r, 200);
}

static void detached_ended(void *ctx, int exit_code, const char *lost)
{
	struct request *r = ctx;
	struct starting *s = r->state;
	struct exec *e = execs_find(r->g->execs, s->id, NULL);
	AUTO_FREE char *error = e ? exec_start_error(e) : NULL;

	s->tunnel = NULL;
	if (lost)
		reply_error(r, ERR_UNAVAILABLE, "%s", lost);
	else if (error)
		reply_error(r, strncmp(error, "OCI ", 4) == 0 ? ERR_INVALID : ERR_SYSTEM, "%s", error);
	else
		reply_empty(r, 200); /* it was too short to be seen running */
}

static const struct tunnel_sink detached_sink = {
	.detached = true,
	.on_started = detached_runs,
	.on_end = detached_ended,
};

static void start_detached(struct request *r, struct container *c, struct exec *e)
{
	struct starting *s = r->state;
	struct err err;

	if (tunnel_exec(c->tunnel, e, &detached_sink, r, &err) < 0) {
		reply_err(r, &err);
		return;
	}
	s->tunnel = c->tunnel;
	s->channel = e->channel;
	exec_emit(e, c, "exec_start");
}

static void start_attached(struct request *r, struct container *c, struct exec *e, bool raw)
{
	struct detach_keys keys;
	struct relay *relay;
	struct err err;

	if (detach_keys_parse(&keys, e->detach_keys, &err) < 0) {
		reply_err(r, &err);
		return;
	}
	relay = relay_exec(r->g, c, e, raw, &keys, &err);
	if (!relay) {
		reply_err(r, &err);
		return;
	}
	exec_emit(e, c, "exec_start");
	hijack(r, relay, !raw);
}

/* For the line about its end. */
static void note_client(struct exec *e, const struct request *r)
{
	free(e->by);
	e->by = xstrdup(exchange_peer(r->x));
}

static void start_now(struct request *r)
{
	struct starting *s = r->state;
	struct container *c;
	struct err err;
	struct exec *e = startable(r, s->id, &c, &err);

	if (!e) {
		reply_err(r, &err);
		return;
	}
	note_client(e, r);
	if (!c->tunnel)
		reply_error(r, ERR_UNAVAILABLE, "the agent of container %s is not connected", c->id);
	else if (s->detach)
		start_detached(r, c, e);
	else
		start_attached(r, c, e, s->tty);
}

static void agent_waited(void *ctx, bool ok)
{
	struct request *r = ctx;

	((struct starting *)r->state)->agent = NULL;
	start_now(r);
}

static void start(struct request *r, json_t *body)
{
	struct container *c;
	struct starting *s;
	struct exec *e;
	struct err err;

	if (fields_check(body, "ExecStartCheck", start_fields, &err) < 0) {
		reply_err(r, &err);
		return;
	}
	e = startable(r, r->name, &c, &err);
	if (!e) {
		reply_err(r, &err);
		return;
	}
	read_size(r, body, e);
	s = xcalloc(1, sizeof(*s));
	snprintf(s->id, sizeof(s->id), "%s", e->id);
	s->detach = bool_of(body, "Detach");
	s->tty = bool_of(body, "Tty");
	r->state = s;
	r->release = release;
	if (c->tunnel)
		start_now(r);
	else
		s->agent = registry_wait(r->g->registry, c->id, (uint64_t)r->g->config->agent_timeout_ms, agent_waited, r);
}

void exec_start(struct request *r)
{
	request_json(r, false, start);
}

/* ---- inspect, resize ----------------------------------------------------------------------------- */

/* The bytes of the sequence, as Go shows bytes; none when it is the default. */
static json_t *detach_keys_shown(const struct exec *e)
{
	struct detach_keys keys = {0};
	char text[2 * DETACH_KEYS_MAX];

	if (e->detach_keys && *e->detach_keys)
		detach_keys_parse(&keys, e->detach_keys, NULL);
	base64_encode(keys.key, keys.n, text);
	return json_string(text);
}

void exec_inspect(struct request *r)
{
	struct err err;
	struct exec *e = execs_find(r->g->execs, r->name, &err);
	json_t *o, *process, *arguments;

	if (!e) {
		reply_err(r, &err);
		return;
	}
	arguments = json_array();
	for (size_t i = 1; i < e->argv.n; i++)
		json_array_append_new(arguments, reply_string(e->argv.v[i]));
	process = json_pack("{s:b, s:o, s:o, s:b}", "tty", e->tty, "entrypoint",
			    reply_string(e->argv.n ? e->argv.v[0] : ""), "arguments", arguments, "privileged", e->privileged);
	if (e->user && *e->user)
		json_object_set_new(process, "user", reply_string(e->user));
	o = json_pack("{s:s, s:b, s:o, s:o, s:b, s:b, s:b, s:b, s:s, s:o, s:i}", "ID", e->id,
		      "Running", e->state == EXEC_STARTED,
		      "ExitCode", e->state == EXEC_EXITED ? json_integer(e->exit_code) : json_null(),
		      "ProcessConfig", process, "OpenStdin", e->attach_stdin, "OpenStderr", e->attach_stderr,
		      "OpenStdout", e->attach_stdout, "CanRemove", 0, "ContainerID", e->container_id,
		      "DetachKeys", detach_keys_shown(e), "Pid", e->state == EXEC_STARTED ? (int)e->pid : 0);
	reply_json(r, 200, o);
}

void exec_resize(struct request *r)
{
	int64_t h = 0, w = 0;
	struct container *c;
	struct exec *e;
	struct err err;

	if (request_need_int(r, "h", &h, &err) < 0 || request_need_int(r, "w", &w, &err) < 0) {
		reply_err(r, &err);
		return;
	}
	e = execs_find(r->g->execs, r->name, &err);
	if (!e) {
		reply_err(r, &err);
		return;
	}
	if (h < 0 || h > UINT16_MAX || w < 0 || w > UINT16_MAX) {
		reply_error(r, ERR_INVALID, "invalid terminal size: %lld rows, %lld columns", (long long)h, (long long)w);
		return;
	}
	c = containers_by_id(r->g->containers, e->container_id);
	if (e->state == EXEC_EXITED || !c || !container_is_running(c)) {
		reply_error(r, ERR_CONFLICT, "Exec %s is not running", e->id);
		return;
	}
	/* Clients send their size beside the start request, and it may come first. */
	e->rows = (uint16_t)h;
	e->cols = (uint16_t)w;
	if (e->state == EXEC_STARTED && c->tunnel &&
	    tunnel_resize(c->tunnel, e->channel, e->rows, e->cols, &err) < 0)
		reply_err(r, &err);
	else
		reply_empty(r, 200);
}
