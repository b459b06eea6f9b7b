/* sign - see sign.h. Owns nothing; keys live for one call. */
#include "auth/sign.h"

#include <ctype.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"

#define BITS_MIN 2048

/* No passphrase and, above all, no question on the terminal. */
static int no_passphrase(char *p, int n, int rw, void *ctx)
{
	(void)p, (void)n, (void)rw, (void)ctx;
	return -1;
}

static EVP_PKEY *read_key(const char *pem, struct err *err)
{
	BIO *b = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = b ? PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL) : NULL;
	int bits = key && EVP_PKEY_base_id(key) == EVP_PKEY_RSA ? EVP_PKEY_bits(key) : 0;

	BIO_free(b);
	ERR_clear_error();
	if (bits >= BITS_MIN)
		return key;
	if (!key)
		err_set(err, ERR_SYSTEM, "not a private key in PEM");
	else if (!bits)
		err_set(err, ERR_SYSTEM, "not an RSA key");
	else
		err_set(err, ERR_SYSTEM, "an RSA key of %d bits only", bits);
	EVP_PKEY_free(key);
	return NULL;
}

static char *base64url(const void *p, size_t n)
{
	char *s = xmalloc(base64_encoded_len(n) + 1), *end;

	base64_encode(p, n, s);
	for (end = s; *end && *end != '='; end++)
		*end = *end == '+' ? '-' : *end == '/' ? '_' : *end;
	*end = '\0';
	return s;
}

static char *base64url_json(json_t *v)
{
	AUTO_FREE char *text = json_dumps(v, JSON_COMPACT);

	json_decref(v);
	return base64url(text, strlen(text));
}

static char *rs256(EVP_PKEY *key, const char *text, struct err *err)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	size_t n = (size_t)EVP_PKEY_size(key);
	AUTO_FREE uint8_t *sig = xmalloc(n);
	bool ok = c && EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, key) == 1 &&
		  EVP_DigestSign(c, sig, &n, (const uint8_t *)text, strlen(text)) == 1;

	EVP_MD_CTX_free(c);
	ERR_clear_error();
	if (ok)
		return base64url(sig, n);
	err_set(err, ERR_SYSTEM, "OpenSSL cannot sign with it");
	return NULL;
}

/* ---- API -------------------------------------------------------------------------------------- */

int sign_check_key(const char *pem, struct err *err)
{
	EVP_PKEY *key = read_key(pem, err);

	EVP_PKEY_free(key);
	return key ? 0 : -1;
}

char *sign_jwt(const char *pem, json_t *header, json_t *claims, struct err *err)
{
	AUTO_FREE char *head = NULL, *body = NULL, *text = NULL, *signature = NULL;
	EVP_PKEY *key = read_key(pem, err);

	json_object_set_new(header, "alg", json_string("RS256"));
	json_object_set_new(header, "typ", json_string("JWT"));
	head = base64url_json(header);
	body = base64url_json(claims);
	if (!key)
		return NULL;
	text = xasprintf("%s.%s", head, body);
	signature = rs256(key, text, err);
	EVP_PKEY_free(key);
	return signature ? xasprintf("%s.%s", text, signature) : NULL;
}

char *sign_percent_encode(const char *s, const char *also)
{
	static const char digit[] = "0123456789ABCDEF";
	char *out = xmalloc(3 * strlen(s) + 1), *p = out;

	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if ((c < 128 && isalnum(c)) || strchr("-_.~", c) || strchr(also, c)) {
			*p++ = *s;
			continue;
		}
		*p++ = '%';
		*p++ = digit[c >> 4];
		*p++ = digit[c & 15];
	}
	*p = '\0';
	return out;
}
