/* net/conn: the events an owner sees, on unix sockets, TCP and TLS. */
#include "net/listen.h"
#include "net_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/un.h>

/* ---- pairs ---- */

static void take_fd(int fd, void *ctx)
{
	struct end *e = ctx;
	struct err err;

	e->c = conn_adopt(&loop, fd, e->tls, 5000, end_event, e, &err);
	cr_assert_not_null(e->c, "%s", err.msg);
}

/* b is what a listener accepts, a what connects to it; both are open. */
static void tcp_pair(struct end *a, struct end *b, struct tls *client, struct tls *server)
{
	int fd = listen_tcp("127.0.0.1", 0, false, NULL);
	struct listener *l = listener_new(&loop, fd, take_fd, b, NULL);

	end_init(a);
	end_init(b);
	b->tls = server;
	a->c = conn_connect(&loop, "localhost", listen_port(fd), client, 5000, end_event, a, NULL);
	run_until((a->open && b->c && (!server || b->open)) || a->hangup || b->hangup);
	listener_close(l);
}

/* A conn at one end, a plain blocking fd at the other. */
static int raw_pair(struct end *e, int family)
{
	int fds[2], lfd, port;
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	end_init(e);
	if (family == AF_UNIX) {
		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	} else {
		lfd = listen_tcp("127.0.0.1", 0, false, NULL);
		port = listen_port(lfd);
		sin.sin_port = htons((uint16_t)port);
		fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		cr_assert_eq(connect(fds[1], (struct sockaddr *)&sin, sizeof(sin)), 0);
		fcntl(lfd, F_SETFL, 0);
		fds[0] = accept(lfd, NULL, NULL);
		close(lfd);
	}
	e->c = conn_adopt(&loop, fds[0], NULL, 0, end_event, e, NULL);
	return fds[1];
}

/* ---- plain ---- */

Test(conn, half_close_is_an_eof_and_writing_goes_on)
{
	struct end e;
	char back[8] = "";
	int fd;

	world_open();
	fd = raw_pair(&e, AF_UNIX);
	conn_want(e.c, CONN_READ);
	cr_assert_eq(write(fd, "hello", 5), 5);
	shutdown(fd, SHUT_WR);
	run_until(e.eof);
	cr_assert(end_has(&e, "hello"));
	end_say(&e, "answer");
	cr_assert_eq(read(fd, back, 6), 6);
	cr_assert_str_eq(back, "answer");
	cr_assert_not(e.hangup);
	cr_assert_lt(rounds_while_idle(), 10, "spins after EOF");
	close(fd);
	run_until(e.hangup);
	cr_assert_lt(rounds_while_idle(), 10, "spins after hang-up");
	end_close(&e);
	world_close();
}

Test(conn, hangup_is_seen_when_nothing_is_wanted)
{
	struct end e;
	int fd;

	world_open();
	fd = raw_pair(&e, AF_UNIX);
	conn_want(e.c, 0);
	run_ready();
	close(fd);
	run_until(e.hangup);
	cr_assert_eq(e.calls, 1);
	end_close(&e);
	world_close();
}

Test(conn, bytes_before_the_hangup_are_not_lost_on_a_throttled_owner)
{
	struct end e;
	int fd;

	world_open();
	fd = raw_pair(&e, AF_UNIX);
	cr_assert_eq(write(fd, "last words", 10), 10);
	close(fd);
	cr_assert_lt(rounds_while_idle(), 10, "spins on unread bytes of a gone peer");
	cr_assert_eq(e.calls, 0);
	conn_want(e.c, CONN_READ);
	run_until(e.eof);
	cr_assert(end_has(&e, "last words"));
	run_until(e.hangup);
	end_close(&e);
	world_close();
}

Test(conn, a_reset_is_an_error)
{
	struct linger now = {.l_onoff = 1};
	struct end e;
	int fd;

	world_open();
	fd = raw_pair(&e, AF_INET);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
	run_until(e.hangup);
	cr_assert_str_eq(conn_error(e.c), "Connection reset by peer");
	end_close(&e);
	fd = raw_pair(&e, AF_INET);
	conn_want(e.c, CONN_READ);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
	run_until(e.failed);
	cr_assert_eq(conn_write(e.c, "x", 1), CONN_FAILED);
	end_close(&e);
	world_close();
}

Test(conn, urgent_data_ends_it_instead_of_spinning)
{
	struct end e;
	int fd;

	world_open();
	fd = raw_pair(&e, AF_INET);
	cr_assert_eq(send(fd, "!", 1, MSG_OOB), 1);
	run_until(e.hangup);
	cr_assert_not_null(strstr(conn_error(e.c), "urgent"));
	cr_assert_lt(rounds_while_idle(), 10);
	end_close(&e);
	close(fd);
	world_close();
}

Test(conn, writing_to_a_gone_peer_fails_without_a_signal)
{
	struct end e;
	int fd;

	world_open();
	fd = raw_pair(&e, AF_UNIX);
	close(fd);
	cr_assert_eq(conn_write(e.c, "x", 1), CONN_FAILED);
	cr_assert_str_eq(conn_error(e.c), "write: Broken pipe");
	end_close(&e);
	world_close();
}

static int option(int fd, int level, int name)
{
	int v = -1;
	socklen_t len = sizeof(v);

	cr_assert_eq(getsockopt(fd, level, name, &v, &len), 0);
	return v;
}

Test(conn, a_tcp_peer_that_vanishes_is_noticed_and_one_that_does_not_read_is_left_alone)
{
	struct end e;
	int peer, fd;

	world_open();
	peer = raw_pair(&e, AF_INET);
	fd = conn_fd(e.c);
	cr_expect_eq(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	cr_expect_leq(option(fd, IPPROTO_TCP, TCP_KEEPIDLE) +
			      option(fd, IPPROTO_TCP, TCP_KEEPINTVL) * option(fd, IPPROTO_TCP, TCP_KEEPCNT), 150);
	cr_expect_eq(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
	close(peer);
	end_close(&e);
	world_close();
}

Test(conn, room_to_write_is_told_only_while_wanted)
{
	static char block[65536];
	struct end e;
	int fd;
	ssize_t n;

	world_open();
	fd = raw_pair(&e, AF_UNIX);
	while ((n = conn_write(e.c, block, sizeof(block))) > 0)
		;
	cr_assert_eq(n, CONN_AGAIN);
	conn_want(e.c, CONN_WRITE);
	run_ready();
	cr_assert_eq(e.calls, 0);
	while (read(fd, block, sizeof(block)) == sizeof(block))
		if (recv(fd, block, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
			break;
	run_until(e.calls > 0);
	conn_want(e.c, 0);
	run_ready();
	e.calls = 0;
	run_ready();
	cr_assert_eq(e.calls, 0);
	end_close(&e);
	close(fd);
	world_close();
}

static void close_self(struct conn *c, void *ctx, unsigned events)
{
	++*(int *)ctx;
	conn_close(c);
}

Test(conn, may_be_closed_in_its_own_callback)
{
	struct end e;
	int calls = 0, fd;

	world_open();
	fd = raw_pair(&e, AF_UNIX);
	conn_set_callback(e.c, close_self, &calls);
	conn_want(e.c, CONN_READ | CONN_WRITE);
	cr_assert_eq(write(fd, "x", 1), 1);
	run_until(calls);
	run_ready();
	cr_assert_eq(calls, 1);
	cr_assert_eq(send(fd, "x", 1, MSG_NOSIGNAL), -1, "our end is still open");
	close(fd);
	world_close();
}

/* ---- connecting ---- */

Test(conn, connects_by_name_and_knows_its_peer)
{
	struct end a, b;

	world_open();
	tcp_pair(&a, &b, NULL, NULL);
	cr_assert(a.open);
	cr_assert_not(b.open, "an accepted plain conn is open without saying so");
	cr_assert(conn_is_open(b.c));
	cr_assert_eq(strncmp(conn_peer(b.c), "127.0.0.1:", 10), 0);
	conn_want(b.c, CONN_READ);
	end_say(&a, "hi");
	run_until(end_has(&b, "hi"));
	end_close(&a);
	run_until(b.eof);
	end_close(&b);
	world_close();
}

Test(conn, refusal_is_a_hangup_with_its_reason_and_not_inside_the_call)
{
	struct end e;
	int fd, port;

	world_open();
	fd = listen_tcp("127.0.0.1", 0, false, NULL);
	port = listen_port(fd);
	close(fd);
	end_init(&e);
	e.c = conn_connect(&loop, "127.0.0.1", (uint16_t)port, NULL, 5000, end_event, &e, NULL);
	cr_assert_eq(e.calls, 0);
	run_until(e.hangup);
	cr_assert_not_null(strstr(conn_error(e.c), "Connection refused"), "%s", conn_error(e.c));
	cr_assert_eq(e.calls, 1);
	end_close(&e);
	world_close();
}

Test(conn, no_answer_ends_at_the_deadline)
{
	struct end e;
	int fd, port, stuck[3];
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	world_open();
	/* A listener with a full queue swallows SYNs, as a firewall does. */
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	cr_assert_eq(listen(fd, 0), 0);
	port = listen_port(fd);
	sin.sin_port = htons((uint16_t)port);
	for (int i = 0; i < 3; i++) {
		stuck[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(stuck[i], (struct sockaddr *)&sin, sizeof(sin));
	}
	end_init(&e);
	e.c = conn_connect(&loop, "127.0.0.1", (uint16_t)port, NULL, 50, end_event, &e, NULL);
	run_until(e.hangup);
	cr_assert_not_null(strstr(conn_error(e.c), "timed out"), "%s", conn_error(e.c));
	end_close(&e);
	for (int i = 0; i < 3; i++)
		close(stuck[i]);
	close(fd);
	world_close();
}

Test(conn, closing_while_resolving_or_connecting_is_silent)
{
	struct end e;

	world_open();
	end_init(&e);
	e.c = conn_connect(&loop, "localhost", 1, NULL, 5000, end_event, &e, NULL);
	end_close(&e);
	e.c = conn_connect(&loop, "127.0.0.1", 1, NULL, 5000, end_event, &e, NULL);
	end_close(&e);
	while (uv_loop_alive(&loop))
		uv_run(&loop, UV_RUN_ONCE);
	cr_assert_eq(e.calls, 0);
	world_close();
}

/* ---- TLS ---- */

struct tls_pair {
	struct tls *server, *client;
};

static struct tls_pair tls_contexts(void)
{
	struct tls_pair t;
	struct err err = {0};

	make_cert("cert", "key");
	t.server = tls_server_new(scratch("cert"), scratch("key"), NULL, &err);
	t.client = tls_client_new(scratch("cert"), &err);
	cr_assert(t.server && t.client, "%s", err.msg);
	return t;
}

static void tls_drop(struct tls_pair *t)
{
	tls_unref(t->server);
	tls_unref(t->client);
}

Test(tls, close_notify_is_a_half_close)
{
	struct tls_pair t;
	struct end a, b;

	world_open();
	t = tls_contexts();
	tcp_pair(&a, &b, t.client, t.server);
	cr_assert(a.open && b.open, "%s / %s", conn_error(a.c), conn_error(b.c));
	conn_want(a.c, CONN_READ);
	conn_want(b.c, CONN_READ);
	end_say(&a, "question");
	cr_assert_eq(conn_shutdown_write(a.c), 0);
	run_until(b.eof);
	cr_assert(end_has(&b, "question"));
	end_say(&b, "answer");
	run_until(end_has(&a, "answer"));
	cr_assert_not(a.eof);
	cr_assert_eq(conn_shutdown_write(b.c), 0);
	run_until(a.eof);
	cr_assert_lt(rounds_while_idle(), 10);
	end_close(&a);
	end_close(&b);
	tls_drop(&t);
	world_close();
}

Test(tls, a_peer_that_vanishes_without_close_notify_is_no_eof)
{
	struct tls_pair t;
	struct end a, b;

	world_open();
	t = tls_contexts();
	tcp_pair(&a, &b, t.client, t.server);
	conn_want(b.c, CONN_READ);
	end_say(&a, "half a");
	run_until(end_has(&b, "half a"));
	shutdown(conn_fd(a.c), SHUT_WR); /* behind OpenSSL's back */
	run_until(b.failed);
	cr_assert_not(b.eof);
	cr_assert_not_null(strstr(conn_error(b.c), "unexpected eof"), "%s", conn_error(b.c));
	end_close(&a);
	end_close(&b);
	tls_drop(&t);
	world_close();
}

Test(tls, decrypted_bytes_wake_a_slow_reader_up_to_the_eof)
{
	static char block[50000];
	struct tls_pair t;
	struct end a, b;

	world_open();
	t = tls_contexts();
	tcp_pair(&a, &b, t.client, t.server);
	b.read_at_most = 100;
	end_send(&a, block, sizeof(block));
	cr_assert_eq(conn_shutdown_write(a.c), 0);
	run_ready(); /* it is all there before the first read */
	conn_want(b.c, CONN_READ);
	run_until(b.eof);
	cr_assert_eq(b.got.len, sizeof(block));
	end_close(&a);
	end_close(&b);
	tls_drop(&t);
	world_close();
}

struct pump {
	struct conn *c;
	size_t sent, total;
	uint32_t seed;
};

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 2654435761u >> 13);
}

/* Three pieces of odd sizes; after CONN_AGAIN the same position again, but cut differently. */
static void pump_event(struct conn *c, void *ctx, unsigned events)
{
	static uint8_t bytes[100000];
	struct pump *p = ctx;

	while (p->sent < p->total) {
		size_t want = p->total - p->sent < sizeof(bytes) ? p->total - p->sent : sizeof(bytes), cut;
		struct iovec iov[3];
		ssize_t n;

		for (size_t i = 0; i < want; i++)
			bytes[i] = pattern(p->sent + i);
		p->seed = p->seed * 1103515245 + 12345;
		cut = p->seed / 65536 % (want / 2 + 1);
		iov[0] = (struct iovec){bytes, cut};
		iov[1] = (struct iovec){bytes + cut, cut};
		iov[2] = (struct iovec){bytes + 2 * cut, want - 2 * cut};
		n = conn_writev(c, iov, 3);
		cr_assert_neq(n, CONN_FAILED, "%s", conn_error(c));
		if (n < 0)
			break;
		p->sent += (size_t)n;
	}
	conn_want(c, p->sent < p->total ? CONN_WRITE : 0);
	if (p->sent == p->total && conn_shutdown_write(c) == CONN_AGAIN)
		conn_want(c, CONN_WRITE);
}

static void pump_through(struct tls_pair *t)
{
	struct pump p = {.total = 8 << 20};
	struct end a, b;

	tcp_pair(&a, &b, t ? t->client : NULL, t ? t->server : NULL);
	conn_set_callback(a.c, pump_event, &p);
	conn_want(a.c, CONN_WRITE);
	b.read_at_most = 30000;
	conn_want(b.c, CONN_READ);
	run_until(b.eof);
	cr_assert_eq(b.got.len, p.total);
	for (size_t i = 0; i < p.total; i++)
		if (buf_head(&b.got)[i] != pattern(i))
			cr_assert_fail("byte %zu is wrong", i);
	end_close(&a);
	end_close(&b);
}

Test(conn, everything_arrives_in_order_through_full_sockets)
{
	world_open();
	pump_through(NULL);
	world_close();
}

Test(tls, everything_arrives_in_order_through_full_sockets)
{
	struct tls_pair t;

	world_open();
	t = tls_contexts();
	pump_through(&t);
	tls_drop(&t);
	world_close();
}

Test(tls, a_certificate_of_another_authority_is_refused)
{
	struct tls_pair t;
	struct tls *other;
	struct end a, b;

	world_open();
	t = tls_contexts();
	make_cert("cert2", "key2");
	other = tls_client_new(scratch("cert2"), NULL);
	tcp_pair(&a, &b, other, t.server);
	run_until(a.hangup);
	cr_assert_not(a.open);
	cr_assert_not_null(strstr(conn_error(a.c), "certificate verify failed"), "%s", conn_error(a.c));
	end_close(&a);
	end_close(&b);
	tls_unref(other);
	tls_drop(&t);
	world_close();
}

Test(tls, a_certificate_for_another_name_is_refused)
{
	struct tls_pair t;
	struct end a, b;
	struct listener *l;
	int fd;

	world_open();
	t = tls_contexts();
	fd = listen_tcp("127.0.0.2", 0, false, NULL);
	end_init(&a);
	end_init(&b);
	b.tls = t.server;
	l = listener_new(&loop, fd, take_fd, &b, NULL);
	a.c = conn_connect(&loop, "127.0.0.2", listen_port(fd), t.client, 5000, end_event, &a, NULL);
	run_until(a.hangup);
	cr_assert_not_null(strstr(conn_error(a.c), "IP address mismatch"), "%s", conn_error(a.c));
	listener_close(l);
	end_close(&a);
	end_close(&b);
	tls_drop(&t);
	world_close();
}

Test(tls, a_client_without_the_certificate_asked_for_is_refused)
{
	struct tls_pair t;
	struct tls *strict;
	struct end a, b;

	world_open();
	t = tls_contexts();
	strict = tls_server_new(scratch("cert"), scratch("key"), scratch("cert"), NULL);
	tcp_pair(&a, &b, t.client, strict);
	run_until(b.hangup);
	cr_assert_not(b.open);
	cr_assert_not_null(strstr(conn_error(b.c), "did not return a certificate"), "%s", conn_error(b.c));
	end_close(&a);
	end_close(&b);
	tls_unref(strict);
	tls_drop(&t);
	world_close();
}

Test(tls, a_handshake_that_does_not_come_ends_at_the_deadline)
{
	struct tls_pair t;
	struct end e;
	int fds[2];

	world_open();
	t = tls_contexts();
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	end_init(&e);
	e.c = conn_adopt(&loop, fds[0], t.server, 20, end_event, &e, NULL);
	conn_want(e.c, CONN_READ);
	run_until(e.hangup);
	cr_assert_eq(e.calls, 1);
	end_close(&e);
	close(fds[1]);
	tls_drop(&t);
	world_close();
}

Test(tls, files_that_are_none_are_named)
{
	struct err err = {0};

	world_open();
	make_cert("cert", "key");
	make_cert("cert2", "key2");
	cr_assert_null(tls_server_new(scratch("nothing"), scratch("key"), NULL, &err));
	cr_assert_not_null(strstr(err.msg, "nothing"), "%s", err.msg);
	cr_assert_null(tls_server_new(scratch("cert"), scratch("key2"), NULL, &err));
	cr_assert_not_null(strstr(err.msg, "mismatch"), "%s", err.msg);
	cr_assert_null(tls_client_new(scratch("key"), &err));
	cr_assert_null(tls_server_new(scratch("cert"), scratch("key"), scratch("nothing"), &err));
	world_close();
}

/* ---- listening ---- */

Test(listen, a_stale_socket_is_replaced_a_live_one_and_a_file_are_not)
{
	struct err err = {0};
	struct stat st;
	int fd, again;

	world_open();
	fd = listen_unix(scratch("sock"), 0660, &err);
	cr_assert_geq(fd, 0, "%s", err.msg);
	stat(scratch("sock"), &st);
	cr_assert_eq(st.st_mode & 07777, 0660);
	cr_assert_eq(listen_unix(scratch("sock"), 0660, &err), -1);
	cr_assert_eq(err.kind, ERR_CONFLICT);
	close(fd);
	again = listen_unix(scratch("sock"), 0600, &err);
	cr_assert_geq(again, 0, "%s", err.msg);
	close(again);
	close(open(scratch("file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	cr_assert_eq(listen_unix(scratch("file"), 0600, &err), -1);
	cr_assert_eq(err.kind, ERR_CONFLICT);
	cr_assert_eq(access(scratch("file"), F_OK), 0);
	world_close();
}

static void keep_fd(int fd, void *ctx)
{
	close(fd);
	++*(int *)ctx;
}

Test(listen, out_of_descriptors_waits_and_goes_on)
{
	struct rlimit old, none;
	struct listener *l;
	int accepted = 0, fd, client;
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	world_open();
	fd = listen_tcp("127.0.0.1", 0, false, NULL);
	sin.sin_port = htons(listen_port(fd));
	l = listener_new(&loop, fd, keep_fd, &accepted, NULL);
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(connect(client, (struct sockaddr *)&sin, sizeof(sin)), 0);
	getrlimit(RLIMIT_NOFILE, &old);
	none = old;
	none.rlim_cur = (rlim_t)client + 1;
	setrlimit(RLIMIT_NOFILE, &none);
	run_ready();
	cr_assert_eq(accepted, 0);
	setrlimit(RLIMIT_NOFILE, &old);
	run_until(accepted == 1);
	listener_close(l);
	close(client);
	world_close();
}

Test(listen, paused_it_accepts_nobody)
{
	struct listener *l;
	struct end a;
	int accepted = 0, fd;

	world_open();
	fd = listen_tcp("127.0.0.1", 0, false, NULL);
	l = listener_new(&loop, fd, keep_fd, &accepted, NULL);
	listener_pause(l, true);
	end_init(&a);
	a.c = conn_connect(&loop, "127.0.0.1", listen_port(fd), NULL, 5000, end_event, &a, NULL);
	run_until(a.open);
	run_ready();
	cr_assert_eq(accepted, 0);
	listener_pause(l, false);
	run_until(accepted == 1);
	listener_close(l);
	end_close(&a);
	world_close();
}
