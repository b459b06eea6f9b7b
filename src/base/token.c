/* token - randomness from the kernel, digests from OpenSSL, comparison in constant time.
 * Owns nothing. Random bytes come from getrandom(2): no state to seed, to fork or to leak. */
#include "base/token.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

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
