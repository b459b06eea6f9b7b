/* tool_tree - every file below a path in the order of Go's filepath.Walk (names by their bytes, a
 * directory before what is in it), held by descriptors: neither a rename nor a depth beyond PATH_MAX
 * leads it astray. What disappears while we look is left out. Mounts are entered or not, see below. */
#ifndef AGENT_TOOL_TREE_H
#define AGENT_TOOL_TREE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/err.h"
#include "tool_mounts.h"

struct tree_node {
	int dir;          /* where name is; AT_FDCWD for the start, whose name is its path */
	const char *name;
	const char *path; /* absolute */
	const char *below; /* what path has after the start: "" or "/a/b" */
	struct stat st;   /* of a link itself */
	bool mount;       /* something is mounted here and left alone: its place alone is of interest */
};

struct tree_walk {
	const struct mounts *mounts;
	bool volumes;     /* enter them; what the kernel made up and the agent's own never is */
	/* -1: the walk ends and fails, err is filled. */
	int (*visit)(void *ctx, const struct tree_node *n, struct err *err);
	void *ctx;
};

/* start: absolute, clean, no link. */
int tree_walk(const struct tree_walk *w, const char *start, struct err *err);
/* As many descriptors as we may have: one a level is needed. */
void tree_raise_limits(void);

#endif
