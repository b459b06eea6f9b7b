/* mem - allocation that cannot fail, and locals that clean up after themselves.
 *
 * Out of memory ends the process with one line on stderr. A size that came from a peer is checked
 * against a limit before it gets here. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);             /* NULL gives NULL */
char *xstrndup(const char *s, size_t n);
void *xmemdup(const void *p, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static inline void mem_auto_free(void *p) { free(*(void **)p); }
static inline void mem_auto_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define AUTO_FREE __attribute__((cleanup(mem_auto_free)))
#define AUTO_CLOSE __attribute__((cleanup(mem_auto_close)))

/* Giving away what a cleanup local owns. */
static inline int steal_fd(int *fd)
{
	int v = *fd;
	*fd = -1;
	return v;
}
static inline void *mem_steal(void *pp)
{
	void *v = *(void **)pp;
	*(void **)pp = NULL;
	return v;
}
#define steal_ptr(p) ((__typeof__(*(p)))mem_steal(p))

/* A growing, NULL-terminated list of strings that owns its strings. Zero it to begin with. */
struct strv {
	char **v; /* NULL, or n strings and a NULL */
	size_t n;
};
void strv_add(struct strv *s, const char *str);      /* copies */
void strv_take(struct strv *s, char *str);           /* takes ownership */
void strv_copy(struct strv *dst, const struct strv *src); /* dst is released first */
void strv_release(struct strv *s);
/* Environment lists: set "KEY=value", replacing a former KEY; get the value or NULL. */
void strv_env_set(struct strv *s, const char *assignment);
const char *strv_env_get(const struct strv *s, const char *key);

#endif
