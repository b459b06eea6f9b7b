/* Which part of a replay is new: exact while the agent still has everything, and never a byte too few. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "agents/dialect_replay.h"

#define RING (1024 * 1024)

static struct replay_tail tail;

static void begin(void)
{
	replay_tail_init(&tail);
}

static void end(void)
{
	replay_tail_release(&tail);
}

TestSuite(replay, .init = begin, .fini = end);

static int64_t known(const char *replay)
{
	return replay_tail_known(&tail, (const uint8_t *)replay, strlen(replay));
}

Test(replay, the_first_is_all_new)
{
	cr_assert_eq(known("anything"), 0);
	cr_assert_eq(known(""), 0);
}

Test(replay, what_was_seen_is_known)
{
	replay_tail_add(&tail, "one\n", 4);
	replay_tail_add(&tail, "two\n", 4);
	cr_assert_eq(known("one\ntwo\n"), 8);
	cr_assert_eq(known("one\ntwo\nthree\n"), 8);
}

Test(replay, a_repetition_is_not_taken_for_it)
{
	replay_tail_add(&tail, "y\ny\n", 4);
	cr_assert_eq(known("y\ny\ny\ny\n"), 4);
}

Test(replay, a_foreign_one_is_a_gap)
{
	replay_tail_add(&tail, "one\ntwo\n", 8);
	cr_assert_eq(known("three\n"), -1);
	cr_assert_eq(known(""), -1);
}

/* 3 MiB of different lines: the ring has lost the front, and the place is found by the last bytes. */
Test(replay, the_place_is_found_in_a_ring_that_has_gone_round)
{
	size_t n = 3 * RING, seen;
	uint8_t *all = malloc(n);

	for (size_t i = 0; i < n; i += 8)
		memcpy(all + i, (char[9]){(char)(i >> 21 & 63), (char)(i >> 14 & 127), (char)(i >> 7 & 127), (char)(i & 127),
					  'l', 'i', 'n', '\n'}, 8);
	for (seen = 0; seen + 32768 <= 2 * RING + RING / 2; seen += 32768)
		replay_tail_add(&tail, all + seen, 32768);
	cr_assert_eq(replay_tail_known(&tail, all + n - RING, RING), (int64_t)(seen - (n - RING)));
	cr_assert_eq(replay_tail_known(&tail, all + seen - RING, RING), RING, "nothing new");
	cr_assert_eq(replay_tail_known(&tail, all + n - RING / 4, RING / 4), -1, "too late");
	free(all);
}

/* Of several places the first: twice is better than not at all. */
Test(replay, in_doubt_bytes_come_twice)
{
	size_t n = 2 * RING;
	uint8_t *all = malloc(n);

	memset(all, 'y', n);
	for (size_t seen = 0; seen < n; seen += 32768)
		replay_tail_add(&tail, all + seen, 32768);
	cr_assert_eq(replay_tail_known(&tail, all, RING), REPLAY_TAIL);
	free(all);
}

Test(replay, pieces_of_every_size_are_remembered)
{
	char text[200000], *p = text;

	for (int i = 0; p < text + sizeof(text) - 10; i++)
		p += snprintf(p, 10, "%d ", i);
	for (size_t at = 0, n = 1; at < (size_t)(p - text); at += n, n = n * 3 % 70001 + 1) {
		if (n > (size_t)(p - text) - at)
			n = (size_t)(p - text) - at;
		replay_tail_add(&tail, text + at, n);
		cr_assert(tail.last.len >= (tail.total < REPLAY_TAIL ? tail.total : REPLAY_TAIL));
	}
	cr_assert_eq(replay_tail_known(&tail, (uint8_t *)text, (size_t)(p - text)), p - text);
	cr_assert_eq(replay_tail_known(&tail, (uint8_t *)text + 1, (size_t)(p - text) - 1), p - text - 1);
}
