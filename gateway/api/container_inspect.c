/* container_inspect - GET /containers/{id}/json: the complete shape; what Cloud Run has not is empty,
 * never absent (clients break on missing members) and never invented. */
#include <stdio.h>
#include <string.h>

#include "api/container_mounts.h"
#include "api/container_spec.h"
#include "api/container_view.h"
#include "api/handlers.h"
#include "api/network.h"
#include "api/reply.h"
#include "api/version.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cloud/job_options.h"
#include "cloud/job_resources.h"
#include "state/container.h"
#include "state/exec.h"

#define SHORT_ID 12

/* Docker's Path and Args: argv's first word, and the rest as a new list. */
static void split_argv(const struct container *c, const char **ret_path, json_t **ret_args)
{
	static const char *const keys[] = {"Entrypoint", "Cmd"};
	json_t *word;
	size_t i;

	*ret_path = "";
	*ret_args = json_array();
	for (size_t k = 0; k < 2; k++)
		json_array_foreach(json_object_get(c->config, keys[k]), i, word) {
			if (!**ret_path && json_array_size(*ret_args) == 0)
				*ret_path = json_string_value(word);
			else
				json_array_append(*ret_args, word);
		}
}

static json_t *state_json(const struct container *c)
{
	char started[CLOCK_RFC3339_MAX], finished[CLOCK_RFC3339_MAX];
	bool running = container_is_running(c);
	json_t *o = json_pack("{s:s, s:b, s:b, s:b, s:b, s:b, s:i, s:i, s:o, s:s, s:s}", "Status", container_state_name(c),
			      "Running", running, "Paused", c->paused, "Restarting", running && c->restarting,
			      "OOMKilled", 0, "Dead", 0, "Pid", running ? (int)c->pid : 0, "ExitCode", c->exit_code,
			      "Error", reply_string(c->error), "StartedAt", clock_format(c->started_ns, 0, started),
			      "FinishedAt", clock_format(c->finished_ns, 0, finished));

	if (c->health)
		json_object_set(o, "Health", c->health);
	return o;
}

static json_t *config_json(const struct container *c)
{
	json_t *config = container_spec_shown(c->config);
	const char *hostname = json_string_value(json_object_get(config, "Hostname"));

	if (!hostname || !*hostname)
		json_object_set_new(config, "Hostname", json_stringn(c->id, SHORT_ID));
	json_object_set_new(config, "Image", reply_string(c->image));
	return config;
}

/* As it was given; what Cloud Run is asked for is told in Annotations, the one place that the interface leaves free. */
static json_t *host_config_json(const struct gateway *g, const struct container *c)
{
	json_t *host = json_deep_copy(c->host_config), *notes = json_object_get(host, "Annotations");
	struct job_resources size;

	if (job_resources_pick(g->config, c, &size, NULL) < 0)
		return host;
	notes = json_is_object(notes) ? json_incref(notes) : json_object();
	json_object_set_new(notes, JOB_LABEL_PREFIX "cpu", json_sprintf("%d", size.cpu));
	json_object_set_new(notes, JOB_LABEL_PREFIX "memory", json_sprintf("%lldMi", (long long)size.memory_mib));
	json_object_set_new(notes, JOB_LABEL_PREFIX "timeout", json_sprintf("%llds",
			    (long long)job_timeout_s(g->config, c, size.gpu != NULL)));
	if (size.gpu)
		json_object_set_new(notes, JOB_LABEL_PREFIX "gpu", json_string(size.gpu));
	json_object_set_new(host, "Annotations", notes);
	return host;
}

static json_t *network_json(const struct request *r, const struct container *c)
{
	json_t *ports = container_is_running(c) && c->ports ? json_deep_copy(c->ports) : json_object();

	return json_pack("{s:s, s:s, s:b, s:s, s:i, s:o, s:s, s:n, s:n, s:s, s:s, s:s, s:i, s:s, s:i, s:s, s:s, s:o}",
			 "Bridge", "", "SandboxID", "", "HairpinMode", 0, "LinkLocalIPv6Address", "",
			 "LinkLocalIPv6PrefixLen", 0, "Ports", ports, "SandboxKey", "", "SecondaryIPAddresses",
			 "SecondaryIPv6Addresses", "EndpointID", "", "Gateway", "", "GlobalIPv6Address", "",
			 "GlobalIPv6PrefixLen", 0, "IPAddress", "", "IPPrefixLen", 0, "IPv6Gateway", "", "MacAddress", "",
			 "Networks", network_settings(r, c, false));
}

void container_inspect(struct request *r)
{
	struct container *c = request_container(r);
	AUTO_FREE char *name = NULL;
	char created[CLOCK_RFC3339_MAX];
	const char *path;
	json_t *o, *args;

	if (!c)
		return;
	name = xasprintf("/%s", c->name);
	split_argv(c, &path, &args);
	o = json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:o, s:o, "
		      "s:{s:n, s:s}, s:o, s:o, s:o}",
		      "Id", c->id, "Created", clock_format(c->created_ns, 0, created), "Path", path, "Args", args,
		      "State", state_json(c), "Image", c->image_id ? c->image_id : "", "ResolvConfPath", "",
		      "HostnamePath", "", "HostsPath", "", "LogPath", "", "Name", name, "RestartCount",
		      c->restart_count, "Driver", "cloudrun", "Platform", "linux", "MountLabel", "", "ProcessLabel", "",
		      "AppArmorProfile", "", "ExecIDs", execs_ids(r->g->execs, c->id), "HostConfig",
		      host_config_json(r->g, c), "GraphDriver", "Data", "Name", "cloudrun", "Mounts",
		      container_mounts_shown(r->g, c, false), "Config", config_json(c),
		      "NetworkSettings", network_json(r, c));
	if (request_flag(r, "size")) {
		json_object_set_new(o, "SizeRw", json_integer(0));
		json_object_set_new(o, "SizeRootFs", json_integer(container_root_size(r, c)));
	}
	reply_json(r, 200, version_trim(o, VERSION_CONTAINER, r->version));
}
