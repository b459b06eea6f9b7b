/* go - what Go's library makes of a file, for clients that read Docker's JSON with it. Pure. */
#ifndef BASE_GO_H
#define BASE_GO_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

uint32_t go_file_mode(mode_t mode); /* os.FileMode: bits of its own for everything but the permissions */
/* A file's time as RFC3339Nano. Any second, where nanoseconds since 1970 (base/clock.h) end in 2262; zero is 1970 here,
 * not Go's zero time. */
#define GO_FILE_TIME_MAX 40
char *go_file_time(const struct timespec *t, char out[GO_FILE_TIME_MAX]);

#endif
