/* routes - which handler serves a method and path. Pure but for the handlers themselves. */
#ifndef API_ROUTES_H
#define API_ROUTES_H

#include "api/handlers.h"

/* path without the version. *ret_name (caller frees): what the pattern's '*' stands for, or "". NULL if
 * there is no such page. */
request_handler *routes_find(const char *method, const char *path, char **ret_name);
/* Without double slashes, "." and ".."; caller frees. */
char *routes_clean(const char *path);

#endif
