/* What is packed is what is unpacked; what makes no sense turns the reader bad, and it never reads beyond its end. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>

#include "base/mem.h"
#include "base/pack.h"

static struct unpack reader(const struct pack *p)
{
	return (struct unpack){ .at = buf_head(&p->bytes), .left = p->bytes.len };
}

static void fill(struct pack *p)
{
	size_t part;

	pack_init(p);
	pack_num(p, 0);
	pack_num(p, UINT64_MAX);
	pack_num(p, (uint64_t)-5);
	pack_str(p, NULL);
	pack_str(p, "");
	part = pack_begin(p);
	pack_str(p, "inside");
	pack_num(p, 77);
	pack_end(p, part);
	pack_bytes(p, "a\0b", 3);
	pack_str(p, "short");
}

Test(pack, gives_back_what_was_given)
{
	struct pack p;
	struct unpack u, part;
	uint8_t three[3];
	char text[6], *s;

	fill(&p);
	u = reader(&p);
	cr_assert_eq(unpack_num(&u), 0);
	cr_assert_eq(unpack_num(&u), UINT64_MAX);
	cr_assert_eq((int64_t)unpack_num(&u), -5);
	cr_assert_null(unpack_str(&u));
	s = unpack_str(&u);
	cr_assert_str_eq(s, "");
	free(s);
	part = unpack_part(&u);
	unpack_exact(&u, three, 3);
	cr_assert_eq(memcmp(three, "a\0b", 3), 0);
	unpack_text(&u, text, sizeof(text));
	cr_assert_str_eq(text, "short");
	cr_assert(!u.bad && u.left == 0);
	s = unpack_str(&part);
	cr_assert_str_eq(s, "inside");
	free(s);
	cr_assert_eq(unpack_num(&part), 77);
	cr_assert_eq(unpack_num(&part), 0);
	cr_assert(part.bad && !u.bad);
	pack_release(&p);
}

Test(pack, cut_anywhere_it_turns_bad)
{
	struct pack p;

	fill(&p);
	for (size_t n = 0; n < p.bytes.len; n++) {
		uint8_t *copy = xmemdup(buf_head(&p.bytes), n + 1); /* an overrun is one of the heap */
		struct unpack u = { .at = copy, .left = n }, part;
		uint8_t three[3];
		char text[6];

		unpack_num(&u);
		unpack_num(&u);
		unpack_num(&u);
		free(unpack_str(&u));
		free(unpack_str(&u));
		part = unpack_part(&u);
		free(unpack_str(&part));
		unpack_exact(&u, three, 3);
		unpack_text(&u, text, sizeof(text));
		cr_assert(u.bad, "%zu bytes", n);
		cr_assert_eq(memchr(text, '\0', sizeof(text)) != NULL, 1);
		free(copy);
	}
	pack_release(&p);
}

Test(pack, wrong_lengths_are_refused)
{
	struct pack p;
	struct unpack u;
	uint8_t four[4];
	char small[3];

	pack_init(&p);
	pack_bytes(&p, "abc", 3); /* no text: its end is missing */
	u = reader(&p);
	cr_assert_null(unpack_str(&u));
	cr_assert(u.bad);
	u = reader(&p);
	unpack_exact(&u, four, sizeof(four));
	cr_assert(u.bad);
	pack_release(&p);
	pack_init(&p);
	pack_str(&p, "abc");
	u = reader(&p);
	unpack_text(&u, small, sizeof(small));
	cr_assert(u.bad);
	cr_assert_eq(*small, '\0');
	pack_release(&p);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

Test(pack, descriptors_are_taken_once_and_the_others_closed)
{
	int a = open("/dev/null", O_RDONLY | O_CLOEXEC), b = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct unpack_fds fds;
	struct pack p, list;
	struct unpack u;

	pack_init(&p);
	pack_init(&list);
	pack_fd(&p, a);
	pack_fd(&p, a);
	pack_num(&p, 12345); /* one nobody has left us */
	pack_fd(&p, b);
	pack_fd_list(&list, &p);
	cr_assert_eq(pack_keep_fds(&p, true), 0);
	cr_assert_eq(fcntl(a, F_GETFD), 0);
	u = reader(&list);
	unpack_fds_take(&fds, &u);
	cr_assert_eq(fcntl(a, F_GETFD), FD_CLOEXEC);
	u = reader(&p);
	u.fds = &fds;
	cr_assert_eq(unpack_fd(&u), a);
	cr_assert_eq(unpack_fd(&u), a); /* it was listed twice */
	cr_assert_eq(unpack_fd(&u), -1);
	cr_assert(u.bad);
	unpack_fds_close(&fds);
	cr_assert(is_open(a));
	cr_assert(!is_open(b));
	close(a);
	cr_assert_eq(pack_keep_fds(&p, true), -1);
	pack_release(&p);
	pack_release(&list);
}
