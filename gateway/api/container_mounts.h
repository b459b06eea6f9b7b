/* container_mounts - what a container has mounted: from a create request to the list its record keeps, and
 * from there to what clients are shown.
 *
 * An entry of the list: {type, target, mode, rw}, and
 *   type "volume"  name, on ("bucket", "nfs", "memory", "secret", "container"), anonymous; subpath; for nfs server, path,
 *                  readOnly; for memory size; for secret secret, version, file, perm (see volume_describe)
 *   type "tmpfs"   size (bytes, may be absent), perm (absent: 01777), listed (is in inspect's Mounts)
 *   type "bind"    source: a path of the gateway's host, brought along at each start
 * cloud/job_volumes says it in Google's words. */
#ifndef API_CONTAINER_MOUNTS_H
#define API_CONTAINER_MOUNTS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

struct gateway;
struct container;

/* Binds, Mounts, Tmpfs, VolumesFrom and Volumes of a request, then the image's VOLUMEs (an object or NULL).
 * Nothing is created. New reference, or NULL: ERR_INVALID with dockerd's sentence or Cloud Run's reason,
 * ERR_NOT_FOUND for a container of VolumesFrom. */
json_t *container_mounts_read(struct gateway *g, json_t *config, json_t *host, json_t *image_volumes, json_t *warnings,
			      struct err *err);
/* Makes the volumes that the list names and those that have no name yet. On failure nothing anonymous is left. */
int container_mounts_make(struct gateway *g, json_t *mounts, const char *driver, struct err *err);
/* Forgets the anonymous volumes of a container that was not made. */
void container_mounts_undo(struct gateway *g, json_t *mounts);

/* MountPoints for inspect; brief: as the list has them, without the sources of volumes. New reference. */
json_t *container_mounts_shown(const struct gateway *g, const struct container *c, bool brief);
/* Where a volume's data are: "gs://BUCKET/FOLDER", "HOST:/PATH", or "". Caller frees. */
char *container_mounts_source(const struct gateway *g, json_t *mount);

#endif
