/* What names a secret, and what becomes of it in a job. */
#include <criterion/criterion.h>
#include <jansson.h>

#include "cloud/job_secrets.h"
#include "state/container.h"
#include "state/secret_ref.h"

Test(secrets, names_are_taken_apart)
{
	static const struct { const char *text, *secret, *version; } good[] = {
		{"password", "password", "latest"},
		{"a_B-9:12", "a_B-9", "12"},
		{"s:latest", "s", "latest"},
		{"s:an-alias", "s", "an-alias"},
		{"projects/p-1/secrets/s", "projects/p-1/secrets/s", "latest"},
		{"projects/123/secrets/s:3", "projects/123/secrets/s", "3"},
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct secret_ref ref;

		cr_assert_eq(secret_ref_parse(good[i].text, &ref), 0, "%s", good[i].text);
		cr_expect_str_eq(ref.secret, good[i].secret);
		cr_expect_str_eq(ref.version, good[i].version);
		secret_ref_release(&ref);
	}
}

Test(secrets, what_is_no_name)
{
	static const char *const bad[] = {
		"", ":", ":3", "s:", "s:1:2", "a b", "a/b", "/s", "s/", "ä", "projects/", "projects/p", "projects/p/secrets/",
		"projects//secrets/s", "projects/p/secret/s", "projects/p/secrets/s/versions/1", "s:ü", "s\n",
	};
	char *long_name = NULL;
	struct secret_ref ref;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(secret_ref_parse(bad[i], &ref), -1, "\"%s\" is taken", bad[i]);
	cr_assert(asprintf(&long_name, "%0256d", 1) > 0);
	cr_expect_eq(secret_ref_parse(long_name, &ref), -1);
	cr_assert_eq(secret_ref_parse(long_name + 1, &ref), 0);
	secret_ref_release(&ref);
	free(long_name);
}

Test(secrets, labels_become_variables_and_names_for_the_agent)
{
	struct container c = {
		.config = json_loads("{\"Labels\":{\"x\":\"y\",\"run.sockerless.secret.env.A\":\"s:3\",\"run.sockerless.cpu\":\"1\"}}", 0, NULL),
	};
	json_t *env = json_array(), *spec = json_object();

	job_secrets_add(&c, env);
	job_secrets_add_names(&c, spec);
	char *got_env = json_dumps(env, JSON_COMPACT), *got_spec = json_dumps(spec, JSON_COMPACT);
	cr_expect_str_eq(got_env, "[{\"name\":\"A\",\"valueSource\":{\"secretKeyRef\":{\"secret\":\"s\",\"version\":\"3\"}}}]");
	cr_expect_str_eq(got_spec, "{\"inherit\":[\"A\"]}");
	free(got_env);
	free(got_spec);
	json_decref(env);
	json_decref(spec);
	json_decref(c.config);
}

Test(secrets, variables_that_cannot_be)
{
	static const char *const bad[] = {
		"secret.env.", "secret.env.1A", "secret.env.A-B", "secret.env.A=B", "secret.env.SOCKERLESS_X", "secret.env.CLOUD_RUN_JOB",
	};
	struct err err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(job_secrets_check(bad[i], "s", &err), -1, "%s is taken", bad[i]);
	cr_expect_eq(job_secrets_check("secret.env._a1", "s:4", &err), 0);
	cr_expect_eq(job_secrets_check("secret.env.A", "s:", &err), -1);
	cr_expect_str_eq(err.msg, "label run.sockerless.secret.env.A=s:: " SECRET_REF_RULE);
	cr_expect(job_secrets_is_label("secret.env.A"));
	cr_expect_not(job_secrets_is_label("secret"));
}
