/* filters - see filters.h. */
#include "api/filters.h"

#include <ctype.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"

#define PATTERN_LEN_MAX 1000
#define REPEATS_MAX 1000 /* Go's */

static json_t *values_of(const char *key, json_t *given, struct err *err)
{
	json_t *values, *item;
	size_t i;

	if (json_is_object(given))
		return json_incref(given);
	if (!json_is_array(given)) {
		err_set(err, ERR_INVALID, "invalid filter '%s': a list of values is wanted", key);
		return NULL;
	}
	values = json_object();
	json_array_foreach(given, i, item) {
		if (json_is_string(item)) {
			json_object_set_new(values, json_string_value(item), json_true());
			continue;
		}
		json_decref(values);
		err_set(err, ERR_INVALID, "invalid filter '%s': a list of strings is wanted", key);
		return NULL;
	}
	return values;
}

int filters_parse(struct filters *f, const char *text, struct err *err)
{
	json_t *given, *v, *map;
	json_error_t bad;
	const char *key;
	int lists = 0, objects = 0;

	f->map = NULL;
	if (!text || !*text)
		return 0;
	given = json_loads(text, 0, &bad);
	if (!json_is_object(given)) {
		json_decref(given);
		return err_set(err, ERR_INVALID, "invalid filters: %s", given ? "an object is wanted" : bad.text);
	}
	map = json_object();
	json_object_foreach(given, key, v) {
		json_t *values = values_of(key, v, err);

		lists += json_is_array(v);
		objects += json_is_object(v);
		if (values && lists && objects) {
			err_set(err, ERR_INVALID, "invalid filters: lists and maps of values are mixed");
			json_decref(values);
			values = NULL;
		}
		if (!values) {
			json_decref(map);
			json_decref(given);
			return -1;
		}
		json_object_set_new(map, key, values);
	}
	json_decref(given);
	f->map = map;
	return 0;
}

void filters_release(struct filters *f)
{
	json_decref(f->map);
	f->map = NULL;
}

int filters_check(const struct filters *f, const char *const *allowed, struct err *err)
{
	const char *key;
	json_t *v;

	json_object_foreach(f->map, key, v) {
		const char *const *a = allowed;

		while (*a && strcmp(*a, key) != 0)
			a++;
		if (!*a)
			return err_set(err, ERR_INVALID, "invalid filter '%s'", key);
	}
	return 0;
}

json_t *filters_values(const struct filters *f, const char *key)
{
	json_t *values = json_object_get(f->map, key);

	return json_object_size(values) ? values : NULL;
}

bool filters_has(const struct filters *f, const char *key)
{
	return filters_values(f, key) != NULL;
}

const char *filters_first(const struct filters *f, const char *key)
{
	json_t *values = filters_values(f, key);

	return values ? json_object_iter_key(json_object_iter(values)) : NULL;
}

bool filters_exact(const struct filters *f, const char *key, const char *value)
{
	json_t *values = filters_values(f, key);

	return !values || json_object_get(values, value);
}

bool filters_prefix(const struct filters *f, const char *key, const char *value)
{
	json_t *values = filters_values(f, key), *v;
	const char *prefix;

	if (!values)
		return true;
	json_object_foreach(values, prefix, v)
		if (strncmp(value, prefix, strlen(prefix)) == 0)
			return true;
	return false;
}

/* The C library takes what Go refuses, and then all memory or its stack for repetitions of repetitions, or all time for a
 * back reference. */
static bool is_tame(const char *pattern)
{
	unsigned long repeats = 1;

	if (strlen(pattern) > PATTERN_LEN_MAX)
		return false;
	for (const char *p = pattern; *p; p++) {
		unsigned long most;
		char *end;

		if (*p == '\\' && isdigit((unsigned char)p[1]))
			return false;
		p += *p == '\\' && p[1];
		if (*p != '{')
			continue;
		most = strtoul(p + 1, &end, 10);
		if (*end == ',' && isdigit((unsigned char)end[1]))
			most = strtoul(end + 1, NULL, 10);
		if (most > REPEATS_MAX || (repeats *= most ? most : 1) > REPEATS_MAX)
			return false;
	}
	return true;
}

/* Go's digits are not POSIX's: \d and \D outside of brackets. Caller frees. */
static char *with_digits(const char *pattern)
{
	char *ret = xmalloc(3 * strlen(pattern) + 1), *out = ret;
	bool in_set = false;

	for (const char *p = pattern; *p; p++) {
		bool escape = *p == '\\' && p[1] && !in_set;

		if (escape && (p[1] == 'd' || p[1] == 'D')) {
			out = stpcpy(out, p[1] == 'd' ? "[0-9]" : "[^0-9]");
			p++;
			continue;
		}
		if (escape)
			*out++ = *p++;
		else if (*p == '[' && !in_set)
			in_set = true;
		else if (*p == ']')
			in_set = false;
		*out++ = *p;
	}
	*out = '\0';
	return ret;
}

static bool found_in(const char *pattern, const char *value)
{
	AUTO_FREE char *posix = is_tame(pattern) ? with_digits(pattern) : NULL;
	regex_t re;
	bool found;

	if (!posix || regcomp(&re, posix, REG_EXTENDED | REG_NOSUB) != 0)
		return false;
	found = regexec(&re, value, 0, NULL, 0) == 0;
	regfree(&re);
	return found;
}

bool filters_regexp(const struct filters *f, const char *key, const char *value)
{
	json_t *values = filters_values(f, key), *v;
	const char *pattern;

	if (!values)
		return true;
	json_object_foreach(values, pattern, v)
		if (strcmp(pattern, value) == 0 || found_in(pattern, value))
			return true;
	return false;
}

static bool has_label(json_t *labels, const char *wanted)
{
	size_t key_len = strcspn(wanted, "=");
	const char *key, *value;
	json_t *v;

	json_object_foreach(labels, key, v) {
		if (strlen(key) != key_len || strncmp(key, wanted, key_len) != 0)
			continue;
		value = json_string_value(v);
		return !wanted[key_len] || (value && strcmp(value, wanted + key_len + 1) == 0);
	}
	return false;
}

bool filters_labels(const struct filters *f, const char *key, json_t *labels)
{
	json_t *values = filters_values(f, key), *v;
	const char *wanted;

	if (!values)
		return true;
	json_object_foreach(values, wanted, v)
		if (!has_label(labels, wanted))
			return false;
	return true;
}

int filters_bool(const struct filters *f, const char *key, bool fallback, bool *ret, struct err *err)
{
	const char *v = filters_first(f, key);
	bool yes = v && (strcmp(v, "true") == 0 || strcmp(v, "1") == 0);
	bool no = v && (strcmp(v, "false") == 0 || strcmp(v, "0") == 0);

	if (v && !yes && !no)
		return err_set(err, ERR_INVALID, "invalid filter '%s=[%s]'", key, v);
	*ret = v ? yes : fallback;
	return 0;
}

int filters_until(const struct filters *f, int64_t now_ns, int64_t *ret_ns, struct err *err)
{
	const char *v = filters_first(f, "until");

	*ret_ns = INT64_MAX;
	if (json_object_size(filters_values(f, "until")) > 1)
		return err_set(err, ERR_INVALID, "more than one until filter specified");
	if (v && parse_docker_until(v, now_ns, ret_ns) < 0)
		return err_set(err, ERR_INVALID, "failed to parse value as time or duration: \"%s\"", v);
	return 0;
}
