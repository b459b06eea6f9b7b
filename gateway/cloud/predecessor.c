/* predecessor - see predecessor.h. */
#include "cloud/predecessor.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cloud/job_identity.h"
#include "cloud/run.h"

#define LABELS "sockerless_labels_b64"
#define AGENT "sockerless-agent"
#define OWN "SOCKERLESS_"
#define PIECES_MAX 1000

static const char *get(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

/* A fact is a label, or an annotation when it has characters that labels have not. */
static const char *fact(json_t *job, const char *key)
{
	const char *value = get(json_object_get(job, "annotations"), key);

	return value ? value : get(json_object_get(job, "labels"), key);
}

/* Base64 with its own alphabet and no padding, as JSON of the wanted kind; NULL if it is none. */
static json_t *decode(const char *text, bool (*wanted)(const json_t *))
{
	size_t n = strlen(text), len;
	AUTO_FREE char *plain = xmalloc(n + 4);
	AUTO_FREE uint8_t *raw = NULL;
	json_t *json;

	memcpy(plain, text, n + 1);
	for (size_t i = 0; i < n; i++)
		plain[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
	while (n % 4)
		plain[n++] = '=';
	plain[n] = '\0';
	raw = base64_decode(plain, &len);
	json = raw ? json_loadb((char *)raw, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
	if (json && wanted(json))
		return json;
	json_decref(json);
	return NULL;
}

static bool is_text_map(const json_t *json)
{
	const char *key;
	json_t *v;

	if (!json_is_object(json))
		return false;
	json_object_foreach((json_t *)json, key, v)
		if (!json_is_string(v))
			return false;
	return true;
}

static bool is_text_list(const json_t *json)
{
	json_t *v;
	size_t i;

	if (!json_is_array(json))
		return false;
	json_array_foreach(json, i, v)
		if (!json_is_string(v))
			return false;
	return true;
}

/* The container's labels: one map, in pieces. */
static json_t *labels_of(json_t *job)
{
	char *all = xstrdup(fact(job, LABELS) ? fact(job, LABELS) : ""), key[64];
	json_t *labels;

	for (int i = 0; i < PIECES_MAX; i++) {
		const char *piece;
		char *longer;

		snprintf(key, sizeof(key), LABELS "-%d", i);
		piece = fact(job, key);
		if (!piece && i > 1) /* they may be counted from 0, from 1, or from 2 behind one without a number */
			break;
		if (!piece && i == 1 && !*all)
			break;
		if (!piece)
			continue;
		longer = xasprintf("%s%s", all, piece);
		free(all);
		all = longer;
	}
	labels = *all ? decode(all, is_text_map) : NULL;
	free(all);
	return labels ? labels : json_object();
}

/* ---- the process -------------------------------------------------------------------------------------- */

static json_t *users_env(json_t *container)
{
	json_t *list = json_array(), *v;
	size_t i;

	json_array_foreach(json_object_get(container, "env"), i, v) {
		const char *name = get(v, "name"), *value = get(v, "value");

		if (name && strncmp(name, OWN, strlen(OWN)) != 0)
			json_array_append_new(list, json_sprintf("%s=%s", name, value ? value : ""));
	}
	return list;
}

/* Its agent stands before the user's program: "agent flags... -- program". */
static json_t *without_agent(json_t *command)
{
	const char *program = json_string_value(json_array_get(command, 0)), *base = program ? strrchr(program, '/') : NULL;
	json_t *rest, *word;
	bool behind = false;
	size_t i;

	if (!program || strcmp(base ? base + 1 : program, AGENT) != 0)
		return json_deep_copy(command);
	rest = json_array();
	json_array_foreach(command, i, word) {
		if (behind)
			json_array_append(rest, word);
		else if (json_string_value(word) && strcmp(json_string_value(word), "--") == 0)
			behind = true;
	}
	return rest;
}

static json_t *words(json_t *container, const char *field, const char *variable)
{
	const char *coded = run_container_env(container, variable);
	json_t *list = coded ? decode(coded, is_text_list) : NULL, *given = json_object_get(container, field);

	if (!list && is_text_list(given))
		list = without_agent(given);
	return list ? list : json_array();
}

/* ---- the record --------------------------------------------------------------------------------------- */

static bool is_true(const char *s)
{
	return s && strcmp(s, "true") == 0;
}

static int64_t created_ns(json_t *job)
{
	const char *said[] = {fact(job, "sockerless_created_at"), get(job, "createTime")};
	int64_t ns = 0;

	for (size_t i = 0; i < 2; i++)
		if (said[i] && clock_parse(said[i], &ns) == 0)
			return ns;
	return 0;
}

static json_t *config_of(json_t *job, json_t *container)
{
	const char *dir = run_container_env(container, "SOCKERLESS_USER_WORKDIR");

	if (!dir)
		dir = get(container, "workingDir");
	return json_pack("{s:s, s:b, s:o, s:o, s:o, s:s, s:o}", "Image", get(container, "image") ? get(container, "image") : "",
			 "Tty", is_true(fact(job, "sockerless_tty")), "Env", users_env(container),
			 "Entrypoint", words(container, "command", "SOCKERLESS_USER_ENTRYPOINT"),
			 "Cmd", words(container, "args", "SOCKERLESS_USER_CMD"), "WorkingDir", dir ? dir : "",
			 "Labels", labels_of(job));
}

json_t *predecessor_record(json_t *job, const struct job_identity *who)
{
	json_t *task = json_object_get(json_object_get(job, "template"), "template");
	json_t *container = json_array_get(json_object_get(task, "containers"), 0);
	const char *name = who->name && who->name[0] == '/' ? who->name + 1 : who->name;
	const char *image = get(container, "image");
	json_t *record = json_pack("{s:{s:s, s:I, s:o, s:{s:s, s:{s:s, s:i}}, s:s, s:s, s:b, s:i}}", "container",
				   "name", name && *name ? name : who->job, "created", (json_int_t)created_ns(job),
				   "config", config_of(job, container), "hostConfig", "NetworkMode", "default", "RestartPolicy",
				   "Name", "no", "MaximumRetryCount", 0, "image", image ? image : "", "imageRef", image ? image : "",
				   "foreign", 1, "runs", 1);

	return record;
}
