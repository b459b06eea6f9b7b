/* job_volumes - see job_volumes.h. */
#include "cloud/job_volumes.h"

#include <string.h>

#include "base/mem.h"
#include "cloud/storage.h"
#include "config.h"
#include "state/container.h"

#define MIB (1024LL * 1024)
#define TMPFS_MODE 01777

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static bool is_type(const json_t *m, const char *type)
{
	return strcmp(text(m, "type"), type) == 0;
}

static bool is_in_memory(const json_t *m)
{
	return is_type(m, "tmpfs") || strcmp(text(m, "on"), "memory") == 0;
}

/* Of the same volume; tmpfs mounts are never the same. */
static bool same_volume(const json_t *a, const json_t *b)
{
	return *text(a, "name") && strcmp(text(a, "name"), text(b, "name")) == 0 &&
	       strcmp(text(a, "subpath"), text(b, "subpath")) == 0 &&
	       json_is_true(json_object_get(a, "rw")) == json_is_true(json_object_get(b, "rw"));
}

static json_t *gcs(const struct config *cfg, const json_t *m, bool read_only)
{
	AUTO_FREE char *bucket = storage_bucket(cfg), *folder = storage_folder(cfg, text(m, "name"));
	AUTO_FREE char *only_dir = xasprintf("only-dir=%s%s%s", folder, *text(m, "subpath") ? "/" : "", text(m, "subpath"));

	/* A bucket keeps no modes: every file can be read, written and executed by everybody. */
	return json_pack("{s:{s:s, s:b, s:[s, s, s]}}", "gcs", "bucket", bucket, "readOnly", read_only, "mountOptions",
			 only_dir, "file-mode=777", "dir-mode=777");
}

static json_t *nfs(const json_t *m, bool read_only)
{
	AUTO_FREE char *path = xasprintf("%s%s%s", text(m, "path"), *text(m, "subpath") ? "/" : "", text(m, "subpath"));

	return json_pack("{s:{s:s, s:s, s:b}}", "nfs", "server", text(m, "server"), "path", path, "readOnly",
			 read_only || json_is_true(json_object_get(m, "readOnly")));
}

static json_t *secret(const json_t *m)
{
	json_t *perm = json_object_get(m, "perm");
	json_t *item = json_pack("{s:s, s:s}", "path", text(m, "file"), "version", text(m, "version"));

	if (perm) /* else 0444 */
		json_object_set(item, "mode", perm);
	return json_pack("{s:{s:s, s:[o]}}", "secret", "secret", text(m, "secret"), "items", item);
}

static json_t *in_memory(const json_t *m)
{
	json_int_t size = json_integer_value(json_object_get(m, "size"));
	json_t *o = json_pack("{s:s}", "medium", "MEMORY");

	if (size > 0) /* else half of the container's memory */
		json_object_set_new(o, "sizeLimit", json_sprintf("%lldMi", (long long)((size - 1) / MIB + 1)));
	return json_pack("{s:o}", "emptyDir", o);
}

/* NULL: it needs no volume. */
static json_t *volume_of(const struct config *cfg, const json_t *m)
{
	bool read_only = !json_is_true(json_object_get(m, "rw"));

	if (is_in_memory(m))
		return in_memory(m);
	if (!is_type(m, "volume") || strcmp(text(m, "on"), "container") == 0)
		return NULL;
	if (strcmp(text(m, "on"), "secret") == 0)
		return secret(m);
	return strcmp(text(m, "on"), "nfs") == 0 ? nfs(m, read_only) : gcs(cfg, m, read_only);
}

void job_volumes_add(const struct config *cfg, const struct container *c, json_t *volumes, json_t *mounts)
{
	json_t *m, *v;
	size_t i;

	json_array_foreach(c->mounts, i, m) {
		size_t first = 0;
		char name[32];

		while (first < i && !same_volume(json_array_get(c->mounts, first), m))
			first++;
		snprintf(name, sizeof(name), "volume-%zu", first);
		if (first == i) {
			v = volume_of(cfg, m);
			if (!v)
				continue;
			json_object_set_new(v, "name", json_string(name));
			json_array_append_new(volumes, v);
		} else if (strcmp(text(m, "on"), "container") == 0) {
			continue;
		}
		json_array_append_new(mounts, json_pack("{s:s, s:s}", "name", name, "mountPath", text(m, "target")));
	}
}

int64_t job_volumes_memory(const struct container *c)
{
	int64_t sum = 0;
	json_t *m;
	size_t i;

	json_array_foreach(c->mounts, i, m)
		if (is_in_memory(m))
			sum += json_integer_value(json_object_get(m, "size"));
	return sum;
}

bool job_volumes_need_bucket(const struct container *c)
{
	json_t *m;
	size_t i;

	json_array_foreach(c->mounts, i, m)
		if (strcmp(text(m, "on"), "bucket") == 0)
			return true;
	return false;
}

json_t *job_volumes_modes(const struct container *c)
{
	json_t *list = json_array(), *m;
	size_t i;

	json_array_foreach(c->mounts, i, m) {
		json_t *perm = json_object_get(m, "perm");

		if (is_in_memory(m))
			json_array_append_new(list, json_pack("{s:s, s:I}", "path", text(m, "target"), "mode",
					      perm ? json_integer_value(perm) : (json_int_t)TMPFS_MODE));
	}
	if (json_array_size(list))
		return list;
	json_decref(list);
	return NULL;
}
