/* tls - makes OpenSSL contexts with our one policy; conn_tls.c makes connections from them.
 * Owns the SSL_CTX behind a reference count. Loop thread only. */
#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/mem.h"
#include "tls_policy.h"

struct tls {
	SSL_CTX *ctx; /* ours */
	unsigned refs;
	bool server;
};

static int tls_error(struct err *err, const char *what, const char *path)
{
	unsigned long e = ERR_peek_last_error();
	const char *why = e ? ERR_reason_error_string(e) : NULL;

	err_set(err, ERR_INVALID, "%s %s: %s", what, path, why ? why : "cannot be read");
	ERR_clear_error();
	return -1;
}

static struct tls *tls_new(bool server)
{
	struct tls *t = xcalloc(1, sizeof(*t));

	t->refs = 1;
	t->server = server;
	t->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	if (!t->ctx)
		abort(); /* out of memory is all that it can be */
	SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
	SSL_CTX_set_ciphersuites(t->ctx, TLS_CIPHERSUITES);
	SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
					 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					 SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(t->ctx, 1);
	SSL_CTX_set_default_read_buffer_len(t->ctx, TLS_READ_BUFFER);
	return t;
}

struct tls *tls_server_new(const char *cert_file, const char *key_file, const char *client_ca_file,
			   struct err *err)
{
	struct tls *t = tls_new(true);

	ERR_clear_error();
	SSL_CTX_set_options(t->ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_num_tickets(t->ctx, 1);
	if (SSL_CTX_use_certificate_chain_file(t->ctx, cert_file) != 1) {
		tls_error(err, "certificate", cert_file);
		goto fail;
	}
	if (SSL_CTX_use_PrivateKey_file(t->ctx, key_file, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(t->ctx) != 1) {
		tls_error(err, "private key", key_file);
		goto fail;
	}
	if (client_ca_file) {
		STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(client_ca_file);

		if (!names || SSL_CTX_load_verify_locations(t->ctx, client_ca_file, NULL) != 1) {
			sk_X509_NAME_pop_free(names, X509_NAME_free);
			tls_error(err, "client CA", client_ca_file);
			goto fail;
		}
		SSL_CTX_set_client_CA_list(t->ctx, names); /* takes it */
		SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
		/* Without it OpenSSL refuses every resumption of a verified client. */
		SSL_CTX_set_session_id_context(t->ctx, (const unsigned char *)"docker", 6);
	}
	return t;
fail:
	tls_unref(t);
	return NULL;
}

struct tls *tls_client_new(const char *ca_file, struct err *err)
{
	static const unsigned char alpn[] = "\x08http/1.1";
	struct tls *t = tls_new(false);

	ERR_clear_error();
	SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_alpn_protos(t->ctx, alpn, sizeof(alpn) - 1);
	if (SSL_CTX_load_verify_locations(t->ctx, ca_file, NULL) != 1) {
		tls_error(err, "CA file", ca_file);
		tls_unref(t);
		return NULL;
	}
	return t;
}

struct tls *tls_ref(struct tls *t)
{
	t->refs++;
	return t;
}

void tls_unref(struct tls *t)
{
	if (!t || --t->refs)
		return;
	SSL_CTX_free(t->ctx);
	free(t);
}

bool tls_is_server(const struct tls *t)
{
	return t->server;
}

void *tls_context(struct tls *t)
{
	return t->ctx;
}
