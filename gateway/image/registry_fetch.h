/* registry_fetch - what a name in a registry stands for: manifest list, manifest and config. Layers are
 * never fetched. Whatever arrives is checked against its digest before it is believed. */
#ifndef IMAGE_REGISTRY_FETCH_H
#define IMAGE_REGISTRY_FETCH_H

#include <jansson.h>

#include "base/err.h"
#include "image/reference.h"
#include "image/registry_session.h"

struct gateway;

/* Everything is borrowed during the callback; json_incref to keep. */
struct registry_image {
	char id[REGISTRY_DIGEST_MAX];              /* of the config */
	char digest[REGISTRY_DIGEST_MAX];          /* of what the reference points at (index or manifest) */
	char manifest_digest[REGISTRY_DIGEST_MAX]; /* of the linux/amd64 manifest */
	char *media_type;          /* of what the reference points at */
	size_t size;
	json_t *index;             /* what the reference points at, if that is an index */
	json_t *manifest, *config;
	char *manifest_type;
	char *manifest_text, *config_text; /* byte for byte */
	size_t manifest_len, config_len;
};

struct registry_fetch;
/* Exactly one of image and err. ERR_NOT_FOUND: "manifest for x:y not found: manifest unknown: …",
 * "pull access denied for x, …" and "no matching manifest for linux/amd64 …" (404 in dockerd too);
 * ERR_DENIED: a user name or password the registry refused; ERR_LIMIT: "toomanyrequests: …". */
typedef void registry_fetch_cb(void *ctx, const struct registry_image *image, const struct err *err);
/* auth: base64 AuthConfig JSON of X-Registry-Auth, or NULL. */
struct registry_fetch *registry_fetch_start(struct gateway *g, const struct reference *ref, const char *auth,
					    registry_fetch_cb *cb, void *ctx, struct err *err);
enum registry_depth {
	REGISTRY_IMAGE,    /* down to the config, for linux/amd64 */
	REGISTRY_DESCRIBE, /* an index is enough, and any platform will do */
};
/* Within a conversation: what is a tag or a digest. */
struct registry_fetch *registry_fetch_in(struct registry_session *s, const char *what, enum registry_depth depth,
					 registry_fetch_cb *cb, void *ctx, struct err *err);
void registry_fetch_cancel(struct registry_fetch *f); /* NULL is fine */

#endif
