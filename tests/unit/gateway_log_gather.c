/* Lines out of Cloud Logging's entries: whose they are, their order, splits, JSON, exit codes. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "cloud/log_gather.h"

#define E(id, at, log, rest) "{\"insertId\":\"" id "\",\"timestamp\":\"2026-01-01T00:00:" at "Z\",\"logName\":" \
	"\"projects/p/logs/run.googleapis.com%2F" log "\"," rest "}"
#define NAMED(name) "\"labels\":{\"container_name\":\"" name "\"},"

static struct log_gather *g;

static void setup(void)
{
	g = log_gather_new("main");
}

static void teardown(void)
{
	log_gather_free(g);
}

TestSuite(log_gather, .init = setup, .fini = teardown);

static size_t add(const char *entries)
{
	json_t *a = json_loads(entries, 0, NULL);
	size_t n;

	cr_assert(a != NULL, "%s", entries);
	n = log_gather_add(g, a);
	json_decref(a);
	return n;
}

static char *all(int64_t until_ns)
{
	static char out[4096];
	struct log_line l;
	size_t at = 0;

	while (log_gather_next(g, until_ns, &l)) {
		out[at++] = l.is_stderr ? '!' : '.';
		memcpy(out + at, l.text, l.len);
		at += l.len;
	}
	out[at] = '\0';
	return out;
}

Test(log_gather, lines_leave_in_order_and_once)
{
	cr_expect(add("[" E("3", "02", "stdout", "\"textPayload\":\"c\"") "," E("1", "01", "stderr", "\"textPayload\":\"a\"") ","
		      E("2", "02", "stdout", "\"textPayload\":\"b\"") "," E("3", "02", "stdout", "\"textPayload\":\"c\"") "]") == 3);
	cr_expect(add("[" E("2", "02", "stdout", "\"textPayload\":\"b\"") "]") == 0);
	cr_expect_str_eq(all(INT64_MAX), "!a\n.b\n.c\n");
	cr_expect(add("[" E("1", "01", "stderr", "\"textPayload\":\"a\"") "]") == 0, "also when it has been given");
	cr_expect_eq(log_gather_newest_ns(g), 1767225602000000000);
}

Test(log_gather, an_insert_id_is_of_one_instant)
{
	cr_expect(add("[" E("1", "01", "stdout", "\"textPayload\":\"a\"") "," E("1", "02", "stdout", "\"textPayload\":\"b\"") ","
		      E("1", "02", "stdout", "\"textPayload\":\"b\"") "]") == 2);
	cr_expect_str_eq(all(INT64_MAX), ".a\n.b\n");
}

Test(log_gather, what_logging_took_out_of_a_line_comes_back)
{
	add("[" E("1", "01", "stdout", "\"severity\":\"ERROR\",\"trace\":\"t\",\"jsonPayload\":{\"message\":\"m\",\"n\":1}") ","
	    E("2", "02", "stdout", "\"severity\":\"DEFAULT\",\"jsonPayload\":{\"n\":2}") ","
	    E("3", "03", "stderr", "\"severity\":\"ERROR\",\"textPayload\":\"plain\"") "]");
	cr_expect_str_eq(all(INT64_MAX), ".{\"message\":\"m\",\"n\":1,\"severity\":\"ERROR\",\"logging.googleapis.com/trace\":\"t\"}\n"
			 ".{\"n\":2}\n!plain\n");
}

Test(log_gather, a_signal_is_an_exit_code_too)
{
	add("[" E("1", "01", "varlog%2Fsystem", "\"textPayload\":\"Container terminated on signal 9.\"") "]");
	cr_expect_eq(log_gather_exit_code(g), 137);
}

Test(log_gather, what_is_younger_waits)
{
	add("[" E("1", "01", "stdout", "\"textPayload\":\"a\"") "," E("2", "02", "stdout", "\"textPayload\":\"b\"") "]");
	cr_expect_str_eq(all(1767225601000000000), ".a\n");
	add("[" E("0", "01.5", "stdout", "\"textPayload\":\"late\"") "]");
	cr_expect_str_eq(all(INT64_MAX), ".late\n.b\n");
}

Test(log_gather, only_what_the_container_printed)
{
	cr_expect(add("[" E("1", "01", "stdout", NAMED("sockerless-agent") "\"textPayload\":\"sidecar\"") ","
		      E("2", "01", "stdout", NAMED("shared-0123456789ab") "\"textPayload\":\"member\"") ","
		      E("3", "01", "stderr", "\"jsonPayload\":{\"sockerless_agent\":{},\"level\":\"warn\"}") ","
		      E("6", "01", "stderr", "\"textPayload\":\"sockerless-agent: the main process ended with code 4; the gateway\"") ","
		      E("4", "01", "stdout", NAMED("main") "\"textPayload\":\"named\"") ","
		      E("5", "01", "varlog%2Fsystem", NAMED("main") "\"textPayload\":\"Container called exit(3).\"") "]") == 1);
	cr_expect_str_eq(all(INT64_MAX), ".named\n");
	cr_expect_eq(log_gather_exit_code(g), 3);
}

Test(log_gather, a_member_has_its_own_lines_and_exit_code)
{
	log_gather_free(g);
	g = log_gather_new("shared-0123456789ab");
	add("[" E("1", "01", "stdout", NAMED("shared-0123456789ab") "\"textPayload\":\"mine\"") ","
	    E("2", "01", "stdout", "\"textPayload\":\"nobody's\"") ","
	    E("3", "01", "varlog%2Fsystem", NAMED("main") "\"textPayload\":\"Container called exit(3).\"") ","
	    E("4", "01", "varlog%2Fsystem", NAMED("shared-0123456789ab") "\"textPayload\":\"Container called exit(0).\"") "]");
	cr_expect_str_eq(all(INT64_MAX), ".mine\n");
	cr_expect_eq(log_gather_exit_code(g), 0);
}

Test(log_gather, json_comes_back_compact_in_its_order)
{
	add("[" E("1", "01", "stdout", "\"jsonPayload\":{\"z\":0.1,\"a\":[1,2.5,null],\"m\":{\"é\":\"\\n\"}}")
	    "," E("2", "02", "stdout", "\"jsonPayload\":{}") "]");
	cr_expect_str_eq(all(INT64_MAX), ".{\"z\":0.1,\"a\":[1,2.5,null],\"m\":{\"é\":\"\\n\"}}\n.{}\n");
}

Test(log_gather, split_entries_are_one_line)
{
	add("[" E("b", "02", "stdout", "\"textPayload\":\"two,\",\"split\":{\"uid\":\"u\",\"index\":1,\"totalSplits\":3}") ","
	    E("c", "03", "stdout", "\"textPayload\":\"after\"") ","
	    E("a", "02", "stdout", "\"textPayload\":\"one,\",\"split\":{\"uid\":\"u\",\"totalSplits\":3}") "]");
	cr_expect_str_eq(all(1767225700000000000), "", "the last piece is missing");
	add("[" E("d", "02", "stdout", "\"textPayload\":\"three\",\"split\":{\"uid\":\"u\",\"index\":2,\"totalSplits\":3}") "]");
	cr_expect_str_eq(all(1767225700000000000), ".one,two,three\n.after\n");
}

Test(log_gather, a_split_that_stays_incomplete_is_given_at_the_end)
{
	add("[" E("b", "02", "stdout", "\"textPayload\":\"two\",\"split\":{\"uid\":\"u\",\"index\":1,\"totalSplits\":2}") "]");
	cr_expect_str_eq(all(INT64_MAX), ".two\n");
}

Test(log_gather, nonsense_is_survived)
{
	add("[{},{\"textPayload\":7},{\"logName\":\"x\",\"textPayload\":\"odd\",\"split\":{\"uid\":\"u\",\"index\":9,\"totalSplits\":2}},"
	    "{\"textPayload\":\"neg\",\"split\":{\"uid\":\"v\",\"index\":-1,\"totalSplits\":2}},{\"jsonPayload\":\"text\"},null]");
	cr_expect_str_eq(all(INT64_MAX), ".odd\n.neg\n.\"text\"\n");
	cr_expect_eq(log_gather_exit_code(g), -1);
}
