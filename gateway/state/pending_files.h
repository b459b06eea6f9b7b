/* pending_files - what was copied into a container that has no file system yet: archives on our disk, in the
 * order they came, delivered by cloud/prepare before the main process of every run begins.
 *
 *   <state-dir>/pending/<container id>/000001.json   {"path", "noOverwriteDirNonDir", "copyUser"}
 *                                      000001.tar    as the client sent it, compressed or not
 *   .../upload.XXXXXX                                on its way; removed at the next start of the gateway
 *
 * An archive counts from the moment its .json has been renamed into place. Loop thread only. */
#ifndef STATE_PENDING_FILES_H
#define STATE_PENDING_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct pending_files;
struct pending_files *pending_files_new(const char *state_dir, uint64_t max_bytes, struct err *err);
void pending_files_free(struct pending_files *p);

struct pending_archive {
	char *file;            /* the tar's absolute path */
	char *path;            /* the directory it is for, as the client named it */
	bool no_overwrite;     /* noOverwriteDirNonDir */
	char *copy_user;       /* copyUIDGID: whom the files belong to; NULL: as the archive says */
};
struct pending_list {
	struct pending_archive *v;
	size_t n;
};
void pending_list_release(struct pending_list *l);
/* In the order they came; an unreadable one is left out and logged. */
void pending_files_list(const struct pending_files *p, const char *container_id, struct pending_list *ret);
bool pending_files_any(const struct pending_files *p, const char *container_id);
void pending_files_forget(struct pending_files *p, const char *container_id); /* p NULL is fine */

/* One archive on its way in. ERR_LIMIT when the container's archives pass max_bytes together. */
struct pending_upload;
struct pending_upload *pending_upload_new(struct pending_files *p, const char *container_id, struct err *err);
int pending_upload_write(struct pending_upload *u, const void *data, size_t n, struct err *err);
const char *pending_upload_file(const struct pending_upload *u); /* to look into it before it counts */
/* It counts from here on, or -1 and nothing has happened. The upload is gone either way. */
int pending_upload_keep(struct pending_upload *u, const struct pending_archive *what, struct err *err);
void pending_upload_drop(struct pending_upload *u); /* NULL is fine */

#endif
