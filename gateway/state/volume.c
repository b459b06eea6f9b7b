/* volume - see volume.h. Driver options are those of dockerd's local driver, and mean here what Cloud Run
 * can mount: nothing (the bucket), type=nfs, type=tmpfs, type=secret. */
#include "state/volume.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/token.h"
#include "gateway.h"
#include "state/container.h"
#include "state/doc.h"
#include "state/events.h"
#include "state/names.h"
#include "state/secret_ref.h"
#include "state/store.h"

#define KIND "volume"
#define NAME_MAX_LEN 200 /* of an object's name in a bucket there are 1024 bytes */

struct volumes {
	struct gateway *g;
	struct volume *by_name; /* ours */
	volumes_fn *changed;    /* NULL: nobody wants to know */
	void *ctx;
};

static const char *const stored_place[] = {
	[VOLUME_IN_BUCKET] = "bucket", [VOLUME_ON_NFS] = "nfs", [VOLUME_IN_MEMORY] = "memory",
	[VOLUME_OF_SECRET] = "secret", [VOLUME_IN_CONTAINER] = "container",
};

static void volume_free(struct volume *v)
{
	if (!v)
		return;
	json_decref(v->labels);
	json_decref(v->options);
	free(v->name);
	free(v);
}

/* ---- stored form ---------------------------------------------------------------------------------- */

static json_t *to_doc(const struct volume *v)
{
	json_t *d = json_pack("{s:I, s:b, s:s}", "created", (json_int_t)v->created_ns, "anonymous", v->anonymous,
			      "place", stored_place[v->place]);

	if (v->labels)
		json_object_set(d, "labels", v->labels);
	if (v->options)
		json_object_set(d, "options", v->options);
	return d;
}

static struct volume *from_doc(const char *name, const json_t *d)
{
	struct volume *v = xcalloc(1, sizeof(*v));
	const char *place = doc_str(d, "place");

	v->name = xstrdup(name);
	v->created_ns = doc_int(d, "created");
	v->labels = doc_object(d, "labels");
	v->options = doc_object(d, "options");
	v->anonymous = doc_bool(d, "anonymous");
	for (size_t i = 0; place && i < sizeof(stored_place) / sizeof(stored_place[0]); i++)
		if (strcmp(stored_place[i], place) == 0)
			v->place = (enum volume_place)i;
	return v;
}

static void table_add(struct volumes *t, struct volume *v)
{
	HASH_ADD_KEYPTR(hh, t->by_name, v->name, strlen(v->name), v);
}

static int load_one(void *ctx, const char *key, json_t *d, uint64_t version, struct err *err)
{
	struct volume *v = from_doc(key, d);

	v->version = version;
	table_add(ctx, v);
	return 0;
}

struct volumes *volumes_new(struct gateway *g, struct err *err)
{
	struct volumes *t = xcalloc(1, sizeof(*t));

	t->g = g;
	if (doc_load_all(g->store, KIND, load_one, t, err) == 0)
		return t;
	volumes_free(t);
	return NULL;
}

void volumes_watch(struct volumes *t, volumes_fn *changed, void *ctx)
{
	t->changed = changed;
	t->ctx = ctx;
}

void volumes_free(struct volumes *t)
{
	struct volume *v, *tmp;

	if (!t)
		return;
	HASH_ITER(hh, t->by_name, v, tmp) {
		HASH_DELETE(hh, t->by_name, v);
		volume_free(v);
	}
	free(t);
}

static struct volume *by_name(struct volumes *t, const char *name)
{
	struct volume *v;

	HASH_FIND(hh, t->by_name, name, strlen(name), v);
	return v;
}

struct volume *volumes_find(struct volumes *t, const char *name, struct err *err)
{
	struct volume *v = by_name(t, name);

	if (!v)
		err_set(err, ERR_NOT_FOUND, "get %s: no such volume", name);
	return v;
}

static int by_name_order(const void *a, const void *b)
{
	return strcmp((*(struct volume *const *)a)->name, (*(struct volume *const *)b)->name);
}

struct volume **volumes_list(struct volumes *t)
{
	struct volume **list = xcalloc(HASH_COUNT(t->by_name) + 1, sizeof(*list)), *v, *tmp;
	size_t n = 0;

	HASH_ITER(hh, t->by_name, v, tmp)
		list[n++] = v;
	qsort(list, n, sizeof(*list), by_name_order);
	return list;
}

/* ---- driver options ------------------------------------------------------------------------------- */

int64_t volume_size(const char *text)
{
	int64_t n = 0;
	int shift = 0;

	if (!isdigit((unsigned char)*text))
		return -1;
	for (; isdigit((unsigned char)*text); text++) {
		n = n * 10 + (*text - '0');
		if (n > INT64_C(1) << 40)
			return -1;
	}
	switch (tolower((unsigned char)*text)) {
	case 'g': shift += 10; /* fall through */
	case 'm': shift += 10; /* fall through */
	case 'k': shift += 10; text++;
	}
	if (tolower((unsigned char)*text) == 'b')
		text++;
	return *text || n > (INT64_MAX >> shift) ? -1 : n << shift;
}

/* The value of key in "a=b,key=value"; caller frees; NULL if absent, "" for a bare key. */
static char *mount_option(const char *options, const char *key)
{
	size_t n = strlen(key);

	for (const char *at = options; at && *at; at += strcspn(at, ","), at += *at == ',') {
		size_t len = strcspn(at, ",");

		if (len >= n && strncmp(at, key, n) == 0 && (len == n || at[n] == '='))
			return len == n ? xstrdup("") : xstrndup(at + n + 1, len - n - 1);
	}
	return NULL;
}

static int check_nfs(const struct volume *v, struct err *err)
{
	AUTO_FREE char *addr = mount_option(doc_str(v->options, "o"), "addr");
	const char *device = doc_str(v->options, "device");

	if (!addr || !*addr)
		return err_set(err, ERR_INVALID, "create %s: an NFS volume needs the server: o=addr=HOST", v->name);
	if (strncmp(device, ":/", 2) != 0)
		return err_set(err, ERR_INVALID, "create %s: the device of an NFS volume must be :/PATH, got \"%s\"",
			       v->name, device);
	return 0;
}

static int check_tmpfs(const struct volume *v, struct err *err)
{
	AUTO_FREE char *size = mount_option(doc_str(v->options, "o"), "size");

	if (size && volume_size(size) <= 0)
		return err_set(err, ERR_INVALID, "create %s: invalid tmpfs size \"%s\"", v->name, size);
	return 0;
}

/* Octal, as chmod has it; -1 if it is none. */
static int secret_mode(const char *text)
{
	char *end;
	unsigned long mode = strtoul(text, &end, 8);

	return isdigit((unsigned char)*text) && !*end && mode > 0 && mode <= 0777 ? (int)mode : -1;
}

static int check_secret(const struct volume *v, struct err *err)
{
	const char *o = doc_str(v->options, "o"), *device = doc_str(v->options, "device");
	AUTO_FREE char *path = mount_option(o, "path"), *mode = mount_option(o, "mode");
	struct secret_ref ref;

	if (secret_ref_parse(device, &ref) < 0)
		return err_set(err, ERR_INVALID, "create %s: the device \"%s\" is no secret: " SECRET_REF_RULE, v->name, device);
	secret_ref_release(&ref);
	if (path && (!*path || *path == '/' || strstr(path, "..")))
		return err_set(err, ERR_INVALID, "create %s: the path of the secret's file must be relative and without \"..\", got \"%s\"",
			       v->name, path);
	if (mode && secret_mode(mode) < 0)
		return err_set(err, ERR_INVALID, "create %s: invalid mode \"%s\" of the secret's file: want octal digits up to 0777",
			       v->name, mode);
	return 0;
}

static int read_options(struct volume *v, struct err *err)
{
	static const char *const known[] = {"type", "o", "device", "size"};
	const char *key, *type = doc_str(v->options, "type");
	json_t *value;

	json_object_foreach(v->options, key, value) {
		bool fine = false;

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			fine = fine || strcmp(known[i], key) == 0;
		if (!fine)
			return err_set(err, ERR_INVALID, "create %s: invalid option: \"%s\"", v->name, key);
	}
	if (doc_str(v->options, "size"))
		return err_set(err, ERR_INVALID, "create %s: quota size requested but no quota support", v->name);
	if (!type && !doc_str(v->options, "o") && !doc_str(v->options, "device"))
		return 0;
	if (!type || !doc_str(v->options, "device"))
		return err_set(err, ERR_INVALID, "create %s: missing required option: \"%s\"", v->name,
			       type ? "device" : "type");
	if (strcmp(type, "nfs") == 0 || strcmp(type, "nfs4") == 0) {
		v->place = VOLUME_ON_NFS;
		return check_nfs(v, err);
	}
	if (strcmp(type, "tmpfs") == 0) {
		v->place = VOLUME_IN_MEMORY;
		return check_tmpfs(v, err);
	}
	if (strcmp(type, "secret") == 0) {
		v->place = VOLUME_OF_SECRET;
		return check_secret(v, err);
	}
	return err_set(err, ERR_INVALID, "create %s: volumes of type \"%s\" are not available: Cloud Run mounts a bucket "
		       "(no options), type=nfs, type=tmpfs or type=secret", v->name, type);
}

static void describe_secret(const struct volume *v, json_t *mount)
{
	const char *o = doc_str(v->options, "o");
	AUTO_FREE char *path = mount_option(o, "path"), *mode = mount_option(o, "mode");
	struct secret_ref ref;
	const char *slash;

	if (secret_ref_parse(doc_str(v->options, "device"), &ref) < 0)
		return; /* it was checked when it was made */
	slash = strrchr(ref.secret, '/');
	json_object_set_new(mount, "secret", json_string(ref.secret));
	json_object_set_new(mount, "version", json_string(ref.version));
	json_object_set_new(mount, "file", json_string(path ? path : slash ? slash + 1 : ref.secret));
	if (mode)
		json_object_set_new(mount, "perm", json_integer(secret_mode(mode)));
	json_object_set_new(mount, "rw", json_false());
	secret_ref_release(&ref);
}

void volume_describe(const struct volume *v, json_t *mount)
{
	const char *o = doc_str(v->options, "o");
	AUTO_FREE char *addr = mount_option(o, "addr"), *size = mount_option(o, "size"), *ro = mount_option(o, "ro");

	json_object_set_new(mount, "on", json_string(stored_place[v->place]));
	if (v->place == VOLUME_ON_NFS) {
		json_object_set_new(mount, "server", doc_text(addr));
		json_object_set_new(mount, "path", doc_text(doc_str(v->options, "device") + 1));
		json_object_set_new(mount, "readOnly", json_boolean(ro != NULL));
	}
	if (v->place == VOLUME_OF_SECRET)
		describe_secret(v, mount);
	if (v->place == VOLUME_IN_MEMORY && size)
		json_object_set_new(mount, "size", json_integer(volume_size(size)));
}

/* ---- life ----------------------------------------------------------------------------------------- */

int volume_name_check(const char *name, struct err *err)
{
	if (strlen(name) == 1)
		return err_set(err, ERR_INVALID, "create %s: volume name is too short, names should be at least two "
			       "alphanumeric characters", name);
	if (!name_valid(name))
		return err_set(err, ERR_INVALID, "create %s: \"%s\" includes invalid characters for a local volume name, "
			       "only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host "
			       "directory, use absolute path", name, name);
	if (strlen(name) > NAME_MAX_LEN)
		return err_set(err, ERR_INVALID, "create %.40s...: volume name is too long, at most %d characters", name,
			       NAME_MAX_LEN);
	return 0;
}

static void emit(struct volumes *t, const struct volume *v, const char *action)
{
	events_emit(t->g->events, "volume", action, v->name, json_pack("{s:s}", "driver", VOLUME_DRIVER));
}

/* "" and {} are what clients send for nothing; dockerd shows null for it. */
static json_t *given_object(json_t *o)
{
	return json_is_object(o) ? json_incref(o) : NULL;
}

/* Volumes in containers are of no interest to anybody else. */
static void changed(struct volumes *t, const struct volume *v)
{
	if (t->changed && v->place != VOLUME_IN_CONTAINER)
		t->changed(t->ctx);
}

struct volume *volumes_add(struct volumes *t, const struct volume_new *spec, struct err *err)
{
	bool named = spec->name && *spec->name;
	char id[ID_HEX_MAX];
	struct volume *v;

	random_hex(id, ID_HEX_MAX - 1);
	if (spec->driver && *spec->driver && strcmp(spec->driver, VOLUME_DRIVER) != 0) {
		err_set(err, ERR_NOT_FOUND, "create %s: error looking up volume plugin %s: plugin \"%s\" not found",
			named ? spec->name : id, spec->driver, spec->driver);
		return NULL;
	}
	if (named && volume_name_check(spec->name, err) < 0)
		return NULL;
	v = named ? by_name(t, spec->name) : NULL;
	if (v)
		return v;
	v = xcalloc(1, sizeof(*v));
	v->name = xstrdup(named ? spec->name : id);
	v->created_ns = clock_wall_ns();
	v->labels = given_object(spec->labels);
	v->options = json_object_size(spec->options) ? json_incref(spec->options) : NULL;
	v->anonymous = !named;
	v->place = spec->in_container ? VOLUME_IN_CONTAINER : VOLUME_IN_BUCKET;
	if (v->anonymous) {
		json_t *labels = v->labels ? json_copy(v->labels) : json_object();

		json_object_set_new(labels, VOLUME_ANONYMOUS_LABEL, json_string(""));
		json_decref(v->labels);
		v->labels = labels;
	}
	if (read_options(v, err) < 0 || doc_save(t->g->store, KIND, v->name, to_doc(v), &v->version, err) < 0) {
		volume_free(v);
		return NULL;
	}
	table_add(t, v);
	emit(t, v, "create");
	changed(t, v);
	return v;
}

json_t *volume_record(const struct volume *v)
{
	json_t *d = to_doc(v);

	json_object_set_new(d, "name", json_string(v->name));
	return d;
}

int volumes_adopt(struct volumes *t, const json_t *record, struct err *err)
{
	const char *name = doc_str(record, "name");
	struct volume *v;

	if (!name || volume_name_check(name, err) < 0)
		return err_set(err, ERR_INVALID, "the record of a volume makes no sense");
	if (by_name(t, name))
		return 0;
	v = from_doc(name, record);
	if (doc_save(t->g->store, KIND, v->name, to_doc(v), &v->version, err) < 0) {
		volume_free(v);
		return -1;
	}
	table_add(t, v);
	return 0;
}

json_t *volume_users(struct volumes *t, const char *name)
{
	struct container **list = containers_list(t->g->containers);
	json_t *ids = json_array(), *m;
	size_t k;

	for (size_t i = 0; list[i]; i++) {
		json_array_foreach(list[i]->mounts, k, m) {
			const char *used = doc_str(m, "name");

			if (!used || strcmp(used, name) != 0)
				continue;
			json_array_append_new(ids, json_string(list[i]->id));
			break;
		}
	}
	free(list);
	return ids;
}

void volume_remove(struct volumes *t, struct volume *v)
{
	struct err err;

	if (store_delete(t->g->store, KIND, v->name, &err) < 0)
		log_error("volume record not deleted", "volume=%s error=\"%s\"", v->name, err.msg);
	HASH_DELETE(hh, t->by_name, v);
	emit(t, v, "destroy");
	changed(t, v);
	volume_free(v);
}
