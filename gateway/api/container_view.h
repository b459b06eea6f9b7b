/* container_view - what ps and inspect both show of a container. */
#ifndef API_CONTAINER_VIEW_H
#define API_CONTAINER_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct container;
struct request;

/* One row of docker ps, for the version that the client speaks. */
json_t *container_row(struct request *r, const struct container *c, bool size);

json_int_t container_root_size(struct request *r, const struct container *c); /* the image's */


#endif
