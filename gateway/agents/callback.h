/* callback - where agents call back: a libwebsockets server on the gateway's own loop.
 *
 * GET <path>?id=<container id>, Upgrade: websocket, Sec-WebSocket-Protocol: sockerless.tunnel.v1,
 * Authorization: a proof (agent-proto/proof.h), or of an older agent Bearer <token>. Refused before the upgrade: 404 unknown container, 401 bad proof or token,
 * 400 no id or another subprotocol; without any it is the predecessor's agent (docs/predecessor.md). Plain GET /healthz answers 200 for load balancers.
 * Any path is accepted, so that a proxy may rewrite it; /internal/v1/agent/connect is the one we use.
 * After the upgrade the first message must be HELLO within CALLBACK_HELLO_MS.
 * This is the only file with <libwebsockets.h>: it and llhttp.h clash. */
#ifndef AGENTS_CALLBACK_H
#define AGENTS_CALLBACK_H

#include <stdint.h>

#include "base/err.h"

#define CALLBACK_HELLO_MS 5000
#define CALLBACK_LINKS_MAX 20000

struct gateway;
struct callback;
/* listen_fd is ours from here on. cert and key NULL = plain WebSocket. */
struct callback *callback_new(struct gateway *g, int listen_fd, const char *cert, const char *key, struct err *err);
void callback_free(struct callback *cb); /* NULL is fine */

#endif
