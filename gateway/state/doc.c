/* doc - the few conversions that every stored record needs. Pure but for doc_save. */
#include "state/doc.h"

#include <string.h>

#include "state/store.h"

json_t *doc_text(const char *s)
{
	AUTO_FREE char *plain = NULL;
	json_t *j;

	if (!s)
		return json_null();
	j = json_string(s);
	if (j)
		return j;
	/* Mostly a sentence of somebody else's that was cut inside a character. */
	plain = xstrdup(s);
	for (char *p = plain; *p; p++)
		if (*p & 0x80)
			*p = '?';
	return json_string(plain);
}

json_t *doc_list(const struct strv *list)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->n; i++)
		json_array_append_new(array, doc_text(list->v[i]));
	return array;
}

const char *doc_str(const json_t *doc, const char *key)
{
	return json_string_value(json_object_get(doc, key));
}

char *doc_dup(const json_t *doc, const char *key)
{
	return xstrdup(doc_str(doc, key));
}

int64_t doc_int(const json_t *doc, const char *key)
{
	return json_integer_value(json_object_get(doc, key));
}

bool doc_bool(const json_t *doc, const char *key)
{
	return json_is_true(json_object_get(doc, key));
}

json_t *doc_object(const json_t *doc, const char *key)
{
	json_t *j = json_object_get(doc, key);

	return json_is_object(j) ? json_incref(j) : NULL;
}

void doc_strv(const json_t *doc, const char *key, struct strv *ret)
{
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(doc, key), i, v)
		if (json_is_string(v))
			strv_add(ret, json_string_value(v));
}

void doc_copy(const json_t *doc, const char *key, char *out, size_t size)
{
	const char *s = doc_str(doc, key);
	size_t n = s ? strlen(s) : 0;

	if (n >= size)
		n = 0;
	if (n)
		memcpy(out, s, n);
	out[n] = '\0';
}

int doc_save(struct store *s, const char *kind, const char *key, json_t *doc, uint64_t *version,
	     struct err *err)
{
	AUTO_FREE char *text = json_dumps(doc, JSON_COMPACT);

	json_decref(doc);
	if (!text)
		return err_set(err, ERR_SYSTEM, "%s %s cannot be written as JSON", kind, key);
	return store_put(s, kind, key, text, *version, version, err);
}

json_t *doc_load(const char *kind, const char *key, const char *text, struct err *err)
{
	json_error_t why;
	json_t *doc = json_loads(text, 0, &why);

	if (json_is_object(doc))
		return doc;
	err_set(err, ERR_INVALID, "the stored %s %s is not readable: %s", kind, key,
		doc ? "not an object" : why.text);
	json_decref(doc);
	return NULL;
}
