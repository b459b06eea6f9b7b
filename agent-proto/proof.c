/* proof - see proof.h. All MACs are HMAC-SHA256; what they are for is their first bytes, so that none serves as
 * another. The one of a frame stands at its end, as a field that who does not know it skips:
 *
 *     frame without it | fa 01 20 | 32 bytes          field 31 of Control */
#include "proof.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

#define SCHEME "Sockerless "
#define ENROL "enrol "
#define RESUME "resume "
#define HEX_LEN (2 * (size_t)PROOF_LEN)

static const char for_token[] = "sockerless.tunnel.v1 token", for_key[] = "sockerless.tunnel.v1 key",
		  for_call[] = "sockerless.tunnel.v1 call", for_frame[] = "sockerless.tunnel.v1 frame";
static const uint8_t trailer[PROOF_TRAILER_LEN - PROOF_LEN] = { 0xfa, 0x01, PROOF_LEN };

void proof_pair_new(struct proof_pair *pair)
{
	random_bytes(pair->private_key, sizeof(pair->private_key));
	x25519_public(pair->private_key, pair->public_key);
}

/* ---- MACs ------------------------------------------------------------------------------------- */

static void key_of_token(const char *token, uint8_t out[PROOF_LEN])
{
	hkdf_sha256(NULL, 0, token, strlen(token), for_token, sizeof(for_token), out);
}

/* That whoever says this nonce, dialling, has the key. */
static void mac_of_call(const struct proof *p, enum session_role from, const char *container_id,
			const uint8_t key[PROOF_LEN], uint8_t out[PROOF_LEN])
{
	uint8_t who = (uint8_t)from;
	struct buf b;

	buf_init(&b, 8192);
	buf_append(&b, for_call, sizeof(for_call));
	buf_append(&b, &who, 1);
	buf_append(&b, p->nonce[from], PROOF_LEN);
	buf_append(&b, p->public_key[from], X25519_LEN);
	buf_append(&b, container_id, strlen(container_id));
	hmac_sha256(key, PROOF_LEN, buf_head(&b), b.len, out);
	buf_release(&b);
}

static void mac_by_token(const struct proof *p, enum session_role from, const struct proof_own *own, uint8_t out[PROOF_LEN])
{
	uint8_t key[PROOF_LEN];

	key_of_token(own->token, key);
	mac_of_call(p, from, own->container_id, key, out);
	secret_clear(key, sizeof(key));
}

static void mac_of_frame(const struct proof *p, enum session_role from, const uint8_t *frame, size_t n, uint8_t out[PROOF_LEN])
{
	struct {
		char what[sizeof(for_frame)];
		uint8_t from, resumes;
		uint8_t nonce[2][PROOF_LEN], public_key[2][X25519_LEN], hello[PROOF_LEN], digest[SHA256_LEN];
	} said = { .from = (uint8_t)from, .resumes = p->resumes };

	_Static_assert(sizeof(said) == sizeof(for_frame) + 2 + sizeof(p->nonce) + sizeof(p->public_key) + PROOF_LEN + SHA256_LEN,
		       "bytes only: nothing between them");
	memcpy(said.what, for_frame, sizeof(for_frame));
	memcpy(said.nonce, p->nonce, sizeof(said.nonce));
	memcpy(said.public_key, p->public_key, sizeof(said.public_key));
	if (from == SESSION_GATEWAY)
		memcpy(said.hello, p->hello, PROOF_LEN);
	sha256(frame, n, said.digest);
	hmac_sha256(p->key, PROOF_LEN, &said, sizeof(said), out);
}

/* ---- texts ------------------------------------------------------------------------------------ */

static char *put(char *at, const uint8_t p[PROOF_LEN])
{
	hex_encode(p, PROOF_LEN, at);
	return at + HEX_LEN;
}

/* 64 digits from *at on, which moves behind them and a point after them. */
static int take(const char **at, uint8_t out[PROOF_LEN])
{
	char digits[2 * PROOF_LEN + 1];

	if (strnlen(*at, HEX_LEN) < HEX_LEN)
		return -1;
	memcpy(digits, *at, HEX_LEN);
	digits[HEX_LEN] = '\0';
	*at += HEX_LEN;
	if (**at == '.' && (*at)[1])
		(*at)++;
	else if (**at)
		return -1;
	return hex_decode(digits, out, PROOF_LEN);
}

bool proof_is_meant(const char *authorization)
{
	return authorization && strncmp(authorization, SCHEME, sizeof(SCHEME) - 1) == 0;
}

static void begin(struct proof *p, enum session_role role, const struct proof_pair *pair)
{
	*p = (struct proof){ 0 };
	random_bytes(p->nonce[role], PROOF_LEN);
	memcpy(p->public_key[role], pair->public_key, X25519_LEN);
}

void proof_request(struct proof *p, const struct proof_own *own, char ret[PROOF_TEXT_MAX])
{
	uint8_t mac[PROOF_LEN];
	char *at = ret;

	begin(p, own->role, own->pair);
	at = stpcpy(at, SCHEME);
	at = put(at, p->nonce[own->role]);
	*at++ = '.';
	at = put(at, p->public_key[own->role]);
	*at++ = '.';
	mac_by_token(p, own->role, own, mac);
	at = put(at, mac);
	if (!own->key)
		return;
	*at++ = '.';
	mac_of_call(p, own->role, own->container_id, own->key, mac);
	put(at, mac);
}

void proof_answer(const struct proof *p, enum session_role role, char ret[PROOF_TEXT_MAX])
{
	char *at = stpcpy(ret, p->resumes ? RESUME : ENROL);

	at = put(at, p->nonce[role]);
	*at++ = '.';
	put(at, p->public_key[role]);
}

static void resume_with(struct proof *p, const uint8_t key[PROOF_LEN])
{
	memcpy(p->key, key, PROOF_LEN);
	p->resumes = p->keyed = true;
}

int proof_take_answer(struct proof *p, const struct proof_own *own, const char *answer, struct err *err)
{
	enum session_role from = own->role == SESSION_AGENT ? SESSION_GATEWAY : SESSION_AGENT;
	bool resumes = answer && strncmp(answer, RESUME, sizeof(RESUME) - 1) == 0;
	const char *at = answer;

	if (!answer || (!resumes && strncmp(answer, ENROL, sizeof(ENROL) - 1) != 0))
		return err_set(err, ERR_DENIED, "the other side proves nothing");
	at += resumes ? sizeof(RESUME) - 1 : sizeof(ENROL) - 1;
	if (take(&at, p->nonce[from]) < 0 || take(&at, p->public_key[from]) < 0 || *at)
		return err_set(err, ERR_INVALID, "the other side's nonce and key are none");
	if (resumes && !own->key)
		return err_set(err, ERR_DENIED, "the other side knows a key that was never made");
	if (resumes)
		resume_with(p, own->key);
	return 0;
}

int proof_take_request(struct proof *p, const struct proof_own *own, const char *authorization, bool may_enrol,
		       struct err *err)
{
	enum session_role from = own->role == SESSION_AGENT ? SESSION_GATEWAY : SESSION_AGENT;
	uint8_t by_token[PROOF_LEN], by_key[PROOF_LEN], right[PROOF_LEN];
	const char *at = authorization;

	begin(p, own->role, own->pair);
	if (!proof_is_meant(authorization))
		return err_set(err, ERR_DENIED, "unauthorized");
	at += sizeof(SCHEME) - 1;
	if (take(&at, p->nonce[from]) < 0 || take(&at, p->public_key[from]) < 0 || take(&at, by_token) < 0)
		return err_set(err, ERR_DENIED, "unauthorized: no proof");
	if (*at && own->key) {
		mac_of_call(p, from, own->container_id, own->key, right);
		if (take(&at, by_key) == 0 && !*at && secret_equal(by_key, right, PROOF_LEN)) {
			resume_with(p, own->key);
			return 0;
		}
	}
	mac_by_token(p, from, own, right);
	if (!secret_equal(by_token, right, PROOF_LEN))
		return err_set(err, ERR_DENIED, "unauthorized");
	return may_enrol ? 0 : err_set(err, ERR_DENIED, "the token has served already, and the key is not the one it was exchanged for");
}

/* ---- the key ---------------------------------------------------------------------------------- */

int proof_make_key(struct proof *p, const struct proof_own *own, const char *execution, const uint8_t boot_id[BOOT_ID_LEN],
		   struct err *err)
{
	enum session_role other = own->role == SESSION_AGENT ? SESSION_GATEWAY : SESSION_AGENT;
	uint8_t salt[PROOF_LEN], shared[X25519_LEN];
	struct buf info;

	if (p->keyed)
		return 0;
	if (x25519_shared(own->pair->private_key, p->public_key[other], shared) < 0)
		return err_set(err, ERR_DENIED, "the other side's public key is none");
	key_of_token(own->token, salt);
	buf_init(&info, 16384);
	buf_append(&info, for_key, sizeof(for_key));
	buf_append(&info, p->public_key, sizeof(p->public_key));
	buf_append(&info, boot_id, BOOT_ID_LEN);
	buf_append(&info, own->container_id, strlen(own->container_id) + 1);
	buf_append(&info, execution ? execution : "", execution ? strlen(execution) : 0);
	hkdf_sha256(salt, sizeof(salt), shared, sizeof(shared), buf_head(&info), info.len, p->key);
	buf_release(&info);
	secret_clear(salt, sizeof(salt));
	secret_clear(shared, sizeof(shared));
	p->keyed = true;
	return 0;
}

/* ---- frames ----------------------------------------------------------------------------------- */

void proof_sign(struct proof *p, enum session_role from, struct buf *frame)
{
	uint8_t mac[PROOF_LEN];
	int rc;

	assert(p->keyed);
	mac_of_frame(p, from, buf_head(frame), frame->len, mac);
	if (from == SESSION_AGENT)
		memcpy(p->hello, mac, PROOF_LEN);
	rc = buf_append(frame, trailer, sizeof(trailer));
	rc |= buf_append(frame, mac, PROOF_LEN);
	assert(rc == 0); /* FRAME_HANDSHAKE_MAX has room for it */
	(void)rc;
}

int proof_check(struct proof *p, enum session_role from, const uint8_t *frame, size_t *n, struct err *err)
{
	uint8_t right[PROOF_LEN];
	size_t len = *n - PROOF_TRAILER_LEN;

	assert(p->keyed);
	if (*n <= PROOF_TRAILER_LEN || memcmp(frame + len, trailer, sizeof(trailer)) != 0)
		return err_set(err, ERR_DENIED, "the handshake comes without its proof");
	mac_of_frame(p, from, frame, len, right);
	if (!secret_equal(frame + len + sizeof(trailer), right, PROOF_LEN))
		return err_set(err, ERR_DENIED, "the proof in the handshake is wrong");
	if (from == SESSION_AGENT)
		memcpy(p->hello, right, PROOF_LEN);
	*n = len;
	return 0;
}
