/* registry_client - one fetch is a short conversation with a registry:
 *
 *   manifest ──index──▶ linux/amd64 manifest ──▶ config blob ──▶ done
 *      └── 401 ──▶ token server ──▶ the same request again (at most once per fetch)
 *
 * Whatever arrives is checked against its digest before it is believed. Authorization never leaves the
 * registry's own origin, and https never becomes http. Source: OCI distribution spec; distribution's
 * token authentication; the sentences for errors are dockerd's. */
#include "image/registry_client.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/token.h"
#include "cloud/auth.h"
#include "gateway.h"
#include "net/http_client.h"

#define MANIFEST_MAX (4 * 1024 * 1024)
#define CONFIG_MAX (8 * 1024 * 1024)
#define TOKEN_MAX (256 * 1024)
#define DEADLINE_MS 60000
#define REDIRECTS_MAX 5
#define INDEX_DEPTH_MAX 2
#define DIGEST_LEN 71 /* "sha256:" and 64 digits */

#define ACCEPT_MANIFEST "Accept: application/vnd.oci.image.index.v1+json, " \
	"application/vnd.docker.distribution.manifest.list.v2+json, " \
	"application/vnd.oci.image.manifest.v1+json, " \
	"application/vnd.docker.distribution.manifest.v2+json"

struct credentials {
	char *user, *password;   /* both or none */
	char *identity_token;    /* OAuth refresh token, instead of a password */
	char *registry_token;    /* a Bearer token as it is */
};

struct registry_fetch {
	struct gateway *g;
	registry_fetch_cb *cb;
	void *ctx;
	char *name;              /* familiar, "busybox" */
	char *name_tagged;       /* "busybox:1" */
	char *host, *repo;       /* whom we ask */
	bool plain;
	struct credentials cred;
	char *authorization;     /* "Bearer x", or NULL; for the registry's origin only */
	bool challenged;         /* a 401 has been answered already */
	bool done;               /* cb is running */

	bool want_config;        /* the present request: a manifest or the config */
	char *want_digest;       /* of what is being fetched, or NULL for a tag */
	char *url;
	bool foreign;            /* redirected to another origin */
	int redirects, depth;
	uint64_t deadline_ms;
	struct http_call *call;
	struct auth_wait *auth;
	struct registry_image image;
};

static int send_request(struct registry_fetch *f, struct err *err);

/* ---- ending ----------------------------------------------------------------------------------- */

static void fetch_free(struct registry_fetch *f)
{
	http_call_cancel(f->call);
	auth_cancel(f->auth);
	free(f->name);
	free(f->name_tagged);
	free(f->host);
	free(f->repo);
	free(f->cred.user);
	free(f->cred.password);
	free(f->cred.identity_token);
	free(f->cred.registry_token);
	free(f->authorization);
	free(f->want_digest);
	free(f->url);
	json_decref(f->image.manifest);
	json_decref(f->image.config);
	free(f);
}

static void finish(struct registry_fetch *f, const struct err *err)
{
	f->done = true;
	f->cb(f->ctx, err ? NULL : &f->image, err);
	fetch_free(f);
}

/* ---- what the registry says when it refuses ----------------------------------------------------- */

/* "MANIFEST_UNKNOWN" + "x" as dockerd shows it: "manifest unknown: x". */
static void describe(const struct http_response *r, char *code, size_t code_size, char *text,
		     size_t text_size)
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

static int refused(struct registry_fetch *f, const struct http_response *r, struct err *err)
{
	char code[64], text[512];

	describe(r, code, sizeof(code), text, sizeof(text));
	if (r->status == 429 || strcmp(code, "TOOMANYREQUESTS") == 0)
		return err_set(err, ERR_LIMIT, "%s", *text ? text :
			       "toomanyrequests: the registry limits how often it is asked");
	if (r->status == 401 || r->status == 403)
		return err_set(err, ERR_NOT_FOUND, "pull access denied for %s, repository does not "
			       "exist or may require 'docker login': %s", f->name, *text ? text :
			       "denied: requested access to the resource is denied");
	if (strcmp(code, "NAME_UNKNOWN") == 0)
		return err_set(err, ERR_NOT_FOUND, "repository %s not found: %s", f->name, text);
	if (r->status == 404 && !f->want_config)
		return err_set(err, ERR_NOT_FOUND, "manifest for %s not found: %s", f->name_tagged,
			       *text ? text : "manifest unknown: manifest unknown");
	err_set(err, ERR_UPSTREAM, "registry %s: received unexpected HTTP status %d%s%s", f->host,
		r->status, *text ? ": " : "", text);
	err->code = r->status;
	return -1;
}

/* ---- what arrives ----------------------------------------------------------------------------- */

static void digest_of(const struct http_response *r, char out[72])
{
	uint8_t sum[SHA256_LEN];

	sha256(r->body, r->len, sum);
	memcpy(out, "sha256:", 7);
	hex_encode(sum, sizeof(sum), out + 7);
}

static bool is_digest(const char *s)
{
	return s && strlen(s) == DIGEST_LEN && strncmp(s, "sha256:", 7) == 0 &&
	       strspn(s + 7, "0123456789abcdef") == 64;
}

/* Point the next request at a manifest or blob by digest (or tag, for the first one). */
static void aim(struct registry_fetch *f, bool config, const char *what)
{
	char *digest = is_digest(what) ? xstrdup(what) : NULL;

	free(f->url);
	f->url = xasprintf("%s://%s/v2/%s/%s/%s", f->plain ? "http" : "https", f->host, f->repo,
			   config ? "blobs" : "manifests", what);
	free(f->want_digest);
	f->want_digest = digest;
	f->want_config = config;
	f->foreign = false;
	f->redirects = 0;
}

static const char *text_at(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* The entry for linux/amd64; an index of one entry without a platform is taken at its word. */
static const char *choose_platform(json_t *list)
{
	json_t *entry;
	size_t i;

	json_array_foreach(list, i, entry) {
		json_t *p = json_object_get(entry, "platform");

		if (strcmp(text_at(p, "os"), "linux") == 0 &&
		    strcmp(text_at(p, "architecture"), "amd64") == 0)
			return text_at(entry, "digest");
	}
	entry = json_array_get(list, 0);
	if (json_array_size(list) == 1 && !json_object_get(entry, "platform"))
		return text_at(entry, "digest");
	return NULL;
}

static int take_index(struct registry_fetch *f, json_t *root, struct err *err)
{
	const char *digest = choose_platform(json_object_get(root, "manifests"));

	if (!digest)
		return err_set(err, ERR_NOT_FOUND,
			       "no matching manifest for linux/amd64 in the manifest list entries");
	if (!is_digest(digest) || ++f->depth > INDEX_DEPTH_MAX)
		return err_set(err, ERR_UPSTREAM, "%s: malformed manifest list", f->name_tagged);
	aim(f, false, digest);
	return send_request(f, err);
}

static int take_manifest(struct registry_fetch *f, json_t *root, const char *digest, struct err *err)
{
	const char *config = text_at(json_object_get(root, "config"), "digest");

	if (!*f->image.digest)
		memcpy(f->image.digest, digest, DIGEST_LEN + 1);
	if (json_is_array(json_object_get(root, "manifests")))
		return take_index(f, root, err);
	if (json_integer_value(json_object_get(root, "schemaVersion")) == 1)
		return err_set(err, ERR_UNSUPPORTED, "%s: image manifests of schema version 1 are no "
			       "longer supported; push the image again", f->name_tagged);
	if (!is_digest(config))
		return err_set(err, ERR_UPSTREAM, "%s: not an image: its manifest names no config",
			       f->name_tagged);
	memcpy(f->image.manifest_digest, digest, DIGEST_LEN + 1);
	memcpy(f->image.id, config, DIGEST_LEN + 1);
	f->image.manifest = json_incref(root);
	aim(f, true, config);
	return send_request(f, err);
}

static int take_config(struct registry_fetch *f, json_t *root, struct err *err)
{
	const char *os = text_at(root, "os"), *arch = text_at(root, "architecture");

	if ((*os && strcmp(os, "linux") != 0) || (*arch && strcmp(arch, "amd64") != 0))
		return err_set(err, ERR_NOT_FOUND, "no matching manifest for linux/amd64: %s is an "
			       "image for %s/%s", f->name_tagged, os, arch);
	f->image.config = json_incref(root);
	return 0;
}

/* 1: all there; 0: the next request is on its way; -1. */
static int take_body(struct registry_fetch *f, const struct http_response *r, struct err *err)
{
	const char *claimed = http_response_header(r, "docker-content-digest");
	const char *want = f->want_digest ? f->want_digest : !f->want_config ? claimed : NULL;
	char digest[72];
	json_t *root;
	int rc;

	digest_of(r, digest);
	if (want && is_digest(want) && strcmp(want, digest) != 0)
		return err_set(err, ERR_UPSTREAM, "%s verification failed for digest %s",
			       f->want_config ? "config" : "manifest", want);
	root = json_loadb(r->body, r->len, 0, NULL);
	if (!json_is_object(root)) {
		json_decref(root);
		return err_set(err, ERR_UPSTREAM, "registry %s: %s of %s is not JSON", f->host,
			       f->want_config ? "config" : "manifest", f->name_tagged);
	}
	if (f->want_config)
		rc = take_config(f, root, err) < 0 ? -1 : 1;
	else
		rc = take_manifest(f, root, digest, err);
	json_decref(root);
	return rc;
}

/* ---- redirects -------------------------------------------------------------------------------- */

/* "https://host:443", however it was spelled; NULL if url is none. Caller frees. */
static char *origin_of(CURLU *u)
{
	char *scheme = NULL, *host = NULL, *port = NULL, *ret = NULL;

	if (!curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) &&
	    !curl_url_get(u, CURLUPART_HOST, &host, 0) &&
	    !curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT))
		ret = xasprintf("%s://%s:%s", scheme, host, port);
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	return ret;
}

static int follow(struct registry_fetch *f, const struct http_response *r, struct err *err)
{
	const char *location = http_response_header(r, "location");
	AUTO_FREE char *before = NULL, *after = NULL;
	CURLU *u = curl_url();
	char *url = NULL;
	int rc = -1;

	if (location && !curl_url_set(u, CURLUPART_URL, f->url, 0) && (before = origin_of(u)) &&
	    !curl_url_set(u, CURLUPART_URL, location, 0) && (after = origin_of(u)))
		curl_url_get(u, CURLUPART_URL, &url, 0);
	if (!url || (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0)) {
		err_set(err, ERR_UPSTREAM, "registry %s: redirect without a usable Location", f->host);
	} else if (strncmp(before, "https:", 6) == 0 && strncmp(after, "https:", 6) != 0) {
		err_set(err, ERR_UPSTREAM, "registry %s: refused a redirect from https to http", f->host);
	} else if (++f->redirects > REDIRECTS_MAX) {
		err_set(err, ERR_UPSTREAM, "registry %s: more than %d redirects", f->host, REDIRECTS_MAX);
	} else {
		/* A signed URL elsewhere must not see our token, and S3 refuses two kinds of proof. */
		f->foreign = f->foreign || strcmp(before, after) != 0;
		free(f->url);
		f->url = xstrdup(url);
		rc = send_request(f, err);
	}
	curl_free(url);
	curl_url_cleanup(u);
	return rc;
}

/* ---- authentication --------------------------------------------------------------------------- */

static char *basic(const struct credentials *cred)
{
	AUTO_FREE char *pair = xasprintf("%s:%s", cred->user, cred->password);
	AUTO_FREE char *coded = xmalloc(base64_encoded_len(strlen(pair)) + 1);

	base64_encode(pair, strlen(pair), coded);
	return xasprintf("Basic %s", coded);
}

/* The value of key in `realm="…",service="…"`; NULL if absent. Caller frees. */
static char *challenge_param(const char *s, const char *key)
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

/* Parameters of the challenge of this scheme, or NULL. */
static const char *find_challenge(const struct http_response *r, const char *scheme)
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

static int wrong_credentials(struct err *err)
{
	return err_set(err, ERR_DENIED, "unauthorized: incorrect username or password");
}

static int take_token(struct registry_fetch *f, const struct http_response *r, struct err *err)
{
	const char *token = NULL;
	json_t *root;

	if ((r->status == 401 || r->status == 403) && (f->cred.user || f->cred.identity_token))
		return wrong_credentials(err);
	if (r->status != 200)
		return refused(f, r, err);
	root = json_loadb(r->body, r->len, 0, NULL);
	token = text_at(root, "token");
	if (!*token)
		token = text_at(root, "access_token");
	if (!*token || strpbrk(token, "\r\n")) {
		json_decref(root);
		return err_set(err, ERR_UPSTREAM, "the token server of %s gave no token", f->host);
	}
	free(f->authorization);
	f->authorization = xasprintf("Bearer %s", token);
	json_decref(root);
	return send_request(f, err);
}

static void on_token(void *ctx, const struct http_response *r, const struct err *failed)
{
	struct registry_fetch *f = ctx;
	struct err err;

	f->call = NULL;
	if (failed) {
		err = *failed;
		err_wrap(&err, "token server of %s", f->host);
		finish(f, &err);
	} else if (take_token(f, r, &err) < 0) {
		finish(f, &err);
	}
}

static uint64_t time_left(const struct registry_fetch *f)
{
	uint64_t now = clock_mono_ms();

	return now < f->deadline_ms ? f->deadline_ms - now : 1;
}

static void add_param(struct buf *b, const char *separator, const char *key, const char *value)
{
	char *escaped;

	if (!value)
		return;
	escaped = curl_easy_escape(NULL, value, 0);
	buf_printf(b, "%s%s=%s", separator, key, escaped);
	curl_free(escaped);
}

/* GET realm?service=…&scope=…, with a password if there is one; an identity token goes by POST. */
static int request_token(struct registry_fetch *f, const char *realm, const char *service,
			 const char *scope, struct err *err)
{
	bool post = f->cred.identity_token != NULL;
	struct http_call_options opt = {
		.method = post ? "POST" : "GET",
		.timeout_ms = time_left(f),
		.max_response_bytes = TOKEN_MAX,
	};
	AUTO_FREE char *url = NULL, *query = NULL, *proof = NULL;
	struct buf q;

	buf_init(&q, TOKEN_MAX);
	add_param(&q, "", post ? "grant_type" : "client_id", post ? "refresh_token" : "sockerless");
	if (post)
		add_param(&q, "&", "client_id", "sockerless");
	add_param(&q, "&", "service", service);
	add_param(&q, "&", "scope", scope);
	add_param(&q, "&", "refresh_token", f->cred.identity_token);
	query = buf_detach(&q, NULL);
	url = post ? xstrdup(realm) : xasprintf("%s%c%s", realm, strchr(realm, '?') ? '&' : '?', query);
	opt.url = url;
	if (post) {
		strv_add(&opt.headers, "Content-Type: application/x-www-form-urlencoded");
		opt.body = query;
		opt.body_len = strlen(query);
	} else if (f->cred.user) {
		proof = basic(&f->cred);
		strv_take(&opt.headers, xasprintf("Authorization: %s", proof));
	}
	f->call = http_client_start(f->g->http, &opt, on_token, f, err);
	strv_release(&opt.headers);
	return f->call ? 0 : -1;
}

static int answer_challenge(struct registry_fetch *f, const struct http_response *r, struct err *err)
{
	const char *bearer = find_challenge(r, "Bearer");
	AUTO_FREE char *realm = NULL, *service = NULL, *scope = NULL;

	if (f->challenged || f->foreign) {
		bool password = f->authorization && strncmp(f->authorization, "Basic ", 6) == 0;

		return password && !f->foreign ? wrong_credentials(err) : refused(f, r, err);
	}
	f->challenged = true;
	if (!bearer && find_challenge(r, "Basic") && f->cred.user) {
		free(f->authorization);
		f->authorization = basic(&f->cred);
		return send_request(f, err);
	}
	realm = bearer ? challenge_param(bearer, "realm") : NULL;
	if (!realm)
		return refused(f, r, err);
	if (strncmp(realm, "https://", 8) != 0 && !(f->plain && strncmp(realm, "http://", 7) == 0))
		return err_set(err, ERR_UPSTREAM, "registry %s: refused the token server \"%.200s\", "
			       "which is not https", f->host, realm);
	service = challenge_param(bearer, "service");
	scope = challenge_param(bearer, "scope");
	if (!scope)
		scope = xasprintf("repository:%s:pull", f->repo);
	return request_token(f, realm, service, scope, err);
}

/* ---- requests --------------------------------------------------------------------------------- */

static bool is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static void on_response(void *ctx, const struct http_response *r, const struct err *failed)
{
	struct registry_fetch *f = ctx;
	struct err err;
	int rc;

	f->call = NULL;
	if (failed) {
		err = *failed;
		err_wrap(&err, "registry %s", f->host);
		finish(f, &err);
		return;
	}
	if (r->status == 200)
		rc = take_body(f, r, &err);
	else if (r->status == 401)
		rc = answer_challenge(f, r, &err);
	else if (is_redirect(r->status))
		rc = follow(f, r, &err);
	else
		rc = refused(f, r, &err);
	if (rc)
		finish(f, rc < 0 ? &err : NULL);
}

static int send_request(struct registry_fetch *f, struct err *err)
{
	struct http_call_options opt = {
		.method = "GET",
		.url = f->url,
		.timeout_ms = time_left(f),
		.max_response_bytes = f->want_config ? CONFIG_MAX : MANIFEST_MAX,
	};

	if (clock_mono_ms() >= f->deadline_ms)
		return err_set(err, ERR_TIMEOUT, "registry %s: no image after %d s", f->host,
			       DEADLINE_MS / 1000);
	if (!f->want_config)
		strv_add(&opt.headers, ACCEPT_MANIFEST);
	if (f->authorization && !f->foreign)
		strv_take(&opt.headers, xasprintf("Authorization: %s", f->authorization));
	f->call = http_client_start(f->g->http, &opt, on_response, f, err);
	strv_release(&opt.headers);
	return f->call ? 0 : -1;
}

/* ---- credentials ------------------------------------------------------------------------------ */

/* "https://index.docker.io/v1/" and "quay.io/x" are both keys of Docker's file: compare the host. */
static bool same_registry(const char *address, const struct registry_fetch *f)
{
	const char *scheme = strstr(address, "://");
	AUTO_FREE char *host = NULL;

	if (scheme)
		address = scheme + 3;
	host = xstrndup(address, strcspn(address, "/"));
	if (strcasecmp(host, f->host) == 0)
		return true;
	return strcmp(f->host, "registry-1.docker.io") == 0 &&
	       (strcasecmp(host, "index.docker.io") == 0 || strcasecmp(host, "docker.io") == 0);
}

static char *take_text(json_t *o, const char *key)
{
	const char *s = text_at(o, key);

	return *s ? xstrdup(s) : NULL;
}

/* An AuthConfig: from X-Registry-Auth, or an entry of the file's "auths". */
static void read_credentials(json_t *o, struct credentials *ret)
{
	const char *coded = text_at(o, "auth");
	size_t n;

	ret->identity_token = take_text(o, "identitytoken");
	ret->registry_token = take_text(o, "registrytoken");
	ret->user = take_text(o, "username");
	ret->password = take_text(o, "password");
	if (!ret->user && *coded) {
		AUTO_FREE uint8_t *raw = base64_decode(coded, &n);
		AUTO_FREE char *pair = raw ? xstrndup((char *)raw, n) : NULL;
		char *colon = pair ? strchr(pair, ':') : NULL;

		if (colon) {
			free(ret->password);
			ret->user = xstrndup(pair, (size_t)(colon - pair));
			ret->password = xstrdup(colon + 1);
		}
	}
	if (ret->user && !ret->password)
		ret->password = xstrdup("");
}

static bool have_credentials(const struct credentials *c)
{
	return c->user || c->identity_token || c->registry_token;
}

static int credentials_from_header(struct registry_fetch *f, const char *auth, bool mirrored,
				   struct err *err)
{
	AUTO_FREE uint8_t *raw = NULL;
	json_t *o = NULL;
	size_t n;

	if (!auth || !*auth)
		return 0;
	raw = base64_decode(auth, &n);
	o = raw ? json_loadb((char *)raw, n, 0, NULL) : NULL;
	if (!json_is_object(o)) {
		json_decref(o);
		return err_set(err, ERR_INVALID, "invalid X-Registry-Auth header");
	}
	/* A mirror is not Docker Hub: it gets Docker Hub's password from nobody. */
	if (!mirrored || same_registry(text_at(o, "serveraddress"), f))
		read_credentials(o, &f->cred);
	json_decref(o);
	return 0;
}

static void credentials_from_file(struct registry_fetch *f)
{
	const char *dir = getenv("DOCKER_CONFIG"), *home = getenv("HOME"), *key;
	AUTO_FREE char *path = NULL;
	json_error_t why;
	json_t *root, *entry;

	if (dir && *dir)
		path = xasprintf("%s/config.json", dir);
	else
		path = xasprintf("%s/.docker/config.json", home ? home : "/root");
	if (access(path, R_OK) < 0)
		return;
	root = json_load_file(path, 0, &why);
	if (!root)
		log_warn("registry credentials ignored", "file=%s line=%d why=\"%s\"", path, why.line, why.text);
	json_object_foreach(json_object_get(root, "auths"), key, entry)
		if (!have_credentials(&f->cred) && same_registry(key, f))
			read_credentials(entry, &f->cred);
	json_decref(root);
}

static bool ends_with(const char *s, const char *tail)
{
	size_t n = strlen(s), k = strlen(tail);

	return n >= k && strcasecmp(s + n - k, tail) == 0;
}

/* Artifact Registry and Container Registry take Google's access token as it is. */
static bool is_google(const char *host)
{
	return ends_with(host, ".pkg.dev") || ends_with(host, ".gcr.io") || strcasecmp(host, "gcr.io") == 0;
}

/* Without a token we go on as nobody: gcr.io has public images too. */
static void on_google_token(void *ctx, const char *token, const struct err *failed)
{
	struct registry_fetch *f = ctx;
	struct err err;

	f->auth = NULL;
	if (token)
		f->authorization = xasprintf("Bearer %s", token);
	if (send_request(f, &err) < 0)
		finish(f, &err);
}

/* ---- API -------------------------------------------------------------------------------------- */

struct registry_fetch *registry_fetch_start(struct gateway *g, const struct reference *ref,
					    const char *auth, registry_fetch_cb *cb, void *ctx,
					    struct err *err)
{
	struct registry_fetch *f = xcalloc(1, sizeof(*f));
	bool mirrored = strcmp(ref->domain, "docker.io") == 0 && g->config->hub_mirror;
	int plain;

	f->g = g;
	f->cb = cb;
	f->ctx = ctx;
	f->deadline_ms = clock_mono_ms() + DEADLINE_MS;
	f->name = xstrdup(ref->familiar);
	f->name_tagged = reference_familiar_tagged(ref);
	reference_location(ref, g->config, &f->host, &f->repo, &plain);
	f->plain = plain;
	if (credentials_from_header(f, auth, mirrored, err) < 0)
		goto fail;
	if (!have_credentials(&f->cred))
		credentials_from_file(f);
	if (f->cred.registry_token)
		f->authorization = xasprintf("Bearer %s", f->cred.registry_token);
	aim(f, false, ref->digest ? ref->digest : ref->tag);
	if (!have_credentials(&f->cred) && is_google(f->host) && g->cloud)
		f->auth = auth_token(cloud_auth(g->cloud), on_google_token, f);
	else if (send_request(f, err) < 0)
		goto fail;
	return f;
fail:
	fetch_free(f);
	return NULL;
}

void registry_fetch_cancel(struct registry_fetch *f)
{
	if (f && !f->done)
		fetch_free(f);
}
