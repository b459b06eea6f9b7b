/* logs - the entries of Cloud Logging, in memory, ordered by (timestamp, insertId).
 *
 * Container output becomes entries as Cloud Run makes them: one per line, JSON objects parsed,
 * 256 KiB at most. The store is bounded; beyond the bound the oldest entries go and are counted. */
#ifndef EMULATOR_LOGS_H
#define EMULATOR_LOGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "filter.h"

#define LOGS_LINE_MAX (256 * 1024)
#define LOGS_SCAN_MAX 100000 /* entries looked at per list call; then an empty page and a token */

struct logs;

enum log_stream { LOG_STDOUT, LOG_STDERR, LOG_SYSTEM };

/* Who writes: one container of one attempt of a task. Reference-counted: entries point to it. */
struct log_source {
	unsigned refs;
	char *project, *location, *job, *execution, *instance_id;
	char *container;      /* its name */
	bool label_container; /* put the name on stdout and stderr too: tasks with several */
	int task_index, attempt;
	char *log_name[3];    /* by stream; made by log_source_new */
	int64_t last_ns;      /* of its newest line */
};

/* Takes a struct whose strings are borrowed, copies them. One reference. */
struct log_source *log_source_new(const struct log_source *like);
void log_source_unref(struct log_source *s);

struct logs_stats {
	uint64_t entries, bytes, dropped, received;
};

struct logs *logs_new(size_t max_entries, size_t max_bytes);
void logs_free(struct logs *l);
void logs_get_stats(const struct logs *l, struct logs_stats *ret);

/* One line without its newline. */
void logs_add_line(struct logs *l, struct log_source *src, enum log_stream stream, const char *p,
		   size_t n);
/* A line of the platform's own, on run.googleapis.com/varlog/system. */
void logs_add_system(struct logs *l, struct log_source *src, const char *severity, const char *fmt,
		     ...) __attribute__((format(printf, 4, 5)));
/* A LogEntry by entries:write, complete with logName, of so many bytes as JSON; takes it. */
void logs_add_written(struct logs *l, json_t *entry, size_t bytes, int64_t time_ns);

/* Cuts a byte stream into lines. An over-long line becomes several entries, so no byte is lost. */
struct log_lines {
	struct logs *logs;
	struct log_source *src; /* a reference of ours */
	enum log_stream stream;
	struct buf partial;
};
void log_lines_init(struct log_lines *ll, struct logs *l, struct log_source *src,
		    enum log_stream stream);
void log_lines_feed(struct log_lines *ll, const char *p, size_t n);
void log_lines_end(struct log_lines *ll); /* what is left is a line; releases */

struct logs_query {
	const struct filter *filter;
	const char *const *projects; /* n_projects of them */
	size_t n_projects;
	bool newest_first;
	size_t page_size;
	int64_t visible_before_ns;   /* entries received later are not found yet */
	/* Where the last page ended; has_position false on the first page. */
	bool has_position;
	int64_t position_time_ns;
	char position_id[64];
};

/* An array of LogEntry; q's position moves on; *ret_more tells whether to come again. */
json_t *logs_list(struct logs *l, struct logs_query *q, bool *ret_more);

extern const struct filter_ops logs_filter_ops;

#endif
