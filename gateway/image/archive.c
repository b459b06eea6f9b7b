/* archive - see archive.h. First every file of the tar is written below dir under a number, with its digest;
 * then manifest.json (Docker) or index.json (OCI) says what they are. Names in the tar never become paths. */
#include "image/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/token.h"
#include "image/archive_layout.h"

#define PIECE (64 * 1024)
#define JSON_MAX (8 * 1024 * 1024)
#define COMPRESSION "4" /* layers are moved once or twice: time counts more than the last percent */

#define DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"
#define DOCKER_LAYER "application/vnd.docker.image.rootfs.diff.tar.gzip"
#define OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define OCI_GZIP "application/vnd.oci.image.layer.v1.tar+gzip"
#define OCI_ZSTD "application/vnd.oci.image.layer.v1.tar+zstd"

static int stopped(const atomic_bool *stop, struct err *err)
{
	return atomic_load(stop) ? err_set(err, ERR_UNAVAILABLE, "given up: the client has gone away") : 0;
}

static void digest_end(struct sha256_sum *s, char out[REGISTRY_DIGEST_MAX])
{
	uint8_t sum[SHA256_LEN];

	sha256_end(s, sum);
	memcpy(out, "sha256:", 7);
	hex_encode(sum, sizeof(sum), out + 7);
}

static int complaint(struct archive *a, struct err *err)
{
	const char *why = archive_error_string(a);

	return err_set(err, ERR_INVALID, "Error processing tar file: %.300s", why ? why : "unexpected EOF");
}

/* Not libarchive's "all": that would start programs for some formats. */
static struct archive *open_tar(const char *path, bool raw, bool compressed, struct err *err)
{
	struct archive *a = archive_read_new();

	if (compressed) {
		archive_read_support_filter_gzip(a);
		archive_read_support_filter_bzip2(a);
		archive_read_support_filter_xz(a);
		archive_read_support_filter_zstd(a);
	}
	if (raw)
		archive_read_support_format_raw(a);
	else
		archive_read_support_format_tar(a);
	if (archive_read_open_filename(a, path, PIECE) == ARCHIVE_OK)
		return a;
	complaint(a, err);
	archive_read_free(a);
	return NULL;
}

/* ---- unpacking ---------------------------------------------------------------------------------------- */

/* The entry's bytes to a new file; size and digest into f. */
static int take_file(struct archive *a, struct archive_file *f, int64_t *left, const atomic_bool *stop, struct err *err)
{
	AUTO_CLOSE int fd = open(f->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct sha256_sum *sum = sha256_begin();
	char *piece = xmalloc(PIECE);
	la_ssize_t n = 0;
	int rc = fd < 0 ? err_sys(err, errno, "open %s", f->path) : 0;

	while (rc == 0 && (n = archive_read_data(a, piece, PIECE)) > 0) {
		f->size += n;
		*left -= n;
		sha256_add(sum, piece, (size_t)n);
		if (*left < 0)
			rc = err_set(err, ERR_LIMIT, "the archive unpacks to more than %lld bytes", ARCHIVE_BYTES_MAX);
		else if (write_all(fd, piece, (size_t)n) < 0)
			rc = err_sys(err, errno, "write %s", f->path);
		else
			rc = stopped(stop, err);
	}
	if (rc == 0 && n < 0)
		rc = complaint(a, err);
	free(piece);
	digest_end(sum, f->digest);
	return rc;
}

static int take_entry(struct archive *a, struct archive_entry *e, const char *dir, struct archive_files *files,
		      int64_t *left, const atomic_bool *stop, struct err *err)
{
	const char *name = archive_entry_pathname(e), *hard = archive_entry_hardlink(e);
	const char *soft = archive_entry_filetype(e) == AE_IFLNK ? archive_entry_symlink(e) : NULL;
	struct archive_file *f;

	if (!name || (!hard && !soft && archive_entry_filetype(e) != AE_IFREG))
		return 0;
	if (files->n >= ARCHIVE_FILES_MAX)
		return err_set(err, ERR_LIMIT, "the archive holds more than %d files", ARCHIVE_FILES_MAX);
	f = archive_files_add(files, name);
	if (hard || soft) {
		f->link = hard ? archive_name(NULL, hard) : archive_name(f->name, soft);
		return 0;
	}
	f->path = xasprintf("%s/%zu", dir, files->n);
	return take_file(a, f, left, stop, err);
}

static int unpack(const char *path, const char *dir, struct archive_files *files, const atomic_bool *stop,
		  struct err *err)
{
	struct archive *a = open_tar(path, false, true, err);
	struct archive_entry *e;
	int64_t left = ARCHIVE_BYTES_MAX;
	int rc, took = 0;

	if (!a)
		return -1;
	while ((rc = archive_read_next_header(a, &e)) == ARCHIVE_OK || rc == ARCHIVE_WARN) {
		took = take_entry(a, e, dir, files, &left, stop, err);
		if (took < 0)
			break;
	}
	if (took == 0 && rc != ARCHIVE_EOF)
		took = complaint(a, err);
	archive_read_free(a);
	return took;
}

/* ---- layers -------------------------------------------------------------------------------------------- */

enum packing { PLAIN, GZIP, ZSTD, OTHER };

static enum packing packing_of(const char *path)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned char m[6] = {0};
	ssize_t n = fd < 0 ? -1 : pread(fd, m, sizeof(m), 0);

	if (n >= 2 && m[0] == 0x1f && m[1] == 0x8b)
		return GZIP;
	if (n >= 4 && memcmp(m, "\x28\xb5\x2f\xfd", 4) == 0)
		return ZSTD;
	if ((n >= 3 && memcmp(m, "BZh", 3) == 0) || (n == 6 && memcmp(m, "\xfd" "7zXZ", 6) == 0))
		return OTHER;
	return PLAIN;
}

struct packer {
	struct archive *a;
	int fd;
	struct sha256_sum *sum;
	int64_t size;
	int failed; /* errno */
};

static la_ssize_t packed(struct archive *a, void *ctx, const void *p, size_t n)
{
	struct packer *k = ctx;

	sha256_add(k->sum, p, n);
	k->size += (int64_t)n;
	if (write_all(k->fd, p, n) == 0)
		return (la_ssize_t)n;
	k->failed = errno;
	archive_set_error(a, errno, "write: %s", strerror(errno));
	return -1;
}

static int packer_open(struct packer *k, const char *path, struct err *err)
{
	struct archive_entry *e = archive_entry_new();

	*k = (struct packer){.fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
	if (k->fd < 0) {
		archive_entry_free(e);
		return err_sys(err, errno, "open %s", path);
	}
	k->sum = sha256_begin();
	k->a = archive_write_new();
	archive_write_set_format_raw(k->a);
	archive_write_add_filter_gzip(k->a);
	archive_write_set_filter_option(k->a, "gzip", "timestamp", NULL); /* the same bytes every time */
	archive_write_set_filter_option(k->a, "gzip", "compression-level", COMPRESSION);
	archive_write_set_bytes_in_last_block(k->a, 1);
	archive_write_open(k->a, k, NULL, packed, NULL);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_write_header(k->a, e);
	archive_entry_free(e);
	return 0;
}

static int packer_close(struct packer *k, struct archive_layer *ret, struct err *err)
{
	int rc = k->a ? archive_write_close(k->a) : ARCHIVE_OK;

	if (rc != ARCHIVE_OK || k->failed)
		rc = err_set(err, ERR_SYSTEM, "compress a layer: %s", k->a ? archive_error_string(k->a) : "");
	archive_write_free(k->a);
	if (k->sum)
		digest_end(k->sum, ret->digest);
	if (k->fd >= 0)
		close(k->fd);
	ret->size = k->size;
	return rc;
}

static bool is_empty(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_size == 0;
}

/* Through the decompressor: the digest of the content, and a copy with gzip if packer is given. */
static int read_layer(const char *path, struct packer *packer, const atomic_bool *stop, struct archive_layer *ret,
		      struct err *err)
{
	struct archive *a;
	struct sha256_sum *sum;
	struct archive_entry *e;
	char *piece;
	la_ssize_t n = 0;
	int rc;

	if (is_empty(path)) { /* libarchive knows no empty format */
		registry_digest_of("", 0, ret->diff_id);
		return 0;
	}
	a = open_tar(path, true, packing_of(path) != PLAIN, err);
	if (!a)
		return -1;
	sum = sha256_begin();
	piece = xmalloc(PIECE);
	rc = archive_read_next_header(a, &e);
	if (rc != ARCHIVE_OK)
		rc = complaint(a, err);
	while (rc == ARCHIVE_OK && (n = archive_read_data(a, piece, PIECE)) > 0) {
		sha256_add(sum, piece, (size_t)n);
		if (packer && archive_write_data(packer->a, piece, (size_t)n) != n)
			rc = err_set(err, ERR_SYSTEM, "compress a layer: %s", archive_error_string(packer->a));
		else if (stopped(stop, err) < 0)
			rc = -1;
	}
	if (n < 0 && rc == ARCHIVE_OK)
		rc = complaint(a, err);
	digest_end(sum, ret->diff_id);
	free(piece);
	archive_read_free(a);
	return rc < 0 ? -1 : 0;
}

static int file_digest(const char *path, struct archive_layer *ret, struct err *err)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct sha256_sum *sum;
	char *piece;
	ssize_t n;

	if (fd < 0)
		return err_sys(err, errno, "open %s", path);
	sum = sha256_begin();
	piece = xmalloc(PIECE);
	for (ret->size = 0; (n = read(fd, piece, PIECE)) > 0; ret->size += n)
		sha256_add(sum, piece, (size_t)n);
	digest_end(sum, ret->digest);
	free(piece);
	return n < 0 ? err_sys(err, errno, "read %s", path) : 0;
}

int archive_layer_of(const char *path, const char *dir, const atomic_bool *stop, struct archive_layer *ret,
		     struct err *err)
{
	enum packing packing = packing_of(path);
	const char *base = strrchr(path, '/');
	AUTO_FREE char *gz = xasprintf("%s/%s.gz", dir, base ? base + 1 : path);
	struct packer k;
	struct err ignored;
	int rc;

	*ret = (struct archive_layer){.media_type = packing == ZSTD ? OCI_ZSTD : DOCKER_LAYER};
	if (packing == GZIP || packing == ZSTD) {
		ret->path = xstrdup(path);
		return file_digest(path, ret, err) < 0 ? -1 : read_layer(path, NULL, stop, ret, err);
	}
	if (packer_open(&k, gz, err) < 0)
		return -1;
	rc = read_layer(path, &k, stop, ret, err);
	ret->path = steal_ptr(&gz);
	if (packer_close(&k, ret, rc < 0 ? &ignored : err) < 0)
		rc = -1;
	unlink(path); /* it has been read for the last time */
	return rc;
}

/* ---- manifests --------------------------------------------------------------------------------------------- */

void archive_describe(struct archive_image *i)
{
	json_t *layers = json_array(), *manifest;
	bool oci = false;

	for (size_t k = 0; k < i->n_layers; k++)
		oci = oci || strcmp(i->layers[k].media_type, OCI_ZSTD) == 0;
	for (size_t k = 0; k < i->n_layers; k++) {
		const struct archive_layer *l = &i->layers[k];
		const char *type = oci && strcmp(l->media_type, DOCKER_LAYER) == 0 ? OCI_GZIP : l->media_type;

		json_array_append_new(layers, json_pack("{s:s, s:I, s:s}", "mediaType", type, "size", (json_int_t)l->size,
							"digest", l->digest));
	}
	registry_digest_of(i->config, i->config_len, i->id);
	i->manifest_type = oci ? OCI_MANIFEST : DOCKER_MANIFEST;
	manifest = json_pack("{s:i, s:s, s:{s:s, s:I, s:s}, s:o}", "schemaVersion", 2, "mediaType", i->manifest_type,
			     "config", "mediaType", oci ? OCI_CONFIG : DOCKER_CONFIG, "size", (json_int_t)i->config_len,
			     "digest", i->id, "layers", layers);
	free(i->manifest);
	i->manifest = json_dumps(manifest, JSON_COMPACT);
	i->manifest_len = strlen(i->manifest);
	json_decref(manifest);
}

static int read_small(const struct archive_file *f, char **ret, size_t *ret_len, struct err *err)
{
	AUTO_CLOSE int fd = open(f->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(err, errno, "open %s", f->path);
	if (f->size > JSON_MAX)
		return err_set(err, ERR_LIMIT, "%s in the archive is longer than %d bytes", f->name, JSON_MAX);
	*ret = xcalloc(1, (size_t)f->size + 1);
	*ret_len = (size_t)f->size;
	return pread(fd, *ret, *ret_len, 0) == f->size ? 0 : err_sys(err, errno, "read %s", f->path);
}

/* Layer k of i, from this file; checked against the config. A file may be a layer of several images. */
static int add_layer(struct archive_image *i, size_t k, struct archive_file *f, json_t *diff_ids, const char *dir,
		     const atomic_bool *stop, struct err *err)
{
	const char *want = json_string_value(json_array_get(diff_ids, k));
	struct archive_layer *l = &i->layers[k];

	if (!f->layer) {
		f->layer = xcalloc(1, sizeof(*f->layer));
		if (archive_layer_of(f->path, dir, stop, f->layer, err) < 0)
			return -1;
	}
	*l = *f->layer;
	l->path = xstrdup(f->layer->path);
	if (!want || strcmp(want, l->diff_id) != 0)
		return err_set(err, ERR_INVALID, "invalid diffID for layer %zu: expected \"%s\", got \"%s\"", k, want ? want : "",
			       l->diff_id);
	return 0;
}

static int read_image(struct archive_files *files, const struct archive_parts *parts, const char *dir,
		      const atomic_bool *stop, struct archive_image *i, struct err *err)
{
	json_t *root, *diff_ids;
	size_t n;
	int rc;

	if (read_small(parts->config, &i->config, &i->config_len, err) < 0)
		return -1;
	root = json_loadb(i->config, i->config_len, 0, NULL);
	diff_ids = json_object_get(json_object_get(root, "rootfs"), "diff_ids");
	n = json_array_size(diff_ids);
	strv_copy(&i->tags, &parts->tags);
	i->layers = xcalloc(parts->n_layers + 1, sizeof(*i->layers));
	rc = json_is_object(root) ? 0 : err_set(err, ERR_INVALID, "%s in the archive is not a JSON object", parts->config->name);
	if (rc == 0 && n != parts->n_layers)
		rc = err_set(err, ERR_INVALID, "invalid manifest, layers length mismatch: expected %zu, got %zu", parts->n_layers, n);
	for (; rc == 0 && i->n_layers < parts->n_layers; i->n_layers++)
		rc = add_layer(i, i->n_layers, parts->layers[i->n_layers], diff_ids, dir, stop, err);
	json_decref(root);
	if (rc < 0)
		return -1;
	archive_describe(i);
	if (parts->manifest) { /* an OCI layout's own, so that its digest stays */
		free(i->manifest);
		i->manifest = NULL;
		i->manifest_type = OCI_MANIFEST;
		return read_small(parts->manifest, &i->manifest, &i->manifest_len, err);
	}
	return 0;
}

int archive_unpack(const char *path, const char *dir, const atomic_bool *stop, struct archive_images *ret,
		   struct err *err)
{
	struct archive_files files = {0};
	struct archive_layout layout = {0};
	int rc = unpack(path, dir, &files, stop, err);

	*ret = (struct archive_images){0};
	if (rc == 0)
		rc = archive_layout_read(&files, &layout, read_small, err);
	ret->v = xcalloc(layout.n + 1, sizeof(*ret->v));
	for (; rc == 0 && ret->n < layout.n; ret->n++)
		rc = read_image(&files, &layout.v[ret->n], dir, stop, &ret->v[ret->n], err);
	archive_layout_release(&layout);
	archive_files_release(&files);
	if (rc < 0)
		archive_images_release(ret);
	return rc;
}

void archive_images_release(struct archive_images *a)
{
	for (size_t i = 0; a->v && i < a->n; i++) {
		for (size_t k = 0; k < a->v[i].n_layers; k++)
			free(a->v[i].layers[k].path);
		free(a->v[i].layers);
		free(a->v[i].config);
		free(a->v[i].manifest);
		strv_release(&a->v[i].tags);
	}
	free(a->v);
	*a = (struct archive_images){0};
}
