/* container_options - every field of Docker's Config and HostConfig (API 1.55), its type, and what becomes of it
 * on Cloud Run. The one table: requests are checked by it, and docs/docker-api-mapping.md shows it, row by row. */
#ifndef API_CONTAINER_OPTIONS_H
#define API_CONTAINER_OPTIONS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "api/fields.h"
#include "base/err.h"

enum option_fate {
	OPTION_WORKS,     /* as in dockerd */
	OPTION_MAPPED,    /* works, by other means */
	OPTION_SILENT,    /* accepted without effect; nobody misses it */
	OPTION_WARNED,    /* accepted without effect; who sets it is told so */
	OPTION_REFUSED,   /* 400 with the text, when set */
	OPTION_VALUES,    /* it depends on the value: container_spec.c */
};

struct option {
	const char *name;
	enum field_type type;
	enum option_fate fate;
	const char *text;   /* how, or why; a warning's and a refusal's own words */
};

extern const struct option config_options[], host_options[]; /* each ends with a NULL name */
const char *option_fate_name(enum option_fate fate);           /* as the documentation says it */

/* Present, and not what "not given" looks like in any client's request. */
bool option_given(const json_t *o, const char *name);
/* Names and types, in place; type is Go's name for the object. */
int options_check_types(json_t *o, const char *type, const struct option *options, struct err *err);
/* Refuses and warns. */
int options_check_fates(json_t *o, const char *type, const struct option *options, json_t *warnings, struct err *err);

#endif
