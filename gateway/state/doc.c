/* doc - the few conversions that every stored record needs. Pure but for doc_save. */
#include "state/doc.h"

#include <string.h>

#include "state/store.h"
#include "base/utf8.h"

json_t *doc_text(const char *s)
{
	AUTO_FREE char *clean = NULL;
	json_t *j;

	if (!s)
		return json_null();
	j = json_string(s);
	if (j)
		return j;
	/* Mostly a sentence of somebody else's that was cut inside a character. */
	clean = utf8_clean(s, strlen(s), NULL);
	return json_string(clean);
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

struct loading {
	const char *kind;
	doc_fn *fn;
	void *ctx;
	struct err err;
};

static int load_one(void *ctx, const char *key, const char *text, uint64_t version)
{
	struct loading *l = ctx;
	json_error_t why;
	json_t *doc = json_loads(text, 0, &why);
	int rc;

	if (json_is_object(doc))
		rc = l->fn(l->ctx, key, doc, version, &l->err);
	else
		rc = err_set(&l->err, ERR_INVALID, "the stored %s %s is not readable: %s", l->kind, key,
			     doc ? "not an object" : why.text);
	json_decref(doc);
	return rc;
}

int doc_load_all(struct store *s, const char *kind, doc_fn *fn, void *ctx, struct err *err)
{
	struct loading l = {.kind = kind, .fn = fn, .ctx = ctx};

	if (store_scan(s, kind, load_one, &l, &l.err) == 0 && !l.err.kind)
		return 0;
	return err_set(err, l.err.kind, "%s", l.err.msg);
}
