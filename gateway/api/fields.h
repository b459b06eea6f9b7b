/* fields - a client's JSON object made to look as Go's decoder would have left it: names matched in
 * any case, unknown ones dropped, types checked, a bare string where a list of words is meant. Pure. */
#ifndef API_FIELDS_H
#define API_FIELDS_H

#include <jansson.h>

#include "base/err.h"

enum field_type {
	FIELD_BOOL,
	FIELD_INT,
	FIELD_STRING,
	FIELD_STRINGS,   /* list of strings */
	FIELD_WORDS,     /* the same, or one string */
	FIELD_MAP,       /* object of strings */
	FIELD_OBJECT,
	FIELD_LIST,
	FIELD_SIZE,      /* [rows, columns] */
};
struct field {
	const char *name;
	enum field_type type;
};

/* fields ends with a NULL name. null is right for every type. ERR_INVALID in the words of Go's decoder;
 * type is the name it would use. */
int fields_check(json_t *object, const char *type, const struct field *fields, struct err *err);

#endif
