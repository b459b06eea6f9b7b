/* logs - what a container has printed, on disk, exactly as it came through the tunnel.
 *
 * The file is the main process's output stream, byte for byte: records of
 *     [tag][1 0 0][length u32 BE][time ns u64 BE][bytes]        tag 1 stdout, 2 stderr
 *     [tag][3 0 0] ...                                          of the gateway's own making: no part of the stream
 * and before each run of the container a marker record with tag 0 whose payload is the agent's boot
 * id and, in 8 bytes big-endian, the stream offset the run's bytes start at. So the position in the
 * tunnel's stream is a subtraction, also after a crash, also in the middle of a record.
 * Readers (docker logs, attach) are cursors on the file: a slow client costs no memory and holds up
 * nobody. Bytes are acknowledged to the agent only after write() has taken them.
 * Loop thread only; reads are from the page cache, at most LOG_READ_SLICE bytes a call. */
#ifndef STATE_LOGS_H
#define STATE_LOGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/pack.h"

#define LOG_BOOT_ID_LEN 16
#define LOG_READ_SLICE (256 * 1024)
#define LOG_LINE_MAX (16 * 1024)

struct log;
struct log *log_open(const char *path, struct err *err); /* creates; finds the last run and its position */
void log_close(struct log *l);                           /* cursors may live on: the last one frees it */
void log_unlink(struct log *l);                          /* the container is removed; log_close follows */

/* Where the run with this boot id stands: the stream offset of the next byte wanted; -1 if the file's
 * last run is another one. */
int64_t log_run_position(const struct log *l, const uint8_t boot_id[LOG_BOOT_ID_LEN]);
/* A new run begins: writes the marker. offset: stream offset of the first byte to come (normally 0;
 * higher if earlier bytes are lost, which is then visible in the file). If the former run's last
 * record was cut short, it is closed first (its length is mended) so that the file parses. */
int log_begin_run(struct log *l, const uint8_t boot_id[LOG_BOOT_ID_LEN], uint64_t offset, struct err *err);
/* The same for a run whose beginning this disk has lost (log_torn.c): the bytes to come may begin within a record, and
 * are held until one begins. What was printed before, oldest first, is remembered until it is known where it ends: at
 * that record, or when log_settle says that nothing of it is to come again. */
int log_resume_run(struct log *l, const uint8_t boot_id[LOG_BOOT_ID_LEN], uint64_t offset, struct err *err);
void log_remember(struct log *l, uint8_t tag, int64_t time_ns, const void *p, size_t n);
void log_settle(struct log *l);
/* Append stream bytes, cut anywhere; wakes followers. 0, or -1 and nothing is appended or may be
 * acknowledged: ERR_SYSTEM (disk full), ERR_INVALID (the agent sent no records, or there is no run). */
int log_append(struct log *l, const void *p, size_t n, struct err *err);
/* Append one whole record of the gateway's own making (Cloud Logging history). The run may go on
 * behind it; if its last record is unfinished the run is ended instead. */
int log_append_record(struct log *l, uint8_t tag, int64_t time_ns, const void *p, size_t n, struct err *err);
/* Keep about max_segments times `segment` bytes (record headers included), as json-file's max-size and
 * max-file do: the oldest segment goes when the last is full. 0: keep all. */
#define LOG_SEGMENT_MIN 4096
#define LOG_SEGMENT_MAX (2ull << 30)
#define LOG_SEGMENTS_MAX 1000
void log_set_rotation(struct log *l, uint64_t segment, unsigned max_segments);
uint64_t log_size(const struct log *l);
bool log_has_output(const struct log *l);

/* Raw cursor, for attach: whole records' payloads in order. */
struct log_cursor;
enum { LOG_FROM_START, LOG_FROM_NOW };
struct log_cursor *log_cursor_new(struct log *l, int from);
/* 1: the next piece (tag, pointer valid until the next call, n >= 1; a long record may come in several
 * pieces); 0: at the end for now; -1: error. */
int log_cursor_next(struct log_cursor *c, uint8_t *ret_tag, int64_t *ret_time_ns, const uint8_t **ret_p,
		    size_t *ret_n, struct err *err);
/* wake runs once when there may be more after the cursor said 0, and again after its next 0. It runs
 * inside log_append: it must only note it (loop_defer), and neither read nor free a cursor. One per
 * cursor; NULL ends it. */
void log_cursor_follow(struct log_cursor *c, void (*wake)(void *ctx), void *ctx);
void log_cursor_free(struct log_cursor *c);
/* Where it stands, for the process image that takes over; unread: so many bytes of the last piece are to be given once
 * more. NULL when the bytes make no sense. */
void log_cursor_save(const struct log_cursor *c, size_t unread, struct pack *p);
struct log_cursor *log_cursor_restore(struct log *l, struct unpack *u);
void log_cursor_unread(struct log_cursor *c, size_t n); /* give the last n bytes of the last piece again */

/* Line cursor, for docker logs: whole lines per stream, as dockerd's json-file driver splits them; what
 * it would store as one entry (a line, or LOG_LINE_MAX bytes of a longer one) counts as a line for tail
 * and gets the timestamp and details in front. A run's end ends both streams' open lines. */
struct log_query {
	bool want_stdout, want_stderr, timestamps;
	int64_t since_ns, until_ns;  /* 0 = open; a line's time is that of its first byte */
	int64_t tail;                /* last so many lines over both streams, before the stream filter; -1 = all */
	bool as_it_is;               /* what is written later is not shown, as without follow */
	const char *details;         /* text put before each line ("k=v,k=v " or " "), or NULL; borrowed */
};
struct log_lines;
struct log_lines *log_lines_new(struct log *l, const struct log_query *q);
/* As log_cursor_next: one line (with its newline, with timestamp and details before it) or a piece of
 * LOG_LINE_MAX of a longer one. At the end 0: a last line without newline is kept back until
 * `final` is true. Returns 2 when until_ns is passed: nothing more will come. A call scans at most
 * LOG_READ_SLICE bytes and may return 3: not finished, call again from the loop. */
int log_lines_next(struct log_lines *c, bool final, uint8_t *ret_tag, const uint8_t **ret_p, size_t *ret_n,
		   struct err *err);
void log_lines_follow(struct log_lines *c, void (*wake)(void *ctx), void *ctx);
void log_lines_free(struct log_lines *c);
/* As with the raw cursor; q is the same again. */
bool log_lines_can_save(const struct log_lines *c);
void log_lines_save(const struct log_lines *c, struct pack *p);
struct log_lines *log_lines_restore(struct log *l, const struct log_query *q, struct unpack *u);

#endif
