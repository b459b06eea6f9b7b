/* image - what has been pulled: references, manifests' digests and configs (never layers).
 * Stored, so that docker images is the same after a restart. */
#ifndef STATE_IMAGE_H
#define STATE_IMAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "base/err.h"
#include "base/mem.h"

struct gateway;

struct image {
	char id[72];               /* "sha256:" + 64 hex, digest of the config */
	struct strv tags;          /* familiar names: "busybox:latest", "ghcr.io/a/b:1" */
	struct strv digests;       /* "busybox@sha256:…" of the manifest (or index) that was pulled */
	char *pull_ref;            /* host/repo@sha256:… for Cloud Run */
	json_t *config;            /* the image config document (config, rootfs, history, architecture …) */
	json_t *manifest;          /* the platform manifest: layer digests and compressed sizes */
	int64_t size;              /* sum of layer sizes as the manifest gives them (compressed) */
	int64_t pulled_ns;
	uint64_t version;
	UT_hash_handle hh;
};

struct images;
struct images *images_new(struct gateway *g, struct err *err);
void images_free(struct images *t);
/* By "name", "name:tag", "name@digest", full or prefixed ID with or without "sha256:".
 * ERR_NOT_FOUND "No such image: x:latest" (the tag is added to a bare name, as dockerd does). */
struct image *images_find(struct images *t, const char *ref, struct err *err);
/* Add or update by ID; a tag moves here from whichever image had it (names in any form, they are made
 * familiar). Takes the JSON references, also on failure. Of an image that is known already, NULL for
 * pull_ref, config or manifest keeps what is there: docker tag. */
struct image *images_put(struct images *t, const char *id, const char *tag, const char *digest_ref,
			 const char *pull_ref, json_t *config, json_t *manifest, struct err *err);
/* The registry has the image as repository@digest now: its name here too, if it is still known. */
void images_pushed(struct images *t, const char *id, const char *repository, const char *digest);
struct image **images_list(struct images *t); /* newest first by the config's creation time, NULL-terminated, caller frees */
/* Takes a name (tag or name@digest; NULL: all of them) from the image; with the last tag of a repository
 * go its digests. Without any name the image is deleted and i is gone. */
int image_untag(struct images *t, struct image *i, const char *tag, bool *ret_deleted, struct err *err);

#endif
