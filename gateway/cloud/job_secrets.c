/* job_secrets - see job_secrets.h. */
#include "cloud/job_secrets.h"

#include <ctype.h>
#include <string.h>

#include "cloud/job_options.h"
#include "state/container.h"
#include "state/secret_ref.h"

#define NAME_PREFIX "secret.env."
#define LABEL_PREFIX JOB_LABEL_PREFIX NAME_PREFIX

bool job_secrets_is_label(const char *name)
{
	return strncmp(name, NAME_PREFIX, strlen(NAME_PREFIX)) == 0;
}

static bool is_variable(const char *s)
{
	static const char *const taken[] = {"SOCKERLESS_", "CLOUD_RUN_"};

	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		if (strncmp(s, taken[i], strlen(taken[i])) == 0)
			return false;
	if (!*s || isdigit((unsigned char)*s))
		return false;
	while (isalnum((unsigned char)*s) || *s == '_')
		s++;
	return !*s;
}

int job_secrets_check(const char *name, const char *value, struct err *err)
{
	const char *variable = name + strlen(NAME_PREFIX);
	struct secret_ref ref;

	if (!is_variable(variable))
		return err_set(err, ERR_INVALID, "label " JOB_LABEL_PREFIX "%s: \"%s\" cannot be a variable: want letters, digits "
			       "and _, no digit first, and neither SOCKERLESS_ nor CLOUD_RUN_", name, variable);
	if (!value || secret_ref_parse(value, &ref) < 0)
		return err_set(err, ERR_INVALID, "label " JOB_LABEL_PREFIX "%s=%s: " SECRET_REF_RULE, name, value ? value : "");
	secret_ref_release(&ref);
	return 0;
}

static json_t *labels_of(const struct container *c)
{
	return json_object_get(c->config, "Labels");
}

void job_secrets_add(const struct container *c, json_t *env)
{
	const char *label;
	json_t *value;

	json_object_foreach(labels_of(c), label, value) {
		struct secret_ref ref;

		if (strncmp(label, LABEL_PREFIX, strlen(LABEL_PREFIX)) != 0 ||
		    secret_ref_parse(json_string_value(value), &ref) < 0)
			continue;
		json_array_append_new(env, json_pack("{s:s, s:{s:{s:s, s:s}}}", "name", label + strlen(LABEL_PREFIX), "valueSource",
				      "secretKeyRef", "secret", ref.secret, "version", ref.version));
		secret_ref_release(&ref);
	}
}

void job_secrets_add_names(const struct container *c, json_t *spec)
{
	json_t *names = json_array(), *value;
	const char *label;

	json_object_foreach(labels_of(c), label, value)
		if (strncmp(label, LABEL_PREFIX, strlen(LABEL_PREFIX)) == 0)
			json_array_append_new(names, json_string(label + strlen(LABEL_PREFIX)));
	if (json_array_size(names))
		json_object_set(spec, "inherit", names);
	json_decref(names);
}
