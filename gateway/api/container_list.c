/* container_list - GET /containers/json: docker ps. */
#include <stdio.h>
#include <string.h>

#include "api/container_mounts.h"
#include "api/container_view.h"
#include "api/filters.h"
#include "api/format.h"
#include "api/handlers.h"
#include "api/network.h"
#include "api/port_filter.h"
#include "api/reply.h"
#include "api/version.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "state/container.h"
#include "state/health.h"
#include "state/image.h"
#include "state/network.h"

/* "Up 2 seconds (healthy)", "Exited (3) 4 seconds ago", "Created"; caller frees. */
static char *status_text(const struct container *c, int64_t now_ns)
{
	const char *health = health_status(c->health);
	char ago[FORMAT_DURATION_MAX];

	if (c->restarting && c->state != CONTAINER_REMOVING)
		return xasprintf("Restarting (%d) %s ago", c->exit_code, format_duration(now_ns - c->finished_ns, ago));
	switch (c->state) {
	case CONTAINER_RUNNING:
		format_duration(now_ns - c->started_ns, ago);
		if (c->paused)
			return xasprintf("Up %s (Paused)", ago);
		if (strcmp(health, "none") == 0)
			return xasprintf("Up %s", ago);
		return xasprintf("Up %s (%s%s)", ago, strcmp(health, "starting") == 0 ? "health: " : "", health);
	case CONTAINER_REMOVING:
		return xstrdup("Removal In Progress");
	default:
		if (!c->started_ns)
			return xstrdup("Created");
		return xasprintf("Exited (%d) %s ago", c->exit_code, format_duration(now_ns - c->finished_ns, ago));
	}
}

/* What the request asks for, read once. */
struct query {
	struct filters f;
	bool all, size, is_task;
	int64_t limit;
	struct container *before, *since; /* by position in the list */
};

static int check_values(const struct filters *f, struct err *err)
{
	static const char *const states[] = {"created", "dead", "exited", "paused", "removing", "restarting",
					     "running", NULL};
	static const char *const healths[] = {"healthy", "none", "starting", "unhealthy", NULL};
	json_t *v;
	const char *value;
	int64_t code;

	json_object_foreach(filters_values(f, "status"), value, v) {
		const char *const *s = states;

		while (*s && strcmp(*s, value) != 0)
			s++;
		if (!*s)
			return err_set(err, ERR_INVALID, "invalid filter 'status=%s'", value);
	}
	json_object_foreach(filters_values(f, "health"), value, v) {
		const char *const *s = healths;

		while (*s && strcmp(*s, value) != 0)
			s++;
		if (!*s)
			return err_set(err, ERR_INVALID, "Unrecognised filter value for health: %s", value);
	}
	json_object_foreach(filters_values(f, "exited"), value, v)
		if (parse_i64(value, &code) < 0)
			return err_set(err, ERR_INVALID, "strconv.Atoi: parsing \"%s\": invalid syntax", value);
	return port_filter_check(f, "expose", err) < 0 || port_filter_check(f, "publish", err) < 0 ? -1 : 0;
}

static int find_mark(struct request *r, const struct filters *f, const char *key, struct container **ret,
		     struct err *err)
{
	const char *ref = filters_first(f, key);

	*ret = ref ? containers_find(r->g->containers, ref, err) : NULL;
	return ref && !*ret ? -1 : 0;
}

static int read_query(struct request *r, struct query *q, struct err *err)
{
	static const char *const allowed[] = {"ancestor", "before", "exited", "expose", "health", "id", "is-task",
					      "isolation", "label", "name", "network", "publish", "since", "status",
					      "volume", NULL};
	AUTO_FREE char *text = request_query(r, "filters");

	*q = (struct query){.all = request_flag(r, "all"), .size = request_flag(r, "size")};
	if (filters_parse(&q->f, text, err) < 0 || filters_check(&q->f, allowed, err) < 0 ||
	    check_values(&q->f, err) < 0 || filters_bool(&q->f, "is-task", false, &q->is_task, err) < 0 || request_int(r, "limit", &q->limit, err) < 0 ||
	    find_mark(r, &q->f, "before", &q->before, err) < 0 || find_mark(r, &q->f, "since", &q->since, err) < 0)
		return -1;
	q->all = q->all || q->limit > 0 || filters_has(&q->f, "status");
	return 0;
}

/* ---- which --------------------------------------------------------------------------------------- */

static bool name_passes(const struct filters *f, const struct container *c)
{
	AUTO_FREE char *with_slash = xasprintf("/%s", c->name);

	return filters_regexp(f, "name", c->name) || filters_regexp(f, "name", with_slash);
}

static bool exit_passes(const struct filters *f, const struct container *c)
{
	char code[16];

	if (!filters_has(f, "exited"))
		return true;
	snprintf(code, sizeof(code), "%d", c->exit_code);
	return c->state == CONTAINER_EXITED && filters_exact(f, "exited", code);
}

static bool ancestor_passes(struct request *r, const struct filters *f, const struct container *c)
{
	json_t *refs = filters_values(f, "ancestor"), *v;
	const char *ref;

	if (!refs)
		return true;
	json_object_foreach(refs, ref, v) {
		struct image *i = images_find(r->g->images, ref, NULL);

		if (i && c->image_id && strcmp(i->id, c->image_id) == 0)
			return true;
	}
	return false;
}

static bool network_passes(struct request *r, const struct filters *f, const struct container *c)
{
	struct network **all;
	bool passes = false;

	if (!filters_has(f, "network"))
		return true;
	all = networks_list(r->g->networks);
	for (size_t i = 0; all[i] && !passes; i++)
		passes = (filters_exact(f, "network", all[i]->name) || filters_prefix(f, "network", all[i]->id)) &&
			 network_has(r->g->networks, all[i], c);
	free(all);
	return passes;
}

/* expose means the container's own ports, publish those of this machine; of a container that runs. */
static bool ports_pass(const struct filters *f, const struct container *c)
{
	json_t *own = container_is_running(c) ? c->ports : NULL, *outer = json_object(), *bindings, *b;
	const char *key;
	bool pass;
	size_t i;

	json_object_foreach(own, key, bindings)
		json_array_foreach(bindings, i, b) {
			AUTO_FREE char *port = xasprintf("%s%s", json_string_value(json_object_get(b, "HostPort")),
							 strchr(key, '/'));

			json_object_set_new(outer, port, json_null());
		}
	pass = port_filter_passes(f, "expose", own) && port_filter_passes(f, "publish", outer);
	json_decref(outer);
	return pass;
}

/* By name, or by where it is mounted. */
static bool volume_passes(const struct filters *f, const struct container *c)
{
	json_t *wanted = filters_values(f, "volume"), *m;
	size_t i;

	json_array_foreach(c->mounts, i, m) {
		const char *name = json_string_value(json_object_get(m, "name"));
		const char *target = json_string_value(json_object_get(m, "target"));

		if (json_object_get(wanted, target) || (name && json_object_get(wanted, name)))
			return true;
	}
	return !wanted;
}

static bool passes(struct request *r, const struct query *q, const struct container *c)
{
	const struct filters *f = &q->f;

	if (!q->all && !container_is_running(c))
		return false;
	return filters_regexp(f, "id", c->id) && name_passes(f, c) &&
	       filters_exact(f, "status", container_state_name(c)) && exit_passes(f, c) &&
	       filters_exact(f, "health", health_status(c->health)) && ancestor_passes(r, f, c) &&
	       network_passes(r, f, c) && filters_labels(f, "label", json_object_get(c->config, "Labels")) &&
	       ports_pass(f, c) && volume_passes(f, c) && !q->is_task;
}

/* ---- what is shown ------------------------------------------------------------------------------- */

/* The name the user gave, unless it has moved on to another image. */
static const char *image_shown(struct request *r, const struct container *c)
{
	struct image *i = images_find(r->g->images, c->image, NULL);

	return !i || !c->image_id || strcmp(i->id, c->image_id) == 0 ? c->image : c->image_id;
}

/* What the image has; what the container has written is not known. */
json_int_t container_root_size(struct request *r, const struct container *c)
{
	struct image *i = c->image_id ? images_find(r->g->images, c->image_id, NULL) : NULL;

	return i ? (json_int_t)i->size : 0;
}

/* The PORTS column: what is published, and what is only exposed. */
static json_t *ports_shown(const struct container *c)
{
	json_t *list = json_array(), *bindings, *b;
	const char *key;
	size_t i;

	if (!container_is_running(c))
		return list;
	json_object_foreach(c->ports, key, bindings) {
		int port = (int)strtol(key, NULL, 10);
		const char *type = strchr(key, '/') + 1;

		json_array_foreach(bindings, i, b)
			json_array_append_new(list, json_pack("{s:O, s:i, s:i, s:s}", "IP", json_object_get(b, "HostIp"),
					      "PrivatePort", port, "PublicPort",
					      (int)strtol(json_string_value(json_object_get(b, "HostPort")), NULL, 10), "Type", type));
		if (!json_array_size(bindings))
			json_array_append_new(list, json_pack("{s:i, s:s}", "PrivatePort", port, "Type", type));
	}
	return list;
}

json_t *container_row(struct request *r, const struct container *c, bool size)
{
	AUTO_FREE char *status = status_text(c, clock_wall_ns()), *name = xasprintf("/%s", c->name);
	AUTO_FREE char *command = format_command(json_object_get(c->config, "Entrypoint"),
						 json_object_get(c->config, "Cmd"));
	json_t *labels = json_object_get(c->config, "Labels");
	const char *mode = json_string_value(json_object_get(c->host_config, "NetworkMode"));
	json_t *o = json_pack("{s:s, s:[s], s:s, s:s, s:s, s:I, s:o, s:s, s:s, s:{s:s}, s:{s:o}, s:o}", "Id", c->id,
			      "Names", name, "Image", image_shown(r, c), "ImageID", c->image_id ? c->image_id : "",
			      "Command", command, "Created", (json_int_t)(c->created_ns / 1000000000), "Ports",
			      ports_shown(c), "State", container_state_name(c), "Status", status, "HostConfig",
			      "NetworkMode", mode ? mode : "default", "NetworkSettings", "Networks",
			      network_settings(r, c, true), "Mounts", container_mounts_shown(r->g, c, true));

	json_object_set_new(o, "Labels", json_is_object(labels) ? json_incref(labels) : json_object());
	if (size)
		json_object_set_new(o, "SizeRootFs", json_integer(container_root_size(r, c)));
	json_object_set_new(o, "Health", json_pack("{s:s, s:i}", "Status", health_status(c->health), "FailingStreak",
			    (int)json_integer_value(json_object_get(c->health, "FailingStreak"))));
	return version_trim(o, VERSION_CONTAINER_ROW, r->version);
}

static json_t *rows(struct request *r, const struct query *q)
{
	struct container **list = containers_list(r->g->containers);
	json_t *out = json_array();
	bool past_before = !q->before;

	for (size_t i = 0; list[i] && list[i] != q->since; i++) {
		if (past_before && passes(r, q, list[i]))
			json_array_append_new(out, container_row(r, list[i], q->size));
		past_before = past_before || list[i] == q->before;
		if (q->limit > 0 && (int64_t)json_array_size(out) == q->limit)
			break;
	}
	free(list);
	return out;
}

void container_list(struct request *r)
{
	struct query q;
	struct err err;
	json_t *out;

	if (read_query(r, &q, &err) < 0) {
		filters_release(&q.f);
		reply_err(r, &err);
		return;
	}
	out = rows(r, &q);
	filters_release(&q.f);
	reply_json(r, 200, out);
}
