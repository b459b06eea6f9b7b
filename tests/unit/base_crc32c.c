/* crc32c: the known values, and the two ways agree whatever the length, place and pieces. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/crc32c.h"

Test(crc32c, known_values) /* RFC 3720, B.4 */
{
	uint8_t bytes[32];

	cr_assert_eq(crc32c(0, "123456789", 9), 0xe3069283);
	memset(bytes, 0, 32);
	cr_assert_eq(crc32c(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, 32);
	cr_assert_eq(crc32c(0, bytes, 32), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	cr_assert_eq(crc32c(0, bytes, 32), 0x46dd794e);
	cr_assert_eq(crc32c(0, bytes, 0), 0);
}

Test(crc32c, pieces_make_the_whole_on_both_ways)
{
	static uint8_t bytes[40000];
	uint32_t whole, pieces = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 2654435761u >> 13);
	whole = crc32c_portable(0, bytes, sizeof(bytes));
	cr_assert_eq(crc32c(0, bytes, sizeof(bytes)), whole);
	for (size_t at = 0, n = 1; at < sizeof(bytes); at += n, n = n * 3 + 1) {
		if (n > sizeof(bytes) - at)
			n = sizeof(bytes) - at;
		pieces = crc32c(pieces, bytes + at, n);
		cr_assert_eq(pieces, crc32c_portable(0, bytes, at + n), "up to %zu", at + n);
	}
	cr_assert_eq(pieces, whole);
	for (size_t n = 6000; n < 6300; n++)
		cr_assert_eq(crc32c(0, bytes + n % 8, n), crc32c_portable(0, bytes + n % 8, n));
}
