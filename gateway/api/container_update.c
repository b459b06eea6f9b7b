/* container_update - POST /containers/{id}/update. The restart policy changes at once. CPU and memory are
 * Cloud Run's, who fixes them when an execution begins: they are kept for the next start, and a running
 * container's client is told so. */
#include <string.h>

#include "api/container_spec.h"
#include "api/container_values.h"
#include "api/fields.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "base/mem.h"
#include "cloud/job_resources.h"
#include "cloud/lifecycle.h"
#include "state/container.h"
#include "state/doc.h"

static const struct field update_fields[] = {
	{"RestartPolicy", FIELD_OBJECT}, {"Memory", FIELD_INT}, {"MemorySwap", FIELD_INT}, {"MemoryReservation", FIELD_INT},
	{"KernelMemory", FIELD_INT}, {"NanoCpus", FIELD_INT}, {"CpuShares", FIELD_INT}, {"CpuPeriod", FIELD_INT},
	{"CpuQuota", FIELD_INT}, {"CpuRealtimePeriod", FIELD_INT}, {"CpuRealtimeRuntime", FIELD_INT},
	{"CpusetCpus", FIELD_STRING}, {"CpusetMems", FIELD_STRING}, {"BlkioWeight", FIELD_INT}, {"PidsLimit", FIELD_INT},
	{NULL, 0},
};

/* What Cloud Run knows; the others have no effect, as at create. */
static const char *const sizes[] = {"Memory", "NanoCpus", "CpuPeriod", "CpuQuota", NULL};
static const char *const without_effect[] = {
	"MemorySwap", "MemoryReservation", "KernelMemory", "CpuShares", "CpuRealtimePeriod", "CpuRealtimeRuntime",
	"CpusetCpus", "CpusetMems", "BlkioWeight", "PidsLimit", NULL,
};

static bool given(json_t *update, const char *key)
{
	json_t *v = json_object_get(update, key);

	return (json_is_integer(v) && json_integer_value(v) != 0) || (json_is_string(v) && *json_string_value(v));
}

static bool any_given(json_t *update, const char *const keys[])
{
	for (; *keys; keys++)
		if (given(update, *keys))
			return true;
	return false;
}

static bool has_policy(json_t *update)
{
	const char *name = doc_str(json_object_get(update, "RestartPolicy"), "Name");

	return name && *name;
}

static int check_values(json_t *update, struct err *err)
{
	json_int_t kernel = doc_int(update, "KernelMemory");

	if (fields_check(update, "UpdateConfig", update_fields, err) < 0 || container_spec_restart(update, err) < 0)
		return -1;
	if (kernel > 0 && kernel < 6 * 1024 * 1024)
		return err_set(err, ERR_INVALID, "Minimum kernel memory limit allowed is 6MB");
	return container_values_check_update(update, err);
}

/* dockerd's rules about what contradicts what is there. */
static int check_conflicts(const struct container *c, json_t *update, struct err *err)
{
	json_t *host = c->host_config;
	const char *name = doc_str(json_object_get(update, "RestartPolicy"), "Name");
	int64_t swap = doc_int(host, "MemorySwap");

	if (c->state == CONTAINER_REMOVING)
		return err_set(err, ERR_CONFLICT, "Container is marked for removal and cannot be \"update\".");
	if (has_policy(update) && strcmp(name, "no") != 0 && c->auto_remove)
		return err_set(err, ERR_CONFLICT, "Restart policy cannot be updated because AutoRemove is enabled for the "
			       "container");
	if (swap > 0 && doc_int(update, "Memory") > swap && !given(update, "MemorySwap"))
		return err_set(err, ERR_CONFLICT, "Memory limit should be smaller than already set memoryswap limit, update "
			       "the memoryswap at the same time");
	if (given(update, "NanoCpus") && doc_int(host, "CpuPeriod") > 0)
		return err_set(err, ERR_CONFLICT, "Conflicting options: Nano CPUs cannot be updated as CPU Period has already "
			       "been set");
	if (given(update, "NanoCpus") && doc_int(host, "CpuQuota") > 0)
		return err_set(err, ERR_CONFLICT, "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already "
			       "been set");
	if (given(update, "CpuPeriod") && doc_int(host, "NanoCpus") > 0)
		return err_set(err, ERR_CONFLICT, "Conflicting options: CPU Period cannot be updated as NanoCPUs has already "
			       "been set");
	if (given(update, "CpuQuota") && doc_int(host, "NanoCpus") > 0)
		return err_set(err, ERR_CONFLICT, "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already "
			       "been set");
	return 0;
}

static json_t *merged(const struct container *c, json_t *update)
{
	json_t *host = json_copy(c->host_config), *policy;

	for (size_t i = 0; sizes[i]; i++)
		if (given(update, sizes[i]))
			json_object_set(host, sizes[i], json_object_get(update, sizes[i]));
	for (size_t i = 0; without_effect[i]; i++)
		if (given(update, without_effect[i]))
			json_object_set(host, without_effect[i], json_object_get(update, without_effect[i]));
	if (has_policy(update)) {
		policy = json_object_get(update, "RestartPolicy");
		json_object_set_new(host, "RestartPolicy", json_pack("{s:O, s:I}", "Name", json_object_get(policy, "Name"),
			"MaximumRetryCount", (json_int_t)doc_int(policy, "MaximumRetryCount")));
	}
	return host;
}

static json_t *warnings_for(const struct container *c, json_t *update)
{
	json_t *warnings = json_array();

	if (any_given(update, sizes) && container_is_running(c))
		json_array_append_new(warnings, json_string("CPU and memory of a running Cloud Run execution cannot be changed: "
							    "the new limits apply when the container is started again."));
	if (any_given(update, without_effect))
		json_array_append_new(warnings, json_string("Of the limits, only memory and the number of CPUs have an effect on "
							    "Cloud Run."));
	if (json_array_size(warnings))
		return warnings;
	json_decref(warnings);
	return json_null();
}

/* Could it be started with that? */
static int check_size(const struct config *cfg, const struct container *c, json_t *host, struct err *err)
{
	struct container next = *c;
	struct job_resources size;

	next.host_config = host;
	return job_resources_pick(cfg, &next, &size, err);
}

static void update(struct request *r, json_t *update)
{
	struct container *c = request_container(r);
	json_t *host = NULL;
	struct err err;

	if (!c)
		return;
	if (check_values(update, &err) < 0) {
		reply_err(r, &err);
		return;
	}
	if (check_conflicts(c, update, &err) == 0) {
		host = merged(c, update);
		if (any_given(update, sizes) && check_size(r->g->config, c, host, &err) < 0)
			goto refuse;
		if (container_set_host_config(c, json_incref(host), &err) == 0) {
			json_decref(host);
			if (has_policy(update))
				lifecycle_policy_changed(r->g->lifecycle, c);
			reply_json(r, 200, json_pack("{s:o}", "Warnings", warnings_for(c, update)));
			return;
		}
	}
refuse:
	json_decref(host);
	err_wrap(&err, "Cannot update container %s", c->id);
	reply_err(r, &err);
}

void container_update(struct request *r)
{
	if (request_container(r))
		request_json(r, true, update);
}
