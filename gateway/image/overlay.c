/* overlay - see overlay.h. One struct injection per image that is being looked for or made. */
#include "image/overlay.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway.h"
#include "image/archive_agent.h"
#include "image/overlay_image.h"
#include "image/reference.h"
#include "image/registry_fetch.h"
#include "image/registry_put.h"
#include "net/defer.h"

#define BELIEVED_MS (10 * 60 * 1000)
#define KNOWN_MAX 10000
#define LOOKS 3
#define LOOK_AGAIN_MS 500
#define ACCEPT "Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"

struct overlay_wait {
	struct injection *in;
	overlay_cb *cb;
	void *ctx;
	struct overlay_wait *prev, *next;
};

/* In its thread it touches nothing of ours but this. */
struct layer_work {
	uv_work_t work;
	atomic_bool stop;
	struct overlays *owner;        /* NULL: nobody wants it any more */
	char *binary, *image, *dir;
	struct archive_layer layer;
	struct err err;
	int rc;
};

struct known {
	char *base, *ref;
	uint64_t until_ms;
	UT_hash_handle hh;
};

struct injection {
	struct overlays *o;
	char *base;                    /* the image: host/repository@digest */
	char *auth;
	struct reference from, to;
	struct registry_session *source, *target;
	struct timer *timer;           /* before a further look, or to end in the next round */
	struct registry_call *look;
	struct registry_fetch *fetch;
	struct registry_put *put;
	struct registry_blob *blobs;
	struct overlay_image image;
	char *manifest_type, *mount_from;
	json_t *manifest;              /* of the image: digests are borrowed from it */
	uint64_t begun_ms;
	unsigned looks, mounted, sent;
	bool ended;
	char *ref;                     /* the end: this, or err */
	struct err err;
	struct overlay_wait *waits;
	struct injection *prev, *next;
};

struct overlays {
	struct gateway *g;
	struct layer_work *work;       /* until it is done */
	struct archive_layer layer;    /* with a path once it is */
	struct err failed;             /* or why there is none */
	struct known *known;           /* by base, oldest first */
	struct injection *all;
};

static void look(struct injection *in);

/* ---- what is known to be there -------------------------------------------------------------------------- */

static void forget(struct overlays *o, struct known *k)
{
	HASH_DEL(o->known, k);
	free(k->base);
	free(k->ref);
	free(k);
}

void overlay_doubt(struct overlays *o, const char *image_ref)
{
	struct known *k;

	HASH_FIND_STR(o->known, image_ref, k);
	if (k)
		forget(o, k);
}

static void remember(struct overlays *o, const char *base, const char *ref)
{
	struct known *k;

	overlay_doubt(o, base);
	if (HASH_COUNT(o->known) >= KNOWN_MAX)
		forget(o, o->known);
	k = xcalloc(1, sizeof(*k));
	k->base = xstrdup(base);
	k->ref = xstrdup(ref);
	k->until_ms = clock_mono_ms() + BELIEVED_MS;
	HASH_ADD_KEYPTR(hh, o->known, k->base, strlen(k->base), k);
}

static const char *recall(struct overlays *o, const char *base)
{
	struct known *k;

	HASH_FIND_STR(o->known, base, k);
	return k && clock_mono_ms() < k->until_ms ? k->ref : NULL;
}

/* ---- the end of an injection ------------------------------------------------------------------------------ */

static void injection_free(struct injection *in)
{
	DL_DELETE(in->o->all, in);
	timer_cancel(&in->timer);
	registry_cancel(in->look);
	registry_fetch_cancel(in->fetch);
	registry_put_cancel(in->put);
	registry_close(in->source);
	registry_close(in->target);
	reference_release(&in->from);
	reference_release(&in->to);
	overlay_image_release(&in->image);
	json_decref(in->manifest);
	free(in->base);
	free(in->auth);
	free(in->blobs);
	free(in->manifest_type);
	free(in->mount_from);
	free(in->ref);
	free(in);
}

/* A callback may ask for an image, or cancel who else waits. */
static void end(void *ctx)
{
	struct injection *in = ctx;
	struct overlay_wait *w;

	in->timer = NULL;
	in->ended = true;
	while ((w = in->waits)) {
		DL_DELETE(in->waits, w);
		w->cb(w->ctx, in->ref, in->ref ? NULL : &in->err);
		free(w);
	}
	injection_free(in);
}

static void done(struct injection *in, char *ref)
{
	remember(in->o, in->base, ref);
	in->ref = ref;
	end(in);
}

static void fail(struct injection *in, const struct err *why)
{
	in->err = *why;
	/* To who starts a container these are no answers of ours: 404 would be the container's. */
	if (in->err.kind == ERR_NOT_FOUND || in->err.kind == ERR_DENIED || in->err.kind == ERR_FORBIDDEN)
		in->err.kind = ERR_UPSTREAM;
	err_wrap(&in->err, "put the agent into the image %s", in->from.familiar);
	log_warn("an image cannot be given its agent", "image=%s error=\"%s\"", in->base, in->err.msg);
	end(in);
}

/* ---- the blobs and the manifest ------------------------------------------------------------------------------ */

static void on_layer(void *ctx, size_t i, enum upload_result result)
{
	struct injection *in = ctx;

	in->mounted += result == UPLOAD_MOUNTED;
	in->sent += result == UPLOAD_SENT;
}

static void on_put(void *ctx, const char *digest, const struct err *why)
{
	struct injection *in = ctx;
	struct err err;

	in->put = NULL;
	if (why) {
		err = *why;
		err_wrap(&err, "copy it to %s", in->to.familiar);
		fail(in, &err);
		return;
	}
	log_info("an image has its agent", "image=%s overlay=%s@%s mounted=%u sent=%u ms=%llu", in->base, in->to.familiar,
		 digest, in->mounted, in->sent, (unsigned long long)(clock_mono_ms() - in->begun_ms));
	done(in, xasprintf("%s@%s", in->to.familiar, digest));
}

/* The image's layers, but for those that no registry has ("foreign"), and ours. */
static size_t list_blobs(struct injection *in)
{
	json_t *layers = json_object_get(in->manifest, "layers"), *layer;
	const struct archive_layer *own = &in->o->layer;
	size_t i, n = 0;

	in->blobs = xcalloc(json_array_size(layers) + 1, sizeof(*in->blobs));
	json_array_foreach(layers, i, layer) {
		const char *digest = json_string_value(json_object_get(layer, "digest"));
		const char *type = json_string_value(json_object_get(layer, "mediaType"));

		if (registry_is_digest(digest) && !(type && strstr(type, "foreign")))
			in->blobs[n++] = (struct registry_blob){
				.digest = digest, .size = json_integer_value(json_object_get(layer, "size")),
				.mount_from = in->mount_from, .from = in->source,
			};
	}
	in->blobs[n++] = (struct registry_blob){.digest = own->digest, .size = own->size, .path = own->path};
	return n;
}

static int put(struct injection *in, struct err *err)
{
	static const struct registry_put_ops ops = {NULL, on_layer, on_put};
	struct registry_put_options opt = {
		.reference = in->to.tag, .manifest = in->image.manifest, .manifest_type = in->manifest_type,
		.manifest_len = in->image.manifest_len, .n_layers = list_blobs(in),
		.config = {.digest = in->image.config_digest, .size = (int64_t)in->image.config_len, .bytes = in->image.config},
	};

	opt.layers = in->blobs;
	in->put = registry_put_start(in->o->g, in->target, &opt, &ops, in, err);
	return in->put ? 0 : -1;
}

static void on_fetched(void *ctx, const struct registry_image *base, const struct err *why)
{
	struct injection *in = ctx;
	struct err err;

	in->fetch = NULL;
	if (why) {
		fail(in, why);
		return;
	}
	in->manifest = json_incref(base->manifest);
	in->manifest_type = xstrdup(base->manifest_type);
	if (overlay_image_build(base->manifest, base->manifest_type, base->config, &in->o->layer, &in->image, &err) < 0 ||
	    put(in, &err) < 0)
		fail(in, &err);
}

static int fetch(struct injection *in, struct err *err)
{
	in->source = registry_open(in->o->g, &in->from, in->auth, REGISTRY_PULL);
	if (strcmp(registry_host(in->source), registry_host(in->target)) == 0 &&
	    strcmp(registry_repo(in->source), registry_repo(in->target)) != 0) {
		in->mount_from = xstrdup(registry_repo(in->source));
		registry_also_read(in->target, in->mount_from);
	}
	in->fetch = registry_fetch_in(in->source, in->from.digest, REGISTRY_IMAGE, on_fetched, in, err);
	return in->fetch ? 0 : -1;
}

/* ---- is it there? -------------------------------------------------------------------------------------------- */

static void look_again(void *ctx)
{
	struct injection *in = ctx;

	in->timer = NULL;
	look(in);
}

static void look_failed(struct injection *in, const struct err *why)
{
	bool may_pass = why->kind == ERR_TIMEOUT || why->kind == ERR_UNAVAILABLE || why->kind == ERR_LIMIT ||
			(why->kind == ERR_UPSTREAM && why->code >= 500);
	struct err err = *why;

	if (may_pass && in->looks < LOOKS) {
		in->timer = timer_start(in->o->g->loop, LOOK_AGAIN_MS << in->looks, look_again, in);
		return;
	}
	err_wrap(&err, "look for it in %s", in->to.familiar);
	fail(in, &err);
}

static void on_look(void *ctx, const struct http_response *r, const struct err *why)
{
	struct injection *in = ctx;
	const char *digest = r ? http_response_header(r, "docker-content-digest") : NULL;
	struct err err;

	in->look = NULL;
	if (why) {
		look_failed(in, why);
	} else if (r->status == 200) {
		done(in, registry_is_digest(digest) ? xasprintf("%s@%s", in->to.familiar, digest)
		     : xasprintf("%s:%s", in->to.familiar, in->to.tag));
	} else if (r->status != 404) {
		registry_refused(in->target, r, true, &err);
		look_failed(in, &err);
	} else if (fetch(in, &err) < 0) {
		fail(in, &err);
	}
}

static int open_target(struct injection *in, struct err *err)
{
	char tag[OVERLAY_TAG_MAX];
	AUTO_FREE char *name = NULL;

	overlay_image_tag(in->from.digest, &in->o->layer, tag);
	name = xasprintf("%s/overlays:%s", in->o->g->config->image_repository, tag);
	if (reference_parse(name, &in->to, err) < 0)
		return -1;
	in->target = registry_open(in->o->g, &in->to, NULL, REGISTRY_PUSH);
	return 0;
}

static void look(struct injection *in)
{
	struct registry_request q = {.method = "HEAD"};
	AUTO_FREE char *path = NULL;
	struct err err;

	in->looks++;
	if (!in->target && open_target(in, &err) < 0) {
		fail(in, &err);
		return;
	}
	path = xasprintf("manifests/%s", in->to.tag);
	q.path = path;
	strv_add(&q.headers, ACCEPT);
	in->look = registry_ask(in->target, &q, on_look, in, &err);
	strv_release(&q.headers);
	if (!in->look)
		fail(in, &err);
}

/* ---- the layer ------------------------------------------------------------------------------------------------ */

static void make_layer(uv_work_t *req)
{
	struct layer_work *w = req->data;

	w->rc = archive_agent_layer(w->binary, w->image, w->dir, &w->stop, &w->layer, &w->err);
}

static void work_free(struct layer_work *w)
{
	free(w->layer.path);
	free(w->binary);
	free(w->image);
	free(w->dir);
	free(w);
}

/* It had to wait for the layer. */
static struct injection *next_without_look(struct overlays *o)
{
	struct injection *in;

	DL_FOREACH(o->all, in)
		if (!in->looks && !in->timer && !in->ended)
			return in;
	return NULL;
}

static void on_layer_made(uv_work_t *req, int status)
{
	struct layer_work *w = req->data;
	struct overlays *o = w->owner;
	struct injection *in;

	if (!o) {
		work_free(w);
		return;
	}
	o->work = NULL;
	if (w->rc == 0) {
		o->layer = w->layer;
		w->layer.path = NULL;
		log_info("the agent's layer is made", "digest=%s bytes=%lld", o->layer.digest, (long long)o->layer.size);
	} else {
		o->failed = w->err;
		log_error("no agent for images", "error=\"%s\"", w->err.msg);
	}
	work_free(w);
	while ((in = next_without_look(o))) {
		if (o->layer.path)
			look(in);
		else
			fail(in, &o->failed);
	}
}

/* What a former gateway left is made anew: it may have had another agent. */
static int clear_dir(const char *dir, struct err *err)
{
	AUTO_FREE char *tar = xasprintf("%s/agent.tar", dir);
	AUTO_FREE char *gz = xasprintf("%s/agent.tar.gz", dir);

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "create %s", dir);
	unlink(tar);
	unlink(gz);
	return 0;
}

/* ---- API ------------------------------------------------------------------------------------------------------- */

struct overlays *overlays_new(struct gateway *g, struct err *err)
{
	AUTO_FREE char *dir = xasprintf("%s/overlay", g->config->state_dir);
	AUTO_FREE char *image = g->config->agent_binary ? NULL : archive_agent_image(g->config);
	struct overlays *o;
	struct layer_work *w;

	if (!g->config->agent_binary && !image) {
		err_set(err, ERR_NOT_FOUND, "SOCKERLESS_AGENT_MODE=overlay: the agent's image is not beside %s (../share/agent-image); "
			"set SOCKERLESS_AGENT_BINARY to the static sockerless-agent", g->config->local_bin_dir);
		return NULL;
	}
	if (clear_dir(dir, err) < 0)
		return NULL;
	o = xcalloc(1, sizeof(*o));
	o->g = g;
	w = o->work = xcalloc(1, sizeof(*w));
	w->work.data = w;
	w->owner = o;
	w->binary = xstrdup(g->config->agent_binary);
	w->image = steal_ptr(&image);
	w->dir = steal_ptr(&dir);
	uv_queue_work(g->loop, &w->work, make_layer, on_layer_made);
	return o;
}

void overlays_free(struct overlays *o)
{
	struct injection *in, *next;
	struct known *k, *tmp;

	if (!o)
		return;
	if (o->work) {
		atomic_store(&o->work->stop, true);
		o->work->owner = NULL;
	}
	DL_FOREACH_SAFE(o->all, in, next) {
		struct overlay_wait *w, *w2;

		DL_FOREACH_SAFE(in->waits, w, w2)
			free(w);
		injection_free(in);
	}
	HASH_ITER(hh, o->known, k, tmp)
		forget(o, k);
	free(o->layer.path);
	free(o);
}

static struct injection *find_running(struct overlays *o, const char *base, const char *auth)
{
	struct injection *in;

	DL_FOREACH(o->all, in)
		if (!in->ended && strcmp(in->base, base) == 0 && (!auth || in->auth))
			return in;
	return NULL;
}

static void begin(void *ctx)
{
	struct injection *in = ctx;
	struct err err;

	in->timer = NULL;
	if (in->o->failed.kind) {
		fail(in, &in->o->failed);
	} else if (!in->from.digest) {
		err_set(&err, ERR_SYSTEM, "it is not known by its digest");
		fail(in, &err);
	} else if (in->o->layer.path) {
		look(in);
	}
}

static struct injection *injection_new(struct overlays *o, const char *base, const char *auth)
{
	struct injection *in = xcalloc(1, sizeof(*in));

	in->o = o;
	in->base = xstrdup(base);
	in->auth = xstrdup(auth);
	in->begun_ms = clock_mono_ms();
	in->ref = xstrdup(recall(o, base));
	DL_APPEND(o->all, in);
	if (reference_parse(base, &in->from, &in->err) < 0 || in->ref)
		in->timer = timer_start(o->g->loop, 0, end, in);
	else
		in->timer = timer_start(o->g->loop, 0, begin, in);
	return in;
}

struct overlay_wait *overlay_get(struct overlays *o, const char *image_ref, const char *auth, overlay_cb *cb, void *ctx)
{
	struct injection *in = find_running(o, image_ref, auth);
	struct overlay_wait *w;

	if (!in)
		in = injection_new(o, image_ref, auth);
	w = xcalloc(1, sizeof(*w));
	w->in = in;
	w->cb = cb;
	w->ctx = ctx;
	DL_APPEND(in->waits, w);
	return w;
}

void overlay_cancel(struct overlay_wait *w)
{
	struct injection *in = w ? w->in : NULL;

	if (!w)
		return;
	DL_DELETE(in->waits, w);
	free(w);
	if (!in->waits && !in->ended)
		injection_free(in);
}
