/* base/clock: RFC 3339 as Go writes and reads it. */
#include <criterion/criterion.h>
#include <stdint.h>

#include "base/clock.h"

Test(clock, formats_like_rfc3339nano)
{
	char out[CLOCK_RFC3339_MAX];

	cr_assert_str_eq(clock_format(1136239445000000000, 0, out), "2006-01-02T22:04:05Z");
	cr_assert_str_eq(clock_format(1136239445000000000, 1, out), "2006-01-02T22:04:05.000000000Z");
	cr_assert_str_eq(clock_format(1136239445120000000, 0, out), "2006-01-02T22:04:05.12Z");
	cr_assert_str_eq(clock_format(1136239445000000001, 0, out), "2006-01-02T22:04:05.000000001Z");
	cr_assert_str_eq(clock_format(-1, 0, out), "1969-12-31T23:59:59.999999999Z");
	cr_assert_str_eq(clock_format(0, 0, out), "0001-01-01T00:00:00Z");
	cr_assert_str_eq(clock_format(INT64_MAX, 0, out), "2262-04-11T23:47:16.854775807Z");
}

Test(clock, parses_fractions_and_offsets)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {
		{"2006-01-02T22:04:05Z", 1136239445000000000},
		{"2006-01-02t22:04:05z", 1136239445000000000},
		{"2006-01-02T15:04:05-07:00", 1136239445000000000},
		{"2006-01-03T03:34:05+05:30", 1136239445000000000},
		{"2006-01-02T22:04:05.5Z", 1136239445500000000},
		{"2006-01-02T22:04:05.0000000019Z", 1136239445000000001},
		{"2000-02-29T00:00:00Z", 951782400000000000},
		{"0001-01-01T00:00:00Z", 0},
		{"1969-12-31T23:59:59.5Z", -500000000},
	};
	int64_t ns;

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		ns = 42;
		cr_assert_eq(clock_parse(good[i].text, &ns), 0, "%s", good[i].text);
		cr_assert_eq(ns, good[i].ns, "%s gave %lld", good[i].text, (long long)ns);
	}
}

Test(clock, refuses_what_is_no_time)
{
	static const char *const bad[] = {
		"", "2006-01-02", "2006-01-02T22:04:05", "2006-1-02T22:04:05Z", "2006-13-02T22:04:05Z",
		"2006-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2006-01-00T22:04:05Z",
		"2006-01-02T24:00:00Z", "2006-01-02T22:60:05Z", "2006-01-02T22:04:60Z",
		"2006-01-02T22:04:05.Z", "2006-01-02T22:04:05Zx", "2006-01-02 22:04:05Z",
		"2006-01-02T22:04:05+0700", "2006-01-02T22:04:05+24:00", "9999-01-01T00:00:00Z",
		"-006-01-02T22:04:05Z", " 2006-01-02T22:04:05Z",
	};
	int64_t ns = 42;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		cr_assert_eq(clock_parse(bad[i], &ns), -1, "%s", bad[i]);
		cr_assert_eq(ns, 42);
	}
}

Test(clock, what_is_formatted_can_be_parsed)
{
	char out[CLOCK_RFC3339_MAX];

	for (int64_t ns = -9000000000000000000; ns < 9000000000000000000; ns += 123456789012345678) {
		int64_t back = 1;

		cr_assert_eq(clock_parse(clock_format(ns, ns & 1, out), &back), 0, "%s", out);
		cr_assert_eq(back, ns, "%s", out);
	}
}
