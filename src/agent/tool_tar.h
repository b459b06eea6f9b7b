/* tool_tar - a tar archive to a descriptor, block for block as dockerd writes it: ustar headers, a pax
 * header before one only for what does not fit (long and non-ASCII names, ids, sizes, capabilities).
 * Reading is libarchive's. Writing is not, because its pax writer turns names through the locale,
 * which a static program in an empty image has not, and copies every byte, which sendfile need not. */
#ifndef AGENT_TOOL_TAR_H
#define AGENT_TOOL_TAR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"

#define TAR_BUFFER (256 * 1024)

struct tar_writer {
	int fd;
	size_t used;
	uint8_t *buffer; /* ours */
	struct tar_inode *seen; /* files with several names, by inode; gone when all have been met */
};

void tar_init(struct tar_writer *t, int fd);
void tar_release(struct tar_writer *t);
/* The file `name` in the directory dir, under the name `as`; st is what lstat says of it. A directory
 * is only itself. path is for sentences. A socket, and what has gone meanwhile, is left out. */
int tar_add(struct tar_writer *t, int dir, const char *name, const struct stat *st, const char *as,
	    const char *path, struct err *err);
/* The place of something that is not ours to show: an empty file or directory. */
int tar_add_empty(struct tar_writer *t, const struct stat *st, const char *as, struct err *err);
int tar_end(struct tar_writer *t, struct err *err);

#endif
