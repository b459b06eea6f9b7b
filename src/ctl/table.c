/* table - see table.h. */
#include "table.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define CELL_MAX 64

void table_text(json_t *v, char *out, size_t n)
{
	const char *s = json_string_value(v);

	if (json_is_integer(v))
		snprintf(out, n, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else
		snprintf(out, n, "%s", s && *s ? s : "-");
}

void table_short_id(json_t *v, char *out, size_t n)
{
	table_text(v, out, n < 13 ? n : 13);
}

/* The last column is as long as it is. */
static void print_row(const struct column *columns, size_t n, const int width[], char (*cells)[CELL_MAX])
{
	for (size_t i = 0; i < n; i++) {
		bool last = i + 1 == n;

		printf(columns[i].right ? "%*s%s" : "%-*s%s", last ? 0 : width[i], cells[i], last ? "\n" : "  ");
	}
}

void table_print(json_t *list, const struct column *columns, size_t n_columns)
{
	size_t rows = json_array_size(list) + 1;
	char (*cells)[CELL_MAX] = xcalloc(rows * n_columns, sizeof(*cells));
	int *width = xcalloc(n_columns, sizeof(*width));

	for (size_t row = 0; row < rows; row++)
		for (size_t i = 0; i < n_columns; i++) {
			char *cell = cells[row * n_columns + i];

			if (row)
				columns[i].format(json_object_get(json_array_get(list, row - 1), columns[i].key), cell, CELL_MAX);
			else
				snprintf(cell, CELL_MAX, "%s", columns[i].title);
			if ((int)strlen(cell) > width[i])
				width[i] = (int)strlen(cell);
		}
	for (size_t row = 0; row < rows; row++)
		print_row(columns, n_columns, width, cells + row * n_columns);
	free(width);
	free(cells);
}
