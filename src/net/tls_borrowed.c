/* tls_borrowed - see the header. The reading side stays with OpenSSL's own socket BIO; the writing side gets
 * one that gathers. */
#include "net/tls_borrowed.h"

#include <assert.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>

#include "tls_policy.h"

#define GATHER_MAX (128 * 1024)

/* Empty between calls; one for all, as all is one thread. */
static struct {
	struct tls_borrowed *whose;
	size_t len;
	uint8_t bytes[GATHER_MAX];
} gathered;

static ssize_t push(const struct tls_borrowed *b, const uint8_t *p, size_t n)
{
	ssize_t sent;

	do
		sent = send(b->fd, p, n, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent;
}

static bool push_owed(struct tls_borrowed *b)
{
	ssize_t sent = b->owed.len ? push(b, buf_head(&b->owed), b->owed.len) : 0;

	if (sent > 0)
		buf_consume(&b->owed, (size_t)sent);
	if (b->owed.len)
		return false;
	buf_release(&b->owed);
	return true;
}

/* What the kernel does not take is owed. An error shows again at the next read. */
static void push_gathered(struct tls_borrowed *b)
{
	ssize_t sent = gathered.len ? push(b, gathered.bytes, gathered.len) : 0;
	size_t done = sent > 0 ? (size_t)sent : 0;
	int rc = buf_append(&b->owed, gathered.bytes + done, gathered.len - done);

	assert(rc == 0); /* nothing is gathered while something is owed */
	(void) rc;
	gathered.len = 0;
}

static int bio_write(BIO *bio, const char *p, int n)
{
	struct tls_borrowed *b = BIO_get_data(bio);
	bool gathers = gathered.whose == b;
	ssize_t sent;

	BIO_clear_retry_flags(bio);
	assert(!gathers || (size_t)n <= sizeof(gathered.bytes)); /* one record */
	if (gathers && (size_t)n > sizeof(gathered.bytes) - gathered.len)
		push_gathered(b);
	if (!push_owed(b)) {
		BIO_set_retry_write(bio);
		return -1;
	}
	if (gathers) {
		memcpy(gathered.bytes + gathered.len, p, (size_t)n);
		gathered.len += (size_t)n;
		return n;
	}
	sent = push(b, (const uint8_t *)p, (size_t)n);
	if (sent < 0 && errno == EAGAIN)
		BIO_set_retry_write(bio);
	return (int)sent;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *p)
{
	return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP;
}

static BIO_METHOD *bio_method(void)
{
	static BIO_METHOD *m; /* one for the process, reachable until its end */

	if (!m) {
		m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "borrowed");
		BIO_meth_set_write(m, bio_write);
		BIO_meth_set_ctrl(m, bio_ctrl);
	}
	return m;
}

static void on_message(int sent, int version, int type, const void *p, size_t n, SSL *ssl, void *arg)
{
	struct tls_borrowed *b = arg;

	if (!sent && type == SSL3_RT_HEADER)
		b->on_record(b);
}

void tls_tune_for_agents(void *ssl_ctx)
{
	SSL_CTX_set_ciphersuites(ssl_ctx, TLS_CIPHERSUITES);
	SSL_CTX_set_num_tickets(ssl_ctx, 0);
	SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_OFF);
}

void tls_borrow(struct tls_borrowed *b, void *ssl, int fd, void (*on_record)(struct tls_borrowed *b))
{
	BIO *bio = BIO_new(bio_method());

	if (!bio)
		abort(); /* out of memory */
	*b = (struct tls_borrowed){ .ssl = ssl, .fd = fd, .on_record = on_record };
	buf_init(&b->owed, GATHER_MAX);
	BIO_set_data(bio, b);
	BIO_set_init(bio, 1);
	SSL_set0_wbio(ssl, bio);
	SSL_set_read_ahead(ssl, 1);
	SSL_set_default_read_buffer_len(ssl, TLS_READ_BUFFER);
	SSL_set_msg_callback(ssl, on_message);
	SSL_set_msg_callback_arg(ssl, b);
}

void tls_return(struct tls_borrowed *b)
{
	BIO *own;

	if (!b->ssl)
		return;
	own = SSL_get_rbio(b->ssl);
	BIO_up_ref(own);
	SSL_set0_wbio(b->ssl, own);
	SSL_set_msg_callback(b->ssl, NULL);
	if (b->owed.len)
		SSL_set_quiet_shutdown(b->ssl, 1); /* its last words would stand in the middle of a record */
	if (gathered.whose == b)
		gathered.whose = NULL;
	buf_release(&b->owed);
	b->ssl = NULL;
}

/* When the last read wanted more, what is held is the beginning of a record. */
bool tls_holds_records(const struct tls_borrowed *b)
{
	return b->ssl && SSL_has_pending(b->ssl) && !SSL_want_read(b->ssl);
}

void tls_gather(struct tls_borrowed *b)
{
	gathered.whose = b->ssl ? b : NULL;
	gathered.len = 0;
}

bool tls_send_gathered(struct tls_borrowed *b)
{
	if (!b->ssl)
		return true;
	if (gathered.whose == b)
		push_gathered(b);
	gathered.whose = NULL;
	return push_owed(b);
}
