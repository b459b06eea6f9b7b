/* port_spec - which ports a container exposes and which of them are to be published where: Config's
 * ExposedPorts and HostConfig's PortBindings and PublishAllPorts, read once. Pure. */
#ifndef AGENTS_PORT_SPEC_H
#define AGENTS_PORT_SPEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define PORT_KEY_MAX 16 /* "65535/sctp" and a NUL, with room */

/* One line of docker port, or an exposed port that is not published. */
struct port_wish {
	uint16_t port;            /* in the container */
	char key[PORT_KEY_MAX];   /* "80/tcp" */
	bool tcp, publish;
	char host[64];            /* address to listen on; "" = the gateway's setting */
	uint16_t first, last;     /* of the host's ports; 0, 0: any that is free */
};
struct port_wishes {
	struct port_wish *v;      /* by number and protocol */
	size_t n;
};

/* ERR_INVALID "invalid port specification: \"x\"" and the like. */
int port_wishes_read(json_t *config, json_t *host_config, struct port_wishes *ret, struct err *err);
void port_wishes_release(struct port_wishes *w);

#endif
