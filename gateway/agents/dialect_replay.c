/* dialect_replay - see dialect_replay.h. */
#include "agents/dialect_replay.h"

#include <string.h>

void replay_tail_init(struct replay_tail *t)
{
	*t = (struct replay_tail){ 0 };
	buf_init(&t->last, 2 * REPLAY_TAIL);
}

void replay_tail_release(struct replay_tail *t)
{
	buf_release(&t->last);
}

void replay_tail_add(struct replay_tail *t, const void *p, size_t n)
{
	t->total += n;
	if (n > REPLAY_TAIL) {
		p = (const uint8_t *)p + (n - REPLAY_TAIL);
		n = REPLAY_TAIL;
	}
	if (buf_room(&t->last) < n)
		buf_consume(&t->last, t->last.len - (REPLAY_TAIL - n));
	buf_append(&t->last, p, n);
}

int64_t replay_tail_known(const struct replay_tail *t, const uint8_t *replay, size_t n)
{
	size_t len = t->last.len < REPLAY_TAIL ? t->last.len : REPLAY_TAIL;
	const uint8_t *tail = len ? buf_head(&t->last) + t->last.len - len : NULL, *at;

	if (!len)
		return 0;
	/* A replay from the very beginning: the place is known. */
	if (t->total <= n && !memcmp(replay + t->total - len, tail, len))
		return (int64_t)t->total;
	/* The first of several places: what was seen there may be said again, but nothing is left out. */
	at = n >= len ? memmem(replay, n, tail, len) : NULL;
	return at ? at + len - replay : -1;
}
