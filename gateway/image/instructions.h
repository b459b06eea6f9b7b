/* instructions - the Dockerfile instructions that docker import and docker commit take with --change, applied to an
 * image's Config: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR.
 * Variables in them are not expanded. Pure. */
#ifndef IMAGE_INSTRUCTIONS_H
#define IMAGE_INSTRUCTIONS_H

#include <jansson.h>

#include "base/err.h"

/* ERR_INVALID with dockerd's sentence; config may then be changed in part. */
int instruction_apply(json_t *config, const char *instruction, struct err *err);

#endif
