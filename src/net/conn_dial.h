/* conn_dial - from a name to a connected TCP socket, by a deadline.
 *
 * Names are resolved off the loop. Each address gets its fair part of the time left, so that one that swallows
 * packets does not cost us the ones behind it. Private to conn.c; loop thread only. */
#ifndef NET_CONN_DIAL_H
#define NET_CONN_DIAL_H

#include <stdint.h>
#include <uv.h>

struct conn_dial;
/* fd: connected, non-blocking, CLOEXEC, yours. -1: why not, a sentence that lasts as long as the call.
 * Runs once, from the loop, never inside conn_dial; the dial is gone behind it. */
typedef void conn_dial_cb(int fd, const char *why, void *ctx);

struct conn_dial *conn_dial(uv_loop_t *loop, const char *host, uint16_t port, uint64_t timeout_ms, conn_dial_cb *cb,
			    void *ctx);
void conn_dial_cancel(struct conn_dial *d); /* cb does not run; NULL is fine */

#endif
