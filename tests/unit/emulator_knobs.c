/* Knobs: injected errors, quotas, all-or-nothing updates. */
#include <criterion/criterion.h>

#include "../../src/emulator/knobs.h"

static struct knobs k;

static void setup(void)
{
	knobs_init(&k);
}

static void teardown(void)
{
	knobs_release(&k);
}
TestSuite(knobs, .init = setup, .fini = teardown);

static int update(const char *text)
{
	struct err err = { 0 };
	json_t *o = json_loads(text, 0, NULL);
	int rc = knobs_update(&k, o, &err);

	json_decref(o);
	cr_expect((rc < 0) == (err.kind != ERR_NONE));
	return rc;
}

static int inject(const char *method, const char *path)
{
	struct injection in;

	return knobs_inject(&k, method, path, &in) ? in.status : -1;
}

Test(knobs, an_injected_error_counts_down)
{
	cr_assert_eq(knobs_add_injection(&k, "POST:/jobs/a:run:503:2", NULL), 0);
	cr_expect_eq(inject("GET", "/v2/jobs/a:run"), -1);
	cr_expect_eq(inject("POST", "/v2/jobs/b:run"), -1);
	cr_expect_eq(inject("POST", "/v2/jobs/a:run"), 503);
	cr_expect_eq(inject("POST", "/v2/jobs/a:run"), 503);
	cr_expect_eq(inject("POST", "/v2/jobs/a:run"), -1);
}

Test(knobs, wrong_injections_are_refused)
{
	static const char *const bad[] = { "", "GET", "GET:/x", "GET:/x:500", "GET:/x:200:1", "GET:/x:a:b" };

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_expect_lt(knobs_add_injection(&k, bad[i], NULL), 0, "%s", bad[i]);
	cr_expect_eq(k.n_injections, 0);
}

Test(knobs, an_update_is_all_or_nothing)
{
	cr_assert_eq(update("{\"startLatencyMs\":5,\"errors\":[{\"path\":\"/a\",\"status\":500}]}"), 0);
	cr_expect_lt(update("{\"startLatencyMs\":6,\"nonsense\":1}"), 0);
	cr_expect_lt(update("{\"errors\":[{\"path\":\"/b\"},{\"status\":200}]}"), 0);
	cr_expect_lt(update("{\"startLatencyMs\":-1}"), 0);
	cr_expect_lt(update("{\"errors\":[{\"status\":-1}]}"), 0);
	cr_expect_lt(update("{\"errors\":[{\"stallMs\":-1}]}"), 0);
	cr_expect_lt(update("{\"operationError\":{\"code\":17}}"), 0);
	cr_expect_lt(update("{\"logDisorder\":1}"), 0);
	cr_expect_lt(update("[]"), 0);
	cr_expect_eq(k.start_latency_ms, 5);
	cr_expect_eq(inject("GET", "/a"), 500);
	cr_assert_eq(update("{\"errors\":[]}"), 0);
	cr_expect_eq(k.n_injections, 0);
}

Test(knobs, what_is_shown_can_be_set)
{
	cr_assert_eq(update("{\"logDelayMs\":7,\"quota\":{\"run\":60},\"requireToken\":\"t\",\"errors\":[{\"status\":0},{\"half\":true},"
		"{\"stallMs\":9,\"after\":true,\"status\":429,\"retryAfter\":2}],\"notFoundMs\":3,\"clockSkewMs\":-5,"
		"\"logDisorder\":true,\"operationError\":{\"code\":8,\"count\":2}}"), 0);
	json_t *shown = knobs_show(&k);
	struct err err = { 0 };
	cr_expect_eq(knobs_update(&k, shown, &err), 0, "%s", err.msg);
	json_t *again = knobs_show(&k);
	cr_expect(json_equal(shown, again));
	cr_expect_str_eq(k.require_token, "t");
	json_decref(shown);
	json_decref(again);
	knobs_release(&k);
	knobs_init(&k);
	cr_assert_eq(update("{\"clockSkewMs\":0}"), 0);
}

Test(knobs, a_quota_gives_a_minutes_worth_at_once_and_then_refuses)
{
	cr_expect(quota_take(&k.run_quota), "no limit unless set");
	cr_assert_eq(knobs_set_quota(&k, "run=3", NULL), 0);
	for (int i = 0; i < 3; i++)
		cr_expect(quota_take(&k.run_quota));
	cr_expect_not(quota_take(&k.run_quota));
	cr_expect_lt(knobs_set_quota(&k, "walk=3", NULL), 0);
	cr_expect_lt(knobs_set_quota(&k, "run=-1", NULL), 0);
}
