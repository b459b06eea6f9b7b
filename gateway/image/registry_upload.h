/* registry_upload - one blob into a repository: there already, mounted from a neighbour, or sent. The bytes
 * come from memory, a file, or another registry through a buffer of bounded size. */
#ifndef IMAGE_REGISTRY_UPLOAD_H
#define IMAGE_REGISTRY_UPLOAD_H

#include <stdint.h>

#include "base/err.h"
#include "image/registry_session.h"

enum upload_result { UPLOAD_EXISTS, UPLOAD_MOUNTED, UPLOAD_SENT };

struct registry_blob {
	const char *digest;
	int64_t size;
	const char *mount_from;          /* a repository of the same registry that may have it, or NULL */
	/* exactly one of: */
	const void *bytes;
	const char *path;
	struct registry_session *from;
};
struct registry_upload_ops {
	void (*progress)(void *ctx, int64_t sent); /* may be NULL; must not cancel */
	void (*done)(void *ctx, enum upload_result result, const struct err *err); /* once, err NULL: it is there */
};
/* All that blob points at is borrowed until done. A failure that may pass is tried three times. */
struct registry_upload;
struct registry_upload *registry_upload_start(struct gateway *g, struct registry_session *to,
					      const struct registry_blob *blob, const struct registry_upload_ops *ops,
					      void *ctx, struct err *err);
void registry_upload_cancel(struct registry_upload *u); /* NULL is fine */

#endif
