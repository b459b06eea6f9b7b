/* agents/link_memory: receive buffers cost nothing until they are used, and again after they were. */
#include "agents/link_memory.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agents/callback.h"

#define BUFFER (64 * 1024 + 20)

static size_t resident(void *p)
{
	unsigned char pages[LINK_ROOM / 4096];
	size_t n = 0;

	cr_assert_eq(sysconf(_SC_PAGESIZE), 4096);
	cr_assert_eq(mincore(p, LINK_ROOM, pages), 0);
	for (size_t i = 0; i < sizeof(pages); i++)
		n += pages[i] & 1;
	return n;
}

Test(link_memory, a_receive_buffer_costs_what_is_touched)
{
	uint8_t *a = link_memory(NULL, BUFFER, "rx_ubuf"), *b = link_memory(NULL, BUFFER, "rx_ubuf");

	cr_assert(a && b && (a + BUFFER <= b || b + BUFFER <= a));
	cr_assert_eq(resident(a), 0);
	memset(a, 'x', BUFFER);
	cr_assert_eq(resident(a), (BUFFER + 4095) / 4096);
	cr_assert_eq(resident(b), 0);
	cr_assert_null(link_memory(a, 0, "lws_free"));
	cr_assert_eq(link_memory(NULL, BUFFER, "rx_ubuf"), a, "the place is used again");
	cr_assert_eq(resident(a), 0, "what was in it is gone");
	link_memory(a, 0, "lws_free");
	link_memory(b, 0, "lws_free");
}

Test(link_memory, the_rest_is_the_heaps)
{
	uint8_t *room = link_memory(NULL, BUFFER, "rx_ubuf"), *p;

	memset(room, 'x', BUFFER);
	cr_assert_eq(link_memory(room, LINK_ROOM, "grown"), room);
	p = link_memory(room, LINK_ROOM + 1, "grown");
	cr_assert(p != room && p[0] == 'x' && p[BUFFER - 1] == 'x');
	p = link_memory(p, 3 * LINK_ROOM, "and more");
	cr_assert(p[0] == 'x' && p[BUFFER - 1] == 'x');
	link_memory(p, 0, "lws_free");
	p = link_memory(NULL, 100, NULL);
	p = link_memory(p, BUFFER, "rx_ubuf");
	link_memory(p, 0, "lws_free");
	cr_assert_null(link_memory(NULL, 0, "nothing"));
}

Test(link_memory, there_are_as_many_as_links_and_then_the_heap)
{
	static void *all[CALLBACK_LINKS_MAX + 5];

	for (size_t i = 0; i < CALLBACK_LINKS_MAX + 5; i++) {
		all[i] = link_memory(NULL, BUFFER, "rx_ubuf");
		cr_assert_not_null(all[i]);
		*(size_t *)all[i] = i;
	}
	for (size_t i = 0; i < CALLBACK_LINKS_MAX + 5; i++) {
		cr_assert_eq(*(size_t *)all[i], i);
		link_memory(all[i], 0, "lws_free");
	}
}
