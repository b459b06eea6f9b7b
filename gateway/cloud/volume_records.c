/* volume_records - see volume_records.h. */
#include "cloud/volume_records.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "cloud/call.h"
#include "cloud/storage.h"
#include "config.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/volume.h"

#define PAUSE_MS 1000
#define FOLDER ".sockerless" /* no volume can have this name */

struct volume_records {
	struct cloud *cloud;
	struct cloud_call *call;   /* under way, with what was true when it began */
	struct timer *timer;
	bool changed;              /* since then */
};

/* The object's name, escaped for a URL. */
static char *object_name(const struct config *cfg)
{
	AUTO_FREE char *file = xasprintf(FOLDER "/%s.json", cfg->instance);

	return storage_url_folder(cfg, file);
}

static json_t *all_records(struct gateway *g)
{
	struct volume **list = volumes_list(g->volumes);
	json_t *all = json_array();

	for (size_t i = 0; list[i]; i++)
		if (list[i]->place != VOLUME_IN_CONTAINER)
			json_array_append_new(all, volume_record(list[i]));
	free(list);
	return json_pack("{s:o}", "volumes", all);
}

/* ---- writing -------------------------------------------------------------------------------------- */

static void write_them(void *ctx);

static void on_written(void *ctx, json_t *json, const struct err *err)
{
	struct volume_records *r = ctx;

	r->call = NULL;
	r->changed = r->changed || err;
	if (err && err->kind == ERR_NOT_FOUND)
		return; /* no bucket: the first mount makes it, and then tells us */
	if (err)
		log_warn("the records of volumes are not in the bucket: without this disk, they would be lost", "error=\"%s\"", err->msg);
	r->timer = timer_start(r->cloud->g->loop, err ? (uint64_t)r->cloud->g->config->sweep_interval_ms : PAUSE_MS, write_them, r);
}

static void pass_on(struct cloud_call *call, json_t *answer)
{
	call_finish(call, answer, NULL);
}

static void write_them(void *ctx)
{
	struct volume_records *r = ctx;
	struct cloud *c = r->cloud;
	AUTO_FREE char *bucket = NULL, *name = NULL;

	r->timer = NULL;
	if (!r->changed)
		return;
	r->changed = false;
	bucket = storage_bucket(c->g->config);
	name = object_name(c->g->config);
	r->call = call_new(c, call_timeout_ms(c), on_written, r);
	call_ask(r->call, "POST", xasprintf("%s/b/%s/o?uploadType=media&name=%s", c->upload_base, bucket, name),
		 all_records(c->g), true, pass_on);
}

void volume_records_changed(struct cloud *c)
{
	struct volume_records *r = c->volume_records;

	if (!c->g->config->volume_bucket || c->g->disk_is_new)
		return;
	if (!r) {
		r = c->volume_records = xcalloc(1, sizeof(*r));
		r->cloud = c;
	}
	r->changed = true;
	if (!r->call && !r->timer)
		r->timer = timer_start(c->g->loop, 0, write_them, r);
}

void volume_records_stop(struct cloud *c)
{
	struct volume_records *r = c->volume_records;

	if (!r)
		return;
	cloud_cancel(r->call);
	timer_cancel(&r->timer);
	free(r);
	c->volume_records = NULL;
}

/* ---- reading -------------------------------------------------------------------------------------- */

static void on_read(struct cloud_call *call, json_t *answer)
{
	struct gateway *g = call->cloud->g;
	struct err err = {0};
	json_t *record;
	size_t i;

	json_array_foreach(json_object_get(answer, "volumes"), i, record)
		if (volumes_adopt(g->volumes, record, &err) < 0)
			log_warn("a volume is not known any more", "error=\"%s\"", err.msg);
	call_finish(call, answer, NULL);
}

/* False: err is the call's own. */
static bool on_absent(struct cloud_call *call, const struct err *err)
{
	if (err->kind != ERR_NOT_FOUND)
		return false;
	call_finish(call, NULL, NULL);
	return true;
}

struct cloud_call *volume_records_adopt(struct cloud *c, cloud_cb *cb, void *ctx)
{
	struct cloud_call *call = call_new(c, call_timeout_ms(c), cb, ctx);
	AUTO_FREE char *bucket = storage_bucket(c->g->config), *name = object_name(c->g->config);

	call->otherwise = on_absent;
	call_ask(call, "GET", xasprintf("%s/b/%s/o/%s?alt=media", c->storage_base, bucket, name), NULL, true, on_read);
	return call;
}
