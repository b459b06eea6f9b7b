/* archive - images in a tar: what docker save, skopeo and buildx write (docker-archive, OCI layout), and root
 * file systems for docker import. Blocking and free of shared state: made for a worker thread. Source: the
 * image specifications of Docker 1.2 and OCI 1.0. */
#ifndef IMAGE_ARCHIVE_H
#define IMAGE_ARCHIVE_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "image/registry_session.h"

#define ARCHIVE_BYTES_MAX (64LL << 30) /* unpacked */
#define ARCHIVE_FILES_MAX 100000

struct archive_layer {
	char digest[REGISTRY_DIGEST_MAX];  /* of the file at path, compressed */
	char diff_id[REGISTRY_DIGEST_MAX]; /* of its content */
	int64_t size;                      /* of the file at path */
	char *path;
	const char *media_type;
};
struct archive_image {
	char id[REGISTRY_DIGEST_MAX];
	char *config;                      /* byte for byte */
	size_t config_len;
	struct strv tags;                  /* as the archive has them; none is allowed */
	struct archive_layer *layers;
	size_t n_layers;
	char *manifest;
	size_t manifest_len;
	const char *manifest_type;
};
struct archive_images {
	struct archive_image *v;
	size_t n;
};

/* The images in the tar at path (compressed by anything libarchive knows, or not). Layers become files below
 * dir, which exists and is ours. *stop ends it early. */
int archive_unpack(const char *path, const char *dir, const atomic_bool *stop, struct archive_images *ret,
		   struct err *err);
/* One layer of the file at path: compressed with gzip unless it is already, with both digests. */
int archive_layer_of(const char *path, const char *dir, const atomic_bool *stop, struct archive_layer *ret,
		     struct err *err);
/* Manifest and id from config and layers; both are set in place. */
void archive_describe(struct archive_image *i);
void archive_images_release(struct archive_images *a);

#endif
