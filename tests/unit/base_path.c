/* base/path and base/go: names and files as Go's library has them. */
#include <criterion/criterion.h>
#include <sys/stat.h>

#include "base/go.h"
#include "base/mem.h"
#include "base/path.h"

Test(path, clean_is_that_of_go)
{
	static const char *const pairs[][2] = {
		{"", "."}, {".", "."}, {"/", "/"}, {"//", "/"}, {"/.", "/"}, {"/..", "/"}, {"/../a", "/a"},
		{"a", "a"}, {"a/", "a"}, {"./a", "a"}, {"a/.", "a"}, {"a//b", "a/b"}, {"a/./b", "a/b"},
		{"a/../b", "b"}, {"a/..", "."}, {"..", ".."}, {"../..", "../.."}, {"../a/..", ".."},
		{"a/../..", ".."}, {"a/../../b", "../b"}, {"/a/b/../..", "/"}, {"/a/b/../../..", "/"},
		{"/a/../../b/", "/b"}, {"../../a", "../../a"}, {"...", "..."}, {"/..a/b..", "/..a/b.."},
		{"a/b/..", "a"}, {"./..", ".."}, {"../x/../y", "../y"},
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		AUTO_FREE char *clean = path_clean(pairs[i][0]);

		cr_expect_str_eq(clean, pairs[i][1], "of %s", pairs[i][0]);
	}
}

Test(go, a_files_mode_has_bits_of_its_own)
{
	cr_expect_eq(go_file_mode(S_IFREG | 0644), 0644);
	cr_expect_eq(go_file_mode(S_IFDIR | 0755), 1U << 31 | 0755);
	cr_expect_eq(go_file_mode(S_IFLNK | 0777), 1U << 27 | 0777);
	cr_expect_eq(go_file_mode(S_IFREG | S_ISUID | 0755), 1U << 23 | 0755);
	cr_expect_eq(go_file_mode(S_IFDIR | S_ISVTX | S_ISGID | 0777), 1U << 31 | 1U << 22 | 1U << 20 | 0777);
	cr_expect_eq(go_file_mode(S_IFCHR | 0600), 1U << 26 | 1U << 21 | 0600);
	cr_expect_eq(go_file_mode(S_IFIFO), 1U << 25);
	cr_expect_eq(go_file_mode(S_IFSOCK), 1U << 24);
	cr_expect_eq(go_file_mode(S_IFBLK), 1U << 26);
}

Test(go, a_files_time_may_be_any)
{
	static const struct {
		struct timespec t;
		const char *text;
	} table[] = {
		{{0, 0}, "1970-01-01T00:00:00Z"}, {{1, 500000000}, "1970-01-01T00:00:01.5Z"},
		{{-1, 1}, "1969-12-31T23:59:59.000000001Z"}, {{253402300800, 0}, "10000-01-01T00:00:00Z"},
		{{INT64_MAX, 0}, "1970-01-01T00:00:00Z"},
	};
	char out[GO_FILE_TIME_MAX];

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		cr_expect_str_eq(go_file_time(&table[i].t, out), table[i].text);
}
