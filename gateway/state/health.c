/* health - see health.h. */
#include "state/health.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "state/doc.h"

#define SECOND 1000000000LL
#define MINIMUM 1000000LL /* 1 ms */
#define DEFAULT_INTERVAL (30 * SECOND)
#define DEFAULT_TIMEOUT (30 * SECOND)
#define DEFAULT_START_INTERVAL (5 * SECOND)
#define DEFAULT_RETRIES 3

/* ---- what is asked for --------------------------------------------------------------------------- */

static json_t *test_of(json_t *config)
{
	return json_object_get(json_object_get(config, "Healthcheck"), "Test");
}

bool health_wanted(json_t *config)
{
	const char *kind = json_string_value(json_array_get(test_of(config), 0));

	return kind && (strcmp(kind, "CMD") == 0 || strcmp(kind, "CMD-SHELL") == 0);
}

static int64_t or_default(json_t *check, const char *key, int64_t otherwise)
{
	int64_t v = doc_int(check, key);

	return v > 0 ? v : otherwise;
}

static void add_shell(json_t *config, struct strv *argv)
{
	json_t *shell = json_object_get(config, "Shell"), *word;
	size_t i;

	json_array_foreach(shell, i, word)
		strv_add(argv, json_string_value(word));
	if (argv->n == 0) {
		strv_add(argv, "/bin/sh");
		strv_add(argv, "-c");
	}
}

bool health_read(json_t *config, struct health_check *ret)
{
	json_t *test = test_of(config), *check = json_object_get(config, "Healthcheck"), *word;
	size_t i;

	*ret = (struct health_check){0};
	if (!health_wanted(config))
		return false;
	if (strcmp(json_string_value(json_array_get(test, 0)), "CMD-SHELL") == 0)
		add_shell(config, &ret->argv);
	json_array_foreach(test, i, word)
		if (i > 0)
			strv_add(&ret->argv, json_string_value(word));
	ret->interval_ns = or_default(check, "Interval", DEFAULT_INTERVAL);
	ret->timeout_ns = or_default(check, "Timeout", DEFAULT_TIMEOUT);
	ret->start_period_ns = or_default(check, "StartPeriod", 0);
	ret->start_interval_ns = or_default(check, "StartInterval", DEFAULT_START_INTERVAL);
	ret->retries = or_default(check, "Retries", DEFAULT_RETRIES);
	return true;
}

void health_release(struct health_check *check)
{
	strv_release(&check->argv);
}

int health_validate(json_t *check, struct err *err)
{
	static const char *const times[] = {"Interval", "Timeout", "StartPeriod", "StartInterval"};

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		int64_t v = doc_int(check, times[i]);

		if (v != 0 && v < MINIMUM)
			return err_set(err, ERR_INVALID, "%s in Healthcheck cannot be less than 1ms", times[i]);
	}
	if (doc_int(check, "Retries") < 0)
		return err_set(err, ERR_INVALID, "Retries in Healthcheck cannot be negative");
	return 0;
}

/* ---- what came of it ----------------------------------------------------------------------------- */

static json_t *health_new(const char *status, int64_t streak, json_t *log)
{
	json_t *h = json_pack("{s:s, s:I}", "Status", status, "FailingStreak", (json_int_t)streak);

	json_object_set_new(h, "Log", log ? json_copy(log) : json_array());
	return h;
}

json_t *health_starting(json_t *before)
{
	return health_new("starting", 0, json_object_get(before, "Log"));
}

json_t *health_suspended(json_t *before)
{
	return health_new("unhealthy", doc_int(before, "FailingStreak"), json_object_get(before, "Log"));
}

const char *health_status(json_t *health)
{
	const char *status = doc_str(health, "Status");

	return status ? status : "none";
}

static json_t *log_entry(const struct health_result *r)
{
	char start[CLOCK_RFC3339_MAX], end[CLOCK_RFC3339_MAX];

	return json_pack("{s:s, s:s, s:i, s:o}", "Start", clock_format(r->start_ns, 0, start), "End",
			 clock_format(r->end_ns, 0, end), "ExitCode", r->exit_code, "Output", doc_text(r->output));
}

json_t *health_after(json_t *before, const struct health_check *check, const struct health_result *r,
		     int64_t started_ns)
{
	const char *status = health_status(before);
	int64_t streak = doc_int(before, "FailingStreak");
	bool early = strcmp(status, "starting") == 0 && r->start_ns - started_ns < check->start_period_ns;
	json_t *h, *log;

	if (r->exit_code == 0) {
		streak = 0;
		status = "healthy";
	} else if (!early && ++streak >= check->retries) {
		status = "unhealthy";
	}
	h = health_new(status, streak, json_object_get(before, "Log"));
	log = json_object_get(h, "Log");
	json_array_append_new(log, log_entry(r));
	while (json_array_size(log) > HEALTH_LOG_MAX)
		json_array_remove(log, 0);
	return h;
}

int64_t health_pause_ns(const struct health_check *check, json_t *health, int64_t started_ns, int64_t now_ns)
{
	bool early = now_ns - started_ns < check->start_period_ns && strcmp(health_status(health), "starting") == 0;

	return early ? check->start_interval_ns : check->interval_ns;
}

/* ---- words --------------------------------------------------------------------------------------- */

/* "1.5": what is left of the decimal point, and the fraction without its trailing zeros. */
static int decimal(char *out, size_t size, int64_t ns, int64_t unit, int digits, const char *name)
{
	int n = snprintf(out, size, "%lld.%0*lld", (long long)(ns / unit), digits, (long long)(ns % unit));

	while (out[n - 1] == '0')
		n--;
	if (out[n - 1] == '.')
		n--;
	return n + snprintf(out + n, size - (size_t)n, "%s", name);
}

char *health_duration(int64_t ns, char out[HEALTH_DURATION_MAX])
{
	int64_t minutes = ns / (60 * SECOND);
	int n = 0;

	if (ns < SECOND) {
		if (ns >= 1000000)
			decimal(out, HEALTH_DURATION_MAX, ns, 1000000, 6, "ms");
		else if (ns >= 1000)
			decimal(out, HEALTH_DURATION_MAX, ns, 1000, 3, "\u00b5s");
		else
			snprintf(out, HEALTH_DURATION_MAX, ns ? "%lldns" : "0s", (long long)ns);
		return out;
	}
	if (minutes >= 60)
		n = snprintf(out, HEALTH_DURATION_MAX, "%lldh", (long long)(minutes / 60));
	if (minutes > 0)
		n += snprintf(out + n, HEALTH_DURATION_MAX - (size_t)n, "%lldm", (long long)(minutes % 60));
	decimal(out + n, HEALTH_DURATION_MAX - (size_t)n, ns % (60 * SECOND), SECOND, 9, "s");
	return out;
}
