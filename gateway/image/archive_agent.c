/* archive_agent - see archive_agent.h. */
#include "image/archive_agent.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "config.h"

#define AGENT "sockerless-agent"
#define BUNDLE "ca-certificates.crt"
#define SYSTEM_BUNDLE "/etc/ssl/certs/" BUNDLE
#define AGENT_MAX (256LL << 20)
#define BUNDLE_MAX (16LL << 20)
#define JSON_MAX (1LL << 20)
#define PIECE (64 * 1024)
#define DIGEST_HEX 7 /* behind "sha256:" */

struct file {
	char *bytes;
	size_t len;
};
struct parts {
	struct file agent, bundle;
};

static void parts_release(struct parts *p)
{
	free(p->agent.bytes);
	free(p->bundle.bytes);
}

/* ---- the program and the bundle ------------------------------------------------------------------------ */

static int read_file(const char *path, int64_t max, struct file *ret, struct err *err)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	AUTO_FREE char *bytes = NULL;
	struct stat st;
	ssize_t n = 1;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, errno, "open %s", path);
	if (!S_ISREG(st.st_mode) || st.st_size == 0 || st.st_size > max)
		return err_set(err, ERR_INVALID, "%s is not a file of 1 to %lld bytes", path, (long long)max);
	bytes = xcalloc(1, (size_t)st.st_size + 1);
	ret->len = 0;
	while (ret->len < (size_t)st.st_size && n > 0) {
		n = read(fd, bytes + ret->len, (size_t)st.st_size - ret->len);
		ret->len += n > 0 ? (size_t)n : 0;
	}
	if (ret->len < (size_t)st.st_size)
		return err_sys(err, n < 0 ? errno : EIO, "read %s", path);
	ret->bytes = steal_ptr(&bytes);
	return 0;
}

static int from_binary(const char *binary, struct parts *ret, struct err *err)
{
	const char *slash = strrchr(binary, '/');
	AUTO_FREE char *beside = xasprintf("%.*s" BUNDLE, slash ? (int)(slash - binary + 1) : 0, binary);

	if (read_file(binary, AGENT_MAX, &ret->agent, err) < 0)
		return -1;
	return read_file(access(beside, R_OK) == 0 ? beside : SYSTEM_BUNDLE, BUNDLE_MAX, &ret->bundle, err);
}

/* A blob of an OCI layout, by the digest that `from` has under key. */
static char *blob_path(const char *image, json_t *from, struct err *err)
{
	const char *digest = json_string_value(json_object_get(from, "digest"));

	if (registry_is_digest(digest))
		return xasprintf("%s/blobs/sha256/%s", image, digest + DIGEST_HEX);
	err_set(err, ERR_INVALID, "%s is not an OCI layout with one image", image);
	return NULL;
}

static json_t *read_json(const char *path, struct err *err)
{
	struct file f = {0};
	json_t *j = NULL;

	if (read_file(path, JSON_MAX, &f, err) == 0 && !(j = json_loadb(f.bytes, f.len, 0, NULL)))
		err_set(err, ERR_INVALID, "%s is not JSON", path);
	free(f.bytes);
	return j;
}

static int take_entry(struct archive *a, struct archive_entry *e, int64_t max, struct file *ret, struct err *err)
{
	int64_t size = archive_entry_size(e);

	if (size <= 0 || size > max)
		return err_set(err, ERR_INVALID, "%s in the agent's image has %lld bytes", archive_entry_pathname(e), (long long)size);
	free(ret->bytes);
	ret->bytes = xcalloc(1, (size_t)size + 1);
	ret->len = (size_t)size;
	if (archive_read_data(a, ret->bytes, ret->len) != (la_ssize_t)ret->len)
		return err_set(err, ERR_SYSTEM, "read the agent's image: %s", archive_error_string(a));
	return 0;
}

static const char *base_name(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path ? path : "";
}

static int from_layer(const char *path, struct parts *ret, struct err *err)
{
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	int rc = 0, got = ARCHIVE_OK;

	archive_read_support_filter_gzip(a);
	archive_read_support_filter_zstd(a);
	archive_read_support_format_tar(a);
	if (archive_read_open_filename(a, path, PIECE) != ARCHIVE_OK)
		rc = err_set(err, ERR_SYSTEM, "open %s: %s", path, archive_error_string(a));
	while (rc == 0 && (got = archive_read_next_header(a, &e)) == ARCHIVE_OK) {
		const char *name = base_name(archive_entry_pathname(e));

		if (strcmp(name, AGENT) == 0)
			rc = take_entry(a, e, AGENT_MAX, &ret->agent, err);
		else if (strcmp(name, BUNDLE) == 0)
			rc = take_entry(a, e, BUNDLE_MAX, &ret->bundle, err);
	}
	if (rc == 0 && got != ARCHIVE_EOF)
		rc = err_set(err, ERR_SYSTEM, "read %s: %s", path, archive_error_string(a));
	archive_read_free(a);
	return rc;
}

static int from_layers(const char *image, json_t *manifest, struct parts *ret, struct err *err)
{
	json_t *layer;
	size_t i;

	json_array_foreach(json_object_get(manifest, "layers"), i, layer) {
		AUTO_FREE char *path = blob_path(image, layer, err);

		if (!path || from_layer(path, ret, err) < 0)
			return -1;
	}
	if (!ret->agent.bytes || !ret->bundle.bytes)
		return err_set(err, ERR_NOT_FOUND, "%s holds no " AGENT " and " BUNDLE, image);
	return 0;
}

static int from_image(const char *image, struct parts *ret, struct err *err)
{
	AUTO_FREE char *index_path = xasprintf("%s/index.json", image);
	AUTO_FREE char *manifest_path = NULL;
	json_t *index = read_json(index_path, err), *manifest;
	int rc = -1;

	if (index)
		manifest_path = blob_path(image, json_array_get(json_object_get(index, "manifests"), 0), err);
	manifest = manifest_path ? read_json(manifest_path, err) : NULL;
	if (manifest)
		rc = from_layers(image, manifest, ret, err);
	json_decref(index);
	json_decref(manifest);
	return rc;
}

/* ---- the layer --------------------------------------------------------------------------------------------- */

static int add(struct archive *a, const char *name, unsigned type, unsigned mode, const struct file *f, struct err *err)
{
	struct archive_entry *e = archive_entry_new();
	int rc;

	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, type);
	archive_entry_set_perm(e, (mode_t)mode);
	archive_entry_set_uid(e, 0);
	archive_entry_set_gid(e, 0);
	archive_entry_set_mtime(e, 0, 0);
	archive_entry_set_size(e, f ? (la_int64_t)f->len : 0);
	rc = archive_write_header(a, e);
	archive_entry_free(e);
	if (rc == ARCHIVE_OK && (!f || archive_write_data(a, f->bytes, f->len) == (la_ssize_t)f->len))
		return 0;
	return err_set(err, ERR_SYSTEM, "write the agent's layer: %s", archive_error_string(a));
}

static int write_tar(const struct parts *p, const char *path, struct err *err)
{
	struct archive *a = archive_write_new();
	int rc = 0;

	archive_write_set_format_ustar(a);
	if (archive_write_open_filename(a, path) != ARCHIVE_OK)
		rc = err_set(err, ERR_SYSTEM, "write %s: %s", path, archive_error_string(a));
	if (rc == 0)
		rc = add(a, ARCHIVE_AGENT_DIR "/", AE_IFDIR, 0755, NULL, err);
	if (rc == 0)
		rc = add(a, ARCHIVE_AGENT_DIR "/" BUNDLE, AE_IFREG, 0644, &p->bundle, err);
	if (rc == 0)
		rc = add(a, ARCHIVE_AGENT_DIR "/" AGENT, AE_IFREG, 0755, &p->agent, err);
	if (rc == 0 && archive_write_close(a) != ARCHIVE_OK)
		rc = err_set(err, ERR_SYSTEM, "write %s: %s", path, archive_error_string(a));
	archive_write_free(a);
	return rc;
}

int archive_agent_layer(const char *binary, const char *image, const char *dir, const atomic_bool *stop,
			struct archive_layer *ret, struct err *err)
{
	AUTO_FREE char *tar = xasprintf("%s/agent.tar", dir);
	struct parts p = {0};
	int rc = binary ? from_binary(binary, &p, err) : from_image(image, &p, err);

	*ret = (struct archive_layer){0};
	if (rc == 0)
		rc = write_tar(&p, tar, err);
	parts_release(&p);
	if (rc == 0)
		rc = archive_layer_of(tar, dir, stop, ret, err);
	if (rc == 0)
		return 0;
	free(ret->path);
	ret->path = NULL;
	return err_wrap(err, "make the agent's layer");
}

/* ---- where it is -------------------------------------------------------------------------------------------- */

char *archive_agent_image(const struct config *c)
{
	static const char *const places[] = { "share/agent-image", "share/sockerless/agent-image" };

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		AUTO_FREE char *dir = xasprintf("%s/../%s", c->local_bin_dir, places[i]);
		AUTO_FREE char *index = xasprintf("%s/index.json", dir);

		if (access(index, R_OK) == 0)
			return steal_ptr(&dir);
	}
	return NULL;
}
