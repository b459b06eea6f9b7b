/* buf - bytes in a row, appended at the end, consumed at the front, never more than max.
 * Memory grows by doubling and is given back when the buffer runs empty above BUF_KEEP bytes. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUF_KEEP (64 * 1024)

struct buf {
	uint8_t *mem;  /* ours */
	size_t off;    /* first unread byte */
	size_t len;    /* unread bytes */
	size_t cap;
	size_t max;    /* never holds more than this; set by buf_init */
};

void buf_init(struct buf *b, size_t max);
void buf_release(struct buf *b);
static inline uint8_t *buf_head(const struct buf *b) { return b->mem ? b->mem + b->off : NULL; }
static inline size_t buf_room(const struct buf *b) { return b->max - b->len; }

/* Room for n contiguous bytes at the end; NULL if that would pass max. Follow with buf_commit. */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);
/* 0, or -1 with nothing appended if it would pass max. */
int buf_append(struct buf *b, const void *p, size_t n);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_consume(struct buf *b, size_t n);
/* The content as a string the caller frees (a NUL is added); the buffer is empty afterwards. */
char *buf_detach(struct buf *b, size_t *ret_len);

#endif
