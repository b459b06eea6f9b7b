/* registry_token - see registry_token.h. A password goes by GET with Basic, an identity token (a refresh
 * token) by POST, as dockerd does. Source: distribution's specification of token authentication. */
#include "image/registry_token.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/parse.h"
#include "image/registry_url.h"

#define ANSWER_MAX (256 * 1024)
#define QUERY_MAX (64 * 1024)
#define DEADLINE_MS 30000
#define CLIENT_ID "sockerless"

struct registry_token {
	char *host;
	bool proven;             /* the request carried credentials */
	struct http_call *call;
	registry_token_cb *cb;
	void *ctx;
};

/* ---- challenges ---------------------------------------------------------------------------------- */

char *challenge_param(const char *s, const char *key)
{
	while (*s) {
		size_t n = strcspn(s, "=, \t"), len = 0;
		bool ours = n == strlen(key) && strncasecmp(s, key, n) == 0 && s[n] == '=';
		AUTO_FREE char *value = NULL;

		s += n;
		if (*s == '=' && s[1] == '"') {
			value = xmalloc(strlen(s));
			for (s += 2; *s && *s != '"'; s++) {
				if (*s == '\\' && s[1])
					s++;
				value[len++] = *s;
			}
			value[len] = '\0';
			s += *s == '"';
		} else if (*s == '=') {
			n = strcspn(++s, ", \t");
			value = xstrndup(s, n);
			s += n;
		}
		if (ours)
			return steal_ptr(&value);
		s += strspn(s, ", \t");
	}
	return NULL;
}

const char *challenge_find(const struct http_response *r, const char *scheme)
{
	static const char name[] = "www-authenticate:";
	size_t n = strlen(scheme);

	for (size_t i = 0; i < r->headers.n; i++) {
		const char *v = r->headers.v[i];

		if (strncmp(v, name, strlen(name)) != 0)
			continue;
		v += strlen(name);
		v += strspn(v, " \t");
		if (strncasecmp(v, scheme, n) == 0 && (v[n] == ' ' || v[n] == '\0'))
			return v + n + strspn(v + n, " ");
	}
	return NULL;
}

char *credentials_basic(const struct credentials *c)
{
	AUTO_FREE char *pair = xasprintf("%s:%s", c->user, c->password);
	AUTO_FREE char *coded = xmalloc(base64_encoded_len(strlen(pair)) + 1);

	base64_encode(pair, strlen(pair), coded);
	return xasprintf("Basic %s", coded);
}

/* ---- the token server ------------------------------------------------------------------------------ */

static void token_free(struct registry_token *t)
{
	free(t->host);
	free(t);
}

/* The server's own words, when it has some: dockerd shows them. */
static int denied(const struct http_response *r, struct err *err)
{
	json_t *root = json_loadb(r->body, r->len, 0, NULL);
	json_t *first = json_array_get(json_object_get(root, "errors"), 0);
	const char *message = json_string_value(json_object_get(first, "message"));

	err_set(err, ERR_DENIED, "unauthorized: %.500s", message ? message : "incorrect username or password");
	json_decref(root);
	return -1;
}

static int take(struct registry_token *t, const struct http_response *r, json_t **ret,
		struct registry_token_answer *a, struct err *err)
{
	if ((r->status == 401 || r->status == 403) && t->proven)
		return denied(r, err);
	if (r->status == 401 || r->status == 403)
		return err_set(err, ERR_FORBIDDEN, "denied: requested access to the resource is denied");
	if (r->status == 429)
		return err_set(err, ERR_LIMIT, "toomanyrequests: the token server of %s limits how often it is asked",
			       t->host);
	if (r->status != 200)
		return err_set(err, ERR_UPSTREAM, "the token server of %s: received unexpected HTTP status %d", t->host,
			       r->status);
	*ret = json_loadb(r->body, r->len, 0, NULL);
	a->token = json_string_value(json_object_get(*ret, "token"));
	if (!a->token || !*a->token)
		a->token = json_string_value(json_object_get(*ret, "access_token"));
	a->refresh_token = json_string_value(json_object_get(*ret, "refresh_token"));
	if (!a->token || !*a->token || strpbrk(a->token, "\r\n"))
		return err_set(err, ERR_UPSTREAM, "the token server of %s gave no token", t->host);
	return 0;
}

static void on_answer(void *ctx, const struct http_response *r, const struct err *failed)
{
	struct registry_token *t = ctx;
	struct registry_token_answer a = {0};
	json_t *root = NULL;
	struct err err;
	int rc = -1;

	t->call = NULL;
	if (failed) {
		err = *failed;
		registry_url_private(&err);
		err_wrap(&err, "token server of %s", t->host);
	} else {
		rc = take(t, r, &root, &a, &err);
	}
	t->cb(t->ctx, rc == 0 ? &a : NULL, rc == 0 ? NULL : &err);
	json_decref(root);
	token_free(t);
}

static void add_param(struct buf *b, const char *key, const char *value)
{
	char *escaped;

	if (!value)
		return;
	escaped = curl_easy_escape(NULL, value, 0);
	buf_printf(b, "%s%s=%s", b->len ? "&" : "", key, escaped);
	curl_free(escaped);
}

static char *joined(const struct strv *list)
{
	char *all = xstrdup(list->v[0]);

	for (size_t i = 1; i < list->n; i++) {
		char *longer = xasprintf("%s %s", all, list->v[i]);

		free(all);
		all = longer;
	}
	return all;
}

static char *query_of(const struct registry_token_request *q, bool post)
{
	struct buf b;

	buf_init(&b, QUERY_MAX);
	if (post)
		add_param(&b, "grant_type", "refresh_token");
	add_param(&b, "client_id", CLIENT_ID);
	add_param(&b, "service", q->service);
	for (size_t i = 0; i < q->scopes.n; i++) { /* several of them: in a form by blanks, in a URL by repetition */
		AUTO_FREE char *all = post ? joined(&q->scopes) : NULL;

		if (!post || i == 0)
			add_param(&b, "scope", post ? all : q->scopes.v[i]);
	}
	if (q->offline && !post)
		add_param(&b, "offline_token", "true");
	if (q->cred->user && !post)
		add_param(&b, "account", q->cred->user);
	if (post)
		add_param(&b, "refresh_token", q->cred->identity_token);
	return buf_detach(&b, NULL);
}

struct registry_token *registry_token_start(struct http_client *http, const struct registry_token_request *q,
					    registry_token_cb *cb, void *ctx, struct err *err)
{
	bool post = q->cred->identity_token != NULL;
	AUTO_FREE char *query = query_of(q, post);
	AUTO_FREE char *url = post ? xstrdup(q->realm)
				   : xasprintf("%s%c%s", q->realm, strchr(q->realm, '?') ? '&' : '?', query);
	struct http_call_options opt = {
		.method = post ? "POST" : "GET", .url = url, .timeout_ms = DEADLINE_MS,
		.max_response_bytes = ANSWER_MAX, .ca_file = q->ca_file, .public_only = q->public_only,
	};
	struct registry_token *t = xcalloc(1, sizeof(*t));

	t->host = xstrdup(q->host);
	t->cb = cb;
	t->ctx = ctx;
	t->proven = post || q->cred->user;
	if (post) {
		strv_add(&opt.headers, "Content-Type: application/x-www-form-urlencoded");
		opt.body = query;
		opt.body_len = strlen(query);
	} else if (q->cred->user) {
		AUTO_FREE char *proof = credentials_basic(q->cred);

		strv_take(&opt.headers, xasprintf("Authorization: %s", proof));
	}
	t->call = http_client_start(http, &opt, on_answer, t, err);
	strv_release(&opt.headers);
	if (t->call)
		return t;
	token_free(t);
	return NULL;
}

void registry_token_cancel(struct registry_token *t)
{
	if (!t)
		return;
	http_call_cancel(t->call);
	token_free(t);
}
