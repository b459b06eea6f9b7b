/* A lost execution's successor: whose it is, how long it waits, when there is none any more. */
#include "base/clock.h"
#include "cloud/lifecycle_ops.h"
#include "state/exec.h"
#include "state_fixture.h"

#define IN_A_ROW_MAX 10
#define A_SECOND 1000000000LL

static struct lifecycle l;
static struct slot *s;
static struct container *c;

static void open_execs(void)
{
	struct err err = {0};

	f.g.execs = execs_new(&f.g, &err);
	cr_assert_not_null(f.g.execs, "%s", err.msg);
	c = containers_find(f.g.containers, "web", NULL);
}

static void runs(void)
{
	cr_assert_eq(container_set_starting(c, "token", NULL), 0);
	cr_assert_eq(container_set_running(c, 7, clock_wall_ns(), NULL), 0);
}

static void setup(void)
{
	fixture_setup();
	l.g = &f.g;
	fixture_container("web");
	open_execs();
	cr_assert_eq(container_set_host_config(c, json_pack("{s:{s:s}}", "RestartPolicy", "Name", "always"), NULL), 0);
	s = slot_get(&l, c->id);
	runs();
}

static void teardown(void)
{
	again_end(s);
	slot_release(s);
	cr_expect_null(l.slots);
	execs_free(f.g.execs);
	fixture_teardown();
}

TestSuite(again, .init = setup, .fini = teardown);

static bool lose(int64_t after_ns)
{
	return again_after_end(s, c, 137, c->started_ns + after_ns, true);
}

/* As if the pause were over and the successor ran: in it, main has been run anew. */
static void runs_again(void)
{
	cr_assert(again_end(s));
	runs();
}

static int pause_ms(void)
{
	fixture_turn(); /* what was closed is gone */
	return uv_backend_timeout(&f.loop);
}

Test(again, a_lost_execution_has_a_successor_as_the_policy_says)
{
	cr_expect(lose(A_SECOND));
	cr_expect(c->restarting);
	cr_expect(c->output_incomplete);
	cr_expect_eq(c->restart_count, 1);
	cr_expect_eq(c->exit_code, 137);
	cr_expect_not(lose(A_SECOND), "one at a time");
	runs_again();
	cr_assert_eq(container_set_host_config(c, json_pack("{s:{s:s}}", "RestartPolicy", "Name", "no"), NULL), 0);
	cr_expect_not(lose(A_SECOND));
}

Test(again, a_stop_by_hand_has_none)
{
	cr_assert_eq(container_set_stop_asked(c, true, NULL), 0);
	cr_expect_not(lose(A_SECOND));
	cr_expect_not(again_end(s));
}

Test(again, the_pause_doubles_and_the_budget_ends)
{
	for (int i = 1; i <= IN_A_ROW_MAX; i++) {
		int due = 1000 << (i - 1), want = due > 300000 ? 300000 : due;

		cr_assert(lose(A_SECOND), "lost %d times", i);
		cr_expect(pause_ms() > want - 1000 && pause_ms() <= want, "pause %d is %d ms", i, pause_ms());
		runs_again();
	}
	cr_expect_not(lose(A_SECOND), "given up");
	cr_expect_not(again_end(s));
	cr_expect_eq(c->restart_count, IN_A_ROW_MAX);
}

Test(again, a_long_run_starts_the_count_over)
{
	for (int i = 0; i < 5; i++) {
		cr_assert(lose(A_SECOND));
		runs_again();
	}
	cr_assert(lose(11 * 60 * A_SECOND));
	cr_expect_eq(c->executions_lost, 1);
}

Test(again, a_start_by_hand_starts_the_count_over)
{
	cr_assert(lose(A_SECOND));
	again_end(s);
	cr_assert_eq(container_set_exited(c, 137, clock_wall_ns(), true, NULL), 0);
	runs();
	cr_expect_eq(c->executions_lost, 0);
}

Test(again, a_failed_start_of_the_successor_counts_too)
{
	cr_assert(lose(A_SECOND));
	for (int i = 2; i <= IN_A_ROW_MAX; i++) {
		cr_assert(again_end(s));
		cr_assert_eq(container_set_starting(c, "token", NULL), 0);
		cr_assert(again_after_failed_start(s, c), "failed %d times", i);
	}
	cr_assert(again_end(s));
	cr_expect_not(again_after_failed_start(s, c));
	cr_expect_not(again_end(s));
}

/* Its agent has told the end; Cloud Run tells it once more, long before the pause is over. */
Test(again, an_execution_is_lost_once)
{
	cr_assert(lose(A_SECOND));
	run_lost(s, c, 137, "told again");
	cr_expect_eq(c->state, CONTAINER_RUNNING);
	cr_expect(c->restarting);
	cr_expect_eq(c->executions_lost, 1);
}

static void never(void *ctx)
{
	cr_assert_fail("the timer has fired");
}

Test(again, a_slot_stays_while_a_timer_points_to_it)
{
	s->hang_up = timer_start(f.g.loop, 60000, never, s);
	slot_release(s);
	cr_assert_eq(l.slots, s);
	timer_cancel(&s->hang_up);
}

Test(again, a_failed_start_by_hand_is_not_tried_again)
{
	cr_assert_eq(container_set_exited(c, 0, clock_wall_ns(), false, NULL), 0);
	cr_assert_eq(container_set_starting(c, "token", NULL), 0);
	cr_expect_not(again_after_failed_start(s, c));
}

Test(again, another_gateway_process_goes_on_counting)
{
	for (int i = 1; i < IN_A_ROW_MAX; i++) {
		cr_assert(lose(A_SECOND));
		runs_again();
	}
	execs_free(f.g.execs);
	fixture_reopen();
	open_execs();
	cr_expect_eq(c->executions_lost, IN_A_ROW_MAX - 1);
	cr_assert(lose(A_SECOND));
	runs_again();
	cr_expect_not(lose(A_SECOND));
}
