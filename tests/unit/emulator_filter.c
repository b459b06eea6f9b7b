/* The Logging query language over a toy entry: field names to texts. */
#include <criterion/criterion.h>
#include <string.h>

#include "../../src/emulator/filter.h"
#include "base/clock.h"

struct toy {
	const char *log_name, *job, *execution, *severity, *text, *time;
};

static const char *get(void *p, const struct filter_path *path)
{
	const struct toy *t = p;
	const char *last = "";

	for (int i = 0; path->part[i]; i++)
		last = path->part[i];
	return !strcmp(last, "logName") ? t->log_name : !strcmp(last, "job_name") ? t->job
	     : !strcmp(last, "run.googleapis.com/execution_name") ? t->execution
	     : !strcmp(last, "severity") ? t->severity : !strcmp(last, "textPayload") ? t->text : NULL;
}

static bool get_time(void *p, const struct filter_path *path, int64_t *ret)
{
	return clock_parse(((struct toy *)p)->time, ret) == 0;
}

static const struct filter_ops ops = { NULL, get, get_time };

static struct toy entry = {
	"projects/P/logs/run.googleapis.com%2Fstdout", "J", "J-abcde", "WARNING", "Hello (world)",
	"2025-01-15T15:48:06.716662Z",
};

static int matches(const char *text)
{
	struct err err = { 0 };
	struct filter *f = filter_new(text, &ops, &err);

	cr_assert(f, "%s: %s", text, err.msg);
	int yes = filter_match(f, &entry);
	filter_free(f);
	return yes;
}

static void refused(const char *text)
{
	struct err err = { 0 };

	cr_expect_null(filter_new(text, &ops, &err), "accepted: %s", text);
	cr_expect_eq(err.kind, ERR_INVALID, "%s", text);
	cr_expect(*err.msg);
}

Test(filter, what_matches)
{
	static const char *const yes[] = {
		"", "  \n ", "logName=\"projects/P/logs/run.googleapis.com%2Fstdout\"",
		"resource.labels.job_name=\"J\"", "resource.labels.job_name=j", "resource.labels.job_name = J",
		"labels.\"run.googleapis.com/execution_name\"=\"J-abcde\"",
		"logName:\"run.googleapis.com\"", "logName:stdout", "logName:*",
		"logName=(\"x\" OR \"projects/P/logs/run.googleapis.com%2Fstdout\")",
		"logName:(\"P\" AND \"stdout\")", "logName=(x OR (y OR projects/P/logs/run.googleapis.com%2Fstdout))",
		"resource.labels.job_name=J AND severity=warning", "resource.labels.job_name=J severity=WARNING",
		"resource.labels.job_name=K OR severity=WARNING", "NOT resource.labels.job_name=K",
		"-resource.labels.job_name=K", "resource.labels.job_name!=K", "labels.absent!=x",
		"severity>=WARNING", "severity>INFO AND severity<ERROR",
		"timestamp>=\"2025-01-15T15:48:06.716662Z\"", "timestamp<=\"2025-01-15T15:48:06.716662Z\"",
		"timestamp>=2025-01-15T15:48:06.7Z", "timestamp>\"2025-01-15\"",
		"timestamp=\"2025-01-15T16:48:06.716662+01:00\"", "textPayload=\"Hello (world)\"",
		"textPayload:\"(WORLD\"", "(resource.labels.job_name=K OR severity=WARNING) AND logName:stdout",
		"severity=WARNING -- a remark\n AND logName:stdout",
	};

	for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
		cr_expect(matches(yes[i]), "%s", yes[i]);
}

Test(filter, what_does_not_match)
{
	static const char *const no[] = {
		"logName=\"x\"", "logName=(\"x\" OR \"y\")", "labels.absent=x", "labels.absent:*",
		"resource.labels.job_name=K", "resource.labels.job_name=J AND severity=ERROR",
		"NOT resource.labels.job_name=J", "severity>WARNING", "severity<=INFO",
		"timestamp>\"2025-01-15T15:48:06.716662Z\"", "timestamp<\"2025-01-15T15:48:06.716662Z\"",
		"timestamp>=2026-01-01", "resource.labels.job_name=K OR severity=ERROR",
		/* AND binds closer than OR */
		"resource.labels.job_name=K OR severity=WARNING AND logName=x",
		"severity=WARNING AND (resource.labels.job_name=K OR logName=x)",
	};

	for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
		cr_expect_not(matches(no[i]), "%s", no[i]);
}

Test(filter, what_is_not_understood_is_refused)
{
	static const char *const bad[] = {
		"hello", "\"hello\"", "logName", "logName=", "logName=\"open", "logName=(a OR", "(severity=INFO",
		"severity=INFO)", "severity=LOUD", "timestamp>yesterday", "textPayload=~\"x.*\"", "AND", "NOT",
		"a.b.c.d.e.f.g.h.i=x", "a..b=x", "=x", "sample(insertId, 0.5)", "logName=x AND",
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		refused(bad[i]);
}

Test(filter, deep_nesting_and_long_text_are_refused)
{
	static char deep[3000], longer[FILTER_TEXT_MAX + 100];

	memset(deep, '(', 1000);
	refused(deep);
	memset(deep, '-', 1);
	for (int i = 0; i < 1000; i++)
		deep[i] = i % 2 ? ' ' : '-';
	refused(deep);
	memset(longer, ' ', sizeof longer - 1);
	refused(longer);
}

Test(filter, bounds_come_from_what_every_match_satisfies)
{
	struct err err = { 0 };
	int64_t t;
	struct filter *f = filter_new("logName=x AND timestamp>=\"2025-01-01T00:00:00Z\" AND "
				      "timestamp<\"2025-01-02T00:00:00Z\"", &ops, &err);

	clock_parse("2025-01-01T00:00:00Z", &t);
	cr_expect_eq(filter_min_time(f), t);
	cr_expect_eq(filter_max_time(f), t + (int64_t)86400 * 1000000000 - 1);
	filter_free(f);
	f = filter_new("logName=x OR timestamp>=\"2025-01-01T00:00:00Z\"", &ops, &err);
	cr_expect_eq(filter_min_time(f), INT64_MIN);
	cr_expect_eq(filter_max_time(f), INT64_MAX);
	filter_free(f);
	f = filter_new("NOT timestamp>=\"2025-01-01T00:00:00Z\"", &ops, &err);
	cr_expect_eq(filter_min_time(f), INT64_MIN);
	filter_free(f);
}
