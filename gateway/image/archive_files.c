/* archive_files - see archive_files.h. */
#include "image/archive_files.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"

#define READ_BLOCK (256 * 1024)
#define COPY_BLOCK (64 * 1024)
#define NS_PER_S 1000000000LL

static int archive_err(struct err *err, struct archive *a, const char *what)
{
	const char *why = archive_error_string(a);

	return err_set(err, ERR_INVALID, "%s: %s", what, why ? why : "not an archive");
}

/* ---- reading ------------------------------------------------------------------------------------- */

static struct archive *open_archive(const char *file, struct err *err)
{
	struct archive *a = archive_read_new();

	archive_read_support_format_tar(a);
	archive_read_support_format_empty(a);
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_bzip2(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_zstd(a);
	if (archive_read_open_filename(a, file, READ_BLOCK) == ARCHIVE_OK)
		return a;
	archive_err(err, a, "read archive");
	archive_read_free(a);
	return NULL;
}

/* 1 with the next entry, 0 at the end, -1. */
static int next_entry(struct archive *a, struct archive_entry **ret, struct err *err)
{
	int rc = archive_read_next_header(a, ret);

	if (rc == ARCHIVE_EOF)
		return 0;
	return rc == ARCHIVE_OK || rc == ARCHIVE_WARN ? 1 : archive_err(err, a, "read archive");
}

static struct tree_entry entry_of(struct archive_entry *e)
{
	const char *hard = archive_entry_hardlink(e), *path = archive_entry_pathname(e);

	return (struct tree_entry){
		.path = path ? path : "",
		.mode = archive_entry_mode(e),
		.uid = (uint32_t)archive_entry_uid(e),
		.gid = (uint32_t)archive_entry_gid(e),
		.size = archive_entry_size(e),
		.mtime_ns = archive_entry_mtime(e) * NS_PER_S + archive_entry_mtime_nsec(e),
		.link = hard ? hard : archive_entry_symlink(e),
		.hard_link = hard != NULL,
	};
}

int archive_files_index(const char *file, uint32_t archive, struct file_tree *t, struct tree_node *base,
			bool whiteouts, struct err *err)
{
	struct archive *a = open_archive(file, err);
	struct archive_entry *e;
	int rc = 1;

	if (!a)
		return -1;
	for (uint32_t number = 0; rc > 0 && (rc = next_entry(a, &e, err)) > 0; number++) {
		struct tree_entry entry = entry_of(e);

		if (file_tree_add(t, base, archive, number, &entry, whiteouts, err) < 0)
			rc = -1;
	}
	archive_read_free(a);
	return rc;
}

/* ---- what is wanted ------------------------------------------------------------------------------ */

struct wanted {
	struct tree_node *node;
	char *name;              /* in what we write */
	size_t order;
};

struct emission {
	struct archive *out;
	int fd;
	struct wanted *v;        /* everything but directories */
	size_t n, cap;
};

static ssize_t write_out(struct archive *a, void *ctx, const void *p, size_t n)
{
	struct emission *em = ctx;

	if (write_all(em->fd, p, n) == 0)
		return (ssize_t)n;
	archive_set_error(a, errno, "write: %s", "nobody reads"); /* the client has left */
	return -1;
}

static int write_header(struct emission *em, struct archive_entry *e, struct err *err)
{
	return archive_write_header(em->out, e) < ARCHIVE_WARN ? archive_err(err, em->out, "write archive") : 0;
}

static void set_attributes(struct archive_entry *e, const struct tree_node *n, const char *name)
{
	archive_entry_set_pathname(e, name);
	archive_entry_set_mode(e, n->mode);
	archive_entry_set_uid(e, n->uid);
	archive_entry_set_gid(e, n->gid);
	archive_entry_set_uname(e, NULL);
	archive_entry_set_gname(e, NULL);
	archive_entry_set_mtime(e, n->mtime_ns / NS_PER_S, (long)(n->mtime_ns % NS_PER_S));
	archive_entry_unset_atime(e);
	archive_entry_unset_ctime(e);
	archive_entry_unset_birthtime(e);
	archive_entry_sparse_clear(e);
}

static int emit_directory(struct emission *em, const struct tree_node *n, const char *name, struct err *err)
{
	struct archive_entry *e = archive_entry_new();
	int rc;

	set_attributes(e, n, name);
	archive_entry_set_size(e, 0);
	rc = write_header(em, e, err);
	archive_entry_free(e);
	return rc;
}

/* Directories are written at once, the rest is noted. name is taken. */
static int collect(struct emission *em, struct tree_node *n, char *name, struct err *err)
{
	AUTO_FREE char *own = name;
	AUTO_FREE struct tree_node **children = NULL;
	bool bare = strcmp(name, "") == 0, root = strcmp(name, "/") == 0;

	if (!S_ISDIR(n->mode)) {
		if (em->n == em->cap) {
			em->cap = em->cap ? 2 * em->cap : 64;
			em->v = xrealloc(em->v, em->cap * sizeof(*em->v));
		}
		em->v[em->n] = (struct wanted){ n, steal_ptr(&own), em->n };
		em->n++;
		return 0;
	}
	if (!bare && emit_directory(em, n, name, err) < 0)
		return -1;
	children = file_tree_children(n);
	for (size_t i = 0; children[i]; i++) {
		const char *child = children[i]->name;

		if (collect(em, children[i], bare ? xstrdup(child) : xasprintf("%s/%s", root ? "" : name, child), err) < 0)
			return -1;
	}
	return 0;
}

static int by_source(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;

	if (x->node->source != y->node->source)
		return x->node->source < y->node->source ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* ---- writing ------------------------------------------------------------------------------------- */

static int copy_content(struct emission *em, struct archive *in, struct err *err)
{
	static _Thread_local char block[COPY_BLOCK];
	la_ssize_t n;

	while ((n = archive_read_data(in, block, sizeof(block))) > 0)
		if (archive_write_data(em->out, block, (size_t)n) < 0)
			return archive_err(err, em->out, "write archive");
	return n < 0 ? archive_err(err, in, "read archive") : 0;
}

/* All names of one file: the first with its content. */
static int emit_file(struct emission *em, struct archive *in, struct archive_entry *source, const struct wanted *w,
		     size_t n_names, struct err *err)
{
	struct archive_entry *e = archive_entry_clone(source);
	int rc;

	set_attributes(e, w->node, w->name);
	archive_entry_set_hardlink(e, NULL);
	if (w->node->link)
		archive_entry_set_symlink(e, w->node->link);
	rc = write_header(em, e, err);
	if (rc == 0 && S_ISREG(w->node->mode))
		rc = copy_content(em, in, err);
	archive_entry_set_size(e, 0);
	for (size_t i = 1; i < n_names && rc == 0; i++) {
		archive_entry_set_pathname(e, w[i].name);
		archive_entry_set_hardlink(e, w->name);
		rc = write_header(em, e, err);
	}
	archive_entry_free(e);
	return rc;
}

static size_t names_of(const struct emission *em, size_t i)
{
	size_t n = 1;

	while (i + n < em->n && em->v[i + n].node->source == em->v[i].node->source)
		n++;
	return n;
}

/* From i on, what is wanted of one archive; *ret_next is the first of another one. */
static int emit_archive(struct emission *em, size_t i, char *const *files, uint32_t n_files, size_t *ret_next,
			struct err *err)
{
	uint32_t archive = (uint32_t)(em->v[i].node->source >> 32);
	struct archive *in = archive < n_files ? open_archive(files[archive], err) : NULL;
	struct archive_entry *e;
	int rc = in ? 1 : -1;

	for (uint64_t number = 0; rc > 0 && i < em->n; number++) {
		if (em->v[i].node->source >> 32 != archive)
			break;
		rc = next_entry(in, &e, err);
		if (rc == 0)
			rc = err_set(err, ERR_UPSTREAM, "an archive ends too early");
		if (rc > 0 && (em->v[i].node->source & UINT32_MAX) == number) {
			size_t names = names_of(em, i);

			if (emit_file(em, in, e, &em->v[i], names, err) < 0)
				rc = -1;
			i += names;
		}
	}
	if (in)
		archive_read_free(in);
	*ret_next = i;
	return rc < 0 ? -1 : 0;
}

static int emit_all(struct emission *em, struct tree_node *node, const char *name, char *const *files,
		    uint32_t n_files, struct err *err)
{
	if (collect(em, node, xstrdup(name), err) < 0)
		return -1;
	if (em->n)
		qsort(em->v, em->n, sizeof(*em->v), by_source);
	for (size_t i = 0; i < em->n;)
		if (emit_archive(em, i, files, n_files, &i, err) < 0)
			return -1;
	return archive_write_close(em->out) == ARCHIVE_OK ? 0 : archive_err(err, em->out, "write archive");
}

static struct archive *new_tar(void)
{
	struct archive *out = archive_write_new();

	archive_write_set_format_pax_restricted(out);
	archive_write_set_options(out, "xattrheader=SCHILY"); /* once, as Docker writes them */
	archive_write_add_filter_none(out);
	archive_write_set_bytes_in_last_block(out, 1);
	return out;
}

int archive_files_emit(struct tree_node *node, const char *name, char *const *files, uint32_t n_files, int out_fd,
		       struct err *err)
{
	struct emission em = { .out = new_tar(), .fd = out_fd };
	int rc;

	archive_write_open(em.out, &em, NULL, write_out, NULL);
	rc = emit_all(&em, node, name, files, n_files, err);
	if (rc < 0)
		archive_write_fail(em.out);
	archive_write_free(em.out);
	for (size_t i = 0; i < em.n; i++)
		free(em.v[i].name);
	free(em.v);
	return rc;
}

char *archive_files_dirs(char *const *paths, size_t *ret_len)
{
	struct archive *out = new_tar();
	struct archive_entry *e = archive_entry_new();
	size_t n, size;
	char *tar;

	for (n = 0; paths[n]; n++)
		;
	size = (n + 2) * 16 * 1024; /* a header, and a long name's own blocks */
	tar = xmalloc(size);
	archive_write_open_memory(out, tar, size, ret_len);
	for (n = 0; paths[n]; n++) {
		archive_entry_set_pathname(e, paths[n]);
		archive_entry_set_mode(e, S_IFDIR | 0755);
		archive_entry_set_size(e, 0);
		archive_entry_set_mtime(e, time(NULL), 0);
		archive_write_header(out, e);
	}
	archive_write_close(out);
	archive_write_free(out);
	archive_entry_free(e);
	return tar;
}
