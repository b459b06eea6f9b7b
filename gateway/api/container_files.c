/* container_files - see container_files.h. */
#include "api/container_files.h"

#include <string.h>

#include "agents/tunnel.h"
#include "api/reply.h"
#include "base/mem.h"
#include "cloud/lifecycle.h"
#include "state/container.h"
#include "state/image.h"
#include "state/pending_files.h"

/* ---- a start under way --------------------------------------------------------------------------- */

struct settling {
	struct lifecycle_wait *wait;
	void (*fn)(struct request *r, struct container *c);
};

static void release(struct request *r)
{
	struct settling *s = r->state;

	lifecycle_forget(s->wait);
	free(s);
}

/* A start that failed leaves the container as it was: its own answer went to whoever asked for it. */
static void on_started(void *ctx, const struct err *err)
{
	struct request *r = ctx;
	struct settling *s = r->state;
	void (*fn)(struct request *r, struct container *c) = s->fn;
	struct container *c;

	free(s);
	r->state = NULL;
	r->release = NULL;
	c = request_container(r);
	if (c)
		fn(r, c);
}

void files_settled(struct request *r, void (*fn)(struct request *r, struct container *c))
{
	struct container *c = request_container(r);
	struct settling *s;
	struct err err;

	if (!c)
		return;
	if (c->state != CONTAINER_STARTING || container_is_running(c)) { /* a successor: running all the while */
		fn(r, c);
		return;
	}
	s = xcalloc(1, sizeof(*s));
	s->fn = fn;
	r->state = s;
	r->release = release;
	s->wait = lifecycle_start(r->g->lifecycle, c, on_started, r, &err); /* joins the one under way */
	if (!s->wait)
		reply_err(r, &err);
}

void files_settled_at_path(struct request *r, void (*fn)(struct request *r, struct container *c))
{
	AUTO_FREE char *path = request_query(r, "path");

	if (path && *path)
		files_settled(r, fn);
	else
		reply_error(r, ERR_INVALID, "bad parameter: pathcannot be empty"); /* dockerd's own spelling */
}

/* ---- where the files are ------------------------------------------------------------------------- */

bool files_with_agent(const struct container *c)
{
	return container_is_running(c) || (c->state == CONTAINER_EXITED && c->tunnel && tunnel_is_up(c->tunnel));
}

bool files_of_image(const struct container *c)
{
	return !files_with_agent(c) && c->state == CONTAINER_CREATED;
}

int files_ended(const struct container *c, struct err *err)
{
	return err_set(err, ERR_CONFLICT, "the file system of container %s has ended with its Cloud Run execution; "
		       "copy while it runs, or soon after (SOCKERLESS_GCR_EXIT_STAY)", c->id);
}

/* ---- the image ----------------------------------------------------------------------------------- */

/* An image's VOLUME is a folder of the container's own file system (volumes, "container"). */
static void add_directories(const struct container *c, struct image_files_query *q)
{
	const char *workdir = json_string_value(json_object_get(c->config, "WorkingDir"));
	json_t *mount;
	size_t i;

	json_array_foreach(c->mounts, i, mount) {
		const char *target = json_string_value(json_object_get(mount, "target"));
		const char *on = json_string_value(json_object_get(mount, "on"));

		if (target)
			strv_add(on && strcmp(on, "container") == 0 ? &q->dirs : &q->mounts, target);
	}
	if (workdir && *workdir)
		strv_add(&q->dirs, workdir);
}

struct image_files *files_ask_image(struct gateway *g, struct container *c, enum image_files_what what,
				    const char *path, const struct image_files_ops *ops, void *ctx, struct err *err)
{
	struct image *image = images_find(g->images, c->image_id, NULL);
	struct image_files_query q = {
		.what = what, .path = path, .pull_ref = c->image_ref, .manifest = image ? image->manifest : NULL,
	};
	struct pending_list pending;
	struct image_overlay *overlays;
	struct image_files *f;

	if (!q.manifest) {
		err_set(err, ERR_NOT_FOUND, "No such image: %s", c->image);
		return NULL;
	}
	pending_files_list(g->pending_files, c->id, &pending);
	overlays = xcalloc(pending.n + 1, sizeof(*overlays));
	for (size_t i = 0; i < pending.n; i++)
		overlays[i] = (struct image_overlay){ pending.v[i].file, pending.v[i].path, pending.v[i].no_overwrite };
	q.overlays = overlays;
	q.n_overlays = pending.n;
	add_directories(c, &q);
	f = image_files_start(g, &q, ops, ctx, err);
	strv_release(&q.dirs);
	strv_release(&q.mounts);
	free(overlays);
	pending_list_release(&pending);
	return f;
}
