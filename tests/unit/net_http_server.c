/* net/http_server: conversations with a raw client over a unix socket, and once over TLS. */
#include "net_fixture.h"

#include <sys/un.h>

#include "net/http_server.h"
#include "net/listen.h"

#define H "Host: x\r\n"

static struct http_server *server;
static struct http_server_options options;
static unsigned lost;            /* on_close calls */
static struct exchange *pending; /* of /later and /hold */
static size_t streamed, offered;
static bool stream_ended;
static struct end hijacked;      /* of /hijack */
static bool hijack_eof;
static char seen_body[1000];

static void on_lost(struct exchange *x, void *ctx)
{
	cr_assert_not_null(exchange_path(x));
	lost++;
	if (x == pending)
		pending = NULL;
}

static void echo(struct exchange *x, void *ctx, const char *body, size_t len)
{
	cr_assert_eq(body[len], '\0');
	exchange_reply(x, 200, "text/plain", body, len);
}

static void keep_pending(struct exchange *x, void *ctx, const char *body, size_t len)
{
	snprintf(seen_body, sizeof(seen_body), "%s", body);
	pending = x;
}

static void take_over(struct exchange *x, void *ctx, const char *body, size_t len)
{
	bool upgrade = exchange_wants_upgrade(x);

	end_init(&hijacked);
	snprintf(seen_body, sizeof(seen_body), "%s", body);
	hijacked.c = exchange_hijack(x, &hijacked.got, &hijack_eof);
	cr_assert_not_null(hijacked.c);
	conn_set_callback(hijacked.c, end_event, &hijacked);
	end_say(&hijacked, upgrade ? "HTTP/1.1 101 UPGRADED\r\n\r\n" : "HTTP/1.1 200 OK\r\n\r\n");
	conn_want(hijacked.c, CONN_READ);
}

static void stream_data(struct exchange *x, void *ctx, const void *p, size_t n)
{
	streamed += n;
	if (ctx)
		exchange_pause_body(x);
	pending = x;
}

static void stream_end(struct exchange *x, void *ctx)
{
	stream_ended = true;
	pending = NULL;
	exchange_reply(x, 200, NULL, "done", 4);
}

static void pour(struct exchange *x, void *ctx)
{
	static const char block[10000] = {'z'};

	while (offered < 20000000) {
		offered += sizeof(block);
		if (!exchange_write(x, block, sizeof(block)))
			return;
	}
	exchange_end(x);
}

static void handle(struct exchange *x, void *ctx)
{
	static const struct exchange_body_ops ops = {stream_data, stream_end};
	const char *path = exchange_path(x);

	exchange_on_close(x, on_lost, NULL);
	if (strcmp(path, "/echo") == 0) {
		exchange_collect_body(x, 1000, echo, NULL);
	} else if (strcmp(path, "/later") == 0) {
		exchange_collect_body(x, 1000, keep_pending, NULL);
	} else if (strcmp(path, "/hold") == 0) {
		pending = x;
	} else if (strcmp(path, "/hijack") == 0) {
		exchange_collect_body(x, 1000, take_over, NULL);
	} else if (strcmp(path, "/hijack-at-once") == 0) {
		take_over(x, NULL, "", 0);
	} else if (strcmp(path, "/stream") == 0) {
		exchange_stream_body(x, &ops, NULL);
	} else if (strcmp(path, "/stream-paused") == 0) {
		exchange_stream_body(x, &ops, x);
	} else if (strcmp(path, "/begin") == 0) {
		pending = x;
		exchange_begin(x, 200, "text/plain");
	} else if (strcmp(path, "/pour") == 0) {
		exchange_on_drain(x, pour, NULL);
		exchange_begin(x, 200, NULL);
		pour(x, NULL);
	} else if (strcmp(path, "/none") == 0) {
		exchange_reply(x, 204, NULL, NULL, 0);
	} else if (strcmp(path, "/header") == 0) {
		exchange_add_header(x, "X-Forged", "a\r\nSet-Cookie: %s", "b");
		exchange_reply(x, 200, "text/plain", exchange_query(x), strlen(exchange_query(x)));
	} else {
		exchange_reply(x, 404, "application/json", "{}", 2);
	}
}

static struct end start(void)
{
	struct end e;
	struct err err = {0};
	int fd;

	world_open();
	fd = listen_unix(scratch("sock"), 0600, &err);
	cr_assert_geq(fd, 0, "%s", err.msg);
	options.server_name = "test";
	server = http_server_new(&loop, &options, handle, NULL);
	cr_assert_eq(http_server_listen(server, fd, NULL, &err), 0, "%s", err.msg);
	end_init(&e);
	return e;
}

/* e must stay where it is from here on. */
static void dial(struct end *e)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", scratch("sock"));
	cr_assert_eq(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	e->c = conn_adopt(&loop, fd, NULL, 0, end_event, e, NULL);
	conn_want(e->c, CONN_READ);
}

static void stop(struct end *e)
{
	end_close(e);
	http_server_free(server);
	world_close();
}

Test(http_server, an_answer_is_complete_and_the_connection_stays)
{
	struct end e = start();

	dial(&e);
	end_say(&e, "POST /echo HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello");
	run_until(end_has(&e, "\r\n\r\nhello"));
	cr_assert(end_has(&e, "HTTP/1.1 200 OK\r\nDate: "));
	cr_assert(end_has(&e, " GMT\r\nServer: test\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n"));
	end_say(&e, "GET /nothing HTTP/1.1\r\n" H "\r\n");
	run_until(end_has(&e, "HTTP/1.1 404 Not Found\r\n"));
	cr_assert_not(e.eof);
	cr_assert_eq(lost, 0);
	stop(&e);
}

Test(http_server, pipelined_requests_are_answered_in_order_also_late_ones)
{
	struct end e = start();

	dial(&e);
	end_say(&e, "GET /later HTTP/1.1\r\n" H "\r\nPOST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc"
		    "GET /later HTTP/1.1\r\n" H "\r\nGET /none HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
	run_until(pending);
	run_ready();
	cr_assert_eq(e.got.len, 0);
	exchange_reply(pending, 200, NULL, "first", 5);
	pending = NULL;
	run_until(pending && end_has(&e, "abc"));
	cr_assert(end_has(&e, "first"));
	cr_assert_not(end_has(&e, "204"));
	exchange_reply(pending, 200, NULL, "third", 5);
	run_until(e.eof);
	cr_assert_eq(end_count(&e, "HTTP/1.1 "), 4);
	cr_assert(end_has(&e, "third"));
	cr_assert(end_has(&e, "204 No Content"));
	run_until(http_server_connections(server) == 0);
	stop(&e);
}

Test(http_server, one_byte_at_a_time)
{
	static const char text[] = "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
				   "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET /none HTTP/1.1\r\n" H "\r\n";
	struct end e = start();

	dial(&e);
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		end_send(&e, text + i, 1);
		run_ready();
	}
	run_until(end_has(&e, "204"));
	cr_assert(end_has(&e, "\r\n\r\nabcde"));
	stop(&e);
}

Test(http_server, no_content_has_neither_body_nor_length)
{
	struct end e = start();

	dial(&e);
	end_say(&e, "GET /none HTTP/1.1\r\n" H "\r\n");
	run_until(end_has(&e, "\r\n\r\n"));
	cr_assert_not(end_has(&e, "Content-Length"));
	cr_assert_not(end_has(&e, "Transfer-Encoding"));
	end_say(&e, "HEAD /echo HTTP/1.1\r\n" H "Content-Length: 3\r\nConnection: close\r\n\r\nabc");
	run_until(e.eof);
	cr_assert(end_has(&e, "Content-Length: 3\r\n"));
	cr_assert_not(end_has(&e, "abc"));
	stop(&e);
}

Test(http_server, continue_is_said_when_the_body_is_asked_for)
{
	struct end e = start();

	dial(&e);
	end_say(&e, "POST /echo HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
	run_until(end_has(&e, "HTTP/1.1 100 Continue\r\n\r\n"));
	end_say(&e, "abc");
	run_until(end_has(&e, "\r\n\r\nabc"));
	end_say(&e, "POST /nothing HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
	run_until(e.eof); /* refused without the body: nobody knows whether it will come */
	cr_assert_eq(end_count(&e, "100 Continue"), 1);
	cr_assert(end_has(&e, "Connection: close"));
	stop(&e);
}

Test(http_server, streams_in_chunks_at_once)
{
	struct end e = start();

	dial(&e);
	end_say(&e, "GET /begin HTTP/1.1\r\n" H "\r\n");
	run_until(end_has(&e, "Transfer-Encoding: chunked\r\n\r\n"));
	exchange_write(pending, "hello", 5);
	run_until(end_has(&e, "5\r\nhello\r\n"));
	exchange_write(pending, "", 0);
	exchange_write(pending, "0123456789abcdef", 16);
	exchange_end(pending);
	run_until(end_has(&e, "10\r\n0123456789abcdef\r\n0\r\n\r\n"));
	end_say(&e, "GET /none HTTP/1.1\r\n" H "\r\n");
	run_until(end_has(&e, "204"));
	stop(&e);
}

Test(http_server, http_1_0_streams_until_close)
{
	struct end e = start();

	dial(&e);
	end_say(&e, "GET /begin HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	run_until(end_has(&e, "\r\n\r\n"));
	cr_assert_not(end_has(&e, "chunked"));
	exchange_write(pending, "hello", 5);
	exchange_end(pending);
	run_until(e.eof);
	cr_assert(end_has(&e, "\r\n\r\nhello"));
	stop(&e);
}

Test(http_server, a_slow_reader_stops_the_writer_and_gets_every_byte)
{
	struct end e = start();
	size_t before;

	e.deaf = true;
	dial(&e);
	conn_want(e.c, 0);
	end_say(&e, "GET /pour HTTP/1.0\r\n\r\n");
	run_until(offered);
	run_ready();
	before = offered;
	cr_assert_lt(before, 2000000, "the server buffers what nobody reads");
	run_ready();
	cr_assert_eq(offered, before);
	e.deaf = false;
	conn_want(e.c, CONN_READ);
	run_until(e.eof);
	cr_assert_eq(offered, 20000000);
	cr_assert_geq(e.got.len, 20000000);
	cr_assert_lt(e.got.len, 20000000 + 500);
	stop(&e);
}

Test(http_server, hijack_gets_the_body_and_the_bytes_behind_it)
{
	struct end e = start();
	static const char *const body[] = {"Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}",
					   "Content-Length: 2\r\n\r\n{}"};

	for (int i = 0; i < 2; i++) {
		dial(&e);
		end_say(&e, "POST /hijack HTTP/1.1\r\n" H);
		end_say(&e, body[i]);
		end_say(&e, "raw bytes");
		conn_shutdown_write(e.c);
		run_until(hijacked.eof || hijack_eof);
		cr_assert_str_eq(seen_body, "{}");
		cr_assert(end_has(&hijacked, "raw bytes"));
		cr_assert_eq(hijacked.got.len, 9);
		run_until(end_has(&e, i ? "200 OK\r\n\r\n" : "101 UPGRADED\r\n\r\n"));
		cr_assert_eq(http_server_connections(server), 0);
		end_say(&hijacked, "output after EOF");
		run_until(end_has(&e, "output after EOF"));
		end_close(&e);
		run_until(hijacked.hangup); /* a killed client is noticed although it had half-closed */
		end_close(&hijacked);
		end_init(&hijacked);
		hijack_eof = false;
		end_init(&e);
	}
	cr_assert_eq(lost, 0);
	dial(&e);
	stop(&e);
}

Test(http_server, hijack_inside_the_handler_when_there_is_no_body)
{
	struct end e = start();

	dial(&e);
	end_say(&e, "POST /hijack-at-once HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\nGET /none");
	run_until(end_has(&e, "101 UPGRADED"));
	run_until(hijacked.got.len == 9);
	cr_assert(end_has(&hijacked, "GET /none"));
	end_close(&hijacked);
	run_until(e.eof);
	stop(&e);
}

Test(http_server, a_half_close_does_not_end_a_pending_answer_a_hangup_does)
{
	struct end e = start();

	dial(&e);
	end_say(&e, "GET /later HTTP/1.1\r\n" H "\r\n");
	conn_shutdown_write(e.c);
	run_until(pending);
	run_ready();
	cr_assert_eq(lost, 0);
	exchange_reply(pending, 200, NULL, "answer", 6);
	run_until(e.eof);
	cr_assert(end_has(&e, "answer"));
	end_close(&e);
	end_init(&e);
	dial(&e);
	pending = NULL;
	end_say(&e, "GET /begin HTTP/1.1\r\n" H "\r\n");
	run_until(pending);
	conn_shutdown_write(e.c);
	cr_assert_lt(rounds_while_idle(), 10);
	cr_assert_eq(lost, 0);
	end_close(&e);
	run_until(lost == 1);
	run_until(http_server_connections(server) == 0);
	end_init(&e);
	dial(&e);
	stop(&e);
}

Test(http_server, writing_to_a_gone_client_tells_it_from_the_loop)
{
	struct end e = start();

	dial(&e);
	end_say(&e, "GET /begin HTTP/1.1\r\n" H "\r\n");
	run_until(pending);
	shutdown(conn_fd(e.c), SHUT_RDWR);
	cr_assert_not(exchange_write(pending, "x", 1));
	cr_assert_eq(lost, 0, "on_close ran inside exchange_write");
	cr_assert_not(exchange_write(pending, "x", 1));
	run_until(lost == 1);
	stop(&e);
}

Test(http_server, ending_a_broken_exchange_is_not_a_loss)
{
	struct end e = start();

	dial(&e);
	end_say(&e, "GET /begin HTTP/1.1\r\n" H "\r\n");
	run_until(pending);
	shutdown(conn_fd(e.c), SHUT_RDWR);
	exchange_write(pending, "x", 1);
	exchange_end(pending);
	run_until(http_server_connections(server) == 0);
	cr_assert_eq(lost, 0);
	stop(&e);
}

Test(http_server, a_body_too_large_is_413_and_the_owner_is_told)
{
	struct end e = start();
	static char block[2000];

	memset(block, 'b', sizeof(block));
	dial(&e);
	end_say(&e, "POST /echo HTTP/1.1\r\n" H "Content-Length: 1000\r\n\r\n");
	end_send(&e, block, 1000);
	run_until(end_has(&e, "bbb"));
	end_say(&e, "POST /echo HTTP/1.1\r\n" H "Content-Length: 1001\r\n\r\n");
	end_send(&e, block, 1001);
	run_until(e.eof);
	cr_assert(end_has(&e, "413 Request Entity Too Large"));
	cr_assert(end_has(&e, "{\"message\":\"the request body is larger than 1000 bytes\"}"));
	cr_assert_eq(lost, 1);
	stop(&e);
}

Test(http_server, a_body_nobody_asked_for_is_dropped_up_to_a_limit)
{
	struct end e = start();
	static char block[60000];

	dial(&e);
	end_say(&e, "POST /nothing HTTP/1.1\r\n" H "Content-Length: 60000\r\n\r\n");
	end_send(&e, block, sizeof(block));
	end_say(&e, "GET /none HTTP/1.1\r\n" H "\r\n");
	run_until(end_has(&e, "204"));
	cr_assert_eq(end_count(&e, "404"), 1);
	end_say(&e, "POST /nothing HTTP/1.1\r\n" H "Content-Length: 9000000\r\n\r\n");
	for (size_t sent = 0; sent < 9000000 && !e.eof;) {
		ssize_t n = conn_write(e.c, block, sizeof(block));

		if (n == CONN_FAILED)
			break;
		sent += n > 0 ? (size_t)n : 0;
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	run_until(e.eof);
	cr_assert_eq(end_count(&e, "404"), 2, "the answer was lost");
	stop(&e);
}

Test(http_server, a_body_may_be_asked_for_later)
{
	struct end e = start();

	dial(&e);
	end_say(&e, "POST /hold HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello");
	run_until(pending);
	run_ready();
	exchange_collect_body(pending, 100, echo, NULL);
	run_until(end_has(&e, "\r\n\r\nhello"));
	stop(&e);
}

Test(http_server, a_body_that_ends_too_early_is_400_and_a_loss)
{
	struct end e = start();

	dial(&e);
	end_say(&e, "POST /echo HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhel");
	conn_shutdown_write(e.c);
	run_until(e.eof);
	cr_assert(end_has(&e, "400 Bad Request"));
	cr_assert_eq(lost, 1);
	stop(&e);
}

Test(http_server, a_streamed_body_pauses_and_resumes)
{
	struct end e = start();
	static char block[100000];

	dial(&e);
	end_say(&e, "PUT /stream-paused HTTP/1.1\r\n" H "Content-Length: 100000\r\n\r\n");
	end_send(&e, block, sizeof(block));
	run_until(streamed);
	for (size_t before = 0; !stream_ended;) {
		cr_assert_gt(streamed, before);
		before = streamed;
		run_ready();
		cr_assert_eq(streamed, before, "a paused body went on");
		exchange_resume_body(pending);
		run_ready();
	}
	cr_assert_eq(streamed, sizeof(block));
	run_until(end_has(&e, "done"));
	stop(&e);
}

Test(http_server, malformed_requests_get_json_and_the_connection_ends)
{
	static const struct {
		const char *text, *status;
	} t[] = {
		{"GET / HTTP/1.1\nHost: x\n\n", "400 Bad Request"},
		{"POST /echo HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		 "400 Bad Request"},
		{"GET / HTTP/1.1\r\nHost : x\r\n\r\n", "400 Bad Request"},
		{"POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "400 Bad Request"},
	};
	struct end e = start();

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		dial(&e);
		end_say(&e, t[i].text);
		run_until(e.eof);
		cr_assert(end_has(&e, t[i].status), "%s", t[i].text);
		cr_assert(end_has(&e, "\r\n\r\n{\"message\":\""));
		cr_assert_eq(end_count(&e, "HTTP/1.1 "), 1);
		end_close(&e);
		end_init(&e);
	}
	dial(&e);
	stop(&e);
}

Test(http_server, a_head_beyond_its_limit_is_431)
{
	struct end e;
	static char block[3000];

	options.max_header_bytes = 2000;
	e = start();
	memset(block, 'a', sizeof(block));
	dial(&e);
	end_say(&e, "GET /");
	end_send(&e, block, sizeof(block));
	run_until(e.eof);
	cr_assert(end_has(&e, "431 Request Header Fields Too Large"));
	stop(&e);
}

Test(http_server, added_headers_cannot_be_split)
{
	struct end e = start();

	dial(&e);
	end_say(&e, "GET /header?a=b HTTP/1.1\r\n" H "\r\n");
	run_until(end_has(&e, "\r\n\r\na=b"));
	cr_assert(end_has(&e, "\r\nX-Forged: a  Set-Cookie: b\r\n"));
	stop(&e);
}

Test(http_server, clients_that_say_nothing_or_half_a_head_are_let_go)
{
	struct end e, silent;

	options.idle_timeout_ms = 20;
	options.head_timeout_ms = 20;
	e = start();
	end_init(&silent);
	dial(&e);
	dial(&silent);
	end_say(&e, "GET / HT");
	run_until(e.eof && silent.eof);
	end_close(&silent);
	stop(&e);
}

Test(http_server, a_client_that_takes_nothing_is_cut)
{
	struct end e;

	options.write_stall_ms = 30;
	e = start();
	dial(&e);
	conn_want(e.c, 0);
	end_say(&e, "GET /pour HTTP/1.1\r\n" H "\r\n");
	run_until(lost == 1);
	cr_assert_eq(http_server_connections(server), 0);
	stop(&e);
}

Test(http_server, beyond_max_connections_the_next_client_waits)
{
	struct end a, b;

	options.max_connections = 1;
	a = start();
	end_init(&b);
	dial(&a);
	run_until(http_server_connections(server) == 1);
	dial(&b);
	end_say(&b, "GET /none HTTP/1.1\r\n" H "\r\n");
	run_ready();
	cr_assert_eq(b.got.len, 0);
	end_close(&a);
	run_until(end_has(&b, "204"));
	stop(&b);
}

Test(http_server, freeing_it_cuts_what_runs)
{
	struct end e = start();

	dial(&e);
	end_say(&e, "GET /begin HTTP/1.1\r\n" H "\r\n");
	run_until(pending);
	http_server_free(server);
	cr_assert_eq(lost, 1);
	run_until(e.eof);
	end_close(&e);
	world_close();
}

Test(http_server, the_same_over_tls)
{
	struct tls *tls, *trust;
	struct end e = start();
	int fd;

	make_cert("cert", "key");
	tls = tls_server_new(scratch("cert"), scratch("key"), NULL, NULL);
	trust = tls_client_new(scratch("cert"), NULL);
	fd = listen_tcp("127.0.0.1", 0, false, NULL);
	http_server_listen(server, fd, tls, NULL);
	tls_unref(tls);
	e.c = conn_connect(&loop, "127.0.0.1", listen_port(fd), trust, 5000, end_event, &e, NULL);
	tls_unref(trust);
	conn_want(e.c, CONN_READ);
	run_until(e.open);
	end_say(&e, "POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabcGET /none HTTP/1.1\r\n" H "\r\n");
	run_until(end_has(&e, "204"));
	cr_assert(end_has(&e, "\r\n\r\nabc"));
	end_say(&e, "POST /hijack HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\n{}raw");
	conn_shutdown_write(e.c);
	run_until(hijacked.eof);
	cr_assert(end_has(&hijacked, "raw"));
	end_say(&hijacked, "after");
	conn_shutdown_write(hijacked.c);
	run_until(e.eof);
	cr_assert(end_has(&e, "after"));
	end_close(&hijacked);
	stop(&e);
}
