/* image_pull - POST /images/create: ask the registry for manifest and config, and remember them.
 * Layers stay where they are, Cloud Run fetches them itself; so the progress lines tell what is known
 * and no download is acted. Nothing is sent before the answer is known: a failure has its own status. */
#include <stdio.h>
#include <string.h>

#include "api/handlers.h"
#include "api/reply.h"
#include "base/mem.h"
#include "image/reference.h"
#include "image/registry_fetch.h"
#include "state/events.h"
#include "state/image.h"

#define SHORT_ID 12
#define SHA256_PREFIX 7

struct pull {
	struct reference ref;
	struct registry_fetch *fetch;
};

static void release(struct request *r)
{
	struct pull *p = r->state;

	registry_fetch_cancel(p->fetch);
	reference_release(&p->ref);
	free(p);
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

static void status(struct request *r, const char *id, const char *fmt, const char *what)
{
	AUTO_FREE char *text = xasprintf("%s%s", fmt, what);
	json_t *line = json_pack("{s:s}", "status", text);

	if (id)
		json_object_set_new(line, "id", json_string(id));
	reply_line(r, line);
}

static void layer_lines(struct request *r, json_t *manifest, bool known)
{
	json_t *layers = json_object_get(manifest, "layers"), *layer;
	size_t i;

	json_array_foreach(layers, i, layer) {
		const char *digest = json_string_value(json_object_get(layer, "digest"));
		char id[SHORT_ID + 1];

		if (!digest || strlen(digest) <= SHA256_PREFIX)
			continue;
		snprintf(id, sizeof(id), "%s", digest + SHA256_PREFIX);
		if (known) {
			reply_line(r, json_pack("{s:s, s:{}, s:s}", "status", "Already exists", "progressDetail", "id", id));
			continue;
		}
		reply_line(r, json_pack("{s:s, s:{}, s:s}", "status", "Pulling fs layer", "progressDetail", "id", id));
		reply_line(r, json_pack("{s:s, s:{}, s:s}", "status", "Pull complete", "progressDetail", "id", id));
	}
}

static bool has_tag(const struct image *i, const char *tag)
{
	for (size_t k = 0; i && k < i->tags.n; k++)
		if (strcmp(i->tags.v[k], tag) == 0)
			return true;
	return false;
}

static void fetched(void *ctx, const struct registry_image *image, const struct err *failed)
{
	struct request *r = ctx;
	struct pull *p = r->state;
	AUTO_FREE char *name = NULL, *digest_ref = NULL, *pull_ref = NULL;
	struct image *known;
	struct err err;
	bool up_to_date;

	p->fetch = NULL;
	if (failed) {
		err = *failed;
		if (err.kind == ERR_DENIED) /* dockerd does not tell a hidden repository from none */
			err.kind = ERR_NOT_FOUND;
		reply_err(r, &err);
		return;
	}
	name = reference_familiar_tagged(&p->ref);
	digest_ref = xasprintf("%s@%s", p->ref.familiar, image->digest);
	pull_ref = pull_reference(r->g, &p->ref, image->digest);
	known = images_find(r->g->images, image->id, NULL);
	up_to_date = known && (p->ref.digest || has_tag(known, name));
	if (!images_put(r->g->images, image->id, p->ref.digest ? NULL : name, digest_ref, pull_ref,
			json_incref(image->config), json_incref(image->manifest), &err)) {
		reply_err(r, &err);
		return;
	}
	events_emit(r->g->events, "image", "pull", name, json_pack("{s:s}", "name", p->ref.familiar));
	reply_begin(r, "application/json");
	status(r, p->ref.digest ? p->ref.digest : p->ref.tag, "Pulling from ", p->ref.path);
	if (!up_to_date)
		layer_lines(r, image->manifest, known != NULL);
	status(r, NULL, "Digest: ", image->digest);
	status(r, NULL, up_to_date ? "Status: Image is up to date for " : "Status: Downloaded newer image for ", name);
	reply_end(r);
}

/* Cloud Run runs linux/amd64 and nothing else. */
static bool platform_runs(const char *platform)
{
	return !platform || !*platform || strcmp(platform, "linux") == 0 || strcmp(platform, "linux/amd64") == 0 ||
	       strncmp(platform, "linux/amd64/", 12) == 0;
}

void image_pull(struct request *r)
{
	AUTO_FREE char *image = request_query(r, "fromImage"), *tag = request_query(r, "tag");
	AUTO_FREE char *source = request_query(r, "fromSrc"), *platform = request_query(r, "platform"), *text = NULL;
	struct pull *p;
	struct err err;

	if (!image || !*image) {
		reply_error(r, source ? ERR_UNSUPPORTED : ERR_INVALID, source
			    ? "POST /images/create?fromSrc= (import) is not available: images for Cloud Run come from a registry"
			    : "fromImage is missing");
		return;
	}
	if (!platform_runs(platform)) {
		reply_error(r, ERR_NOT_FOUND, "no matching manifest for %s: Cloud Run runs linux/amd64", platform);
		return;
	}
	if (tag && *tag)
		text = xasprintf("%s%c%s", image, strchr(tag, ':') ? '@' : ':', tag);
	else
		text = xstrdup(image);
	p = xcalloc(1, sizeof(*p));
	r->state = p;
	r->release = release;
	if (reference_parse(text, &p->ref, &err) < 0) {
		reply_err(r, &err);
		return;
	}
	p->fetch = registry_fetch_start(r->g, &p->ref, exchange_header(r->x, "X-Registry-Auth"), fetched, r, &err);
	if (!p->fetch)
		reply_err(r, &err);
}
