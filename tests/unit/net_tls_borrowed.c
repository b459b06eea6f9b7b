/* net/tls_borrowed: both ends are plain OpenSSL on a socket pair, as another library would have it; the
 * server's is borrowed. */
#include "net/tls_borrowed.h"

#include <openssl/ssl.h>

#include "net/tls.h"
#include "net_fixture.h"

#define ALL (4 * 1024 * 1024)
#define MESSAGE_MAX (64 * 1024)

static SSL *server, *client;
static int fds[2];
static struct tls *contexts[2];
static struct tls_borrowed b;
static unsigned records;

static void on_record(struct tls_borrowed *whose)
{
	cr_assert_eq(whose, &b);
	records++;
}

static void setup(void)
{
	struct err err;
	int small = 16 * 1024;

	world_open();
	make_cert("cert", "key");
	contexts[0] = tls_server_new(scratch("cert"), scratch("key"), NULL, &err);
	contexts[1] = tls_client_new(scratch("cert"), &err);
	cr_assert(contexts[0] && contexts[1], "%s", err.msg);
	tls_tune_for_agents(tls_context(contexts[0]));
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	server = SSL_new(tls_context(contexts[0]));
	client = SSL_new(tls_context(contexts[1]));
	SSL_clear_mode(server, SSL_MODE_ENABLE_PARTIAL_WRITE);
	SSL_set_fd(server, fds[0]);
	SSL_set_fd(client, fds[1]);
	SSL_set_accept_state(server);
	SSL_set_connect_state(client);
	while (SSL_in_init(server) || SSL_in_init(client)) {
		SSL_do_handshake(client);
		SSL_do_handshake(server);
	}
	tls_borrow(&b, server, fds[0], on_record);
	records = 0;
}

static void teardown(void)
{
	tls_return(&b);
	SSL_free(server);
	SSL_free(client);
	tls_unref(contexts[0]);
	tls_unref(contexts[1]);
	close(fds[0]);
	close(fds[1]);
	world_close();
}

TestSuite(borrowed, .init = setup, .fini = teardown, .timeout = 60);

static uint8_t pattern(size_t at)
{
	return (uint8_t)((at * 2654435761u) >> 9);
}

static size_t message_length(size_t at)
{
	size_t n = at % 7 == 0 ? MESSAGE_MAX : 1 + at * 31 % MESSAGE_MAX;

	return n < ALL - at ? n : ALL - at;
}

/* One writable event: what was left, then messages until the socket is full. How many bytes were taken. */
static size_t write_some(size_t at)
{
	static uint8_t message[MESSAGE_MAX];
	size_t before = at;

	if (!tls_send_gathered(&b))
		return 0;
	tls_gather(&b);
	for (int i = 0; i < 16 && at < ALL; i++) {
		size_t n = message_length(at);

		for (size_t k = 0; k < n; k++)
			message[k] = pattern(at + k);
		if (SSL_write(server, message, (int)n) <= 0) {
			cr_assert(SSL_want_write(server));
			break;
		}
		at += n;
	}
	tls_send_gathered(&b);
	return at - before;
}

Test(borrowed, what_is_gathered_arrives_in_order_through_a_full_socket)
{
	static uint8_t got[MESSAGE_MAX];
	size_t written = 0, read = 0;
	unsigned owed = 0;
	int n;

	while (read < ALL) {
		written += write_some(written);
		owed += b.owed.len > 0;
		while ((n = SSL_read(client, got, sizeof(got))) > 0) {
			for (int k = 0; k < n; k++)
				cr_assert_eq(got[k], pattern(read + (size_t)k), "byte %zu", read + (size_t)k);
			read += (size_t)n;
		}
		cr_assert(SSL_want_read(client));
	}
	cr_assert_eq(written, ALL);
	cr_assert_gt(owed, 10, "the socket was never full");
	cr_assert_eq(b.owed.len, 0);
}

Test(borrowed, one_read_takes_several_records_and_says_that_it_holds_them)
{
	uint8_t p[1024] = { 0 };

	for (int i = 0; i < 4; i++)
		cr_assert_eq(SSL_write(client, p, sizeof(p)), sizeof(p));
	cr_assert_eq(SSL_read(server, p, sizeof(p)), sizeof(p));
	cr_assert_eq(records, 1);
	cr_assert_eq(recv(fds[0], p, 1, MSG_PEEK), -1, "the others were left in the kernel");
	for (int i = 0; i < 3; i++) {
		cr_assert(tls_holds_records(&b));
		cr_assert_eq(SSL_read(server, p, sizeof(p)), sizeof(p));
	}
	cr_assert_not(tls_holds_records(&b));
	cr_assert_eq(records, 4);
}

Test(borrowed, the_beginning_of_a_record_is_none)
{
	uint8_t p[1024] = { 0 };
	BIO *wire = BIO_new(BIO_s_mem());
	char *bytes;
	long n;

	SSL_set0_wbio(client, wire);
	cr_assert_eq(SSL_write(client, p, sizeof(p)), sizeof(p));
	cr_assert_eq(SSL_write(client, p, sizeof(p)), sizeof(p));
	n = BIO_get_mem_data(wire, &bytes);
	cr_assert_eq(send(fds[1], bytes, (size_t)n - 100, 0), n - 100);
	cr_assert_eq(SSL_read(server, p, sizeof(p)), sizeof(p));
	cr_assert_eq(SSL_read(server, p, sizeof(p)), -1);
	cr_assert_not(tls_holds_records(&b), "its owner would ask for ever");
	cr_assert_eq(send(fds[1], bytes + n - 100, 100, 0), 100);
	cr_assert_eq(SSL_read(server, p, sizeof(p)), sizeof(p));
	cr_assert_not(tls_holds_records(&b));
}

Test(borrowed, its_last_words_are_its_owners_or_nobodys)
{
	uint8_t p[16];

	tls_return(&b);
	cr_assert_eq(SSL_write(server, "bye", 3), 3);
	SSL_shutdown(server);
	cr_assert_eq(SSL_read(client, p, sizeof(p)), 3);
	cr_assert_eq(SSL_read(client, p, sizeof(p)), 0);
	cr_assert_eq(SSL_get_error(client, 0), SSL_ERROR_ZERO_RETURN);
}

Test(borrowed, in_the_middle_of_a_record_nothing_more_is_said)
{
	static uint8_t got[MESSAGE_MAX];
	int n;

	write_some(0);
	cr_assert_gt(b.owed.len, 0);
	tls_return(&b);
	SSL_shutdown(server);
	shutdown(fds[0], SHUT_WR);
	while ((n = SSL_read(client, got, sizeof(got))) > 0)
		;
	cr_assert_eq(SSL_get_error(client, n), SSL_ERROR_SSL, "a cut, not an end");
}
