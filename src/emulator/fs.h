/* fs - the few file operations that several files here need. Blocking; worker threads mostly. */
#ifndef EMULATOR_FS_H
#define EMULATOR_FS_H

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

int fs_mkdir_p(const char *path, mode_t mode, struct err *err);
void fs_remove_tree(const char *path); /* stays on one file system; errors leave the rest */
/* At most max bytes; NUL-terminated; caller frees. */
char *fs_read(const char *path, size_t max, size_t *ret_len, struct err *err);
int fs_write(const char *path, mode_t mode, const void *p, size_t n, struct err *err);
/* Open path as a process whose root directory is root would: symbolic links cannot leave it. */
int fs_open_in_root(const char *root, const char *path, int flags);

#endif
