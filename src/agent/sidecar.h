/* sidecar - the second container of a task: it brings the agent to the user's container.
 * `sockerless-agent install DIR` copies itself and a CA bundle to a volume both containers mount,
 * then listens on a TCP port: that is the startup probe the user's container waits for. On the next
 * port it waits for the agent's life line; when that closes, the task has nothing more to run and
 * the sidecar ends by itself, with 0, as on SIGTERM. */
#ifndef AGENT_SIDECAR_H
#define AGENT_SIDECAR_H

#include <stdint.h>

#include "base/err.h"

/* Copies; safe to repeat, also while an older copy runs. ca_file NULL: the usual places. */
int sidecar_install(const char *dir, const char *ca_file, struct err *err);
/* install, then listen until the end; the exit status. */
int sidecar_run(const char *dir, const char *ca_file, uint16_t port);

#endif
