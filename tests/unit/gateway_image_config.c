/* The merge of an image's config and a request's, rule by rule: request, image, outcome. */
#include <criterion/criterion.h>
#include <string.h>

#include "image/image_config.h"

static json_t *parse(const char *text)
{
	json_error_t why;
	json_t *v = json_loads(text, 0, &why);

	cr_assert(v != NULL, "test data: %s: %s", text, why.text);
	return v;
}

struct merge_case {
	const char *request, *image, *outcome; /* outcome: the fields to compare */
};

static void check(const struct merge_case *table, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		json_t *config = parse(table[i].request), *image = parse(table[i].image);
		json_t *want = parse(table[i].outcome), *v;
		struct err err = {0};
		const char *key;

		cr_assert(image_config_merge(config, image, &err) == 0, "case %zu: %s", i, err.msg);
		json_object_foreach(want, key, v) {
			char *got = json_dumps(json_object_get(config, key), JSON_ENCODE_ANY | JSON_COMPACT);

			cr_expect(json_equal(json_object_get(config, key), v), "case %zu: %s is %s", i, key, got);
			free(got);
		}
		json_decref(config);
		json_decref(image);
		json_decref(want);
	}
}
#define CHECK(...) do { static const struct merge_case t_[] = {__VA_ARGS__}; \
	check(t_, sizeof(t_) / sizeof(*t_)); } while (0)

Test(image_config, entrypoint_and_cmd)
{
	CHECK({"{}", "{\"Entrypoint\":[\"/e\"],\"Cmd\":[\"c\"]}",
	       "{\"Entrypoint\":[\"/e\"],\"Cmd\":[\"c\"]}"},
	      {"{\"Cmd\":[\"x\"]}", "{\"Entrypoint\":[\"/e\"],\"Cmd\":[\"c\"]}",
	       "{\"Entrypoint\":[\"/e\"],\"Cmd\":[\"x\"]}"},
	      /* An entrypoint of one's own does without the image's arguments. */
	      {"{\"Entrypoint\":[\"/mine\"]}", "{\"Entrypoint\":[\"/e\"],\"Cmd\":[\"c\"]}",
	       "{\"Entrypoint\":[\"/mine\"],\"Cmd\":null}"},
	      /* [] is an entrypoint that was taken away; null was not given. */
	      {"{\"Entrypoint\":[]}", "{\"Entrypoint\":[\"/e\"],\"Cmd\":[\"c\"]}",
	       "{\"Entrypoint\":[],\"Cmd\":[\"c\"]}"},
	      {"{\"Entrypoint\":null,\"Cmd\":null}", "{\"Entrypoint\":[\"/e\"],\"Cmd\":null}",
	       "{\"Entrypoint\":[\"/e\"],\"Cmd\":null}"},
	      {"{\"Entrypoint\":[\"\"],\"Cmd\":[\"x\"]}", "{\"Entrypoint\":[\"/e\"],\"Cmd\":[\"c\"]}",
	       "{\"Entrypoint\":null,\"Cmd\":[\"x\"]}"},
	      {"{\"Entrypoint\":\"\",\"Cmd\":\"x\"}", "{\"Entrypoint\":[\"/e\"]}",
	       "{\"Entrypoint\":null,\"Cmd\":[\"x\"]}"},
	      {"{\"Cmd\":\"echo hi\"}", "{}", "{\"Entrypoint\":null,\"Cmd\":[\"echo hi\"]}"});
}

Test(image_config, nothing_to_run_is_an_error)
{
	static const char *const table[][2] = {
		{"{}", "{}"}, {"{\"Cmd\":[]}", "{\"Cmd\":[]}"}, {"{}", "null"},
		{"{\"Entrypoint\":[\"\"]}", "{\"Entrypoint\":[\"/e\"],\"Cmd\":[\"c\"]}"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		json_t *config = parse(table[i][0]);
		json_t *image = json_loads(table[i][1], JSON_DECODE_ANY, NULL);
		struct err err;

		cr_assert(image_config_merge(config, image, &err) == -1, "case %zu", i);
		cr_expect(err.kind == ERR_INVALID && strcmp(err.msg, "no command specified") == 0, "%s", err.msg);
		json_decref(config);
		json_decref(image);
	}
}

Test(image_config, environment_merges_by_key)
{
	CHECK({"{\"Cmd\":[\"c\"],\"Env\":[\"A=1\",\"P=mine\"]}", "{\"Env\":[\"P=theirs\",\"PP=x\",\"B=2\"]}",
	       "{\"Env\":[\"A=1\",\"P=mine\",\"PP=x\",\"B=2\"]}"},
	      {"{\"Cmd\":[\"c\"]}", "{\"Env\":[\"A=1\"]}", "{\"Env\":[\"A=1\"]}"},
	      {"{\"Cmd\":[\"c\"],\"Env\":[\"A\"]}", "{\"Env\":[\"A=1\"]}", "{\"Env\":[\"A\"]}"},
	      {"{\"Cmd\":[\"c\"],\"Env\":null}", "{\"Env\":null}", "{\"Env\":[]}"});
}

Test(image_config, strings_fill_in_and_objects_unite)
{
	CHECK({"{\"Cmd\":[\"c\"],\"WorkingDir\":\"\",\"User\":\"u\"}",
	       "{\"WorkingDir\":\"/w\",\"User\":\"v\",\"StopSignal\":\"SIGINT\"}",
	       "{\"WorkingDir\":\"/w\",\"User\":\"u\",\"StopSignal\":\"SIGINT\"}"},
	      {"{\"Cmd\":[\"c\"],\"Labels\":{\"a\":\"1\"},\"ExposedPorts\":null}",
	       "{\"Labels\":{\"a\":\"2\",\"b\":\"3\"},\"ExposedPorts\":{\"80/tcp\":{}},\"Volumes\":{\"/v\":{}}}",
	       "{\"Labels\":{\"a\":\"1\",\"b\":\"3\"},\"ExposedPorts\":{\"80/tcp\":{}},\"Volumes\":{\"/v\":{}}}"},
	      {"{\"Cmd\":[\"c\"]}", "{\"Shell\":[\"/bin/bash\",\"-c\"]}", "{\"Shell\":[\"/bin/bash\",\"-c\"]}"});
}

Test(image_config, healthcheck_fills_zeros)
{
	CHECK({"{\"Cmd\":[\"c\"],\"Healthcheck\":{\"Interval\":0,\"Retries\":3}}",
	       "{\"Healthcheck\":{\"Test\":[\"CMD\",\"t\"],\"Interval\":5,\"Retries\":9}}",
	       "{\"Healthcheck\":{\"Test\":[\"CMD\",\"t\"],\"Interval\":5,\"Retries\":3}}"},
	      {"{\"Cmd\":[\"c\"]}", "{\"Healthcheck\":{\"Test\":[\"NONE\"]}}", "{\"Healthcheck\":{\"Test\":[\"NONE\"]}}"});
}

Test(image_config, what_has_the_wrong_type_is_refused)
{
	static const char *const table[] = {
		"{\"Cmd\":{}}", "{\"Cmd\":[1]}", "{\"Cmd\":[\"c\"],\"Entrypoint\":7}", "{\"Cmd\":[\"c\"],\"Env\":[1]}",
		"{\"Cmd\":[\"c\"],\"Env\":[\"=x\"]}", "{\"Cmd\":[\"c\"],\"Labels\":[]}", "{\"Cmd\":[\"c\"],\"User\":1}",
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		json_t *config = parse(table[i]), *image = parse("{\"Env\":[\"A=1\"],\"Cmd\":[\"x\"]}");
		struct err err = {0};

		cr_expect(image_config_merge(config, image, &err) == -1, "%s was accepted", table[i]);
		cr_expect(err.kind == ERR_INVALID);
		json_decref(config);
		json_decref(image);
	}
}

/* A registry may send anything; what is kept is read later without another look. */
Test(image_config, what_has_the_wrong_type_in_an_image_is_refused)
{
	static const char *const table[] = {
		"{\"Labels\":{\"run.sockerless.cpu\":5}}", "{\"Labels\":{\"a\":null}}", "{\"Healthcheck\":{\"Test\":[\"CMD\",5]}}",
		"{\"Healthcheck\":{\"Test\":7}}", "{\"Shell\":[null]}", "{\"Env\":[{}]}", "{\"Cmd\":[1]}",
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		json_t *config = parse("{\"Entrypoint\":[\"c\"],\"Labels\":{\"b\":\"1\"}}"), *image = parse(table[i]);
		struct err err = {0};

		cr_expect(image_config_merge(config, image, &err) == -1, "%s was accepted", table[i]);
		cr_expect(err.kind == ERR_INVALID);
		json_decref(config);
		json_decref(image);
	}
}

Test(image_config, argv_is_entrypoint_then_cmd)
{
	json_t *config = parse("{\"Entrypoint\":[\"/e\",\"-x\"],\"Cmd\":[\"\",\"b\"]}");
	struct strv argv = {0};

	image_config_argv(config, &argv);
	cr_assert(argv.n == 4);
	cr_expect(strcmp(argv.v[0], "/e") == 0 && strcmp(argv.v[1], "-x") == 0);
	cr_expect(strcmp(argv.v[2], "") == 0 && strcmp(argv.v[3], "b") == 0);
	strv_release(&argv);
	json_decref(config);
}
