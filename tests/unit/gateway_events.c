/* Events: their form, the history's bound, listeners that come and go while being told. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "state/events.h"

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "(none)";
}

Test(events, a_container_event_has_the_old_and_the_new_members)
{
	struct events *e = events_new();
	int64_t before = clock_wall_ns();
	json_t *ev, *actor;

	events_emit(e, "container", "start", "abc", json_pack("{s:s,s:s}", "image", "busybox", "name", "x"));
	ev = events_history_at(e, 0);
	actor = json_object_get(ev, "Actor");
	cr_expect_str_eq(str(ev, "Type"), "container");
	cr_expect_str_eq(str(ev, "Action"), "start");
	cr_expect_str_eq(str(ev, "status"), "start");
	cr_expect_str_eq(str(ev, "id"), "abc");
	cr_expect_str_eq(str(ev, "from"), "busybox");
	cr_expect_str_eq(str(ev, "scope"), "local");
	cr_expect_str_eq(str(actor, "ID"), "abc");
	cr_expect_str_eq(str(json_object_get(actor, "Attributes"), "name"), "x");
	cr_expect_geq(json_integer_value(json_object_get(ev, "timeNano")), before);
	cr_expect_eq(json_integer_value(json_object_get(ev, "time")),
		     json_integer_value(json_object_get(ev, "timeNano")) / 1000000000);
	events_free(e);
}

Test(events, other_types_have_only_the_new_members)
{
	struct events *e = events_new();

	events_emit(e, "network", "connect", "n", NULL);
	cr_expect_null(json_object_get(events_history_at(e, 0), "status"));
	cr_expect_null(json_object_get(events_history_at(e, 0), "from"));
	cr_expect(json_is_object(json_object_get(json_object_get(events_history_at(e, 0), "Actor"), "Attributes")));
	events_free(e);
}

Test(events, history_keeps_the_last_ones_oldest_first)
{
	struct events *e = events_new();

	cr_expect_eq(events_history(e), 0);
	for (int i = 0; i < EVENTS_HISTORY + 10; i++) {
		char id[16];

		snprintf(id, sizeof(id), "%d", i);
		events_emit(e, "container", "create", id, NULL);
	}
	cr_expect_eq(events_history(e), EVENTS_HISTORY);
	cr_expect_str_eq(str(events_history_at(e, 0), "id"), "10");
	cr_expect_str_eq(str(events_history_at(e, EVENTS_HISTORY - 1), "id"), "265");
	events_free(e);
}

struct listener {
	struct events *e;
	struct events_watch *watch;
	struct listener *ends;    /* whom to unwatch when told */
	struct listener *begins;  /* whom to make listen when told */
	int told;
};

static void on_event(void *ctx, json_t *event)
{
	struct listener *l = ctx;

	l->told++;
	if (l->ends && l->ends->watch) {
		events_unwatch(l->ends->watch);
		l->ends->watch = NULL;
	}
	if (l->begins && !l->begins->watch)
		l->begins->watch = events_watch(l->e, on_event, l->begins);
}

static void listen_on(struct events *e, struct listener *l)
{
	l->e = e;
	l->watch = events_watch(e, on_event, l);
}

Test(events, a_listener_may_end_itself_and_others_while_told)
{
	struct events *e = events_new();
	struct listener a = {0}, b = {0}, c = {0}, d = {0};

	a.ends = &a;
	b.ends = &c;
	listen_on(e, &a);
	listen_on(e, &b);
	listen_on(e, &c);
	listen_on(e, &d);
	events_emit(e, "container", "create", "1", NULL);
	events_emit(e, "container", "create", "2", NULL);
	cr_expect_eq(a.told, 1);
	cr_expect_eq(b.told, 2);
	cr_expect_eq(c.told, 0, "ended before its turn");
	cr_expect_eq(d.told, 2);
	events_unwatch(b.watch);
	events_free(e); /* frees d's watch */
}

Test(events, a_listener_that_begins_while_told_hears_the_next_one)
{
	struct events *e = events_new();
	struct listener a = {0}, b = {0};

	a.begins = &b;
	b.e = e;
	listen_on(e, &a);
	events_emit(e, "container", "create", "1", NULL);
	cr_expect_eq(b.told, 0);
	events_emit(e, "container", "create", "2", NULL);
	cr_expect_eq(b.told, 1);
	events_free(e);
}

Test(events, bytes_that_are_not_utf8_do_not_lose_the_event)
{
	struct events *e = events_new();

	events_emit(e, "image", "pull", "a\xff z", NULL);
	cr_expect_str_eq(str(events_history_at(e, 0), "id"), "a\xef\xbf\xbd z");
	events_free(e);
}
