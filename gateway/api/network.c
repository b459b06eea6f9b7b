/* network - GET, DELETE, prune, connect and disconnect of /networks; see network.h. */
#include "api/network.h"

#include <string.h>

#include "api/fields.h"
#include "api/filters.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "api/version.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "state/container.h"
#include "state/events.h"
#include "state/network.h"

#define SHORT_ID 12
#define MEMBERS_LISTED_UNTIL 28 /* since then only inspect has them */
#define ALIASES_AS_GIVEN_SINCE 45

/* ---- a container's side ----------------------------------------------------------------------------- */

static json_t *or_null(json_t *object, const char *key)
{
	json_t *v = json_object_get(object, key);

	return v ? json_deep_copy(v) : json_null();
}

/* Under which names others would find it, were there a way to reach it: its name, the aliases, the short ID. */
static json_t *names(const struct container *c, json_t *settings, bool own_name, bool short_id)
{
	json_t *list = own_name ? json_pack("[o]", reply_string(c->name)) : json_array(), *v;
	size_t i;

	json_array_foreach(json_object_get(settings, "Aliases"), i, v)
		if (json_is_string(v) && strncmp(json_string_value(v), c->id, SHORT_ID) != 0)
			json_array_append(list, v);
	if (short_id)
		json_array_append_new(list, json_stringn(c->id, SHORT_ID));
	return list;
}

/* Before 1.45 the short ID was among them, from the first start or from docker network connect on. */
static json_t *aliases(const struct request *r, const struct container *c, json_t *settings, bool begun)
{
	bool old = r->version < ALIASES_AS_GIVEN_SINCE;
	json_t *given = json_object_get(settings, "Aliases"), *list, *v;
	size_t i;

	json_array_foreach(given, i, v)
		begun = begun || (json_is_string(v) && strncmp(json_string_value(v), c->id, SHORT_ID) == 0);
	list = names(c, settings, false, old && begun);
	if (json_array_size(list) > 0 || json_is_array(given))
		return list;
	json_decref(list);
	return json_null();
}

static json_t *endpoint(const struct request *r, const struct container *c, const struct network *n, json_t *settings,
			bool brief)
{
	bool begun = c->started_ns != 0, named = begun && n && !n->predefined && !brief;
	char endpoint_id[ID_HEX_MAX] = "";
	json_t *o;

	if (n)
		network_endpoint_id(n, c, endpoint_id);
	o = json_pack("{s:o, s:o, s:o, s:s, s:o, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:i}", "IPAMConfig",
		      brief ? json_null() : or_null(settings, "IPAMConfig"), "Links",
		      brief ? json_null() : or_null(settings, "Links"), "Aliases",
		      brief ? json_null() : aliases(r, c, settings, named),
		      "MacAddress", "", "DriverOpts", brief ? json_null() : or_null(settings, "DriverOpts"),
		      "NetworkID", n && begun ? n->id : "", "EndpointID", endpoint_id, "Gateway", "", "IPAddress", "",
		      "IPPrefixLen", 0, "IPv6Gateway", "", "GlobalIPv6Address", "", "GlobalIPv6PrefixLen", 0);
	json_object_set_new(o, "DNSNames", named && *endpoint_id ? names(c, settings, true, true) : json_null());
	json_object_set_new(o, "GwPriority", json_integer(json_integer_value(json_object_get(settings, "GwPriority"))));
	return o;
}

json_t *network_settings(const struct request *r, const struct container *c, bool brief)
{
	json_t *endpoints = network_endpoints(c), *map = json_object(), *settings;
	const char *key;

	json_object_foreach(endpoints, key, settings) {
		struct network *n = networks_find(r->g->networks, key, NULL);

		json_object_set_new(map, n ? n->name : key, endpoint(r, c, n, settings, brief));
	}
	json_decref(endpoints);
	return map;
}

/* ---- GET -------------------------------------------------------------------------------------------- */

static json_t *members(const struct request *r, const struct network *n)
{
	struct container **list = containers_list(r->g->containers);
	json_t *map = json_object();

	for (size_t i = 0; list[i]; i++) {
		char id[ID_HEX_MAX];

		if (!container_is_running(list[i]) || !network_has(r->g->networks, n, list[i]))
			continue;
		network_endpoint_id(n, list[i], id);
		json_object_set_new(map, list[i]->id, json_pack("{s:s, s:s, s:s, s:s, s:s}", "Name", list[i]->name,
				    "EndpointID", id, "MacAddress", "", "IPv4Address", "", "IPv6Address", ""));
	}
	free(list);
	return map;
}

static json_t *network_json(const struct request *r, const struct network *n, bool with_containers)
{
	char created[CLOCK_RFC3339_MAX];
	json_t *o = json_pack("{s:o, s:s, s:s, s:s, s:s, s:b, s:b, s:o, s:b, s:b, s:b, s:o, s:b, s:o, s:o, s:o}",
			      "Name", reply_string(n->name), "Id", n->id, "Created",
			      clock_format(n->created_ns, 0, created), "Scope", "local", "Driver", n->driver,
			      "EnableIPv4", !n->no_ipv4, "EnableIPv6", n->ipv6, "IPAM", json_deep_copy(n->ipam),
			      "Internal", n->internal, "Attachable", n->attachable, "Ingress", 0, "ConfigFrom",
			      json_deep_copy(n->config_from), "ConfigOnly", n->config_only, "Containers",
			      with_containers || r->version < 28 ? members(r, n) : json_object(), "Options", json_deep_copy(n->options),
			      "Labels", json_deep_copy(n->labels));

	if (!with_containers && r->version >= 52) /* the list lost them, the single network did not */
		json_object_del(o, "Containers");
	return version_trim(o, VERSION_NETWORK, r->version);
}

static int check_filters(const struct filters *f, struct err *err)
{
	static const char *const allowed[] = {"dangling", "driver", "id", "label", "name", "scope", "type", NULL};
	static const char *const truths[] = {"true", "1", "false", "0", NULL};
	const char *const *t = truths;
	const char *type;
	json_t *v;

	if (filters_check(f, allowed, err) < 0)
		return -1;
	json_object_foreach(filters_values(f, "type"), type, v)
		if (strcmp(type, "custom") != 0 && strcmp(type, "builtin") != 0)
			return err_set(err, ERR_INVALID, "invalid filter: 'type'='%s'", type);
	if (!filters_has(f, "dangling"))
		return 0;
	if (json_object_size(filters_values(f, "dangling")) > 1)
		return err_set(err, ERR_INVALID, "got more than one value for filter key \"dangling\"");
	while (*t && strcmp(*t, filters_first(f, "dangling")) != 0)
		t++;
	return *t ? 0 : err_set(err, ERR_INVALID, "invalid value for filter 'dangling', must be \"true\" (or \"1\"), "
				"or \"false\" (or \"0\")");
}

/* As in dockerd: nothing that runs is connected, and somebody made it. */
static bool is_dangling(const struct request *r, const struct network *n)
{
	return !n->predefined && !network_in_use(r->g->networks, n);
}

static bool listed(const struct request *r, const struct filters *f, const struct network *n)
{
	return filters_regexp(f, "name", n->name) && filters_regexp(f, "id", n->id) &&
	       filters_exact(f, "driver", n->driver) &&
	       filters_exact(f, "type", n->predefined ? "builtin" : "custom") && filters_exact(f, "scope", "local") &&
	       filters_labels(f, "label", n->labels) &&
	       (!filters_has(f, "dangling") || parse_docker_bool(filters_first(f, "dangling")) == is_dangling(r, n));
}

void network_list(struct request *r)
{
	AUTO_FREE char *text = request_query(r, "filters");
	struct network **all;
	struct filters f;
	struct err err;
	json_t *list;

	if (filters_parse(&f, text, &err) < 0 || check_filters(&f, &err) < 0) {
		filters_release(&f);
		reply_err(r, &err);
		return;
	}
	list = json_array();
	all = networks_list(r->g->networks);
	for (size_t i = 0; all[i]; i++)
		if (listed(r, &f, all[i]))
			json_array_append_new(list, network_json(r, all[i], r->version < MEMBERS_LISTED_UNTIL));
	free(all);
	filters_release(&f);
	reply_json(r, 200, list);
}

/* The network the path names, or NULL after an answer. */
static struct network *named(struct request *r)
{
	struct err err;
	struct network *n = networks_find(r->g->networks, r->name, &err);

	if (!n)
		reply_err(r, &err);
	return n;
}

/* Go's strconv.ParseBool, which this parameter alone is read with. */
static bool is_go_bool(const char *s)
{
	static const char *const words[] = {"1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE",
					    "False"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i], s) == 0)
			return true;
	return false;
}

void network_get(struct request *r)
{
	AUTO_FREE char *scope = request_query(r, "scope");
	AUTO_FREE char *verbose = request_query(r, "verbose");
	struct network *n;

	if (verbose && *verbose && !is_go_bool(verbose)) {
		reply_error(r, ERR_INVALID, "invalid value for verbose: %s: strconv.ParseBool: parsing \"%s\": invalid syntax",
			    verbose, verbose);
		return;
	}
	if (scope && *scope && strcmp(scope, "local") != 0) {
		reply_error(r, ERR_NOT_FOUND, "network %s not found", r->name);
		return;
	}
	n = named(r);
	if (n)
		reply_json(r, 200, network_json(r, n, true));
}

/* ---- remove, prune ------------------------------------------------------------------------------------ */

void network_delete(struct request *r)
{
	struct network *n = named(r);
	struct err err;

	if (!n)
		return;
	if (network_remove(r->g->networks, n, &err) < 0)
		reply_err(r, &err);
	else
		reply_empty(r, 204);
}

void network_prune(struct request *r)
{
	static const char *const allowed[] = {"label", "label!", "until", NULL};
	AUTO_FREE char *text = request_query(r, "filters");
	struct network **all;
	int64_t until_ns;
	struct filters f;
	struct err err;
	json_t *gone;

	if (filters_parse(&f, text, &err) < 0 || filters_check(&f, allowed, &err) < 0 ||
	    filters_until(&f, clock_wall_ns(), &until_ns, &err) < 0) {
		filters_release(&f);
		reply_err(r, &err);
		return;
	}
	gone = json_array();
	all = networks_list(r->g->networks);
	for (size_t i = 0; all[i]; i++) {
		json_t *name = reply_string(all[i]->name);

		if (all[i]->created_ns < until_ns && filters_labels(&f, "label", all[i]->labels) &&
		    !(filters_has(&f, "label!") && filters_labels(&f, "label!", all[i]->labels)) &&
		    network_remove(r->g->networks, all[i], NULL) == 0)
			json_array_append(gone, name);
		json_decref(name);
	}
	free(all);
	filters_release(&f);
	events_emit(r->g->events, "network", "prune", "", json_pack("{s:s}", "reclaimed", "0"));
	reply_json(r, 200, json_pack("{s:o}", "NetworksDeleted", json_array_size(gone) ? json_incref(gone) : json_null()));
	json_decref(gone);
}

/* ---- connect, disconnect --------------------------------------------------------------------------------- */

static const struct field connect_fields[] = {
	{"Container", FIELD_STRING}, {"EndpointConfig", FIELD_OBJECT}, {"Force", FIELD_BOOL}, {NULL, 0},
};

static struct container *container_in(struct request *r, json_t *body, const char *type, struct err *err)
{
	const char *ref;

	if (fields_check(body, type, connect_fields, err) < 0)
		return NULL;
	ref = json_string_value(json_object_get(body, "Container"));
	if (!ref || !*ref) {
		err_set(err, ERR_INVALID, "invalid name or ID supplied: \"\"");
		return NULL;
	}
	return containers_find(r->g->containers, ref, err);
}

static void connect_container(struct request *r, json_t *body)
{
	struct err err;
	struct container *c = container_in(r, body, "NetworkConnect", &err);
	struct network *n = c ? networks_find(r->g->networks, r->name, &err) : NULL;
	json_t *settings = json_object_get(body, "EndpointConfig");

	if (!n || network_connect(r->g->networks, n, c, json_is_object(settings) ? settings : NULL, &err) < 0)
		reply_err(r, &err);
	else
		reply_empty(r, 200);
}

void network_connect_to(struct request *r)
{
	request_json(r, false, connect_container);
}

static void disconnect_container(struct request *r, json_t *body)
{
	struct err err;
	struct container *c = container_in(r, body, "NetworkDisconnect", &err);
	struct network *n = c ? networks_find(r->g->networks, r->name, &err) : NULL;

	if (!n || network_disconnect(r->g->networks, n, c, &err) < 0)
		reply_err(r, &err);
	else
		reply_empty(r, 200);
}

void network_disconnect_from(struct request *r)
{
	request_json(r, false, disconnect_container);
}
