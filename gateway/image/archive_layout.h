/* archive_layout - which files of an image archive are configs and layers: manifest.json as docker save
 * writes it, or an OCI layout's index.json. Pure, but for reading those files through `read`. */
#ifndef IMAGE_ARCHIVE_LAYOUT_H
#define IMAGE_ARCHIVE_LAYOUT_H

#include <stdint.h>
#include <uthash.h>

#include "base/err.h"
#include "base/mem.h"
#include "image/archive.h"

struct archive_file {
	char *name;                    /* in the archive, tidied */
	char *link;                    /* what it is another name of, or NULL */
	char *path;                    /* on our disk */
	int64_t size;
	char digest[REGISTRY_DIGEST_MAX];
	struct archive_layer *layer;   /* once it was read as one */
	UT_hash_handle hh;
};
struct archive_files {
	struct archive_file *by_name;
	size_t n;
};
/* "./a/../b" → "b"; relative to the folder of `beside` unless that is NULL. Caller frees. */
char *archive_name(const char *beside, const char *name);
struct archive_file *archive_files_add(struct archive_files *f, const char *name); /* replaces one of that name */
void archive_files_release(struct archive_files *f);

struct archive_parts {
	struct archive_file *config, *manifest, **layers; /* borrowed; manifest: OCI's own, or NULL */
	size_t n_layers;
	struct strv tags;
};
struct archive_layout {
	struct archive_parts *v;
	size_t n;
};
typedef int archive_read_fn(const struct archive_file *f, char **ret, size_t *ret_len, struct err *err);
int archive_layout_read(struct archive_files *files, struct archive_layout *ret, archive_read_fn *read,
			struct err *err);
void archive_layout_release(struct archive_layout *l);

#endif
