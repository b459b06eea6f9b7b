/* proof - how the two sides of a link show who they are, without ever showing what they know it by (R24).
 * Pure: bytes and texts in and out; only nonces and pairs come from the system.
 *
 * An execution's token can be read by whoever may read its job. So it serves once: with it and a key exchange the
 * first HELLO makes a session key that only this agent process and the gateway have, and every later link is
 * proved with that. Nothing takes a round trip: what must be fresh travels in the HTTP upgrade.
 *
 *   dials ──▶  Authorization: Sockerless NONCE.PUBLIC.CALL[.CALL]     CALL: a MAC by the token, and by the session key
 *         ◀──  101  Authentication-Info: enrol|resume NONCE.PUBLIC    whichever of the two is right for the other side
 *   agent ──▶  HELLO, and a MAC of both nonces and of all its bytes
 *         ◀──  WELCOME, and a MAC of these, of HELLO's and of all its bytes    gateway
 *
 * Who takes the call knows by CALL that the caller has token or key; that it is no replay, by the frames. */
#ifndef AGENT_PROTO_PROOF_H
#define AGENT_PROTO_PROOF_H

#include "base/buf.h"
#include "base/err.h"
#include "base/token.h"
#include "session.h"

#define PROOF_LEN 32
#define PROOF_TEXT_MAX 288 /* of a header's value, with its NUL */
#define PROOF_REQUEST "Authorization"
#define PROOF_ANSWER "Authentication-Info"

/* Of a process, for as long as it lives: who enrols again with the same one is the same. */
struct proof_pair {
	uint8_t private_key[X25519_LEN], public_key[X25519_LEN];
};
void proof_pair_new(struct proof_pair *pair);

/* What this side has. All borrowed. */
struct proof_own {
	enum session_role role;
	const struct proof_pair *pair;
	const char *container_id, *token;
	const uint8_t *key;               /* the session's; NULL: it has none */
};

/* One link's. Rows of two are the agent's and the gateway's (enum session_role). */
struct proof {
	bool resumes;                     /* by the session's key; else that is being made */
	bool keyed;
	uint8_t nonce[2][PROOF_LEN], public_key[2][X25519_LEN];
	uint8_t key[PROOF_LEN];           /* once keyed */
	uint8_t hello[PROOF_LEN];         /* the MAC of HELLO */
};

bool proof_is_meant(const char *authorization);           /* is it of this scheme? NULL is fine */

/* Who dials. */
void proof_request(struct proof *p, const struct proof_own *own, char ret[PROOF_TEXT_MAX]);
int proof_take_answer(struct proof *p, const struct proof_own *own, const char *answer, struct err *err);
/* Who is called. may_enrol: the token will do. -1: neither token nor key. */
int proof_take_request(struct proof *p, const struct proof_own *own, const char *authorization, bool may_enrol,
		       struct err *err);
void proof_answer(const struct proof *p, enum session_role role, char ret[PROOF_TEXT_MAX]);

/* Before the first frame is signed or checked: the key, if it is still to be made. execution and boot_id as in HELLO. */
int proof_make_key(struct proof *p, const struct proof_own *own, const char *execution, const uint8_t boot_id[BOOT_ID_LEN],
		   struct err *err);
/* frame: one whole HELLO or WELCOME, and nothing else. */
void proof_sign(struct proof *p, enum session_role from, struct buf *frame);
/* *n: the frame's length, without its proof afterwards. -1: there is none, or a wrong one. */
int proof_check(struct proof *p, enum session_role from, const uint8_t *frame, size_t *n, struct err *err);

#endif
