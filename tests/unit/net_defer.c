/* net/defer: order, rounds, and timers that may be cancelled anywhere. */
#include "net_fixture.h"

static char trace[64];

static void note(void *p)
{
	if (*(char *)p)
		trace[strlen(trace)] = *(char *)p;
}

static void note_and_defer(void *p)
{
	note(p);
	loop_defer(&loop, note, "x");
}

Test(defer, runs_in_order_and_not_inside_the_call)
{
	world_open();
	loop_defer(&loop, note, "a");
	loop_defer(&loop, note, "b");
	cr_assert_str_eq(trace, "");
	uv_run(&loop, UV_RUN_DEFAULT);
	cr_assert_str_eq(trace, "ab");
	world_close();
}

Test(defer, what_a_deferred_function_defers_waits_for_the_next_round)
{
	world_open();
	loop_defer(&loop, note_and_defer, "a");
	loop_defer(&loop, note, "b");
	uv_run(&loop, UV_RUN_NOWAIT);
	cr_assert_str_eq(trace, "ab");
	uv_run(&loop, UV_RUN_NOWAIT);
	cr_assert_str_eq(trace, "abx");
	world_close();
}

static size_t n_counted;

static void count(void *p)
{
	cr_assert_eq((size_t)p, n_counted);
	n_counted++;
	if (n_counted < 5000 && n_counted % 3 == 0)
		for (size_t i = 0; i < 2; i++) /* more come than go, then fewer: grows and slides */
			loop_defer(&loop, note, "");
}

Test(defer, keeps_order_while_the_queue_grows)
{
	world_open();
	for (size_t i = 0; i < 10000; i++)
		loop_defer(&loop, count, (void *)i);
	uv_run(&loop, UV_RUN_DEFAULT);
	cr_assert_eq(n_counted, 10000);
	world_close();
}

Test(defer, finish_runs_what_is_left)
{
	world_open();
	loop_defer(&loop, note_and_defer, "a");
	loop_defer_finish(&loop);
	cr_assert_str_eq(trace, "ax");
	loop_defer_finish(&loop);
	world_close();
}

static struct timer *own;

static void cancel_own(void *p)
{
	note(p);
	timer_cancel(&own);
	cr_assert_null(own);
}

Test(timer, fires_once_and_may_cancel_itself)
{
	world_open();
	own = timer_start(&loop, 1, cancel_own, "t");
	uv_run(&loop, UV_RUN_DEFAULT);
	cr_assert_str_eq(trace, "t");
	world_close();
}

Test(timer, cancelled_never_fires)
{
	struct timer *t, *none = NULL;

	world_open();
	t = timer_start(&loop, 0, note, "t");
	timer_cancel(&t);
	cr_assert_null(t);
	timer_cancel(&t);
	timer_cancel(&none);
	uv_run(&loop, UV_RUN_DEFAULT);
	cr_assert_str_eq(trace, "");
	world_close();
}
