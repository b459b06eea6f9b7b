/* link_memory - see the header. One reservation of address space for all rooms; a room that is given back
 * loses its pages. One for all, as all is one thread. */
#include "agents/link_memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "agents/callback.h"
#include "base/mem.h"

#define ROOMS CALLBACK_LINKS_MAX
#define ROOM_MIN (16 * 1024) /* a smaller one would gain little */

static uint8_t *rooms;       /* NULL: none reserved yet, or there was no way */
static uint32_t *returned;   /* rooms that were in use before, the last one first */
static size_t n_returned, n_fresh;

static bool is_room(const void *p)
{
	return rooms && (const uint8_t *)p >= rooms && (const uint8_t *)p < rooms + (size_t)ROOMS * LINK_ROOM;
}

static bool reserve(void)
{
	void *p;

	if (returned)
		return rooms;
	returned = xmalloc(ROOMS * sizeof(*returned));
	p = mmap(NULL, (size_t)ROOMS * LINK_ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return false;
	(void) madvise(p, (size_t)ROOMS * LINK_ROOM, MADV_NOHUGEPAGE); /* one byte would take two megabytes */
	rooms = p;
	return true;
}

static void *room_take(void)
{
	if (!reserve())
		return NULL;
	if (n_returned)
		return rooms + (size_t)returned[--n_returned] * LINK_ROOM;
	return n_fresh < ROOMS ? rooms + n_fresh++ * LINK_ROOM : NULL;
}

static void room_return(uint8_t *p)
{
	(void) madvise(p, LINK_ROOM, MADV_DONTNEED);
	returned[n_returned++] = (uint32_t)((size_t)(p - rooms) / LINK_ROOM);
}

void *link_memory(void *p, size_t n, const char *reason)
{
	void *to;

	if (!is_room(p)) {
		if (!p && reason && n >= ROOM_MIN && n <= LINK_ROOM && !strcmp(reason, "rx_ubuf") && (to = room_take()))
			return to;
		if (n)
			return realloc(p, n);
		free(p);
		return NULL;
	}
	if (n && n <= LINK_ROOM)
		return p;
	to = n ? realloc(NULL, n) : NULL;
	if (to)
		memcpy(to, p, LINK_ROOM);
	if (to || !n)
		room_return(p);
	return to;
}
