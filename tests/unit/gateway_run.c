/* Calls to Cloud Run and Cloud Logging: what goes over the wire, what is repeated, how answers read. */
#include "http_fixture.h"

#include <jansson.h>

#include "auth/auth.h"
#include "cloud/call.h"
#include "cloud/logging.h"
#include "cloud/run.h"

static struct fake google, metadata;
static struct cloud *cloud;

struct outcome {
	int done;
	json_t *json;
	struct err err;
};

static void on_outcome(void *ctx, json_t *json, const struct err *err)
{
	struct outcome *o = ctx;

	cr_assert(!json != !err, "exactly one of them");
	o->done++;
	o->json = json_incref(json);
	if (err)
		o->err = *err;
}

static void setup(void)
{
	static char url[64];

	unsetenv("GOOGLE_APPLICATION_CREDENTIALS");
	setenv("CLOUDSDK_CONFIG", "/nonexistent", 1);
	unsetenv("http_proxy");
	unsetenv("https_proxy");
	unsetenv("all_proxy");
	fixture_open();
	fake_open(&google);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", google.port);
	fixture_config = (struct config){.project = (char *)"p", .region = (char *)"r", .endpoint_url = url,
					 .log_timeout_ms = 10000, .call_timeout_ms = 30000};
	cloud = cloud_new(&fixture_gateway);
}

static void teardown(void)
{
	cloud_free(cloud);
	fake_close(&google);
	fixture_close();
}

TestSuite(run, .init = setup, .fini = teardown);

Test(run, each_call_asks_what_the_interface_says)
{
	struct outcome o[7] = {0};
	static const char *const lines[] = {
		"POST /v2/projects/p/locations/r/jobs?jobId=j",
		"GET /v2/projects/p/locations/r/jobs/j",
		"DELETE /v2/projects/p/locations/r/jobs/j",
		"POST /v2/projects/p/locations/r/jobs/j:run",
		"GET /v2/projects/p/locations/r/jobs/j/executions/e",
		"POST /v2/projects/p/locations/r/jobs/j/executions/e:cancel",
		"GET /v2/projects/p/locations/r/jobs/j/executions/e/tasks",
	};

	FAKE_SCRIPT(&google, {200, "{\"ok\":1}", NULL});
	run_create_job(cloud, "j", json_pack("{s:i}", "x", 1), on_outcome, &o[0]);
	fixture_run_until(&o[0].done);
	run_get_job(cloud, "j", on_outcome, &o[1]);
	fixture_run_until(&o[1].done);
	run_delete_job(cloud, "j", on_outcome, &o[2]);
	fixture_run_until(&o[2].done);
	run_run_job(cloud, "j", on_outcome, &o[3]);
	fixture_run_until(&o[3].done);
	run_get_execution(cloud, "j", "e", on_outcome, &o[4]);
	fixture_run_until(&o[4].done);
	run_cancel_execution(cloud, "j", "e", on_outcome, &o[5]);
	fixture_run_until(&o[5].done);
	run_list_tasks(cloud, "j", "e", on_outcome, &o[6]);
	fixture_run_until(&o[6].done);
	for (size_t i = 0; i < 7; i++) {
		fake_expect(&google, i, lines[i]);
		cr_expect(o[i].json && json_object_get(o[i].json, "ok"), "%s", o[i].err.msg);
		cr_expect(!google.asked[i].authorization, "an endpoint URL means no credentials");
		json_decref(o[i].json);
	}
	cr_expect_str_eq(google.asked[0].body, "{\"x\":1}");
	cr_expect_str_eq(google.asked[3].body, "{}");
}

Test(run, nothing_is_called_inside_the_starting_call_or_after_cancel)
{
	struct outcome gone = {0}, o = {0};

	FAKE_SCRIPT(&google, {200, "{}", NULL});
	cloud_cancel(run_get_job(cloud, "j", on_outcome, &gone));
	cloud_cancel(NULL);
	run_get_job(cloud, "j", on_outcome, &o);
	cr_expect(!o.done);
	fixture_run_until(&o.done);
	cr_expect(!gone.done && o.done == 1);
	json_decref(o.json);
}

Test(run, errors_keep_googles_sentence_and_kind)
{
	static const enum err_kind kinds[] = {ERR_INVALID, ERR_DENIED, ERR_FORBIDDEN, ERR_NOT_FOUND, ERR_CONFLICT,
					      ERR_UPSTREAM, ERR_UPSTREAM, ERR_UPSTREAM};

	FAKE_SCRIPT(&google, {400, "{\"error\":{\"code\":400,\"message\":\"sentence 404\",\"status\":\"X\"}}", NULL},
		    {401, "{\"error\":{\"code\":401,\"message\":\"sentence\"}}", NULL},
		    {403, "{\"error\":{\"code\":403,\"message\":\"sentence\"}}", NULL},
		    {404, "{\"error\":{\"code\":404,\"message\":\"sentence\"}}", NULL},
		    {409, "{\"error\":{\"code\":409,\"message\":\"sentence\"}}", NULL},
		    {500, "<html>", NULL}, {503, "{\"error\":{\"message\":\"sentence\"}}", NULL}, {200, "[1]", NULL});
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		struct outcome o = {0};

		run_run_job(cloud, "j", on_outcome, &o); /* the one request that is not repeated */
		fixture_run_until(&o.done);
		cr_expect(o.err.kind == kinds[i], "%zu: %d %s", i, (int)o.err.kind, o.err.msg);
		cr_expect(google.n_asked == i + 1, "%zu requests", google.n_asked);
		if (i != 5 && i != 7)
			cr_expect(strncmp(o.err.msg, "sentence", 8) == 0, "%s", o.err.msg);
	}
}

Test(run, what_does_no_harm_is_repeated_five_times_at_most)
{
	struct outcome o = {0}, p = {0};

	FAKE_SCRIPT(&google, {503, "{}", NULL}, {429, "{}", NULL}, {200, "half an ans", NULL}, {200, "{\"ok\":1}", NULL},
		    {504, "{}", NULL});
	run_create_job(cloud, "j", json_object(), on_outcome, &o);
	fixture_run_until(&o.done);
	cr_expect(o.json != NULL, "%s", o.err.msg);
	cr_expect(google.n_asked == 4);
	json_decref(o.json);
	run_delete_job(cloud, "j", on_outcome, &p);
	fixture_run_until(&p.done);
	cr_expect(p.err.kind == ERR_UPSTREAM);
	cr_expect(google.n_asked == 9, "%zu", google.n_asked);
}

Test(run, a_run_is_repeated_only_when_it_was_refused_for_its_rate)
{
	struct outcome o = {0};

	FAKE_SCRIPT(&google, {429, "{}", NULL}, {200, "{\"ok\":1}", NULL});
	run_run_job(cloud, "j", on_outcome, &o);
	fixture_run_until(&o.done);
	cr_expect(o.json != NULL, "%s", o.err.msg);
	cr_expect(google.n_asked == 2);
	json_decref(o.json);
}

Test(run, all_calls_share_a_budget_of_repetitions)
{
	FAKE_SCRIPT(&google, {503, "{}", NULL});
	cloud->repeated = 58;
	for (size_t asked = 3, i = 0; i < 2; i++, asked++) {
		struct outcome o = {0};

		run_get_job(cloud, "j", on_outcome, &o);
		fixture_run_until(&o.done);
		cr_expect(google.n_asked == asked, "%zu, not %zu", google.n_asked, asked);
	}
}

Test(run, a_wait_beyond_the_deadline_is_not_waited_for)
{
	struct outcome o = {0}, p = {0};

	FAKE_SCRIPT(&google, {429, "{\"error\":{\"message\":\"slow down\"}}", "Retry-After: 3000"},
		    {503, "{\"error\":{\"message\":\"slower\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\","
		     "\"retryDelay\":\"31.5s\"}]}}", NULL});
	run_get_job(cloud, "j", on_outcome, &o);
	fixture_run_until(&o.done);
	cr_expect(o.err.kind == ERR_LIMIT && google.n_asked == 1);
	cr_expect_str_eq(o.err.msg, "slow down");
	run_get_job(cloud, "j", on_outcome, &p);
	fixture_run_until(&p.done);
	cr_expect_str_eq(p.err.msg, "slower");
	cr_expect(google.n_asked == 2);
}

Test(run, nobody_there_is_an_error_that_says_whom)
{
	struct outcome o = {0};

	http_server_stop_listening(google.server);
	run_run_job(cloud, "j", on_outcome, &o);
	fixture_run_until(&o.done);
	cr_expect(o.err.kind != ERR_NONE && strstr(o.err.msg, "/jobs/j:run"), "%s", o.err.msg);
}

Test(run, an_operation_that_failed_at_once_is_an_error)
{
	struct outcome o = {0};

	FAKE_SCRIPT(&google, {200, "{\"name\":\"o\",\"done\":true,\"error\":{\"code\":7,\"message\":\"no actAs\"}}", NULL});
	run_create_job(cloud, "j", json_object(), on_outcome, &o);
	fixture_run_until(&o.done);
	cr_expect(o.err.kind == ERR_FORBIDDEN);
	cr_expect_str_eq(o.err.msg, "no actAs");
}

Test(run, jobs_of_all_pages_are_one_list)
{
	struct outcome o = {0};

	FAKE_SCRIPT(&google, {200, "{\"jobs\":[{\"name\":\"a\"}],\"nextPageToken\":\"t/1=\"}", NULL},
		    {200, "{\"nextPageToken\":\"2\"}", NULL}, {200, "{\"jobs\":[{\"name\":\"b\"},{\"name\":\"c\"}]}", NULL});
	run_list_jobs(cloud, on_outcome, &o);
	fixture_run_until(&o.done);
	cr_assert(o.json != NULL, "%s", o.err.msg);
	cr_expect(json_array_size(json_object_get(o.json, "jobs")) == 3);
	fake_expect(&google, 0, "GET /v2/projects/p/locations/r/jobs?pageSize=100");
	fake_expect(&google, 1, "GET /v2/projects/p/locations/r/jobs?pageSize=100&pageToken=t%2F1%3D");
	fake_expect(&google, 2, "GET /v2/projects/p/locations/r/jobs?pageSize=100&pageToken=2");
	json_decref(o.json);
}

Test(run, an_operation_is_polled_until_it_is_done)
{
	struct outcome o = {0};

	FAKE_SCRIPT(&google, {200, "{\"name\":\"x\"}", NULL}, {200, "{\"done\":false}", NULL},
		    {200, "{\"done\":true,\"response\":{\"name\":\"j\"}}", NULL});
	run_wait_operation(cloud, "projects/p/locations/r/operations/x", 10000, on_outcome, &o);
	fixture_run_until(&o.done);
	cr_assert(o.json != NULL, "%s", o.err.msg);
	cr_expect(json_is_true(json_object_get(o.json, "done")));
	cr_expect(google.n_asked == 3);
	fake_expect(&google, 0, "GET /v2/projects/p/locations/r/operations/x");
	json_decref(o.json);
}

Test(run, an_operations_error_and_its_deadline_are_errors)
{
	struct outcome o = {0}, p = {0};

	FAKE_SCRIPT(&google, {200, "{\"done\":true,\"error\":{\"code\":5,\"message\":\"image not found\"}}", NULL},
		    {200, "{\"done\":false}", NULL});
	run_wait_operation(cloud, "projects/p/locations/r/operations/x", 10000, on_outcome, &o);
	fixture_run_until(&o.done);
	cr_expect(o.err.kind == ERR_NOT_FOUND);
	cr_expect_str_eq(o.err.msg, "image not found");
	run_wait_operation(cloud, "projects/p/locations/r/operations/x", 150, on_outcome, &p);
	fixture_run_until(&p.done);
	cr_expect(p.err.kind == ERR_TIMEOUT, "%s", p.err.msg);
}

Test(run, log_entries_of_all_pages_count_once)
{
	struct outcome o = {0};
	json_t *body, *entries;

	FAKE_SCRIPT(&google, {200, "{\"nextPageToken\":\"n\"}", NULL},
		    {200, "{\"entries\":[{\"insertId\":\"1\",\"textPayload\":\"a\"},{\"insertId\":\"2\",\"textPayload\":\"b\"},"
		     "{\"insertId\":\"s\",\"labels\":{\"container_name\":\"sockerless-agent\"}}],\"nextPageToken\":\"m\"}", NULL},
		    {200, "{\"entries\":[{\"insertId\":\"2\",\"textPayload\":\"b\"},{\"insertId\":\"3\",\"textPayload\":\"c\","
		     "\"labels\":{\"container_name\":\"main\"}}]}", NULL});
	logging_list(cloud, &(struct logging_ask){"j", "j-1", .since_ns = 1700000000000000001}, on_outcome, &o);
	fixture_run_until(&o.done);
	cr_assert(o.json != NULL, "%s", o.err.msg);
	entries = json_object_get(o.json, "entries");
	cr_assert(json_array_size(entries) == 4);
	cr_expect_str_eq(json_string_value(json_object_get(json_array_get(entries, 3), "textPayload")), "c");
	fake_expect(&google, 0, "POST /v2/entries:list");
	body = json_loads(google.asked[0].body, 0, NULL);
	cr_expect_str_eq(json_string_value(json_array_get(json_object_get(body, "resourceNames"), 0)), "projects/p");
	cr_expect_str_eq(json_string_value(json_object_get(body, "filter")),
		"resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"j\" AND resource.labels.location=\"r\" AND "
		"labels.\"run.googleapis.com/execution_name\"=\"j-1\" AND "
		"logName=(\"projects/p/logs/run.googleapis.com%2Fstdout\" OR "
		"\"projects/p/logs/run.googleapis.com%2Fstderr\") AND timestamp>=\"2023-11-14T22:13:20.000000001Z\"");
	cr_expect(!json_object_get(body, "pageToken"));
	json_decref(body);
	body = json_loads(google.asked[2].body, 0, NULL);
	cr_expect_str_eq(json_string_value(json_object_get(body, "pageToken")), "m");
	json_decref(body);
	json_decref(o.json);
}

static size_t n_told;

static void on_told(void *ctx, json_t *entries)
{
	n_told += json_array_size(entries);
	++*(int *)ctx;
}

Test(run, followers_share_one_question)
{
	struct log_follow *a, *b;
	int a_told = 0, b_told = 0;
	json_t *body;

	FAKE_SCRIPT(&google, {200, "{\"entries\":[{\"insertId\":\"1\",\"timestamp\":\"2026-01-01T00:01:00Z\",\"labels\":"
		     "{\"run.googleapis.com/execution_name\":\"j-1\"}},{\"insertId\":\"2\",\"timestamp\":\"2026-01-01T00:02:00Z\","
		     "\"labels\":{\"run.googleapis.com/execution_name\":\"k-1\"}}]}", NULL}, {200, "{}", NULL});
	n_told = 0;
	a = log_follow_begin(cloud, "j", "j-1", on_told, &a_told);
	b = log_follow_begin(cloud, "k", "k-1", on_told, &b_told);
	fixture_run_until(&b_told);
	cr_expect(n_told == 2 && a_told == 1 && b_told == 1, "each has its own");
	cr_expect(google.n_asked == 1);
	a_told = b_told = 0;
	fixture_run_until(&a_told);
	cr_expect(google.n_asked == 2);
	body = json_loads(google.asked[1].body, 0, NULL);
	cr_expect(strstr(json_string_value(json_object_get(body, "filter")), "job_name=(\"") &&
		  strstr(json_string_value(json_object_get(body, "filter")), "timestamp>=\"2026-01-01T00:00:30"), "looks back: %s",
		  google.asked[1].body);
	json_decref(body);
	log_follow_end(a);
	log_follow_end(b);
}

Test(run, beyond_sixty_reads_a_minute_one_waits)
{
	for (int i = 0; i < LOGGING_READS_MAX; i++)
		cr_expect(logging_take_turn(cloud) == 0);
	cr_expect(logging_take_turn(cloud) > 50000);
	cr_expect(logging_take_turn(cloud) <= 60000);
}

/* ---- credentials ------------------------------------------------------------------------------ */

/* A client that believes to talk to Google, with a metadata server of ours. */
static void with_credentials(void)
{
	char host[64];

	fake_open(&metadata);
	snprintf(host, sizeof(host), "127.0.0.1:%d", metadata.port);
	setenv("GCE_METADATA_HOST", host, 1);
	cloud_free(cloud);
	fixture_config.endpoint_url = NULL;
	cloud = cloud_new(&fixture_gateway);
	free(cloud->run_parent);
	cloud->run_parent = xasprintf("http://127.0.0.1:%d/v2/projects/p/locations/r", google.port);
}

Test(run, one_token_request_serves_all_who_wait)
{
	struct outcome o = {0}, p = {0}, q = {0};

	with_credentials();
	FAKE_SCRIPT(&metadata, {200, "{\"access_token\":\"tok1\",\"expires_in\":3600,\"token_type\":\"Bearer\"}", NULL});
	FAKE_SCRIPT(&google, {200, "{}", NULL});
	run_get_job(cloud, "a", on_outcome, &o);
	run_get_job(cloud, "b", on_outcome, &p);
	fixture_run_until(&o.done);
	fixture_run_until(&p.done);
	run_get_job(cloud, "c", on_outcome, &q);
	fixture_run_until(&q.done);
	cr_expect(metadata.n_asked == 1);
	fake_expect(&metadata, 0, "GET /computeMetadata/v1/instance/service-accounts/default/token");
	cr_expect_str_eq(metadata.asked[0].flavor, "Google");
	cr_assert(google.n_asked == 3);
	for (size_t i = 0; i < 3; i++)
		cr_expect_str_eq(google.asked[i].authorization, "Bearer tok1");
	json_decref(o.json);
	json_decref(p.json);
	json_decref(q.json);
	fake_close(&metadata);
}

Test(run, a_refused_token_is_replaced_once)
{
	struct outcome o = {0}, p = {0};

	with_credentials();
	FAKE_SCRIPT(&metadata, {200, "{\"access_token\":\"old\",\"expires_in\":3600}", NULL},
		    {200, "{\"access_token\":\"new\",\"expires_in\":3600}", NULL});
	FAKE_SCRIPT(&google, {401, "{}", NULL}, {200, "{}", NULL},
		    {401, "{\"error\":{\"message\":\"no\"}}", NULL});
	run_run_job(cloud, "a", on_outcome, &o);
	fixture_run_until(&o.done);
	cr_expect(o.json != NULL, "%s", o.err.msg);
	cr_expect_str_eq(google.asked[0].authorization, "Bearer old");
	cr_expect_str_eq(google.asked[1].authorization, "Bearer new");
	run_run_job(cloud, "a", on_outcome, &p);
	fixture_run_until(&p.done);
	cr_expect(p.err.kind == ERR_DENIED);
	cr_expect(google.n_asked == 4);
	json_decref(o.json);
	fake_close(&metadata);
}

Test(run, a_token_that_is_about_to_end_is_used_but_not_kept_long)
{
	struct outcome o = {0}, p = {0};

	with_credentials();
	FAKE_SCRIPT(&metadata, {200, "{\"access_token\":\"t\",\"expires_in\":1}", NULL});
	FAKE_SCRIPT(&google, {200, "{}", NULL});
	run_get_job(cloud, "a", on_outcome, &o);
	fixture_run_until(&o.done);
	run_get_job(cloud, "a", on_outcome, &p);
	fixture_run_until(&p.done);
	cr_expect(metadata.n_asked == 2);
	json_decref(o.json);
	json_decref(p.json);
	fake_close(&metadata);
}

Test(run, a_metadata_server_without_account_is_an_error_with_its_words)
{
	struct outcome o = {0};

	with_credentials();
	FAKE_SCRIPT(&metadata, {404, "no such service account", NULL});
	run_get_job(cloud, "a", on_outcome, &o);
	fixture_run_until(&o.done);
	cr_expect(o.err.kind == ERR_UPSTREAM && strstr(o.err.msg, "no such service account"), "%s", o.err.msg);
	cr_expect(google.n_asked == 0, "asked without a token");
	fake_close(&metadata);
}

Test(run, a_call_does_not_wait_for_its_token_beyond_its_deadline)
{
	struct outcome o = {0};

	with_credentials();
	fixture_config.call_timeout_ms = 300;
	FAKE_SCRIPT(&metadata, {503, "", NULL}); /* tried for seconds */
	run_get_job(cloud, "a", on_outcome, &o);
	fixture_run_until(&o.done);
	cr_expect(o.err.kind == ERR_TIMEOUT && strstr(o.err.msg, "no access token in time"), "%s", o.err.msg);
	fake_close(&metadata);
}

Test(run, a_credentials_file_that_is_missing_is_told_by_name)
{
	struct outcome o = {0};

	with_credentials();
	setenv("GOOGLE_APPLICATION_CREDENTIALS", "/key.json", 1);
	run_get_job(cloud, "a", on_outcome, &o);
	cr_expect(!o.done);
	fixture_run_until(&o.done);
	cr_expect(o.err.kind == ERR_SYSTEM && !o.json && google.n_asked == 0);
	cr_expect(strstr(o.err.msg, "GOOGLE_APPLICATION_CREDENTIALS") && strstr(o.err.msg, "/key.json"), "%s", o.err.msg);
	fake_close(&metadata);
}

/* ---- reading ---------------------------------------------------------------------------------- */

Test(execution, phase_and_message)
{
	static const struct {
		const char *json;
		enum execution_phase phase;
		const char *message;
	} table[] = {
		{"{}", EXECUTION_PENDING, NULL},
		{"{\"conditions\":[{\"type\":\"Completed\",\"state\":\"CONDITION_RECONCILING\",\"message\":\"Waiting\"}]}",
		 EXECUTION_PENDING, NULL},
		{"{\"runningCount\":1,\"startTime\":\"2026-01-01T00:00:00Z\"}", EXECUTION_RUNNING, NULL},
		{"{\"completionTime\":\"2026-01-01T00:00:00Z\",\"succeededCount\":1}", EXECUTION_SUCCEEDED, NULL},
		{"{\"completionTime\":\"2026-01-01T00:00:00Z\",\"failedCount\":1,\"conditions\":["
		 "{\"type\":\"ResourcesAvailable\",\"state\":\"CONDITION_SUCCEEDED\"},"
		 "{\"type\":\"Completed\",\"state\":\"CONDITION_FAILED\",\"message\":\"exit code: 1\"}]}",
		 EXECUTION_FAILED, "exit code: 1"},
		{"{\"completionTime\":\"2026-01-01T00:00:00Z\",\"cancelledCount\":1,\"failedCount\":1}",
		 EXECUTION_CANCELLED, NULL},
		{"{\"conditions\":[{\"type\":\"Completed\",\"state\":\"CONDITION_FAILED\",\"executionReason\":\"CANCELLED\","
		 "\"message\":\"c\"}]}", EXECUTION_CANCELLED, "c"},
		{"{\"conditions\":[{\"type\":\"Completed\",\"state\":\"CONDITION_SUCCEEDED\"}]}", EXECUTION_SUCCEEDED, NULL},
		{"{\"conditions\":[{\"type\":\"Completed\",\"state\":\"CONDITION_RECONCILING\"},"
		 "{\"type\":\"ContainerReady\",\"state\":\"CONDITION_FAILED\",\"message\":\"image not found\"}]}",
		 EXECUTION_PENDING, "image not found"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		json_t *e = json_loads(table[i].json, 0, NULL);
		const char *message = run_execution_message(e);

		cr_assert(e != NULL, "test data %zu", i);
		cr_expect(run_execution_phase(e) == table[i].phase, "%zu: %d", i, (int)run_execution_phase(e));
		cr_expect(table[i].message ? message && strcmp(message, table[i].message) == 0 : !message, "%zu: %s", i,
			  message);
		json_decref(e);
	}
}

Test(execution, exit_code)
{
	static const struct {
		const char *json;
		int code;
	} table[] = {
		{"{}", -1},
		{"{\"tasks\":[]}", -1},
		{"{\"tasks\":[{}]}", -1},
		{"{\"tasks\":[{\"lastAttemptResult\":{\"exitCode\":42}}]}", 42},
		{"{\"tasks\":[{\"lastAttemptResult\":{\"termSignal\":9}}]}", 137},
		{"{\"tasks\":[{\"lastAttemptResult\":{\"exitCode\":0}}]}", 0},
		{"{\"tasks\":[{\"lastAttemptResult\":{\"status\":{}},\"conditions\":[{\"type\":\"Completed\","
		 "\"state\":\"CONDITION_SUCCEEDED\"}]}]}", 0},
		{"{\"tasks\":[{\"lastAttemptResult\":{\"status\":{\"code\":13,\"message\":\"Internal error.\"}},"
		 "\"conditions\":[{\"type\":\"Completed\",\"state\":\"CONDITION_FAILED\"}]}]}", -1},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		json_t *t = json_loads(table[i].json, 0, NULL);

		cr_assert(t != NULL, "test data %zu", i);
		cr_expect(run_task_exit_code(t) == table[i].code, "%zu: %d", i, run_task_exit_code(t));
		json_decref(t);
	}
}
