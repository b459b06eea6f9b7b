/* io - all of it, to a descriptor that blocks: a file, or a pipe of a helper thread. Any thread. */
#ifndef BASE_IO_H
#define BASE_IO_H

#include <stddef.h>

int write_all(int fd, const void *p, size_t n); /* 0, or -1 with errno */

#endif
