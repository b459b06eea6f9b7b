/* registry_fetch - see registry_fetch.h:
 *
 *   manifest ──index──▶ linux/amd64 manifest ──▶ config blob ──▶ done */
#include "image/registry_fetch.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gateway.h"

#define MANIFEST_MAX (4 * 1024 * 1024)
#define CONFIG_MAX (8 * 1024 * 1024)
#define DEADLINE_MS 60000
#define INDEX_DEPTH_MAX 2

#define ACCEPT_MANIFEST "Accept: application/vnd.oci.image.index.v1+json, " \
	"application/vnd.docker.distribution.manifest.list.v2+json, " \
	"application/vnd.oci.image.manifest.v1+json, " \
	"application/vnd.docker.distribution.manifest.v2+json"
#define DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"

struct registry_fetch {
	struct registry_session *s;  /* a reference of ours if own_session, else borrowed */
	bool own_session;
	registry_fetch_cb *cb;
	void *ctx;
	enum registry_depth depth_wanted;
	char *name;                  /* for sentences */
	bool done;                   /* cb is running */
	bool want_config;            /* the present request: a manifest or the config */
	char *want;                  /* tag or digest */
	int depth;
	uint64_t deadline_ms;
	struct registry_call *call;
	struct registry_image image;
};

static int send_request(struct registry_fetch *f, struct err *err);

static void fetch_free(struct registry_fetch *f)
{
	registry_cancel(f->call);
	if (f->own_session)
		registry_close(f->s);
	free(f->name);
	free(f->want);
	free(f->image.media_type);
	free(f->image.manifest_type);
	free(f->image.manifest_text);
	free(f->image.config_text);
	json_decref(f->image.index);
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

/* ---- what arrives ----------------------------------------------------------------------------- */

static void aim(struct registry_fetch *f, bool config, const char *what)
{
	char *copy = xstrdup(what);

	free(f->want);
	f->want = copy;
	f->want_config = config;
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

	if (!f->image.index)
		f->image.index = json_incref(root);
	if (f->depth_wanted == REGISTRY_DESCRIBE)
		return 1;
	if (!digest)
		return err_set(err, ERR_NOT_FOUND,
			       "no matching manifest for linux/amd64 in the manifest list entries");
	if (!registry_is_digest(digest) || ++f->depth > INDEX_DEPTH_MAX)
		return err_set(err, ERR_UPSTREAM, "%s: malformed manifest list", f->name);
	aim(f, false, digest);
	return send_request(f, err);
}

static char *type_of(const struct http_response *r, json_t *root)
{
	const char *said = text_at(root, "mediaType"), *header = http_response_header(r, "content-type");

	if (*said)
		return xstrdup(said);
	return header && strncmp(header, "application/vnd.", 16) == 0 ? xstrndup(header, strcspn(header, "; "))
								      : xstrdup(DOCKER_MANIFEST);
}

static int take_manifest(struct registry_fetch *f, const struct http_response *r, json_t *root,
			 const char *digest, struct err *err)
{
	const char *config = text_at(json_object_get(root, "config"), "digest");
	AUTO_FREE char *type = type_of(r, root);

	if (!*f->image.digest) {
		memcpy(f->image.digest, digest, REGISTRY_DIGEST_MAX);
		f->image.media_type = xstrdup(type);
		f->image.size = r->len;
	}
	if (json_is_array(json_object_get(root, "manifests")))
		return take_index(f, root, err);
	if (json_integer_value(json_object_get(root, "schemaVersion")) == 1)
		return err_set(err, ERR_UNSUPPORTED, "%s: image manifests of schema version 1 are no "
			       "longer supported; push the image again", f->name);
	if (!registry_is_digest(config))
		return err_set(err, ERR_UPSTREAM, "%s: not an image: its manifest names no config", f->name);
	memcpy(f->image.manifest_digest, digest, REGISTRY_DIGEST_MAX);
	memcpy(f->image.id, config, REGISTRY_DIGEST_MAX);
	f->image.manifest = json_incref(root);
	f->image.manifest_type = steal_ptr(&type);
	f->image.manifest_text = xstrndup(r->body, r->len);
	f->image.manifest_len = r->len;
	aim(f, true, config);
	return send_request(f, err);
}

static int take_config(struct registry_fetch *f, const struct http_response *r, json_t *root, struct err *err)
{
	const char *os = text_at(root, "os"), *arch = text_at(root, "architecture");

	if (f->depth_wanted == REGISTRY_IMAGE &&
	    ((*os && strcmp(os, "linux") != 0) || (*arch && strcmp(arch, "amd64") != 0)))
		return err_set(err, ERR_NOT_FOUND, "no matching manifest for linux/amd64: %s is an "
			       "image for %s/%s", f->name, os, arch);
	f->image.config = json_incref(root);
	f->image.config_text = xstrndup(r->body, r->len);
	f->image.config_len = r->len;
	return 1;
}

/* 1: all there; 0: the next request is on its way; -1. */
static int take_body(struct registry_fetch *f, const struct http_response *r, struct err *err)
{
	const char *claimed = f->want_config ? NULL : http_response_header(r, "docker-content-digest");
	const char *want = registry_is_digest(f->want) ? f->want : claimed;
	char digest[REGISTRY_DIGEST_MAX];
	json_t *root;
	int rc;

	registry_digest_of(r->body, r->len, digest);
	if (registry_is_digest(want) && strcmp(want, digest) != 0)
		return err_set(err, ERR_UPSTREAM, "%s verification failed for digest %s",
			       f->want_config ? "config" : "manifest", want);
	root = json_loadb(r->body, r->len, 0, NULL);
	if (json_is_object(root))
		rc = f->want_config ? take_config(f, r, root, err) : take_manifest(f, r, root, digest, err);
	else
		rc = err_set(err, ERR_UPSTREAM, "registry %s: %s of %s is not JSON", registry_host(f->s),
			     f->want_config ? "config" : "manifest", f->name);
	json_decref(root);
	return rc;
}

static void on_response(void *ctx, const struct http_response *r, const struct err *failed)
{
	struct registry_fetch *f = ctx;
	struct err err;
	int rc;

	f->call = NULL;
	if (failed) {
		finish(f, failed);
		return;
	}
	rc = r->status == 200 ? take_body(f, r, &err) : registry_refused(f->s, r, !f->want_config, &err);
	if (rc)
		finish(f, rc < 0 ? &err : NULL);
}

static int send_request(struct registry_fetch *f, struct err *err)
{
	AUTO_FREE char *path = xasprintf("%s/%s", f->want_config ? "blobs" : "manifests", f->want);
	uint64_t now = clock_mono_ms();
	struct registry_request q = {
		.path = path,
		.max_response_bytes = f->want_config ? CONFIG_MAX : MANIFEST_MAX,
	};

	if (now >= f->deadline_ms)
		return err_set(err, ERR_TIMEOUT, "registry %s: no image after %d s", registry_host(f->s),
			       DEADLINE_MS / 1000);
	q.timeout_ms = f->deadline_ms - now;
	if (!f->want_config)
		strv_add(&q.headers, ACCEPT_MANIFEST);
	f->call = registry_ask(f->s, &q, on_response, f, err);
	strv_release(&q.headers);
	return f->call ? 0 : -1;
}

/* ---- API -------------------------------------------------------------------------------------- */

struct registry_fetch *registry_fetch_in(struct registry_session *s, const char *what, enum registry_depth depth,
					 registry_fetch_cb *cb, void *ctx, struct err *err)
{
	struct registry_fetch *f = xcalloc(1, sizeof(*f));

	f->s = s;
	f->cb = cb;
	f->ctx = ctx;
	f->depth_wanted = depth;
	f->deadline_ms = clock_mono_ms() + DEADLINE_MS;
	f->name = xasprintf("%s%c%s", registry_name(s), registry_is_digest(what) ? '@' : ':', what);
	aim(f, false, what);
	if (send_request(f, err) == 0)
		return f;
	fetch_free(f);
	return NULL;
}

struct registry_fetch *registry_fetch_start(struct gateway *g, const struct reference *ref, const char *auth,
					    registry_fetch_cb *cb, void *ctx, struct err *err)
{
	struct registry_session *s = registry_open(g, ref, auth, REGISTRY_PULL);
	struct registry_fetch *f;

	f = registry_fetch_in(s, ref->digest ? ref->digest : ref->tag, REGISTRY_IMAGE, cb, ctx, err);
	if (f)
		f->own_session = true;
	else
		registry_close(s);
	return f;
}

void registry_fetch_cancel(struct registry_fetch *f)
{
	if (f && !f->done)
		fetch_free(f);
}
