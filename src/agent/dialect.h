/* dialect - the predecessor's back end is served as its own agent does it (docs/predecessor.md), when the
 * other side of a WebSocket offers nothing better: exec, attach with replay, stdin, signals, sizes, exits.
 *
 * It is a gateway's end of the session (agent-proto/session.h) inside the agent, so that the processes
 * do not know the difference: windows, drains, exits that wait for the last byte. It stays the session's
 * link while no back end is connected, and keeps the last 1 MiB of main's stdout and stderr for the
 * next one. A back end that reads slowly is waited for; nothing that one has attached to is dropped. */
#ifndef AGENT_DIALECT_H
#define AGENT_DIALECT_H

#include <stdbool.h>

#include "agent.h"
#include "net/websocket_link.h"

struct dialect;

/* on_lost: the connection that we had dialled is closed. */
struct dialect *dialect_new(struct agent *a, void (*on_lost)(void *ctx), void *ctx);
void dialect_free(struct dialect *d); /* NULL is fine */

/* It is the session's link from here on; HELLO has been queued. Until dialect_end. */
void dialect_begin(struct dialect *d);
void dialect_end(struct dialect *d); /* another link takes over: connections are closed */
/* A WebSocket of a back end, ours from here on. dialled: by us. */
void dialect_add(struct dialect *d, struct wslink *ws, bool dialled);
bool dialect_dialled(const struct dialect *d); /* is there one that we have dialled? */
const struct wslink_ops *dialect_wslink_ops(void); /* for one that is adopted; its ctx is the dialect */
void dialect_wake(struct dialect *d); /* the session has something to send */

#endif
