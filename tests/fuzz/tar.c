/* fuzz: an archive that docker cp brings. Whatever it holds, it is extracted or refused with a sentence;
 * in a root of its own, since links of an archive may lead anywhere in the container. The checksums of
 * plain archives are put right first, or hardly an input would get past the first header. */
#include "../../src/agent/tool_extract.c"
#include "../../src/agent/tool_mounts.c"
#include "../../src/agent/tool_path.c"
#include "../../src/agent/tool_remove.c"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/tmp/fuzz-tar-XXXXXX";
static int home = -1, top = -1;

static void leave(void)
{
	if (fchdir(top) < 0 || chroot(".") < 0 || fchdir(home) < 0)
		abort();
}

static void tidy(void)
{
	remove_tree(AT_FDCWD, dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct rlimit limit = {1 << 20, RLIM_INFINITY};

	if (geteuid() != 0 && unshare(CLONE_NEWUSER) < 0)
		abort();
	home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	top = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	setrlimit(RLIMIT_FSIZE, &limit);
	if (!mkdtemp(dir))
		abort();
	atexit(tidy);
	return 0;
}

static void mend_checksums(uint8_t *p, size_t size)
{
	for (size_t at = 0; at + BLOCK <= size && memcmp(p + at + 257, "ustar", 5) == 0;) {
		unsigned sum = 0;
		char text[16];

		memset(p + at + 148, ' ', 8);
		for (size_t i = 0; i < BLOCK; i++)
			sum += p[at + i];
		snprintf(text, sizeof(text), "%06o", sum & 0777777);
		memcpy(p + at + 148, text, 7);
		snprintf(text, sizeof(text), "%.12s", (char *)p + at + 124);
		at += BLOCK + (strtoul(text, NULL, 8) + BLOCK - 1) / BLOCK * BLOCK;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct extract_options o = {.keep_kind = size & 1, .own = size & 2, .uid = geteuid(), .gid = getegid()};
	uint8_t *copy = xmemdup(data, size);
	int in = memfd_create("archive", MFD_CLOEXEC);
	struct err err = {0};

	signal(SIGXFSZ, SIG_IGN); /* a hole may be larger than our limit; libFuzzer has a handler of its own */
	mend_checksums(copy, size);
	if (write(in, copy, size) < 0 && size)
		abort();
	lseek(in, 0, SEEK_SET);
	free(copy);
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		abort();
	if (chdir(dir) < 0 || chroot(".") < 0 || (mkdir("/dest", 0755) < 0 && errno != EEXIST))
		abort();
	if (extract_archive(in, "/dest", &o, &err) < 0 && (err.kind != ERR_SYSTEM || !*err.msg))
		abort();
	leave();
	umask(022);
	tidy();
	close(in);
	return 0;
}
