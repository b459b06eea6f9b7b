/* filter - the Logging query language, as far as readers of job logs use it:
 *
 *   resource.type="cloud_run_job" AND labels."run.googleapis.com/execution_name"="J-abcde"
 *   AND logName=("projects/P/logs/a" OR "projects/P/logs/b") AND timestamp>="2025-01-15T15:48:06Z"
 *
 * Operators = != : > >= < <=, AND, OR, NOT, '-', parentheses, adjacency as AND. Comparisons of text
 * ignore case, as Google's do. Regular expressions, functions and bare words are refused by a
 * sentence. Pure: it sees entries only through the accessor. */
#ifndef EMULATOR_FILTER_H
#define EMULATOR_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define FILTER_TEXT_MAX 20000
#define FILTER_PATH_PARTS 8

/* A field's path: {"labels", "run.googleapis.com/execution_name"}, NULL-terminated. */
struct filter_path {
	char *part[FILTER_PATH_PARTS + 1];
	int field; /* what the accessor's resolver made of it */
};

struct filter_ops {
	/* Called once per path when the filter is compiled, to speed up get(). */
	int (*resolve)(const struct filter_path *path);
	/* The entry's text for that path, NULL if it has none. Valid until the next call. */
	const char *(*get)(void *entry, const struct filter_path *path);
	/* timestamp and receiveTimestamp are compared as times: true and *ret_ns if path is one. */
	bool (*get_time)(void *entry, const struct filter_path *path, int64_t *ret_ns);
};

struct filter;

/* An empty text matches everything. NULL and err (ERR_INVALID) for what is not understood. */
struct filter *filter_new(const char *text, const struct filter_ops *ops, struct err *err);
void filter_free(struct filter *f);
bool filter_match(const struct filter *f, void *entry);
/* Bounds on the timestamp that every match must satisfy, for seeking. */
int64_t filter_min_time(const struct filter *f); /* inclusive; INT64_MIN if none */
int64_t filter_max_time(const struct filter *f); /* inclusive; INT64_MAX if none */
/* 0 DEFAULT, 100 DEBUG, 200 INFO ... 800 EMERGENCY; -1 for another word. */
int filter_severity_number(const char *name);

#endif
