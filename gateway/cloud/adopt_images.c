/* adopt_images - see adopt_images.h. */
#include "cloud/adopt_images.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "gateway.h"
#include "image/reference.h"
#include "image/registry_fetch.h"
#include "net/defer.h"
#include "state/container.h"
#include "state/image.h"

struct image_adoption {
	struct gateway *g;
	struct image_adoption **self;
	struct registry_fetch *fetch;
	struct timer *timer;
	struct strv todo;          /* IDs of containers, one of each image */
	size_t at;
};

static void next(void *ctx);

/* The name the container was made from; NULL when that was an ID. */
static char *tag_of(const struct container *c, const struct reference *name)
{
	const char *id = c->image_id ? strchr(c->image_id, ':') : NULL;

	if (name->digest || !id || strncmp(c->image, "sha256:", 7) == 0 || strncmp(id + 1, c->image, strlen(c->image)) == 0)
		return NULL;
	return reference_familiar_tagged(name);
}

static void keep(struct gateway *g, const struct container *c, const struct registry_image *image)
{
	AUTO_FREE char *tag = NULL, *digest = NULL;
	struct reference name = {0};
	struct err err;

	if (strcmp(image->id, c->image_id) != 0) {
		log_warn("an image is another one than it was", "container=%.12s image=%s", c->id, c->image_ref);
		return;
	}
	if (reference_parse(c->image, &name, NULL) == 0) {
		tag = tag_of(c, &name);
		digest = tag || name.digest ? xasprintf("%s@%s", name.familiar, image->digest) : NULL;
		reference_release(&name);
	}
	if (!images_put(g->images, image->id, tag, digest, c->image_ref, json_incref(image->config), json_incref(image->manifest),
			&err))
		log_warn("an image is not stored", "image=%s error=\"%s\"", c->image_ref, err.msg);
}

static void on_image(void *ctx, const struct registry_image *image, const struct err *err)
{
	struct image_adoption *a = ctx;
	struct container *c = containers_by_id(a->g->containers, a->todo.v[a->at]);

	a->fetch = NULL;
	if (err)
		log_warn("the image of a container is not found again", "container=%.12s error=\"%s\"", a->todo.v[a->at], err->msg);
	else if (c)
		keep(a->g, c, image);
	a->at++;
	a->timer = timer_start(a->g->loop, 0, next, a);
}

static void next(void *ctx)
{
	struct image_adoption *a = ctx;

	a->timer = NULL;
	for (; a->at < a->todo.n && !a->fetch; a->at += a->fetch == NULL) {
		struct container *c = containers_by_id(a->g->containers, a->todo.v[a->at]);
		struct reference ref = {0};
		struct err err;

		if (!c || images_find(a->g->images, c->image_id, NULL) || reference_parse(c->image_ref, &ref, &err) < 0)
			continue;
		a->fetch = registry_fetch_start(a->g, &ref, NULL, on_image, a, &err);
		if (!a->fetch)
			log_warn("the image of a container is not looked for", "container=%.12s error=\"%s\"", c->id, err.msg);
		reference_release(&ref);
	}
	if (!a->fetch)
		adopt_images_cancel(a);
}

void adopt_images(struct gateway *g, struct image_adoption **ret)
{
	struct container **list = containers_list(g->containers);
	struct image_adoption *a = xcalloc(1, sizeof(*a));

	adopt_images_cancel(*ret);
	a->g = g;
	a->self = ret;
	*ret = a;
	for (size_t i = 0; list[i]; i++)
		if (list[i]->image_id && *list[i]->image_id && list[i]->image_ref)
			strv_add(&a->todo, list[i]->id);
	free(list);
	a->timer = timer_start(g->loop, 0, next, a);
}

void adopt_images_cancel(struct image_adoption *a)
{
	if (!a)
		return;
	*a->self = NULL;
	timer_cancel(&a->timer);
	registry_fetch_cancel(a->fetch);
	strv_release(&a->todo);
	free(a);
}
