/* token - randomness from the kernel, digests and keys from OpenSSL, comparison in constant time.
 * Owns nothing. Random bytes come from getrandom(2): no state to seed, to fork or to leak. */
#include "base/token.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"

void random_bytes(void *out, size_t n)
{
	uint8_t *p = out;

	while (n) {
		ssize_t got = getrandom(p, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			fprintf(stderr, "no random numbers: %m\n");
			abort();
		}
		p += got;
		n -= (size_t)got;
	}
}

void random_hex(char *out, size_t n_digits)
{
	uint8_t raw[64];

	while (n_digits) {
		size_t n = n_digits / 2 < sizeof(raw) ? n_digits / 2 : sizeof(raw);

		random_bytes(raw, n);
		hex_encode(raw, n, out);
		out += 2 * n;
		n_digits -= 2 * n;
	}
	*out = '\0';
}

void hex_encode(const void *p, size_t n, char *out)
{
	static const char digit[] = "0123456789abcdef";
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++) {
		*out++ = digit[b[i] >> 4];
		*out++ = digit[b[i] & 15];
	}
	*out = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int hex_decode(const char *s, void *out, size_t n)
{
	uint8_t *b = out;

	if (strlen(s) != 2 * n)
		return -1;
	for (size_t i = 0; i < n; i++) {
		int hi = hex_value(s[2 * i]), lo = hex_value(s[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return -1;
		b[i] = (uint8_t)(hi << 4 | lo);
	}
	return 0;
}

void sha256(const void *p, size_t n, uint8_t out[SHA256_LEN])
{
	SHA256(p, n, out);
}

struct sha256_sum *sha256_begin(void)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();

	if (!c || EVP_DigestInit_ex(c, EVP_sha256(), NULL) != 1)
		abort(); /* out of memory */
	return (struct sha256_sum *)c;
}

void sha256_add(struct sha256_sum *s, const void *p, size_t n)
{
	EVP_DigestUpdate((EVP_MD_CTX *)s, p, n);
}

void sha256_end(struct sha256_sum *s, uint8_t out[SHA256_LEN])
{
	if (s && out)
		EVP_DigestFinal_ex((EVP_MD_CTX *)s, out, NULL);
	EVP_MD_CTX_free((EVP_MD_CTX *)s);
}

void sha1(const void *p, size_t n, uint8_t out[20])
{
	SHA1(p, n, out);
}

bool token_equal(const char *expected, const char *given)
{
	size_t n = strlen(given), have = strlen(expected);
	volatile unsigned diff = n != have;

	/* Past its end, expected is its own NUL: the same work, and it differs. */
	for (size_t i = 0; i < n; i++)
		diff |= (unsigned char)given[i] ^ (unsigned char)expected[i < have ? i : have];
	return diff == 0;
}

bool secret_equal(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}

void secret_clear(void *p, size_t n)
{
	OPENSSL_cleanse(p, n);
}

/* ---- keys --------------------------------------------------------------------------------------- */

void hmac_sha256(const void *key, size_t key_len, const void *p, size_t n, uint8_t out[SHA256_LEN])
{
	if (!HMAC(EVP_sha256(), key, (int)key_len, p, n, out, NULL))
		abort(); /* out of memory */
}

void hkdf_sha256(const void *salt, size_t salt_len, const void *secret, size_t secret_len, const void *info,
		 size_t info_len, uint8_t out[SHA256_LEN])
{
	static const uint8_t none[SHA256_LEN];
	uint8_t extracted[SHA256_LEN], *block = xmalloc(info_len + 1);

	hmac_sha256(salt ? salt : none, salt ? salt_len : sizeof(none), secret, secret_len, extracted);
	memcpy(block, info, info_len);
	block[info_len] = 1;
	hmac_sha256(extracted, sizeof(extracted), block, info_len + 1, out);
	secret_clear(extracted, sizeof(extracted));
	free(block);
}

void x25519_public(const uint8_t private_key[X25519_LEN], uint8_t out[X25519_LEN])
{
	EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_key, X25519_LEN);
	size_t n = X25519_LEN;

	if (!own || EVP_PKEY_get_raw_public_key(own, out, &n) != 1)
		abort();
	EVP_PKEY_free(own);
}

int x25519_shared(const uint8_t private_key[X25519_LEN], const uint8_t others[X25519_LEN], uint8_t out[X25519_LEN])
{
	EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_key, X25519_LEN);
	EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, others, X25519_LEN);
	EVP_PKEY_CTX *ctx = own ? EVP_PKEY_CTX_new(own, NULL) : NULL;
	size_t n = X25519_LEN;
	int rc;

	if (!peer || !ctx)
		abort();
	rc = EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
	     EVP_PKEY_derive(ctx, out, &n) == 1 ? 0 : -1; /* a secret of zeros is refused there */
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(peer);
	EVP_PKEY_free(own);
	return rc;
}
