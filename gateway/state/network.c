/* network - a hash by ID; names are few and looked for one by one. The predefined three are made anew at
 * every start, with IDs that follow from the gateway's, so that a client's memory of them stays true. */
#include "state/network.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gateway.h"
#include "state/container.h"
#include "state/doc.h"
#include "state/events.h"
#include "state/store.h"

#define KIND "network"
#define SHARED "container:"
#define SHORT_ID 12
#define HOST_STAYS "container cannot be disconnected from host network or connected to host network"

struct networks {
	struct gateway *g;
	struct network *by_id; /* ours */
};

static void network_free(struct network *n)
{
	free(n->name);
	free(n->driver);
	json_decref(n->ipam);
	json_decref(n->options);
	json_decref(n->labels);
	json_decref(n->config_from);
	free(n);
}

static void table_add(struct networks *t, struct network *n)
{
	HASH_ADD_KEYPTR(hh, t->by_id, n->id, strlen(n->id), n);
}

/* ---- stored form -------------------------------------------------------------------------------- */

static json_t *to_doc(const struct network *n)
{
	return json_pack("{s:o, s:o, s:O, s:O, s:O, s:O, s:b, s:b, s:b, s:b, s:b, s:I}", "name", doc_text(n->name),
			 "driver", doc_text(n->driver), "ipam", n->ipam, "options", n->options, "labels",
			 n->labels, "configFrom", n->config_from, "internal", n->internal, "attachable",
			 n->attachable, "ipv6", n->ipv6, "noIPv4", n->no_ipv4, "configOnly", n->config_only,
			 "created", (json_int_t)n->created_ns);
}

static struct network *from_doc(const char *id, const json_t *d)
{
	struct network *n = xcalloc(1, sizeof(*n));

	snprintf(n->id, sizeof(n->id), "%s", id);
	n->name = xstrdup(doc_str(d, "name") ? doc_str(d, "name") : id);
	n->driver = xstrdup(doc_str(d, "driver") ? doc_str(d, "driver") : "bridge");
	n->ipam = doc_object(d, "ipam");
	n->options = doc_object(d, "options");
	n->labels = doc_object(d, "labels");
	n->config_from = doc_object(d, "configFrom");
	n->internal = doc_bool(d, "internal");
	n->attachable = doc_bool(d, "attachable");
	n->ipv6 = doc_bool(d, "ipv6");
	n->no_ipv4 = doc_bool(d, "noIPv4");
	n->config_only = doc_bool(d, "configOnly");
	n->created_ns = doc_int(d, "created");
	return n;
}

static int save(struct networks *t, struct network *n, struct err *err)
{
	if (doc_save(t->g->store, KIND, n->id, to_doc(n), &n->version, err) < 0)
		return err_wrap(err, "network %s", n->name);
	return 0;
}

static int load_one(void *ctx, const char *key, json_t *d, uint64_t version, struct err *err)
{
	struct network *n = from_doc(key, d);

	n->version = version;
	table_add(ctx, n);
	return 0;
}

static void predefine(struct networks *t, const char *name, const char *driver)
{
	AUTO_FREE char *text = xasprintf("%s/network/%s", t->g->instance_id, name);
	struct network *n = xcalloc(1, sizeof(*n));
	uint8_t digest[SHA256_LEN];

	sha256(text, strlen(text), digest);
	hex_encode(digest, sizeof(digest), n->id);
	n->name = xstrdup(name);
	n->driver = xstrdup(driver);
	n->ipam = json_pack("{s:s, s:n, s:[]}", "Driver", "default", "Options", "Config");
	n->options = json_object();
	n->labels = json_object();
	n->config_from = json_pack("{s:s}", "Network", "");
	n->predefined = true;
	n->created_ns = t->g->started_ns;
	table_add(t, n);
}

/* ---- the table ---------------------------------------------------------------------------------- */

struct networks *networks_new(struct gateway *g, struct err *err)
{
	struct networks *t = xcalloc(1, sizeof(*t));

	t->g = g;
	predefine(t, "bridge", "bridge");
	predefine(t, "host", "host");
	predefine(t, "none", "null");
	if (doc_load_all(g->store, KIND, load_one, t, err) == 0)
		return t;
	networks_free(t);
	return NULL;
}

void networks_free(struct networks *t)
{
	struct network *n, *tmp;

	if (!t)
		return;
	HASH_ITER(hh, t->by_id, n, tmp) {
		HASH_DEL(t->by_id, n);
		network_free(n);
	}
	free(t);
}

static size_t count_named(struct networks *t, const char *name, struct network **ret)
{
	struct network *n, *tmp;
	size_t found = 0;

	HASH_ITER(hh, t->by_id, n, tmp)
		if (strcmp(n->name, name) == 0) {
			found++;
			*ret = n;
		}
	return found;
}

static size_t count_prefixed(struct networks *t, const char *prefix, struct network **ret)
{
	struct network *n, *tmp;
	size_t found = 0;

	HASH_ITER(hh, t->by_id, n, tmp)
		if (strncmp(n->id, prefix, strlen(prefix)) == 0) {
			found++;
			*ret = n;
		}
	return found;
}

struct network *networks_find(struct networks *t, const char *ref, struct err *err)
{
	const char *by = "name";
	struct network *n;
	size_t found;

	HASH_FIND_STR(t->by_id, ref, n);
	if (n)
		return n;
	found = count_named(t, ref, &n);
	if (!found && *ref) {
		by = "ID prefix";
		found = count_prefixed(t, ref, &n);
	}
	if (found == 1)
		return n;
	if (found)
		err_set(err, ERR_INVALID, "%zu matches found based on %s: network %s is ambiguous", found, by, ref);
	else
		err_set(err, ERR_NOT_FOUND, "network %s not found", ref);
	return NULL;
}

static int by_age(const void *a, const void *b)
{
	const struct network *x = *(struct network *const *)a, *y = *(struct network *const *)b;

	if (x->predefined != y->predefined)
		return x->predefined ? -1 : 1;
	if (x->created_ns != y->created_ns)
		return x->created_ns < y->created_ns ? -1 : 1;
	return strcmp(x->name, y->name);
}

struct network **networks_list(struct networks *t)
{
	struct network **list = xcalloc(HASH_COUNT(t->by_id) + 1, sizeof(*list)), *n, *tmp;
	size_t count = 0;

	HASH_ITER(hh, t->by_id, n, tmp)
		list[count++] = n;
	qsort(list, count, sizeof(*list), by_age);
	return list;
}

/* ---- create and remove ---------------------------------------------------------------------------- */

static void emit(struct networks *t, const struct network *n, const char *action, const struct container *c)
{
	json_t *attributes = json_pack("{s:o, s:o}", "name", doc_text(n->name), "type", doc_text(n->driver));

	if (c)
		json_object_set_new(attributes, "container", json_string(c->id));
	events_emit(t->g->events, "network", action, n->id, attributes);
}

struct network *networks_add(struct networks *t, struct network_new *spec, struct network **ret_other, struct err *err)
{
	struct network *n = xcalloc(1, sizeof(*n));

	random_hex(n->id, ID_HEX_MAX - 1);
	n->name = xstrdup(spec->name);
	n->driver = xstrdup(spec->driver);
	n->ipam = spec->ipam;
	n->options = spec->options;
	n->labels = spec->labels;
	n->config_from = spec->config_from;
	n->internal = spec->internal;
	n->attachable = spec->attachable;
	n->ipv6 = spec->ipv6;
	n->no_ipv4 = spec->no_ipv4;
	n->config_only = spec->config_only;
	n->created_ns = clock_wall_ns();
	*ret_other = NULL;
	if (count_named(t, n->name, ret_other) && !spec->may_repeat) {
		err_set(err, ERR_CONFLICT, "network with name %s already exists", n->name);
		goto fail;
	}
	if (save(t, n, err) < 0)
		goto fail;
	table_add(t, n);
	emit(t, n, "create", NULL);
	return n;
fail:
	network_free(n);
	return NULL;
}

json_t *network_record(const struct network *n)
{
	json_t *d = to_doc(n);

	json_object_set_new(d, "id", json_string(n->id));
	return d;
}

int networks_adopt(struct networks *t, const json_t *record, struct err *err)
{
	const char *id = doc_str(record, "id");
	struct network *n = NULL;

	if (!id || strlen(id) != ID_HEX_MAX - 1 || !doc_str(record, "name"))
		return err_set(err, ERR_INVALID, "the record of a network makes no sense");
	HASH_FIND_STR(t->by_id, id, n);
	if (n || count_named(t, doc_str(record, "name"), &n))
		return 0;
	n = from_doc(id, record);
	if (!n->ipam)
		n->ipam = json_pack("{s:s, s:n, s:[]}", "Driver", "default", "Options", "Config");
	n->options = n->options ? n->options : json_object();
	n->labels = n->labels ? n->labels : json_object();
	n->config_from = n->config_from ? n->config_from : json_pack("{s:s}", "Network", "");
	if (save(t, n, err) < 0) {
		network_free(n);
		return -1;
	}
	table_add(t, n);
	return 0;
}

int network_remove(struct networks *t, struct network *n, struct err *err)
{
	if (n->predefined)
		return err_set(err, ERR_FORBIDDEN, "%s is a pre-defined network and cannot be removed", n->name);
	if (network_in_use(t, n))
		return err_set(err, ERR_FORBIDDEN,
			       "error while removing network: network %s id %s has active endpoints", n->name, n->id);
	if (store_delete(t->g->store, KIND, n->id, err) < 0)
		return err_wrap(err, "network %s", n->name);
	HASH_DEL(t->by_id, n);
	emit(t, n, "destroy", NULL);
	network_free(n);
	return 0;
}

/* ---- what a container is connected to --------------------------------------------------------------- */

/* "bridge", "none", "host", the user's name; "container:ID" for a shared one. */
static const char *mode_of(const struct container *c)
{
	const char *mode = json_string_value(json_object_get(c->host_config, "NetworkMode"));

	return !mode || !*mode || strcmp(mode, "default") == 0 ? "bridge" : mode;
}

const char *network_shared_with(const struct container *c)
{
	const char *mode = mode_of(c);
	size_t n = strlen(SHARED);

	return strncmp(mode, SHARED, n) == 0 ? mode + n : NULL;
}

json_t *network_endpoints(const struct container *c)
{
	json_t *given = json_object_get(c->networking, "EndpointsConfig");

	if (network_shared_with(c))
		return json_object();
	if (json_is_object(given))
		return json_incref(given);
	return json_pack("{s:{}}", mode_of(c));
}

/* The key under which c is connected to n: its name, or whatever the user wrote. NULL: it is not. */
static const char *key_of(struct networks *t, const struct network *n, json_t *endpoints)
{
	const char *key;
	json_t *v;

	json_object_foreach(endpoints, key, v)
		if (networks_find(t, key, NULL) == n)
			return key;
	return NULL;
}

bool network_has(struct networks *t, const struct network *n, const struct container *c)
{
	json_t *endpoints = network_endpoints(c);
	bool found = key_of(t, n, endpoints) != NULL;

	json_decref(endpoints);
	return found;
}

bool network_in_use(struct networks *t, const struct network *n)
{
	struct container **list = containers_list(t->g->containers);
	bool used = false;

	for (size_t i = 0; list[i] && !used; i++)
		used = container_is_running(list[i]) && network_has(t, n, list[i]);
	free(list);
	return used;
}

void network_endpoint_id(const struct network *n, const struct container *c, char out[ID_HEX_MAX])
{
	AUTO_FREE char *text = xasprintf("%s/%s/%llu", n->id, c->id, (unsigned long long)c->runs);
	uint8_t digest[SHA256_LEN];

	out[0] = '\0';
	if (!container_is_running(c))
		return;
	sha256(text, strlen(text), digest);
	hex_encode(digest, sizeof(digest), out);
}

/* ---- connect and disconnect ------------------------------------------------------------------------- */

static const char *text_of(json_t *o, const char *key)
{
	const char *s = doc_str(o, key);

	return s ? s : "";
}

static bool has_subnet(const struct network *n)
{
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(n->ipam, "Config"), i, v)
		if (*text_of(v, "Subnet"))
			return true;
	return false;
}

/* dockerd's rules for what may be wished for in which network. */
static int check_settings(const struct network *n, json_t *settings, struct err *err)
{
	json_t *ipam = json_object_get(settings, "IPAMConfig");
	bool address = *text_of(ipam, "IPv4Address") || *text_of(ipam, "IPv6Address");

	if (n->predefined && address)
		return err_set(err, ERR_INVALID, "user specified IP address is supported on user defined networks only");
	if (n->predefined && json_array_size(json_object_get(settings, "Aliases")) > 0)
		return err_set(err, ERR_INVALID,
			       "network-scoped alias is supported only for containers in user defined networks");
	if (address && !has_subnet(n))
		return err_set(err, ERR_INVALID, "user specified IP address is supported only when connecting to "
			       "networks with user configured subnets");
	return 0;
}

static int check_connect(struct networks *t, const struct network *n, const struct container *c, json_t *endpoints,
			 struct err *err)
{
	struct network *none = networks_find(t, "none", NULL);

	if (network_shared_with(c) || strcmp(mode_of(c), "host") == 0)
		return err_set(err, ERR_INVALID, "container sharing network namespace with another container or host "
			       "cannot be connected to any other network");
	if (n->predefined && strcmp(n->name, "host") == 0)
		return err_set(err, ERR_INVALID, HOST_STAYS);
	if (key_of(t, n, endpoints) && container_is_running(c))
		return err_set(err, ERR_FORBIDDEN, "endpoint with name %s already exists in network %s", c->name, n->name);
	if (n != none ? key_of(t, none, endpoints) != NULL : json_object_size(endpoints) > 0)
		return err_set(err, ERR_INVALID, "container cannot be connected to multiple networks with one of the "
			       "networks in private (none) mode");
	return 0;
}

/* The container's record with these endpoints; as it was if the store refuses. */
static int put_endpoints(struct container *c, json_t *endpoints, struct err *err)
{
	json_t *before = c->networking;

	c->networking = json_pack("{s:o}", "EndpointsConfig", endpoints);
	if (container_save(c, err) == 0) {
		json_decref(before);
		return 0;
	}
	json_decref(c->networking);
	c->networking = before;
	return err_wrap(err, "container %.12s", c->id);
}

static void add_alias(json_t *settings, const struct container *c)
{
	json_t *aliases = json_object_get(settings, "Aliases");

	if (!json_is_array(aliases)) {
		aliases = json_array();
		json_object_set_new(settings, "Aliases", aliases);
	}
	json_array_append_new(aliases, json_stringn(c->id, SHORT_ID));
}

int network_connect(struct networks *t, struct network *n, struct container *c, json_t *settings, struct err *err)
{
	json_t *now = network_endpoints(c), *wanted;

	if (check_connect(t, n, c, now, err) < 0 || check_settings(n, settings, err) < 0) {
		json_decref(now);
		return -1;
	}
	wanted = json_copy(now);
	settings = settings ? json_deep_copy(settings) : json_object();
	if (!n->predefined)
		add_alias(settings, c);
	json_object_set_new(wanted, n->name, settings);
	json_decref(now);
	if (put_endpoints(c, wanted, err) < 0)
		return -1;
	if (container_is_running(c))
		emit(t, n, "connect", c);
	return 0;
}

int network_disconnect(struct networks *t, struct network *n, struct container *c, struct err *err)
{
	json_t *now = network_endpoints(c), *wanted;
	const char *key = key_of(t, n, now);
	bool running = container_is_running(c), host = running && n->predefined && strcmp(n->name, "host") == 0;

	wanted = json_copy(now);
	if (key)
		json_object_del(wanted, key);
	json_decref(now);
	if (host || !key) {
		json_decref(wanted);
		return host ? err_set(err, ERR_INVALID, HOST_STAYS)
			    : err_set(err, ERR_SYSTEM, "container %s is not connected to %snetwork %s", c->id,
				      running ? "" : "the ", n->name);
	}
	if (put_endpoints(c, wanted, err) < 0)
		return -1;
	emit(t, n, "disconnect", c);
	return 0;
}

/* ---- a container's run ---------------------------------------------------------------------------- */

int networks_check_start(struct networks *t, const struct container *c, struct err *err)
{
	json_t *endpoints = network_endpoints(c), *settings;
	const char *key;
	int rc = 0;

	json_object_foreach(endpoints, key, settings) {
		struct network *n = networks_find(t, key, err);

		rc = n ? check_settings(n, settings, err) : -1;
		if (rc < 0)
			break;
	}
	json_decref(endpoints);
	return rc;
}

void networks_emit(struct networks *t, const struct container *c, const char *action)
{
	json_t *endpoints = network_endpoints(c), *v;
	const char *key;

	json_object_foreach(endpoints, key, v) {
		struct network *n = networks_find(t, key, NULL);

		if (n)
			emit(t, n, action, c);
	}
	json_decref(endpoints);
}
