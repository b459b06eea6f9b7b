/* cgroup - see cgroup.h. */
#include "cgroup.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "tool.h"

static const char *const controllers[CGROUP_KINDS] = {
	[CGROUP_CPU] = "cpu", [CGROUP_CPUACCT] = "cpuacct", [CGROUP_MEMORY] = "memory",
	[CGROUP_PIDS] = "pids", [CGROUP_BLKIO] = "blkio"};
/* A file that the root group of a version 2 hierarchy does not have. */
static const char *const v2_files[CGROUP_KINDS] = {
	[CGROUP_CPU] = "cgroup.type", [CGROUP_CPUACCT] = "cgroup.type", [CGROUP_MEMORY] = "memory.current",
	[CGROUP_PIDS] = "pids.current", [CGROUP_BLKIO] = "io.stat"};

/* ---- where they are ----------------------------------------------------------------------------- */

/* Is word one of a comma-separated list that ends at a blank, a colon or the end? */
static bool lists(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (;;) {
		size_t len = strcspn(list, ",: \n");

		if (len == n && memcmp(list, word, n) == 0)
			return true;
		if (list[len] != ',')
			return false;
		list += len + 1;
	}
}

/* Our path in the hierarchy of a controller ("" for version 2's): "4:memory:/path". Caller frees. */
static char *path_in(const char *membership, const char *controller)
{
	for (const char *at = membership; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
		const char *list = strchr(at, ':'), *path = list ? strchr(list + 1, ':') : NULL;

		if (path && (*controller ? lists(list + 1, controller) : path == list + 1))
			return xstrndup(path + 1, strcspn(path + 1, "\n"));
	}
	return NULL;
}

static bool has(const char *dir, const char *file)
{
	AUTO_FREE char *path = xasprintf("%s/%s", dir, file);

	return access(path, R_OK) == 0;
}

/* Where a group is seen in a mount that shows the hierarchy from `root` on: a container without a cgroup
 * namespace has its own group mounted, but is told the path from the machine's root. */
static char *place(const char *mount, const char *root, const char *path)
{
	size_t n = strcmp(root, "/") == 0 ? 0 : strlen(root);

	if (strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == '\0'))
		return xasprintf("%s%s", mount, strcmp(path + n, "/") == 0 ? "" : path + n);
	return xstrdup(mount);
}

/* "36 35 98:0 ROOT MOUNT options ... - TYPE source OPTIONS" */
static void consider(const char *line, const char *membership, struct cgroups *ret)
{
	char root[PATH_MAX], mount[PATH_MAX], type[32], options[256];
	const char *dash = strstr(line, " - ");

	if (!dash || sscanf(line, "%*s %*s %*s %4095s %4095s", root, mount) != 2 ||
	    sscanf(dash, " - %31s %*s %255s", type, options) != 2 || strncmp(type, "cgroup", 6) != 0)
		return;
	for (int k = 0; k < CGROUP_KINDS; k++) {
		bool v2 = strcmp(type, "cgroup2") == 0;
		AUTO_FREE char *path = v2 || lists(options, controllers[k]) ? path_in(membership, v2 ? "" : controllers[k])
									    : NULL;
		AUTO_FREE char *dir = path ? place(mount, root, path) : NULL;

		/* release_agent: only the root group of version 1 has it */
		if (!dir || ret->dir[k] || (v2 ? !has(dir, v2_files[k]) : !has(dir, "tasks") || has(dir, "release_agent")))
			continue;
		ret->dir[k] = steal_ptr(&dir);
		ret->v2[k] = v2;
	}
}

void cgroups_find_in(const char *mountinfo, const char *membership, struct cgroups *ret)
{
	AUTO_FREE char *copy = xstrdup(mountinfo);
	char *rest = copy, *line;

	*ret = (struct cgroups){0};
	while ((line = strsep(&rest, "\n")))
		consider(line, membership, ret);
}

void cgroups_find(struct cgroups *ret)
{
	AUTO_FREE char *mountinfo = tool_read_file("/proc/self/mountinfo");
	AUTO_FREE char *membership = tool_read_file("/proc/self/cgroup");

	cgroups_find_in(mountinfo ? mountinfo : "", membership ? membership : "", ret);
}

void cgroups_release(struct cgroups *g)
{
	for (int k = 0; k < CGROUP_KINDS; k++)
		free(g->dir[k]);
	*g = (struct cgroups){0};
}

/* ---- their files -------------------------------------------------------------------------------- */

static char *read_in(const struct cgroups *g, enum cgroup_kind kind, const char *file)
{
	AUTO_FREE char *path = g->dir[kind] ? xasprintf("%s/%s", g->dir[kind], file) : NULL;

	return path ? tool_read_file(path) : NULL;
}

/* A file of one number; "max" and version 1's almost 2^63 are what they are: very much. */
static bool number_in(const struct cgroups *g, enum cgroup_kind kind, const char *file, uint64_t *ret)
{
	AUTO_FREE char *text = read_in(g, kind, file);
	char *end;

	if (!text)
		return false;
	if (strncmp(text, "max", 3) == 0) {
		*ret = UINT64_MAX;
		return true;
	}
	uint64_t v = strtoull(text, &end, 10);
	if (end == text)
		return false;
	*ret = v;
	return true;
}

/* A file of lines "key number". */
static bool value_of(const char *text, const char *key, uint64_t *ret)
{
	size_t n = strlen(key);

	for (const char *at = text; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
		if (strncmp(at, key, n) == 0 && at[n] == ' ') {
			*ret = strtoull(at + n + 1, NULL, 10);
			return true;
		}
	return false;
}

static void scaled(const char *text, const char *key, uint64_t factor, uint64_t *ret)
{
	uint64_t v;

	if (value_of(text, key, &v))
		*ret = v * factor;
}

void cgroup_cpu(const struct cgroups *g, struct cgroup_cpu *c)
{
	AUTO_FREE char *limits = read_in(g, CGROUP_CPU, "cpu.stat");
	bool v2 = g->v2[CGROUP_CPU];

	scaled(limits, "nr_periods", 1, &c->periods);
	scaled(limits, "nr_throttled", 1, &c->throttled_periods);
	scaled(limits, v2 ? "throttled_usec" : "throttled_time", v2 ? 1000 : 1, &c->throttled_ns);
	if (v2) {
		scaled(limits, "usage_usec", 1000, &c->usage_ns);
		scaled(limits, "user_usec", 1000, &c->user_ns);
		scaled(limits, "system_usec", 1000, &c->system_ns);
	} else if (number_in(g, CGROUP_CPUACCT, "cpuacct.usage", &c->usage_ns)) {
		AUTO_FREE char *split = read_in(g, CGROUP_CPUACCT, "cpuacct.stat");
		uint64_t tick_ns = 1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK);

		scaled(split, "user", tick_ns, &c->user_ns);
		scaled(split, "system", tick_ns, &c->system_ns);
	}
}

void cgroup_memory(const struct cgroups *g, struct cgroup_memory *m, json_t *stats)
{
	bool v2 = g->v2[CGROUP_MEMORY];
	AUTO_FREE char *figures = read_in(g, CGROUP_MEMORY, "memory.stat");
	char *rest = figures, *line;

	if (!number_in(g, CGROUP_MEMORY, v2 ? "memory.current" : "memory.usage_in_bytes", &m->usage))
		return;
	number_in(g, CGROUP_MEMORY, v2 ? "memory.max" : "memory.limit_in_bytes", &m->limit);
	number_in(g, CGROUP_MEMORY, v2 ? "memory.peak" : "memory.max_usage_in_bytes", &m->max_usage);
	if (v2) {
		AUTO_FREE char *events = read_in(g, CGROUP_MEMORY, "memory.events");

		scaled(events, "oom", 1, &m->failcnt);
	} else {
		number_in(g, CGROUP_MEMORY, "memory.failcnt", &m->failcnt);
	}
	while ((line = strsep(&rest, "\n"))) {
		char *key = strsep(&line, " ");

		if (line)
			json_object_set_new(stats, key, json_integer((json_int_t)strtoull(line, NULL, 10)));
	}
}

void cgroup_pids(const struct cgroups *g, uint64_t *current, uint64_t *limit)
{
	if (!number_in(g, CGROUP_PIDS, "pids.current", current))
		return;
	if (number_in(g, CGROUP_PIDS, "pids.max", limit) && *limit == UINT64_MAX)
		*limit = 0;
}

/* ---- blkio -------------------------------------------------------------------------------------- */

static void add_io(json_t *list, unsigned major, unsigned minor, const char *op, uint64_t bytes, uint64_t ops)
{
	json_array_append_new(list, json_pack("{s:i, s:i, s:s, s:I, s:I}", "major", (int)major, "minor", (int)minor, "op",
					      op, "bytes", (json_int_t)bytes, "ops", (json_int_t)ops));
}

/* "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6" */
static void blkio_v2(char *text, json_t *list)
{
	char *line;

	while ((line = strsep(&text, "\n"))) {
		unsigned major, minor;
		uint64_t v[4];

		if (sscanf(line, "%u:%u rbytes=%" SCNu64 " wbytes=%" SCNu64 " rios=%" SCNu64 " wios=%" SCNu64, &major, &minor,
			   &v[0], &v[1], &v[2], &v[3]) != 6)
			continue;
		add_io(list, major, minor, "read", v[0], v[2]);
		add_io(list, major, minor, "write", v[1], v[3]);
	}
}

/* "8:0 Read 123", one file for bytes and one for operations, the same lines in both. */
static void blkio_v1(char *bytes, const char *ops, json_t *list)
{
	char *line;

	while ((line = strsep(&bytes, "\n"))) {
		AUTO_FREE char *key = NULL;
		unsigned major, minor;
		char op[16];
		uint64_t v, n = 0;

		if (sscanf(line, "%u:%u %15s %" SCNu64, &major, &minor, op, &v) != 4 ||
		    (strcmp(op, "Read") != 0 && strcmp(op, "Write") != 0))
			continue;
		key = xasprintf("%u:%u %s", major, minor, op);
		value_of(ops, key, &n);
		add_io(list, major, minor, *op == 'R' ? "read" : "write", v, n);
	}
}

json_t *cgroup_blkio(const struct cgroups *g)
{
	json_t *list = json_array();
	bool v2 = g->v2[CGROUP_BLKIO];
	AUTO_FREE char *bytes = read_in(g, CGROUP_BLKIO, v2 ? "io.stat" : "blkio.throttle.io_service_bytes");
	AUTO_FREE char *ops = v2 ? NULL : read_in(g, CGROUP_BLKIO, "blkio.throttle.io_serviced");

	if (v2)
		blkio_v2(bytes, list);
	else
		blkio_v1(bytes, ops, list);
	return list;
}
