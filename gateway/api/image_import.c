/* image_import - POST /images/create?fromSrc=-: a root file system becomes an image of one layer, with what
 * `changes` says as its config. */
#include <string.h>

#include "api/handlers.h"
#include "api/image_store.h"
#include "api/progress.h"
#include "api/reply.h"
#include "api/spool.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "image/instructions.h"
#include "image/reference.h"
#include "state/events.h"

#define CHANGES_MAX 1000

struct import {
	json_t *config;            /* the image's Config */
	char *message, *tag;
	struct image_work *work;
	struct spool *spool;
	struct archive_images images;
	struct image_store *store;
};

static void release(struct request *r)
{
	struct import *m = r->state;

	image_work_cancel(m->work);
	image_store_cancel(m->store);
	archive_images_release(&m->images);
	spool_close(m->spool);
	json_decref(m->config);
	free(m->message);
	free(m->tag);
	free(m);
}

static void stored(void *ctx, const struct err *err)
{
	struct request *r = ctx;
	struct import *m = r->state;
	const char *id = m->images.v[0].id;

	m->store = NULL;
	if (err) {
		reply_line(r, progress_error(err));
	} else {
		events_emit(r->g->events, "image", "import", id, json_pack("{s:s}", "name", id));
		reply_line(r, json_pack("{s:s}", "status", id));
	}
	reply_end(r);
}

static void describe(struct import *m)
{
	struct archive_image *i = &m->images.v[0];
	char now[CLOCK_RFC3339_MAX];
	json_t *root;

	clock_format(clock_wall_ns(), 0, now);
	root = json_pack("{s:s, s:o, s:O, s:s, s:s, s:[{s:s, s:o}], s:s, s:{s:s, s:[s]}}", "architecture", "amd64", "comment",
			 reply_string(m->message), "config", m->config, "created", now, "docker_version", VERSION, "history",
			 "created", now, "comment", reply_string(m->message), "os", "linux", "rootfs", "type", "layers", "diff_ids",
			 i->layers[0].diff_id);
	i->config = json_dumps(root, JSON_COMPACT);
	i->config_len = strlen(i->config);
	json_decref(root);
	if (m->tag)
		strv_add(&i->tags, m->tag);
	archive_describe(i);
}

static int read_layer(const struct spool *s, const atomic_bool *stop, struct archive_images *ret, struct err *err)
{
	*ret = (struct archive_images){.v = xcalloc(1, sizeof(*ret->v)), .n = 1};
	ret->v->layers = xcalloc(1, sizeof(*ret->v->layers));
	ret->v->n_layers = 1;
	if (archive_layer_of(s->path, s->dir, stop, ret->v->layers, err) == 0)
		return 0;
	archive_images_release(ret);
	return -1;
}

static void have_layer(void *ctx, struct spool *s, struct archive_images *images, const struct err *err)
{
	static const struct image_store_ops ops = {NULL, stored};
	struct request *r = ctx;
	struct import *m = r->state;
	struct err failed;

	m->work = NULL;
	m->spool = s;
	reply_begin(r, "application/json");
	if (!err) {
		m->images = *images;
		describe(m);
		m->store = image_store_start(r->g, &m->images.v[0], &ops, r, &failed);
		err = &failed;
	}
	if (!m->store) {
		reply_line(r, progress_error(err));
		reply_end(r);
	}
}

/* ---- the request -------------------------------------------------------------------------------------- */

/* As Go does, what is not UTF-8 is replaced: an image's config is JSON. */
static int apply_change(json_t *config, const char *change, struct err *err)
{
	json_t *clean = reply_string(change);
	int rc = instruction_apply(config, json_string_value(clean), err);

	json_decref(clean);
	return rc;
}

/* Every ?changes=, in order. */
static int read_changes(struct request *r, json_t *config, struct err *err)
{
	int n = 0;

	for (const char *q = exchange_query(r->x); *q; q += strcspn(q, "&"), q += *q == '&') {
		AUTO_FREE char *one = xstrndup(q, strcspn(q, "&")), *change = parse_query(one, "changes");

		if (change && *change && ++n > CHANGES_MAX)
			return err_set(err, ERR_LIMIT, "more than %d changes", CHANGES_MAX);
		if (change && *change && apply_change(config, change, err) < 0)
			return -1;
	}
	return 0;
}

static int read_tag(struct request *r, char **ret, struct err *err)
{
	AUTO_FREE char *repo = request_query(r, "repo"), *tag = request_query(r, "tag"), *name = NULL;
	struct reference ref;

	*ret = NULL;
	if (!repo || !*repo)
		return 0;
	name = tag && *tag ? xasprintf("%s:%s", repo, tag) : xstrdup(repo);
	if (reference_parse(name, &ref, err) < 0)
		return -1;
	if (ref.digest)
		err_set(err, ERR_INVALID, "cannot import digest reference");
	else
		*ret = reference_familiar_tagged(&ref);
	reference_release(&ref);
	return *ret ? 0 : -1;
}

/* NULL with err if the request's parameters are wrong. */
static struct import *read_request(struct request *r, struct err *err)
{
	AUTO_FREE char *tag = NULL, *message = request_query(r, "message");
	json_t *config = json_object();
	struct import *m;

	if (read_tag(r, &tag, err) < 0 || read_changes(r, config, err) < 0) {
		json_decref(config);
		return NULL;
	}
	m = xcalloc(1, sizeof(*m));
	m->config = config;
	m->tag = steal_ptr(&tag);
	m->message = message && *message ? steal_ptr(&message) : xstrdup("");
	return m;
}

static void have_body(struct request *r, struct spool *s)
{
	struct import *m = read_request(r, NULL); /* it was right before */

	r->state = m;
	r->release = release;
	m->work = image_work_start(r->g, s, read_layer, have_layer, r);
}

void image_import(struct request *r)
{
	AUTO_FREE char *source = request_query(r, "fromSrc"), *platform = request_query(r, "platform");
	struct import *m;
	struct err err;

	if (strcmp(source, "-") != 0) {
		reply_error(r, ERR_UNSUPPORTED, "this gateway does not fetch %.200s: download the archive, then docker import FILE",
			    source);
		return;
	}
	if (image_platform_check(platform, &err) < 0) {
		err.kind = ERR_INVALID;
		reply_err(r, &err);
		return;
	}
	m = read_request(r, &err);
	if (!m) {
		reply_err(r, &err);
		return;
	}
	r->state = m;
	release(r);
	r->state = NULL;
	if (image_store_possible(r))
		spool_body(r, have_body);
}
