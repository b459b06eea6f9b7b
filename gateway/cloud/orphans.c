/* orphans - see orphans.h. */
#include "cloud/orphans.h"

#include <string.h>

#include "cloud/adopt.h"
#include "cloud/job_identity.h"
#include "cloud/lifecycle_ops.h"
#include "gateway.h"
#include "state/container.h"
#include "state/doc.h"

static const char *state_of(json_t *job)
{
	json_t *execution = json_object_get(job, "latestCreatedExecution");

	if (!json_object_get(execution, "name"))
		return "not run";
	return json_object_get(execution, "completionTime") ? "ended" : "running";
}

json_t *orphan_of(struct lifecycle *l, json_t *job)
{
	struct job_identity who;
	const char *why;
	bool ours;

	if (!job_identity_read(job, &who) || containers_by_id(l->g->containers, who.id))
		return NULL;
	why = adopt_objection(l, job, &who);
	ours = !who.instance || strcmp(who.instance, l->g->config->instance) == 0;
	return json_pack("{s:s, s:s, s:o, s:o, s:s, s:s, s:O?, s:b, s:s}", "job", who.job, "container", who.id, "name",
			 doc_text(who.name), "instance", doc_text(who.instance), "maker",
			 who.predecessors ? "predecessor" : "gateway", "state", state_of(job), "created",
			 json_object_get(job, "createTime"), "ours", ours, "why", why ? why : "no container here stands for it");
}
