/* version - which version of the Docker API a path asks for, and which fields that version knows. Pure.
 *
 * Handlers build the answer of every version at once: all fields, old and new ones. version_trim then takes
 * away what the client's version has not (yet, or any more). So a version's fields are in one table, and no
 * handler asks for a version because of a field. */
#ifndef API_VERSION_H
#define API_VERSION_H

#include <jansson.h>

#include "base/err.h"

/* Splits "/v1.41/containers/json" into version and rest; a path without a version means the newest.
 * 0 with the minor version and the rest (points into path); -1 with dockerd's sentence for versions we
 * do not speak, *ret_rest set nevertheless. *ret_plain: the client is too old for JSON errors. */
int version_split(const char *path, int *ret_minor, const char **ret_rest, int *ret_plain, struct err *err);

enum version_shape {
	VERSION_CONTAINER,     /* inspect */
	VERSION_CONTAINER_ROW, /* one of the list */
	VERSION_IMAGE,
	VERSION_IMAGE_ROW,
	VERSION_NETWORK,       /* inspect, and one of the list */
	VERSION_EVENT,
	VERSION_STATS,
	VERSION_INFO,
	VERSION_DISK_USAGE,    /* its rows too */
};
/* Removes from body what API 1.minor does not have; a list is trimmed row by row. Nothing of body may be a
 * record's own: it is changed at any depth. Returns body. */
json_t *version_trim(json_t *body, enum version_shape shape, int minor);

#endif
