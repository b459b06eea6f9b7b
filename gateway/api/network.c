/* network - GET /networks; see network.h. */
#include "api/network.h"

#include <stdio.h>
#include <string.h>

#include "api/filters.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "state/container.h"

static const struct {
	const char *name, *driver;
} predefined[] = {{"bridge", "bridge"}, {"host", "host"}, {"none", "null"}};
#define N_PREDEFINED (sizeof(predefined) / sizeof(predefined[0]))

bool network_is_predefined(const char *name)
{
	for (size_t i = 0; i < N_PREDEFINED; i++)
		if (strcmp(predefined[i].name, name) == 0)
			return true;
	return false;
}

void network_id(const struct gateway *g, const char *name, char out[ID_HEX_MAX])
{
	AUTO_FREE char *text = xasprintf("%s/network/%s", g->instance_id, name);
	uint8_t digest[SHA256_LEN];

	sha256(text, strlen(text), digest);
	hex_encode(digest, sizeof(digest), out);
}

const char *network_of(const struct container *c)
{
	const char *mode = json_string_value(json_object_get(c->host_config, "NetworkMode"));

	return mode && strcmp(mode, "none") == 0 ? "none" : "bridge";
}

json_t *network_endpoints(const struct gateway *g, const struct container *c)
{
	char id[ID_HEX_MAX];

	network_id(g, network_of(c), id);
	return json_pack("{s:{s:n, s:n, s:n, s:s, s:n, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:i, s:n}}", network_of(c),
			 "IPAMConfig", "Links", "Aliases", "MacAddress", "", "DriverOpts", "NetworkID", id,
			 "EndpointID", "", "Gateway", "", "IPAddress", "", "IPPrefixLen", 0,
			 "IPv6Gateway", "", "GlobalIPv6Address", "", "GlobalIPv6PrefixLen", 0, "DNSNames");
}

static json_t *network_json(const struct gateway *g, size_t i, bool with_containers)
{
	struct container **list = containers_list(g->containers);
	char id[ID_HEX_MAX], created[CLOCK_RFC3339_MAX];
	json_t *members = json_object();

	for (size_t k = 0; with_containers && list[k]; k++)
		if (container_is_running(list[k]) && strcmp(network_of(list[k]), predefined[i].name) == 0)
			json_object_set_new(members, list[k]->id, json_pack("{s:s, s:s, s:s, s:s, s:s}", "Name",
					    list[k]->name, "EndpointID", "", "MacAddress", "", "IPv4Address", "",
					    "IPv6Address", ""));
	free(list);
	network_id(g, predefined[i].name, id);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:{s:s, s:n, s:[]}, s:b, s:b, s:b, s:{s:s}, s:b, s:o, "
			 "s:{}, s:{}}",
			 "Name", predefined[i].name, "Id", id, "Created", clock_format(g->started_ns, 0, created),
			 "Scope", "local", "Driver", predefined[i].driver, "EnableIPv6", 0,
			 "IPAM", "Driver", "default", "Options", "Config", "Internal", 0, "Attachable", 0,
			 "Ingress", 0, "ConfigFrom", "Network", "", "ConfigOnly", 0, "Containers", members,
			 "Options", "Labels");
}

static bool listed(const struct gateway *g, const struct filters *f, size_t i)
{
	char id[ID_HEX_MAX];

	network_id(g, predefined[i].name, id);
	return filters_regexp(f, "name", predefined[i].name) && filters_prefix(f, "id", id) &&
	       filters_exact(f, "driver", predefined[i].driver) && filters_exact(f, "type", "builtin") &&
	       filters_exact(f, "scope", "local") && filters_labels(f, "label", NULL) &&
	       (!filters_has(f, "dangling") || !parse_docker_bool(filters_first(f, "dangling")));
}

void network_list(struct request *r)
{
	static const char *const allowed[] = {"dangling", "driver", "id", "label", "name", "scope", "type", NULL};
	AUTO_FREE char *text = request_query(r, "filters");
	struct filters f;
	struct err err;
	json_t *list;

	if (filters_parse(&f, text, &err) < 0 || filters_check(&f, allowed, &err) < 0) {
		filters_release(&f);
		reply_err(r, &err);
		return;
	}
	list = json_array();
	for (size_t i = 0; i < N_PREDEFINED; i++)
		if (listed(r->g, &f, i))
			json_array_append_new(list, network_json(r->g, i, false));
	filters_release(&f);
	reply_json(r, 200, list);
}

void network_get(struct request *r)
{
	size_t len = strlen(r->name);

	for (size_t i = 0; i < N_PREDEFINED; i++) {
		char id[ID_HEX_MAX];

		network_id(r->g, predefined[i].name, id);
		if (strcmp(r->name, predefined[i].name) == 0 || strncmp(r->name, id, len) == 0) {
			reply_json(r, 200, network_json(r->g, i, true));
			return;
		}
	}
	reply_error(r, ERR_NOT_FOUND, "network %s not found", r->name);
}
