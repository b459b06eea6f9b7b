/* agent_processes - the tools that look at the container's processes and stop them: top, stats, freeze,
 * thaw, in the whole agent. */
#include "agent_fixture.h"

#include <jansson.h>

#include "../../src/agent/walk.h"

/* What a tool printed, which ends with 0. */
static char *tool_output(struct gw *g, const char **argv)
{
	struct channel *c = exec_with(g, tool(argv), "", 0);

	UNTIL(g, ended(c));
	AUTO_FREE char *errors = payload(c, 2, NULL);

	cr_assert_eq(c->status.code, 0, "%s", errors);
	return payload(c, 1, NULL);
}

static json_t *tool_json(struct gw *g, const char **argv)
{
	AUTO_FREE char *text = tool_output(g, argv);
	json_t *o = json_loads(text, 0, NULL);

	cr_assert_not_null(o, "%s", text);
	return o;
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static json_int_t number_of(const json_t *o, const char *key)
{
	cr_assert(json_is_integer(json_object_get(o, key)), "%s", key);
	return json_integer_value(json_object_get(o, key));
}

static json_t *find_args(const json_t *top, const char *args)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(top, "processes"), i, item)
		if (strcmp(text_of(item, "args"), args) == 0)
			return item;
	return NULL;
}

static void outside_forever(struct gw *g)
{
	struct channel *c = exec_with(g, spec(COMMAND("sh", "-c", "setsid sleep 4711 & echo ready")), NULL, 0);

	UNTIL(g, ended(c));
}

static bool printed(const struct channel *c, const char *text)
{
	AUTO_FREE char *out = payload(c, 0, NULL);

	return strstr(out, text) != NULL;
}

Test(top, lists_the_containers_processes_and_nothing_of_ours)
{
	struct gw g;
	const struct json_t *p;

	gw_start(&g, COMMAND("sh", "-c", "sleep 4242; exit 1"));
	struct channel *peer = exec_with(&g, tool(COMMAND("stats")), NULL, 0);
	struct exec_spec s = spec(COMMAND("sh", "-c", "echo ready; exec -a '\"odd\tname' sleep 4343"));

	s.tty = true;
	free(s.argv.v[0]);
	s.argv.v[0] = xstrdup("bash");
	struct channel *c = exec_with(&g, s, NULL, 0);

	outside_forever(&g);
	UNTIL(&g, peer->raw.len && c->raw.len);
	json_t *top;
	while (!(top = tool_json(&g, COMMAND("top")), find_args(top, "\"odd?name 4343") && find_args(top, "sleep 4242")))
		json_decref(top);
	cr_assert_eq(json_array_size(json_object_get(top, "processes")), 4);
	p = find_args(top, "sleep 4242");
	cr_assert_str_eq(text_of(p, "comm"), "sleep");
	cr_assert_str_eq(text_of(p, "tty"), "?");
	cr_assert_eq(number_of(p, "uid"), (json_int_t)geteuid());
	cr_assert_str_eq(text_of(p, "user"), "root");
	cr_assert_gt(number_of(p, "rss_kb"), 0);
	cr_assert_eq(number_of(p, "threads"), 1);
	cr_assert_leq(llabs(number_of(p, "start_unix") - time(NULL)), 60);
	p = find_args(top, "sh -c sleep 4242; exit 1");
	cr_assert_not_null(p);
	cr_assert_eq(number_of(p, "ppid"), g.agent);
	cr_assert_eq(number_of(p, "pid"), number_of(p, "sid"));
	cr_assert_eq(number_of(find_args(top, "sleep 4242"), "ppid"), number_of(p, "pid"));
	cr_assert(strncmp(text_of(find_args(top, "\"odd?name 4343"), "tty"), "pts/", 4) == 0);
	p = find_args(top, "sleep 4711"); /* an orphan: ours since */
	cr_assert_eq(number_of(p, "ppid"), g.agent);
	json_decref(top);
	finish(&g);
}

Test(stats, once_and_every_second_until_stdin_ends)
{
	struct gw g;
	json_t *o;

	gw_start(&g, COMMAND("sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo done; sleep 1000"));
	UNTIL(&g, printed(&g.ch[1], "done"));
	o = tool_json(&g, COMMAND("stats", "--once"));
	cr_assert_gt(number_of(o, "read_ns"), 0);
	cr_assert_gt(number_of(json_object_get(o, "cpu"), "usage_ns"), 0);
	cr_assert_gt(number_of(json_object_get(o, "cpu"), "system_ns_total"), number_of(json_object_get(o, "cpu"), "usage_ns"));
	cr_assert_geq(number_of(json_object_get(o, "cpu"), "online"), 1);
	cr_assert_gt(number_of(json_object_get(o, "memory"), "usage"), 0);
	cr_assert_gt(number_of(json_object_get(o, "memory"), "limit"), 0);
	cr_assert_geq(number_of(json_object_get(o, "pids"), "current"), 2);
	cr_assert(json_is_array(json_object_get(o, "blkio")));
	cr_assert(json_is_object(json_object_get(o, "networks")));
	json_decref(o);
	struct channel *c = exec_with(&g, tool(COMMAND("stats")), NULL, 0);

	UNTIL(&g, c->raw.len);
	size_t first = c->raw.len;
	UNTIL(&g, c->raw.len > first);
	stream_fin(c->in);
	UNTIL(&g, ended(c));
	cr_assert_eq(c->status.code, 0);
	finish(&g);
}

static size_t running(pid_t agent)
{
	struct tasks t;
	size_t n = 0;

	cr_assert_eq(walk_tasks(agent, &t, NULL), 0);
	for (size_t i = 0; i < t.n; i++)
		n += !task_is_dead(&t.v[i]) && t.v[i].state != 'T' && t.v[i].state != 'D'; /* D: has vforked */
	tasks_release(&t);
	return n;
}

static off_t size_of(const char *file)
{
	struct stat st;

	cr_assert_eq(stat(file, &st), 0);
	return st.st_size;
}

/* Only what is alone in sight can be known to be complete. */
static void start_as_init(struct gw *g, const char **argv)
{
	gw_init(g);
	gw_listen(g);
	g->as_init = true;
	agent_start(g, settings(g, argv));
	UNTIL(g, g->up);
}

/* Families that never rest: each generation starts the next and is gone, some in sessions of their own. */
Test(freeze, catches_what_forks_meanwhile_and_lets_it_go_again)
{
	struct gw g;
	char file[] = "/tmp/agent-freeze-XXXXXX";
	AUTO_FREE char *hop = NULL;

	if (geteuid() != 0)
		cr_skip_test("needs root");
	close(mkstemp(file));
	hop = xasprintf("echo x >>%s; sh -c \"$HOP\" & exit", file);
	start_as_init(&g, COMMAND("sh", "-c", "while :; do (true) & wait; done"));
	for (int i = 0; i < 3; i++) {
		struct exec_spec s = spec(COMMAND("sh", "-c", hop));

		strv_take(&s.env, xasprintf("HOP=%s", hop));
		exec_with(&g, s, NULL, 0);
	}
	exec_with(&g, spec(COMMAND("sh", "-c", "while :; do setsid sh -c 'sleep 0.001 & sleep 0.001'; done")), NULL, 0);
	struct channel *peer = exec_with(&g, tool(COMMAND("stats")), NULL, 0);

	for (int round = 0; round < 3; round++) {
		UNTIL(&g, size_of(file) > 40 && peer->raw.len);
		free(tool_output(&g, COMMAND("freeze")));
		off_t then = size_of(file);
		size_t told = peer->raw.len;

		cr_assert_eq(running(g.agent), 0);
		cut(&g);
		UNTIL(&g, g.up && peer->raw.len > told); /* the agent and its tools go on */
		cr_assert_eq(running(g.agent), 0);
		cr_assert_eq(size_of(file), then);
		free(tool_output(&g, COMMAND("thaw")));
		UNTIL(&g, size_of(file) > then + 10);
	}
	finish(&g);
	unlink(file);
}

Test(freeze, a_frozen_container_can_be_killed)
{
	struct gw g;

	gw_start(&g, idle);
	free(tool_output(&g, COMMAND("freeze")));
	free(tool_output(&g, COMMAND("freeze")));
	signal_channel(&g, 1, SIGKILL);
	UNTIL(&g, ended(&g.ch[1]));
	cr_assert_eq(agent_status(&g), 137);
	finish(&g);
}

Test(freeze, nothing_to_freeze_is_fine)
{
	struct gw g;
	struct config c;

	gw_init(&g);
	gw_listen(&g);
	c = settings(&g, idle);
	c.hold = true;
	c.hold_ms = 600000;
	agent_start(&g, c);
	UNTIL(&g, g.up);
	free(tool_output(&g, COMMAND("freeze")));
	free(tool_output(&g, COMMAND("thaw")));
	AUTO_FREE char *top = tool_output(&g, COMMAND("top"));

	cr_assert_str_eq(top, "{\"processes\":[]}\n");
	finish(&g);
}
