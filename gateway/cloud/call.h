/* call - one conversation with Google: JSON requests with a token, a deadline and retries.
 * For the files of this folder that make calls; others see struct cloud_call as an opaque handle. */
#ifndef CLOUD_CALL_H
#define CLOUD_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "cloud/run.h"

#define CALL_PAGES_MAX 1000

struct cloud {
	struct gateway *g;
	struct auth *auth;
	char *run_parent;         /* https://run.googleapis.com/v2/projects/P/locations/R */
	char *run_base;           /* https://run.googleapis.com/v2 */
	char *logging_base;
	char *storage_base;       /* https://storage.googleapis.com/storage/v1 */
	bool bucket_known;        /* storage: the volumes' bucket is there */
	char *upload_base;        /* https://storage.googleapis.com/upload/storage/v1 */
	struct sweep *sweeps;     /* storage: volumes being emptied */
	struct volume_records *volume_records; /* NULL before the first change */
	uint64_t log_reads[60];   /* when the last ones were: logging.h */
	unsigned n_log_reads;
	struct log_poller *log_poller;
	double repeated;          /* requests of late that were repetitions: the budget used */
	struct cloud_call *calls;
};

struct cloud_call {
	struct cloud *cloud;
	cloud_cb *cb;
	void *ctx;
	/* The answer of the present request, never an error: call_ask again, or call_finish. */
	void (*step)(struct cloud_call *call, json_t *answer);
	/* A refusal of the present request: true if it asks on. NULL: every refusal ends the call. */
	bool (*otherwise)(struct cloud_call *call, const struct err *err);
	uint64_t timeout_ms, deadline_ms;
	bool done;                /* cb is running or has run */

	/* The present request. */
	const char *method;
	char *url, *body;
	bool is_log_read;         /* shares Cloud Logging's quota, each try of it */
	bool repeatable;          /* asking twice does no harm */
	int tries, refusals;
	char *token;              /* the one sent, or NULL */
	struct auth_wait *auth;
	struct http_call *http;
	struct timer *timer;

	/* Between requests. */
	char *resource;           /* what is asked page by page, or polled */
	json_t *query;            /* logging: the body, to which the page token is added */
	json_t *sum;              /* what all pages gave */
	json_t *seen;             /* logging: insertIds, as keys */
	size_t enough;            /* logging: stop when there are so many entries; 0: all pages */
	uint64_t delay_ms;        /* polling */
	int pages;
	int64_t bytes;            /* logging: text so far */
	struct cloud_call *prev, *next;
};

uint64_t call_timeout_ms(const struct cloud *c); /* of one that is a single request: SOCKERLESS_CALL_TIMEOUT */
struct cloud_call *call_new(struct cloud *c, uint64_t timeout_ms, cloud_cb *cb, void *ctx);
/* The next request; url is taken, body stolen (NULL: none). Failures end the call by themselves. */
void call_ask(struct cloud_call *call, const char *method, char *url, json_t *body, bool repeatable,
	      void (*step)(struct cloud_call *, json_t *));
/* Ask the present request again after ms. */
void call_repeat_after(struct cloud_call *call, uint64_t ms);
void call_finish(struct cloud_call *call, json_t *json, const struct err *err);

/* Google's error object, or an operation's: {code, message, status}. code: HTTP's or gRPC's. */
int call_error(json_t *error, int http_status, struct err *err);

#endif
