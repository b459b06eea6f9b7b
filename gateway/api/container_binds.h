/* container_binds - host paths that a container has "mounted" by copy (run.sockerless.bind=upload): packed once,
 * when the container is made, and delivered before each of its starts as docker cp's files are. */
#ifndef API_CONTAINER_BINDS_H
#define API_CONTAINER_BINDS_H

#include <stdbool.h>

#include "api/request.h"

struct container;

bool container_binds_any(const struct container *c);
/* Packs all of them, then answers with body (stolen) and 201; if one cannot be read or they are too large together, the
 * container is removed again and the answer says so. Takes the request over. */
void container_binds_pack(struct request *r, struct container *c, json_t *body);

#endif
