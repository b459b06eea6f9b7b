/* format - see format.h. Source: the go-units package for the durations' steps. */
#include "api/format.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

#define COMMAND_MAX (4 * 1024 * 1024)

char *format_duration(int64_t ns, char out[FORMAT_DURATION_MAX])
{
	static const struct {
		int64_t below, unit;   /* hours */
		const char *name;
	} step[] = {
		{48, 1, "hours"}, {24 * 7 * 2, 24, "days"}, {24 * 30 * 2, 24 * 7, "weeks"},
		{24 * 365 * 2, 24 * 30, "months"}, {INT64_MAX, 24 * 365, "years"},
	};
	int64_t s = ns / 1000000000, minutes = s / 60, hours = (s + 1800) / 3600;
	size_t i = 0;

	if (s < 1)
		snprintf(out, FORMAT_DURATION_MAX, "Less than a second");
	else if (s == 1)
		snprintf(out, FORMAT_DURATION_MAX, "1 second");
	else if (s < 60)
		snprintf(out, FORMAT_DURATION_MAX, "%d seconds", (int)s);
	else if (minutes == 1)
		snprintf(out, FORMAT_DURATION_MAX, "About a minute");
	else if (minutes < 60)
		snprintf(out, FORMAT_DURATION_MAX, "%d minutes", (int)minutes);
	else if (hours == 1)
		snprintf(out, FORMAT_DURATION_MAX, "About an hour");
	else {
		while (hours >= step[i].below)
			i++;
		snprintf(out, FORMAT_DURATION_MAX, "%lld %s", (long long)(hours / step[i].unit), step[i].name);
	}
	return out;
}

static void add_words(struct buf *b, json_t *words)
{
	json_t *word;
	size_t i;

	json_array_foreach(words, i, word) {
		const char *s = json_string_value(word);

		if (!s)
			continue;
		if (b->len == 0)
			buf_printf(b, "%s", s);
		else
			buf_printf(b, strchr(s, ' ') ? " '%s'" : " %s", s);
	}
}

char *format_command(json_t *entrypoint, json_t *cmd)
{
	struct buf b;
	char *ret;

	buf_init(&b, COMMAND_MAX);
	add_words(&b, entrypoint);
	add_words(&b, cmd);
	ret = buf_detach(&b, NULL);
	buf_release(&b);
	return ret ? ret : xstrdup("");
}
