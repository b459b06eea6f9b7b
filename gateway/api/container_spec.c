/* container_spec - see container_spec.h. What each option becomes is container_options' table. */
#include "api/container_spec.h"

#include <stdbool.h>
#include <string.h>

#include "api/container_options.h"
#include "api/container_values.h"
#include "api/fields.h"
#include "base/mem.h"
#include "base/parse.h"
#include "state/health.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

static const char host_defaults[] =
	"{\"Binds\":null,\"ContainerIDFile\":\"\",\"LogConfig\":{\"Type\":\"json-file\",\"Config\":{}},"
	"\"NetworkMode\":\"default\",\"PortBindings\":null,\"RestartPolicy\":{\"Name\":\"no\",\"MaximumRetryCount\":0},"
	"\"AutoRemove\":false,\"VolumeDriver\":\"\",\"VolumesFrom\":null,\"ConsoleSize\":[0,0],\"CapAdd\":null,"
	"\"CapDrop\":null,\"CgroupnsMode\":\"private\",\"Dns\":null,\"DnsOptions\":null,\"DnsSearch\":null,"
	"\"ExtraHosts\":null,\"GroupAdd\":null,\"IpcMode\":\"private\",\"Cgroup\":\"\",\"Links\":null,"
	"\"OomScoreAdj\":0,\"PidMode\":\"\",\"Privileged\":false,\"PublishAllPorts\":false,\"ReadonlyRootfs\":false,"
	"\"SecurityOpt\":null,\"UTSMode\":\"\",\"UsernsMode\":\"\",\"ShmSize\":67108864,\"Runtime\":\"cloudrun\","
	"\"Isolation\":\"\",\"CpuShares\":0,\"Memory\":0,\"NanoCpus\":0,\"CgroupParent\":\"\",\"BlkioWeight\":0,"
	"\"BlkioWeightDevice\":null,\"BlkioDeviceReadBps\":null,\"BlkioDeviceWriteBps\":null,"
	"\"BlkioDeviceReadIOps\":null,\"BlkioDeviceWriteIOps\":null,\"CpuPeriod\":0,\"CpuQuota\":0,\"CpuRealtimePeriod\":0,"
	"\"CpuRealtimeRuntime\":0,\"CpusetCpus\":\"\",\"CpusetMems\":\"\",\"Devices\":null,\"DeviceCgroupRules\":null,"
	"\"DeviceRequests\":null,\"KernelMemory\":0,\"KernelMemoryTCP\":0,\"MemoryReservation\":0,\"MemorySwap\":0,\"MemorySwappiness\":null,"
	"\"OomKillDisable\":false,\"PidsLimit\":null,\"Ulimits\":null,\"CpuCount\":0,\"CpuPercent\":0,"
	"\"IOMaximumIOps\":0,\"IOMaximumBandwidth\":0,\"MaskedPaths\":null,\"ReadonlyPaths\":null}";

static const char config_defaults[] =
	"{\"Hostname\":\"\",\"Domainname\":\"\",\"User\":\"\",\"AttachStdin\":false,\"AttachStdout\":false,"
	"\"AttachStderr\":false,\"Tty\":false,\"OpenStdin\":false,\"StdinOnce\":false,\"Env\":[],\"Cmd\":null,"
	"\"Image\":\"\",\"Volumes\":null,\"WorkingDir\":\"\",\"Entrypoint\":null,\"OnBuild\":null,\"Labels\":{}}";

static const char *string_of(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* ---- Config -------------------------------------------------------------------------------------- */

static const struct field health_fields[] = {
	{"Test", FIELD_STRINGS}, {"Interval", FIELD_INT}, {"Timeout", FIELD_INT}, {"StartPeriod", FIELD_INT},
	{"StartInterval", FIELD_INT}, {"Retries", FIELD_INT}, {NULL, 0},
};

/* What is not given is not there, as dockerd shows it. */
static int check_health(json_t *config, struct err *err)
{
	json_t *check = json_object_get(config, "Healthcheck"), *v;
	const char *key;
	void *next;

	if (!json_is_object(check))
		return 0;
	if (fields_check(check, "HealthConfig", health_fields, err) < 0 || health_validate(check, err) < 0)
		return -1;
	json_object_foreach_safe(check, next, key, v)
		if (json_is_null(v) || (json_is_integer(v) && json_integer_value(v) == 0) ||
		    (json_is_array(v) && json_array_size(v) == 0))
			json_object_del(check, key);
	return 0;
}

int container_spec_config(json_t *config, struct err *err)
{
	const char *dir, *signal, *env;
	json_t *v;
	size_t i;

	if (options_check_types(config, "ContainerConfigWrapper", config_options, err) < 0)
		return -1;
	json_array_foreach(json_object_get(config, "Env"), i, v) {
		env = json_string_value(v);
		if (!*env || *env == '=')
			return err_set(err, ERR_INVALID, "invalid environment variable: %s", env);
	}
	if (!option_given(config, "Image"))
		return err_set(err, ERR_INVALID, "no image is given");
	dir = string_of(config, "WorkingDir");
	if (*dir && *dir != '/')
		return err_set(err, ERR_INVALID, "the working directory '%s' is invalid, it needs to be an absolute path",
			       dir);
	signal = string_of(config, "StopSignal");
	if (*signal && parse_signal(signal) < 0)
		return err_set(err, ERR_INVALID, "Invalid signal: %s", signal);
	return check_health(config, err);
}

void container_spec_warn(json_t *config, json_t *warnings)
{
	options_check_fates(config, "Config", config_options, warnings, NULL); /* none of them is refused */
}

json_t *container_spec_shown(json_t *config)
{
	json_t *shown = json_loads(config_defaults, 0, NULL), *v;
	const char *key;

	json_object_foreach(config, key, v)
		if (!json_is_null(v))
			json_object_set(shown, key, v);
	return shown;
}

/* ---- HostConfig ---------------------------------------------------------------------------------- */

int container_spec_restart(json_t *host, struct err *err)
{
	static const char *const names[] = {"", "no", "always", "on-failure", "unless-stopped"};
	static const struct field fields[] = {{"Name", FIELD_STRING}, {"MaximumRetryCount", FIELD_INT}, {NULL, 0}};
	json_t *policy = json_object_get(host, "RestartPolicy");
	const char *name;
	json_int_t retries;
	bool known = false;

	if (json_is_object(policy) && fields_check(policy, "RestartPolicy", fields, err) < 0)
		return -1;
	name = string_of(policy, "Name");
	retries = json_integer_value(json_object_get(policy, "MaximumRetryCount"));
	for (size_t i = 0; i < N(names); i++)
		known = known || strcmp(name, names[i]) == 0;
	if (!known)
		return err_set(err, ERR_INVALID, "invalid restart policy '%s'", name);
	if (retries < 0)
		return err_set(err, ERR_INVALID, "maximum retry count cannot be negative");
	if (retries > 0 && strcmp(name, "on-failure") != 0)
		return err_set(err, ERR_INVALID, "maximum retry count cannot be used with restart policy '%s'",
			       *name ? name : "no");
	if (*name && strcmp(name, "no") != 0 && json_is_true(json_object_get(host, "AutoRemove")))
		return err_set(err, ERR_INVALID, "can't create 'AutoRemove' container with restart policy");
	return 0;
}

/* Defaults under what was given; "" is a default too where dockerd shows one. */
static void fill_defaults(json_t *host)
{
	json_t *full = json_loads(host_defaults, 0, NULL), *v, *old;
	const char *key;

	json_object_foreach(full, key, v) {
		old = json_object_get(host, key);
		if (!old || json_is_null(old) ||
		    (json_is_string(old) && !*json_string_value(old)) ||
		    (json_is_integer(old) && json_integer_value(old) == 0))
			json_object_set(host, key, v);
	}
	v = json_object_get(host, "RestartPolicy");
	if (!*string_of(v, "Name"))
		json_object_set_new(v, "Name", json_string("no"));
	if (!json_is_integer(json_object_get(v, "MaximumRetryCount")))
		json_object_set_new(v, "MaximumRetryCount", json_integer(0));
	v = json_object_get(host, "LogConfig");
	if (!*string_of(v, "Type"))
		json_object_set_new(v, "Type", json_string("json-file"));
	if (!json_is_object(json_object_get(v, "Config")))
		json_object_set_new(v, "Config", json_object());
	v = json_object_get(host, "MemorySwappiness");
	if (json_is_integer(v) && json_integer_value(v) == -1) /* the client's way of saying nothing */
		json_object_set_new(host, "MemorySwappiness", json_null());
	json_decref(full);
}

int container_spec_host(json_t *host, json_t *warnings, struct err *err)
{
	if (options_check_types(host, "HostConfig", host_options, err) < 0 ||
	    options_check_fates(host, "HostConfig", host_options, warnings, err) < 0 ||
	    container_values_check(host, warnings, err) < 0 || container_spec_restart(host, err) < 0)
		return -1;
	fill_defaults(host);
	return 0;
}
