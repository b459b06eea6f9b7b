/* admission - so many a second, and a few at once (R23): when thousands of agents call at the same moment,
 * after a restart say, those that are served already must not stand still meanwhile. Pure. */
#ifndef AGENTS_ADMISSION_H
#define AGENTS_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

struct admission {
	uint64_t interval_us;    /* 0: everybody is let in */
	uint64_t burst_us;       /* so far ahead of its time one may be */
	uint64_t due_us;         /* when the next would come if all came evenly */
	uint64_t promised_us;    /* the last moment somebody was told to come back at */
	uint64_t refused;
};

void admission_init(struct admission *a, uint64_t rate, uint64_t burst);
/* 0: come in. Else how long to wait, for this one alone: the next one that asks is told a later moment. */
uint64_t admission_ask(struct admission *a, uint64_t now_us);
/* This one comes in whatever; how long until the next one should. */
uint64_t admission_count(struct admission *a, uint64_t now_us);

#endif
