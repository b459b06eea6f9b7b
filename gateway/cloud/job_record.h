/* job_record - a container's record as annotations of its job, and back: what a gateway with an empty disk
 * knows it by.
 *
 *   <prefix>_1, <prefix>_2, ...   base64 of deflated (zlib) JSON, in pieces
 *
 *   {"v": 1, "container": container_record, "networks": [network_record], "volumes": [volume_record],
 *    "cut": ["Env", ...]}
 *
 * Annotations follow Kubernetes' rules: 256 KiB for all of a resource together. What does not fit is left out, the
 * largest first, and named in "cut"; environment and arguments are in the job's own containers as well and come back
 * from there. Pure. */
#ifndef CLOUD_JOB_RECORD_H
#define CLOUD_JOB_RECORD_H

#include <jansson.h>
#include <stddef.h>

#include "base/err.h"

#define JOB_RECORD_PREFIX "sockerless_record"
#define JOB_RECORD_TOTAL_MAX (224 * 1024)  /* of all records of a job, coded; other annotations have the rest */
#define JOB_RECORD_PIECE_MAX (16 * 1024)   /* of one value; the predecessor's tools take 32 KiB at most */
#define JOB_RECORD_TEXT_MAX (8 * 1024 * 1024) /* of the JSON, either way */

/* Adds the record's pieces, at most budget bytes of them; the record may be cut. -1: not even the least of it fits. */
int job_record_write(json_t *annotations, const char *prefix, json_t *record, size_t budget, struct err *err);
/* New reference. ERR_NOT_FOUND: there is none; ERR_INVALID: damaged, by whoever may write to the job. */
json_t *job_record_read(const json_t *annotations, const char *prefix, struct err *err);

#endif
