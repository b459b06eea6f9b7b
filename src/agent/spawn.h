/* spawn - from an exec_spec to a running process with its descriptors.
 *
 * The child shares our memory until it has exec'ed (clone with CLONE_VM and CLONE_VFORK), so a start
 * costs the same whatever our size, and the reason of a failure is simply read from a struct.
 * Everything is resolved before; the child makes system calls only. It gets: its own session (and
 * with it a process group), the terminal if there is one, default signals, umask 022, user and
 * groups, the working directory, and no descriptor but 0, 1, 2. */
#ifndef AGENT_SPAWN_H
#define AGENT_SPAWN_H

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/err.h"
#include "control.h"

#define SPAWN_PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Our ends, non-blocking and CLOEXEC; -1 where there is none. With a terminal stdin and out are two
 * descriptors of the master and errout is -1. */
struct spawned {
	pid_t pid;
	int in, out, errout;
};

struct spawn_options {
	const struct exec_spec *spec;  /* env: the complete environment */
	bool make_workdir;             /* mkdir -p the working directory first, as for a container */
	const struct rlimit *nofile;   /* to set in the child, or NULL */
	const char *passwd_file, *group_file;
	/* Called with our ends before there is a process, so that watching them begins before anything
	 * is written: they are the callee's from then on, also if the start fails. NULL: they are in
	 * *ret in the end. */
	void (*watch)(void *ctx, const struct spawned *ends);
	void *ctx;
};

/* On failure *ret_code is 127 (not found) or 126 and err is the sentence Docker would show. */
int spawn(const struct spawn_options *opt, struct spawned *ret, int *ret_code, struct err *err);

#endif
