/* oci - from Cloud Run's words to an OCI runtime configuration: arguments, environment, user,
 * working directory, mounts. Reads the image's unpacked files (worker threads); writes nothing. */
#ifndef EMULATOR_OCI_H
#define EMULATOR_OCI_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"
#include "image.h"

#define OCI_GROUPS_MAX 64

struct oci_user {
	unsigned uid, gid;
	unsigned groups[OCI_GROUPS_MAX];
	size_t n_groups;
};

struct oci_mount {
	const char *source, *target;
	bool read_only;
};

struct oci_spec {
	const struct image *image;
	const json_t *container;    /* the API's Container */
	const char *netns;          /* a path */
	const char *hosts, *resolv_conf; /* files to mount over the image's */
	const struct oci_mount *mounts;
	size_t n_mounts;
	const struct strv *task_env; /* CLOUD_RUN_... */
	const struct strv *secrets;  /* NAME=FILE */
};

/* (command or Entrypoint) + (args or Cmd); a command without args drops the image's Cmd, as in
 * Kubernetes, whose API text Cloud Run repeats. */
void oci_args(const json_t *container, const struct image *image, struct strv *out);
/* "", "uid", "uid:gid", "name", "name:group"; a name that the image does not know is root. */
void oci_user(const char *rootfs, const char *spec, struct oci_user *ret);
/* Adds the files of a folder, which may have changed; one that is not there has none. */
void oci_secrets_scan(struct strv *secrets, const char *dir);
/* The file of "NAME" or "projects/P/secrets/NAME"; NULL if there is none. */
const char *oci_secret_file(const struct strv *secrets, const char *name);

/* The runtime's config.json for a root file system in the folder "rootfs" beside it. */
json_t *oci_config(const struct oci_spec *spec, struct err *err);

#endif
