/* Containers: finding, naming, the state machine, events, waiters, and what a restart keeps. */
#include <string.h>

#include "state/logs.h"
#include "state/names.h"
#include "state_fixture.h"

TestSuite(container, .init = fixture_setup, .fini = fixture_teardown);

#define SECOND 1000000000LL

static void run(struct container *c)
{
	cr_assert_eq(container_set_starting(c, "secret", NULL), 0);
	cr_assert_eq(container_set_running(c, 7, 100 * SECOND, NULL), 0);
}

static void stop(struct container *c, int code)
{
	cr_assert_eq(container_set_exited(c, code, 103 * SECOND, false, NULL), 0);
}

static const char *attribute(const char *key)
{
	size_t n = events_history(f.g.events);
	json_t *actor = json_object_get(events_history_at(f.g.events, n - 1), "Actor");
	const char *s = json_string_value(json_object_get(json_object_get(actor, "Attributes"), key));

	return s ? s : "(none)";
}

/* ---- finding and naming ---- */

Test(container, is_found_by_id_name_and_unique_prefix)
{
	struct container *c = fixture_container("web");
	char prefix[6];
	struct err err = {0};

	snprintf(prefix, sizeof(prefix), "%.5s", c->id);
	cr_expect_eq(containers_find(f.g.containers, c->id, NULL), c);
	cr_expect_eq(containers_find(f.g.containers, "web", NULL), c);
	cr_expect_eq(containers_find(f.g.containers, "/web", NULL), c);
	cr_expect_eq(containers_find(f.g.containers, prefix, NULL), c);
	cr_expect_null(containers_find(f.g.containers, "we", &err));
	cr_expect_eq(err.kind, ERR_NOT_FOUND);
	cr_expect_str_eq(err.msg, "No such container: we");
	cr_expect_null(containers_find(f.g.containers, "", &err));
}

Test(container, an_ambiguous_prefix_is_an_error_and_a_name_beats_it)
{
	struct container *many[40], *named;
	char digit[2] = "";
	struct err err = {0};
	char name[8];

	for (int i = 0; i < 40; i++) /* more than 16: some two begin alike */
		many[i] = fixture_container(NULL);
	for (int i = 0; !*digit && i < 40; i++)
		for (int k = 0; k < i; k++)
			if (many[i]->id[0] == many[k]->id[0])
				digit[0] = many[i]->id[0];
	cr_expect_null(containers_find(f.g.containers, digit, &err));
	cr_expect_eq(err.kind, ERR_INVALID);
	snprintf(name, sizeof(name), "%c%c", many[3]->id[0], many[3]->id[1]);
	named = fixture_container(name);
	cr_expect_eq(containers_find(f.g.containers, name, NULL), named);
}

Test(container, a_used_name_is_a_conflict_in_dockers_words)
{
	struct container *c = fixture_container("web");
	struct container_new spec = {.name = "/web", .config = json_object(), .host_config = json_object()};
	AUTO_FREE char *want = xasprintf("Conflict. The container name \"/web\" is already in use by container "
					 "\"%s\". You have to remove (or rename) that container to be able to "
					 "reuse that name.", c->id);
	struct err err = {0};

	cr_expect_null(containers_add(f.g.containers, &spec, &err));
	cr_expect_eq(err.kind, ERR_CONFLICT);
	cr_expect_str_eq(err.msg, want);
	cr_expect_eq(containers_count(f.g.containers), 1);
}

Test(container, a_bad_name_is_refused_in_dockers_words)
{
	static const char *const bad[] = {"a", "_ab", "a b", "ä0", "a/b", "-ab", ""};
	struct err err = {0};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct container_new spec = {.name = bad[i], .config = json_object(), .host_config = json_object()};

		cr_expect_null(containers_add(f.g.containers, &spec, &err), "%s", bad[i]);
		cr_expect_eq(err.kind, ERR_INVALID);
	}
	cr_expect_str_eq(err.msg, "Invalid container name (), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
}

Test(container, made_up_names_are_valid_and_never_collide)
{
	for (int i = 0; i < 300; i++) {
		char name[NAME_GENERATED_MAX];

		name_generate(name, (unsigned)i % 3);
		cr_assert(name_valid(name), "%s", name);
		cr_assert(name_valid(fixture_container(NULL)->name));
	}
	cr_expect_eq(containers_count(f.g.containers), 300);
}

Test(container, rename_frees_the_old_name_and_tells)
{
	struct container *c = fixture_container("old"), *other = fixture_container("other");
	struct err err = {0};

	cr_expect_eq(container_rename(c, "/new", &err), 0);
	cr_expect_str_eq(fixture_last_action(), "rename");
	cr_expect_str_eq(attribute("oldName"), "/old");
	cr_expect_str_eq(attribute("name"), "new");
	cr_expect_null(containers_find(f.g.containers, "old", NULL));
	cr_expect_eq(containers_find(f.g.containers, "new", NULL), c);
	cr_expect_eq(container_rename(c, "other", &err), -1);
	cr_expect_eq(err.kind, ERR_CONFLICT);
	cr_expect_eq(container_rename(c, "new", &err), -1);
	cr_expect_eq(container_rename(c, "", &err), -1);
	cr_expect_eq(err.kind, ERR_INVALID);
	cr_expect_eq(container_rename(other, "old", &err), 0);
	fixture_reopen();
	cr_expect_not_null(containers_find(f.g.containers, "new", NULL));
	cr_expect_not_null(containers_find(f.g.containers, "old", NULL));
}

Test(container, list_is_newest_first_also_after_a_restart)
{
	struct container **list;

	for (int i = 0; i < 20; i++) {
		char name[8];

		snprintf(name, sizeof(name), "c%02d", i);
		fixture_container(name);
	}
	fixture_reopen();
	list = containers_list(f.g.containers);
	for (int i = 0; i < 20; i++) {
		char name[8];

		snprintf(name, sizeof(name), "c%02d", 19 - i);
		cr_expect_str_eq(list[i]->name, name);
	}
	cr_expect_null(list[20]);
	free(list);
}

/* ---- states ---- */

Test(container, goes_through_its_life_with_dockers_events)
{
	struct container *c = fixture_container("web");

	cr_expect_str_eq(fixture_last_action(), "create");
	cr_expect_str_eq(container_state_name(c), "created");
	cr_expect(c->tty && c->auto_remove && !c->open_stdin);
	cr_assert_eq(container_set_starting(c, "secret", NULL), 0);
	cr_expect_str_eq(container_state_name(c), "created");
	cr_expect_str_eq(fixture_last_action(), "create");
	cr_expect_eq(c->runs, 1);
	cr_assert_eq(container_set_job(c, "job", "execution", NULL), 0);
	cr_assert_eq(container_set_running(c, 7, 100 * SECOND, NULL), 0);
	cr_expect(container_is_running(c));
	cr_expect_str_eq(fixture_last_action(), "start");
	cr_expect_str_eq(attribute("a"), "1");
	cr_expect_str_eq(attribute("image"), "busybox", "the image, not a label of that name");
	cr_assert_eq(container_set_exited(c, 3, 103 * SECOND + 5, true, NULL), 0);
	cr_expect_str_eq(fixture_last_action(), "die");
	cr_expect_str_eq(attribute("exitCode"), "3");
	cr_expect_str_eq(attribute("execDuration"), "3");
	cr_expect_str_eq(container_state_name(c), "exited");
	cr_expect(c->output_incomplete);
	cr_assert_eq(container_set_starting(c, "secret2", NULL), 0);
	cr_expect_str_eq(container_state_name(c), "exited", "as dockerd shows a second start");
	cr_expect_null(c->job);
	cr_expect_eq(c->runs, 2);
	cr_assert_eq(container_set_removing(c, NULL), 0);
	cr_expect_str_eq(container_state_name(c), "removing");
	container_remove(c);
	cr_expect_str_eq(fixture_last_action(), "destroy");
	cr_expect_str_eq(attribute("name"), "web");
	cr_expect_eq(containers_count(f.g.containers), 0);
	cr_expect_eq(events_history(f.g.events), 4, "create, start, die, destroy");
}

Test(container, an_exit_told_twice_counts_once)
{
	struct container *c = fixture_container("web");

	run(c);
	stop(c, 3);
	stop(c, 4);
	cr_expect_eq(c->exit_code, 3);
	cr_expect_eq(events_history(f.g.events), 3);
}

Test(container, killed_while_removing_dies_but_stays_removing)
{
	struct container *c = fixture_container("web");

	run(c);
	cr_assert_eq(container_set_removing(c, NULL), 0);
	stop(c, 137);
	cr_expect_str_eq(fixture_last_action(), "die");
	cr_expect_eq(c->state, CONTAINER_REMOVING);
	cr_expect_eq(c->exit_code, 137);
}

Test(container, a_failed_start_leaves_created_or_exited)
{
	struct container *c = fixture_container("web");

	cr_assert_eq(container_set_starting(c, "s", NULL), 0);
	cr_assert_eq(container_set_start_failed(c, 127, "no such file", NULL), 0);
	cr_expect_eq(c->state, CONTAINER_CREATED);
	cr_expect_eq(c->exit_code, 127);
	cr_expect_str_eq(c->error, "no such file");
	run(c);
	cr_expect_null(c->error);
	cr_expect_eq(c->exit_code, 0);
	stop(c, 0);
	cr_assert_eq(container_set_starting(c, "s", NULL), 0);
	cr_assert_eq(container_set_start_failed(c, 126, "denied", NULL), 0);
	cr_expect_eq(c->state, CONTAINER_EXITED);
}

Test(container, everything_stored_comes_back)
{
	struct container *c = fixture_container("web"), *back;
	char id[ID_HEX_MAX];
	uint64_t version;

	run(c);
	cr_assert_eq(container_set_job(c, "job-1", "execution-1", NULL), 0);
	stop(c, 42);
	cr_assert_eq(container_set_starting(c, "token-2", NULL), 0);
	cr_assert_eq(container_set_job(c, "job-2", "execution-2", NULL), 0);
	c->restart_count = 2;
	json_object_set_new(c->config, "Extra", json_string("kept"));
	cr_assert_eq(container_save(c, NULL), 0);
	snprintf(id, sizeof(id), "%s", c->id);
	version = c->version;
	fixture_reopen();
	back = containers_by_id(f.g.containers, id);
	cr_assert_not_null(back);
	cr_expect_eq(back->version, version);
	cr_expect_str_eq(back->name, "web");
	cr_expect_str_eq(back->image, "busybox");
	cr_expect_str_eq(back->image_id, "sha256:11");
	cr_expect_str_eq(back->image_ref, "host/busybox@sha256:22");
	cr_expect_str_eq(json_string_value(json_object_get(back->config, "Extra")), "kept");
	cr_expect(back->tty && back->auto_remove);
	cr_expect_null(back->networking);
	cr_expect_eq(back->state, CONTAINER_STARTING);
	cr_expect_eq(back->exit_code, 42);
	cr_expect_eq(back->started_ns, 100 * SECOND);
	cr_expect_eq(back->finished_ns, 103 * SECOND);
	cr_expect_eq(back->runs, 2);
	cr_expect_eq(back->restart_count, 2);
	cr_expect_str_eq(back->job, "job-2");
	cr_expect_str_eq(back->execution, "execution-2");
	cr_expect_str_eq(back->token, "token-2");
	run(back);
	fixture_reopen();
	back = containers_by_id(f.g.containers, id);
	cr_expect_eq(back->state, CONTAINER_RUNNING);
	cr_expect_eq(back->pid, 7);
}

static void not_called(void *ctx, int code, const char *error)
{
	cr_assert(0, "called");
}

Test(container, what_the_store_refuses_has_not_happened)
{
	struct container *c = fixture_container("web"), before;
	struct container_waiter *w;
	uint64_t version = c->version;
	struct err err = {0};

	run(c);
	cr_assert_eq(container_set_job(c, "job", "execution", NULL), 0);
	w = container_wait(c, WAIT_NEXT_EXIT, not_called, NULL);
	version = c->version;
	fixture_break_record(&c->version);
	before = *c;
	cr_expect_eq(container_set_exited(c, 3, 1, false, &err), -1);
	cr_expect_eq(container_set_job(c, "other", "other", &err), -1);
	cr_expect_eq(container_rename(c, "other", &err), -1);
	cr_expect_eq(container_set_starting(c, "t", &err), -1);
	cr_expect_eq(container_set_start_failed(c, 1, "x", &err), -1);
	cr_expect_eq(container_set_removing(c, &err), -1);
	cr_expect_eq(err.kind, ERR_CONFLICT);
	cr_expect_arr_eq((char *)c, (char *)&before, offsetof(struct container, hh_id));
	cr_expect_str_eq(c->job, "job");
	cr_expect_eq(containers_find(f.g.containers, "web", NULL), c);
	cr_expect_str_eq(fixture_last_action(), "start", "nothing was told");
	fixture_turn();
	c->version = version;
	container_unwait(w);
}

/* ---- waiters ---- */

struct told {
	int times, code;
	char error[32];
};

static void on_wait(void *ctx, int code, const char *error)
{
	struct told *t = ctx;

	t->times++;
	t->code = code;
	snprintf(t->error, sizeof(t->error), "%s", error ? error : "(none)");
}

Test(container, not_running_answers_at_once_but_from_the_loop)
{
	struct container *c = fixture_container("web");
	struct told created = {0}, exited = {0};

	container_wait(c, WAIT_NOT_RUNNING, on_wait, &created);
	cr_expect_eq(created.times, 0, "not inside the call");
	fixture_turn();
	cr_expect_eq(created.times, 1);
	cr_expect_eq(created.code, 0);
	cr_expect_str_eq(created.error, "(none)");
	run(c);
	stop(c, 9);
	container_wait(c, WAIT_NOT_RUNNING, on_wait, &exited);
	fixture_turn();
	cr_expect_eq(exited.code, 9);
}

Test(container, an_exit_wakes_those_who_wait_for_it_once)
{
	struct container *c = fixture_container("web");
	struct told not_running = {0}, next = {0}, removed = {0};

	container_wait(c, WAIT_NEXT_EXIT, on_wait, &next);
	container_wait(c, WAIT_REMOVED, on_wait, &removed);
	run(c);
	container_wait(c, WAIT_NOT_RUNNING, on_wait, &not_running);
	fixture_turn();
	cr_expect_eq(not_running.times + next.times + removed.times, 0);
	stop(c, 5);
	cr_expect_eq(next.times, 0, "not inside the transition");
	fixture_turn();
	cr_expect_eq(not_running.times, 1);
	cr_expect_eq(next.times, 1);
	cr_expect_eq(next.code, 5);
	cr_expect_eq(removed.times, 0);
	container_remove(c);
	fixture_turn();
	cr_expect_eq(removed.times, 1);
	cr_expect_eq(removed.code, 5, "the last code");
	cr_expect_eq(next.times, 1);
}

Test(container, next_exit_waits_although_it_has_exited)
{
	struct container *c = fixture_container("web");
	struct told next = {0};

	run(c);
	stop(c, 1);
	container_wait(c, WAIT_NEXT_EXIT, on_wait, &next);
	fixture_turn();
	cr_expect_eq(next.times, 0);
	run(c);
	stop(c, 2);
	fixture_turn();
	cr_expect_eq(next.times, 1);
	cr_expect_eq(next.code, 2);
}

Test(container, a_failed_start_wakes_only_not_running)
{
	struct container *c = fixture_container("web");
	struct told not_running = {0}, next = {0}, removed = {0};

	cr_assert_eq(container_set_starting(c, "s", NULL), 0);
	container_wait(c, WAIT_NOT_RUNNING, on_wait, &not_running);
	container_wait(c, WAIT_NEXT_EXIT, on_wait, &next);
	container_wait(c, WAIT_REMOVED, on_wait, &removed);
	fixture_turn();
	cr_expect_eq(not_running.times, 0, "starting counts as running");
	cr_assert_eq(container_set_start_failed(c, 127, "no such file", NULL), 0);
	fixture_turn();
	cr_expect_eq(not_running.times, 1);
	cr_expect_eq(not_running.code, 127);
	cr_expect_str_eq(not_running.error, "no such file");
	cr_expect_eq(next.times, 0);
	container_remove(c);
	fixture_turn();
	cr_expect_eq(next.times, 1, "removal wakes all");
	cr_expect_eq(removed.times, 1);
	cr_expect_eq(removed.code, 127);
	cr_expect_str_eq(removed.error, "(none)", "the removal went well");
}

Test(container, unwait_works_before_and_after_the_firing)
{
	struct container *c = fixture_container("web");
	struct container_waiter *early, *late;
	struct told other = {0};

	run(c);
	early = container_wait(c, WAIT_NOT_RUNNING, not_called, NULL);
	late = container_wait(c, WAIT_NOT_RUNNING, not_called, NULL);
	container_wait(c, WAIT_NOT_RUNNING, on_wait, &other);
	container_unwait(early);
	stop(c, 0);
	container_remove(c);
	container_unwait(late); /* fired, not told; its container is gone */
	fixture_turn();
	cr_expect_eq(other.times, 1);
}

/* ---- log ---- */

Test(container, its_log_goes_with_it)
{
	static const uint8_t boot[LOG_BOOT_ID_LEN] = {1};
	struct container *c = fixture_container("web");
	AUTO_FREE char *path = xasprintf("%s/%s.log", f.log_dir, c->id);
	struct err err = {0};
	struct log *l = container_log(c, &err);

	cr_assert_not_null(l, "%s", err.msg);
	cr_expect_eq(container_log(c, NULL), l);
	cr_assert_eq(log_begin_run(l, boot, 0, NULL), 0);
	cr_expect_eq(access(path, F_OK), 0);
	container_remove(c);
	cr_expect_neq(access(path, F_OK), 0);
	c = fixture_container("web");
	free(path);
	path = xasprintf("%s/%s.log", f.log_dir, c->id);
	cr_assert_not_null(container_log(c, NULL));
	fixture_reopen();
	cr_expect_eq(access(path, F_OK), 0);
	container_remove(containers_find(f.g.containers, "web", NULL));
	cr_expect_neq(access(path, F_OK), 0, "also when it was not opened since the restart");
}

/* ---- during a run ---- */

static struct container *fixture_checked(const char *name)
{
	struct container *c = fixture_container(name);

	json_object_set_new(c->config, "Healthcheck", json_pack("{s:[s,s]}", "Test", "CMD", "true"));
	return c;
}

Test(container, a_restart_is_an_exit_and_a_start)
{
	struct container *c = fixture_container("again");
	struct told first = {0}, next = {0};

	run(c);
	container_wait(c, WAIT_NOT_RUNNING, on_wait, &first);
	container_wait(c, WAIT_NEXT_EXIT, on_wait, &next);
	cr_assert_eq(container_set_restarting(c, 3, 101 * SECOND, 1, NULL), 0);
	cr_expect_str_eq(fixture_last_action(), "die");
	cr_expect_str_eq(attribute("exitCode"), "3");
	fixture_turn();
	cr_expect_eq(first.times, 1);
	cr_expect_eq(next.times, 1);
	cr_expect_eq(next.code, 3);
	cr_expect_str_eq(container_state_name(c), "restarting");
	cr_expect(container_is_running(c));
	cr_expect_eq(c->pid, 0);
	cr_expect_eq(c->restart_count, 1);
	cr_expect_eq(container_check_process(c, NULL), -1);
	fixture_reopen();
	c = containers_find(f.g.containers, "again", NULL);
	cr_expect_str_eq(container_state_name(c), "restarting");
	cr_assert_eq(container_set_running(c, 9, 102 * SECOND, NULL), 0);
	cr_expect_str_eq(fixture_last_action(), "start");
	cr_expect_str_eq(container_state_name(c), "running");
	cr_expect_eq(c->restart_count, 1);
	cr_expect_eq(c->finished_ns, 101 * SECOND);
}

Test(container, who_waits_while_it_restarts_is_told_of_the_next_exit_or_the_end)
{
	struct container *c = fixture_container("again");
	struct told told = {0};
	size_t events;

	run(c);
	container_set_restarting(c, 3, 101 * SECOND, 1, NULL);
	container_wait(c, WAIT_NOT_RUNNING, on_wait, &told);
	fixture_turn();
	cr_expect_eq(told.times, 0);
	events = events_history(f.g.events);
	cr_assert_eq(container_set_exited(c, 3, 101 * SECOND, false, NULL), 0);
	cr_expect_eq(events_history(f.g.events), events, "this exit has been told");
	fixture_turn();
	cr_expect_eq(told.times, 1);
	cr_expect_str_eq(container_state_name(c), "exited");
}

Test(container, a_start_by_hand_counts_afresh_and_one_by_the_policy_goes_on)
{
	struct container *c = fixture_container("again");

	run(c);
	container_set_restarting(c, 3, 101 * SECOND, 4, NULL);
	container_set_stop_asked(c, true, NULL);
	container_set_starting(c, "secret", NULL);
	cr_expect_eq(c->restart_count, 4);
	cr_expect_eq(c->restart_base, 4);
	cr_expect(c->exit_on_next);
	cr_expect(container_is_running(c), "for Docker it runs all the time");
	cr_expect_str_eq(container_state_name(c), "restarting");
	container_set_running(c, 8, 103 * SECOND, NULL);
	container_set_exited(c, 0, 104 * SECOND, false, NULL);
	container_set_starting(c, "secret", NULL);
	cr_expect_eq(c->restart_count, 0);
	cr_expect_not(c->exit_on_next);
	cr_expect_not(c->stopped_by_hand);
}

Test(container, pause_is_kept_and_ends_with_the_process)
{
	struct container *c = fixture_container("ice");

	run(c);
	cr_assert_eq(container_set_paused(c, true, NULL), 0);
	cr_expect_str_eq(fixture_last_action(), "pause");
	cr_expect_str_eq(container_state_name(c), "paused");
	fixture_reopen();
	c = containers_find(f.g.containers, "ice", NULL);
	cr_expect(c->paused);
	cr_assert_eq(container_set_paused(c, false, NULL), 0);
	cr_expect_str_eq(fixture_last_action(), "unpause");
	container_set_paused(c, true, NULL);
	stop(c, 137);
	cr_expect_not(c->paused);
	cr_expect_str_eq(container_state_name(c), "exited");
}

Test(container, health_begins_with_a_run_and_is_told_when_it_changes)
{
	struct container *c = fixture_checked("well");

	cr_expect_null(c->health);
	run(c);
	cr_expect_str_eq(json_string_value(json_object_get(c->health, "Status")), "starting");
	cr_assert_eq(container_set_health(c, json_pack("{s:s,s:[i]}", "Status", "healthy", "Log", 1), NULL), 0);
	cr_expect_str_eq(fixture_last_action(), "health_status: healthy");
	container_set_health(c, json_pack("{s:s,s:[i,i]}", "Status", "healthy", "Log", 1, 2), NULL);
	cr_expect_eq(events_history(f.g.events), 3, "create, start, one health_status");
	fixture_reopen();
	c = containers_find(f.g.containers, "well", NULL);
	stop(c, 0);
	cr_expect_str_eq(json_string_value(json_object_get(c->health, "Status")), "unhealthy");
	run(c);
	cr_expect_str_eq(json_string_value(json_object_get(c->health, "Status")), "starting");
	cr_expect_eq(json_array_size(json_object_get(c->health, "Log")), 2);
}

Test(container, a_refused_change_leaves_health_and_settings_alone)
{
	struct container *c = fixture_checked("well");

	run(c);
	fixture_break_record(&c->version);
	cr_expect_eq(container_set_health(c, json_pack("{s:s}", "Status", "healthy"), NULL), -1);
	cr_expect_eq(container_set_host_config(c, json_pack("{s:i}", "Memory", 7), NULL), -1);
	cr_expect_eq(container_set_paused(c, true, NULL), -1);
	cr_expect_eq(container_set_restarting(c, 1, 101 * SECOND, 1, NULL), -1);
	cr_expect_str_eq(json_string_value(json_object_get(c->health, "Status")), "starting");
	cr_expect_null(json_object_get(c->host_config, "Memory"));
	cr_expect_str_eq(container_state_name(c), "running");
	cr_expect_eq(c->restart_count, 0);
}
