/* base/parse: tables of what is taken and what is refused. */
#include <criterion/criterion.h>
#include <limits.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"

#define LEN(a) (sizeof(a) / sizeof(*(a)))

Test(parse, i64)
{
	static const char *const bad[] = {"", " 1", "1 ", "+1", "-", "0x1", "1.0",
					  "9223372036854775808", "-9223372036854775809"};
	int64_t v = 42;

	for (size_t i = 0; i < LEN(bad); i++)
		cr_assert_eq(parse_i64(bad[i], &v), -1, "%s", bad[i]);
	cr_assert_eq(v, 42);
	cr_assert_eq(parse_i64("-9223372036854775808", &v), 0);
	cr_assert_eq(v, INT64_MIN);
	cr_assert_eq(parse_i64("007", &v), 0);
	cr_assert_eq(v, 7);
}

Test(parse, duration_is_gos)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = {
		{"0", 0}, {"500ms", 500}, {"1m30s", 90000}, {"2h", 7200000}, {"-1.5s", -1500},
		{"+3s", 3000}, {".5s", 500}, {"1.s", 1000}, {"1500us", 1}, {"1h0m0.25s", 3600250},
		{"2\xc2\xb5s", 0}, {"999999ns", 0}, {"0.0000000000001h", 0},
	};
	static const char *const bad[] = {"", "-", "1", "s", "1x", ".s", "1s ", " 1s", "1 s", "1s2",
					  "99999999999h", "9223372036854775808ns", "1ss", "--1s"};
	int64_t ms;

	for (size_t i = 0; i < LEN(good); i++) {
		ms = -42;
		cr_assert_eq(parse_duration_ms(good[i].text, &ms), 0, "%s", good[i].text);
		cr_assert_eq(ms, good[i].ms, "%s gave %lld", good[i].text, (long long)ms);
	}
	for (size_t i = 0; i < LEN(bad); i++)
		cr_assert_eq(parse_duration_ms(bad[i], &ms), -1, "%s", bad[i]);
}

Test(parse, docker_bool)
{
	static const char *const no[] = {"", "0", "no", "No", "FALSE", "none", " 0 ", "  "};
	static const char *const yes[] = {"1", "true", "True", "yes", "x", "00", "nope"};

	cr_assert_not(parse_docker_bool(NULL));
	for (size_t i = 0; i < LEN(no); i++)
		cr_assert_not(parse_docker_bool(no[i]), "%s", no[i]);
	for (size_t i = 0; i < LEN(yes); i++)
		cr_assert(parse_docker_bool(yes[i]), "%s", yes[i]);
}

Test(parse, docker_until)
{
	const int64_t now = 1136239445000000000;
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {
		{"10m", 1136239445000000000 - 600000000000}, {"1h30m", 1136239445000000000 - 5400000000000},
		{"-1s", 1136239446000000000}, {"2006-01-02", 1136160000000000000}, {"0", 0},
		{"2006-01-02T15", 1136214000000000000}, {"2006-01-02T15:04", 1136214240000000000},
		{"2006-01-02T15:04:05", 1136214245000000000}, {"2006-01-02T15:04:05Z", 1136214245000000000},
		{"1136239445.5", 1136239445500000000},
	};
	static const char *const bad[] = {"", "x", "2006-13-02", "2006-01-02T", "10x"};
	int64_t ns;

	for (size_t i = 0; i < LEN(good); i++) {
		cr_assert_eq(parse_docker_until(good[i].text, now, &ns), 0, "%s", good[i].text);
		cr_assert_eq(ns, good[i].ns, "%s gave %lld", good[i].text, (long long)ns);
	}
	for (size_t i = 0; i < LEN(bad); i++)
		cr_assert_eq(parse_docker_until(bad[i], now, &ns), -1, "%s", bad[i]);
}

Test(parse, docker_time)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {
		{"0", 0}, {"1136239445", 1136239445000000000}, {"1136239445.5", 1136239445500000000},
		{"1136239445.000000001", 1136239445000000001}, {"1.", 1000000000},
		{"1136239445.0000000019", 1136239445000000001}, {"-1.5", -1500000000},
		{"2006-01-02T15:04:05-07:00", 1136239445000000000},
		{"9223372037", INT64_MAX}, {"-9223372037", INT64_MIN},
	};
	static const char *const bad[] = {"", ".", ".5", "x", "1.x", "1.5.5", "10m", "1e9",
					  "99999999999999999999999999"};
	int64_t ns;

	for (size_t i = 0; i < LEN(good); i++) {
		ns = -42;
		cr_assert_eq(parse_docker_time(good[i].text, &ns), 0, "%s", good[i].text);
		cr_assert_eq(ns, good[i].ns, "%s gave %lld", good[i].text, (long long)ns);
	}
	for (size_t i = 0; i < LEN(bad); i++)
		cr_assert_eq(parse_docker_time(bad[i], &ns), -1, "%s", bad[i]);
}

Test(parse, signals)
{
	static const struct {
		const char *text;
		int sig;
	} t[] = {
		{"9", 9}, {"KILL", 9}, {"SIGKILL", 9}, {"sigterm", 15}, {"64", 64}, {"RTMIN", 34},
		{"SIGRTMIN+3", 37}, {"RTMAX", 64}, {"RTMAX-14", 50}, {"IO", 29}, {"POLL", 29}, {"CLD", 17},
		{"IOT", 6}, {"0", -1}, {"65", -1}, {"-9", -1}, {"", -1}, {"SIG", -1}, {"KILLX", -1},
		{"RTMIN+31", -1}, {"RTMIN+-1", -1}, {"RTMAX-31", -1}, {"9 ", -1}, {"SIGSIGKILL", -1},
	};

	for (size_t i = 0; i < LEN(t); i++)
		cr_assert_eq(parse_signal(t[i].text), t[i].sig, "%s", t[i].text);
	cr_assert_str_eq(signal_name(15), "SIGTERM");
	cr_assert_str_eq(signal_name(37), "SIG37");
	for (int i = 1; i < 32; i++)
		cr_assert_eq(parse_signal(signal_name(i)), i);
}

Test(parse, percent)
{
	char good[] = "a%20b%2Fc+d", broken1[] = "a%2", broken2[] = "%zz", nul[] = "a%00b", lone[] = "%";

	cr_assert_eq(parse_percent_decode(good), 7);
	cr_assert_str_eq(good, "a b/c+d");
	cr_assert_eq(parse_percent_decode(broken1), -1);
	cr_assert_eq(parse_percent_decode(broken2), -1);
	cr_assert_eq(parse_percent_decode(nul), -1);
	cr_assert_eq(parse_percent_decode(lone), -1);
}

static void expect_query(const char *query, const char *key, const char *want)
{
	char *got = parse_query(query, key);

	if (!want)
		cr_assert_null(got, "%s in %s gave %s", key, query, got);
	else
		cr_assert_str_eq(got, want, "%s in %s", key, query);
	free(got);
}

Test(parse, query_finds_the_first_decodable_value)
{
	expect_query("a=1&b=2", "b", "2");
	expect_query("a=1&a=2", "a", "1");
	expect_query("a=x%20y+z", "a", "x y z");
	expect_query("a", "a", "");
	expect_query("a=", "a", "");
	expect_query("a=b=c", "a", "b=c");
	expect_query("%61=1", "a", "1");
	expect_query("a=%zz&a=2", "a", "2");
	expect_query("aa=1", "a", NULL);
	expect_query("&&=&", "a", NULL);
	expect_query("", "a", NULL);
}

static void expect_base64(const char *text, const char *want, size_t want_len)
{
	size_t n = 42;
	uint8_t *got = base64_decode(text, &n);

	if (!want) {
		cr_assert_null(got, "%s", text);
	} else {
		cr_assert_not_null(got, "%s", text);
		cr_assert_eq(n, want_len, "%s", text);
		cr_assert_eq(memcmp(got, want, n), 0, "%s", text);
	}
	free(got);
}

Test(parse, base64_both_alphabets_padded_or_not)
{
	expect_base64("", "", 0);
	expect_base64("Zg==", "f", 1);
	expect_base64("Zg", "f", 1);
	expect_base64("Zm8=", "fo", 2);
	expect_base64("Zm9v", "foo", 3);
	expect_base64("+/-_", "\xfb\xff\xbf", 3);
	expect_base64("Zg=", NULL, 0);
	expect_base64("Zm9v=", NULL, 0);
	expect_base64("Z", NULL, 0);
	expect_base64("Zm9v!", NULL, 0);
	expect_base64("Zm9v\n", NULL, 0);
	expect_base64("Z===", NULL, 0);
	expect_base64("=", NULL, 0);
}

Test(parse, base64_goes_there_and_back)
{
	uint8_t raw[64];
	char text[100];

	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = (uint8_t)(i * 37);
	for (size_t n = 0; n <= sizeof(raw); n++) {
		base64_encode(raw, n, text);
		cr_assert_eq(strlen(text), base64_encoded_len(n));
		expect_base64(text, (char *)raw, n);
	}
}

Test(parse, sizes_are_powers_of_1024)
{
	static const struct {
		const char *text;
		int64_t bytes; /* -1: refused */
	} cases[] = {
		{"0", 0}, {"100", 100}, {"1k", 1024}, {"1kB", 1024}, {"2KiB", 2048}, {"3m", 3 << 20}, {"512MiB", 512 << 20},
		{"4GiB", 4LL << 30}, {"1t", 1LL << 40}, {"7b", 7}, {"", -1}, {"-1", -1}, {"k", -1}, {"1x", -1}, {"1ki", -1},
		{"1 k", -1}, {"1kk", -1}, {"99999999t", -1}, {"99999999999999999999", -1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int64_t got = -1;
		int rc = parse_size(cases[i].text, &got);

		cr_expect_eq(rc, cases[i].bytes < 0 ? -1 : 0, "\"%s\"", cases[i].text);
		cr_expect_eq(got, cases[i].bytes, "\"%s\": %lld", cases[i].text, (long long)got);
	}
}

Test(parse, every_value_of_a_query)
{
	struct strv all = {0};

	parse_query_all("type=a&x=1&type=b%20c&type=%zz&type", "type", &all);
	cr_assert_eq(all.n, 3);
	cr_assert_str_eq(all.v[0], "a");
	cr_assert_str_eq(all.v[1], "b c");
	cr_assert_str_eq(all.v[2], "");
	strv_release(&all);
}
