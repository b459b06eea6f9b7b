/* conn - a non-blocking byte stream on the loop: TCP or unix socket, plain or TLS. Listening is net/listen.h.
 *
 * The owner says which events it wants; conn calls back once per event and never reads or writes
 * by itself. A half-close is an ordinary event: conn_read returns 0 (for TLS: close_notify), and
 * writing goes on working. A TLS peer that vanishes without close_notify is an error, not an EOF.
 * Bytes that OpenSSL holds decrypted wake the owner like bytes in the kernel do.
 * All calls on the loop's thread. Every fd is CLOEXEC. */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <uv.h>

#include "base/err.h"
#include "net/tls.h"

enum {
	CONN_READ = 1,    /* want: tell me when there are bytes, or EOF */
	CONN_WRITE = 2,   /* want: tell me when there is room */
	CONN_HANGUP = 4,  /* event only, always wanted: both directions are gone, or an error */
	CONN_OPEN = 8,    /* event only: connect and TLS handshake are done (once) */
};

#define CONN_AGAIN (-1) /* nothing now; the wanted event will come */
#define CONN_FAILED (-2) /* see conn_error; only conn_close is left */

struct conn;
/* events is a mask of CONN_*. May close the conn. After CONN_HANGUP nothing but conn_close helps. */
typedef void conn_cb(struct conn *c, void *ctx, unsigned events);

/* Take over a connected fd (ours from here on, even on error). tls NULL = plain; with a server
 * context the handshake runs first and CONN_OPEN follows; a plain conn is open at once, with no
 * CONN_OPEN event. handshake_ms bounds the TLS handshake (then CONN_HANGUP). */
struct conn *conn_adopt(uv_loop_t *loop, int fd, struct tls *tls, uint64_t handshake_ms,
			conn_cb *cb, void *ctx, struct err *err);

/* Connect to host:port over TCP (resolved off the loop), then TLS if tls is given (host is verified).
 * CONN_OPEN or CONN_HANGUP follows within timeout_ms, never inside this call. */
struct conn *conn_connect(uv_loop_t *loop, const char *host, uint16_t port, struct tls *tls,
			  uint64_t timeout_ms, conn_cb *cb, void *ctx, struct err *err);

void conn_set_callback(struct conn *c, conn_cb *cb, void *ctx); /* hand the conn to a new owner */
void conn_want(struct conn *c, unsigned events);                /* CONN_READ | CONN_WRITE, or 0 */

ssize_t conn_read(struct conn *c, void *p, size_t n);  /* > 0, 0 at EOF, CONN_AGAIN, CONN_FAILED */
ssize_t conn_writev(struct conn *c, const struct iovec *iov, int n); /* > 0, CONN_AGAIN, CONN_FAILED */
ssize_t conn_write(struct conn *c, const void *p, size_t n);
int conn_shutdown_write(struct conn *c);  /* half-close; 0, CONN_AGAIN (TLS: try when writable), CONN_FAILED */

const char *conn_error(const struct conn *c);          /* why CONN_FAILED or CONN_HANGUP; a sentence */
const char *conn_peer(const struct conn *c);           /* "127.0.0.1:4711" or "unix" */
int conn_fd(const struct conn *c);                     /* borrowed; -1 before it is connected */
uv_loop_t *conn_loop(const struct conn *c);
bool conn_is_open(const struct conn *c);
bool conn_is_plain(const struct conn *c);              /* no TLS: its fd is all there is to it */
/* Nobody between the two ends can take part: TLS, or a peer on this machine or on this very link. */
bool conn_is_sealed(const struct conn *c);

/* Stop and free, after this loop round; no callback runs from here on. NULL is fine. */
void conn_close(struct conn *c);

#endif
