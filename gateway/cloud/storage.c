/* storage - see storage.h. Objects are deleted a page at a time, several at once. */
#include "cloud/storage.h"

#include <curl/curl.h>
#include <string.h>
#include <utlist.h>

#include "base/mem.h"
#include "cloud/call.h"
#include "cloud/volume_records.h"
#include "gateway.h"

#define PARALLEL 8
#define PAGE "500"

/* One volume being emptied. */
struct sweep {
	struct sweep *prev, *next;
	struct cloud *cloud;
	char *bucket, *prefix;
	struct cloud_call *listing;
	struct deletion {
		struct sweep *sweep;
		struct cloud_call *call;
	} deletion[PARALLEL];
	json_t *names;            /* of the present page */
	size_t next_name;
	bool more;
	int pages;
	struct err err;
	storage_cb *cb;
	void *ctx;
};

char *storage_bucket(const struct config *cfg)
{
	return xstrndup(cfg->volume_bucket, strcspn(cfg->volume_bucket, "/"));
}

char *storage_folder(const struct config *cfg, const char *volume)
{
	const char *slash = strchr(cfg->volume_bucket, '/');

	return xasprintf("%s%s%s", slash ? slash + 1 : "", slash ? "/" : "", volume);
}

char *storage_url_folder(const struct config *cfg, const char *volume)
{
	AUTO_FREE char *folder = storage_folder(cfg, volume);
	char *escaped = curl_easy_escape(NULL, folder, 0), *ret = xstrdup(escaped);

	curl_free(escaped);
	return ret;
}

static void finish_with_answer(struct cloud_call *call, json_t *answer)
{
	call_finish(call, answer, NULL);
}

/* ---- the bucket ----------------------------------------------------------------------------------- */

bool storage_bucket_is_known(const struct cloud *c)
{
	return c->bucket_known;
}

static void on_bucket(struct cloud_call *call, json_t *answer)
{
	call->cloud->bucket_known = true;
	volume_records_changed(call->cloud);
	call_finish(call, answer, NULL);
}

/* Access by the bucket's policy alone, in the region of the jobs. */
json_t *storage_bucket_resource(const struct config *cfg)
{
	AUTO_FREE char *name = storage_bucket(cfg);

	return json_pack("{s:s, s:s, s:{s:s}, s:{s:{s:b}, s:s}}", "name", name, "location", cfg->region, "labels",
			 "sockerless_managed", "true", "iamConfiguration", "uniformBucketLevelAccess", "enabled", 1,
			 "publicAccessPrevention", "enforced");
}

static void make_bucket(struct cloud_call *call)
{
	const struct config *cfg = call->cloud->g->config;

	call->otherwise = NULL;
	call_ask(call, "POST", xasprintf("%s/b?project=%s", call->cloud->storage_base, cfg->project),
		 storage_bucket_resource(cfg), false, on_bucket);
}

/* False: err is the call's own. */
static bool on_no_bucket(struct cloud_call *call, const struct err *err)
{
	if (err->kind != ERR_NOT_FOUND)
		return false;
	make_bucket(call);
	return true;
}

struct cloud_call *storage_ensure_bucket(struct cloud *c, cloud_cb *cb, void *ctx)
{
	struct cloud_call *call = call_new(c, call_timeout_ms(c), cb, ctx);
	AUTO_FREE char *name = storage_bucket(c->g->config);

	call->otherwise = on_no_bucket;
	call_ask(call, "GET", xasprintf("%s/b/%s", c->storage_base, name), NULL, true, on_bucket);
	return call;
}

/* ---- emptying a volume ---------------------------------------------------------------------------- */

static void list_page(struct sweep *s);
static void delete_next(struct sweep *s);

static void sweep_free(struct sweep *s)
{
	DL_DELETE(s->cloud->sweeps, s);
	cloud_cancel(s->listing);
	for (size_t i = 0; i < PARALLEL; i++)
		cloud_cancel(s->deletion[i].call);
	json_decref(s->names);
	free(s->bucket);
	free(s->prefix);
	free(s);
}

static void sweep_end(struct sweep *s)
{
	storage_cb *cb = s->cb;
	void *ctx = s->ctx;
	struct err err = s->err;

	sweep_free(s);
	cb(ctx, err.kind ? &err : NULL);
}

static void on_deleted(void *ctx, json_t *json, const struct err *err)
{
	struct deletion *d = ctx;

	d->call = NULL;
	if (err && err->kind != ERR_NOT_FOUND && !d->sweep->err.kind)
		d->sweep->err = *err;
	delete_next(d->sweep);
}

static void delete_one(struct sweep *s, struct deletion *d)
{
	char *escaped = curl_easy_escape(NULL, json_string_value(json_array_get(s->names, s->next_name++)), 0);

	d->sweep = s;
	d->call = call_new(s->cloud, call_timeout_ms(s->cloud), on_deleted, d);
	call_ask(d->call, "DELETE", xasprintf("%s/b/%s/o/%s", s->cloud->storage_base, s->bucket, escaped), NULL, true,
		 finish_with_answer);
	curl_free(escaped);
}

static void delete_next(struct sweep *s)
{
	bool busy = false;

	for (size_t i = 0; i < PARALLEL; i++) {
		struct deletion *d = &s->deletion[i];

		if (!d->call && !s->err.kind && s->next_name < json_array_size(s->names))
			delete_one(s, d);
		busy = busy || d->call;
	}
	if (busy)
		return;
	if (s->more && !s->err.kind)
		list_page(s); /* what is deleted is not listed again: the first page each time */
	else
		sweep_end(s);
}

static void on_page(void *ctx, json_t *json, const struct err *err)
{
	struct sweep *s = ctx;
	json_t *item;
	size_t i;

	s->listing = NULL;
	json_array_clear(s->names);
	s->next_name = 0;
	if (err) {
		if (err->kind != ERR_NOT_FOUND)
			s->err = *err;
		sweep_end(s);
		return;
	}
	json_array_foreach(json_object_get(json, "items"), i, item)
		if (json_is_string(json_object_get(item, "name")))
			json_array_append(s->names, json_object_get(item, "name"));
	s->more = json_array_size(s->names) > 0 && json_object_get(json, "nextPageToken");
	if (++s->pages > CALL_PAGES_MAX)
		err_set(&s->err, ERR_LIMIT, "bucket %s: more than %d pages of objects", s->bucket, CALL_PAGES_MAX);
	delete_next(s);
}

static void list_page(struct sweep *s)
{
	char *escaped = curl_easy_escape(NULL, s->prefix, 0);

	s->listing = call_new(s->cloud, call_timeout_ms(s->cloud), on_page, s);
	call_ask(s->listing, "GET", xasprintf("%s/b/%s/o?maxResults=" PAGE "&fields=items(name),nextPageToken&prefix=%s",
		 s->cloud->storage_base, s->bucket, escaped), NULL, true, finish_with_answer);
	curl_free(escaped);
}

void storage_empty(struct cloud *c, const char *volume, storage_cb *cb, void *ctx)
{
	struct sweep *s = xcalloc(1, sizeof(*s));
	AUTO_FREE char *folder = storage_folder(c->g->config, volume);

	s->cloud = c;
	s->bucket = storage_bucket(c->g->config);
	s->prefix = xasprintf("%s/", folder);
	s->names = json_array();
	s->cb = cb;
	s->ctx = ctx;
	DL_APPEND(c->sweeps, s);
	list_page(s);
}

void storage_stop(struct cloud *c)
{
	while (c->sweeps) {
		err_set(&c->sweeps->err, ERR_UNAVAILABLE, "the gateway is shutting down");
		sweep_end(c->sweeps);
	}
}
