/* layer_cache - layers of images as files on our disk: fetched from their registry when somebody wants to look
 * into them, checked against their digests, thrown away again, the longest unused first, when there are more
 * bytes than allowed. Running a container needs none of it: Cloud Run pulls for itself.
 *
 *   <state-dir>/layers/sha256-<hex>       as the registry has it, compressed
 *                      fetch.XXXXXX       on its way; removed at the next start
 *
 * Loop thread only. */
#ifndef IMAGE_LAYER_CACHE_H
#define IMAGE_LAYER_CACHE_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"

struct gateway;
struct layer_cache;

struct layer_cache *layer_cache_new(struct gateway *g, const char *state_dir, uint64_t max_bytes, struct err *err);
void layer_cache_free(struct layer_cache *c);

/* All layers of a manifest, held until released. */
struct layer_set;
/* err NULL: they are there. */
typedef void layer_set_cb(void *ctx, const struct err *err);
/* pull_ref: host/repository@digest. NULL with err, or cb once, never inside the call. */
struct layer_set *layer_set_fetch(struct layer_cache *c, const char *pull_ref, json_t *manifest, layer_set_cb *cb,
				  void *ctx, struct err *err);
char *const *layer_set_files(const struct layer_set *s, uint32_t *ret_n); /* lowest first */
void layer_set_release(struct layer_set *s); /* cb will not run; NULL is fine */

#endif
