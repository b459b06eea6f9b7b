/* Health checks: what is read from a configuration, and Docker's state machine. */
#include <criterion/criterion.h>
#include <string.h>

#include "state/health.h"

#define SECOND 1000000000LL

static struct health_check check_of(const char *json)
{
	struct health_check check;
	json_t *config = json_loads(json, 0, NULL);

	cr_assert(health_read(config, &check));
	json_decref(config);
	return check;
}

static json_t *probe(json_t *before, const struct health_check *check, int64_t at_s, int code)
{
	struct health_result r = {.start_ns = at_s * SECOND, .end_ns = at_s * SECOND + 1, .exit_code = code, .output = "o\n"};
	json_t *after = health_after(before, check, &r, 100 * SECOND);

	json_decref(before);
	return after;
}

static int streak(json_t *h)
{
	return (int)json_integer_value(json_object_get(h, "FailingStreak"));
}

Test(health, only_commands_are_checks)
{
	static const char *const none[] = {
		"{}", "{\"Healthcheck\":{}}", "{\"Healthcheck\":{\"Test\":[]}}", "{\"Healthcheck\":{\"Test\":[\"NONE\"]}}",
		"{\"Healthcheck\":{\"Test\":[\"BOGUS\",\"a\"]}}", "{\"Healthcheck\":{\"Interval\":5}}",
	};

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		json_t *config = json_loads(none[i], 0, NULL);

		cr_expect_not(health_wanted(config), "%s", none[i]);
		json_decref(config);
	}
}

Test(health, defaults_are_dockers)
{
	struct health_check c = check_of("{\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"true\"]}}");

	cr_expect_eq(c.argv.n, 3);
	cr_expect_str_eq(c.argv.v[0], "/bin/sh");
	cr_expect_str_eq(c.argv.v[2], "true");
	cr_expect_eq(c.interval_ns, 30 * SECOND);
	cr_expect_eq(c.timeout_ns, 30 * SECOND);
	cr_expect_eq(c.start_period_ns, 0);
	cr_expect_eq(c.start_interval_ns, 5 * SECOND);
	cr_expect_eq(c.retries, 3);
	health_release(&c);
	c = check_of("{\"Shell\":[\"bash\",\"-ec\"],\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"x y\"],\"Retries\":1}}");
	cr_expect_str_eq(c.argv.v[0], "bash");
	cr_expect_str_eq(c.argv.v[1], "-ec");
	cr_expect_eq(c.retries, 1);
	health_release(&c);
	c = check_of("{\"Healthcheck\":{\"Test\":[\"CMD\",\"a\",\"b\"]}}");
	cr_expect_eq(c.argv.n, 2);
	cr_expect_str_eq(c.argv.v[0], "a");
	health_release(&c);
}

Test(health, failures_in_a_row_make_it_unhealthy_and_one_success_well)
{
	struct health_check c = check_of("{\"Healthcheck\":{\"Test\":[\"CMD\",\"a\"],\"Retries\":2}}");
	json_t *h = health_starting(NULL);

	cr_expect_str_eq(health_status(h), "starting");
	h = probe(h, &c, 101, 1);
	cr_expect_str_eq(health_status(h), "starting");
	cr_expect_eq(streak(h), 1);
	h = probe(h, &c, 102, -1);
	cr_expect_str_eq(health_status(h), "unhealthy");
	h = probe(h, &c, 103, 1);
	cr_expect_eq(streak(h), 3);
	h = probe(h, &c, 104, 0);
	cr_expect_str_eq(health_status(h), "healthy");
	cr_expect_eq(streak(h), 0);
	h = probe(h, &c, 105, 2);
	cr_expect_str_eq(health_status(h), "healthy", "one failure is not enough");
	json_decref(h);
	health_release(&c);
}

Test(health, failures_in_the_start_period_do_not_count)
{
	struct health_check c = check_of("{\"Healthcheck\":{\"Test\":[\"CMD\",\"a\"],\"Retries\":1,\"StartPeriod\":10000000000,"
					 "\"StartInterval\":1000000000,\"Interval\":7000000000}}");
	json_t *h = health_starting(NULL);

	cr_expect_eq(health_pause_ns(&c, h, 100 * SECOND, 101 * SECOND), SECOND);
	h = probe(h, &c, 105, 1);
	cr_expect_eq(streak(h), 0);
	cr_expect_str_eq(health_status(h), "starting");
	cr_expect_eq(health_pause_ns(&c, h, 100 * SECOND, 110 * SECOND), 7 * SECOND, "the start period is over");
	h = probe(h, &c, 106, 0);
	cr_expect_eq(health_pause_ns(&c, h, 100 * SECOND, 106 * SECOND), 7 * SECOND, "no longer starting");
	h = probe(h, &c, 107, 1);
	cr_expect_str_eq(health_status(h), "unhealthy", "after a success failures count");
	json_decref(h);
	health_release(&c);
}

Test(health, the_log_keeps_the_last_five_over_runs)
{
	struct health_check c = check_of("{\"Healthcheck\":{\"Test\":[\"CMD\",\"a\"]}}");
	json_t *h = health_starting(NULL), *again, *log;

	for (int i = 0; i < 7; i++)
		h = probe(h, &c, 100 + i, i);
	log = json_object_get(h, "Log");
	cr_expect_eq(json_array_size(log), 5);
	cr_expect_eq(json_integer_value(json_object_get(json_array_get(log, 0), "ExitCode")), 2);
	cr_expect_str_eq(json_string_value(json_object_get(json_array_get(log, 4), "Output")), "o\n");
	again = health_suspended(h);
	cr_expect_str_eq(health_status(again), "unhealthy");
	json_decref(h);
	h = health_starting(again);
	cr_expect_str_eq(health_status(h), "starting");
	cr_expect_eq(json_array_size(json_object_get(h, "Log")), 5);
	cr_expect_eq(streak(h), 0);
	json_decref(h);
	json_decref(again);
	health_release(&c);
}

Test(health, bad_values_are_refused_in_dockerds_words)
{
	static const char *const bad[][2] = {
		{"{\"Interval\":5}", "Interval in Healthcheck cannot be less than 1ms"},
		{"{\"Timeout\":-5}", "Timeout in Healthcheck cannot be less than 1ms"},
		{"{\"StartPeriod\":999999}", "StartPeriod in Healthcheck cannot be less than 1ms"},
		{"{\"StartInterval\":1}", "StartInterval in Healthcheck cannot be less than 1ms"},
		{"{\"Retries\":-1}", "Retries in Healthcheck cannot be negative"},
	};
	json_t *good = json_loads("{\"Interval\":1000000,\"Timeout\":0,\"Retries\":0}", 0, NULL);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *check = json_loads(bad[i][0], 0, NULL);
		struct err err = {0};

		cr_expect_eq(health_validate(check, &err), -1);
		cr_expect_eq(err.kind, ERR_INVALID);
		cr_expect_str_eq(err.msg, bad[i][1]);
		json_decref(check);
	}
	cr_expect_eq(health_validate(good, NULL), 0);
	json_decref(good);
}

Test(health, durations_read_as_gos)
{
	static const struct {
		int64_t ns;
		const char *text;
	} all[] = {
		{SECOND, "1s"}, {1500000000, "1.5s"}, {90 * SECOND, "1m30s"}, {3600 * SECOND, "1h0m0s"}, {500000000, "500ms"},
		{1500000, "1.5ms"}, {0, "0s"}, {3661 * SECOND + 1, "1h1m1.000000001s"}, {20 * SECOND, "20s"}, {100000000, "100ms"},
	};
	char out[HEALTH_DURATION_MAX];

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		cr_expect_str_eq(health_duration(all[i].ns, out), all[i].text);
}
