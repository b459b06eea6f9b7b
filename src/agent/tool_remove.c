/* tool_remove - see tool_remove.h. By descriptors, so that nobody can lead it elsewhere. */
#include "tool_remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int remove_content(DIR *d)
{
	const struct dirent *e;

	for (errno = 0; (e = readdir(d)); errno = 0)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
		    remove_tree(dirfd(d), e->d_name) < 0)
			return -1;
	return errno ? -1 : 0;
}

int remove_tree(int dir, const char *name)
{
	DIR *d;
	int fd, rc, saved;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -1;
	saved = errno;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			close(fd);
		else if (errno == ENOTDIR || errno == ELOOP)
			errno = saved; /* a file that may not be removed */
		return -1;
	}
	rc = remove_content(d);
	saved = errno;
	closedir(d);
	errno = saved;
	return rc < 0 || (unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT) ? -1 : 0;
}
