/* Archives for a container that has not begun: order, bounds, what a crash leaves behind. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "state/pending_files.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char dir[] = "/tmp/pending-test.XXXXXX";
static struct pending_files *store;

static void setup(void)
{
	struct err err = { 0 };

	cr_assert_not_null(mkdtemp(dir));
	store = pending_files_new(dir, 1000, &err);
	cr_assert_not_null(store, "%s", err.msg);
}

static void teardown(void)
{
	AUTO_FREE char *pending = xasprintf("%s/pending", dir);

	pending_files_forget(store, ID);
	pending_files_free(store);
	cr_expect_eq(rmdir(pending), 0, "something is left in %s", pending);
	rmdir(dir);
}

static void keep(const char *bytes, const char *path, const char *user)
{
	struct err err = { 0 };
	struct pending_upload *u = pending_upload_new(store, ID, &err);

	cr_assert_not_null(u, "%s", err.msg);
	cr_assert_eq(pending_upload_write(u, bytes, strlen(bytes), &err), 0, "%s", err.msg);
	cr_assert_eq(pending_upload_keep(u, &(struct pending_archive){ .path = (char *)path,
		     .copy_user = (char *)user, .no_overwrite = user != NULL }, &err), 0, "%s", err.msg);
}

static void expect_content(const char *file, const char *want)
{
	char got[64] = "";
	FILE *f = fopen(file, "r");

	cr_assert_not_null(f, "%s", file);
	cr_expect_str_eq(fgets(got, sizeof(got), f), want);
	fclose(f);
}

Test(pending_files, archives_stay_in_order_over_a_restart, .init = setup, .fini = teardown)
{
	struct pending_list l;
	struct err err;

	cr_expect_not(pending_files_any(store, ID));
	keep("one", "/a", NULL);
	keep("two", "/b b", "app");
	pending_files_free(store);
	store = pending_files_new(dir, 1000, &err);
	cr_expect(pending_files_any(store, ID));
	pending_files_list(store, ID, &l);
	cr_assert_eq(l.n, 2);
	cr_expect_str_eq(l.v[0].path, "/a");
	cr_expect_null(l.v[0].copy_user);
	cr_expect_not(l.v[0].no_overwrite);
	cr_expect_str_eq(l.v[1].path, "/b b");
	cr_expect_str_eq(l.v[1].copy_user, "app");
	cr_expect(l.v[1].no_overwrite);
	expect_content(l.v[0].file, "one");
	expect_content(l.v[1].file, "two");
	pending_list_release(&l);
	pending_files_forget(store, ID);
	cr_expect_not(pending_files_any(store, ID));
}

Test(pending_files, the_bound_is_for_all_archives_of_a_container, .init = setup, .fini = teardown)
{
	char bytes[600] = "";
	struct err err = { 0 };
	struct pending_upload *u;

	memset(bytes, 'x', sizeof(bytes) - 1);
	keep(bytes, "/", NULL);
	u = pending_upload_new(store, ID, &err);
	cr_expect_eq(pending_upload_write(u, bytes, 401, &err), 0);
	cr_expect_eq(pending_upload_write(u, bytes, 1, &err), -1);
	cr_expect_eq(err.kind, ERR_LIMIT);
	pending_upload_drop(u);
}

Test(pending_files, a_dropped_or_cut_upload_does_not_count, .init = setup, .fini = teardown)
{
	struct err err = { 0 };
	struct pending_upload *u = pending_upload_new(store, ID, &err);
	AUTO_FREE char *file = xstrdup(pending_upload_file(u));
	AUTO_FREE char *part = xasprintf("%s/pending/" ID "/upload.dead", dir);
	AUTO_FREE char *folder = xasprintf("%s/pending/" ID, dir);

	pending_upload_write(u, "x", 1, &err);
	cr_expect_eq(access(file, F_OK), 0);
	pending_upload_drop(u);
	cr_expect_eq(access(file, F_OK), -1);
	/* What a killed gateway leaves. */
	cr_assert_eq(mkdir(folder, 0700), 0);
	close(open(part, O_CREAT | O_WRONLY, 0600));
	cr_expect_not(pending_files_any(store, ID));
	pending_files_free(store);
	store = pending_files_new(dir, 1000, &err);
	cr_expect_eq(access(folder, F_OK), -1);
}
