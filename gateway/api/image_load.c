/* image_load - POST /images/load: the archive goes to a bounded file, a thread takes it apart, each image is
 * sent to this gateway's repository and known from then on. As in dockerd, what is wrong with the archive is
 * told in the stream. */
#include <string.h>

#include "api/handlers.h"
#include "api/image_store.h"
#include "api/progress.h"
#include "api/reply.h"
#include "api/spool.h"
#include "base/mem.h"
#include "image/archive.h"
#include "image/reference.h"
#include "state/events.h"

#define PROGRESS_STEP (512 * 1024)

struct load {
	bool quiet;
	struct image_work *work;
	struct spool *spool;
	struct archive_images images;
	size_t at;
	struct image_store *store;
	int64_t told;
};

static void store_next(struct request *r);

static void release(struct request *r)
{
	struct load *l = r->state;

	image_work_cancel(l->work);
	image_store_cancel(l->store);
	archive_images_release(&l->images);
	spool_close(l->spool);
	free(l);
}

static void fail(struct request *r, const struct err *err)
{
	reply_line(r, progress_error(err));
	reply_end(r);
}

static void on_progress(void *ctx, size_t i, int64_t sent)
{
	struct request *r = ctx;
	struct load *l = r->state;
	const struct archive_layer *layer = &l->images.v[l->at].layers[i];
	char id[PROGRESS_ID_MAX];

	if (l->quiet || (sent >= l->told && sent - l->told < PROGRESS_STEP && sent < layer->size))
		return;
	l->told = sent;
	reply_line(r, progress_bar(progress_id(layer->diff_id, id), "Loading layer", sent, layer->size));
}

static void stored(void *ctx, const struct err *err)
{
	struct request *r = ctx;
	struct load *l = r->state;
	const struct archive_image *i = &l->images.v[l->at];

	l->store = NULL;
	if (err) {
		fail(r, err);
		return;
	}
	for (size_t k = 0; k < i->tags.n; k++)
		reply_line(r, json_pack("{s:o}", "stream", json_sprintf("Loaded image: %s\n", i->tags.v[k])));
	if (!i->tags.n)
		reply_line(r, json_pack("{s:o}", "stream", json_sprintf("Loaded image ID: %s\n", i->id)));
	events_emit(r->g->events, "image", "load", i->id, json_pack("{s:s}", "name", i->id));
	l->at++;
	store_next(r);
}

/* As they are known here: "docker.io/library/x" becomes "x:latest". */
static int make_familiar(struct strv *tags, struct err *err)
{
	struct reference ref;

	for (size_t i = 0; i < tags->n; i++) {
		if (reference_parse(tags->v[i], &ref, err) < 0)
			return err_wrap(err, "%.200s", tags->v[i]);
		free(tags->v[i]);
		tags->v[i] = reference_familiar_tagged(&ref);
		reference_release(&ref);
	}
	return 0;
}

static void store_next(struct request *r)
{
	static const struct image_store_ops ops = {on_progress, stored};
	struct load *l = r->state;
	struct err err;

	if (l->at == l->images.n) {
		reply_end(r);
		return;
	}
	if (make_familiar(&l->images.v[l->at].tags, &err) == 0)
		l->store = image_store_start(r->g, &l->images.v[l->at], &ops, r, &err);
	if (!l->store)
		fail(r, &err);
}

static int unpack(const struct spool *s, const atomic_bool *stop, struct archive_images *ret, struct err *err)
{
	return archive_unpack(s->path, s->dir, stop, ret, err);
}

static void unpacked(void *ctx, struct spool *s, struct archive_images *images, const struct err *err)
{
	struct request *r = ctx;
	struct load *l = r->state;

	l->work = NULL;
	l->spool = s;
	reply_begin(r, "application/json");
	if (err) {
		fail(r, err);
		return;
	}
	l->images = *images;
	store_next(r);
}

static void have_archive(struct request *r, struct spool *s)
{
	struct load *l = xcalloc(1, sizeof(*l));

	l->quiet = request_flag(r, "quiet");
	r->state = l;
	r->release = release;
	l->work = image_work_start(r->g, s, unpack, unpacked, r);
}

void image_load(struct request *r)
{
	if (image_store_possible(r))
		spool_body(r, have_archive);
}
