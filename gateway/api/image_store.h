/* image_store - an image made here (load, import) goes to this gateway's own repository, from which Cloud Run
 * pulls it, and becomes known. Nothing of it stays on this machine. */
#ifndef API_IMAGE_STORE_H
#define API_IMAGE_STORE_H

#include "api/request.h"
#include "image/archive.h"

struct spool;

/* True if there is a repository; else the request was answered with what to do (501). */
bool image_store_possible(struct request *r);

/* "linux", "amd64", "linux/amd64" and nothing are what Cloud Run runs: 0. ERR_INVALID: no platform at all,
 * ERR_NOT_FOUND: another one. */
int image_platform_check(const char *platform, struct err *err);

struct image_store_ops {
	/* Layer i: so many bytes are sent. May be NULL; must not cancel. */
	void (*progress)(void *ctx, size_t i, int64_t sent);
	/* Once; err NULL: the image is there under its id and all its tags. */
	void (*done)(void *ctx, const struct err *err);
};
/* image is borrowed until done. Its tags are names in Docker's grammar. */
struct image_store;
struct image_store *image_store_start(struct gateway *g, const struct archive_image *image,
				      const struct image_store_ops *ops, void *ctx, struct err *err);
void image_store_cancel(struct image_store *s); /* NULL is fine */

/* Work of the archive module in a thread; done runs on the loop, once, and gives result and spool away. */
struct image_work;
typedef int image_work_fn(const struct spool *s, const atomic_bool *stop, struct archive_images *ret, struct err *err);
typedef void image_work_done(void *ctx, struct spool *s, struct archive_images *images, const struct err *err);
struct image_work *image_work_start(struct gateway *g, struct spool *s, image_work_fn *fn, image_work_done *done,
				    void *ctx);
void image_work_cancel(struct image_work *w); /* it ends soon, and tidies up itself; NULL is fine */

#endif
