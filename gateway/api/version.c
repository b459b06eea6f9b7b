/* version - see version.h. Source of the table: the version history of the Engine API. */
#include "api/version.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"

/* Compares dotted numbers as dockerd does: missing parts are 0. */
static int compare(const char *a, size_t a_len, const char *b)
{
	const char *a_end = a + a_len, *b_end = b + strlen(b);

	while (a < a_end || b < b_end) {
		unsigned long x = 0, y = 0;

		for (; a < a_end && *a != '.'; a++)
			x = x > 100000 ? x : x * 10 + (unsigned long)(*a - '0');
		for (; b < b_end && *b != '.'; b++)
			y = y * 10 + (unsigned long)(*b - '0');
		if (x != y)
			return x < y ? -1 : 1;
		a += a < a_end;
		b += b < b_end;
	}
	return 0;
}

static const char min_version[] = API_VERSION_MIN_TEXT, max_version[] = API_VERSION_MAX_TEXT;

int version_split(const char *path, int *ret_minor, const char **ret_rest, int *ret_plain, struct err *err)
{
	size_t n = path[0] == '/' && path[1] == 'v' ? strspn(path + 2, "0123456789.") : 0;
	const char *v = path + 2, *dot;

	*ret_plain = 0;
	*ret_minor = API_VERSION_MAX;
	*ret_rest = path;
	if (n == 0 || v[n] != '/')
		return 0;
	*ret_rest = v + n;
	if (compare(v, n, min_version) < 0) {
		*ret_plain = 1;
		return err_set(err, ERR_INVALID, "client version %.*s is too old. Minimum supported API version "
			       "is %s, please upgrade your client to a newer version", (int)n, v, min_version);
	}
	if (compare(v, n, max_version) > 0)
		return err_set(err, ERR_INVALID, "client version %.*s is too new. Maximum supported API version "
			       "is %s", (int)n, v, max_version);
	dot = memchr(v, '.', n);
	*ret_minor = (int)strtol(dot + 1, NULL, 10);
	return 0;
}

/* ---- fields by version --------------------------------------------------------------------------- */

#define NEWEST 0   /* as `last`: still there */

/* The field at path is there in versions first to last. '*' is every member of an object or a list. When
 * `set`, it goes only where it says nothing: null, "", false, 0, [] or {}. */
static const struct rule {
	enum version_shape shape;
	const char *path;
	int first, last;
	bool set;
} rules[] = {
	{VERSION_CONTAINER, "HostConfig.Annotations", 43, NEWEST, false},
	{VERSION_CONTAINER, "HostConfig.KernelMemory", 24, 41, true},
	{VERSION_CONTAINER, "HostConfig.KernelMemoryTCP", 24, 41, true},
	{VERSION_CONTAINER, "HostConfig.KernelMemoryTCP", 24, 51, false},
	{VERSION_CONTAINER, "NetworkSettings.Networks.*.DNSNames", 44, NEWEST, false},
	{VERSION_CONTAINER, "NetworkSettings.Networks.*.GwPriority", 48, NEWEST, false},
	{VERSION_CONTAINER, "NetworkSettings.Bridge", 24, 51, false},
	{VERSION_CONTAINER, "NetworkSettings.HairpinMode", 24, 51, false},
	{VERSION_CONTAINER, "NetworkSettings.LinkLocalIPv6Address", 24, 51, false},
	{VERSION_CONTAINER, "NetworkSettings.LinkLocalIPv6PrefixLen", 24, 51, false},
	{VERSION_CONTAINER, "NetworkSettings.SecondaryIPAddresses", 24, 51, false},
	{VERSION_CONTAINER, "NetworkSettings.SecondaryIPv6Addresses", 24, 51, false},
	{VERSION_CONTAINER, "NetworkSettings.EndpointID", 24, 51, false},
	{VERSION_CONTAINER, "NetworkSettings.Gateway", 24, 51, false},
	{VERSION_CONTAINER, "NetworkSettings.GlobalIPv6Address", 24, 51, false},
	{VERSION_CONTAINER, "NetworkSettings.GlobalIPv6PrefixLen", 24, 51, false},
	{VERSION_CONTAINER, "NetworkSettings.IPAddress", 24, 51, false},
	{VERSION_CONTAINER, "NetworkSettings.IPPrefixLen", 24, 51, false},
	{VERSION_CONTAINER, "NetworkSettings.IPv6Gateway", 24, 51, false},
	{VERSION_CONTAINER, "NetworkSettings.MacAddress", 24, 51, false},
	{VERSION_CONTAINER, "Config.MacAddress", 24, 51, false},
	{VERSION_CONTAINER, "Config.OnBuild", 24, 51, true},

	{VERSION_CONTAINER_ROW, "HostConfig.Annotations", 46, NEWEST, false},
	{VERSION_CONTAINER_ROW, "NetworkSettings.Networks.*.DNSNames", 44, NEWEST, false},
	{VERSION_CONTAINER_ROW, "NetworkSettings.Networks.*.GwPriority", 48, NEWEST, false},
	{VERSION_CONTAINER_ROW, "Health", 52, NEWEST, false},

	{VERSION_IMAGE, "VirtualSize", 24, 43, false},
	{VERSION_IMAGE, "Container", 24, 44, false},
	{VERSION_IMAGE, "ContainerConfig", 24, 44, false},
	{VERSION_IMAGE, "Config.Hostname", 24, 49, false},
	{VERSION_IMAGE, "Config.Domainname", 24, 49, false},
	{VERSION_IMAGE, "Config.AttachStdin", 24, 49, false},
	{VERSION_IMAGE, "Config.AttachStdout", 24, 49, false},
	{VERSION_IMAGE, "Config.AttachStderr", 24, 49, false},
	{VERSION_IMAGE, "Config.Tty", 24, 49, false},
	{VERSION_IMAGE, "Config.OpenStdin", 24, 49, false},
	{VERSION_IMAGE, "Config.StdinOnce", 24, 49, false},
	{VERSION_IMAGE, "Config.Image", 24, 49, false},
	{VERSION_IMAGE, "Config.NetworkDisabled", 24, 49, false},
	{VERSION_IMAGE, "Config.MacAddress", 24, 49, false},
	{VERSION_IMAGE, "Config.StopTimeout", 24, 49, false},
	{VERSION_IMAGE, "Config.Cmd", 24, 51, true},
	{VERSION_IMAGE, "Config.Entrypoint", 24, 51, true},
	{VERSION_IMAGE, "Config.Env", 24, 51, true},
	{VERSION_IMAGE, "Config.Labels", 24, 51, true},
	{VERSION_IMAGE, "Config.OnBuild", 24, 51, true},
	{VERSION_IMAGE, "Config.User", 24, 51, true},
	{VERSION_IMAGE, "Config.Volumes", 24, 51, true},
	{VERSION_IMAGE, "Config.WorkingDir", 24, 51, true},
	{VERSION_IMAGE, "Parent", 24, 51, true},
	{VERSION_IMAGE, "Comment", 24, 51, true},
	{VERSION_IMAGE, "DockerVersion", 24, 51, true},
	{VERSION_IMAGE, "Author", 24, 51, true},

	{VERSION_IMAGE_ROW, "VirtualSize", 24, 43, false},

	{VERSION_NETWORK, "EnableIPv4", 48, NEWEST, false},
	{VERSION_NETWORK, "Status", 52, NEWEST, false},

	{VERSION_EVENT, "status", 24, 51, false},
	{VERSION_EVENT, "id", 24, 51, false},
	{VERSION_EVENT, "from", 24, 51, false},

	{VERSION_STATS, "os_type", 52, NEWEST, false},

	{VERSION_INFO, "ExecutionDriver", 24, 24, false},
	{VERSION_INFO, "KernelMemory", 24, 41, true},
	{VERSION_INFO, "KernelMemoryTCP", 24, 41, true},
	{VERSION_INFO, "CDISpecDirs", 44, NEWEST, false},
	{VERSION_INFO, "Runtimes.*.status", 44, NEWEST, false},
	{VERSION_INFO, "ContainerdCommit.Expected", 24, 48, false},
	{VERSION_INFO, "RuncCommit.Expected", 24, 48, false},
	{VERSION_INFO, "InitCommit.Expected", 24, 48, false},
	{VERSION_INFO, "RegistryConfig.AllowNondistributableArtifactsCIDRs", 24, 48, false},
	{VERSION_INFO, "RegistryConfig.AllowNondistributableArtifactsHostnames", 24, 48, false},
	{VERSION_INFO, "BridgeNfIptables", 24, 49, false},
	{VERSION_INFO, "BridgeNfIp6tables", 24, 49, false},
	{VERSION_INFO, "FirewallBackend", 49, NEWEST, false},
	{VERSION_INFO, "DiscoveredDevices", 50, NEWEST, false},

	{VERSION_DISK_USAGE, "BuilderSize", 24, 41, false},
	{VERSION_DISK_USAGE, "Images.*.VirtualSize", 24, 43, false},
	{VERSION_DISK_USAGE, "LayersSize", 24, 52, false},
	{VERSION_DISK_USAGE, "Images", 24, 52, false},
	{VERSION_DISK_USAGE, "Containers", 24, 52, false},
	{VERSION_DISK_USAGE, "Volumes", 24, 52, false},
	{VERSION_DISK_USAGE, "BuildCache", 24, 52, false},
	{VERSION_DISK_USAGE, "ImageUsage", 52, NEWEST, false},
	{VERSION_DISK_USAGE, "ContainerUsage", 52, NEWEST, false},
	{VERSION_DISK_USAGE, "VolumeUsage", 52, NEWEST, false},
	{VERSION_DISK_USAGE, "BuildCacheUsage", 52, NEWEST, false},
};

static bool says_nothing(const json_t *v)
{
	const char *s = json_string_value(v);

	return !v || json_is_null(v) || json_is_false(v) || (s && !*s) ||
	       (json_is_integer(v) && json_integer_value(v) == 0) ||
	       (json_is_array(v) && json_array_size(v) == 0) || (json_is_object(v) && json_object_size(v) == 0);
}

static void remove_at(json_t *o, const char *path, bool set)
{
	size_t n = strcspn(path, "."), i;
	const char *rest = path[n] ? path + n + 1 : NULL, *key;
	char name[64];
	json_t *v;
	void *tmp;

	assert(n < sizeof(name));
	memcpy(name, path, n);
	name[n] = '\0';
	if (rest && strcmp(name, "*") != 0) {
		remove_at(json_object_get(o, name), rest, set);
	} else if (rest) {
		json_array_foreach(o, i, v)
			remove_at(v, rest, set);
		json_object_foreach_safe(o, tmp, key, v)
			remove_at(v, rest, set);
	} else if (!set || says_nothing(json_object_get(o, name))) {
		json_object_del(o, name);
	}
}

json_t *version_trim(json_t *body, enum version_shape shape, int minor)
{
	json_t *row;
	size_t i;

	json_array_foreach(body, i, row)
		version_trim(row, shape, minor);
	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].shape == shape && (minor < rules[i].first || (rules[i].last && minor > rules[i].last)))
			remove_at(body, rules[i].path, rules[i].set);
	return body;
}
