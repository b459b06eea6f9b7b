/* lifecycle_save - operations for the process image that takes over. A start that waits for its agent and all that is
 * only looked at are found again in the records (take_up); a stop knows its next step. The rest is waited for. */
#include <stdio.h>

#include "cloud/lifecycle_ops.h"

static const char *busy_with(const struct slot *s)
{
	if (s->removal)
		return "removal";
	if (s->freeze)
		return "pause";
	if (s->cancel)
		return "cancelling";
	if (s->start && !start_is_waiting(s->start))
		return "start";
	if (s->stop && !stop_is_waiting(s->stop))
		return "stop";
	return NULL;
}

bool lifecycle_busy(const struct lifecycle *l, char *why, size_t cap)
{
	if (!recovery_is_over(l)) {
		snprintf(why, cap, "the start of this gateway");
		return true;
	}
	for (const struct slot *s = l->slots; s; s = s->hh.next) {
		const char *what = busy_with(s);

		if (!what)
			continue;
		snprintf(why, cap, "%s of container %.12s", what, s->id);
		return true;
	}
	return false;
}

void lifecycle_save(const struct lifecycle *l, struct pack *p)
{
	const struct slot *s;
	uint64_t n = 0;

	for (s = l->slots; s; s = s->hh.next)
		n += s->stop != NULL;
	pack_num(p, n);
	for (s = l->slots; s; s = s->hh.next)
		if (s->stop) {
			pack_str(p, s->id);
			stop_save(s->stop, p);
		}
}

void lifecycle_restore(struct lifecycle *l, struct unpack *u)
{
	for (uint64_t n = unpack_num(u); n && !u->bad; n--) {
		char id[ID_HEX_MAX];

		unpack_text(u, id, sizeof(id));
		if (!u->bad)
			stop_restore(slot_get(l, id), u);
	}
}
