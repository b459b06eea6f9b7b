/* clock - the two times: monotonic for waiting, wall-clock for showing. Units are in the names. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void);
int64_t clock_wall_ns(void); /* since 1970, UTC */

#define CLOCK_RFC3339_MAX 40
/* "2006-01-02T15:04:05.000000000Z": always nine digits when fixed, else trailing zeros (and a
 * bare dot) removed as Go's RFC3339Nano does. ns == 0 gives Go's zero time, 0001-01-01T00:00:00Z. */
char *clock_format(int64_t wall_ns, int fixed, char out[CLOCK_RFC3339_MAX]);
/* RFC 3339 with any fraction and offset. 0 and *ret_ns set, or -1. Go's zero time gives 0. */
int clock_parse(const char *s, int64_t *ret_ns);

#endif
