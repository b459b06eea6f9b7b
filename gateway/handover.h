/* handover - planned restart: this process replaces its own image (a new binary, other settings) and goes on with its
 * listening sockets, its clients and its agents' sessions. docs/decisions/0011. Only declarations here: the API
 * asks for it, main does it (handover.c, takeover.c). */
#ifndef HANDOVER_H
#define HANDOVER_H

#include "base/err.h"

struct handover;

/* First the new image is tried: can it start with the settings it would have? Then whoever cannot be carried over is
 * waited for, and this image ends. failed is called if that does not come about, with the reason; everything goes on as
 * before. -1: one is under way already, or it cannot be tried. */
typedef void handover_failed(void *ctx, const struct err *err);
int handover_begin(struct handover *h, handover_failed *failed, void *ctx, struct err *err);
void handover_forget(struct handover *h, void *ctx); /* no call any more */

#endif
