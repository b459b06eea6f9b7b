/* agent_path - paths made absolute and followed as Go and dockerd do; what is mounted where. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../src/agent/tool_path.h"
#include "base/mem.h"

static char dir[] = "/tmp/agent-path-XXXXXX";

static void set_up(void)
{
	cr_assert(mkdtemp(dir));
	cr_assert_eq(chdir(dir), 0);
}

static void tear_down(void)
{
	AUTO_FREE char *cmd = xasprintf("rm -rf %s", dir);

	cr_assert_eq(system(cmd), 0);
}

TestSuite(path, .init = set_up, .fini = tear_down);

static void same(char *got, const char *want, const char *of)
{
	cr_assert(got, "%s", of);
	cr_assert_str_eq(got, want, "%s: %s instead of %s", of, got, want);
	free(got);
}

Test(path, absolute_keeps_what_follows_a_link)
{
	static const char *const pairs[][2] = {
		{"a", "/a"}, {"a/", "/a/"}, {"a//", "/a/"}, {"a/.", "/a/."}, {"a/./", "/a/./"}, {"/", "/"},
		{".", "/."}, {"./", "/./"}, {"..", "/"}, {"../", "/"}, {"/.", "/."}, {"/a/b/..", "/a"},
		{"/a/..", "/"}, {"a.", "/a."}, {"/a/../b/.", "/b/."},
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		same(path_absolute(pairs[i][0]), pairs[i][1], pairs[i][0]);
	cr_assert_str_eq(path_base("/a/b"), "b");
	cr_assert_str_eq(path_base("/"), "/");
	cr_assert_str_eq(path_base("a"), "a");
}

/* Links here lead through the test's own directory, whose name stands for the root. */
static void follows(const char *path, const char *want)
{
	struct mounts none = {0};
	struct err err = {0};
	AUTO_FREE char *from = xasprintf("%s%s", dir, path);
	AUTO_FREE char *to = *want == '!' ? xstrdup(want + 1) : xasprintf("%s%s", dir, want);
	char *got = path_follow(&none, from, &err);

	cr_assert(got, "%s: %s", path, err.msg);
	same(got, to, path);
}

Test(path, follow_goes_through_every_link)
{
	AUTO_FREE char *absolute = xasprintf("%s/d/e", dir);
	struct mounts none = {0};
	struct err err = {0};
	AUTO_FREE char *loop = xasprintf("%s/loop/x", dir);
	AUTO_FREE char *under_file = xasprintf("%s/file/x", dir);

	cr_assert_eq(system("mkdir -p d/e; touch file; ln -s d l; ln -s l/e ll; ln -s loop loop;"
			    "ln -s ../../../../../../../../../nowhere/x up; ln -s gone/../d odd"), 0);
	cr_assert_eq(symlink(absolute, "abs"), 0);
	follows("/l", "/d");
	follows("/l/", "/d");
	follows("/ll/.", "/d/e");
	follows("/l/e/../e", "/d/e");
	follows("/abs/..", "/d");
	follows("/odd/e", "/d/e");      /* what is missing counts as it is written */
	follows("/l/none/x", "/d/none/x");
	follows("/up", "!/nowhere/x");
	cr_assert_not(path_follow(&none, loop, &err));
	cr_assert(strstr(err.msg, "too many links in"), "%s", err.msg);
	cr_assert_not(path_follow(&none, under_file, &err));
	cr_assert(strstr(err.msg, "/file/x: not a directory"), "%s", err.msg);
}

Test(path, a_state_that_is_no_utf8_is_still_json)
{
	struct path_stat p = {.name = "a\xff\"b\xc3\xa9\xed\xa0\x80", .target = ""};
	char *json;

	p.st.st_mode = S_IFDIR | S_ISVTX | 0777;
	p.st.st_size = 1LL << 40;
	p.st.st_mtim.tv_sec = 1700000000;
	p.st.st_mtim.tv_nsec = 120000000;
	json = path_stat_json(&p);
	cr_assert_str_eq(json, "{\"name\":\"a\xef\xbf\xbd\\\"b\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\","
			 "\"size\":1099511627776,\"mode\":2148532735,\"mtime\":\"2023-11-14T22:13:20.12Z\","
			 "\"linkTarget\":\"\"}", "%s", json);
	free(json);
	p.st.st_mode = S_IFREG | S_ISUID | S_ISGID | 0755;
	p.st.st_mtim.tv_nsec = 0;
	json = path_stat_json(&p);
	cr_assert(strstr(json, "\"mode\":12583405,\"mtime\":\"2023-11-14T22:13:20Z\""), "%s", json);
	free(json);
}

Test(path, mounts_are_what_the_kernel_says)
{
	static const char text[] =
		"1 0 0:1 / / rw - overlay overlay rw\n"
		"2 1 0:2 / /proc rw,nosuid shared:1 - proc proc rw\n"
		"3 1 0:3 / /dev rw - tmpfs tmpfs rw\n"
		"4 3 0:4 / /dev/shm rw - tmpfs shm rw\n"
		"5 1 0:5 / /with\\040blank\\134 rw - ext4 /dev/x rw\n"
		"6 1 0:6 /hosts /etc/hosts ro,relatime - ext4 /dev/x rw\n"
		"7 1 0:7 / /over rw - sysfs sysfs rw\n"
		"8 1 0:8 / /over rw - ext4 /dev/y rw\n"
		"broken line\n\n9 1 0:9";
	struct mounts m;
	FILE *f = fopen("mountinfo", "w");

	fputs(text, f);
	fclose(f);
	mounts_load(&m, "mountinfo");
	cr_assert_eq(m.n, 7);
	cr_assert_eq(mounts_at(&m, "/"), MOUNT_NONE);
	cr_assert_eq(mounts_at(&m, "/proc"), MOUNT_KERNEL);
	cr_assert_eq(mounts_at(&m, "/proc/1"), MOUNT_NONE);
	cr_assert_eq(mounts_over(&m, "/proc/1/fd"), MOUNT_KERNEL);
	cr_assert_eq(mounts_over(&m, "/process"), MOUNT_NONE);
	cr_assert_eq(mounts_over(&m, "/dev/null"), MOUNT_KERNEL);
	cr_assert_eq(mounts_over(&m, "/dev/shm/a"), MOUNT_VOLUME);
	cr_assert_eq(mounts_at(&m, "/with blank\\"), MOUNT_VOLUME);
	cr_assert_eq(mounts_at(&m, "/etc/hosts"), MOUNT_VOLUME);
	cr_assert_eq(mounts_at(&m, "/over"), MOUNT_VOLUME, "the later one hides the former");
	cr_assert(mounts_visible(&m, "/proc"));
	cr_assert_not(mounts_visible(&m, "/proc/1"));
	cr_assert_not(mounts_visible(&m, "/dev/null"));
	cr_assert(mounts_visible(&m, "/dev/shm/a"));
	cr_assert(mounts_visible(&m, "/with blank\\/x"));
	mounts_release(&m);
	mounts_load(&m, "nothing here");
	cr_assert_eq(m.n, 0);
	cr_assert(mounts_visible(&m, "/proc/1"));
}
