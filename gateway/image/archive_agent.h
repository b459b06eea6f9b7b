/* archive_agent - the one layer that brings the agent into a user's image (image/overlay): where in sidecar mode
 * a volume is, /sockerless, with the program (0755) and the CA bundle beside it. The same program and bundle give
 * the same bytes on every machine: fixed owner, times, order and gzip header. Blocking, made for a thread. */
#ifndef IMAGE_ARCHIVE_AGENT_H
#define IMAGE_ARCHIVE_AGENT_H

#include "base/err.h"
#include "image/archive.h"

struct config;

#define ARCHIVE_AGENT_DIR "sockerless"

/* The agent's own image as `make` builds it and packages install it, an OCI layout: share/agent-image beside the
 * programs' folder. NULL if there is none. Caller frees. */
char *archive_agent_image(const struct config *c);

/* binary: the static agent; the bundle is beside it, or this machine's. NULL: both from the OCI layout `image`.
 * The layer is a file below dir, which exists. *stop ends it early. Caller frees ret->path. */
int archive_agent_layer(const char *binary, const char *image, const char *dir, const atomic_bool *stop,
			struct archive_layer *ret, struct err *err);

#endif
