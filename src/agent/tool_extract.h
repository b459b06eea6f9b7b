/* tool_extract - a tar archive, plain or compressed, becomes files below a directory by dockerd's rules:
 * what is in the way is replaced, directories are merged, links of the container are followed (its root
 * is ours, nothing is outside of it), `..` of the archive leads nowhere. Streams; memory is bounded. */
#ifndef AGENT_TOOL_EXTRACT_H
#define AGENT_TOOL_EXTRACT_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct extract_options {
	bool keep_kind;  /* no directory becomes something else, nothing else a directory */
	bool own;        /* everything is given to uid and gid, whatever the archive says */
	uid_t uid;
	gid_t gid;
};

/* in is read to its end. dest, for sentences too, is an existing directory: absolute, clean, no link.
 * It becomes the working directory, and the umask 0. Failed: what was extracted before it stays. */
int extract_archive(int in, const char *dest, const struct extract_options *o, struct err *err);

#endif
