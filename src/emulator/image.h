/* image - container images, pulled once and kept unpacked by digest.
 *
 *   STATE/images/<sha256 hex>/rootfs      the lower layer of every container's root
 *                            /image.json  the OCI image config
 *   STATE/images/tmp.XXXXXX               a pull in progress; locked by whoever makes it
 *
 * skopeo copies, umoci unpacks; nothing here reads a layer. Several emulators may share STATE. */
#ifndef EMULATOR_IMAGE_H
#define EMULATOR_IMAGE_H

#include <uv.h>

#include "base/err.h"
#include "base/mem.h"
#include "net/http_client.h"
#include "proc.h"

struct images;

struct image {
	char *digest;          /* "sha256:..." as the reference resolved; of an index if it is one */
	char *rootfs;
	struct strv entrypoint, cmd, env;
	char *user, *working_dir; /* NULL if the image says nothing */
};

struct images *images_new(uv_loop_t *loop, struct procs *procs, struct http_client *client,
			  const char *state_dir, const struct strv *plain_hosts, struct err *err);
void images_free(struct images *im);

/* Resolve and pull if need be. cb runs once, never inside the call, with an image that lives as
 * long as images, or with err: ERR_NOT_FOUND (no such image), ERR_DENIED, else ERR_UPSTREAM. */
typedef void image_cb(void *ctx, const struct image *image, const struct err *err);
struct image_request;
struct image_request *image_get(struct images *im, const char *reference, image_cb *cb, void *ctx);
void image_request_cancel(struct image_request *r); /* cb will not run; the pull goes on */

#endif
