/* proto3's JSON mapping, and what the API refuses beyond types. */
#include <criterion/criterion.h>
#include <string.h>

#include "../../src/emulator/schema.h"
#include "../../src/emulator/validate.h"

static json_t *parse(const char *text, struct rpc_error *e)
{
	json_error_t why;
	json_t *in = json_loads(text, 0, &why), *out;

	cr_assert(in, "%s: %s", text, why.text);
	out = schema_parse(&schema_job, "job", in, e);
	json_decref(in);
	return out;
}

static void becomes(const char *text, const char *want)
{
	struct rpc_error e = { 0 };
	json_t *out = parse(text, &e), *expected = json_loads(want, 0, NULL);

	cr_assert(out, "%s: %s", text, e.message);
	cr_expect(json_equal(out, expected), "%s became %s", text, json_dumps(out, JSON_COMPACT));
	json_decref(out);
	json_decref(expected);
}

static void refused(const char *text, const char *message)
{
	struct rpc_error e = { 0 };

	cr_assert_null(parse(text, &e), "accepted: %s", text);
	cr_expect_eq(e.code, RPC_INVALID_ARGUMENT);
	cr_expect_str_eq(e.message, message);
	cr_expect_eq(json_array_size(e.violations), 1);
	json_decref(e.violations);
}

Test(schema, messages_are_normalised)
{
	becomes("{}", "{}");
	becomes("{\"labels\":{}, \"name\":\"\", \"client\":null, \"uid\":\"ignored\"}", "{}");
	becomes("{\"template\":{\"task_count\":\"3\",\"parallelism\":0,\"taskCount\":null}}",
		"{\"template\":{\"taskCount\":3}}");
	becomes("{\"template\":{\"template\":{\"maxRetries\":0}}}",
		"{\"template\":{\"template\":{\"maxRetries\":0}}}");
	becomes("{\"template\":{\"template\":{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}],"
		"\"containers\":[{\"env\":[{\"name\":\"E\",\"value\":\"\"}],\"command\":[]}]}}}",
		"{\"template\":{\"template\":{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}],"
		"\"containers\":[{\"env\":[{\"name\":\"E\",\"value\":\"\"}]}]}}}");
	becomes("{\"launchStage\":7,\"template\":{\"taskCount\":2.0}}",
		"{\"launchStage\":\"DEPRECATED\",\"template\":{\"taskCount\":2}}");
}

Test(schema, refusals_are_in_googles_words)
{
	refused("{\"x\":1}", "Invalid JSON payload received. Unknown name \"x\" at 'job': Cannot find field.");
	refused("{\"template\":{\"template\":{\"containers\":[{},{\"user\":\"root\"}]}}}",
		"Invalid JSON payload received. Unknown name \"user\" at "
		"'job.template.template.containers[1]': Cannot find field.");
	refused("{\"template\":{\"taskCount\":\"x\"}}",
		"Invalid value at 'job.template.task_count' (TYPE_INT32), \"x\"");
	refused("{\"template\":{\"taskCount\":4294967296}}",
		"Invalid value at 'job.template.task_count' (TYPE_INT32), 4294967296");
	refused("{\"launchStage\":\"NOW\"}",
		"Invalid value at 'job.launch_stage' (type.googleapis.com/google.api.LaunchStage), \"NOW\"");
	refused("{\"labels\":{\"a\":1}}", "Invalid value at 'job.labels[a]' (TYPE_STRING), 1");
	refused("{\"template\":{\"template\":{\"timeout\":\"10m\"}}}", "Invalid value at "
		"'job.template.template.timeout' (type.googleapis.com/google.protobuf.Duration), \"10m\"");
	refused("{\"template\":[]}", "Invalid value at 'job.template' (TYPE_MESSAGE), []");
	refused("{\"startExecutionToken\":\"a\",\"start_execution_token\":\"b\"}", "Invalid JSON payload "
		"received. Multiple values for field 'job.start_execution_token'.");
}

Test(schema, durations)
{
	int64_t ms;

	cr_expect(schema_duration_ms("600s", &ms) == 0 && ms == 600000);
	cr_expect(schema_duration_ms("1.25s", &ms) == 0 && ms == 1250);
	cr_expect(schema_duration_ms("0.000000001s", &ms) == 0 && ms == 0);
	cr_expect(schema_duration_ms("600", &ms) < 0);
	cr_expect(schema_duration_ms("-1s", &ms) < 0);
	cr_expect(schema_duration_ms("", &ms) < 0);
	cr_expect(schema_duration_ms("99999999999999999999s", &ms) < 0);
}

Test(schema, sizes)
{
	uint64_t n;

	cr_expect(validate_size("128Mi", &n) == 0 && n == 128 << 20);
	cr_expect(validate_size("1G", &n) == 0 && n == 1000000000);
	cr_expect(validate_size("77", &n) == 0 && n == 77);
	cr_expect(validate_size("", &n) < 0);
	cr_expect(validate_size("Mi", &n) < 0);
	cr_expect(validate_size("1Mb", &n) < 0);
	cr_expect(validate_size("99999999999999999999Gi", &n) < 0);
}

/* ---- validate ---- */

static const struct strv no_secrets;

/* "" if it is fine, else the message. */
static const char *check(const char *task_template)
{
	static struct rpc_error e;
	char text[4096];

	json_decref(e.violations);
	e = (struct rpc_error){ 0 };
	snprintf(text, sizeof text, "{\"template\":{\"template\":%s}}", task_template);
	json_t *job = parse(text, &e);
	cr_assert(job, "%s", e.message);
	validate_job("CreateJobRequest", "j", job, &no_secrets, &e);
	json_decref(job);
	return e.message;
}

static void says(const char *task_template, const char *part)
{
	const char *message = check(task_template);

	cr_expect(*part ? strstr(message, part) != NULL : !*message, "%s: %s", task_template, message);
}

Test(validate, job_ids)
{
	struct rpc_error e = { 0 };

	cr_expect_eq(validate_job_id("a", &e), 0);
	cr_expect_eq(validate_job_id("a-1", &e), 0);
	cr_expect_eq(validate_job_id("a234567890123456789012345678901234567890123456789", &e), 0);
	cr_expect_lt(validate_job_id("a2345678901234567890123456789012345678901234567890", &e), 0);
	cr_expect_lt(validate_job_id("1a", &e), 0);
	cr_expect_lt(validate_job_id("a-", &e), 0);
	cr_expect_lt(validate_job_id("A", &e), 0);
	cr_expect_lt(validate_job_id("a_b", &e), 0);
	json_decref(e.violations);
}

Test(validate, containers)
{
	says("{\"containers\":[{\"image\":\"i\"}]}", "");
	says("{}", "at least one container");
	says("{\"containers\":[{}]}", "image is required");
	says("{\"containers\":[{\"image\":\"i\"},{\"image\":\"i\",\"name\":\"b\"}]}", "name is required");
	says("{\"containers\":[{\"image\":\"i\",\"name\":\"b\"},{\"image\":\"i\",\"name\":\"b\"}]}", "twice");
	says("{\"containers\":[{\"image\":\"i\"}],\"maxRetries\":11}", "between 0 and 10");
	says("{\"containers\":[{\"image\":\"i\"}],\"timeout\":\"604801s\"}", "604800s");
	says("{\"containers\":[{\"image\":\"i\",\"livenessProbe\":{}}]}", "not supported for jobs");
	says("{\"containers\":[{\"image\":\"i\",\"resources\":{\"limits\":{\"cpu\":\"16\"}}}]}", "at most 8");
	says("{\"containers\":[{\"image\":\"i\",\"resources\":{\"limits\":{\"memory\":\"128Mi\"}}}]}",
	     "between 512Mi and 32Gi");
	says("{\"containers\":[{\"image\":\"i\",\"resources\":{\"limits\":{\"disk\":\"1\"}}}]}", "disk");
	says("{\"containers\":[{\"image\":\"i\",\"env\":[{\"name\":\"S\",\"valueSource\":{\"secretKeyRef\":"
	     "{\"secret\":\"s\"}}}]}]}", "Secret s was not found");
}

#define TWO(depends_a, depends_b) "{\"containers\":[{\"image\":\"i\",\"name\":\"a\"," PROBE \
	"\"dependsOn\":[" depends_a "]},{\"image\":\"i\",\"name\":\"b\"," PROBE "\"dependsOn\":[" \
	depends_b "]}]}"
#define PROBE "\"startupProbe\":{\"tcpSocket\":{\"port\":1}},"

Test(validate, dependencies)
{
	says(TWO("", "\"a\""), "");
	says(TWO("\"b\"", "\"a\""), "circle");
	says(TWO("\"a\"", ""), "circle");
	says(TWO("\"c\"", ""), "not defined");
	says(TWO("\"b\",\"b\"", ""), "named twice");
}

Test(validate, volumes)
{
#define WITH(volume, path) "{\"volumes\":[{\"name\":\"v\"," volume "}],\"containers\":[{\"image\":\"i\"," \
	"\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"" path "\"}]}]}"
	says(WITH("\"emptyDir\":{\"medium\":\"MEMORY\",\"sizeLimit\":\"64Mi\"}", "/x"), "");
	says(WITH("\"emptyDir\":{\"sizeLimit\":\"lots\"}", "/x"), "not a size");
	says(WITH("\"gcs\":{\"bucket\":\"bucket\",\"mountOptions\":[\"only-dir=a/b\",\"file-mode=777\"]}", "/x"), "");
	says(WITH("\"gcs\":{\"bucket\":\"b\"}", "/x"), "is not the name of a bucket");
	says(WITH("\"gcs\":{\"bucket\":\"bucket\",\"mountOptions\":[\"only-dir=../b\"]}", "/x"), "Unsupported or unrecognized");
	says(WITH("\"gcs\":{\"bucket\":\"bucket\",\"mountOptions\":[\"--file-mode=777\"]}", "/x"), "Unsupported or unrecognized");
	says(WITH("\"gcs\":{\"bucket\":\"bucket\"},\"emptyDir\":{}", "/x"), "exactly one volume source");
	says(WITH("\"nfs\":{\"server\":\"s\",\"path\":\"/p\"}", "/x"), "");
	says(WITH("\"nfs\":{\"server\":\"s\"}", "/x"), "nfs.path: must be an absolute path");
	says(WITH("\"nfs\":{\"server\":\"..\",\"path\":\"/p\"}", "/x"), "nfs.server");
	says(WITH("\"cloudSqlInstance\":{\"instances\":[\"a\"]}", "/x"), "Cloud SQL volumes are not emulated");
	says(WITH("\"cloudSqlInstance\":{}", "/x"), "Cloud SQL volumes are not emulated");
	says(WITH("\"secret\":{\"secret\":\"s\"}", "/x"), "Secret s was not found");
	says(WITH("\"emptyDir\":{}", "x"), "absolute path");
	says(WITH("\"emptyDir\":{}", "/a:b"), "without ':'");
	says(WITH("\"emptyDir\":{}", "/proc/x"), "not allowed");
	says(WITH("\"emptyDir\":{}", "/process"), "");
}
