/* job_volumes - a container's mounts in Cloud Run's words. Pure.
 *
 *   volume, in the bucket   gcs {bucket, readOnly, mountOptions [only-dir=PREFIX/NAME, ...]}
 *   volume, type=nfs        nfs {server, path, readOnly}
 *   volume, type=secret     secret {secret, items [{path, version, mode}]}
 *   volume, type=tmpfs      emptyDir {medium MEMORY, sizeLimit}
 *   tmpfs                   emptyDir {medium MEMORY, sizeLimit}
 *   an image's VOLUME, bind nothing: files of the container
 *
 * Read-only is a property of a job's volume, not of its mount: the same volume mounted both ways is two. */
#ifndef CLOUD_JOB_VOLUMES_H
#define CLOUD_JOB_VOLUMES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct config;
struct container;

/* Appends to the task's volumes and to the main container's volumeMounts. */
void job_volumes_add(const struct config *cfg, const struct container *c, json_t *volumes, json_t *mounts);
/* Bytes of memory that sized in-memory volumes can take from the container. */
int64_t job_volumes_memory(const struct container *c);
bool job_volumes_need_bucket(const struct container *c);
/* [{"path", "mode"}]: the tmpfs roots, which Cloud Run makes root's own (0755); NULL if there is none. */
json_t *job_volumes_modes(const struct container *c);

#endif
