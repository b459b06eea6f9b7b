/* container_spec - what a client may ask of a container, and what becomes of it on Cloud Run. Pure. */
#ifndef API_CONTAINER_SPEC_H
#define API_CONTAINER_SPEC_H

#include <jansson.h>

#include "base/err.h"

/* The request's Config, in place: names and types as Docker's, values checked. ERR_INVALID. */
int container_spec_config(json_t *config, struct err *err);
/* The same for HostConfig (defaults are filled in; networks and ports: container_network.h). What has no
 * effect is added to warnings; ERR_INVALID names what cannot be had. */
int container_spec_host(json_t *host, json_t *warnings, struct err *err);
int container_spec_restart(json_t *host, struct err *err); /* its RestartPolicy alone */
void container_spec_warn(json_t *config, json_t *warnings);
/* Config as inspect shows it: everything present. New reference. */
json_t *container_spec_shown(json_t *config);

#endif
