/* api - the Docker Engine API: what main needs to know of it. */
#ifndef API_API_H
#define API_API_H

#include "base/err.h"

struct gateway;
struct http_server;

#define API_VERSION_MIN 24
#define API_VERSION_MAX 55
#define API_VERSION_MIN_TEXT "1.24"
#define API_VERSION_MAX_TEXT "1.55"

/* The server, listening nowhere yet. The gateway's other members must be there before a request is. */
struct http_server *api_new(struct gateway *g, struct err *err);
/* Cut every client (no process is touched) and free g->api. */
void api_free(struct gateway *g);

#endif
