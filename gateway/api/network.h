/* network - how inspect and ps show what a container is connected to. Containers on Cloud Run have no
 * address anybody can dial, so what is told of them is empty rather than invented. */
#ifndef API_NETWORK_H
#define API_NETWORK_H

#include <jansson.h>
#include <stdbool.h>

struct request;
struct container;

/* {"bridge": {…}, …}, Docker's map of EndpointSettings in the request's version. brief: without what the
 * user wished for (aliases, IPAM), as ps has it. */
json_t *network_settings(const struct request *r, const struct container *c, bool brief);

#endif
