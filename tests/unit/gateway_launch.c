/* Launching an execution: each step failing, hanging, or with its answer lost; what is left at Google after it.
 * Google here is a small state machine that does what it is asked and then may withhold the answer. */
#include "http_fixture.h"

#include <jansson.h>

#include "cloud/call.h"
#include "cloud/launch.h"
#include "cloud/run.h"

#define JOB "/v2/projects/p/locations/r/jobs/j"

/* What goes wrong, at which request. */
struct fault {
	const char *at;      /* "POST jobs", "PATCH", "DELETE", "GET job", "POST run", "GET executions", "GET operation" */
	int status;          /* the answer instead */
	const char *body;    /* NULL: a sentence */
	int times;
	bool after;          /* the request has its effect first */
};

static struct fake google;
static struct cloud *cloud;
static struct fault fault;
static bool job_there, op_pending, stale_run;
static char mark[32], running[64], asked_all[2048];
static int n_runs;

static const char *kind_of(const char *line)
{
	if (strstr(line, "/operations/"))
		return "GET operation";
	if (strstr(line, ":run"))
		return "POST run";
	if (strstr(line, "/executions/"))
		return "DELETE execution";
	if (strstr(line, "/executions"))
		return "GET executions";
	if (strncmp(line, "POST", 4) == 0)
		return "POST jobs";
	return strncmp(line, "GET", 3) == 0 ? "GET job" : strncmp(line, "PATCH", 5) == 0 ? "PATCH" : "DELETE";
}

static void read_mark(const char *body)
{
	json_t *job = json_loads(body, 0, NULL);
	const char *m = json_string_value(json_object_get(json_object_get(job, "annotations"), LAUNCH_MARK));

	cr_assert(m && strcmp(m, json_string_value(json_object_get(json_object_get(json_object_get(job, "template"),
		  "annotations"), LAUNCH_MARK))) == 0, "the mark is on job and execution");
	if (!stale_run)
		snprintf(mark, sizeof(mark), "%s", m);
	json_decref(job);
}

static const char *text(const char *fmt, ...)
{
	static char both[2][1024];
	static int turn;
	char *out = both[turn ^= 1];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(out, sizeof(both[0]), fmt, ap);
	va_end(ap);
	return out;
}

static struct answer effect(const char *kind, const struct asked *a)
{
	if (strcmp(kind, "POST jobs") == 0) {
		if (job_there)
			return (struct answer){409, "{\"error\":{\"message\":\"Resource 'j' already exists.\"}}", NULL};
		read_mark(a->body);
		job_there = true;
		return (struct answer){200, op_pending ? "{\"name\":\"projects/p/locations/r/operations/o\"}"
				       : "{\"name\":\"projects/p/locations/r/operations/o\",\"done\":true}", NULL};
	}
	if (strcmp(kind, "PATCH") == 0) {
		read_mark(a->body);
		job_there = true;
		return (struct answer){200, "{\"name\":\"projects/p/locations/r/operations/o\"}", NULL};
	}
	if (strcmp(kind, "DELETE") == 0) {
		bool was = job_there;

		job_there = false;
		running[0] = '\0';
		return was ? (struct answer){200, "{\"name\":\"projects/p/locations/r/operations/d\"}", NULL}
			   : (struct answer){404, "{\"error\":{\"message\":\"no such job\"}}", NULL};
	}
	if (strcmp(kind, "GET job") == 0)
		return (struct answer){200, text("{\"name\":\"j\",\"annotations\":{\"sockerless_container_id\":\"c1\",\""
						 LAUNCH_MARK "\":\"%s\"}}", mark), NULL};
	if (strcmp(kind, "POST run") == 0) {
		n_runs++;
		snprintf(running, sizeof(running), "j-%d", n_runs);
		return (struct answer){200, text("{\"metadata\":{\"name\":\"x/executions/%s\",\"annotations\":{\"" LAUNCH_MARK
						 "\":\"%s\"}}}", running, stale_run ? "old" : mark), NULL};
	}
	if (strcmp(kind, "DELETE execution") == 0) {
		stale_run = false;
		running[0] = '\0';
		return (struct answer){200, "{}", NULL};
	}
	if (strcmp(kind, "GET executions") == 0)
		return (struct answer){200, text("{\"executions\":[{\"name\":\"x/executions/j-other\"}%s]}", running[0] ?
			text(",{\"name\":\"x/executions/%s\",\"annotations\":{\"" LAUNCH_MARK "\":\"%s\"}}", running, mark) : ""), NULL};
	stale_run = false;
	return (struct answer){200, "{\"done\":true}", NULL};
}

static struct answer google_answers(struct fake *f, const struct asked *a)
{
	const char *kind = kind_of(a->line);
	struct answer answer = {0};

	snprintf(asked_all + strlen(asked_all), sizeof(asked_all) - strlen(asked_all), "%s%s", *asked_all ? ", " : "", kind);
	if (!fault.at || strcmp(fault.at, kind) != 0 || fault.times == 0)
		return effect(kind, a);
	fault.times--;
	if (fault.after)
		effect(kind, a);
	answer.status = fault.status;
	answer.body = fault.body ? fault.body : "{\"error\":{\"message\":\"Google's sentence.\"}}";
	return answer;
}

static void setup(void)
{
	static char url[64];

	fixture_open();
	fake_open(&google);
	google.answer = google_answers;
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", google.port);
	fixture_config = (struct config){.project = (char *)"p", .region = (char *)"r", .endpoint_url = url,
					 .log_timeout_ms = 10000, .call_timeout_ms = 3000};
	cloud = cloud_new(&fixture_gateway);
	fault = (struct fault){0};
	job_there = op_pending = stale_run = false;
	mark[0] = running[0] = asked_all[0] = '\0';
	n_runs = 0;
}

static void teardown(void)
{
	cloud_free(cloud);
	fake_close(&google);
	fixture_close();
}

struct outcome {
	int done;
	char execution[64];
	struct err err;
};

static void on_launched(void *ctx, const char *execution, const struct err *err)
{
	struct outcome *o = ctx;

	cr_assert(!execution != !err);
	o->done++;
	if (execution)
		snprintf(o->execution, sizeof(o->execution), "%s", execution);
	else
		o->err = *err;
}

static struct launch *begin(enum launch_how how, struct outcome *o)
{
	return launch_begin(cloud, "j", json_pack("{s:{s:s}, s:{}}", "annotations", "sockerless_container_id", "c1",
						  "template"), how, on_launched, o);
}

static struct outcome go(enum launch_how how)
{
	struct outcome o = {0};

	begin(how, &o);
	fixture_run_until(&o.done);
	while (cloud->calls) /* what goes on in the background */
		uv_run(&fixture_loop, UV_RUN_ONCE);
	return o;
}

TestSuite(launch, .init = setup, .fini = teardown);

static const char sentence[] = "{\"error\":{\"message\":\"Google's sentence.\"}}";
static const char pending[] = "{\"error\":{\"code\":400,\"message\":\"Job is not ready.\",\"status\":\"FAILED_PRECONDITION\"}}";
static const char op_failed[] = "{\"done\":true,\"error\":{\"code\":5,\"message\":\"Image 'x' not found.\"}}";

static const struct {
	enum launch_how how;
	bool there, op_pending, stale;  /* what is the matter with Google */
	struct fault fault;
	const char *asked;              /* everything asked, in order */
	const char *says;               /* part of the error; NULL: it succeeds */
	bool left;                      /* a job remains */
} table[] = {
	/* Nothing is wrong: two calls. */
	{LAUNCH_NEW, 0, 0, 0, {0}, "POST jobs, POST run", NULL, true},
	{LAUNCH_NEW, 0, 1, 0, {0}, "POST jobs, POST run", NULL, true},
	{LAUNCH_AGAIN, 1, 0, 0, {0}, "PATCH, POST run", NULL, true},
	{LAUNCH_AGAIN, 0, 0, 0, {0}, "PATCH, POST run", NULL, true},
	{LAUNCH_OVER, 1, 0, 0, {0}, "DELETE, GET operation, POST jobs, POST run", NULL, true},
	{LAUNCH_OVER, 0, 0, 0, {0}, "DELETE, POST jobs, POST run", NULL, true},
	/* Refused: Google's sentence, nothing is left. */
	{LAUNCH_NEW, 0, 0, 0, {"POST jobs", 400, sentence, 1, 0}, "POST jobs, DELETE", "create the Cloud Run job: Google's sentence.", false},
	{LAUNCH_NEW, 0, 0, 0, {"POST jobs", 403, sentence, 1, 0}, "POST jobs, DELETE", "Google's sentence.", false},
	{LAUNCH_AGAIN, 1, 0, 0, {"PATCH", 403, sentence, 1, 0}, "PATCH, DELETE", "Google's sentence.", false},
	{LAUNCH_NEW, 0, 0, 0, {"POST run", 403, sentence, 1, 0}, "POST jobs, POST run, DELETE", "run the Cloud Run job: Google's sentence.", false},
	{LAUNCH_OVER, 1, 0, 0, {"DELETE", 403, sentence, 1, 0}, "DELETE", "delete the job of the former run: Google's sentence.", true},
	{LAUNCH_OVER, 1, 0, 0, {"GET operation", 200, op_failed, 1, 0}, "DELETE, GET operation, POST jobs, POST run", NULL, true},
	/* Not ready yet: the operation is awaited, once; when it has failed, it is its sentence. */
	{LAUNCH_NEW, 0, 1, 0, {"POST run", 400, pending, 1, 0}, "POST jobs, POST run, GET operation, POST run", NULL, true},
	{LAUNCH_NEW, 0, 1, 0, {"POST run", 400, pending, 2, 0}, "POST jobs, POST run, GET operation, POST run, DELETE", "not ready", false},
	{LAUNCH_NEW, 0, 0, 0, {"POST run", 400, pending, 1, 0}, "POST jobs, POST run, DELETE", "not ready", false},
	/* What was just made is not found at once. */
	{LAUNCH_NEW, 0, 0, 0, {"POST run", 404, sentence, 1, 0}, "POST jobs, POST run, POST run", NULL, true},
	{LAUNCH_NEW, 0, 0, 0, {"POST run", 404, sentence, -1, 0}, "POST jobs, POST run, POST run, POST run, POST run, DELETE",
	 "run the Cloud Run job: Google's sentence.", false},
	/* A run of what the job was before the patch. */
	{LAUNCH_AGAIN, 1, 0, 1, {0}, "PATCH, POST run, GET operation, DELETE execution, POST run", NULL, true},
	/* The rate: refused before it had any effect. */
	{LAUNCH_NEW, 0, 0, 0, {"POST jobs", 429, sentence, 1, 0}, "POST jobs, POST jobs, POST run", NULL, true},
	{LAUNCH_NEW, 0, 0, 0, {"POST run", 429, sentence, 1, 0}, "POST jobs, POST run, POST run", NULL, true},
	/* The answer is lost, with and without an effect. */
	{LAUNCH_NEW, 0, 0, 0, {"POST jobs", 503, sentence, 1, 0}, "POST jobs, POST jobs, POST run", NULL, true},
	{LAUNCH_NEW, 0, 0, 0, {"POST jobs", 503, sentence, 1, 1}, "POST jobs, POST jobs, GET job, POST run", NULL, true},
	{LAUNCH_NEW, 0, 0, 0, {"POST jobs", 200, "{\"na", 1, 1}, "POST jobs, POST jobs, GET job, POST run", NULL, true},
	{LAUNCH_AGAIN, 1, 0, 0, {"PATCH", 503, sentence, 1, 1}, "PATCH, PATCH, POST run", NULL, true},
	{LAUNCH_OVER, 1, 0, 0, {"DELETE", 503, sentence, 1, 1}, "DELETE, DELETE, POST jobs, POST run", NULL, true},
	{LAUNCH_NEW, 0, 0, 0, {"POST run", 503, sentence, 1, 1}, "POST jobs, POST run, GET executions", NULL, true},
	{LAUNCH_NEW, 0, 0, 0, {"POST run", 200, "{\"metad", 1, 1}, "POST jobs, POST run, GET executions", NULL, true},
	{LAUNCH_NEW, 0, 0, 0, {"POST run", 500, sentence, 1, 0},
	 "POST jobs, POST run, GET executions, GET executions, GET executions, POST run", NULL, true},
	/* Google is down. */
	{LAUNCH_NEW, 0, 0, 0, {"POST jobs", 503, sentence, -1, 0}, "POST jobs, POST jobs, POST jobs, POST jobs, POST jobs, DELETE",
	 "Google's sentence.", false},
	/* A left-over of a start that was cut short; another container's; one that comes back. */
	{LAUNCH_NEW, 1, 0, 0, {0}, "POST jobs, GET job, DELETE, GET operation, POST jobs, POST run", NULL, true},
	{LAUNCH_NEW, 1, 0, 0, {"GET job", 200, "{\"annotations\":{\"sockerless_container_id\":\"c2\"}}", 1, 0}, "POST jobs, GET job",
	 "belongs to container c2", true},
	{LAUNCH_NEW, 1, 0, 0, {"GET job", 500, sentence, 1, 0}, "POST jobs, GET job, DELETE", "Google's sentence.", false},
};

Test(launch, what_is_asked_and_what_is_left, .timeout = 60)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct outcome o;

		if (i) {
			teardown();
			setup();
		}
		fault = table[i].fault;
		job_there = table[i].there;
		op_pending = table[i].op_pending;
		stale_run = table[i].stale;
		if (stale_run)
			snprintf(mark, sizeof(mark), "old");
		o = go(table[i].how);
		cr_expect(o.done == 1, "%zu: the callback came %d times", i, o.done);
		/* What goes on in the background comes in any order. */
		cr_expect(table[i].stale ? strlen(asked_all) == strlen(table[i].asked) : strcmp(asked_all, table[i].asked) == 0,
			  "%zu: %s", i, asked_all);
		if (table[i].says)
			cr_expect(strstr(o.err.msg, table[i].says) != NULL, "%zu: %s", i, o.err.msg);
		else
			cr_expect(o.execution[0] && !strcmp(o.execution, running), "%zu: %s, %s", i, o.execution, o.err.msg);
		cr_expect(job_there == table[i].left, "%zu: the job", i);
	}
}

Test(launch, a_cancelled_launch_deletes_its_job_when_it_is_to_be_undone)
{
	struct outcome o = {0};
	struct launch *l = begin(LAUNCH_NEW, &o);

	while (!job_there)
		uv_run(&fixture_loop, UV_RUN_ONCE);
	launch_cancel(l, true);
	while (cloud->calls)
		uv_run(&fixture_loop, UV_RUN_ONCE);
	cr_expect(!job_there && !o.done);
	launch_cancel(NULL, true);
}

/* Google may have the request already: a deletion that came before it would leave the job. */
Test(launch, what_is_under_way_when_it_is_cancelled_is_deleted_after_its_answer)
{
	static const struct { enum launch_how how; struct fault fault; const char *asked; } cases[] = {
		{LAUNCH_NEW, {0}, "POST jobs, DELETE"},
		{LAUNCH_AGAIN, {0}, "PATCH, DELETE"},
		{LAUNCH_NEW, {"POST jobs", 503, NULL, 1, true}, "POST jobs, DELETE"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct outcome o = {0};

		asked_all[0] = '\0';
		fault = cases[i].fault;
		launch_cancel(begin(cases[i].how, &o), true);
		while (cloud->calls)
			uv_run(&fixture_loop, UV_RUN_ONCE);
		cr_expect_str_eq(asked_all, cases[i].asked);
		cr_expect(!job_there && !o.done);
	}
}

Test(launch, what_a_cancelled_launch_still_makes_does_not_hit_the_next)
{
	struct outcome o = {0};

	launch_cancel(begin(LAUNCH_NEW, &o), true);
	o = go(LAUNCH_OVER);
	cr_expect(o.execution[0] != '\0', "%s", o.err.msg);
	cr_expect(job_there);
}

Test(launch, a_cancelled_launch_leaves_its_job_when_only_we_go_away)
{
	struct outcome o = {0};
	struct launch *l = begin(LAUNCH_NEW, &o);

	while (!job_there)
		uv_run(&fixture_loop, UV_RUN_ONCE);
	launch_cancel(l, false);
	cr_expect(job_there && !o.done && !cloud->calls);
}

Test(launch, a_deletion_in_the_background_does_not_hit_the_next_job)
{
	struct outcome o = {0};

	job_there = true;
	fault = (struct fault){"DELETE", 503, sentence, 2, false};
	launch_discard(cloud, "j", NULL);
	while (fault.times == 2)
		uv_run(&fixture_loop, UV_RUN_ONCE);
	o = go(LAUNCH_OVER);
	cr_expect(o.execution[0] != '\0', "%s", o.err.msg);
	cr_expect(job_there);
}

Test(launch, a_start_token_needs_one_call)
{
	struct outcome o;
	json_t *body;

	fixture_config.start_token = true;
	o = go(LAUNCH_NEW);
	cr_expect_str_eq(asked_all, "POST jobs");
	fake_expect(&google, 0, "POST /v2/projects/p/locations/r/jobs?jobId=j");
	body = json_loads(google.asked[0].body, 0, NULL);
	cr_expect_str_eq(json_string_value(json_object_get(body, "startExecutionToken")), mark);
	cr_expect_str_eq(o.execution, text("j-%s", mark));
	json_decref(body);
}
