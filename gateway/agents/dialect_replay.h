/* dialect_replay - which part of a replay is new. On every connection the predecessor's agent says again the last 1 MiB
 * of what main has written to stdout, and of stderr, without saying where that begins. We remember how much
 * there was and its last bytes, and find them again. In doubt bytes come twice: none is left out. Pure. */
#ifndef AGENTS_DIALECT_REPLAY_H
#define AGENTS_DIALECT_REPLAY_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define REPLAY_TAIL (64 * 1024)

struct replay_tail {
	uint64_t total;   /* bytes seen of this output */
	struct buf last;  /* the last REPLAY_TAIL of them, or more */
};
void replay_tail_init(struct replay_tail *t);
void replay_tail_release(struct replay_tail *t);
void replay_tail_add(struct replay_tail *t, const void *p, size_t n);
/* How many bytes at the front of the replay have been seen before. -1: it has nothing in common with
 * them, so there may be a gap: take it all. */
int64_t replay_tail_known(const struct replay_tail *t, const uint8_t *replay, size_t n);

#endif
