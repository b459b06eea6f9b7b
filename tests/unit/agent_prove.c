/* The agent's side of proofs: for whom it makes a key, and for how long it insists on the one it has (R24). */
#include <criterion/criterion.h>
#include <string.h>

#include "../../src/agent/prove.h"
#include "base/clock.h"

static struct config cfg;
static struct agent agent;
static struct prover prover;
static struct proof_pair pair;       /* the gateway's */
static struct proof_own gateway;
static struct proof calls, taken;
static uint8_t key[PROOF_LEN];
static char text[PROOF_TEXT_MAX];
static struct err err;

static size_t on_data(void *ctx, struct stream *st, const uint8_t *p, size_t n) { return n; }
static void on_stream(void *ctx, struct stream *st) {}
static void on_reset(void *ctx, struct stream *st, uint32_t code) {}
static void on_control(void *ctx, const struct control *c) {}
static void on_wake(void *ctx) {}
static const struct session_ops ops = {
	.on_data = on_data, .on_fin = on_stream, .on_reset = on_reset, .on_writable = on_stream,
	.on_control = on_control, .on_wake = on_wake,
};

static void setup(void)
{
	cfg = (struct config){ .container_id = "abc", .token = "token", .execution = "run", .proofs = true };
	agent = (struct agent){ .cfg = &cfg, .boot_id = { 9 } };
	agent.session = session_new(SESSION_AGENT, agent.boot_id, &ops, NULL);
	prover_init(&prover, &agent);
	proof_pair_new(&pair);
	gateway = (struct proof_own){ .role = SESSION_GATEWAY, .pair = &pair, .container_id = "abc", .token = "token" };
}

static void teardown(void)
{
	session_free(agent.session);
}

TestSuite(prove, .init = setup, .fini = teardown);

static int gateway_calls(bool up)
{
	proof_request(&calls, &gateway, text);
	return prover_take_request(&prover, text, up, &taken, &err);
}

static void enrol(void)
{
	cr_assert_eq(gateway_calls(false), 0, "%s", err.msg);
	cr_assert_not(taken.resumes);
	cr_assert_eq(prover_begin(&prover, &taken, &err), 0);
	prover_proved(&prover);
	memcpy(key, prover.key, sizeof(key));
	gateway.key = key;
}

Test(prove, a_key_that_was_proved_is_asked_for_from_then_on)
{
	enrol();
	cr_assert_eq(gateway_calls(true), 0, "%s", err.msg);
	cr_expect(taken.resumes);
	cr_assert_eq(prover_begin(&prover, &taken, &err), 0);
	prover_proved(&prover);
	cr_expect_arr_eq(prover.key, key, sizeof(key));
}

Test(prove, a_key_without_a_right_welcome_is_none)
{
	cr_assert_eq(gateway_calls(false), 0);
	cr_assert_eq(prover_begin(&prover, &taken, &err), 0);
	cr_expect_not(prover.has_key);
	cr_assert_eq(gateway_calls(false), 0, "it may try again at once");
	cr_expect_not(taken.resumes);
}

Test(prove, the_token_does_not_move_it_while_the_gateway_is_here_or_just_gone)
{
	enrol();
	gateway.key = NULL;
	cr_expect_eq(gateway_calls(true), -1);
	prover.seen_ms -= 10 * PROVE_ENROL_AGAIN_MS;
	cr_expect_eq(gateway_calls(true), -1, "however long it is here");
	prover_left(&prover);
	cr_expect_eq(gateway_calls(false), -1);
	prover.seen_ms -= PROVE_ENROL_AGAIN_MS;
	cr_expect_eq(gateway_calls(false), 0, "its disk is lost");
	cr_expect_not(taken.resumes);
}

Test(prove, the_first_gateway_goes_before_one_that_came_with_the_token_since)
{
	uint8_t first[PROOF_LEN];

	enrol();
	memcpy(first, key, sizeof(first));
	prover.seen_ms -= PROVE_ENROL_AGAIN_MS;
	gateway.key = NULL;
	proof_pair_new(&pair);
	enrol();
	cr_expect_arr_neq(key, first, sizeof(key));
	cr_assert_eq(gateway_calls(true), 0, "by the key it has made");
	cr_expect(taken.resumes);
	gateway.key = first;
	cr_assert_eq(gateway_calls(true), 0, "%s", err.msg);
	cr_expect(taken.resumes);
	cr_expect_arr_eq(taken.key, first, sizeof(first));
}

Test(prove, a_gateway_that_answers_without_a_proof_is_not_believed)
{
	prover_request(&prover, text);
	cr_expect_eq(prover_take_answer(&prover, NULL, &err), -1);
	cr_expect_eq(prover_take_answer(&prover, "", &err), -1);
	cr_assert_eq(proof_take_request(&calls, &gateway, text, true, &err), 0);
	proof_answer(&calls, SESSION_GATEWAY, text);
	cr_expect_eq(prover_take_answer(&prover, text, &err), 0);
}
