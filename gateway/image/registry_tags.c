/* registry_tags - see registry_tags.h. A page names the next one by its last tag (the Link header says that
 * there is one). Source: OCI distribution spec, "Listing tags". */
#include "image/registry_tags.h"

#include <jansson.h>
#include <string.h>

#define PAGE 1000
#define PAGE_BYTES_MAX (1024 * 1024)

struct registry_tags {
	struct registry_session *s;
	registry_tags_cb *cb;
	void *ctx;
	struct strv tags;
	struct registry_call *call;
	bool done;
};

static int ask(struct registry_tags *t, struct err *err);

static void tags_free(struct registry_tags *t)
{
	registry_cancel(t->call);
	strv_release(&t->tags);
	free(t);
}

/* 1: that was all; 0: the next page is asked for. */
static int take_page(struct registry_tags *t, const struct http_response *r, struct err *err)
{
	json_t *root = json_loadb(r->body, r->len, 0, NULL), *v;
	size_t i, before = t->tags.n;

	json_array_foreach(json_object_get(root, "tags"), i, v)
		if (json_is_string(v) && t->tags.n < REGISTRY_TAGS_MAX)
			strv_add(&t->tags, json_string_value(v));
	json_decref(root);
	if (!root)
		return err_set(err, ERR_UPSTREAM, "registry %s: the list of tags is not JSON", registry_host(t->s));
	if (t->tags.n == REGISTRY_TAGS_MAX)
		return err_set(err, ERR_LIMIT, "%s has more than %d tags: pull them by name", registry_name(t->s), REGISTRY_TAGS_MAX);
	return !http_response_header(r, "link") || t->tags.n == before ? 1 : ask(t, err);
}

static void on_page(void *ctx, const struct http_response *r, const struct err *failed)
{
	struct registry_tags *t = ctx;
	struct err err;
	int rc = -1;

	t->call = NULL;
	if (failed)
		err = *failed;
	else
		rc = r->status == 200 ? take_page(t, r, &err) : registry_refused(t->s, r, false, &err);
	if (!rc)
		return;
	t->done = true;
	t->cb(t->ctx, rc < 0 ? NULL : &t->tags, rc < 0 ? &err : NULL);
	tags_free(t);
}

static int ask(struct registry_tags *t, struct err *err)
{
	const char *last = t->tags.n ? t->tags.v[t->tags.n - 1] : NULL;
	AUTO_FREE char *path = xasprintf("tags/list?n=%d%s%s", PAGE, last ? "&last=" : "", last ? last : "");
	struct registry_request q = {.path = path, .max_response_bytes = PAGE_BYTES_MAX};

	t->call = registry_ask(t->s, &q, on_page, t, err);
	return t->call ? 0 : -1;
}

struct registry_tags *registry_tags_start(struct registry_session *s, registry_tags_cb *cb, void *ctx,
					  struct err *err)
{
	struct registry_tags *t = xcalloc(1, sizeof(*t));

	t->s = s;
	t->cb = cb;
	t->ctx = ctx;
	if (ask(t, err) == 0)
		return t;
	tags_free(t);
	return NULL;
}

void registry_tags_cancel(struct registry_tags *t)
{
	if (t && !t->done)
		tags_free(t);
}
