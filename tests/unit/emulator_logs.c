/* The store of log entries: lines, order, bounds, pages, and what an entry looks like. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

#include "../../src/emulator/logs.h"
#include "base/clock.h"
#include "base/mem.h"

static struct logs *logs;
static struct log_source *source;

static void setup(void)
{
	logs = logs_new(100000, 64 << 20);
	source = log_source_new(&(struct log_source){ .project = "p", .location = "l", .job = "j",
		.execution = "j-1", .instance_id = "00ca", .container = "main" });
}

static void teardown(void)
{
	logs_free(logs);
	cr_expect_eq(source->refs, 1);
	log_source_unref(source);
}
TestSuite(logs, .init = setup, .fini = teardown);

static json_t *list(const char *filter_text, struct logs_query *q, bool *ret_more)
{
	static const char *const project[] = { "p" };
	struct err err = { 0 };
	struct filter *f = filter_new(filter_text, &logs_filter_ops, &err);
	struct logs_query all = { .page_size = 100000, .visible_before_ns = INT64_MAX };
	bool more;

	cr_assert(f, "%s", err.msg);
	q = q ? q : &all;
	q->filter = f;
	q->projects = project;
	q->n_projects = 1;
	json_t *out = logs_list(logs, q, ret_more ? ret_more : &more);
	filter_free(f);
	return out;
}

static const char *text_of(const json_t *entries, size_t i)
{
	return json_string_value(json_object_get(json_array_get(entries, i), "textPayload"));
}

/* The texts of all entries, joined by '|'. */
static char *texts(void)
{
	json_t *all = list("", NULL, NULL);
	char *out = xstrdup("");

	for (size_t i = 0; i < json_array_size(all); i++) {
		char *longer = xasprintf("%s%s%s", out, i ? "|" : "", text_of(all, i));
		free(out);
		out = longer;
	}
	json_decref(all);
	return out;
}

static void feed_in_pieces(const char *bytes, size_t n, size_t piece)
{
	struct log_lines ll;

	log_lines_init(&ll, logs, source, LOG_STDOUT);
	for (size_t i = 0; i < n; i += piece)
		log_lines_feed(&ll, bytes + i, n - i < piece ? n - i : piece);
	log_lines_end(&ll);
}

Test(logs, bytes_become_lines_however_they_are_cut)
{
	static const char bytes[] = "one\n\ntwo three\r\nlast";

	for (size_t piece = 1; piece < sizeof bytes; piece++) {
		feed_in_pieces(bytes, sizeof bytes - 1, piece);
		AUTO_FREE char *got = texts();
		cr_expect_str_eq(got, "one||two three\r|last", "in pieces of %zu", piece);
		teardown();
		setup();
	}
}

Test(logs, an_endless_line_is_cut_and_loses_nothing)
{
	size_t n = 2 * LOGS_LINE_MAX + 1000;
	char *bytes = xmalloc(n);

	memset(bytes, 'x', n);
	feed_in_pieces(bytes, n, 65536);
	feed_in_pieces(bytes, n, n);
	json_t *all = list("", NULL, NULL);
	cr_assert_eq(json_array_size(all), 6);
	for (size_t i = 0; i < 6; i++)
		cr_expect_eq(strlen(text_of(all, i)), i % 3 == 2 ? 1000 : LOGS_LINE_MAX);
	json_decref(all);
	free(bytes);
}

Test(logs, a_cut_does_not_split_a_character)
{
	char *bytes = xmalloc(LOGS_LINE_MAX + 10);

	memset(bytes, 'x', LOGS_LINE_MAX + 10);
	memcpy(bytes + LOGS_LINE_MAX - 2, "\xe2\x82\xac", 3); /* a euro sign across the limit */
	feed_in_pieces(bytes, LOGS_LINE_MAX + 10, 65536);
	json_t *all = list("", NULL, NULL);
	cr_assert_eq(json_array_size(all), 2);
	cr_expect_eq(strlen(text_of(all, 0)), LOGS_LINE_MAX - 2);
	cr_expect_eq(strncmp(text_of(all, 1), "\xe2\x82\xacx", 4), 0);
	json_decref(all);
	free(bytes);
}

Test(logs, bytes_that_are_not_utf8_become_the_replacement_character)
{
	logs_add_line(logs, source, LOG_STDOUT, "a\xff" "b\xe2\x82" "c\xc3\xa4", 8);
	AUTO_FREE char *got = texts();
	cr_expect_str_eq(got, "a\xef\xbf\xbd" "b\xef\xbf\xbd\xef\xbf\xbd" "c\xc3\xa4");
}

Test(logs, an_entry_looks_like_googles)
{
	logs_add_line(logs, source, LOG_STDERR, "oops", 4);
	json_t *all = list("", NULL, NULL);
	json_t *e = json_array_get(all, 0);
	const char *type, *job, *project, *location, *name, *execution, *task, *attempt, *instance, *text;
	int rc = json_unpack(e, "{s:{s:s, s:{s:s, s:s, s:s !} !}, s:s, s:{s:s, s:s, s:s, s:s !}, s:s}",
		"resource", "type", &type, "labels", "job_name", &job, "project_id", &project, "location",
		&location, "logName", &name, "labels", "run.googleapis.com/execution_name", &execution,
		"run.googleapis.com/task_index", &task, "run.googleapis.com/task_attempt", &attempt,
		"instanceId", &instance, "textPayload", &text);
	cr_assert_eq(rc, 0);
	cr_expect_str_eq(type, "cloud_run_job");
	cr_expect_str_eq(name, "projects/p/logs/run.googleapis.com%2Fstderr");
	cr_expect_str_eq(execution, "j-1");
	cr_expect_str_eq(text, "oops");
	cr_expect_null(json_object_get(e, "severity"), "DEFAULT is omitted");
	cr_expect_eq(strlen(json_string_value(json_object_get(e, "insertId"))), 24);
	json_decref(all);
}

Test(logs, structured_lines_lift_their_special_fields)
{
	static const char line[] = "{\"severity\":\"ERROR\",\"message\":\"m\",\"x\":1,"
		"\"logging.googleapis.com/trace\":\"t\",\"logging.googleapis.com/labels\":{\"k\":\"v\"}}";

	logs_add_line(logs, source, LOG_STDOUT, line, strlen(line));
	json_t *all = list("severity=ERROR AND jsonPayload.x=1 AND jsonPayload.message=m", NULL, NULL);
	json_t *e = json_array_get(all, 0);
	cr_assert(e);
	json_t *payload = json_object_get(e, "jsonPayload");
	cr_expect_eq(json_object_size(payload), 2);
	cr_expect_str_eq(json_string_value(json_object_get(e, "trace")), "t");
	cr_expect_str_eq(json_string_value(json_object_get(json_object_get(e, "labels"), "k")), "v");
	json_decref(all);

	logs_add_line(logs, source, LOG_STDOUT, "{\"message\":\"alone\"}", 19);
	logs_add_line(logs, source, LOG_STDOUT, "{\"cut", 5);
	logs_add_line(logs, source, LOG_STDOUT, "[1]", 3);
	all = list("textPayload:*", NULL, NULL);
	cr_expect_eq(json_array_size(all), 2, "what is not an object stays text");
	json_decref(all);
	all = list("", NULL, NULL);
	cr_expect_str_eq(text_of(all, 1), "alone");
	json_decref(all);
}

Test(logs, the_oldest_go_when_the_bound_is_reached)
{
	struct logs_stats st;
	char line[16];

	logs_free(logs);
	logs = logs_new(10, 1 << 20);
	for (int i = 0; i < 25; i++) {
		snprintf(line, sizeof line, "%d", i);
		logs_add_line(logs, source, LOG_STDOUT, line, strlen(line));
	}
	AUTO_FREE char *got = texts();
	cr_expect_str_eq(got, "15|16|17|18|19|20|21|22|23|24");
	logs_get_stats(logs, &st);
	cr_expect_eq(st.dropped, 15);
	cr_expect_eq(st.received, 25);
	logs_free(logs);
	logs = logs_new(1000, 1000);
	for (int i = 0; i < 100; i++)
		logs_add_line(logs, source, LOG_STDOUT, "0123456789", 10);
	logs_get_stats(logs, &st);
	cr_expect_leq(st.bytes, 1000);
	cr_expect_geq(st.entries, 5);
}

static void pages(bool newest_first, size_t size)
{
	struct logs_query q = { .page_size = size, .visible_before_ns = INT64_MAX,
				.newest_first = newest_first };
	bool more = true;
	int seen = 0;

	while (more) {
		json_t *page = list("logName:stdout", &q, &more);
		cr_assert_leq(json_array_size(page), size);
		for (size_t i = 0; i < json_array_size(page); i++, seen++) {
			int64_t n = newest_first ? 99 - seen : seen;
			AUTO_FREE char *want = xasprintf("%" PRId64, n);
			cr_assert_str_eq(text_of(page, i), want);
		}
		json_decref(page);
	}
	cr_expect_eq(seen, 100);
}

Test(logs, pages_follow_each_other_in_both_orders)
{
	for (int i = 0; i < 100; i++) {
		AUTO_FREE char *line = xasprintf("%d", i);
		logs_add_line(logs, source, LOG_STDOUT, line, strlen(line));
		logs_add_line(logs, source, LOG_STDERR, "between", 7);
	}
	for (size_t size = 1; size < 40; size += 6) {
		pages(false, size);
		pages(true, size);
	}
}

Test(logs, one_call_looks_at_a_bounded_number_of_entries)
{
	struct logs_query q = { .page_size = 10, .visible_before_ns = INT64_MAX };
	bool more;

	logs_free(logs);
	logs = logs_new(LOGS_SCAN_MAX + 100, 256 << 20);
	for (int i = 0; i < LOGS_SCAN_MAX + 50; i++)
		logs_add_line(logs, source, i < LOGS_SCAN_MAX + 49 ? LOG_STDOUT : LOG_STDERR, "x", 1);
	json_t *page = list("logName:stderr", &q, &more);
	cr_expect_eq(json_array_size(page), 0);
	cr_expect(more, "an empty page and a token");
	json_decref(page);
	page = list("logName:stderr", &q, &more);
	cr_expect_eq(json_array_size(page), 1);
	cr_expect_not(more);
	json_decref(page);
}

Test(logs, young_entries_are_hidden)
{
	struct logs_query q = { .page_size = 10, .visible_before_ns = clock_wall_ns() - 1000000000 };
	bool more;

	logs_add_line(logs, source, LOG_STDOUT, "x", 1);
	json_t *page = list("", &q, &more);
	cr_expect_eq(json_array_size(page), 0);
	json_decref(page);
}

static void write_entry(const char *text, const char *time, const char *id)
{
	int64_t ns;
	json_t *e = json_pack("{s:s, s:s, s:s*}", "logName", "projects/p/logs/app", "textPayload", text,
			      "insertId", id);

	cr_assert_eq(clock_parse(time, &ns), 0);
	logs_add_written(logs, e, 100, ns);
}

Test(logs, written_entries_take_their_place_in_time)
{
	write_entry("3", "2025-01-01T00:00:03Z", NULL);
	write_entry("1", "2025-01-01T00:00:01Z", NULL);
	write_entry("2b", "2025-01-01T00:00:02Z", "b");
	write_entry("2a", "2025-01-01T00:00:02Z", "a");
	logs_add_line(logs, source, LOG_STDOUT, "now", 3);
	AUTO_FREE char *got = texts();
	cr_expect_str_eq(got, "1|2a|2b|3|now");
	json_t *some = list("timestamp>\"2025-01-01T00:00:01Z\" timestamp<\"2025-01-01T00:00:03Z\"", NULL,
			    NULL);
	cr_expect_eq(json_array_size(some), 2);
	json_decref(some);
}

Test(logs, other_projects_see_nothing)
{
	static const char *const other[] = { "pp" };
	struct err err = { 0 };
	struct filter *f = filter_new("", &logs_filter_ops, &err);
	struct logs_query q = { .page_size = 10, .visible_before_ns = INT64_MAX, .filter = f,
				.projects = other, .n_projects = 1 };
	bool more;

	logs_add_line(logs, source, LOG_STDOUT, "x", 1);
	json_t *page = logs_list(logs, &q, &more);
	cr_expect_eq(json_array_size(page), 0);
	json_decref(page);
	filter_free(f);
}
