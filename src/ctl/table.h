/* table - a JSON list of objects as columns of text. */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct column {
	const char *title, *key;
	void (*format)(json_t *v, char *out, size_t n); /* how a value becomes a cell */
	bool right;
};

void table_text(json_t *v, char *out, size_t n);     /* a string or a whole number; "-" for nothing */
void table_short_id(json_t *v, char *out, size_t n); /* 12 characters */
void table_print(json_t *list, const struct column *columns, size_t n_columns);

#endif
