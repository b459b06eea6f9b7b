/* enrol - see enrol.h. */
#include "agents/enrol.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "state/container.h"

void enrol_init(struct enrolment *e)
{
	proof_pair_new(&e->pair);
	e->since_ms = clock_mono_ms();
}

/* key: where the container's is put, if it has one. */
static struct proof_own own(const struct enrolment *e, const struct container *c, uint8_t key[PROOF_LEN])
{
	bool has = c->agent_key[0] && hex_decode(c->agent_key, key, PROOF_LEN) == 0;

	return (struct proof_own){
		.role = SESSION_GATEWAY, .pair = &e->pair, .container_id = c->id, .token = c->token, .key = has ? key : NULL,
	};
}

int enrol_take_request(const struct enrolment *e, const struct container *c, const char *authorization, struct proof *ret,
		       struct err *err)
{
	uint8_t key[PROOF_LEN];
	struct proof_own o;

	if (!c || !c->token[0])
		return err_set(err, ERR_NOT_FOUND, "No such container");
	o = own(e, c, key);
	return proof_take_request(ret, &o, authorization, true, err);
}

void enrol_request(const struct enrolment *e, const struct container *c, struct proof *p, char ret[PROOF_TEXT_MAX])
{
	uint8_t key[PROOF_LEN];
	struct proof_own o = own(e, c, key);

	proof_request(p, &o, ret);
}

int enrol_take_answer(const struct enrolment *e, const struct container *c, struct proof *p, const char *answer, struct err *err)
{
	uint8_t key[PROOF_LEN];
	struct proof_own o = own(e, c, key);

	return proof_take_answer(p, &o, answer, err);
}

int enrol_check(const struct enrolment *e, const struct container *c, struct proof *p, const struct hello *h,
		const uint8_t *frame, size_t n, struct err *err)
{
	uint8_t key[PROOF_LEN];
	struct proof_own o = own(e, c, key);

	if (!p)
		return c->agent_key[0] ? err_set(err, ERR_DENIED, "the token has served already") : 0;
	if (proof_make_key(p, &o, h->execution, h->boot_id, err) < 0)
		return -1;
	return proof_check(p, SESSION_AGENT, frame, &n, err);
}

bool enrol_is_another(const struct container *c, const struct proof *p)
{
	uint8_t public_key[X25519_LEN];

	if (!c->agent_key[0])
		return false;
	return !p || hex_decode(c->agent_public, public_key, sizeof(public_key)) < 0 ||
	       memcmp(public_key, p->public_key[SESSION_AGENT], sizeof(public_key)) != 0;
}

int enrol_admit(struct container *c, const struct proof *p, struct err *err)
{
	char key[ID_HEX_MAX], public_key[ID_HEX_MAX];
	int rc;

	if (!p || p->resumes)
		return 0;
	hex_encode(p->key, PROOF_LEN, key);
	hex_encode(p->public_key[SESSION_AGENT], X25519_LEN, public_key);
	if (strcmp(key, c->agent_key) == 0)
		return 0;
	rc = container_set_agent_key(c, key, public_key, err);
	if (rc == 0)
		log_info("agent enrolled; its token has served", "container=%.12s", c->id);
	secret_clear(key, sizeof(key));
	return rc;
}
