/* Detach keys: what they look like, and that nothing typed is lost. */
#include <criterion/criterion.h>
#include <string.h>

#include "detach_keys.h"

static struct detach_keys keys_of(const char *spec)
{
	struct detach_keys k;

	cr_assert_eq(detach_keys_parse(&k, spec, NULL), 0);
	return k;
}

/* Types the text one byte at a time; returns what the process got. */
static bool type(struct detach_keys *k, const char *text, size_t n, char *got)
{
	size_t len = 0;
	bool detach = false;

	for (size_t i = 0; i < n && !detach; i++)
		len += detach_keys_scan(k, (const uint8_t *)text + i, 1, (uint8_t *)got + len, &detach);
	got[len] = '\0';
	return detach;
}

Test(detach_keys, default_is_ctrl_p_ctrl_q)
{
	struct detach_keys k = keys_of(NULL), e = keys_of("");

	cr_assert_eq(k.n, 2);
	cr_assert_arr_eq(k.key, "\x10\x11", 2);
	cr_assert_arr_eq(e.key, "\x10\x11", 2);
}

Test(detach_keys, every_kind_of_name_is_known)
{
	struct detach_keys k = keys_of("a,ctrl-@,ctrl-[,ctrl-\\,ctrl-_,DEL,ctrl-z");

	cr_assert_eq(k.n, 7);
	cr_assert_arr_eq(k.key, "a\x00\x1b\x1c\x1f\x7f\x1a", 7);
}

Test(detach_keys, nonsense_is_refused_by_name)
{
	static const char *const bad[] = {"zzz", "ctrl-", "ctrl-1", "a,", ",", "ctrl-pp"};
	struct detach_keys k;
	struct err err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(detach_keys_parse(&k, bad[i], &err), -1, "%s", bad[i]);
	cr_assert_eq(detach_keys_parse(&k, "zzz", &err), -1);
	cr_assert_eq(err.kind, ERR_INVALID);
	cr_assert_str_eq(err.msg, "Invalid detach keys (zzz) provided");
}

Test(detach_keys, sequence_detaches_and_what_follows_is_dropped)
{
	struct detach_keys k = keys_of(NULL);
	uint8_t out[64];
	bool detach;
	size_t n = detach_keys_scan(&k, (const uint8_t *)"ab\x10\x11xy", 6, out, &detach);

	cr_assert(detach);
	cr_assert_eq(n, 2);
	cr_assert_arr_eq(out, "ab", 2);
}

Test(detach_keys, lone_prefix_is_passed_on_with_the_next_key)
{
	struct detach_keys k = keys_of(NULL);
	char got[64];

	cr_assert_not(type(&k, "\x10", 1, got));
	cr_assert_str_empty(got);
	cr_assert_not(type(&k, "x", 1, got));
	cr_assert_str_eq(got, "\x10x");
}

Test(detach_keys, prefix_typed_twice_still_detaches)
{
	struct detach_keys k = keys_of(NULL);
	char got[64];

	cr_assert(type(&k, "\x10\x10\x11", 3, got));
	cr_assert_str_eq(got, "\x10");
}

Test(detach_keys, overlapping_sequence_is_found)
{
	struct detach_keys k = keys_of("a,a,b");
	char got[64];

	cr_assert(type(&k, "aaaab", 5, got));
	cr_assert_str_eq(got, "aa");
}

Test(detach_keys, end_of_input_gives_back_what_is_held)
{
	struct detach_keys k = keys_of("a,b,c");
	uint8_t out[DETACH_KEYS_MAX];
	char got[64];

	cr_assert_not(type(&k, "ab", 2, got));
	cr_assert_eq(detach_keys_flush(&k, out), 2);
	cr_assert_arr_eq(out, "ab", 2);
	cr_assert_eq(detach_keys_flush(&k, out), 0);
}
