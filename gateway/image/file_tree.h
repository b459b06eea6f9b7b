/* file_tree - a file system as names and attributes, without contents: the layers of an image laid over one
 * another, and further archives over them. Each file knows which entry of which archive holds its content.
 * Pure; owned by one thread at a time. Source: OCI image spec, "Layer" (whiteouts). */
#ifndef IMAGE_FILE_TREE_H
#define IMAGE_FILE_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "base/err.h"

#define TREE_NODES_MAX (4 * 1024 * 1024)
#define TREE_NO_SOURCE UINT64_MAX

struct tree_node {
	char *name;                /* "" for the root */
	uint32_t mode;             /* as in struct stat */
	uint32_t uid, gid;
	int64_t size, mtime_ns;
	char *link;                /* a symbolic link's target, else NULL */
	uint64_t source;           /* archive << 32 | number of the entry in it; hard links share it */
	uint32_t archive;          /* the last one that spoke of it */
	bool base;                 /* was there when file_tree_set_base was called, perhaps as something else */
	bool mount;                /* something else is mounted there when the container runs; the user's to set */
	bool seen;                 /* the user's own mark */
	struct tree_node *parent, *children; /* children: a hash by name */
	UT_hash_handle hh;
};

struct file_tree {
	struct tree_node *root;
	size_t n;                  /* nodes */
	uint32_t n_layers;         /* archives below this number are the image's; the user's to set */
	bool refuse_type_change;   /* Docker's noOverwriteDirNonDir, for what is added from now on */
};

/* One entry of an archive. */
struct tree_entry {
	const char *path;          /* from base; cleaned here, "..", where it leads out of base, is refused */
	uint32_t mode, uid, gid;
	int64_t size, mtime_ns;
	const char *link;          /* target of a symbolic link, or path (from base) of a hard link */
	bool hard_link;
};

struct file_tree *file_tree_new(void);
void file_tree_free(struct file_tree *t);
/* whiteouts: the archive is a layer, ".wh.x" takes x away. ERR_LIMIT, ERR_INVALID. */
int file_tree_add(struct file_tree *t, struct tree_node *base, uint32_t archive, uint32_t number,
		  const struct tree_entry *e, bool whiteouts, struct err *err);
/* A directory and what is missing of its parents, as of the archive. NULL if something else is in the way. */
struct tree_node *file_tree_make_dirs(struct file_tree *t, const char *path, uint32_t archive);

/* What is there now is the image; what is added from now on is changes to it. */
void file_tree_set_base(struct file_tree *t);

/* As a system call would look it up within the tree, links of the last component followed or not. NULL: not
 * there, or through a file. *ret_path (may be NULL): the absolute path it leads to, also where nothing is. */
struct tree_node *file_tree_find(const struct file_tree *t, const char *path, bool follow, char **ret_path);
char *file_tree_path(const struct tree_node *n);  /* "/a/b"; the caller frees */
/* Children by name, as Go's filepath.Walk takes them; NULL-terminated, the caller frees the array. */
struct tree_node **file_tree_children(const struct tree_node *n);

#endif
