/* recover - what is ours at Google and what our records say, brought together: at the start of the gateway, and
 * every SOCKERLESS_SWEEP_INTERVAL by one listing of all jobs. A new disk adopts its instance's jobs (adopt.h);
 * later nothing is adopted unasked: a job without a record may be one whose removal failed. */
#include <string.h>

#include "agents/registry.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cloud/adopt.h"
#include "cloud/adopt_images.h"
#include "cloud/job_identity.h"
#include "cloud/lifecycle_ops.h"
#include "cloud/run.h"
#include "cloud/volume_records.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/container.h"
#include "state/exec.h"
#include "state/network.h"
#include "state/store.h"
#include "state/volume.h"

#define ADOPT_AT_ONCE 8
#define LIST_AGAIN_MS 10000    /* a new disk, and the listing failed */

struct recovery {
	struct lifecycle *l;
	struct cloud_call *listing;
	int64_t listed_ns;         /* when it was asked for: what is younger cannot be missed in it */
	struct timer *timer;
	void (*ready)(void *ctx);  /* NULL once it was called */
	void *ctx;
	json_t *jobs;              /* to be adopted, from at on */
	size_t at;
	bool failed;
	struct image_adoption *images;
	struct adopting {
		struct recovery *r;
		struct adoption *adoption;
	} adopting[ADOPT_AT_ONCE];
	json_t *told;              /* jobs we have spoken of, as keys */
};

static void list_jobs(void *ctx);

/* ---- a new disk --------------------------------------------------------------------------------------- */

static void tell_ready(struct recovery *r)
{
	void (*ready)(void *) = r->ready;

	r->ready = NULL;
	if (ready)
		ready(r->ctx);
}

static void disk_is_complete(struct gateway *g)
{
	AUTO_FREE char *doc = xasprintf("{\"home\":\"%s\",\"complete\":true}", g->home_id);
	uint64_t version;
	struct err err = { 0 };
	AUTO_FREE char *before = store_get(g->store, "gateway", "identity", &version, &err);

	g->disk_is_new = false;
	if (!before || store_put(g->store, "gateway", "identity", doc, version, &version, &err) < 0)
		log_error("it is not stored that this disk is complete", "error=\"%s\"", err.msg);
}

/* All jobs are adopted. */
static void adoption_is_over(struct recovery *r)
{
	json_decref(r->jobs);
	r->jobs = NULL;
	if (!r->failed) {
		disk_is_complete(r->l->g);
		volume_records_changed(r->l->g->cloud);
	}
	r->timer = timer_start(r->l->g->loop, r->failed ? LIST_AGAIN_MS : (uint64_t)r->l->g->config->sweep_interval_ms, list_jobs, r);
	adopt_images(r->l->g, &r->images);
	tell_ready(r);
}

/* Later it may be otherwise; a refusal stays one. */
static bool may_pass(const struct err *err)
{
	return err->kind == ERR_UPSTREAM || err->kind == ERR_TIMEOUT || err->kind == ERR_LIMIT;
}

static void on_volumes(void *ctx, json_t *json, const struct err *err)
{
	struct recovery *r = ctx;

	r->listing = NULL;
	if (err) {
		log_warn("the records of volumes cannot be read", "error=\"%s\"", err->msg);
		r->failed = r->failed || may_pass(err);
	}
	adoption_is_over(r);
}

static void adopt_next(struct recovery *r);

static void on_adopted(void *ctx, const struct err *err)
{
	struct adopting *slot = ctx;

	slot->adoption = NULL;
	if (err) {
		log_error("a job of ours cannot be adopted", "error=\"%s\"", err->msg);
		slot->r->failed = slot->r->failed || may_pass(err);
	}
	adopt_next(slot->r);
}

static json_t *next_job(struct recovery *r)
{
	while (r->at < json_array_size(r->jobs)) {
		json_t *job = json_array_get(r->jobs, r->at++);
		struct job_identity who;
		const char *objection;

		if (!job_identity_read(job, &who) || containers_by_id(r->l->g->containers, who.id))
			continue;
		objection = adopt_objection(r->l, job, &who);
		if (!objection)
			return job;
		log_info("a job is not adopted", "job=%s why=\"%s\"", who.job, objection);
	}
	return NULL;
}

static void adopt_next(struct recovery *r)
{
	bool busy = false;

	for (size_t i = 0; i < ADOPT_AT_ONCE; i++) {
		struct adopting *slot = &r->adopting[i];
		json_t *job = slot->adoption ? NULL : next_job(r);

		slot->r = r;
		if (job)
			slot->adoption = adopt_begin(r->l, job, on_adopted, slot);
		busy = busy || slot->adoption;
	}
	if (busy || r->listing)
		return;
	if (r->l->g->config->volume_bucket)
		r->listing = volume_records_adopt(r->l->g->cloud, on_volumes, r);
	else
		adoption_is_over(r);
}

/* ---- drift -------------------------------------------------------------------------------------------- */

static bool is_over(json_t *job, const struct container *c)
{
	json_t *execution = json_object_get(job, "latestCreatedExecution");
	const char *name = json_string_value(json_object_get(execution, "name"));
	const char *slash = name ? strrchr(name, '/') : NULL;

	return name && c->execution && strcmp(slash ? slash + 1 : name, c->execution) == 0 &&
	       json_object_get(execution, "completionTime");
}

/* Its agent would have told us; and if it has only just ended, it still may. */
static void look_closer(struct lifecycle *l, struct container *c)
{
	struct slot *s = slot_get(l, c->id);

	if (!s->start && !s->removal)
		watch_begin(s, 0);
	slot_release(s);
}

static void forget_foreign(struct gateway *g, struct container *c)
{
	log_info("another backend has removed its container", "container=%.12s name=%s", c->id, c->name);
	registry_drop(g->registry, c);
	execs_container_removed(g->execs, c->id);
	container_remove(c);
}

/* by_name: job resources by their short name. */
static void compare(struct recovery *r, struct container *c, json_t *by_name)
{
	json_t *job = c->job ? json_object_get(by_name, c->job) : NULL;

	if (!c->job || network_shared_with(c) || (c->started_ns > r->listed_ns && !job))
		return;
	if (!job && c->foreign && c->state == CONTAINER_EXITED)
		forget_foreign(r->l->g, c);
	else if (c->state == CONTAINER_RUNNING && (!job || is_over(job, c)))
		look_closer(r->l, c);
}

/* A job of our instance, made since we run, and not by us: somebody else uses our name. */
static void look_for_twin(struct recovery *r, json_t *job, const struct job_identity *who)
{
	struct gateway *g = r->l->g;
	const char *at = json_string_value(json_object_get(job, "createTime"));
	int64_t created_ns;

	if (!who->instance || strcmp(who->instance, g->config->instance) != 0 || containers_by_id(g->containers, who->id) ||
	    json_object_get(r->told, who->job))
		return;
	if (who->gateway && strcmp(who->gateway, g->home_id) != 0 && at && clock_parse(at, &created_ns) == 0 &&
	    created_ns > g->started_ns) {
		json_object_set_new(r->told, who->job, json_true());
		log_warn("another gateway uses this instance's name: set SOCKERLESS_GCR_INSTANCE to a name of its own for each",
			 "instance=%s job=%s", g->config->instance, who->job);
	} else if (!who->predecessors && at && clock_parse(at, &created_ns) == 0 && created_ns < r->listed_ns - 60 * 1000000000LL) {
		json_object_set_new(r->told, who->job, json_true());
		log_warn("a job belongs to no container known here; see sockerlessctl orphans", "job=%s", who->job);
	}
}

static void compare_all(struct recovery *r, json_t *jobs)
{
	struct container **list = containers_list(r->l->g->containers);
	json_t *by_name = json_object(), *job;
	struct job_identity who;
	size_t i;

	json_array_foreach(jobs, i, job)
		if (job_identity_read(job, &who)) {
			json_object_set(by_name, who.job, job);
			look_for_twin(r, job, &who);
		}
	for (i = 0; list[i]; i++)
		compare(r, list[i], by_name);
	json_decref(by_name);
	free(list);
}

/* ---- the listing -------------------------------------------------------------------------------------- */

static void on_jobs(void *ctx, json_t *json, const struct err *err)
{
	struct recovery *r = ctx;
	struct gateway *g = r->l->g;

	r->listing = NULL;
	if (err) {
		log_warn("jobs cannot be listed", "error=\"%s\"", err->msg);
		r->timer = timer_start(g->loop, g->disk_is_new ? LIST_AGAIN_MS : (uint64_t)g->config->sweep_interval_ms, list_jobs, r);
		tell_ready(r);
		return;
	}
	if (g->disk_is_new) {
		r->jobs = json_incref(json_object_get(json, "jobs"));
		r->at = 0;
		r->failed = false;
		adopt_next(r);
		return;
	}
	compare_all(r, json_object_get(json, "jobs"));
	r->timer = timer_start(g->loop, (uint64_t)g->config->sweep_interval_ms, list_jobs, r);
}

static void list_jobs(void *ctx)
{
	struct recovery *r = ctx;

	r->timer = NULL;
	r->listed_ns = clock_wall_ns();
	r->listing = run_list_jobs(r->l->g->cloud, on_jobs, r);
}

static void begin(void *ctx)
{
	struct recovery *r = ctx;

	if (!r->l->g->disk_is_new)
		tell_ready(r);
	list_jobs(r);
}

static void on_volume_changed(void *ctx)
{
	volume_records_changed(ctx);
}

void lifecycle_recover(struct lifecycle *l, void (*ready)(void *ctx), void *ctx)
{
	struct container **list = containers_list(l->g->containers);
	struct recovery *r = xcalloc(1, sizeof(*r));

	r->l = l;
	r->ready = ready;
	r->ctx = ctx;
	r->told = json_object();
	l->recovery = r;
	volumes_watch(l->g->volumes, on_volume_changed, l->g->cloud);
	for (size_t i = 0; list[i]; i++)
		take_up(l, list[i]);
	free(list);
	r->timer = timer_start(l->g->loop, 0, begin, r);
}

bool recovery_is_over(const struct lifecycle *l)
{
	return l->recovery && !l->recovery->ready && !l->recovery->jobs;
}

void recovery_end(struct lifecycle *l)
{
	struct recovery *r = l->recovery;

	if (!r)
		return;
	l->recovery = NULL;
	volumes_watch(l->g->volumes, NULL, NULL);
	cloud_cancel(r->listing);
	timer_cancel(&r->timer);
	for (size_t i = 0; i < ADOPT_AT_ONCE; i++)
		adopt_cancel(r->adopting[i].adoption);
	adopt_images_cancel(r->images);
	json_decref(r->jobs);
	json_decref(r->told);
	free(r);
}
