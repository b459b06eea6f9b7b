/* port_filter - see port_filter.h. */
#include "api/port_filter.h"

#include <stdio.h>
#include <string.h>

#include "base/parse.h"

struct range {
	int64_t first, last;
	const char *protocol;
};

/* One end of a range; the text ends at n bytes. */
static int read_port(const char *text, size_t n, int64_t *ret, const char **ret_why)
{
	char number[24];

	snprintf(number, sizeof(number), "%.*s", (int)n, text);
	*ret_why = "invalid syntax";
	if (n == 0 || n >= sizeof(number) || number[0] == '-' || parse_i64(number, ret) < 0)
		return -1;
	*ret_why = "value out of range";
	return *ret > UINT16_MAX ? -1 : 0;
}

static int read_range(const char *key, const char *text, struct range *ret, struct err *err)
{
	size_t n = strcspn(text, "/"), dash = strcspn(text, "-");
	const char *end = dash < n ? text + dash + 1 : text, *why;
	size_t first_n = dash < n ? dash : n, end_n = n - (size_t)(end - text);

	ret->protocol = text[n] == '/' && text[n + 1] ? text + n + 1 : "tcp";
	if (strchr(text, ':'))
		return err_set(err, ERR_INVALID, "filter for '%s' should not contain ':': %s", key, text);
	if (read_port(text, first_n, &ret->first, &why) < 0)
		return err_set(err, ERR_INVALID, "error while looking up for %s %s: strconv.ParseUint: parsing \"%.*s\": %s",
			       key, text, (int)first_n, text, why);
	if (read_port(end, end_n, &ret->last, &why) < 0)
		return err_set(err, ERR_INVALID, "error while looking up for %s %s: strconv.ParseUint: parsing \"%.*s\": %s",
			       key, text, (int)end_n, end, why);
	if (ret->last < ret->first)
		return err_set(err, ERR_INVALID, "error while looking up for %s %s: invalid range specified for port: %.*s",
			       key, text, (int)n, text);
	return 0;
}

int port_filter_check(const struct filters *f, const char *key, struct err *err)
{
	struct range range;
	const char *text;
	json_t *v;

	json_object_foreach(filters_values(f, key), text, v)
		if (read_range(key, text, &range, err) < 0)
			return -1;
	return 0;
}

static bool has_port(json_t *ports, const struct range *range)
{
	const char *port, *slash;
	int64_t number;
	json_t *v;

	json_object_foreach(ports, port, v) {
		slash = strchr(port, '/');
		if (slash && strcmp(slash + 1, range->protocol) == 0 &&
		    read_port(port, (size_t)(slash - port), &number, &(const char *){NULL}) == 0 &&
		    number >= range->first && number <= range->last)
			return true;
	}
	return false;
}

bool port_filter_passes(const struct filters *f, const char *key, json_t *ports)
{
	json_t *wanted = filters_values(f, key), *v;
	struct range range;
	const char *text;

	if (!wanted)
		return true;
	json_object_foreach(wanted, text, v)
		if (read_range(key, text, &range, NULL) == 0 && has_port(ports, &range))
			return true;
	return false;
}
