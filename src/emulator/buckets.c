/* buckets - see buckets.h. */
#include "buckets.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/mem.h"
#include "fs.h"

static char *bucket_dir(const struct emulator *emu, const char *name, const char *inside)
{
	return xasprintf("%s/buckets/%s%s", emu->state_dir, name, inside);
}

bool bucket_name_valid(const char *name)
{
	size_t n = strlen(name);

	return n >= 3 && n <= 222 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == n &&
	       !strchr("-_.", name[0]) && !strchr("-_.", name[n - 1]) && !strstr(name, "..");
}

/* A name that is a path below the bucket's folder: no empty, "." or ".." part. */
#define OBJECT_MAX (16 * 1024 * 1024) /* that is given whole */

static bool object_name_valid(const char *name)
{
	size_t len = strlen(name);

	if (!len || len > 1024 || *name == '/')
		return false;
	for (const char *s = name; *s;) {
		size_t n = strcspn(s, "/");

		if (n == 0 || (n == 1 && *s == '.') || (n == 2 && !strncmp(s, "..", 2)))
			return false;
		s += n;
		s += *s == '/';
	}
	return true;
}

/* ---- buckets ---- */

bool bucket_exists(const struct emulator *emu, const char *name)
{
	AUTO_FREE char *dir = bucket_dir(emu, name, "/objects");
	struct stat st;

	return bucket_name_valid(name) && stat(dir, &st) == 0;
}

int bucket_make(struct emulator *emu, const char *name, const json_t *resource, struct err *err)
{
	AUTO_FREE char *dir = bucket_dir(emu, name, "/objects"), *meta = bucket_dir(emu, name, "/bucket.json");
	AUTO_FREE char *text = json_dumps(resource, JSON_COMPACT);

	if (fs_mkdir_p(dir, 0755, err) < 0)
		return -1;
	return fs_write(meta, 0644, text, strlen(text), err);
}

json_t *bucket_resource(const struct emulator *emu, const char *name)
{
	AUTO_FREE char *meta = bucket_dir(emu, name, "/bucket.json");

	return bucket_exists(emu, name) ? json_load_file(meta, 0, NULL) : NULL;
}

int bucket_remove(struct emulator *emu, const char *name, struct err *err)
{
	AUTO_FREE char *dir = bucket_dir(emu, name, ""), *objects = bucket_dir(emu, name, "/objects");

	if (rmdir(objects) < 0)
		return err_set(err, ERR_CONFLICT, "The bucket you tried to delete is not empty.");
	fs_remove_tree(dir);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static json_t *sorted(struct strv *names)
{
	json_t *list = json_array();

	if (names->n)
		qsort(names->v, names->n, sizeof *names->v, by_name);
	for (size_t i = 0; i < names->n; i++)
		json_array_append_new(list, json_string(names->v[i]));
	strv_release(names);
	return list;
}

json_t *buckets_names(const struct emulator *emu)
{
	AUTO_FREE char *top = xasprintf("%s/buckets", emu->state_dir);
	struct strv names = { 0 };
	DIR *d = opendir(top);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (*e->d_name != '.')
			strv_add(&names, e->d_name);
	if (d)
		closedir(d);
	return sorted(&names);
}

/* ---- objects ---- */

static bool is_empty_dir(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	bool empty = d != NULL;

	while (d && empty && (e = readdir(d)))
		empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
	if (d)
		closedir(d);
	return empty;
}

json_t *bucket_objects(const struct emulator *emu, const char *name, const char *prefix)
{
	AUTO_FREE char *top = bucket_dir(emu, name, "/objects");
	char *const paths[] = { top, NULL };
	FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	struct strv names = { 0 };
	size_t skip = strlen(top) + 1;
	FTSENT *e;

	while (walk && (e = fts_read(walk))) {
		bool dir = e->fts_info == FTS_D;

		if (e->fts_level == 0 || e->fts_info == FTS_DP || (dir && !is_empty_dir(e->fts_path)))
			continue;
		AUTO_FREE char *object = xasprintf("%s%s", e->fts_path + skip, dir ? "/" : "");
		if (!strncmp(object, prefix, strlen(prefix)))
			strv_add(&names, object);
	}
	if (walk)
		fts_close(walk);
	return sorted(&names);
}

/* The folder that holds the object, and its last part; -1 if there is none. */
static int open_parent(const struct emulator *emu, const char *name, const char *object, char **ret_last)
{
	AUTO_FREE char *top = bucket_dir(emu, name, "/objects"), *path = xstrdup(object);
	size_t n = strlen(path);
	char *slash;

	if (n && path[n - 1] == '/')
		path[n - 1] = 0;
	slash = strrchr(path, '/');
	*ret_last = xstrdup(slash ? slash + 1 : path);
	if (slash)
		*slash = 0;
	return fs_open_in_root(top, slash ? path : ".", O_PATH | O_DIRECTORY);
}

static int stat_object(const struct emulator *emu, const char *name, const char *object, struct stat *st)
{
	AUTO_FREE char *last = NULL;
	bool dir = *object && object[strlen(object) - 1] == '/';
	AUTO_CLOSE int parent = -1;

	if (!object_name_valid(object))
		return -1;
	parent = open_parent(emu, name, object, &last);
	if (parent < 0 || fstatat(parent, last, st, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	return S_ISDIR(st->st_mode) == dir ? 0 : -1;
}

json_t *bucket_object(const struct emulator *emu, const char *name, const char *object)
{
	char when[CLOCK_RFC3339_MAX];
	struct stat st;
	json_t *o;

	if (stat_object(emu, name, object, &st) < 0)
		return NULL;
	clock_format((int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec / 1000000 * 1000000, 0, when);
	o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "kind", "storage#object", "name", object, "bucket", name,
		      "timeCreated", when, "updated", when);
	json_object_set_new(o, "size", json_sprintf("%" PRId64, S_ISREG(st.st_mode) ? (int64_t)st.st_size : 0));
	return o;
}

/* Folders that this leaves empty go as well: they were there because of their objects. */
static void remove_empty_parents(const struct emulator *emu, const char *name, const char *object)
{
	AUTO_FREE char *path = xstrdup(object);

	for (char *slash; (slash = strrchr(path, '/'));) {
		AUTO_FREE char *last = NULL;
		AUTO_CLOSE int parent = -1;

		*slash = 0;
		parent = open_parent(emu, name, path, &last);
		if (parent < 0 || unlinkat(parent, last, AT_REMOVEDIR) < 0)
			return;
	}
}

int bucket_delete_object(struct emulator *emu, const char *name, const char *object, struct err *err)
{
	AUTO_FREE char *last = NULL;
	AUTO_CLOSE int parent = -1;
	struct stat st;

	if (stat_object(emu, name, object, &st) < 0)
		return err_set(err, ERR_NOT_FOUND, "No such object: %s/%.200s", name, object);
	parent = open_parent(emu, name, object, &last);
	if (parent < 0 || unlinkat(parent, last, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0)
		return err_sys(err, errno, "delete %s/%.200s", name, object);
	if (!S_ISDIR(st.st_mode))
		remove_empty_parents(emu, name, object);
	return 0;
}

char *bucket_read_object(const struct emulator *emu, const char *name, const char *object, size_t *ret_len, struct err *err)
{
	AUTO_FREE char *top = bucket_dir(emu, name, "/objects");
	AUTO_CLOSE int fd = object_name_valid(object) ? fs_open_in_root(top, object, O_RDONLY) : -1;
	AUTO_FREE char *path = xasprintf("/proc/self/fd/%d", fd);

	if (fd < 0) {
		err_set(err, ERR_NOT_FOUND, "No such object: %s/%.200s", name, object);
		return NULL;
	}
	return fs_read(path, OBJECT_MAX, ret_len, err);
}

/* The folders above are the bucket's own: what containers mount lies in others. */
int bucket_write_object(struct emulator *emu, const char *name, const char *object, const char *content, size_t len, struct err *err)
{
	AUTO_FREE char *top = bucket_dir(emu, name, "/objects");
	AUTO_FREE char *path = xasprintf("%s/%s", top, object), *parent = xstrdup(path);

	if (!object_name_valid(object) || object[strlen(object) - 1] == '/')
		return err_set(err, ERR_INVALID, "Invalid object name: %.200s", object);
	*strrchr(parent, '/') = 0;
	if (fs_mkdir_p(parent, 0755, err) < 0)
		return -1;
	return fs_write(path, 0644, content, len, err);
}

/* ---- mounting ---- */

bool bucket_mount_option_valid(const char *option)
{
	static const char *const keys[] = { "only-dir", "file-mode", "dir-mode", "uid", "gid", "implicit-dirs", "o" };
	size_t n = strcspn(option, "=");

	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
		if (strlen(keys[i]) == n && !strncmp(keys[i], option, n))
			return i > 0 || (option[n] && object_name_valid(option + n + 1));
	return false;
}

static const char *option_of(const json_t *gcs, const char *key, const char *otherwise)
{
	const json_t *v;
	size_t i, n = strlen(key);

	json_array_foreach(json_object_get(gcs, "mountOptions"), i, v)
		if (!strncmp(json_string_value(v), key, n) && json_string_value(v)[n] == '=')
			return json_string_value(v) + n + 1;
	return otherwise;
}

static int bind_folder(const char *source, const char *dir, bool read_only, struct err *err)
{
	if (mount(source, dir, NULL, MS_BIND, NULL) < 0)
		return err_sys(err, errno, "mount %s", source);
	if (read_only && mount(NULL, dir, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
		return err_sys(err, errno, "mount %s read-only", source);
	return 0;
}

int bucket_mount(const struct emulator *emu, const json_t *gcs, const char *dir, struct err *err)
{
	const char *name = json_string_value(json_object_get(gcs, "bucket"));
	AUTO_FREE char *top = bucket_dir(emu, name, "/objects");
	AUTO_FREE char *source = xasprintf("%s/%s", top, option_of(gcs, "only-dir", ""));
	mode_t mode = (mode_t)strtoul(option_of(gcs, "dir-mode", "755"), NULL, 8) & 0777;
	struct stat st;

	if (!bucket_exists(emu, name))
		return err_set(err, ERR_NOT_FOUND, "bucket %s does not exist", name);
	if (stat(source, &st) < 0 && fs_mkdir_p(source, 0755, err) < 0)
		return -1;
	if (chmod(source, mode) < 0)
		return err_sys(err, errno, "set the mode of %s", source);
	return bind_folder(source, dir, json_is_true(json_object_get(gcs, "readOnly")), err);
}

int nfs_mount(const struct emulator *emu, const json_t *nfs, const char *dir, struct err *err)
{
	AUTO_FREE char *source = xasprintf("%s/nfs/%s%s", emu->state_dir, json_string_value(json_object_get(nfs, "server")),
					   json_string_value(json_object_get(nfs, "path")));
	struct stat st;

	if (stat(source, &st) < 0 && fs_mkdir_p(source, 0777, err) < 0)
		return -1;
	return bind_folder(source, dir, json_is_true(json_object_get(nfs, "readOnly")), err);
}
