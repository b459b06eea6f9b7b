/* setup - what else docker run's options make of a container before its command runs: the modes of its tmpfs
 * folders (Cloud Run makes them root's own, 0755) and the limit of open files. names.h has the rest. */
#ifndef AGENT_SETUP_H
#define AGENT_SETUP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/err.h"

struct setup {                       /* from the configuration */
	struct setup_mode {
		char *path;
		mode_t mode;
	} *modes;                    /* ours */
	size_t n_modes;
	bool limits_files;
	struct rlimit files;
};

/* "modes": [{"path", "mode"}], "nofile": {"soft", "hard"}; absent is fine. ERR_INVALID. */
int setup_read(const json_t *spec, struct setup *ret, struct err *err);
/* Once, before the main process. What cannot be had is logged. */
void setup_apply(const struct setup *s);
/* The limit for the user's processes: what was asked for, within what we were given. */
struct rlimit setup_files(const struct setup *s, struct rlimit given);
void setup_release(struct setup *s);

#endif
