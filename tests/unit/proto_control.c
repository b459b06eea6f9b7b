/* The codec: every field of every message survives, nothing out of range gets in. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/token.h"
#include "control.h"
#include "session.h"

static struct err err;

/* Encode, decode; the caller releases the result. */
static struct control trip(const struct control *c)
{
	struct control back = { 0 };
	struct buf b;

	buf_init(&b, CONTROL_HANDSHAKE_MAX);
	cr_assert_eq(control_encode(c, &b, &err), 0, "%s", err.msg);
	cr_assert_eq(control_decode(buf_head(&b), b.len, &back, &err), 0, "%s", err.msg);
	buf_release(&b);
	cr_assert_eq(back.type, c->type);
	cr_assert_eq(back.channel, c->channel);
	return back;
}

static int decode(const char *hex)
{
	size_t n = strlen(hex) / 2;
	uint8_t bytes[128];
	struct control c;

	cr_assert_eq(hex_decode(hex, bytes, n), 0);
	if (control_decode(bytes, n, &c, &err) < 0)
		return -1;
	control_release(&c);
	return 0;
}

Test(control, hello_survives)
{
	struct proc_row procs[2] = {
		{ .channel = 1, .exec_id = (char *)"", .state = PROC_RUNNING, .pid = 7,
		  .exit = { .started_ns = 77 } },
		{ .channel = 9, .exec_id = (char *)"abc", .spec_hash = { 1, 2, 3 }, .state = PROC_EXITED,
		  .pid = 99,
		  .exit = { .code = 137, .signal = 9, .core_dumped = true, .pipes_held = true,
			    .final_offset = 1ull << 40, .started_ns = -5, .finished_ns = 6,
			    .error = (char *)"why" } },
	};
	struct stream_row streams[2] = {
		{ .id = 3, .acked = 10, .next_send = 1ull << 50, .fin = true },
		{ .id = 2, .received = 7, .delivered = 5, .reset = true },
	};
	struct control c = { .type = CONTROL_HELLO, .hello = {
		.version = 1, .container_id = (char *)"c", .execution = (char *)"e",
		.agent_version = (char *)"0.1", .task_attempt = 3, .boot_id = { 1 }, .link_no = 1ull << 33,
		.gateway_id = { 2 }, .window_in = 65536, .window_out = 1 << 20,
		.procs = procs, .n_procs = 2, .streams = streams, .n_streams = 2 } };
	struct control back = trip(&c);
	struct hello *h = &back.hello;

	cr_assert_eq(h->version, 1);
	cr_assert_str_eq(h->container_id, "c");
	cr_assert_str_eq(h->execution, "e");
	cr_assert_str_eq(h->agent_version, "0.1");
	cr_assert_eq(h->task_attempt, 3);
	cr_assert_arr_eq(h->boot_id, c.hello.boot_id, BOOT_ID_LEN);
	cr_assert_arr_eq(h->gateway_id, c.hello.gateway_id, BOOT_ID_LEN);
	cr_assert_eq(h->link_no, 1ull << 33);
	cr_assert_eq(h->window_in, 65536);
	cr_assert_eq(h->window_out, 1 << 20);
	cr_assert_eq(h->n_procs, 2);
	cr_assert_eq(h->procs[0].state, PROC_RUNNING);
	cr_assert_str_eq(h->procs[0].exec_id, "");
	cr_assert_eq(h->procs[0].exit.started_ns, 77);
	cr_assert_eq(h->procs[1].channel, 9);
	cr_assert_str_eq(h->procs[1].exec_id, "abc");
	cr_assert_arr_eq(h->procs[1].spec_hash, procs[1].spec_hash, 32);
	cr_assert_eq(h->procs[1].pid, 99);
	cr_assert_eq(h->procs[1].exit.code, 137);
	cr_assert_eq(h->procs[1].exit.signal, 9);
	cr_assert(h->procs[1].exit.core_dumped && h->procs[1].exit.pipes_held);
	cr_assert_eq(h->procs[1].exit.final_offset, 1ull << 40);
	cr_assert_eq(h->procs[1].exit.started_ns, -5);
	cr_assert_eq(h->procs[1].exit.finished_ns, 6);
	cr_assert_str_eq(h->procs[1].exit.error, "why");
	cr_assert_eq(h->n_streams, 2);
	cr_assert_eq(h->streams[0].next_send, 1ull << 50);
	cr_assert(h->streams[0].fin && !h->streams[0].reset);
	cr_assert_eq(h->streams[1].delivered, 5);
	cr_assert(h->streams[1].reset);
	control_release(&back);
}

Test(control, welcome_survives)
{
	struct stream_row row = { .id = 2, .acked = 1, .next_send = 2 };
	struct control c = { .type = CONTROL_WELCOME, .welcome = {
		.verdict = WELCOME_RETRY, .gateway_id = { 4 }, .retry_after_ms = 250,
		.message = (char *)"busy", .streams = &row, .n_streams = 1 } };
	struct control back = trip(&c);

	cr_assert_eq(back.welcome.verdict, WELCOME_RETRY);
	cr_assert_eq(back.welcome.gateway_id[0], 4);
	cr_assert_eq(back.welcome.retry_after_ms, 250);
	cr_assert_str_eq(back.welcome.message, "busy");
	cr_assert_eq(back.welcome.streams[0].next_send, 2);
	control_release(&back);
}

Test(control, restart_messages_survive)
{
	struct control policy = { .type = CONTROL_RESTART_POLICY, .channel = 1,
				  .restart_policy = { RESTART_ON_FAILURE, 3 } };
	struct control again = { .type = CONTROL_RESTARTING, .channel = 1, .restarting = {
		.status = { .code = 7, .final_offset = 99 }, .count = 2, .delay_ms = 400 } };
	struct control begin = { .type = CONTROL_BEGIN, .channel = 1 }, back = trip(&policy);

	cr_assert_eq(back.restart_policy.when, RESTART_ON_FAILURE);
	cr_assert_eq(back.restart_policy.max_retries, 3);
	back = trip(&again);
	cr_assert_eq(back.restarting.status.code, 7);
	cr_assert_eq(back.restarting.status.final_offset, 99);
	cr_assert_eq(back.restarting.count, 2);
	cr_assert_eq(back.restarting.delay_ms, 400);
	control_release(&back);
	back = trip(&begin);
	cr_assert_eq(back.type, CONTROL_BEGIN);
	begin.type = CONTROL_LEAVE;
	back = trip(&begin);
	cr_assert_eq(back.type, CONTROL_LEAVE);
}

Test(control, tool_is_part_of_what_an_exec_is)
{
	struct control c = { .type = CONTROL_EXEC, .channel = 2 }, back;
	uint8_t plain[32], tool[32];

	strv_add(&c.exec.argv, "connect");
	exec_spec_hash(&c.exec, plain);
	c.exec.tool = true;
	exec_spec_hash(&c.exec, tool);
	back = trip(&c);
	cr_assert(back.exec.tool);
	cr_assert_arr_neq(plain, tool, 32);
	control_release(&back);
	strv_release(&c.exec.argv);
}

/* Sent all the same, it would end the link and leave its client waiting. */
Test(control, exec_that_the_agent_would_not_take)
{
	struct control c = { .type = CONTROL_EXEC, .channel = 2 }, back;
	char **texts[] = { &c.exec.workdir, &c.exec.user, &c.exec.exec_id }, text[4098];
	struct buf b;

	buf_init(&b, CONTROL_MESSAGE_MAX);
	strv_add(&c.exec.argv, "true");
	memset(text, 'a', sizeof(text));
	for (size_t i = 0; i < 3; i++) {
		*texts[i] = text;
		text[4097] = '\0';
		cr_assert_eq(control_encode(&c, &b, &err), -1);
		cr_assert_eq(err.kind, ERR_INVALID);
		cr_assert_eq(b.len, 0);
		text[4096] = '\0';
		back = trip(&c);
		control_release(&back);
		text[4096] = 'a';
		*texts[i] = NULL;
	}
	strv_release(&c.exec.argv);
	buf_release(&b);
}

Test(control, exec_survives_with_bytes_that_are_not_text)
{
	struct control c = { .type = CONTROL_EXEC, .channel = 5 };
	struct control back;

	c.exec.exec_id = (char *)"id";
	strv_add(&c.exec.argv, "sh");
	strv_add(&c.exec.argv, "");
	strv_add(&c.exec.argv, "\xff\xfe not UTF-8");
	strv_add(&c.exec.env, "A=");
	c.exec.workdir = (char *)"/w";
	c.exec.user = (char *)"1000:1000";
	c.exec.tty = c.exec.open_stdin = c.exec.detach = true;
	c.exec.rows = 65535;
	c.exec.cols = 1;
	back = trip(&c);
	cr_assert_eq(back.exec.channel, 5);
	cr_assert_str_eq(back.exec.exec_id, "id");
	cr_assert_eq(back.exec.argv.n, 3);
	cr_assert_str_eq(back.exec.argv.v[1], "");
	cr_assert_str_eq(back.exec.argv.v[2], "\xff\xfe not UTF-8");
	cr_assert_null(back.exec.argv.v[3]);
	cr_assert_str_eq(back.exec.env.v[0], "A=");
	cr_assert_str_eq(back.exec.workdir, "/w");
	cr_assert_str_eq(back.exec.user, "1000:1000");
	cr_assert(back.exec.tty && back.exec.open_stdin && back.exec.detach);
	cr_assert_eq(back.exec.rows, 65535);
	cr_assert_eq(back.exec.cols, 1);
	control_release(&back);
	strv_release(&c.exec.argv);
	strv_release(&c.exec.env);
}

Test(control, small_messages_survive)
{
	struct control c = { .type = CONTROL_PING }, back;

	c.ping.stamp_us = 1ull << 63;
	back = trip(&c);
	cr_assert_eq(back.ping.stamp_us, 1ull << 63);
	c.type = CONTROL_PONG;
	back = trip(&c);
	cr_assert_eq(back.ping.stamp_us, 1ull << 63);
	c = (struct control){ .type = CONTROL_GOAWAY };
	c.goaway.reconnect_within_ms = 30000;
	back = trip(&c);
	cr_assert_eq(back.goaway.reconnect_within_ms, 30000);
	c = (struct control){ .type = CONTROL_STARTED, .channel = 1 };
	c.started.pid = 42;
	c.started.started_ns = 1234567890123456789;
	back = trip(&c);
	cr_assert_eq(back.started.pid, 42);
	cr_assert_eq(back.started.started_ns, 1234567890123456789);
	c = (struct control){ .type = CONTROL_EXIT, .channel = 1 };
	back = trip(&c);
	cr_assert_eq(back.exit.status.code, 0);
	cr_assert_null(back.exit.status.error);
	c = (struct control){ .type = CONTROL_EXIT_ACK, .channel = 2147483647 };
	back = trip(&c);
	c = (struct control){ .type = CONTROL_SIGNAL, .channel = 1 };
	c.signal.number = 64;
	back = trip(&c);
	cr_assert_eq(back.signal.number, 64);
	c = (struct control){ .type = CONTROL_RESIZE, .channel = 1 };
	c.resize.rows = 24;
	c.resize.cols = 80;
	back = trip(&c);
	cr_assert_eq(back.resize.rows, 24);
	cr_assert_eq(back.resize.cols, 80);
}

Test(control, out_of_range_is_refused)
{
	static const struct { const char *what, *hex; } bad[] = {
		{ "nothing", "" },
		{ "a channel and no body", "0801" },
		{ "a body of a later version", "0801a20600" },
		{ "a PING with a channel", "08012200" },
		{ "a SIGNAL without one", "72020809" },
		{ "a SIGNAL on channel 2^31", "08808080800872020809" },
		{ "signal 0", "08017200" },
		{ "signal 65", "080172020841" },
		{ "signal -1", "0801720b08ffffffffffffffffff01" },
		{ "rows 65536", "08017a0408808004" },
		{ "an EXEC without a command", "08025200" },
		{ "an EXIT without a status", "08016200" },
		{ "exit code 256", "080162050a03088002" },
		{ "exit code -1", "0801620d0a0b08ffffffffffffffffff01" },
		{ "verdict 6", "1a020806" },
		{ "a gateway id of one byte", "1a03120101" },
		{ "a HELLO of version 0", "1212321000000000000000000000000000000001" },
		{ "a HELLO without a boot id", "12020801" },
		{ "a length beyond the end", "080172050809" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(decode(bad[i].hex), -1, "%s", bad[i].what);
	cr_assert_eq(decode("080172020809"), 0);
	cr_assert_eq(decode("12140801321000000000000000000000000000000001"), 0);
}

Test(control, unknown_fields_are_skipped)
{
	cr_assert_eq(decode("0801" "720208099a06026869"), 0, "beside the body");
	cr_assert_eq(decode("0801" "720708099a06026869"), 0, "inside the body");
}

Test(control, too_long_is_refused)
{
	struct control c = { .type = CONTROL_EXEC, .channel = 2 };
	char *big = xmalloc(CONTROL_MESSAGE_MAX);
	struct buf b;

	memset(big, 'x', CONTROL_MESSAGE_MAX - 1);
	big[CONTROL_MESSAGE_MAX - 1] = '\0';
	strv_add(&c.exec.argv, big);
	buf_init(&b, CONTROL_HANDSHAKE_MAX);
	cr_assert_eq(control_encode(&c, &b, &err), -1);
	cr_assert_eq(err.kind, ERR_LIMIT);
	cr_assert_eq(b.len, 0);
	c.exec.argv.v[0][CONTROL_MESSAGE_MAX - 32] = '\0';
	cr_assert_eq(control_encode(&c, &b, &err), 0);
	buf_release(&b);
	strv_release(&c.exec.argv);
	free(big);
}

Test(control, many_empty_rows_cannot_eat_the_memory)
{
	/* 1.5 million stream rows of two bytes each. */
	size_t n = 3 * 1000 * 1000;
	uint8_t *bytes = xmalloc(n + 64), *p = bytes;
	struct control c;

	*p++ = 0x1a;
	for (size_t v = n; v; v >>= 7)
		*p++ = (uint8_t)(v >= 0x80 ? v | 0x80 : v);
	for (size_t i = 0; i < n; i += 2) {
		*p++ = 0x2a;
		*p++ = 0;
	}
	cr_assert_eq(control_decode(bytes, (size_t)(p - bytes), &c, &err), -1);
	free(bytes);
}

Test(control, hash_is_of_what_runs_and_not_of_where)
{
	struct exec_spec a = { .channel = 2, .exec_id = (char *)"x" }, b;
	uint8_t ha[32], hb[32];

	strv_add(&a.argv, "true");
	b = a;
	b.channel = 7;
	b.workdir = (char *)""; /* the same as none */
	exec_spec_hash(&a, ha);
	exec_spec_hash(&b, hb);
	cr_assert_arr_eq(ha, hb, 32);
	b.tty = true;
	exec_spec_hash(&b, hb);
	cr_assert_neq(memcmp(ha, hb, 32), 0);
	strv_release(&a.argv);
}

Test(control, first_frame_must_be_a_hello)
{
	static const uint8_t ping[] = { 5, 0x22, 0 }, data[] = { 1, 3, 0, 1 };
	struct hello h;

	cr_assert_eq(session_peek_hello(ping, sizeof(ping), &h, &err), -1);
	cr_assert_eq(session_peek_hello(data, sizeof(data), &h, &err), -1);
	cr_assert_eq(session_peek_hello(data, 0, &h, &err), -1);
}
