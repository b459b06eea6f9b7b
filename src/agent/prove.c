/* prove - see prove.h. */
#include "prove.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"

void prover_init(struct prover *p, const struct agent *a)
{
	*p = (struct prover){ .agent = a };
	if (a->cfg->proofs)
		proof_pair_new(&p->pair);
}

static struct proof_own own(const struct prover *p)
{
	return (struct proof_own){
		.role = SESSION_AGENT,
		.pair = &p->pair,
		.container_id = p->agent->cfg->container_id,
		.token = p->agent->cfg->token,
		.key = p->has_key ? p->key : NULL,
	};
}

void prover_request(struct prover *p, char ret[PROOF_TEXT_MAX])
{
	struct proof_own o = own(p);

	proof_request(&p->dialled, &o, ret);
}

int prover_take_answer(struct prover *p, const char *answer, struct err *err)
{
	struct proof_own o = own(p);

	return proof_take_answer(&p->dialled, &o, answer, err);
}

int prover_take_request(struct prover *p, const char *authorization, bool up, struct proof *ret, struct err *err)
{
	bool may_enrol = !p->has_key || (!up && clock_mono_ms() - p->seen_ms >= PROVE_ENROL_AGAIN_MS);
	struct proof_own o = own(p), by_first = o;

	by_first.key = p->first;
	if (p->has_key && proof_take_request(ret, &by_first, authorization, false, err) == 0)
		return 0;
	return proof_take_request(ret, &o, authorization, may_enrol, err);
}

int prover_begin(struct prover *p, const struct proof *link, struct err *err)
{
	struct proof_own o = own(p);

	p->present = *link;
	if (p->has_key && !p->present.resumes)
		log_warn("the gateway does not know our key any more: another is made", "container=%.12s", o.container_id);
	if (proof_make_key(&p->present, &o, p->agent->cfg->execution, p->agent->boot_id, err) < 0)
		return -1;
	session_set_proof(p->agent->session, &p->present);
	return 0;
}

void prover_proved(struct prover *p)
{
	if (!p->has_key)
		memcpy(p->first, p->present.key, sizeof(p->first));
	memcpy(p->key, p->present.key, sizeof(p->key));
	p->has_key = true;
	p->seen_ms = clock_mono_ms();
}

void prover_left(struct prover *p)
{
	p->seen_ms = clock_mono_ms();
}
