/* logging - questions to Cloud Logging, and followers of what is printed. All of them, whoever asks, share one quota: at
 * most LOGGING_READS_MAX requests in any minute, Google's own limit for a project; who is beyond it waits.
 *
 * Followers share one poller: one question for all executions followed (in turn, when they are very many), every
 * 2 s while something is printed, slowing down to 5 s. Each question looks back over what was asked before, because
 * entries come late; whoever is told must not count an insertId twice (log_gather.h). */
#ifndef CLOUD_LOGGING_H
#define CLOUD_LOGGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cloud/run.h"

struct config;
struct log_follow;

#define LOGGING_READS_MAX 60 /* a minute */

struct logging_ask {
	const char *job, *execution;
	bool of_system;              /* varlog/system instead of stdout and stderr */
	int64_t since_ns, until_ns;  /* 0: open */
	size_t newest;               /* not all, but the newest so many at least, newest first; 0: all, oldest first */
};

/* All pages, an insertId once: {"entries":[…]}. */
struct cloud_call *logging_list(struct cloud *c, const struct logging_ask *ask, cloud_cb *cb, void *ctx);
/* The first few lines: what was printed before anything else. */
struct cloud_call *logging_first(struct cloud *c, const char *job_id, const char *execution, cloud_cb *cb, void *ctx);

/* entries: an array of what is new or was given before, oldest first; borrowed. Called after each question that could be
 * answered, also with no entry. From the loop until log_follow_end, which may be called inside. */
typedef void log_follow_cb(void *ctx, json_t *entries);
struct log_follow *log_follow_begin(struct cloud *c, const char *job, const char *execution, log_follow_cb *cb, void *ctx);
void log_follow_end(struct log_follow *f); /* NULL is fine */

/* For log_follow.c and call.c. */
char *logging_filter(const struct config *cfg, const char *jobs, const char *executions, bool of_system, int64_t since_ns,
		     int64_t until_ns);
struct cloud_call *logging_query(struct cloud *c, const char *filter, bool newest_first, size_t enough, cloud_cb *cb, void *ctx);
/* How long the next read has to wait; if not at all, it is counted. */
uint64_t logging_take_turn(struct cloud *c);
void log_follow_stop_all(struct cloud *c); /* the cloud goes away; handles stay theirs to end */

#endif
