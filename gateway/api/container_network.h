/* container_network - what a client may ask of networks and ports when it creates a container. */
#ifndef API_CONTAINER_NETWORK_H
#define API_CONTAINER_NETWORK_H

#include <jansson.h>

#include "base/err.h"

struct containers;

/* Checks; what is not honoured is added to warnings. NetworkMode's container gets its full ID.
 * *ret_networking: what the record keeps, a new reference. networking may be NULL. */
int container_network(struct containers *all, json_t *config, json_t *host, json_t *networking, int version,
		      json_t *warnings, json_t **ret_networking, struct err *err);

#endif
