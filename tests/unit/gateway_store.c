/* The document store: compare-and-set, order, limits, what a reopened file holds. */
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "state_fixture.h"

static char path[48];
static struct store *s;

static void setup(void)
{
	struct err err = {0};

	snprintf(f.dir, sizeof(f.dir), "/tmp/store-XXXXXX");
	cr_assert_not_null(mkdtemp(f.dir));
	snprintf(path, sizeof(path), "%s/state.db", f.dir);
	s = store_open(path, &err);
	cr_assert_not_null(s, "%s", err.msg);
}

static void teardown(void)
{
	store_close(s);
	nftw(f.dir, fixture_unlink, 8, FTW_DEPTH | FTW_PHYS);
}

TestSuite(store, .init = setup, .fini = teardown);

static void reopen(void)
{
	struct err err = {0};

	store_close(s);
	s = store_open(path, &err);
	cr_assert_not_null(s, "%s", err.msg);
}

static void check_get(const char *kind, const char *key, const char *doc, uint64_t version)
{
	struct err err = {0};
	uint64_t v = 0;
	AUTO_FREE char *got = store_get(s, kind, key, &v, &err);

	cr_assert_not_null(got, "%s", err.msg);
	cr_expect_str_eq(got, doc);
	cr_expect_eq(v, version);
}

Test(store, a_document_survives_reopening)
{
	uint64_t v = 0;

	cr_assert_eq(store_put(s, "container", "a", "{\"x\":1}", 0, &v, NULL), 0);
	cr_expect_eq(v, 1);
	check_get("container", "a", "{\"x\":1}", 1);
	reopen();
	check_get("container", "a", "{\"x\":1}", 1);
}

Test(store, kinds_are_apart_and_absent_is_not_found)
{
	struct err err = {0};

	cr_assert_eq(store_put(s, "container", "a", "1", 0, NULL, NULL), 0);
	cr_expect_null(store_get(s, "exec", "a", NULL, &err));
	cr_expect_eq(err.kind, ERR_NOT_FOUND);
}

Test(store, put_compares_the_version)
{
	struct err err = {0};
	uint64_t v = 77;

	cr_assert_eq(store_put(s, "k", "a", "one", 0, NULL, NULL), 0);
	cr_expect_eq(store_put(s, "k", "a", "two", 0, &v, &err), -1);
	cr_expect_eq(err.kind, ERR_CONFLICT);
	cr_expect_eq(v, 77, "set only on success");
	cr_expect_eq(store_put(s, "k", "a", "two", 2, &v, &err), -1);
	cr_expect_eq(store_put(s, "k", "absent", "two", 1, &v, &err), -1);
	check_get("k", "a", "one", 1);
	cr_expect_eq(store_put(s, "k", "a", "two", 1, &v, &err), 0);
	cr_expect_eq(v, 2);
	check_get("k", "a", "two", 2);
}

Test(store, a_deleted_document_can_be_made_anew)
{
	cr_assert_eq(store_put(s, "k", "a", "one", 0, NULL, NULL), 0);
	cr_expect_eq(store_delete(s, "k", "a", NULL), 0);
	cr_expect_eq(store_delete(s, "k", "a", NULL), 0);
	cr_expect_null(store_get(s, "k", "a", NULL, NULL));
	cr_expect_eq(store_put(s, "k", "a", "two", 0, NULL, NULL), 0);
}

static int collect(void *ctx, const char *key, const char *doc, uint64_t version)
{
	char *out = ctx;

	snprintf(out + strlen(out), 64 - strlen(out), "%s=%s@%d ", key, doc, (int)version);
	return strcmp(key, "stop") == 0;
}

Test(store, scan_goes_by_key_and_stops_when_told)
{
	char out[64] = "";

	cr_assert_eq(store_put(s, "k", "stop", "3", 0, NULL, NULL), 0);
	cr_assert_eq(store_put(s, "k", "a", "1", 0, NULL, NULL), 0);
	cr_assert_eq(store_put(s, "k", "z", "4", 0, NULL, NULL), 0);
	cr_assert_eq(store_put(s, "k", "b", "2", 0, NULL, NULL), 0);
	cr_assert_eq(store_put(s, "other", "c", "9", 0, NULL, NULL), 0);
	cr_expect_eq(store_scan(s, "k", collect, out, NULL), 0);
	cr_expect_str_eq(out, "a=1@1 b=2@1 stop=3@1 ");
}

Test(store, a_document_above_the_limit_is_refused)
{
	AUTO_FREE char *big = xmalloc(STORE_DOCUMENT_MAX + 2);
	struct err err = {0};

	memset(big, 'x', STORE_DOCUMENT_MAX + 1);
	big[STORE_DOCUMENT_MAX + 1] = '\0';
	cr_expect_eq(store_put(s, "k", "a", big, 0, NULL, &err), -1);
	cr_expect_eq(err.kind, ERR_LIMIT);
	big[STORE_DOCUMENT_MAX] = '\0';
	cr_expect_eq(store_put(s, "k", "a", big, 0, NULL, &err), 0);
}

Test(store, the_file_is_private)
{
	struct stat st;

	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0600);
}

static void change_behind_its_back(const char *sql)
{
	sqlite3 *db;

	cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

Test(store, a_newer_schema_is_refused)
{
	struct err err = {0};

	store_close(s);
	change_behind_its_back("PRAGMA user_version = 2");
	s = store_open(path, &err);
	cr_expect_null(s);
	cr_expect_eq(err.kind, ERR_INVALID);
	cr_expect(strstr(err.msg, "newer version") != NULL, "%s", err.msg);
}

Test(store, something_else_is_refused)
{
	struct err err = {0};
	FILE *file;

	store_close(s);
	file = fopen(path, "w");
	cr_assert_not_null(file);
	for (int i = 0; i < 1000; i++)
		fputs("this is not a database\n", file);
	fclose(file);
	s = store_open(path, &err);
	cr_expect_null(s);
	cr_expect(strstr(err.msg, path) != NULL, "%s", err.msg);
}

Test(store, a_second_gateway_is_refused)
{
	int status;
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		struct err err = {0};
		struct store *other = store_open(path, &err);

		_exit(!other && err.kind == ERR_UNAVAILABLE ? 0 : 1);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0);
	cr_expect_eq(store_put(s, "k", "a", "1", 0, NULL, NULL), 0, "the first one is not disturbed");
}

Test(store, the_wal_is_copied_into_the_file_while_open)
{
	AUTO_FREE char *doc = xmalloc(8192);
	struct stat st = {0};
	uint64_t v = 0;

	memset(doc, 'x', 8191);
	doc[8191] = '\0';
	for (int i = 0; i < 100000 && st.st_size < 8192; i++) {
		cr_assert_eq(store_put(s, "k", "a", doc, v, &v, NULL), 0);
		cr_assert_eq(stat(path, &st), 0);
	}
	cr_expect_geq(st.st_size, 8192);
	reopen();
	check_get("k", "a", doc, v);
}

/* SIGKILL in the middle of writing: every write that returned is there. */
Test(store, a_killed_process_loses_nothing)
{
	int fds[2], status, written = 0;
	uint64_t v = 0;
	pid_t pid;

	store_close(s);
	cr_assert_eq(pipe(fds), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		s = store_open(path, NULL);
		for (int i = 1; s; i++) {
			AUTO_FREE char *doc = xasprintf("%d", i);

			if (store_put(s, "k", "a", doc, v, &v, NULL) < 0 || write(fds[1], &i, sizeof(i)) < 0)
				_exit(1);
		}
		_exit(1);
	}
	close(fds[1]);
	while (written < 500 && read(fds[0], &written, sizeof(written)) == sizeof(written))
		;
	kill(pid, SIGKILL);
	while (read(fds[0], &written, sizeof(written)) == sizeof(written))
		;
	close(fds[0]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_geq(written, 500);
	s = store_open(path, NULL);
	cr_assert_not_null(s);
	free(store_get(s, "k", "a", &v, NULL));
	cr_expect(v == (uint64_t)written || v == (uint64_t)written + 1, "stored %d, told %d", (int)v, written);
}
