/* schema - which fields a message of the API has, and proto3's JSON mapping applied to a peer's
 * JSON: unknown names, wrong types and unknown enum values are refused in Google's words; what
 * passes comes back normalised (lowerCamelCase, no nulls, no defaults, no output-only fields). */
#ifndef EMULATOR_SCHEMA_H
#define EMULATOR_SCHEMA_H

#include <jansson.h>

#include "rpc.h"

struct schema;

/* run.googleapis.com v2 */
extern const struct schema schema_job, schema_run_job_request, schema_cancel_request,
	schema_wait_request;
/* logging.googleapis.com v2 */
extern const struct schema schema_list_entries_request, schema_write_entries_request;
/* storage v1: what is emulated of a bucket */
extern const struct schema schema_bucket;

/* path: where the message sits in the request ("job"; "" for the request itself).
 * A new object, or NULL with e filled. */
json_t *schema_parse(const struct schema *m, const char *path, const json_t *in,
		     struct rpc_error *e);
/* "600s", "1.5s" as proto3 JSON writes google.protobuf.Duration; 0 or -1. */
int schema_duration_ms(const char *s, int64_t *ret_ms);

#endif
