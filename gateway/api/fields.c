/* fields - see fields.h. */
#include "api/fields.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

static const char *const go_name[] = {
	[FIELD_BOOL] = "bool", [FIELD_INT] = "int64", [FIELD_STRING] = "string", [FIELD_STRINGS] = "[]string",
	[FIELD_WORDS] = "strslice.StrSlice", [FIELD_MAP] = "map[string]string",
	[FIELD_OBJECT] = "object", [FIELD_LIST] = "list", [FIELD_SIZE] = "[2]uint",
};

static const char *json_name(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return "object";
	case JSON_ARRAY:
		return "array";
	case JSON_STRING:
		return "string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "number";
	default:
		return "bool";
	}
}

static const struct field *find_field(const struct field *fields, const char *name)
{
	for (const struct field *f = fields; f->name; f++)
		if (strcasecmp(f->name, name) == 0)
			return f;
	return NULL;
}

/* The value that is of the wrong type, or NULL if all is well. */
static json_t *misfit(json_t *v, enum field_type type)
{
	json_t *item;
	const char *key;
	size_t i;

	switch (type) {
	case FIELD_BOOL:
		return json_is_boolean(v) ? NULL : v;
	case FIELD_INT:
		return json_is_integer(v) ? NULL : v;
	case FIELD_STRING:
		return json_is_string(v) ? NULL : v;
	case FIELD_OBJECT:
		return json_is_object(v) ? NULL : v;
	case FIELD_LIST:
		return json_is_array(v) ? NULL : v;
	case FIELD_STRINGS:
	case FIELD_WORDS:
		if (!json_is_array(v))
			return v;
		json_array_foreach(v, i, item)
			if (!json_is_string(item))
				return item;
		return NULL;
	case FIELD_MAP:
		if (!json_is_object(v))
			return v;
		json_object_foreach(v, key, item)
			if (!json_is_string(item))
				return item;
		return NULL;
	case FIELD_SIZE:
		if (!json_is_array(v))
			return v;
		json_array_foreach(v, i, item)
			if (!json_is_integer(item) || json_integer_value(item) < 0)
				return item;
		return NULL;
	}
	return v;
}

int fields_check(json_t *object, const char *type, const struct field *fields, struct err *err)
{
	const char *key;
	json_t *v, *bad, *clean = json_object();

	json_object_foreach(object, key, v) {
		const struct field *f = find_field(fields, key);

		if (!f)
			continue;
		bad = NULL;
		if (f->type == FIELD_WORDS && json_is_string(v))
			json_object_set_new(clean, f->name, json_pack("[O]", v));
		else if (json_is_null(v) || !(bad = misfit(v, f->type)))
			json_object_set(clean, f->name, v);
		if (bad) {
			err_set(err, ERR_INVALID, "json: cannot unmarshal %s into Go struct field %s.%s of type %s",
				json_is_null(bad) ? "null" : json_name(bad), type, f->name, go_name[f->type]);
			json_decref(clean);
			return -1;
		}
	}
	json_object_clear(object);
	json_object_update(object, clean);
	json_decref(clean);
	return 0;
}
