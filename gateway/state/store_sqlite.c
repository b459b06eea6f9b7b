/* store_sqlite - the document store on one SQLite file: one table, prepared statements, WAL.
 *
 * The file is locked: a second gateway on the same state directory is refused. synchronous=NORMAL: a
 * killed process loses nothing; after a power cut the file is whole and lacks at most the last writes.
 * A write only appends to the WAL. Copying that into the file means fsync, tens of milliseconds on a
 * slow disk, and the loop cannot stand still that long: a thread with a connection of its own does it. */
#include "state/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"

#define SCHEMA_VERSION 1
#define LOCK_WAIT_MS 1000     /* a former gateway on this file gets so long to end */
#define BUSY_TIMEOUT_MS 1000
#define CHECKPOINT_PAGES 1000 /* of 4 KiB in the WAL: time to copy them */
#define WAL_PAGES_MAX 32000   /* the thread cannot keep up: the writer has to stand still after all */

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
	char *path;
	int lock_fd;                           /* on the file itself; closed last, or POSIX would drop SQLite's locks */
	sqlite3 *db;                           /* ours */
	sqlite3_stmt *statement[STATEMENTS];   /* ours; reset after every use */

	bool thread_runs;
	pthread_t thread;
	pthread_mutex_t mutex;                 /* of the two below, the only things both threads touch */
	pthread_cond_t wake;
	bool due, stop;
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

/* SQLite would create the file with the umask's mode; WAL and shared memory take the mode of the file. */
static int lock_file(struct store *s, struct err *err)
{
	const struct timespec pause = {.tv_nsec = 10 * 1000000};
	uint64_t deadline = clock_mono_ms() + LOCK_WAIT_MS;

	s->lock_fd = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return err_sys(err, errno, "open %s", s->path);
	if (fchmod(s->lock_fd, 0600) < 0)
		return err_sys(err, errno, "chmod %s", s->path);
	while (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return err_sys(err, errno, "lock %s", s->path);
		if (clock_mono_ms() >= deadline)
			return err_set(err, ERR_UNAVAILABLE, "%s is in use by another gateway", s->path);
		nanosleep(&pause, NULL);
	}
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

static int set_up(struct store *s, struct err *err)
{
	int schema = 0;

	sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS);
	if (exec_sql(s, "PRAGMA journal_mode = WAL", err) < 0 ||
	    exec_sql(s, "PRAGMA synchronous = NORMAL", err) < 0 ||
	    exec_sql(s, "PRAGMA journal_size_limit = 16777216", err) < 0 || exec_sql(s, "BEGIN IMMEDIATE", err) < 0 ||
	    read_schema_version(s, &schema, err) < 0)
		return -1;
	if (schema > SCHEMA_VERSION)
		return err_set(err, ERR_INVALID, "schema %d is of a newer version, this one knows %d", schema,
			       SCHEMA_VERSION);
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

/* ---- copying the WAL ---------------------------------------------------------------------------- */

static void *checkpoint_thread(void *p)
{
	struct store *s = p;
	sqlite3 *db = NULL;

	/* If it cannot be opened, WAL_PAGES_MAX still bounds the WAL. */
	(void) sqlite3_open_v2(s->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	/* A connection that has read nothing does not know of the WAL, and would copy nothing. */
	(void) sqlite3_exec(db, "SELECT 1 FROM documents LIMIT 1", NULL, NULL, NULL);
	pthread_mutex_lock(&s->mutex);
	while (!s->stop) {
		if (!s->due) {
			pthread_cond_wait(&s->wake, &s->mutex);
			continue;
		}
		s->due = false;
		pthread_mutex_unlock(&s->mutex);
		/* Passive: the writer is never made to wait for us. */
		if (db)
			(void) sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
		pthread_mutex_lock(&s->mutex);
	}
	pthread_mutex_unlock(&s->mutex);
	sqlite3_close(db);
	return NULL;
}

static int on_commit(void *p, sqlite3 *db, const char *name, int pages)
{
	struct store *s = p;

	if (pages >= WAL_PAGES_MAX)
		(void) sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_RESTART, NULL, NULL);
	if (pages < CHECKPOINT_PAGES)
		return SQLITE_OK;
	pthread_mutex_lock(&s->mutex);
	s->due = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->mutex);
	return SQLITE_OK;
}

static int thread_start(struct store *s, struct err *err)
{
	sigset_t all, before;
	int rc;

	/* Signals are the loop thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&s->thread, NULL, checkpoint_thread, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0)
		return err_sys(err, rc, "start a thread");
	s->thread_runs = true;
	sqlite3_wal_hook(s->db, on_commit, s);
	return 0;
}

static void thread_stop(struct store *s)
{
	if (!s->thread_runs)
		return;
	pthread_mutex_lock(&s->mutex);
	s->stop = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->mutex);
	pthread_join(s->thread, NULL);
}

/* ---- the store ---------------------------------------------------------------------------------- */

struct store *store_open(const char *path, struct err *err)
{
	struct store *s = xcalloc(1, sizeof(*s));
	struct err why;

	s->path = xstrdup(path);
	pthread_mutex_init(&s->mutex, NULL);
	pthread_cond_init(&s->wake, NULL);
	if (lock_file(s, err) < 0)
		goto fail;
	if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
		sql_err(err, s, path);
		goto fail;
	}
	if (set_up(s, &why) < 0 || thread_start(s, &why) < 0) {
		err_set(err, why.kind, "%s: %s", path, why.msg);
		goto fail;
	}
	return s;
fail:
	store_close(s);
	return NULL;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	thread_stop(s);
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(s->statement[i]);
	sqlite3_close(s->db);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->mutex);
	free(s->path);
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
