/* health - runs the health checks of the containers that run: a probe is an exec through the tunnel. What its
 * result means is state/health's. Learns of starts and ends from the events; no probe is begun while the
 * container is paused or restarting, or while its agent is away. Loop thread only. */
#ifndef HEALTH_H
#define HEALTH_H

struct gateway;
struct health_monitors;

/* After the stores are loaded: containers that run already are watched from now on. */
struct health_monitors *health_new(struct gateway *g);
void health_free(struct health_monitors *h); /* before the tunnels; probes go on alone */

#endif
