/* image_files - looking into the file system of a container that has none yet: its image's layers (fetched
 * when first asked for), the directories that its start will make, and the archives that were copied in.
 * The answers have the shape that the agent's tools give them, so that nobody else need tell them apart. */
#ifndef IMAGE_IMAGE_FILES_H
#define IMAGE_IMAGE_FILES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "image/file_tree.h"

struct gateway;
struct image_files;

enum image_files_what {
	IMAGE_FILES_STAT,     /* as "stat PATH" */
	IMAGE_FILES_GET,      /* as "get PATH" */
	IMAGE_FILES_EXPORT,   /* as "export" */
	IMAGE_FILES_CHECK,    /* is PATH a directory that files can be copied to? */
	IMAGE_FILES_TREE,     /* names alone; base marks those of the image itself */
};

struct image_overlay {
	char *file;           /* an archive on our disk */
	char *path;           /* the directory it is for */
	bool no_overwrite;
};

struct image_files_query {
	enum image_files_what what;
	const char *path;
	const char *pull_ref; /* of the image; with its manifest */
	json_t *manifest;
	struct strv dirs;             /* made by the start if they are missing: the working directory */
	struct strv mounts;           /* where something else will be mounted */
	const struct image_overlay *overlays;
	size_t n_overlays;
};

struct image_files_ops {
	size_t (*on_output)(void *ctx, const uint8_t *p, size_t n); /* as worker_ops; STAT, GET, EXPORT */
	/* Last call. ERR_NOT_FOUND when PATH is not there. */
	void (*on_end)(void *ctx, const struct err *err);
	/* Instead of on_end when it went well. CHECK: made are the directories that a delivery must make first.
	 * TREE: the tree, yours from here on. */
	void (*on_checked)(void *ctx, char *const *made);
	void (*on_tree)(void *ctx, struct file_tree *tree);
};

/* The query is copied. NULL with err; else ops' last call comes once, never inside the call. */
struct image_files *image_files_start(struct gateway *g, const struct image_files_query *q,
				      const struct image_files_ops *ops, void *ctx, struct err *err);
void image_files_resume(struct image_files *f);
void image_files_cancel(struct image_files *f); /* NULL is fine */

/* An archive may count: everything in it can be read. One call of done, or NULL with err. */
struct image_files *image_files_verify(struct gateway *g, const char *file, void (*done)(void *ctx, const struct err *err),
				       void *ctx, struct err *err);

#endif
