/* link - the WebSockets under the session: dialling back to the gateway for ever (reverse), adopting
 * one that the gateway opened (forward), and noticing when one has died.
 *
 * The session has one present link at a time; a new one is opened before the old is given up, and
 * losing one costs nothing but time (R3, R17). Back-off: R23. Liveness: R22. A link that is old is
 * replaced in the same way, before something on the way ends it for its age. */
#ifndef AGENT_LINK_H
#define AGENT_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "agent.h"
#include "net/websocket_link.h"
#include "proof.h"

#define LINK_HANDSHAKE_MS 10000   /* WebSocket open to WELCOME */
#define LINK_CONNECT_MS 15000
#define LINK_STABLE_MS 10000      /* up for so long: the next loss starts a new back-off */
#define LINK_RETRY_MAX_MS 30000
#define LINK_RETRY_HURRIED_MS 1000 /* while the exit waits to be delivered */

struct links *links_new(struct agent *a);
void links_free(struct links *l);

void links_dial(struct links *l);                    /* first try now; nothing without a URL */
/* The gateway calls, with this Authorization: may it? *ret is for links_adopt. */
int links_take_request(struct links *l, const char *authorization, struct proof *ret, struct err *err);
/* A WebSocket from the gateway, handshake answered: it becomes the session's link. proof NULL: by its token. */
void links_adopt(struct links *l, struct conn *conn, struct buf *leftover, const struct proof *proof);
/* One from a back end of the predecessor, which asked for no subprotocol. */
void links_adopt_dialect(struct links *l, struct conn *conn, struct buf *leftover);
void links_wake(struct links *l);                    /* the session has something to send */
/* Once per loop round: pings, acknowledgements, silence. */
void links_tick(struct links *l);
/* Time is short: dial at once if down, and with short pauses until it is no longer so. */
void links_hurry(struct links *l, bool hurry);
/* We are about to be moved: the gateway need not wonder about our silence. */
void links_moving(struct links *l);
/* We were frozen or moved: a link that has been silent since is not worth waiting for, and after a move
 * none is. */
void links_suspect(struct links *l);
/* The gateway asked us to come back within so many ms, keeping this link until then. */
void links_replace(struct links *l, uint32_t within_ms);
/* The gateway does not want this session: nobody will ever take what is left. */
bool links_hopeless(const struct links *l);

#endif
