/* buckets - Cloud Storage as folders: STATE_DIR/buckets/NAME/objects holds a bucket's objects as files, so that a
 * task can have it mounted. What a container makes there is in the bucket at once; an empty folder is the object
 * "NAME/", as Cloud Storage FUSE makes it. NFS servers are folders too: STATE_DIR/nfs/SERVER. They outlive the
 * emulator. Blocking file operations, a bucket at a time. */
#ifndef EMULATOR_BUCKETS_H
#define EMULATOR_BUCKETS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "emulator.h"

bool bucket_name_valid(const char *name);
bool bucket_exists(const struct emulator *emu, const char *name);
int bucket_make(struct emulator *emu, const char *name, const json_t *resource, struct err *err);
json_t *bucket_resource(const struct emulator *emu, const char *name); /* NULL: no such bucket */
int bucket_remove(struct emulator *emu, const char *name, struct err *err); /* ERR_CONFLICT: not empty */
/* Names of all buckets; names of objects that begin with prefix. Both sorted; new references. */
json_t *buckets_names(const struct emulator *emu);
json_t *bucket_objects(const struct emulator *emu, const char *name, const char *prefix);
json_t *bucket_object(const struct emulator *emu, const char *name, const char *object); /* resource, or NULL */
char *bucket_read_object(const struct emulator *emu, const char *name, const char *object, size_t *ret_len, struct err *err);
int bucket_write_object(struct emulator *emu, const char *name, const char *object, const char *content, size_t len, struct err *err);
int bucket_delete_object(struct emulator *emu, const char *name, const char *object, struct err *err);

/* A mount option that Cloud Run passes on to Cloud Storage FUSE? */
bool bucket_mount_option_valid(const char *option);
/* Mounts the API's volume at dir; source is gcs or nfs. */
int bucket_mount(const struct emulator *emu, const json_t *gcs, const char *dir, struct err *err);
int nfs_mount(const struct emulator *emu, const json_t *nfs, const char *dir, struct err *err);

#endif
