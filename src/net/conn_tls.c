/* conn_tls - OpenSSL between a conn and its socket (conn_tls.h). The policy of the contexts is tls.c's.
 *
 * Owns the SSL object, and the records that the kernel has not taken whole. OpenSSL reaches the socket through
 * a BIO of ours, so that SIGPIPE never happens and several records go in one call. */
#include "conn_tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/conn.h"

#define RECORD_MAX (16 * 1024)
#define RECORD_ROOM (RECORD_MAX + 256) /* with its header, padding and tag */
#define GATHER_RECORDS 8               /* so many go to the kernel in one call */

struct conn_tls {
	SSL *ssl;
	int fd;            /* borrowed */
	bool drained;      /* the last SSL_read wanted more: OpenSSL holds no whole record */
	bool owes_end;     /* EOF or an error came behind bytes: the next conn_tls_read tells */
	bool needs_room;
	/* Records that the kernel has not taken whole. The owner has not been told that their payload is
	 * written, so it still has these bytes at the front of what it offers next. */
	struct buf owed;
	size_t owed_payload;
	char *error;       /* ours; NULL: all is well */
};

/* Records of one conn_tls_writev on their way to one send: a call for each 16 KiB would walk through the whole
 * network stack four times as often. Empty between calls; one for all, as all is one thread. */
static struct gathered {
	const struct conn_tls *by; /* whose records are being made, or NULL */
	size_t len;
	int n;
	struct {
		size_t bytes, payload; /* up to here, this record included */
	} end[GATHER_RECORDS];
	uint8_t bytes[GATHER_RECORDS * RECORD_ROOM];
} gathered;

/* ---- failure ---- */

static int fail_sys(struct conn_tls *t, const char *doing, int errnum)
{
	if (!t->error)
		t->error = xasprintf("%s: %s", doing, strerror(errnum));
	return CONN_FAILED;
}

/* What OpenSSL has to say, or errno. */
static int fail_ssl(struct conn_tls *t, const char *doing, int ssl_error, int errnum)
{
	unsigned long e = ERR_peek_error();
	long verify = SSL_get_verify_result(t->ssl);
	const char *why = e ? ERR_reason_error_string(e) : NULL;
	const char *more = verify != X509_V_OK ? X509_verify_cert_error_string(verify) : NULL;

	if (ssl_error == SSL_ERROR_SYSCALL && !e)
		why = errnum ? strerror(errnum) : "unexpected eof";
	ERR_clear_error();
	if (!t->error)
		t->error = xasprintf("%s: %s%s%s", doing, why ? why : "TLS error", more ? ": " : "", more ? more : "");
	return CONN_FAILED;
}

static bool is_want(int ssl_error)
{
	return ssl_error == SSL_ERROR_WANT_READ || ssl_error == SSL_ERROR_WANT_WRITE;
}

/* ---- OpenSSL's way to the socket ---- */

static int bio_write(BIO *b, const char *p, int n)
{
	struct conn_tls *t = BIO_get_data(b);
	ssize_t sent;

	BIO_clear_retry_flags(b);
	if (gathered.by == t) {
		assert((size_t)n <= sizeof(gathered.bytes) - gathered.len);
		memcpy(gathered.bytes + gathered.len, p, (size_t)n);
		gathered.len += (size_t)n;
		return n;
	}
	if (t->owed.len) { /* records must not overtake one another */
		BIO_set_retry_write(b);
		return -1;
	}
	sent = send(t->fd, p, (size_t)n, MSG_NOSIGNAL);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(b);
	return (int)sent;
}

static int bio_read(BIO *b, char *p, int n)
{
	struct conn_tls *t = BIO_get_data(b);
	ssize_t got = recv(t->fd, p, (size_t)n, 0);

	BIO_clear_retry_flags(b);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(b);
	if (got == 0)
		BIO_set_flags(b, BIO_FLAGS_IN_EOF);
	return (int)got;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *p)
{
	if (cmd == BIO_CTRL_EOF)
		return BIO_test_flags(b, BIO_FLAGS_IN_EOF) != 0;
	return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP;
}

static BIO_METHOD *bio_method(void)
{
	static BIO_METHOD *m; /* one for the process, reachable until its end */

	if (!m) {
		m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "conn");
		BIO_meth_set_write(m, bio_write);
		BIO_meth_set_read(m, bio_read);
		BIO_meth_set_ctrl(m, bio_ctrl);
	}
	return m;
}

/* ---- beginning and end ---- */

/* The certificate must be this host's: a name, which is also sent (SNI), or an address. */
static void expect_host(SSL *ssl, const char *host)
{
	struct in6_addr any;

	if (inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1) {
		X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
		return;
	}
	SSL_set_tlsext_host_name(ssl, host);
	SSL_set1_host(ssl, host);
}

struct conn_tls *conn_tls_new(struct tls *context, int fd, const char *host)
{
	struct conn_tls *t = xcalloc(1, sizeof(*t));
	BIO *bio = BIO_new(bio_method());

	t->fd = fd;
	t->ssl = SSL_new(tls_context(context));
	if (!t->ssl || !bio)
		abort(); /* out of memory */
	buf_init(&t->owed, sizeof(gathered.bytes));
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	SSL_set_bio(t->ssl, bio, bio);
	if (tls_is_server(context)) {
		SSL_set_accept_state(t->ssl);
	} else {
		SSL_set_connect_state(t->ssl);
		expect_host(t->ssl, host);
	}
	return t;
}

void conn_tls_free(struct conn_tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl);
	buf_release(&t->owed);
	free(t->error);
	free(t);
}

int conn_tls_handshake(struct conn_tls *t)
{
	int rc, e, errnum;

	ERR_clear_error();
	rc = SSL_do_handshake(t->ssl);
	errnum = errno;
	if (rc == 1) {
		t->needs_room = false;
		return 0;
	}
	e = SSL_get_error(t->ssl, rc);
	if (!is_want(e))
		return fail_ssl(t, "TLS handshake", e, errnum);
	t->needs_room = e == SSL_ERROR_WANT_WRITE;
	return CONN_AGAIN;
}

/* ---- reading ---- */

ssize_t conn_tls_read(struct conn_tls *t, void *p, size_t n)
{
	size_t done = 0, got;

	if (t->error)
		return CONN_FAILED;
	t->drained = false;
	while (done < n) {
		int rc, e, errnum;

		ERR_clear_error();
		rc = SSL_read_ex(t->ssl, (uint8_t *)p + done, n - done, &got);
		errnum = errno;
		if (rc == 1) {
			done += got;
			continue;
		}
		e = SSL_get_error(t->ssl, rc);
		if (is_want(e)) {
			t->drained = true;
			t->needs_room = e == SSL_ERROR_WANT_WRITE;
			return done ? (ssize_t)done : CONN_AGAIN;
		}
		t->owes_end = true;
		if (e != SSL_ERROR_ZERO_RETURN)
			fail_ssl(t, "read", e, errnum);
		break;
	}
	return done || !t->error ? (ssize_t)done : CONN_FAILED;
}

/* ---- writing ---- */

/* Where in the owner's pieces the next byte comes from. */
struct cursor {
	const struct iovec *iov;
	int n;
	size_t off; /* within iov[0] */
};

static size_t cursor_skip(struct cursor *at, size_t n)
{
	size_t done = 0;

	while (at->n > 0 && (done < n || at->off >= at->iov->iov_len)) {
		size_t left = at->iov->iov_len - at->off, step = left < n - done ? left : n - done;

		at->off += step;
		done += step;
		if (at->off >= at->iov->iov_len) {
			at->iov++;
			at->n--;
			at->off = 0;
		}
	}
	return done;
}

/* The next record's payload: small pieces are put together, since a record costs 22 bytes and its own
 * run of the cipher; a long one is taken from where it lies. */
static const uint8_t *cursor_record(const struct cursor *at, uint8_t scratch[RECORD_MAX], size_t *ret_n)
{
	size_t first = at->iov->iov_len - at->off, have = 0, off = at->off;

	if (first >= RECORD_MAX || at->n == 1) {
		*ret_n = first < RECORD_MAX ? first : RECORD_MAX;
		return (const uint8_t *)at->iov->iov_base + off;
	}
	for (int i = 0; i < at->n && have < RECORD_MAX; i++, off = 0) {
		size_t k = at->iov[i].iov_len - off, room = RECORD_MAX - have;

		k = k < room ? k : room;
		if (k)
			memcpy(scratch + have, (const uint8_t *)at->iov[i].iov_base + off, k);
		have += k;
	}
	*ret_n = have;
	return scratch;
}

/* False: the kernel is full, or it is over. */
static bool send_owed(struct conn_tls *t)
{
	while (t->owed.len) {
		ssize_t sent = send(t->fd, buf_head(&t->owed), t->owed.len, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0) {
			if (errno != EAGAIN)
				fail_sys(t, "write", errno);
			return false;
		}
		buf_consume(&t->owed, (size_t)sent);
	}
	buf_release(&t->owed);
	return true;
}

/* What was gathered goes to the kernel; the rest is owed. How much payload is surely with the kernel:
 * that of the records it has taken whole. */
static size_t send_gathered(struct conn_tls *t, size_t payload)
{
	size_t surely = 0;

	for (size_t off = 0; off < gathered.len;) {
		ssize_t sent = send(t->fd, gathered.bytes + off, gathered.len - off, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno != EAGAIN)
			fail_sys(t, "write", errno);
		if (sent < 0) {
			buf_append(&t->owed, gathered.bytes + off, gathered.len - off);
			break;
		}
		off += (size_t)sent;
		for (int i = 0; i < gathered.n && gathered.end[i].bytes <= off; i++)
			surely = gathered.end[i].payload;
	}
	t->owed_payload = payload - surely;
	return surely;
}

/* Up to GATHER_RECORDS records and one call to the kernel. */
static ssize_t write_batch(struct conn_tls *t, struct cursor *at)
{
	uint8_t scratch[RECORD_MAX];
	size_t payload = 0, n, written;

	gathered.by = t;
	gathered.len = 0;
	gathered.n = 0;
	while (at->n > 0 && gathered.n < GATHER_RECORDS) {
		const uint8_t *from = cursor_record(at, scratch, &n);
		int rc, errnum;

		if (n == 0)
			break;
		ERR_clear_error();
		rc = SSL_write_ex(t->ssl, from, n, &written);
		errnum = errno;
		if (rc != 1) { /* there is room for the record: no WANT can come of it */
			gathered.by = NULL;
			return fail_ssl(t, "write", SSL_get_error(t->ssl, rc), errnum);
		}
		payload += written;
		cursor_skip(at, written);
		gathered.end[gathered.n].bytes = gathered.len;
		gathered.end[gathered.n++].payload = payload;
	}
	gathered.by = NULL;
	return (ssize_t)send_gathered(t, payload);
}

ssize_t conn_tls_writev(struct conn_tls *t, const struct iovec *iov, int n)
{
	struct cursor at = {iov, n, 0};
	size_t total;

	if (t->error)
		return CONN_FAILED;
	if (t->owed.len && !send_owed(t))
		return t->error ? CONN_FAILED : CONN_AGAIN;
	total = cursor_skip(&at, t->owed_payload);
	t->owed_payload = 0;
	while (at.n > 0 && !t->owed.len && !t->error) {
		ssize_t sent = write_batch(t, &at);

		if (sent <= 0)
			break;
		total += (size_t)sent;
	}
	return total ? (ssize_t)total : t->error ? CONN_FAILED : CONN_AGAIN;
}

int conn_tls_shutdown(struct conn_tls *t)
{
	int rc, e, errnum;

	if (t->error)
		return CONN_FAILED;
	if (t->owed.len && !send_owed(t))
		return t->error ? CONN_FAILED : CONN_AGAIN;
	ERR_clear_error();
	rc = SSL_shutdown(t->ssl);
	errnum = errno;
	if (rc >= 0)
		return 0;
	e = SSL_get_error(t->ssl, rc);
	return is_want(e) ? CONN_AGAIN : fail_ssl(t, "shutdown", e, errnum);
}

/* ---- questions ---- */

bool conn_tls_needs_room(const struct conn_tls *t)
{
	return t->needs_room;
}

bool conn_tls_holds(const struct conn_tls *t)
{
	return !t->drained && (t->owes_end || SSL_has_pending(t->ssl));
}

const char *conn_tls_error(const struct conn_tls *t)
{
	return t->error;
}
