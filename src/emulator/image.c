/* image - resolve a reference to a digest, find that in the cache or pull it; see image.h.
 *
 *   request:  RESOLVE (HEAD on plain registries, else skopeo inspect) -> cache or pull
 *   pull:     skopeo copy -> umoci raw unpack -> install (worker thread: rename into place)
 *
 * Requests for the same digest share one pull. */
#include "image.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <uthash.h>
#include <utlist.h>

#include "base/log.h"
#include "base/token.h"
#include "fs.h"
#include "net/defer.h"

#define RESOLVE_TIMEOUT_MS 30000
#define PULL_TIMEOUT_MS (15 * 60 * 1000)
#define CONFIG_MAX (4 * 1024 * 1024)
#define ACCEPT "Accept: application/vnd.oci.image.index.v1+json, " \
	"application/vnd.docker.distribution.manifest.list.v2+json, " \
	"application/vnd.oci.image.manifest.v1+json, " \
	"application/vnd.docker.distribution.manifest.v2+json"

struct cached {
	struct image image;
	UT_hash_handle hh; /* by image.digest */
};

struct reference {
	char *host, *repo;   /* host as written: "docker.io" when absent */
	char *tag, *digest;  /* exactly one is set */
	bool plain;          /* HTTP */
};

struct image_request {
	struct images *im;
	struct reference ref;
	image_cb *cb;        /* NULL: cancelled */
	void *ctx;
	const struct image *image; /* on its way to cb */
	struct err err;
	struct image_request *next; /* waiting for the same pull */
};

struct pull {
	struct images *im;
	char *digest;
	char *source;        /* docker://host/repo@digest */
	bool plain;
	char *dir;           /* STATE/images/tmp.XXXXXX */
	int lock;            /* its descriptor, flock()ed */
	struct image_request *waiters;
	struct err err;
	uv_work_t work;
	UT_hash_handle hh;
};

struct images {
	uv_loop_t *loop;
	struct procs *procs;
	struct http_client *client;
	char *dir;
	const struct strv *plain_hosts;
	struct cached *cache;
	struct pull *pulls;
};

/* ---- references ---- */

static void reference_release(struct reference *r)
{
	free(r->host);
	free(r->repo);
	free(r->tag);
	free(r->digest);
}

static bool host_is_plain(const struct images *im, const char *host)
{
	size_t bare = strcspn(host, ":");

	for (size_t i = 0; i < im->plain_hosts->n; i++) {
		const char *p = im->plain_hosts->v[i];
		if (!strcmp(p, host) || (strlen(p) == bare && !strncmp(p, host, bare)))
			return true;
	}
	return (bare == 9 && !strncmp(host, "localhost", 9)) || !strncmp(host, "127.", 4);
}

/* [host/]repo[:tag][@digest], as Docker reads it. */
static int reference_parse(const struct images *im, const char *text, struct reference *r,
			   struct err *err)
{
	const char *slash = strchr(text, '/'), *at = strchr(text, '@'), *rest = text, *end, *colon;
	size_t first = slash ? (size_t)(slash - text) : 0;

	*r = (struct reference){ 0 };
	if (slash && (memchr(text, '.', first) || memchr(text, ':', first) ||
		      (first == 9 && !strncmp(text, "localhost", 9)))) {
		r->host = xstrndup(text, first);
		rest = slash + 1;
	} else {
		r->host = xstrdup("docker.io");
	}
	end = at ? at : text + strlen(text);
	colon = memchr(rest, ':', (size_t)(end - rest));
	r->repo = xasprintf("%s%.*s", !strcmp(r->host, "docker.io") && !strchr(rest, '/') ? "library/" : "",
			    (int)((colon ? colon : end) - rest), rest);
	if (at && !strncmp(at, "@sha256:", 8) && strlen(at + 8) == 64)
		r->digest = xstrdup(at + 1);
	else if (!at)
		r->tag = colon ? xstrdup(colon + 1) : xstrdup("latest");
	r->plain = host_is_plain(im, r->host);
	/* The characters that end up in a URL and an argv. */
	if ((!r->digest && !r->tag) || !*r->repo || *r->host == '-' || (r->tag && !*r->tag) ||
	    strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@") !=
		    strlen(text)) {
		reference_release(r);
		return err_set(err, ERR_INVALID, "'%.200s' is not an image reference", text);
	}
	return 0;
}

/* ---- the cache ---- */

static void read_list(const json_t *a, struct strv *out)
{
	size_t i;
	json_t *v;

	json_array_foreach((json_t *)a, i, v)
		if (json_is_string(v))
			strv_add(out, json_string_value(v));
}

static const struct image *cache_load(struct images *im, const char *digest, struct err *err)
{
	AUTO_FREE char *path = xasprintf("%s/%s/image.json", im->dir, digest + 7);
	AUTO_FREE char *text = fs_read(path, CONFIG_MAX, NULL, err);
	json_t *doc = text ? json_loads(text, 0, NULL) : NULL;

	if (!doc) {
		if (text)
			err_set(err, ERR_UPSTREAM, "%s: not JSON", path);
		return NULL;
	}
	struct cached *c = xcalloc(1, sizeof *c);
	const json_t *config = json_object_get(doc, "config");
	c->image.digest = xstrdup(digest);
	c->image.rootfs = xasprintf("%s/%s/rootfs", im->dir, digest + 7);
	read_list(json_object_get(config, "Entrypoint"), &c->image.entrypoint);
	read_list(json_object_get(config, "Cmd"), &c->image.cmd);
	read_list(json_object_get(config, "Env"), &c->image.env);
	c->image.user = xstrdup(json_string_value(json_object_get(config, "User")));
	c->image.working_dir = xstrdup(json_string_value(json_object_get(config, "WorkingDir")));
	json_decref(doc);
	HASH_ADD_KEYPTR(hh, im->cache, c->image.digest, strlen(c->image.digest), c);
	return &c->image;
}

static const struct image *cache_find(struct images *im, const char *digest)
{
	struct cached *c;

	HASH_FIND_STR(im->cache, digest, c);
	return c ? &c->image : cache_load(im, digest, NULL);
}

static void cached_free(struct cached *c)
{
	free(c->image.digest);
	free(c->image.rootfs);
	strv_release(&c->image.entrypoint);
	strv_release(&c->image.cmd);
	strv_release(&c->image.env);
	free(c->image.user);
	free(c->image.working_dir);
	free(c);
}

/* ---- answering ---- */

static void request_answer(void *p)
{
	struct image_request *r = p;

	if (r->cb)
		r->cb(r->ctx, r->image, r->image ? NULL : &r->err);
	reference_release(&r->ref);
	free(r);
}

static void request_fail(struct image_request *r, const struct err *err)
{
	r->err = *err;
	loop_defer(r->im->loop, request_answer, r);
}

static void pull_free(struct pull *p)
{
	if (p->lock >= 0)
		close(p->lock);
	free(p->digest);
	free(p->source);
	free(p->dir);
	free(p);
}

static void pull_finish(struct pull *p, const struct image *image)
{
	struct image_request *r, *tmp;

	HASH_DEL(p->im->pulls, p);
	LL_FOREACH_SAFE(p->waiters, r, tmp) {
		r->image = image;
		r->err = p->err;
		loop_defer(p->im->loop, request_answer, r);
	}
	pull_free(p);
}

/* ---- pulling ---- */

/* The config blob of the only manifest in an OCI layout. */
static char *layout_config(const char *oci, size_t *ret_len, struct err *err)
{
	AUTO_FREE char *index_path = xasprintf("%s/index.json", oci);
	char *text = fs_read(index_path, CONFIG_MAX, NULL, err);

	for (int level = 0; text; level++) {
		json_t *doc = json_loads(text, 0, NULL);
		const char *digest = NULL;
		json_unpack(doc, level ? "{s:{s:s}}" : "{s:[{s:s}]}", level ? "config" : "manifests",
			    "digest", &digest);
		AUTO_FREE char *path = digest && !strncmp(digest, "sha256:", 7) && !strchr(digest, '/')
			? xasprintf("%s/blobs/sha256/%s", oci, digest + 7) : NULL;
		json_decref(doc);
		free(text);
		if (!path) {
			err_set(err, ERR_UPSTREAM, "%s: not an image", oci);
			return NULL;
		}
		text = fs_read(path, CONFIG_MAX, ret_len, err);
		if (level == 1)
			return text;
	}
	return NULL;
}

static void install(uv_work_t *w)
{
	struct pull *p = w->data;
	AUTO_FREE char *oci = xasprintf("%s/oci", p->dir);
	AUTO_FREE char *config_path = xasprintf("%s/image.json", p->dir);
	AUTO_FREE char *final = xasprintf("%s/%s", p->im->dir, p->digest + 7);
	size_t len;
	AUTO_FREE char *config = layout_config(oci, &len, &p->err);

	if (!config || fs_write(config_path, 0644, config, len, &p->err) < 0) {
		fs_remove_tree(p->dir);
		return;
	}
	fs_remove_tree(oci);
	if (rename(p->dir, final) < 0) {
		int saved = errno;
		fs_remove_tree(p->dir);
		/* Another emulator with the same state folder may have been faster. */
		if (saved != EEXIST && saved != ENOTEMPTY)
			err_sys(&p->err, saved, "rename %s", p->dir);
	}
}

static void installed(uv_work_t *w, int status)
{
	struct pull *p = w->data;
	const struct image *image = p->err.kind ? NULL : cache_load(p->im, p->digest, &p->err);

	if (image)
		log_info("image pulled", "digest=%s", image->digest);
	pull_finish(p, image);
}

static void discard(uv_work_t *w)
{
	struct pull *p = w->data;

	fs_remove_tree(p->dir);
}

static void discarded(uv_work_t *w, int status)
{
	pull_finish(w->data, NULL);
}

/* The last line a Go tool prints before it gives up says why. */
static const char *last_line(char *text)
{
	size_t n = strlen(text);

	while (n && text[n - 1] == '\n')
		text[--n] = 0;
	char *nl = strrchr(text, '\n');
	return nl ? nl + 1 : text;
}

static void tool_failed(struct err *err, const char *what, const char *stderr_text)
{
	AUTO_FREE char *text = xstrdup(stderr_text);
	const char *why = last_line(text);
	enum err_kind kind = strstr(why, "manifest unknown") || strstr(why, "name unknown") ||
			     strstr(why, "NAME_UNKNOWN") ? ERR_NOT_FOUND
			   : strstr(why, "unauthorized") || strstr(why, "denied") ? ERR_DENIED
			   : ERR_UPSTREAM;

	err_set(err, kind, "%s: %.600s", what, *why ? why : "failed");
}

static void pull_abandon(struct pull *p)
{
	p->work.data = p;
	uv_queue_work(p->im->loop, &p->work, discard, discarded);
}

static void unpacked(void *ctx, int status, const char *out, const char *err_text)
{
	struct pull *p = ctx;

	if (status) {
		tool_failed(&p->err, "unpack the image", err_text);
		pull_abandon(p);
		return;
	}
	p->work.data = p;
	uv_queue_work(p->im->loop, &p->work, install, installed);
}

static void copied(void *ctx, int status, const char *out, const char *err_text)
{
	struct pull *p = ctx;
	AUTO_FREE char *image = xasprintf("%s/oci:img", p->dir);
	AUTO_FREE char *rootfs = xasprintf("%s/rootfs", p->dir);
	/* raw: no bundle, and above all no mtree manifest, which hashes every file again */
	const char *const argv[] = { "umoci", "raw", "unpack", "--image", image, rootfs, NULL };

	if (status)
		tool_failed(&p->err, "copy the image", err_text);
	if (status || proc_run(p->im->procs, argv, PULL_TIMEOUT_MS, unpacked, p, &p->err) < 0)
		pull_abandon(p);
}

static int pull_start(struct pull *p)
{
	p->dir = xasprintf("%s/tmp.XXXXXX", p->im->dir);
	if (!mkdtemp(p->dir))
		return err_sys(&p->err, errno, "make folder %s", p->dir);
	(void)chmod(p->dir, 0755);
	p->lock = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->lock < 0 || flock(p->lock, LOCK_EX | LOCK_NB) < 0)
		return err_sys(&p->err, errno, "lock %s", p->dir);

	AUTO_FREE char *dest = xasprintf("oci:%s/oci:img", p->dir);
	const char *const argv[] = { "skopeo", "--override-os=linux", "--override-arch=amd64", "copy",
				     p->plain ? "--src-tls-verify=false" : "--src-tls-verify=true",
				     p->source, dest, NULL };
	return proc_run(p->im->procs, argv, PULL_TIMEOUT_MS, copied, p, &p->err);
}

/* The digest is known: answer from the cache, join a pull, or start one. */
static void request_by_digest(struct image_request *r, const char *digest)
{
	struct images *im = r->im;
	struct pull *p;

	r->image = cache_find(im, digest);
	if (r->image) {
		loop_defer(im->loop, request_answer, r);
		return;
	}
	HASH_FIND_STR(im->pulls, digest, p);
	if (p) {
		LL_APPEND(p->waiters, r);
		return;
	}
	p = xcalloc(1, sizeof *p);
	p->im = im;
	p->lock = -1;
	p->digest = xstrdup(digest);
	p->plain = r->ref.plain;
	p->source = xasprintf("docker://%s/%s@%s", r->ref.host, r->ref.repo, digest);
	HASH_ADD_KEYPTR(hh, im->pulls, p->digest, strlen(p->digest), p);
	LL_APPEND(p->waiters, r);
	if (pull_start(p) < 0)
		pull_abandon(p);
}

/* ---- resolving ---- */

static void inspected(void *ctx, int status, const char *out, const char *err_text)
{
	struct image_request *r = ctx;
	uint8_t hash[SHA256_LEN];
	char digest[7 + SHA256_HEX_MAX] = "sha256:";
	struct err err = { 0 };

	if (status) {
		tool_failed(&err, "resolve the image", err_text);
		request_fail(r, &err);
		return;
	}
	/* --raw prints the manifest's own bytes, and a digest is their hash. */
	sha256(out, strlen(out), hash);
	hex_encode(hash, sizeof hash, digest + 7);
	request_by_digest(r, digest);
}

static void resolve_by_skopeo(struct image_request *r)
{
	AUTO_FREE char *source = xasprintf("docker://%s/%s:%s", r->ref.host, r->ref.repo, r->ref.tag);
	const char *const argv[] = { "skopeo", "inspect", "--raw",
				     r->ref.plain ? "--tls-verify=false" : "--tls-verify=true",
				     source, NULL };
	struct err err = { 0 };

	if (proc_run(r->im->procs, argv, RESOLVE_TIMEOUT_MS, inspected, r, &err) < 0)
		request_fail(r, &err);
}

static void headed(void *ctx, const struct http_response *res, const struct err *why)
{
	struct image_request *r = ctx;
	const char *digest = res && res->status == 200
		? http_response_header(res, "docker-content-digest") : NULL;
	struct err err = { 0 };

	if (digest && !strncmp(digest, "sha256:", 7) && strlen(digest) == 71 &&
	    strspn(digest + 7, "0123456789abcdef") == 64) {
		request_by_digest(r, digest);
	} else if (res && res->status == 404) {
		err_set(&err, ERR_NOT_FOUND, "no such manifest");
		request_fail(r, &err);
	} else if (res) {
		resolve_by_skopeo(r); /* it can log in, and says clearly what is wrong */
	} else {
		request_fail(r, why);
	}
}

static void resolve_by_head(struct image_request *r)
{
	AUTO_FREE char *url = xasprintf("http://%s/v2/%s/manifests/%s", r->ref.host, r->ref.repo,
					r->ref.tag);
	struct http_call_options opt = { .method = "HEAD", .url = url,
					 .timeout_ms = RESOLVE_TIMEOUT_MS };
	struct err err = { 0 };

	strv_add(&opt.headers, ACCEPT);
	if (!http_client_start(r->im->client, &opt, headed, r, &err))
		request_fail(r, &err);
	strv_release(&opt.headers);
}

struct image_request *image_get(struct images *im, const char *reference, image_cb *cb, void *ctx)
{
	struct image_request *r = xcalloc(1, sizeof *r);
	struct err err = { 0 };

	r->im = im;
	r->cb = cb;
	r->ctx = ctx;
	if (reference_parse(im, reference, &r->ref, &err) < 0)
		request_fail(r, &err);
	else if (r->ref.digest)
		request_by_digest(r, r->ref.digest);
	else if (r->ref.plain)
		resolve_by_head(r);
	else
		resolve_by_skopeo(r);
	return r;
}

void image_request_cancel(struct image_request *r)
{
	if (r)
		r->cb = NULL;
}

/* ---- life ---- */

/* A former emulator that was killed in the middle of a pull left its folder, unlocked. */
static void remove_stale(const char *dir)
{
	AUTO_FREE char *pattern = xasprintf("%s/tmp.*", dir);
	glob_t g;

	if (glob(pattern, GLOB_NOSORT, NULL, &g))
		return;
	for (size_t i = 0; i < g.gl_pathc; i++) {
		AUTO_CLOSE int fd = open(g.gl_pathv[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
			fs_remove_tree(g.gl_pathv[i]);
	}
	globfree(&g);
}

struct images *images_new(uv_loop_t *loop, struct procs *procs, struct http_client *client,
			  const char *state_dir, const struct strv *plain_hosts, struct err *err)
{
	struct images *im = xcalloc(1, sizeof *im);

	im->loop = loop;
	im->procs = procs;
	im->client = client;
	im->plain_hosts = plain_hosts;
	im->dir = xasprintf("%s/images", state_dir);
	if (fs_mkdir_p(im->dir, 0755, err) < 0) {
		free(im->dir);
		free(im);
		return NULL;
	}
	remove_stale(im->dir);
	return im;
}

void images_free(struct images *im)
{
	struct cached *c, *tmp;
	struct pull *p, *tmp2;

	if (!im)
		return;
	HASH_ITER(hh, im->cache, c, tmp) {
		HASH_DEL(im->cache, c);
		cached_free(c);
	}
	HASH_ITER(hh, im->pulls, p, tmp2) {
		struct image_request *r, *tmp3;
		HASH_DEL(im->pulls, p);
		fs_remove_tree(p->dir);
		LL_FOREACH_SAFE(p->waiters, r, tmp3) {
			reference_release(&r->ref);
			free(r);
		}
		pull_free(p);
	}
	free(im->dir);
	free(im);
}
