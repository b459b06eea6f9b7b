/* volume - docker volume create, inspect, ls, rm, prune; and what docker system df says of volumes. */
#include "state/volume.h"

#include <stdio.h>
#include <string.h>

#include "api/container_mounts.h"
#include "api/fields.h"
#include "api/filters.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "api/volume.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cloud/storage.h"
#include "state/doc.h"
#include "state/events.h"

#define NS_PER_S 1000000000LL
#define PRUNES_ONLY_ANONYMOUS 42 /* since API 1.42 */

static json_t *or_null(json_t *o)
{
	return o ? json_incref(o) : json_null();
}

static json_t *volume_json(const struct gateway *g, const struct volume *v)
{
	json_t *mount = json_pack("{s:s}", "name", v->name);
	char created[CLOCK_RFC3339_MAX];
	AUTO_FREE char *source = NULL;

	volume_describe(v, mount);
	source = container_mounts_source(g, mount);
	json_decref(mount);
	return json_pack("{s:s, s:s, s:o, s:s, s:s, s:o, s:s}", "CreatedAt",
			 clock_format(v->created_ns / NS_PER_S * NS_PER_S, 0, created), "Driver", VOLUME_DRIVER, "Labels",
			 or_null(v->labels), "Mountpoint", source, "Name", v->name, "Options", or_null(v->options), "Scope",
			 "local");
}

static bool in_use(const struct gateway *g, const struct volume *v)
{
	json_t *users = volume_users(g->volumes, v->name);
	bool any = json_array_size(users) > 0;

	json_decref(users);
	return any;
}

json_t *volumes_usage(const struct gateway *g)
{
	struct volume **list = volumes_list(g->volumes);
	json_t *out = json_array();

	for (size_t i = 0; list[i]; i++) {
		json_t *o = volume_json(g, list[i]), *users = volume_users(g->volumes, list[i]->name);

		/* Counting a bucket's bytes means listing every object of it. */
		json_object_set_new(o, "UsageData", json_pack("{s:i, s:i}", "RefCount", (int)json_array_size(users), "Size",
				    -1));
		json_decref(users);
		json_array_append_new(out, o);
	}
	free(list);
	return out;
}

/* ---- create, inspect ------------------------------------------------------------------------------ */

static void create(struct request *r, json_t *body)
{
	static const struct field fields[] = {
		{"Name", FIELD_STRING}, {"Driver", FIELD_STRING}, {"DriverOpts", FIELD_MAP}, {"Labels", FIELD_MAP},
		{"ClusterVolumeSpec", FIELD_OBJECT}, {NULL, 0},
	};
	struct volume *v;
	struct err err;

	if (fields_check(body, "VolumeCreateBody", fields, &err) < 0) {
		reply_err(r, &err);
		return;
	}
	if (json_object_size(json_object_get(body, "ClusterVolumeSpec"))) {
		reply_error(r, ERR_UNAVAILABLE, "This node is not a swarm manager. Use \"docker swarm init\" or "
			    "\"docker swarm join\" to connect this node to swarm and try again.");
		return;
	}
	v = volumes_add(r->g->volumes, &(struct volume_new){
		.name = doc_str(body, "Name"), .driver = doc_str(body, "Driver"), .labels = json_object_get(body, "Labels"),
		.options = json_object_get(body, "DriverOpts"),
	}, &err);
	if (v)
		reply_json(r, 201, volume_json(r->g, v));
	else
		reply_err(r, &err);
}

void volume_create(struct request *r)
{
	request_json(r, false, create);
}

void volume_get(struct request *r)
{
	struct err err;
	struct volume *v = volumes_find(r->g->volumes, r->name, &err);

	if (v)
		reply_json(r, 200, volume_json(r->g, v));
	else
		reply_err(r, &err);
}

/* ---- list ----------------------------------------------------------------------------------------- */

static bool listed(struct request *r, const struct filters *f, int dangling, const struct volume *v)
{
	return filters_regexp(f, "name", v->name) && filters_exact(f, "driver", VOLUME_DRIVER) &&
	       filters_labels(f, "label", v->labels) && (dangling < 0 || in_use(r->g, v) == !dangling);
}

/* -1: not asked for; 0 or 1; -2 with err. */
static int read_dangling(const struct filters *f, struct err *err)
{
	const char *text = filters_first(f, "dangling");

	if (!text)
		return -1;
	if (strcmp(text, "1") == 0 || strcmp(text, "true") == 0)
		return 1;
	if (strcmp(text, "0") == 0 || strcmp(text, "false") == 0)
		return 0;
	err_set(err, ERR_INVALID, "invalid filter 'dangling=[%s]'", text);
	return -2;
}

void volume_list(struct request *r)
{
	static const char *const allowed[] = {"dangling", "driver", "label", "name", NULL};
	AUTO_FREE char *text = request_query(r, "filters");
	struct volume **list;
	struct filters f;
	struct err err;
	json_t *out;
	int dangling;

	if (filters_parse(&f, text, &err) < 0 || filters_check(&f, allowed, &err) < 0 ||
	    (dangling = read_dangling(&f, &err)) == -2) {
		filters_release(&f);
		reply_err(r, &err);
		return;
	}
	list = volumes_list(r->g->volumes);
	out = json_array();
	for (size_t i = 0; list[i]; i++)
		if (listed(r, &f, dangling, list[i]))
			json_array_append_new(out, volume_json(r->g, list[i]));
	free(list);
	filters_release(&f);
	reply_json(r, 200, json_pack("{s:o, s:n}", "Volumes", out, "Warnings"));
}

/* ---- remove --------------------------------------------------------------------------------------- */

/* One or more volumes going away; it goes on when the client has left. */
struct removal {
	struct gateway *g;
	struct request *r;     /* NULL: nobody listens any more */
	struct strv names;
	size_t next;
	json_t *removed;       /* prune's list, or NULL for a single volume */
};

static void remove_next(struct removal *m);

static void client_left(struct request *r)
{
	((struct removal *)r->state)->r = NULL;
}

static void removal_begin(struct request *r, struct strv *names, json_t *removed)
{
	struct removal *m = xcalloc(1, sizeof(*m));

	*m = (struct removal){.g = r->g, .r = r, .names = *names, .removed = removed};
	r->state = m;
	r->release = client_left;
	remove_next(m);
}

static void removal_end(struct removal *m, const struct err *err)
{
	struct request *r = m->r;
	json_t *removed = m->removed;

	strv_release(&m->names);
	if (r)
		r->release = NULL;
	if (removed)
		events_emit(m->g->events, "volume", "prune", "", json_pack("{s:s}", "reclaimed", "0"));
	free(m);
	if (!r)
		json_decref(removed);
	else if (removed)
		reply_json(r, 200, json_pack("{s:o, s:i}", "VolumesDeleted", removed, "SpaceReclaimed", 0));
	else if (err)
		reply_err(r, err);
	else
		reply_empty(r, 204);
}

/* The record goes once its data are gone, so that a failure can be tried again. */
static void on_emptied(void *ctx, const struct err *err)
{
	struct removal *m = ctx;
	const char *name = m->names.v[m->next - 1];
	struct volume *v = volumes_find(m->g->volumes, name, NULL);
	struct err e;

	if (err && !m->removed) {
		e = *err;
		err_wrap(&e, "remove %s", name);
		removal_end(m, &e);
		return;
	}
	if (v && !err && !in_use(m->g, v)) {
		if (m->removed)
			json_array_append_new(m->removed, json_string(name));
		volume_remove(m->g->volumes, v);
	}
	remove_next(m);
}

static void remove_next(struct removal *m)
{
	while (m->next < m->names.n) {
		const char *name = m->names.v[m->next++];
		struct volume *v = volumes_find(m->g->volumes, name, NULL);

		if (!v || in_use(m->g, v))
			continue;
		if (v->place == VOLUME_IN_BUCKET && m->g->config->volume_bucket) {
			storage_empty(m->g->cloud, name, on_emptied, m);
			return;
		}
		if (m->removed)
			json_array_append_new(m->removed, json_string(name));
		volume_remove(m->g->volumes, v);
	}
	removal_end(m, NULL);
}

static void reply_in_use(struct request *r, json_t *users)
{
	AUTO_FREE char *all = xstrdup("");
	json_t *id;
	size_t i;

	json_array_foreach(users, i, id) {
		char *longer = xasprintf("%s%s%s", all, i ? ", " : "", json_string_value(id));

		free(all);
		all = longer;
	}
	reply_error(r, ERR_CONFLICT, "remove %s: volume is in use - [%s]", r->name, all);
}

void volume_delete(struct request *r)
{
	struct err err;
	struct volume *v = volumes_find(r->g->volumes, r->name, &err);
	struct strv names = {0};
	json_t *users;

	if (!v && request_flag(r, "force")) {
		reply_empty(r, 204);
		return;
	}
	if (!v) {
		reply_err(r, &err);
		return;
	}
	users = volume_users(r->g->volumes, v->name);
	if (json_array_size(users)) {
		reply_in_use(r, users);
		json_decref(users);
		return;
	}
	json_decref(users);
	strv_add(&names, v->name);
	removal_begin(r, &names, NULL);
}

/* ---- prune ---------------------------------------------------------------------------------------- */

static bool doomed(struct request *r, const struct filters *f, bool all, const struct volume *v)
{
	return (all || v->anonymous) && filters_labels(f, "label", v->labels) &&
	       !(filters_has(f, "label!") && filters_labels(f, "label!", v->labels)) && !in_use(r->g, v);
}

void volume_prune(struct request *r)
{
	static const char *const allowed[] = {"all", "label", "label!", NULL};
	AUTO_FREE char *text = request_query(r, "filters");
	struct strv names = {0};
	struct volume **list;
	const char *wanted;
	struct filters f;
	struct err err;
	bool all;

	if (filters_parse(&f, text, &err) < 0 || filters_check(&f, allowed, &err) < 0) {
		filters_release(&f);
		reply_err(r, &err);
		return;
	}
	wanted = filters_first(&f, "all");
	all = r->version < PRUNES_ONLY_ANONYMOUS || (wanted && (strcmp(wanted, "1") == 0 || strcmp(wanted, "true") == 0));
	list = volumes_list(r->g->volumes);
	for (size_t i = 0; list[i]; i++)
		if (doomed(r, &f, all, list[i]))
			strv_add(&names, list[i]->name);
	free(list);
	filters_release(&f);
	removal_begin(r, &names, json_array());
}
