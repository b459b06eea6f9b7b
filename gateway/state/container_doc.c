/* container_doc - a container's record as it is stored, and read back; and what of it describes the container
 * and not its present run. With it the names of states. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "state/container_ops.h"
#include "state/doc.h"

static const char *const stored_state[] = {
	[CONTAINER_CREATED] = "created", [CONTAINER_STARTING] = "starting", [CONTAINER_RUNNING] = "running",
	[CONTAINER_EXITED] = "exited", [CONTAINER_REMOVING] = "removing",
};

json_t *container_to_doc(const struct container *c)
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
	if (c->agent_key[0]) {
		json_object_set_new(d, "agentKey", json_string(c->agent_key));
		json_object_set_new(d, "agentPublic", json_string(c->agent_public));
	}
	json_object_set_new(d, "stagedRun", json_integer((json_int_t)c->staged_run));
	if (c->foreign)
		json_object_set_new(d, "foreign", json_true());
	return d;
}

/* What is read often out of the configuration. */
void container_derive(struct container *c)
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

struct container *container_from_doc(const char *id, const json_t *d, struct err *err)
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
	doc_copy(d, "agentKey", c->agent_key, sizeof(c->agent_key));
	doc_copy(d, "agentPublic", c->agent_public, sizeof(c->agent_public));
	c->staged_run = (uint64_t)doc_int(d, "stagedRun");
	c->foreign = doc_bool(d, "foreign");
	if (state_from_doc(c, d, err) < 0)
		goto fail;
	if (!c->name || !c->config || !c->host_config) {
		err_set(err, ERR_INVALID, "container %s: the stored record is incomplete", id);
		goto fail;
	}
	container_derive(c);
	return c;
fail:
	container_free(c);
	return NULL;
}

json_t *container_record(const struct container *c)
{
	static const char *const state[] = {"state", "exitCode", "error", "started", "pid", "outputIncomplete",
					    "paused", "restarting", "restartCount", "restartBase", "executionsLost",
					    "stoppedByHand", "exitOnNext", "memoryLimit", "health", "job", "execution", "token", "agentKey",
					    "agentPublic"};
	json_t *d = container_to_doc(c);

	for (size_t i = 0; i < sizeof(state) / sizeof(state[0]); i++)
		json_object_del(d, state[i]);
	return d;
}

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
