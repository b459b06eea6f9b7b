/* tool_mounts - what is mounted where in this container, for the tools that look at its files. What the
 * kernel makes up (/proc, /sys, /dev) counts as an empty directory, as it is for a Docker daemon that
 * looks from outside; volumes are files like others for get and put, and foreign to export and changes. */
#ifndef AGENT_TOOL_MOUNTS_H
#define AGENT_TOOL_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>

enum mount_kind {
	MOUNT_NONE,   /* nothing: a place of the root file system */
	MOUNT_VOLUME, /* a volume, or a file such as /etc/hosts */
	MOUNT_KERNEL, /* proc, sysfs, cgroups, everything at /dev: empty to us */
	MOUNT_AGENT,  /* what brought us, the sidecar's volume or a layer: not there at all */
};

struct mounts {
	struct mount_point {
		char *path;
		enum mount_kind kind;
	} *v; /* ours */
	size_t n;
};

#define MOUNTS_OF_CONTAINER "/proc/self/mountinfo"
/* From a file as that; without one nothing is known to be mounted. */
void mounts_load(struct mounts *m, const char *file);
void mounts_release(struct mounts *m);

/* What is mounted at exactly this clean absolute path. */
enum mount_kind mounts_at(const struct mounts *m, const char *path);
/* What the path lies on. MOUNT_NONE: the root file system. */
enum mount_kind mounts_over(const struct mounts *m, const char *path);
/* May a tool see it: the place of a kernel's mount may be seen, what is in it may not. */
bool mounts_visible(const struct mounts *m, const char *path);

#endif
