/* log_lines - a container's log as docker logs shows it: lines, cut as dockerd's json-file driver cuts
 * them, with tail, since, until, timestamps and details; see logs.h. */
#include "state/log_file.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define STAMP_LEN 31 /* "2006-01-02T15:04:05.000000000Z " */

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
	uint64_t first_end;          /* the file as it was when it began: the end for COUNTING, and for as_it_is */
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
	c->cursor->pinned = c->phase == COUNTING;
	c->first_end = l->size;
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
	uint64_t end = c->phase == COUNTING || c->q.as_it_is ? c->first_end : c->cursor->log->size;
	bool flushed = false;
	int r;

	for (;;) {
		if (flush_entry(c, ret) || (c->n && take_entry(c, ret)))
			return 1;
		if (*budget == 0)
			return 3;
		r = log_cursor_piece(c->cursor, end, &c->p, &c->n, err);
		if (r < 0)
			return -1;
		if (r == 1 && c->cursor->h.tag != LOG_TAG_MARKER) {
			*budget -= *budget < c->n + LOG_HEADER ? *budget : c->n + LOG_HEADER;
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
	log_cursor_rewind(c->cursor);
	c->phase = READING;
	c->cursor->pinned = false;
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
	log_cursor_rest(c->cursor);
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

/* ---- another process image ------------------------------------------------------------------------- */

/* A count is soon over, and nothing of it has been shown. */
bool log_lines_can_save(const struct log_lines *c)
{
	return c->phase != COUNTING;
}

void log_lines_save(const struct log_lines *c, struct pack *p)
{
	log_cursor_save(c->cursor, c->n, p);
	pack_num(p, c->phase == DONE);
	pack_num(p, c->skip);
	pack_num(p, c->flush);
	for (int i = 0; i < 2; i++) {
		pack_bytes(p, c->line[i].mem, c->line[i].mem ? c->line[i].n : 0);
		pack_num(p, (uint64_t)c->line[i].time_ns);
		pack_num(p, c->line[i].begun);
	}
}

static void restore_line(struct line *line, struct unpack *u)
{
	size_t n;
	const uint8_t *kept = unpack_bytes(u, &n);

	line->time_ns = (int64_t)unpack_num(u);
	line->begun = unpack_num(u);
	u->bad |= n > LOG_LINE_MAX;
	if (u->bad || !n)
		return;
	line->mem = xmalloc(LOG_LINE_MAX);
	memcpy(line->mem, kept, n);
	line->n = n;
}

struct log_lines *log_lines_restore(struct log *l, const struct log_query *q, struct unpack *u)
{
	struct log_lines *c = log_lines_new(l, q);

	log_cursor_free(c->cursor);
	c->cursor = log_cursor_restore(l, u);
	c->phase = unpack_num(u) ? DONE : READING;
	c->skip = unpack_num(u);
	c->flush = (unsigned)unpack_num(u) & 3;
	for (int i = 0; i < 2; i++)
		restore_line(&c->line[i], u);
	if (!u->bad)
		return c;
	log_lines_free(c);
	return NULL;
}
