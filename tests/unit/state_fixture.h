/* state_fixture - a gateway of a loop, a store and events in a directory of its own, for the tests of
 * gateway/state. */
#ifndef STATE_FIXTURE_H
#define STATE_FIXTURE_H

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>

#include "base/mem.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/container.h"
#include "state/events.h"
#include "state/store.h"

struct fixture {
	struct gateway g;
	uv_loop_t loop;
	char dir[32];
	char log_dir[48];
	char store_path[48];
};

static struct fixture f __attribute__((unused));

static inline int fixture_unlink(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

static inline void fixture_open_store(void)
{
	struct err err = {0};

	f.g.store = store_open(f.store_path, &err);
	cr_assert_not_null(f.g.store, "%s", err.msg);
	f.g.containers = containers_new(&f.g, f.log_dir, &err);
	cr_assert_not_null(f.g.containers, "%s", err.msg);
}

static inline void fixture_setup(void)
{
	snprintf(f.dir, sizeof(f.dir), "/tmp/state-XXXXXX");
	cr_assert_not_null(mkdtemp(f.dir));
	snprintf(f.log_dir, sizeof(f.log_dir), "%s/logs", f.dir);
	snprintf(f.store_path, sizeof(f.store_path), "%s/state.db", f.dir);
	uv_loop_init(&f.loop);
	f.g.loop = &f.loop;
	f.g.events = events_new();
	fixture_open_store();
}

static inline void fixture_close_store(void)
{
	containers_free(f.g.containers);
	store_close(f.g.store);
}

/* As after a restart of the gateway. */
static inline void fixture_reopen(void)
{
	fixture_close_store();
	fixture_open_store();
}

static inline void fixture_teardown(void)
{
	fixture_close_store();
	events_free(f.g.events);
	loop_defer_finish(&f.loop);
	uv_run(&f.loop, UV_RUN_DEFAULT);
	cr_assert_eq(uv_loop_close(&f.loop), 0, "nothing is left on the loop");
	nftw(f.dir, fixture_unlink, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void fixture_turn(void)
{
	uv_run(&f.loop, UV_RUN_NOWAIT);
}

/* The next write to the store will fail: somebody else has changed the record. */
static inline void fixture_break_record(uint64_t *version)
{
	*version += 1000;
}

static inline struct container *fixture_container(const char *name)
{
	struct container_new spec = {
		.name = name, .image = "busybox", .image_id = "sha256:11", .image_ref = "host/busybox@sha256:22",
		.config = json_pack("{s:b,s:{s:s,s:s}}", "Tty", 1, "Labels", "a", "1", "image", "label"),
		.host_config = json_pack("{s:b}", "AutoRemove", 1),
	};
	struct err err = {0};
	struct container *c = containers_add(f.g.containers, &spec, &err);

	cr_assert_not_null(c, "%s", err.msg);
	return c;
}

static inline const char *fixture_last_action(void)
{
	size_t n = events_history(f.g.events);

	return n ? json_string_value(json_object_get(events_history_at(f.g.events, n - 1), "Action")) : "";
}

#endif
