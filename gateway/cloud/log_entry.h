/* log_entry - what a container has printed, out of an entry of Cloud Logging. Pure. */
#ifndef CLOUD_LOG_ENTRY_H
#define CLOUD_LOG_ENTRY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_entry {
	bool is_stderr;
	int64_t time_ns;          /* 0: it does not say */
	char *text;               /* a line with its newline; the caller frees it */
	size_t len;               /* NUL bytes are bytes */
};

/* False: nothing of the container's own. Lines that were JSON come back parsed, and are written out again. */
bool log_entry_read(json_t *entry, struct log_entry *ret);

#endif
