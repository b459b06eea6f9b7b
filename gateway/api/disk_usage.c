/* disk_usage - GET /system/df: what images, containers and volumes take, whole or by type.
 * Images are counted as the registry has them; what a container writes is Cloud Run's memory, and is not counted. */
#include <string.h>

#include "api/container_view.h"
#include "api/handlers.h"
#include "api/image_view.h"
#include "api/reply.h"
#include "api/version.h"
#include "api/volume.h"
#include "base/mem.h"
#include "base/parse.h"
#include "state/container.h"
#include "state/image.h"

/* One kind of thing: its rows, and the numbers that API 1.52 has beside them. */
struct usage {
	json_t *items;
	json_int_t total, active, size, reclaimable;
};

static json_t *strings(const struct strv *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->n; i++)
		json_array_append_new(list, json_string(s->v[i]));
	return list;
}

static json_t *image_row(const struct image *i, size_t users)
{
	return json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:I, s:i, s:O?, s:I}", "Id", i->id, "ParentId", "", "RepoTags",
			 strings(&i->tags), "RepoDigests", strings(&i->digests), "Created",
			 (json_int_t)(image_created_ns(i) / 1000000000), "Size", (json_int_t)i->size, "VirtualSize",
			 (json_int_t)i->size, "SharedSize", 0, "Labels", image_labels(i), "Containers",
			 (json_int_t)users);
}

static struct usage usage_of_images(struct request *r)
{
	struct image **images = images_list(r->g->images);
	struct usage u = {.items = json_array()};

	for (size_t i = 0; images[i]; i++) {
		size_t users = image_users(r->g, images[i]);

		json_array_append_new(u.items, image_row(images[i], users));
		u.total++;
		u.active += users > 0;
		u.size += (json_int_t)images[i]->size;
		u.reclaimable += users ? 0 : (json_int_t)images[i]->size;
	}
	free(images);
	return u;
}

static struct usage usage_of_containers(struct request *r)
{
	struct container **containers = containers_list(r->g->containers);
	struct usage u = {.items = json_array()};

	for (size_t i = 0; containers[i]; i++) {
		json_array_append_new(u.items, container_row(r, containers[i], true));
		u.total++;
		u.active += container_is_running(containers[i]);
	}
	free(containers);
	return u;
}

static struct usage usage_of_volumes(struct request *r)
{
	struct usage u = {.items = volumes_usage(r->g)};
	json_t *v;
	size_t i;

	json_array_foreach(u.items, i, v)
		u.active += json_integer_value(json_object_get(json_object_get(v, "UsageData"), "RefCount")) > 0;
	u.total = (json_int_t)json_array_size(u.items);
	return u;
}

/* Gives up u's rows. */
static void add(json_t *body, const char *brief, const char *rows, struct usage u, bool verbose)
{
	json_t *o = json_pack("{s:I, s:I, s:I, s:I}", "ActiveCount", u.active, "TotalCount", u.total, "Reclaimable",
			      u.reclaimable, "TotalSize", u.size);

	if (verbose)
		json_object_set(o, "Items", u.items ? u.items : json_array());
	else
		json_object_set(body, rows, u.items ? u.items : json_null());
	json_object_set_new(body, brief, o);
	json_decref(u.items);
}

static bool wants(const struct strv *types, const char *type)
{
	for (size_t i = 0; i < types->n; i++)
		if (strcmp(types->v[i], type) == 0)
			return true;
	return types->n == 0;
}

static int check_types(const struct strv *types, struct err *err)
{
	static const char known[] = " container image volume build-cache ";

	for (size_t i = 0; i < types->n; i++) {
		AUTO_FREE char *word = xasprintf(" %s ", types->v[i]);

		if (!strstr(known, word))
			return err_set(err, ERR_INVALID, "unknown object type: %s", types->v[i]);
	}
	return 0;
}

void system_df(struct request *r)
{
	bool verbose = r->version >= 52 && request_flag(r, "verbose");
	struct strv types = {0};
	struct usage images = {0};
	struct err err;
	json_t *body;

	if (r->version >= 42)
		parse_query_all(exchange_query(r->x), "type", &types);
	if (check_types(&types, &err) < 0) {
		strv_release(&types);
		reply_err(r, &err);
		return;
	}
	/* A type nobody asked for is null among the rows of old, and absent from what came in 1.52. */
	body = verbose ? json_object() : json_pack("{s:n, s:n, s:n, s:n}", "Images", "Containers", "Volumes", "BuildCache");
	if (wants(&types, "image"))
		add(body, "ImageUsage", "Images", images = usage_of_images(r), verbose);
	if (wants(&types, "container"))
		add(body, "ContainerUsage", "Containers", usage_of_containers(r), verbose);
	if (wants(&types, "volume"))
		add(body, "VolumeUsage", "Volumes", usage_of_volumes(r), verbose);
	if (wants(&types, "build-cache"))
		add(body, "BuildCacheUsage", "BuildCache", (struct usage){0}, verbose);
	if (!verbose)
		json_object_set_new(body, "LayersSize", json_integer(images.size));
	json_object_set_new(body, "BuilderSize", json_integer(0));
	strv_release(&types);
	reply_json(r, 200, version_trim(body, VERSION_DISK_USAGE, r->version));
}
