/* Who holds a container (R21, R23): agents that call at the same door, each with a link of its own. */
#include "agents/enrol.h"
#include "agents/registry.h"
#include "agents/tunnel.h"
#include "session.h"
#include "state/exec.h"
#include "state_fixture.h"

struct caller {
	struct link link;        /* first: a struct link is a struct caller */
	struct session *session;
	uint8_t boot;
	const char *execution;
	uint32_t attempt;
	uint64_t link_no;
	bool proves, closed;
	struct proof_pair pair;
	struct proof dialled, proof; /* its own side of the link, and the gateway's */
	uint8_t key[PROOF_LEN];
	bool has_key;
	int refused;             /* verdict of the WELCOME that was sent to it; -1 = none */
	uint32_t retry_after_ms;
};

static struct config config;
static struct container *box;
static struct caller one, two, three;
static unsigned ups, losses;

static size_t on_data(void *ctx, struct stream *st, const uint8_t *p, size_t n) { return n; }
static void on_stream(void *ctx, struct stream *st) {}
static void on_reset(void *ctx, struct stream *st, uint32_t code) {}
static void on_control(void *ctx, const struct control *c) {}
static void on_wake(void *ctx) {}
static const struct session_ops agent_ops = {
	.on_data = on_data, .on_fin = on_stream, .on_reset = on_reset, .on_writable = on_stream,
	.on_control = on_control, .on_wake = on_wake,
};

static void take_refusal(struct caller *c, const struct buf *frame)
{
	struct err err;

	session_receive(c->session, buf_head(frame), frame->len, 1, &err);
	c->refused = session_verdict(c->session, &c->retry_after_ms);
}

static void link_wake(struct link *l) {}
static void link_close(struct link *l) { ((struct caller *)l)->closed = true; }
static const char *link_peer(const struct link *l) { return "test"; }
static size_t link_queue(const struct link *l) { return 0; }
static void link_refuse(struct link *l, const struct buf *frame) { take_refusal((struct caller *)l, frame); }
static const struct link_ops link_ops = {
	.wake = link_wake, .close = link_close, .refuse = link_refuse, .peer = link_peer, .queue = link_queue,
};

static void agent_up(void *ctx, struct container *c) { ups++; }
static void agent_lost(void *ctx, struct container *c) { losses++; }
static void main_exited(void *ctx, struct container *c, const struct exit_status *status) {}
static void main_restarting(void *ctx, struct container *c, const struct exit_status *status, uint32_t count) {}
static const struct tunnel_observer observer = {
	.agent_up = agent_up, .agent_lost = agent_lost, .main_exited = main_exited, .main_restarting = main_restarting,
};

static void new_caller(struct caller *c, uint8_t boot, uint32_t attempt)
{
	uint8_t id[BOOT_ID_LEN] = { boot };

	*c = (struct caller){ .link.ops = &link_ops, .boot = boot, .attempt = attempt, .execution = "run-1", .refused = -1 };
	c->session = session_new(SESSION_AGENT, id, &agent_ops, c);
}

static void begin(int64_t rate)
{
	struct err err;

	fixture_setup();
	config.agent_rate = rate;
	f.g.config = &config;
	f.g.execs = execs_new(&f.g, &err);
	f.g.registry = registry_new(&f.g);
	registry_observe(f.g.registry, &observer, NULL);
	box = fixture_container("box");
	new_caller(&one, 1, 0);
	new_caller(&two, 2, 0);
	new_caller(&three, 3, 0);
}

static void setup(void) { begin(0); }

static void teardown(void)
{
	registry_free(f.g.registry);
	session_free(one.session);
	session_free(two.session);
	session_free(three.session);
	execs_free(f.g.execs);
	fixture_teardown();
}

TestSuite(agents, .init = setup, .fini = teardown);
TestSuite(crowd, .fini = teardown);

/* The upgrade, for those that prove themselves. */
static int upgrade(struct caller *c)
{
	struct proof_own own = { .role = SESSION_AGENT, .pair = &c->pair, .container_id = box->id, .token = box->token,
				 .key = c->has_key ? c->key : NULL };
	uint8_t boot[BOOT_ID_LEN] = { c->boot };
	char text[PROOF_TEXT_MAX];
	struct err err;

	proof_request(&c->dialled, &own, text);
	if (enrol_take_request(registry_enrolment(f.g.registry), box, text, &c->proof, &err) < 0)
		return -1;
	c->link.proof = &c->proof;
	proof_answer(&c->proof, SESSION_GATEWAY, text);
	cr_assert_eq(proof_take_answer(&c->dialled, &own, text, &err), 0, "%s", err.msg);
	cr_assert_eq(proof_make_key(&c->dialled, &own, c->execution, boot, &err), 0);
	session_set_proof(c->session, &c->dialled);
	return 0;
}

/* It reads its WELCOME, and that is the gateway's. */
static void is_welcomed(struct caller *c)
{
	struct frame_out out;
	struct err err;

	cr_assert_eq(tunnel_next_frame(box->tunnel, &out), 1);
	cr_assert_eq(session_receive(c->session, out.head, out.head_len, 1, &err), 0, "%s", err.msg);
	memcpy(c->key, c->dialled.key, PROOF_LEN);
	c->has_key = true;
}

/* HELLO on a new link. 0: it is in, or has to wait; else its refusal has come. */
static int calls(struct caller *c)
{
	struct hello h = { .container_id = xstrdup(box->id), .execution = xstrdup(c->execution), .task_attempt = c->attempt,
			   .link_no = ++c->link_no };
	struct frame_out out;
	struct buf refusal;
	struct err err;
	int rc;

	c->closed = false;
	c->refused = -1;
	if (c->proves)
		cr_assert_eq(upgrade(c), 0);
	h.procs = xcalloc(1, sizeof(*h.procs));
	h.n_procs = 1;
	h.procs[0] = (struct proc_row){ .channel = 1, .exec_id = xstrdup(""), .state = PROC_RUNNING, .pid = 7 };
	session_hello(c->session, &h, 1);
	hello_release(&h);
	cr_assert_eq(session_next_frame(c->session, &out, 1), 1);
	buf_init(&refusal, FRAME_MAX);
	rc = registry_hello(f.g.registry, box->id, &c->link, out.head, out.head_len, &refusal, &err);
	if (rc < 0)
		take_refusal(c, &refusal);
	buf_release(&refusal);
	return rc;
}

static void hangs_up(struct caller *c)
{
	registry_link_gone(f.g.registry, &c->link);
}

static bool holds(const struct caller *c)
{
	return box->tunnel && c->link.tunnel == box->tunnel && tunnel_boot_id(box->tunnel)[0] == c->boot;
}

static uint64_t takeovers(enum replacement cause)
{
	struct registry_totals t;

	registry_totals(f.g.registry, &t);
	return t.takeovers[cause];
}

Test(agents, a_later_link_of_the_same_agent_wins_at_once)
{
	static struct caller again;

	cr_assert_eq(calls(&one), 0);
	cr_assert(holds(&one));
	again = one; /* but for the link */
	again.link.tunnel = NULL;
	cr_assert_eq(calls(&again), 0);
	cr_assert(holds(&again));
	cr_assert(one.closed);
	cr_assert_null(one.link.tunnel);
	cr_assert_eq(takeovers(TAKEOVER_LINK), 1);
	hangs_up(&one); /* late, and of no effect */
	cr_assert(tunnel_is_up(box->tunnel));
	cr_assert_eq(losses, 0);
	one.link_no = 0;
	cr_assert_lt(calls(&one), 0, "an earlier one");
	cr_assert_eq(one.refused, WELCOME_RETRY);
	cr_assert(holds(&again));
}

Test(agents, a_later_attempt_wins_and_an_earlier_one_is_sent_away)
{
	two.attempt = 1;
	cr_assert_eq(calls(&one), 0);
	cr_assert_eq(calls(&two), 0);
	cr_assert(holds(&two));
	cr_assert(one.closed);
	cr_assert_eq(takeovers(TAKEOVER_ATTEMPT), 1);
	cr_assert_lt(calls(&one), 0);
	cr_assert_eq(one.refused, WELCOME_SUPERSEDED);
	cr_assert(holds(&two));
}

Test(agents, one_without_a_link_is_replaced_at_once)
{
	cr_assert_eq(calls(&one), 0);
	hangs_up(&one);
	cr_assert_eq(losses, 1);
	cr_assert_eq(calls(&two), 0);
	cr_assert(holds(&two));
	cr_assert_eq(takeovers(TAKEOVER_SILENT), 1);
}

static void run_until_settled(void)
{
	while (two.refused < 0 && !two.link.tunnel)
		uv_run(f.g.loop, UV_RUN_ONCE);
}

Test(agents, one_that_is_silent_when_asked_is_replaced)
{
	cr_assert_eq(calls(&one), 0);
	cr_assert_eq(calls(&two), 0);
	cr_assert(holds(&one), "it is asked first");
	cr_assert_lt(calls(&three), 0, "one at a time");
	cr_assert_eq(three.refused, WELCOME_RETRY);
	run_until_settled();
	cr_assert(holds(&two));
	cr_assert(one.closed);
	cr_assert_eq(takeovers(TAKEOVER_SILENT), 1);
}

static void answer(uv_timer_t *h)
{
	static const uint8_t pong[] = { 5, 0x2a, 9, 9, 1, 0, 0, 0, 0, 0, 0, 0 };
	struct err err;

	cr_assert_eq(tunnel_receive(box->tunnel, pong, sizeof(pong), &err), 0, "%s", err.msg);
}

Test(agents, one_that_answers_keeps_its_container)
{
	struct frame_out out;
	static uv_timer_t later;
	bool pinged = false;

	cr_assert_eq(calls(&one), 0);
	while (tunnel_next_frame(box->tunnel, &out))
		;
	cr_assert_eq(calls(&two), 0);
	while (tunnel_next_frame(box->tunnel, &out))
		pinged = pinged || (out.head[0] == 5 && out.head[1] == 0x22);
	cr_assert(pinged);
	uv_timer_init(f.g.loop, &later);
	uv_timer_start(&later, answer, 0, 0); /* within the millisecond, as one nearby does */
	run_until_settled();
	uv_close((uv_handle_t *)&later, NULL);
	cr_assert_eq(two.refused, WELCOME_DUPLICATE);
	cr_assert(holds(&one));
	cr_assert_eq(takeovers(TAKEOVER_REFUSED), 1);
}

Test(agents, a_newcomer_that_goes_ends_the_question)
{
	cr_assert_eq(calls(&one), 0);
	cr_assert_eq(calls(&two), 0);
	hangs_up(&two);
	cr_assert_eq(calls(&three), 0, "the next is asked for anew");
	cr_assert(holds(&one));
	hangs_up(&three);
}

Test(agents, a_new_run_waits_for_the_former_link)
{
	two.execution = "run-2";
	cr_assert_eq(calls(&one), 0);
	cr_assert_lt(calls(&two), 0);
	cr_assert_eq(two.refused, WELCOME_RETRY);
	hangs_up(&one);
	cr_assert_eq(calls(&two), 0);
	cr_assert(holds(&two));
	cr_assert_eq(takeovers(TAKEOVER_RUN), 1);
}

Test(crowd, too_many_at_once_are_told_when_to_come_back)
{
	unsigned refused = 0;

	begin(5);
	for (int i = 0; i < 20; i++) {
		refused += calls(&one) < 0;
		if (one.refused >= 0) {
			cr_assert_eq(one.refused, WELCOME_RETRY);
			cr_assert_geq(one.retry_after_ms, (refused - 1) * 200);
		}
		if (i % 2)
			hangs_up(&one);
	}
	cr_assert_geq(refused, 3);
	cr_assert(calls(&one) < 0 || holds(&one));
}

Test(crowd, who_renews_a_link_is_not_counted)
{
	begin(1);
	cr_assert_eq(calls(&one), 0);
	for (int i = 0; i < 50; i++)
		cr_assert_eq(calls(&one), 0);
	cr_assert(holds(&one));
}

/* ---- tokens that serve once (R24) ---------------------------------------------------------------- */

static void enrolled(struct caller *c)
{
	c->proves = true;
	proof_pair_new(&c->pair);
	cr_assert_eq(calls(c), 0);
	cr_assert(holds(c));
	is_welcomed(c);
}

static void wants_to_enrol(struct caller *c)
{
	c->proves = true;
	proof_pair_new(&c->pair);
}

static void setup_token(void)
{
	begin(0);
	cr_assert_eq(container_set_starting(box, "a token", NULL), 0);
}

TestSuite(token, .init = setup_token, .fini = teardown);

Test(token, it_is_exchanged_for_a_key_and_is_worth_nothing_afterwards)
{
	char key[ID_HEX_MAX];
	struct err err;

	cr_expect_eq(registry_authorize(f.g.registry, box->id, "a token", &err), 0, "an older agent may come with it");
	enrolled(&one);
	hex_encode(one.key, PROOF_LEN, key);
	cr_expect_str_eq(box->agent_key, key);
	cr_expect_eq(registry_authorize(f.g.registry, box->id, "a token", &err), -1);
	cr_expect_eq(err.kind, ERR_DENIED);
	cr_expect_lt(calls(&two), 0, "not even with an upgrade from before");
	cr_expect(holds(&one));
}

Test(token, the_key_resumes_without_being_made_again)
{
	char before[ID_HEX_MAX];

	enrolled(&one);
	memcpy(before, box->agent_key, sizeof(before));
	hangs_up(&one);
	cr_assert_eq(calls(&one), 0);
	cr_expect(one.proof.resumes);
	is_welcomed(&one);
	cr_expect_str_eq(box->agent_key, before);
	cr_expect_eq(takeovers(TAKEOVER_SILENT), 0);
}

Test(token, a_welcome_that_was_lost_does_not_lock_out)
{
	wants_to_enrol(&one);
	cr_assert_eq(calls(&one), 0); /* and never hears of it */
	hangs_up(&one);
	cr_assert_eq(calls(&one), 0, "the same process enrols again");
	cr_expect(holds(&one));
	cr_expect_not(one.proof.resumes);
	is_welcomed(&one);
	hangs_up(&one);
	cr_assert_eq(calls(&one), 0);
	cr_expect(one.proof.resumes);
}

Test(token, the_key_is_in_the_record_and_nowhere_else)
{
	json_t *record;

	enrolled(&one);
	record = container_record(box); /* what is put into the job's annotations */
	cr_expect_null(json_object_get(record, "agentKey"));
	cr_expect_null(json_object_get(record, "token"));
	json_decref(record);
	registry_free(f.g.registry); /* a crash: another registry, the record as it was */
	f.g.registry = registry_new(&f.g);
	registry_observe(f.g.registry, &observer, NULL);
	one.link = (struct link){ .ops = &link_ops };
	cr_assert_eq(calls(&one), 0);
	cr_expect(one.proof.resumes);
	cr_expect(holds(&one));
}

Test(token, a_gateway_that_has_lost_its_memory_takes_the_token_once_more)
{
	enrolled(&one);
	hangs_up(&one);
	registry_drop(f.g.registry, box);
	box->agent_key[0] = box->agent_public[0] = '\0';
	cr_assert_eq(calls(&one), 0);
	cr_expect_not(one.proof.resumes);
	cr_expect(holds(&one));
	is_welcomed(&one);
	cr_expect_neq(box->agent_key[0], '\0');
}

Test(token, a_second_one_that_has_it_waits_for_the_first_to_come_back)
{
	enrolled(&one);
	hangs_up(&one);
	wants_to_enrol(&two);
	two.attempt = 7; /* says it */
	cr_assert_lt(calls(&two), 0);
	cr_expect_eq(two.refused, WELCOME_RETRY, "and its refusal is proved");
	cr_expect_gt(two.retry_after_ms, 5000);
	cr_assert_eq(calls(&one), 0);
	cr_expect(holds(&one) && one.proof.resumes);
	registry_drop(f.g.registry, box);
	one.link.tunnel = NULL;
	cr_assert_lt(calls(&two), 0, "nor is it let in when the gateway has just begun");
	cr_expect_eq(two.refused, WELCOME_RETRY);
}

Test(token, a_later_attempt_is_not_believed_at_once)
{
	enrolled(&one);
	wants_to_enrol(&two);
	two.attempt = 7;
	cr_assert_eq(calls(&two), 0);
	cr_expect(holds(&one), "the first is asked");
	hangs_up(&two);
	wants_to_enrol(&three);
	three.boot = one.boot; /* nor is a name that was heard */
	session_free(three.session);
	three.session = session_new(SESSION_AGENT, (uint8_t[BOOT_ID_LEN]){ one.boot }, &agent_ops, &three);
	three.link_no = 100;
	cr_assert_eq(calls(&three), 0);
	cr_expect(holds(&one), "the first is asked");
	cr_expect_null(three.link.tunnel);
	hangs_up(&three);
}

Test(token, one_that_is_silent_is_replaced_and_its_key_with_it)
{
	char before[ID_HEX_MAX];

	enrolled(&one);
	memcpy(before, box->agent_key, sizeof(before));
	wants_to_enrol(&two);
	cr_assert_eq(calls(&two), 0);
	run_until_settled();
	cr_assert(holds(&two));
	cr_expect_str_neq(box->agent_key, before);
	is_welcomed(&two);
	cr_assert_eq(calls(&one), 0, "it may ask");
	cr_expect_not(one.proof.resumes);
	cr_expect(holds(&two), "but is one of no rank now");
	hangs_up(&one);
}

Test(token, a_new_run_has_a_token_of_its_own)
{
	struct err err;

	enrolled(&one);
	cr_assert_eq(container_set_starting(box, "another token", NULL), 0);
	cr_expect_eq(box->agent_key[0], '\0');
	cr_expect_eq(registry_authorize(f.g.registry, box->id, "a token", &err), -1);
	cr_expect_eq(registry_authorize(f.g.registry, box->id, "another token", &err), 0);
	cr_assert_lt(calls(&one), 0, "as of a fixed token: the former agent is not to have the new run's");
	cr_expect_eq(one.refused, WELCOME_RETRY);
	cr_expect_eq(box->agent_key[0], '\0');
}
