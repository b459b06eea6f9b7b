/* net/websocket_link: client and server on one loop, and each against a peer that misbehaves. */
#include "net_fixture.h"

#include "net/http_server.h"
#include "net/listen.h"
#include "net/websocket.h"
#include "net/websocket_link.h"

#define PROTO "test.v1"

/* One side: sends a pattern of messages, checks the pattern it receives. */
struct side {
	struct wslink *link;
	bool opened, closed;
	int status;
	char reason[300];
	size_t to_send, sent;     /* messages */
	size_t received, bytes;
	size_t nexts;             /* calls of next() */
	size_t pause_after, close_after;
	size_t most_unsent;
	struct buf last;
};

static struct side client, server;
static struct http_server *http;
static uint16_t port;
static const char *answer_instead; /* what the server says instead of a right 101 */
static struct end raw;             /* the raw server side, when answer_instead is set */

static size_t size_of(size_t i)
{
	static const size_t sizes[] = {0, 1, 125, 126, 127, 1000, 65535, 65536, 100000, 9};

	return i == 42 ? WSLINK_MESSAGE_MAX : sizes[i % (sizeof(sizes) / sizeof(*sizes))];
}

static uint8_t byte_of(size_t message, size_t i)
{
	return (uint8_t)((message * 131 + i) * 2654435761u >> 11);
}

static void on_open(void *ctx, struct wslink *l)
{
	struct side *s = ctx;

	s->link = l;
	s->opened = true;
}

static void on_message(void *ctx, struct wslink *l, const uint8_t *p, size_t n)
{
	struct side *s = ctx;

	cr_assert_eq(n, size_of(s->received));
	for (size_t i = 0; i < n; i++)
		if (p[i] != byte_of(s->received, i))
			cr_assert_fail("message %zu, byte %zu is wrong", s->received, i);
	s->received++;
	s->bytes += n;
	if (s->pause_after && s->received == s->pause_after)
		wslink_pause_reading(l, 1);
	if (s->close_after && s->received == s->close_after) {
		wslink_close(l);
		s->link = NULL;
	}
}

static int next(void *ctx, struct wslink *l, struct wslink_out *ret)
{
	/* Bodies are lent until the link has written them: the same memory only for one that is long gone. */
	static uint8_t lent[2][16][WSLINK_MESSAGE_MAX];
	struct side *s = ctx;
	uint8_t *message = lent[s == &server][s->sent % 16];
	size_t n;

	s->nexts++;
	if (wslink_unsent_bytes(l) > s->most_unsent)
		s->most_unsent = wslink_unsent_bytes(l);
	if (s->sent >= s->to_send)
		return 0;
	n = size_of(s->sent);
	for (size_t i = 0; i < n; i++)
		message[i] = byte_of(s->sent, i);
	s->sent++;
	/* An odd head, so that the mask starts the body in the middle of its key. */
	*ret = (struct wslink_out){message, n < 7 ? n : 7, message + 7, n < 7 ? 0 : n - 7};
	return 1;
}

static void on_close(void *ctx, struct wslink *l, int status, const char *reason)
{
	struct side *s = ctx;

	cr_assert_not(s->closed, "closed twice");
	s->closed = true;
	s->status = status;
	s->link = NULL;
	snprintf(s->reason, sizeof(s->reason), "%s", reason);
}

static const struct wslink_ops ops = {on_open, on_message, next, on_close};

static void serve(struct exchange *x, void *ctx)
{
	char accept[29], answer[400];
	struct buf leftover;
	struct conn *c;
	bool eof;
	int n;

	cr_assert_str_eq(exchange_path(x), "/path");
	cr_assert_str_eq(exchange_query(x), "q=1");
	cr_assert_str_eq(exchange_header(x, "Authorization"), "Bearer t");
	cr_assert_str_eq(exchange_header(x, "Sec-WebSocket-Version"), "13");
	cr_assert_str_eq(exchange_header(x, "Sec-WebSocket-Protocol"), PROTO);
	cr_assert(exchange_wants_upgrade(x));
	ws_accept_key(exchange_header(x, "Sec-WebSocket-Key"), accept);
	buf_init(&leftover, 1 << 20);
	c = exchange_hijack(x, &leftover, &eof);
	n = snprintf(answer, sizeof(answer),
		     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n"
		     "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: " PROTO "\r\n\r\n", accept);
	if (answer_instead) {
		end_init(&raw);
		raw.c = c;
		conn_set_callback(c, end_event, &raw);
		conn_want(c, CONN_READ);
		if (strcmp(answer_instead, "101") == 0)
			end_send(&raw, answer, (size_t)n);
		else
			end_say(&raw, answer_instead);
		buf_release(&leftover);
		return;
	}
	cr_assert_eq(conn_write(c, answer, (size_t)n), n);
	server.link = wslink_adopt(c, &leftover, &ops, &server);
	buf_release(&leftover);
	if (server.to_send)
		wslink_wake(server.link);
}

static void serve_on(struct tls *tls)
{
	int fd = listen_tcp("127.0.0.1", 0, false, NULL);

	http = http_server_new(&loop, NULL, serve, NULL);
	port = listen_port(fd);
	http_server_listen(http, fd, tls, NULL);
}

static struct wslink *dial_as(struct side *s, const char *scheme, struct tls *tls, uint64_t timeout_ms)
{
	struct wslink_options opt = {.subprotocol = PROTO, .tls = tls, .timeout_ms = timeout_ms};
	struct err err = {0};
	char url[100];

	snprintf(url, sizeof(url), "%s://localhost:%u/path?q=1", scheme, port);
	opt.url = url;
	strv_add(&opt.headers, "Authorization: Bearer t");
	s->link = wslink_connect(&loop, &opt, &ops, s, &err);
	strv_release(&opt.headers);
	cr_assert_not_null(s->link, "%s", err.msg);
	cr_assert_not(s->opened);
	return s->link;
}

static void finish(void)
{
	wslink_close(client.link);
	wslink_close(server.link);
	conn_close(raw.c);
	buf_release(&raw.got);
	http_server_free(http);
	world_close();
}

static void both_ways(struct tls *server_tls, struct tls *client_tls)
{
	client.to_send = server.to_send = 300;
	serve_on(server_tls);
	dial_as(&client, client_tls ? "wss" : "ws", client_tls, 5000);
	run_until(client.opened);
	wslink_wake(client.link);
	run_until((client.received == 300 && server.received == 300) || client.closed || server.closed);
	cr_assert_not(client.closed, "%s", client.reason);
	cr_assert_not(server.closed, "%s", server.reason);
	cr_assert_leq(client.most_unsent, WSLINK_AHEAD);
	cr_assert_leq(server.most_unsent, WSLINK_AHEAD);
	cr_assert_eq(wslink_unsent_bytes(client.link), 0);
	cr_assert_eq(strncmp(wslink_peer(client.link), "127.0.0.1:", 10), 0);
}

Test(wslink, messages_of_all_sizes_go_both_ways)
{
	world_open();
	both_ways(NULL, NULL);
	cr_assert_lt(rounds_while_idle(), 10, "an idle link spins");
	finish();
}

Test(wslink, and_over_tls)
{
	struct tls *s, *c;

	world_open();
	make_cert("cert", "key");
	s = tls_server_new(scratch("cert"), scratch("key"), NULL, NULL);
	c = tls_client_new(scratch("cert"), NULL);
	both_ways(s, c);
	tls_unref(s);
	tls_unref(c);
	finish();
}

Test(wslink, owner_closing_is_silent_here_and_told_there)
{
	world_open();
	serve_on(NULL);
	dial_as(&client, "ws", NULL, 5000);
	run_until(client.opened && server.link);
	wslink_close(client.link);
	client.link = NULL;
	run_until(server.closed);
	cr_assert_not_null(strstr(server.reason, "1000"), "%s", server.reason);
	cr_assert_not(client.closed);
	finish();
}

Test(wslink, may_be_closed_inside_on_message)
{
	world_open();
	serve_on(NULL);
	client.to_send = 100;
	server.close_after = 3;
	dial_as(&client, "ws", NULL, 5000);
	run_until(client.opened);
	wslink_wake(client.link);
	run_until(client.closed);
	cr_assert_eq(server.received, 3);
	cr_assert_not(server.closed);
	finish();
}

Test(wslink, paused_reading_delivers_nothing_and_goes_on_where_it_stopped)
{
	world_open();
	serve_on(NULL);
	client.to_send = 500;
	server.pause_after = 7;
	dial_as(&client, "ws", NULL, 5000);
	run_until(client.opened);
	wslink_wake(client.link);
	run_until(server.received == 7);
	for (int i = 0; i < 20; i++)
		run_ready();
	cr_assert_eq(server.received, 7);
	cr_assert_lt(client.sent, 500, "the sender never had to wait");
	cr_assert_lt(rounds_while_idle(), 10);
	wslink_pause_reading(server.link, 0);
	run_until(server.received == 500);
	finish();
}

Test(wslink, wakes_of_one_round_are_one_pull)
{
	size_t before;

	world_open();
	serve_on(NULL);
	dial_as(&client, "ws", NULL, 5000);
	run_until(client.opened && server.link);
	run_ready();
	before = client.nexts;
	for (int i = 0; i < 100; i++)
		wslink_wake(client.link);
	cr_assert_eq(client.nexts, before, "next was called inside wake");
	run_ready();
	cr_assert_eq(client.nexts, before + 1);
	finish();
}

/* ---- against a raw server ---- */

static void dial_raw(const char *answer)
{
	world_open();
	answer_instead = answer;
	serve_on(NULL);
	dial_as(&client, "http", NULL, 5000);
	run_until(client.closed || client.opened);
	client.link = client.closed ? NULL : client.link;
}

Test(wslink, a_refusal_gives_its_status)
{
	dial_raw("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
	cr_assert_eq(client.status, 401);
	cr_assert_not_null(strstr(client.reason, "401"));
	finish();
}

#define SWITCH "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"

Test(wslink, a_wrong_accept_key_is_refused)
{
	dial_raw(SWITCH "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
			"Sec-WebSocket-Protocol: " PROTO "\r\n\r\n");
	cr_assert_not_null(strstr(client.reason, "Accept"), "%s", client.reason);
	cr_assert_eq(client.status, 0);
	finish();
}

Test(wslink, an_answer_that_is_no_http_is_refused)
{
	dial_raw("SSH-2.0-OpenSSH_9.2\r\n");
	cr_assert(client.closed);
	finish();
}

Test(wslink, frames_right_behind_the_handshake_are_read)
{
	world_open();
	answer_instead = "101";
	serve_on(NULL);
	dial_as(&client, "ws", NULL, 5000);
	while (!raw.c && !barked)
		uv_run(&loop, UV_RUN_ONCE);
	end_send(&raw, "\x82\x00", 2); /* in the same segment, or nearly */
	run_until(client.received == 1);
	finish();
}

/* What the raw server has received behind the request: one masked frame, unmasked. */
static void expect_frame(uint8_t first, const char *payload)
{
	size_t n = strlen(payload);
	uint8_t *p;

	run_until(raw.got.len >= 6 + n);
	p = buf_head(&raw.got);
	cr_assert_eq(p[0], first);
	cr_assert_eq(p[1], 0x80 | n);
	ws_mask(p + 6, p + 6, n, p + 2, 0);
	cr_assert_eq(memcmp(p + 6, payload, n), 0);
	buf_consume(&raw.got, 6 + n);
}

Test(wslink, pings_are_answered_with_their_payload)
{
	dial_raw("101");
	end_send(&raw, "\x89\x05hello", 7);
	expect_frame(0x8a, "hello");
	end_send(&raw, "\x89\x01" "a\x89\x01" "b", 6);
	run_until(raw.got.len >= 7);
	run_ready();
	cr_assert_leq(raw.got.len, 14); /* both or only the last */
	finish();
}

Test(wslink, a_close_frame_is_answered_and_ends_it)
{
	dial_raw("101");
	end_send(&raw, "\x88\x05\x03\xe9" "bye", 7);
	run_until(client.closed);
	cr_assert_not_null(strstr(client.reason, "1001 bye"), "%s", client.reason);
	expect_frame(0x88, "\x03\xe9");
	run_until(raw.eof);
	finish();
}

Test(wslink, a_masked_frame_from_the_server_is_a_protocol_error)
{
	dial_raw("101");
	end_send(&raw, "\x82\x81\x01\x02\x03\x04" "a", 7);
	run_until(client.closed);
	cr_assert_not_null(strstr(client.reason, "masked"), "%s", client.reason);
	expect_frame(0x88, "\x03\xea");
	finish();
}

Test(wslink, a_text_message_and_a_message_too_long_end_it)
{
	uint8_t header[WS_HEADER_MAX];

	dial_raw("101");
	end_send(&raw, "\x81\x01" "a", 3);
	run_until(client.closed);
	cr_assert_not_null(strstr(client.reason, "text"), "%s", client.reason);
	conn_close(raw.c);
	raw.c = NULL;
	buf_release(&raw.got);
	client = (struct side){0};
	dial_as(&client, "ws", NULL, 5000);
	run_until(client.opened);
	end_send(&raw, (char *)header, ws_header(header, WS_BINARY, WSLINK_MESSAGE_MAX + 1, NULL));
	run_until(client.closed);
	cr_assert_not_null(strstr(client.reason, "too long"), "%s", client.reason);
	finish();
}

Test(wslink, a_connection_that_ends_without_a_close_frame_is_told)
{
	dial_raw("101");
	conn_close(raw.c);
	raw.c = NULL;
	run_until(client.closed);
	finish();
}

Test(wslink, a_server_that_does_not_answer_is_given_up)
{
	world_open();
	answer_instead = "";
	serve_on(NULL);
	dial_as(&client, "ws", NULL, 60);
	run_until(client.closed);
	cr_assert_not_null(strstr(client.reason, "in time"), "%s", client.reason);
	finish();
}

Test(wslink, a_refused_connection_is_told_with_its_reason)
{
	int fd;

	world_open();
	fd = listen_tcp("127.0.0.1", 0, false, NULL);
	port = listen_port(fd);
	close(fd);
	http = http_server_new(&loop, NULL, serve, NULL);
	dial_as(&client, "ws", NULL, 5000);
	run_until(client.closed);
	cr_assert_not_null(strstr(client.reason, "Connection refused"), "%s", client.reason);
	finish();
}

Test(wslink, closing_before_it_stands_is_silent)
{
	world_open();
	serve_on(NULL);
	dial_as(&client, "ws", NULL, 5000);
	wslink_close(client.link);
	client.link = NULL;
	while (server.link == NULL && uv_loop_alive(&loop) && uv_run(&loop, UV_RUN_NOWAIT))
		if (http_server_connections(http) == 0)
			break;
	run_ready();
	cr_assert_not(client.closed);
	finish();
}

Test(wslink, urls_that_are_none_and_secrets_without_a_ca_are_refused)
{
	static const char *const bad[] = {
		"", "ws://", "ftp://h/", "ws://u@h/", "ws://h:0/", "ws://h:65536/", "ws://h:x/", "ws://h:/",
		"ws://[::1/", "ws://h/a b", "ws://h/\r\nX: y", "ws://h/#f", "h/", "wss://h/", "https://h/",
		"ws://[::1]x/", "wsss://h/",
	};
	struct wslink_options opt = {.timeout_ms = 1};
	struct err err;

	world_open();
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		opt.url = bad[i];
		cr_assert_null(wslink_connect(&loop, &opt, &ops, &client, &err), "%s", bad[i]);
		cr_assert_eq(err.kind, ERR_INVALID);
	}
	opt.url = "ws://h/";
	strv_add(&opt.headers, "A: b\r\nC: d");
	cr_assert_null(wslink_connect(&loop, &opt, &ops, &client, &err));
	strv_release(&opt.headers);
	world_close();
}
