/* agent_main - the main process in the whole agent: held until BEGIN, run again by its restart policy,
 * and what the agent still does after its end. */
#include "agent_fixture.h"
#include "net/listen.h"

#include <arpa/inet.h>

static void send_plain(struct gw *g, enum control_type type)
{
	send_control(g, &(struct control){.type = type, .channel = 1});
}

static void send_policy(struct gw *g, enum restart_when when, uint32_t max)
{
	send_control(g, &(struct control){.type = CONTROL_RESTART_POLICY, .channel = 1, .restart_policy = {when, max}});
}

/* With the gateway up; the settings are changed by the caller before agent_start. */
static struct config begin(struct gw *g, const char **argv)
{
	struct config c;

	gw_init(g);
	gw_listen(g);
	c = settings(g, argv);
	c.main.open_stdin = true;
	c.hold_ms = 600000;
	return c;
}

static void start_held(struct gw *g, const char **argv)
{
	struct config c = begin(g, argv);

	c.hold = true;
	agent_start(g, c);
	UNTIL(g, g->up);
}

static void start_restarting(struct gw *g, enum restart_when when, uint32_t max, const char **argv)
{
	struct config c = begin(g, argv);

	c.restart = (struct restart_policy){when, max};
	c.hold = true; /* so that each message is seen: those from before the first WELCOME are in HELLO */
	agent_start(g, c);
	UNTIL(g, g->up);
	send_plain(g, CONTROL_BEGIN);
}

static void main_printed(struct gw *g, const char *want)
{
	AUTO_FREE char *out = payload(&g->ch[1], 0, NULL);

	cr_assert_str_eq(out, want);
}

static bool printed(struct gw *g, const char *text)
{
	AUTO_FREE char *out = payload(&g->ch[1], 0, NULL);

	return strstr(out, text) != NULL;
}

/* A listener of ours that a `connect` tool reaches; the tool lives until the accepted socket is closed. */
struct peer {
	int listen_fd, fd;
	struct channel *tool;
};

static struct peer start_tool(struct gw *g)
{
	struct peer p = {.listen_fd = listen_tcp("127.0.0.1", 0, false, NULL)};
	AUTO_FREE char *port = xasprintf("%d", listen_port(p.listen_fd));

	p.tool = exec_with(g, tool(COMMAND("connect", "127.0.0.1", port)), "to the peer", 11);
	UNTIL(g, (p.fd = accept4(p.listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0);
	return p;
}

static void end_tool(struct gw *g, struct peer *p, const char *say)
{
	char text[32] = "";

	cr_assert_eq(recv(p->fd, text, 11, MSG_WAITALL), 11);
	cr_assert_str_eq(text, "to the peer");
	cr_assert_eq(write(p->fd, say, strlen(say)), (ssize_t)strlen(say));
	close(p->fd);
	close(p->listen_fd);
	UNTIL(g, ended(p->tool));
	AUTO_FREE char *out = payload(p->tool, 1, NULL);

	cr_assert_str_eq(out, say);
	cr_assert_eq(p->tool->status.code, 0);
}

/* ---- held --------------------------------------------------------------------------------------- */

Test(held, it_runs_when_told_to_and_only_once)
{
	struct gw g;

	start_held(&g, COMMAND("sh", "-c", "read x; echo got $x"));
	cr_assert_eq(g.last_hello.procs[0].state, PROC_HELD);
	cr_assert_eq(g.last_hello.procs[0].pid, 0);
	stream_write(g.ch[1].in, "early\n", 6);
	struct peer p = start_tool(&g); /* and with it everything sent so far has been read */

	end_tool(&g, &p, "meanwhile");
	cr_assert_eq(g.ch[1].starts, 0);
	send_plain(&g, CONTROL_BEGIN);
	send_plain(&g, CONTROL_BEGIN);
	UNTIL(&g, ended(&g.ch[1]));
	main_printed(&g, "got early\n");
	cr_assert_eq(g.ch[1].starts, 1);
	cr_assert_eq(agent_status(&g), 0);
	finish(&g);
}

Test(held, input_that_ended_before_the_begin_has_ended)
{
	struct gw g;

	start_held(&g, COMMAND("cat"));
	stream_write(g.ch[1].in, "all", 3);
	stream_fin(g.ch[1].in);
	send_plain(&g, CONTROL_BEGIN);
	UNTIL(&g, ended(&g.ch[1]));
	main_printed(&g, "all");
	finish(&g);
}

Test(held, execs_are_refused)
{
	struct gw g;

	start_held(&g, idle);
	struct channel *c = exec_with(&g, spec(COMMAND("true")), NULL, 0);

	UNTIL(&g, c->exited);
	cr_assert_eq(c->status.code, 126);
	cr_assert_str_eq(c->status.error, "container is not running");
	finish(&g);
}

Test(held, a_signal_ends_it_as_if_it_had_run)
{
	const int signals[] = {SIGTERM, SIGKILL};

	for (int i = 0; i < 2; i++) {
		struct gw g;

		start_held(&g, idle);
		signal_channel(&g, 1, SIGWINCH);
		signal_channel(&g, 1, signals[i]);
		UNTIL(&g, g.ch[1].exited);
		cr_assert_eq(g.ch[1].status.code, 128 + signals[i]);
		cr_assert_eq(g.ch[1].status.signal, signals[i]);
		cr_assert_eq(g.ch[1].status.started_ns, 0);
		cr_assert_gt(g.ch[1].status.finished_ns, 0);
		cr_assert_null(g.ch[1].status.error);
		cr_assert_eq(g.ch[1].starts, 0);
		send_plain(&g, CONTROL_BEGIN);
		cr_assert_eq(agent_status(&g), 128 + signals[i]);
		finish(&g);
	}
}

Test(held, sigterm_of_cloud_run_ends_it)
{
	struct gw g;

	start_held(&g, idle);
	kill(g.agent, SIGTERM);
	UNTIL(&g, g.ch[1].exited);
	cr_assert_eq(agent_status(&g), 143);
	finish(&g);
}

Test(held, another_gateway_may_begin_it)
{
	struct gw g;

	start_held(&g, COMMAND("echo", "begun"));
	cut(&g);
	UNTIL(&g, g.up);
	gw_restart(&g);
	UNTIL(&g, g.up);
	cr_assert_eq(g.last_hello.procs[0].state, PROC_HELD);
	send_plain(&g, CONTROL_BEGIN);
	UNTIL(&g, ended(&g.ch[1]));
	main_printed(&g, "begun\n");
	finish(&g);
}

Test(held, without_a_gateway_it_gives_up)
{
	struct gw g;
	struct config c;

	gw_init(&g);
	c = settings(&g, idle);
	c.hold = true;
	c.hold_ms = 100;
	agent_start(&g, c);
	gw_listen(&g); /* too late or not: from its exit on it is heard */
	g.refuse_with = WELCOME_RETRY;
	UNTIL(&g, g.refused > 20);
	g.refuse_with = 0;
	UNTIL(&g, g.up);
	UNTIL(&g, g.ch[1].exited);
	cr_assert_eq(g.ch[1].status.code, 125);
	cr_assert(strstr(g.ch[1].status.error, "did not say in time"), "%s", g.ch[1].status.error);
	cr_assert_eq(agent_status(&g), 125);
	finish(&g);
}

Test(held, an_unwanted_one_leaves_at_once)
{
	struct gw g;
	struct config c = begin(&g, idle);

	c.hold = true;
	g.refuse_with = WELCOME_UNKNOWN;
	agent_start(&g, c);
	cr_assert_eq(agent_status(&g), 125);
	finish(&g);
}

/* ---- run again ---------------------------------------------------------------------------------- */

Test(restart, on_failure_counts_and_the_streams_go_on)
{
	struct gw g;

	start_restarting(&g, RESTART_ON_FAILURE, 2, COMMAND("sh", "-c", "echo run; echo err >&2; exit 3"));
	UNTIL(&g, ended(&g.ch[1]));
	main_printed(&g, "run\nerr\nrun\nerr\nrun\nerr\n");
	cr_assert_eq(g.ch[1].status.code, 3);
	cr_assert_eq(g.ch[1].restarts, 2);
	cr_assert_eq(g.ch[1].again.count, 2);
	cr_assert_eq(g.ch[1].again.delay_ms, 200, "dockerd's pauses: 100 ms, doubled");
	cr_assert_eq(g.ch[1].again.status.code, 3);
	cr_assert_gt(g.ch[1].again.status.finished_ns, 0);
	cr_assert_lt(g.ch[1].again.status.final_offset, g.ch[1].status.final_offset);
	cr_assert_gt(g.ch[1].status.started_ns, g.ch[1].again.status.finished_ns);
	cr_assert_eq(agent_status(&g), 3);
	finish(&g);
}

Test(restart, success_ends_on_failure_but_not_always)
{
	struct gw g;

	start_restarting(&g, RESTART_ON_FAILURE, 0, COMMAND("sh", "-c", "exit 0"));
	UNTIL(&g, g.ch[1].exited);
	cr_assert_eq(g.ch[1].restarts, 0);
	cr_assert_eq(agent_status(&g), 0);
	finish(&g);
	start_restarting(&g, RESTART_ALWAYS, 0, COMMAND("sh", "-c", "echo again"));
	UNTIL(&g, g.ch[1].restarts >= 3);
	cr_assert(!g.ch[1].exited);
	send_policy(&g, RESTART_NO, 0);
	UNTIL(&g, ended(&g.ch[1]));
	cr_assert_eq(g.ch[1].status.code, 0);
	cr_assert_eq(agent_status(&g), 0);
	finish(&g);
}

Test(restart, what_cannot_start_at_first_is_not_tried_again)
{
	struct gw g;

	start_restarting(&g, RESTART_ALWAYS, 0, COMMAND("/no/such/file"));
	UNTIL(&g, g.ch[1].exited);
	cr_assert_eq(g.ch[1].status.code, 127);
	cr_assert_not_null(g.ch[1].status.error);
	cr_assert_eq(g.ch[1].status.started_ns, 0);
	cr_assert_eq(g.ch[1].restarts, 0);
	cr_assert_eq(agent_status(&g), 127);
	finish(&g);
}

/* dockerd leaves such a container with the code of the run before, and says why. */
Test(restart, what_cannot_start_later_ends_with_the_code_before)
{
	struct gw g;
	char file[] = "/tmp/agent-main-XXXXXX";
	AUTO_CLOSE int fd = mkostemp(file, O_CLOEXEC);

	dprintf(fd, "#!/bin/sh\nrm %s\nexit 9\n", file);
	fchmod(fd, 0755);
	close(steal_fd(&fd));
	start_restarting(&g, RESTART_ALWAYS, 0, COMMAND(file));
	UNTIL(&g, g.ch[1].exited);
	cr_assert_eq(g.ch[1].status.code, 9);
	cr_assert_gt(g.ch[1].status.started_ns, 0);
	cr_assert(strstr(g.ch[1].status.error, "no such file"), "%s", g.ch[1].status.error);
	cr_assert_eq(g.ch[1].restarts, 1);
	cr_assert_eq(agent_status(&g), 9);
	finish(&g);
}

Test(restart, a_stop_in_the_pause_ends_it_with_the_last_code)
{
	struct gw g;

	start_restarting(&g, RESTART_ALWAYS, 0, COMMAND("sh", "-c", "exit 4"));
	UNTIL(&g, g.ch[1].restarts == 4); /* a pause of 800 ms has begun */
	struct channel *c = exec_with(&g, spec(COMMAND("true")), NULL, 0);

	UNTIL(&g, c->exited);
	cr_assert(strstr(c->status.error, "is restarting"), "%s", c->status.error);
	signal_channel(&g, 1, SIGTERM);
	UNTIL(&g, ended(&g.ch[1]));
	cr_assert_eq(g.ch[1].status.code, 4);
	cr_assert_eq(g.ch[1].starts, 4);
	cr_assert_eq(agent_status(&g), 4);
	finish(&g);
}

Test(restart, sigterm_of_cloud_run_ends_the_pause_and_the_policy)
{
	struct gw g;

	start_restarting(&g, RESTART_ALWAYS, 0, COMMAND("sh", "-c", "exit 4"));
	UNTIL(&g, g.ch[1].restarts == 4);
	kill(g.agent, SIGTERM);
	UNTIL(&g, g.ch[1].exited);
	cr_assert_eq(agent_status(&g), 4);
	finish(&g);
	start_restarting(&g, RESTART_ALWAYS, 0, COMMAND("sh", "-c", "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"));
	UNTIL(&g, printed(&g, "up\n"));
	kill(g.agent, SIGTERM);
	UNTIL(&g, g.ch[1].exited);
	cr_assert_eq(g.ch[1].status.code, 5);
	cr_assert_eq(g.ch[1].restarts, 0);
	cr_assert_eq(agent_status(&g), 5);
	finish(&g);
}

/* What is sent while there is no process is for the next; what the former has not read is gone with it. */
Test(restart, input_waits_for_the_next_run)
{
	struct gw g;

	start_restarting(&g, RESTART_ALWAYS, 0, COMMAND("sh", "-c", "read x; echo got $x; exit 1"));
	stream_write(g.ch[1].in, "one\n", 4);
	UNTIL(&g, g.ch[1].restarts == 1);
	stream_write(g.ch[1].in, "two\n", 4);
	UNTIL(&g, g.ch[1].restarts == 2);
	main_printed(&g, "got one\ngot two\n");
	stream_write(g.ch[1].in, "last\n", 5);
	stream_fin(g.ch[1].in); /* as with stdinOnce: it has ended for all runs to come */
	UNTIL(&g, g.ch[1].restarts == 4);
	send_policy(&g, RESTART_NO, 0);
	UNTIL(&g, ended(&g.ch[1]));
	main_printed(&g, "got one\ngot two\ngot last\ngot\n");
	finish(&g);
}

Test(restart, each_run_has_its_terminal_of_the_latest_size)
{
	struct gw g;
	struct config c = begin(&g, COMMAND("sh", "-c", "stty size; read x"));

	c.restart.when = RESTART_ALWAYS;
	c.main.tty = true;
	c.main.rows = 10;
	c.main.cols = 20;
	agent_start(&g, c);
	UNTIL(&g, g.up && printed(&g, "10 20\r\n"));
	send_control(&g, &(struct control){.type = CONTROL_RESIZE, .channel = 1, .resize = {30, 40}});
	stream_write(g.ch[1].in, "\n", 1);
	UNTIL(&g, printed(&g, "30 40\r\n"));
	cr_assert_eq(g.ch[1].restarts, 1);
	finish(&g);
}

Test(restart, a_cut_in_the_pause_loses_nothing)
{
	struct gw g;

	start_restarting(&g, RESTART_ON_FAILURE, 4, COMMAND("sh", "-c", "echo run; exit 6"));
	for (unsigned i = 1; i <= 4; i++) {
		UNTIL(&g, g.up && g.ch[1].restarts >= i);
		cut(&g);
		UNTIL(&g, g.up);
		cr_assert_eq(g.last_hello.procs[0].restarts >= i, 1);
	}
	UNTIL(&g, ended(&g.ch[1]));
	main_printed(&g, "run\nrun\nrun\nrun\nrun\n");
	cr_assert_eq(g.ch[1].restarts, 4);
	cr_assert_eq(g.ch[1].exits, 1);
	cr_assert_eq(agent_status(&g), 6);
	finish(&g);
}

Test(restart, a_new_gateway_hears_of_the_pause_and_of_the_end)
{
	struct gw g;
	const struct proc_row *row;

	start_restarting(&g, RESTART_ALWAYS, 0, COMMAND("sh", "-c", "echo run; exit 7"));
	UNTIL(&g, g.ch[1].restarts == 4 && g.ch[1].raw.len >= g.ch[1].again.status.final_offset);
	gw_restart(&g);
	UNTIL(&g, g.up);
	row = &g.last_hello.procs[0];
	cr_assert_eq(row->channel, 1);
	cr_assert_eq(row->state, PROC_RESTARTING);
	cr_assert_eq(row->restarts, 4);
	cr_assert_eq(row->exit.code, 7);
	cr_assert_eq(row->exit.final_offset, g.ch[1].raw.len);
	send_policy(&g, RESTART_ON_FAILURE, 4);
	UNTIL(&g, ended(&g.ch[1]));
	cr_assert_eq(g.ch[1].restarts, 4);
	main_printed(&g, "run\nrun\nrun\nrun\nrun\n");
	cr_assert_eq(agent_status(&g), 7);
	finish(&g);
}

/* What a run leaves behind is not there in the next; tools are not the container's. */
static void a_run_takes_all_but_tools(bool as_init)
{
	struct gw g;
	char file[] = "/tmp/agent-main-XXXXXX";
	AUTO_FREE char *script = NULL;

	close(mkstemp(file));
	script = xasprintf("test -s %s && exit 0; setsid sh -c '(echo $$; exec sleep 1000) >%s' & read x; exit 1", file, file);
	struct config cfg = begin(&g, COMMAND("sh", "-c", script));

	g.as_init = as_init;
	cfg.restart.when = RESTART_ON_FAILURE;
	agent_start(&g, cfg);
	UNTIL(&g, g.up);
	struct peer p = start_tool(&g);
	struct channel *c = exec_with(&g, spec(COMMAND("sleep", "1000")), NULL, 0);
	char text[16] = "";

	UNTIL(&g, c->started);
	AUTO_CLOSE int fd = open(file, O_RDONLY | O_CLOEXEC);

	UNTIL(&g, pread(fd, text, sizeof(text) - 1, 0) > 1);
	stream_write(g.ch[1].in, "\n", 1);
	UNTIL(&g, c->exited && g.ch[1].exited);
	cr_assert_eq(c->status.code, 137);
	cr_assert_eq(g.ch[1].restarts, 1);
	if (!as_init)
		UNTIL(&g, kill((pid_t)strtol(text, NULL, 10), 0) < 0 && errno == ESRCH);
	AUTO_FREE char *top = NULL;
	struct channel *look = exec_with(&g, tool(COMMAND("top")), "", 0);

	UNTIL(&g, ended(look));
	top = payload(look, 1, NULL);
	cr_assert_str_eq(top, "{\"processes\":[]}\n");
	end_tool(&g, &p, "still here");
	cr_assert_eq(agent_status(&g), 0);
	unlink(file);
	finish(&g);
}

Test(restart, a_run_takes_its_descendants_along)
{
	a_run_takes_all_but_tools(false);
}

Test(restart, a_run_takes_everything_in_its_namespace_along)
{
	if (geteuid() != 0)
		cr_skip_test("needs root");
	a_run_takes_all_but_tools(true);
}

/* ---- after the end ------------------------------------------------------------------------------ */

Test(stay, tools_work_after_the_end_until_the_gateway_says_leave)
{
	struct gw g;
	struct config c = begin(&g, COMMAND("sh", "-c", "exit 2"));

	c.stay_ms = 3600000;
	agent_start(&g, c);
	UNTIL(&g, ended(&g.ch[1]) && g.ch[1].fin);
	for (int i = 0; i < 2; i++) {
		struct peer p = start_tool(&g);

		cut(&g);
		UNTIL(&g, g.up);
		end_tool(&g, &p, "after the end");
	}
	gw_restart(&g);
	UNTIL(&g, g.up && g.ch[1].exits == 2);
	cr_assert(!agent_gone(&g, NULL));
	struct peer p = start_tool(&g);

	send_plain(&g, CONTROL_LEAVE);
	end_tool(&g, &p, "awaited");
	cr_assert_eq(agent_status(&g), 2);
	finish(&g);
}

Test(stay, the_time_ends_it)
{
	struct gw g;
	struct config c = begin(&g, COMMAND("sh", "-c", "exit 2"));

	c.stay_ms = 300;
	agent_start(&g, c);
	UNTIL(&g, ended(&g.ch[1]) && g.ch[1].fin);
	struct peer p = start_tool(&g);

	end_tool(&g, &p, "in time");
	cr_assert_eq(agent_status(&g), 2);
	finish(&g);
}

Test(stay, leave_may_come_before_the_end)
{
	struct gw g;
	struct config c = begin(&g, COMMAND("sh", "-c", "read x; exit 2"));

	c.stay_ms = 3600000;
	agent_start(&g, c);
	UNTIL(&g, g.up);
	send_plain(&g, CONTROL_LEAVE);
	stream_write(g.ch[1].in, "\n", 1);
	cr_assert_eq(agent_status(&g), 2);
	finish(&g);
}

Test(stay, sigterm_ends_it_and_allows_none)
{
	struct gw g;

	for (int early = 0; early < 2; early++) {
		struct config c = begin(&g, early ? idle : COMMAND("sh", "-c", "exit 2"));

		c.stay_ms = 3600000;
		agent_start(&g, c);
		if (early)
			UNTIL(&g, g.up && g.ch[1].started);
		else
			UNTIL(&g, ended(&g.ch[1]) && g.ch[1].fin);
		kill(g.agent, SIGTERM);
		cr_assert_eq(agent_status(&g), early ? 143 : 2);
		finish(&g);
	}
}
