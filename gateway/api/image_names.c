/* image_names - tag, remove and prune: an image lives as long as it has a name. */
#include <string.h>

#include "api/filters.h"
#include "api/handlers.h"
#include "api/image_view.h"
#include "api/reply.h"
#include "base/clock.h"
#include "base/mem.h"
#include "image/reference.h"
#include "state/container.h"
#include "state/events.h"
#include "state/image.h"

#define SHORT_ID 12
#define SHA256_PREFIX 7 /* "sha256:" */

static void emit(struct gateway *g, const char *action, const char *id, const char *name)
{
	events_emit(g->events, "image", action, id, json_pack("{s:s}", "name", name));
}

/* What ?repo= and ?tag= name: a tag replaces the one in repo. Caller frees. */
static char *read_name(struct request *r, struct err *err)
{
	AUTO_FREE char *repo = request_query(r, "repo"), *tag = request_query(r, "tag"), *text = NULL;
	struct reference ref;
	char *name = NULL;

	if (reference_parse(repo ? repo : "", &ref, err) < 0)
		return NULL;
	if (tag && *tag && !ref.digest) {
		text = xasprintf("%s:%s", ref.familiar, tag);
		reference_release(&ref);
		if (reference_parse(text, &ref, NULL) < 0) {
			err_set(err, ERR_INVALID, "invalid tag format");
			return NULL;
		}
	}
	if (ref.digest)
		err_set(err, ERR_INVALID, "refusing to create a tag with a digest reference");
	else if (strcmp(ref.familiar, "sha256") == 0)
		err_set(err, ERR_INVALID, "refusing to create an ambiguous tag using digest algorithm as name");
	else
		name = reference_familiar_tagged(&ref);
	reference_release(&ref);
	return name;
}

void image_tag(struct request *r)
{
	struct image *i = image_named(r);
	AUTO_FREE char *name = NULL;
	struct err err;

	if (!i)
		return;
	name = read_name(r, &err);
	if (!name || !images_put(r->g->images, i->id, name, NULL, i->pull_ref, json_incref(i->config),
				 json_incref(i->manifest), &err)) {
		reply_err(r, &err);
		return;
	}
	emit(r->g, "tag", i->id, name);
	reply_empty(r, 201);
}

/* The container that keeps the image from being removed, or NULL. */
static struct container *user_of(struct request *r, const struct image *i, bool running_only)
{
	struct container **list = containers_list(r->g->containers), *found = NULL;

	for (size_t k = 0; list[k] && !found; k++)
		if (list[k]->image_id && strcmp(list[k]->image_id, i->id) == 0 &&
		    (!running_only || container_is_running(list[k])))
			found = list[k];
	free(list);
	return found;
}

/* dockerd's conflicts: a running container always keeps its image, a stopped one unless forced. */
static int check_unused(struct request *r, const struct image *i, bool by_id, bool force, struct err *err)
{
	const char *short_id = i->id + SHA256_PREFIX;
	struct container *c = user_of(r, i, true);

	if (c && by_id)
		return err_set(err, ERR_CONFLICT, "conflict: unable to delete %.*s (cannot be forced) - image is being "
			       "used by running container %.*s", SHORT_ID, short_id, SHORT_ID, c->id);
	if (c)
		return err_set(err, ERR_CONFLICT, "conflict: unable to remove repository reference \"%s\" (cannot be "
			       "forced) - container %.*s is using its referenced image %.*s", r->name, SHORT_ID, c->id,
			       SHORT_ID, short_id);
	if (by_id && i->tags.n > 1 && !force)
		return err_set(err, ERR_CONFLICT, "conflict: unable to delete %.*s (must be forced) - image is "
			       "referenced in multiple repositories", SHORT_ID, short_id);
	c = force ? NULL : user_of(r, i, false);
	if (c && by_id)
		return err_set(err, ERR_CONFLICT, "conflict: unable to delete %.*s (must be forced) - image is being "
			       "used by stopped container %.*s", SHORT_ID, short_id, SHORT_ID, c->id);
	if (c)
		return err_set(err, ERR_CONFLICT, "conflict: unable to remove repository reference \"%s\" (must force) - "
			       "container %.*s is using its referenced image %.*s", r->name, SHORT_ID, c->id, SHORT_ID,
			       short_id);
	return 0;
}

static bool has_name(const struct strv *names, const char *name)
{
	for (size_t k = 0; k < names->n; k++)
		if (strcmp(names->v[k], name) == 0)
			return true;
	return false;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names that before has and i (NULL: no image any more) has not, in order. */
static void report_untagged(json_t *out, struct strv *before, const struct image *i)
{
	if (before->n)
		qsort(before->v, before->n, sizeof(*before->v), by_text);
	for (size_t k = 0; k < before->n; k++)
		if (!i || (!has_name(&i->tags, before->v[k]) && !has_name(&i->digests, before->v[k])))
			json_array_append_new(out, json_pack("{s:s}", "Untagged", before->v[k]));
}

/* Take one name away, or all when name is NULL; the image goes with its last one. Adds dockerd's lines
 * to out: there are no layers here to be told of. */
static int remove_image(struct gateway *g, struct image *i, const char *name, json_t *out, struct err *err)
{
	AUTO_FREE char *id = xstrdup(i->id);
	struct strv before = {0};
	bool deleted = false;
	int rc;

	strv_copy(&before, &i->tags);
	for (size_t k = 0; k < i->digests.n; k++)
		strv_add(&before, i->digests.v[k]);
	rc = image_untag(g->images, i, name, &deleted, err);
	if (rc == 0) {
		report_untagged(out, &before, deleted ? NULL : i);
		if (before.n)
			emit(g, "untag", id, id);
	}
	if (deleted) {
		json_array_append_new(out, json_pack("{s:s}", "Deleted", id));
		emit(g, "delete", id, id);
	}
	strv_release(&before);
	return rc;
}

/* The name of the image that ref says, or NULL if ref is an ID; caller frees. */
static char *name_meant(const struct image *i, const char *ref)
{
	struct reference parsed;
	char *name;

	if (reference_parse(ref, &parsed, NULL) < 0)
		return NULL;
	name = reference_familiar_tagged(&parsed);
	reference_release(&parsed);
	if (has_name(&i->tags, name) || has_name(&i->digests, name))
		return name;
	free(name);
	return NULL;
}

void image_delete(struct request *r)
{
	bool force = request_flag(r, "force");
	struct image *i = image_named(r);
	AUTO_FREE char *name = NULL;
	struct err err;
	json_t *out;

	if (!i)
		return;
	name = name_meant(i, r->name);
	/* One of several names may always go: the image stays. */
	if ((!name || i->tags.n == 1) && check_unused(r, i, !name, force, &err) < 0) {
		reply_err(r, &err);
		return;
	}
	out = json_array();
	if (remove_image(r->g, i, name, out, &err) < 0) {
		json_decref(out);
		reply_err(r, &err);
		return;
	}
	reply_json(r, 200, out);
}

static bool prunable(struct request *r, const struct filters *f, const struct image *i, bool all, int64_t until_ns)
{
	return (all || i->tags.n == 0) && !user_of(r, i, false) && image_created_ns(i) < until_ns &&
	       filters_labels(f, "label", image_labels(i)) &&
	       !(filters_has(f, "label!") && filters_labels(f, "label!", image_labels(i)));
}

void image_prune(struct request *r)
{
	static const char *const allowed[] = {"dangling", "label", "label!", "until", NULL};
	AUTO_FREE char *text = request_query(r, "filters");
	bool dangling = true;
	struct filters f;
	struct image **list;
	int64_t until_ns;
	json_t *out;
	struct err err;

	if (filters_parse(&f, text, &err) < 0 || filters_check(&f, allowed, &err) < 0 ||
	    image_read_dangling(&f, &dangling, &err) < 0 || filters_until(&f, clock_wall_ns(), &until_ns, &err) < 0) {
		filters_release(&f);
		reply_err(r, &err);
		return;
	}
	out = json_array();
	list = images_list(r->g->images);
	for (size_t i = 0; list[i]; i++)
		if (prunable(r, &f, list[i], !dangling, until_ns) && remove_image(r->g, list[i], NULL, out, &err) < 0)
			break;
	free(list);
	filters_release(&f);
	if (json_array_size(out) == 0) { /* as Go writes an empty list */
		json_decref(out);
		out = json_null();
	}
	/* Layers are in the registry: nothing of ours was freed. */
	reply_json(r, 200, json_pack("{s:o, s:i}", "ImagesDeleted", out, "SpaceReclaimed", 0));
}
