/* container_spec - see container_spec.h. The tables are Docker's API, v1.44's Config and HostConfig. */
#include "api/container_spec.h"

#include <stdbool.h>
#include <string.h>

#include "api/fields.h"
#include "base/mem.h"
#include "base/parse.h"
#include "state/health.h"

#define MEMORY_MIN (6 * 1024 * 1024)
#define N(a) (sizeof(a) / sizeof((a)[0]))

static const struct field config_fields[] = {
	{"Hostname", FIELD_STRING}, {"Domainname", FIELD_STRING}, {"User", FIELD_STRING},
	{"AttachStdin", FIELD_BOOL}, {"AttachStdout", FIELD_BOOL}, {"AttachStderr", FIELD_BOOL},
	{"ExposedPorts", FIELD_OBJECT}, {"Tty", FIELD_BOOL}, {"OpenStdin", FIELD_BOOL}, {"StdinOnce", FIELD_BOOL},
	{"Env", FIELD_STRINGS}, {"Cmd", FIELD_WORDS}, {"Healthcheck", FIELD_OBJECT}, {"ArgsEscaped", FIELD_BOOL},
	{"Image", FIELD_STRING}, {"Volumes", FIELD_OBJECT}, {"WorkingDir", FIELD_STRING}, {"Entrypoint", FIELD_WORDS},
	{"NetworkDisabled", FIELD_BOOL}, {"MacAddress", FIELD_STRING}, {"OnBuild", FIELD_STRINGS},
	{"Labels", FIELD_MAP}, {"StopSignal", FIELD_STRING}, {"StopTimeout", FIELD_INT}, {"Shell", FIELD_WORDS},
	{"HostConfig", FIELD_OBJECT}, {"NetworkingConfig", FIELD_OBJECT}, {NULL, 0},
};

static const struct field host_fields[] = {
	{"Binds", FIELD_STRINGS}, {"ContainerIDFile", FIELD_STRING}, {"LogConfig", FIELD_OBJECT},
	{"NetworkMode", FIELD_STRING}, {"PortBindings", FIELD_OBJECT}, {"RestartPolicy", FIELD_OBJECT},
	{"AutoRemove", FIELD_BOOL}, {"VolumeDriver", FIELD_STRING}, {"VolumesFrom", FIELD_STRINGS},
	{"ConsoleSize", FIELD_SIZE}, {"Annotations", FIELD_MAP}, {"CapAdd", FIELD_WORDS}, {"CapDrop", FIELD_WORDS},
	{"CgroupnsMode", FIELD_STRING}, {"Dns", FIELD_STRINGS}, {"DnsOptions", FIELD_STRINGS},
	{"DnsSearch", FIELD_STRINGS}, {"ExtraHosts", FIELD_STRINGS}, {"GroupAdd", FIELD_STRINGS},
	{"IpcMode", FIELD_STRING}, {"Cgroup", FIELD_STRING}, {"Links", FIELD_STRINGS}, {"OomScoreAdj", FIELD_INT},
	{"PidMode", FIELD_STRING}, {"Privileged", FIELD_BOOL}, {"PublishAllPorts", FIELD_BOOL},
	{"ReadonlyRootfs", FIELD_BOOL}, {"SecurityOpt", FIELD_STRINGS}, {"StorageOpt", FIELD_MAP},
	{"Tmpfs", FIELD_MAP}, {"UTSMode", FIELD_STRING}, {"UsernsMode", FIELD_STRING}, {"ShmSize", FIELD_INT},
	{"Sysctls", FIELD_MAP}, {"Runtime", FIELD_STRING}, {"Isolation", FIELD_STRING}, {"CpuShares", FIELD_INT},
	{"Memory", FIELD_INT}, {"NanoCpus", FIELD_INT}, {"CgroupParent", FIELD_STRING}, {"BlkioWeight", FIELD_INT},
	{"BlkioWeightDevice", FIELD_LIST}, {"BlkioDeviceReadBps", FIELD_LIST}, {"BlkioDeviceWriteBps", FIELD_LIST},
	{"BlkioDeviceReadIOps", FIELD_LIST}, {"BlkioDeviceWriteIOps", FIELD_LIST}, {"CpuPeriod", FIELD_INT},
	{"CpuQuota", FIELD_INT}, {"CpuRealtimePeriod", FIELD_INT}, {"CpuRealtimeRuntime", FIELD_INT},
	{"CpusetCpus", FIELD_STRING}, {"CpusetMems", FIELD_STRING}, {"Devices", FIELD_LIST},
	{"DeviceCgroupRules", FIELD_STRINGS}, {"DeviceRequests", FIELD_LIST}, {"KernelMemory", FIELD_INT},
	{"KernelMemoryTCP", FIELD_INT}, {"MemoryReservation", FIELD_INT}, {"MemorySwap", FIELD_INT},
	{"MemorySwappiness", FIELD_INT}, {"OomKillDisable", FIELD_BOOL}, {"PidsLimit", FIELD_INT},
	{"Ulimits", FIELD_LIST}, {"CpuCount", FIELD_INT}, {"CpuPercent", FIELD_INT}, {"IOMaximumIOps", FIELD_INT},
	{"IOMaximumBandwidth", FIELD_INT}, {"Mounts", FIELD_LIST}, {"MaskedPaths", FIELD_STRINGS},
	{"ReadonlyPaths", FIELD_STRINGS}, {"Init", FIELD_BOOL}, {NULL, 0},
};

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

/* Present and not what "not given" looks like in any client's request. */
static bool given(json_t *o, const char *key)
{
	json_t *v = json_object_get(o, key);

	switch (v ? json_typeof(v) : JSON_NULL) {
	case JSON_NULL:
	case JSON_FALSE:
		return false;
	case JSON_STRING:
		return *json_string_value(v) != '\0';
	case JSON_INTEGER:
		return json_integer_value(v) != 0 && json_integer_value(v) != -1;
	case JSON_ARRAY:
		return json_array_size(v) > 0;
	case JSON_OBJECT:
		return json_object_size(v) > 0;
	default:
		return true;
	}
}

static const char *string_of(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void warn(json_t *warnings, const char *text)
{
	json_array_append_new(warnings, json_string(text));
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

	if (fields_check(config, "ContainerConfigWrapper", config_fields, err) < 0)
		return -1;
	json_array_foreach(json_object_get(config, "Env"), i, v) {
		env = json_string_value(v);
		if (!*env || *env == '=')
			return err_set(err, ERR_INVALID, "invalid environment variable: %s", env);
	}
	if (!given(config, "Image"))
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
	if (given(config, "MacAddress"))
		warn(warnings, "MacAddress has no effect: containers on Cloud Run have no network interface of their own.");
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

/* ---- HostConfig: what cannot be had -------------------------------------------------------------- */

static const struct {
	const char *key, *why;
} refused[] = {
	{"Privileged", "Privileged mode is not available: Cloud Run gives every container the same rights"},
	{"CapAdd", "Adding capabilities is not available: Cloud Run gives every container the same rights"},
	{"CapDrop", "Dropping capabilities is not available: Cloud Run gives every container the same rights"},
	{"ReadonlyRootfs", "A read-only root file system is not available on Cloud Run"},
	{"Devices", "Devices are not available on Cloud Run"},
	{"DeviceRequests", "Devices are not available on Cloud Run"},
	{"DeviceCgroupRules", "Devices are not available on Cloud Run"},
	{"Links", "Links are not available: containers on Cloud Run cannot reach each other by name"},
	{"Sysctls", "Kernel parameters cannot be set on Cloud Run"},
	{"StorageOpt", "Storage options are not available on Cloud Run"},
	{"CgroupParent", "A cgroup parent is not available on Cloud Run"},
	{"UsernsMode", "User namespaces cannot be chosen on Cloud Run"},
};

static const struct {
	const char *key, *warning;
} ignored[] = {
	{"Dns", "Name servers have no effect on Cloud Run."},
	{"DnsOptions", "Name server options have no effect on Cloud Run."},
	{"DnsSearch", "Search domains have no effect on Cloud Run."},
	{"ExtraHosts", "Extra hosts have no effect in this gateway."},
	{"GroupAdd", "Additional groups have no effect in this gateway."},
	{"Ulimits", "Resource limits (ulimit) have no effect in this gateway."},
	{"CpuShares", "CPU shares have no effect on Cloud Run. Shares discarded."},
	{"CpusetCpus", "A CPU set has no effect on Cloud Run. Cpuset discarded."},
	{"CpusetMems", "A CPU set has no effect on Cloud Run. Cpuset discarded."},
	{"BlkioWeight", "Block I/O weight has no effect on Cloud Run. Weight discarded."},
	{"PidsLimit", "A limit of processes has no effect on Cloud Run. PIDs limit discarded."},
	{"OomKillDisable", "The out-of-memory killer cannot be disabled on Cloud Run. OomKillDisable discarded."},
	{"MemorySwappiness", "Swappiness has no effect on Cloud Run: there is no swap."},
	{"OomScoreAdj", "OomScoreAdj has no effect on Cloud Run."},
};

/* Modes that mean "as usual", by field; any other asks for sharing that Cloud Run has not. */
static const struct {
	const char *key, *fine[4];
} modes[] = {
	{"PidMode", {"", "private"}}, {"IpcMode", {"", "private", "shareable", "none"}}, {"UTSMode", {""}},
	{"CgroupnsMode", {"", "private", "host"}}, {"Isolation", {"", "default"}},
	{"Runtime", {"", "cloudrun", "runc", "io.containerd.runc.v2"}},
};

static int check_modes(json_t *host, struct err *err)
{
	for (size_t i = 0; i < N(modes); i++) {
		const char *mode = string_of(host, modes[i].key);
		bool fine = false;

		for (size_t k = 0; k < N(modes[i].fine) && modes[i].fine[k]; k++)
			fine = fine || strcmp(mode, modes[i].fine[k]) == 0;
		if (!fine)
			return err_set(err, ERR_INVALID, "%s \"%s\" is not available on Cloud Run", modes[i].key, mode);
	}
	return 0;
}

/* Unconfined is what Cloud Run gives; a restriction it cannot enforce must not be promised. */
static int check_security(json_t *host, struct err *err)
{
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(host, "SecurityOpt"), i, v) {
		const char *opt = json_string_value(v);
		size_t n = strlen(opt);
		static const char *const fine[] = {"=unconfined", ":unconfined", "=disable", ":disable",
						   "no-new-privileges=false", "no-new-privileges:false"};
		bool ok = false;

		for (size_t k = 0; k < N(fine); k++) {
			size_t m = strlen(fine[k]);

			ok = ok || (n >= m && strcmp(opt + n - m, fine[k]) == 0);
		}
		if (!ok)
			return err_set(err, ERR_INVALID, "security option \"%s\" is not available on Cloud Run", opt);
	}
	return 0;
}

/* ---- HostConfig: values -------------------------------------------------------------------------- */

static int check_restart(json_t *host, struct err *err)
{
	static const char *const names[] = {"", "no", "always", "on-failure", "unless-stopped"};
	json_t *policy = json_object_get(host, "RestartPolicy");
	const char *name = string_of(policy, "Name");
	json_int_t retries = json_integer_value(json_object_get(policy, "MaximumRetryCount"));
	bool known = false;

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

static int check_resources(json_t *host, struct err *err)
{
	json_int_t memory = json_integer_value(json_object_get(host, "Memory"));
	json_int_t cpus = json_integer_value(json_object_get(host, "NanoCpus"));

	if (memory < 0 || (memory > 0 && memory < MEMORY_MIN))
		return err_set(err, ERR_INVALID, "Minimum memory limit allowed is 6MB");
	if (cpus < 0)
		return err_set(err, ERR_INVALID, "range of CPUs is from 0.01 to 8.00");
	if (cpus > 0 && (given(host, "CpuQuota") || given(host, "CpuPeriod")))
		return err_set(err, ERR_INVALID, "Conflicting options: Nano CPUs and CPU Quota or Period cannot both be set");
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
	const char *last = "";

	if (fields_check(host, "HostConfig", host_fields, err) < 0)
		return -1;
	for (size_t i = 0; i < N(refused); i++)
		if (given(host, refused[i].key))
			return err_set(err, ERR_INVALID, "%s (HostConfig.%s)", refused[i].why, refused[i].key);
	if (check_modes(host, err) < 0 || check_security(host, err) < 0 || check_restart(host, err) < 0 ||
	    check_resources(host, err) < 0)
		return -1;
	for (size_t i = 0; i < N(ignored); i++) {
		if (!given(host, ignored[i].key) || strcmp(last, ignored[i].warning) == 0)
			continue;
		warn(warnings, ignored[i].warning);
		last = ignored[i].warning;
	}
	fill_defaults(host);
	return 0;
}
