/* log_entry - see log_entry.h. */
#include "cloud/log_entry.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

static char *text_of(json_t *entry, size_t *ret_len)
{
	json_t *payload = json_object_get(entry, "jsonPayload"), *text = json_object_get(entry, "textPayload");
	AUTO_FREE char *json = NULL;
	char *line;

	if (text) {
		*ret_len = json_string_length(text) + 1;
		line = xmalloc(*ret_len);
		memcpy(line, json_string_value(text), *ret_len - 1);
		line[*ret_len - 1] = '\n';
		return line;
	}
	if (!payload || json_object_get(payload, "sockerless_agent"))
		return NULL;
	json = json_dumps(payload, JSON_COMPACT);
	line = xasprintf("%s\n", json);
	*ret_len = strlen(line);
	return line;
}

bool log_entry_read(json_t *entry, struct log_entry *ret)
{
	const char *at = json_string_value(json_object_get(entry, "timestamp"));
	const char *name = json_string_value(json_object_get(entry, "logName"));
	size_t n = name ? strlen(name) : 0;

	*ret = (struct log_entry){.is_stderr = n >= 6 && strcmp(name + n - 6, "stderr") == 0};
	if (at)
		clock_parse(at, &ret->time_ns);
	ret->text = text_of(entry, &ret->len);
	return ret->text != NULL;
}
