/* base/log: one line per call, whatever is in it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* What log_line writes to stderr while fn runs. */
static size_t capture(void (*fn)(void), char *out, size_t max)
{
	int saved = dup(STDERR_FILENO), fds[2];
	ssize_t n;

	cr_assert_eq(pipe(fds), 0);
	dup2(fds[1], STDERR_FILENO);
	fn();
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(fds[1]);
	n = read(fds[0], out, max - 1);
	close(fds[0]);
	out[n > 0 ? n : 0] = '\0';
	return (size_t)n;
}

static void say_two(void)
{
	log_init("gw", LOG_LEVEL_INFO);
	log_info("agent up", "container=%.12s n=%d", "0123456789abcdef", 3);
	log_debug("not seen", "");
	log_warn("plain", "");
}

Test(log, one_line_each_and_nothing_above_the_level)
{
	char out[4096], *second;

	capture(say_two, out, sizeof(out));
	cr_assert_not_null(strstr(out, "Z info gw: agent up container=0123456789ab n=3\n"), "%s", out);
	second = strchr(out, '\n') + 1;
	cr_assert_not_null(strstr(second, "Z warn gw: plain\n"), "%s", out);
	cr_assert_null(strstr(out, "not seen"));
	cr_assert_eq(second[4], '-'); /* a date */
	cr_assert_eq(second[19], '.');
}

static void say_forged(void)
{
	log_init("gw", LOG_LEVEL_INFO);
	log_error("bad request", "path=\"%s\"", "/x\n2026-01-01T00:00:00.000Z info gw: forged\x1b[2J");
}

Test(log, a_peer_cannot_forge_a_line)
{
	char out[4096];

	capture(say_forged, out, sizeof(out));
	cr_assert_eq(strchr(out, '\n'), out + strlen(out) - 1);
	cr_assert_null(strchr(out, '\x1b'));
}

static void say_long(void)
{
	static char text[10000];

	memset(text, 'a', sizeof(text) - 1);
	log_init("gw", LOG_LEVEL_INFO);
	log_info("long", "text=%s", text);
}

Test(log, a_long_line_is_cut_and_ends)
{
	char out[20000];
	size_t n = capture(say_long, out, sizeof(out));

	cr_assert_leq(n, 4096);
	cr_assert_eq(out[n - 1], '\n');
}

Test(log, level_names)
{
	enum log_level l = LOG_LEVEL_INFO;

	cr_assert_eq(log_level_parse("Debug", &l), 0);
	cr_assert_eq(l, LOG_LEVEL_DEBUG);
	cr_assert_eq(log_level_parse("loud", &l), -1);
	cr_assert_eq(l, LOG_LEVEL_DEBUG);
}

static void say_json(void)
{
	log_init("agent", LOG_LEVEL_INFO);
	log_as_json("sockerless_agent");
	log_warn("link lost", "reason=\"%s\"", "a\\b");
}

Test(log, json_lines_carry_the_mark_and_escape_quotes)
{
	char out[4096];

	capture(say_json, out, sizeof(out));
	cr_assert_eq(strstr(out, "{\"sockerless_agent\":{\"level\":\"warn\"},\"severity\":\"WARNING\",\"message\":\""), out, "%s", out);
	cr_assert_not_null(strstr(out, "link lost reason=\\\"a\\\\b\\\"\"}\n"), "%s", out);
}
