/* tool_put - `put`: what docker cp writes. Where the archive on stdin goes is decided here, by dockerd's
 * checks in dockerd's order; tool_extract does it. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/mem.h"
#include "tool.h"
#include "tool_extract.h"
#include "tool_path.h"
#include "user.h"


struct put {
	const char *container, *user, *path;
	struct extract_options options;
};

/* The last argument is the path whatever it looks like. */
static int parse(int argc, char *argv[], struct put *p)
{
	*p = (struct put){.container = "", .path = argc > 1 ? argv[argc - 1] : ""};
	for (int i = 1; i < argc - 1; i++) {
		if (strcmp(argv[i], "--no-overwrite-dir-non-dir") == 0)
			p->options.keep_kind = true;
		else if (strcmp(argv[i], "--container") == 0 && i + 1 < argc - 1)
			p->container = argv[++i];
		else if (strcmp(argv[i], "--copy-uid-gid") == 0 && i + 1 < argc - 1)
			p->user = argv[++i];
		else
			return -1;
	}
	return argc > 1 ? 0 : -1;
}

/* Without a user the archive's own ids stay, as in dockerd. */
static int find_owner(struct put *p, struct err *err)
{
	struct user u;

	if (!p->user || !*p->user)
		return 0;
	if (user_resolve("/etc/passwd", "/etc/group", p->user, &u, err) < 0) {
		err->kind = ERR_SYSTEM;
		return -1;
	}
	p->options.own = true;
	p->options.uid = u.uid;
	p->options.gid = u.gid;
	user_release(&u);
	return 0;
}

static int check_writable(const struct mounts *m, const char *dest, struct err *err)
{
	struct statvfs fs;

	if (statvfs(dest, &fs) < 0)
		return err_set(err, ERR_SYSTEM, "statfs %s: %s", dest, path_errno(errno));
	if (!(fs.f_flag & ST_RDONLY))
		return 0;
	return err_set(err, ERR_INVALID, mounts_over(m, dest) == MOUNT_NONE ?
		       "container rootfs is marked read-only" : "mounted volume is marked read-only");
}

/* The directory that is meant, the last link followed as well. */
static char *find_dest(const struct mounts *m, const char *asked, struct err *err)
{
	AUTO_FREE char *abs = path_absolute(asked);
	AUTO_FREE char *dest = path_follow(m, abs, err);
	struct stat st;

	if (!dest)
		return NULL;
	if (!mounts_visible(m, dest) || (lstat(dest, &st) < 0 && errno == ENOENT)) {
		err_set(err, ERR_NOT_FOUND, "%s", "");
		return NULL;
	}
	if (lstat(dest, &st) < 0) {
		err_set(err, ERR_SYSTEM, "lstat %s: %s", dest, path_errno(errno));
		return NULL;
	}
	if (!S_ISDIR(st.st_mode)) {
		err_set(err, ERR_INVALID, "extraction point is not a directory");
		return NULL;
	}
	return check_writable(m, dest, err) < 0 ? NULL : steal_ptr(&dest);
}

static int put(struct put *p, struct err *err)
{
	struct mounts mounts;
	AUTO_FREE char *dest = NULL;

	mounts_load(&mounts, MOUNTS_OF_CONTAINER);
	dest = find_dest(&mounts, p->path, err);
	mounts_release(&mounts);
	if (!dest || find_owner(p, err) < 0)
		return -1;
	if (extract_archive(STDIN_FILENO, dest, &p->options, err) == 0)
		return 0;
	/* As the daemon says it, which extracts in a process of its own. */
	return err_wrap(err, "Error processing tar file(exit status 1)");
}

int tool_put(int argc, char *argv[])
{
	struct put p;
	struct err err = {0};

	if (parse(argc, argv, &p) < 0)
		return tool_fail(TOOL_INVALID, "usage: put [--container ID] [--no-overwrite-dir-non-dir] "
				 "[--copy-uid-gid USER] PATH");
	if (put(&p, &err) == 0)
		return TOOL_OK;
	if (err.kind == ERR_NOT_FOUND)
		return tool_fail(TOOL_NOT_FOUND, PATH_NOT_FOUND, p.path, p.container);
	return tool_fail(err.kind == ERR_INVALID ? TOOL_INVALID : TOOL_FAILED, "%s", err.msg);
}
