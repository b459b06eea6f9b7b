/* probe - a startup probe: tcpSocket or httpGet, tried from inside the task's network namespace.
 *
 * Cloud Run tries every periodSeconds and gives up after failureThreshold failures. Here the budget
 * is the same (failureThreshold * periodSeconds after initialDelaySeconds), but a refused attempt
 * is repeated after 10 ms at first, because tests wait for it. */
#ifndef EMULATOR_PROBE_H
#define EMULATOR_PROBE_H

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

#include "netns.h"

struct probe;

/* cb runs once, never inside probe_start. net and ns must outlive the probe. */
typedef void probe_cb(void *ctx, bool passed);
struct probe *probe_start(uv_loop_t *loop, struct network *net, const struct netns *ns,
			  const json_t *spec, int default_port, probe_cb *cb, void *ctx);
void probe_cancel(struct probe *p); /* cb will not run; NULL is fine */

#endif
