/* prepare - what must be in a container before its main process begins: the files that were copied in
 * before the start (state/pending_files), through the agent, in the order they came. The agent holds main
 * back meanwhile (job_spec's "hold"); start.c lets it go. Loop thread only. */
#ifndef CLOUD_PREPARE_H
#define CLOUD_PREPARE_H

#include <stdbool.h>

#include "base/err.h"

struct container;
struct gateway;
struct prepare;

/* Is there anything to do? Then main must be held. */
bool prepare_needed(const struct gateway *g, const struct container *c);
/* cb runs once, never inside the call: NULL when all is in place, else the sentence of what is not. */
typedef void prepare_cb(void *ctx, const struct err *err);
struct prepare *prepare_begin(struct gateway *g, struct container *c, prepare_cb *cb, void *ctx);
void prepare_cancel(struct prepare *p); /* NULL is fine */

#endif
