/* container_table - all containers: found by ID, name and prefix; names given and changed; records loaded,
 * made and adopted. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gateway.h"
#include "state/container_ops.h"
#include "state/doc.h"
#include "state/events.h"
#include "state/names.h"
#include "state/network.h"
#include "state/store.h"

#define NAME_RETRIES 6
#define SHORT_ID 12

static void table_add(struct containers *t, struct container *c)
{
	c->table = t;
	c->shares_network = network_shared_with(c) != NULL;
	t->sharing += c->shares_network;
	HASH_ADD_KEYPTR(hh_id, t->by_id, c->id, strlen(c->id), c);
	HASH_ADD_KEYPTR(hh_name, t->by_name, c->name, strlen(c->name), c);
	if (c->created_ns > t->last_created_ns)
		t->last_created_ns = c->created_ns;
}

static struct container *by_name(struct containers *t, const char *name)
{
	struct container *c;

	HASH_FIND(hh_name, t->by_name, name, strlen(name), c);
	return c;
}

/* ---- the table ---------------------------------------------------------------------------------- */

static int load_one(void *ctx, const char *key, json_t *d, uint64_t version, struct err *err)
{
	struct container *c = container_from_doc(key, d, err);

	if (!c)
		return -1;
	c->version = version;
	if (by_name(ctx, c->name)) {
		err_set(err, ERR_INVALID, "two stored containers are called %s", c->name);
		container_free(c);
		return -1;
	}
	table_add(ctx, c);
	return 0;
}

struct containers *containers_new(struct gateway *g, const char *log_dir, struct err *err)
{
	struct containers *t = xcalloc(1, sizeof(*t));

	t->g = g;
	t->log_dir = xstrdup(log_dir);
	if (mkdir(log_dir, 0700) < 0 && errno != EEXIST) {
		err_sys(err, errno, "mkdir %s", log_dir);
		goto fail;
	}
	if (doc_load_all(g->store, CONTAINER_KIND, load_one, t, err) < 0)
		goto fail;
	return t;
fail:
	containers_free(t);
	return NULL;
}

void containers_free(struct containers *t)
{
	struct container *c, *tmp;

	if (!t)
		return;
	HASH_CLEAR(hh_name, t->by_name);
	HASH_ITER(hh_id, t->by_id, c, tmp) {
		HASH_DELETE(hh_id, t->by_id, c);
		container_free(c);
	}
	free(t->log_dir);
	free(t);
}

struct container *containers_by_id(struct containers *t, const char *id)
{
	struct container *c;

	HASH_FIND(hh_id, t->by_id, id, strlen(id), c);
	return c;
}

static struct container *by_prefix(struct containers *t, const char *ref, bool *ret_ambiguous)
{
	size_t n = strlen(ref);
	struct container *c, *tmp, *found = NULL;

	*ret_ambiguous = false;
	if (n == 0 || n >= ID_HEX_MAX || strspn(ref, "0123456789abcdef") != n)
		return NULL;
	HASH_ITER(hh_id, t->by_id, c, tmp) {
		if (strncmp(c->id, ref, n) != 0)
			continue;
		*ret_ambiguous = found != NULL;
		if (found)
			return NULL;
		found = c;
	}
	return found;
}

struct container *containers_find(struct containers *t, const char *ref, struct err *err)
{
	struct container *c = containers_by_id(t, ref);
	bool ambiguous = false;

	if (!c)
		c = by_name(t, ref + (ref[0] == '/'));
	if (!c)
		c = by_prefix(t, ref, &ambiguous);
	if (ambiguous)
		err_set(err, ERR_INVALID, "multiple IDs found with provided prefix: %s", ref);
	else if (!c)
		err_set(err, ERR_NOT_FOUND, "No such container: %s", ref);
	return c;
}

size_t containers_count(const struct containers *t)
{
	return HASH_CNT(hh_id, t->by_id);
}

size_t containers_sharing(const struct containers *t)
{
	return t->sharing;
}

static int newest_first(const void *a, const void *b)
{
	const struct container *x = *(struct container *const *)a, *y = *(struct container *const *)b;

	return (x->created_ns < y->created_ns) - (x->created_ns > y->created_ns);
}

struct container **containers_list(struct containers *t)
{
	size_t n = 0;
	struct container **list = xcalloc(containers_count(t) + 1, sizeof(*list)), *c, *tmp;

	HASH_ITER(hh_id, t->by_id, c, tmp)
		list[n++] = c;
	qsort(list, n, sizeof(*list), newest_first);
	return list;
}

/* ---- names and new records ---------------------------------------------------------------------- */

static int name_check(struct containers *t, const char *name, struct err *err)
{
	struct container *other;

	if (!name_valid(name))
		return err_set(err, ERR_INVALID,
			       "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name);
	other = by_name(t, name);
	if (!other)
		return 0;
	return err_set(err, ERR_CONFLICT,
		       "Conflict. The container name \"/%s\" is already in use by container \"%s\". "
		       "You have to remove (or rename) that container to be able to reuse that name.",
		       name, other->id);
}

static char *name_make_up(struct containers *t, const char *id)
{
	char name[NAME_GENERATED_MAX];

	for (unsigned retry = 0; retry < NAME_RETRIES; retry++) {
		name_generate(name, retry);
		if (!by_name(t, name))
			return xstrdup(name);
	}
	return xstrndup(id, SHORT_ID);
}

struct container *containers_add(struct containers *t, struct container_new *spec, struct err *err)
{
	const char *name = spec->name && spec->name[0] == '/' ? spec->name + 1 : spec->name;
	struct container *c = xcalloc(1, sizeof(*c));
	int64_t now = clock_wall_ns();

	c->table = t;
	c->config = spec->config;
	c->host_config = spec->host_config;
	c->networking = spec->networking;
	c->mounts = spec->mounts;
	c->image = xstrdup(spec->image);
	c->image_id = xstrdup(spec->image_id);
	c->image_ref = xstrdup(spec->image_ref);
	/* Never the same twice, so that "newest first" has one answer. */
	c->created_ns = now > t->last_created_ns ? now : t->last_created_ns + 1;
	random_hex(c->id, ID_HEX_MAX - 1);
	container_derive(c);
	if (name && name_check(t, name, err) < 0)
		goto fail;
	c->name = name ? xstrdup(name) : name_make_up(t, c->id);
	if (container_save(c, err) < 0)
		goto fail;
	table_add(t, c);
	container_emit(c, "create");
	return c;
fail:
	container_free(c);
	return NULL;
}

struct container *containers_adopt(struct containers *t, const char *id, const json_t *record, struct err *err)
{
	struct container *c;

	if (strlen(id) != ID_HEX_MAX - 1 || strspn(id, "0123456789abcdef") != ID_HEX_MAX - 1 || containers_by_id(t, id)) {
		err_set(err, ERR_CONFLICT, "container %s: the ID makes no sense or is taken", id);
		return NULL;
	}
	c = container_from_doc(id, record, err);
	if (!c)
		return NULL;
	c->table = t;
	if (by_name(t, c->name)) {
		char *other = xasprintf("%s-%.*s", c->name, SHORT_ID, id);

		free(c->name);
		c->name = other;
	}
	if (container_save(c, err) < 0) {
		container_free(c);
		return NULL;
	}
	table_add(t, c);
	return c;
}

int container_rename(struct container *c, const char *name, struct err *err)
{
	struct containers *t = c->table;
	struct container before = *c;
	json_t *attributes;

	name += name[0] == '/';
	if (!*name)
		return err_set(err, ERR_INVALID, "Neither old nor new names may be empty");
	if (strcmp(name, c->name) == 0)
		return err_set(err, ERR_INVALID, "Renaming a container with the same name as its current name");
	if (!name_valid(name)) /* with the slash, unlike at create */
		return err_set(err, ERR_INVALID, "Error when allocating new name: Invalid container name (/%s), "
			       "only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name);
	if (name_check(t, name, err) < 0)
		return err_wrap(err, "Error when allocating new name");
	attributes = json_object();
	json_object_set_new(attributes, "oldName", json_sprintf("/%s", c->name));
	/* The hash's key is the string itself: out before it is freed, in again whatever happens. */
	HASH_DELETE(hh_name, t->by_name, c);
	before = *c;
	c->name = xstrdup(name);
	if (container_commit(c, &before, err) < 0) {
		HASH_ADD_KEYPTR(hh_name, t->by_name, c->name, strlen(c->name), c);
		json_decref(attributes);
		return -1;
	}
	HASH_ADD_KEYPTR(hh_name, t->by_name, c->name, strlen(c->name), c);
	json_object_update_new(attributes, container_event_attributes(c));
	events_emit(t->g->events, "container", "rename", c->id, attributes);
	return 0;
}
