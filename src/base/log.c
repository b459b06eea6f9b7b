/* log - formats one line and hands it to stderr in one write, so that lines of several threads or
 * processes never mix. Control characters are shown as ?, so that a peer's text cannot forge lines.
 * Owns the program name and the level; set once by log_init before threads exist. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define LOG_LINE_MAX 4096

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const char *log_program = "";
static enum log_level log_level_max = LOG_LEVEL_INFO;
static const char *log_json_mark;

void log_init(const char *program, enum log_level level)
{
	log_program = program;
	log_level_max = level;
}

void log_as_json(const char *mark)
{
	log_json_mark = mark;
}

int log_level_parse(const char *name, enum log_level *ret_level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(*level_names); i++) {
		if (strcasecmp(name, level_names[i]) == 0) {
			*ret_level = (enum log_level)i;
			return 0;
		}
	}
	return -1;
}

/* Where the next piece goes, never past the last byte but one (kept for the newline). */
static size_t advance(size_t at, int printed)
{
	at += printed > 0 ? (size_t)printed : 0;
	return at < LOG_LINE_MAX - 2 ? at : LOG_LINE_MAX - 2;
}

/* Cloud Logging reads one JSON object per line, and takes severity and message out of it. */
static size_t wrap_in_json(enum log_level level, const char *line, size_t n, char *out, size_t max)
{
	static const char *const severities[] = {"ERROR", "WARNING", "INFO", "DEBUG"};
	size_t at = (size_t)snprintf(out, max, "{\"%s\":{\"level\":\"%s\"},\"severity\":\"%s\",\"message\":\"",
				     log_json_mark, level_names[level], severities[level]);

	for (size_t i = 0; i < n && at < max - 4; i++) {
		if (line[i] == '"' || line[i] == '\\')
			out[at++] = '\\';
		out[at++] = line[i];
	}
	out[at++] = '"';
	out[at++] = '}';
	return at;
}

void log_line(enum log_level level, const char *what, const char *fields, ...)
{
	char line[LOG_LINE_MAX], plain[LOG_LINE_MAX], stamp[32];
	int64_t now = clock_wall_ns();
	time_t sec = (time_t)(now / 1000000000);
	struct tm tm;
	va_list ap;
	size_t n;

	if (level > log_level_max)
		return;
	gmtime_r(&sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	n = advance(0, snprintf(line, sizeof(line), "%s.%03dZ %s%s%s: %s", stamp,
				(int)(now / 1000000 % 1000), level_names[level],
				*log_program ? " " : "", log_program, what));
	if (*fields) {
		line[n++] = ' ';
		va_start(ap, fields);
		n = advance(n, vsnprintf(line + n, sizeof(line) - 1 - n, fields, ap));
		va_end(ap);
	}
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	if (log_json_mark) {
		memcpy(plain, line, n);
		n = wrap_in_json(level, plain, n, line, sizeof(line) - 1);
	}
	line[n++] = '\n';
	/* A log that cannot be written has nowhere to be reported. */
	if (write(STDERR_FILENO, line, n) < 0)
		return;
}
