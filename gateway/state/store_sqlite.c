/* store_sqlite - the document store on one SQLite file: one table, prepared statements, WAL.
 *
 * The file is held exclusively: a second gateway on the same state directory is refused, and a write
 * is a few microseconds because no lock and no shared memory is touched. synchronous=NORMAL: a killed
 * process loses nothing; after a power cut the file is whole and lacks at most the last writes. */
#include "state/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

#define SCHEMA_VERSION 1
#define BUSY_TIMEOUT_MS 1000 /* a former gateway on this file gets so long to end */

enum { GET, INSERT, UPDATE, DELETE, SCAN, STATEMENTS };
static const char *const statement_sql[STATEMENTS] = {
	[GET] = "SELECT doc, version FROM documents WHERE kind = ?1 AND key = ?2",
	[INSERT] = "INSERT INTO documents (kind, key, version, doc) VALUES (?1, ?2, 1, ?3)"
		   " ON CONFLICT DO NOTHING",
	[UPDATE] = "UPDATE documents SET version = version + 1, doc = ?3"
		   " WHERE kind = ?1 AND key = ?2 AND version = ?4",
	[DELETE] = "DELETE FROM documents WHERE kind = ?1 AND key = ?2",
	[SCAN] = "SELECT key, doc, version FROM documents WHERE kind = ?1 ORDER BY key",
};

struct store {
	sqlite3 *db;                           /* ours */
	sqlite3_stmt *statement[STATEMENTS];   /* ours; reset after every use */
};

static int sql_err(struct err *err, struct store *s, const char *doing)
{
	return err_set(err, ERR_SYSTEM, "state store: %s: %s", doing, sqlite3_errmsg(s->db));
}

static int exec_sql(struct store *s, const char *sql, struct err *err)
{
	if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return sql_err(err, s, sql);
	return 0;
}

/* SQLite would create the file with the umask's mode; its WAL takes the mode of the file. */
static int create_private(const char *path, struct err *err)
{
	AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_sys(err, errno, "open %s", path);
	if (fchmod(fd, 0600) < 0)
		return err_sys(err, errno, "chmod %s", path);
	return 0;
}

static int read_schema_version(struct store *s, int *ret, struct err *err)
{
	sqlite3_stmt *q;

	if (sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &q, NULL) != SQLITE_OK)
		return sql_err(err, s, "read the schema version");
	if (sqlite3_step(q) != SQLITE_ROW) {
		sqlite3_finalize(q);
		return sql_err(err, s, "read the schema version");
	}
	*ret = sqlite3_column_int(q, 0);
	sqlite3_finalize(q);
	return 0;
}

/* The file is ours alone from here on, and inside a transaction. */
static int seize(struct store *s, const char *path, struct err *err)
{
	struct err why;

	sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS);
	/* The pragma takes no lock; the first write does, and keeps it. */
	if (exec_sql(s, "PRAGMA locking_mode = EXCLUSIVE", &why) == 0 &&
	    exec_sql(s, "PRAGMA journal_mode = WAL", &why) == 0 &&
	    exec_sql(s, "PRAGMA synchronous = NORMAL", &why) == 0 &&
	    exec_sql(s, "BEGIN IMMEDIATE", &why) == 0)
		return 0;
	if (sqlite3_errcode(s->db) == SQLITE_BUSY)
		return err_set(err, ERR_UNAVAILABLE, "%s is in use by another gateway", path);
	return err_set(err, why.kind, "%s: %s", path, why.msg);
}

static int set_up(struct store *s, const char *path, struct err *err)
{
	int schema = 0;

	if (seize(s, path, err) < 0 || read_schema_version(s, &schema, err) < 0)
		return -1;
	if (schema > SCHEMA_VERSION)
		return err_set(err, ERR_INVALID, "%s has schema %d, written by a newer version; this one knows %d",
			       path, schema, SCHEMA_VERSION);
	if (schema == 0 &&
	    exec_sql(s, "CREATE TABLE documents (kind TEXT NOT NULL, key TEXT NOT NULL,"
			" version INTEGER NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;"
			"PRAGMA user_version = 1", err) < 0)
		return -1;
	if (exec_sql(s, "COMMIT", err) < 0)
		return -1;
	for (int i = 0; i < STATEMENTS; i++)
		if (sqlite3_prepare_v3(s->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &s->statement[i], NULL) != SQLITE_OK)
			return sql_err(err, s, statement_sql[i]);
	return 0;
}

struct store *store_open(const char *path, struct err *err)
{
	struct store *s = xcalloc(1, sizeof(*s));

	if (create_private(path, err) < 0)
		goto fail;
	if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
		sql_err(err, s, "open");
		goto fail;
	}
	if (set_up(s, path, err) < 0)
		goto fail;
	return s;
fail:
	store_close(s);
	return NULL;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(s->statement[i]);
	sqlite3_close(s->db);
	free(s);
}

static sqlite3_stmt *bound(struct store *s, int which, const char *kind, const char *key)
{
	sqlite3_stmt *q = s->statement[which];

	/* Static: the strings outlive the step, and every caller resets before it returns. */
	sqlite3_bind_text(q, 1, kind, -1, SQLITE_STATIC);
	if (key)
		sqlite3_bind_text(q, 2, key, -1, SQLITE_STATIC);
	return q;
}

char *store_get(struct store *s, const char *kind, const char *key, uint64_t *ret_version, struct err *err)
{
	sqlite3_stmt *q = bound(s, GET, kind, key);
	char *doc = NULL;

	switch (sqlite3_step(q)) {
	case SQLITE_ROW:
		doc = xstrdup((const char *)sqlite3_column_text(q, 0));
		if (ret_version)
			*ret_version = (uint64_t)sqlite3_column_int64(q, 1);
		break;
	case SQLITE_DONE:
		err_set(err, ERR_NOT_FOUND, "no %s %s in the state store", kind, key);
		break;
	default:
		sql_err(err, s, "read");
	}
	sqlite3_reset(q);
	return doc;
}

int store_put(struct store *s, const char *kind, const char *key, const char *doc, uint64_t expected,
	      uint64_t *ret_version, struct err *err)
{
	sqlite3_stmt *q = bound(s, expected ? UPDATE : INSERT, kind, key);
	size_t len = strlen(doc);
	int rc;

	if (len > STORE_DOCUMENT_MAX)
		return err_set(err, ERR_LIMIT, "%s %s: %zu bytes are too many to store, the limit is %d",
			       kind, key, len, STORE_DOCUMENT_MAX);
	sqlite3_bind_text(q, 3, doc, (int)len, SQLITE_STATIC);
	if (expected)
		sqlite3_bind_int64(q, 4, (sqlite3_int64)expected);
	rc = sqlite3_step(q);
	if (rc != SQLITE_DONE)
		sql_err(err, s, "write");
	sqlite3_reset(q);
	if (rc != SQLITE_DONE)
		return -1;
	if (sqlite3_changes(s->db) != 1)
		return err_set(err, ERR_CONFLICT, "%s %s is not at version %llu in the state store", kind, key,
			       (unsigned long long)expected);
	if (ret_version)
		*ret_version = expected + 1;
	return 0;
}

int store_delete(struct store *s, const char *kind, const char *key, struct err *err)
{
	sqlite3_stmt *q = bound(s, DELETE, kind, key);
	int rc = sqlite3_step(q);

	if (rc != SQLITE_DONE)
		sql_err(err, s, "delete");
	sqlite3_reset(q);
	return rc == SQLITE_DONE ? 0 : -1;
}

int store_scan(struct store *s, const char *kind,
	       int (*fn)(void *ctx, const char *key, const char *doc, uint64_t version), void *ctx,
	       struct err *err)
{
	sqlite3_stmt *q = bound(s, SCAN, kind, NULL);
	int rc;

	while ((rc = sqlite3_step(q)) == SQLITE_ROW)
		if (fn(ctx, (const char *)sqlite3_column_text(q, 0), (const char *)sqlite3_column_text(q, 1),
		       (uint64_t)sqlite3_column_int64(q, 2)))
			break;
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		sql_err(err, s, "scan");
	sqlite3_reset(q);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}
