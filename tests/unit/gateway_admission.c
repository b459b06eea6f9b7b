/* So many a second: in whatever order they come, however often they ask. */
#include <criterion/criterion.h>

#include "agents/admission.h"

#define SECOND 1000000

Test(admission, no_rate_lets_everybody_in)
{
	struct admission a;

	admission_init(&a, 0, 0);
	for (int i = 0; i < 100000; i++) {
		cr_assert_eq(admission_ask(&a, 5), 0);
		cr_assert_eq(admission_count(&a, 5), 0);
	}
}

Test(admission, a_few_at_once_then_evenly)
{
	struct admission a;
	int in = 0;

	admission_init(&a, 100, 10);
	while (admission_ask(&a, SECOND) == 0)
		in++;
	cr_assert_eq(in, 10);
	for (uint64_t now = SECOND; now < 11 * SECOND; now += 1000)
		in += admission_ask(&a, now) == 0;
	cr_assert_geq(in, 1000);
	cr_assert_leq(in, 1011);
}

Test(admission, each_who_is_sent_away_has_a_moment_of_his_own)
{
	static uint64_t back[10000];
	struct admission a;
	size_t waiting = 0;
	int refused_twice = 0;

	admission_init(&a, 1000, 100);
	for (int i = 0; i < 10000; i++) {
		uint64_t wait = admission_ask(&a, SECOND);

		if (wait)
			back[waiting++] = SECOND + wait;
	}
	cr_assert_eq(waiting, 9900);
	for (size_t i = 1; i < waiting; i++)
		cr_assert_eq(back[i] - back[i - 1], 1000);
	for (size_t i = 0; i < waiting; i++)
		refused_twice += admission_ask(&a, back[i]) != 0;
	cr_assert_eq(refused_twice, 0);
	cr_assert_lt(back[waiting - 1], 12 * SECOND, "ten thousand at a thousand a second");
}

Test(admission, who_is_counted_without_asking_delays_the_next)
{
	struct admission a;

	admission_init(&a, 10, 2);
	cr_assert_eq(admission_count(&a, SECOND), 0);
	cr_assert_eq(admission_count(&a, SECOND), 0);
	cr_assert_eq(admission_count(&a, SECOND), SECOND / 10);
	cr_assert_eq(admission_count(&a, SECOND), 2 * SECOND / 10);
	cr_assert_neq(admission_ask(&a, SECOND), 0);
	cr_assert_eq(admission_ask(&a, 3 * SECOND), 0);
}
