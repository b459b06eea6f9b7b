/* path - see base/path.h. */
#include "base/path.h"

#include <string.h>

#include "base/mem.h"

char *path_clean(const char *path)
{
	size_t n = strlen(path), root = path[0] == '/', len = root, floor = root;
	char *out = xmalloc(n + 2);

	out[0] = '/';
	for (const char *p = path; *p;) {
		const char *end = strchrnul(p, '/');
		size_t part = (size_t)(end - p);

		if (part == 2 && p[0] == '.' && p[1] == '.' && (root || len > floor)) {
			while (len > floor && out[len - 1] != '/')
				len--;
			if (len > floor)
				len--; /* the slash before it */
		} else if (part > 0 && !(part == 1 && p[0] == '.')) {
			if (len > root)
				out[len++] = '/';
			memcpy(out + len, p, part);
			len += part;
			if (part == 2 && p[0] == '.' && p[1] == '.')
				floor = len; /* of a relative path: this one cannot be taken back */
		}
		p = *end ? end + 1 : end;
	}
	if (len == 0)
		out[len++] = '.';
	out[len] = '\0';
	return out;
}
