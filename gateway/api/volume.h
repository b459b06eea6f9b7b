/* volume - what docker system df says of volumes; the handlers are in handlers.h. */
#ifndef API_VOLUME_H
#define API_VOLUME_H

#include <jansson.h>

struct gateway;

/* Every volume with its UsageData; new reference. */
json_t *volumes_usage(const struct gateway *g);

#endif
