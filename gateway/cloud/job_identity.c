/* job_identity - see job_identity.h. */
#include "cloud/job_identity.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "cloud/job_record.h"
#include "cloud/run.h"
#include "gateway.h"
#include "state/container.h"
#include "state/network.h"
#include "state/volume.h"

#define SHORT_ID 12
#define ID_DIGITS (ID_HEX_MAX - 1)

/* ---- writing ---------------------------------------------------------------------------------------- */

/* The annotations' prefix of a member's record; caller frees. */
static char *member_prefix(const char *id)
{
	return xasprintf(JOB_RECORD_PREFIX "_%.*s", SHORT_ID, id);
}

static json_t *networks_of(struct gateway *g, const struct container *c)
{
	json_t *endpoints = network_endpoints(c), *list = json_array(), *v;
	const char *name;

	json_object_foreach(endpoints, name, v) {
		struct network *n = networks_find(g->networks, name, NULL);

		if (n && !n->predefined)
			json_array_append_new(list, network_record(n));
	}
	json_decref(endpoints);
	return list;
}

static json_t *volumes_of(struct gateway *g, const struct container *c)
{
	json_t *list = json_array(), *m;
	size_t i;

	json_array_foreach(c->mounts, i, m) {
		const char *name = json_string_value(json_object_get(m, "name"));
		struct volume *v = name ? volumes_find(g->volumes, name, NULL) : NULL;

		if (v)
			json_array_append_new(list, volume_record(v));
	}
	return list;
}

static void write_record(struct gateway *g, json_t *annotations, const char *prefix, const struct container *c, size_t budget)
{
	json_t *own = container_record(c), *record;
	struct err err = {0};

	/* Copies: what is cut off here stays in the container. */
	record = json_pack("{s:o, s:o, s:o}", "container", json_deep_copy(own), "networks", networks_of(g, c), "volumes",
			   volumes_of(g, c));
	json_decref(own);
	if (job_record_write(annotations, prefix, record, budget, &err) < 0)
		log_warn("a gateway without this disk would not know the container", "container=%.12s error=\"%s\"", c->id, err.msg);
	json_decref(record);
}

void job_identity_write(struct gateway *g, json_t *job, const struct container *c, struct container *const *members)
{
	json_t *annotations = json_object_get(job, "annotations");
	size_t n = 1, budget;

	for (size_t i = 0; members && members[i]; i++)
		n++;
	budget = JOB_RECORD_TOTAL_MAX / n;
	json_object_set_new(annotations, "sockerless_gateway", json_string(g->home_id));
	write_record(g, annotations, JOB_RECORD_PREFIX, c, budget);
	for (size_t i = 0; members && members[i]; i++) {
		AUTO_FREE char *prefix = member_prefix(members[i]->id);

		write_record(g, annotations, prefix, members[i], budget);
	}
}

/* ---- reading ---------------------------------------------------------------------------------------- */

static const char *get(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static bool is_hex(const char *s, size_t min, size_t max)
{
	size_t n = s ? strlen(s) : 0;

	return n >= min && n <= max && strspn(s, "0123456789abcdef") == n;
}

/* The same at every look: no more than 12 digits are known, and a container has 64. */
static void complete_id(char id[ID_HEX_MAX], const char *start, const char *job)
{
	uint8_t digest[SHA256_LEN];
	char rest[SHA256_HEX_MAX];

	sha256(job, strlen(job), digest);
	hex_encode(digest, sizeof(digest), rest);
	snprintf(id, ID_HEX_MAX, "%s%s", start, rest);
}

/* Its agent calls with the whole ID, which one generation of the predecessor's jobs has only in the environment. */
static const char *id_in_env(json_t *job, const char *start)
{
	json_t *task = json_object_get(json_object_get(job, "template"), "template");
	const char *id = run_container_env(json_array_get(json_object_get(task, "containers"), 0), "SOCKERLESS_CONTAINER_ID");

	return is_hex(id, ID_DIGITS, ID_DIGITS) && !strncmp(id, start, strlen(start)) ? id : NULL;
}

bool job_identity_read(json_t *job, struct job_identity *ret)
{
	json_t *labels = json_object_get(job, "labels"), *annotations = json_object_get(job, "annotations");
	const char *managed = get(labels, "sockerless_managed"), *by = get(labels, "managed-by");
	const char *name = get(job, "name"), *id = get(annotations, "sockerless_container_id");

	*ret = (struct job_identity){0};
	if (!name || get(job, "deleteTime") ||
	    !((managed && strcmp(managed, "true") == 0) || (by && strcmp(by, "sockerless") == 0)))
		return false;
	ret->job = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
	if (!id)
		id = get(labels, "sockerless_container_id");
	if (!id)
		id = get(labels, "sockerless-container-id");
	if (is_hex(id, ID_DIGITS, ID_DIGITS))
		snprintf(ret->id, sizeof(ret->id), "%s", id);
	else if (is_hex(id, SHORT_ID, ID_DIGITS) && id_in_env(job, id))
		snprintf(ret->id, sizeof(ret->id), "%s", id_in_env(job, id));
	else if (is_hex(id, SHORT_ID, ID_DIGITS))
		complete_id(ret->id, id, ret->job);
	else
		return false;
	ret->name = get(annotations, "sockerless_name");
	if (!ret->name)
		ret->name = get(labels, "sockerless_name");
	ret->instance = get(labels, "sockerless_instance");
	ret->gateway = get(annotations, "sockerless_gateway");
	ret->predecessors = !get(annotations, JOB_RECORD_PREFIX "_1") && !ret->gateway;
	return true;
}
