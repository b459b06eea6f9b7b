/* network - networks as records, and what containers are connected to.
 *
 * Containers on Cloud Run cannot reach each other and have no address anybody can dial, so a network is
 * a name that containers share, with what its creator said about it (labels, options, IPAM) kept as it
 * was said. Addresses are never invented. "bridge", "host" and "none" always exist and are not stored.
 *
 * A container's side is in its own record: networking.EndpointsConfig, an object of EndpointSettings
 * by network name. */
#ifndef STATE_NETWORK_H
#define STATE_NETWORK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "base/err.h"
#include "base/token.h"

struct gateway;
struct container;

struct network {
	char id[ID_HEX_MAX];
	char *name, *driver;
	json_t *ipam;              /* {"Driver", "Options", "Config"} as given */
	json_t *options, *labels;  /* objects of strings */
	json_t *config_from;       /* {"Network": ""} */
	bool internal, attachable, ipv6, no_ipv4, config_only;
	bool predefined;
	int64_t created_ns;
	uint64_t version;
	UT_hash_handle hh;
};

struct networks;
struct networks *networks_new(struct gateway *g, struct err *err); /* after the containers */
void networks_free(struct networks *t);

/* By full ID, exact name, unique ID prefix, as Docker does.
 * ERR_NOT_FOUND "network x not found"; ERR_INVALID when several are meant. */
struct network *networks_find(struct networks *t, const char *ref, struct err *err);
/* Predefined ones first, then by age; a NULL-terminated array the caller frees. */
struct network **networks_list(struct networks *t);

/* A new record with an ID; takes the JSON references, also on failure. *ret_other: another network of that name
 * (ERR_CONFLICT with Docker's sentence unless may_repeat). Emits "create". */
struct network_new {
	const char *name, *driver;
	json_t *ipam, *options, *labels, *config_from;
	bool internal, attachable, ipv6, no_ipv4, config_only;
	bool may_repeat;
};
struct network *networks_add(struct networks *t, struct network_new *spec, struct network **ret_other, struct err *err);
/* What another gateway needs to know it by, with its ID; and back: one whose ID or name is there already stays. */
json_t *network_record(const struct network *n);
int networks_adopt(struct networks *t, const json_t *record, struct err *err);
/* ERR_FORBIDDEN for a predefined one and while a running container is connected. Emits "destroy". */
int network_remove(struct networks *t, struct network *n, struct err *err);

/* ---- containers ------------------------------------------------------------------------------- */

/* What c is connected to: {network name: EndpointSettings as given}. New reference; {} when it has
 * none or shares another container's. */
json_t *network_endpoints(const struct container *c);
/* The container whose network c shares, as the user named it; NULL for a network of its own. */
const char *network_shared_with(const struct container *c);
bool network_has(struct networks *t, const struct network *n, const struct container *c);
bool network_in_use(struct networks *t, const struct network *n); /* by a running container */
/* The ID of c's endpoint in n for its present run; "" while it does not run. */
void network_endpoint_id(const struct network *n, const struct container *c, char out[ID_HEX_MAX]);

/* Both store and emit. settings: EndpointSettings as given, borrowed; as in dockerd the short ID of c becomes an
 * alias in a network of the user's. */
int network_connect(struct networks *t, struct network *n, struct container *c, json_t *settings, struct err *err);
int network_disconnect(struct networks *t, struct network *n, struct container *c, struct err *err);
/* May c start? ERR_NOT_FOUND for a network that is not there (any more), ERR_INVALID for aliases where there are none. */
int networks_check_start(struct networks *t, const struct container *c, struct err *err);
/* "connect" or "disconnect" for each of its networks: a container begins and ends to run. */
void networks_emit(struct networks *t, const struct container *c, const char *action);

#endif
