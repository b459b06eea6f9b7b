/* prove - what the agent proves itself with to the gateway, and the gateway to it (agent-proto/proof.h): its pair of
 * this process, and the session key once a gateway has shown that it has it too. In memory only. */
#ifndef AGENT_PROVE_H
#define AGENT_PROVE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent.h"
#include "proof.h"

/* Forward mode: the token makes a new key only for a gateway that has lost its memory, so not while the one that has
 * the key is here, or may be back in a moment. If that comes back later, its key is still good: who comes with the
 * first one goes before who has made another since. */
#define PROVE_ENROL_AGAIN_MS 5000

struct prover {
	const struct agent *agent;   /* borrowed */
	struct proof_pair pair;
	uint8_t first[PROOF_LEN], key[PROOF_LEN];
	bool has_key;
	uint64_t seen_ms;            /* when one with the key was here last */
	struct proof dialled;        /* the link's that is being opened */
	struct proof present;        /* the session's link's */
};

void prover_init(struct prover *p, const struct agent *a);

/* Our call to the gateway, and what its 101 says. */
void prover_request(struct prover *p, char ret[PROOF_TEXT_MAX]);
int prover_take_answer(struct prover *p, const char *answer, struct err *err);
/* The gateway's call to us. up: another link of its is. */
int prover_take_request(struct prover *p, const char *authorization, bool up, struct proof *ret, struct err *err);

/* The next HELLO goes out on a link that this is the proof of; the session checks the WELCOME by it. */
int prover_begin(struct prover *p, const struct proof *link, struct err *err);
void prover_proved(struct prover *p);    /* the WELCOME was right: the key is the session's */
void prover_left(struct prover *p);      /* the link that was up is gone */

#endif
