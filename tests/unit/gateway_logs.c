/* Container logs: byte-exact through any cut, recovery at every byte, docker logs' options against a
 * naive model of how dockerd splits lines. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "state/logs.h"

#define HEADER 16
#define MARKER 40
#define MAX (64 * 1024 * 1024)

static char path[32];
static struct log *l;
static const uint8_t boot_a[LOG_BOOT_ID_LEN] = {0xa}, boot_b[LOG_BOOT_ID_LEN] = {0xb};

static void setup(void)
{
	struct err err = {0};
	int fd;

	snprintf(path, sizeof(path), "/tmp/log-XXXXXX");
	fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	close(fd);
	l = log_open(path, &err);
	cr_assert_not_null(l, "%s", err.msg);
}

static void teardown(void)
{
	log_close(l);
	unlink(path);
}

TestSuite(logs, .init = setup, .fini = teardown);

static void reopen(void)
{
	struct err err = {0};

	log_close(l);
	l = log_open(path, &err);
	cr_assert_not_null(l, "%s", err.msg);
}

/* ---- making output ---- */

static void record(struct buf *stream, int tag, int64_t time_ns, const void *p, size_t n)
{
	uint8_t h[HEADER] = {(uint8_t)tag, 1, 0, 0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
			     (uint8_t)n};

	for (int i = 0; i < 8; i++)
		h[8 + i] = (uint8_t)((uint64_t)time_ns >> (56 - 8 * i));
	buf_append(stream, h, sizeof(h));
	buf_append(stream, p, n);
}

static void text(struct buf *stream, int tag, int64_t time_ns, const char *s)
{
	record(stream, tag, time_ns, s, strlen(s));
}

static void begin(const uint8_t *boot)
{
	struct err err = {0};

	cr_assert_eq(log_begin_run(l, boot, 0, &err), 0, "%s", err.msg);
}

static void append(const void *p, size_t n)
{
	struct err err = {0};

	cr_assert_eq(log_append(l, p, n, &err), 0, "%s", err.msg);
}

static void append_all(struct buf *stream)
{
	append(buf_head(stream), stream->len);
	buf_release(stream);
}

static uint32_t seed = 1;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

static void append_chunked(const uint8_t *p, size_t n)
{
	while (n) {
		size_t k = 1 + (rnd(4) ? rnd(40) : rnd(20000));

		k = k < n ? k : n;
		append(p, k);
		p += k;
		n -= k;
	}
}

/* ---- reading ---- */

/* Everything a raw cursor gives now, one buffer per tag. */
static void read_raw(struct log_cursor *c, struct buf out[3])
{
	struct err err = {0};
	const uint8_t *p;
	uint8_t tag;
	int64_t t;
	size_t n;
	int r;

	while ((r = log_cursor_next(c, &tag, &t, &p, &n, &err)) == 1) {
		cr_assert(tag == 1 || tag == 2);
		cr_assert_gt(n, 0);
		cr_assert_eq(buf_append(&out[tag], p, n), 0);
		cr_assert_eq(buf_append(&out[0], p, n), 0);
	}
	cr_assert_eq(r, 0, "%s", err.msg);
}

static void bufs_init(struct buf out[3])
{
	for (int i = 0; i < 3; i++)
		buf_init(&out[i], MAX);
}

static void bufs_release(struct buf out[3])
{
	for (int i = 0; i < 3; i++)
		buf_release(&out[i]);
}

static void expect_bytes(const struct buf *b, const void *p, size_t n)
{
	cr_assert_eq(b->len, n, "%zu bytes, %zu expected", b->len, n);
	cr_assert(n == 0 || memcmp(buf_head(b), p, n) == 0);
}

static void expect_raw(const char *all)
{
	struct log_cursor *c = log_cursor_new(l, LOG_FROM_START);
	struct buf out[3];

	bufs_init(out);
	read_raw(c, out);
	expect_bytes(&out[0], all, strlen(all));
	bufs_release(out);
	log_cursor_free(c);
}

static struct log_query all(void)
{
	return (struct log_query){.want_stdout = true, .want_stderr = true, .tail = -1};
}

/* The lines as "1:text|2:text|": what is between is exactly one piece. Ends with "END" after until. */
static void read_lines_of(struct log_lines *c, bool final, struct buf *out)
{
	struct err err = {0};
	const uint8_t *p;
	uint8_t tag;
	size_t n;
	int r;

	while ((r = log_lines_next(c, final, &tag, &p, &n, &err)) == 1 || r == 3) {
		if (r == 3)
			continue;
		cr_assert_eq(buf_printf(out, "%d:", tag), 0);
		cr_assert_eq(buf_append(out, p, n), 0);
		cr_assert_eq(buf_append(out, "|", 1), 0);
	}
	if (r == 2)
		buf_append(out, "END", 3);
	else
		cr_assert_eq(r, 0, "%s", err.msg);
}

static void read_lines(const struct log_query *q, bool final, struct buf *out)
{
	struct log_lines *c = log_lines_new(l, q);

	read_lines_of(c, final, out);
	log_lines_free(c);
}

static void expect_lines(struct log_query q, bool final, const char *want)
{
	struct buf out;
	char *got;

	buf_init(&out, MAX);
	read_lines(&q, final, &out);
	got = buf_detach(&out, NULL);
	cr_expect_str_eq(got, want, "got  %s\nwant %s", got, want);
	free(got);
}

/* ---- the writer ---- */

Test(logs, output_cut_anywhere_comes_back_byte_for_byte)
{
	struct buf stream, want[3], got[3];
	struct log_cursor *c;

	buf_init(&stream, MAX);
	bufs_init(want);
	bufs_init(got);
	for (int i = 0; i < 500; i++) {
		size_t n = 1 + (rnd(10) ? rnd(200) : rnd(150000));
		AUTO_FREE uint8_t *p = xmalloc(n);
		int tag = 1 + (int)rnd(2);

		for (size_t k = 0; k < n; k++)
			p[k] = (uint8_t)rnd(256);
		record(&stream, tag, i, p, n);
		buf_append(&want[0], p, n);
		buf_append(&want[tag], p, n);
	}
	begin(boot_a);
	cr_expect_not(log_has_output(l));
	append_chunked(buf_head(&stream), stream.len);
	cr_expect(log_has_output(l));
	cr_expect_eq(log_run_position(l, boot_a), (int64_t)stream.len);
	for (int round = 0; round < 2; round++) {
		c = log_cursor_new(l, LOG_FROM_START);
		read_raw(c, got);
		for (int i = 0; i < 3; i++)
			expect_bytes(&got[i], buf_head(&want[i]), want[i].len);
		bufs_release(got);
		log_cursor_free(c);
		reopen();
		cr_expect_eq(log_run_position(l, boot_a), (int64_t)stream.len);
		cr_expect_eq(log_size(l), stream.len + MARKER);
	}
	bufs_release(want);
	buf_release(&stream);
}

Test(logs, position_is_known_only_for_the_last_run)
{
	struct buf s;

	cr_expect_eq(log_run_position(l, boot_a), -1);
	begin(boot_a);
	cr_expect_eq(log_run_position(l, boot_a), 0);
	buf_init(&s, MAX);
	text(&s, 1, 1, "one\n");
	append_all(&s);
	cr_expect_eq(log_run_position(l, boot_a), 20);
	cr_assert_eq(log_begin_run(l, boot_b, 1000, NULL), 0);
	cr_expect_eq(log_run_position(l, boot_a), -1);
	cr_expect_eq(log_run_position(l, boot_b), 1000);
	reopen();
	cr_expect_eq(log_run_position(l, boot_a), -1);
	cr_expect_eq(log_run_position(l, boot_b), 1000, "bytes before 1000 are lost, and it shows");
}

/* The gateway was killed when `cut` bytes had been written. */
static void check_recovery(const uint8_t *file, size_t cut, const struct buf *stream, const char *want)
{
	int fd = open(path, O_WRONLY | O_TRUNC);
	int64_t at;

	cr_assert_eq(write(fd, file, cut), (ssize_t)cut);
	close(fd);
	reopen();
	at = log_run_position(l, boot_a);
	if (cut < MARKER) {
		cr_assert_eq(at, -1, "cut at %zu", cut);
		begin(boot_a);
		at = 0;
	}
	cr_assert_eq((size_t)at, cut < MARKER ? 0 : cut - MARKER, "cut at %zu", cut);
	append(buf_head(stream) + at, stream->len - (size_t)at);
	expect_raw(want);
	expect_lines(all(), true, "1:one\n|2:two\n|1:three|");
}

Test(logs, a_killed_gateway_goes_on_at_the_very_byte)
{
	struct buf stream;
	uint8_t file[256];
	size_t n;
	int fd;

	buf_init(&stream, MAX);
	text(&stream, 1, 1, "one\n");
	text(&stream, 2, 2, "two\n");
	text(&stream, 1, 3, "three");
	begin(boot_a);
	append(buf_head(&stream), stream.len);
	fd = open(path, O_RDONLY);
	n = (size_t)read(fd, file, sizeof(file));
	close(fd);
	cr_assert_eq(n, MARKER + stream.len);
	for (size_t cut = 0; cut <= n; cut++)
		check_recovery(file, cut, &stream, "one\ntwo\nthree");
	buf_release(&stream);
}

/* The container was lost in the middle of a record and starts again. */
Test(logs, a_record_cut_by_the_runs_end_is_mended_at_every_byte)
{
	struct buf stream;

	buf_init(&stream, MAX);
	text(&stream, 1, 1, "first\n");
	text(&stream, 2, 2, "second");
	for (size_t cut = 0; cut <= stream.len; cut++) {
		size_t out = (cut > 16 ? (cut < 22 ? cut - 16 : 6) : 0) + (cut > 38 ? cut - 38 : 0);
		AUTO_FREE char *want = xasprintf("%.*sagain", (int)out, "first\nsecond");

		cr_assert_eq(truncate(path, 0), 0);
		reopen();
		begin(boot_a);
		append(buf_head(&stream), cut);
		if (cut % 2)
			reopen(); /* known from the scan, or from the appending */
		begin(boot_b);
		cr_assert_eq(log_run_position(l, boot_b), 0);
		{
			struct buf s;

			buf_init(&s, MAX);
			text(&s, 1, 3, "again");
			append_all(&s);
		}
		expect_raw(want);
		reopen();
		cr_assert_eq(log_run_position(l, boot_b), HEADER + 5, "cut %zu", cut);
		expect_raw(want);
	}
	buf_release(&stream);
}

Test(logs, cursors_stand_through_the_mending)
{
	/* One cursor in the middle of the record, one that has read all of it, one that has it in its
	 * buffer, and one line cursor. */
	for (size_t cut = 1; cut <= 40; cut++) {
		struct log_cursor *now, *start, *slow;
		const uint8_t *p;
		uint8_t tag;
		int64_t t;
		size_t n;
		struct log_query q = all();
		struct log_lines *lines;
		struct buf s, out[3], text_out;
		size_t seen = cut > HEADER ? cut - HEADER : 0;
		AUTO_FREE char *want = xasprintf("%.*snext", (int)seen, "0123456789012345678901234567890");

		cr_assert_eq(truncate(path, 0), 0);
		reopen();
		begin(boot_a);
		bufs_init(out);
		buf_init(&text_out, MAX);
		buf_init(&s, MAX);
		text(&s, 1, 1, "-");
		append_all(&s);
		slow = log_cursor_new(l, LOG_FROM_START);
		start = log_cursor_new(l, LOG_FROM_NOW);
		lines = log_lines_new(l, &q);
		text(&s, 1, 1, "0123456789012345678901234567890");
		append(buf_head(&s), cut);
		cr_assert_eq(log_cursor_next(slow, &tag, &t, &p, &n, NULL), 1);
		cr_assert_eq(n, 1);
		now = log_cursor_new(l, LOG_FROM_NOW);
		read_raw(start, out);
		read_lines_of(lines, false, &text_out);
		cr_assert_eq(text_out.len, 0);
		begin(boot_b);
		buf_release(&s);
		text(&s, 2, 1, "next");
		append_all(&s);
		read_raw(start, out);
		expect_bytes(&out[0], want, strlen(want));
		bufs_release(out);
		read_raw(now, out);
		expect_bytes(&out[0], want, strlen(want));
		bufs_release(out);
		read_raw(slow, out);
		expect_bytes(&out[0], want, strlen(want));
		bufs_release(out);
		read_lines_of(lines, true, &text_out);
		free(want);
		want = xasprintf("1:-%.*s|2:next|", (int)seen, "0123456789012345678901234567890");
		expect_bytes(&text_out, want, strlen(want));
		buf_release(&text_out);
		log_cursor_free(start);
		log_cursor_free(now);
		log_cursor_free(slow);
		log_lines_free(lines);
	}
}

Test(logs, what_is_no_record_is_refused_and_leaves_no_trace)
{
	static const uint8_t bad[][HEADER] = {
		{0, 1, 0, 0, 0, 0, 0, 24},  /* a marker inside the stream would forge the position */
		{3, 1, 0, 0, 0, 0, 0, 1},
		{1, 0, 0, 0, 0, 0, 0, 1},
		{1, 3, 0, 0, 0, 0, 0, 1},   /* only the gateway makes these */
		{1, 1, 1, 0, 0, 0, 0, 1},
		{1, 1, 0, 1, 0, 0, 0, 1},
	};
	struct buf s;
	struct err err = {0};

	buf_init(&s, MAX);
	text(&s, 1, 1, "good");
	cr_expect_eq(log_append(l, buf_head(&s), s.len, &err), -1, "no run yet");
	begin(boot_a);
	append(buf_head(&s), s.len - 2);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct buf more;

		buf_init(&more, MAX);
		buf_append(&more, "od", 2);
		buf_append(&more, bad[i], HEADER);
		cr_expect_eq(log_append(l, buf_head(&more), more.len, &err), -1);
		cr_expect_eq(err.kind, ERR_INVALID);
		buf_release(&more);
	}
	cr_expect_eq(log_size(l), MARKER + s.len - 2);
	append("od", 2);
	expect_raw("good");
	buf_release(&s);
}

Test(logs, a_full_disk_takes_nothing_and_forgets_nothing)
{
	struct rlimit limit, was;
	struct buf s;
	struct err err = {0};

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &was);
	buf_init(&s, MAX);
	text(&s, 1, 1, "0123456789");
	begin(boot_a);
	for (rlim_t room = 0; room < s.len; room++) { /* a short write, then the refusal */
		limit = was;
		limit.rlim_cur = MARKER + room;
		setrlimit(RLIMIT_FSIZE, &limit);
		cr_expect_eq(log_append(l, buf_head(&s), s.len, &err), -1);
		cr_expect_eq(err.kind, ERR_SYSTEM);
		cr_expect_eq(log_run_position(l, boot_a), 0);
		setrlimit(RLIMIT_FSIZE, &was);
	}
	reopen();
	cr_expect_eq(log_run_position(l, boot_a), 0);
	append_all(&s);
	expect_raw("0123456789");
}

Test(logs, a_disk_full_at_the_next_run_closes_the_former_one)
{
	struct rlimit limit, was;
	struct buf s;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &was);
	buf_init(&s, MAX);
	text(&s, 1, 1, "0123456789");
	begin(boot_a);
	append(buf_head(&s), s.len - 5);
	limit = was;
	limit.rlim_cur = MARKER + s.len;
	setrlimit(RLIMIT_FSIZE, &limit);
	cr_expect_eq(log_begin_run(l, boot_b, 0, NULL), -1);
	setrlimit(RLIMIT_FSIZE, &was);
	cr_expect_eq(log_run_position(l, boot_a), -1, "its last record was closed at half");
	cr_expect_eq(log_append(l, buf_head(&s) + s.len - 5, 5, NULL), -1);
	begin(boot_b);
	append_all(&s);
	expect_raw("012340123456789");
}

Test(logs, a_damaged_file_is_cut_where_the_damage_begins)
{
	struct buf s;
	int fd;

	buf_init(&s, MAX);
	text(&s, 1, 1, "good");
	begin(boot_a);
	append_all(&s);
	fd = open(path, O_WRONLY | O_APPEND);
	cr_assert_eq(write(fd, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20), 20); /* after a power cut */
	close(fd);
	reopen();
	cr_expect_eq(log_run_position(l, boot_a), HEADER + 4);
	expect_raw("good");
}

Test(logs, records_of_our_own_are_no_part_of_the_stream)
{
	struct buf s;

	cr_assert_eq(log_append_record(l, 1, 5, "history\n", 8, NULL), 0, "also before any run");
	begin(boot_a);
	buf_init(&s, MAX);
	text(&s, 1, 1, "a\n");
	append(buf_head(&s), s.len);
	cr_assert_eq(log_append_record(l, 2, 5, "ours\n", 5, NULL), 0);
	cr_expect_eq(log_run_position(l, boot_a), HEADER + 2);
	append_all(&s);
	reopen();
	cr_expect_eq(log_run_position(l, boot_a), 2 * (HEADER + 2));
	expect_lines(all(), true, "1:history\n|1:a\n|2:ours\n|1:a\n|");
	/* In the middle of a record the run cannot go on. */
	buf_init(&s, MAX);
	text(&s, 1, 1, "torn");
	append(buf_head(&s), s.len - 1);
	cr_assert_eq(log_append_record(l, 2, 5, "ours\n", 5, NULL), 0);
	cr_expect_eq(log_run_position(l, boot_a), -1);
	reopen();
	cr_expect_eq(log_run_position(l, boot_a), -1);
	expect_lines(all(), true, "1:history\n|1:a\n|2:ours\n|1:a\n|1:tor|2:ours\n|");
	buf_release(&s);
}

Test(logs, the_file_is_private_and_goes_on_unlink)
{
	struct log_cursor *c;
	struct stat st;
	struct buf s;
	const uint8_t *p;
	uint8_t tag;
	int64_t t;
	size_t n;

	log_unlink(l);
	reopen();
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0600);
	begin(boot_a);
	buf_init(&s, MAX);
	text(&s, 1, 1, "x");
	append_all(&s);
	c = log_cursor_new(l, LOG_FROM_START);
	log_unlink(l);
	log_close(l);
	cr_expect_eq(log_cursor_next(c, &tag, &t, &p, &n, NULL), 1, "a reader outlives the container");
	log_cursor_free(c);
	l = NULL;
}

/* ---- following ---- */

static void on_wake(void *ctx)
{
	(*(int *)ctx)++;
}

Test(logs, a_follower_is_woken_once_per_rest)
{
	struct log_cursor *c = log_cursor_new(l, LOG_FROM_NOW);
	struct buf s, out[3];
	int woken = 0;

	begin(boot_a);
	cr_expect_eq(woken, 0);
	log_cursor_follow(c, on_wake, &woken);
	buf_init(&s, MAX);
	bufs_init(out);
	text(&s, 1, 1, "a");
	append(buf_head(&s), s.len);
	append(buf_head(&s), s.len);
	cr_expect_eq(woken, 1, "it has not read yet");
	read_raw(c, out);
	expect_bytes(&out[0], "aa", 2);
	append(buf_head(&s), 5);
	cr_expect_eq(woken, 2);
	read_raw(c, out);
	append(buf_head(&s) + 5, s.len - 5);
	cr_expect_eq(woken, 3);
	read_raw(c, out);
	expect_bytes(&out[0], "aaa", 3);
	log_cursor_follow(c, NULL, NULL);
	append(buf_head(&s), s.len);
	cr_expect_eq(woken, 3);
	bufs_release(out);
	buf_release(&s);
	log_cursor_free(c);
}

Test(logs, from_now_begins_at_the_record_under_way)
{
	struct buf s, out[3];
	struct log_cursor *c;

	buf_init(&s, MAX);
	bufs_init(out);
	begin(boot_a);
	text(&s, 1, 1, "before");
	append(buf_head(&s), s.len);
	append(buf_head(&s), s.len - 2);
	c = log_cursor_new(l, LOG_FROM_NOW);
	append("re", 2);
	read_raw(c, out);
	expect_bytes(&out[0], "before", 6);
	bufs_release(out);
	buf_release(&s);
	log_cursor_free(c);
}

Test(logs, a_line_follower_gets_whole_lines)
{
	struct log_query q = all();
	struct log_lines *c;
	struct buf s, out;
	int woken = 0;

	begin(boot_a);
	buf_init(&s, MAX);
	buf_init(&out, MAX);
	c = log_lines_new(l, &q);
	log_lines_follow(c, on_wake, &woken);
	text(&s, 1, 1, "a\nb");
	append_all(&s);
	cr_expect_eq(woken, 1);
	read_lines_of(c, false, &out);
	expect_bytes(&out, "1:a\n|", 5);
	text(&s, 2, 1, "err\n");
	text(&s, 1, 1, "b\nc");
	append_all(&s);
	cr_expect_eq(woken, 2);
	read_lines_of(c, false, &out);
	expect_bytes(&out, "1:a\n|2:err\n|1:bb\n|", 18);
	read_lines_of(c, true, &out);
	expect_bytes(&out, "1:a\n|2:err\n|1:bb\n|1:c|", 22);
	read_lines_of(c, true, &out);
	expect_bytes(&out, "1:a\n|2:err\n|1:bb\n|1:c|", 22);
	buf_release(&out);
	log_lines_free(c);
}

/* ---- docker logs' options ---- */

#define S 1000000000LL

static void two_streams(void)
{
	struct buf s;

	begin(boot_a);
	buf_init(&s, MAX);
	text(&s, 1, 1 * S, "o1\no2 be");
	text(&s, 2, 2 * S, "e1\ne2 be");
	text(&s, 1, 3 * S, "gun\n");
	text(&s, 2, 4 * S, "gun\n");
	text(&s, 1, 5 * S, "o3\no4 open");
	append_all(&s);
}

Test(logs, streams_are_chosen_and_open_lines_kept_until_final)
{
	struct log_query q = all();

	two_streams();
	expect_lines(q, false, "1:o1\n|2:e1\n|1:o2 begun\n|2:e2 begun\n|1:o3\n|");
	expect_lines(q, true, "1:o1\n|2:e1\n|1:o2 begun\n|2:e2 begun\n|1:o3\n|1:o4 open|");
	q.want_stdout = false;
	expect_lines(q, true, "2:e1\n|2:e2 begun\n|");
	q.want_stdout = true;
	q.want_stderr = false;
	expect_lines(q, true, "1:o1\n|1:o2 begun\n|1:o3\n|1:o4 open|");
}

Test(logs, tail_counts_both_streams_before_the_filter)
{
	struct log_query q = all();

	two_streams();
	q.tail = 3;
	expect_lines(q, true, "2:e2 begun\n|1:o3\n|1:o4 open|");
	expect_lines(q, false, "1:o2 begun\n|2:e2 begun\n|1:o3\n|");
	q.want_stdout = false;
	expect_lines(q, true, "2:e2 begun\n|");
	q = all();
	q.tail = 0;
	expect_lines(q, true, "");
	q.tail = 100;
	expect_lines(q, true, "1:o1\n|2:e1\n|1:o2 begun\n|2:e2 begun\n|1:o3\n|1:o4 open|");
}

Test(logs, tail_zero_follows_what_comes)
{
	struct log_query q = all();
	struct log_lines *c;
	struct buf s, out;

	two_streams();
	buf_init(&s, MAX);
	buf_init(&out, MAX);
	q.tail = 0;
	c = log_lines_new(l, &q);
	read_lines_of(c, false, &out);
	cr_expect_eq(out.len, 0);
	text(&s, 1, 6 * S, "ed\nnew\n");
	append_all(&s);
	read_lines_of(c, false, &out);
	expect_bytes(&out, "1:o4 opened\n|1:new\n|", 20);
	buf_release(&out);
	log_lines_free(c);
}

Test(logs, without_follow_it_is_the_log_as_it_was)
{
	struct log_query q = all();
	struct log_lines *c;
	struct buf s, out;

	for (int tail = -1; tail < 2; tail += 2) {
		begin(boot_a);
		buf_init(&s, MAX);
		buf_init(&out, MAX);
		text(&s, 1, 1 * S, "one\n");
		append_all(&s);
		q.tail = tail;
		q.as_it_is = true;
		c = log_lines_new(l, &q);
		text(&s, 1, 2 * S, "two\n");
		append_all(&s);
		read_lines_of(c, true, &out);
		expect_bytes(&out, "1:one\n|", 7);
		buf_release(&out);
		log_lines_free(c);
	}
}

Test(logs, since_and_until_look_at_a_lines_first_byte)
{
	struct log_query q = all();

	two_streams();
	q.since_ns = 2 * S;
	expect_lines(q, true, "2:e1\n|2:e2 begun\n|1:o3\n|1:o4 open|");
	q.since_ns = 2 * S + 1;
	expect_lines(q, true, "1:o3\n|1:o4 open|");
	q = all();
	q.until_ns = 2 * S;
	expect_lines(q, true, "1:o1\n|2:e1\n|1:o2 begun\n|2:e2 begun\n|END");
	q.until_ns = 1;
	expect_lines(q, true, "END");
}

Test(logs, timestamps_and_details_go_before_each_line)
{
	struct log_query q = all();
	struct buf s;

	begin(boot_a);
	buf_init(&s, MAX);
	text(&s, 1, 1136214245 * S, "a\nb");
	text(&s, 1, 1136214246 * S + 5, "\nc");
	append_all(&s);
	q.timestamps = true;
	expect_lines(q, true, "1:2006-01-02T15:04:05.000000000Z a\n|1:2006-01-02T15:04:05.000000000Z b\n|"
			      "1:2006-01-02T15:04:06.000000005Z c|");
	q.details = "k=v,l=w ";
	expect_lines(q, false, "1:2006-01-02T15:04:05.000000000Z k=v,l=w a\n|"
			       "1:2006-01-02T15:04:05.000000000Z k=v,l=w b\n|");
	q.timestamps = false;
	q.details = " ";
	expect_lines(q, true, "1: a\n|1: b\n|1: c|");
}

Test(logs, a_call_scans_one_slice_at_most)
{
	struct log_query q = {.want_stderr = true, .tail = 5};
	AUTO_FREE char *p = xcalloc(1, 4 * LOG_READ_SLICE);
	const uint8_t *got;
	struct log_lines *c;
	struct buf s;
	uint8_t tag;
	size_t n;
	int r, calls = 0;

	begin(boot_a);
	buf_init(&s, MAX);
	record(&s, 1, 1, p, 4 * LOG_READ_SLICE);
	append_all(&s);
	c = log_lines_new(l, &q);
	while ((r = log_lines_next(c, true, &tag, &got, &n, NULL)) == 3)
		calls++;
	cr_expect_eq(r, 0);
	cr_expect_geq(calls, 8, "the count and the reading: %d", calls);
	log_lines_free(c);
}

Test(logs, a_runs_end_ends_its_open_lines)
{
	struct buf s;

	begin(boot_a);
	buf_init(&s, MAX);
	text(&s, 2, 1, "err open");
	text(&s, 1, 1, "out open");
	append_all(&s);
	begin(boot_b);
	text(&s, 1, 2, "next\n");
	append_all(&s);
	expect_lines(all(), false, "1:out open|2:err open|1:next\n|");
}

Test(logs, one_open_line_is_all_there_is)
{
	struct buf s;

	begin(boot_a);
	buf_init(&s, MAX);
	text(&s, 1, 1, "open");
	append_all(&s);
	expect_lines(all(), false, "");
	expect_lines(all(), true, "1:open|");
}

Test(logs, a_long_line_comes_in_pieces_of_16_kib)
{
	AUTO_FREE char *line = xmalloc(3 * LOG_LINE_MAX);
	size_t sizes[] = {LOG_LINE_MAX - 1, LOG_LINE_MAX, LOG_LINE_MAX + 1, 2 * LOG_LINE_MAX};
	const uint8_t *p;
	uint8_t tag;
	size_t n;

	memset(line, 'x', 3 * LOG_LINE_MAX);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct log_query q = all();
		struct log_lines *c;
		size_t left = sizes[i];
		struct buf s;

		cr_assert_eq(truncate(path, 0), 0);
		reopen();
		begin(boot_a);
		buf_init(&s, MAX);
		record(&s, 1, 1, line, sizes[i] / 2);
		record(&s, 1, 2, line, sizes[i] - sizes[i] / 2);
		text(&s, 1, 3, "\n");
		append_all(&s);
		c = log_lines_new(l, &q);
		while (left >= LOG_LINE_MAX) {
			cr_assert_eq(log_lines_next(c, true, &tag, &p, &n, NULL), 1);
			cr_expect_eq(n, LOG_LINE_MAX);
			cr_expect_null(memchr(p, '\n', n));
			left -= n;
		}
		cr_assert_eq(log_lines_next(c, true, &tag, &p, &n, NULL), 1);
		cr_expect_eq(n, left + 1);
		cr_expect_eq(p[left], '\n');
		cr_expect_eq(log_lines_next(c, true, &tag, &p, &n, NULL), 0);
		log_lines_free(c);
	}
}

Test(logs, a_hundred_thousand_lines_are_all_there)
{
	struct log_query q = all();
	struct log_lines *c;
	struct buf s;
	const uint8_t *p;
	uint8_t tag;
	size_t n;
	int r, i = 0;

	begin(boot_a);
	buf_init(&s, MAX);
	for (int k = 0; k < 100000; k++) {
		char line[32];

		snprintf(line, sizeof(line), "line %d\n", k);
		text(&s, 1, k, line);
		if (k % 1000 == 999)
			append_all(&s);
	}
	for (int round = 0; round < 2; round++) {
		q.tail = round ? 10 : -1;
		i = round ? 99990 : 0;
		c = log_lines_new(l, &q);
		while ((r = log_lines_next(c, true, &tag, &p, &n, NULL)) == 1 || r == 3) {
			char line[32];

			if (r == 3)
				continue;
			snprintf(line, sizeof(line), "line %d\n", i++);
			cr_assert_eq(n, strlen(line));
			cr_assert_eq(memcmp(p, line, n), 0, "%d", i);
		}
		cr_assert_eq(r, 0);
		cr_expect_eq(i, 100000);
		log_lines_free(c);
	}
}

/* ---- against a naive model ---- */

struct model_entry {
	int tag;
	int64_t time_ns;
	char *s;
	size_t n;
};
static struct model_entry entries[20000];
static size_t n_entries;
static struct model_line {
	char s[LOG_LINE_MAX + 1];
	size_t n;
	int64_t time_ns;
	bool begun;
} open_line[3];

static void model_emit(int tag)
{
	struct model_line *line = &open_line[tag];

	cr_assert_lt(n_entries, sizeof(entries) / sizeof(entries[0]));
	entries[n_entries++] = (struct model_entry){tag, line->time_ns, xmemdup(line->s, line->n), line->n};
	line->n = 0;
}

static void model_byte(int tag, int64_t time_ns, char byte)
{
	struct model_line *line = &open_line[tag];

	if (!line->begun)
		line->time_ns = time_ns;
	line->begun = true;
	line->s[line->n++] = byte;
	if (byte == '\n' || line->n == LOG_LINE_MAX)
		model_emit(tag);
	if (byte == '\n')
		line->begun = false;
}

static void model_run_ends(void)
{
	for (int tag = 1; tag <= 2; tag++) {
		if (open_line[tag].n)
			model_emit(tag);
		open_line[tag].begun = false;
	}
}

static void model_expect(const struct log_query *q)
{
	struct buf got, want;

	buf_init(&got, MAX);
	buf_init(&want, MAX);
	for (size_t i = 0; i < n_entries; i++) {
		const struct model_entry *e = &entries[i];
		char stamp[CLOCK_RFC3339_MAX];

		if (q->tail >= 0 && (int64_t)(n_entries - i) > q->tail)
			continue;
		if (q->since_ns && e->time_ns < q->since_ns)
			continue;
		if (q->until_ns && e->time_ns > q->until_ns) {
			buf_append(&want, "END", 3);
			break;
		}
		if (!(e->tag == 1 ? q->want_stdout : q->want_stderr))
			continue;
		buf_printf(&want, "%d:", e->tag);
		if (q->timestamps)
			buf_printf(&want, "%s ", clock_format(e->time_ns, 1, stamp));
		buf_append(&want, e->s, e->n);
		buf_append(&want, "|", 1);
	}
	read_lines(q, true, &got);
	expect_bytes(&got, buf_head(&want), want.len);
	buf_release(&got);
	buf_release(&want);
}

static void random_run(int64_t *time_ns)
{
	struct buf s;
	uint8_t boot[LOG_BOOT_ID_LEN] = {(uint8_t)rnd(256), (uint8_t)rnd(256), (uint8_t)rnd(256)};

	begin(boot);
	buf_init(&s, MAX);
	for (uint32_t records = rnd(300); records; records--) {
		size_t n = 1 + (rnd(20) ? rnd(60) : rnd(40000)), torn = records == 1 ? rnd((uint32_t)n) : 0;
		AUTO_FREE char *p = xmalloc(n);
		int tag = 1 + (int)rnd(2);

		*time_ns += 1 + rnd(1000);
		for (size_t i = 0; i < n; i++) {
			p[i] = rnd(n > 1000 ? 30000 : 30) ? (char)('a' + rnd(26)) : '\n';
			if (i < n - torn)
				model_byte(tag, *time_ns, p[i]);
		}
		record(&s, tag, *time_ns, p, n);
		s.len -= torn; /* the run ends in the middle of its last record */
	}
	append_chunked(buf_head(&s), s.len);
	buf_release(&s);
	model_run_ends();
}

Test(logs, every_query_agrees_with_a_naive_model)
{
	int64_t time_ns = 1000000000;

	for (int file = 0; file < 5; file++) {
		cr_assert_eq(truncate(path, 0), 0);
		reopen();
		for (size_t i = 0; i < n_entries; i++)
			free(entries[i].s);
		n_entries = 0;
		for (uint32_t runs = 1 + rnd(4); runs; runs--) {
			random_run(&time_ns);
			if (rnd(2))
				reopen();
		}
		for (int i = 0; i < 30; i++) {
			struct log_query q = {.want_stdout = rnd(4), .want_stderr = rnd(4), .timestamps = rnd(2),
					      .tail = rnd(2) ? (int64_t)rnd((uint32_t)n_entries + 5) : -1,
					      .since_ns = rnd(2) ? time_ns - rnd(200000) : 0,
					      .until_ns = rnd(3) ? 0 : time_ns - rnd(200000)};

			model_expect(&q);
		}
	}
	for (size_t i = 0; i < n_entries; i++)
		free(entries[i].s);
}

/* ---- another process image ---- */

/* Random output, which arrives in between; the reader is another one after each step. */
static void grow(void)
{
	struct buf stream;
	char line[300];

	buf_init(&stream, MAX);
	memset(line, 'a' + (int)rnd(26), sizeof(line));
	for (uint32_t i = rnd(4); i; i--) {
		size_t n = 1 + rnd(sizeof(line));

		line[n - 1] = rnd(2) ? '\n' : '.';
		record(&stream, 1 + (int)rnd(2), 1000 + i, line, n);
		memset(line, 'a' + (int)rnd(26), sizeof(line));
	}
	append_chunked(buf_head(&stream), stream.len);
	buf_release(&stream);
}

static struct log_lines *lines_elsewhere(struct log_lines *c, const struct log_query *q)
{
	struct unpack u;
	struct pack p;

	cr_assert(log_lines_can_save(c));
	pack_init(&p);
	log_lines_save(c, &p);
	log_lines_free(c);
	reopen();
	u = (struct unpack){.at = buf_head(&p.bytes), .left = p.bytes.len};
	c = log_lines_restore(l, q, &u);
	cr_assert_not_null(c);
	cr_assert_eq(u.left, 0);
	pack_release(&p);
	return c;
}

Test(logs, lines_go_on_in_another_process)
{
	struct log_query q = all();
	struct log_lines *c;
	struct buf out, want;
	const uint8_t *piece;
	struct err err;
	uint8_t tag;
	size_t n;

	begin(boot_a);
	q.timestamps = true;
	c = log_lines_new(l, &q);
	buf_init(&out, MAX);
	buf_init(&want, MAX);
	for (int i = 0; i < 300; i++) {
		grow();
		for (uint32_t k = rnd(6); k && log_lines_next(c, false, &tag, &piece, &n, &err) == 1; k--) {
			buf_printf(&out, "%d:", tag);
			buf_append(&out, piece, n);
			buf_append(&out, "|", 1);
		}
		c = lines_elsewhere(c, &q);
	}
	read_lines_of(c, true, &out);
	log_lines_free(c);
	read_lines(&q, true, &want);
	cr_assert_gt(want.len, 10000);
	expect_bytes(&out, buf_head(&want), want.len);
	buf_release(&out);
	buf_release(&want);
}

Test(logs, a_raw_cursor_goes_on_in_another_process_within_its_piece)
{
	struct log_cursor *c = log_cursor_new(l, LOG_FROM_START);
	struct buf got, want[3];
	const uint8_t *piece;
	struct err err;
	uint8_t tag;
	int64_t t;
	size_t n;

	begin(boot_a);
	buf_init(&got, MAX);
	bufs_init(want);
	for (int i = 0; i < 300; i++) {
		struct unpack u;
		struct pack p;
		size_t unread = 0;

		grow();
		pack_init(&p);
		if (log_cursor_next(c, &tag, &t, &piece, &n, &err) == 1) {
			unread = rnd((uint32_t)n + 1);
			buf_append(&got, piece, n - unread);
		}
		log_cursor_save(c, unread, &p);
		log_cursor_free(c);
		reopen();
		u = (struct unpack){.at = buf_head(&p.bytes), .left = p.bytes.len};
		c = log_cursor_restore(l, &u);
		cr_assert_not_null(c);
		pack_release(&p);
	}
	while (log_cursor_next(c, &tag, &t, &piece, &n, &err) == 1)
		buf_append(&got, piece, n);
	log_cursor_free(c);
	c = log_cursor_new(l, LOG_FROM_START);
	read_raw(c, want);
	log_cursor_free(c);
	expect_bytes(&got, buf_head(&want[0]), want[0].len);
	buf_release(&got);
	bufs_release(want);
}

Test(logs, a_place_beyond_the_file_is_none)
{
	struct unpack u;
	struct pack p;

	pack_init(&p);
	for (int i = 0; i < 5; i++)
		pack_num(&p, 1000);
	u = (struct unpack){.at = buf_head(&p.bytes), .left = p.bytes.len};
	cr_assert_null(log_cursor_restore(l, &u));
	cr_assert(u.bad);
	u = (struct unpack){.at = buf_head(&p.bytes), .left = 12};
	cr_assert_null(log_cursor_restore(l, &u));
	pack_release(&p);
}

/* ---- descriptors ---- */

#define MANY 600

static unsigned descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 2 * MANY; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

Test(logs, many_of_them_need_few_descriptors)
{
	struct log *many[MANY];
	char name[64], line[32];
	struct err err;
	unsigned before = descriptors();

	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "%s-%d", path, i);
		many[i] = log_open(name, &err);
		cr_assert_not_null(many[i], "%s", err.msg);
		cr_assert_eq(log_begin_run(many[i], boot_a, 0, &err), 0, "%s", err.msg);
	}
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < MANY; i++) {
			struct buf b;

			buf_init(&b, MAX);
			snprintf(line, sizeof(line), "%d of %d\n", round, i);
			text(&b, 1, 1, line);
			cr_assert_eq(log_append(many[i], buf_head(&b), b.len, &err), 0, "%s", err.msg);
			buf_release(&b);
		}
	cr_assert_leq(descriptors() - before, 300);
	for (int i = 0; i < MANY; i++) {
		struct log_cursor *c = log_cursor_new(many[i], LOG_FROM_START);
		char want[128];
		struct buf all;
		const uint8_t *p;
		int64_t time_ns;
		uint8_t tag;
		size_t n;

		if (i % 2)
			log_unlink(many[i]); /* who reads it needs no name */
		buf_init(&all, MAX);
		while (log_cursor_next(c, &tag, &time_ns, &p, &n, &err) == 1)
			buf_append(&all, p, n);
		snprintf(want, sizeof(want), "0 of %d\n1 of %d\n2 of %d\n", i, i, i);
		cr_assert(all.len == strlen(want) && !memcmp(buf_head(&all), want, all.len), "%.*s", (int)all.len, (char *)buf_head(&all));
		buf_release(&all);
		log_cursor_free(c);
	}
	for (int i = 0; i < MANY; i++) {
		log_unlink(many[i]);
		log_close(many[i]);
	}
	cr_assert_leq(descriptors(), before);
}
