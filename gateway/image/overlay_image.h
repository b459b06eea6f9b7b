/* overlay_image - the texts of an image that has the agent in it: manifest and config of the user's image, with one
 * layer more. All else stays as it is, so that layers keep their digests and can be mounted. Pure: the same base and
 * the same layer give the same bytes. */
#ifndef IMAGE_OVERLAY_IMAGE_H
#define IMAGE_OVERLAY_IMAGE_H

#include <jansson.h>
#include <stddef.h>

#include "base/err.h"
#include "image/archive.h"

struct overlay_image {
	char *config, *manifest;
	size_t config_len, manifest_len;
	char config_digest[REGISTRY_DIGEST_MAX];
};

/* The image's manifest and config, and the manifest's type. The agent is to run as root in "/", whatever the image
 * says: it becomes the user and goes to the directory that its specification names. ERR_UPSTREAM if base is no
 * image that a layer could be added to. */
int overlay_image_build(json_t *manifest, const char *manifest_type, json_t *config, const struct archive_layer *agent,
			struct overlay_image *ret, struct err *err);
void overlay_image_release(struct overlay_image *i);

/* Under this tag the repository of overlays has it: 64 digits of base (a digest) and agent. */
#define OVERLAY_TAG_MAX 65
void overlay_image_tag(const char *base, const struct archive_layer *agent, char ret[OVERLAY_TAG_MAX]);

#endif
