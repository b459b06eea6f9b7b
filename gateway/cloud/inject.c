/* inject - see inject.h. */
#include "cloud/inject.h"

#include <string.h>

#include "base/mem.h"
#include "base/token.h"
#include "gateway.h"
#include "image/overlay.h"
#include "state/container.h"

struct item {
	struct inject *in;
	char id[ID_HEX_MAX];       /* it may be removed meanwhile */
	struct overlay_wait *wait; /* NULL: done */
};

struct inject {
	struct gateway *g;
	inject_cb *cb;
	void *ctx;
	size_t n, left;
	struct item items[];
};

void inject_cancel(struct inject *in)
{
	if (!in)
		return;
	for (size_t i = 0; i < in->n; i++)
		overlay_cancel(in->items[i].wait);
	free(in);
}

static void on_overlay(void *ctx, const char *ref, const struct err *err)
{
	struct item *item = ctx;
	struct inject *in = item->in;
	struct container *c = containers_by_id(in->g->containers, item->id);
	inject_cb *cb = in->cb;
	void *cb_ctx = in->ctx;

	item->wait = NULL;
	in->left--;
	if (c && ref) {
		free(c->overlay_ref);
		c->overlay_ref = xstrdup(ref);
	}
	if (!err && in->left)
		return;
	inject_cancel(in);
	cb(cb_ctx, err);
}

static void add(struct inject *in, const struct container *c)
{
	struct item *item = &in->items[in->n++];

	item->in = in;
	in->left++;
	memcpy(item->id, c->id, sizeof(item->id));
	item->wait = overlay_get(in->g->overlays, c->image_ref, NULL, on_overlay, item);
}

struct inject *inject_begin(struct gateway *g, struct container *c, struct container *const *members, inject_cb *cb,
			    void *ctx)
{
	size_t n = 0;
	struct inject *in;

	while (members[n])
		n++;
	in = xcalloc(1, sizeof(*in) + (n + 1) * sizeof(*in->items));
	in->g = g;
	in->cb = cb;
	in->ctx = ctx;
	add(in, c);
	for (size_t i = 0; i < n; i++)
		add(in, members[i]);
	return in;
}

void inject_doubt(struct gateway *g, const struct container *c)
{
	if (g->overlays)
		overlay_doubt(g->overlays, c->image_ref);
}
