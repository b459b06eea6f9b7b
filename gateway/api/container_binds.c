/* container_binds - see container_binds.h. One path after the other: a worker's tar into pending_files. */
#include "api/container_binds.h"

#include <string.h>

#include "api/reply.h"
#include "base/mem.h"
#include "cloud/lifecycle.h"
#include "image/archive_folder.h"
#include "image/worker.h"
#include "net/defer.h"
#include "state/container.h"
#include "state/doc.h"
#include "state/pending_files.h"

struct packing {
	struct request *r;
	char id[ID_HEX_MAX];
	json_t *body;
	size_t next;                    /* of the container's mounts */
	struct worker *worker;
	struct pending_upload *upload;
	struct err failed;              /* of a write; the worker is about to notice */
	struct timer *step;
};

static bool is_bind(const json_t *m)
{
	return strcmp(doc_str(m, "type"), "bind") == 0;
}

bool container_binds_any(const struct container *c)
{
	json_t *m;
	size_t i;

	json_array_foreach(c->mounts, i, m)
		if (is_bind(m))
			return true;
	return false;
}

static void release(struct request *r)
{
	struct packing *p = r->state;

	worker_cancel(p->worker);
	timer_cancel(&p->step);
	pending_upload_drop(p->upload);
	json_decref(p->body);
	free(p);
}

static void nothing(void *ctx, const struct err *err)
{
}

static void fail(struct packing *p, const struct err *err)
{
	struct container *c = containers_by_id(p->r->g->containers, p->id);
	const struct lifecycle_removal how = {.force = true, .volumes = true}; /* somebody else may have started it */

	if (c)
		lifecycle_forget(lifecycle_remove(p->r->g->lifecycle, c, how, nothing, NULL, NULL));
	reply_err(p->r, err);
}

static size_t on_output(void *ctx, const uint8_t *data, size_t n)
{
	struct packing *p = ctx;

	if (!p->failed.kind)
		pending_upload_write(p->upload, data, n, &p->failed);
	return n;
}

static void pack_next(void *ctx);

static void on_packed(void *ctx, const struct err *failed)
{
	static const struct pending_archive root = {.path = (char *)"/"};
	struct packing *p = ctx;
	struct err err;

	p->worker = NULL;
	if (p->failed.kind || failed) {
		err = p->failed.kind ? p->failed : *failed;
		err_wrap(&err, "copy a bind mount for the container");
		fail(p, &err);
	} else if (pending_upload_keep(steal_ptr(&p->upload), &root, &err) < 0) {
		fail(p, &err);
	} else {
		pack_next(p);
	}
}

static const struct worker_ops ops = {
	.on_output = on_output, .on_end = on_packed, .release = archive_folder_release,
};

static int pack(struct packing *p, const json_t *m, struct err *err)
{
	struct archive_folder *f = xcalloc(1, sizeof(*f));

	f->source = doc_dup(m, "source");
	f->target = doc_dup(m, "target");
	p->upload = pending_upload_new(p->r->g->pending_files, p->id, err);
	if (!p->upload) {
		archive_folder_release(f);
		return -1;
	}
	p->worker = worker_start(p->r->g->loop, archive_folder_write, f, &ops, p, err);
	return p->worker ? 0 : -1;
}

static void pack_next(void *ctx)
{
	struct packing *p = ctx;
	struct container *c = containers_by_id(p->r->g->containers, p->id);
	struct err err;

	p->step = NULL;
	while (c && p->next < json_array_size(c->mounts)) {
		const json_t *m = json_array_get(c->mounts, p->next++);

		if (!is_bind(m))
			continue;
		if (pack(p, m, &err) < 0)
			fail(p, &err);
		return;
	}
	reply_json(p->r, 201, json_incref(p->body));
}

void container_binds_pack(struct request *r, struct container *c, json_t *body)
{
	struct packing *p = xcalloc(1, sizeof(*p));

	p->r = r;
	p->body = body;
	memcpy(p->id, c->id, sizeof(p->id));
	r->state = p;
	r->release = release;
	p->step = timer_start(r->g->loop, 0, pack_next, p);
}
