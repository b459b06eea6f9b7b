/* Proofs (R24): two sides that have the token make a key and know each other again by it; nobody else is let in. */
#include <criterion/criterion.h>
#include <string.h>

#include "proof.h"

#define TOKEN "the token of one execution"
#define ID "c0ffee"
#define RUN "job-x7k2p"

static const uint8_t boot[BOOT_ID_LEN] = { 1, 2, 3 }, other_boot[BOOT_ID_LEN] = { 4 };
static struct proof_pair pairs[3];      /* the agent's, the gateway's, a stranger's */
static struct err err;

struct party {
	struct proof_own own;
	struct proof proof;
	char text[PROOF_TEXT_MAX];
	struct buf frame;
};
static struct party agent, gateway;

static void party_init(struct party *p, enum session_role role, const char *token)
{
	*p = (struct party){ .own = { .role = role, .pair = &pairs[role], .container_id = ID, .token = token } };
	buf_init(&p->frame, 4096);
}

static void setup(void)
{
	for (int i = 0; i < 3; i++)
		proof_pair_new(&pairs[i]);
	party_init(&agent, SESSION_AGENT, TOKEN);
	party_init(&gateway, SESSION_GATEWAY, TOKEN);
}

static void teardown(void)
{
	buf_release(&agent.frame);
	buf_release(&gateway.frame);
}

TestSuite(proof, .init = setup, .fini = teardown);

/* The upgrade. */
static int call(struct party *from, struct party *to)
{
	proof_request(&from->proof, &from->own, from->text);
	if (proof_take_request(&to->proof, &to->own, from->text, true, &err) < 0)
		return -1;
	proof_answer(&to->proof, to->own.role, to->text);
	return proof_take_answer(&from->proof, &from->own, to->text, &err);
}

static void make_keys(void)
{
	cr_assert_eq(proof_make_key(&agent.proof, &agent.own, RUN, boot, &err), 0);
	cr_assert_eq(proof_make_key(&gateway.proof, &gateway.own, RUN, boot, &err), 0);
}

/* One frame of `from`, with its proof. */
static int says(struct party *from, struct party *to, const char *text)
{
	size_t n;
	int rc;

	buf_consume(&from->frame, from->frame.len);
	buf_append(&from->frame, text, strlen(text));
	proof_sign(&from->proof, from->own.role, &from->frame);
	n = from->frame.len;
	rc = proof_check(&to->proof, from->own.role, buf_head(&from->frame), &n, &err);
	if (rc == 0)
		cr_expect_eq(n, strlen(text));
	return rc;
}

static uint8_t kept[2][PROOF_LEN];

static void enrol(struct party *from, struct party *to)
{
	cr_assert_eq(call(from, to), 0, "%s", err.msg);
	cr_expect_not(agent.proof.resumes);
	make_keys();
	cr_assert_eq(says(&agent, &gateway, "hello"), 0, "%s", err.msg);
	cr_assert_eq(says(&gateway, &agent, "welcome"), 0, "%s", err.msg);
	cr_assert_arr_eq(agent.proof.key, gateway.proof.key, PROOF_LEN);
	memcpy(kept[0], agent.proof.key, PROOF_LEN);
	memcpy(kept[1], agent.proof.key, PROOF_LEN);
	agent.own.key = kept[0];
	gateway.own.key = kept[1];
}

Test(proof, whoever_dials_a_key_is_made_and_serves_from_then_on)
{
	for (int forward = 0; forward < 2; forward++) {
		struct party *from = forward ? &gateway : &agent, *to = forward ? &agent : &gateway;

		agent.own.key = gateway.own.key = NULL;
		enrol(from, to);
		for (int i = 0; i < 3; i++) {
			cr_assert_eq(call(from, to), 0, "%s", err.msg);
			cr_expect(agent.proof.resumes && gateway.proof.resumes);
			make_keys(); /* there is none to make */
			cr_expect_arr_eq(agent.proof.key, kept[0], PROOF_LEN);
			cr_expect_eq(says(&agent, &gateway, "hello"), 0);
			cr_expect_eq(says(&gateway, &agent, "welcome"), 0);
		}
	}
}

Test(proof, neither_token_nor_key_is_ever_sent)
{
	char hex[2 * PROOF_LEN + 1];

	enrol(&agent, &gateway);
	call(&agent, &gateway);
	hex_encode(kept[0], PROOF_LEN, hex);
	cr_expect_null(strstr(agent.text, TOKEN));
	cr_expect_null(strstr(agent.text, hex));
	cr_expect_null(strstr(gateway.text, hex));
}

Test(proof, without_the_token_nobody_is_heard)
{
	agent.own.token = "another token";
	cr_expect_eq(call(&agent, &gateway), -1);
	cr_expect_eq(call(&gateway, &agent), -1);
	agent.own.token = TOKEN;
	agent.own.container_id = "decaf";
	cr_expect_eq(call(&agent, &gateway), -1, "of another container");
}

Test(proof, a_key_is_bound_to_all_it_was_made_for)
{
	enrol(&agent, &gateway);
	agent.own.key = gateway.own.key = NULL;
	cr_assert_eq(call(&agent, &gateway), 0);
	cr_assert_eq(proof_make_key(&agent.proof, &agent.own, RUN, boot, &err), 0);
	cr_assert_eq(proof_make_key(&gateway.proof, &gateway.own, RUN, other_boot, &err), 0);
	cr_expect_eq(says(&agent, &gateway, "hello"), -1, "another boot");
	cr_assert_eq(call(&agent, &gateway), 0);
	cr_assert_eq(proof_make_key(&agent.proof, &agent.own, RUN, boot, &err), 0);
	cr_assert_eq(proof_make_key(&gateway.proof, &gateway.own, "another", boot, &err), 0);
	cr_expect_eq(says(&agent, &gateway, "hello"), -1, "another execution");
}

/* What a thief of the token has: it may call, but the key of the first one is not to be had. */
Test(proof, the_token_alone_does_not_resume)
{
	uint8_t guess[PROOF_LEN] = { 7 };

	enrol(&agent, &gateway);
	agent.own.key = guess;
	agent.own.pair = &pairs[2];
	cr_assert_eq(call(&agent, &gateway), 0, "it may ask to be enrolled");
	cr_expect_not(gateway.proof.resumes);
	make_keys();
	cr_expect_arr_neq(gateway.proof.key, kept[1], PROOF_LEN);
	proof_request(&agent.proof, &agent.own, agent.text);
	cr_expect_eq(proof_take_request(&gateway.proof, &gateway.own, agent.text, false, &err), -1, "where that may not be");
}

Test(proof, the_first_ones_public_key_helps_nobody)
{
	struct proof_pair mixed = pairs[2];

	memcpy(mixed.public_key, pairs[SESSION_AGENT].public_key, X25519_LEN);
	agent.own.pair = &mixed;
	cr_assert_eq(call(&agent, &gateway), 0);
	make_keys();
	cr_expect_eq(says(&agent, &gateway, "hello"), -1);
}

Test(proof, nothing_heard_can_be_said_again)
{
	uint8_t hello[256];
	char call_text[PROOF_TEXT_MAX];
	size_t n;

	enrol(&agent, &gateway);
	cr_assert_eq(call(&agent, &gateway), 0);
	memcpy(call_text, agent.text, sizeof(call_text));
	cr_assert_eq(says(&agent, &gateway, "hello"), 0);
	n = agent.frame.len;
	memcpy(hello, buf_head(&agent.frame), n);
	cr_assert_eq(proof_take_request(&gateway.proof, &gateway.own, call_text, true, &err), 0, "a call can be");
	cr_expect_eq(proof_check(&gateway.proof, SESSION_AGENT, hello, &n, &err), -1, "but not its HELLO");
	proof_answer(&gateway.proof, SESSION_GATEWAY, gateway.text);
	cr_assert_eq(call(&agent, &gateway), 0);
	cr_assert_eq(says(&gateway, &gateway, "welcome"), 0);
	n = gateway.frame.len;
	cr_expect_eq(proof_check(&gateway.proof, SESSION_AGENT, buf_head(&gateway.frame), &n, &err), -1, "nor to its sayer");
}

Test(proof, a_welcome_is_the_answer_to_one_hello)
{
	enrol(&agent, &gateway);
	cr_assert_eq(call(&agent, &gateway), 0);
	cr_assert_eq(says(&agent, &gateway, "hello"), 0);
	agent.proof.hello[0] ^= 1;
	cr_expect_eq(says(&gateway, &agent, "welcome"), -1);
}

Test(proof, every_byte_of_a_frame_counts)
{
	enrol(&agent, &gateway);
	cr_assert_eq(call(&agent, &gateway), 0);
	cr_assert_eq(says(&agent, &gateway, "hello"), 0);
	for (size_t i = 0; i < agent.frame.len; i++) {
		size_t n = agent.frame.len;

		buf_head(&agent.frame)[i] ^= 0x10;
		cr_expect_eq(proof_check(&gateway.proof, SESSION_AGENT, buf_head(&agent.frame), &n, &err), -1, "byte %zu", i);
		buf_head(&agent.frame)[i] ^= 0x10;
	}
	for (size_t n = 0; n < agent.frame.len; n++) {
		size_t less = n;

		cr_expect_eq(proof_check(&gateway.proof, SESSION_AGENT, buf_head(&agent.frame), &less, &err), -1);
	}
}

/* Somebody between the two says "enrol" where the gateway said "resume", or the reverse. */
Test(proof, a_changed_answer_is_found_out)
{
	char forged[PROOF_TEXT_MAX];

	enrol(&agent, &gateway);
	proof_request(&agent.proof, &agent.own, agent.text);
	cr_assert_eq(proof_take_request(&gateway.proof, &gateway.own, agent.text, true, &err), 0);
	proof_answer(&gateway.proof, SESSION_GATEWAY, gateway.text);
	snprintf(forged, sizeof(forged), "enrol %s", strchr(gateway.text, ' ') + 1);
	cr_assert_eq(proof_take_answer(&agent.proof, &agent.own, forged, &err), 0);
	make_keys();
	cr_expect_eq(says(&agent, &gateway, "hello"), -1);
	agent.own.key = NULL;
	cr_expect_eq(proof_take_answer(&agent.proof, &agent.own, gateway.text, &err), -1, "no key to resume with");
}

Test(proof, the_others_public_key_must_make_a_secret)
{
	cr_assert_eq(call(&agent, &gateway), 0);
	memset(gateway.proof.public_key[SESSION_AGENT], 0, X25519_LEN);
	cr_expect_eq(proof_make_key(&gateway.proof, &gateway.own, RUN, boot, &err), -1);
}

Test(proof, what_is_no_proof_is_refused)
{
	static const char *const bad[] = { "", "Sockerless", "Sockerless ", "Bearer " TOKEN, "Sockerless 00.11.22", "sockerless x" };
	char cut[PROOF_TEXT_MAX];

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		cr_expect_eq(proof_take_request(&gateway.proof, &gateway.own, bad[i], true, &err), -1, "%s", bad[i]);
		cr_expect_eq(proof_take_answer(&agent.proof, &agent.own, bad[i], &err), -1, "%s", bad[i]);
	}
	cr_expect_eq(proof_take_request(&gateway.proof, &gateway.own, NULL, true, &err), -1);
	cr_expect_eq(proof_take_answer(&agent.proof, &agent.own, NULL, &err), -1);
	enrol(&agent, &gateway);
	proof_request(&agent.proof, &agent.own, agent.text);
	cr_assert_lt(strlen(agent.text), PROOF_TEXT_MAX);
	for (size_t n = 0; n < strlen(agent.text); n++) {
		snprintf(cut, n + 1, "%s", agent.text);
		if (proof_take_request(&gateway.proof, &gateway.own, cut, true, &err) == 0)
			cr_expect_not(gateway.proof.resumes, "%zu bytes: by the token", n);
	}
	proof_answer(&gateway.proof, SESSION_GATEWAY, gateway.text);
	for (size_t n = 0; n < strlen(gateway.text); n++) {
		snprintf(cut, n + 1, "%s", gateway.text);
		cr_expect_eq(proof_take_answer(&agent.proof, &agent.own, cut, &err), -1, "%zu bytes", n);
	}
}
