/* The filters parameter, and events through it. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "api/event_filter.h"
#include "api/filters.h"
#include "base/mem.h"

static struct filters parsed(const char *text)
{
	struct filters f;
	struct err err;

	cr_assert_eq(filters_parse(&f, text, &err), 0, "%s", text);
	return f;
}

static void expect_bad(const char *text)
{
	struct filters f;
	struct err err = {0};

	cr_assert_eq(filters_parse(&f, text, &err), -1, "%s", text);
	cr_assert_eq(err.kind, ERR_INVALID);
	cr_assert_null(f.map);
}

Test(filters, nothing_filters_nothing)
{
	struct filters f = parsed(NULL);

	cr_assert(filters_exact(&f, "status", "anything"));
	cr_assert(filters_labels(&f, "label", NULL));
	f = parsed("");
	cr_assert_not(filters_has(&f, "status"));
	f = parsed("{}");
	cr_assert(filters_regexp(&f, "name", "x"));
	filters_release(&f);
}

Test(filters, lists_and_maps_mean_the_same)
{
	struct filters list = parsed("{\"status\":[\"exited\",\"created\"]}");
	struct filters map = parsed("{\"status\":{\"exited\":true,\"created\":true}}");

	cr_assert(filters_exact(&list, "status", "created") && filters_exact(&map, "status", "created"));
	cr_assert_not(filters_exact(&list, "status", "running") || filters_exact(&map, "status", "running"));
	filters_release(&list);
	filters_release(&map);
}

Test(filters, mixed_forms_and_other_types_are_refused)
{
	expect_bad("{\"a\":[\"x\"],\"b\":{\"y\":true}}");
	expect_bad("{\"a\":\"x\"}");
	expect_bad("{\"a\":[1]}");
	expect_bad("[]");
	expect_bad("zz");
	expect_bad("{\"a\":[\"x\"]");
}

Test(filters, unknown_key_is_named)
{
	static const char *const allowed[] = {"name", "id", NULL};
	struct filters f = parsed("{\"name\":[\"x\"],\"zz\":[\"y\"]}");
	struct err err;

	cr_assert_eq(filters_check(&f, allowed, &err), -1);
	cr_assert_str_eq(err.msg, "invalid filter 'zz'");
	filters_release(&f);
}

Test(filters, names_are_regular_expressions_found_anywhere)
{
	struct filters f = parsed("{\"name\":[\"^/web\",\"db$\"]}");

	cr_assert(filters_regexp(&f, "name", "/web1"));
	cr_assert_not(filters_regexp(&f, "name", "web1"));
	cr_assert(filters_regexp(&f, "name", "mydb"));
	filters_release(&f);
	f = parsed("{\"name\":[\"(\"]}");
	cr_assert_not(filters_regexp(&f, "name", "x"));
	filters_release(&f);
	f = parsed("{\"name\":[\"^web-\\\\d{2,3}[d\\\\]\\\\D$\"]}");
	cr_assert(filters_regexp(&f, "name", "web-123dx"));
	cr_assert_not(filters_regexp(&f, "name", "web-ddddx"));
	filters_release(&f);
}

/* Each of them ended the C library's matcher by its stack, its memory or its patience. */
Test(filters, patterns_without_bounds_match_nothing)
{
	static const char *const wild[] = {".*{10,}{10,}{10,}{10,}{10,}", "((a{1,255}){1,255}){1,255}", "(x*)*\\\\1"};
	AUTO_FREE char *deep = xmalloc(60001), *text = NULL;
	struct filters f;

	memset(deep, '(', 60000);
	deep[60000] = '\0';
	for (size_t i = 0; i <= sizeof(wild) / sizeof(*wild); i++) {
		text = xasprintf("{\"name\":[\"%s\"]}", i < sizeof(wild) / sizeof(*wild) ? wild[i] : deep);
		f = parsed(text);
		cr_expect_not(filters_regexp(&f, "name", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), "%.40s", text);
		filters_release(&f);
		free(steal_ptr(&text));
	}
}

Test(filters, every_label_must_be_there)
{
	json_t *labels = json_pack("{s:s, s:s}", "a", "1", "b", "");
	struct filters f = parsed("{\"label\":[\"a=1\",\"b\"]}");

	cr_assert(filters_labels(&f, "label", labels));
	filters_release(&f);
	f = parsed("{\"label\":[\"a=1\",\"c\"]}");
	cr_assert_not(filters_labels(&f, "label", labels));
	filters_release(&f);
	f = parsed("{\"label\":[\"a=2\"]}");
	cr_assert_not(filters_labels(&f, "label", labels));
	cr_assert_not(filters_labels(&f, "label", NULL));
	filters_release(&f);
	f = parsed("{\"label\":[\"b=\"]}");
	cr_assert(filters_labels(&f, "label", labels));
	filters_release(&f);
	json_decref(labels);
}

static bool passes(const char *filters, const char *type, const char *action)
{
	json_t *event = json_pack("{s:s, s:s, s:s, s:{s:s, s:{s:s, s:s, s:s}}}", "Type", type, "Action", action, "scope",
				  "local", "Actor", "ID", "abcdef", "Attributes", "name", "web", "image", "busybox:1", "l", "v");
	struct filters f = parsed(filters);
	bool pass = event_filter_passes(&f, event);

	filters_release(&f);
	json_decref(event);
	return pass;
}

Test(event_filter, action_matches_whole_or_before_the_colon)
{
	cr_assert(passes("{\"event\":[\"exec_create\"]}", "container", "exec_create: sh -c true"));
	cr_assert(passes("{\"event\":[\"health_status: healthy\"]}", "container", "health_status: healthy"));
	cr_assert_not(passes("{\"event\":[\"exec_start\"]}", "container", "exec_create: sh"));
	cr_assert_not(passes("{\"event\":[\"die\"]}", "container", "died"));
}

Test(event_filter, container_by_name_id_or_prefix_of_its_own_type)
{
	cr_assert(passes("{\"container\":[\"web\"]}", "container", "start"));
	cr_assert(passes("{\"container\":[\"abc\"]}", "container", "start"));
	cr_assert_not(passes("{\"container\":[\"def\"]}", "container", "start"));
	cr_assert_not(passes("{\"container\":[\"web\"]}", "image", "pull"));
}

Test(event_filter, image_with_or_without_tag)
{
	cr_assert(passes("{\"image\":[\"busybox\"]}", "container", "start"));
	cr_assert(passes("{\"image\":[\"busybox:1\"]}", "container", "start"));
	cr_assert_not(passes("{\"image\":[\"busybox:2\"]}", "container", "start"));
	cr_assert(passes("{\"type\":[\"container\"],\"label\":[\"l=v\"],\"event\":[\"start\",\"die\"]}", "container", "die"));
	cr_assert_not(passes("{\"type\":[\"image\"]}", "container", "die"));
}

Test(filters, booleans_and_until)
{
	const int64_t now = 1136239445000000000;
	struct filters f;
	struct err err;
	int64_t until;
	bool yes;

	cr_assert_eq(filters_parse(&f, "{\"is-task\":[\"1\"],\"dangling\":[\"x\"],\"until\":[\"10m\"]}", &err), 0);
	cr_assert_eq(filters_bool(&f, "is-task", false, &yes, &err), 0);
	cr_assert(yes);
	cr_assert_eq(filters_bool(&f, "nothing", true, &yes, &err), 0);
	cr_assert(yes);
	cr_assert_eq(filters_bool(&f, "dangling", true, &yes, &err), -1);
	cr_assert_str_eq(err.msg, "invalid filter 'dangling=[x]'");
	cr_assert_eq(filters_until(&f, now, &until, &err), 0);
	cr_assert_eq(until, now - 600000000000);
	filters_release(&f);

	cr_assert_eq(filters_parse(&f, "{\"until\":[\"1h\",\"2h\"]}", &err), 0);
	cr_assert_eq(filters_until(&f, now, &until, &err), -1);
	cr_assert_str_eq(err.msg, "more than one until filter specified");
	filters_release(&f);

	cr_assert_eq(filters_parse(&f, "{\"until\":[\"x\"]}", &err), 0);
	cr_assert_eq(filters_until(&f, now, &until, &err), -1);
	cr_assert_str_eq(err.msg, "failed to parse value as time or duration: \"x\"");
	filters_release(&f);

	f = (struct filters){0};
	cr_assert_eq(filters_until(&f, now, &until, &err), 0);
	cr_assert_eq(until, INT64_MAX);
}
