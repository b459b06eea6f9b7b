/* container_network - see container_network.h. The record keeps one EndpointsConfig with all networks in it,
 * the one of NetworkMode included, so that nothing else has to look at two places. */
#include "api/container_network.h"

#include <stdbool.h>
#include <string.h>

#include "agents/port_spec.h"
#include "base/mem.h"
#include "state/container.h"

#define SHARED "container:"
#define SEVERAL_NETWORKS_SINCE 44

static const char *string_of(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static bool has_some(json_t *o, const char *key)
{
	json_t *v = json_object_get(o, key);

	return json_array_size(v) > 0 || json_object_size(v) > 0;
}

/* What only a network of one's own can have, with dockerd's sentences. */
static int check_shared(json_t *config, json_t *host, struct err *err)
{
	static const char conflict[] = "conflicting options: %s";

	if (strcmp(string_of(host, "NetworkMode"), SHARED) == 0)
		return err_set(err, ERR_INVALID, "Invalid network mode: invalid container format container:<name|id>");
	if (*string_of(config, "Hostname"))
		return err_set(err, ERR_INVALID, conflict, "hostname and the network mode");
	if (has_some(host, "Links"))
		return err_set(err, ERR_INVALID, conflict,
			       "container type network can't be used with links. This would result in undefined behavior");
	if (has_some(host, "Dns"))
		return err_set(err, ERR_INVALID, conflict, "dns and the network mode");
	if (has_some(host, "ExtraHosts"))
		return err_set(err, ERR_INVALID, conflict, "custom host-to-IP mapping and the network mode");
	if (*string_of(config, "MacAddress"))
		return err_set(err, ERR_INVALID, conflict, "mac-address and the network mode");
	if (has_some(host, "PortBindings") || json_is_true(json_object_get(host, "PublishAllPorts")))
		return err_set(err, ERR_INVALID, conflict, "port publishing and the container type network mode");
	return 0;
}

/* In place of the name; one that is not there (yet) is found, or missed, at the start. */
static void resolve_shared(struct containers *all, json_t *host)
{
	const char *ref = string_of(host, "NetworkMode") + strlen(SHARED);
	struct container *c = containers_find(all, ref, NULL);

	if (c)
		json_object_set_new(host, "NetworkMode", json_sprintf(SHARED "%s", c->id));
}

static int check_endpoints(json_t *endpoints, int version, struct err *err)
{
	AUTO_FREE char *names = NULL;
	const char *name;
	json_t *v;

	if (endpoints && !json_is_object(endpoints))
		return err_set(err, ERR_INVALID, "json: cannot unmarshal into Go struct field NetworkingConfig.EndpointsConfig "
			       "of type map[string]*network.EndpointSettings");
	json_object_foreach(endpoints, name, v) {
		char *more = xasprintf("%s%s%s", names ? names : "", names ? ", " : "", name);

		free(names);
		names = more;
		if (!json_is_object(v) && !json_is_null(v))
			return err_set(err, ERR_INVALID, "json: cannot unmarshal into Go struct field "
				       "NetworkingConfig.EndpointsConfig.%s of type network.EndpointSettings", name);
	}
	if (version < SEVERAL_NETWORKS_SINCE && json_object_size(endpoints) > 1)
		return err_set(err, ERR_INVALID, "Container cannot be connected to network endpoints: %s", names);
	return 0;
}

/* {name: settings} without nulls; "default" has its name. */
static json_t *endpoints_kept(json_t *given, const char *mode)
{
	json_t *kept = json_object(), *v;
	const char *name;

	json_object_foreach(given, name, v) {
		const char *key = strcmp(name, "default") == 0 ? "bridge" : name;

		if (json_is_object(v))
			json_object_set(kept, key, v);
		else
			json_object_set_new(kept, key, json_object());
	}
	if (json_object_size(kept) == 0)
		json_object_set_new(kept, !*mode || strcmp(mode, "default") == 0 ? "bridge" : mode, json_object());
	return kept;
}

static void warn_addresses(json_t *endpoints, json_t *warnings)
{
	const char *name;
	json_t *v;

	json_object_foreach(endpoints, name, v) {
		json_t *ipam = json_object_get(v, "IPAMConfig");

		if (*string_of(ipam, "IPv4Address") || *string_of(ipam, "IPv6Address"))
			json_array_append_new(warnings, json_sprintf("The address wished for in network %s is recorded, but a "
					      "container on Cloud Run does not get it.", name));
		if (*string_of(v, "MacAddress"))
			json_array_append_new(warnings, json_sprintf("The MAC address wished for in network %s has no effect: "
					      "containers on Cloud Run have no network interface of their own.", name));
	}
}

static int check_ports(json_t *config, json_t *host, json_t *warnings, struct err *err)
{
	struct port_wishes w;

	if (port_wishes_read(config, host, &w, err) < 0)
		return -1;
	for (size_t i = 0; i < w.n; i++)
		if (w.v[i].publish && !w.v[i].tcp)
			json_array_append_new(warnings, json_sprintf("Port %s is not published: the way to a container on Cloud "
					      "Run carries TCP only.", w.v[i].key));
	port_wishes_release(&w);
	return 0;
}

int container_network(struct containers *all, json_t *config, json_t *host, json_t *networking, int version,
		      json_t *warnings, json_t **ret_networking, struct err *err)
{
	json_t *endpoints = json_object_get(networking, "EndpointsConfig"), *kept;
	const char *mode = string_of(host, "NetworkMode");

	if (json_is_null(endpoints))
		endpoints = NULL;
	if (check_endpoints(endpoints, version, err) < 0 || check_ports(config, host, warnings, err) < 0)
		return -1;
	if (strncmp(mode, SHARED, strlen(SHARED)) == 0) {
		if (check_shared(config, host, err) < 0)
			return -1;
		resolve_shared(all, host);
		*ret_networking = json_pack("{s:{}}", "EndpointsConfig");
		return 0;
	}
	if (strcmp(mode, "host") == 0)
		json_array_append_new(warnings, json_string("Network mode host gives the network of the container's Cloud Run "
				      "instance, not of this machine."));
	kept = endpoints_kept(endpoints, mode);
	warn_addresses(kept, warnings);
	*ret_networking = json_pack("{s:o}", "EndpointsConfig", kept);
	return 0;
}
