/* registry_url - where a registry sends us: Location headers, absolute or not. Pure. */
#ifndef IMAGE_REGISTRY_URL_H
#define IMAGE_REGISTRY_URL_H

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"

/* location as seen from base; caller frees. *ret_foreign: it is another origin. NULL and ERR_UPSTREAM, naming
 * the registry (host), if it is no http(s) URL or goes from https to http. */
char *registry_url_resolve(const char *host, const char *base, const char *location, bool *ret_foreign,
			   struct err *err);

/* Of a call that was public_only: says how a private address may be allowed. */
void registry_url_private(struct err *err);
/* Is the URL's host in the list, with its port or without? */
bool registry_url_host_in(const char *url, const struct strv *hosts);

#endif
