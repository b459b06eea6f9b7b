/* agent_cgroup - finding the groups by the kernel's tables, and their figures, in folders that look like
 * both versions. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/agent/cgroup.h"
#include "base/mem.h"

static char root[] = "/tmp/agent-cgroup-XXXXXX";

static void make_root(void)
{
	cr_assert_not_null(mkdtemp(root));
}

static int unlink_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

static void remove_root(void)
{
	nftw(root, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *file, const char *text)
{
	AUTO_FREE char *path = xasprintf("%s/%s", root, file);
	AUTO_CLOSE int fd = -1;

	for (char *p = path + strlen(root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(path, 0755);
		*p = '/';
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static struct cgroups find(const char *mounts, const char *membership)
{
	AUTO_FREE char *table = xcalloc(1, 4096);
	struct cgroups g;

	for (size_t n = 0; *mounts; mounts++) /* @ is the folder */
		n += (size_t)snprintf(table + n, 4096 - n, *mounts == '@' ? root : "%c", *mounts);
	cgroups_find_in(table, membership, &g);
	return g;
}

static const char v2_mount[] = "30 23 0:26 / @ ro,nosuid - cgroup2 cgroup rw,nsdelegate\n";

TestSuite(cgroup, .init = make_root, .fini = remove_root);

Test(cgroup, version_2)
{
	struct cgroup_cpu c = {0};
	struct cgroup_memory m = {0};
	uint64_t current = 0, limit = 7;
	AUTO_FREE char *text = NULL;
	json_t *stats = json_object(), *io;
	struct cgroups g;

	put("cgroup.type", "domain\n");
	put("cpu.stat", "usage_usec 5000\nuser_usec 3000\nsystem_usec 2000\nnr_periods 9\nnr_throttled 4\nthrottled_usec 11\n");
	put("memory.current", "4096\n");
	put("memory.max", "max\n");
	put("memory.stat", "anon 100\ninactive_file 200\n");
	put("memory.events", "low 0\noom 3\noom_kill 1\n");
	put("pids.current", "12\n");
	put("pids.max", "max\n");
	put("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n9:1\n");
	g = find(v2_mount, "0::/\n");
	cgroup_cpu(&g, &c);
	cr_assert_eq(c.usage_ns, 5000000);
	cr_assert_eq(c.user_ns, 3000000);
	cr_assert_eq(c.system_ns, 2000000);
	cr_assert_eq(c.periods, 9);
	cr_assert_eq(c.throttled_periods, 4);
	cr_assert_eq(c.throttled_ns, 11000);
	cgroup_memory(&g, &m, stats);
	cr_assert_eq(m.usage, 4096);
	cr_assert_eq(m.limit, UINT64_MAX);
	cr_assert_eq(m.failcnt, 3);
	cr_assert_eq(json_integer_value(json_object_get(stats, "inactive_file")), 200);
	cgroup_pids(&g, &current, &limit);
	cr_assert_eq(current, 12);
	cr_assert_eq(limit, 0);
	io = cgroup_blkio(&g);
	text = json_dumps(io, JSON_COMPACT);
	cr_assert_str_eq(text, "[{\"major\":8,\"minor\":0,\"op\":\"read\",\"bytes\":1,\"ops\":3},"
			       "{\"major\":8,\"minor\":0,\"op\":\"write\",\"bytes\":2,\"ops\":4}]");
	json_decref(io);
	json_decref(stats);
	cgroups_release(&g);
}

Test(cgroup, version_1_with_the_own_group_mounted)
{
	struct cgroup_cpu c = {.user_ns = 1};
	struct cgroup_memory m = {0};
	json_t *stats = json_object(), *io;
	uint64_t current, limit;
	struct cgroups g;

	put("cpu/tasks", "");
	put("cpu/cpu.stat", "nr_periods 1\nnr_throttled 2\nthrottled_time 3\n");
	put("cpu/cpuacct.usage", "123456\n");
	put("cpu/cpuacct.stat", "user 2\nsystem 1\n");
	put("memory/tasks", "");
	put("memory/memory.usage_in_bytes", "10\n");
	put("memory/memory.limit_in_bytes", "9223372036854771712\n");
	put("memory/memory.failcnt", "6\n");
	put("pids/tasks", "");
	put("pids/pids.current", "2\n");
	put("pids/pids.max", "50\n");
	put("blkio/sub/tasks", "");
	put("blkio/sub/blkio.throttle.io_service_bytes", "8:16 Read 10\n8:16 Write 20\n8:16 Sync 30\n8:16 Total 30\nTotal 30\n");
	put("blkio/sub/blkio.throttle.io_serviced", "8:16 Read 1\n8:16 Write 2\nTotal 3\n");
	g = find("31 30 0:1 /docker/x @/cpu ro shared:1 - cgroup cgroup rw,cpu,cpuacct\n"
		 "32 30 0:2 /docker/x @/memory ro - cgroup cgroup rw,memory\n"
		 "33 30 0:3 /docker/x @/pids ro - cgroup cgroup rw,pids\n"
		 "34 30 0:4 /docker/x @/blkio ro - cgroup cgroup rw,blkio\n"
		 "35 30 0:4 / /proc ro - proc proc rw\n",
		 "5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n3:pids:/docker/x\n2:blkio:/docker/x/sub\n1:name=systemd:/docker/x\n");
	cgroup_cpu(&g, &c);
	cr_assert_eq(c.usage_ns, 123456);
	cr_assert_eq(c.user_ns, 20000000);
	cr_assert_eq(c.throttled_ns, 3);
	cgroup_memory(&g, &m, stats);
	cr_assert_eq(m.usage, 10);
	cr_assert_eq(m.failcnt, 6);
	cgroup_pids(&g, &current, &limit);
	cr_assert_eq(limit, 50);
	io = cgroup_blkio(&g);
	cr_assert_eq(json_array_size(io), 2);
	cr_assert_eq(json_integer_value(json_object_get(json_array_get(io, 1), "bytes")), 20);
	cr_assert_eq(json_integer_value(json_object_get(json_array_get(io, 1), "ops")), 2);
	json_decref(io);
	json_decref(stats);
	cgroups_release(&g);
}

Test(cgroup, the_machines_root_and_nothing_leave_values_alone)
{
	struct cgroup_cpu c = {.usage_ns = 42};
	struct cgroup_memory m = {.usage = 43};
	json_t *stats = json_object(), *io;
	struct cgroups g;

	put("cpu.stat", "usage_usec 5000\n"); /* the root of version 2 has it, for the whole machine */
	put("io.stat", "");
	put("cpu/tasks", "");
	put("cpu/release_agent", "");
	put("cpu/cpuacct.usage", "1\n");
	g = find("31 30 0:1 / @/cpu ro - cgroup cgroup rw,cpu,cpuacct\n30 23 0:26 / @ ro - cgroup2 cgroup rw\n",
		 "5:cpu,cpuacct:/\n0::/\n");
	cgroup_cpu(&g, &c);
	cgroup_memory(&g, &m, stats);
	cr_assert_eq(c.usage_ns, 42);
	cr_assert_eq(m.usage, 43);
	cr_assert_eq(json_object_size(stats), 0);
	cgroups_release(&g);
	g = find("", "");
	io = cgroup_blkio(&g);
	cr_assert_eq(json_array_size(io), 0);
	json_decref(io);
	json_decref(stats);
	cgroups_release(&g);
}
