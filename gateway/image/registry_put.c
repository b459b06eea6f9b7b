/* registry_put - see registry_put.h. Blobs 0 … n-1 are the layers, blob n is the config. */
#include "image/registry_put.h"

#include <string.h>

#include "base/mem.h"
#include "gateway.h"
#include "net/defer.h"

#define AT_ONCE 3

struct slot {
	struct registry_put *put;
	size_t blob;
	struct registry_upload *upload; /* NULL: free */
};

struct registry_put {
	struct gateway *g;
	struct registry_session *to;
	struct registry_put_options opt;
	struct registry_put_ops ops;
	void *ctx;
	struct slot slots[AT_ONCE];
	size_t next, there;
	struct registry_call *call;
	bool done;
};

static void put_free(struct registry_put *p)
{
	for (size_t i = 0; i < AT_ONCE; i++)
		registry_upload_cancel(p->slots[i].upload);
	registry_cancel(p->call);
	free(p);
}

static void finish(struct registry_put *p, const char *digest, const struct err *err)
{
	p->done = true;
	p->ops.done(p->ctx, digest, err);
	put_free(p);
}

static void on_manifest(void *ctx, const struct http_response *r, const struct err *why)
{
	struct registry_put *p = ctx;
	char digest[REGISTRY_DIGEST_MAX];
	struct err err;

	p->call = NULL;
	if (why) {
		finish(p, NULL, why);
	} else if (r->status / 100 != 2) {
		registry_refused(p->to, r, false, &err);
		finish(p, NULL, &err);
	} else {
		registry_digest_of(p->opt.manifest, p->opt.manifest_len, digest);
		finish(p, digest, NULL);
	}
}

static int put_manifest(struct registry_put *p, struct err *err)
{
	AUTO_FREE char *path = xasprintf("manifests/%s", p->opt.reference);
	struct registry_request q = {
		.method = "PUT", .path = path, .body = p->opt.manifest, .body_len = p->opt.manifest_len,
	};

	strv_take(&q.headers, xasprintf("Content-Type: %s", p->opt.manifest_type));
	p->call = registry_ask(p->to, &q, on_manifest, p, err);
	strv_release(&q.headers);
	return p->call ? 0 : -1;
}

static void on_progress(void *ctx, int64_t sent)
{
	struct slot *s = ctx;

	if (s->put->ops.progress && s->blob < s->put->opt.n_layers)
		s->put->ops.progress(s->put->ctx, s->blob, sent);
}

static int fill_slots(struct registry_put *p, struct err *err);

static void on_blob(void *ctx, enum upload_result result, const struct err *why)
{
	struct slot *s = ctx;
	struct registry_put *p = s->put;
	struct err err;

	s->upload = NULL;
	if (why) {
		finish(p, NULL, why);
		return;
	}
	p->there++;
	if (p->ops.layer && s->blob < p->opt.n_layers)
		p->ops.layer(p->ctx, s->blob, result);
	if (fill_slots(p, &err) < 0)
		finish(p, NULL, &err);
}

static int fill_slots(struct registry_put *p, struct err *err)
{
	static const struct registry_upload_ops ops = {on_progress, on_blob};
	size_t blobs = p->opt.n_layers + 1;

	for (size_t i = 0; i < AT_ONCE && p->next < blobs; i++) {
		struct slot *s = &p->slots[i];

		if (s->upload)
			continue;
		s->put = p;
		s->blob = p->next++;
		s->upload = registry_upload_start(p->g, p->to, s->blob < p->opt.n_layers ? &p->opt.layers[s->blob]
						  : &p->opt.config, &ops, s, err);
		if (!s->upload)
			return -1;
	}
	return p->there == blobs ? put_manifest(p, err) : 0;
}

struct registry_put *registry_put_start(struct gateway *g, struct registry_session *to,
					const struct registry_put_options *opt, const struct registry_put_ops *ops,
					void *ctx, struct err *err)
{
	struct registry_put *p = xcalloc(1, sizeof(*p));

	p->g = g;
	p->to = to;
	p->opt = *opt;
	p->ops = *ops;
	p->ctx = ctx;
	if (fill_slots(p, err) == 0)
		return p;
	put_free(p);
	return NULL;
}

void registry_put_cancel(struct registry_put *p)
{
	if (p && !p->done)
		put_free(p);
}
