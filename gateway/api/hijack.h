/* hijack - the turn from HTTP to a raw stream. */
#ifndef API_HIJACK_H
#define API_HIJACK_H

#include <stdbool.h>

#include "api/request.h"

struct relay;

/* Answer 101 UPGRADED, or 200 to a client that did not ask for an upgrade, and give the connection to
 * the relay; r is gone. multiplexed: the stream has frames. The body has been consumed. */
void hijack(struct request *r, struct relay *relay, bool multiplexed);
/* To a client that has asked for a WebSocket (its key): the relay sees a plain stream. */
void hijack_websocket(struct request *r, struct relay *relay, const char *key);

#endif
