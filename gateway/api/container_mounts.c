/* container_mounts - see container_mounts.h. The order of precedence is dockerd's: VolumesFrom, Binds, Mounts,
 * Tmpfs, Volumes, the image. */
#include "api/container_mounts.h"

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "api/fields.h"
#include "base/mem.h"
#include "base/path.h"
#include "gateway.h"
#include "state/container.h"
#include "state/doc.h"
#include "state/volume.h"

#define MOUNTS_MAX 64
#define JOB_VOLUMES_MAX 9 /* Cloud Run has ten; one brings the agent */
#define N(a) (sizeof(a) / sizeof((a)[0]))

struct reading {
	struct gateway *g;
	json_t *mounts;    /* the result */
	json_t *labels;    /* the container's, borrowed */
	json_t *warnings;
	struct err *err;
};

static int refuse(struct reading *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int refuse(struct reading *r, const char *fmt, ...)
{
	char text[ERR_MSG_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(r->err, ERR_INVALID, "%s", text);
}

/* ---- targets -------------------------------------------------------------------------------------- */

static bool is_below(const char *path, const char *top)
{
	size_t n = strlen(top);

	return strncmp(path, top, n) == 0 && (!path[n] || path[n] == '/');
}

static json_t *at_target(json_t *mounts, const char *target)
{
	json_t *m;
	size_t i;

	json_array_foreach(mounts, i, m)
		if (strcmp(doc_str(m, "target"), target) == 0)
			return m;
	return NULL;
}

/* Is it a volume of the job, or only files in the container? */
static bool is_real(const json_t *m)
{
	const char *on = doc_str(m, "on");

	return strcmp(doc_str(m, "type"), "bind") != 0 && !(on && strcmp(on, "container") == 0);
}

/* Caller frees. An image may declare a volume without the first slash. */
static char *clean_path(const char *path)
{
	AUTO_FREE char *rooted = xasprintf("/%s", path);

	return path_clean(rooted);
}

/* Cleans m's target and adds m, which is stolen. inherited: gives way to what comes later. */
static int add(struct reading *r, json_t *m, bool inherited)
{
	AUTO_FREE char *target = clean_path(doc_str(m, "target"));
	json_t *old = at_target(r->mounts, target);
	size_t i;

	json_object_set_new(m, "target", json_string(target));
	if (inherited)
		json_object_set_new(m, "inherited", json_true());
	if (old && !inherited && !doc_bool(old, "inherited")) {
		json_decref(m);
		return refuse(r, "Duplicate mount point: %s", target);
	}
	if (old) {
		json_t *other;

		json_array_foreach(r->mounts, i, other)
			if (other == old)
				break;
		json_array_remove(r->mounts, i);
	}
	json_array_append_new(r->mounts, m);
	if (json_array_size(r->mounts) > MOUNTS_MAX)
		return refuse(r, "a container can have at most %d mounts", MOUNTS_MAX);
	return 0;
}

/* ---- -v, --volume --------------------------------------------------------------------------------- */

/* One word of a mode: its class, so that no class is named twice; -1 unknown. */
static int mode_class(const char *word, size_t len, bool bind)
{
	static const struct { const char *word; int class; } words[] = {
		{"rw", 0}, {"ro", 0}, {"z", 1}, {"Z", 1}, {"nocopy", 2}, {"consistent", 3}, {"cached", 3},
		{"delegated", 3}, {"default", 3}, {"shared", 4}, {"slave", 4}, {"private", 4}, {"rshared", 4},
		{"rslave", 4}, {"rprivate", 4},
	};

	for (size_t i = 0; i < N(words); i++)
		if (strlen(words[i].word) == len && strncmp(words[i].word, word, len) == 0)
			return words[i].class == 4 && !bind ? -1 : words[i].class;
	return -1;
}

static bool mode_valid(const char *mode, bool bind, bool *ret_rw)
{
	bool seen[5] = {false};

	*ret_rw = true;
	if (!*mode)
		return true;
	for (const char *at = mode;; at++) {
		size_t n = strcspn(at, ",");
		int class = mode_class(at, n, bind);

		if (class < 0 || seen[class] || (class == 2 && bind))
			return false;
		seen[class] = true;
		if (n == 2 && strncmp(at, "ro", 2) == 0)
			*ret_rw = false;
		at += n;
		if (!*at)
			return true;
	}
}

static bool is_socket_of_docker(const char *path)
{
	return strcmp(path, "/var/run/docker.sock") == 0 || strcmp(path, "/run/docker.sock") == 0;
}

static const char *alternatives(void)
{
	return "Use a named volume, copy the files into the container with docker cp, or set the label "
	       "run.sockerless.bind=upload to have them copied at each start";
}

/* The setting decides; "label" leaves it to each container. */
static bool uploads(const struct reading *r)
{
	const char *setting = r->g->config->binds, *label = doc_str(r->labels, "run.sockerless.bind");

	if (!setting || strcmp(setting, "label") == 0)
		return label && strcmp(label, "upload") == 0;
	return strcmp(setting, "upload") == 0 && !(label && strcmp(label, "refuse") == 0);
}

static int add_upload(struct reading *r, const char *source, const char *target, const char *mode, bool rw, bool must_exist)
{
	AUTO_FREE char *clean = clean_path(source);
	struct stat st;

	if (is_socket_of_docker(clean)) {
		json_array_append_new(r->warnings, json_sprintf("Bind mount of %s has no effect: a container on Cloud Run cannot "
				      "reach a socket of this machine.", source));
		return 0;
	}
	if (stat(clean, &st) < 0) {
		if (must_exist)
			return refuse(r, "invalid mount config for type \"bind\": bind source path does not exist: %s", source);
		/* dockerd would make an empty folder; the container's own does as well. */
		return 0;
	}
	return add(r, json_pack("{s:s, s:s, s:s, s:s, s:b}", "type", "bind", "source", clean, "target", target, "mode", mode,
				"rw", rw), false);
}

static int add_bind(struct reading *r, const char *source, const char *target, const char *mode, bool rw, bool must_exist)
{
	if (uploads(r))
		return add_upload(r, source, target, mode, rw, must_exist);
	if (is_socket_of_docker(source))
		return refuse(r, "bind mount of %s is not available: a container on Cloud Run cannot reach a socket of this "
			      "machine. Give it the address of this gateway in DOCKER_HOST instead", source);
	return refuse(r, "bind mount of \"%s\" at \"%s\" is not available: a container on Cloud Run cannot see this "
		      "machine's files. %s", source, target, alternatives());
}

static int check_target(struct reading *r, const char *what, const char *type, const char *target)
{
	if (*target != '/')
		return refuse(r, "%sinvalid mount config for type \"%s\": invalid mount path: '%s' mount path must be "
			      "absolute", what, type, target);
	AUTO_FREE char *clean = clean_path(target);
	if (strcmp(clean, "/") == 0)
		return refuse(r, "%sinvalid mount config for type \"%s\": invalid specification: destination can't be '/'",
			      what, type);
	return 0;
}

static int read_bind(struct reading *r, const char *text)
{
	AUTO_FREE char *copy = xstrdup(text), *what = xasprintf("invalid volume specification: '%s': ", text);
	char *part[4] = {copy}, *source, *target, *mode = NULL;
	size_t n = 1;
	bool rw, bind;

	for (char *colon = copy; n < 4 && (colon = strchr(colon, ':'));) {
		*colon++ = '\0';
		part[n++] = colon;
	}
	for (size_t i = 0; i < n; i++)
		if (!*part[i] || n > 3)
			return refuse(r, "invalid volume specification: '%s'", text);
	source = n > 1 ? part[0] : NULL;
	target = n > 1 ? part[1] : part[0];
	mode = n > 2 ? part[2] : NULL;
	bind = source && *source == '/';
	if (n == 2 && mode_valid(target, false, &rw))
		return refuse(r, "invalid volume specification: '%s'", text);
	if (!mode_valid(mode ? mode : "", bind, &rw))
		return refuse(r, "invalid mode: %s", mode);
	if (check_target(r, what, bind ? "bind" : "volume", target) < 0)
		return -1;
	if (bind)
		return add_bind(r, source, target, mode ? mode : "", rw, false);
	if (source && volume_name_check(source, r->err) < 0)
		return -1;
	return add(r, json_pack("{s:s, s:s?, s:s, s:s, s:b, s:b}", "type", "volume", "name", source, "target", target,
				"mode", mode ? mode : source ? "z" : "", "rw", rw, "anonymous", !source), false);
}

/* ---- --mount -------------------------------------------------------------------------------------- */

static const struct field mount_fields[] = {
	{"Target", FIELD_STRING}, {"Source", FIELD_STRING}, {"Type", FIELD_STRING}, {"ReadOnly", FIELD_BOOL},
	{"Consistency", FIELD_STRING}, {"BindOptions", FIELD_OBJECT}, {"VolumeOptions", FIELD_OBJECT},
	{"ImageOptions", FIELD_OBJECT}, {"TmpfsOptions", FIELD_OBJECT}, {NULL, 0},
};

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = doc_str(o, key);

	return s ? s : "";
}

static int read_volume_mount(struct reading *r, const json_t *m, const char *source, const char *target)
{
	const json_t *options = json_object_get(m, "VolumeOptions");
	const json_t *driver = json_object_get(options, "DriverConfig");
	const char *subpath = text_of(options, "Subpath");
	json_t *mount;

	if (!*source && doc_bool(m, "ReadOnly"))
		return refuse(r, "invalid mount config for type \"volume\": must not set ReadOnly mode when using anonymous "
			      "volumes");
	if (*source && volume_name_check(source, r->err) < 0)
		return -1;
	if (*subpath && !*source)
		return refuse(r, "invalid mount config for type \"volume\": must not set Subpath when using anonymous "
			      "volumes");
	if (*subpath == '/' || is_below(subpath, "..") || strstr(subpath, "/.."))
		return refuse(r, "invalid mount config for type \"volume\": subpath must be a relative path within the "
			      "volume");
	mount = json_pack("{s:s, s:s?, s:s, s:s, s:b, s:b}", "type", "volume", "name", *source ? source : NULL, "target",
			  target, "mode", "z", "rw", !doc_bool(m, "ReadOnly"), "anonymous", !*source);
	if (*subpath)
		json_object_set_new(mount, "subpath", json_string(subpath));
	/* Only until the volume is made. */
	json_object_set_new(mount, "new", json_pack("{s:s, s:O?, s:O?}", "driver", text_of(driver, "Name"), "options",
			    json_object_get(driver, "Options"), "labels", json_object_get(options, "Labels")));
	return add(r, mount, false);
}

static int read_tmpfs_mount(struct reading *r, const json_t *m, const char *source, const char *target)
{
	const json_t *options = json_object_get(m, "TmpfsOptions");
	json_int_t size = json_integer_value(json_object_get(options, "SizeBytes"));
	json_t *perm = json_object_get(options, "Mode"), *mount;

	if (*source)
		return refuse(r, "invalid mount config for type \"tmpfs\": field Source must not be specified");
	mount = json_pack("{s:s, s:s, s:s, s:b, s:b}", "type", "tmpfs", "target", target, "mode", "", "rw",
			  !doc_bool(m, "ReadOnly"), "listed", 1);
	if (size > 0)
		json_object_set_new(mount, "size", json_integer(size));
	if (json_integer_value(perm) > 0)
		json_object_set_new(mount, "perm", json_integer(json_integer_value(perm) & 07777));
	return add(r, mount, false);
}

static int read_mount(struct reading *r, json_t *m)
{
	static const struct { const char *key, *type; } own[] = {
		{"BindOptions", "bind"}, {"VolumeOptions", "volume"}, {"TmpfsOptions", "tmpfs"},
	};
	const char *type, *source, *target;

	if (!json_is_object(m))
		return refuse(r, "json: cannot unmarshal into Go struct field HostConfig.Mounts of type mount.Mount");
	if (fields_check(m, "Mount", mount_fields, r->err) < 0)
		return -1;
	type = text_of(m, "Type");
	source = text_of(m, "Source");
	target = text_of(m, "Target");
	if (strcmp(type, "image") == 0 || strcmp(type, "cluster") == 0)
		return refuse(r, "invalid mount config for type \"%s\": not available on Cloud Run", type);
	if (strcmp(type, "bind") != 0 && strcmp(type, "volume") != 0 && strcmp(type, "tmpfs") != 0)
		return refuse(r, "invalid mount config for type \"%s\": mount type unknown", type);
	if (!*target)
		return refuse(r, "invalid mount config for type \"%s\": field Target must not be empty", type);
	if (check_target(r, "", type, target) < 0)
		return -1;
	for (size_t i = 0; i < N(own); i++)
		if (json_object_size(json_object_get(m, own[i].key)) && strcmp(type, own[i].type) != 0)
			return refuse(r, "invalid mount config for type \"%s\": field %s must not be specified", type,
				      own[i].key);
	if (strcmp(type, "volume") == 0)
		return read_volume_mount(r, m, source, target);
	if (strcmp(type, "tmpfs") == 0)
		return read_tmpfs_mount(r, m, source, target);
	if (!*source)
		return refuse(r, "invalid mount config for type \"bind\": field Source must not be empty");
	if (*source != '/')
		return refuse(r, "invalid mount config for type \"bind\": invalid mount path: '%s' mount path must be "
			      "absolute", source);
	return add_bind(r, source, target, "", !doc_bool(m, "ReadOnly"), true);
}

/* ---- --tmpfs -------------------------------------------------------------------------------------- */

static int read_tmpfs(struct reading *r, const char *target, const char *options)
{
	json_t *m;

	if (*target != '/')
		return refuse(r, "invalid mount path: '%s' mount path must be absolute", target);
	if (check_target(r, "", "tmpfs", target) < 0)
		return -1;
	m = json_pack("{s:s, s:s, s:s, s:b}", "type", "tmpfs", "target", target, "mode", "", "rw", 1);
	for (const char *at = options; *at; at += strcspn(at, ","), at += *at == ',') {
		AUTO_FREE char *word = xstrndup(at, strcspn(at, ","));

		if (strcmp(word, "ro") == 0)
			json_object_set_new(m, "rw", json_false());
		if (strncmp(word, "mode=", 5) == 0)
			json_object_set_new(m, "perm", json_integer((json_int_t)strtol(word + 5, NULL, 8) & 07777));
		if (strncmp(word, "size=", 5) != 0)
			continue;
		if (volume_size(word + 5) < 0) {
			json_decref(m);
			return refuse(r, "invalid tmpfs option \"%s\" for %s: a number of bytes is wanted, with k, m or g "
				      "behind it", word, target);
		}
		if (volume_size(word + 5) > 0)
			json_object_set_new(m, "size", json_integer(volume_size(word + 5)));
	}
	return add(r, m, false);
}

/* ---- --volumes-from ------------------------------------------------------------------------------- */

static int read_from(struct reading *r, const char *text)
{
	size_t n = strcspn(text, ":");
	AUTO_FREE char *name = xstrndup(text, n);
	const char *mode = text[n] ? text + n + 1 : "";
	struct container *c;
	bool rw;
	json_t *m;
	size_t i;

	if (!*name)
		return refuse(r, "volumes-from specification cannot be an empty string");
	if (!mode_valid(mode, true, &rw))
		return refuse(r, "invalid mode: %s", mode);
	c = containers_find(r->g->containers, name, r->err);
	if (!c)
		return -1;
	json_array_foreach(c->mounts, i, m) {
		const char *type = doc_str(m, "type"), *on = text_of(m, "on");
		json_t *copy;

		if (strcmp(type, "tmpfs") == 0)
			continue;
		if (strcmp(on, "container") == 0)
			return refuse(r, "volume %s of container %s cannot be shared: it comes from its image and is part of "
				      "that container's file system. Give it a name there: -v NAME:%s", doc_str(m, "name"),
				      c->name, doc_str(m, "target"));
		copy = json_deep_copy(m);
		json_object_set_new(copy, "rw", json_boolean(rw && doc_bool(m, "rw")));
		if (*mode)
			json_object_set_new(copy, "mode", json_string(mode));
		if (add(r, copy, true) < 0)
			return -1;
	}
	return 0;
}

/* ---- volumes of the request and of the image ------------------------------------------------------- */

/* The image's need no storage that outlives the execution: their content comes with the image, and what is
 * written to them goes with the rest of the file system. A bucket could not hold a database anyway. */
static int read_volumes(struct reading *r, json_t *volumes, bool of_image)
{
	bool in_container = of_image || !r->g->config->volume_bucket;
	const char *path;
	json_t *v;

	json_object_foreach(volumes, path, v) {
		AUTO_FREE char *clean = clean_path(path);
		json_t *m;

		if (at_target(r->mounts, clean))
			continue;
		if (check_target(r, "", "volume", clean) < 0)
			return -1;
		m = json_pack("{s:s, s:s, s:s, s:b, s:b}", "type", "volume", "target", clean, "mode", "", "rw", 1,
			      "anonymous", 1);
		if (in_container)
			json_object_set_new(m, "on", json_string("container"));
		if (add(r, m, false) < 0)
			return -1;
	}
	return 0;
}

/* ---- what Cloud Run allows ------------------------------------------------------------------------ */

static int check_place(struct reading *r, const json_t *m)
{
	static const char *const taken[] = {"/dev", "/proc", "/sys", "/sockerless"};
	const char *target = doc_str(m, "target");
	const json_t *other;
	size_t i;

	for (i = 0; i < N(taken); i++)
		if (is_below(target, taken[i]))
			return refuse(r, "nothing can be mounted at \"%s\": %s", target, i == 3 ? "the agent is there"
				      : "Cloud Run allows no volumes in /dev, /proc and /sys");
	if (strchr(target, ':'))
		return refuse(r, "nothing can be mounted at \"%s\": Cloud Run allows no ':' in the path", target);
	json_array_foreach(r->mounts, i, other)
		if (other != m && is_real(other) && is_below(target, doc_str(other, "target")))
			return refuse(r, "mount point \"%s\" is inside mount point \"%s\": Cloud Run has no nested volumes",
				      target, doc_str(other, "target"));
	return 0;
}

static int check_all(struct reading *r)
{
	size_t i, real = 0;
	json_t *m;

	json_array_foreach(r->mounts, i, m) {
		json_object_del(m, "inherited");
		if (!is_real(m))
			continue;
		if (check_place(r, m) < 0)
			return -1;
		if (++real > JOB_VOLUMES_MAX)
			return refuse(r, "%zu volumes and tmpfs mounts are too many: Cloud Run has at most %d for a container",
				      real, JOB_VOLUMES_MAX);
	}
	return 0;
}

static int read_all(struct reading *r, json_t *config, json_t *host, json_t *image_volumes)
{
	const char *key;
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(host, "VolumesFrom"), i, v)
		if (read_from(r, json_string_value(v)) < 0)
			return -1;
	json_array_foreach(json_object_get(host, "Binds"), i, v)
		if (read_bind(r, json_string_value(v)) < 0)
			return -1;
	json_array_foreach(json_object_get(host, "Mounts"), i, v)
		if (read_mount(r, v) < 0)
			return -1;
	json_object_foreach(json_object_get(host, "Tmpfs"), key, v)
		if (read_tmpfs(r, key, json_string_value(v)) < 0)
			return -1;
	if (read_volumes(r, json_object_get(config, "Volumes"), false) < 0 || read_volumes(r, image_volumes, true) < 0)
		return -1;
	return check_all(r);
}

json_t *container_mounts_read(struct gateway *g, json_t *config, json_t *host, json_t *image_volumes, json_t *warnings,
			      struct err *err)
{
	struct reading r = {.g = g, .mounts = json_array(), .labels = json_object_get(config, "Labels"),
			    .warnings = warnings, .err = err};

	if (read_all(&r, config, host, image_volumes) == 0)
		return r.mounts;
	json_decref(r.mounts);
	return NULL;
}

/* ---- making the volumes --------------------------------------------------------------------------- */

static int make_one(struct gateway *g, json_t *m, const char *driver, struct err *err)
{
	json_t *new = json_object_get(m, "new");
	const char *name = doc_str(m, "name"), *on = doc_str(m, "on");
	struct volume_new spec = {
		.name = name, .driver = new ? doc_str(new, "driver") : driver, .labels = json_object_get(new, "labels"),
		.options = json_object_get(new, "options"), .in_container = on && strcmp(on, "container") == 0,
	};
	struct volume *v = volumes_add(g->volumes, &spec, err);

	if (!v)
		return -1;
	json_object_del(m, "new");
	json_object_set_new(m, "name", json_string(v->name));
	volume_describe(v, m);
	if (v->place == VOLUME_IN_BUCKET && !g->config->volume_bucket)
		return err_set(err, ERR_INVALID, "volume %s cannot be mounted: this gateway has no bucket for volumes "
			       "(SOCKERLESS_GCR_VOLUME_BUCKET is not set)", v->name);
	if ((v->place == VOLUME_IN_MEMORY || v->place == VOLUME_OF_SECRET) && doc_str(m, "subpath"))
		return err_set(err, ERR_INVALID, "volume %s has no subpath: it is of type %s", v->name,
			       v->place == VOLUME_IN_MEMORY ? "tmpfs" : "secret");
	return 0;
}

int container_mounts_make(struct gateway *g, json_t *mounts, const char *driver, struct err *err)
{
	json_t *m;
	size_t i;

	json_array_foreach(mounts, i, m)
		if (strcmp(doc_str(m, "type"), "volume") == 0 && make_one(g, m, driver, err) < 0) {
			container_mounts_undo(g, mounts);
			return -1;
		}
	return 0;
}

void container_mounts_undo(struct gateway *g, json_t *mounts)
{
	json_t *m;
	size_t i;

	json_array_foreach(mounts, i, m) {
		const char *name = doc_bool(m, "anonymous") ? doc_str(m, "name") : NULL;
		struct volume *v = name ? volumes_find(g->volumes, name, NULL) : NULL;
		json_t *users = v ? volume_users(g->volumes, name) : NULL;

		if (v && json_array_size(users) == 0)
			volume_remove(g->volumes, v);
		json_decref(users);
	}
}

/* ---- showing -------------------------------------------------------------------------------------- */

char *container_mounts_source(const struct gateway *g, json_t *mount)
{
	const char *on = text_of(mount, "on"), *bucket = g->config->volume_bucket;

	if (strcmp(on, "nfs") == 0)
		return xasprintf("%s:%s", doc_str(mount, "server"), doc_str(mount, "path"));
	if (strcmp(on, "secret") == 0)
		return xasprintf("%s:%s", doc_str(mount, "secret"), doc_str(mount, "version"));
	if (strcmp(on, "bucket") == 0 && bucket)
		return xasprintf("gs://%s/%s", bucket, doc_str(mount, "name"));
	return xstrdup("");
}

json_t *container_mounts_shown(const struct gateway *g, const struct container *c, bool brief)
{
	json_t *out = json_array(), *m, *o;
	size_t i;

	json_array_foreach(c->mounts, i, m) {
		const char *type = doc_str(m, "type");
		bool volume = strcmp(type, "volume") == 0, tmpfs = strcmp(type, "tmpfs") == 0;
		AUTO_FREE char *source = volume ? container_mounts_source(g, m) : xstrdup(text_of(m, "source"));

		if (tmpfs && !doc_bool(m, "listed"))
			continue;
		o = json_pack("{s:s}", "Type", type);
		if (volume)
			json_object_set_new(o, "Name", doc_text(doc_str(m, "name")));
		json_object_set_new(o, "Source", doc_text(volume && brief ? "" : source));
		json_object_set_new(o, "Destination", doc_text(doc_str(m, "target")));
		if (volume)
			json_object_set_new(o, "Driver", json_string(VOLUME_DRIVER));
		json_object_set_new(o, "Mode", doc_text(doc_str(m, "mode")));
		json_object_set_new(o, "RW", json_boolean(doc_bool(m, "rw")));
		json_object_set_new(o, "Propagation", json_string(!volume && !tmpfs ? "rprivate" : ""));
		json_array_append_new(out, o);
	}
	return out;
}
