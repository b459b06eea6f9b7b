/* log_file - what logs.c, log_cursor.c, log_lines.c and log_rotate.c share; private to them.
 *
 *   marker              record               record (torn: the run ended, or more is to come)
 *   [0 1 0 0|24|time|boot id, offset] [1 1 0 0|len|time|bytes] [2 1 0 0|len|time|byt
 *                                    ^ run_start                                    ^ size
 *   position in the stream = run_offset + size - run_start
 *
 * The second byte has bit 1 set in records of the gateway's own making: they are no part of the
 * stream, so they move run_start along. A marker longer than 24 bytes covers what rotation has taken
 * away: it begins in the middle of its run, at the offset it names. */
#ifndef STATE_LOG_FILE_H
#define STATE_LOG_FILE_H

#include "base/buf.h"
#include "state/logs.h"

#define LOG_HEADER 16
#define LOG_MARKER_PAYLOAD (LOG_BOOT_ID_LEN + 8)
#define LOG_MARKER (LOG_HEADER + LOG_MARKER_PAYLOAD)
#define LOG_TAG_MARKER 0
#define LOG_FLAG_TIMED 1
#define LOG_FLAG_OWN 2
#define LOG_HELD_MAX (1024 * 1024) /* several times an agent's longest record */

struct log_header {
	uint8_t tag, flags;
	uint32_t len;
	int64_t time_ns;
};

/* Where the sequence of records stands at the end of the file. */
struct log_frontier {
	uint64_t start;         /* of the unfinished record; the end of the file if there is none */
	uint8_t head[LOG_HEADER];   /* its header, as much as there is */
	size_t head_n;          /* 0: no unfinished record */
	uint32_t left;          /* payload still to come, once the header is whole */
	bool output;            /* at least one payload byte is in the file */
};

struct log {
	int fd;                     /* -1: closed, as others have been used since; see log_fd */
	struct log *prev, *next;    /* of those that are open */
	char *path;
	bool unlinked;              /* it has no name to open it by again */
	uint64_t size;
	struct log_frontier end;
	bool has_run;
	uint8_t boot_id[LOG_BOOT_ID_LEN];
	uint64_t run_start, run_offset;
	struct log_cursor *cursors; /* theirs */
	bool closed;                /* freed with the last cursor */
	bool torn;                  /* the run's next record is yet to be found */
	struct buf held;            /* bytes of the run that come before it */
	struct log_memory *memories; /* printed before that; ours */
	size_t n_memories;
	struct log_rotation {
		uint64_t segment;       /* 0: never rotated */
		unsigned max_segments;
		uint64_t first;         /* the first record that is kept */
		uint64_t base;          /* the marker that covers what was before it, or 0 */
		struct log_checkpoint { /* where segments begin; ours */
			uint64_t pos, offset;
			uint8_t boot_id[LOG_BOOT_ID_LEN];
		} *checkpoints;
		unsigned n;
	} rotation;
};

/* logs.c: its descriptor, opened again where it has to be; -1 with err set. Good until the next call. */
int log_fd(struct log *l, struct err *err);

/* log_torn.c; all of it in memory. */
struct log_memory {
	uint8_t tag;
	int64_t time_ns;
	uint8_t *p;
	size_t n;
};

struct log_cursor {
	struct log_cursor *prev, *next;
	struct log *log;
	uint64_t pos;           /* next byte of the file to look at */
	uint64_t record;        /* where the current record begins */
	uint32_t left;          /* of its payload; 0: pos is at a header */
	struct log_header h;
	uint8_t *mem;           /* [mem_pos, mem_pos + mem_n) of the file; freed while there is nothing to read */
	uint64_t mem_pos;
	size_t mem_n;
	void (*wake)(void *ctx);
	void *ctx;
	bool pinned;            /* it will rewind: nothing may be taken away */
	bool idle;              /* it was told "the end for now": the next bytes wake it */
};

void log_header_encode(uint8_t out[LOG_HEADER], const struct log_header *h);
bool log_header_decode(const uint8_t p[LOG_HEADER], struct log_header *ret);
ssize_t log_read_at(struct log *l, uint64_t pos, void *p, size_t n, struct err *err);
int log_write_at(struct log *l, uint64_t pos, const void *p, size_t n, struct err *err);
void log_free(struct log *l);

/* log_cursor.c. The next piece before file offset `end`, also markers (tag 0, no bytes). Answers as
 * log_cursor_next. */
int log_cursor_piece(struct log_cursor *c, uint64_t end, const uint8_t **ret_p, size_t *ret_n, struct err *err);
void log_cursor_rewind(struct log_cursor *c);
void log_cursor_rest(struct log_cursor *c);

/* Moves the frontier over stream bytes that come at file offset `at`. -1: these are no records. */
int log_frontier_walk(struct log_frontier *f, uint64_t at, const uint8_t *p, size_t n);

/* log_torn.c */
int log_torn_append(struct log *l, const void *p, size_t n, struct err *err);
void log_forget(struct log *l);

/* log_rotate.c. After every append: note where a segment ends, take away the oldest. */
void log_rotate(struct log *l);

#endif
