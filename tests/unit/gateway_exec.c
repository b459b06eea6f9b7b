/* Execs: the record's life, what a restart keeps, the bound on finished ones, the end of a container. */
#include <string.h>

#include "state/exec.h"
#include "state_fixture.h"

static struct container *c;

static void open_execs(void)
{
	struct err err = {0};

	f.g.execs = execs_new(&f.g, &err);
	cr_assert_not_null(f.g.execs, "%s", err.msg);
}

static void setup(void)
{
	fixture_setup();
	open_execs();
	c = fixture_container("web");
	cr_assert_eq(container_set_starting(c, "s", NULL), 0);
	cr_assert_eq(container_set_running(c, 7, 1, NULL), 0);
}

static void teardown(void)
{
	execs_free(f.g.execs);
	fixture_teardown();
}

static void reopen(void)
{
	execs_free(f.g.execs);
	fixture_reopen();
	open_execs();
	c = containers_find(f.g.containers, "web", NULL);
}

TestSuite(exec, .init = setup, .fini = teardown);

static struct exec *add(void)
{
	struct exec spec = {0}, *e;
	struct err err = {0};

	strv_add(&spec.argv, "sh");
	e = execs_add(f.g.execs, c, &spec, &err);
	cr_assert_not_null(e, "%s", err.msg);
	return e;
}

Test(exec, everything_stored_comes_back)
{
	struct exec spec = {.tty = true, .attach_stdin = true, .attach_stdout = true, .rows = 24, .cols = 80,
			    .privileged = true}, *e;
	char id[ID_HEX_MAX];

	strv_add(&spec.argv, "sh");
	strv_add(&spec.argv, "-c");
	strv_add(&spec.argv, "echo \xff"); /* not UTF-8: shown changed, never refused */
	strv_add(&spec.env, "A=1");
	spec.workdir = xstrdup("/w");
	spec.user = xstrdup("0:0");
	spec.detach_keys = xstrdup("ctrl-a");
	e = execs_add(f.g.execs, c, &spec, NULL);
	cr_assert_not_null(e);
	cr_expect_null(spec.argv.v, "moved");
	cr_expect_null(spec.workdir);
	cr_expect_eq(e->state, EXEC_CREATED);
	cr_expect_eq(e->run, 1);
	cr_expect_str_eq(e->container_id, c->id);
	cr_expect_str_eq(e->argv.v[2], "echo \xff");
	cr_assert_eq(exec_set_started(e, 5, NULL), 0);
	snprintf(id, sizeof(id), "%s", e->id);
	reopen();
	e = execs_find(f.g.execs, id, NULL);
	cr_assert_not_null(e);
	cr_expect_eq(e->state, EXEC_STARTED, "the agent decides");
	cr_expect_eq(e->channel, 5);
	cr_expect_eq(e->argv.n, 3);
	cr_expect_str_eq(e->argv.v[2], "echo \xef\xbf\xbd");
	cr_expect_str_eq(e->env.v[0], "A=1");
	cr_expect_str_eq(e->workdir, "/w");
	cr_expect_str_eq(e->user, "0:0");
	cr_expect_str_eq(e->detach_keys, "ctrl-a");
	cr_expect(e->tty && e->attach_stdin && e->attach_stdout && !e->attach_stderr && e->privileged);
	cr_expect_eq(e->rows, 24);
	cr_expect_eq(e->cols, 80);
	exec_set_pid(e, 99);
	cr_assert_eq(exec_set_exited(e, 3, "because", 1234, NULL), 0);
	cr_expect(e->exit_visible);
	cr_assert_eq(exec_set_exited(e, 4, NULL, 5, NULL), 0, "told twice");
	reopen();
	e = execs_find(f.g.execs, id, NULL);
	cr_expect_eq(e->state, EXEC_EXITED);
	cr_expect(e->exit_visible);
	cr_expect_eq(e->exit_code, 3);
	cr_expect_eq(e->pid, 99);
	cr_expect_str_eq(e->error, "because");
	cr_expect_eq(e->finished_ns, 1234);
}

Test(exec, is_found_by_id_or_unique_prefix)
{
	struct exec *e = add();
	char prefix[13];
	struct err err = {0};

	snprintf(prefix, sizeof(prefix), "%.12s", e->id);
	cr_expect_eq(execs_find(f.g.execs, prefix, NULL), e);
	cr_expect_null(execs_find(f.g.execs, "nothing", &err));
	cr_expect_eq(err.kind, ERR_NOT_FOUND);
	cr_expect_str_eq(err.msg, "No such exec instance: nothing");
	cr_expect_null(execs_find(f.g.execs, "", &err));
}

Test(exec, only_the_newest_finished_ones_are_kept)
{
	const int total = EXECS_KEPT_MAX + 5;
	char (*ids)[ID_HEX_MAX] = xcalloc((size_t)total, sizeof(*ids));
	struct exec *running = add();
	char running_id[ID_HEX_MAX];

	snprintf(running_id, sizeof(running_id), "%s", running->id);
	for (int i = 0; i < total; i++) {
		struct exec *e = add();

		snprintf(ids[i], sizeof(ids[i]), "%s", e->id);
		cr_assert_eq(exec_set_started(e, (uint32_t)i, NULL), 0);
		cr_assert_eq(exec_set_exited(e, 0, NULL, i + 1, NULL), 0);
	}
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < total; i++)
			cr_assert_eq(execs_find(f.g.execs, ids[i], NULL) != NULL, i >= 5, "%d", i);
		cr_expect_not_null(execs_find(f.g.execs, running_id, NULL));
		reopen(); /* the store forgets as well */
	}
	free(ids);
}

Test(exec, ids_are_those_not_finished)
{
	struct exec *a = add(), *b = add();
	json_t *ids = execs_ids(f.g.execs, c->id);

	cr_expect_eq(json_array_size(ids), 2);
	json_decref(ids);
	cr_assert_eq(exec_set_exited(a, 0, NULL, 1, NULL), 0);
	ids = execs_ids(f.g.execs, c->id);
	cr_expect_eq(json_array_size(ids), 1);
	cr_expect_str_eq(json_string_value(json_array_get(ids, 0)), b->id);
	json_decref(ids);
	cr_assert_eq(exec_set_exited(b, 0, NULL, 1, NULL), 0);
	ids = execs_ids(f.g.execs, c->id);
	cr_expect(json_is_null(ids));
	json_decref(ids);
}

Test(exec, the_end_of_a_run_ends_its_execs)
{
	struct exec *created = add(), *started = add(), *later;
	json_t *ids;

	cr_assert_eq(exec_set_started(started, 2, NULL), 0);
	c->runs = 2;
	later = add();
	cr_assert_eq(exec_set_started(later, 2, NULL), 0);
	execs_container_ended(f.g.execs, c->id, 1);
	cr_expect_eq(started->state, EXEC_EXITED);
	cr_expect_eq(started->exit_code, 137);
	cr_expect_neq(started->finished_ns, 0);
	cr_expect_eq(created->state, EXEC_CREATED, "it never ran");
	cr_expect_eq(later->state, EXEC_STARTED, "of another run");
	ids = execs_ids(f.g.execs, c->id);
	cr_expect_eq(json_array_size(ids), 1);
	json_decref(ids);
}

Test(exec, a_restart_settles_what_was_left_open)
{
	struct exec *a = add(), *b;
	char id[ID_HEX_MAX], gone_id[ID_HEX_MAX];
	struct container *web = c;

	snprintf(id, sizeof(id), "%s", a->id);
	cr_assert_eq(exec_set_started(a, 2, NULL), 0);
	c = fixture_container("gone");
	b = add();
	snprintf(gone_id, sizeof(gone_id), "%s", b->id);
	container_remove(c);
	cr_assert_eq(container_set_exited(web, 0, 5, false, NULL), 0);
	reopen();
	cr_expect_eq(execs_find(f.g.execs, id, NULL)->state, EXEC_EXITED);
	cr_expect_null(execs_find(f.g.execs, gone_id, NULL));
}

Test(exec, removal_forgets_them)
{
	struct exec *a = add(), *b = add();
	char id[ID_HEX_MAX], id2[ID_HEX_MAX];

	snprintf(id, sizeof(id), "%s", a->id);
	snprintf(id2, sizeof(id2), "%s", b->id);
	cr_assert_eq(exec_set_exited(a, 0, NULL, 1, NULL), 0);
	execs_container_removed(f.g.execs, c->id);
	cr_expect_null(execs_find(f.g.execs, id, NULL));
	cr_expect_null(execs_find(f.g.execs, id2, NULL));
	reopen();
	cr_expect_null(execs_find(f.g.execs, id, NULL));
}

Test(exec, what_the_store_refuses_has_not_happened)
{
	struct exec *e = add();
	uint64_t version = e->version;
	struct err err = {0};

	fixture_break_record(&e->version);
	cr_expect_eq(exec_set_started(e, 2, &err), -1);
	cr_expect_eq(e->state, EXEC_CREATED);
	cr_expect_eq(e->channel, 0);
	cr_expect_eq(exec_set_exited(e, 1, "x", 2, &err), -1);
	cr_expect_eq(e->state, EXEC_CREATED);
	cr_expect_null(e->error);
	cr_expect_not(e->exit_visible);
	e->version = version;
	cr_expect_eq(exec_set_started(e, 2, &err), 0);
}
