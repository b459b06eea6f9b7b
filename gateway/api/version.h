/* version - which version of the Docker API a path asks for. Pure. */
#ifndef API_VERSION_H
#define API_VERSION_H

#include "base/err.h"

/* Splits "/v1.41/containers/json" into version and rest; a path without a version means the newest.
 * 0 with the minor version and the rest (points into path); -1 with dockerd's sentence for versions we
 * do not speak, *ret_rest set nevertheless. *ret_plain: the client is too old for JSON errors. */
int version_split(const char *path, int *ret_minor, const char **ret_rest, int *ret_plain, struct err *err);

#endif
