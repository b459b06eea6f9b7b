/* An agent that lies: whoever reads its container's token may say anything in its name. The gateway and
 * everybody else's containers must not notice. */
#include <sys/socket.h>

#include "agents/registry.h"
#include "agents/tunnel.h"
#include "base/clock.h"
#include "frame.h"
#include "net/conn.h"
#include "relay.h"
#include "session.h"
#include "state/exec.h"
#include "state_fixture.h"

#define JUNK 60000
#define BUDGET (64 * 1024 * 1024)

static struct config config;
static struct container *box, *other;
static struct link link_;
static uint64_t link_no, said;  /* bytes on the agent's control stream */
static uint8_t gateway_id[BOOT_ID_LEN];
static unsigned restarts;
static bool drop_when_lost;

static void link_none(struct link *l) {}
static void link_refuse(struct link *l, const struct buf *frame) {}
static const char *link_peer(const struct link *l) { return "test"; }
static size_t link_queue(const struct link *l) { return 0; }
static const struct link_ops link_ops = {
	.wake = link_none, .close = link_none, .refuse = link_refuse, .peer = link_peer, .queue = link_queue,
};

static void agent_up(void *ctx, struct container *c) {}
static void agent_lost(void *ctx, struct container *c)
{
	if (drop_when_lost)
		registry_drop(f.g.registry, c);
}
static void main_exited(void *ctx, struct container *c, const struct exit_status *status) {}
static void main_restarting(void *ctx, struct container *c, const struct exit_status *status, uint32_t count) { restarts++; }
static const struct tunnel_observer observer = {
	.agent_up = agent_up, .agent_lost = agent_lost, .main_exited = main_exited, .main_restarting = main_restarting,
};

static void setup(void)
{
	struct err err;

	fixture_setup();
	config.tunnel_memory = BUDGET;
	f.g.config = &config;
	f.g.execs = execs_new(&f.g, &err);
	f.g.registry = registry_new(&f.g);
	registry_observe(f.g.registry, &observer, NULL);
	box = fixture_container("box");
	other = fixture_container("other");
	link_.ops = &link_ops;
}

static void teardown(void)
{
	registry_free(f.g.registry);
	execs_free(f.g.execs);
	fixture_teardown();
}

TestSuite(hostile, .init = setup, .fini = teardown);

/* ---- what it says --------------------------------------------------------------------------------- */

/* HELLO on a new link, with these rows as they are. */
static int hello(struct proc_row *procs, size_t n_procs, struct stream_row *streams, size_t n_streams)
{
	struct control c = { .type = CONTROL_HELLO, .hello = {
		.version = TUNNEL_PROTOCOL_VERSION, .container_id = box->id, .execution = (char *)"run-1", .boot_id = { 1 },
		.link_no = ++link_no, .procs = procs, .n_procs = n_procs, .streams = streams, .n_streams = n_streams } };
	struct buf frame, refusal;
	struct err err = { 0 };
	int rc;

	registry_link_gone(f.g.registry, &link_);
	memcpy(c.hello.gateway_id, gateway_id, BOOT_ID_LEN);
	buf_init(&frame, FRAME_HANDSHAKE_MAX);
	buf_init(&refusal, FRAME_MAX);
	buf_append(&frame, "\5", 1);
	cr_assert_eq(control_encode(&c, &frame, &err), 0, "%s", err.msg);
	rc = registry_hello(f.g.registry, box->id, &link_, buf_head(&frame), frame.len, &refusal, &err);
	buf_release(&frame);
	buf_release(&refusal);
	return rc;
}

#define MAIN { .channel = 1, .exec_id = (char *)"", .state = PROC_RUNNING, .pid = 7 }
#define ROWS(v) v, sizeof(v) / sizeof(*(v))

/* The gateway's answer: who it is, and whether it begins anew. */
static void take_welcome(void)
{
	struct frame_out out;
	struct control c;
	struct err err;

	cr_assert_eq(tunnel_next_frame(box->tunnel, &out), 1);
	cr_assert_eq(control_decode(out.head + 1, out.head_len - 1, &c, &err), 0, "%s", err.msg);
	cr_assert_eq(c.type, CONTROL_WELCOME);
	memcpy(gateway_id, c.welcome.gateway_id, BOOT_ID_LEN);
	if (c.welcome.verdict == WELCOME_NEW)
		said = 0;
	control_release(&c);
	while (tunnel_next_frame(box->tunnel, &out))
		;
}

static int frame(enum frame_type type, uint32_t stream, uint64_t a, const void *p, size_t n)
{
	uint8_t bytes[FRAME_MAX];
	size_t head = frame_head(bytes, type, stream, a, 0);
	struct err err;

	if (n)
		memcpy(bytes + head, p, n);
	return tunnel_receive(link_.tunnel, bytes, head + n, &err);
}

static void put_record(struct buf *b, const struct control *c)
{
	struct buf body;
	struct err err;
	uint8_t length[4] = { 0 };

	buf_init(&body, FRAME_MAX);
	cr_assert_eq(control_encode(c, &body, &err), 0, "%s", err.msg);
	length[2] = (uint8_t)(body.len >> 8);
	length[3] = (uint8_t)body.len;
	buf_append(b, length, sizeof(length));
	buf_append(b, buf_head(&body), body.len);
	buf_release(&body);
}

static void say(struct buf *records)
{
	cr_assert_eq(frame(FRAME_DATA, 1, said, buf_head(records), records->len), 0);
	said += records->len;
	buf_consume(records, records->len);
}

static void put_exit(struct buf *b, uint32_t channel, uint64_t final_offset)
{
	put_record(b, &(struct control){ .type = CONTROL_EXIT, .channel = channel, .exit.status.final_offset = final_offset });
}

static void comes_in(void)
{
	struct proc_row procs[] = { MAIN };
	struct stream_row streams[] = { { .id = 2 }, { .id = 3 } };

	cr_assert_eq(hello(ROWS(procs), ROWS(streams)), 0);
	take_welcome();
}

/* ---- HELLO ---------------------------------------------------------------------------------------- */

Test(hostile, a_channel_behind_which_there_is_none)
{
	struct proc_row procs[] = { MAIN, { .channel = CONTROL_CHANNEL_MAX, .exec_id = (char *)"ab", .state = PROC_RUNNING } };

	cr_assert_lt(hello(ROWS(procs), NULL, 0), 0);
	cr_assert_null(box->tunnel);
}

Test(hostile, positions_that_cannot_be)
{
	static const uint32_t ids[] = { 2, 3, 4, 5 };

	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		struct proc_row procs[] = { MAIN, { .channel = 2, .exec_id = (char *)"ab", .state = PROC_RUNNING } };
		struct stream_row streams[] = { { .id = ids[i], .received = 1ull << 63, .delivered = 1ull << 63,
						  .acked = 1ull << 63, .next_send = 1ull << 63 } };

		cr_assert_lt(hello(ROWS(procs), ROWS(streams)), 0);
		cr_assert_null(box->tunnel);
	}
}

static struct exec *exec_of(struct container *c)
{
	struct exec spec = { .attach_stdout = true }, *e;
	struct err err;

	strv_add(&spec.argv, "true");
	e = execs_add(f.g.execs, c, &spec, &err);
	cr_assert_not_null(e, "%s", err.msg);
	return e;
}

Test(hostile, execs_of_another_container)
{
	struct exec *e = exec_of(other);
	char begins[9];
	struct err err;

	exec_set_started(e, 2, &err);
	snprintf(begins, sizeof(begins), "%.8s", e->id);
	for (int whole = 0; whole < 2; whole++) {
		struct proc_row procs[] = { MAIN, { .channel = 2, .exec_id = whole ? e->id : begins, .state = PROC_EXITED, .pid = 9 },
					    { .channel = 3, .exec_id = whole ? e->id : begins, .state = PROC_RUNNING, .pid = 9 } };
		struct frame_out out;

		cr_assert_eq(hello(ROWS(procs), NULL, 0), 0);
		while (tunnel_next_frame(box->tunnel, &out))
			;
		cr_assert_eq(e->state, EXEC_STARTED);
		cr_assert_eq(e->pid, 0);
		registry_drop(f.g.registry, box);
	}
}

/* What windows grow by is of one budget for all containers. */
Test(hostile, room_without_end_for_many_streams)
{
	enum { EXECS = 32 };
	struct proc_row procs[EXECS + 1] = { MAIN };
	struct stream_row streams[EXECS];
	struct registry_totals totals;
	struct err err;

	for (uint32_t i = 0; i < EXECS; i++) {
		procs[i + 1] = (struct proc_row){ .channel = i + 2, .exec_id = (char *)"ab", .state = PROC_RUNNING };
		streams[i] = (struct stream_row){ .id = 2 * (i + 2) };
	}
	cr_assert_eq(hello(ROWS(procs), ROWS(streams)), 0);
	take_welcome();
	for (uint32_t i = 0; i < EXECS; i++) {
		uint8_t bytes[FRAME_HEAD_MAX];

		cr_assert_eq(tunnel_receive(link_.tunnel, bytes, frame_head(bytes, FRAME_ACK, 2 * (i + 2), 0, 1ull << 60), &err), 0);
	}
	registry_totals(f.g.registry, &totals);
	cr_assert_gt(totals.budget.used, 0);
	cr_assert_leq(totals.budget.used, BUDGET / 2);
}

/* ---- control messages ----------------------------------------------------------------------------- */

Test(hostile, records_of_no_length_on_link_after_link)
{
	static const uint8_t junk[JUNK];

	for (int i = 0; i < 20; i++) {
		struct proc_row procs[] = { MAIN };
		struct stream_row streams[] = { { .id = 0 }, { .id = 1, .next_send = said }, { .id = 2 }, { .id = 3 } };

		cr_assert_eq(hello(ROWS(procs), ROWS(streams)), 0);
		take_welcome();
		cr_assert_eq(frame(FRAME_DATA, 1, said, junk, sizeof(junk)), -1);
		said += sizeof(junk);
	}
}

Test(hostile, restarts_whose_output_never_comes)
{
	struct buf records;

	comes_in();
	buf_init(&records, FRAME_DATA_MAX);
	for (unsigned i = 1; i <= 20000; i++) {
		put_record(&records, &(struct control){ .type = CONTROL_RESTARTING, .channel = 1,
							.restarting = { .count = i, .status.final_offset = 1ull << 40 } });
		put_record(&records, &(struct control){ .type = CONTROL_STARTED, .channel = 1, .started.pid = i });
		if (records.len > FRAME_DATA_MAX / 2)
			say(&records);
	}
	buf_release(&records);
	cr_assert_eq(restarts, 0);
	cr_assert_eq(frame(FRAME_RESET, 3, RESET_CANCELLED, NULL, 0), 0);
	cr_assert_gt(restarts, 0);
	cr_assert_lt(restarts, 5000, "%u were kept", restarts);
}

/* ---- ends ----------------------------------------------------------------------------------------- */

Test(hostile, silence_of_an_agent_that_nobody_needs)
{
	drop_when_lost = true;
	comes_in();
	session_ask(tunnel_session(box->tunnel), clock_mono_ms() - 2 * SESSION_PROBE_MS);
	while (box->tunnel)
		uv_run(f.g.loop, UV_RUN_ONCE);
}

static void no_events(struct conn *c, void *ctx, unsigned events) {}
static uint32_t second;
static unsigned ends;

static size_t takes_nothing(void *ctx, const uint8_t *p, size_t n) { return 0; }
static void room(void *ctx) {}
static void ends_and_cancels(void *ctx, int exit_code, const char *lost)
{
	ends++;
	tunnel_tool_cancel(box->tunnel, second);
}
static void just_ends(void *ctx, int exit_code, const char *lost) { ends++; }

Test(hostile, an_end_that_ends_another)
{
	static const struct tunnel_sink first_sink = { .on_output = takes_nothing, .on_input_room = room, .on_end = ends_and_cancels };
	static const struct tunnel_sink second_sink = { .on_output = takes_nothing, .on_input_room = room, .on_end = just_ends };
	struct strv argv = { 0 };
	struct buf records;
	uint32_t first;
	struct err err;

	comes_in();
	strv_add(&argv, "top");
	cr_assert_eq(tunnel_tool(box->tunnel, &argv, false, &first_sink, NULL, &first, &err), 0);
	cr_assert_eq(tunnel_tool(box->tunnel, &argv, false, &second_sink, NULL, &second, &err), 0);
	strv_release(&argv);
	cr_assert_eq(frame(FRAME_DATA, 2 * second + 1, 0, "whatever", 8), 0);
	buf_init(&records, FRAME_MAX);
	put_exit(&records, first, 0);
	put_exit(&records, second, 8);
	say(&records);
	buf_release(&records);
	cr_assert_eq(ends, 1);
	cr_assert(tunnel_is_idle(box->tunnel));
}

/* Its exit overtakes its output, and records of ended execs are forgotten when there are many. */
Test(hostile, a_client_leaves_an_exec_that_is_forgotten)
{
	struct exec *e = exec_of(box);
	struct session_stats stats;
	struct buf nothing, records;
	struct relay *r;
	uint32_t channel;
	struct err err;
	int ends_of[2];

	comes_in();
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends_of), 0);
	r = relay_exec(&f.g, box, e, false, NULL, &err);
	cr_assert_not_null(r, "%s", err.msg);
	channel = e->channel;
	buf_init(&nothing, 1);
	relay_open(r, conn_adopt(f.g.loop, ends_of[0], NULL, 0, no_events, NULL, &err), &nothing, false, "");
	buf_init(&records, FRAME_MAX);
	put_exit(&records, channel, 64);
	say(&records);
	buf_release(&records);
	execs_container_removed(f.g.execs, box->id);
	close(ends_of[1]);
	for (int i = 0; i < 4; i++)
		uv_run(f.g.loop, UV_RUN_NOWAIT);
	cr_assert_eq(frame(FRAME_DATA, 2 * channel + 1, 0, "\1\0\0\0\0\0\0\4last", 12), 0);
	session_stats(tunnel_session(box->tunnel), &stats);
	cr_assert_eq(stats.kept_bytes, 0, "nobody is there to keep it for");
}
