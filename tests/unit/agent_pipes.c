/* agent_pipes - pipes that the kernel does not let grow: because the user's pages for pipes are used up (EPERM), or more
 * lies in the pipe than the new size holds (EBUSY). Neither may close the pipe, lose a byte, or be asked for again. */
#include "agent_fixture.h"

#include <stdarg.h>
#include <sys/mman.h>

static int no_growth;             /* what F_SETPIPE_SZ says; 0: as the kernel does */
static unsigned *refused;       /* how often, shared with the agent, which is a fork of us */

/* In place of the C library's, for all of this program. */
int fcntl(int fd, int cmd, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (cmd == F_SETPIPE_SZ && no_growth) {
		__atomic_add_fetch(refused, 1, __ATOMIC_RELAXED);
		errno = no_growth;
		return -1;
	}
	return (int)syscall(SYS_fcntl, fd, cmd, arg);
}

int fcntl64(int fd, int cmd, ...) __attribute__((alias("fcntl")));

static void bulk_through_small_pipes(int how)
{
	struct gw g;
	size_t n = 4 << 20, got;
	AUTO_FREE uint8_t *data = pattern(n);
	unsigned before;

	refused = mmap(NULL, sizeof(*refused), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq((void *)refused, MAP_FAILED);
	no_growth = how;
	gw_start(&g, idle);
	before = *refused;
	/* First nobody reads the input, so that its pipe is found full; and the output comes faster than it is read. */
	struct channel *c = exec_with(&g, spec(COMMAND("sh", "-c", "sleep 0.1; cat")), data, n);

	UNTIL(&g, ended(c));
	AUTO_FREE char *out = payload(c, 1, &got);

	cr_assert_eq(got, n);
	cr_assert(memcmp(out, data, n) == 0);
	cr_assert_eq(c->status.code, 0);
	/* Two sizes for the input, two for the output: each pipe is asked once. */
	cr_assert(*refused - before >= 2 && *refused - before <= 4, "%u", *refused - before);
	finish(&g);
	munmap(refused, sizeof(*refused));
}

Test(pipes, of_a_user_who_may_have_no_more_carry_all)
{
	bulk_through_small_pipes(EPERM);
}

Test(pipes, that_hold_more_than_they_would_carry_all)
{
	bulk_through_small_pipes(EBUSY);
}
