/* network - the networks every engine has. Containers on Cloud Run have no address anybody can dial,
 * so what is told of them is empty rather than invented. */
#ifndef API_NETWORK_H
#define API_NETWORK_H

#include <jansson.h>
#include <stdbool.h>

#include "base/token.h"

struct gateway;
struct container;

/* "bridge", "host" and "none"; the ID is the same for the life of the state directory. */
bool network_is_predefined(const char *name);
void network_id(const struct gateway *g, const char *name, char out[ID_HEX_MAX]);
/* The network a container is on: "bridge" or "none". */
const char *network_of(const struct container *c);
/* {"bridge": {…}} as inspect and ps show it. */
json_t *network_endpoints(const struct gateway *g, const struct container *c);

#endif
