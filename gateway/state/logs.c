/* logs - opening and writing a container's log file; see logs.h and log_file.h.
 * All writing is at `size`, by one writer; what a failed write left behind it is cut off or
 * overwritten. What an agent sends is checked before it is written, so a file that does not parse was
 * damaged on the disk: it is cut there, and said. */
#include "state/log_file.h"

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

#define SCAN_BUFFER (1024 * 1024)
#define FILES_OPEN 256 /* at once: of ten thousand containers nearly all are silent */

/* ---- the record format -------------------------------------------------------------------------- */

void log_header_encode(uint8_t out[LOG_HEADER], const struct log_header *h)
{
	uint32_t len = htobe32(h->len);
	uint64_t t = htobe64((uint64_t)h->time_ns);

	memcpy(out, (uint8_t[]){h->tag, h->flags, 0, 0}, 4);
	memcpy(out + 4, &len, sizeof(len));
	memcpy(out + 8, &t, sizeof(t));
}

bool log_header_decode(const uint8_t p[LOG_HEADER], struct log_header *ret)
{
	uint32_t len;
	uint64_t t;

	memcpy(&len, p + 4, sizeof(len));
	memcpy(&t, p + 8, sizeof(t));
	*ret = (struct log_header){p[0], p[1], be32toh(len), (int64_t)be64toh(t)};
	if (p[2] || p[3])
		return false;
	if (ret->tag == LOG_TAG_MARKER)
		return ret->flags == LOG_FLAG_TIMED && ret->len >= LOG_MARKER_PAYLOAD;
	return ret->tag <= 2 && (ret->flags & ~LOG_FLAG_OWN) == LOG_FLAG_TIMED;
}

int log_frontier_walk(struct log_frontier *f, uint64_t at, const uint8_t *p, size_t n)
{
	struct log_header h;
	size_t k;

	for (; n; p += k, n -= k, at += k) {
		if (f->head_n == LOG_HEADER) {
			k = f->left < n ? f->left : n;
			f->left -= (uint32_t)k;
			f->output = true;
		} else {
			k = LOG_HEADER - f->head_n < n ? LOG_HEADER - f->head_n : n;
			memcpy(f->head + f->head_n, p, k);
			f->head_n += k;
			if (f->head_n < LOG_HEADER)
				continue;
			if (!log_header_decode(f->head, &h) || h.tag == LOG_TAG_MARKER || h.flags & LOG_FLAG_OWN)
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

/* ---- descriptors -------------------------------------------------------------------------------- */

static struct log *open_logs; /* the one used last is at the end; one list for all, as all is one thread */
static unsigned n_open;

static void rest(struct log *l)
{
	if (l->fd < 0)
		return;
	close(l->fd);
	l->fd = -1;
	if (l->unlinked)
		return;
	DL_DELETE(open_logs, l);
	n_open--;
}

static void in_use(struct log *l)
{
	DL_APPEND(open_logs, l);
	if (++n_open > FILES_OPEN)
		rest(open_logs);
}

int log_fd(struct log *l, struct err *err)
{
	if (open_logs && open_logs->prev == l)
		return l->fd;
	if (l->unlinked)
		return l->fd >= 0 ? l->fd : err_set(err, ERR_SYSTEM, "%s is removed", l->path);
	if (l->fd >= 0) {
		DL_DELETE(open_logs, l);
		DL_APPEND(open_logs, l);
		return l->fd;
	}
	l->fd = open(l->path, O_RDWR | O_CLOEXEC);
	if (l->fd < 0)
		return err_sys(err, errno, "open %s", l->path);
	in_use(l);
	return l->fd;
}

/* ---- opening ------------------------------------------------------------------------------------ */

ssize_t log_read_at(struct log *l, uint64_t pos, void *p, size_t n, struct err *err)
{
	int fd = log_fd(l, err);
	size_t got = 0;

	while (fd >= 0 && got < n) {
		ssize_t r = pread(fd, (uint8_t *)p + got, n - got, (off_t)(pos + got));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return err_sys(err, errno, "read %s", l->path);
		if (r == 0)
			break;
		got += (size_t)r;
	}
	return fd < 0 ? -1 : (ssize_t)got;
}

static int cut(struct log *l, uint64_t size, struct err *err)
{
	int fd = log_fd(l, err);

	if (fd < 0)
		return -1;
	if (ftruncate(fd, (off_t)size) < 0)
		return err_sys(err, errno, "truncate %s", l->path);
	l->size = size;
	return 0;
}

static void adopt_run(struct log *l, const uint8_t payload[LOG_MARKER_PAYLOAD], uint64_t start)
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
	struct log_header h;

	*ret_next = l->size;
	if (n < LOG_HEADER) {
		memcpy(l->end.head, p, n);
		l->end.head_n = n;
		return 0;
	}
	if (!log_header_decode(p, &h)) {
		log_error("container log is damaged, cut there", "path=%s at=%" PRIu64 " dropped=%" PRIu64,
			  l->path, pos, rest);
		*ret_next = pos;
		return cut(l, pos, err);
	}
	whole = LOG_HEADER + (uint64_t)h.len;
	if (whole > rest && (h.tag == LOG_TAG_MARKER || h.flags & LOG_FLAG_OWN)) {
		/* Our own write did not finish, so nobody was told of it. */
		*ret_next = pos;
		return cut(l, pos, err);
	}
	if (h.tag != LOG_TAG_MARKER && h.len && rest > LOG_HEADER)
		l->end.output = true;
	if (whole > rest) {
		memcpy(l->end.head, p, LOG_HEADER);
		l->end.head_n = LOG_HEADER;
		l->end.left = (uint32_t)(whole - rest);
		return 0;
	}
	*ret_next = pos + whole;
	if (h.tag == LOG_TAG_MARKER)
		adopt_run(l, p + LOG_HEADER, *ret_next);
	if (h.tag == LOG_TAG_MARKER && h.len > LOG_MARKER_PAYLOAD) {
		l->rotation.base = pos;
		l->rotation.first = *ret_next;
	}
	else if (h.flags & LOG_FLAG_OWN)
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
		size_t want = l->size - pos < LOG_MARKER ? (size_t)(l->size - pos) : LOG_MARKER;

		if (pos + want > mem_pos + mem_n) {
			ssize_t r = log_read_at(l, pos, mem, room, err);

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

	buf_init(&l->held, LOG_HELD_MAX);
	l->path = xstrdup(path);
	l->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (l->fd < 0 || fstat(l->fd, &st) < 0) {
		err_sys(err, errno, "open %s", path);
		if (l->fd >= 0)
			close(steal_fd(&l->fd));
		goto fail;
	}
	in_use(l);
	l->size = (uint64_t)st.st_size;
	if (scan(l, err) < 0)
		goto fail;
	return l;
fail:
	log_close(l);
	return NULL;
}

void log_free(struct log *l)
{
	rest(l);
	free(l->path);
	free(l->rotation.checkpoints);
	log_forget(l);
	buf_release(&l->held);
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
	if (l->unlinked)
		return;
	if (log_fd(l, NULL) >= 0) { /* who still reads it needs no name */
		DL_DELETE(open_logs, l);
		n_open--;
	}
	l->unlinked = true;
	(void) unlink(l->path);
}

/* ---- writing ------------------------------------------------------------------------------------ */

int log_write_at(struct log *l, uint64_t pos, const void *p, size_t n, struct err *err)
{
	int fd = log_fd(l, err);
	size_t put = 0;

	while (fd >= 0 && put < n) {
		ssize_t w = pwrite(fd, (const uint8_t *)p + put, n - put, (off_t)(pos + put));

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return err_sys(err, errno, "write %s", l->path);
		put += (size_t)w;
	}
	return fd < 0 ? -1 : 0;
}

static int append_bytes(struct log *l, const void *p, size_t n, struct err *err)
{
	if (log_write_at(l, l->size, p, n, err) < 0) {
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
	return log_write_at(l, l->end.start + 4, &len, sizeof(len), err);
}

/* Close the unfinished record where it is. Cursors may be in the middle of it. */
static int mend(struct log *l, struct err *err)
{
	struct log_cursor *c;
	struct log_header h;

	if (!l->end.head_n)
		return 0;
	if (l->size <= l->end.start + LOG_HEADER) { /* not one byte of payload: it never was */
		if (cut(l, l->end.start, err) < 0)
			return -1;
	} else {
		(void) log_header_decode(l->end.head, &h);
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
	struct log_header h = {LOG_TAG_MARKER, LOG_FLAG_TIMED, LOG_MARKER_PAYLOAD, clock_wall_ns()};
	uint8_t marker[LOG_MARKER];
	uint64_t be_offset = htobe64(offset);

	log_header_encode(marker, &h);
	memcpy(marker + LOG_HEADER, boot_id, LOG_BOOT_ID_LEN);
	memcpy(marker + LOG_HEADER + LOG_BOOT_ID_LEN, &be_offset, sizeof(be_offset));
	if (mend(l, err) < 0)
		return -1;
	l->torn = false;
	buf_consume(&l->held, l->held.len);
	if (offset == 0)
		log_forget(l); /* all of it comes again */
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
	adopt_run(l, marker + LOG_HEADER, l->size);
	return 0;
}

int log_append(struct log *l, const void *p, size_t n, struct err *err)
{
	struct log_frontier end = l->end;

	if (!l->has_run)
		return err_set(err, ERR_INVALID, "%s: output outside of a run", l->path);
	if (l->torn)
		return log_torn_append(l, p, n, err);
	if (log_frontier_walk(&end, l->size, p, n) < 0)
		return err_set(err, ERR_INVALID, "%s: the output is not a sequence of records", l->path);
	if (append_bytes(l, p, n, err) < 0)
		return -1;
	l->end = end;
	wake_followers(l);
	log_rotate(l);
	return 0;
}

int log_append_record(struct log *l, uint8_t tag, int64_t time_ns, const void *p, size_t n, struct err *err)
{
	static const uint8_t nobody[LOG_BOOT_ID_LEN];
	struct log_header h = {tag, LOG_FLAG_TIMED | LOG_FLAG_OWN, (uint32_t)n, time_ns};
	AUTO_FREE uint8_t *record = NULL;

	assert(tag == 1 || tag == 2);
	if (n == 0)
		return 0;
	if (n > UINT32_MAX)
		return err_set(err, ERR_LIMIT, "%s: a record of %zu bytes", l->path, n);
	if (l->end.head_n && log_begin_run(l, nobody, 0, err) < 0)
		return -1;
	record = xmalloc(LOG_HEADER + n); /* in one write, or a crash could leave half of it */
	log_header_encode(record, &h);
	memcpy(record + LOG_HEADER, p, n);
	if (append_bytes(l, record, LOG_HEADER + n, err) < 0)
		return -1;
	l->run_start += LOG_HEADER + n;
	l->end.start = l->size;
	l->end.output = true;
	wake_followers(l);
	log_rotate(l);
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
