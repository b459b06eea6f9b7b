/* version_trim: fields by version. port_filter: what docker ps --filter expose= takes. */
#include <criterion/criterion.h>
#include <string.h>

#include "api/port_filter.h"
#include "api/version.h"

static char *trimmed(const char *text, enum version_shape shape, int minor)
{
	json_t *body = json_loads(text, 0, NULL);
	char *out;

	cr_assert_not_null(body, "%s", text);
	out = json_dumps(version_trim(body, shape, minor), JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(body);
	return out;
}

static void expect(const char *text, enum version_shape shape, int minor, const char *want)
{
	char *got = trimmed(text, shape, minor);

	cr_assert_str_eq(got, want, "at 1.%d: %s, not %s", minor, got, want);
	free(got);
}

Test(version_trim, a_field_is_there_in_its_versions_only)
{
	const char *event = "{\"Type\":\"x\",\"from\":\"f\",\"id\":\"i\",\"status\":\"s\"}";

	expect(event, VERSION_EVENT, 24, event);
	expect(event, VERSION_EVENT, 51, event);
	expect(event, VERSION_EVENT, 52, "{\"Type\":\"x\"}");
	expect("{\"EnableIPv4\":true}", VERSION_NETWORK, 47, "{}");
	expect("{\"EnableIPv4\":true}", VERSION_NETWORK, 48, "{\"EnableIPv4\":true}");
}

Test(version_trim, lists_and_any_member)
{
	const char *row = "[{\"NetworkSettings\":{\"Networks\":{\"a\":{\"DNSNames\":null,\"x\":1},\"b\":{\"DNSNames\":[]}}}}]";

	expect(row, VERSION_CONTAINER_ROW, 44, row);
	expect(row, VERSION_CONTAINER_ROW, 43, "[{\"NetworkSettings\":{\"Networks\":{\"a\":{\"x\":1},\"b\":{}}}}]");
	expect("{\"Images\":[{\"VirtualSize\":1,\"x\":1}]}", VERSION_DISK_USAGE, 44, "{\"Images\":[{\"x\":1}]}");
}

Test(version_trim, what_says_something_stays)
{
	const char *none = "{\"Config\":{\"Cmd\":null,\"Env\":[],\"User\":\"\"},\"Parent\":\"\"}";
	const char *some = "{\"Config\":{\"Cmd\":[\"a\"],\"Env\":[\"b\"],\"User\":\"c\"},\"Parent\":\"d\"}";

	expect(none, VERSION_IMAGE, 51, none);
	expect(none, VERSION_IMAGE, 52, "{\"Config\":{}}");
	expect(some, VERSION_IMAGE, 55, some);
}

Test(version_trim, a_body_without_the_parents)
{
	expect("{}", VERSION_CONTAINER, 24, "{}");
	expect("{\"NetworkSettings\":null}", VERSION_CONTAINER, 55, "{\"NetworkSettings\":null}");
	expect("{\"NetworkSettings\":{\"Networks\":[]}}", VERSION_CONTAINER, 24, "{\"NetworkSettings\":{\"Networks\":[]}}");
}

static int ports(const char *value, const char *of, struct err *err)
{
	struct filters f = {.map = json_pack("{s:{s:b}}", "expose", value, 1)};
	json_t *map = json_pack("{s:{}}", of);
	int ret = port_filter_check(&f, "expose", err) < 0 ? -1 : port_filter_passes(&f, "expose", map);

	json_decref(map);
	filters_release(&f);
	return ret;
}

Test(port_filter, ports_and_ranges)
{
	cr_assert_eq(ports("80", "80/tcp", NULL), 1);
	cr_assert_eq(ports("80/tcp", "80/tcp", NULL), 1);
	cr_assert_eq(ports("80/udp", "80/tcp", NULL), 0);
	cr_assert_eq(ports("79-81", "80/tcp", NULL), 1);
	cr_assert_eq(ports("81-90/tcp", "80/tcp", NULL), 0);
	cr_assert_eq(ports("80-80/udp", "80/udp", NULL), 1);
}

Test(port_filter, what_is_no_port)
{
	static const struct {
		const char *value, *sentence;
	} bad[] = {
		{"x", "error while looking up for expose x: strconv.ParseUint: parsing \"x\": invalid syntax"},
		{"99999", "error while looking up for expose 99999: strconv.ParseUint: parsing \"99999\": value out of range"},
		{"9-2", "error while looking up for expose 9-2: invalid range specified for port: 9-2"},
		{"1:2", "filter for 'expose' should not contain ':': 1:2"},
		{"", "error while looking up for expose : strconv.ParseUint: parsing \"\": invalid syntax"},
		{"1-", "error while looking up for expose 1-: strconv.ParseUint: parsing \"\": invalid syntax"},
	};
	struct err err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_assert_eq(ports(bad[i].value, "80/tcp", &err), -1, "%s", bad[i].value);
		cr_assert_eq(err.kind, ERR_INVALID);
		cr_assert_str_eq(err.msg, bad[i].sentence);
	}
}
