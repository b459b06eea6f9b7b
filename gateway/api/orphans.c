/* orphans - what sockerlessctl orphans asks: the jobs that belong to no container here; remove one, adopt one.
 * Each is looked at once more before anything is done to it. */
#include "cloud/orphans.h"

#include <string.h>

#include "api/handlers.h"
#include "api/reply.h"
#include "base/mem.h"
#include "cloud/adopt.h"
#include "cloud/run.h"

struct orphan_request {
	struct cloud_call *call;
	struct adoption *adoption;
	bool adopt;
};

static void release(struct request *r)
{
	struct orphan_request *o = r->state;

	cloud_cancel(o->call);
	adopt_cancel(o->adoption);
	free(o);
}

static struct orphan_request *begin(struct request *r)
{
	r->state = xcalloc(1, sizeof(struct orphan_request));
	r->release = release;
	return r->state;
}

static void on_jobs(void *ctx, json_t *json, const struct err *err)
{
	struct request *r = ctx;
	struct orphan_request *o = r->state;
	json_t *list = json_array(), *job;
	size_t i;

	o->call = NULL;
	if (err) {
		json_decref(list);
		reply_err(r, err);
		return;
	}
	json_array_foreach(json_object_get(json, "jobs"), i, job) {
		json_t *orphan = orphan_of(r->g->lifecycle, job);

		if (orphan)
			json_array_append_new(list, orphan);
	}
	reply_json(r, 200, list);
}

void orphan_list(struct request *r)
{
	struct orphan_request *o = begin(r);

	o->call = run_list_jobs(r->g->cloud, on_jobs, r);
}

/* ---- one ---------------------------------------------------------------------------------------------- */

static void on_deleted(void *ctx, json_t *json, const struct err *err)
{
	struct request *r = ctx;
	struct orphan_request *o = r->state;

	o->call = NULL;
	if (err && err->kind != ERR_NOT_FOUND)
		reply_err(r, err);
	else
		reply_empty(r, 204);
}

static void on_adopted(void *ctx, const struct err *err)
{
	struct request *r = ctx;
	struct orphan_request *o = r->state;

	o->adoption = NULL;
	if (err)
		reply_err(r, err);
	else
		reply_empty(r, 204);
}

static void on_job(void *ctx, json_t *job, const struct err *err)
{
	struct request *r = ctx;
	struct orphan_request *o = r->state;
	json_t *orphan = err ? NULL : orphan_of(r->g->lifecycle, job);

	o->call = NULL;
	if (err)
		reply_err(r, err);
	else if (!orphan)
		reply_error(r, ERR_CONFLICT, "the job %s is no orphan: a container here stands for it, or no gateway made it", r->name);
	else if (o->adopt)
		o->adoption = adopt_begin(r->g->lifecycle, job, on_adopted, r);
	else if (!json_is_true(json_object_get(orphan, "ours")) && !request_flag(r, "force"))
		reply_error(r, ERR_CONFLICT, "the job %s belongs to the instance %s: removing it needs force", r->name,
			    json_string_value(json_object_get(orphan, "instance")));
	else
		o->call = run_delete_job(r->g->cloud, r->name, on_deleted, r);
	json_decref(orphan);
}

/* The name becomes part of an address: nothing but a job's name may. */
static void look_at(struct request *r, bool adopt)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	struct orphan_request *o;

	if (!*r->name || strspn(r->name, allowed) != strlen(r->name)) {
		reply_error(r, ERR_INVALID, "\"%s\" is no name of a job", r->name);
		return;
	}
	o = begin(r);
	o->adopt = adopt;
	o->call = run_get_job(r->g->cloud, r->name, on_job, r);
}

void orphan_remove(struct request *r)
{
	look_at(r, false);
}

void orphan_adopt(struct request *r)
{
	look_at(r, true);
}
