/* container_values - see container_values.h. */
#include "api/container_values.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/container_options.h"
#include "api/fields.h"
#include "base/mem.h"

#define MEMORY_MIN (6 * 1024 * 1024)
#define N(a) (sizeof(a) / sizeof((a)[0]))

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static json_int_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void warn(json_t *warnings, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void warn(json_t *warnings, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	json_array_append_new(warnings, json_vsprintf(fmt, ap));
	va_end(ap);
}

/* ---- modes ---------------------------------------------------------------------------------------- */

/* What means "as usual"; anything else asks for sharing that Cloud Run has not. */
static const struct {
	const char *key, *fine[4];
} modes[] = {
	{"PidMode", {"", "private"}}, {"IpcMode", {"", "private", "shareable", "none"}}, {"UTSMode", {""}},
	{"CgroupnsMode", {"", "private", "host"}}, {"Isolation", {"", "default"}}, {"UsernsMode", {"", "host"}},
	{"Runtime", {"", "cloudrun", "runc", "io.containerd.runc.v2"}},
};

static int check_modes(const json_t *host, struct err *err)
{
	for (size_t i = 0; i < N(modes); i++) {
		const char *mode = text(host, modes[i].key);
		bool fine = false;

		for (size_t k = 0; k < N(modes[i].fine) && modes[i].fine[k]; k++)
			fine = fine || strcmp(mode, modes[i].fine[k]) == 0;
		if (!fine)
			return err_set(err, ERR_INVALID, "%s \"%s\" is not available on Cloud Run", modes[i].key, mode);
	}
	return 0;
}

/* ---- rights --------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	bool everybody_has;
} capabilities[] = {
	{"AUDIT_CONTROL", false}, {"AUDIT_READ", false}, {"AUDIT_WRITE", true}, {"BLOCK_SUSPEND", false},
	{"BPF", false}, {"CHECKPOINT_RESTORE", false}, {"CHOWN", true}, {"DAC_OVERRIDE", true},
	{"DAC_READ_SEARCH", false}, {"FOWNER", true}, {"FSETID", true}, {"IPC_LOCK", false}, {"IPC_OWNER", false},
	{"KILL", true}, {"LEASE", false}, {"LINUX_IMMUTABLE", false}, {"MAC_ADMIN", false}, {"MAC_OVERRIDE", false},
	{"MKNOD", true}, {"NET_ADMIN", false}, {"NET_BIND_SERVICE", true}, {"NET_BROADCAST", false}, {"NET_RAW", true},
	{"PERFMON", false}, {"SETFCAP", true}, {"SETGID", true}, {"SETPCAP", true}, {"SETUID", true},
	{"SYS_ADMIN", false}, {"SYS_BOOT", false}, {"SYS_CHROOT", true}, {"SYS_MODULE", false}, {"SYS_NICE", false},
	{"SYS_PACCT", false}, {"SYS_PTRACE", false}, {"SYS_RAWIO", false}, {"SYS_RESOURCE", false},
	{"SYS_TIME", false}, {"SYS_TTY_CONFIG", false}, {"SYSLOG", false}, {"WAKE_ALARM", false},
};

static int check_capability(const char *given, const char *list, json_t *warnings, struct err *err)
{
	const char *bare = strncasecmp(given, "CAP_", 4) == 0 ? given + 4 : given;
	bool adding = strcmp(list, "CapAdd") == 0;
	AUTO_FREE char *name = xstrdup(bare);

	for (char *c = name; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	if (strcmp(name, "ALL") == 0)
		return adding ? err_set(err, ERR_INVALID, "CapAdd ALL is not available: Cloud Run gives every container the same "
					"capabilities") : 0;
	for (size_t i = 0; i < N(capabilities); i++) {
		if (strcmp(capabilities[i].name, name) != 0)
			continue;
		if (!adding || capabilities[i].everybody_has)
			return 0;
		/* Debuggers ask for it; a process may trace its own children without. */
		if (strcmp(name, "SYS_PTRACE") != 0)
			return err_set(err, ERR_INVALID, "CapAdd %s is not available: Cloud Run gives every container the same "
				       "capabilities", name);
		warn(warnings, "CapAdd SYS_PTRACE has no effect: Cloud Run gives every container the same capabilities.");
		return 0;
	}
	return err_set(err, ERR_INVALID, "invalid %s: unknown capability: \"CAP_%s\"", list, name);
}

static int check_capabilities(const json_t *host, json_t *warnings, struct err *err)
{
	static const char *const lists[] = {"CapAdd", "CapDrop"};
	json_t *v;
	size_t i;

	for (size_t k = 0; k < N(lists); k++)
		json_array_foreach(json_object_get(host, lists[k]), i, v)
			if (check_capability(json_string_value(v), lists[k], warnings, err) < 0)
				return -1;
	return 0;
}

static bool ends_with(const char *s, const char *tail)
{
	size_t n = strlen(s), m = strlen(tail);

	return n >= m && strcmp(s + n - m, tail) == 0;
}

/* "key=value", "key:value" or no-new-privileges alone. Unconfined is what Cloud Run gives anyway. */
static int check_security_option(const char *opt, json_t *warnings, struct err *err)
{
	static const char *const known[] = {"label", "apparmor", "seccomp", "no-new-privileges", "systempaths", "credentialspec",
					    "writable-cgroups"};
	static const char *const as_it_is[] = {"unconfined", "disable", "false"};
	size_t n = strcspn(opt, "=:");
	bool found = false;

	for (size_t i = 0; i < N(known); i++)
		found = found || (strlen(known[i]) == n && strncmp(known[i], opt, n) == 0);
	if (!found || (!opt[n] && strcmp(opt, "no-new-privileges") != 0))
		return err_set(err, ERR_INVALID, "invalid --security-opt 1: \"%s\"", opt);
	for (size_t i = 0; opt[n] && i < N(as_it_is); i++)
		if (ends_with(opt + n + 1, as_it_is[i]))
			return 0;
	/* A profile may be a whole file in JSON. */
	warn(warnings, "Security option %.*s has no effect: Cloud Run confines its containers itself.", (int)n, opt);
	return 0;
}

static int check_security(const json_t *host, json_t *warnings, struct err *err)
{
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(host, "SecurityOpt"), i, v)
		if (check_security_option(json_string_value(v), warnings, err) < 0)
			return -1;
	return 0;
}

/* ---- logs ----------------------------------------------------------------------------------------- */

static int check_log_options(const char *driver, const json_t *config, struct err *err)
{
	static const char *const known[] = {"max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag",
					    "mode", "max-buffer-size"};
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)config, key, v) {
		bool fine = false;

		for (size_t i = 0; i < N(known); i++)
			fine = fine || strcmp(known[i], key) == 0;
		if (!fine)
			return err_set(err, ERR_INVALID, "unknown log opt '%s' for %s log driver", key, driver);
	}
	return 0;
}

static int check_log(const json_t *host, json_t *warnings, struct err *err)
{
	static const char *const elsewhere[] = {"syslog", "journald", "gelf", "fluentd", "awslogs", "splunk", "etwlogs",
						"logentries"};
	const json_t *config = json_object_get(host, "LogConfig");
	const char *driver = text(config, "Type");

	if (!*driver || strcmp(driver, "json-file") == 0 || strcmp(driver, "local") == 0)
		return check_log_options(*driver ? driver : "json-file", json_object_get(config, "Config"), err);
	if (strcmp(driver, "gcplogs") == 0)
		return 0;
	if (strcmp(driver, "none") == 0) {
		warn(warnings, "Log driver none has no effect: Cloud Run keeps the output in Cloud Logging.");
		return 0;
	}
	for (size_t i = 0; i < N(elsewhere); i++)
		if (strcmp(driver, elsewhere[i]) == 0)
			return err_set(err, ERR_INVALID, "log driver \"%s\" is not available: the output of containers on Cloud Run "
				       "is in this gateway and in Cloud Logging", driver);
	return err_set(err, ERR_INVALID, "error looking up logging plugin %s: plugin \"%s\" not found", driver, driver);
}

/* ---- names ---------------------------------------------------------------------------------------- */

static bool is_address(const char *s)
{
	unsigned char out[16];

	return inet_pton(AF_INET, s, out) == 1 || inet_pton(AF_INET6, s, out) == 1;
}

/* "NAME:ADDRESS", and "NAME=ADDRESS" of newer clients. */
static int check_hosts(const json_t *host, struct err *err)
{
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(host, "ExtraHosts"), i, v) {
		const char *line = json_string_value(v);
		size_t n = strcspn(line, ":=");
		AUTO_FREE char *address = NULL;

		if (n == 0 || !line[n])
			return err_set(err, ERR_INVALID, "bad format for add-host: \"%s\"", line);
		address = xstrdup(line + n + 1);
		if (*address == '[' && ends_with(address, "]")) {
			memmove(address, address + 1, strlen(address));
			address[strlen(address) - 1] = '\0';
		}
		if (strcmp(address, "host-gateway") == 0)
			return err_set(err, ERR_INVALID, "host-gateway is not available for \"%.*s\": a container on Cloud Run has "
				       "no host to reach", (int)n, line);
		if (!is_address(address))
			return err_set(err, ERR_INVALID, "invalid IP address in add-host: \"%s\"", address);
	}
	json_array_foreach(json_object_get(host, "Dns"), i, v)
		if (!is_address(json_string_value(v)))
			return err_set(err, ERR_INVALID, "invalid IP address in dns: \"%s\"", json_string_value(v));
	return 0;
}

/* ---- limits --------------------------------------------------------------------------------------- */

static int check_memory(const json_t *host, bool update, struct err *err)
{
	json_int_t memory = number(host, "Memory"), reservation = number(host, "MemoryReservation");
	json_int_t swap = number(host, "MemorySwap"), swappiness = number(host, "MemorySwappiness");

	if (memory != 0 && memory < MEMORY_MIN)
		return err_set(err, ERR_INVALID, "Minimum memory limit allowed is 6MB");
	if (memory > 0 && swap > 0 && swap < memory)
		return err_set(err, ERR_INVALID, "Minimum memoryswap limit should be larger than memory limit, see usage");
	if (memory == 0 && swap > 0 && !update)
		return err_set(err, ERR_INVALID, "You should always set the Memory limit when using Memoryswap limit, see usage");
	if (swappiness < -1 || swappiness > 100)
		return err_set(err, ERR_INVALID, "Invalid value: %lld, valid memory swappiness range is 0-100",
			       (long long)swappiness);
	if (reservation != 0 && reservation < MEMORY_MIN)
		return err_set(err, ERR_INVALID, "Minimum memory reservation allowed is 6MB");
	if (memory > 0 && reservation > memory)
		return err_set(err, ERR_INVALID, "Minimum memory limit can not be less than memory reservation limit, see usage");
	if (number(host, "ShmSize") < 0)
		return err_set(err, ERR_INVALID, "SHM size can not be less than 0");
	return 0;
}

static int check_cpu(const json_t *host, struct err *err)
{
	json_int_t cpus = number(host, "NanoCpus"), period = number(host, "CpuPeriod"), quota = number(host, "CpuQuota");
	json_int_t oom = number(host, "OomScoreAdj");

	if (cpus > 0 && period > 0)
		return err_set(err, ERR_INVALID, "Conflicting options: Nano CPUs and CPU Period cannot both be set");
	if (cpus > 0 && quota > 0)
		return err_set(err, ERR_INVALID, "Conflicting options: Nano CPUs and CPU Quota cannot both be set");
	if (cpus < 0)
		return err_set(err, ERR_INVALID, "Range of CPUs is from 0.01 to 8.00, as there are only 8 CPUs available");
	if (period != 0 && (period < 1000 || period > 1000000))
		return err_set(err, ERR_INVALID, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. "
			       "1000000)");
	if (quota > 0 && quota < 1000)
		return err_set(err, ERR_INVALID, "CPU cfs quota can not be less than 1ms (i.e. 1000)");
	if (oom < -1000 || oom > 1000)
		return err_set(err, ERR_INVALID, "Invalid value %lld, range for oom score adj is [-1000, 1000]", (long long)oom);
	return 0;
}

int container_values_check_update(json_t *update, struct err *err)
{
	return check_memory(update, true, err) < 0 || check_cpu(update, err) < 0 ? -1 : 0;
}

static int check_ulimits(const json_t *host, json_t *warnings, struct err *err)
{
	static const struct field fields[] = {{"Name", FIELD_STRING}, {"Soft", FIELD_INT}, {"Hard", FIELD_INT}, {NULL, 0}};
	bool others = false;
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(host, "Ulimits"), i, v) {
		if (!json_is_object(v))
			return err_set(err, ERR_INVALID, "json: cannot unmarshal into Go struct field HostConfig.Ulimits of type "
				       "units.Ulimit");
		if (fields_check(v, "Ulimit", fields, err) < 0)
			return -1;
		if (number(v, "Hard") >= 0 && number(v, "Soft") > number(v, "Hard"))
			return err_set(err, ERR_INVALID, "ulimit soft limit must be less than or equal to hard limit: %lld > %lld",
				       (long long)number(v, "Soft"), (long long)number(v, "Hard"));
		others = others || strcmp(text(v, "Name"), "nofile") != 0;
	}
	if (others)
		warn(warnings, "Resource limits (ulimit) other than nofile have no effect in this gateway.");
	return 0;
}

/* --gpus N or all: one GPU is all that Cloud Run gives to a task. */
static int check_devices(const json_t *host, struct err *err)
{
	const json_t *requests = json_object_get(host, "DeviceRequests"), *v, *set;
	size_t i;

	if (json_array_size(requests) > 1)
		return err_set(err, ERR_INVALID, "several device requests are not available: Cloud Run gives a task one GPU at most");
	json_array_foreach(requests, i, v) {
		const char *driver = text(v, "Driver");
		json_int_t count = number(v, "Count");
		bool gpu = false;
		size_t k, m;
		const json_t *word;

		json_array_foreach(json_object_get(v, "Capabilities"), k, set)
			json_array_foreach(set, m, word)
				gpu = gpu || strcmp(json_is_string(word) ? json_string_value(word) : "", "gpu") == 0;
		if (!gpu || (*driver && strcmp(driver, "nvidia") != 0))
			return err_set(err, ERR_INVALID, "could not select device driver \"%s\": Cloud Run has NVIDIA GPUs only", driver);
		if (count > 1 || json_array_size(json_object_get(v, "DeviceIDs")) > 1)
			return err_set(err, ERR_INVALID, "Cloud Run gives a task one GPU at most");
	}
	return 0;
}

int container_values_check(json_t *host, json_t *warnings, struct err *err)
{
	if (check_modes(host, err) < 0 || check_capabilities(host, warnings, err) < 0 ||
	    check_security(host, warnings, err) < 0 || check_log(host, warnings, err) < 0 || check_hosts(host, err) < 0 ||
	    check_memory(host, false, err) < 0 || check_cpu(host, err) < 0 || check_ulimits(host, warnings, err) < 0)
		return -1;
	return check_devices(host, err);
}
