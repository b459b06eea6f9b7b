/* download - see download.h. */
#include "api/download.h"

#include <string.h>

#include "api/reply.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/parse.h"
#include "state/container.h"

#define STAT_MAX (64 * 1024)

struct download {
	struct request *r;
	enum download_form form;
	const char *content_type;
	char *missing;
	const char *event;
	const struct download_source *ops;
	void *source;            /* NULL once it has ended */
	struct buf stat;         /* the first line so far */
	bool stat_done, begun, congested;
};

static void release(struct request *r)
{
	struct download *d = r->state;

	if (d->source)
		d->ops->cancel(d->source);
	buf_release(&d->stat);
	free(d->missing);
	free(d);
}

struct download *download_new(struct request *r, enum download_form form, const char *content_type, char *missing,
			      const char *event)
{
	struct download *d = xcalloc(1, sizeof(*d));

	d->r = r;
	d->form = form;
	d->content_type = content_type;
	d->missing = missing;
	d->event = event;
	d->stat_done = form == DOWNLOAD_BODY;
	buf_init(&d->stat, STAT_MAX);
	r->state = d;
	r->release = release;
	return d;
}

void download_from(struct download *d, const struct download_source *ops, void *source)
{
	d->ops = ops;
	d->source = source;
}

static void drained(struct exchange *x, void *ctx)
{
	struct download *d = ctx;

	d->congested = false;
	if (d->source)
		d->ops->resume(d->source);
}

static void begin(struct download *d)
{
	struct container *c = d->event ? containers_find(d->r->g->containers, d->r->name, NULL) : NULL;

	if (c)
		container_emit(c, d->event);
	d->begun = true;
	exchange_begin(d->r->x, 200, d->content_type);
	exchange_on_drain(d->r->x, drained, d);
}

static void add_stat_header(struct download *d)
{
	AUTO_FREE char *coded = xmalloc(base64_encoded_len(d->stat.len) + 1);

	base64_encode(buf_head(&d->stat), d->stat.len, coded);
	exchange_add_header(d->r->x, "X-Docker-Container-Path-Stat", "%s", coded);
	d->stat_done = true;
}

/* How many bytes belonged to the first line. The request may be answered, and d gone, after it. */
static size_t take_stat(struct download *d, const uint8_t *p, size_t n, bool *ret_gone)
{
	const uint8_t *end = memchr(p, '\n', n);
	size_t part = end ? (size_t)(end - p) : n;

	if (buf_append(&d->stat, p, part) < 0) {
		reply_error(d->r, ERR_UPSTREAM, "the container's answer about the path is too long");
		*ret_gone = true;
		return n;
	}
	if (!end)
		return n;
	add_stat_header(d);
	if (d->form == DOWNLOAD_STAT) {
		reply_empty(d->r, 200);
		*ret_gone = true;
		return n;
	}
	begin(d);
	return part + 1;
}

size_t download_output(void *ctx, const uint8_t *p, size_t n)
{
	struct download *d = ctx;
	size_t taken = 0;
	bool gone = false;

	if (d->congested)
		return 0;
	if (!d->stat_done)
		taken = take_stat(d, p, n, &gone);
	if (gone || taken == n)
		return n;
	if (!d->begun)
		begin(d);
	d->congested = !exchange_write(d->r->x, p + taken, n - taken);
	return n;
}

static void answer_error(struct download *d, const struct err *err)
{
	if (err->kind == ERR_NOT_FOUND && d->missing)
		reply_error(d->r, ERR_NOT_FOUND, "%s", d->missing);
	else
		reply_err(d->r, err);
}

void download_end(void *ctx, const struct err *err)
{
	struct download *d = ctx;
	struct request *r = d->r;

	d->source = NULL;
	if (err && !d->begun) {
		answer_error(d, err);
	} else if (err) {
		exchange_abort(r->x); /* a client that got half of it must not take it for the whole */
		request_free(r);
	} else if (!d->stat_done) {
		reply_error(r, ERR_UPSTREAM, "the container has not answered");
	} else {
		if (!d->begun)
			begin(d);
		reply_end(r);
	}
}
