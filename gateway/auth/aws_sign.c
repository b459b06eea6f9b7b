/* aws_sign - Signature Version 4. Pure: canonical request → string to sign → signature.
 * Source: Amazon's "Create a signed AWS API request". */
#include <string.h>
#include <time.h>

#include "auth/external.h"
#include "auth/sign.h"
#include "base/buf.h"
#include "base/parse.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define TEXT_MAX (256 * 1024)

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort(struct strv *v)
{
	if (v->n)
		qsort(v->v, v->n, sizeof(*v->v), by_text);
}

/* Decoded, so that both spellings of a byte become the one that is signed. */
static char *recode(const char *s, size_t n)
{
	AUTO_FREE char *plain = xstrndup(s, n);
	ssize_t rc = parse_percent_decode(plain);

	return sign_percent_encode(rc < 0 ? "" : plain, "");
}

/* Pairs in the order of their encoded names, then values. */
static char *canonical_query(const char *query)
{
	struct strv pairs = {0};
	struct buf b;

	for (; *query; query += strspn(query, "&")) {
		size_t n = strcspn(query, "&"), k = strcspn(query, "=&");
		AUTO_FREE char *key = recode(query, k), *value = recode(query + k + (k < n), n - k - (k < n));

		strv_take(&pairs, xasprintf("%s=%s", key, value));
		query += n;
	}
	sort(&pairs);
	buf_init(&b, TEXT_MAX);
	buf_append(&b, "", 0);
	for (size_t i = 0; i < pairs.n; i++)
		buf_printf(&b, "%s%s", i ? "&" : "", pairs.v[i]);
	strv_release(&pairs);
	return b.len ? buf_detach(&b, NULL) : xstrdup("");
}

static void hash_hex(const char *text, char out[SHA256_HEX_MAX])
{
	uint8_t sum[SHA256_LEN];

	sha256(text, strlen(text), sum);
	hex_encode(sum, sizeof(sum), out);
}

/* "name: value" → "name:value\n"..., and "name;name". */
static void canonical_headers(const struct strv *headers, char **ret_lines, char **ret_names)
{
	struct buf lines, names;

	buf_init(&lines, TEXT_MAX);
	buf_init(&names, TEXT_MAX);
	for (size_t i = 0; i < headers->n; i++) {
		const char *h = headers->v[i];
		int n = (int)strcspn(h, ":");

		buf_printf(&lines, "%.*s:%s\n", n, h, h + n + 2);
		buf_printf(&names, "%s%.*s", i ? ";" : "", n, h);
	}
	*ret_lines = buf_detach(&lines, NULL);
	*ret_names = buf_detach(&names, NULL);
}

static void signature(const struct aws_request *q, const char *day, const char *service, const char *text,
		      char out[SHA256_HEX_MAX])
{
	const char *const parts[] = {day, q->region, service, "aws4_request", text};
	AUTO_FREE char *first = xasprintf("AWS4%s", q->secret);
	uint8_t key[SHA256_LEN];

	hmac_sha256(first, strlen(first), parts[0], strlen(parts[0]), key);
	for (size_t i = 1; i < sizeof(parts) / sizeof(*parts); i++)
		hmac_sha256(key, sizeof(key), parts[i], strlen(parts[i]), key);
	hex_encode(key, sizeof(key), out);
}

static json_t *as_value(const struct aws_request *q, const struct strv *headers, const char *authorization)
{
	json_t *list = json_array();

	for (size_t i = 0; i < headers->n; i++) {
		const char *h = headers->v[i];
		int n = (int)strcspn(h, ":");

		json_array_append_new(list, json_pack("{s:o,s:s}", "key", json_sprintf("%.*s", n, h), "value", h + n + 2));
	}
	json_array_append_new(list, json_pack("{s:s,s:s}", "key", "Authorization", "value", authorization));
	return json_pack("{s:s,s:s,s:o}", "url", q->url, "method", q->method, "headers", list);
}

json_t *aws_sign(const struct aws_request *q)
{
	const char *host = q->url + strlen("https://"), *path = host + strcspn(host, "/?");
	size_t path_len = strcspn(path, "?");
	AUTO_FREE char *query = canonical_query(path[path_len] ? path + path_len + 1 : "");
	AUTO_FREE char *service = q->service ? xstrdup(q->service) : xstrndup(host, strcspn(host, ".:/?"));
	AUTO_FREE char *lines = NULL, *names = NULL, *request = NULL, *text = NULL, *authorization = NULL, *scope = NULL;
	char hash[SHA256_HEX_MAX], stamp[20], day[10], sum[SHA256_HEX_MAX];
	struct strv headers = {0};
	time_t now = (time_t)q->now_s;
	struct tm tm;
	json_t *value;

	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	strftime(day, sizeof(day), "%Y%m%d", &tm);
	strv_copy(&headers, &q->headers);
	strv_take(&headers, xasprintf("host: %.*s", (int)(path - host), host));
	strv_take(&headers, xasprintf("x-amz-date: %s", stamp));
	if (q->session_token)
		strv_take(&headers, xasprintf("x-amz-security-token: %s", q->session_token));
	sort(&headers);
	canonical_headers(&headers, &lines, &names);
	hash_hex("", hash); /* of the body */
	request = xasprintf("%s\n%.*s\n%s\n%s\n%s\n%s", q->method, path_len ? (int)path_len : 1, path_len ? path : "/",
			    query, lines, names, hash);
	hash_hex(request, hash);
	scope = xasprintf("%s/%s/%s/aws4_request", day, q->region, service);
	text = xasprintf(ALGORITHM "\n%s\n%s\n%s", stamp, scope, hash);
	signature(q, day, service, text, sum);
	authorization = xasprintf(ALGORITHM " Credential=%s/%s, SignedHeaders=%s, Signature=%s", q->key_id, scope, names, sum);
	value = as_value(q, &headers, authorization);
	strv_release(&headers);
	return value;
}
