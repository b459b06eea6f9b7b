/* volume_records - the records of all volumes as one object in the volumes' bucket, so that a lost disk loses none:
 *
 *   [PREFIX/].sockerless/INSTANCE.json   {"volumes": [{"name", "created", "labels", "options", "anonymous", "place"}]}
 *
 * Written behind a change, at most once a second (Cloud Storage takes no more of one object), when the bucket is there;
 * nobody waits for it, and what fails is tried again after SOCKERLESS_SWEEP_INTERVAL. Volumes of images have no data of
 * their own and are left out. Read once, on a new disk. */
#ifndef CLOUD_VOLUME_RECORDS_H
#define CLOUD_VOLUME_RECORDS_H

#include "base/err.h"
#include "cloud/run.h"

struct cloud;

/* A volume was made or removed; or the bucket is known now. Nothing without SOCKERLESS_GCR_VOLUME_BUCKET, nor while the
 * disk is new and what it lost has yet to be read. */
void volume_records_changed(struct cloud *c);
/* Reads them and adopts those that are not known; json of the callback means nothing. No object, no bucket: no error. */
struct cloud_call *volume_records_adopt(struct cloud *c, cloud_cb *cb, void *ctx);
void volume_records_stop(struct cloud *c); /* for cloud_free */

#endif
