/* logs - one file per container; its writer, and the cursors that read it.
 *
 *   marker              record               record (torn: the run ended, or more is to come)
 *   [0 1 0 0|24|time|boot id, offset] [1 1 0 0|len|time|bytes] [2 1 0 0|len|time|byt
 *                                    ^ run_start                                    ^ size
 *   position in the stream = run_offset + size - run_start
 *
 * The second byte has bit 1 set in records of the gateway's own making: they are no part of the
 * stream, so they move run_start along. All writing is at `size`, by one writer; what a failed write
 * left behind it is cut off or overwritten. What an agent sends is checked before it is written, so
 * a file that does not parse was damaged on the disk: it is cut there, and said. */
#include "state/logs.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define HEADER 16
#define MARKER_PAYLOAD (LOG_BOOT_ID_LEN + 8)
#define MARKER (HEADER + MARKER_PAYLOAD)
#define TAG_MARKER 0
#define FLAG_TIMED 1
#define FLAG_OWN 2
#define SCAN_BUFFER (1024 * 1024)
#define CURSOR_BUFFER (64 * 1024)
#define STAMP_LEN 31 /* "2006-01-02T15:04:05.000000000Z " */

struct header {
	uint8_t tag, flags;
	uint32_t len;
	int64_t time_ns;
};

/* Where the sequence of records stands at the end of the file. */
struct frontier {
	uint64_t start;         /* of the unfinished record; the end of the file if there is none */
	uint8_t head[HEADER];   /* its header, as much as there is */
	size_t head_n;          /* 0: no unfinished record */
	uint32_t left;          /* payload still to come, once the header is whole */
	bool output;            /* at least one payload byte is in the file */
};

struct log {
	int fd;
	char *path;
	uint64_t size;
	struct frontier end;
	bool has_run;
	uint8_t boot_id[LOG_BOOT_ID_LEN];
	uint64_t run_start, run_offset;
	struct log_cursor *cursors; /* theirs */
	bool closed;                /* freed with the last cursor */
};

struct log_cursor {
	struct log_cursor *prev, *next;
	struct log *log;
	uint64_t pos;           /* next byte of the file to look at */
	uint64_t record;        /* where the current record begins */
	uint32_t left;          /* of its payload; 0: pos is at a header */
	struct header h;
	uint8_t *mem;           /* [mem_pos, mem_pos + mem_n) of the file; freed while there is nothing to read */
	uint64_t mem_pos;
	size_t mem_n;
	void (*wake)(void *ctx);
	void *ctx;
	bool idle;              /* it was told "the end for now": the next bytes wake it */
};

/* ---- the record format -------------------------------------------------------------------------- */

static void header_encode(uint8_t out[HEADER], const struct header *h)
{
	uint32_t len = htobe32(h->len);
	uint64_t t = htobe64((uint64_t)h->time_ns);

	memcpy(out, (uint8_t[]){h->tag, h->flags, 0, 0}, 4);
	memcpy(out + 4, &len, sizeof(len));
	memcpy(out + 8, &t, sizeof(t));
}

static bool header_decode(const uint8_t p[HEADER], struct header *ret)
{
	uint32_t len;
	uint64_t t;

	memcpy(&len, p + 4, sizeof(len));
	memcpy(&t, p + 8, sizeof(t));
	*ret = (struct header){p[0], p[1], be32toh(len), (int64_t)be64toh(t)};
	if (p[2] || p[3])
		return false;
	if (ret->tag == TAG_MARKER)
		return ret->flags == FLAG_TIMED && ret->len == MARKER_PAYLOAD;
	return ret->tag <= 2 && (ret->flags & ~FLAG_OWN) == FLAG_TIMED;
}

/* Move the frontier over stream bytes that come at file offset `at`. -1: these are no records. */
static int frontier_walk(struct frontier *f, uint64_t at, const uint8_t *p, size_t n)
{
	struct header h;
	size_t k;

	for (; n; p += k, n -= k, at += k) {
		if (f->head_n == HEADER) {
			k = f->left < n ? f->left : n;
			f->left -= (uint32_t)k;
			f->output = true;
		} else {
			k = HEADER - f->head_n < n ? HEADER - f->head_n : n;
			memcpy(f->head + f->head_n, p, k);
			f->head_n += k;
			if (f->head_n < HEADER)
				continue;
			if (!header_decode(f->head, &h) || h.tag == TAG_MARKER || h.flags & FLAG_OWN)
				return -1;
			f->left = h.len;
		}
		if (f->left == 0) {
			f->head_n = 0;
			f->start = at + k;
		}
	}
	return 0;
}

/* ---- opening ------------------------------------------------------------------------------------ */

static ssize_t read_at(const struct log *l, uint64_t pos, void *p, size_t n, struct err *err)
{
	size_t got = 0;

	while (got < n) {
		ssize_t r = pread(l->fd, (uint8_t *)p + got, n - got, (off_t)(pos + got));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return err_sys(err, errno, "read %s", l->path);
		if (r == 0)
			break;
		got += (size_t)r;
	}
	return (ssize_t)got;
}

static int cut(struct log *l, uint64_t size, struct err *err)
{
	if (ftruncate(l->fd, (off_t)size) < 0)
		return err_sys(err, errno, "truncate %s", l->path);
	l->size = size;
	return 0;
}

static void adopt_run(struct log *l, const uint8_t payload[MARKER_PAYLOAD], uint64_t start)
{
	uint64_t offset;

	memcpy(l->boot_id, payload, LOG_BOOT_ID_LEN);
	memcpy(&offset, payload + LOG_BOOT_ID_LEN, sizeof(offset));
	l->run_offset = be64toh(offset);
	l->run_start = start;
	l->has_run = true;
}

/* One record at pos, of which n bytes are in p (at least a marker's worth, unless the file ends).
 * *ret_next: where the next one begins, or the file's size when this is the last. */
static int scan_record(struct log *l, uint64_t pos, const uint8_t *p, size_t n, uint64_t *ret_next,
		       struct err *err)
{
	uint64_t rest = l->size - pos, whole;
	struct header h;

	*ret_next = l->size;
	if (n < HEADER) {
		memcpy(l->end.head, p, n);
		l->end.head_n = n;
		return 0;
	}
	if (!header_decode(p, &h)) {
		log_error("container log is damaged, cut there", "path=%s at=%" PRIu64 " dropped=%" PRIu64,
			  l->path, pos, rest);
		*ret_next = pos;
		return cut(l, pos, err);
	}
	whole = HEADER + (uint64_t)h.len;
	if (whole > rest && (h.tag == TAG_MARKER || h.flags & FLAG_OWN)) {
		/* Our own write did not finish, so nobody was told of it. */
		*ret_next = pos;
		return cut(l, pos, err);
	}
	if (h.tag != TAG_MARKER && h.len && rest > HEADER)
		l->end.output = true;
	if (whole > rest) {
		memcpy(l->end.head, p, HEADER);
		l->end.head_n = HEADER;
		l->end.left = (uint32_t)(whole - rest);
		return 0;
	}
	*ret_next = pos + whole;
	if (h.tag == TAG_MARKER)
		adopt_run(l, p + HEADER, *ret_next);
	else if (h.flags & FLAG_OWN)
		l->run_start += whole;
	return 0;
}

/* From header to header: what lies between is skipped, and not even read when it is long. */
static int scan(struct log *l, struct err *err)
{
	const size_t room = l->size < SCAN_BUFFER ? (size_t)l->size : SCAN_BUFFER;
	AUTO_FREE uint8_t *mem = xmalloc(room);
	uint64_t pos = 0, mem_pos = 0, next;
	size_t mem_n = 0;

	while (pos < l->size) {
		size_t want = l->size - pos < MARKER ? (size_t)(l->size - pos) : MARKER;

		if (pos + want > mem_pos + mem_n) {
			ssize_t r = read_at(l, pos, mem, room, err);

			if (r < 0)
				return -1;
			if ((size_t)r < want)
				return err_set(err, ERR_SYSTEM, "read %s: the file shrank", l->path);
			mem_pos = pos;
			mem_n = (size_t)r;
		}
		if (scan_record(l, pos, mem + (pos - mem_pos), want, &next, err) < 0)
			return -1;
		if (!l->end.head_n)
			pos = next;
		else
			break;
	}
	l->end.start = pos;
	return 0;
}

struct log *log_open(const char *path, struct err *err)
{
	struct log *l = xcalloc(1, sizeof(*l));
	struct stat st;

	l->path = xstrdup(path);
	l->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (l->fd < 0 || fstat(l->fd, &st) < 0) {
		err_sys(err, errno, "open %s", path);
		goto fail;
	}
	l->size = (uint64_t)st.st_size;
	if (scan(l, err) < 0)
		goto fail;
	return l;
fail:
	log_close(l);
	return NULL;
}

static void log_free(struct log *l)
{
	if (l->fd >= 0)
		close(l->fd);
	free(l->path);
	free(l);
}

void log_close(struct log *l)
{
	if (!l)
		return;
	l->closed = true;
	if (!l->cursors)
		log_free(l);
}

void log_unlink(struct log *l)
{
	(void) unlink(l->path);
}

/* ---- writing ------------------------------------------------------------------------------------ */

static int write_at(struct log *l, uint64_t pos, const void *p, size_t n, struct err *err)
{
	size_t put = 0;

	while (put < n) {
		ssize_t w = pwrite(l->fd, (const uint8_t *)p + put, n - put, (off_t)(pos + put));

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return err_sys(err, errno, "write %s", l->path);
		put += (size_t)w;
	}
	return 0;
}

static int append_bytes(struct log *l, const void *p, size_t n, struct err *err)
{
	if (write_at(l, l->size, p, n, err) < 0) {
		(void) cut(l, l->size, NULL);
		return -1;
	}
	l->size += n;
	return 0;
}

static void wake_followers(struct log *l)
{
	struct log_cursor *c;

	DL_FOREACH(l->cursors, c) {
		if (!c->idle || !c->wake)
			continue;
		c->idle = false;
		c->wake(c->ctx);
	}
}

int64_t log_run_position(const struct log *l, const uint8_t boot_id[LOG_BOOT_ID_LEN])
{
	if (!l->has_run || memcmp(l->boot_id, boot_id, LOG_BOOT_ID_LEN) != 0)
		return -1;
	return (int64_t)(l->run_offset + l->size - l->run_start);
}

static int write_length(struct log *l, uint32_t len, struct err *err)
{
	len = htobe32(len);
	return write_at(l, l->end.start + 4, &len, sizeof(len), err);
}

/* Close the unfinished record where it is. Cursors may be in the middle of it. */
static int mend(struct log *l, struct err *err)
{
	struct log_cursor *c;
	struct header h;

	if (!l->end.head_n)
		return 0;
	if (l->size <= l->end.start + HEADER) { /* not one byte of payload: it never was */
		if (cut(l, l->end.start, err) < 0)
			return -1;
	} else {
		(void) header_decode(l->end.head, &h);
		if (write_length(l, h.len - l->end.left, err) < 0)
			return -1;
	}
	DL_FOREACH(l->cursors, c) {
		c->mem_n = 0; /* it may hold what has changed */
		if (c->left && c->record == l->end.start)
			c->left -= l->end.left;
		if (c->pos > l->size) { /* it had seen a header without a byte behind it */
			c->pos = l->size;
			c->left = 0;
		}
	}
	return 0;
}

int log_begin_run(struct log *l, const uint8_t boot_id[LOG_BOOT_ID_LEN], uint64_t offset, struct err *err)
{
	struct header h = {TAG_MARKER, FLAG_TIMED, MARKER_PAYLOAD, clock_wall_ns()};
	uint8_t marker[MARKER];
	uint64_t be_offset = htobe64(offset);

	header_encode(marker, &h);
	memcpy(marker + HEADER, boot_id, LOG_BOOT_ID_LEN);
	memcpy(marker + HEADER + LOG_BOOT_ID_LEN, &be_offset, sizeof(be_offset));
	if (mend(l, err) < 0)
		return -1;
	if (l->end.head_n) {
		/* Whatever follows, the former run's bytes cannot: half a record of it is closed. */
		l->has_run = false;
		l->end.head_n = 0;
		l->end.left = 0;
	}
	l->end.start = l->size;
	if (append_bytes(l, marker, sizeof(marker), err) < 0)
		return -1;
	l->end.start = l->size;
	adopt_run(l, marker + HEADER, l->size);
	return 0;
}

int log_append(struct log *l, const void *p, size_t n, struct err *err)
{
	struct frontier end = l->end;

	if (!l->has_run)
		return err_set(err, ERR_INVALID, "%s: output outside of a run", l->path);
	if (frontier_walk(&end, l->size, p, n) < 0)
		return err_set(err, ERR_INVALID, "%s: the output is not a sequence of records", l->path);
	if (append_bytes(l, p, n, err) < 0)
		return -1;
	l->end = end;
	wake_followers(l);
	return 0;
}

int log_append_record(struct log *l, uint8_t tag, int64_t time_ns, const void *p, size_t n, struct err *err)
{
	static const uint8_t nobody[LOG_BOOT_ID_LEN];
	struct header h = {tag, FLAG_TIMED | FLAG_OWN, (uint32_t)n, time_ns};
	AUTO_FREE uint8_t *record = NULL;

	assert(tag == 1 || tag == 2);
	if (n == 0)
		return 0;
	if (n > UINT32_MAX)
		return err_set(err, ERR_LIMIT, "%s: a record of %zu bytes", l->path, n);
	if (l->end.head_n && log_begin_run(l, nobody, 0, err) < 0)
		return -1;
	record = xmalloc(HEADER + n); /* in one write, or a crash could leave half of it */
	header_encode(record, &h);
	memcpy(record + HEADER, p, n);
	if (append_bytes(l, record, HEADER + n, err) < 0)
		return -1;
	l->run_start += HEADER + n;
	l->end.start = l->size;
	l->end.output = true;
	wake_followers(l);
	return 0;
}

uint64_t log_size(const struct log *l)
{
	return l->size;
}

bool log_has_output(const struct log *l)
{
	return l->end.output;
}

/* ---- raw cursor --------------------------------------------------------------------------------- */

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

static void cursor_rewind(struct log_cursor *c)
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
		r = read_at(c->log, c->pos, c->mem, rest < CURSOR_BUFFER ? (size_t)rest : CURSOR_BUFFER, err);
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

/* The next piece before file offset `end`, also markers (tag 0, no bytes). Answers as log_cursor_next. */
static int cursor_piece(struct log_cursor *c, uint64_t end, const uint8_t **ret_p, size_t *ret_n,
			struct err *err)
{
	const uint8_t *p;
	size_t n;

	while (!c->left) {
		if (c->pos + HEADER > end)
			return 0;
		p = cursor_peek(c, HEADER, &n, err);
		if (!p)
			return -1;
		if (!header_decode(p, &c->h))
			return err_set(err, ERR_SYSTEM, "%s is damaged at %" PRIu64, c->log->path, c->pos);
		if (c->h.tag == TAG_MARKER) {
			if (c->pos + MARKER > end)
				return 0;
			c->pos += MARKER;
			*ret_n = 0;
			return 1;
		}
		c->record = c->pos;
		c->pos += HEADER;
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

static void cursor_rest(struct log_cursor *c)
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
		r = cursor_piece(c, c->log->size, ret_p, ret_n, err);
	while (r == 1 && c->h.tag == TAG_MARKER);
	if (r == 0)
		cursor_rest(c);
	if (r == 1) {
		*ret_tag = c->h.tag;
		*ret_time_ns = c->h.time_ns;
	}
	return r;
}

/* ---- line cursor -------------------------------------------------------------------------------- */

/* The line that a stream is in: what of it is read, but neither ended nor long enough to be cut. */
struct line {
	uint8_t *mem;      /* LOG_LINE_MAX; NULL while there is no need */
	size_t n;
	int64_t time_ns;   /* of the first byte, kept over all pieces of a long line */
	bool begun;        /* there was a first byte */
};

enum phase { COUNTING, READING, DONE };

struct log_lines {
	struct log_cursor *cursor;
	struct log_query q;
	size_t prefix_len;
	enum phase phase;
	uint64_t count_end;          /* COUNTING: the file as it was when it began */
	uint64_t count;              /* COUNTING: entries seen */
	uint64_t skip;               /* READING: entries that tail leaves out */
	struct line line[2];         /* stdout, stderr */
	const uint8_t *p;            /* the piece in hand, borrowed from the cursor */
	size_t n;
	unsigned flush;              /* streams whose open line ends here: bit 0 stdout, bit 1 stderr */
	uint8_t *out;                /* prefix and line put together; NULL until needed */
};

/* An entry is what json-file would write as one: a line, or LOG_LINE_MAX bytes of a longer one. */
struct entry {
	uint8_t tag;
	int64_t time_ns;
	const uint8_t *head, *tail;  /* what was kept, what is new */
	size_t head_n, tail_n;
};

struct log_lines *log_lines_new(struct log *l, const struct log_query *q)
{
	struct log_lines *c = xcalloc(1, sizeof(*c));

	c->cursor = log_cursor_new(l, LOG_FROM_START);
	c->q = *q;
	c->prefix_len = (q->timestamps ? STAMP_LEN : 0) + (q->details ? strlen(q->details) : 0);
	c->phase = q->tail >= 0 ? COUNTING : READING;
	c->count_end = l->size;
	return c;
}

void log_lines_follow(struct log_lines *c, void (*wake)(void *ctx), void *ctx)
{
	log_cursor_follow(c->cursor, wake, ctx);
}

static void lines_forget(struct log_lines *c)
{
	for (int i = 0; i < 2; i++) {
		free(c->line[i].mem);
		c->line[i] = (struct line){0};
	}
	c->n = 0;
	c->flush = 0;
}

void log_lines_free(struct log_lines *c)
{
	if (!c)
		return;
	lines_forget(c);
	log_cursor_free(c->cursor);
	free(c->out);
	free(c);
}

static void line_keep(struct log_lines *c, struct line *line, const uint8_t *p, size_t n)
{
	if (c->phase != COUNTING) { /* a count needs no bytes */
		if (!line->mem)
			line->mem = xmalloc(LOG_LINE_MAX);
		memcpy(line->mem + line->n, p, n);
	}
	line->n += n;
}

/* Take one entry out of the piece in hand; false: it is used up before one ends. */
static bool take_entry(struct log_lines *c, struct entry *ret)
{
	struct line *line = &c->line[c->cursor->h.tag - 1];
	size_t room = LOG_LINE_MAX - line->n, k = c->n < room ? c->n : room;
	const uint8_t *newline = memchr(c->p, '\n', k), *p = c->p;

	if (!line->begun) {
		line->begun = true;
		line->time_ns = c->cursor->h.time_ns;
	}
	if (newline)
		k = (size_t)(newline - p) + 1;
	c->p += k;
	c->n -= k;
	if (!newline && k < room) {
		line_keep(c, line, p, k);
		return false;
	}
	*ret = (struct entry){c->cursor->h.tag, line->time_ns, line->mem, p, line->n, k};
	line->n = 0; /* line->mem stays until the caller is done with the entry */
	line->begun = !newline;
	return true;
}

/* The streams' open lines end without a newline: the run is over. */
static bool flush_entry(struct log_lines *c, struct entry *ret)
{
	while (c->flush) {
		int i = c->flush & 1 ? 0 : 1;
		struct line *line = &c->line[i];

		c->flush &= ~(1U << i);
		line->begun = false;
		if (!line->n)
			continue;
		*ret = (struct entry){(uint8_t)(i + 1), line->time_ns, line->mem, NULL, line->n, 0};
		line->n = 0;
		return true;
	}
	return false;
}

/* 1: an entry; 0: the end for now; 3: enough for one call; -1: error. */
static int next_entry(struct log_lines *c, bool final, size_t *budget, struct entry *ret, struct err *err)
{
	uint64_t end = c->phase == COUNTING ? c->count_end : c->cursor->log->size;
	bool flushed = false;
	int r;

	for (;;) {
		if (flush_entry(c, ret) || (c->n && take_entry(c, ret)))
			return 1;
		if (*budget == 0)
			return 3;
		r = cursor_piece(c->cursor, end, &c->p, &c->n, err);
		if (r < 0)
			return -1;
		if (r == 1 && c->cursor->h.tag != TAG_MARKER) {
			*budget -= *budget < c->n + HEADER ? *budget : c->n + HEADER;
			continue;
		}
		if (r == 0 && (!final || flushed))
			return 0;
		c->flush = 3;
		flushed = r == 0;
	}
}

/* First pass, for tail: how many entries there are. Then from the start again. */
static int count_entries(struct log_lines *c, bool final, size_t *budget, struct err *err)
{
	struct entry e;
	int r;

	while ((r = next_entry(c, final, budget, &e, err)) == 1)
		c->count++;
	if (r != 0)
		return r;
	c->skip = c->count > (uint64_t)c->q.tail ? c->count - (uint64_t)c->q.tail : 0;
	lines_forget(c);
	cursor_rewind(c->cursor);
	c->phase = READING;
	return 0;
}

static void put_together(struct log_lines *c, const struct entry *e, const uint8_t **ret_p, size_t *ret_n)
{
	uint8_t *p;
	char stamp[CLOCK_RFC3339_MAX];

	if (!c->prefix_len && !e->head_n) {
		*ret_p = e->tail;
		*ret_n = e->tail_n;
		return;
	}
	if (!c->out)
		c->out = xmalloc(c->prefix_len + LOG_LINE_MAX);
	p = c->out;
	if (c->q.timestamps) {
		clock_format(e->time_ns, 1, stamp);
		p = mempcpy(p, stamp, STAMP_LEN - 1);
		*p++ = ' ';
	}
	if (c->q.details)
		p = mempcpy(p, c->q.details, c->prefix_len - (size_t)(p - c->out));
	if (e->head_n)
		p = mempcpy(p, e->head, e->head_n);
	if (e->tail_n)
		p = mempcpy(p, e->tail, e->tail_n);
	*ret_p = c->out;
	*ret_n = (size_t)(p - c->out);
}

static void lines_rest(struct log_lines *c)
{
	cursor_rest(c->cursor);
	free(c->out);
	c->out = NULL;
	for (int i = 0; i < 2; i++) {
		if (c->line[i].n)
			continue;
		free(c->line[i].mem);
		c->line[i].mem = NULL;
	}
}

int log_lines_next(struct log_lines *c, bool final, uint8_t *ret_tag, const uint8_t **ret_p, size_t *ret_n,
		   struct err *err)
{
	size_t budget = LOG_READ_SLICE;
	struct entry e;
	int r;

	if (c->phase == COUNTING && (r = count_entries(c, final, &budget, err)) != 0)
		return r;
	if (c->phase == DONE)
		return 2;
	while ((r = next_entry(c, final, &budget, &e, err)) == 1) {
		if (c->skip) {
			c->skip--;
			continue;
		}
		if (c->q.since_ns && e.time_ns < c->q.since_ns)
			continue;
		if (c->q.until_ns && e.time_ns > c->q.until_ns) {
			c->phase = DONE;
			lines_rest(c);
			return 2;
		}
		if (!(e.tag == 1 ? c->q.want_stdout : c->q.want_stderr))
			continue;
		put_together(c, &e, ret_p, ret_n);
		*ret_tag = e.tag;
		return 1;
	}
	if (r == 0)
		lines_rest(c);
	return r;
}
