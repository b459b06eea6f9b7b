/* log_gather - from Cloud Logging's entries to the lines a container has printed. Pure.
 *
 * Entries come page by page, late, twice, and in any order. What is another container's (the sidecar's, a member's of the
 * same task) or the agent's own is left out, an entry counts once (by time and insertId), one that Logging has split is joined, and
 * lines leave in the order of their timestamps. A line that was JSON comes back as JSON: compact, with its keys in the
 * order received, what Logging made members of the entry behind them; its time and its labels are gone. */
#ifndef CLOUD_LOG_GATHER_H
#define CLOUD_LOG_GATHER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_gather;

struct log_line {
	int64_t time_ns;
	bool is_stderr;
	const char *text;    /* with its newline; valid until the next call */
	size_t len;
};

/* container: its name in the job (job_spec.h). Entries without a name are the main container's. */
struct log_gather *log_gather_new(const char *container);
void log_gather_free(struct log_gather *g);
/* An array of LogEntry; borrowed. How many of them were new and ours. */
size_t log_gather_add(struct log_gather *g, json_t *entries);
/* The oldest line that has not been given yet, if it is not younger than until_ns (INT64_MAX: whatever there is, split
 * entries with missing pieces too). */
bool log_gather_next(struct log_gather *g, int64_t until_ns, struct log_line *ret);
int64_t log_gather_newest_ns(const struct log_gather *g); /* of all entries added; 0: none */
/* From varlog/system, "Container called exit(3)." or "Container terminated on signal 9."; -1: it does not say. */
int log_gather_exit_code(const struct log_gather *g);

/* What makes an entry the same as another; NULL: nothing. Caller frees. */
char *log_entry_id(json_t *entry);

#endif
