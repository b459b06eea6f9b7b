/* archive_writer - see archive_writer.h. Every file is of 1970, root's and 0644, as dockerd writes them, so that
 * the same images give the same bytes. */
#include "image/archive_writer.h"

#include <archive.h>
#include <archive_entry.h>

#include "base/mem.h"

struct archive_writer {
	struct archive *a;
	void (*out)(void *ctx, const void *p, size_t n);
	void *ctx;
};

static la_ssize_t on_write(struct archive *a, void *ctx, const void *p, size_t n)
{
	struct archive_writer *w = ctx;

	if (w->out)
		w->out(w->ctx, p, n);
	return (la_ssize_t)n;
}

struct archive_writer *archive_writer_new(void (*out)(void *ctx, const void *p, size_t n), void *ctx)
{
	struct archive_writer *w = xcalloc(1, sizeof(*w));

	w->out = out;
	w->ctx = ctx;
	w->a = archive_write_new();
	archive_write_set_format_pax_restricted(w->a); /* plain ustar, but for files above 8 GiB */
	archive_write_set_bytes_per_block(w->a, 0);    /* nothing is held back */
	archive_write_open(w->a, w, NULL, on_write, NULL);
	return w;
}

static int check(struct archive_writer *w, int64_t rc, struct err *err)
{
	return rc >= 0 ? 0 : err_set(err, ERR_SYSTEM, "write a tar: %s", archive_error_string(w->a));
}

int archive_writer_file(struct archive_writer *w, const char *name, int64_t size, struct err *err)
{
	struct archive_entry *e = archive_entry_new();
	int rc;

	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_size(e, size);
	archive_entry_set_mtime(e, 0, 0);
	rc = archive_write_header(w->a, e);
	archive_entry_free(e);
	return check(w, rc, err);
}

int archive_writer_data(struct archive_writer *w, const void *p, size_t n, struct err *err)
{
	return check(w, archive_write_data(w->a, p, n), err);
}

int archive_writer_end(struct archive_writer *w, struct err *err)
{
	return check(w, archive_write_close(w->a), err);
}

void archive_writer_free(struct archive_writer *w)
{
	if (!w)
		return;
	w->out = NULL; /* nothing may be written by the closing of what was given up */
	archive_write_fail(w->a);
	archive_write_free(w->a);
	free(w);
}
