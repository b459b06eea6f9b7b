/* image_config - Docker's rules for what a container runs: image defaults, overridden by the request. Pure. */
#ifndef IMAGE_CONFIG_H
#define IMAGE_CONFIG_H

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"

/* Merge the image's config into the request's Config in place: Env by key, Entrypoint/Cmd (an Entrypoint
 * in the request clears the image's Cmd; "" or [""] clears the Entrypoint), WorkingDir, User, Labels,
 * StopSignal, ExposedPorts, Volumes, Healthcheck, Shell. Strings for Cmd/Entrypoint are accepted as
 * Docker's strslice does. ERR_INVALID "no command specified" when nothing remains to run. */
int image_config_merge(json_t *config, json_t *image_config, struct err *err);
/* The final argv: Entrypoint + Cmd. */
void image_config_argv(json_t *config, struct strv *ret);

#endif
