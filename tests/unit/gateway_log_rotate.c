/* Rotation: bounded, positions unchanged, nothing taken from under a reader, the same after reopening. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "state/logs.h"

#define HEADER 16
#define LINE 48 /* payload bytes of each line below */
#define SEGMENT 4096

static char path[40];
static struct log *l;
static const uint8_t boot[LOG_BOOT_ID_LEN] = {7};
static int next_line;

static void reopen(void)
{
	struct err err = {0};

	log_close(l);
	l = log_open(path, &err);
	cr_assert_not_null(l, "%s", err.msg);
	log_set_rotation(l, SEGMENT, 3);
}

static void setup(void)
{
	struct err err = {0};
	int fd;

	snprintf(path, sizeof(path), "/tmp/log-rotate-XXXXXX");
	fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	close(fd);
	reopen();
	cr_assert_eq(log_begin_run(l, boot, 0, &err), 0, "%s", err.msg);
}

static void teardown(void)
{
	log_close(l);
	unlink(path);
}

TestSuite(log_rotate, .init = setup, .fini = teardown);

static void print_lines(int n)
{
	struct err err = {0};

	while (n--) {
		uint8_t record[HEADER + LINE + 1] = {1, 1, 0, 0, 0, 0, 0, LINE};

		record[15] = 1; /* a time, as nothing is printed at 0 */
		snprintf((char *)record + HEADER, LINE + 1, "%-*d\n", LINE - 1, next_line++);
		cr_assert_eq(log_append(l, record, HEADER + LINE, &err), 0, "%s", err.msg);
	}
}

/* The numbers of the lines that docker logs would show: they are consecutive up to the last printed. */
static int first_shown(int64_t tail)
{
	struct log_query q = {.want_stdout = true, .want_stderr = true, .tail = tail};
	struct log_lines *lines = log_lines_new(l, &q);
	int first = -1, expected = -1, r, number;
	struct err err = {0};
	const uint8_t *p;
	uint8_t tag;
	size_t n;

	while ((r = log_lines_next(lines, true, &tag, &p, &n, &err)) == 1 || r == 3) {
		char text[LINE + 1] = "";

		if (r == 3)
			continue;
		memcpy(text, p, n);
		number = (int)strtol(text, NULL, 10);
		if (first < 0)
			first = expected = number;
		cr_assert_eq(number, expected++);
	}
	cr_assert_eq(r, 0, "%s", err.msg);
	cr_assert_eq(expected, next_line);
	log_lines_free(lines);
	return first;
}

Test(log_rotate, nothing_goes_before_the_segments_are_full)
{
	print_lines(2 * SEGMENT / (HEADER + LINE));
	cr_assert_eq(first_shown(-1), 0);
}

Test(log_rotate, the_oldest_segment_goes_and_the_rest_is_whole)
{
	int first;

	print_lines(1000);
	first = first_shown(-1);
	cr_assert_gt(first, 700);
	cr_assert_lt(first, 1000 - 2 * SEGMENT / (HEADER + LINE) + 2);
	cr_assert_eq(first_shown(10), 990);
}

Test(log_rotate, the_position_in_the_stream_stays)
{
	const int64_t want = 1000 * (HEADER + LINE);

	print_lines(1000);
	cr_assert_eq(log_run_position(l, boot), want);
	reopen();
	cr_assert_eq(log_run_position(l, boot), want);
	print_lines(1000);
	cr_assert_eq(log_run_position(l, boot), 2 * want);
	cr_assert_gt(first_shown(-1), 1500);
}

Test(log_rotate, a_reopened_log_rotates_on)
{
	for (int i = 0; i < 20; i++) {
		print_lines(100);
		reopen();
		first_shown(-1);
	}
	print_lines(200);
	cr_assert_gt(first_shown(-1), 1900);
}

Test(log_rotate, a_reader_holds_what_it_has_not_read)
{
	struct log_cursor *slow = log_cursor_new(l, LOG_FROM_START);
	struct err err = {0};
	const uint8_t *p;
	int64_t time_ns;
	uint8_t tag;
	size_t n, got = 0;

	print_lines(1000);
	cr_assert_eq(first_shown(-1), 0);
	while (log_cursor_next(slow, &tag, &time_ns, &p, &n, &err) == 1)
		got += n;
	cr_assert_eq(got, 1000 * LINE);
	print_lines(1);
	cr_assert_gt(first_shown(-1), 700);
	log_cursor_free(slow);
}

Test(log_rotate, the_space_is_given_back)
{
	struct stat st;

	print_lines(20000);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_size, 20000 * (HEADER + LINE) + 40);
	/* 1.2 MiB written, 12 KiB kept; the file system counts in blocks. */
	cr_assert_lt(st.st_blocks * 512, 256 * 1024);
}

Test(log_rotate, a_run_may_begin_behind_a_hole)
{
	static const uint8_t second[LOG_BOOT_ID_LEN] = {8};
	struct err err = {0};

	print_lines(500);
	cr_assert_eq(log_begin_run(l, second, 0, &err), 0);
	print_lines(10);
	cr_assert_eq(log_run_position(l, second), 10 * (HEADER + LINE));
	print_lines(500);
	reopen();
	cr_assert_eq(log_run_position(l, second), 510 * (HEADER + LINE));
	cr_assert_gt(first_shown(-1), 700);
}
