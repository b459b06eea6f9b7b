/* port_filter - docker ps --filter expose= and publish=: "80", "80/udp", "8000-8010/tcp". Pure. */
#ifndef API_PORT_FILTER_H
#define API_PORT_FILTER_H

#include <jansson.h>
#include <stdbool.h>

#include "api/filters.h"
#include "base/err.h"

/* 0, or -1 (ERR_INVALID) with dockerd's sentence on a value that is no port or range. */
int port_filter_check(const struct filters *f, const char *key, struct err *err);
/* One of the keys of ports ("80/tcp") is one of those asked for, or nothing is asked for. ports may be NULL. */
bool port_filter_passes(const struct filters *f, const char *key, json_t *ports);

#endif
