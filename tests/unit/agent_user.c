/* agent_user - Docker's --user against files of the image. */
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "../../src/agent/user.h"

static char passwd[] = "/tmp/agent-passwd-XXXXXX", group[] = "/tmp/agent-group-XXXXXX";

static void write_file(char *template, const char *text)
{
	int fd = mkstemp(template);

	cr_assert(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void set_up(void)
{
	write_file(passwd, "root:x:0:0:root:/root:/bin/sh\n"
			   "# a comment\n"
			   "broken\n"
			   "app:x:1000:1001:An App:/home/app:/bin/sh\n"
			   "nohome:x:1002:1002:::\n"
			   "big:x:4294967296:0::/:\n"
			   "last:x:7:7::/seven:/bin/sh"); /* no newline at the end */
	write_file(group, "root:x:0:\napp:x:1001:\nwheel:x:10:root,app\naudio:x:29:other,app,x\n"
			  "apple:x:30:apple\n");
}

static void tear_down(void)
{
	unlink(passwd);
	unlink(group);
}

TestSuite(user, .init = set_up, .fini = tear_down);

static struct user resolve(const char *spec)
{
	struct user u;
	struct err err = {0};

	cr_assert_eq(user_resolve(passwd, group, spec, &u, &err), 0, "%s: %s", spec, err.msg);
	return u;
}

static void refused(const char *spec, const char *why)
{
	struct user u = {.uid = 77};
	struct err err = {0};

	cr_assert_eq(user_resolve(passwd, group, spec, &u, &err), -1, "%s", spec);
	cr_assert(strstr(err.msg, why), "%s: %s", spec, err.msg);
	cr_assert_eq(u.uid, 77);
}

Test(user, a_name_brings_its_group_its_memberships_and_its_home)
{
	struct user u = resolve("app");

	cr_assert_eq(u.uid, 1000);
	cr_assert_eq(u.gid, 1001);
	cr_assert_eq(u.n_groups, 3);
	cr_assert_eq(u.groups[0], 1001);
	cr_assert_eq(u.groups[1], 10);
	cr_assert_eq(u.groups[2], 29);
	cr_assert_str_eq(u.home, "/home/app");
	user_release(&u);
}

Test(user, a_listed_number_is_the_same_as_its_name)
{
	struct user u = resolve("1000");

	cr_assert_eq(u.gid, 1001);
	cr_assert_eq(u.n_groups, 3);
	user_release(&u);
}

Test(user, an_unlisted_number_has_group_0_and_home_slash)
{
	struct user u = resolve("4242");

	cr_assert_eq(u.uid, 4242);
	cr_assert_eq(u.gid, 0);
	cr_assert_eq(u.n_groups, 1);
	cr_assert_str_eq(u.home, "/");
	user_release(&u);
}

Test(user, a_given_group_replaces_the_memberships)
{
	struct user u = resolve("app:audio");

	cr_assert_eq(u.gid, 29);
	cr_assert_eq(u.n_groups, 1);
	user_release(&u);
	u = resolve("app:555");
	cr_assert_eq(u.gid, 555);
	user_release(&u);
	u = resolve("3:4");
	cr_assert_eq(u.uid, 3);
	cr_assert_eq(u.gid, 4);
	user_release(&u);
}

Test(user, an_empty_part_is_the_default)
{
	struct user u = resolve("app:");

	cr_assert_eq(u.gid, 1001);
	user_release(&u);
	u = resolve(":wheel");
	cr_assert_eq(u.uid, 0);
	cr_assert_eq(u.gid, 10);
	user_release(&u);
	u = resolve("nohome");
	cr_assert_str_eq(u.home, "/");
	user_release(&u);
	u = resolve("last");
	cr_assert_str_eq(u.home, "/seven");
	user_release(&u);
}

Test(user, unknown_names_and_impossible_numbers_are_refused)
{
	refused("nobodyhere", "unable to find user nobodyhere: no matching entries in passwd file");
	refused("app:nogroup", "unable to find group nogroup: no matching entries in group file");
	refused("2147483648", "must be in range");
	refused("app:99999999999999999999", "must be in range");
	refused("big", "unable to find user big");
	refused("-1", "unable to find user -1");
}

Test(user, without_files_numbers_still_work)
{
	struct user u;

	cr_assert_eq(user_resolve("/nonexistent", "/nonexistent", "12:34", &u, NULL), 0);
	cr_assert_eq(u.uid, 12);
	cr_assert_eq(u.gid, 34);
	user_release(&u);
	cr_assert_eq(user_resolve("/nonexistent", "/nonexistent", "root", &u, NULL), -1);
}
