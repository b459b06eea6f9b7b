/* base/buf: order, the maximum, and memory that comes and goes. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

Test(buf, refuses_what_would_pass_max_and_keeps_what_it_has)
{
	struct buf b;

	buf_init(&b, 10);
	cr_assert_eq(buf_append(&b, "12345678", 8), 0);
	cr_assert_eq(buf_append(&b, "abc", 3), -1);
	cr_assert_eq(buf_printf(&b, "%s", "abc"), -1);
	cr_assert_null(buf_reserve(&b, 3));
	cr_assert_eq(b.len, 8);
	cr_assert_eq(buf_append(&b, "ab", 2), 0);
	cr_assert_eq(buf_room(&b), 0);
	cr_assert_eq(memcmp(buf_head(&b), "12345678ab", 10), 0);
	buf_release(&b);
}

Test(buf, max_counts_unread_bytes_only)
{
	struct buf b;

	buf_init(&b, 8);
	for (int i = 0; i < 1000; i++) {
		cr_assert_eq(buf_append(&b, "abcdef", 6), 0);
		buf_consume(&b, 5);
		cr_assert_eq(*buf_head(&b), 'f');
		buf_consume(&b, 1);
	}
	cr_assert_leq(b.cap, 256);
	buf_release(&b);
}

/* The same random bytes through the buffer and through a plain array. */
Test(buf, order_survives_any_mixture_of_sizes)
{
	static uint8_t ref[1 << 20];
	size_t in = 0, out = 0;
	struct buf b;

	srandom(7);
	for (size_t i = 0; i < sizeof(ref); i++)
		ref[i] = (uint8_t)random();
	buf_init(&b, 5000);
	while (out < sizeof(ref)) {
		size_t n = (size_t)random() % 3000, room = buf_room(&b);

		n = n > sizeof(ref) - in ? sizeof(ref) - in : n;
		cr_assert_eq(buf_append(&b, ref + in, n), n <= room ? 0 : -1);
		in += n <= room ? n : 0;
		cr_assert_leq(b.cap, 5000);
		n = (size_t)random() % (b.len + 1);
		cr_assert_eq(memcmp(buf_head(&b), ref + out, b.len), 0);
		buf_consume(&b, n);
		out += n;
	}
	buf_release(&b);
}

Test(buf, big_memory_is_given_back_when_empty_small_is_kept)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	cr_assert_not_null(buf_reserve(&b, BUF_KEEP * 4));
	buf_commit(&b, BUF_KEEP * 4);
	buf_consume(&b, BUF_KEEP * 4);
	cr_assert_null(b.mem);
	buf_append(&b, "x", 1);
	buf_consume(&b, 1);
	cr_assert_not_null(b.mem);
	buf_release(&b);
}

Test(buf, printf_appends_without_its_nul)
{
	char text[600];
	struct buf b;

	memset(text, 'y', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	buf_init(&b, 1000);
	cr_assert_eq(buf_printf(&b, "%d-", 42), 0);
	cr_assert_eq(buf_printf(&b, "%s", text), 0);
	cr_assert_eq(b.len, 3 + 599);
	cr_assert_eq(memcmp(buf_head(&b), "42-yyy", 6), 0);
	buf_release(&b);
	buf_init(&b, 3);
	cr_assert_eq(buf_printf(&b, "%s", "abc"), 0);
	cr_assert_eq(memcmp(buf_head(&b), "abc", 3), 0);
	buf_release(&b);
}

Test(buf, detach_gives_a_string_and_leaves_a_usable_buffer)
{
	struct buf b;
	size_t n;
	char *s;

	buf_init(&b, 100);
	s = buf_detach(&b, &n);
	cr_assert_str_eq(s, "");
	cr_assert_eq(n, 0);
	free(s);
	buf_append(&b, "hello world", 11);
	buf_consume(&b, 6);
	s = buf_detach(&b, &n);
	cr_assert_str_eq(s, "world");
	cr_assert_eq(n, 5);
	free(s);
	cr_assert_eq(buf_room(&b), 100);
	cr_assert_eq(buf_append(&b, "again", 5), 0);
	buf_release(&b);
}
