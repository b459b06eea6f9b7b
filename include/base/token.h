/* token - secrets, digests, keys, and comparing them without telling how far they agree.
 * With auth/sign.c and TLS the only user of OpenSSL. */
#ifndef BASE_TOKEN_H
#define BASE_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_LEN 32
#define SHA256_HEX_MAX 65
#define ID_HEX_MAX 65 /* a Docker ID: 64 hex digits and a NUL */

void random_bytes(void *out, size_t n);                       /* aborts if the system has none */
void random_hex(char *out, size_t n_digits);                  /* n_digits even; NUL-terminated */
void hex_encode(const void *p, size_t n, char *out);          /* 2n digits and a NUL */
int hex_decode(const char *s, void *out, size_t n);           /* exactly 2n digits; 0 or -1 */
void sha256(const void *p, size_t n, uint8_t out[SHA256_LEN]);
struct sha256_sum;                                            /* a digest of what comes in pieces */
struct sha256_sum *sha256_begin(void);
void sha256_add(struct sha256_sum *s, const void *p, size_t n);
void sha256_end(struct sha256_sum *s, uint8_t out[SHA256_LEN]); /* frees s; out NULL: that only. NULL is fine */
void sha1(const void *p, size_t n, uint8_t out[20]);          /* WebSocket handshake only, RFC 6455 */
/* Equal strings? Time depends only on the length of `given`. */
bool token_equal(const char *expected, const char *given);
bool secret_equal(const void *a, const void *b, size_t n);    /* the same of bytes */
void secret_clear(void *p, size_t n);                         /* not optimised away */

void hmac_sha256(const void *key, size_t key_len, const void *p, size_t n, uint8_t out[SHA256_LEN]);
/* RFC 5869, one block of output: the key is a digest long. salt NULL: none. */
void hkdf_sha256(const void *salt, size_t salt_len, const void *secret, size_t secret_len, const void *info,
		 size_t info_len, uint8_t out[SHA256_LEN]);
/* RFC 7748. A private key is 32 random bytes. */
#define X25519_LEN 32
void x25519_public(const uint8_t private_key[X25519_LEN], uint8_t out[X25519_LEN]);
/* -1: the other's is no public key that makes a secret (of low order). */
int x25519_shared(const uint8_t private_key[X25519_LEN], const uint8_t others[X25519_LEN], uint8_t out[X25519_LEN]);

#endif
