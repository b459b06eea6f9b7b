/* instructions - see instructions.h. One function an instruction; the table at the end knows them. */
#include "image/instructions.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/parse.h"

typedef int apply_fn(json_t *config, const char *name, const char *rest, struct err *err);

/* ---- words ------------------------------------------------------------------------------------------ */

static const char *skip_blanks(const char *s)
{
	return s + strspn(s, " \t\r\n");
}

/* One word with its quotes taken away; s moves behind it. */
static char *next_word(const char **s)
{
	const char *p = *s;
	char *word = xmalloc(strlen(p) + 1), *out = word;
	char quote = 0;

	for (; *p && (quote || !isspace((unsigned char)*p)); p++) {
		if (*p == '\\' && p[1] && quote != '\'')
			*out++ = *++p;
		else if (quote ? *p == quote : *p == '"' || *p == '\'')
			quote = quote ? 0 : *p;
		else
			*out++ = *p;
	}
	*out = '\0';
	*s = skip_blanks(p);
	return word;
}

static void words(const char *s, struct strv *ret)
{
	for (s = skip_blanks(s); *s;)
		strv_take(ret, next_word(&s));
}

/* ["a","b"] as a list; NULL if it is none of strings. */
static json_t *json_form(const char *s)
{
	json_t *list = *s == '[' ? json_loads(s, 0, NULL) : NULL, *v;
	size_t i;

	json_array_foreach(list, i, v)
		if (!json_is_string(v)) {
			json_decref(list);
			return NULL;
		}
	if (list && !json_is_array(list)) {
		json_decref(list);
		return NULL;
	}
	return list;
}

static json_t *object_at(json_t *config, const char *key)
{
	json_t *o = json_object_get(config, key);

	if (json_is_object(o))
		return o;
	o = json_object();
	json_object_set_new(config, key, o);
	return o;
}

static int needs_arguments(const char *name, struct err *err)
{
	return err_set(err, ERR_INVALID, "%s requires at least one argument", name);
}

/* ---- instructions -------------------------------------------------------------------------------------- */

/* CMD and ENTRYPOINT */
static int set_command(json_t *config, const char *name, const char *rest, struct err *err)
{
	json_t *list = json_form(rest);

	if (!list && *rest)
		list = json_pack("[s, s, s]", "/bin/sh", "-c", rest);
	json_object_set_new(config, name[0] == 'C' ? "Cmd" : "Entrypoint", list ? list : json_array());
	return 0;
}

/* The pairs of "K=v L=w" or of the old "K all the rest". */
static int pairs(const char *name, const char *rest, struct strv *ret, struct err *err)
{
	size_t key = strcspn(rest, " \t=");

	if (!*rest)
		return needs_arguments(name, err);
	if (rest[key] != '=') {
		if (!*skip_blanks(rest + key))
			return err_set(err, ERR_INVALID, "%s must have two arguments", name);
		strv_take(ret, xasprintf("%.*s=%s", (int)key, rest, skip_blanks(rest + key)));
		return 0;
	}
	words(rest, ret);
	for (size_t i = 0; i < ret->n; i++) {
		if (!strchr(ret->v[i], '='))
			return err_set(err, ERR_INVALID, "Syntax error - can't find = in \"%s\". Must be of the form: name=value",
				       ret->v[i]);
		if (ret->v[i][0] == '=')
			return err_set(err, ERR_INVALID, "%s names can not be blank", name);
	}
	return 0;
}

static int set_env(json_t *config, const char *name, const char *rest, struct err *err)
{
	struct strv given = {0}, all = {0};
	json_t *list = json_array(), *v;
	size_t i;
	int rc = pairs(name, rest, &given, err);

	json_array_foreach(json_object_get(config, "Env"), i, v)
		if (json_is_string(v))
			strv_add(&all, json_string_value(v));
	for (i = 0; rc == 0 && i < given.n; i++)
		strv_env_set(&all, given.v[i]);
	for (i = 0; i < all.n; i++)
		json_array_append_new(list, json_string(all.v[i]));
	json_object_set_new(config, "Env", list);
	strv_release(&given);
	strv_release(&all);
	return rc;
}

static int set_labels(json_t *config, const char *name, const char *rest, struct err *err)
{
	struct strv given = {0};
	int rc = pairs(name, rest, &given, err);

	for (size_t i = 0; rc == 0 && i < given.n; i++) {
		size_t n = strcspn(given.v[i], "=");

		given.v[i][n] = '\0';
		json_object_set_new(object_at(config, "Labels"), given.v[i], json_string(given.v[i] + n + 1));
	}
	strv_release(&given);
	return rc;
}

static int add_port(json_t *config, const char *word, struct err *err)
{
	size_t digits = strspn(word, "0123456789-");
	const char *protocol = word[digits] == '/' ? word + digits + 1 : "tcp";
	AUTO_FREE char *port = NULL;

	if (!digits || (word[digits] && word[digits] != '/') || (strcasecmp(protocol, "tcp") != 0 &&
	    strcasecmp(protocol, "udp") != 0 && strcasecmp(protocol, "sctp") != 0))
		return err_set(err, ERR_INVALID, "invalid containerPort: %s", word);
	port = xasprintf("%.*s/%s", (int)digits, word, protocol);
	json_object_set_new(object_at(config, "ExposedPorts"), port, json_object());
	return 0;
}

static int set_ports(json_t *config, const char *name, const char *rest, struct err *err)
{
	struct strv given = {0};
	int rc = *rest ? 0 : needs_arguments(name, err);

	words(rest, &given);
	for (size_t i = 0; rc == 0 && i < given.n; i++)
		rc = add_port(config, given.v[i], err);
	strv_release(&given);
	return rc;
}

static int set_volumes(json_t *config, const char *name, const char *rest, struct err *err)
{
	json_t *list = json_form(rest), *v;
	struct strv given = {0};
	size_t i;

	if (!*rest)
		return needs_arguments(name, err);
	json_array_foreach(list, i, v)
		strv_add(&given, json_string_value(v));
	if (!list)
		words(rest, &given);
	json_decref(list);
	for (i = 0; i < given.n; i++)
		json_object_set_new(object_at(config, "Volumes"), given.v[i], json_object());
	strv_release(&given);
	return 0;
}

static int set_one(json_t *config, const char *key, const char *name, const char *rest, struct err *err)
{
	AUTO_FREE char *word = NULL;

	if (!*rest)
		return err_set(err, ERR_INVALID, "%s requires exactly one argument", name);
	word = next_word(&rest);
	if (*rest)
		return err_set(err, ERR_INVALID, "%s requires exactly one argument", name);
	json_object_set_new(config, key, json_string(word));
	return 0;
}

static int set_user(json_t *config, const char *name, const char *rest, struct err *err)
{
	return set_one(config, "User", name, rest, err);
}

static int set_stop_signal(json_t *config, const char *name, const char *rest, struct err *err)
{
	if (parse_signal(rest) < 0)
		return err_set(err, ERR_INVALID, "Invalid signal: %s", rest);
	return set_one(config, "StopSignal", name, rest, err);
}

static int set_workdir(json_t *config, const char *name, const char *rest, struct err *err)
{
	const char *before = json_string_value(json_object_get(config, "WorkingDir"));
	AUTO_FREE char *path = *rest == '/' ? xstrdup(rest) : xasprintf("%s/%s", before ? before : "", rest);

	if (!*rest)
		return err_set(err, ERR_INVALID, "%s requires exactly one argument", name);
	json_object_set_new(config, "WorkingDir", json_string(path));
	return 0;
}

static int add_onbuild(json_t *config, const char *name, const char *rest, struct err *err)
{
	json_t *list = json_object_get(config, "OnBuild");

	if (!*rest)
		return needs_arguments(name, err);
	if (!json_is_array(list)) {
		list = json_array();
		json_object_set_new(config, "OnBuild", list);
	}
	json_array_append_new(list, json_string(rest));
	return 0;
}

static int health_option(json_t *check, const char *word, struct err *err)
{
	static const struct { const char *flag, *key; } flags[] = {
		{"--interval=", "Interval"}, {"--timeout=", "Timeout"}, {"--start-period=", "StartPeriod"},
		{"--start-interval=", "StartInterval"},
	};
	int64_t n;

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		size_t len = strlen(flags[i].flag);

		if (strncmp(word, flags[i].flag, len) != 0)
			continue;
		if (parse_duration_ms(word + len, &n) < 0)
			return err_set(err, ERR_INVALID, "invalid duration \"%s\"", word + len);
		json_object_set_new(check, flags[i].key, json_integer(n * 1000000));
		return 0;
	}
	if (strncmp(word, "--retries=", 10) != 0 || parse_i64(word + 10, &n) < 0 || n < 0)
		return err_set(err, ERR_INVALID, "Unknown flag: %s", word);
	json_object_set_new(check, "Retries", json_integer(n));
	return 0;
}

static int set_healthcheck(json_t *config, const char *name, const char *rest, struct err *err)
{
	json_t *check = json_object(), *test;
	AUTO_FREE char *kind = NULL;

	json_object_set_new(config, "Healthcheck", check);
	while (strncmp(rest, "--", 2) == 0) {
		AUTO_FREE char *word = next_word(&rest);

		if (health_option(check, word, err) < 0)
			return -1;
	}
	kind = next_word(&rest);
	if (strcasecmp(kind, "NONE") == 0 && !*rest) {
		json_object_set_new(check, "Test", json_pack("[s]", "NONE"));
		return 0;
	}
	if (strcasecmp(kind, "CMD") != 0)
		return err_set(err, ERR_INVALID, "Unknown type \"%s\" in HEALTHCHECK (try CMD)", kind);
	if (!*rest)
		return err_set(err, ERR_INVALID, "Missing command after HEALTHCHECK CMD");
	test = json_form(rest);
	if (test)
		json_array_insert_new(test, 0, json_string("CMD"));
	else
		test = json_pack("[s, s]", "CMD-SHELL", rest);
	json_object_set_new(check, "Test", test);
	return 0;
}

static const struct {
	const char *name;
	apply_fn *apply;
} instructions[] = {
	{"CMD", set_command}, {"ENTRYPOINT", set_command}, {"ENV", set_env}, {"EXPOSE", set_ports},
	{"HEALTHCHECK", set_healthcheck}, {"LABEL", set_labels}, {"ONBUILD", add_onbuild},
	{"STOPSIGNAL", set_stop_signal}, {"USER", set_user}, {"VOLUME", set_volumes}, {"WORKDIR", set_workdir},
};

int instruction_apply(json_t *config, const char *instruction, struct err *err)
{
	AUTO_FREE char *text = xstrdup(skip_blanks(instruction));
	size_t len = strlen(text), n;

	while (len > 0 && isspace((unsigned char)text[len - 1]))
		text[--len] = '\0';
	n = strcspn(text, " \t");
	for (size_t i = 0; i < sizeof(instructions) / sizeof(*instructions); i++)
		if (strlen(instructions[i].name) == n && strncasecmp(text, instructions[i].name, n) == 0)
			return instructions[i].apply(config, instructions[i].name, skip_blanks(text + n), err);
	for (size_t i = 0; i < n; i++)
		text[i] = (char)tolower((unsigned char)text[i]);
	return err_set(err, ERR_INVALID, "%.*s is not a valid change command", (int)n, text);
}
