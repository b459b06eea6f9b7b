/* version - see version.h. */
#include "api/version.h"

#include <stdlib.h>
#include <string.h>

#include "api/api.h"

/* Compares dotted numbers as dockerd does: missing parts are 0. */
static int compare(const char *a, size_t a_len, const char *b)
{
	const char *a_end = a + a_len, *b_end = b + strlen(b);

	while (a < a_end || b < b_end) {
		unsigned long x = 0, y = 0;

		for (; a < a_end && *a != '.'; a++)
			x = x > 100000 ? x : x * 10 + (unsigned long)(*a - '0');
		for (; b < b_end && *b != '.'; b++)
			y = y * 10 + (unsigned long)(*b - '0');
		if (x != y)
			return x < y ? -1 : 1;
		a += a < a_end;
		b += b < b_end;
	}
	return 0;
}

static const char min_version[] = API_VERSION_MIN_TEXT, max_version[] = API_VERSION_MAX_TEXT;

int version_split(const char *path, int *ret_minor, const char **ret_rest, int *ret_plain, struct err *err)
{
	size_t n = path[0] == '/' && path[1] == 'v' ? strspn(path + 2, "0123456789.") : 0;
	const char *v = path + 2, *dot;

	*ret_plain = 0;
	*ret_minor = API_VERSION_MAX;
	*ret_rest = path;
	if (n == 0 || v[n] != '/')
		return 0;
	*ret_rest = v + n;
	if (compare(v, n, min_version) < 0) {
		*ret_plain = 1;
		return err_set(err, ERR_INVALID, "client version %.*s is too old. Minimum supported API version "
			       "is %s, please upgrade your client to a newer version", (int)n, v, min_version);
	}
	if (compare(v, n, max_version) > 0)
		return err_set(err, ERR_INVALID, "client version %.*s is too new. Maximum supported API version "
			       "is %s", (int)n, v, max_version);
	dot = memchr(v, '.', n);
	*ret_minor = (int)strtol(dot + 1, NULL, 10);
	return 0;
}
