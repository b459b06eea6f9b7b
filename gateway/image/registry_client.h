/* registry_client - manifests and configs from an OCI registry by HTTP, with token authentication.
 * Source: OCI distribution spec; distribution's token authentication. Layers are never fetched. */
#ifndef IMAGE_REGISTRY_CLIENT_H
#define IMAGE_REGISTRY_CLIENT_H

#include <jansson.h>

#include "base/err.h"
#include "image/reference.h"

struct gateway;

struct registry_image {
	char id[72];               /* sha256:… of the config */
	char digest[72];           /* of what the reference points at (index or manifest) */
	char manifest_digest[72];  /* of the linux/amd64 manifest */
	json_t *manifest, *config; /* borrowed during the callback: json_incref to keep */
};
struct registry_fetch;
/* Exactly one of image and err. ERR_NOT_FOUND: "manifest for x:y not found: manifest unknown: …",
 * "pull access denied for x, …" and "no matching manifest for linux/amd64 …" (404 in dockerd too);
 * ERR_DENIED: a user name or password the registry refused; ERR_LIMIT: "toomanyrequests: …". auth: base64 AuthConfig JSON of X-Registry-Auth, or NULL. */
typedef void registry_fetch_cb(void *ctx, const struct registry_image *image, const struct err *err);
struct registry_fetch *registry_fetch_start(struct gateway *g, const struct reference *ref, const char *auth,
					    registry_fetch_cb *cb, void *ctx, struct err *err);
void registry_fetch_cancel(struct registry_fetch *f); /* NULL is fine */

#endif
