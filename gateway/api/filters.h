/* filters - the "filters" parameter of Docker's lists. Pure.
 * {"label":["a","b=c"]} and the older {"label":{"a":true}} mean the same. */
#ifndef API_FILTERS_H
#define API_FILTERS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

struct filters {
	json_t *map;   /* key → object whose keys are the values; ours */
};

/* text NULL or "": no filter. ERR_INVALID on anything else that is not one of the two forms. */
int filters_parse(struct filters *f, const char *text, struct err *err);
void filters_release(struct filters *f);
/* allowed ends with NULL. ERR_INVALID "invalid filter 'x'". */
int filters_check(const struct filters *f, const char *const *allowed, struct err *err);

bool filters_has(const struct filters *f, const char *key);
json_t *filters_values(const struct filters *f, const char *key); /* borrowed object, or NULL */
const char *filters_first(const struct filters *f, const char *key); /* borrowed, or NULL */
/* All true when the key is not filtered by. exact: one of the values; prefix: a value begins it;
 * regexp: one of the values, as an extended regular expression, is found in it. */
bool filters_exact(const struct filters *f, const char *key, const char *value);
bool filters_prefix(const struct filters *f, const char *key, const char *value);
bool filters_regexp(const struct filters *f, const char *key, const char *value);
/* Every "k" or "k=v" must be there. labels: an object of strings, or NULL. */
bool filters_labels(const struct filters *f, const char *key, json_t *labels);
/* The boolean key: "true", "1", "false" or "0"; fallback when it is not given. ERR_INVALID on anything else. */
int filters_bool(const struct filters *f, const char *key, bool fallback, bool *ret, struct err *err);
/* The time in "until", INT64_MAX when there is none. ERR_INVALID in dockerd's words, also on two of them. */
int filters_until(const struct filters *f, int64_t now_ns, int64_t *ret_ns, struct err *err);

#endif
