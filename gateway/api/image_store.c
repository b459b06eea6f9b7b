/* image_store - see image_store.h. All images share one repository below SOCKERLESS_GCR_IMAGE_REPOSITORY,
 * so that a layer is sent once; each is tagged with its ID, so that the registry keeps it. */
#include "api/image_store.h"

#include <string.h>
#include <strings.h>

#include "api/reply.h"
#include "api/spool.h"
#include "base/mem.h"
#include "image/reference.h"
#include "image/registry_put.h"
#include "state/events.h"
#include "state/image.h"

#define SHA256_PREFIX 7

bool image_store_possible(struct request *r)
{
	if (r->g->config->image_repository)
		return true;
	reply_error(r, ERR_UNSUPPORTED, "Cloud Run runs images from a registry only: set SOCKERLESS_GCR_IMAGE_REPOSITORY "
		    "to an Artifact Registry repository that this gateway may write to, or push the image yourself and pull it");
	return false;
}

static bool one_of(const char *s, size_t n, const char *const *list)
{
	for (; *list; list++)
		if (strlen(*list) == n && strncasecmp(s, *list, n) == 0)
			return true;
	return false;
}

int image_platform_check(const char *platform, struct err *err)
{
	static const char *const systems[] = {"linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "solaris", NULL};
	static const char *const archs[] = {"amd64", "x86_64", "x86-64", "386", "arm", "armhf", "armel", "arm64", "aarch64",
		"ppc64le", "s390x", "riscv64", "mips64le", NULL};
	size_t n = platform ? strcspn(platform, "/") : 0;
	const char *arch = n && platform[n] ? platform + n + 1 : NULL;

	if (!platform || !*platform)
		return 0;
	if (arch && strchr(arch, '/') && strchr(strchr(arch, '/') + 1, '/'))
		return err_set(err, ERR_INVALID, "\"%s\": cannot parse platform specifier: invalid argument", platform);
	if (!arch && !one_of(platform, n, systems) && !one_of(platform, n, archs))
		return err_set(err, ERR_INVALID, "\"%s\": unknown operating system or architecture: invalid argument", platform);
	if (!arch && !one_of(platform, n, systems)) {
		arch = platform;
		platform = "linux";
		n = 5;
	}
	if (n == 5 && strncasecmp(platform, "linux", 5) == 0 &&
	    (!arch || one_of(arch, strcspn(arch, "/"), (const char *const[]){"amd64", "x86_64", "x86-64", NULL})))
		return 0;
	return err_set(err, ERR_NOT_FOUND, "no matching manifest for %.*s%s%s: Cloud Run runs linux/amd64", (int)n, platform,
		       arch ? "/" : "", arch ? arch : "");
}

/* ---- to the repository --------------------------------------------------------------------------------- */

struct image_store {
	struct gateway *g;
	const struct archive_image *image;
	struct image_store_ops ops;
	void *ctx;
	struct reference repository;
	struct registry_session *session;
	struct registry_put *put;
	struct registry_blob *layers;
	bool done;
};

static void store_free(struct image_store *s)
{
	registry_put_cancel(s->put);
	registry_close(s->session);
	reference_release(&s->repository);
	free(s->layers);
	free(s);
}

static int remember(struct gateway *g, const struct archive_image *a, const char *pull_ref, struct err *err)
{
	size_t n = a->tags.n ? a->tags.n : 1;

	for (size_t i = 0; i < n; i++)
		if (!images_put(g->images, a->id, a->tags.n ? a->tags.v[i] : NULL, NULL, pull_ref,
				json_loadb(a->config, a->config_len, 0, NULL),
				json_loadb(a->manifest, a->manifest_len, 0, NULL), err))
			return -1;
	for (size_t i = 0; i < a->tags.n; i++)
		events_emit(g->events, "image", "tag", a->id, json_pack("{s:s}", "name", a->tags.v[i]));
	return 0;
}

static void on_progress(void *ctx, size_t i, int64_t sent)
{
	struct image_store *s = ctx;

	if (s->ops.progress)
		s->ops.progress(s->ctx, i, sent);
}

static void on_put(void *ctx, const char *digest, const struct err *failed)
{
	struct image_store *s = ctx;
	AUTO_FREE char *pull_ref = digest ? xasprintf("%s@%s", s->repository.familiar, digest) : NULL;
	struct err err = {0};

	s->put = NULL;
	if (failed) {
		err = *failed;
		err_wrap(&err, "store the image in %s", s->g->config->image_repository);
	} else {
		remember(s->g, s->image, pull_ref, &err);
	}
	s->done = true;
	s->ops.done(s->ctx, err.kind ? &err : NULL);
	store_free(s);
}

struct image_store *image_store_start(struct gateway *g, const struct archive_image *image,
				      const struct image_store_ops *ops, void *ctx, struct err *err)
{
	static const struct registry_put_ops put_ops = {on_progress, NULL, on_put};
	AUTO_FREE char *name = xasprintf("%s/images:%s", g->config->image_repository, image->id + SHA256_PREFIX);
	struct image_store *s = xcalloc(1, sizeof(*s));
	struct registry_put_options opt = {
		.manifest = image->manifest, .manifest_type = image->manifest_type, .manifest_len = image->manifest_len,
		.config = {.digest = image->id, .size = (int64_t)image->config_len, .bytes = image->config},
		.n_layers = image->n_layers,
	};

	s->g = g;
	s->image = image;
	s->ops = *ops;
	s->ctx = ctx;
	if (reference_parse(name, &s->repository, err) < 0) {
		store_free(s);
		return NULL;
	}
	s->layers = xcalloc(image->n_layers + 1, sizeof(*s->layers));
	for (size_t i = 0; i < image->n_layers; i++)
		s->layers[i] = (struct registry_blob){
			.digest = image->layers[i].digest, .size = image->layers[i].size, .path = image->layers[i].path,
		};
	opt.layers = s->layers;
	opt.reference = s->repository.tag;
	s->session = registry_open(g, &s->repository, NULL, REGISTRY_PUSH);
	s->put = registry_put_start(g, s->session, &opt, &put_ops, s, err);
	if (s->put)
		return s;
	store_free(s);
	return NULL;
}

void image_store_cancel(struct image_store *s)
{
	if (s && !s->done)
		store_free(s);
}

/* ---- work in a thread -------------------------------------------------------------------------------------- */

struct image_work {
	uv_work_t work;
	atomic_bool stop;
	struct spool *spool;
	image_work_fn *fn;
	image_work_done *done; /* NULL once cancelled */
	void *ctx;
	struct archive_images images;
	struct err err;
	int rc;
};

static void work(uv_work_t *req)
{
	struct image_work *w = req->data;

	w->rc = w->fn(w->spool, &w->stop, &w->images, &w->err);
}

static void worked(uv_work_t *req, int status)
{
	struct image_work *w = req->data;

	if (w->done) {
		w->done(w->ctx, w->spool, w->rc == 0 ? &w->images : NULL, w->rc == 0 ? NULL : &w->err);
	} else {
		if (w->rc == 0)
			archive_images_release(&w->images);
		spool_close(w->spool);
	}
	free(w);
}

struct image_work *image_work_start(struct gateway *g, struct spool *s, image_work_fn *fn, image_work_done *done,
				    void *ctx)
{
	struct image_work *w = xcalloc(1, sizeof(*w));

	w->work.data = w;
	w->spool = s;
	w->fn = fn;
	w->done = done;
	w->ctx = ctx;
	uv_queue_work(g->loop, &w->work, work, worked);
	return w;
}

void image_work_cancel(struct image_work *w)
{
	if (!w)
		return;
	w->done = NULL;
	atomic_store(&w->stop, true);
}
