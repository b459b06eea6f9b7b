/* tls - OpenSSL contexts: TLS 1.2 and up, session tickets without early data, buffers released
 * when idle. Server: certificate and key, optional client CA (then client certificates are
 * required). Client: an explicit CA bundle file, never the image's or host's store beside it. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>

#include "base/err.h"

struct tls; /* reference-counted context, shared by many conns */

struct tls *tls_server_new(const char *cert_file, const char *key_file, const char *client_ca_file,
			   struct err *err);
struct tls *tls_client_new(const char *ca_file, struct err *err);
struct tls *tls_ref(struct tls *t);
void tls_unref(struct tls *t); /* NULL is fine */
bool tls_is_server(const struct tls *t);
void *tls_context(struct tls *t); /* the SSL_CTX, borrowed; for conn_tls.c */

#endif
