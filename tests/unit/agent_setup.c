/* What the agent's specification says about modes and the limit of open files. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/agent/setup.h"

static int read_spec(const char *text, struct setup *s, struct err *err)
{
	json_t *spec = json_loads(text, 0, NULL);
	int rc;

	cr_assert(spec, "test data: %s", text);
	*s = (struct setup){0};
	rc = setup_read(spec, s, err);
	json_decref(spec);
	return rc;
}

Test(setup, what_makes_no_sense_is_refused)
{
	static const char *const bad[] = {
		"{\"modes\":1}", "{\"modes\":[1]}", "{\"modes\":[{\"path\":\"rel\",\"mode\":1}]}", "{\"modes\":[{\"path\":\"/x\"}]}",
		"{\"modes\":[{\"path\":\"/x\",\"mode\":65536}]}", "{\"modes\":[{\"path\":\"/x\",\"mode\":-1}]}",
		"{\"nofile\":5}", "{\"nofile\":{\"soft\":5}}", "{\"nofile\":{\"soft\":\"5\",\"hard\":5}}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct setup s;
		struct err err = {0};

		cr_expect_eq(read_spec(bad[i], &s, &err), -1, "%s", bad[i]);
		cr_expect_eq(err.kind, ERR_INVALID);
		setup_release(&s);
	}
}

Test(setup, modes_are_set_and_a_missing_folder_hides_none)
{
	char dir[] = "/tmp/setup-XXXXXX", text[256];
	struct setup s;
	struct stat st;

	cr_assert(mkdtemp(dir));
	snprintf(text, sizeof(text), "{\"modes\":[{\"path\":\"%s/no\",\"mode\":448},{\"path\":\"%s\",\"mode\":1023}]}", dir, dir);
	cr_assert_eq(read_spec(text, &s, NULL), 0);
	setup_apply(&s);
	cr_assert_eq(stat(dir, &st), 0);
	cr_expect_eq(st.st_mode & 07777, 01777);
	setup_release(&s);
	rmdir(dir);
}

Test(setup, the_limit_stays_within_what_was_given)
{
	static const struct { const char *spec; rlim_t soft, hard; } table[] = {
		{"{}", 100, 200}, {"{\"nofile\":{\"soft\":5,\"hard\":6}}", 5, 6}, {"{\"nofile\":{\"soft\":50,\"hard\":500}}", 50, 200},
		{"{\"nofile\":{\"soft\":-1,\"hard\":-1}}", 200, 200}, {"{\"nofile\":{\"soft\":300,\"hard\":150}}", 150, 150},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct setup s;
		struct rlimit got;

		cr_assert_eq(read_spec(table[i].spec, &s, NULL), 0);
		got = setup_files(&s, (struct rlimit){100, 200});
		cr_expect(got.rlim_cur == table[i].soft && got.rlim_max == table[i].hard, "%s", table[i].spec);
		setup_release(&s);
	}
}
