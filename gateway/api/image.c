/* image - list, inspect, history, tag, remove: what has been pulled, from its stored configs. */
#include "state/image.h"

#include <fnmatch.h>
#include <string.h>

#include "api/filters.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "image/reference.h"
#include "state/container.h"
#include "state/events.h"

#define SHORT_ID 12
#define SHA256_PREFIX 7 /* "sha256:" */

static json_t *strings(const struct strv *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->n; i++)
		json_array_append_new(list, json_string(s->v[i]));
	return list;
}

static const char *string_of(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static int64_t created_ns(const struct image *i)
{
	int64_t ns = 0;

	clock_parse(string_of(i->config, "created"), &ns);
	return ns;
}

static json_t *labels_of(const struct image *i)
{
	return json_object_get(json_object_get(i->config, "config"), "Labels");
}

static struct image *find(struct request *r)
{
	struct err err;
	struct image *i = images_find(r->g->images, r->name, &err);

	if (!i)
		reply_err(r, &err);
	return i;
}

static void emit(struct gateway *g, const char *action, const char *id, const char *name)
{
	events_emit(g->events, "image", action, id, json_pack("{s:s}", "name", name));
}

/* ---- list ---------------------------------------------------------------------------------------- */

static bool matches_reference(const struct filters *f, const struct image *i)
{
	json_t *patterns = filters_values(f, "reference"), *v;
	const char *pattern;

	if (!patterns)
		return true;
	json_object_foreach(patterns, pattern, v)
		for (size_t k = 0; k < i->tags.n; k++) {
			const char *tag = i->tags.v[k], *slash = strrchr(tag, '/');
			const char *colon = strchr(slash ? slash : tag, ':');
			AUTO_FREE char *name = colon ? xstrndup(tag, (size_t)(colon - tag)) : xstrdup(tag);

			if (fnmatch(pattern, tag, FNM_PATHNAME) == 0 || fnmatch(pattern, name, FNM_PATHNAME) == 0)
				return true;
		}
	return false;
}

struct bounds {
	int64_t before_ns, since_ns, until_ns; /* 0 = open */
};

static int read_bounds(struct request *r, const struct filters *f, struct bounds *ret, struct err *err)
{
	const char *before = filters_first(f, "before"), *since = filters_first(f, "since");
	const char *until = filters_first(f, "until");
	struct image *i;

	*ret = (struct bounds){0};
	if (before) {
		i = images_find(r->g->images, before, err);
		if (!i)
			return -1;
		ret->before_ns = created_ns(i);
	}
	if (since) {
		i = images_find(r->g->images, since, err);
		if (!i)
			return -1;
		ret->since_ns = created_ns(i);
	}
	if (until && parse_docker_time(until, &ret->until_ns) < 0)
		return err_set(err, ERR_INVALID, "invalid filter 'until=%s'", until);
	return 0;
}

static bool listed(const struct filters *f, const struct bounds *b, const struct image *i)
{
	const char *dangling = filters_first(f, "dangling");
	int64_t created = created_ns(i);

	if (dangling && parse_docker_bool(dangling) != (i->tags.n == 0))
		return false;
	if ((b->before_ns && created >= b->before_ns) || (b->since_ns && created <= b->since_ns) ||
	    (b->until_ns && created >= b->until_ns))
		return false;
	return matches_reference(f, i) && filters_labels(f, "label", labels_of(i));
}

static json_t *summary(const struct request *r, const struct image *i)
{
	json_t *labels = labels_of(i), *tags = strings(&i->tags), *digests = strings(&i->digests), *o;

	if (r->version < 43 && i->tags.n == 0)
		json_array_append_new(tags, json_string("<none>:<none>"));
	if (r->version < 43 && i->digests.n == 0)
		json_array_append_new(digests, json_string("<none>@<none>"));
	o = json_pack("{s:i, s:I, s:s, s:O?, s:s, s:o, s:o, s:i, s:I}", "Containers", -1, "Created",
		      (json_int_t)(created_ns(i) / 1000000000), "Id", i->id, "Labels", labels, "ParentId", "",
		      "RepoDigests", digests, "RepoTags", tags, "SharedSize", -1, "Size", (json_int_t)i->size);
	if (r->version < 44)
		json_object_set_new(o, "VirtualSize", json_integer((json_int_t)i->size));
	return o;
}

void image_list(struct request *r)
{
	static const char *const allowed[] = {"before", "dangling", "label", "reference", "since", "until", NULL};
	AUTO_FREE char *text = request_query(r, "filters");
	AUTO_FREE char *legacy = request_query(r, "filter"); /* API < 1.28: one reference */
	struct image **list;
	struct filters f;
	struct bounds b;
	struct err err;
	json_t *out;

	if (filters_parse(&f, text, &err) < 0 || filters_check(&f, allowed, &err) < 0 ||
	    read_bounds(r, &f, &b, &err) < 0) {
		filters_release(&f);
		reply_err(r, &err);
		return;
	}
	if (legacy && *legacy && r->version < 28) {
		if (!f.map)
			f.map = json_object();
		json_object_set_new(f.map, "reference", json_pack("{s:b}", legacy, 1));
	}
	out = json_array();
	list = images_list(r->g->images);
	for (size_t i = 0; list[i]; i++)
		if (listed(&f, &b, list[i]))
			json_array_append_new(out, summary(r, list[i]));
	free(list);
	filters_release(&f);
	reply_json(r, 200, out);
}

/* ---- one image ----------------------------------------------------------------------------------- */

void image_inspect(struct request *r)
{
	struct image *i = find(r);
	char created[CLOCK_RFC3339_MAX], pulled[CLOCK_RFC3339_MAX];
	json_t *o, *config, *layers;

	if (!i)
		return;
	config = json_object_get(i->config, "config");
	layers = json_object_get(json_object_get(i->config, "rootfs"), "diff_ids");
	o = json_pack("{s:s, s:o, s:o, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:{s:n, s:s}, s:{s:s, s:O?}, s:{s:s}}",
		      "Id", i->id, "RepoTags", strings(&i->tags), "RepoDigests", strings(&i->digests), "Parent", "",
		      "Comment", string_of(i->config, "comment"),
		      "Created", clock_format(created_ns(i), 0, created), "DockerVersion",
		      string_of(i->config, "docker_version"), "Author", string_of(i->config, "author"),
		      "Architecture", string_of(i->config, "architecture"), "Os", string_of(i->config, "os"),
		      "Size", (json_int_t)i->size, "GraphDriver", "Data", "Name", "cloudrun", "RootFS", "Type", "layers",
		      "Layers", layers, "Metadata", "LastTagTime", clock_format(i->pulled_ns, 0, pulled));
	json_object_set(o, "Config", config ? config : json_null());
	if (*string_of(i->config, "variant"))
		json_object_set(o, "Variant", json_object_get(i->config, "variant"));
	if (r->version < 44)
		json_object_set_new(o, "VirtualSize", json_integer((json_int_t)i->size));
	if (r->version < 45) {
		json_object_set_new(o, "Container", json_string(""));
		json_object_set_new(o, "ContainerConfig", json_null());
	}
	reply_json(r, 200, o);
}

void image_history(struct request *r)
{
	struct image *i = find(r);
	json_t *out, *steps, *layers;
	size_t layer = 0;

	if (!i)
		return;
	out = json_array();
	steps = json_object_get(i->config, "history");
	layers = json_object_get(i->manifest, "layers");
	for (size_t k = 0; k < json_array_size(steps); k++) {
		json_t *step = json_array_get(steps, k);
		bool empty = json_is_true(json_object_get(step, "empty_layer")), last = k + 1 == json_array_size(steps);
		json_t *size = empty ? NULL : json_object_get(json_array_get(layers, layer++), "size");
		int64_t created = 0;

		clock_parse(string_of(step, "created"), &created);
		json_array_insert_new(out, 0, json_pack(
			"{s:s, s:I, s:s, s:o, s:I, s:s}", "Id", last ? i->id : "<missing>", "Created",
			(json_int_t)(created / 1000000000), "CreatedBy", string_of(step, "created_by"), "Tags",
			last && i->tags.n ? strings(&i->tags) : json_null(), "Size", json_integer_value(size), "Comment",
			string_of(step, "comment")));
	}
	reply_json(r, 200, out);
}

/* ---- names --------------------------------------------------------------------------------------- */

void image_tag(struct request *r)
{
	struct image *i = find(r);
	AUTO_FREE char *repo = NULL, *tag = NULL, *text = NULL, *name = NULL;
	struct reference ref;
	struct err err;

	if (!i)
		return;
	repo = request_query(r, "repo");
	tag = request_query(r, "tag");
	text = tag && *tag ? xasprintf("%s:%s", repo ? repo : "", tag) : xstrdup(repo ? repo : "");
	if (reference_parse(text, &ref, &err) < 0) {
		reply_err(r, &err);
		return;
	}
	if (ref.digest) {
		reference_release(&ref);
		reply_error(r, ERR_INVALID, "refusing to create a tag with a digest reference");
		return;
	}
	name = reference_familiar_tagged(&ref);
	reference_release(&ref);
	i = images_put(r->g->images, i->id, name, NULL, i->pull_ref, json_incref(i->config), json_incref(i->manifest),
		       &err);
	if (!i) {
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
	c = force ? NULL : user_of(r, i, false);
	if (c && by_id)
		return err_set(err, ERR_CONFLICT, "conflict: unable to delete %.*s (must be forced) - image is being "
			       "used by stopped container %.*s", SHORT_ID, short_id, SHORT_ID, c->id);
	if (c)
		return err_set(err, ERR_CONFLICT, "conflict: unable to remove repository reference \"%s\" (must force) - "
			       "container %.*s is using its referenced image %.*s", r->name, SHORT_ID, c->id, SHORT_ID,
			       short_id);
	if (by_id && i->tags.n > 1 && !force)
		return err_set(err, ERR_CONFLICT, "conflict: unable to delete %.*s (must be forced) - image is "
			       "referenced in multiple repositories", SHORT_ID, short_id);
	return 0;
}

static void report(json_t *out, const char *what, const struct strv *names)
{
	for (size_t k = 0; k < names->n; k++)
		json_array_append_new(out, json_pack("{s:s}", what, names->v[k]));
}

/* Take one name away, or all when name is NULL; the image goes with its last one. Adds dockerd's lines
 * to out. */
static int remove_image(struct gateway *g, struct image *i, const char *name, json_t *out, struct err *err)
{
	AUTO_FREE char *id = xstrdup(i->id);
	struct strv gone = {0}, digests = {0};
	bool deleted = false;
	int rc;

	if (name)
		strv_add(&gone, name);
	else
		strv_copy(&gone, &i->tags);
	strv_copy(&digests, &i->digests);
	rc = image_untag(g->images, i, name, &deleted, err);
	if (rc == 0) {
		report(out, "Untagged", &gone);
		if (gone.n)
			emit(g, "untag", id, id);
	}
	if (deleted) {
		if (!name || !strchr(name, '@'))
			report(out, "Untagged", &digests);
		json_array_append_new(out, json_pack("{s:s}", "Deleted", id));
		emit(g, "delete", id, id);
	}
	strv_release(&gone);
	strv_release(&digests);
	return rc;
}

static bool has_name(const struct strv *names, const char *name)
{
	for (size_t k = 0; k < names->n; k++)
		if (strcmp(names->v[k], name) == 0)
			return true;
	return false;
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
	struct image *i = find(r);
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

void image_prune(struct request *r)
{
	static const char *const allowed[] = {"dangling", "label", "label!", "until", NULL};
	AUTO_FREE char *text = request_query(r, "filters");
	struct filters f;
	struct bounds b;
	struct image **list;
	json_t *out;
	const char *dangling;
	struct err err;
	bool all;

	if (filters_parse(&f, text, &err) < 0 || filters_check(&f, allowed, &err) < 0 ||
	    read_bounds(r, &f, &b, &err) < 0) {
		filters_release(&f);
		reply_err(r, &err);
		return;
	}
	dangling = filters_first(&f, "dangling");
	all = dangling && !parse_docker_bool(dangling);
	out = json_array();
	list = images_list(r->g->images);
	for (size_t i = 0; list[i]; i++) {
		bool unwanted = (all || list[i]->tags.n == 0) && !user_of(r, list[i], false) &&
				(!b.until_ns || created_ns(list[i]) < b.until_ns) &&
				filters_labels(&f, "label", labels_of(list[i])) &&
				!(filters_has(&f, "label!") && filters_labels(&f, "label!", labels_of(list[i])));

		if (unwanted && remove_image(r->g, list[i], NULL, out, &err) < 0)
			break;
	}
	free(list);
	filters_release(&f);
	/* Layers are in the registry: nothing of ours was freed. */
	reply_json(r, 200, json_pack("{s:o, s:i}", "ImagesDeleted", out, "SpaceReclaimed", 0));
}
