/* storage - the bucket that holds named volumes, over Cloud Storage's JSON API v1. A volume is the folder of its
 * name in SOCKERLESS_GCR_VOLUME_BUCKET (BUCKET[/PREFIX]); Cloud Run mounts it, so only two things are left to do
 * here: see that the bucket is there, and delete what a removed volume held. */
#ifndef CLOUD_STORAGE_H
#define CLOUD_STORAGE_H

#include <stdbool.h>

#include "base/err.h"
#include "cloud/run.h"

struct config;

/* The bucket's own name, and a volume's folder in it. Callers free; the setting must be given. */
char *storage_bucket(const struct config *cfg);
char *storage_folder(const struct config *cfg, const char *volume);
char *storage_url_folder(const struct config *cfg, const char *volume); /* escaped */
json_t *storage_bucket_resource(const struct config *cfg); /* what it is made of; new reference */

/* Makes the bucket if it is missing; asks only once in a gateway's life. */
bool storage_bucket_is_known(const struct cloud *c);
struct cloud_call *storage_ensure_bucket(struct cloud *c, cloud_cb *cb, void *ctx);

/* Deletes every object of a volume; a bucket that is not there is fine. It goes on whoever leaves; cb runs once,
 * from the loop or when the gateway ends. err NULL: all gone. */
typedef void storage_cb(void *ctx, const struct err *err);
void storage_empty(struct cloud *c, const char *volume, storage_cb *cb, void *ctx);
void storage_stop(struct cloud *c); /* for cloud_free */

#endif
