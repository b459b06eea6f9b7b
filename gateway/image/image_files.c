/* image_files - see image_files.h. First the layers (layer_cache), then everything else in a worker, which
 * has a copy of the question of its own. Paths are understood as dockerd does: container.ResolvePath and
 * archive.TarResourceRebaseOpts. */
#include "image/image_files.h"

#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/go.h"
#include "base/io.h"
#include "base/utf8.h"
#include "gateway.h"
#include "image/archive_files.h"
#include "image/layer_cache.h"
#include "image/worker.h"

#define NS_PER_S 1000000000
#define DIRECTORY_SIZE 4096 /* what stat says of one nearly everywhere */

/* The worker's own. */
struct job {
	enum image_files_what what;
	bool verify;             /* only read overlays[0] through */
	char *path;
	struct strv dirs, mounts;
	struct image_overlay *overlays;
	size_t n_overlays;
	char **files;            /* layers, then overlays; borrowed from the layer set, and from overlays */
	uint32_t n_layers;
	struct strv made;        /* CHECK's result */
	struct file_tree *tree;  /* TREE's result */
	struct layer_set *layers; /* held as long as they are read; the loop releases it */
};

struct image_files {
	struct gateway *g;
	const struct image_files_ops *ops;
	void (*verified)(void *ctx, const struct err *err);
	void *ctx;
	struct job *job;         /* ours until the worker has it, and then readable in its last call */
	struct layer_set *layers;
	struct worker *worker;
};

/* ---- names --------------------------------------------------------------------------------------- */

/* The last element of the path as it was asked for, dots and trailing slash included, as Go's
 * filepath.Base(PreserveTrailingDotOrSeparator(...)). Caller frees. */
static char *base_name(const char *path)
{
	size_t end = strlen(path), begin;
	bool dot = end >= 1 && path[end - 1] == '.' && (end == 1 || path[end - 2] == '/');
	AUTO_FREE char *cleaned = NULL;
	struct file_tree *nowhere;

	if (dot)
		return xstrdup(".");
	nowhere = file_tree_new(); /* lexical: nothing is there, so nothing is followed */
	file_tree_find(nowhere, path, false, &cleaned);
	file_tree_free(nowhere);
	end = strlen(cleaned);
	for (begin = end; begin > 0 && cleaned[begin - 1] != '/';)
		begin--;
	return begin == end ? xstrdup("/") : xstrdup(cleaned + begin);
}

static bool ends_in_directory(const char *path)
{
	size_t n = strlen(path);

	return n > 0 && (path[n - 1] == '/' || (path[n - 1] == '.' && (n == 1 || path[n - 2] == '/')));
}

static struct tree_node *look_up(const struct job *j, const struct file_tree *t, struct err *err)
{
	bool directory = ends_in_directory(j->path);
	struct tree_node *n = file_tree_find(t, j->path, directory, NULL);

	if (!n)
		err_set(err, ERR_NOT_FOUND, "%s: no such file or directory", j->path);
	else if (directory && !S_ISDIR(n->mode))
		err_set(err, ERR_UPSTREAM, "lstat %s: not a directory", j->path); /* dockerd: 500 */
	else
		return n;
	return NULL;
}

/* ---- the tree ------------------------------------------------------------------------------------ */

static struct file_tree *build(struct job *j, struct err *err)
{
	struct file_tree *t = file_tree_new();
	uint32_t archive = j->n_layers;

	for (uint32_t i = 0; i < j->n_layers; i++)
		if (archive_files_index(j->files[i], i, t, t->root, true, err) < 0) {
			err->kind = ERR_UPSTREAM;
			err_wrap(err, "layer %u of the image", i + 1);
			goto fail;
		}
	for (size_t i = 0; i < j->mounts.n; i++) {
		struct tree_node *n = file_tree_make_dirs(t, j->mounts.v[i], archive);

		if (n)
			n->mount = true;
	}
	file_tree_set_base(t);
	t->n_layers = j->n_layers;
	for (size_t i = 0; i < j->dirs.n; i++)
		file_tree_make_dirs(t, j->dirs.v[i], archive);
	for (size_t i = 0; i < j->n_overlays; i++, archive++) {
		struct tree_node *base = file_tree_find(t, j->overlays[i].path, true, NULL);

		t->refuse_type_change = j->overlays[i].no_overwrite;
		if (!base || !S_ISDIR(base->mode))
			continue; /* checked when it came: since then something else has replaced it */
		if (archive_files_index(j->overlays[i].file, archive, t, base, false, err) < 0)
			goto fail;
	}
	return t;
fail:
	file_tree_free(t);
	return NULL;
}

/* Directories on the way to n that neither the image nor an archive has. */
static void list_made(const struct job *j, struct tree_node *n, struct strv *ret)
{
	if (!n->parent)
		return;
	list_made(j, n->parent, ret);
	if (!n->base && n->source == TREE_NO_SOURCE && n->archive == j->n_layers)
		strv_take(ret, file_tree_path(n));
}

/* ---- answers ------------------------------------------------------------------------------------- */

static json_t *json_text(const char *s)
{
	json_t *ret = json_string(s);
	AUTO_FREE char *clean = ret ? NULL : utf8_clean(s, strlen(s), NULL);

	return ret ? ret : json_string(clean);
}

static int write_stat(const struct job *j, const struct file_tree *t, const struct tree_node *n, int out_fd, struct err *err)
{
	AUTO_FREE char *name = base_name(j->path), *target = NULL, *line = NULL;
	int64_t size = S_ISDIR(n->mode) ? DIRECTORY_SIZE : n->link ? (int64_t)strlen(n->link) : n->size;
	struct timespec time = {n->mtime_ns / NS_PER_S, n->mtime_ns % NS_PER_S};
	char mtime[GO_FILE_TIME_MAX];
	json_t *stat;
	struct buf out;
	int rc;

	if (time.tv_nsec < 0) {
		time.tv_sec--;
		time.tv_nsec += NS_PER_S;
	}
	if (n->link)
		file_tree_find(t, j->path, true, &target);
	stat = json_pack("{s:o, s:I, s:I, s:s, s:o}", "name", json_text(name), "size", (json_int_t)size, "mode",
			 (json_int_t)go_file_mode(n->mode), "mtime", go_file_time(&time, mtime), "linkTarget", json_text(target ? target : ""));
	line = json_dumps(stat, JSON_COMPACT);
	json_decref(stat);
	buf_init(&out, SIZE_MAX);
	buf_printf(&out, "%s\n", line);
	rc = write_all(out_fd, buf_head(&out), out.len) < 0 ? err_sys(err, errno, "write") : 0;
	buf_release(&out);
	return rc;
}

static int check(struct job *j, const struct file_tree *t, struct err *err)
{
	struct tree_node *n = file_tree_find(t, j->path, true, NULL);

	if (!n)
		return err_set(err, ERR_NOT_FOUND, "%s: no such file or directory", j->path);
	if (!S_ISDIR(n->mode))
		return err_set(err, ERR_INVALID, "extraction point is not a directory");
	list_made(j, n, &j->made);
	return 0;
}

static int answer(struct job *j, struct file_tree *t, int out_fd, struct err *err)
{
	AUTO_FREE char *name = NULL;
	uint32_t n_files = j->n_layers + (uint32_t)j->n_overlays;
	struct tree_node *n;

	if (j->what == IMAGE_FILES_CHECK)
		return check(j, t, err);
	if (j->what == IMAGE_FILES_EXPORT)
		return archive_files_emit(t->root, "", j->files, n_files, out_fd, err);
	n = look_up(j, t, err);
	if (!n || write_stat(j, t, n, out_fd, err) < 0)
		return -1;
	if (j->what == IMAGE_FILES_STAT)
		return 0;
	name = base_name(j->path);
	return archive_files_emit(n, name, j->files, n_files, out_fd, err);
}

static int verify(struct job *j, struct err *err)
{
	struct file_tree *t = file_tree_new();
	int rc = archive_files_index(j->overlays[0].file, 0, t, t->root, false, err);

	file_tree_free(t);
	return rc;
}

static int work(void *arg, int out_fd, struct err *err)
{
	struct job *j = arg;
	struct file_tree *t;
	int rc;

	if (j->verify)
		return verify(j, err);
	t = build(j, err);
	if (!t)
		return -1;
	if (j->what == IMAGE_FILES_TREE) {
		j->tree = t;
		return 0;
	}
	rc = answer(j, t, out_fd, err);
	file_tree_free(t);
	return rc;
}

/* ---- the loop's side ----------------------------------------------------------------------------- */

static void job_free(void *p)
{
	struct job *j = p;

	if (!j)
		return;
	layer_set_release(j->layers);
	file_tree_free(j->tree);
	strv_release(&j->made);
	strv_release(&j->dirs);
	strv_release(&j->mounts);
	for (size_t i = 0; i < j->n_overlays; i++) {
		free(j->overlays[i].file);
		free(j->overlays[i].path);
	}
	free(j->overlays);
	free(j->files);
	free(j->path);
	free(j);
}

static struct job *job_new(const struct image_files_query *q)
{
	struct job *j = xcalloc(1, sizeof(*j));

	j->what = q->what;
	j->path = xstrdup(q->path);
	strv_copy(&j->dirs, &q->dirs);
	strv_copy(&j->mounts, &q->mounts);
	j->n_overlays = q->n_overlays;
	j->overlays = xcalloc(q->n_overlays + 1, sizeof(*j->overlays));
	for (size_t i = 0; i < q->n_overlays; i++)
		j->overlays[i] = (struct image_overlay){ xstrdup(q->overlays[i].file), xstrdup(q->overlays[i].path),
							 q->overlays[i].no_overwrite };
	return j;
}

static size_t on_output(void *ctx, const uint8_t *p, size_t n)
{
	struct image_files *f = ctx;

	return f->ops->on_output ? f->ops->on_output(f->ctx, p, n) : n;
}

static void finish(struct image_files *f, const struct err *err)
{
	const struct image_files_ops *ops = f->ops;
	void (*verified)(void *, const struct err *) = f->verified;
	struct job *j = f->job;
	void *ctx = f->ctx;

	free(f);
	if (verified)
		verified(ctx, err);
	else if (!err && j->what == IMAGE_FILES_CHECK)
		ops->on_checked(ctx, j->made.v);
	else if (!err && j->what == IMAGE_FILES_TREE)
		ops->on_tree(ctx, steal_ptr(&j->tree));
	else
		ops->on_end(ctx, err);
}

/* The job lives until the worker releases it, after this. */
static void on_worked(void *ctx, const struct err *err)
{
	finish(ctx, err);
}

static const struct worker_ops worker_ops = { .on_output = on_output, .on_end = on_worked, .release = job_free };

static void on_layers(void *ctx, const struct err *failed)
{
	struct image_files *f = ctx;
	struct job *j = f->job;
	struct err err;
	char *const *files;

	if (!failed) {
		files = layer_set_files(f->layers, &j->n_layers);
		j->files = xcalloc(j->n_layers + j->n_overlays + 1, sizeof(char *));
		for (uint32_t i = 0; i < j->n_layers; i++)
			j->files[i] = files[i];
		for (size_t i = 0; i < j->n_overlays; i++)
			j->files[j->n_layers + i] = j->overlays[i].file;
		j->layers = steal_ptr(&f->layers);
		f->worker = worker_start(f->g->loop, work, j, &worker_ops, f, &err);
		if (f->worker)
			return;
		f->job = NULL; /* released */
	}
	layer_set_release(f->layers);
	job_free(f->job);
	f->job = NULL;
	finish(f, failed ? failed : &err);
}

struct image_files *image_files_start(struct gateway *g, const struct image_files_query *q,
				      const struct image_files_ops *ops, void *ctx, struct err *err)
{
	struct image_files *f = xcalloc(1, sizeof(*f));

	f->g = g;
	f->ops = ops;
	f->ctx = ctx;
	f->job = job_new(q);
	f->layers = layer_set_fetch(g->layers, q->pull_ref, q->manifest, on_layers, f, err);
	if (f->layers)
		return f;
	job_free(f->job);
	free(f);
	return NULL;
}

struct image_files *image_files_verify(struct gateway *g, const char *file, void (*done)(void *ctx, const struct err *err),
				       void *ctx, struct err *err)
{
	struct image_overlay overlay = { (char *)file, (char *)"/", false };
	struct image_files *f = xcalloc(1, sizeof(*f));

	f->g = g;
	f->verified = done;
	f->ctx = ctx;
	f->job = job_new(&(struct image_files_query){ .overlays = &overlay, .n_overlays = 1 });
	f->job->verify = true;
	f->worker = worker_start(g->loop, work, f->job, &worker_ops, f, err);
	if (f->worker)
		return f;
	free(f);
	return NULL;
}

void image_files_resume(struct image_files *f)
{
	if (f->worker)
		worker_resume(f->worker);
}

void image_files_cancel(struct image_files *f)
{
	if (!f)
		return;
	if (f->worker) {
		worker_cancel(f->worker); /* releases the job */
	} else {
		layer_set_release(f->layers);
		job_free(f->job);
	}
	free(f);
}
