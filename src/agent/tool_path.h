/* tool_path - the paths that docker cp names: made absolute, resolved within the container as dockerd
 * does, and described in its words. Our root is the container's own, so nothing can lead out of it;
 * links are followed here and not by the kernel because what does not exist counts as it is written. */
#ifndef AGENT_TOOL_PATH_H
#define AGENT_TOOL_PATH_H

#include <stddef.h>
#include <sys/stat.h>

#include "base/err.h"
#include "tool_mounts.h"

/* The last element of a clean path, or "/"; points into it. */
const char *path_base(const char *path);
/* The message of an errno as Go words it: strerror with a small letter. */
const char *path_errno(int errnum);

/* As asked for, absolute and clean; a "/" or "/." at its end stays, for it follows a link. */
char *path_absolute(const char *asked);
/* All links followed, the last one as well. NULL and err when there are too many or on an error of
 * the system, but not when it does not exist. Caller frees. */
char *path_follow(const struct mounts *m, const char *path, struct err *err);

/* What stands at a path; a link stands for itself. */
struct path_stat {
	char *abs;     /* path_absolute of what was asked for; ours, as are the others */
	char *real;    /* where it is, all links of its parents followed; may end in "/" or "/." */
	char *name;    /* base of abs */
	char *target;  /* of a link: what it leads to in the end, absolute; else "" */
	struct stat st;
};
/* ERR_NOT_FOUND when it does not exist, its sentence is the caller's business. */
int path_stat(const struct mounts *m, const char *asked, struct path_stat *ret, struct err *err);
void path_stat_release(struct path_stat *p);
/* The JSON of X-Docker-Container-Path-Stat in one line, no newline. Caller frees. */
char *path_stat_json(const struct path_stat *p);

/* stat, get, put: what they share. Their last argument is the path whatever it looks like; `--container
 * ID` goes into the sentence that it was not found. */
#define PATH_NOT_FOUND "Could not find the file %s in container %s"

#endif
