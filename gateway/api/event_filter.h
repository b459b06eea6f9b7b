/* event_filter - which events a client asked for. Pure. */
#ifndef API_EVENT_FILTER_H
#define API_EVENT_FILTER_H

#include <jansson.h>
#include <stdbool.h>

#include "api/filters.h"

extern const char *const event_filter_keys[]; /* what may be filtered by; ends with NULL */
bool event_filter_passes(const struct filters *f, json_t *event);

#endif
