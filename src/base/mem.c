/* mem - allocation that ends the process instead of failing, and lists of strings.
 * Nothing here is bounded: whoever takes a size from a peer has checked it before. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void *check(void *p, size_t n)
{
	if (!p && n) {
		fprintf(stderr, "out of memory: %zu bytes\n", n);
		abort();
	}
	return p;
}

void *xmalloc(size_t n)
{
	return check(malloc(n ? n : 1), n);
}

void *xcalloc(size_t n, size_t size)
{
	return check(calloc(n ? n : 1, size ? size : 1), n);
}

void *xrealloc(void *p, size_t n)
{
	return check(realloc(p, n ? n : 1), n);
}

char *xstrdup(const char *s)
{
	return s ? xmemdup(s, strlen(s) + 1) : NULL;
}

char *xstrndup(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *p = xmalloc(len + 1);

	memcpy(p, s, len);
	p[len] = '\0';
	return p;
}

void *xmemdup(const void *p, size_t n)
{
	void *copy = xmalloc(n);

	if (n)
		memcpy(copy, p, n);
	return copy;
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return check(n < 0 ? NULL : s, 1);
}

void strv_take(struct strv *s, char *str)
{
	/* Room for n strings and the NULL; grown at 4, 8, 16 ... */
	if (!s->v || (s->n + 1 >= 4 && ((s->n + 1) & s->n) == 0))
		s->v = xrealloc(s->v, (s->n ? 2 * (s->n + 1) : 4) * sizeof(*s->v));
	s->v[s->n++] = str;
	s->v[s->n] = NULL;
}

void strv_add(struct strv *s, const char *str)
{
	strv_take(s, xstrdup(str));
}

void strv_copy(struct strv *dst, const struct strv *src)
{
	if (dst == src)
		return;
	strv_release(dst);
	for (size_t i = 0; i < src->n; i++)
		strv_add(dst, src->v[i]);
}

void strv_release(struct strv *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct strv){0};
}

static char **env_find(const struct strv *s, const char *key, size_t key_len)
{
	for (size_t i = 0; i < s->n; i++)
		if (strncmp(s->v[i], key, key_len) == 0 && s->v[i][key_len] == '=')
			return &s->v[i];
	return NULL;
}

void strv_env_set(struct strv *s, const char *assignment)
{
	char **old = env_find(s, assignment, strcspn(assignment, "="));

	if (!old) {
		strv_add(s, assignment);
		return;
	}
	free(*old);
	*old = xstrdup(assignment);
}

const char *strv_env_get(const struct strv *s, const char *key)
{
	char **found = env_find(s, key, strlen(key));

	return found ? *found + strlen(key) + 1 : NULL;
}
