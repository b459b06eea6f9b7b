/* orphans - jobs of a gateway's making that no container here stands for: of another instance, left behind by a
 * removal that failed, or of a disk that is lost. Pure. */
#ifndef CLOUD_ORPHANS_H
#define CLOUD_ORPHANS_H

#include <jansson.h>
#include <stdbool.h>

struct lifecycle;

/* {"job", "container", "name", "instance", "maker": "gateway" or "predecessor", "state": "running", "ended" or "not run",
 *  "created", "ours": may be removed without asking twice, "why"}; NULL if this job is none. New reference. */
json_t *orphan_of(struct lifecycle *l, json_t *job);

#endif
