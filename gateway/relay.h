/* relay - one hijacked Docker client and one process of a container: bytes both ways, no HTTP.
 *
 *   exec     client ⇄ the exec's streams in the tunnel; output is written from the session's buffer to
 *            the socket, what does not fit stays there and holds up this process only
 *   attach   container log ──cursor──▶ client, so that a slow client costs no memory and holds up nobody;
 *            client ──▶ main's stdin, which several clients may feed
 *
 * A client is not read while its process cannot take more, or is not there yet: nothing queues.
 * Half-close is the end of stdin and nothing else. The stream ends (FIN) after the last byte of output
 * and after the exit code can be seen; a client that vanishes does not touch the process.
 * Loop thread only. */
#ifndef RELAY_H
#define RELAY_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/pack.h"
#include "detach_keys.h"
#include "net/conn.h"

struct gateway;
struct container;
struct exec;
struct relay;

/* Hand the exec to the agent (an error here can still become an HTTP answer), with its output held back
 * until relay_open. raw_client: the client wants bare bytes (the Tty of its start request), whatever
 * the process has. ERR_CONFLICT if the container has no agent. */
struct relay *relay_exec(struct gateway *g, struct container *c, struct exec *e, bool raw_client,
			 const struct detach_keys *keys, struct err *err);

struct relay_attach_options {
	bool stream;                     /* follow until the container's next exit */
	bool logs;                       /* from the beginning, not from now */
	bool in, out, err;               /* which of the three */
	bool raw;                        /* bare bytes, whatever the container has (attach/ws) */
	const struct detach_keys *keys;  /* watched when the container has a terminal */
};
/* From here on nothing that main prints is missed. */
struct relay *relay_attach(struct gateway *g, struct container *c, const struct relay_attach_options *opt,
			   struct err *err);

/* The client as exchange_hijack gave it: conn (NULL: it is gone already) and leftover's bytes are ours
 * from here on. head goes out before everything else. */
void relay_open(struct relay *r, struct conn *conn, struct buf *leftover, bool eof, const char *head);

/* All of them, for the process image that takes over; TLS clients stay behind. restore: the sessions are there again.
 * How many it has taken. */
void relays_save(struct pack *p);
size_t relays_restore(struct gateway *g, struct unpack *u);

void relay_close_all(void); /* at shutdown: cut every client, touch no process */

#endif
