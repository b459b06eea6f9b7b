/* base/mem: lists of strings, environments, and locals that clean up. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>

#include "base/mem.h"

Test(mem, strv_is_null_terminated_at_every_length)
{
	struct strv s = {0};

	for (size_t i = 0; i < 100; i++) {
		strv_take(&s, xasprintf("%zu", i));
		cr_assert_eq(s.n, i + 1);
		cr_assert_null(s.v[s.n]);
		cr_assert_str_eq(s.v[0], "0");
	}
	cr_assert_str_eq(s.v[99], "99");
	strv_release(&s);
	cr_assert_null(s.v);
	cr_assert_eq(s.n, 0);
}

Test(mem, strv_copy_owns_its_strings)
{
	struct strv a = {0}, b = {0};

	strv_add(&b, "old");
	strv_add(&a, "x");
	strv_copy(&b, &a);
	strv_release(&a);
	cr_assert_eq(b.n, 1);
	cr_assert_str_eq(b.v[0], "x");
	strv_copy(&b, &b);
	cr_assert_str_eq(b.v[0], "x");
	strv_release(&b);
}

Test(mem, environment_sets_replaces_and_does_not_confuse_prefixes)
{
	struct strv env = {0};

	strv_env_set(&env, "PATHS=a");
	strv_env_set(&env, "PATH=b");
	strv_env_set(&env, "PATH=c=d");
	strv_env_set(&env, "EMPTY=");
	cr_assert_eq(env.n, 3);
	cr_assert_str_eq(strv_env_get(&env, "PATH"), "c=d");
	cr_assert_str_eq(strv_env_get(&env, "PATHS"), "a");
	cr_assert_str_eq(strv_env_get(&env, "EMPTY"), "");
	cr_assert_null(strv_env_get(&env, "PAT"));
	strv_release(&env);
}

Test(mem, stealing_leaves_nothing_to_clean_up)
{
	int kept_fd;
	char *kept;

	{
		AUTO_CLOSE int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		AUTO_FREE char *p = xstrdup("kept");

		kept_fd = steal_fd(&fd);
		kept = steal_ptr(&p);
	}
	cr_assert_str_eq(kept, "kept");
	cr_assert_neq(fcntl(kept_fd, F_GETFD), -1);
	{
		AUTO_CLOSE int fd = kept_fd;
	}
	cr_assert_eq(fcntl(kept_fd, F_GETFD), -1);
	free(kept);
}

Test(mem, copies_of_strings)
{
	char *s = xstrndup("abcdef", 3);

	cr_assert_str_eq(s, "abc");
	free(s);
	s = xstrndup("ab", 10);
	cr_assert_str_eq(s, "ab");
	free(s);
	cr_assert_null(xstrdup(NULL));
}
