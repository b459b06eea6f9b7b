/* auth_fixture - credentials files in a folder of the test's own, and one RSA key made for the program. */
#ifndef AUTH_FIXTURE_H
#define AUTH_FIXTURE_H

#include <criterion/criterion.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"

static char fixture_dir[] = "/tmp/gateway-auth.XXXXXX";
static char fixture_file[sizeof(fixture_dir) + 16]; /* where GOOGLE_APPLICATION_CREDENTIALS points to */

/* None of what the one who runs the tests has. */
static void credentials_setup(void)
{
	static const char *const names[] = {
		"GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_QUOTA_PROJECT", "GOOGLE_CLOUD_UNIVERSE_DOMAIN", "HOME",
		"GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "GCE_METADATA_HOST", "NO_GCE_CHECK", "AWS_REGION",
		"AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "http_proxy",
		"https_proxy", "all_proxy",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		unsetenv(names[i]);
	cr_assert(mkdtemp(fixture_dir) != NULL);
	snprintf(fixture_file, sizeof(fixture_file), "%s/key.json", fixture_dir);
	setenv("CLOUDSDK_CONFIG", fixture_dir, 1);
}

static void credentials_teardown(void)
{
	AUTO_FREE char *command = xasprintf("rm -rf %s", fixture_dir);

	cr_assert(system(command) == 0);
}

static void put_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* Names it, too. */
static void use_credentials(const char *json)
{
	put_file(fixture_file, json);
	setenv("GOOGLE_APPLICATION_CREDENTIALS", fixture_file, 1);
}

static inline char *make_key(int bits, EVP_PKEY **ret_key)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits);
	BIO *b = BIO_new(BIO_s_mem());
	char *p, *pem;
	long n;

	cr_assert(key && PEM_write_bio_PKCS8PrivateKey(b, key, NULL, NULL, 0, NULL, NULL) == 1);
	n = BIO_get_mem_data(b, &p);
	pem = xstrndup(p, (size_t)n);
	BIO_free(b);
	if (ret_key)
		*ret_key = key;
	else
		EVP_PKEY_free(key);
	return pem;
}

/* Part i of a JSON web token, decoded; and whether key signed it. */
static inline json_t *jwt_part(const char *jwt, int i)
{
	size_t len;
	AUTO_FREE char *piece = NULL;
	AUTO_FREE uint8_t *text = NULL;

	while (i--)
		jwt = strchr(jwt, '.') + 1;
	piece = xstrndup(jwt, strcspn(jwt, "."));
	cr_assert(!strpbrk(piece, "+/="), "not base64url: %s", piece);
	text = base64_decode(piece, &len);
	cr_assert(text != NULL);
	return json_loadb((char *)text, len, 0, NULL);
}

static inline int jwt_verifies(const char *jwt, EVP_PKEY *key)
{
	const char *dot = strrchr(jwt, '.');
	size_t len;
	AUTO_FREE uint8_t *sig = base64_decode(dot + 1, &len);
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	int ok = EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, key) == 1 &&
		 EVP_DigestVerify(c, sig, len, (const uint8_t *)jwt, (size_t)(dot - jwt)) == 1;

	EVP_MD_CTX_free(c);
	return ok;
}

#endif
