/* event_filter - which events a client asked for. Pure. */
#ifndef API_EVENT_FILTER_H
#define API_EVENT_FILTER_H

#include <jansson.h>
#include <stdbool.h>

#include "api/filters.h"

bool event_filter_passes(const struct filters *f, json_t *event);

#endif
