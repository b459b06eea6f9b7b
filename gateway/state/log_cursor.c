/* log_cursor - reading a log file record by record, from any number of places; see logs.h. */
#include "state/log_file.h"

#include <inttypes.h>
#include <utlist.h>

#include "base/mem.h"

#define CURSOR_BUFFER (64 * 1024)

struct log_cursor *log_cursor_new(struct log *l, int from)
{
	struct log_cursor *c = xcalloc(1, sizeof(*c));

	c->log = l;
	c->pos = from == LOG_FROM_NOW ? l->end.start : 0;
	DL_APPEND(l->cursors, c);
	return c;
}

void log_cursor_follow(struct log_cursor *c, void (*wake)(void *ctx), void *ctx)
{
	c->wake = wake;
	c->ctx = ctx;
	c->idle = true;
}

void log_cursor_free(struct log_cursor *c)
{
	struct log *l;

	if (!c)
		return;
	l = c->log;
	DL_DELETE(l->cursors, c);
	free(c->mem);
	free(c);
	if (l->closed && !l->cursors)
		log_free(l);
}

void log_cursor_rewind(struct log_cursor *c)
{
	c->pos = c->record = 0;
	c->left = 0;
}

/* Bytes at pos, at least `need` and as many as are at hand; the caller knows they are in the file. */
static const uint8_t *cursor_peek(struct log_cursor *c, size_t need, size_t *ret_n, struct err *err)
{
	uint64_t rest = c->log->size - c->pos;
	ssize_t r;

	if (!c->mem)
		c->mem = xmalloc(CURSOR_BUFFER);
	if (c->pos < c->mem_pos || c->pos + need > c->mem_pos + c->mem_n) {
		c->mem_n = 0;
		/* Not beyond size: what a failed write left there is not what will be there. */
		r = log_read_at(c->log, c->pos, c->mem, rest < CURSOR_BUFFER ? (size_t)rest : CURSOR_BUFFER, err);
		if (r < 0)
			return NULL;
		if ((size_t)r < need) {
			err_set(err, ERR_SYSTEM, "read %s: the file shrank", c->log->path);
			return NULL;
		}
		c->mem_pos = c->pos;
		c->mem_n = (size_t)r;
	}
	*ret_n = (size_t)(c->mem_pos + c->mem_n - c->pos);
	return c->mem + (c->pos - c->mem_pos);
}

int log_cursor_piece(struct log_cursor *c, uint64_t end, const uint8_t **ret_p, size_t *ret_n,
			struct err *err)
{
	const uint8_t *p;
	size_t n;

	while (!c->left) {
		if (c->pos + LOG_HEADER > end)
			return 0;
		p = cursor_peek(c, LOG_HEADER, &n, err);
		if (!p)
			return -1;
		if (!log_header_decode(p, &c->h))
			return err_set(err, ERR_SYSTEM, "%s is damaged at %" PRIu64, c->log->path, c->pos);
		if (c->h.tag == LOG_TAG_MARKER) {
			if (c->pos + LOG_HEADER + c->h.len > end)
				return 0;
			c->pos += LOG_HEADER + c->h.len;
			*ret_n = 0;
			return 1;
		}
		c->record = c->pos;
		c->pos += LOG_HEADER;
		c->left = c->h.len;
	}
	if (c->pos >= end)
		return 0;
	p = cursor_peek(c, 1, &n, err);
	if (!p)
		return -1;
	if (n > end - c->pos)
		n = (size_t)(end - c->pos);
	if (n > c->left)
		n = c->left;
	c->pos += n;
	c->left -= (uint32_t)n;
	*ret_p = p;
	*ret_n = n;
	return 1;
}

void log_cursor_rest(struct log_cursor *c)
{
	c->idle = true;
	free(c->mem);
	c->mem = NULL;
	c->mem_n = 0;
}

int log_cursor_next(struct log_cursor *c, uint8_t *ret_tag, int64_t *ret_time_ns, const uint8_t **ret_p,
		    size_t *ret_n, struct err *err)
{
	int r;

	do
		r = log_cursor_piece(c, c->log->size, ret_p, ret_n, err);
	while (r == 1 && c->h.tag == LOG_TAG_MARKER);
	if (r == 0)
		log_cursor_rest(c);
	if (r == 1) {
		*ret_tag = c->h.tag;
		*ret_time_ns = c->h.time_ns;
	}
	return r;
}

/* ---- another process image ------------------------------------------------------------------------- */

void log_cursor_unread(struct log_cursor *c, size_t n)
{
	c->pos -= n;
	c->left += (uint32_t)n;
}

void log_cursor_save(const struct log_cursor *c, size_t unread, struct pack *p)
{
	pack_num(p, c->pos - unread);
	pack_num(p, c->record);
	pack_num(p, c->left + unread);
	pack_num(p, c->h.tag);
	pack_num(p, (uint64_t)c->h.time_ns);
}

struct log_cursor *log_cursor_restore(struct log *l, struct unpack *u)
{
	struct log_cursor *c = log_cursor_new(l, LOG_FROM_START);

	c->pos = unpack_num(u);
	c->record = unpack_num(u);
	c->left = (uint32_t)unpack_num(u);
	c->h.tag = (uint8_t)unpack_num(u);
	c->h.time_ns = (int64_t)unpack_num(u);
	if (!u->bad && c->pos <= l->size)
		return c;
	log_cursor_free(c);
	u->bad = true;
	return NULL;
}
