/* ports - published ports. While a container runs the gateway listens on the ports it publishes; each
 * TCP connection becomes one run of the agent's `connect` tool (tool.h), so the bytes go through the
 * tunnel to the container's loopback, with both half-closes and nothing queued beyond the windows.
 *
 * The ports are taken when a start begins, so that one that is taken fails the start before anything
 * is asked of Cloud Run, and served from the moment the container runs. Their numbers are in the
 * container's record (container.ports), so a restarted gateway opens the same ones again. */
#ifndef AGENTS_PORTS_H
#define AGENTS_PORTS_H

#include "base/err.h"
#include "base/pack.h"

#define PORTS_CONNECTIONS_MAX 256 /* of one container at once; others wait in the kernel's queue */

struct gateway;
struct container;
struct ports;

struct ports *ports_new(struct gateway *g);
void ports_free(struct ports *p); /* connections are cut */

/* Listen on all that c publishes and store the numbers. ERR_SYSTEM with dockerd's sentence when one is
 * taken; nothing is held then. */
int ports_open(struct ports *p, struct container *c, struct err *err);
void ports_reopen(struct ports *p, struct container *c); /* by the record; what cannot be had is logged */
void ports_serve(struct ports *p, const struct container *c);
/* Listen no more. Connections end with their tool, when the agent has sent the last byte. */
void ports_close(struct ports *p, const struct container *c);

/* The connections, for the process image that takes over (listening sockets are net/conn.h's). restore: sessions are
 * there, and ports_reopen has been. */
void ports_save(const struct ports *p, struct pack *to);
void ports_restore(struct ports *p, struct unpack *u);

#endif
