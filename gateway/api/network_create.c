/* network_create - POST /networks/create: check and record. IPAM is kept as it was given, for those who
 * ask for it; nothing assigns addresses from it. */
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "api/fields.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "base/mem.h"
#include "base/parse.h"
#include "state/network.h"

#define DUPLICATES_REFUSED_SINCE 44 /* before, CheckDuplicate had to ask for it */

static const struct field network_fields[] = {
	{"Name", FIELD_STRING}, {"CheckDuplicate", FIELD_BOOL}, {"Driver", FIELD_STRING}, {"Scope", FIELD_STRING},
	{"EnableIPv4", FIELD_BOOL}, {"EnableIPv6", FIELD_BOOL}, {"IPAM", FIELD_OBJECT}, {"Internal", FIELD_BOOL},
	{"Attachable", FIELD_BOOL}, {"Ingress", FIELD_BOOL}, {"ConfigOnly", FIELD_BOOL}, {"ConfigFrom", FIELD_OBJECT},
	{"Options", FIELD_MAP}, {"Labels", FIELD_MAP}, {NULL, 0},
};
static const struct field ipam_fields[] = {
	{"Driver", FIELD_STRING}, {"Options", FIELD_MAP}, {"Config", FIELD_LIST}, {NULL, 0},
};
static const struct field ipam_config_fields[] = {
	{"Subnet", FIELD_STRING}, {"IPRange", FIELD_STRING}, {"Gateway", FIELD_STRING},
	{"AuxiliaryAddresses", FIELD_MAP}, {NULL, 0},
};
static const struct field config_from_fields[] = {{"Network", FIELD_STRING}, {NULL, 0}};

static const char *string_of(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* "10.0.0.0/8" or "fd00::/8". */
static bool is_cidr(const char *s)
{
	size_t n = strcspn(s, "/");
	AUTO_FREE char *address = xstrndup(s, n);
	struct in6_addr any;
	int64_t bits;

	if (!s[n] || !isdigit((unsigned char)s[n + 1]) || parse_i64(s + n + 1, &bits) < 0)
		return false;
	return (inet_pton(AF_INET, address, &any) == 1 && bits <= 32) ||
	       (inet_pton(AF_INET6, address, &any) == 1 && bits <= 128);
}

static bool is_address(const char *s)
{
	struct in6_addr any;

	return inet_pton(AF_INET, s, &any) == 1 || inet_pton(AF_INET6, s, &any) == 1;
}

static int check_pool(json_t *pool, struct err *err)
{
	const char *subnet, *range, *gateway;

	if (!json_is_object(pool))
		return err_set(err, ERR_INVALID, "json: cannot unmarshal into Go struct field IPAM.Config of type "
			       "network.IPAMConfig");
	if (fields_check(pool, "IPAMConfig", ipam_config_fields, err) < 0)
		return -1;
	subnet = string_of(pool, "Subnet");
	range = string_of(pool, "IPRange");
	gateway = string_of(pool, "Gateway");
	if (*subnet && !is_cidr(subnet))
		return err_set(err, ERR_INVALID, "invalid network config:\ninvalid subnet %s: invalid CIDR block notation",
			       subnet);
	if (*range && !is_cidr(range))
		return err_set(err, ERR_INVALID, "invalid network config:\ninvalid ip-range %s: invalid CIDR block notation",
			       range);
	if (*gateway && !is_address(gateway))
		return err_set(err, ERR_INVALID, "invalid network config:\ninvalid gateway %s: invalid address", gateway);
	return 0;
}

/* In place; absent members get dockerd's defaults. */
static int check_ipam(json_t *ipam, struct err *err)
{
	const char *driver;
	json_t *pool;
	size_t i;

	if (fields_check(ipam, "IPAM", ipam_fields, err) < 0)
		return -1;
	driver = string_of(ipam, "Driver");
	if (*driver && strcmp(driver, "default") != 0 && strcmp(driver, "null") != 0)
		return err_set(err, ERR_NOT_FOUND, "plugin \"%s\" not found", driver);
	json_array_foreach(json_object_get(ipam, "Config"), i, pool)
		if (check_pool(pool, err) < 0)
			return -1;
	if (!*driver)
		json_object_set_new(ipam, "Driver", json_string("default"));
	if (!json_object_get(ipam, "Options"))
		json_object_set_new(ipam, "Options", json_null());
	if (!json_is_array(json_object_get(ipam, "Config")))
		json_object_set_new(ipam, "Config", json_array());
	return 0;
}

static int check_driver(const char *driver, struct err *err)
{
	static const char *const unique[] = {"host", "null"};
	static const char *const on_the_wire[] = {"macvlan", "ipvlan"};

	for (size_t i = 0; i < 2; i++) {
		if (strcmp(driver, unique[i]) == 0)
			return err_set(err, ERR_FORBIDDEN, "only one instance of \"%s\" network is allowed", driver);
		if (strcmp(driver, on_the_wire[i]) == 0)
			return err_set(err, ERR_INVALID, "a %s network is not available: containers on Cloud Run have no "
				       "interface in this machine's networks", driver);
	}
	if (strcmp(driver, "overlay") == 0)
		return err_set(err, ERR_UNAVAILABLE, "This node is not a swarm manager. Use \"docker swarm init\" or "
			       "\"docker swarm join\" to connect this node to swarm and try again.");
	if (*driver && strcmp(driver, "bridge") != 0)
		return err_set(err, ERR_NOT_FOUND, "plugin \"%s\" not found", driver);
	return 0;
}

static int check(struct request *r, json_t *body, struct err *err)
{
	const char *name, *scope;
	struct network *same;

	if (fields_check(body, "NetworkCreateRequest", network_fields, err) < 0)
		return -1;
	name = string_of(body, "Name");
	scope = string_of(body, "Scope");
	if (!name[strspn(name, " \t\r\n")])
		return err_set(err, ERR_INVALID, "invalid name: %s", name);
	same = networks_find(r->g->networks, name, NULL);
	if (same && same->predefined && strcmp(same->name, name) == 0)
		return err_set(err, ERR_FORBIDDEN, "operation is not permitted on predefined %s network ", name);
	if (strcmp(scope, "swarm") == 0 || json_is_true(json_object_get(body, "Ingress")))
		return err_set(err, ERR_FORBIDDEN, "cannot create a swarm scoped network when swarm is not active");
	return check_driver(string_of(body, "Driver"), err);
}

/* The member as a new reference, or what stands for an absent one (stolen). */
static json_t *member(json_t *body, const char *key, json_t *otherwise)
{
	json_t *v = json_object_get(body, key);

	if (!v || json_is_null(v))
		return otherwise;
	json_decref(otherwise);
	return json_incref(v);
}

static void create(struct request *r, json_t *body)
{
	struct network_new spec = {0};
	struct network *n, *other;
	AUTO_FREE char *warning = NULL;
	struct err err;

	if (check(r, body, &err) < 0) {
		reply_err(r, &err);
		return;
	}
	spec.ipam = member(body, "IPAM", json_object());
	spec.config_from = member(body, "ConfigFrom", json_pack("{s:s}", "Network", ""));
	if (check_ipam(spec.ipam, &err) < 0 ||
	    fields_check(spec.config_from, "ConfigReference", config_from_fields, &err) < 0) {
		json_decref(spec.ipam);
		json_decref(spec.config_from);
		reply_err(r, &err);
		return;
	}
	spec.name = string_of(body, "Name");
	spec.driver = "bridge";
	spec.options = member(body, "Options", json_object());
	spec.labels = member(body, "Labels", json_object());
	spec.internal = json_is_true(json_object_get(body, "Internal"));
	spec.attachable = json_is_true(json_object_get(body, "Attachable"));
	spec.ipv6 = json_is_true(json_object_get(body, "EnableIPv6"));
	spec.no_ipv4 = json_is_false(json_object_get(body, "EnableIPv4"));
	spec.config_only = json_is_true(json_object_get(body, "ConfigOnly"));
	spec.may_repeat = r->version < DUPLICATES_REFUSED_SINCE && !json_is_true(json_object_get(body, "CheckDuplicate"));
	n = networks_add(r->g->networks, &spec, &other, &err);
	if (!n) {
		reply_err(r, &err);
		return;
	}
	warning = other ? xasprintf("Network with name %s (id : %s) already exists", n->name, other->id) : xstrdup("");
	reply_json(r, 201, json_pack("{s:s, s:o}", "Id", n->id, "Warning", reply_string(warning)));
}

void network_create(struct request *r)
{
	request_json(r, false, create);
}
