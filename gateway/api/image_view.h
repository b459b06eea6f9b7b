/* image_view - what list, inspect, remove and prune see of an image alike. */
#ifndef API_IMAGE_VIEW_H
#define API_IMAGE_VIEW_H

#include <jansson.h>

#include "api/filters.h"
#include "api/request.h"
#include "state/image.h"

/* The image the path names, or NULL after a 404 (or 400) answer: then r is gone. */
struct image *image_named(struct request *r);
int64_t image_created_ns(const struct image *i); /* 0 if it does not say */
/* name was not found: when it is no name at all, *err says that instead. */
void image_name_blame(const char *name, struct err *err);
size_t image_users(const struct gateway *g, const struct image *i); /* containers made from it */
json_t *image_labels(const struct image *i);     /* borrowed, or NULL */
/* 1 and *ret if the filter "dangling" is given, 0 if not, -1 with dockerd's sentence. */
int image_read_dangling(const struct filters *f, bool *ret, struct err *err);

#endif
