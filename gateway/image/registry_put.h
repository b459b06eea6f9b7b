/* registry_put - a whole image into a repository: its layers, three at a time, its config, then the manifest
 * that names them. */
#ifndef IMAGE_REGISTRY_PUT_H
#define IMAGE_REGISTRY_PUT_H

#include "image/registry_upload.h"

struct registry_put_options {
	const char *reference;          /* tag or digest to put the manifest under */
	const char *manifest, *manifest_type;
	size_t manifest_len;
	struct registry_blob config;
	const struct registry_blob *layers;
	size_t n_layers;
};
struct registry_put_ops {
	/* Layer i: so many bytes are sent; it is there. May be NULL. Must not cancel. */
	void (*progress)(void *ctx, size_t i, int64_t sent);
	void (*layer)(void *ctx, size_t i, enum upload_result result);
	/* Once. digest: of the manifest, as the registry has it. */
	void (*done)(void *ctx, const char *digest, const struct err *err);
};
/* What opt points at is borrowed until done. */
struct registry_put;
struct registry_put *registry_put_start(struct gateway *g, struct registry_session *to,
					const struct registry_put_options *opt, const struct registry_put_ops *ops,
					void *ctx, struct err *err);
void registry_put_cancel(struct registry_put *p); /* NULL is fine */

#endif
