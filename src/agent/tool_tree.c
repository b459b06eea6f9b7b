/* tool_tree - see tool_tree.h. */
#include "tool_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "tool_path.h"

struct walker {
	const struct tree_walk *w;
	char *path;      /* ours: of where we are */
	size_t len, cap;
	size_t start_len;
};

static int visit(struct walker *k, int dir, const char *name, struct err *err);

void tree_raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(DIR *d, struct strv *names)
{
	const struct dirent *e;

	for (errno = 0; (e = readdir(d)); errno = 0)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			strv_add(names, e->d_name);
	if (errno)
		return -1;
	if (names->n)
		qsort(names->v, names->n, sizeof(*names->v), by_bytes);
	return 0;
}

static void path_push(struct walker *k, const char *name)
{
	size_t n = strlen(name);

	if (k->len + n + 2 > k->cap) {
		k->cap = (k->len + n + 2) * 2;
		k->path = xrealloc(k->path, k->cap);
	}
	if (k->path[k->len - 1] != '/')
		k->path[k->len++] = '/';
	memcpy(k->path + k->len, name, n + 1);
	k->len += n;
}

static int visit_names(struct walker *k, int dir, const struct strv *names, struct err *err)
{
	size_t before = k->len;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < names->n; i++) {
		path_push(k, names->v[i]);
		rc = visit(k, dir, names->v[i], err);
		k->len = before;
		k->path[before] = '\0';
	}
	return rc;
}

static int enter(struct walker *k, int dir, const char *name, struct err *err)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct strv names = {0};
	int rc;

	if (!d) {
		if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
			return 0; /* gone, or replaced by something else meanwhile */
		err_set(err, ERR_SYSTEM, "open %s: %s", k->path, path_errno(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	rc = read_names(d, &names);
	if (rc < 0)
		err_set(err, ERR_SYSTEM, "readdirent %s: %s", k->path, path_errno(errno));
	else
		rc = visit_names(k, fd, &names, err);
	strv_release(&names);
	closedir(d);
	return rc;
}

static int visit(struct walker *k, int dir, const char *name, struct err *err)
{
	enum mount_kind kind = mounts_at(k->w->mounts, k->path);
	struct tree_node n = {.dir = dir, .name = name};

	if (kind == MOUNT_AGENT)
		return 0;
	if (fstatat(dir, name, &n.st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_set(err, ERR_SYSTEM, "lstat %s: %s", k->path,
						     path_errno(errno));
	n.path = k->path;
	n.below = dir == AT_FDCWD ? "" : k->path + k->start_len;
	n.mount = kind == MOUNT_KERNEL || (kind == MOUNT_VOLUME && !k->w->volumes);
	if (k->w->visit(k->w->ctx, &n, err) < 0)
		return -1;
	return S_ISDIR(n.st.st_mode) && !n.mount ? enter(k, dir, name, err) : 0;
}

int tree_walk(const struct tree_walk *w, const char *start, struct err *err)
{
	size_t n = strlen(start);
	struct walker k = {.w = w, .path = xstrdup(start), .len = n, .cap = n + 1};
	int rc;

	k.start_len = n > 1 ? n : 0; /* the root's slash is that of what is below */
	rc = visit(&k, AT_FDCWD, start, err);
	free(k.path);
	return rc;
}
