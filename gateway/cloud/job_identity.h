/* job_identity - whose a job is: the labels and annotations that say it, ours and the predecessor's.
 *
 *   labels       sockerless_managed       "true"
 *                sockerless_container_id  first 12 digits
 *                sockerless_backend       "cloudrun"
 *                sockerless_instance      SOCKERLESS_GCR_INSTANCE of the gateway
 *   annotations  sockerless_container_id  all 64 digits
 *                sockerless_name, sockerless_created_at
 *                sockerless_gateway       the state directory it was made from
 *                sockerless_record_N      job_record.h
 *                sockerless_record_<12 digits of a member>_N  of each container that shares the network
 *
 * A job without a record is the predecessor's: "managed-by: sockerless" with "sockerless-container-id" (no instance),
 * or the labels above, with the long values as annotations or not at all. */
#ifndef CLOUD_JOB_IDENTITY_H
#define CLOUD_JOB_IDENTITY_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/token.h"

struct gateway;
struct container;

struct job_identity {
	const char *job;          /* short name; strings are borrowed from the resource, NULL if absent */
	const char *name;         /* of the container */
	const char *instance, *gateway;
	char id[ID_HEX_MAX];      /* of the container; made up from the job's name behind the 12 digits when those are all */
	bool predecessors;
};

/* To a new job, what a gateway without a disk has to know of c and its members (NULL-terminated). */
void job_identity_write(struct gateway *g, json_t *job, const struct container *c, struct container *const *members);
/* False: a job of somebody else's, or one that is being deleted. */
bool job_identity_read(json_t *job, struct job_identity *ret);

#endif
