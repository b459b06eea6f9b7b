/* registry_tags - all tags of a repository, page by page. */
#ifndef IMAGE_REGISTRY_TAGS_H
#define IMAGE_REGISTRY_TAGS_H

#include "base/err.h"
#include "base/mem.h"
#include "image/registry_session.h"

#define REGISTRY_TAGS_MAX 10000

struct registry_tags;
/* Exactly one of tags (borrowed) and err. ERR_NOT_FOUND "repository x not found: name unknown: …". */
typedef void registry_tags_cb(void *ctx, const struct strv *tags, const struct err *err);
struct registry_tags *registry_tags_start(struct registry_session *s, registry_tags_cb *cb, void *ctx,
					  struct err *err);
void registry_tags_cancel(struct registry_tags *t); /* NULL is fine */

#endif
