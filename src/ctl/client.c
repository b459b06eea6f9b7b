/* client - libcurl's easy interface: this program has nothing else to do while it waits. */
#include "client.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

#define RESPONSE_MAX (16 * 1024 * 1024)
#define CONNECT_TIMEOUT_MS 5000L
#define TIMEOUT_MS 30000L

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
	return buf_append(ctx, p, size * n) < 0 ? 0 : n;
}

static const char *env(const char *name)
{
	const char *v = getenv(name);

	return v && *v ? v : NULL;
}

static void set_tls(CURL *h)
{
	const char *dir = env("DOCKER_CERT_PATH"), *home = env("HOME");
	AUTO_FREE char *base = dir ? xstrdup(dir) : xasprintf("%s/.docker", home ? home : "/root");
	AUTO_FREE char *ca = xasprintf("%s/ca.pem", base), *cert = xasprintf("%s/cert.pem", base);
	AUTO_FREE char *key = xasprintf("%s/key.pem", base);

	if (access(ca, R_OK) == 0)
		curl_easy_setopt(h, CURLOPT_CAINFO, ca);
	if (access(cert, R_OK) == 0) {
		curl_easy_setopt(h, CURLOPT_SSLCERT, cert);
		curl_easy_setopt(h, CURLOPT_SSLKEY, key);
	}
}

static int set_address(CURL *h, const char *host, const char *path, struct err *err)
{
	AUTO_FREE char *url = NULL;

	if (strncmp(host, "unix://", 7) == 0 && host[7] == '/') {
		curl_easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH, host + 7);
		url = xasprintf("http://localhost%s", path);
	} else if (strncmp(host, "tcp://", 6) == 0) {
		bool tls = env("DOCKER_TLS_VERIFY") != NULL;

		url = xasprintf("%s://%s%s", tls ? "https" : "http", host + 6, path);
	} else if (strncmp(host, "http://", 7) == 0 || strncmp(host, "https://", 8) == 0) {
		url = xasprintf("%s%s", host, path);
	} else {
		return err_set(err, ERR_INVALID, "address \"%s\": want unix:///path or tcp://host:port", host);
	}
	if (strncmp(url, "https:", 6) == 0)
		set_tls(h);
	curl_easy_setopt(h, CURLOPT_URL, url);
	curl_easy_setopt(h, CURLOPT_PROXY, ""); /* the gateway is never behind the web's proxy */
	return 0;
}

static int read_answer(const struct client *c, long status, struct buf *body, json_t **ret,
		       struct err *err)
{
	json_t *json = body->len ? json_loadb((char *)buf_head(body), body->len, JSON_DECODE_ANY, NULL)
				 : json_null();
	const char *message = json_string_value(json_object_get(json, "message"));

	if (status >= 200 && status < 300 && json) {
		*ret = json;
		return 0;
	}
	if (message)
		err_set(err, status == 404 ? ERR_NOT_FOUND : ERR_UPSTREAM, "%s", message);
	else
		err_set(err, ERR_UPSTREAM, "%s answered HTTP %ld without JSON: is it a sockerless gateway?",
			c->host, status);
	json_decref(json);
	return -1;
}

int client_request(const struct client *c, const char *method, const char *path, json_t **ret,
		   struct err *err)
{
	CURL *h = curl_easy_init();
	struct buf body;
	CURLcode code;
	long status = 0;
	int rc = -1;

	buf_init(&body, RESPONSE_MAX);
	if (!h) {
		err_set(err, ERR_SYSTEM, "libcurl does not start");
		return -1;
	}
	if (set_address(h, c->host, path, err) < 0)
		goto out;
	curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, method);
	if (strcmp(method, "POST") == 0)
		curl_easy_setopt(h, CURLOPT_POSTFIELDS, "");
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, c->timeout_ms ? c->timeout_ms : TIMEOUT_MS);
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, &body);
	code = curl_easy_perform(h);
	curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
	if (code != CURLE_OK)
		err_set(err, ERR_UNAVAILABLE, "no gateway at %s: %s (is sockerless-gateway running? -H or "
			"DOCKER_HOST say where)", c->host, curl_easy_strerror(code));
	else
		rc = read_answer(c, status, &body, ret, err);
out:
	curl_easy_cleanup(h);
	buf_release(&body);
	return rc;
}

char *client_escape(const char *segment)
{
	char *escaped = curl_easy_escape(NULL, segment, 0), *ret = xstrdup(escaped);

	curl_free(escaped);
	return ret;
}
