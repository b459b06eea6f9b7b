/* health - what a health check asks for and what the results of its probes mean, by Docker's rules: the
 * container is starting until the first success or until Retries failures in a row; failures inside the
 * start period do not count. gateway/health.c runs the probes. Pure: JSON in, JSON out. */
#ifndef STATE_HEALTH_H
#define STATE_HEALTH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

#define HEALTH_LOG_MAX 5
#define HEALTH_OUTPUT_MAX 4096 /* of one probe; "..." tells that there was more */

struct health_check {
	struct strv argv;
	int64_t interval_ns, timeout_ns, start_period_ns, start_interval_ns;
	int64_t retries;
};
/* False: Config asks for no check (none, NONE, or a kind that dockerd does not run either). */
bool health_wanted(json_t *config);
bool health_read(json_t *config, struct health_check *ret); /* with the defaults; the same answer */
void health_release(struct health_check *check);
/* A client's HealthConfig: ERR_INVALID in dockerd's words. */
int health_validate(json_t *health_config, struct err *err);

/* Docker's State.Health as the record keeps it; every function gives a new object. */
json_t *health_starting(json_t *before);    /* a run begins; before may be NULL, its log is kept */
json_t *health_suspended(json_t *before);   /* nobody looks: dockerd calls it unhealthy */

struct health_result {
	int64_t start_ns, end_ns;
	int exit_code;                      /* -1: the probe could not be run, or took too long */
	const char *output;
};
json_t *health_after(json_t *before, const struct health_check *check, const struct health_result *r,
		     int64_t started_ns);
const char *health_status(json_t *health);  /* "none" for NULL */
/* From now to the next probe. */
int64_t health_pause_ns(const struct health_check *check, json_t *health, int64_t started_ns, int64_t now_ns);
/* As Go shows a duration: "1s", "1m30s", "1.5s", "500ms". */
#define HEALTH_DURATION_MAX 32
char *health_duration(int64_t ns, char out[HEALTH_DURATION_MAX]);

#endif
