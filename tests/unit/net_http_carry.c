/* net/http_server: its connections go over to another server, as they do to another process image. What is a descriptor
 * kept open through an exec there, is a copy made before the former server closes its own here. */
#include "net_fixture.h"

#include "net/http_server.h"

#define CLIENTS 4

static struct http_server *server;
static struct exchange *pending; /* of /stream, /later and /busy: one at a time each */
static char carried_words[32];
static char body_seen[32];
static unsigned generation;

static bool carry(struct exchange *x, void *ctx, struct pack *p)
{
	if (p)
		pack_str(p, "place 7");
	return true;
}

static void later(struct exchange *x, void *ctx, const char *body, size_t len)
{
	snprintf(body_seen, sizeof(body_seen), "%s", body);
	exchange_on_carry(x, carry, NULL);
	if (exchange_carried(x))
		exchange_reply(x, 200, "text/plain", "at last", 7);
}

static void stream(struct exchange *x)
{
	struct unpack *u = exchange_carried(x);

	exchange_on_carry(x, carry, NULL);
	exchange_add_header(x, "Generation", "%u", generation);
	exchange_begin(x, 200, "text/plain");
	if (u) {
		unpack_text(u, carried_words, sizeof(carried_words));
		exchange_write(x, "two", 3);
		exchange_end(x);
	} else {
		exchange_write(x, "one", 3);
	}
}

static void handle(struct exchange *x, void *ctx)
{
	if (strcmp(exchange_path(x), "/stream") == 0)
		stream(x);
	else if (strcmp(exchange_path(x), "/later") == 0)
		later(x, NULL, exchange_header(x, "Kept"), 0);
	else if (strcmp(exchange_path(x), "/busy") == 0)
		pending = x;
	else
		exchange_reply(x, 200, "text/plain", exchange_query(x), strlen(exchange_query(x)));
}

static int peer[CLIENTS];

static void open_all(void)
{
	world_open();
	generation = 1;
	server = http_server_new(&loop, NULL, handle, NULL);
	for (int i = 0; i < CLIENTS; i++) {
		int pair[2];

		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
		cr_assert_eq(http_server_accept(server, pair[0], NULL, NULL), 0);
		peer[i] = pair[1];
	}
	run_ready();
}

static void close_all(void)
{
	http_server_free(server);
	for (int i = 0; i < CLIENTS; i++)
		close(peer[i]);
	run_ready();
	world_close();
}

TestSuite(carry, .init = open_all, .fini = close_all);

static void say(int i, const char *text)
{
	cr_assert_eq(write(peer[i], text, strlen(text)), (ssize_t)strlen(text));
}

/* All that has come, without the Date. */
static const char *heard(int i)
{
	static char text[4096];
	ssize_t n;
	char *date, *end;

	run_ready();
	n = read(peer[i], text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	while ((date = strstr(text, "Date: ")) && (end = strstr(date, "\r\n")))
		memmove(date, end + 2, strlen(end + 2) + 1);
	return text;
}

static void replace_server(size_t connections)
{
	struct unpack_fds fds;
	struct unpack u;
	struct pack p, list;
	int copy[CLIENTS];
	char why[100];

	cr_assert_eq(http_server_busy(server, why, sizeof(why)), 0, "%s", why);
	pack_init(&p);
	pack_init(&list);
	http_server_save(server, &p);
	cr_assert_eq(p.n_fds, connections);
	for (size_t i = 0; i < p.n_fds; i++)
		copy[i] = fcntl(p.fds[i], F_DUPFD_CLOEXEC, 100);
	http_server_free(server);
	run_ready();
	for (size_t i = 0; i < p.n_fds; i++) {
		cr_assert_eq(dup2(copy[i], p.fds[i]), p.fds[i]);
		close(copy[i]);
	}
	pack_fd_list(&list, &p);
	u = (struct unpack){ .at = buf_head(&list.bytes), .left = list.bytes.len };
	unpack_fds_take(&fds, &u);
	u = (struct unpack){ .at = buf_head(&p.bytes), .left = p.bytes.len, .fds = &fds };
	generation++;
	server = http_server_new(&loop, NULL, handle, NULL);
	cr_assert_eq(http_server_restore(server, &u), connections);
	cr_assert(!u.bad && u.left == 0);
	unpack_fds_close(&fds);
	pack_release(&p);
	pack_release(&list);
}

#define OK(n) "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " #n "\r\n\r\n"

Test(carry, held_requests_are_answered_by_the_next_one)
{
	say(0, "GET /?before HTTP/1.1\r\nHost: x\r\n\r\n");
	cr_assert_str_eq(heard(0), OK(6) "before");
	http_server_hold(server, true);
	say(0, "GET /?after HTTP/1.1\r\nHost: x\r\n\r\n");
	say(1, "GET /?first HTTP/1.1\r\nHost: x\r\n\r\nGET /?second HTTP/1.1\r\nHost: x\r\n\r\n");
	say(2, "GET /?ha");
	cr_assert_str_eq(heard(0), "");
	cr_assert_str_eq(heard(1), "");
	replace_server(CLIENTS);
	cr_assert_str_eq(heard(0), OK(5) "after");
	cr_assert_str_eq(heard(1), OK(5) "first" OK(6) "second");
	say(2, "lf HTTP/1.1\r\nHost: x\r\n\r\n");
	cr_assert_str_eq(heard(2), OK(4) "half");
}

Test(carry, held_and_let_go)
{
	http_server_hold(server, true);
	say(0, "GET /?a HTTP/1.1\r\nHost: x\r\n\r\n");
	cr_assert_str_eq(heard(0), "");
	http_server_hold(server, false);
	cr_assert_str_eq(heard(0), OK(1) "a");
}

Test(carry, an_answer_goes_on_behind_what_was_written)
{
	say(0, "GET /stream?q=1 HTTP/1.1\r\nHost: x\r\n\r\nGET /?behind HTTP/1.1\r\nHost: x\r\n\r\n");
	cr_assert_str_eq(heard(0), "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n"
				   "Generation: 1\r\n\r\n3\r\none\r\n");
	replace_server(CLIENTS);
	cr_assert_str_eq(heard(0), "3\r\ntwo\r\n0\r\n\r\n" OK(6) "behind");
	cr_assert_str_eq(carried_words, "place 7");
}

Test(carry, a_request_without_an_answer_reaches_the_handler_again)
{
	say(0, "POST /later HTTP/1.1\r\nHost: x\r\nKept: header\r\nContent-Length: 0\r\n\r\n");
	cr_assert_str_eq(heard(0), "");
	replace_server(CLIENTS);
	cr_assert_str_eq(body_seen, "header");
	cr_assert_str_eq(heard(0), OK(7) "at last");
	say(0, "GET /?next HTTP/1.1\r\nHost: x\r\n\r\n");
	cr_assert_str_eq(heard(0), OK(4) "next");
}

Test(carry, what_cannot_be_carried_is_busy)
{
	char why[100];

	say(0, "GET /busy HTTP/1.1\r\nHost: x\r\n\r\n");
	say(1, "GET /hal");
	run_ready();
	cr_assert_eq(http_server_busy(server, why, sizeof(why)), 2);
	cr_assert_str_eq(why, "GET /busy");
	exchange_reply(pending, 200, "text/plain", "x", 1);
	say(1, "f HTTP/1.1\r\nHost: x\r\n\r\n");
	cr_assert_str_eq(heard(0), OK(1) "x");
	cr_assert_str_eq(heard(1), OK(0));
	cr_assert_eq(http_server_busy(server, why, sizeof(why)), 0);
}

Test(carry, a_client_that_has_gone_meanwhile_is_let_go)
{
	say(0, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	heard(0);
	close(peer[0]);
	peer[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	replace_server(CLIENTS);
	run_ready();
	cr_assert_eq(http_server_connections(server), CLIENTS - 1);
}
