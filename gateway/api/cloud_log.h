/* cloud_log - a container's output as Cloud Logging has it, for when we have none of our own: our disk is new, or its
 * agent never came. It is read into a log of its own, whose file has no name any more, and with `follow` it grows by
 * polling until the container's run is over and nothing has come for a while. Not byte-exact: see docs/google-api.md. */
#ifndef API_CLOUD_LOG_H
#define API_CLOUD_LOG_H

#include <stdbool.h>

#include "state/logs.h"

struct cloud_log;
struct container;
struct gateway;

struct cloud_log_ops {
	void (*ready)(void *ctx);    /* once: it can be read now, as far as it goes */
	void (*complete)(void *ctx); /* once, after ready: nothing will be added */
};

/* Has this container a run that only Cloud Logging may know of? */
bool cloud_log_wanted(struct container *c);
/* q's time bounds and tail become the question's. Callbacks come from the loop. */
struct cloud_log *cloud_log_open(struct gateway *g, struct container *c, const struct log_query *q, bool follow,
				 const struct cloud_log_ops *ops, void *ctx, struct err *err);
struct log *cloud_log_log(struct cloud_log *l);
void cloud_log_close(struct cloud_log *l); /* no callback any more; its cursors may live on. NULL is fine */

#endif
