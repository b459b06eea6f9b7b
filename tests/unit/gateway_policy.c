/* Restart policies: what the agent is told, and whether a lost execution has a successor. */
#include <criterion/criterion.h>
#include <string.h>

#include "cloud/policy.h"
#include "state/container.h"

static struct container with(const char *name, int max)
{
	return (struct container){
		.host_config = json_pack("{s:{s:s, s:i}}", "RestartPolicy", "Name", name, "MaximumRetryCount", max),
	};
}

Test(policy, is_read_from_the_host_config)
{
	struct container c = with("always", 0);

	cr_expect_eq(policy_of(&c).when, RESTART_ALWAYS);
	cr_expect(policy_any(&c));
	c = with("unless-stopped", 0);
	cr_expect_eq(policy_of(&c).when, RESTART_ALWAYS);
	c = with("on-failure", 4);
	cr_expect_eq(policy_of(&c).when, RESTART_ON_FAILURE);
	cr_expect_eq(policy_of(&c).max_retries, 4);
	c = with("no", 0);
	cr_expect_eq(policy_of(&c).when, RESTART_NO);
	cr_expect_not(policy_any(&c));
	cr_expect_null(policy_spec(&c));
	c = (struct container){0};
	cr_expect_eq(policy_of(&c).when, RESTART_NO);
}

Test(policy, a_stop_by_hand_ends_it_as_dockerd_says)
{
	struct container c = with("always", 0);

	c.stopped_by_hand = true; /* a signal other than the container's StopSignal */
	cr_expect_eq(policy_of(&c).when, RESTART_ALWAYS);
	c.exit_on_next = true;
	cr_expect_eq(policy_of(&c).when, RESTART_NO);
	cr_expect_not(policy_wants(&c, 1));
	c = with("unless-stopped", 0);
	c.stopped_by_hand = true;
	cr_expect_eq(policy_of(&c).when, RESTART_NO);
}

Test(policy, retries_are_counted_over_executions)
{
	struct container c = with("on-failure", 3);
	json_t *spec;

	c.restart_base = c.restart_count = 2;
	spec = policy_spec(&c);
	cr_expect_str_eq(json_string_value(json_object_get(spec, "when")), "on-failure");
	cr_expect_eq(json_integer_value(json_object_get(spec, "maxRetries")), 1);
	cr_expect(policy_wants(&c, 1));
	cr_expect_not(policy_wants(&c, 0), "no failure");
	c.restart_count = 3;
	cr_expect_not(policy_wants(&c, 1), "all retries are used");
	c.restart_base = 3;
	cr_expect_null(policy_spec(&c));
	c = with("on-failure", 0);
	c.restart_base = c.restart_count = 100;
	cr_expect(policy_wants(&c, 1), "without a limit");
	cr_expect_eq(policy_of(&c).max_retries, 0);
}
