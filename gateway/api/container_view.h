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

/* "Up 2 seconds (healthy)", "Exited (3) 4 seconds ago", "Created"; caller frees. */
char *container_status(const struct container *c, int64_t now_ns);
const char *container_health(const struct container *c); /* "none": there is no check, or it never ran */
/* Docker's Path and Args: argv's first word, and the rest as a new list. */
void container_argv(const struct container *c, const char **ret_path, json_t **ret_args);

#endif
