/* spool - see spool.h. Written piece by piece from the loop: the pages go to the kernel, not to the disk. */
#include "api/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

#include "api/reply.h"
#include "base/io.h"
#include "base/mem.h"

#define FOLDER "images.tmp"

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int make_folder(struct gateway *g, char **ret, struct err *err)
{
	static bool tidied;
	AUTO_FREE char *parent = xasprintf("%s/" FOLDER, g->config->state_dir);

	if (!tidied)
		remove_tree(parent);
	tidied = true;
	if (mkdir(parent, 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "mkdir %s", parent);
	*ret = xasprintf("%s/XXXXXX", parent);
	return mkdtemp(*ret) ? 0 : err_sys(err, errno, "mkdir %s", *ret);
}

static struct spool *spool_open(struct gateway *g, struct err *err)
{
	struct spool *s = xcalloc(1, sizeof(*s));

	s->fd = -1;
	if (make_folder(g, &s->dir, err) < 0) {
		free(s->dir);
		free(s);
		return NULL;
	}
	s->path = xasprintf("%s/body", s->dir);
	s->fd = open(s->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (s->fd >= 0)
		return s;
	err_sys(err, errno, "open %s", s->path);
	spool_close(s);
	return NULL;
}

static int spool_write(struct spool *s, const void *p, size_t n, struct err *err)
{
	s->size += (int64_t)n;
	if (s->size > SPOOL_MAX)
		return err_set(err, ERR_LIMIT, "the archive is longer than %lld bytes", SPOOL_MAX);
	return write_all(s->fd, p, n) < 0 ? err_sys(err, errno, "write %s", s->path) : 0;
}

void spool_close(struct spool *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	if (s->dir)
		remove_tree(s->dir);
	free(s->dir);
	free(s->path);
	free(s);
}

/* ---- a body ------------------------------------------------------------------------------------------ */

struct spooling {
	struct spool *spool;
	void (*done)(struct request *r, struct spool *s);
};

static void release(struct request *r)
{
	struct spooling *b = r->state;

	spool_close(b->spool);
	free(b);
}

static void on_data(struct exchange *x, void *ctx, const void *p, size_t n)
{
	struct request *r = ctx;
	struct spooling *b = r->state;
	struct err err;

	if (spool_write(b->spool, p, n, &err) < 0)
		reply_err(r, &err);
}

static void on_end(struct exchange *x, void *ctx)
{
	struct request *r = ctx;
	struct spooling *b = r->state;
	struct spool *s = b->spool;

	r->state = NULL;
	r->release = NULL;
	b->done(r, s);
	free(b);
}

void spool_body(struct request *r, void (*done)(struct request *r, struct spool *s))
{
	static const struct exchange_body_ops ops = {on_data, on_end};
	struct spooling *b = xcalloc(1, sizeof(*b));
	struct err err;

	b->done = done;
	r->state = b;
	r->release = release;
	b->spool = spool_open(r->g, &err);
	if (b->spool)
		exchange_stream_body(r->x, &ops, r);
	else
		reply_err(r, &err);
}
