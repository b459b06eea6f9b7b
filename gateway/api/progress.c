/* progress - see progress.h. Numbers are written as Docker's units package does. Pure. */
#include "api/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/reply.h"

#define BAR 50

static json_t *status_text(const char *fmt, va_list ap)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	return json_pack("{s:o}", "status", reply_string(text));
}

json_t *progress_status(const char *id, const char *fmt, ...)
{
	json_t *line;
	va_list ap;

	va_start(ap, fmt);
	line = status_text(fmt, ap);
	va_end(ap);
	if (id)
		json_object_set_new(line, "id", json_string(id));
	return line;
}

json_t *progress_layer(const char *id, const char *fmt, ...)
{
	json_t *line;
	va_list ap;

	va_start(ap, fmt);
	line = status_text(fmt, ap);
	va_end(ap);
	json_object_set_new(line, "progressDetail", json_object());
	json_object_set_new(line, "id", json_string(id));
	return line;
}

static char *human_size(int64_t n, char out[32])
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
	double size = (double)n;
	size_t i = 0;

	while (size >= 1000 && i + 1 < sizeof(units) / sizeof(*units)) {
		size /= 1000;
		i++;
	}
	snprintf(out, 32, "%.4g%s", size, units[i]);
	return out;
}

json_t *progress_bar(const char *id, const char *status, int64_t current, int64_t total)
{
	char have[32], all[32], bar[128];
	int done = total > 0 ? (int)((double)current / (double)total * BAR) : 0;

	if (done > BAR)
		done = BAR;
	human_size(current, have);
	if (total <= 0)
		snprintf(bar, sizeof(bar), "%8s", have);
	else if (current > total)
		snprintf(bar, sizeof(bar), "[%.*s>] %8s", BAR, "==================================================", have);
	else
		snprintf(bar, sizeof(bar), "[%.*s>%*s] %8s/%s", done, "==================================================",
			 BAR - done, "", have, human_size(total, all));
	return json_pack("{s:s, s:{s:I, s:I}, s:s, s:s}", "status", status, "progressDetail", "current",
			 (json_int_t)current, "total", (json_int_t)total, "progress", bar, "id", id);
}

json_t *progress_error(const struct err *err)
{
	return json_pack("{s:{s:o}, s:o}", "errorDetail", "message", reply_string(err->msg), "error",
			 reply_string(err->msg));
}

char *progress_id(const char *digest, char out[PROGRESS_ID_MAX])
{
	if (strncmp(digest, "sha256:", 7) == 0)
		digest += 7;
	snprintf(out, PROGRESS_ID_MAX, "%s", digest);
	return out;
}
