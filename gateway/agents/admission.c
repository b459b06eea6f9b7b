/* admission - see admission.h. The generic cell rate algorithm: one number says all. */
#include "agents/admission.h"

#define SECOND_US 1000000

void admission_init(struct admission *a, uint64_t rate, uint64_t burst)
{
	*a = (struct admission){ 0 };
	if (!rate)
		return;
	a->interval_us = rate < SECOND_US ? SECOND_US / rate : 1;
	a->burst_us = burst * a->interval_us;
}

uint64_t admission_count(struct admission *a, uint64_t now_us)
{
	if (!a->interval_us)
		return 0;
	a->due_us = (a->due_us > now_us ? a->due_us : now_us) + a->interval_us;
	return a->due_us > now_us + a->burst_us ? a->due_us - now_us - a->burst_us : 0;
}

uint64_t admission_ask(struct admission *a, uint64_t now_us)
{
	uint64_t earliest;

	if (!a->interval_us || a->due_us + a->interval_us <= now_us + a->burst_us || a->due_us <= now_us) {
		admission_count(a, now_us);
		return 0;
	}
	earliest = a->due_us + a->interval_us - a->burst_us;
	a->promised_us += a->interval_us;
	if (a->promised_us < earliest)
		a->promised_us = earliest;
	a->refused++;
	return a->promised_us - now_us;
}
