/* tool_get - `stat` and `get`: what docker cp reads. The JSON of the path's own state in a line, and
 * for `get` the archive behind it: the path's base name and what is below, or the link if it is one. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "tool.h"
#include "tool_path.h"
#include "tool_tar.h"
#include "tool_tree.h"


struct get {
	struct tar_writer tar;
	const char *base;  /* what the path is called in the archive */
};

static int add(void *ctx, const struct tree_node *n, struct err *err)
{
	struct get *g = ctx;
	AUTO_FREE char *as = xasprintf("%s%s", g->base, n->below);

	return n->mount && !S_ISDIR(n->st.st_mode) ? tar_add_empty(&g->tar, &n->st, as, err)
		: tar_add(&g->tar, n->dir, n->name, &n->st, as, n->path, err);
}

/* While there is still a status to answer with. */
static int check_readable(const struct path_stat *p, struct err *err)
{
	AUTO_CLOSE int fd = -1;

	if (!S_ISREG(p->st.st_mode) && !S_ISDIR(p->st.st_mode))
		return 0;
	fd = open(p->real, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 ? 0 : err_set(err, ERR_SYSTEM, "open %s: %s", p->real, path_errno(errno));
}

static int print_stat(const struct path_stat *p, struct err *err)
{
	AUTO_FREE char *json = path_stat_json(p);
	AUTO_FREE char *line = xasprintf("%s\n", json);

	return write_all(STDOUT_FILENO, line, strlen(line)) == 0 ? 0 :
		err_set(err, ERR_SYSTEM, "write: %s", path_errno(errno));
}

static int archive(const struct mounts *m, const struct path_stat *p, struct err *err)
{
	AUTO_FREE char *start = path_clean(p->real);
	/* Everything of the root has a slash of its own. */
	struct get g = {.base = strcmp(p->name, "/") == 0 ? "" : p->name};
	struct tree_walk w = {.mounts = m, .volumes = true, .visit = add, .ctx = &g};
	int rc;

	tree_raise_limits();
	tar_init(&g.tar, STDOUT_FILENO);
	rc = tree_walk(&w, start, err);
	if (rc == 0)
		rc = tar_end(&g.tar, err);
	tar_release(&g.tar);
	return rc;
}

static int run(int argc, char *argv[], bool content)
{
	const char *container = argc == 4 && strcmp(argv[1], "--container") == 0 ? argv[2] : "";
	struct mounts mounts;
	struct path_stat p;
	struct err err = {0};
	int rc;

	if (argc != 2 && !*container)
		return tool_fail(TOOL_INVALID, "usage: %s [--container ID] PATH", argv[0]);
	mounts_load(&mounts, MOUNTS_OF_CONTAINER);
	rc = path_stat(&mounts, argv[argc - 1], &p, &err);
	if (rc == 0) {
		if (content)
			rc = check_readable(&p, &err);
		if (rc == 0)
			rc = print_stat(&p, &err);
		if (rc == 0 && content)
			rc = archive(&mounts, &p, &err);
		path_stat_release(&p);
	}
	mounts_release(&mounts);
	if (rc == 0)
		return TOOL_OK;
	if (err.kind == ERR_NOT_FOUND)
		return tool_fail(TOOL_NOT_FOUND, PATH_NOT_FOUND, argv[argc - 1], container);
	return tool_fail(TOOL_FAILED, "%s", err.msg);
}

int tool_stat(int argc, char *argv[])
{
	return run(argc, argv, false);
}

int tool_get(int argc, char *argv[])
{
	return run(argc, argv, true);
}
