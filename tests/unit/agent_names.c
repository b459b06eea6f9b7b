/* agent_names - /etc/hosts, /etc/hostname and /etc/resolv.conf of a folder of our own. The host name is set
 * in a namespace of our own. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/agent/names.h"

static char etc[] = "/tmp/agent-names-XXXXXX";

static char *path_of(const char *name)
{
	return xasprintf("%s/%s", etc, name);
}

static void make_etc(void)
{
	cr_assert_not_null(mkdtemp(etc));
}

static void remove_etc(void)
{
	static const char *const files[] = {"hosts", "hostname", "resolv.conf"};

	for (int i = 0; i < 3; i++) {
		AUTO_FREE char *path = path_of(files[i]);

		unlink(path);
	}
	rmdir(etc);
}

static void put(const char *name, const char *text)
{
	AUTO_FREE char *path = path_of(name);
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void holds(const char *name, const char *want)
{
	AUTO_FREE char *path = path_of(name);
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[1024] = "";

	cr_assert_geq(read(fd, text, sizeof(text) - 1), 0, "%s", name);
	cr_assert_str_eq(text, want);
}

static bool exists(const char *name)
{
	AUTO_FREE char *path = path_of(name);

	return access(path, F_OK) == 0;
}

TestSuite(names, .init = make_etc, .fini = remove_etc);

Test(names, hosts_are_added_behind_what_is_there)
{
	struct names n = {0};

	put("hosts", "127.0.0.1\tlocalhost");
	strv_add(&n.extra_hosts, "b:10.0.0.2");
	strv_add(&n.extra_hosts, "a:[fe80::1]");
	strv_add(&n.extra_hosts, "c:::1");
	strv_add(&n.extra_hosts, "nonsense");
	names_apply(&n, etc);
	holds("hosts", "127.0.0.1\tlocalhost\n10.0.0.2\tb\nfe80::1\ta\n::1\tc\n");
	cr_assert(!exists("resolv.conf") && !exists("hostname"));
	names_release(&n);
}

Test(names, the_host_name_is_set_and_resolves)
{
	struct names n = {.hostname = xstrdup("box"), .domainname = xstrdup("example.org")};
	char now[64] = "";

	if (unshare(CLONE_NEWUTS | CLONE_NEWNET) < 0)
		cr_skip_test("needs root");
	names_apply(&n, etc);
	holds("hostname", "box\n");
	holds("hosts", "127.0.0.1\tbox.example.org box\n");
	gethostname(now, sizeof(now) - 1);
	cr_assert_str_eq(now, "box");
	names_release(&n);
}

Test(names, resolv_conf_keeps_what_is_not_given)
{
	struct names n = {0};

	put("resolv.conf", "# made by hand\nnameserver 1.1.1.1\nnameserver  9.9.9.9\nsearch old\nsearch a.b c.d\noptions ndots:5\n");
	strv_add(&n.dns_options, "rotate");
	names_apply(&n, etc);
	holds("resolv.conf", "search a.b c.d\nnameserver 1.1.1.1\nnameserver 9.9.9.9\noptions rotate\n");
	strv_add(&n.dns, "8.8.8.8");
	strv_add(&n.dns_search, ".");
	names_apply(&n, etc);
	holds("resolv.conf", "nameserver 8.8.8.8\noptions rotate\n");
	names_release(&n);
}

Test(names, without_any_nothing_is_touched)
{
	struct names n = {0};

	names_apply(&n, etc);
	cr_assert(!exists("hosts") && !exists("resolv.conf") && !exists("hostname"));
}
