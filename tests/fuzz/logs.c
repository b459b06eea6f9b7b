/* fuzz: the container log's file format and the bytes an agent sends for it.
 * Byte 0 chooses: even, the rest is a file found on the disk; odd, the rest is a stream that is
 * appended in chunks, with restarts of the gateway between them. Whatever it is: opening is
 * idempotent, mending loses no byte, and line by line is the same as piece by piece. */
#include "base/log.h"
#undef log_error
#define log_error(...) ((void)0)
#include "state/logs.c"

#include <sys/mman.h>

#include "check.h"

/* What a stream has printed, as length and FNV-1a hash. */
struct printed {
	uint64_t n, hash;
};

static void printed_add(struct printed *to, const uint8_t *p, size_t n)
{
	to->n += n;
	for (size_t i = 0; i < n; i++)
		to->hash = (to->hash ^ p[i]) * 1099511628211ULL;
}

static void read_pieces(struct log *l, struct printed out[3])
{
	struct log_cursor *c = log_cursor_new(l, LOG_FROM_START);
	const uint8_t *p;
	uint8_t tag;
	int64_t t;
	size_t n;
	int r;

	memset(out, 0, 3 * sizeof(out[0]));
	while ((r = log_cursor_next(c, &tag, &t, &p, &n, NULL)) == 1) {
		CHECK(tag == 1 || tag == 2);
		CHECK(n > 0);
		printed_add(&out[tag], p, n);
	}
	CHECK(r == 0);
	log_cursor_free(c);
}

/* The number of entries. */
static uint64_t read_lines(struct log *l, const struct log_query *q, struct printed out[3])
{
	size_t prefix = (q->timestamps ? sizeof("2006-01-02T15:04:05.000000000Z") : 0) + (q->details ? strlen(q->details) : 0);
	struct log_lines *c = log_lines_new(l, q);
	const uint8_t *p;
	uint8_t tag;
	size_t n;
	uint64_t count = 0;
	int r;

	memset(out, 0, 3 * sizeof(out[0]));
	while ((r = log_lines_next(c, true, &tag, &p, &n, NULL)) == 1 || r == 3) {
		if (r == 3)
			continue;
		CHECK(tag == 1 || tag == 2);
		CHECK(n > 0 && n <= LOG_LINE_MAX + prefix);
		printed_add(&out[tag], p, n);
		count++;
	}
	CHECK(r == 0 || (r == 2 && q->until_ns));
	log_lines_free(c);
	return count;
}

static void check_readers(struct log *l)
{
	struct log_query q = {.want_stdout = true, .want_stderr = true, .tail = -1};
	struct printed pieces[3], lines[3];
	uint64_t count;

	read_pieces(l, pieces);
	count = read_lines(l, &q, lines);
	CHECK(memcmp(pieces, lines, sizeof(pieces)) == 0);
	for (q.tail = 0; q.tail < 4; q.tail++)
		CHECK(read_lines(l, &q, lines) == (count < (uint64_t)q.tail ? count : (uint64_t)q.tail));
	q = (struct log_query){.want_stderr = true, .timestamps = true, .details = "k=v ", .tail = 2,
			       .since_ns = 5, .until_ns = 1000};
	read_lines(l, &q, lines);
}

static struct log *reopen(struct log *l, const char *path)
{
	uint64_t size = log_size(l);
	uint8_t boot[LOG_BOOT_ID_LEN];
	int64_t at;

	memcpy(boot, l->boot_id, sizeof(boot));
	at = log_run_position(l, boot);
	log_close(l);
	l = log_open(path, NULL);
	CHECK(l && log_size(l) == size && log_run_position(l, boot) == at);
	return l;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t boot[LOG_BOOT_ID_LEN] = {1}, next_boot[LOG_BOOT_ID_LEN] = {2};
	struct printed before[3], after[3];
	bool stream = size && data[0] & 1;
	char path[32];
	struct log *l;
	int fd;

	if (size < 1)
		return 0;
	fd = memfd_create("log", MFD_CLOEXEC);
	CHECK(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (!stream)
		CHECK(write(fd, data + 1, size - 1) == (ssize_t)(size - 1));
	l = log_open(path, NULL);
	CHECK(l);
	if (stream) {
		size_t chunk = 1 + data[0] / 2, taken = 0;

		CHECK(log_begin_run(l, boot, 0, NULL) == 0);
		for (size_t at = 1; at < size; at += chunk) {
			size_t n = size - at < chunk ? size - at : chunk;

			if (log_append(l, data + at, n, NULL) < 0)
				break;
			taken += n;
			if (at < 64) /* enough to meet every field of a header */
				l = reopen(l, path);
			CHECK(log_run_position(l, boot) == (int64_t)taken);
		}
	}
	l = reopen(l, path);
	check_readers(l);
	read_pieces(l, before);
	CHECK(log_begin_run(l, next_boot, 7, NULL) == 0);
	CHECK(log_append_record(l, 1, 1, "x", 1, NULL) == 0);
	CHECK(log_run_position(l, next_boot) == 7);
	printed_add(&before[1], (const uint8_t *)"x", 1);
	read_pieces(l, after);
	CHECK(memcmp(before, after, sizeof(before)) == 0);
	l = reopen(l, path);
	check_readers(l);
	log_close(l);
	close(fd);
	return 0;
}
