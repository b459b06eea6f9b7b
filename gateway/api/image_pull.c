/* image_pull - POST /images/create: ask the registry for manifest and config, and remember them.
 * Layers stay where they are, Cloud Run fetches them itself; so the progress lines tell what is known
 * and no download is acted. Without a tag every tag of the repository is pulled. Nothing is sent before the
 * first answer is known: a failure until then has its own status, later it is in the stream.
 *
 * In agent mode overlay an image that was pulled with a password is given its agent here, because at its start
 * nobody knows the password any more; others wait for their first start. */
#include <stdio.h>
#include <string.h>

#include "api/handlers.h"
#include "api/image_store.h"
#include "api/progress.h"
#include "api/reply.h"
#include "base/mem.h"
#include "image/credentials.h"
#include "image/overlay.h"
#include "image/reference.h"
#include "image/registry_fetch.h"
#include "image/registry_tags.h"
#include "state/events.h"
#include "state/image.h"

struct pull {
	struct reference ref;
	struct registry_session *session;
	struct registry_tags *list;
	struct registry_fetch *fetch;
	struct overlay_wait *overlay;
	struct strv wanted;     /* tags, or one digest; from `at` on still to do */
	size_t at;
	char digest[REGISTRY_DIGEST_MAX]; /* the present one's */
	bool begun, news;
};

static void release(struct request *r)
{
	struct pull *p = r->state;

	registry_tags_cancel(p->list);
	registry_fetch_cancel(p->fetch);
	overlay_cancel(p->overlay);
	registry_close(p->session);
	reference_release(&p->ref);
	strv_release(&p->wanted);
	free(p);
}

static void fail(struct request *r, const struct err *why)
{
	struct pull *p = r->state;
	struct err err = *why;

	if (err.kind == ERR_DENIED) /* as dockerd: 401 is not a status of this call */
		err.kind = ERR_UPSTREAM;
	if (!p->begun) {
		reply_err(r, &err);
		return;
	}
	reply_line(r, progress_error(&err));
	reply_end(r);
}

/* host/repository@digest, for Cloud Run: it knows Docker Hub by Docker Hub's name. */
static char *pull_reference(const struct gateway *g, const struct reference *ref, const char *digest)
{
	AUTO_FREE char *host = NULL, *repo = NULL;
	int plain;

	if (strcmp(ref->domain, "docker.io") == 0 && !g->config->hub_mirror)
		return xasprintf("docker.io/%s@%s", ref->path, digest);
	reference_location(ref, g->config, &host, &repo, &plain);
	return xasprintf("%s/%s@%s", host, repo, digest);
}

static void layer_lines(struct request *r, json_t *manifest, bool known)
{
	json_t *layers = json_object_get(manifest, "layers"), *layer;
	char id[PROGRESS_ID_MAX];
	size_t i;

	json_array_foreach(layers, i, layer) {
		const char *digest = json_string_value(json_object_get(layer, "digest"));

		if (!registry_is_digest(digest))
			continue;
		progress_id(digest, id);
		if (known) {
			reply_line(r, progress_layer(id, "Already exists"));
			continue;
		}
		reply_line(r, progress_layer(id, "Pulling fs layer"));
		reply_line(r, progress_layer(id, "Pull complete"));
	}
}

static bool has_name(const struct strv *names, const char *name)
{
	for (size_t k = 0; k < names->n; k++)
		if (strcmp(names->v[k], name) == 0)
			return true;
	return false;
}

static void next(struct request *r);

static void told(struct request *r, const char *digest)
{
	reply_line(r, progress_status(NULL, "Digest: %s", digest));
	((struct pull *)r->state)->at++;
	next(r);
}

static void on_overlay(void *ctx, const char *ref, const struct err *failed)
{
	struct request *r = ctx;
	struct pull *p = r->state;

	p->overlay = NULL;
	if (failed)
		fail(r, failed);
	else
		told(r, p->digest);
}

static bool has_password(struct request *r, const struct registry_session *s)
{
	struct credentials c = {0};
	bool given;

	credentials_from_header(exchange_header(r->x, "X-Registry-Auth"), registry_host(s), false, &c);
	given = credentials_given(&c);
	credentials_release(&c);
	return given;
}

static void fetched(void *ctx, const struct registry_image *image, const struct err *failed)
{
	struct request *r = ctx;
	struct pull *p = r->state;
	const char *what = p->wanted.v[p->at];
	bool by_digest = registry_is_digest(what), up_to_date;
	AUTO_FREE char *name = xasprintf("%s%c%s", p->ref.familiar, by_digest ? '@' : ':', what);
	AUTO_FREE char *digest_ref = NULL, *pull_ref = NULL;
	struct image *known;
	struct err err;

	p->fetch = NULL;
	if (failed) {
		fail(r, failed);
		return;
	}
	digest_ref = xasprintf("%s@%s", p->ref.familiar, image->digest);
	pull_ref = pull_reference(r->g, &p->ref, image->digest);
	known = images_find(r->g->images, image->id, NULL);
	up_to_date = known && has_name(by_digest ? &known->digests : &known->tags, name);
	p->news = p->news || !up_to_date;
	if (!images_put(r->g->images, image->id, by_digest ? NULL : name, digest_ref, pull_ref,
			json_incref(image->config), json_incref(image->manifest), &err)) {
		fail(r, &err);
		return;
	}
	events_emit(r->g->events, "image", "pull", name, json_pack("{s:s}", "name", p->ref.familiar));
	if (!p->begun)
		reply_begin(r, "application/json");
	p->begun = true;
	reply_line(r, progress_status(by_digest ? name : what, "Pulling from %s", p->ref.path));
	if (!up_to_date)
		layer_lines(r, image->manifest, known != NULL);
	memcpy(p->digest, image->digest, sizeof(p->digest));
	if (r->g->overlays && has_password(r, p->session))
		p->overlay = overlay_get(r->g->overlays, pull_ref, exchange_header(r->x, "X-Registry-Auth"), on_overlay, r);
	else
		told(r, p->digest);
}

static void next(struct request *r)
{
	struct pull *p = r->state;
	AUTO_FREE char *name = p->ref.tag || p->ref.digest ? reference_familiar_tagged(&p->ref) : xstrdup(p->ref.familiar);
	struct err err;

	if (p->at < p->wanted.n) {
		p->fetch = registry_fetch_in(p->session, p->wanted.v[p->at], REGISTRY_IMAGE, fetched, r, &err);
		if (!p->fetch)
			fail(r, &err);
		return;
	}
	if (!p->begun)
		reply_begin(r, "application/json");
	reply_line(r, progress_status(NULL, p->news ? "Status: Downloaded newer image for %s" :
				      "Status: Image is up to date for %s", name));
	reply_end(r);
}

static void listed(void *ctx, const struct strv *tags, const struct err *err)
{
	struct request *r = ctx;
	struct pull *p = r->state;

	p->list = NULL;
	if (err) {
		fail(r, err);
		return;
	}
	strv_copy(&p->wanted, tags);
	next(r);
}

/* "a/b:1", "a/b@sha256:…" and "a/b"; only the last stands for every tag. */
static int read_reference(struct request *r, const char *image, const char *tag, struct err *err)
{
	struct pull *p = r->state;
	const char *slash = strrchr(image, '/');
	AUTO_FREE char *text = tag && *tag ? xasprintf("%s%c%s", image, strchr(tag, ':') ? '@' : ':', tag) : xstrdup(image);

	if (tag && *tag && !strchr(tag, ':') && strspn(tag, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") != strlen(tag))
		return err_set(err, ERR_INVALID, "invalid tag format");
	if (reference_parse(text, &p->ref, err) < 0)
		return -1;
	if ((!tag || !*tag) && !strpbrk(slash ? slash : image, ":@")) {
		free(p->ref.tag);
		p->ref.tag = NULL;
	} else {
		strv_add(&p->wanted, p->ref.digest ? p->ref.digest : p->ref.tag);
	}
	return 0;
}

void image_pull(struct request *r)
{
	AUTO_FREE char *image = request_query(r, "fromImage"), *tag = request_query(r, "tag");
	AUTO_FREE char *source = request_query(r, "fromSrc"), *platform = request_query(r, "platform");
	struct pull *p;
	struct err err;

	if (!image || !*image) {
		if (source && *source)
			image_import(r);
		else
			reply_error(r, ERR_INVALID, "fromImage is missing");
		return;
	}
	if (image_platform_check(platform, &err) < 0) {
		reply_err(r, &err);
		return;
	}
	p = xcalloc(1, sizeof(*p));
	r->state = p;
	r->release = release;
	if (read_reference(r, image, tag, &err) < 0) {
		reply_err(r, &err);
		return;
	}
	p->session = registry_open(r->g, &p->ref, exchange_header(r->x, "X-Registry-Auth"), REGISTRY_PULL);
	if (p->wanted.n) {
		next(r);
		return;
	}
	p->list = registry_tags_start(p->session, listed, r, &err);
	if (!p->list)
		fail(r, &err);
}
