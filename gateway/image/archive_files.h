/* archive_files - tar files on our disk, plain or compressed, read into a file_tree and out again. The only
 * user of libarchive here. Everything blocks: for workers. */
#ifndef IMAGE_ARCHIVE_FILES_H
#define IMAGE_ARCHIVE_FILES_H

#include <stdbool.h>

#include "base/err.h"
#include "image/file_tree.h"

/* Every entry of the file below base. The number of archives is at most ARCHIVES_MAX. */
#define ARCHIVES_MAX 20000
int archive_files_index(const char *file, uint32_t archive, struct file_tree *t, struct tree_node *base,
			bool whiteouts, struct err *err);

/* One tar (pax) of node and all below it. Its entries are called name and name/...; name "" or "/" leaves the
 * names below it alone ("/bin" and "bin"). files[i] is the archive of that number. Directories come first, a
 * file's content once, its other names as links to it. */
int archive_files_emit(struct tree_node *node, const char *name, char *const *files, uint32_t n_files, int out_fd,
		       struct err *err);

/* A tar with a directory each, parents first; 0755, root's. */
char *archive_files_dirs(char *const *paths, size_t *ret_len);

#endif
