/* predecessor - what a job of the predecessor's tells of its container, as far as it does. Its three generations keep
 * short facts in labels, long ones in annotations of the same name or nowhere; the rest is in the job's container. Pure. */
#ifndef CLOUD_PREDECESSOR_H
#define CLOUD_PREDECESSOR_H

#include <jansson.h>

struct job_identity;

/* As job_record_read gives it, for containers_adopt; new reference. */
json_t *predecessor_record(json_t *job, const struct job_identity *who);

#endif
