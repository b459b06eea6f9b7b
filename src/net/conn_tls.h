/* conn_tls - TLS on the socket of a conn: the handshake, records in both directions, close_notify.
 *
 * Knows neither the loop nor events: conn.c calls when the socket is ready, and asks what it has to be ready for.
 * The first failure is said in conn_tls_error and stays: every call from there on is CONN_FAILED.
 * Private to conn.c; loop thread only. */
#ifndef NET_CONN_TLS_H
#define NET_CONN_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "net/tls.h"

struct conn_tls;

/* fd is borrowed and non-blocking. host: whom a client asks for and verifies; a server needs none. */
struct conn_tls *conn_tls_new(struct tls *context, int fd, const char *host);
void conn_tls_free(struct conn_tls *t); /* NULL is fine */

int conn_tls_handshake(struct conn_tls *t); /* 0: done; CONN_AGAIN, CONN_FAILED */
ssize_t conn_tls_read(struct conn_tls *t, void *p, size_t n); /* > 0; 0 at close_notify; CONN_AGAIN, CONN_FAILED */
/* > 0, CONN_AGAIN, CONN_FAILED. What it does not count as written must come again, first and unchanged. */
ssize_t conn_tls_writev(struct conn_tls *t, const struct iovec *iov, int n);
int conn_tls_shutdown(struct conn_tls *t); /* close_notify; 0, CONN_AGAIN, CONN_FAILED */

bool conn_tls_needs_room(const struct conn_tls *t); /* handshake or read go on when the socket is writable, not readable */
bool conn_tls_holds(const struct conn_tls *t); /* conn_tls_read has something to tell that the kernel does not know of */
const char *conn_tls_error(const struct conn_tls *t); /* a sentence, or NULL */

#endif
