/* listen - sockets to listen on, and accepting from them.
 *
 * Every listening socket of the process is known here by what was asked for, so that the process image that takes
 * over finds the ones it inherits and nobody is refused in between. Loop thread only. */
#ifndef NET_LISTEN_H
#define NET_LISTEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "base/err.h"
#include "base/pack.h"

/* Both return a listening, non-blocking, CLOEXEC fd, or -1. */
int listen_tcp(const char *host, uint16_t port, bool freebind, struct err *err);
int listen_unix(const char *path, mode_t mode, struct err *err); /* replaces a stale socket only */
uint16_t listen_port(int fd); /* the port the kernel chose */

/* All sockets of the two above, for the process image that takes over. After listen_restore they give out the
 * inherited one where there is one; in the end those that nobody wants any more are closed. */
void listen_save(struct pack *p);
void listen_restore(struct unpack *u);
void listen_close_unwanted(void);

/* Call cb with every accepted, non-blocking, CLOEXEC fd. Out of descriptors: logs once, backs off
 * 100 ms, goes on. */
struct listener;
typedef void listener_cb(int fd, void *ctx);
struct listener *listener_new(uv_loop_t *loop, int fd, listener_cb *cb, void *ctx, struct err *err);
void listener_pause(struct listener *l, bool paused); /* the kernel's queue goes on filling */
void listener_close(struct listener *l); /* closes the fd; NULL is fine */

#endif
