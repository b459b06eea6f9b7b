/* wall - the time of day as this Cloud Run sees it, which need not be its callers'. */
#ifndef EMULATOR_WALL_H
#define EMULATOR_WALL_H

#include <stdint.h>

int64_t wall_now_ns(void);
void wall_set_skew_ms(int64_t ms); /* from here on; what has a time keeps it */

#endif
