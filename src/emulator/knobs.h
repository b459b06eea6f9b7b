/* knobs - what tests may turn: latencies, injected errors, quotas, limits. Set on the command line
 * and at run time by POST /emulator/v1/knobs. */
#ifndef EMULATOR_KNOBS_H
#define EMULATOR_KNOBS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define KNOBS_INJECTIONS_MAX 64
#define KNOBS_TOKEN_MAX 256

struct injection {
	char *method;  /* "GET", or "*" */
	char *path;    /* a substring of the raw path */
	int status;    /* 400..599; 0 cuts the connection; -1: the true answer */
	bool after;    /* the request has its effect first: only its answer is lost */
	bool half;     /* half of the true answer, then cut */
	uint64_t stall_ms; /* nothing happens for so long */
	int retry_after_s; /* Retry-After and RetryInfo with a status */
	int64_t count; /* how many more times; < 0 for ever */
};

/* One minute's budget of something; 0 per minute means no limit. */
struct quota {
	int64_t per_minute;
	double tokens;
	uint64_t filled_ms; /* monotonic */
};

struct knobs {
	uint64_t start_latency_ms;     /* between an image at hand and the containers' start */
	uint64_t log_delay_ms;         /* how long an entry stays invisible to entries:list */
	uint64_t operation_latency_ms; /* how long create, patch and delete operations take */
	uint64_t shutdown_grace_ms;    /* SIGTERM to SIGKILL when the emulator itself ends */
	uint64_t not_found_ms;         /* what was just made cannot be found for so long */
	int64_t clock_skew_ms;         /* of every time we give */
	bool log_disorder;             /* pages are shuffled and have entries twice */
	int operation_error_code;      /* google.rpc.Code; of create, patch and delete operations */
	int64_t operation_error_count; /* how many more; < 0 for ever */
	int64_t max_jobs;              /* per project and location */
	struct quota run_quota;        /* requests to /v2/projects/ */
	struct quota log_read_quota;   /* entries:list */
	char require_token[KNOBS_TOKEN_MAX]; /* other bearer tokens are refused; "": any or none will do */
	struct injection injections[KNOBS_INJECTIONS_MAX];
	size_t n_injections;
};

void knobs_init(struct knobs *k);
void knobs_release(struct knobs *k);
/* 'METHOD:path-substring:status:count'; the path may hold colons. */
int knobs_add_injection(struct knobs *k, const char *text, struct err *err);
int knobs_require_token(struct knobs *k, const char *token, struct err *err);
/* 'run=N' or 'log-read=N', requests per minute */
int knobs_set_quota(struct knobs *k, const char *text, struct err *err);

json_t *knobs_show(const struct knobs *k);
/* Members of o replace what they name; all or nothing. */
int knobs_update(struct knobs *k, const json_t *o, struct err *err);

/* True: *ret is what shall happen (a copy with borrowed strings, its count not 0). Counts. */
bool knobs_inject(struct knobs *k, const char *method, const char *path, struct injection *ret);
/* True if the request fits into the budget, which it then uses. */
bool quota_take(struct quota *q);

#endif
