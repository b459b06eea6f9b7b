/* container_options - see container_options.h. The order is that of the published interface. */
#include "api/container_options.h"

#include <string.h>

#include "base/mem.h"

#define OPTIONS_MAX 128
#define SHM_SIZE_DEFAULT 67108864

#define NO_DEVICES "Devices are not available on Cloud Run"
#define NO_BLKIO "Block I/O limits have no effect on Cloud Run."
#define NO_CPUSET "A CPU set has no effect on Cloud Run. Cpuset discarded."
#define NO_REALTIME "Real-time scheduling is not available on Cloud Run"
#define WINDOWS "for Windows"

const struct option config_options[] = {
	{"Hostname", FIELD_STRING, OPTION_MAPPED, "HOSTNAME and a line in /etc/hosts; the kernel's host name where the "
	 "agent may set it (Cloud Run lets nobody)"},
	{"Domainname", FIELD_STRING, OPTION_MAPPED, "beside the host name in /etc/hosts"},
	{"User", FIELD_STRING, OPTION_MAPPED, "the agent becomes it; an image with a USER other than root cannot become another, but in agent mode overlay"},
	{"AttachStdin", FIELD_BOOL, OPTION_WORKS, ""},
	{"AttachStdout", FIELD_BOOL, OPTION_WORKS, ""},
	{"AttachStderr", FIELD_BOOL, OPTION_WORKS, ""},
	{"ExposedPorts", FIELD_OBJECT, OPTION_WORKS, "told, as in dockerd"},
	{"Tty", FIELD_BOOL, OPTION_WORKS, ""},
	{"OpenStdin", FIELD_BOOL, OPTION_WORKS, ""},
	{"StdinOnce", FIELD_BOOL, OPTION_WORKS, ""},
	{"Env", FIELD_STRINGS, OPTION_MAPPED, "through the agent's specification, in pieces below Cloud Run's 32 KiB a "
	 "variable; 1.5 MB with the command"},
	{"Cmd", FIELD_WORDS, OPTION_WORKS, "the job's command and args are always both set"},
	{"Healthcheck", FIELD_OBJECT, OPTION_MAPPED, "run through the agent"},
	{"ArgsEscaped", FIELD_BOOL, OPTION_SILENT, WINDOWS},
	{"Image", FIELD_STRING, OPTION_MAPPED, "Cloud Run pulls it by digest"},
	{"Volumes", FIELD_OBJECT, OPTION_MAPPED, "see Volumes"},
	{"WorkingDir", FIELD_STRING, OPTION_MAPPED, "made by the agent if it is missing"},
	{"Entrypoint", FIELD_WORDS, OPTION_WORKS, ""},
	{"NetworkDisabled", FIELD_BOOL, OPTION_WARNED, "NetworkDisabled has no effect: every execution on Cloud Run has a "
	 "network."},
	{"MacAddress", FIELD_STRING, OPTION_WARNED, "MacAddress has no effect: containers on Cloud Run have no network "
	 "interface of their own."},
	{"OnBuild", FIELD_STRINGS, OPTION_SILENT, "for builds"},
	{"Labels", FIELD_MAP, OPTION_WORKS, "run.sockerless.* have a meaning, see below"},
	{"StopSignal", FIELD_STRING, OPTION_WORKS, "sent by the agent"},
	{"StopTimeout", FIELD_INT, OPTION_WORKS, ""},
	{"Shell", FIELD_WORDS, OPTION_SILENT, "for builds and health checks"},
	{"HostConfig", FIELD_OBJECT, OPTION_WORKS, ""},
	{"NetworkingConfig", FIELD_OBJECT, OPTION_VALUES, "see Networks"},
	{NULL, 0, 0, NULL},
};

const struct option host_options[] = {
	{"CpuShares", FIELD_INT, OPTION_WARNED, "CPU shares have no effect on Cloud Run. Shares discarded."},
	{"Memory", FIELD_INT, OPTION_MAPPED, "the smallest of Cloud Run's pairs of CPU and memory that holds it, see below"},
	{"CgroupParent", FIELD_STRING, OPTION_REFUSED, "A cgroup parent is not available on Cloud Run"},
	{"BlkioWeight", FIELD_INT, OPTION_WARNED, "Block I/O weight has no effect on Cloud Run. Weight discarded."},
	{"BlkioWeightDevice", FIELD_LIST, OPTION_WARNED, NO_BLKIO},
	{"BlkioDeviceReadBps", FIELD_LIST, OPTION_WARNED, NO_BLKIO},
	{"BlkioDeviceWriteBps", FIELD_LIST, OPTION_WARNED, NO_BLKIO},
	{"BlkioDeviceReadIOps", FIELD_LIST, OPTION_WARNED, NO_BLKIO},
	{"BlkioDeviceWriteIOps", FIELD_LIST, OPTION_WARNED, NO_BLKIO},
	{"CpuPeriod", FIELD_INT, OPTION_MAPPED, "with CpuQuota, as NanoCpus"},
	{"CpuQuota", FIELD_INT, OPTION_MAPPED, "as NanoCpus"},
	{"CpuRealtimePeriod", FIELD_INT, OPTION_REFUSED, NO_REALTIME},
	{"CpuRealtimeRuntime", FIELD_INT, OPTION_REFUSED, NO_REALTIME},
	{"CpusetCpus", FIELD_STRING, OPTION_WARNED, NO_CPUSET},
	{"CpusetMems", FIELD_STRING, OPTION_WARNED, NO_CPUSET},
	{"Devices", FIELD_LIST, OPTION_REFUSED, NO_DEVICES},
	{"DeviceCgroupRules", FIELD_STRINGS, OPTION_REFUSED, NO_DEVICES},
	{"DeviceRequests", FIELD_LIST, OPTION_VALUES, "--gpus 1: one GPU of the kind in run.sockerless.gpu or "
	 "SOCKERLESS_GCR_GPU; anything else is refused"},
	{"KernelMemory", FIELD_INT, OPTION_SILENT, "gone from Docker itself"},
	{"KernelMemoryTCP", FIELD_INT, OPTION_WARNED, "A limit of TCP memory has no effect on Cloud Run."},
	{"MemoryReservation", FIELD_INT, OPTION_MAPPED, "as Memory, if that is not set"},
	{"MemorySwap", FIELD_INT, OPTION_SILENT, "Cloud Run has no swap"},
	{"MemorySwappiness", FIELD_INT, OPTION_WARNED, "Swappiness has no effect on Cloud Run: there is no swap."},
	{"NanoCpus", FIELD_INT, OPTION_MAPPED, "whole CPUs: the smallest of Cloud Run's pairs that holds it, see below"},
	{"OomKillDisable", FIELD_BOOL, OPTION_WARNED, "The out-of-memory killer cannot be disabled on Cloud Run. "
	 "OomKillDisable discarded."},
	{"Init", FIELD_BOOL, OPTION_WORKS, "the agent is the init, asked for or not"},
	{"PidsLimit", FIELD_INT, OPTION_WARNED, "A limit of processes has no effect on Cloud Run. PIDs limit discarded."},
	{"Ulimits", FIELD_LIST, OPTION_VALUES, "nofile is set by the agent, within Cloud Run's 25000; the others have no "
	 "effect and are told"},
	{"CpuCount", FIELD_INT, OPTION_SILENT, WINDOWS},
	{"CpuPercent", FIELD_INT, OPTION_WARNED, "linux does not support CPU percent. Percent discarded."},
	{"IOMaximumIOps", FIELD_INT, OPTION_REFUSED, "Invalid QoS settings: linux does not support configuration of maximum IOPs"},
	{"IOMaximumBandwidth", FIELD_INT, OPTION_REFUSED, "Invalid QoS settings: linux does not support configuration of "
	 "maximum bandwidth"},
	{"Binds", FIELD_STRINGS, OPTION_VALUES, "see Volumes"},
	{"ContainerIDFile", FIELD_STRING, OPTION_SILENT, "the client writes it"},
	{"LogConfig", FIELD_OBJECT, OPTION_VALUES, "json-file, local and gcplogs: the gateway keeps the log, Cloud Logging gets "
	 "it too; none: told; drivers that send elsewhere are refused"},
	{"NetworkMode", FIELD_STRING, OPTION_VALUES, "see Networks"},
	{"PortBindings", FIELD_OBJECT, OPTION_MAPPED, "a port of the gateway's machine, carried through the tunnel"},
	{"RestartPolicy", FIELD_OBJECT, OPTION_MAPPED, "by the agent, inside the execution"},
	{"AutoRemove", FIELD_BOOL, OPTION_WORKS, ""},
	{"VolumeDriver", FIELD_STRING, OPTION_VALUES, "local"},
	{"VolumesFrom", FIELD_STRINGS, OPTION_VALUES, "see Volumes"},
	{"Mounts", FIELD_LIST, OPTION_VALUES, "see Volumes"},
	{"ConsoleSize", FIELD_SIZE, OPTION_WORKS, ""},
	{"Annotations", FIELD_MAP, OPTION_WORKS, "kept; inspect adds what Cloud Run was asked for"},
	{"CapAdd", FIELD_WORDS, OPTION_VALUES, "what every container has is fine, SYS_PTRACE (debuggers) is told; others are refused"},
	{"CapDrop", FIELD_WORDS, OPTION_WARNED, "CapDrop has no effect: Cloud Run gives every container the same capabilities."},
	{"CgroupnsMode", FIELD_STRING, OPTION_SILENT, "private or host; Cloud Run decides"},
	{"Dns", FIELD_STRINGS, OPTION_MAPPED, "the agent writes /etc/resolv.conf"},
	{"DnsOptions", FIELD_STRINGS, OPTION_MAPPED, "the agent writes /etc/resolv.conf"},
	{"DnsSearch", FIELD_STRINGS, OPTION_MAPPED, "the agent writes /etc/resolv.conf"},
	{"ExtraHosts", FIELD_STRINGS, OPTION_VALUES, "the agent writes /etc/hosts; host-gateway is refused"},
	{"GroupAdd", FIELD_STRINGS, OPTION_WARNED, "Additional groups have no effect in this gateway."},
	{"IpcMode", FIELD_STRING, OPTION_VALUES, "private, shareable and none; others are refused"},
	{"Cgroup", FIELD_STRING, OPTION_SILENT, "unused in Docker itself"},
	{"Links", FIELD_STRINGS, OPTION_REFUSED, "Links are not available: containers on Cloud Run cannot reach each other "
	 "by name"},
	{"OomScoreAdj", FIELD_INT, OPTION_WARNED, "OomScoreAdj has no effect on Cloud Run."},
	{"PidMode", FIELD_STRING, OPTION_VALUES, "private; others are refused"},
	{"Privileged", FIELD_BOOL, OPTION_REFUSED, "Privileged mode is not available: Cloud Run gives every container the "
	 "same rights"},
	{"PublishAllPorts", FIELD_BOOL, OPTION_MAPPED, "the same, ports that are free"},
	{"ReadonlyRootfs", FIELD_BOOL, OPTION_WARNED, "ReadonlyRootfs has no effect: the root file system on Cloud Run can "
	 "be written to, and is gone with the execution."},
	{"SecurityOpt", FIELD_STRINGS, OPTION_VALUES, "unconfined and disabled: as it is anyway; no-new-privileges, label, "
	 "and profiles have no effect and are told; unknown ones are refused"},
	{"StorageOpt", FIELD_MAP, OPTION_REFUSED, "Storage options are not available on Cloud Run"},
	{"Tmpfs", FIELD_MAP, OPTION_VALUES, "see Volumes"},
	{"UTSMode", FIELD_STRING, OPTION_VALUES, "private; host is refused"},
	{"UsernsMode", FIELD_STRING, OPTION_VALUES, "host, which is no user namespace; others are refused"},
	{"ShmSize", FIELD_INT, OPTION_WARNED, "ShmSize has no effect: the size of /dev/shm is Cloud Run's."},
	{"Sysctls", FIELD_MAP, OPTION_REFUSED, "Kernel parameters cannot be set on Cloud Run"},
	{"Runtime", FIELD_STRING, OPTION_VALUES, "cloudrun, and runc for clients that name it; others are refused"},
	{"Isolation", FIELD_STRING, OPTION_VALUES, "default; others are refused"},
	{"MaskedPaths", FIELD_STRINGS, OPTION_SILENT, "Cloud Run decides"},
	{"ReadonlyPaths", FIELD_STRINGS, OPTION_SILENT, "Cloud Run decides"},
	{NULL, 0, 0, NULL},
};

const char *option_fate_name(enum option_fate fate)
{
	static const char *const names[] = {
		[OPTION_WORKS] = "works", [OPTION_MAPPED] = "mapped", [OPTION_SILENT] = "no effect",
		[OPTION_WARNED] = "no effect, told", [OPTION_REFUSED] = "refused", [OPTION_VALUES] = "by value",
	};

	return names[fate];
}

bool option_given(const json_t *o, const char *name)
{
	json_t *v = json_object_get(o, name);

	switch (v ? json_typeof(v) : JSON_NULL) {
	case JSON_NULL:
	case JSON_FALSE:
		return false;
	case JSON_STRING:
		return *json_string_value(v) != '\0';
	case JSON_INTEGER:
		if (strcmp(name, "ShmSize") == 0 && json_integer_value(v) == SHM_SIZE_DEFAULT)
			return false;
		return json_integer_value(v) != 0 && json_integer_value(v) != -1;
	case JSON_ARRAY:
		return json_array_size(v) > 0;
	case JSON_OBJECT:
		return json_object_size(v) > 0;
	default:
		return true;
	}
}

int options_check_types(json_t *o, const char *type, const struct option *options, struct err *err)
{
	struct field fields[OPTIONS_MAX] = {{NULL, 0}};

	for (size_t i = 0; i < OPTIONS_MAX - 1 && options[i].name; i++)
		fields[i] = (struct field){options[i].name, options[i].type};
	return fields_check(o, type, fields, err);
}

/* Several fields may share a sentence: it is said once. */
static void warn_once(json_t *warnings, const char *text)
{
	json_t *v;
	size_t i;

	json_array_foreach(warnings, i, v)
		if (strcmp(json_string_value(v), text) == 0)
			return;
	json_array_append_new(warnings, json_string(text));
}

int options_check_fates(json_t *o, const char *type, const struct option *options, json_t *warnings, struct err *err)
{
	for (; options->name; options++) {
		if (!option_given(o, options->name))
			continue;
		if (options->fate == OPTION_REFUSED)
			return err_set(err, ERR_INVALID, "%s (%s.%s)", options->text, type, options->name);
		if (options->fate == OPTION_WARNED)
			warn_once(warnings, options->text);
	}
	return 0;
}
