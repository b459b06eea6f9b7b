/* dialect_agent - an agent of the predecessor (docs/predecessor.md), made to look like one of ours.
 *
 * It is an agent's end of a session (agent-proto/session.h) inside the gateway: a tunnel's link that is
 * no socket. Frames go between the tunnel and that session in memory; what they mean is said to the
 * real agent in its own messages, and what it says becomes streams and exits. So everything above (relay,
 * logs, exit codes, back-pressure by windows) is the same for both kinds of agents. It outlives the agent's
 * connections: when one comes back, main's output goes on where it was (dialect_replay.h).
 *
 * Sockets are brought by callback.c and dialect_dial.c as wires: texts in, texts out. Loop thread only. */
#ifndef AGENTS_DIALECT_AGENT_H
#define AGENTS_DIALECT_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct gateway;
struct dialects;      /* all agents of this kind */
struct dialect_wire;  /* one WebSocket to one of them */

struct dialects *dialects_new(struct gateway *g);
void dialects_free(struct dialects *d); /* its wires are closed; NULL is fine */

/* The socket's side of a wire. Nothing here calls back into the wire. */
struct dialect_wire_ops {
	void (*wake)(void *ctx);              /* dialect_wire_next has something */
	void (*pause)(void *ctx, bool pause); /* stop reading, go on; messages may still come for a moment */
	void (*close)(void *ctx);             /* the wire is gone: close the socket soon, and call no more */
	const char *(*peer)(void *ctx);
	/* Another WebSocket to the same agent, for one process; w is its wire. NULL as a function: this
	 * wire carries all processes. */
	void *(*open)(void *ctx, struct dialect_wire *w);
};

/* An authorised agent's socket is open. It takes the place of the container's former one. */
struct dialect_wire *dialect_wire_new(struct dialects *d, const char *container_id,
				      const struct dialect_wire_ops *ops, void *ctx);
/* It is known from elsewhere that main has ended with this code: that is so when what it has printed is read. */
void dialect_wire_main_ended(struct dialect_wire *w, int code);
/* One text message. -1: the agent cannot be understood, close the socket and tell dialect_wire_gone. */
int dialect_wire_receive(struct dialect_wire *w, const void *text, size_t n, struct err *err);
/* The next text to send, valid until the next call of anything here. */
bool dialect_wire_next(struct dialect_wire *w, const uint8_t **ret, size_t *ret_len);
void dialect_wire_gone(struct dialect_wire *w); /* the socket is closed; w is no longer yours */

#endif
