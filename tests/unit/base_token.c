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
