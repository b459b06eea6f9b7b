/* inject - agent mode "overlay": before a task's job can be written, each of its containers' images must be in our
 * repository with the agent in it (image/overlay). All at once; c->overlay_ref says where. */
#ifndef CLOUD_INJECT_H
#define CLOUD_INJECT_H

#include "base/err.h"

struct container;
struct gateway;
struct inject;

/* c and the members of its task (NULL-terminated). cb once, never inside the call; err NULL: all are there. */
typedef void inject_cb(void *ctx, const struct err *err);
struct inject *inject_begin(struct gateway *g, struct container *c, struct container *const *members, inject_cb *cb,
			    void *ctx);
void inject_cancel(struct inject *in); /* NULL is fine */
/* The task did not start; perhaps its images have gone. Look again the next time. */
void inject_doubt(struct gateway *g, const struct container *c);

#endif
