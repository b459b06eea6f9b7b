/* A run that goes on in a new log: where its next record begins, and what is known of before. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "state/log_file.h"

#define SECOND 1000000000LL

static const uint8_t boot[LOG_BOOT_ID_LEN] = "a boot of agents";
static char path[64];
static struct log *l;
static int64_t now;

static void setup(void)
{
	struct err err;

	snprintf(path, sizeof(path), "/tmp/log-torn.%d", (int)getpid());
	now = clock_wall_ns();
	l = log_open(path, &err);
	cr_assert(l != NULL, "%s", err.msg);
}

static void teardown(void)
{
	log_close(l);
	unlink(path);
}

TestSuite(log_torn, .init = setup, .fini = teardown);

static size_t record(uint8_t *out, uint8_t tag, int64_t at, const char *text)
{
	struct log_header h = {tag, LOG_FLAG_TIMED, (uint32_t)strlen(text), at};

	log_header_encode(out, &h);
	memcpy(out + LOG_HEADER, text, strlen(text));
	return LOG_HEADER + strlen(text);
}

static void expect_text(const char *want)
{
	struct log_cursor *c = log_cursor_new(l, LOG_FROM_START);
	char got[4096] = "";
	const uint8_t *p;
	struct err err;
	int64_t at;
	uint8_t tag;
	size_t n;

	while (log_cursor_next(c, &tag, &at, &p, &n, &err) == 1)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%d:%.*s", tag, (int)n, (const char *)p);
	log_cursor_free(c);
	cr_expect_str_eq(got, want);
}

static void resume(uint64_t offset)
{
	cr_assert_eq(log_resume_run(l, boot, offset, NULL), 0);
}

static void append(const uint8_t *p, size_t n)
{
	struct err err = {0};

	cr_assert_eq(log_append(l, p, n, &err), 0, "%s", err.msg);
}

Test(log_torn, at_a_record_nothing_is_lost)
{
	uint8_t b[100];
	size_t n = record(b, 2, now, "x\n");

	resume(500);
	append(b, n);
	expect_text("2:x\n");
	cr_expect_eq(log_run_position(l, boot), 500 + (int64_t)n);
}

/* Cut at every place, and given byte for byte: the rest of the record is kept, the position is right. */
Test(log_torn, within_a_record_the_next_one_is_found)
{
	uint8_t b[200];
	size_t first = record(b, 1, now, "the first\n"), n = first + record(b + first, 2, now, "second\n");

	for (size_t from = 1; from < first; from++) {
		char want[100];

		teardown();
		setup();
		resume(from);
		for (size_t i = from; i < n; i++)
			append(b + i, 1);
		if (from > LOG_HEADER) {
			snprintf(want, sizeof(want), "1:%.*s2:second\n", (int)(first - from), (char *)b + from);
			expect_text(want);
		}
		cr_expect_eq(log_run_position(l, boot), (int64_t)n, "from %zu", from);
		append(b, first); /* and goes on */
	}
}

Test(log_torn, bytes_that_only_look_like_a_header_are_none)
{
	uint8_t b[300] = {0};
	size_t fake = record(b, 1, now, "????????????????"), n;

	memset(b + fake, 0xff, 20); /* what follows is no record */
	n = fake + 20;
	n += record(b + n, 1, now, "true\n");
	resume(7);
	append(b, n);
	cr_expect_eq(log_run_position(l, boot), 7 + (int64_t)n);
	cr_expect(log_has_output(l));
}

Test(log_torn, what_has_no_end_is_shown_when_the_run_ends)
{
	resume(40);
	append((const uint8_t *)"tail\n", 5);
	expect_text("");
	log_settle(l);
	expect_text("1:tail\n");
	cr_expect_eq(log_run_position(l, boot), 45);
}

Test(log_torn, never_more_than_a_bound_is_held)
{
	uint8_t junk[64 * 1024];

	memset(junk, 'j', sizeof(junk));
	resume(40);
	for (int i = 0; i < 40; i++)
		append(junk, sizeof(junk));
	cr_expect(l->held.len < LOG_HELD_MAX);
	log_settle(l);
	cr_expect_eq(log_run_position(l, boot), 40 + 40 * (int64_t)sizeof(junk));
}

Test(log_torn, what_is_remembered_ends_where_the_agent_goes_on)
{
	uint8_t b[100];
	size_t n = record(b, 1, now, "tick\nmore\n");

	log_remember(l, 1, now - 2 * SECOND, "tick\n", 5); /* the same line, but long before */
	log_remember(l, 2, now - SECOND, "err\n", 4);
	log_remember(l, 1, now + 1000, "late\n", 5);       /* Cloud Run saw it later than the agent */
	log_remember(l, 1, now + 2000, "tick\n", 5);       /* this is the agent's first */
	log_remember(l, 1, now + 3000, "more\n", 5);
	resume(500);
	append(b, n);
	expect_text("1:tick\n2:err\n1:late\n1:tick\nmore\n");
	cr_expect_eq(log_run_position(l, boot), 500 + (int64_t)n);
}

Test(log_torn, all_of_it_when_nothing_follows_and_none_when_all_comes_again)
{
	uint8_t b[100];
	size_t n = record(b, 1, now, "one\n");

	log_remember(l, 1, now - SECOND, "zero\n", 5);
	resume(30);
	log_settle(l);
	expect_text("1:zero\n");
	append(b, n);
	expect_text("1:zero\n1:one\n");
	log_remember(l, 1, now, "one\n", 4);
	cr_assert_eq(log_begin_run(l, (const uint8_t *)"another boot id!", 0, NULL), 0);
	append(b, n);
	log_settle(l);
	expect_text("1:zero\n1:one\n1:one\n");
}
