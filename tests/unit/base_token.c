/* base/token: digests against published vectors, comparison, hex. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/token.h"

Test(token, digests_are_the_published_ones)
{
	uint8_t out[SHA256_LEN];
	char hex[SHA256_HEX_MAX];

	sha256("abc", 3, out);
	hex_encode(out, SHA256_LEN, hex);
	cr_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha1("abc", 3, out);
	hex_encode(out, 20, hex);
	cr_assert_str_eq(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
}

Test(token, equal_only_when_equal)
{
	cr_assert(token_equal("secret", "secret"));
	cr_assert(token_equal("", ""));
	cr_assert_not(token_equal("secret", "secreT"));
	cr_assert_not(token_equal("secret", "secre"));
	cr_assert_not(token_equal("secret", "secrets"));
	cr_assert_not(token_equal("secret", ""));
	cr_assert_not(token_equal("", "s"));
}

Test(token, hex_goes_there_and_back_and_refuses_the_rest)
{
	uint8_t raw[4] = {0x00, 0x7f, 0xab, 0xff}, back[4];
	char hex[9];

	hex_encode(raw, 4, hex);
	cr_assert_str_eq(hex, "007fabff");
	cr_assert_eq(hex_decode("007FABff", back, 4), 0);
	cr_assert_eq(memcmp(raw, back, 4), 0);
	cr_assert_eq(hex_decode("007fabf", back, 4), -1);
	cr_assert_eq(hex_decode("007fabff0", back, 4), -1);
	cr_assert_eq(hex_decode("007fabfg", back, 4), -1);
	cr_assert_eq(hex_decode("007fabf ", back, 4), -1);
}

Test(token, random_hex_has_the_length_asked_for_and_is_not_repeated)
{
	char a[301], b[301];

	random_hex(a, 300);
	random_hex(b, 300);
	cr_assert_eq(strlen(a), 300);
	cr_assert_eq(strspn(a, "0123456789abcdef"), 300);
	cr_assert_neq(strcmp(a, b), 0);
}

/* ---- keys: RFC 4231, 5869, 7748 ------------------------------------------------------------------- */

static void expect_hex(const uint8_t *got, const char *want)
{
	char hex[2 * SHA256_LEN + 1];

	hex_encode(got, SHA256_LEN, hex);
	cr_expect_str_eq(hex, want);
}

Test(token, macs_are_the_published_ones)
{
	uint8_t key[20], out[SHA256_LEN];

	memset(key, 0x0b, sizeof(key));
	hmac_sha256(key, sizeof(key), "Hi There", 8, out);
	expect_hex(out, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, out);
	expect_hex(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

Test(token, derived_keys_are_the_published_ones)
{
	uint8_t secret[80], salt[80], info[80], out[SHA256_LEN];

	memset(secret, 0x0b, 22); /* A.1 */
	for (uint8_t i = 0; i < 13; i++)
		salt[i] = i;
	for (uint8_t i = 0; i < 10; i++)
		info[i] = (uint8_t)(0xf0 + i);
	hkdf_sha256(salt, 13, secret, 22, info, 10, out);
	expect_hex(out, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
	for (uint8_t i = 0; i < 80; i++) { /* A.2 */
		secret[i] = i;
		salt[i] = (uint8_t)(0x60 + i);
		info[i] = (uint8_t)(0xb0 + i);
	}
	hkdf_sha256(salt, 80, secret, 80, info, 80, out);
	expect_hex(out, "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c");
	memset(secret, 0x0b, 22); /* A.3: neither salt nor info */
	hkdf_sha256(NULL, 0, secret, 22, "", 0, out);
	expect_hex(out, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d");
}

Test(token, exchanged_secrets_are_the_published_ones)
{
	uint8_t a[X25519_LEN], b[X25519_LEN], pa[X25519_LEN], pb[X25519_LEN], out[X25519_LEN], zero[X25519_LEN] = {0};

	hex_decode("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a", a, sizeof(a));
	hex_decode("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb", b, sizeof(b));
	x25519_public(a, pa);
	expect_hex(pa, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
	x25519_public(b, pb);
	expect_hex(pb, "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
	cr_assert_eq(x25519_shared(a, pb, out), 0);
	expect_hex(out, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
	cr_assert_eq(x25519_shared(b, pa, out), 0);
	expect_hex(out, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
	cr_expect_eq(x25519_shared(a, zero, out), -1, "of low order");
}
