/* registry_session - see registry_session.h. A call goes
 *
 *   [credentials] ──▶ request ──▶ answer
 *                       │ 3xx (GET, HEAD) ──▶ there, without Authorization if it is another origin
 *                       └ 401 ──▶ registry_token ──▶ the same request again
 *
 * Calls wait in the session while credentials or a token are fetched, by one request however many wait.
 * Source: OCI distribution spec; the sentences for errors are dockerd's. */
#include "image/registry_session.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/token.h"
#include "auth/auth.h"
#include "gateway.h"
#include "image/credentials.h"
#include "image/registry_token.h"
#include "image/registry_url.h"
#include "net/address.h"

#define DEADLINE_MS 60000
#define REDIRECTS_MAX 5
#define ANSWER_MAX (8 * 1024 * 1024)
#define DIGEST_LEN 71 /* "sha256:" and 64 digits */
#define CERTS_DIR "/etc/docker/certs.d"

struct registry_session {
	struct gateway *g;
	char *name, *name_tagged;    /* familiar: "busybox", "busybox:1" */
	char *host, *repo, *origin;  /* whom we ask: "h:5000", "library/busybox", "https://h:5000" */
	char *ca_file;
	bool plain;
	bool private;                /* its own address is: then it may send us to others that are */
	enum registry_access access;
	struct strv also_read;
	struct credentials cred;
	char *authorization;         /* "Bearer x", or NULL; for the origin only */
	unsigned generation;         /* of authorization */
	char *identity_token;
	/* At most one of these is at work; calls wait meanwhile. */
	struct credentials_query *helper;
	struct auth_wait *google;
	struct registry_token *token;
	struct registry_call *calls;
	int refs;                    /* the owner's, one per call, and while we are in its middle */
};

struct registry_call {
	struct registry_session *s;
	http_call_cb *cb;
	void *ctx;
	char *method, *url;
	struct strv headers;
	void *body;
	size_t body_len, max;
	ssize_t (*read)(void *ctx, void *p, size_t n);
	int (*write)(void *ctx, const void *p, size_t n);
	uint64_t deadline_ms, stall_ms;
	bool waiting;                /* for credentials or a token */
	bool challenged;             /* this call has had its new token */
	bool foreign;                /* another origin */
	unsigned generation;         /* of the authorization it was sent with */
	int redirects;
	struct http_call *http;
	struct registry_call *prev, *next;
};

static int send_call(struct registry_call *call, struct err *err);

/* ---- life ---------------------------------------------------------------------------------------- */

static void unref(struct registry_session *s)
{
	if (--s->refs > 0)
		return;
	credentials_ask_cancel(s->helper);
	auth_cancel(s->google);
	registry_token_cancel(s->token);
	free(s->name);
	free(s->name_tagged);
	free(s->host);
	free(s->repo);
	free(s->origin);
	free(s->ca_file);
	strv_release(&s->also_read);
	credentials_release(&s->cred);
	free(s->authorization);
	free(s->identity_token);
	free(s);
}

static void call_free(struct registry_call *call)
{
	struct registry_session *s = call->s;

	http_call_cancel(call->http);
	DL_DELETE(s->calls, call);
	free(call->method);
	free(call->url);
	strv_release(&call->headers);
	free(call->body);
	free(call);
	unref(s);
}

/* Off the list before cb, which may cancel anything. */
static void finish(struct registry_call *call, const struct http_response *r, const struct err *err)
{
	http_call_cb *cb = call->cb;
	void *ctx = call->ctx;

	call->s->refs++;
	call->cb = NULL;
	cb(ctx, r, err);
	unref(call->s);
	call_free(call);
}

/* ---- what the registry says when it refuses -------------------------------------------------------- */

/* "MANIFEST_UNKNOWN" + "x" as dockerd shows it: "manifest unknown: x". */
static void describe_body(const struct http_response *r, char *code, size_t code_size, char *text, size_t text_size)
{
	json_t *root = json_loadb(r->body, r->len, 0, NULL);
	json_t *first = json_array_get(json_object_get(root, "errors"), 0);
	const char *c = json_string_value(json_object_get(first, "code"));
	const char *m = json_string_value(json_object_get(first, "message"));
	size_t i;

	snprintf(code, code_size, "%s", c ? c : "");
	snprintf(text, text_size, "%s%s%s", c ? c : "", c && m ? ": " : "", m ? m : "");
	for (i = 0; c && text[i] && text[i] != ':'; i++)
		text[i] = text[i] == '_' ? ' ' : (char)tolower((unsigned char)text[i]);
	json_decref(root);
}

/* A token that does not suffice reads as "denied", whatever the body says: so does Docker's client. */
static void describe(const struct http_response *r, char *code, size_t code_size, char *text, size_t text_size)
{
	const char *challenge = r->status == 401 ? challenge_find(r, "Bearer") : NULL;
	AUTO_FREE char *why = challenge ? challenge_param(challenge, "error") : NULL;

	describe_body(r, code, code_size, text, text_size);
	if (why && strcmp(why, "insufficient_scope") == 0)
		snprintf(text, text_size, "denied: requested access to the resource is denied");
}

int registry_refused(const struct registry_session *s, const struct http_response *r, bool of_manifest,
		     struct err *err)
{
	char code[64], text[512];

	describe(r, code, sizeof(code), text, sizeof(text));
	if (r->status == 429 || strcmp(code, "TOOMANYREQUESTS") == 0)
		return err_set(err, ERR_LIMIT, "%s", *text ? text :
			       "toomanyrequests: the registry limits how often it is asked");
	if ((r->status == 401 || r->status == 403) && s->access != REGISTRY_PULL)
		return err_set(err, s->access == REGISTRY_INSPECT ? ERR_FORBIDDEN : ERR_DENIED, "%s", *text ? text : r->status == 401 ?
			       "unauthorized: authentication required" :
			       "denied: requested access to the resource is denied");
	if (r->status == 401 || r->status == 403)
		return err_set(err, ERR_NOT_FOUND, "pull access denied for %s, repository does not "
			       "exist or may require 'docker login': %s", s->name, *text ? text :
			       "denied: requested access to the resource is denied");
	if (r->status == 404 && s->access == REGISTRY_INSPECT)
		return err_set(err, ERR_NOT_FOUND, "%s", *text ? text : "manifest unknown: manifest unknown");
	if (strcmp(code, "NAME_UNKNOWN") == 0)
		return err_set(err, ERR_NOT_FOUND, "repository %s not found: %s", s->name, text);
	if (r->status == 404 && of_manifest)
		return err_set(err, ERR_NOT_FOUND, "manifest for %s not found: %s", s->name_tagged,
			       *text ? text : "manifest unknown: manifest unknown");
	err_set(err, ERR_UPSTREAM, "registry %s: received unexpected HTTP status %d%s%s", s->host,
		r->status, *text ? ": " : "", text);
	if (err)
		err->code = r->status;
	return -1;
}

/* ---- waiting for credentials or a token ------------------------------------------------------------ */

static bool busy(const struct registry_session *s)
{
	return s->helper || s->google || s->token;
}

static struct registry_call *next_waiting(struct registry_session *s)
{
	struct registry_call *call;

	DL_FOREACH(s->calls, call)
		if (call->waiting)
			return call;
	return NULL;
}

/* Every waiting call goes on, or ends with why. One at a time: their callbacks may cancel others. */
static void wake(struct registry_session *s, const struct err *why)
{
	struct registry_call *call;
	struct err err;

	s->refs++;
	while (!busy(s) && (call = next_waiting(s))) {
		call->waiting = false;
		if (why)
			finish(call, NULL, why);
		else if (send_call(call, &err) < 0)
			finish(call, NULL, &err);
	}
	unref(s);
}

static void on_token(void *ctx, const struct registry_token_answer *a, const struct err *err)
{
	struct registry_session *s = ctx;
	struct err hidden;

	s->token = NULL;
	if (err && err->kind == ERR_FORBIDDEN && s->access == REGISTRY_PULL) {
		hidden = *err;
		hidden.kind = ERR_NOT_FOUND;
		err_wrap(&hidden, "pull access denied for %s, repository does not exist or may require 'docker login'",
			 s->name);
		err = &hidden;
	}
	if (a) {
		free(s->authorization);
		s->authorization = xasprintf("Bearer %s", a->token);
		s->generation++;
		if (a->refresh_token) {
			free(s->identity_token);
			s->identity_token = xstrdup(a->refresh_token);
		}
	}
	wake(s, err);
}

/* Artifact Registry and Container Registry take Google's access token as it is. Without one we go on as
 * nobody: gcr.io has public images too. */
static void on_google_token(void *ctx, const char *token, const struct err *failed)
{
	struct registry_session *s = ctx;

	s->google = NULL;
	if (token) {
		s->authorization = xasprintf("Bearer %s", token);
		s->generation++;
	}
	wake(s, NULL);
}

static bool ends_with(const char *s, const char *tail)
{
	size_t n = strlen(s), k = strlen(tail);

	return n >= k && strcasecmp(s + n - k, tail) == 0;
}

static bool is_google(const char *host)
{
	return ends_with(host, ".pkg.dev") || ends_with(host, ".gcr.io") || strcasecmp(host, "gcr.io") == 0;
}

static void ask_google(struct registry_session *s)
{
	if (!credentials_given(&s->cred) && is_google(s->host) && s->g->cloud)
		s->google = auth_token(cloud_auth(s->g->cloud), on_google_token, s);
}

static void on_helper(void *ctx, struct credentials *c)
{
	struct registry_session *s = ctx;

	s->helper = NULL;
	s->cred = *c;
	*c = (struct credentials){0};
	ask_google(s);
	wake(s, NULL);
}

/* ---- a 401 ------------------------------------------------------------------------------------------ */

/* In the registry's words, but for a login: "authentication required" would help nobody there. */
static int wrong_credentials(const struct registry_session *s, const struct http_response *r, struct err *err)
{
	char code[64], text[512];

	describe(r, code, sizeof(code), text, sizeof(text));
	return err_set(err, ERR_DENIED, "%s", *text && s->access != REGISTRY_LOGIN ? text
		       : "unauthorized: incorrect username or password");
}

static void token_scopes(const struct registry_session *s, const char *challenged, struct strv *ret)
{
	if (s->access == REGISTRY_LOGIN)
		return;
	if (s->access != REGISTRY_PUSH)
		strv_take(ret, challenged ? xstrdup(challenged) : xasprintf("repository:%s:pull", s->repo));
	else
		strv_take(ret, xasprintf("repository:%s:pull,push", s->repo));
	for (size_t i = 0; i < s->also_read.n; i++)
		strv_take(ret, xasprintf("repository:%s:pull", s->also_read.v[i]));
}

/* Whose address must not be a private one: a registry of the internet has no business in our network. */
static bool is_stranger(const struct registry_session *s, const char *url)
{
	return !s->private && !registry_url_host_in(url, &s->g->config->private_hosts);
}

static int ask_token(struct registry_session *s, const char *challenge, struct err *err)
{
	AUTO_FREE char *realm = challenge_param(challenge, "realm"), *service = challenge_param(challenge, "service");
	AUTO_FREE char *scope = challenge_param(challenge, "scope");
	struct registry_token_request q = {
		.realm = realm, .service = service, .cred = &s->cred, .host = s->host, .ca_file = s->ca_file,
		.offline = s->access == REGISTRY_LOGIN, .public_only = is_stranger(s, realm),
	};

	if (strncmp(realm, "https://", 8) != 0 && !(s->plain && strncmp(realm, "http://", 7) == 0))
		return err_set(err, ERR_UPSTREAM, "registry %s: refused the token server \"%.200s\", "
			       "which is not https", s->host, realm);
	token_scopes(s, scope, &q.scopes);
	s->token = registry_token_start(s->g->http, &q, on_token, s, err);
	strv_release(&q.scopes);
	return s->token ? 0 : -1;
}

/* 0: the call waits or is sent again. */
static int answer_challenge(struct registry_call *call, const struct http_response *r, struct err *err)
{
	struct registry_session *s = call->s;
	const char *bearer = challenge_find(r, "Bearer");
	AUTO_FREE char *realm = bearer ? challenge_param(bearer, "realm") : NULL;
	bool password = s->authorization && strncmp(s->authorization, "Basic ", 6) == 0;

	if (call->foreign || call->read) /* a body that flowed cannot be had again */
		return registry_refused(s, r, true, err);
	if (call->generation != s->generation && !busy(s)) /* another call has seen to it meanwhile */
		return send_call(call, err);
	if (!busy(s)) {
		if (call->challenged || password)
			return password ? wrong_credentials(s, r, err) : registry_refused(s, r, true, err);
		call->challenged = true;
		if (!bearer && challenge_find(r, "Basic") && s->cred.user) {
			free(s->authorization);
			s->authorization = credentials_basic(&s->cred);
			s->generation++;
			return send_call(call, err);
		}
		if (!bearer && challenge_find(r, "Basic"))
			return s->access == REGISTRY_PUSH ? err_set(err, ERR_UPSTREAM, "no basic auth credentials")
				: err_set(err, ERR_UPSTREAM, "%s \"%.*s\": no basic auth credentials",
				       strcmp(call->method, "HEAD") == 0 ? "Head" : "Get",
				       (int)strcspn(call->url, "?"), call->url);
		if (!realm)
			return registry_refused(s, r, true, err);
		if (ask_token(s, bearer, err) < 0)
			return -1;
	}
	call->waiting = true;
	return 0;
}

/* ---- redirects ---------------------------------------------------------------------------------------- */

char *registry_location(const struct registry_session *s, const struct http_response *r)
{
	AUTO_FREE char *base = xasprintf("%s/", s->origin);
	bool foreign;

	return registry_url_resolve(s->host, base, http_response_header(r, "location"), &foreign, NULL);
}

static int follow(struct registry_call *call, const struct http_response *r, struct err *err)
{
	bool foreign = false;
	char *url = registry_url_resolve(call->s->host, call->url, http_response_header(r, "location"), &foreign, err);

	if (!url)
		return -1;
	free(call->url);
	call->url = url;
	/* A signed URL elsewhere must not see our token, and S3 refuses two kinds of proof. */
	call->foreign = call->foreign || foreign;
	if (++call->redirects > REDIRECTS_MAX)
		return err_set(err, ERR_UPSTREAM, "registry %s: more than %d redirects", call->s->host, REDIRECTS_MAX);
	return send_call(call, err);
}

static bool is_redirect(const struct registry_call *call, int status)
{
	bool reads = strcmp(call->method, "GET") == 0 || strcmp(call->method, "HEAD") == 0;

	return reads && (status == 301 || status == 302 || status == 303 || status == 307 || status == 308);
}

/* ---- a request -------------------------------------------------------------------------------------------- */

static void on_response(void *ctx, const struct http_response *r, const struct err *failed)
{
	struct registry_call *call = ctx;
	struct err err;
	int rc;

	call->http = NULL;
	if (failed) {
		err = *failed;
		registry_url_private(&err);
		err_wrap(&err, "registry %s", call->s->host);
		finish(call, NULL, &err);
		return;
	}
	if (!call->foreign)
		call->s->private = address_text_is_private(r->peer);
	if (r->status == 401)
		rc = answer_challenge(call, r, &err);
	else if (is_redirect(call, r->status))
		rc = follow(call, r, &err);
	else
		rc = 1;
	if (rc)
		finish(call, rc > 0 ? r : NULL, rc > 0 ? NULL : &err);
}

static ssize_t on_read(void *ctx, void *p, size_t n)
{
	struct registry_call *call = ctx;

	return call->read(call->ctx, p, n);
}

static int on_write(void *ctx, const void *p, size_t n)
{
	struct registry_call *call = ctx;

	return call->write(call->ctx, p, n);
}

static int send_call(struct registry_call *call, struct err *err)
{
	struct registry_session *s = call->s;
	uint64_t now = clock_mono_ms();
	struct http_call_options opt = {
		.method = call->method, .url = call->url, .body = call->body, .body_len = call->body_len,
		.max_response_bytes = call->max, .stall_ms = call->stall_ms,
		.ca_file = call->foreign ? NULL : s->ca_file,
		.public_only = call->foreign && is_stranger(s, call->url),
		.read = call->read ? on_read : NULL, .write = call->write ? on_write : NULL,
	};

	if (now >= call->deadline_ms)
		return err_set(err, ERR_TIMEOUT, "registry %s: no answer in time", s->host);
	opt.timeout_ms = call->deadline_ms - now;
	strv_copy(&opt.headers, &call->headers);
	if (s->authorization && !call->foreign)
		strv_take(&opt.headers, xasprintf("Authorization: %s", s->authorization));
	call->generation = s->generation;
	call->http = http_client_start(s->g->http, &opt, on_response, call, err);
	strv_release(&opt.headers);
	return call->http ? 0 : -1;
}

/* ---- API --------------------------------------------------------------------------------------------------- */

/* As dockerd: a registry's own CA is in /etc/docker/certs.d/host:port/ca.crt. Then it does speak TLS. */
static char *find_ca(const char *host)
{
	AUTO_FREE char *path = xasprintf(CERTS_DIR "/%s/ca.crt", host);

	return access(path, R_OK) == 0 ? steal_ptr(&path) : NULL;
}

struct registry_session *registry_open(struct gateway *g, const struct reference *ref, const char *auth,
				       enum registry_access access)
{
	struct registry_session *s = xcalloc(1, sizeof(*s));
	/* A mirror is not Docker Hub: it gets Docker Hub's password from nobody. */
	bool mirrored = strcmp(ref->domain, "docker.io") == 0 && g->config->hub_mirror;
	AUTO_FREE char *helper = NULL;
	int plain;

	s->g = g;
	s->refs = 1;
	s->access = access;
	s->name = xstrdup(ref->familiar);
	s->name_tagged = ref->tag || ref->digest ? reference_familiar_tagged(ref) : xstrdup(ref->familiar);
	reference_location(ref, g->config, &s->host, &s->repo, &plain);
	s->ca_file = find_ca(s->host);
	s->plain = plain && !s->ca_file;
	s->origin = xasprintf("%s://%s", s->plain ? "http" : "https", s->host);
	credentials_from_header(auth, s->host, mirrored, &s->cred);
	if (!credentials_given(&s->cred) && access != REGISTRY_LOGIN)
		credentials_from_file(s->host, &s->cred, &helper);
	if (s->cred.registry_token)
		s->authorization = xasprintf("Bearer %s", s->cred.registry_token);
	if (helper)
		s->helper = credentials_ask(g->loop, helper, s->host, on_helper, s);
	else
		ask_google(s);
	return s;
}

void registry_close(struct registry_session *s)
{
	if (s)
		unref(s);
}

const char *registry_name(const struct registry_session *s)
{
	return s->name;
}

const char *registry_host(const struct registry_session *s)
{
	return s->host;
}

const char *registry_repo(const struct registry_session *s)
{
	return s->repo;
}

void registry_also_read(struct registry_session *s, const char *repo)
{
	for (size_t i = 0; i < s->also_read.n; i++)
		if (strcmp(s->also_read.v[i], repo) == 0)
			return;
	strv_add(&s->also_read, repo);
}

const char *registry_identity_token(const struct registry_session *s)
{
	return s->identity_token;
}

static char *url_of(const struct registry_session *s, const char *path)
{
	if (strstr(path, "://"))
		return xstrdup(path);
	if (*path == '/')
		return xasprintf("%s%s", s->origin, path);
	return xasprintf("%s/v2/%s/%s", s->origin, s->repo, path);
}

struct registry_call *registry_ask(struct registry_session *s, const struct registry_request *q,
				   http_call_cb *cb, void *ctx, struct err *err)
{
	struct registry_call *call = xcalloc(1, sizeof(*call));
	AUTO_FREE char *url = url_of(s, q->path), *root = xasprintf("%s/", s->origin);

	call->s = s;
	s->refs++;
	DL_APPEND(s->calls, call);
	call->cb = cb;
	call->ctx = ctx;
	call->method = xstrdup(q->method ? q->method : "GET");
	strv_copy(&call->headers, &q->headers);
	if (q->body) {
		call->body = xmalloc(q->body_len + 1);
		memcpy(call->body, q->body, q->body_len);
	}
	call->body_len = q->body_len;
	call->read = q->read;
	call->write = q->write;
	call->max = q->max_response_bytes ? q->max_response_bytes : ANSWER_MAX;
	call->stall_ms = q->stall_ms;
	call->deadline_ms = clock_mono_ms() + (q->timeout_ms ? q->timeout_ms : DEADLINE_MS);
	call->url = registry_url_resolve(s->host, root, url, &call->foreign, err);
	call->waiting = busy(s);
	if (call->url && (call->waiting || send_call(call, err) == 0))
		return call;
	call_free(call);
	return NULL;
}

void registry_resume(struct registry_call *call)
{
	if (call)
		http_call_resume(call->http);
}

void registry_cancel(struct registry_call *call)
{
	if (call && call->cb) /* else it is running right now */
		call_free(call);
}

bool registry_is_digest(const char *s)
{
	return s && strlen(s) == DIGEST_LEN && strncmp(s, "sha256:", 7) == 0 &&
	       strspn(s + 7, "0123456789abcdef") == 64;
}

void registry_digest_of(const void *p, size_t n, char out[REGISTRY_DIGEST_MAX])
{
	uint8_t sum[SHA256_LEN];

	sha256(p, n, sum);
	memcpy(out, "sha256:", 7);
	hex_encode(sum, sizeof(sum), out + 7);
}
