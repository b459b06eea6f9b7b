/* token - secrets, digests, and comparing them without telling how far they agree.
 * The only user of OpenSSL's digests and random numbers. */
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

#endif
