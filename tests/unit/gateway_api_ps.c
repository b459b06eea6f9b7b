/* docker top: the argument language of ps, and what its columns show. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/ps.h"

#define NOW 1000000000 /* 2001-09-09 01:46:40 UTC */

static json_t *processes(void)
{
	json_t *list = json_loads(
		"[{\"pid\":7,\"ppid\":1,\"uid\":1000,\"gid\":1000,\"user\":\"app\",\"group\":\"app\",\"sid\":7,\"pgid\":7,\"tty\":\"?\","
		"\"tpgid\":-1,\"state\":\"S\",\"stat\":\"Ss\",\"nice\":0,\"threads\":1,\"vsz_kb\":2268,\"rss_kb\":1376,\"utime_ticks\":6150,\"stime_ticks\":50,"
		"\"start_unix\":999996400,\"pcpu\":7.26,\"pmem\":0.04,\"comm\":\"sh\",\"args\":\"sh -c x\"},"
		" {\"pid\":9,\"ppid\":7,\"uid\":0,\"gid\":0,\"user\":\"root\",\"group\":\"root\",\"sid\":7,\"pgid\":9,\"tty\":\"pts/0\","
		"\"tpgid\":9,\"state\":\"R\",\"stat\":\"RN+\",\"nice\":5,\"threads\":3,\"vsz_kb\":9000,\"rss_kb\":20,\"utime_ticks\":0,\"stime_ticks\":0,"
		"\"start_unix\":999827200,\"pcpu\":0,\"pmem\":0,\"comm\":\"sleep\",\"args\":\"\"}]", 0, NULL);

	cr_assert_not_null(list);
	setenv("TZ", "UTC", 1);
	tzset();
	return list;
}

/* "titles | first row", and how many rows. */
static char *shown(const char *args, size_t *ret_rows)
{
	json_t *list = processes(), *table, *parts[2];
	char *text = NULL;
	struct ps ps;
	struct err err = {0};

	if (ps_parse(&ps, args, &err) < 0) {
		text = xstrdup(err.msg);
		cr_expect_eq(err.kind, ERR_SYSTEM);
		*ret_rows = 0;
	} else {
		table = ps_table(&ps, list, NOW);
		parts[0] = json_object_get(table, "Titles");
		parts[1] = json_array_get(json_object_get(table, "Processes"), 0);
		*ret_rows = json_array_size(json_object_get(table, "Processes"));
		for (int k = 0; k < 2; k++) {
			json_t *cell;
			size_t i;

			json_array_foreach(parts[k], i, cell) {
				char *more = xasprintf("%s%s%s", text ? text : "", !text ? "" : i ? " " : " | ", json_string_value(cell));

				free(text);
				text = more;
			}
		}
		json_decref(table);
	}
	ps_release(&ps);
	json_decref(list);
	return text;
}

static void expect(const char *args, const char *want, size_t want_rows)
{
	size_t rows;
	char *got = shown(args, &rows);

	cr_expect_str_eq(got, want, "ps %s: %s", args, got);
	cr_expect_eq(rows, want_rows, "ps %s: %zu rows", args, rows);
	free(got);
}

Test(ps, the_formats_that_people_use)
{
	expect("", "UID PID PPID C STIME TTY TIME CMD | app 7 1 7 00:46 ? 00:01:02 sh -c x", 2);
	expect("-ef", "UID PID PPID C STIME TTY TIME CMD | app 7 1 7 00:46 ? 00:01:02 sh -c x", 2);
	expect("aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND | app 7 7.3 0.0 2268 1376 ? Ss 00:46 1:02 sh -c x", 2);
	expect("-aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND | app 7 7.3 0.0 2268 1376 ? Ss 00:46 1:02 sh -c x", 2);
	expect("-e", "PID TTY TIME CMD | 7 ? 00:01:02 sh", 2);
	expect("x", "PID TTY STAT TIME COMMAND | 7 ? Ss 1:02 sh -c x", 2);
	expect("-l", "F S UID PID PPID C PRI NI ADDR SZ WCHAN TTY TIME CMD | 4 S 1000 7 1 7 80 0 - 567 - ? 00:01:02 sh", 2);
	expect("j", "PPID PID PGID SID TTY TPGID STAT UID TIME COMMAND | 1 7 7 7 ? -1 Ss 1000 1:02 sh -c x", 2);
}

Test(ps, lists_of_columns_with_and_without_headers)
{
	expect("-eo pid,comm", "PID COMMAND | 7 sh", 2);
	expect("-o pid -o user=WHO,args", "PID WHO COMMAND | 7 app sh -c x", 2);
	expect("opid,comm", "PID COMMAND | 7 sh", 2);
	expect("axo pid,stat,etime,start,nlwp,group,%cpu", "PID STAT ELAPSED STARTED NLWP GROUP %CPU | 7 Ss 01:00:00 00:46:40 1 app 7.3", 2);
	expect("--format pid,lstart", "PID STARTED | 7 Sun Sep  9 00:46:40 2001", 2);
	expect("-p 9 -o pid,stime,etime,args,tty,ni,pri", "PID STIME ELAPSED COMMAND TT NI PRI | 9 Sep07 2-00:00:00 [sleep] pts/0 5 14", 1);
}

Test(ps, selection_and_order)
{
	expect("-C sleep -o pid", "PID | 9", 1);
	expect("-u app -o pid", "PID | 7", 1);
	expect("-u 0 -o pid", "PID | 9", 1);
	expect("-p 7,9 -o pid", "PID | 7", 2);
	expect("-p 5", "PID TTY TIME CMD", 0);
	expect("aux --sort=-pid", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND | root 9 0.0 0.0 9000 20 pts/0 RN+ Sep07 0:00 "
	       "[sleep]", 2);
	expect("-eo pid --sort rss", "PID | 9", 2);
	expect("-eo pid k-rss", "PID | 7", 2);
}

Test(ps, complaints_are_pss_or_dockerds)
{
	expect("-o comm", "Couldn't find PID field in ps output", 0);
	expect("-eo pid=ABC,comm", "Couldn't find PID field in ps output", 0);
	expect("--no-headers", "Couldn't find PID field in ps output", 0);
	expect("--bogus", "ps: error: unknown gnu long option", 0);
	expect("-eo pid,foo", "ps: error: unknown user-defined format specifier \"foo\"", 0);
	expect("aux -o pid", "ps: error: conflicting format options", 0);
	expect("-eo pid,comm=PID", "specifying \"comm=PID\" is not allowed", 0);
	expect("-!", "ps: error: unsupported SysV option", 0);
	expect("?", "ps: error: unsupported option (BSD syntax)", 0);
}
