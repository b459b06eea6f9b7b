/* tool_export - `export`: the root file system as an archive, `changes`: as a list with what has changed
 * since a moment. What is mounted is not of the image and not of the container's own layer: its place is
 * kept, empty; the agent's own volume is not there at all. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/parse.h"
#include "tool.h"
#include "tool_path.h"
#include "tool_tar.h"
#include "tool_tree.h"

#define NS ((int64_t)1000000000)

static int walk_root(int (*visit)(void *, const struct tree_node *, struct err *), void *ctx, struct err *err)
{
	struct mounts mounts;
	struct tree_walk w = {.mounts = &mounts, .visit = visit, .ctx = ctx};
	int rc;

	tree_raise_limits();
	mounts_load(&mounts, MOUNTS_OF_CONTAINER);
	rc = tree_walk(&w, "/", err);
	mounts_release(&mounts);
	return rc;
}

static int add(void *ctx, const struct tree_node *n, struct err *err)
{
	struct tar_writer *tar = ctx;
	const char *as = n->path + 1;

	if (!*as)
		return 0;
	return n->mount ? tar_add_empty(tar, &n->st, as, err)
		: tar_add(tar, n->dir, n->name, &n->st, as, n->path, err);
}

int tool_export(int argc, char *argv[])
{
	struct tar_writer tar;
	struct err err = {0};
	int rc;

	if (argc != 1)
		return tool_fail(TOOL_INVALID, "usage: export");
	tar_init(&tar, STDOUT_FILENO);
	rc = walk_root(add, &tar, &err);
	if (rc == 0)
		rc = tar_end(&tar, &err);
	tar_release(&tar);
	return rc == 0 ? TOOL_OK : tool_fail(TOOL_FAILED, "%s", err.msg);
}

static char type_letter(mode_t mode)
{
	return S_ISDIR(mode) ? 'd' : S_ISREG(mode) ? 'f' : S_ISLNK(mode) ? 'l' : 'o';
}

static int list(void *ctx, const struct tree_node *n, struct err *err)
{
	const int64_t *since = ctx;
	int64_t changed = n->st.st_ctim.tv_sec * NS + n->st.st_ctim.tv_nsec;

	if (!n->path[1])
		return 0;
	putchar_unlocked(!n->mount && changed >= *since ? '!' : '.');
	putchar_unlocked(type_letter(n->st.st_mode));
	fputs(n->path, stdout);
	putchar_unlocked('\0');
	return ferror(stdout) ? err_set(err, ERR_SYSTEM, "write: %s", path_errno(errno)) : 0;
}

int tool_changes(int argc, char *argv[])
{
	struct err err = {0};
	int64_t since;

	if (argc != 2 || parse_i64(argv[1], &since) < 0)
		return tool_fail(TOOL_INVALID, "usage: changes SINCE_NS");
	if (walk_root(list, &since, &err) < 0)
		return tool_fail(TOOL_FAILED, "%s", err.msg);
	return fflush(stdout) == 0 ? TOOL_OK : tool_fail(TOOL_FAILED, "write: %s", path_errno(errno));
}
