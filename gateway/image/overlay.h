/* overlay - agent mode "overlay": the user's image with the agent's layer on top, in the gateway's own repository
 * (SOCKERLESS_GCR_IMAGE_REPOSITORY/overlays), made by registry HTTP alone the first time somebody needs it.
 *
 *   layer (once per gateway, in a thread)
 *     └▶ HEAD overlays/manifests/TAG ──200──▶ that one
 *          └─404─▶ manifest and config of the image ─▶ blobs: there, mounted, or streamed ─▶ PUT manifest TAG
 *
 * TAG is made of both digests, so everybody who shares the repository shares what is in it. Who asks for an image
 * that is being made waits for that. What was seen there is believed for ten minutes. Loop thread only. */
#ifndef IMAGE_OVERLAY_H
#define IMAGE_OVERLAY_H

#include "base/err.h"

struct gateway;
struct overlays;
struct overlay_wait;

/* Begins the layer. ERR_NOT_FOUND: no agent to put in. */
struct overlays *overlays_new(struct gateway *g, struct err *err);
void overlays_free(struct overlays *o); /* NULL is fine */

/* Exactly one of ref (host/repository@digest, borrowed) and err. */
typedef void overlay_cb(void *ctx, const char *ref, const struct err *err);
/* image_ref: host/repository@digest. auth: X-Registry-Auth for its registry, or NULL. cb once, never inside the
 * call; err, but for bad input, reads "put the agent into the image …". */
struct overlay_wait *overlay_get(struct overlays *o, const char *image_ref, const char *auth, overlay_cb *cb, void *ctx);
void overlay_cancel(struct overlay_wait *w); /* with the last one that waits the work ends; NULL is fine */
/* Cloud Run did not start it: look again the next time. */
void overlay_doubt(struct overlays *o, const char *image_ref);

#endif
