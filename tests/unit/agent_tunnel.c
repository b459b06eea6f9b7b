/* agent_tunnel - the agent's side of the tunnel with real processes: output, input, exits, cuts. */
#include "agent_fixture.h"

/* ---- the main process --------------------------------------------------------------------------- */

Test(tunnel, main_output_arrives_with_times_and_the_exit_is_exact)
{
	struct gw g;
	int64_t before = clock_wall_ns();

	gw_start(&g, COMMAND("sh", "-c", "echo hi; echo no >&2; exit 42"));
	struct channel *c = &g.ch[1];

	UNTIL(&g, ended(c) && c->fin);
	AUTO_FREE char *out = payload(c, 1, NULL);
	AUTO_FREE char *err = payload(c, 2, NULL);

	cr_assert_str_eq(out, "hi\n");
	cr_assert_str_eq(err, "no\n");
	cr_assert_eq(c->status.code, 42);
	cr_assert_null(c->status.error);
	cr_assert(c->status.started_ns >= before && c->status.finished_ns >= c->status.started_ns);
	cr_assert_eq(buf_head(&c->raw)[1], RECORD_TIMED);
	cr_assert_eq(agent_status(&g), 42);
	AUTO_FREE char *log = agent_log(&g);

	cr_assert(strstr(log, "hi\n") && strstr(log, "no\n"), "the copy for Cloud Logging: %s", log);
	finish(&g);
}

Test(tunnel, hello_tells_who_and_what)
{
	struct gw g;

	gw_start(&g, idle);
	cr_assert_str_eq(g.last_hello.container_id, "abc");
	cr_assert_str_eq(g.last_hello.execution, "exec-1");
	cr_assert_str_eq(g.last_hello.agent_version, VERSION);
	cr_assert_eq(g.last_hello.n_procs, 1);
	cr_assert_eq(g.last_hello.procs[0].channel, 1);
	cr_assert_eq(g.last_hello.procs[0].state, PROC_RUNNING);
	cr_assert_gt(g.last_hello.procs[0].pid, 0);
	finish(&g);
}

Test(tunnel, a_signal_is_128_plus_its_number)
{
	struct gw g;

	gw_start(&g, COMMAND("sh", "-c", "kill -9 $$"));
	UNTIL(&g, g.ch[1].exited);
	cr_assert_eq(g.ch[1].status.code, 137);
	cr_assert_eq(g.ch[1].status.signal, 9);
	cr_assert_eq(agent_status(&g), 137);
	finish(&g);
}

Test(tunnel, a_main_process_that_cannot_start_is_told_as_one)
{
	struct gw g;

	gw_start(&g, COMMAND("no-such-program"));
	UNTIL(&g, g.ch[1].exited);
	cr_assert_eq(g.ch[1].status.code, 127);
	cr_assert_str_eq(g.ch[1].status.error, "exec: \"no-such-program\": executable file not found in $PATH");
	cr_assert_eq(g.ch[1].status.started_ns, 0);
	cr_assert_eq(agent_status(&g), 127);
	finish(&g);
}

Test(tunnel, main_output_waits_for_a_gateway_that_comes_late)
{
	struct gw g;
	size_t n;

	gw_init(&g);
	agent_start(&g, settings(&g, COMMAND("sh", "-c", "seq 1 300000; exit 3")));
	for (int i = 0; i < 50; i++) /* nobody listens; the copy for Cloud Logging flows on */
		free(agent_log(&g)), uv_run(&g.loop, UV_RUN_ONCE);
	gw_listen(&g);
	uv_timer_start(&g.bound, on_bound, WAIT_MS, 0);
	while (!ended(&g.ch[1]) && !g.late)
		free(agent_log(&g)), uv_run(&g.loop, UV_RUN_ONCE);
	AUTO_FREE char *out = payload(&g.ch[1], 1, &n);

	cr_assert_eq(n, 1988895);
	cr_assert(strncmp(out, "1\n2\n3\n", 6) == 0);
	cr_assert_str_eq(out + n - 14, "299999\n300000\n");
	cr_assert_eq(g.ch[1].status.code, 3);
	cr_assert_eq(agent_status(&g), 3);
	finish(&g);
}

Test(tunnel, stderr_before_stdout_stays_so)
{
	struct gw g;

	gw_start(&g, idle);
	for (int i = 0; i < 20; i++) {
		struct channel *c = exec_with(&g, spec(COMMAND("sh", "-c", "echo e >&2; echo o")), NULL, 0);

		UNTIL(&g, ended(c));
		AUTO_FREE char *both = payload(c, 0, NULL);

		cr_assert_str_eq(both, "e\no\n");
	}
	finish(&g);
}

Test(tunnel, main_has_a_terminal_when_asked)
{
	struct gw g;
	struct config c;

	gw_init(&g);
	gw_listen(&g);
	c = settings(&g, COMMAND("sh", "-c", "stty size; read x; stty size; echo $TERM"));
	c.main.tty = c.main.open_stdin = true;
	c.main.rows = 10;
	c.main.cols = 20;
	agent_start(&g, c);
	UNTIL(&g, g.up && g.ch[1].raw.len);
	send_control(&g, &(struct control){.type = CONTROL_RESIZE, .channel = 1, .resize = {30, 40}});
	stream_write(g.ch[1].in, "\n", 1);
	UNTIL(&g, ended(&g.ch[1]));
	AUTO_FREE char *out = payload(&g.ch[1], 1, NULL);

	cr_assert_str_eq(out, "10 20\r\n\r\n30 40\r\nxterm\r\n");
	cr_assert_eq(agent_status(&g), 0);
	finish(&g);
}

Test(tunnel, sigterm_reaches_main_and_its_exit_reaches_the_gateway)
{
	struct gw g;

	gw_start(&g, COMMAND("sh", "-c", "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done"));
	UNTIL(&g, g.ch[1].raw.len);
	kill(g.agent, SIGTERM);
	UNTIL(&g, ended(&g.ch[1]));
	AUTO_FREE char *out = payload(&g.ch[1], 1, NULL);

	cr_assert_str_eq(out, "ready\nbye\n");
	cr_assert_eq(agent_status(&g), 5);
	finish(&g);
}

/* As Docker does: a child of the process hears of it only through the process. */
Test(tunnel, signals_reach_the_process_and_not_its_children)
{
	struct gw g;

	gw_start(&g, COMMAND("sh", "-c", "trap 'echo usr1' USR1; (sleep 0.3; echo child lives) & echo ready; wait; wait; exit 9"));
	UNTIL(&g, g.ch[1].raw.len);
	send_control(&g, &(struct control){.type = CONTROL_SIGNAL, .channel = 1, .signal.number = SIGUSR1});
	UNTIL(&g, ended(&g.ch[1]));
	AUTO_FREE char *out = payload(&g.ch[1], 1, NULL);

	cr_assert(strstr(out, "usr1\n") && strstr(out, "child lives\n"), "%s", out);
	cr_assert_eq(agent_status(&g), 9);
	finish(&g);
}

Test(tunnel, execs_end_with_the_main_process)
{
	struct gw g;

	gw_start(&g, COMMAND("sh", "-c", "read x"));
	struct channel *c = exec_with(&g, spec(COMMAND("sleep", "1000")), NULL, 0);

	UNTIL(&g, c->started);
	send_control(&g, &(struct control){.type = CONTROL_SIGNAL, .channel = 1, .signal.number = SIGKILL});
	UNTIL(&g, c->exited && g.ch[1].exited);
	cr_assert_eq(c->status.code, 137);
	cr_assert_eq(agent_status(&g), 137);
	finish(&g);
}

Test(tunnel, without_a_gateway_it_leaves_after_the_linger_and_says_so)
{
	struct gw g;
	struct config c;

	gw_init(&g);
	c = settings(&g, COMMAND("sh", "-c", "echo out; exit 6"));
	c.linger_ms = 50;
	agent_start(&g, c);
	cr_assert_eq(agent_status(&g), 6);
	AUTO_FREE char *log = agent_log(&g);

	cr_assert(strstr(log, "out\n"));
	cr_assert(strstr(log, "ended with code 6; the gateway has not confirmed this"), "%s", log);
	finish(&g);
}

Test(tunnel, it_stays_until_the_exit_is_acknowledged)
{
	struct gw g;

	gw_init(&g);
	gw_listen(&g);
	g.no_ack = true;
	agent_start(&g, settings(&g, COMMAND("true")));
	UNTIL(&g, g.ch[1].exited && g.ch[1].fin);
	cut(&g);
	UNTIL(&g, g.links == 2);
	cr_assert_eq(g.ch[1].exits, 1, "the exit was delivered once");
	cr_assert(!agent_gone(&g, NULL));
	ack_exit(&g, 1);
	cr_assert_eq(agent_status(&g), 0);
	finish(&g);
}

/* ---- execs -------------------------------------------------------------------------------------- */

Test(tunnel, an_exec_has_stdin_stdout_stderr_and_a_code)
{
	struct gw g;

	gw_start(&g, idle);
	exec_prints(&g, spec(COMMAND("cat")), "x\n", "x\n", "", 0);
	exec_prints(&g, spec(COMMAND("cat")), "", "", "", 0);
	exec_prints(&g, spec(COMMAND("sh", "-c", "echo o; echo e >&2; exit 7")), NULL, "o\n", "e\n", 7);
	exec_prints(&g, spec(COMMAND("sh", "-c", "kill -TERM $$")), NULL, "", "", 143);
	finish(&g);
}

Test(tunnel, an_exec_inherits_and_overrides)
{
	struct gw g;
	struct config c;
	struct exec_spec s;

	gw_init(&g);
	gw_listen(&g);
	c = settings(&g, idle);
	strv_add(&c.main.env, "A=main");
	strv_add(&c.main.env, "B=main");
	c.main.workdir = xstrdup("/usr");
	agent_start(&g, c);
	UNTIL(&g, g.up);
	s = spec(COMMAND("sh", "-c", "echo $A $B; pwd"));
	strv_add(&s.env, "B=exec");
	exec_prints(&g, s, NULL, "main exec\n/usr\n", "", 0);
	s = spec(COMMAND("sh", "-c", "pwd; id -u"));
	s.workdir = xstrdup("/tmp");
	s.user = xstrdup("12345");
	if (geteuid() == 0)
		exec_prints(&g, s, NULL, "/tmp\n12345\n", "", 0);
	finish(&g);
}

Test(tunnel, an_exec_that_cannot_start_says_why)
{
	struct gw g;

	gw_start(&g, idle);
	struct channel *c = exec_with(&g, spec(COMMAND("/tmp")), "input nobody reads", 18);

	UNTIL(&g, c->exited);
	cr_assert_eq(c->status.code, 126);
	cr_assert_str_eq(c->status.error, "exec: \"/tmp\": permission denied");
	cr_assert_eq(c->status.final_offset, 0);
	finish(&g);
}

Test(tunnel, the_same_exec_twice_runs_once)
{
	struct gw g;
	struct exec_spec s = spec(COMMAND("sh", "-c", "echo once; read x"));

	gw_start(&g, idle);
	struct exec_spec again = spec(COMMAND("sh", "-c", "echo once; read x"));

	memcpy(again.exec_id, s.exec_id, 64);
	struct channel *c = exec_with(&g, s, NULL, 0);

	UNTIL(&g, c->started);
	c->started = false;
	send_exec(&g, 2, &again);
	UNTIL(&g, c->started); /* told again, not done again */
	strv_add(&again.argv, "other");
	send_exec(&g, 3, &again);
	UNTIL(&g, g.ch[3].exited);
	cr_assert_eq(g.ch[3].status.code, 126);
	cr_assert_str_eq(g.ch[3].status.error, "exec id reused");
	stream_fin(c->in);
	UNTIL(&g, ended(c));
	AUTO_FREE char *out = payload(c, 1, NULL);

	cr_assert_str_eq(out, "once\n");
	finish(&g);
	exec_spec_release(&again);
}

Test(tunnel, a_terminal_exec_is_raw_and_resizes)
{
	struct gw g;
	struct exec_spec s = spec(COMMAND("sh", "-c", "stty size; trap 'stty size; exit 0' WINCH; echo ready; "
						      "while :; do sleep 0.02; done"));

	s.tty = true;
	s.rows = 5;
	s.cols = 6;
	gw_start(&g, idle);
	struct channel *c = exec_with(&g, s, NULL, 0);

	UNTIL(&g, c->raw.len >= 12);
	send_control(&g, &(struct control){.type = CONTROL_RESIZE, .channel = 2, .resize = {7, 8}});
	UNTIL(&g, ended(c));
	cr_assert_eq(c->raw.len, 17);
	cr_assert(memcmp(buf_head(&c->raw), "5 6\r\nready\r\n7 8\r\n", 17) == 0);
	finish(&g);
}

Test(tunnel, control_c_interrupts_through_the_terminal)
{
	struct gw g;
	struct exec_spec s = spec(COMMAND("cat"));

	s.tty = true;
	gw_start(&g, idle);
	struct channel *c = exec_with(&g, s, NULL, 0);

	stream_write(c->in, "x\n", 2);
	UNTIL(&g, c->raw.len >= 6); /* its echo and cat's */
	stream_write(c->in, "\003", 1);
	UNTIL(&g, ended(c));
	cr_assert_eq(c->status.code, 130);
	finish(&g);
}

Test(tunnel, a_descendant_that_holds_the_pipes_does_not_hold_the_exit)
{
	struct gw g;

	gw_start(&g, idle);
	struct channel *c = exec_with(&g, spec(COMMAND("sh", "-c", "sleep 1000 & echo hi")), NULL, 0);

	UNTIL(&g, ended(c));
	AUTO_FREE char *out = payload(c, 1, NULL);

	cr_assert_str_eq(out, "hi\n");
	cr_assert(c->status.pipes_held);
	c = exec_with(&g, spec(COMMAND("sh", "-c", "(while :; do echo on; sleep 0.02; done) & echo hi")), NULL, 0);
	UNTIL(&g, ended(c));
	cr_assert(c->status.pipes_held);
	finish(&g);
}

Test(tunnel, input_a_process_does_not_want_blocks_nobody)
{
	struct gw g;
	size_t n = 8 << 20;
	AUTO_FREE uint8_t *data = pattern(n);

	gw_start(&g, idle);
	/* closes its stdin, and lives on */
	struct channel *c = exec_with(&g, spec(COMMAND("sh", "-c", "exec <&-; echo closed; sleep 1000")), data, n);
	/* never reads it */
	struct channel *full = exec_with(&g, spec(COMMAND("sleep", "1000")), data, n);

	UNTIL(&g, c->in_reset);
	exec_prints(&g, spec(COMMAND("cat")), "still here", "still here", "", 0);
	cr_assert_gt(full->feed_left, 0);
	finish(&g);
}

Test(tunnel, a_slow_reader_stops_its_process_and_loses_nothing)
{
	struct gw g;
	size_t n;

	gw_start(&g, idle);
	struct channel *c = &g.ch[next_channel];

	c->hold = 100000;
	exec_with(&g, spec(COMMAND("sh", "-c", "seq 1 1000000; exit 4")), NULL, 0);
	UNTIL(&g, c->raw.len == 100000);
	exec_prints(&g, spec(COMMAND("echo", "other")), NULL, "other\n", "", 0);
	cr_assert(!c->exited, "it cannot have written all of it");
	while (!ended(c)) {
		c->hold += 300000;
		stream_resume(c->out);
		UNTIL(&g, c->raw.len == c->hold || ended(c));
	}
	AUTO_FREE char *out = payload(c, 1, &n);

	cr_assert_eq(n, 6888896);
	cr_assert_eq(c->status.code, 4);
	cr_assert(!c->status.pipes_held);
	finish(&g);
}

Test(tunnel, a_detached_exec_has_no_output)
{
	struct gw g;
	struct exec_spec s = spec(COMMAND("sh", "-c", "echo lost; cat; exit 8"));

	s.detach = true;
	gw_start(&g, idle);
	struct channel *c = exec_with(&g, s, NULL, 0);

	UNTIL(&g, c->exited && c->fin);
	cr_assert_eq(c->raw.len, 0);
	cr_assert_eq(c->status.code, 8);
	finish(&g);
}

Test(tunnel, a_client_that_gave_up_does_not_stop_the_process)
{
	struct gw g;
	char file[] = "/tmp/agent-tunnel-XXXXXX";
	AUTO_FREE char *script = NULL;

	close(mkstemp(file));
	script = xasprintf("seq 1 1000000; echo done >%s", file);
	gw_start(&g, idle);
	struct channel *c = &g.ch[next_channel];

	c->hold = 1000;
	exec_with(&g, spec(COMMAND("sh", "-c", script)), NULL, 0);
	UNTIL(&g, c->raw.len == 1000);
	stream_reset(c->out, RESET_CANCELLED);
	UNTIL(&g, c->exited);
	cr_assert_eq(c->status.code, 0);
	AUTO_CLOSE int fd = open(file, O_RDONLY);
	char text[8] = "";

	cr_assert_eq(read(fd, text, 7), 5);
	cr_assert_str_eq(text, "done\n");
	unlink(file);
	finish(&g);
}

/* ---- links that come and go --------------------------------------------------------------------- */

Test(tunnel, nothing_is_lost_when_the_link_is_cut_in_a_transfer)
{
	struct gw g;
	size_t n = 24 << 20, got;
	AUTO_FREE uint8_t *data = pattern(n);

	gw_start(&g, idle);
	struct channel *c = exec_with(&g, spec(COMMAND("cat")), data, n);

	for (size_t i = 1; i <= 10; i++) {
		UNTIL(&g, g.up && c->raw.len >= i * (n / 12));
		cut(&g);
	}
	UNTIL(&g, ended(c));
	AUTO_FREE char *out = payload(c, 1, &got);

	cr_assert_eq(got, n);
	cr_assert(memcmp(out, data, n) == 0);
	cr_assert_eq(c->status.code, 0);
	cr_assert_geq(g.links, 11);
	finish(&g);
}

Test(tunnel, a_link_is_renewed_in_a_transfer_and_nothing_is_lost)
{
	struct gw g;
	size_t n = 48 << 20, got;
	AUTO_FREE uint8_t *data = pattern(n);

	gw_start_renewing(&g, idle, 30);
	struct channel *c = exec_with(&g, spec(COMMAND("cat")), data, n);

	UNTIL(&g, ended(c));
	UNTIL(&g, g.links >= 5);
	AUTO_FREE char *out = payload(c, 1, &got);

	cr_assert_eq(got, n);
	cr_assert(memcmp(out, data, n) == 0);
	cr_assert_eq(c->status.code, 0);
	cr_assert_eq(c->status.output_check, stream_check(c->out));
	finish(&g);
}

Test(tunnel, a_link_is_renewed_before_the_lifetime_the_gateway_names)
{
	struct gw g;

	gw_start_renewing(&g, idle, 3600000);
	session_set_link_lifetime(g.session, 50); /* from the next WELCOME on */
	cut(&g);
	UNTIL(&g, g.links >= 5);
	session_set_link_lifetime(g.session, 0);
	finish(&g);
}

Test(tunnel, an_agent_that_is_moved_says_so_and_comes_back_at_once)
{
	struct gw g;
	unsigned links;

	gw_start(&g, idle);
	kill(g.agent, SIGTSTP);
	UNTIL(&g, g.moves == 1);
	links = g.links;
	kill(g.agent, SIGCONT);
	UNTIL(&g, g.links > links && g.up);
	cr_assert_eq(g.links, links + 1);
	struct channel *c = exec_with(&g, spec(COMMAND("true")), NULL, 0);

	UNTIL(&g, ended(c));
	cr_assert_eq(c->status.code, 0);
	finish(&g);
}

Test(tunnel, an_exit_while_the_link_is_down_arrives_with_the_next)
{
	struct gw g;

	gw_start(&g, idle);
	struct channel *c = exec_with(&g, spec(COMMAND("sh", "-c", "echo before; sleep 0.1; echo after; exit 11")), NULL, 0);

	UNTIL(&g, c->raw.len);
	cut(&g);
	http_server_free(g.http);
	for (int i = 0; i < 60; i++)
		uv_run(&g.loop, UV_RUN_ONCE);
	gw_listen(&g);
	UNTIL(&g, ended(c));
	AUTO_FREE char *out = payload(c, 1, NULL);

	cr_assert_str_eq(out, "before\nafter\n");
	cr_assert_eq(c->status.code, 11);
	cr_assert_eq(c->exits, 1);
	finish(&g);
}

Test(tunnel, a_gateway_that_forgot_everything_learns_it_from_the_agent)
{
	struct gw g;

	gw_start(&g, COMMAND("sh", "-c", "echo one; read x; echo two; exit 12"));
	struct channel *c = exec_with(&g, spec(COMMAND("sh", "-c", "exit 13")), NULL, 0);

	UNTIL(&g, c->exited && g.ch[1].raw.len);
	c = exec_with(&g, spec(COMMAND("sh", "-c", "read x; exit 14")), NULL, 0);
	UNTIL(&g, c->started);
	gw_restart(&g);
	UNTIL(&g, g.up);
	cr_assert_eq(g.last_hello.n_procs, 2, "main and the running exec; the other is settled");
	send_control(&g, &(struct control){.type = CONTROL_SIGNAL, .channel = 3, .signal.number = SIGKILL});
	UNTIL(&g, c->exited);
	cr_assert_eq(c->status.code, 137);
	exec_prints(&g, spec(COMMAND("echo", "new")), NULL, "new\n", "", 0);
	finish(&g);
}

Test(tunnel, unknown_and_superseded_agents_stop_dialling_and_leave_when_done)
{
	struct gw g;

	gw_init(&g);
	gw_listen(&g);
	g.refuse_with = WELCOME_UNKNOWN;
	agent_start(&g, settings(&g, COMMAND("sh", "-c", "sleep 0.3; exit 3")));
	cr_assert_eq(agent_status(&g), 3);
	cr_assert_eq(g.refused, 1);
	finish(&g);
}

Test(tunnel, retry_comes_back_after_the_time_given)
{
	struct gw g;

	gw_init(&g);
	gw_listen(&g);
	g.refuse_with = WELCOME_RETRY;
	agent_start(&g, settings(&g, idle));
	UNTIL(&g, g.refused == 3);
	g.refuse_with = 0;
	UNTIL(&g, g.up);
	finish(&g);
}

/* ---- forward mode ------------------------------------------------------------------------------- */

static void connect_forward(struct gw *g, uint16_t port, const char *token)
{
	AUTO_FREE char *url = xasprintf("ws://127.0.0.1:%d/ws", port);
	struct wslink_options opt = {.url = url, .subprotocol = TUNNEL_SUBPROTOCOL, .timeout_ms = 5000};

	strv_take(&opt.headers, xasprintf("Authorization: Bearer %s", token));
	g->link = wslink_connect(&g->loop, &opt, &link_ops, g, NULL);
	strv_release(&opt.headers);
}

static void start_forward(struct gw *g, const char **argv)
{
	struct config c;

	gw_init(g);
	c = settings(g, argv);
	free(c.callback_url);
	c.callback_url = NULL;
	c.listen_host = xstrdup("127.0.0.1");
	c.listen_port = g->port;
	agent_start(g, c);
}

static void pause_briefly(struct gw *g)
{
	for (int i = 0; i < 4; i++)
		uv_run(&g->loop, UV_RUN_ONCE);
}

Test(tunnel, forward_mode_speaks_the_same)
{
	struct gw g;

	start_forward(&g, idle);
	do {
		if (!g.link)
			connect_forward(&g, g.port, TOKEN);
		pause_briefly(&g);
	} while (!g.up);
	exec_prints(&g, spec(COMMAND("cat")), "forward", "forward", "", 0);
	/* a second link replaces the first */
	cut(&g);
	connect_forward(&g, g.port, TOKEN);
	UNTIL(&g, g.up);
	exec_prints(&g, spec(COMMAND("echo", "again")), NULL, "again\n", "", 0);
	send_control(&g, &(struct control){.type = CONTROL_SIGNAL, .channel = 1, .signal.number = SIGTERM});
	UNTIL(&g, ended(&g.ch[1]));
	cr_assert_eq(agent_status(&g), 143);
	finish(&g);
}

/* A WebSocket's request has none; whoever sends one is not to be upgraded, and we live on. */
Test(tunnel, forward_mode_refuses_a_request_with_a_body)
{
	static const char request[] = "GET /ws HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " TOKEN "\r\nUpgrade: websocket\r\n"
				      "Connection: Upgrade\r\nSec-WebSocket-Key: 0123456789012345678901==\r\n"
				      "Sec-WebSocket-Version: 13\r\nContent-Length: 5\r\n\r\n";
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct gw g;
	char answer;
	int fd;

	start_forward(&g, idle);
	to.sin_port = htons(g.port);
	do {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	} while (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && close(fd) == 0);
	cr_assert_eq(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
	cr_assert_leq(read(fd, &answer, 1), 0);
	close(fd);
	connect_forward(&g, g.port, TOKEN);
	UNTIL(&g, g.up);
	finish(&g);
}

Test(tunnel, forward_mode_refuses_a_wrong_token)
{
	struct gw g;

	start_forward(&g, idle);
	for (int i = 0; i < 20; i++) {
		if (!g.link)
			connect_forward(&g, g.port, "the-tokem");
		pause_briefly(&g);
	}
	cr_assert_eq(g.hellos, 0);
	finish(&g);
}
