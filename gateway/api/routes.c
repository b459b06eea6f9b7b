/* routes - the server: from a request's line to its handler, and every answer's headers.
 * The table is searched in order; '*' in a pattern stands for one or more characters, slashes
 * included, because image names have them. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "api/routes.h"
#include "api/version.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/path.h"
#include "relay.h"

static request_handler not_available, no_swarm, not_in_swarm;

static const struct route {
	const char *method, *pattern;
	request_handler *handler;
} routes[] = {
	{"GET", "/_ping", system_ping},
	{"HEAD", "/_ping", system_ping},
	{"GET", "/version", system_version},
	{"GET", "/info", system_info},
	{"GET", "/events", events_get},
	{"GET", "/system/df", system_df},

	{"GET", "/containers/json", container_list},
	{"POST", "/containers/create", container_create},
	{"POST", "/containers/prune", container_prune},
	{"GET", "/containers/*/json", container_inspect},
	{"GET", "/containers/*/logs", container_logs},
	{"POST", "/containers/*/start", container_start},
	{"POST", "/containers/*/stop", container_stop},
	{"POST", "/containers/*/restart", container_restart},
	{"POST", "/containers/*/kill", container_kill},
	{"POST", "/containers/*/pause", container_pause},
	{"POST", "/containers/*/unpause", container_unpause},
	{"POST", "/containers/*/update", container_update},
	{"GET", "/containers/*/top", container_top},
	{"GET", "/containers/*/stats", container_stats},
	{"POST", "/containers/*/wait", container_wait_for},
	{"POST", "/containers/*/rename", container_rename_to},
	{"POST", "/containers/*/resize", container_resize},
	{"POST", "/containers/*/attach", container_attach},
	{"GET", "/containers/*/archive", container_archive},
	{"HEAD", "/containers/*/archive", container_archive},
	{"PUT", "/containers/*/archive", container_put_archive},
	{"GET", "/containers/*/export", container_export},
	{"GET", "/containers/*/changes", container_changes},
	{"GET", "/containers/*/attach/ws", container_attach_websocket},
	{"POST", "/containers/*/exec", exec_create},
	{"DELETE", "/containers/*", container_delete},
	{"POST", "/exec/*/start", exec_start},
	{"POST", "/exec/*/resize", exec_resize},
	{"GET", "/exec/*/json", exec_inspect},

	{"POST", "/auth", registry_login},
	{"GET", "/distribution/*/json", registry_distribution},
	{"GET", "/images/search", registry_search},
	{"GET", "/images/json", image_list},
	{"POST", "/images/create", image_pull},
	{"POST", "/images/prune", image_prune},
	{"GET", "/images/*/json", image_inspect},
	{"GET", "/images/*/history", image_history},
	{"GET", "/images/*/attestations", image_attestations},
	{"POST", "/images/*/tag", image_tag},
	{"POST", "/images/*/push", image_push},
	{"POST", "/images/load", image_load},
	{"GET", "/images/get", image_save},
	{"GET", "/images/*/get", image_save_one},

	{"GET", "/networks", network_list},
	{"GET", "/networks/", network_list},
	{"GET", "/networks/*", network_get},
	{"POST", "/networks/create", network_create},
	{"POST", "/networks/prune", network_prune},
	{"POST", "/networks/*/connect", network_connect_to},
	{"POST", "/networks/*/disconnect", network_disconnect_from},
	{"DELETE", "/networks/*", network_delete},
	{"GET", "/volumes", volume_list},
	{"GET", "/volumes/*", volume_get},
	{"POST", "/volumes/create", volume_create},
	{"POST", "/volumes/prune", volume_prune},
	{"DELETE", "/volumes/*", volume_delete},
	{"GET", "/plugins", system_plugins},
	/* docker system prune asks for this as well and wants 200; there is nothing to remove. */
	{"POST", "/build/prune", system_empty_prune},

	{"GET", "/internal/v1/healthz", admin_health},
	{"GET", "/internal/v1/agents", admin_agents},
	{"GET", "/internal/v1/agents/*/streams", admin_streams},
	{"GET", "/internal/v1/agents/*/trace", admin_trace},
	{"POST", "/internal/v1/agents/*/ping", admin_ping},
	{"POST", "/internal/v1/agents/*/cut", admin_cut},
	{"POST", "/internal/v1/restart", admin_restart},
	{"GET", "/internal/v1/metrics", metrics_show},
	{"GET", "/internal/v1/orphans", orphan_list},
	{"DELETE", "/internal/v1/orphans/*", orphan_remove},
	{"POST", "/internal/v1/orphans/*/adopt", orphan_adopt},

	{"POST", "/swarm/init", not_available},
	{"POST", "/swarm/join", not_available},
	{"POST", "/swarm/leave", not_in_swarm},
	{"*", "/swarm", no_swarm},
	{"*", "/swarm/*", no_swarm},
	{"*", "/nodes", no_swarm},
	{"*", "/nodes/*", no_swarm},
	{"*", "/services", no_swarm},
	{"*", "/services/*", no_swarm},
	{"*", "/tasks", no_swarm},
	{"*", "/tasks/*", no_swarm},
	{"*", "/secrets", no_swarm},
	{"*", "/secrets/*", no_swarm},
	{"*", "/configs", no_swarm},
	{"*", "/configs/*", no_swarm},

	{"POST", "/build", image_build},
	{"POST", "/build/cancel", image_build},
	{"POST", "/commit", image_commit},
	{"POST", "/grpc", image_build},
	{"POST", "/session", image_build},
	{"GET", "/containers/*/checkpoints", not_available},
	{"POST", "/containers/*/checkpoints", not_available},
	{"DELETE", "/images/*", image_delete},
	{"PUT", "/volumes/*", no_swarm},
	{"POST", "/plugins/create", not_available},
	{"POST", "/plugins/pull", not_available},
	{"GET", "/plugins/privileges", not_available},
	{"*", "/plugins/*", system_no_plugin},
};

/* What the '*' stands for, as a string the caller frees; "" for a pattern without one; NULL: no match. */
static char *match(const char *pattern, const char *path)
{
	const char *star = strchr(pattern, '*'), *tail;
	size_t head_len, tail_len, len = strlen(path);

	if (!star)
		return strcmp(pattern, path) == 0 ? xstrdup("") : NULL;
	head_len = (size_t)(star - pattern);
	tail = star + 1;
	tail_len = strlen(tail);
	if (len <= head_len + tail_len || strncmp(path, pattern, head_len) != 0 ||
	    strcmp(path + len - tail_len, tail) != 0)
		return NULL;
	return xstrndup(path + head_len, len - head_len - tail_len);
}

static const struct route *route_of(const char *method, const char *path, char **ret_name)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		const struct route *route = &routes[i];

		if (route->method[0] != '*' && strcmp(route->method, method) != 0)
			continue;
		*ret_name = match(route->pattern, path);
		if (*ret_name)
			return route;
	}
	return NULL;
}

request_handler *routes_find(const char *method, const char *path, char **ret_name)
{
	const struct route *route = route_of(method, path, ret_name);

	return route ? route->handler : NULL;
}

static void not_available(struct request *r)
{
	char *name = NULL;
	const char *method = exchange_method(r->x);
	const struct route *route = route_of(method, r->path, &name);
	const char *pattern = route->pattern, *star = strchr(pattern, '*');

	free(name);
	reply_error(r, ERR_UNSUPPORTED, "%s %.*s%s%s is not available: containers run on Cloud Run, and this gateway "
		    "does not implement the call", method, (int)(star ? star - pattern : (long)strlen(pattern)), pattern,
		    star ? "{name}" : "", star ? star + 1 : "");
}

static void no_swarm(struct request *r)
{
	reply_error(r, ERR_UNAVAILABLE, "This node is not a swarm manager. Use \"docker swarm init\" or "
		    "\"docker swarm join\" to connect this node to swarm and try again.");
}

static void not_in_swarm(struct request *r)
{
	reply_error(r, ERR_UNAVAILABLE, "This node is not part of a swarm");
}

char *routes_clean(const char *path)
{
	AUTO_FREE char *rooted = xasprintf("/%s", path);
	AUTO_FREE char *clean = path_clean(rooted);
	bool slash = *path && path[strlen(path) - 1] == '/' && clean[1];

	return xasprintf("%s%s", clean, slash ? "/" : "");
}

/* The first broken escape of the query as dockerd tells it ("%zz"), or NULL. */
static const char *broken_escape(const char *query)
{
	for (const char *s = strchr(query, '%'); s; s = strchr(s + 1, '%'))
		if (!isxdigit((unsigned char)s[1]) || !isxdigit((unsigned char)s[2]))
			return s;
	return NULL;
}

static void redirect(struct exchange *x, const char *location)
{
	const char *query = exchange_query(x);

	exchange_add_header(x, "Location", "%s%s%s", location, *query ? "?" : "", query);
	exchange_reply(x, 301, NULL, NULL, 0);
}

/* Clients of that time know no JSON errors. */
static void reply_too_old(struct request *r, const struct err *err)
{
	AUTO_FREE char *line = xasprintf("%s\n", err->msg);

	reply_text(r, 400, line);
}

/* As dockerd's version middleware does. */
static void add_headers(struct exchange *x)
{
	exchange_add_header(x, "Api-Version", "%s", API_VERSION_MAX_TEXT);
	exchange_add_header(x, "Docker-Experimental", "false");
	exchange_add_header(x, "Ostype", "linux");
}

static void handle(struct exchange *x, void *ctx)
{
	struct gateway *g = ctx;
	char *path = xstrdup(exchange_path(x)), *name = NULL, *clean;
	const char *rest, *broken = broken_escape(exchange_query(x));
	request_handler *handler = NULL;
	struct request *r;
	struct err err;
	int version, plain, speaks;

	add_headers(x);
	if (parse_percent_decode(path) < 0) {
		free(path);
		exchange_reply(x, 400, "text/plain; charset=utf-8", "400 Bad Request", 15);
		return;
	}
	clean = routes_clean(path);
	if (strcmp(clean, path) != 0) {
		redirect(x, clean);
		free(clean);
		free(path);
		return;
	}
	free(clean);
	speaks = version_split(path, &version, &rest, &plain, &err);
	handler = routes_find(exchange_method(x), rest, &name);
	memmove(path, rest, strlen(rest) + 1);
	r = request_new(g, x, version, path, name);
	if (!handler && plain)
		reply_text(r, 404, "page not found\n");
	else if (!handler)
		reply_error(r, ERR_NOT_FOUND, "page not found");
	else if (speaks < 0 && plain)
		reply_too_old(r, &err);
	else if (speaks < 0)
		reply_err(r, &err);
	else if (broken)
		reply_error(r, ERR_INVALID, "invalid URL escape \"%.3s\"", broken);
	else
		handler(r);
}

struct http_server *api_new(struct gateway *g, struct err *err)
{
	struct http_server_options opt = {.server_name = "Docker/" VERSION " (linux)"};
	struct http_server *s = http_server_new(g->loop, &opt, handle, g);

	if (!s)
		err_set(err, ERR_SYSTEM, "the API server cannot be made");
	return s;
}

void api_free(struct gateway *g)
{
	relay_close_all();
	http_server_free(g->api);
	g->api = NULL;
}
