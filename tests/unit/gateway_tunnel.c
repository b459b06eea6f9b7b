/* An agent's session at the gateway: what a lost WELCOME must not take with it. */
#include <signal.h>

#include "agents/tunnel.h"
#include "session.h"
#include "state/exec.h"
#include "state_fixture.h"

static struct container *box;
static struct tunnel *tunnel;
static struct session *agent;
static struct link link_;
static unsigned ups, exits, restarts;
static int exit_code;
static uint64_t link_no;
static int signals[4];
static unsigned n_signals;
static struct config config;

/* ---- an agent whose applications do nothing, and a link that the tests carry --------------------- */

static size_t on_data(void *ctx, struct stream *st, const uint8_t *p, size_t n) { return n; }
static void on_stream(void *ctx, struct stream *st) {}
static void on_reset(void *ctx, struct stream *st, uint32_t code) {}
static void on_control(void *ctx, const struct control *c)
{
	if (c->type == CONTROL_SIGNAL && c->channel > 1)
		signals[n_signals++ % 4] = c->signal.number;
}
static void on_wake(void *ctx) {}
static const struct session_ops agent_ops = {
	.on_data = on_data, .on_fin = on_stream, .on_reset = on_reset, .on_writable = on_stream,
	.on_control = on_control, .on_wake = on_wake,
};

static void link_none(struct link *l) {}
static void link_refuse(struct link *l, const struct buf *frame) {}
static const char *link_peer(const struct link *l) { return "test"; }
static size_t link_queue(const struct link *l) { return 0; }
static const struct link_ops link_ops = { .wake = link_none, .close = link_none, .refuse = link_refuse, .peer = link_peer,
					 .queue = link_queue };

static void agent_up(void *ctx, struct container *c) { ups++; }
static void agent_lost(void *ctx, struct container *c) {}
static void main_exited(void *ctx, struct container *c, const struct exit_status *status)
{
	exits++;
	exit_code = status->code;
}
static void main_restarting(void *ctx, struct container *c, const struct exit_status *status, uint32_t count) { restarts++; }
static const struct tunnel_observer observer = {
	.agent_up = agent_up, .agent_lost = agent_lost, .main_exited = main_exited, .main_restarting = main_restarting,
};

static void setup(void)
{
	static const uint8_t boot_id[BOOT_ID_LEN] = { 1 };
	struct err err;

	fixture_setup();
	f.g.config = &config;
	f.g.execs = execs_new(&f.g, &err);
	box = fixture_container("box");
	agent = session_new(SESSION_AGENT, boot_id, &agent_ops, NULL);
	session_open(agent, 2, 0, STREAM_WINDOW_DEFAULT);
	session_open(agent, 3, 0, STREAM_WINDOW_DEFAULT);
	link_.ops = &link_ops;
}

static void teardown(void)
{
	tunnel_free(tunnel);
	session_free(agent);
	execs_free(f.g.execs);
	fixture_teardown();
}

TestSuite(tunnel, .init = setup, .fini = teardown);

/* HELLO with main in this state, heard by the gateway; its answer waits in the tunnel. */
static void hello(enum proc_state state, uint32_t count, int code)
{
	struct hello h = { .container_id = xstrdup(box->id), .execution = xstrdup("job-1"), .link_no = ++link_no }, heard;
	struct frame_out out;
	struct err err;

	h.procs = xcalloc(1, sizeof(*h.procs));
	h.n_procs = 1;
	h.procs[0] = (struct proc_row){ .channel = 1, .exec_id = xstrdup(""), .state = state, .restarts = count,
					.pid = state == PROC_RUNNING ? 7 : 0,
					.exit = { .code = code, .started_ns = 5, .final_offset = stream_written(session_stream(agent, 3)) } };
	session_hello(agent, &h, 1);
	cr_assert_eq(session_next_frame(agent, &out, 1), 1);
	cr_assert_eq(session_peek_hello(out.head, out.head_len, &heard, &err), 0);
	if (!tunnel)
		tunnel = tunnel_new(&f.g, box, &heard, &observer, NULL);
	cr_assert_eq(tunnel_attach_link(tunnel, &link_, &heard, link_no == 1, &err), 0, "%s", err.msg);
	hello_release(&h);
	hello_release(&heard);
}

/* Both sides say what they have to say, until there is nothing more. */
static void talk(void)
{
	struct frame_out out;
	struct err err;
	bool more = true;

	while (more) {
		struct buf b;

		buf_init(&b, FRAME_HANDSHAKE_MAX);
		more = tunnel_next_frame(tunnel, &out);
		if (more) {
			buf_append(&b, out.head, out.head_len);
			buf_append(&b, out.body, out.body_len);
			cr_assert_eq(session_receive(agent, buf_head(&b), b.len, 1, &err), 0, "%s", err.msg);
		} else if ((more = session_next_frame(agent, &out, 1))) {
			buf_append(&b, out.head, out.head_len);
			buf_append(&b, out.body, out.body_len);
			cr_assert_eq(tunnel_receive(tunnel, buf_head(&b), b.len, &err), 0, "%s", err.msg);
		}
		buf_release(&b);
	}
}

static void main_ends(void)
{
	struct control c = { .type = CONTROL_EXIT, .channel = 1, .exit.status = { .code = 7 } };
	struct err err;

	stream_write(session_stream(agent, 3), "\1\1\0\0\0\0\0\1........x", 17);
	stream_fin(session_stream(agent, 3));
	c.exit.status.final_offset = 17;
	cr_assert_eq(session_send(agent, &c, &err), 0);
}

Test(tunnel, exit_after_a_welcome_that_was_lost)
{
	hello(PROC_RUNNING, 0, 0); /* its answer never arrives */
	main_ends();
	hello(PROC_EXITED, 0, 7);
	talk();
	cr_assert_eq(exits, 1);
	cr_assert_eq(exit_code, 7);
}

Test(tunnel, exit_between_two_links)
{
	hello(PROC_RUNNING, 0, 0);
	talk();
	main_ends();
	hello(PROC_EXITED, 0, 7);
	talk();
	cr_assert_eq(exits, 1);
	cr_assert_eq(exit_code, 7);
}

Test(tunnel, restart_in_the_table_of_two_hellos_is_one)
{
	hello(PROC_RESTARTING, 1, 3);
	hello(PROC_RESTARTING, 1, 3);
	talk();
	cr_assert_eq(restarts, 1);
	cr_assert_eq(exits, 0);
}

Test(tunnel, start_after_a_welcome_that_was_lost)
{
	uint32_t pid;
	int64_t started_ns;

	hello(PROC_HELD, 0, 0);
	cr_assert_not(tunnel_main_started(tunnel, &pid, &started_ns));
	hello(PROC_RUNNING, 0, 0);
	talk();
	cr_assert(tunnel_main_started(tunnel, &pid, &started_ns));
	cr_assert_eq(pid, 7);
}

/* ---- clients that vanish -------------------------------------------------------------------------- */

static struct tunnel_sink client; /* takes nothing */
static size_t take_nothing(void *ctx, const uint8_t *p, size_t n) { return 0; }
static void no_room(void *ctx) {}
static void ended(void *ctx, int code, const char *lost) {}

/* An exec whose client is there, and has not taken 100 bytes that have come. */
static struct exec *exec_with_client(bool tty, bool detached)
{
	struct exec spec = { .tty = tty, .attach_stdin = true }, *e;
	uint8_t bytes[100] = { 0 };
	struct err err;

	client = (struct tunnel_sink){ .detached = detached, .on_output = take_nothing, .on_input_room = no_room, .on_end = ended };
	strv_add(&spec.argv, "sh");
	e = execs_add(f.g.execs, box, &spec, &err);
	cr_assert_eq(tunnel_exec(tunnel, e, &client, NULL, &err), 0, "%s", err.msg);
	session_open(agent, 2 * e->channel, 0, STREAM_WINDOW_DEFAULT);
	stream_write(session_open(agent, 2 * e->channel + 1, 0, STREAM_WINDOW_DEFAULT), bytes, sizeof(bytes));
	talk();
	return e;
}

/* So much time passes, and the tunnel looks at its clock. */
static void later(unsigned ms)
{
	uint64_t until = uv_now(&f.loop) + ms;

	while (uv_now(&f.loop) < until)
		uv_run(&f.loop, UV_RUN_ONCE);
	talk();
}

Test(tunnel, what_nobody_takes_any_more_is_counted)
{
	struct tunnel_process p;
	struct tunnel_info i;
	struct exec *e;

	hello(PROC_RUNNING, 0, 0);
	e = exec_with_client(false, false);
	cr_assert(tunnel_process(tunnel, e->channel, &p));
	cr_assert(p.has_client && p.discarded == 0 && p.alone_ms == 0);
	tunnel_exec_detach(tunnel, e->channel);
	talk();
	cr_assert(tunnel_process(tunnel, e->channel, &p));
	cr_assert(!p.has_client && p.discarded == 100);
	cr_assert(stream_fin_received(session_stream(agent, 2 * e->channel)));
	tunnel_info(tunnel, &i);
	cr_assert_eq(i.discarded, 100);
	cr_assert_eq(i.abandoned, 0, "it has no terminal");
}

Test(tunnel, a_terminal_left_alone_is_hung_up_and_then_killed_when_so_set)
{
	struct tunnel_info i;
	struct exec *e;

	config.terminal_timeout_ms = 20;
	hello(PROC_RUNNING, 0, 0);
	e = exec_with_client(true, false);
	later(30);
	cr_assert_eq(n_signals, 0, "its client is there");
	tunnel_exec_detach(tunnel, e->channel);
	tunnel_info(tunnel, &i);
	cr_assert_eq(i.abandoned, 1);
	later(100);
	cr_assert_eq(n_signals, 2);
	cr_assert(signals[0] == SIGHUP && signals[1] == SIGKILL);
	tunnel_info(tunnel, &i);
	cr_assert_eq(i.hang_ups, 1);
}

Test(tunnel, a_terminal_is_left_alone_by_default)
{
	hello(PROC_RUNNING, 0, 0);
	tunnel_exec_detach(tunnel, exec_with_client(true, false)->channel);
	later(30);
	cr_assert_eq(n_signals, 0);
}

Test(tunnel, a_detached_terminal_never_had_a_client_to_lose)
{
	config.terminal_timeout_ms = 10;
	hello(PROC_RUNNING, 0, 0);
	tunnel_exec_detach(tunnel, exec_with_client(true, true)->channel);
	later(40);
	cr_assert_eq(n_signals, 0);
}

/* ---- looking on ------------------------------------------------------------------------------------ */

static unsigned frames_seen;
static char frames_text[4096];

static void see_frame(void *ctx, const struct tunnel_frame *frame)
{
	size_t at = strlen(frames_text);

	frames_seen++;
	snprintf(frames_text + at, sizeof(frames_text) - at, "%c%s %u %llu+%zu;", frame->to_agent ? '>' : '<', frame->type,
		 frame->stream, (unsigned long long)frame->offset, frame->bytes);
}

static void see_all(void)
{
	frames_seen = 0;
	frames_text[0] = '\0';
	tunnel_trace_each(tunnel, see_frame, NULL);
}

Test(tunnel, its_last_frames_are_known_and_no_more)
{
	hello(PROC_RUNNING, 0, 0);
	see_all();
	cr_assert_eq(frames_seen, 0);
	main_ends();
	talk();
	see_all();
	cr_assert(strstr(frames_text, ">WELCOME 0 0+"), "%s", frames_text);
	cr_assert(strstr(frames_text, "<DATA 3 0+17;"), "%s", frames_text);
	cr_assert(strstr(frames_text, "<FIN 3 17+0;"), "%s", frames_text);
	for (int i = 0; i < 40; i++) {
		exec_with_client(false, false);
		see_all();
	}
	cr_assert_eq(frames_seen, 32);
	cr_assert_not(strstr(frames_text, "WELCOME"));
}

static unsigned pings_answered, pings_lost;

static void pinged(void *ctx, bool answered)
{
	if (answered)
		pings_answered++;
	else
		pings_lost++;
}

Test(tunnel, a_ping_is_answered_or_told_lost_with_the_link)
{
	int other;

	hello(PROC_RUNNING, 0, 0);
	talk();
	cr_assert(tunnel_ping(tunnel, pinged, NULL));
	cr_assert(tunnel_ping(tunnel, pinged, &other));
	tunnel_unping(tunnel, &other);
	talk();
	cr_assert(pings_answered == 1 && pings_lost == 0);
	cr_assert(tunnel_ping(tunnel, pinged, NULL));
	tunnel_cut(tunnel);
	cr_assert(pings_answered == 1 && pings_lost == 1);
	cr_assert_not(tunnel_ping(tunnel, pinged, NULL));
}
