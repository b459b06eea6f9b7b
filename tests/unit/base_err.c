/* base/err: what a caller reads when something fails. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"

Test(err, set_returns_minus_one_and_fills_kind_and_text)
{
	struct err e = {.kind = ERR_TIMEOUT, .code = 7};

	cr_assert_eq(err_set(&e, ERR_NOT_FOUND, "no such container: %s", "web"), -1);
	cr_assert_eq(e.kind, ERR_NOT_FOUND);
	cr_assert_eq(e.code, 0);
	cr_assert_str_eq(e.msg, "no such container: web");
}

Test(err, sys_appends_what_errno_means)
{
	struct err e;

	cr_assert_eq(err_sys(&e, ENOENT, "open %s", "/x"), -1);
	cr_assert_eq(e.kind, ERR_SYSTEM);
	cr_assert_eq(e.code, ENOENT);
	cr_assert_str_eq(e.msg, "open /x: No such file or directory");
}

Test(err, wrap_reads_outside_in_and_keeps_kind_and_code)
{
	struct err e;

	err_sys(&e, EACCES, "open /dev/ptmx");
	cr_assert_eq(err_wrap(&e, "start exec %.4s", "3f2a99"), -1);
	cr_assert_str_eq(e.msg, "start exec 3f2a: open /dev/ptmx: Permission denied");
	cr_assert_eq(e.kind, ERR_SYSTEM);
	cr_assert_eq(e.code, EACCES);
}

Test(err, nobody_listening_is_fine)
{
	cr_assert_eq(err_set(NULL, ERR_INVALID, "x"), -1);
	cr_assert_eq(err_sys(NULL, EIO, "x"), -1);
	cr_assert_eq(err_wrap(NULL, "x"), -1);
}

Test(err, text_that_is_too_long_is_cut_and_terminated)
{
	static char long_text[3 * ERR_MSG_MAX];
	struct err e;

	memset(long_text, 'a', sizeof(long_text) - 1);
	err_set(&e, ERR_INVALID, "%s", long_text);
	cr_assert_eq(strlen(e.msg), ERR_MSG_MAX - 1);
	err_sys(&e, EIO, "%s", long_text);
	cr_assert_eq(strlen(e.msg), ERR_MSG_MAX - 1);
	err_wrap(&e, "%s", "b");
	cr_assert_eq(strlen(e.msg), ERR_MSG_MAX - 1);
	cr_assert_eq(strncmp(e.msg, "b: aaa", 6), 0);
}
