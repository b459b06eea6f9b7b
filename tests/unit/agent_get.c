/* agent_get - stat, get, export and changes against trees made for it; GNU tar reads what they write. */
#include "agent_files_fixture.h"

TestSuite(get, .init = files_set_up, .fini = files_tear_down);

/* The names in the archive of a path, a blank between them. */
static void lists(const char *path, const char *want)
{
	char got[4096];
	FILE *f;
	size_t n;

	cr_assert_eq(TOOL("root", NULL, "a", "get", path), 0, "%s: %s", path, said);
	f = popen("tail -n +2 a | tar -P -tf - | tr '\\n' ' '", "r");
	n = fread(got, 1, sizeof(got) - 1, f);
	got[n] = '\0';
	cr_assert_eq(pclose(f), 0);
	cr_assert_str_eq(got, want, "%s: %s", path, got);
}

Test(get, entries_begin_with_the_base_name_that_was_asked_for)
{
	lists("/dir", "dir/ dir/f dir/hard dir/s dir/sub/ ");
	lists("dir/", "dir/ dir/f dir/hard dir/s dir/sub/ ");
	lists("/dir/.", "./ ./f ./hard ./s ./sub/ ");
	lists("/dlink/", "dlink/ dlink/f dlink/hard dlink/s dlink/sub/ ");
	lists("/dlink/.", "./ ./f ./hard ./s ./sub/ ");
	lists("/dlink", "dlink ");
	lists("/dlink/sub", "sub/ ");
	lists("/sublink/", "sublink/ ");
	lists("/dir/f", "f ");
	lists("/dlink/f", "f ");
	lists("/up", "up ");
	cr_assert_eq(sh("rm -r root/dir root/*link root/loop root/up root/dangling"), 0);
	lists("/", "/ /etc/ /etc/group /etc/passwd ");
	lists("/.", "./ ./etc/ ./etc/group ./etc/passwd ");
}

/* A container can make its folders as deep as it likes. */
Test(get, a_path_that_no_archive_can_hold_is_refused)
{
	char name[201] = "";
	int top = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	memset(name, 'd', sizeof(name) - 1);
	cr_assert_eq(chdir("root/dir"), 0);
	for (int i = 0; i < 330; i++)
		cr_assert(mkdir(name, 0755) == 0 && chdir(name) == 0);
	cr_assert_eq(fchdir(top), 0);
	close(top);
	cr_assert_eq(TOOL("root", NULL, "a", "get", "/dir"), 1, "%s", said);
	cr_assert_not_null(strstr(said, "file name too long"), "%s", said);
	cr_assert_eq(sh("rm -rf root/dir/ddd*"), 0);
}

Test(get, two_dots_are_words_before_links_are_followed)
{
	cr_assert_eq(TOOL("root", NULL, "a", "stat", "/sublink/.."), 0);
	cr_assert_eq(sh("grep -q '^{\"name\":\"/\",' a"), 0);
}

static void refuses(const char *tool, const char *path, int code, const char *sentence)
{
	cr_assert_eq(TOOL("root", NULL, "a", tool, "--container", "c0ffee", path), code, "%s %s", tool, path);
	cr_assert_str_eq(said, sentence, "%s", said);
	cr_assert_eq(sh("test ! -s a"), 0, "nothing is printed before a refusal");
}

Test(get, what_cannot_be_had_is_said_as_dockerd_does)
{
	for (int i = 0; i < 2; i++) {
		const char *tool = i ? "get" : "stat";

		refuses(tool, "/nope", 4, "Could not find the file /nope in container c0ffee");
		refuses(tool, "dangling/", 4, "Could not find the file dangling/ in container c0ffee");
		refuses(tool, "/dir/f/x", 1, "lstat /dir/f/x: not a directory");
		refuses(tool, "/dir/f/", 1, "lstat /dir/f/: not a directory");
		refuses(tool, "/dir/f/.", 1, "lstat /dir/f/.: not a directory");
		refuses(tool, "/loop", 1, "evalSymlinksInScope: too many links in /loop");
	}
	cr_assert_eq(TOOL("root", NULL, NULL, "get"), 2);
	cr_assert_eq(TOOL("root", NULL, NULL, "get", "a", "b"), 2);
	cr_assert_eq(TOOL("root", NULL, NULL, "changes", "soon"), 2);
}

Test(get, a_link_tells_where_it_leads)
{
	static const char *const cases[][2] = {
		{"/dlink", "/dir"}, {"/sublink", "/dir/sub"}, {"/dangling", "/nowhere/x"}, {"/up", "/etc/passwd"},
		{"/dir/s", "/dir/f"}, {"/dlink/s", "/dir/f"}, {"/dlink/", ""}, {"/dir/f", ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_eq(TOOL("root", NULL, "a", "stat", cases[i][0]), 0, "%s", cases[i][0]);
		cr_assert_eq(sh("grep -q '\"linkTarget\":\"%s\"}$' a && [ $(wc -l <a) = 1 ]", cases[i][1]), 0, "%s",
			     cases[i][0]);
	}
}

/* All that a tree can have, listed so that two can be compared. */
#define DIFF "diff <(cd %1$s && find . -printf '%%p %%y %%m %%U:%%G %%s %%n %%l %%Ts\\n' | sort) " \
	"<(cd %2$s && find . -printf '%%p %%y %%m %%U:%%G %%s %%n %%l %%Ts\\n' | sort)"

static void make_odd_tree(void)
{
	cr_assert_eq(sh("set -e; cd root/dir; mkfifo pipe; mknod dev c 5 1; mknod blk b 7 300; chmod 1777 sub; mkdir -m 2710 g;"
			"truncate -s 5M holes; echo end >>holes; head -c 300000 /dev/urandom >big; : >empty;"
			"printf x >\"$(printf 'no\\377utf8')\"; printf x >\"$(printf 'e\\314\\201')\"; printf x >\"$(printf '\\303\\251')\";"
			"L=$(printf 'n%%.0s' $(seq 200)); echo long >$L; ln -s $L$L l; M=m$L; mkdir -p $M/$M/$M/$M/$M;"
			"echo d >$M/$M/$M/$M/$M/end; ln $M/$M/$M/$M/$M/end $M/again; chown 3000000:4000000 empty; chown -h 5:6 l; touch -d 1999-01-01 empty;"
			"touch -h -d @5 l; touch 'a b' \"a'b\" 'a\nb' -- -dash; chmod 0 empty; find . -type d -exec touch -d @77 {} +"), 0);
}

Test(get, gnu_tar_reads_every_kind_of_file)
{
	make_odd_tree();
	cr_assert_eq(TOOL("root", NULL, "a", "get", "/dir"), 0, "%s", said);
	cr_assert_eq(sh("tail -n +2 a | tar --numeric-owner -xpf - -C out"), 0);
	cr_assert_eq(sh("bash -c \"" DIFF "\"", "root/dir", "out/dir"), 0);
	cr_assert_eq(sh("cmp root/dir/big out/dir/big && cmp root/dir/holes out/dir/holes"), 0);
}

Test(get, put_makes_the_same_tree_of_it)
{
	make_odd_tree();
	cr_assert_eq(TOOL("root", NULL, "a", "get", "/dir/."), 0, "%s", said);
	cr_assert_eq(sh("tail -n +2 a >b && mkdir out/to && touch -r root/dir out/to"), 0);
	cr_assert_eq(TOOL("out", "b", NULL, "put", "/to"), 0, "%s", said);
	cr_assert_eq(sh("touch -r root/dir out/to; bash -c \"" DIFF "\"", "root/dir", "out/to"), 0);
	cr_assert_eq(sh("cmp root/dir/big out/to/big && cmp root/dir/holes out/to/holes"), 0);
}

Test(get, a_file_of_9_gib_has_its_size_in_a_pax_header)
{
	int fds[2];
	char head[2048];
	size_t n = 0;
	ssize_t got;

	cr_assert_eq(sh("truncate -s 9G root/huge"), 0);
	cr_assert_eq(pipe(fds), 0);
	if (fork() == 0) {
		dup2(fds[1], 1);
		close(fds[0]);
		close(fds[1]);
		if (chroot("root") < 0)
			_exit(99);
		_exit(tool_run(2, (char *[]){"get", "/huge", NULL}));
	}
	close(fds[1]);
	while (n < sizeof(head) && (got = read(fds[0], head + n, sizeof(head) - n)) > 0)
		n += (size_t)got;
	close(fds[0]); /* which ends it */
	cr_assert_eq(n, sizeof(head));
	cr_assert(memmem(head, n, "19 size=9663676416\n", 19));
	wait(NULL);
}

Test(get, a_socket_is_left_out)
{
	cr_assert_eq(sh("python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('root/dir/sub/s')\""), 0);
	lists("/dir/sub", "sub/ ");
	cr_assert_eq(TOOL("root", NULL, "a", "stat", "/dir/sub/s"), 0);
	cr_assert_eq(sh("grep -q '\"mode\":16777[0-9]*,' a"), 0, "Go's bit of a socket");
}

/* ---- mounts ---- */

static void mount_things(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("proc", "root/proc", "proc", 0, NULL) < 0 ||
	    mount("none", "root/dev", "tmpfs", 0, NULL) < 0 ||
	    mount("none", "root/vol", "tmpfs", 0, NULL) < 0 ||
	    mount("canary", "root/etc/hosts", NULL, MS_BIND, NULL) < 0)
		_exit(98);
	close(open("root/dev/null", O_CREAT | O_CLOEXEC, 0600));
	close(open("root/vol/data", O_CREAT | O_CLOEXEC, 0600));
}

#define MOUNTED(out, ...) tool_in("root", mount_things, NULL, out, (const char *const[]){__VA_ARGS__, NULL})

static void make_mount_points(void)
{
	cr_assert_eq(sh("mkdir root/proc root/dev root/vol; touch root/etc/hosts root/vol/hidden"), 0);
	if (MOUNTED(NULL, "stat", "/") == 98)
		cr_skip("needs the right to mount");
}

Test(get, what_the_kernel_made_up_is_empty_and_volumes_are_not)
{
	make_mount_points();
	cr_assert_eq(MOUNTED("a", "get", "/."), 0, "%s", said);
	cr_assert_eq(sh("tail -n +2 a | tar -tf - | grep -E '(proc|dev|vol)/' | tr '\\n' ' ' >b;"
			"[ \"$(cat b)\" = './dev/ ./proc/ ./vol/ ./vol/data ' ]"), 0);
	cr_assert_eq(sh("tail -n +2 a | tar -xOf - ./etc/hosts | grep -q canary"), 0);
	cr_assert_eq(MOUNTED(NULL, "stat", "/proc"), 0);
	cr_assert_eq(MOUNTED(NULL, "stat", "/proc/self/stat"), 4);
	cr_assert_eq(MOUNTED(NULL, "get", "/dev/null"), 4);
}

Test(get, export_keeps_only_the_place_of_a_mount)
{
	make_mount_points();
	cr_assert_eq(MOUNTED("a", "export"), 0, "%s", said);
	cr_assert_eq(sh("tar -tf a | tr '\\n' ' ' >b; [ \"$(cat b)\" = 'dangling dev/ dir/ dir/f dir/hard dir/s dir/sub/"
			" dlink etc/ etc/group etc/hosts etc/passwd loop proc/ sublink up vol/ ' ]"), 0);
	cr_assert_eq(sh("[ -z \"$(tar -xOf a etc/hosts)\" ]"), 0);
	cr_assert_eq(sh("tar -tvf a | grep -q 'dir/hard link to dir/f'"), 0);
}

Test(get, changes_tells_every_path_and_which_are_new)
{
	struct stat st;
	char since[32];

	make_mount_points();
	usleep(50000); /* a ctime has the grain of the clock's tick */
	cr_assert_eq(sh("touch root/etc/new"), 0);
	cr_assert_eq(stat("root/etc/new", &st), 0);
	snprintf(since, sizeof(since), "%lld%09ld", (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
	cr_assert_eq(sh("chmod 700 root/dir/sub"), 0);
	cr_assert_eq(MOUNTED("a", "changes", since), 0, "%s", said);
	cr_assert_eq(sh("tr '\\0' '\\n' <a | grep -E 'dir|proc|dev|vol|etc|up' | tr '\\n' ' ' >b; [ \"$(cat b)\" = "
			"'.d/dev .d/dir .f/dir/f .f/dir/hard .l/dir/s !d/dir/sub !d/etc .f/etc/group .f/etc/hosts !f/etc/new"
			" .f/etc/passwd .d/proc .l/up .d/vol ' ]"), 0);
}
