/* buf - the one growing byte buffer; see the header for its promise about max.
 *
 *   mem        off          off+len       cap (<= max)
 *   | consumed |   unread   |    free     |
 *
 * The content is moved to the front only when that frees at least as much as it copies, or when
 * max forbids growing, so that appending stays cheap however small the consumed pieces are. */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define BUF_MIN 256

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void buf_release(struct buf *b)
{
	free(b->mem);
	buf_init(b, b->max);
}

static void buf_compact(struct buf *b)
{
	if (b->off && b->len)
		memmove(b->mem, b->mem + b->off, b->len);
	b->off = 0;
}

static void buf_grow(struct buf *b, size_t need)
{
	size_t cap = b->cap ? b->cap : BUF_MIN;
	uint8_t *mem;

	if (need > b->max) /* never the content, which was checked: only spare room */
		need = b->max;
	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : 2 * cap;
	if (cap > b->max)
		cap = b->max;
	/* Not realloc: that would copy the consumed front too. */
	mem = xmalloc(cap);
	if (b->len)
		memcpy(mem, b->mem + b->off, b->len);
	free(b->mem);
	b->mem = mem;
	b->cap = cap;
	b->off = 0;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
	if (n > b->max - b->len)
		return NULL;
	if (!b->mem || n > b->cap - b->off - b->len) {
		bool fits = b->mem && n <= b->cap - b->len;

		if (fits && (b->off >= b->len || b->cap >= b->max))
			buf_compact(b);
		else
			buf_grow(b, b->len + n + (fits ? b->off : 0));
	}
	return b->mem + b->off + b->len;
}

void buf_commit(struct buf *b, size_t n)
{
	assert(n <= b->cap - b->off - b->len);
	b->len += n;
}

int buf_append(struct buf *b, const void *p, size_t n)
{
	uint8_t *to;

	if (n == 0)
		return 0;
	to = buf_reserve(b, n);
	if (!to)
		return -1;
	memcpy(to, p, n);
	b->len += n;
	return 0;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	size_t free_now = b->mem ? b->cap - b->off - b->len : 0;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(free_now ? (char *)b->mem + b->off + b->len : NULL, free_now, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n > buf_room(b))
		return -1;
	if ((size_t)n >= free_now) {
		/* vsnprintf wants room for its NUL, which is not part of the content. */
		char *text = xmalloc((size_t)n + 1);

		va_start(ap, fmt);
		vsnprintf(text, (size_t)n + 1, fmt, ap);
		va_end(ap);
		buf_append(b, text, (size_t)n);
		free(text);
		return 0;
	}
	b->len += (size_t)n;
	return 0;
}

void buf_consume(struct buf *b, size_t n)
{
	assert(n <= b->len);
	b->off += n;
	b->len -= n;
	if (b->len)
		return;
	b->off = 0;
	if (b->cap > BUF_KEEP) {
		free(b->mem);
		b->mem = NULL;
		b->cap = 0;
	}
}

char *buf_detach(struct buf *b, size_t *ret_len)
{
	char *s;

	buf_compact(b);
	s = xrealloc(b->mem, b->len + 1);
	s[b->len] = '\0';
	if (ret_len)
		*ret_len = b->len;
	buf_init(b, b->max);
	return s;
}
