/* download - an answer made of what somebody else writes: a tool in the container, or a worker here.
 * It stops its source while the client does not read, and ends it when the client goes away.
 * With a stat line, the first line of the source is not body but JSON for X-Docker-Container-Path-Stat.
 * Nothing is answered before there is something to answer with, so that an early error has its status. */
#ifndef API_DOWNLOAD_H
#define API_DOWNLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/request.h"

enum download_form { DOWNLOAD_STAT, DOWNLOAD_STAT_AND_BODY, DOWNLOAD_BODY };

struct download_source {
	void (*resume)(void *source);
	void (*cancel)(void *source);
};

/* Belongs to the request from here on (its state and release). missing: the sentence of a 404, taken;
 * NULL: the source's own. event: the container's event when the body begins, or NULL. */
struct download *download_new(struct request *r, enum download_form form, const char *content_type, char *missing,
			      const char *event);
void download_from(struct download *d, const struct download_source *ops, void *source);
/* The source's callbacks; ctx is the download. */
size_t download_output(void *ctx, const uint8_t *p, size_t n);
void download_end(void *ctx, const struct err *err);

#endif
