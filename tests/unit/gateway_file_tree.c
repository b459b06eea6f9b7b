/* Layers laid over one another as the OCI image spec says, looking things up as a kernel would, and tars that
 * come out of it again. */
#include <archive.h>
#include <archive_entry.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "image/archive_files.h"
#include "image/file_tree.h"

static struct file_tree *tree;

static void setup(void)
{
	tree = file_tree_new();
}

static void teardown(void)
{
	file_tree_free(tree);
}

/* "d/" is a directory, "l>target" a link, "h=target" a hard link, all else a file. */
static int add_in(struct file_tree *t, struct tree_node *base, uint32_t layer, const char *what, struct err *err)
{
	static uint32_t number;
	AUTO_FREE char *path = xstrdup(what);
	char *mark = strpbrk(path, ">=");
	struct tree_entry e = { .path = path, .mode = S_IFREG | 0644, .size = 5 };

	if (mark) {
		e.mode = *mark == '>' ? S_IFLNK | 0777 : e.mode;
		e.hard_link = *mark == '=';
		e.link = mark + 1;
		*mark = '\0';
	} else if (path[strlen(path) - 1] == '/') {
		e.mode = S_IFDIR | 0755;
	}
	return file_tree_add(t, base, layer, number++, &e, true, err);
}

static void add(uint32_t layer, const char *what)
{
	struct err err = { 0 };

	cr_assert_eq(add_in(tree, tree->root, layer, what, &err), 0, "%s: %s", what, err.msg);
}

static void list_below(const struct tree_node *n, struct buf *out)
{
	AUTO_FREE struct tree_node **children = file_tree_children(n);

	for (size_t i = 0; children[i]; i++) {
		AUTO_FREE char *path = file_tree_path(children[i]);

		buf_printf(out, "%s%s", out->len ? " " : "", path + 1);
		list_below(children[i], out);
	}
}

static void expect_tree(const char *want)
{
	struct buf out;
	AUTO_FREE char *got = NULL;

	buf_init(&out, 65536);
	list_below(tree->root, &out);
	got = buf_detach(&out, NULL);
	cr_expect_str_eq(got, want);
}

Test(file_tree, whiteouts_take_away_what_lower_layers_have, .init = setup, .fini = teardown)
{
	add(0, "a/");
	add(0, "a/x");
	add(0, "a/y");
	add(0, "b/c/deep");
	add(1, "a/.wh.x");
	add(1, ".wh.b");
	add(1, "a/.wh.nothing");
	expect_tree("a a/y");
}

Test(file_tree, an_opaque_directory_keeps_what_its_own_layer_has, .init = setup, .fini = teardown)
{
	add(0, "a/old/deeper");
	add(0, "a/both/old");
	add(1, "a/new");
	add(1, "a/both/new");
	add(1, "a/.wh..wh..opq");
	add(1, "a/later");
	add(1, "a/.wh..wh.plnk");
	expect_tree("a a/both a/both/new a/later a/new");
}

Test(file_tree, a_whiteout_spares_what_its_own_layer_has, .init = setup, .fini = teardown)
{
	add(0, "a/old");
	add(1, "a/new");
	add(1, ".wh.a");
	expect_tree("a a/new");
}

Test(file_tree, other_types_replace_directories_do_not, .init = setup, .fini = teardown)
{
	add(0, "d/");
	add(0, "d/x");
	add(0, "e/");
	add(0, "e/x");
	add(0, "f");
	add(1, "d/");
	add(1, "e");
	add(1, "f/g");
	expect_tree("d d/x e f f/g");
}

Test(file_tree, paths_are_looked_up_with_links_inside_the_tree, .init = setup, .fini = teardown)
{
	static const struct {
		const char *path;
		bool follow;
		const char *want, *leads_to; /* want NULL: not there */
	} cases[] = {
		{"/d/f", false, "/d/f", "/d/f"},
		{"d/../d/./f", false, "/d/f", "/d/f"},
		{"/../../d", false, "/d", "/d"},
		{"/up/f", false, "/d/f", "/d/f"},
		{"/up", false, "/up", "/up"},
		{"/up", true, "/d", "/d"},
		{"/up/", false, "/d", "/d"},
		{"/d/out", true, "/d", "/d"},
		{"/broken", true, NULL, "/no/where"},
		{"/d/f/x", false, NULL, "/d/f/x"},
		{"/no/../d", false, NULL, "/d"},
		{"/loop", true, NULL, NULL},
		{"/", false, "/", "/"},
	};

	add(0, "d/f");
	add(0, "d/out>../../../../d");
	add(0, "up>/d");
	add(0, "broken>no/./where");
	add(0, "loop>loop");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		AUTO_FREE char *leads_to = NULL, *got = NULL;
		struct tree_node *n = file_tree_find(tree, cases[i].path, cases[i].follow, &leads_to);

		got = n ? file_tree_path(n) : NULL;
		cr_expect(cases[i].want ? got && strcmp(got, cases[i].want) == 0 : !got, "%s: %s", cases[i].path,
			  got ? got : "not there");
		if (cases[i].leads_to)
			cr_expect_str_eq(leads_to, cases[i].leads_to, "%s", cases[i].path);
	}
}

Test(file_tree, entries_below_a_link_land_where_it_leads, .init = setup, .fini = teardown)
{
	add(0, "usr/lib/");
	add(0, "lib>usr/lib");
	add(1, "lib/x");
	expect_tree("lib usr usr/lib usr/lib/x");
}

Test(file_tree, what_leads_out_or_links_to_nothing_is_refused, .init = setup, .fini = teardown)
{
	struct err err = { 0 };

	add(0, "d/");
	cr_expect_eq(add_in(tree, tree->root, 0, "../x", &err), -1);
	cr_expect_eq(err.kind, ERR_INVALID);
	cr_expect_eq(add_in(tree, tree->root, 0, "d/../../x", &err), -1);
	cr_expect_eq(add_in(tree, tree->root, 0, "x=nothing", &err), -1);
	cr_expect_eq(add_in(tree, tree->root, 0, "x=d", &err), -1);
	add(0, "d/../fine");
	expect_tree("d fine");
}

/* Every link leads a thousand folders further down, and the next one is there: no path is long, but the tree is. */
Test(file_tree, folders_in_one_another_have_an_end, .init = setup, .fini = teardown)
{
	AUTO_FREE char *down = xmalloc(2001), *at = xstrdup("");
	struct err err = { 0 };
	int rc = 0;

	for (size_t i = 0; i < 1000; i++)
		memcpy(down + 2 * i, "a/", 3);
	for (size_t i = 0; i < 60 && rc == 0; i++) {
		AUTO_FREE char *dirs = xasprintf("%s%s", at, down), *link = xasprintf("%sl>%s", at, down);
		char *further = xasprintf("%sl/", at);

		rc = add_in(tree, tree->root, 0, dirs, &err);
		if (rc == 0)
			rc = add_in(tree, tree->root, 0, link, &err);
		free(at);
		at = further;
	}
	cr_expect_eq(rc, -1);
	cr_expect_eq(err.kind, ERR_LIMIT, "%s", err.msg);
}

Test(file_tree, types_stay_when_told_so, .init = setup, .fini = teardown)
{
	struct err err = { 0 };

	add(0, "d/");
	add(0, "f");
	tree->refuse_type_change = true;
	cr_expect_eq(add_in(tree, tree->root, 1, "d", &err), -1);
	cr_expect(strstr(err.msg, "cannot overwrite directory"), "%s", err.msg);
	cr_expect_eq(add_in(tree, tree->root, 1, "f/", &err), -1);
	cr_expect(strstr(err.msg, "cannot overwrite non-directory"), "%s", err.msg);
	add(1, "f");
}

/* ---- out of archives and into one ---------------------------------------------------------------- */

static void entry(struct archive *a, const char *path, mode_t mode, const char *content, const char *hard_link)
{
	struct archive_entry *e = archive_entry_new();

	archive_entry_set_pathname(e, path);
	archive_entry_set_mode(e, mode);
	archive_entry_set_size(e, content ? (la_int64_t)strlen(content) : 0);
	archive_entry_set_hardlink(e, hard_link);
	if (content)
		archive_entry_xattr_add_entry(e, "user.note", content, strlen(content));
	cr_assert_eq(archive_write_header(a, e), ARCHIVE_OK, "%s", archive_error_string(a));
	if (content)
		archive_write_data(a, content, strlen(content));
	archive_entry_free(e);
}

static struct archive *layer_begin(const char *file, bool zstd)
{
	struct archive *a = archive_write_new();

	archive_write_set_format_pax_restricted(a);
	archive_write_set_options(a, "xattrheader=SCHILY");
	if (zstd)
		archive_write_add_filter_zstd(a);
	else
		archive_write_add_filter_gzip(a);
	cr_assert_eq(archive_write_open_filename(a, file), ARCHIVE_OK);
	return a;
}

static void layer_end(struct archive *a)
{
	archive_write_close(a);
	archive_write_free(a);
}

/* "name", "name=hard link" or "name:content", blank between them. */
static char *content_of(const char *file)
{
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	struct buf out;

	buf_init(&out, 65536);
	archive_read_support_format_tar(a);
	cr_assert_eq(archive_read_open_filename(a, file, 4096), ARCHIVE_OK);
	while (archive_read_next_header(a, &e) == ARCHIVE_OK) {
		char content[64] = "";

		buf_printf(&out, "%s%s", out.len ? " " : "", archive_entry_pathname(e));
		if (archive_entry_hardlink(e))
			buf_printf(&out, "=%s", archive_entry_hardlink(e));
		else if (archive_read_data(a, content, sizeof(content) - 1) > 0)
			buf_printf(&out, ":%s%s", content, archive_entry_xattr_count(e) == 1 ? "+x" : "");
	}
	archive_read_free(a);
	return buf_detach(&out, NULL);
}

static void expect_tar(struct tree_node *n, const char *name, char *const *files, const char *want)
{
	char out[] = "/tmp/file-tree-test.XXXXXX";
	int fd = mkstemp(out);
	struct err err = { 0 };
	AUTO_FREE char *got = NULL;

	cr_expect_eq(archive_files_emit(n, name, files, 2, fd, &err), 0, "%s", err.msg);
	close(fd);
	got = content_of(out);
	cr_expect_str_eq(got, want);
	unlink(out);
}

Test(archive_files, a_tar_of_two_layers_has_directories_first_and_each_content_once, .init = setup, .fini = teardown)
{
	char low[] = "/tmp/file-tree-low.XXXXXX", high[] = "/tmp/file-tree-high.XXXXXX";
	char *files[] = { low, high };
	struct archive *a;
	struct err err = { 0 };

	close(mkstemp(low));
	close(mkstemp(high));
	a = layer_begin(low, false);
	entry(a, "d/", S_IFDIR | 0750, NULL, NULL);
	entry(a, "d/one", S_IFREG | 0644, "first", NULL);
	entry(a, "d/replaced", S_IFREG | 0644, "old", NULL);
	entry(a, "other", S_IFREG | 0600, "elsewhere", NULL);
	entry(a, "d/borrowed", S_IFREG, NULL, "other");
	layer_end(a);
	a = layer_begin(high, true);
	entry(a, "d/replaced", S_IFREG | 0644, "new", NULL);
	entry(a, "d/z", S_IFDIR | 0755, NULL, NULL);
	entry(a, "d/a-link", S_IFREG, NULL, "d/one");
	layer_end(a);
	cr_assert_eq(archive_files_index(low, 0, tree, tree->root, true, &err), 0, "%s", err.msg);
	cr_assert_eq(archive_files_index(high, 1, tree, tree->root, true, &err), 0, "%s", err.msg);
	expect_tar(file_tree_find(tree, "/d", false, NULL), "d", files,
		   "d/ d/z/ d/a-link:first+x d/one=d/a-link d/borrowed:elsewhere+x d/replaced:new+x");
	expect_tar(file_tree_find(tree, "/d/borrowed", false, NULL), "x", files, "x:elsewhere+x");
	expect_tar(file_tree_find(tree, "/d/z", false, NULL), ".", files, "./");
	expect_tar(tree->root, "", files,
		   "d/ d/z/ d/a-link:first+x d/one=d/a-link d/borrowed:elsewhere+x other=d/borrowed d/replaced:new+x");
	unlink(low);
	unlink(high);
}

Test(archive_files, noise_and_half_an_archive_are_refused, .init = setup, .fini = teardown)
{
	char file[] = "/tmp/file-tree-noise.XXXXXX";
	int fd = mkstemp(file);
	char noise[2000];
	struct archive *a;
	struct err err = { 0 };
	struct stat st;

	memset(noise, 'n', sizeof(noise));
	cr_assert_eq(write(fd, noise, sizeof(noise)), (ssize_t)sizeof(noise));
	cr_expect_eq(archive_files_index(file, 0, tree, tree->root, false, &err), -1);
	a = layer_begin(file, false);
	entry(a, "x", S_IFREG | 0644, "some content", NULL);
	layer_end(a);
	stat(file, &st);
	cr_assert_eq(truncate(file, st.st_size / 2), 0);
	cr_expect_eq(archive_files_index(file, 0, tree, tree->root, false, &err), -1);
	cr_assert_eq(truncate(file, 0), 0);
	cr_expect_eq(archive_files_index(file, 0, tree, tree->root, false, &err), 0, "an empty body is an empty archive");
	close(fd);
	unlink(file);
}

Test(archive_files, directories_for_a_start_come_parents_first)
{
	char *paths[] = { (char *)"/made", (char *)"/made/here", NULL };
	char out[] = "/tmp/file-tree-dirs.XXXXXX";
	size_t n;
	AUTO_FREE char *tar = archive_files_dirs(paths, &n), *got = NULL;
	int fd = mkstemp(out);

	cr_assert_eq(write(fd, tar, n), (ssize_t)n);
	close(fd);
	got = content_of(out);
	cr_expect_str_eq(got, "/made/ /made/here/");
	unlink(out);
}
