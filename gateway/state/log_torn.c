/* log_torn - a run whose beginning was in a log that is lost with its disk. Its agent goes on where it was told that all
 * had arrived, which may be within a record; and what came before is known from Cloud Logging, which overlaps with what
 * the agent still has. So the bytes are held until a record's header is found among them, and what is remembered is
 * cut where that record's first line appears in it. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "state/log_file.h"

#define MEMORIES_MAX 1000000
#define RECORD_MAX (1024 * 1024)
#define YEAR_2020_NS (1577836800LL * 1000000000)
#define DAY_NS (86400LL * 1000000000)
#define SKEW_NS 50000000 /* of Cloud Run's clock and the agent's */

void log_remember(struct log *l, uint8_t tag, int64_t time_ns, const void *p, size_t n)
{
	if (n == 0 || l->n_memories == MEMORIES_MAX)
		return;
	if ((l->n_memories & (l->n_memories + 1)) == 0)
		l->memories = xrealloc(l->memories, (2 * l->n_memories + 2) * sizeof(*l->memories));
	l->memories[l->n_memories++] = (struct log_memory){tag, time_ns, xmemdup(p, n), n};
}

static void forget_first(struct log *l, size_t count)
{
	if (count == 0)
		return;
	for (size_t i = 0; i < count; i++)
		free(l->memories[i].p);
	l->n_memories -= count;
	memmove(l->memories, l->memories + count, l->n_memories * sizeof(*l->memories));
}

void log_forget(struct log *l)
{
	forget_first(l, l->n_memories);
	free(l->memories);
	l->memories = NULL;
}

/* What cannot be written stays. */
static int write_memories(struct log *l, size_t count, struct err *err)
{
	size_t i = 0;
	int rc = 0;

	for (; i < count && rc == 0; i += rc == 0) {
		struct log_memory *m = &l->memories[i];

		rc = log_append_record(l, m->tag, m->time_ns, m->p, m->n, err);
	}
	forget_first(l, i);
	return rc;
}

static bool is_header(const struct log *l, const uint8_t *p, size_t n, struct log_header *ret)
{
	struct log_frontier f = {0};

	return n >= LOG_HEADER && log_header_decode(p, ret) && ret->tag != LOG_TAG_MARKER && !(ret->flags & LOG_FLAG_OWN) &&
	       ret->len > 0 && ret->len <= RECORD_MAX && ret->time_ns > YEAR_2020_NS &&
	       ret->time_ns < clock_wall_ns() + DAY_NS && log_frontier_walk(&f, l->size, p, n) == 0;
}

/* How many memories come before a record with this header, of whose payload n bytes are there. */
static size_t memories_before(const struct log *l, const struct log_header *h, const uint8_t *payload, size_t n)
{
	const uint8_t *newline = memchr(payload, '\n', n);
	size_t line = newline ? (size_t)(newline + 1 - payload) : n;

	for (size_t i = 0; i < l->n_memories; i++) {
		const struct log_memory *m = &l->memories[i];

		if (m->time_ns >= h->time_ns - SKEW_NS && m->tag == h->tag && line > 0 &&
		    memcmp(m->p, payload, line < m->n ? line : m->n) == 0)
			return i;
	}
	return l->n_memories;
}

/* The first `skipped` held bytes are the end of a record whose beginning is lost; the rest, if any, is records. On
 * failure what is not in the log is held on, but for the last `fresh` bytes, which the agent will send again. */
static int take_held(struct log *l, size_t skipped, size_t fresh, int64_t time_ns, struct err *err)
{
	bool remembered = l->n_memories > 0;
	uint64_t offset = l->run_offset;
	AUTO_FREE uint8_t *rest = NULL;
	size_t n = l->held.len - skipped;
	uint8_t boot_id[LOG_BOOT_ID_LEN];

	/* Which of the two outputs it is was said in its header. What was remembered has it already. */
	if (write_memories(l, l->n_memories, err) < 0 ||
	    (skipped && !remembered && log_append_record(l, 1, time_ns, buf_head(&l->held), skipped, err) < 0)) {
		l->held.len -= fresh;
		return -1;
	}
	if (n)
		rest = xmemdup(buf_head(&l->held) + skipped, n);
	memcpy(boot_id, l->boot_id, sizeof(boot_id));
	if (log_begin_run(l, boot_id, offset + skipped, err) < 0) {
		l->held.len -= fresh;
		return -1;
	}
	if (n == 0 || log_append(l, rest, n, err) == 0)
		return 0;
	if (n > fresh)
		buf_append(&l->held, rest, n - fresh);
	l->torn = true;
	return -1;
}

int log_torn_append(struct log *l, const void *p, size_t n, struct err *err)
{
	size_t k = 0;
	bool found;
	struct log_header h = {0};

	if (buf_append(&l->held, p, n) < 0)
		return err_set(err, ERR_LIMIT, "%s: no record begins in %d bytes", l->path, LOG_HELD_MAX);
	while (k + LOG_HEADER <= l->held.len && !is_header(l, buf_head(&l->held) + k, l->held.len - k, &h))
		k++;
	found = k + LOG_HEADER <= l->held.len;
	if (!found) {
		if (l->held.len < LOG_HELD_MAX / 2)
			return 0;
		k = l->held.len; /* no agent of ours, or it has printed this very thing */
		h.time_ns = clock_wall_ns();
	} else {
		const uint8_t *payload = buf_head(&l->held) + k + LOG_HEADER;
		size_t there = l->held.len - k - LOG_HEADER;
		size_t keep = memories_before(l, &h, payload, there < h.len ? there : h.len);

		while (l->n_memories > keep)
			free(l->memories[--l->n_memories].p);
	}
	if (take_held(l, k, n, h.time_ns, err) < 0)
		return -1;
	l->torn = !found;
	return 0;
}

void log_settle(struct log *l)
{
	bool torn = l->torn;
	struct err err = {0};

	if (!l->n_memories && !l->held.len)
		return;
	if (torn ? take_held(l, l->held.len, 0, clock_wall_ns(), &err) < 0 : write_memories(l, l->n_memories, &err) < 0)
		log_error("what was printed before is not in the log", "path=%s error=\"%s\"", l->path, err.msg);
	l->torn = torn;
}

int log_resume_run(struct log *l, const uint8_t boot_id[LOG_BOOT_ID_LEN], uint64_t offset, struct err *err)
{
	if (log_begin_run(l, boot_id, offset, err) < 0)
		return -1;
	l->torn = offset > 0;
	return 0;
}
