/* The job's body against Google's published schema: every field exists there, may be written, has the
 * right type and, for an enumeration, a known value. Needs SPEC_DIR with cloudrun-v2.discovery.json and
 * storage-v1.discovery.json;
 * tests/contract/run_requests runs it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cloud/job_spec.h"
#include "cloud/storage.h"
#include "config.h"
#include "state/container.h"

static json_t *published, *schemas; /* schemas: inside published */
static int faults;
static char report[4096];

static void fault(const char *path, const char *what)
{
	size_t n = strlen(report);

	snprintf(report + n, sizeof(report) - n, "%s %s; ", path, what);
	faults++;
}

static void check_value(json_t *schema, json_t *v, const char *path);

static void check_object(json_t *schema, json_t *v, const char *path)
{
	json_t *properties = json_object_get(schema, "properties"), *member;
	json_t *any = json_object_get(schema, "additionalProperties");
	const char *key;

	json_object_foreach(v, key, member) {
		json_t *s = json_object_get(properties, key);
		AUTO_FREE char *inner = xasprintf("%s.%s", path, key);

		if (s && json_is_true(json_object_get(s, "readOnly")))
			fault(inner, "is output only");
		if (s || any)
			check_value(s ? s : any, member, inner);
		else
			fault(inner, "is no field of the schema");
	}
}

static void check_enum(json_t *values, json_t *v, const char *path)
{
	json_t *item;
	size_t i;

	json_array_foreach(values, i, item)
		if (json_equal(item, v))
			return;
	fault(path, "is no value of the enumeration");
}

static void check_value(json_t *schema, json_t *v, const char *path)
{
	const char *ref = json_string_value(json_object_get(schema, "$ref"));
	const char *type = json_string_value(json_object_get(schema, "type"));
	json_t *item;
	size_t i;

	if (ref) {
		cr_assert(json_object_get(schemas, ref) != NULL, "%s: no schema %s", path, ref);
		check_object(json_object_get(schemas, ref), v, path);
		return;
	}
	cr_assert(type != NULL, "%s: schema without type", path);
	if (strcmp(type, "object") == 0 && json_is_object(v)) {
		check_object(schema, v, path);
	} else if (strcmp(type, "array") == 0 && json_is_array(v)) {
		json_array_foreach(v, i, item) {
			AUTO_FREE char *inner = xasprintf("%s[%zu]", path, i);

			check_value(json_object_get(schema, "items"), item, inner);
		}
	} else if (strcmp(type, "string") == 0 && json_is_string(v)) {
		if (json_object_get(schema, "enum"))
			check_enum(json_object_get(schema, "enum"), v, path);
	} else if (!(strcmp(type, "integer") == 0 && json_is_integer(v)) &&
		   !(strcmp(type, "boolean") == 0 && json_is_boolean(v))) {
		fault(path, "has another type in the schema");
	}
}

static void load_document(const char *file, const char *schema)
{
	const char *dir = getenv("SPEC_DIR");
	AUTO_FREE char *path = NULL;
	json_error_t why;

	if (!dir || !*dir) {
		fprintf(stderr, "SKIPPED: contract with Google: SPEC_DIR is not set\n");
		cr_skip_test("SPEC_DIR is not set");
	}
	path = xasprintf("%s/%s", dir, file);
	json_decref(published);
	published = json_load_file(path, 0, &why);
	cr_assert(published != NULL, "%s: %s", path, why.text);
	schemas = json_object_get(published, "schemas");
	cr_assert(json_object_get(schemas, schema) != NULL, "%s: no schema %s", path, schema);
}

static void load_schemas(void)
{
	load_document("cloudrun-v2.discovery.json", "GoogleCloudRunV2Job");
}

static void release_schemas(void)
{
	json_decref(published);
}

TestSuite(contract, .init = load_schemas, .fini = release_schemas);

static json_t *json(const char *text)
{
	json_t *o = json_loads(text, 0, NULL);

	cr_assert(o, "test data: %s", text);
	return o;
}

/* Every kind of container: what it asks for, and what its labels say. */
static const struct kind {
	const char *config, *host, *mounts;
	bool direct_vpc;
} kinds[] = {
	{"{\"Cmd\":[\"x\"],\"Env\":[\"A=b\"]}", "{\"Memory\":1073741824}", "[]", false},
	{"{\"Cmd\":[\"x\"],\"Labels\":{\"run.sockerless.gpu\":\"nvidia-l4\",\"run.sockerless.timeout\":\"168h\"}}", "{}", "[]", true},
	{"{\"Cmd\":[\"x\"],\"Labels\":{\"run.sockerless.network\":\"n\",\"run.sockerless.network-tags\":\"a,b\","
	 "\"run.sockerless.vpc-egress\":\"private-ranges-only\",\"run.sockerless.execution-environment\":\"default\"}}", "{}", "[]", false},
	{"{\"Cmd\":[\"x\"]}", "{\"ExtraHosts\":[\"a:1.2.3.4\"],\"Dns\":[\"1.1.1.1\"]}",
	 "[{\"type\":\"volume\",\"name\":\"v\",\"target\":\"/v\",\"rw\":true,\"on\":\"bucket\"},"
	 "{\"type\":\"volume\",\"name\":\"v\",\"target\":\"/r\",\"rw\":false,\"on\":\"bucket\",\"subpath\":\"s\"},"
	 "{\"type\":\"volume\",\"name\":\"n\",\"target\":\"/n\",\"rw\":true,\"on\":\"nfs\",\"server\":\"s\",\"path\":\"/p\"},"
	 "{\"type\":\"volume\",\"name\":\"c\",\"target\":\"/c\",\"rw\":true,\"on\":\"container\"},"
	 "{\"type\":\"volume\",\"name\":\"m\",\"target\":\"/m\",\"rw\":true,\"on\":\"memory\",\"size\":1},"
	 "{\"type\":\"tmpfs\",\"target\":\"/t\",\"rw\":true}]", false},
};

static json_t *build_kind(const char *mode, const struct kind *k)
{
	struct config cfg = {
		.agent_mode = (char *)mode, .instance = (char *)"here", .agent_image = (char *)"h/agent", .agent_path = (char *)"/agent",
		.task_timeout_ms = 1000, .callback_url = (char *)"https://g",
		.vpc_connector = k->direct_vpc ? NULL : (char *)"c", .network = k->direct_vpc ? (char *)"net" : NULL,
		.subnetwork = k->direct_vpc ? (char *)"sub" : NULL, .service_account = (char *)"a@b",
		.agent_address = (char *)"h:1", .volume_bucket = (char *)"bucket/p",
	};
	struct container c = {.id = "0123456789abcdef", .name = (char *)"n", .image_ref = (char *)"h/x@sha256:1",
			      .created_ns = 1, .tty = true, .token = "t"};
	struct err err = {0};
	json_t *job;

	c.config = json(k->config);
	c.host_config = json(k->host);
	c.mounts = json(k->mounts);
	job = job_spec_build(&cfg, &c, NULL, &err);
	cr_assert(job != NULL, "%s", err.msg);
	json_decref(c.config);
	json_decref(c.host_config);
	json_decref(c.mounts);
	return job;
}

static json_t *build(const char *mode)
{
	return build_kind(mode, &kinds[0]);
}

Test(contract, the_job_is_one_google_accepts)
{
	static const char *const modes[] = {"sidecar", "baked"};

	for (size_t i = 0; i < 2 * sizeof(kinds) / sizeof(kinds[0]); i++) {
		json_t *job = build_kind(modes[i % 2], &kinds[i / 2]);

		check_object(json_object_get(schemas, "GoogleCloudRunV2Job"), job, modes[i % 2]);
		cr_expect(faults == 0, "%s", report);
		json_decref(job);
	}
}

Test(contract, the_bucket_is_one_google_accepts)
{
	struct config cfg = {.volume_bucket = (char *)"bucket/p", .region = (char *)"r"};
	json_t *bucket = storage_bucket_resource(&cfg);

	load_document("storage-v1.discovery.json", "Bucket");
	check_object(json_object_get(schemas, "Bucket"), bucket, "bucket");
	cr_expect(faults == 0, "%s", report);
	json_decref(bucket);
}

/* The check itself must be able to fail. */
Test(contract, a_wrong_job_is_noticed)
{
	json_t *task, *job;

	job = build("sidecar");
	task = json_object_get(json_object_get(job, "template"), "template");
	cr_assert(task != NULL);
	json_object_set_new(job, "uid", json_string("x"));                 /* output only */
	json_object_set_new(task, "restartPolicy", json_string("NEVER"));  /* no such field */
	json_object_set_new(task, "maxRetries", json_string("0"));         /* another type */
	json_object_set_new(task, "executionEnvironment", json_string("GEN2"));
	check_object(json_object_get(schemas, "GoogleCloudRunV2Job"), job, "job");
	cr_expect(faults == 4, "%d: %s", faults, report);
	json_decref(job);
}
