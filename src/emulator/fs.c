/* fs - see fs.h. */
#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"

int fs_mkdir_p(const char *path, mode_t mode, struct err *err)
{
	AUTO_FREE char *p = xstrdup(path);

	for (char *slash = p + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = 0;
		if (mkdir(p, mode) < 0 && errno != EEXIST)
			return err_sys(err, errno, "make folder %s", p);
		*slash = '/';
	}
	if (mkdir(p, mode) < 0 && errno != EEXIST)
		return err_sys(err, errno, "make folder %s", p);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)remove(path);
	return 0;
}

void fs_remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

char *fs_read(const char *path, size_t max, size_t *ret_len, struct err *err)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	size_t len = 0;
	ssize_t n = 0;

	if (fd < 0 || fstat(fd, &st) < 0) {
		err_sys(err, errno, "open %s", path);
		return NULL;
	}
	if ((size_t)st.st_size > max) {
		err_set(err, ERR_LIMIT, "%s is larger than %zu bytes", path, max);
		return NULL;
	}
	char *text = xmalloc((size_t)st.st_size + 1);
	while (len < (size_t)st.st_size && (n = read(fd, text + len, (size_t)st.st_size - len)) > 0)
		len += (size_t)n;
	if (n < 0) {
		err_sys(err, errno, "read %s", path);
		free(text);
		return NULL;
	}
	text[len] = 0;
	if (ret_len)
		*ret_len = len;
	return text;
}

int fs_write(const char *path, mode_t mode, const void *p, size_t n, struct err *err)
{
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	if (fd < 0)
		return err_sys(err, errno, "create %s", path);
	if (write_all(fd, p, n) < 0)
		return err_sys(err, errno, "write %s", path);
	if (fchmod(fd, mode) < 0)
		return err_sys(err, errno, "set the mode of %s", path);
	return 0;
}

int fs_open_in_root(const char *root, const char *path, int flags)
{
	AUTO_CLOSE int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct open_how how = { .flags = (unsigned)flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };

	if (dir < 0)
		return -1;
	return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}
