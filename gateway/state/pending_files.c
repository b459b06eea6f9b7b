/* pending_files - see pending_files.h. The folder is the truth; nothing is kept in memory. */
#include "state/pending_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/token.h"
#include "state/doc.h"

#define UPLOAD "upload."
#define ARCHIVES_MAX 10000 /* of one container */

struct pending_files {
	char *dir;
	uint64_t max_bytes;
};

struct pending_upload {
	struct pending_files *store;
	char container_id[ID_HEX_MAX];
	char *dir, *file;
	int fd;
	uint64_t before, bytes; /* of the container's other archives; of this one */
};

static int make_dir(const char *path, struct err *err)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "create %s", path);
	return 0;
}

static char *dir_of(const struct pending_files *p, const char *container_id)
{
	return xasprintf("%s/%s", p->dir, container_id);
}

/* ---- folders ------------------------------------------------------------------------------------- */

/* The numbers of the archives, in order; the caller frees. */
static unsigned *numbers(const char *dir, size_t *ret_n)
{
	struct dirent **found = NULL;
	int n = scandir(dir, &found, NULL, alphasort), count = 0;
	unsigned *list = xcalloc((size_t)(n > 0 ? n : 0) + 1, sizeof(*list));

	for (int i = 0; i < n; i++) {
		char *end;
		unsigned long number = strtoul(found[i]->d_name, &end, 10);

		if (end != found[i]->d_name && strcmp(end, ".json") == 0)
			list[count++] = (unsigned)number;
		free(found[i]);
	}
	free(found);
	*ret_n = (size_t)count;
	return list;
}

static char *file_of(const char *dir, unsigned number, const char *suffix)
{
	return xasprintf("%s/%06u.%s", dir, number, suffix);
}

/* Every file of a folder that begins with prefix, and the folder itself if it is empty then. */
static void clear_dir(const char *dir, const char *prefix)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		AUTO_FREE char *path = xasprintf("%s/%s", dir, e->d_name);

		if (e->d_name[0] != '.' && strncmp(e->d_name, prefix, strlen(prefix)) == 0)
			(void) unlink(path);
	}
	if (d)
		closedir(d);
	(void) rmdir(dir);
}

static uint64_t bytes_in(const char *dir)
{
	AUTO_FREE unsigned *list = NULL;
	uint64_t sum = 0;
	struct stat st;
	size_t n;

	list = numbers(dir, &n);
	for (size_t i = 0; i < n; i++) {
		AUTO_FREE char *tar = file_of(dir, list[i], "tar");

		if (stat(tar, &st) == 0)
			sum += (uint64_t)st.st_size;
	}
	return sum;
}

/* ---- looking ------------------------------------------------------------------------------------- */

static int load(const char *dir, unsigned number, struct pending_archive *ret)
{
	AUTO_FREE char *path = file_of(dir, number, "json");
	json_error_t why;
	json_t *doc = json_load_file(path, 0, &why);

	if (!doc || !doc_str(doc, "path")) {
		log_error("files for a container cannot be read", "file=%s error=\"%s\"", path, doc ? "no path" : why.text);
		json_decref(doc);
		return -1;
	}
	ret->file = file_of(dir, number, "tar");
	ret->path = doc_dup(doc, "path");
	ret->no_overwrite = doc_bool(doc, "noOverwriteDirNonDir");
	ret->copy_user = doc_dup(doc, "copyUser");
	json_decref(doc);
	return 0;
}

void pending_files_list(const struct pending_files *p, const char *container_id, struct pending_list *ret)
{
	AUTO_FREE char *dir = dir_of(p, container_id);
	AUTO_FREE unsigned *list = NULL;
	size_t n;

	list = numbers(dir, &n);
	ret->v = xcalloc(n + 1, sizeof(*ret->v));
	ret->n = 0;
	for (size_t i = 0; i < n; i++)
		if (load(dir, list[i], &ret->v[ret->n]) == 0)
			ret->n++;
}

void pending_list_release(struct pending_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].file);
		free(l->v[i].path);
		free(l->v[i].copy_user);
	}
	free(l->v);
	*l = (struct pending_list){ 0 };
}

bool pending_files_any(const struct pending_files *p, const char *container_id)
{
	AUTO_FREE char *dir = dir_of(p, container_id);
	size_t n;

	free(numbers(dir, &n));
	return n > 0;
}

void pending_files_forget(struct pending_files *p, const char *container_id)
{
	AUTO_FREE char *dir = p ? dir_of(p, container_id) : NULL;

	if (dir)
		clear_dir(dir, "");
}

/* ---- coming in ----------------------------------------------------------------------------------- */

struct pending_upload *pending_upload_new(struct pending_files *p, const char *container_id, struct err *err)
{
	struct pending_upload *u = xcalloc(1, sizeof(*u));

	u->store = p;
	u->fd = -1;
	snprintf(u->container_id, sizeof(u->container_id), "%s", container_id);
	u->dir = dir_of(p, container_id);
	u->file = xasprintf("%s/" UPLOAD "XXXXXX", u->dir);
	if (make_dir(u->dir, err) < 0) {
		pending_upload_drop(u);
		return NULL;
	}
	u->before = bytes_in(u->dir);
	u->fd = mkostemp(u->file, O_CLOEXEC);
	if (u->fd < 0) {
		err_sys(err, errno, "create %s", u->file);
		pending_upload_drop(u);
		return NULL;
	}
	return u;
}

int pending_upload_write(struct pending_upload *u, const void *data, size_t n, struct err *err)
{
	if (u->before + u->bytes + n > u->store->max_bytes)
		return err_set(err, ERR_LIMIT, "more than %llu bytes of files for a container that has not been "
			       "started (SOCKERLESS_PENDING_FILES_MAX)", (unsigned long long)u->store->max_bytes);
	u->bytes += n;
	return write_all(u->fd, data, n) < 0 ? err_sys(err, errno, "write %s", u->file) : 0;
}

const char *pending_upload_file(const struct pending_upload *u)
{
	return u->file;
}

/* The tar takes its number, then the description makes it count. */
static int number_it(struct pending_upload *u, json_t *doc, struct err *err)
{
	AUTO_FREE char *tar = NULL, *json = NULL, *part = xasprintf("%s/" UPLOAD "json", u->dir);
	AUTO_FREE unsigned *list = NULL;
	unsigned number;
	size_t n;

	list = numbers(u->dir, &n);
	if (n >= ARCHIVES_MAX)
		return err_set(err, ERR_LIMIT, "more than %d copies into a container that has not been started", ARCHIVES_MAX);
	number = n ? list[n - 1] + 1 : 1;
	tar = file_of(u->dir, number, "tar");
	json = file_of(u->dir, number, "json");
	if (json_dump_file(doc, part, JSON_COMPACT) < 0)
		return err_sys(err, errno, "write %s", part);
	if (rename(u->file, tar) < 0)
		return err_sys(err, errno, "rename %s", u->file);
	if (rename(part, json) < 0) {
		err_sys(err, errno, "rename %s", part);
		(void) unlink(tar);
		return -1;
	}
	return 0;
}

int pending_upload_keep(struct pending_upload *u, const struct pending_archive *what, struct err *err)
{
	json_t *doc = json_pack("{s:o, s:b, s:o}", "path", doc_text(what->path), "noOverwriteDirNonDir",
				what->no_overwrite, "copyUser", doc_text(what->copy_user));
	int rc = number_it(u, doc, err);

	json_decref(doc);
	pending_upload_drop(u);
	return rc;
}

void pending_upload_drop(struct pending_upload *u)
{
	if (!u)
		return;
	if (u->fd >= 0) {
		close(u->fd);
		(void) unlink(u->file); /* absent when it was kept */
	}
	(void) rmdir(u->dir); /* stays when there is something in it */
	free(u->dir);
	free(u->file);
	free(u);
}

/* ---- life ---------------------------------------------------------------------------------------- */

struct pending_files *pending_files_new(const char *state_dir, uint64_t max_bytes, struct err *err)
{
	struct pending_files *p = xcalloc(1, sizeof(*p));
	struct dirent *e;
	DIR *d;

	p->dir = xasprintf("%s/pending", state_dir);
	p->max_bytes = max_bytes;
	if (make_dir(p->dir, err) < 0) {
		pending_files_free(p);
		return NULL;
	}
	d = opendir(p->dir);
	while (d && (e = readdir(d))) {
		AUTO_FREE char *dir = dir_of(p, e->d_name);

		if (e->d_name[0] != '.')
			clear_dir(dir, UPLOAD); /* cut short by our end */
	}
	if (d)
		closedir(d);
	return p;
}

void pending_files_free(struct pending_files *p)
{
	if (!p)
		return;
	free(p->dir);
	free(p);
}
