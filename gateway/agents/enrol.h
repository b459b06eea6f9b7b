/* enrol - which agent a container's token has let in, and whether a caller is that one (R24, agent-proto/proof.h).
 * The key it was exchanged for is in the container's record, so that it outlives the process; a new run begins
 * without one. Who may come instead of an agent that is gone is the registry's to decide. */
#ifndef AGENTS_ENROL_H
#define AGENTS_ENROL_H

#include <stdbool.h>
#include <stdint.h>

#include "proof.h"

struct container;
struct enrolment {
	struct proof_pair pair;      /* of this process */
	uint64_t since_ms;           /* it has been there to be called */
};
void enrol_init(struct enrolment *e);

/* The agent calls: 0, or ERR_NOT_FOUND (no such container) or ERR_DENIED (neither the token nor the key). */
int enrol_take_request(const struct enrolment *e, const struct container *c, const char *authorization, struct proof *ret,
		       struct err *err);
/* We call the agent. */
void enrol_request(const struct enrolment *e, const struct container *c, struct proof *p, char ret[PROOF_TEXT_MAX]);
int enrol_take_answer(const struct enrolment *e, const struct container *c, struct proof *p, const char *answer, struct err *err);

/* Its HELLO, as it came: has it what it has to have? p NULL: it came with the token itself. */
int enrol_check(const struct enrolment *e, const struct container *c, struct proof *p, const struct hello *h,
		const uint8_t *frame, size_t n, struct err *err);
/* The token has served, and not this one. */
bool enrol_is_another(const struct container *c, const struct proof *p);
/* It is let in: the token has served, and this key is the container's. */
int enrol_admit(struct container *c, const struct proof *p, struct err *err);

#endif
