/* image_push - POST /images/{name}/push: an image that is known here by a tag is copied from the registry it
 * was pulled from to the one its tag names. Layers that are there stay, those of the same registry are
 * mounted, the rest flows through. Every tag of a repository is pushed when none is given. */
#include <string.h>

#include "api/handlers.h"
#include "api/progress.h"
#include "api/reply.h"
#include "base/mem.h"
#include "image/reference.h"
#include "image/registry_fetch.h"
#include "image/registry_put.h"
#include "state/image.h"

#define PROGRESS_STEP (512 * 1024)

struct push {
	struct reference to;
	char *auth;                       /* for the registry that is pushed to */
	struct strv tags;                 /* still to push, from `at` on */
	size_t at;
	/* the present one */
	struct registry_session *source, *target;
	struct registry_fetch *fetch;
	struct registry_put *put;
	struct registry_blob *layers;
	char (*ids)[PROGRESS_ID_MAX];     /* as shown */
	int64_t *told;                    /* bytes of each, when last shown */
	size_t n_layers;
	char *manifest, *manifest_type, *config, *mount_from;
	size_t manifest_len;
	json_t *parsed;                   /* the manifest: layers' digests are borrowed from it */
	char config_digest[REGISTRY_DIGEST_MAX];
};

static void next_tag(struct request *r);

static void drop_present(struct push *p)
{
	registry_fetch_cancel(p->fetch);
	registry_put_cancel(p->put);
	p->fetch = NULL;
	p->put = NULL;
	registry_close(p->source);
	registry_close(p->target);
	p->source = p->target = NULL;
	free(p->layers);
	free(p->ids);
	free(p->told);
	free(p->manifest);
	free(p->manifest_type);
	free(p->config);
	free(p->mount_from);
	p->layers = NULL;
	p->ids = NULL;
	p->told = NULL;
	p->manifest = p->manifest_type = p->config = p->mount_from = NULL;
	json_decref(p->parsed);
	p->parsed = NULL;
}

static void release(struct request *r)
{
	struct push *p = r->state;

	drop_present(p);
	reference_release(&p->to);
	free(p->auth);
	strv_release(&p->tags);
	free(p);
}

static void fail(struct request *r, const struct err *err)
{
	reply_line(r, progress_error(err));
	reply_end(r);
}

/* ---- sending --------------------------------------------------------------------------------------- */

static void on_progress(void *ctx, size_t i, int64_t sent)
{
	struct request *r = ctx;
	struct push *p = r->state;

	if (sent - p->told[i] < PROGRESS_STEP && p->told[i] <= sent && p->told[i] > 0)
		return;
	p->told[i] = sent;
	reply_line(r, progress_bar(p->ids[i], "Pushing", sent, p->layers[i].size));
}

static void on_layer(void *ctx, size_t i, enum upload_result result)
{
	struct request *r = ctx;
	struct push *p = r->state;

	if (result == UPLOAD_MOUNTED)
		reply_line(r, progress_layer(p->ids[i], "Mounted from %s", p->mount_from));
	else
		reply_line(r, progress_layer(p->ids[i], result == UPLOAD_SENT ? "Pushed" : "Layer already exists"));
}

static void on_put(void *ctx, const char *digest, const struct err *err)
{
	struct request *r = ctx;
	struct push *p = r->state;
	const char *tag = strrchr(p->tags.v[p->at], ':') + 1;

	p->put = NULL;
	if (err) {
		fail(r, err);
		return;
	}
	reply_line(r, progress_status(NULL, "%s: digest: %s size: %zu", tag, digest, p->manifest_len));
	reply_line(r, json_pack("{s:{}, s:{s:s, s:s, s:I}}", "progressDetail", "aux", "Tag", tag, "Digest", digest, "Size",
				(json_int_t)p->manifest_len));
	images_pushed(r->g->images, p->config_digest, p->to.familiar, digest);
	p->at++;
	next_tag(r);
}

/* Layers by the diff IDs that dockerd shows them by; those without bytes of their own in the registry
 * ("foreign") stay where they are. */
static void read_layers(struct push *p, json_t *config)
{
	json_t *layers = json_object_get(p->parsed, "layers"), *layer;
	json_t *diff_ids = json_object_get(json_object_get(config, "rootfs"), "diff_ids");
	size_t i, n = json_array_size(layers);

	p->layers = xcalloc(n + 1, sizeof(*p->layers));
	p->ids = xcalloc(n + 1, sizeof(*p->ids));
	p->told = xcalloc(n + 1, sizeof(*p->told));
	p->n_layers = 0;
	json_array_foreach(layers, i, layer) {
		const char *digest = json_string_value(json_object_get(layer, "digest"));
		const char *type = json_string_value(json_object_get(layer, "mediaType"));
		const char *diff_id = json_string_value(json_array_get(diff_ids, i));

		if (!registry_is_digest(digest) || (type && strstr(type, "foreign")))
			continue;
		progress_id(diff_id ? diff_id : digest, p->ids[p->n_layers]);
		p->layers[p->n_layers++] = (struct registry_blob){
			.digest = digest, .size = json_integer_value(json_object_get(layer, "size")),
			.mount_from = p->mount_from, .from = p->source,
		};
	}
}

static void on_fetched(void *ctx, const struct registry_image *image, const struct err *failed)
{
	static const struct registry_put_ops ops = {on_progress, on_layer, on_put};
	struct request *r = ctx;
	struct push *p = r->state;
	struct registry_put_options opt;
	struct err err;

	p->fetch = NULL;
	if (failed) {
		err = *failed;
		err_wrap(&err, "the image's own registry");
		fail(r, &err);
		return;
	}
	p->parsed = json_incref(image->manifest);
	p->manifest = xstrndup(image->manifest_text, image->manifest_len);
	p->manifest_type = xstrdup(image->manifest_type);
	p->manifest_len = image->manifest_len;
	p->config = xstrndup(image->config_text, image->config_len);
	memcpy(p->config_digest, image->id, sizeof(p->config_digest));
	read_layers(p, image->config);
	for (size_t i = p->n_layers; i-- > 0;) /* the topmost first, as dockerd lists them */
		reply_line(r, progress_layer(p->ids[i], "Preparing"));
	opt = (struct registry_put_options){
		.reference = strrchr(p->tags.v[p->at], ':') + 1, .manifest = p->manifest,
		.manifest_type = p->manifest_type, .manifest_len = p->manifest_len, .layers = p->layers,
		.n_layers = p->n_layers,
		.config = {.digest = p->config_digest, .size = (int64_t)image->config_len, .bytes = p->config},
	};
	p->put = registry_put_start(r->g, p->target, &opt, &ops, r, &err);
	if (!p->put)
		fail(r, &err);
}

/* ---- what to send -------------------------------------------------------------------------------------- */

static int open_both(struct request *r, const struct image *i, struct err *err)
{
	struct push *p = r->state;
	struct reference from;
	bool same;

	if (!i->pull_ref || reference_parse(i->pull_ref, &from, NULL) < 0)
		return err_set(err, ERR_SYSTEM, "%s: the registry it came from is not known", p->tags.v[p->at]);
	p->target = registry_open(r->g, &p->to, p->auth, REGISTRY_PUSH);
	same = strcmp(from.domain, p->to.domain) == 0;
	p->source = registry_open(r->g, &from, same ? p->auth : NULL, REGISTRY_PULL);
	if (strcmp(registry_host(p->source), registry_host(p->target)) == 0 &&
	    strcmp(registry_repo(p->source), registry_repo(p->target)) != 0) {
		p->mount_from = xstrdup(registry_repo(p->source));
		registry_also_read(p->target, p->mount_from);
	}
	p->fetch = registry_fetch_in(p->source, from.digest ? from.digest : from.tag, REGISTRY_IMAGE, on_fetched, r, err);
	reference_release(&from);
	return p->fetch ? 0 : -1;
}

static void next_tag(struct request *r)
{
	struct push *p = r->state;
	struct image *i;
	struct err err;

	drop_present(p);
	if (p->at == p->tags.n) {
		reply_end(r);
		return;
	}
	i = images_find(r->g->images, p->tags.v[p->at], &err);
	if (!i || open_both(r, i, &err) < 0)
		fail(r, &err);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Every tag of the repository, or the one that is asked for. */
static int find_tags(struct request *r, const char *tag, struct err *err)
{
	struct push *p = r->state;
	size_t len = strlen(p->to.familiar);
	struct image **list = images_list(r->g->images);
	bool known = false;

	for (size_t i = 0; list[i]; i++)
		for (size_t k = 0; k < list[i]->tags.n; k++) {
			const char *name = list[i]->tags.v[k];

			if (strncmp(name, p->to.familiar, len) != 0 || name[len] != ':')
				continue;
			known = true;
			if (!tag || strcmp(name + len + 1, tag) == 0)
				strv_add(&p->tags, name);
		}
	free(list);
	if (!known)
		return err_set(err, ERR_NOT_FOUND, "An image does not exist locally with the tag: %s", p->to.familiar);
	if (!p->tags.n)
		return err_set(err, ERR_NOT_FOUND, "tag does not exist: %s:%s", p->to.familiar, tag);
	qsort(p->tags.v, p->tags.n, sizeof(*p->tags.v), by_name);
	return 0;
}

/* "a/b:1" names a tag itself; "a/b" does not. */
static bool names_tag(const char *name)
{
	const char *slash = strrchr(name, '/');

	return strchr(slash ? slash : name, ':') != NULL;
}

void image_push(struct request *r)
{
	AUTO_FREE char *tag = request_query(r, "tag");
	AUTO_FREE char *name = tag && *tag ? xasprintf("%s:%s", r->name, tag) : xstrdup(r->name);
	struct push *p = xcalloc(1, sizeof(*p));
	struct err err;

	r->state = p;
	r->release = release;
	if (reference_parse(name, &p->to, &err) < 0) {
		reply_err(r, &err);
		return;
	}
	p->auth = xstrdup(exchange_header(r->x, "X-Registry-Auth"));
	reply_begin(r, "application/json");
	reply_line(r, progress_status(NULL, "The push refers to repository [%s/%s]", p->to.domain, p->to.path));
	if (p->to.digest) {
		err_set(&err, ERR_INVALID, "cannot push a digest reference");
		fail(r, &err);
	} else if (find_tags(r, names_tag(name) ? p->to.tag : NULL, &err) < 0) {
		fail(r, &err);
	} else {
		next_tag(r);
	}
}
