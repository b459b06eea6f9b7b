/* tls_policy - what all our TLS connections have in common, whoever makes them; private to this folder. */
#ifndef NET_TLS_POLICY_H
#define NET_TLS_POLICY_H

/* One read(2) fetches several records: a record is at most 16 KiB of payload. */
#define TLS_READ_BUFFER (64 * 1024)
/* The shorter key first: as safe for all we know, and a third faster. */
#define TLS_CIPHERSUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

#endif
