/* progress - the JSON lines that docker pull, push and load draw from. All are new references. */
#ifndef API_PROGRESS_H
#define API_PROGRESS_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"

json_t *progress_status(const char *id, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A line about one layer, drawn in place: {"status":…,"progressDetail":{},"id":…}. */
json_t *progress_layer(const char *id, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same with a bar: "[==>   ]  43.01kB/1.982MB". */
json_t *progress_bar(const char *id, const char *status, int64_t current, int64_t total);
json_t *progress_error(const struct err *err);
/* The twelve digits by which a layer is shown: of "sha256:…" or of anything. */
#define PROGRESS_ID_MAX 13
char *progress_id(const char *digest, char out[PROGRESS_ID_MAX]);

#endif
