/* archive_folder - a folder or file of this machine as a tar, for a container that has it "mounted": as it is
 * now, with owners, modes and links. Runs in a worker's thread. */
#ifndef IMAGE_ARCHIVE_FOLDER_H
#define IMAGE_ARCHIVE_FOLDER_H

#include "base/err.h"

struct archive_folder {
	char *source;   /* an absolute path; links in it are followed, links below it are kept. Ours */
	char *target;   /* the absolute path it has in the tar, as names from the root. Ours */
};

/* A worker_fn: arg is a struct archive_folder. */
int archive_folder_write(void *arg, int out_fd, struct err *err);
void archive_folder_release(void *arg); /* frees it, too */

#endif
