/* agent_put - archives of every make, hostile ones too, extracted in a small root. Sentences and what
 * becomes of the files were compared with dockerd 20.10. */
#include "agent_files_fixture.h"

#include <signal.h>
#include <sys/xattr.h>

#define TAR_SAYS "Error processing tar file(exit status 1): "

TestSuite(put, .init = files_set_up, .fini = files_tear_down);

/* Extract archive `in` into path; then the shell must agree. */
static void puts_and(const char *in, const char *path, const char *check)
{
	cr_assert_eq(TOOL("root", in, NULL, "put", path), 0, "%s", said);
	cr_assert_eq(sh("set -e; cd root; %s", check), 0, "%s", check);
}

static void refuses(const char *in, const char *path, int code, const char *sentence)
{
	cr_assert_eq(TOOL("root", in, NULL, "put", "--container", "c0ffee", path), code, "%s: %s", path, said);
	cr_assert_str_eq(said, sentence, "%s", said);
}

Test(put, the_place_must_be_a_directory)
{
	RAW("a", {.name = "x", .data = "x"});
	refuses("a", "/nope", 4, "Could not find the file /nope in container c0ffee");
	refuses("a", "/dangling", 4, "Could not find the file /dangling in container c0ffee");
	refuses("a", "/dir/f", 2, "extraction point is not a directory");
	refuses("a", "/dir/s", 2, "extraction point is not a directory");
	refuses("a", "/dir/f/x", 1, "lstat /dir/f/x: not a directory");
	refuses("a", "/loop/", 1, "evalSymlinksInScope: too many links in /loop/");
	puts_and("a", "/sublink", "test -f dir/sub/x");
	puts_and("a", "dlink/.", "test -f dir/x");
	cr_assert_eq(TOOL("root", NULL, NULL, "put"), 2);
	cr_assert_eq(TOOL("root", NULL, NULL, "put", "--huh", "/"), 2);
	cr_assert_eq(TOOL("root", NULL, NULL, "put", "--container", "/"), 2);
}

Test(put, owner_mode_and_time_are_those_of_the_archive)
{
	RAW("a", {.name = "n/deep/file", .data = "content", .mode = 06751}, {.name = "d", .type = '5', .mode = 01777},
	    {.name = "d/in", .data = "y"}, {.name = "l", .type = '2', .link = "anything"},
	    {.name = "ff", .type = '6', .mode = 0604}, {.name = "c", .type = '3', .major = 1, .minor = 3, .mode = 0666},
	    {.name = "h", .type = '1', .link = "n/deep/file"});
	puts_and("a", "/dir", "S() { stat -c '%A %u:%g %Y %h' $1; }; cd dir;"
		 "[ \"$(S n/deep/file)\" = '-rwsr-s--x 7:8 1000000000 2' ]; [ $(cat n/deep/file) = content ];"
		 "[ \"$(S d)\" = 'drwxrwxrwt 7:8 1000000000 2' ]; [ \"$(S l)\" = 'lrwxrwxrwx 7:8 1000000000 1' ];"
		 "[ \"$(S ff)\" = 'prw----r-- 7:8 1000000000 1' ]; [ \"$(stat -c '%A %t,%T' c)\" = 'crw-rw-rw- 1,3' ];"
		 "[ n/deep/file -ef h ]; [ \"$(stat -c '%a %u' n n/deep | tr '\\n' ' ')\" = '755 0 755 0 ' ]");
}

Test(put, what_is_in_the_way_is_replaced_and_directories_are_merged)
{
	cr_assert_eq(sh("echo kept >root/dir/sub/kept; exec 3<root/dir/f"), 0);
	RAW("a", {.name = "sub", .type = '5', .mode = 0700}, {.name = "sub/new", .data = "1"});
	puts_and("a", "/dir", "cd dir/sub; [ $(cat kept) = kept ]; [ -f new ]; [ $(stat -c %a .) = 700 ]");
	RAW("a", {.name = "sub", .data = "a file"}, {.name = "f", .type = '5', .mode = 0755}, {.name = "s", .data = "2"});
	puts_and("a", "/dir", "cd dir; [ -f sub ]; [ -d f ]; [ ! -L s ]; [ $(cat s) = 2 ]; [ $(cat hard) = hi ]");
	RAW("a", {.name = "dir", .type = '2', .link = "etc"});
	puts_and("a", "/", "[ $(readlink dir) = etc ]");
}

Test(put, unless_the_client_wants_them_kept)
{
	RAW("a", {.name = "sub", .data = "a file"});
	RAW("b", {.name = "f", .type = '5'});
	RAW("c", {.name = "f", .data = "new"}, {.name = "sub", .type = '5', .mode = 0755});
	cr_assert_eq(TOOL("root", "a", NULL, "put", "--no-overwrite-dir-non-dir", "/dir"), 1);
	cr_assert_str_eq(said, TAR_SAYS "cannot overwrite directory \"/dir/sub\" with non-directory \"/dir\"");
	cr_assert_eq(TOOL("root", "b", NULL, "put", "--no-overwrite-dir-non-dir", "/dir"), 1);
	cr_assert_str_eq(said, TAR_SAYS "cannot overwrite non-directory \"/dir/f\" with directory \"/dir\"");
	cr_assert_eq(TOOL("root", "c", NULL, "put", "--no-overwrite-dir-non-dir", "/dir"), 0, "%s", said);
	cr_assert_eq(sh("[ $(cat root/dir/f) = new ] && [ -d root/dir/sub ]"), 0);
}

Test(put, hostile_archives_stay_inside)
{
	static const struct {
		struct raw r;
		const char *says; /* NULL: extracted, and there is what check finds */
		const char *check;
	} cases[] = {
		{{.name = "../esc", .data = "x"}, "\"../esc\" is outside of \"/dir\"", "[ ! -e esc ]"},
		{{.name = "a/../../esc", .data = "x"}, "\"../esc\" is outside of \"/dir\"", "[ ! -e esc ]"},
		{{.name = "..", .type = '5', .mode = 0777}, "\"..\" is outside of \"/dir\"", "[ $(stat -c %a .) = 755 ]"},
		{{.name = "/etc/zz", .data = "x"}, NULL, "[ -f dir/etc/zz ] && [ ! -e etc/zz ]"},
		{{.name = "/../../zz", .data = "x"}, NULL, "[ -f dir/zz ]"},
		{{.name = "l", .type = '2', .link = "../../../etc"}, "invalid symlink \"/dir/l\" -> \"../../../etc\"",
		 "[ ! -L dir/l ]"},
		{{.name = "l", .type = '2', .link = "sub/../../dirx"}, "invalid symlink \"/dir/l\" -> \"sub/../../dirx\"",
		 "[ ! -L dir/l ]"},
		{{.name = "l2", .type = '2', .link = "/etc"}, NULL, "[ $(readlink dir/l2) = /etc ]"},
		{{.name = "h", .type = '1', .link = "../etc/passwd"}, "invalid hardlink \"/etc/passwd\" -> \"../etc/passwd\"",
		 "[ ! -e dir/h ]"},
		{{.name = "h", .type = '1', .link = "/etc/passwd"},
		 "link /dir/etc/passwd /dir/h: no such file or directory", "[ ! -e dir/h ]"},
		{{.name = "f/x", .data = "x"}, "open /dir/f/x: not a directory", "[ -f dir/f ]"},
		{{.name = "/", .type = '2', .link = "x"}, "cannot overwrite directory \"/dir\" with non-directory \"/dir\"", "[ -d dir ]"},
		{{.name = ".wh.f", .data = ""}, NULL, "[ -e dir/.wh.f ] && [ -e dir/f ]"},
		{{.name = ".", .type = '5', .mode = 0700}, NULL, "[ $(stat -c %a dir) = 755 ]"},
		{{.name = "x/..", .data = "x"}, NULL, "[ -d dir/sub ]"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO_FREE char *says = cases[i].says ? xasprintf(TAR_SAYS "%s", cases[i].says) : NULL;

		raw_archive("a", &cases[i].r, 1);
		if (says)
			refuses("a", "/dir", 1, says);
		else
			cr_assert_eq(TOOL("root", "a", NULL, "put", "/dir"), 0, "%s: %s", cases[i].r.name, said);
		cr_assert_eq(sh("cd root && %s", cases[i].check), 0, "%zu %s", i, cases[i].check);
	}
	cr_assert_eq(sh("[ $(cat canary) = canary ] && [ $(ls | wc -l) = 5 ]"), 0, "a canary out root said");
}

/* As in dockerd: a link of the archive is followed by what comes after it, and ends at the root. */
Test(put, links_lead_no_further_than_the_root)
{
	AUTO_FREE char *outside = xasprintf("%s/canary", work);

	RAW("a", {.name = "l", .type = '2', .link = "/etc"}, {.name = "l/via", .data = "1"});
	puts_and("a", "/dir", "[ -f etc/via ]");
	RAW("a", {.name = "up", .type = '2', .link = "../../../../.."}, {.name = "up/top", .data = "1"});
	puts_and("a", "/", "[ -f top ]");
	RAW("a", {.name = "o", .type = '2', .link = outside}, {.name = "o/x", .data = "1"});
	cr_assert_eq(TOOL("root", "a", NULL, "put", "/dir"), 1);
	RAW("a", {.name = "o", .type = '2', .link = outside}, {.name = "o", .data = "1"});
	puts_and("a", "/dir", "[ ! -L dir/o ]");
	RAW("a", {.name = "l", .type = '2', .link = "/etc"}, {.name = "h", .type = '1', .link = "l/passwd"});
	puts_and("a", "/dir", "[ dir/h -ef etc/passwd ]");
	cr_assert_eq(sh("[ $(cat canary) = canary ]"), 0);
}

Test(put, the_archive_itself_follows_no_link_of_its_last_name)
{
	cr_assert_eq(sh("ln -s /etc/passwd root/dir/sub/p"), 0);
	RAW("a", {.name = "p", .data = "mine"});
	puts_and("a", "/dir/sub", "[ ! -L dir/sub/p ]; [ $(cat dir/sub/p) = mine ]; grep -q root etc/passwd");
}

Test(put, a_broken_archive_is_an_error)
{
	static const struct {
		const char *how, *says;
	} cases[] = {
		{"head -c 3 a", "unexpected EOF"},
		{"head -c 511 a", "unexpected EOF"},
		{"head -c 512 a", "unexpected EOF"},
		{"head -c 1000 a", "unexpected EOF"},
		{"head -c 3583 a", "unexpected EOF"},
		{"head -c 4600 a", "unexpected EOF"},
		{"gzip -c a | head -c 60", "unexpected EOF"},
		{"xz -c a | head -c 80", NULL},
		{"head -c 4000 /dev/urandom", "archive/tar: invalid tar header"},
		{"{ head -c 3584 a; head -c 2000 /dev/urandom; }", "archive/tar: invalid tar header"},
		{"sed s/second/tampered/ a", "archive/tar: invalid tar header"},
	};
	char content[3001];

	memset(content, 'x', sizeof(content));
	content[3000] = '\0';
	RAW("a", {.name = "first", .data = content}, {.name = "second", .data = content});
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_eq(sh("%s >b", cases[i].how), 0);
		cr_assert_eq(TOOL("root", "b", NULL, "put", "/dir"), 1, "%s: %s", cases[i].how, said);
		cr_assert_eq(strncmp(said, TAR_SAYS, strlen(TAR_SAYS)), 0, "%s", said);
		if (cases[i].says)
			cr_assert_str_eq(said + strlen(TAR_SAYS), cases[i].says, "%s: %s", cases[i].how, said);
	}
	cr_assert_eq(sh(": >b"), 0);
	cr_assert_eq(TOOL("root", "b", NULL, "put", "/dir"), 0, "nothing at all is an empty archive: %s", said);
	cr_assert_eq(sh("head -c 1024 /dev/zero >b"), 0);
	cr_assert_eq(TOOL("root", "b", NULL, "put", "/dir"), 0, "%s", said);
}

Test(put, every_compression_and_every_dialect_of_tar)
{
	cr_assert_eq(sh("set -e; mkdir -p t/x; L=$(printf 'n%%.0s' $(seq 180)); echo 1 >t/x/$L; ln -s $L$L t/x/l; ln t/x/$L t/x/h;"
			"printf y >\"$(printf 't/e\\314\\201')\"; printf z >\"$(printf 't/\\377')\"; truncate -s 300K t/holes; echo e >>t/holes;"
			"truncate -s 900K t/holes; touch -h -d '2001-02-03 04:05:06.789Z' t/x/l t/holes; chown 70000:3000000 t/holes"), 0);
	for (const char *const *how = (const char *const[]){
		"--format=gnu", "--format=gnu -S", "--format=pax", "--format=pax -S --sparse-version=0.0",
		"--format=pax -S --sparse-version=0.1", "--format=pax -S --sparse-version=1.0", "--format=gnu -z",
		"--format=pax -j", "--format=gnu -J", "--format=pax --zstd", NULL}; *how; how++) {
		cr_assert_eq(sh("rm -rf root/t; tar %s -cf a t", *how), 0, "%s", *how);
		cr_assert_eq(TOOL("root", "a", NULL, "put", "/"), 0, "%s: %s", *how, said);
		cr_assert_eq(sh("bash -c \"diff <(cd t; find . -printf '%%p %%m %%U:%%G %%s %%n %%l %%Ts\\n' | sort) "
				"<(cd root/t; find . -printf '%%p %%m %%U:%%G %%s %%n %%l %%Ts\\n' | sort) && "
				"diff -r --no-dereference t root/t\""), 0, "%s", *how);
		if (strstr(*how, "-S"))
			cr_assert_eq(sh("[ $(du -k root/t/holes | cut -f1) -lt 500 ]"), 0, "%s: holes stay holes", *how);
	}
	cr_assert_eq(sh("[ $(stat -c %%y root/t/holes | cut -c21-23) = 789 ]"), 0, "pax has parts of seconds");
}

Test(put, extended_attributes_come_along)
{
	char value[64];

	cr_assert_eq(sh("echo x >t; ln -s t l"), 0);
	if (setxattr("t", "user.greeting", "hi\0there", 8, 0) < 0)
		cr_skip("no user attributes on this file system");
	cr_assert_eq(setxattr("t", "security.capability", "\1\0\0\2\0\40\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20, 0), 0);
	cr_assert_eq(sh("chmod 4755 t; tar --format=pax --xattrs --xattrs-include='*' -cf a t l"), 0);
	puts_and("a", "/", "[ $(stat -c %a t) = 4755 ]");
	cr_assert_eq(getxattr("root/t", "user.greeting", value, sizeof(value)), 8);
	cr_assert_eq(memcmp(value, "hi\0there", 8), 0);
	cr_assert_eq(getxattr("root/t", "security.capability", value, sizeof(value)), 20);
	cr_assert_eq(TOOL("root", NULL, "b", "get", "/t"), 0);
	cr_assert_eq(sh("grep -aq SCHILY.xattr.security.capability b && ! grep -aq user.greeting b"), 0,
		     "dockerd tells capabilities, and nothing else");
}

Test(put, everything_can_be_given_to_the_user)
{
	RAW("a", {.name = "d", .type = '5', .mode = 0755}, {.name = "d/x", .data = "x", .mode = 04755},
	    {.name = "l", .type = '2', .link = "d"});
	for (const char *const *u = (const char *const[]){"app", "1000:1001", "app:1001", NULL}; *u; u++) {
		cr_assert_eq(TOOL("root", "a", NULL, "put", "--copy-uid-gid", *u, "/dir"), 0, "%s", said);
		cr_assert_eq(sh("[ \"$(cd root/dir; stat -c %%u:%%g d d/x l | tr '\\n' ' ')\" = "
				"'1000:1001 1000:1001 1000:1001 ' ] && [ $(stat -c %%a root/dir/d/x) = 4755 ]"), 0);
	}
	cr_assert_eq(TOOL("root", "a", NULL, "put", "--copy-uid-gid", "app:g", "/dir"), 0);
	cr_assert_eq(sh("[ $(stat -c %%u:%%g root/dir/d) = 1000:7 ]"), 0);
	cr_assert_eq(TOOL("root", "a", NULL, "put", "--copy-uid-gid", "", "/dir"), 0);
	cr_assert_eq(sh("[ $(stat -c %%u:%%g root/dir/d) = 7:8 ]"), 0, "no user: as the archive says");
	cr_assert_eq(TOOL("root", "a", NULL, "put", "--copy-uid-gid", "who", "/dir"), 1);
	cr_assert_str_eq(said, "unable to find user who: no matching entries in passwd file");
}

static void mount_read_only(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("root", "root", NULL, MS_BIND, NULL) < 0 || mount("proc", "root/proc", "proc", 0, NULL) < 0 ||
	    mount("none", "root/vol", "tmpfs", MS_RDONLY, NULL) < 0 ||
	    mount("none", "root/ok", "tmpfs", 0, NULL) < 0 ||
	    mount("none", "root", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0)
		_exit(98);
}

static int put_read_only(const char *path)
{
	return tool_in("root", mount_read_only, "a", NULL, (const char *const[]){"put", path, NULL});
}

Test(put, what_is_read_only_is_said_to_be)
{
	RAW("a", {.name = "x", .data = "x"});
	cr_assert_eq(sh("mkdir root/proc root/vol root/ok"), 0);
	if (put_read_only("/ok") == 98)
		cr_skip("needs the right to mount");
	cr_assert_eq(put_read_only("/ok"), 0, "%s", said);
	cr_assert_eq(put_read_only("/dir"), 2);
	cr_assert_str_eq(said, "container rootfs is marked read-only");
	cr_assert_eq(put_read_only("/vol"), 2);
	cr_assert_str_eq(said, "mounted volume is marked read-only");
}

static void mount_small(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "root/dir/sub", "tmpfs", 0, "size=64k") < 0)
		_exit(98);
}

Test(put, a_full_disk_is_said_to_be)
{
	static char big[200000];
	int code;

	memset(big, 'x', sizeof(big) - 1);
	RAW("a", {.name = "big", .data = big});
	code = tool_in("root", mount_small, "a", NULL, (const char *const[]){"put", "/dir/sub", NULL});
	if (code == 98)
		cr_skip("needs the right to mount");
	cr_assert_eq(code, 1);
	cr_assert_str_eq(said, TAR_SAYS "write /dir/sub/big: no space left on device");
}

/* Somebody in the container exchanges a directory and a link as fast as possible. Whatever comes of
 * it, nothing but the tree itself is touched, and the tools end. */
Test(put, a_race_leads_nowhere)
{
	pid_t racer;

	cr_assert_eq(sh("cd root; mkdir -p r/a/b; echo x >r/a/b/f; ln -s /etc r/l; mkdir -p r/c"), 0);
	RAW("a", {.name = "a", .type = '5', .mode = 0755}, {.name = "a/b", .type = '5', .mode = 0755},
	    {.name = "a/b/f", .data = "1"}, {.name = "a/b/g", .data = "2"});
	racer = fork();
	if (racer == 0)
		for (;;) {
			(void)!rename("root/r/a", "root/r/c/a");
			(void)!rename("root/r/l", "root/r/a");
			(void)!rename("root/r/a", "root/r/l");
			(void)!rename("root/r/c/a", "root/r/a");
		}
	for (int i = 0; i < 20; i++) {
		int code = TOOL("root", "a", NULL, "put", "/r");

		cr_assert(code == 0 || code == 1, "%d %s", code, said);
		code = TOOL("root", NULL, NULL, "get", "/r");
		cr_assert(code == 0 || code == 1 || code == 4, "%d %s", code, said);
	}
	kill(racer, SIGKILL);
	waitpid(racer, NULL, 0);
	cr_assert_eq(sh("[ $(cat canary) = canary ] && grep -q app root/etc/passwd"), 0);
}
