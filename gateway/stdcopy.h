/* stdcopy - Docker's framing of stdout and stderr on one stream. Pure.
 *
 *    0        1    2    3    4    5    6    7    8 ...
 *   +--------+----+----+----+----+----+----+----+---------+
 *   | stream |  0    0    0 | length, big-endian | payload |    stream: 1 stdout, 2 stderr,
 *   +--------+----+----+----+----+----+----+----+---------+            3 the engine's error
 *
 * An exec's output arrives from the agent in this very form, so it is forwarded untouched; the filter
 * below finds the pieces that must not pass when the client did not ask for everything. */
#ifndef STDCOPY_H
#define STDCOPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STDCOPY_HEADER 8
enum { STDCOPY_STDOUT = 1, STDCOPY_STDERR = 2, STDCOPY_ERROR = 3 };

void stdcopy_header(uint8_t out[STDCOPY_HEADER], uint8_t stream, uint32_t len);

/* Follows a framed stream through pieces of any size. Zero it, then set what is wanted. */
struct stdcopy_filter {
	bool want_stdout, want_stderr, drop_headers;
	uint8_t head[STDCOPY_HEADER];
	unsigned have;      /* header bytes seen of the present frame */
	uint32_t left;      /* payload bytes to come of it */
};
/* How many of the n (>= 1) bytes at p go the same way, and whether they pass. Changes nothing: call
 * advance with as many of them as were dealt with. */
size_t stdcopy_filter_next(const struct stdcopy_filter *f, const uint8_t *p, size_t n, bool *ret_pass);
void stdcopy_filter_advance(struct stdcopy_filter *f, const uint8_t *p, size_t n);

#endif
