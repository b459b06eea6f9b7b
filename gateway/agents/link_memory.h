/* link_memory - what libwebsockets allocates. For each WebSocket it takes a receive buffer, of which it uses
 * the size, for what it reads at once, and hardly a byte: payload goes from its common buffer to us. On the
 * heap such a buffer is memory that somebody has used before, and stays resident; here it is pages that
 * nobody has touched. */
#ifndef AGENTS_LINK_MEMORY_H
#define AGENTS_LINK_MEMORY_H

#include <stddef.h>

#define LINK_ROOM (72 * 1024) /* larger buffers, and those beyond CALLBACK_LINKS_MAX, come from the heap */

/* realloc, as lws_set_allocator wants it: n 0 frees. */
void *link_memory(void *p, size_t n, const char *reason);

#endif
