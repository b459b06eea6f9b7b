/* base/utf8: what is a character, and what becomes of the rest. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

Test(utf8, a_character_is_well_formed_and_no_longer_than_needed)
{
	static const struct {
		const char *bytes;
		size_t n, len;
	} table[] = {
		{"", 0, 0}, {"", 1, 1}, {"a", 1, 1}, {"\x7f", 1, 1},
		{"\xc2\x80", 2, 2}, {"\xdf\xbf", 2, 2}, {"\xe0\xa0\x80", 3, 3}, {"\xed\x9f\xbf", 3, 3},
		{"\xee\x80\x80", 3, 3}, {"\xf0\x90\x80\x80", 4, 4}, {"\xf4\x8f\xbf\xbf", 4, 4},
		{"\x80", 1, 0}, {"\xc0\x80", 2, 0}, {"\xc1\xbf", 2, 0}, {"\xe0\x9f\xbf", 3, 0},
		{"\xed\xa0\x80", 3, 0}, {"\xf0\x8f\xbf\xbf", 4, 0}, {"\xf4\x90\x80\x80", 4, 0}, {"\xf5\x80\x80\x80", 4, 0},
		{"\xc3", 1, 0}, {"\xe2\x82", 2, 0}, {"\xf0\x9f\x98", 3, 0}, {"\xc3""a", 2, 0}, {"\xe2\x82""a", 3, 0},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		cr_expect_eq(utf8_char(table[i].bytes, table[i].n), table[i].len, "row %zu", i);
}

Test(utf8, what_is_none_is_replaced_byte_by_byte)
{
	static const char *const table[][2] = {
		{"", ""}, {"plain", "plain"}, {"\xc3\xa9t\xc3\xa9", "\xc3\xa9t\xc3\xa9"},
		{"a\xff""b", "a\xef\xbf\xbd""b"}, {"cut \xe2\x82", "cut \xef\xbf\xbd\xef\xbf\xbd"},
		{"\xc3\xa9\xc3", "\xc3\xa9\xef\xbf\xbd"},
	};
	size_t n;

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		AUTO_FREE char *clean = utf8_clean(table[i][0], strlen(table[i][0]), &n);

		cr_expect_str_eq(clean, table[i][1]);
		cr_expect_eq(n, strlen(table[i][1]));
	}
	AUTO_FREE char *with_nul = utf8_clean("a\0\xff", 3, &n);

	cr_assert_eq(n, 5);
	cr_assert_eq(memcmp(with_nul, "a\0\xef\xbf\xbd", 6), 0);
}
