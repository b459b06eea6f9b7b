/* container_values - the options of HostConfig whose fate depends on their value (OPTION_VALUES), and the limits
 * that dockerd checks. Pure. */
#ifndef API_CONTAINER_VALUES_H
#define API_CONTAINER_VALUES_H

#include <jansson.h>

#include "base/err.h"

/* ERR_INVALID in dockerd's words, or with Cloud Run's reason; what has no effect is added to warnings. */
int container_values_check(json_t *host, json_t *warnings, struct err *err);
int container_values_check_update(json_t *update, struct err *err); /* the limits of docker update */

#endif
