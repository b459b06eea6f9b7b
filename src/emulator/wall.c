/* wall - see wall.h. */
#include "wall.h"

#include "base/clock.h"

static int64_t skew_ns;

int64_t wall_now_ns(void)
{
	return clock_wall_ns() + skew_ns;
}

void wall_set_skew_ms(int64_t ms)
{
	skew_ns = ms * 1000000;
}
