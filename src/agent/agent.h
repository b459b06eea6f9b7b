/* agent - what agent_run builds and hands down, and the run itself: signals, linger, exit status. */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <uv.h>

#include "config.h"
#include "pump.h"
#include "session.h"
#include "tee.h"

#define AGENT_EXIT_UNUSABLE 125 /* we could not begin: settings, listening address */

struct procs;
struct links;
struct serve;

struct agent {
	uv_loop_t loop;
	const struct config *cfg;      /* borrowed */
	struct rlimit nofile;          /* as we found it; our processes get it back */
	uint8_t boot_id[BOOT_ID_LEN];
	struct tunnel_budget budget;
	struct session *session;       /* ours, as all below */
	struct pump *pump;
	struct tee tee[2];             /* our stdout and stderr */
	struct procs *procs;
	struct links *links;
	struct serve *serve;           /* NULL when not listening */
};

/* Run the main process until it has ended and the gateway knows, and return the status to exit with:
 * the process' own, 128+n for signal n, 126 or 127 if it could not start, 125 if we could not. */
int agent_run(const struct config *cfg);

#endif
