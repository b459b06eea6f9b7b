/* image - list, inspect and history: what has been pulled, from its stored configs. */
#include "state/image.h"

#include <fnmatch.h>
#include <string.h>

#include "api/filters.h"
#include "api/handlers.h"
#include "api/image_view.h"
#include "api/reply.h"
#include "api/version.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "image/reference.h"
#include "state/container.h"

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

int64_t image_created_ns(const struct image *i)
{
	int64_t ns = 0;

	clock_parse(string_of(i->config, "created"), &ns);
	return ns;
}

json_t *image_labels(const struct image *i)
{
	return json_object_get(json_object_get(i->config, "config"), "Labels");
}

size_t image_users(const struct gateway *g, const struct image *i)
{
	struct container **list = containers_list(g->containers);
	size_t n = 0;

	for (size_t k = 0; list[k]; k++)
		n += list[k]->image_id && strcmp(list[k]->image_id, i->id) == 0;
	free(list);
	return n;
}

struct image *image_named(struct request *r)
{
	struct err err;
	struct image *i = images_find(r->g->images, r->name, &err);

	if (i)
		return i;
	image_name_blame(r->name, &err);
	reply_err(r, &err);
	return NULL;
}

void image_name_blame(const char *name, struct err *err)
{
	struct reference ref;
	struct err bad;

	if (strspn(name, "0123456789abcdef") == strlen(name))
		return;
	if (reference_parse(name, &ref, &bad) == 0)
		reference_release(&ref);
	else
		*err = bad;
}

/* ---- list ---------------------------------------------------------------------------------------- */

/* As Docker: the pattern may mean the whole name or its repository. */
static bool pattern_meets(const char *pattern, const char *name)
{
	const char *slash = strrchr(name, '/'), *end = strpbrk(slash ? slash : name, ":@");
	AUTO_FREE char *repository = end ? xstrndup(name, (size_t)(end - name)) : xstrdup(name);

	return fnmatch(pattern, name, FNM_PATHNAME) == 0 || fnmatch(pattern, repository, FNM_PATHNAME) == 0;
}

/* Go's path.Match refuses these; fnmatch takes a lone bracket for itself. */
static int check_patterns(const struct filters *f, struct err *err)
{
	json_t *patterns = filters_values(f, "reference"), *v;
	const char *pattern, *open;

	json_object_foreach(patterns, pattern, v) {
		open = strchr(pattern, '[');
		if ((open && !strchr(open, ']')) || (*pattern && pattern[strlen(pattern) - 1] == '\\'))
			return err_set(err, ERR_INVALID, "syntax error in pattern");
	}
	return 0;
}

/* The names that a reference filter lets through; all without one. */
static json_t *names_listed(const struct filters *f, const struct strv *names)
{
	json_t *patterns = filters_values(f, "reference"), *list = json_array(), *v;
	const char *pattern;

	for (size_t k = 0; k < names->n; k++) {
		bool meets = !patterns;

		json_object_foreach(patterns, pattern, v)
			meets = meets || pattern_meets(pattern, names->v[k]);
		if (meets)
			json_array_append_new(list, json_string(names->v[k]));
	}
	return list;
}

struct bounds {
	bool before, since;
	int64_t before_ns, since_ns, until_ns;
};

static int read_image_bound(struct request *r, const char *name, bool *ret_given, int64_t *ret_ns, struct err *err)
{
	struct image *i = name ? images_find(r->g->images, name, err) : NULL;

	*ret_given = i != NULL;
	if (i)
		*ret_ns = image_created_ns(i);
	return name && !i ? -1 : 0;
}

static int read_bounds(struct request *r, const struct filters *f, struct bounds *ret, struct err *err)
{
	*ret = (struct bounds){0};
	if (read_image_bound(r, filters_first(f, "before"), &ret->before, &ret->before_ns, err) < 0 ||
	    read_image_bound(r, filters_first(f, "since"), &ret->since, &ret->since_ns, err) < 0)
		return -1;
	return filters_until(f, clock_wall_ns(), &ret->until_ns, err);
}

/* -1 with dockerd's sentence, or whether the filter is given, and what it says. */
int image_read_dangling(const struct filters *f, bool *ret, struct err *err)
{
	static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
	static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
	const char *s = filters_first(f, "dangling");

	for (size_t i = 0; s && i < sizeof(yes) / sizeof(*yes); i++)
		if (strcmp(s, yes[i]) == 0 || strcmp(s, no[i]) == 0) {
			*ret = strcmp(s, yes[i]) == 0;
			return 1;
		}
	return s ? err_set(err, ERR_INVALID, "invalid filter 'dangling=[%s]'", s) : 0;
}

static bool listed(const struct filters *f, const struct bounds *b, const struct image *i)
{
	int64_t created = image_created_ns(i);
	bool dangling;

	if (image_read_dangling(f, &dangling, NULL) > 0 && dangling != (i->tags.n == 0))
		return false;
	if ((b->before && created >= b->before_ns) || (b->since && created <= b->since_ns) ||
	    created >= b->until_ns)
		return false;
	return filters_labels(f, "label", image_labels(i)) &&
	       !(filters_has(f, "label!") && filters_labels(f, "label!", image_labels(i)));
}

/* Bytes of layers that another image has as well. */
static int64_t shared_size(struct image **all, const struct image *i)
{
	json_t *layer, *other;
	int64_t sum = 0;
	size_t k, n;

	json_array_foreach(json_object_get(i->manifest, "layers"), k, layer) {
		bool shared = false;

		for (struct image **o = all; *o && !shared; o++)
			json_array_foreach(json_object_get((*o)->manifest, "layers"), n, other)
				shared = shared || (*o != i && strcmp(string_of(other, "digest"), string_of(layer, "digest")) == 0);
		if (shared)
			sum += json_integer_value(json_object_get(layer, "size"));
	}
	return sum;
}

/* Steals the names. */
static json_t *summary(const struct request *r, const struct image *i, json_t *tags, json_t *digests, int64_t shared)
{
	json_t *o;

	if (r->version < 43 && json_array_size(tags) + json_array_size(digests) == 0) {
		json_array_append_new(tags, json_string("<none>:<none>"));
		json_array_append_new(digests, json_string("<none>@<none>"));
	}
	o = json_pack("{s:i, s:I, s:s, s:O?, s:s, s:o, s:o, s:I, s:I}", "Containers",
		      r->version < 51 ? -1 : (int)image_users(r->g, i), "Created",
		      (json_int_t)(image_created_ns(i) / 1000000000), "Id", i->id, "Labels", image_labels(i), "ParentId", "",
		      "RepoDigests", digests, "RepoTags", tags, "SharedSize", (json_int_t)shared, "Size", (json_int_t)i->size);
	json_object_set_new(o, "VirtualSize", json_integer((json_int_t)i->size));
	return version_trim(o, VERSION_IMAGE_ROW, r->version);
}

static json_t *summaries(struct request *r, const struct filters *f, const struct bounds *b)
{
	bool shared = request_flag(r, "shared-size");
	struct image **list = images_list(r->g->images);
	json_t *out = json_array();

	for (size_t i = 0; list[i]; i++) {
		json_t *tags, *digests;

		if (!listed(f, b, list[i]))
			continue;
		tags = names_listed(f, &list[i]->tags);
		digests = names_listed(f, &list[i]->digests);
		if (filters_has(f, "reference") && json_array_size(tags) + json_array_size(digests) == 0) {
			json_decref(tags);
			json_decref(digests);
			continue;
		}
		json_array_append_new(out, summary(r, list[i], tags, digests, shared ? shared_size(list, list[i]) : -1));
	}
	free(list);
	return out;
}

void image_list(struct request *r)
{
	static const char *const allowed[] = {"before", "dangling", "label", "label!", "reference", "since", "until", NULL};
	AUTO_FREE char *text = request_query(r, "filters");
	AUTO_FREE char *legacy = request_query(r, "filter"); /* API < 1.28: one reference */
	struct filters f;
	struct bounds b;
	struct err err;
	json_t *out;
	bool dangling;

	if (filters_parse(&f, text, &err) < 0 || filters_check(&f, allowed, &err) < 0 ||
	    image_read_dangling(&f, &dangling, &err) < 0 || check_patterns(&f, &err) < 0 ||
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
	out = summaries(r, &f, &b);
	filters_release(&f);
	reply_json(r, 200, out);
}

/* ---- one image ----------------------------------------------------------------------------------- */

/* Before 1.50 the config was the container's, with every member; a copy. */
static json_t *config_shape(json_t *config)
{
	json_t *o = json_is_object(config) ? json_copy(config) : json_object();
	json_t *all = json_pack(
		"{s:s, s:s, s:s, s:b, s:b, s:b, s:b, s:b, s:b, s:n, s:n, s:s, s:n, s:s, s:n, s:n, s:n}", "Hostname", "",
		"Domainname", "", "User", "", "AttachStdin", 0, "AttachStdout", 0, "AttachStderr", 0, "Tty", 0, "OpenStdin", 0,
		"StdinOnce", 0, "Env", "Cmd", "Image", "", "Volumes", "WorkingDir", "", "Entrypoint", "OnBuild", "Labels");

	json_object_update_missing(o, all);
	json_decref(all);
	return o;
}

void image_inspect(struct request *r)
{
	struct image *i = image_named(r);
	char pulled[CLOCK_RFC3339_MAX];
	const char *created;
	json_t *o, *config, *layers;

	if (!i)
		return;
	config = json_object_get(i->config, "config");
	created = *string_of(i->config, "created") ? string_of(i->config, "created") : "0001-01-01T00:00:00Z";
	layers = json_object_get(json_object_get(i->config, "rootfs"), "diff_ids");
	o = json_pack("{s:s, s:o, s:o, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:{s:n, s:s}, s:{s:s, s:O?}, s:{s:s}}",
		      "Id", i->id, "RepoTags", strings(&i->tags), "RepoDigests", strings(&i->digests), "Parent", "",
		      "Comment", string_of(i->config, "comment"),
		      "Created", created, "DockerVersion",
		      string_of(i->config, "docker_version"), "Author", string_of(i->config, "author"),
		      "Architecture", string_of(i->config, "architecture"), "Os", string_of(i->config, "os"),
		      "Size", (json_int_t)i->size, "GraphDriver", "Data", "Name", "cloudrun", "RootFS", "Type", "layers",
		      "Layers", layers, "Metadata", "LastTagTime", clock_format(i->pulled_ns, 0, pulled));
	json_object_set_new(o, "Config", config_shape(config));
	if (*string_of(i->config, "variant"))
		json_object_set(o, "Variant", json_object_get(i->config, "variant"));
	json_object_set_new(o, "VirtualSize", json_integer((json_int_t)i->size));
	json_object_set_new(o, "Container", json_string(""));
	json_object_set_new(o, "ContainerConfig", config_shape(NULL));
	reply_json(r, 200, version_trim(o, VERSION_IMAGE, r->version));
}

void image_history(struct request *r)
{
	struct image *i = image_named(r);
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

/* Only the manifest that Cloud Run runs is kept, and what is attested hangs on others of the index. */
void image_attestations(struct request *r)
{
	if (r->version < 55)
		reply_error(r, ERR_NOT_FOUND, "page not found");
	else if (image_named(r))
		reply_error(r, ERR_UNSUPPORTED, "attestations are not kept: ask the registry for them, "
			    "for instance with docker buildx imagetools inspect");
}
