/* local - the embedded default: an emulated Cloud Run and an image registry as children of this gateway,
 * used by the same client code and the same bytes as Google's; only addresses differ.
 *
 * What runs is written to <state-dir>/local.json. The children outlive a gateway that was killed, so
 * that containers do not notice; the next start finds them there and goes on with them. A gateway that
 * is stopped in order stops them.
 * Blocking, before the loop runs. */
#ifndef GATEWAY_LOCAL_H
#define GATEWAY_LOCAL_H

#include "base/err.h"
#include "config.h"

struct local;
/* Starts or adopts the children, pushes the agent's image, and fills in the settings that --local
 * decides: endpoint_url, hub_mirror, agent_image, image_repository, callback_url, callback_listen, project.
 * SOCKERLESS_LOCAL_FORWARD=1 leaves the callback out: forward mode. */
struct local *local_start(struct config *c, struct err *err);
void local_stop(struct local *l); /* ends the children, 20 s at most; NULL is fine */

#endif
