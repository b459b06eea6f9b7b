/* log_rotate - json-file's max-size and max-file. A segment ends with the record that fills it; when there
 * are too many, the oldest becomes a hole in the file behind a long marker, so that positions, and with
 * them cursors and the tunnel's offsets, stay what they are. A reader that has not got so far holds the
 * bytes it still wants: nothing is taken from under it. */
#include "state/log_file.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

void log_set_rotation(struct log *l, uint64_t segment, unsigned max_segments)
{
	struct log_rotation *r = &l->rotation;

	assert(max_segments >= 1 && max_segments <= LOG_SEGMENTS_MAX);
	r->segment = segment && segment < LOG_SEGMENT_MIN ? LOG_SEGMENT_MIN :
		     segment > LOG_SEGMENT_MAX ? LOG_SEGMENT_MAX : segment;
	r->max_segments = max_segments;
	if (!r->checkpoints)
		r->checkpoints = xcalloc(LOG_SEGMENTS_MAX, sizeof(*r->checkpoints));
}

static void note_segment(struct log *l)
{
	struct log_rotation *r = &l->rotation;
	uint64_t last = r->n ? r->checkpoints[r->n - 1].pos : r->first;
	struct log_checkpoint *cp = &r->checkpoints[r->n];

	if (l->end.start - last < r->segment || r->n == LOG_SEGMENTS_MAX)
		return;
	*cp = (struct log_checkpoint){.pos = l->end.start};
	if (l->has_run) {
		cp->offset = l->run_offset + l->end.start - l->run_start;
		memcpy(cp->boot_id, l->boot_id, LOG_BOOT_ID_LEN);
	}
	r->n++;
}

static bool somebody_reads_before(const struct log *l, uint64_t pos)
{
	const struct log_cursor *c;

	DL_FOREACH(l->cursors, c)
		if (c->pinned || c->pos < pos)
			return true;
	return false;
}

/* One write, smaller than a page: a crash leaves the old marker or the new one. */
static int cover(struct log *l, const struct log_checkpoint *cp, struct err *err)
{
	struct log_rotation *r = &l->rotation;
	uint64_t base = cp->pos - r->base - LOG_HEADER <= UINT32_MAX ? r->base : r->first;
	struct log_header h = {LOG_TAG_MARKER, LOG_FLAG_TIMED, (uint32_t)(cp->pos - base - LOG_HEADER), clock_wall_ns()};
	uint64_t offset = htobe64(cp->offset);
	uint8_t marker[LOG_MARKER];

	log_header_encode(marker, &h);
	memcpy(marker + LOG_HEADER, cp->boot_id, LOG_BOOT_ID_LEN);
	memcpy(marker + LOG_HEADER + LOG_BOOT_ID_LEN, &offset, sizeof(offset));
	if (log_write_at(l, base, marker, sizeof(marker), err) < 0)
		return -1;
	r->base = base;
	r->first = cp->pos;
	/* Where the file system has no holes the bytes stay, unseen. */
	if (fallocate(log_fd(l, NULL), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(base + LOG_MARKER),
		      (off_t)(cp->pos - base - LOG_MARKER)) < 0 && errno != EOPNOTSUPP)
		log_warn("log rotated, but its space is not given back", "path=%s error=\"%s\"", l->path, strerror(errno));
	return 0;
}

void log_rotate(struct log *l)
{
	struct log_rotation *r = &l->rotation;
	struct log_checkpoint *cp = r->checkpoints;
	struct err err;

	if (!r->segment)
		return;
	note_segment(l);
	while (r->n >= r->max_segments && r->n && !somebody_reads_before(l, cp->pos)) {
		if (cover(l, cp, &err) < 0) {
			log_warn("log not rotated", "path=%s error=\"%s\"", l->path, err.msg);
			return;
		}
		r->n--;
		memmove(cp, cp + 1, r->n * sizeof(*cp));
	}
}
