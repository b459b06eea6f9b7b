/* image_registry - what is asked of a registry and leaves nothing behind here: a login's check, a name's
 * descriptor and platforms. */
#include <string.h>

#include "api/handlers.h"
#include "api/reply.h"
#include "base/mem.h"
#include "base/parse.h"
#include "image/reference.h"
#include "image/registry_fetch.h"
#include "image/registry_session.h"

#define HUB "docker.io"

/* ---- POST /auth ------------------------------------------------------------------------------------ */

struct login {
	struct registry_session *session;
	struct registry_call *call;
};

static void login_release(struct request *r)
{
	struct login *l = r->state;

	registry_cancel(l->call);
	registry_close(l->session);
	free(l);
}

static void on_ping(void *ctx, const struct http_response *answer, const struct err *failed)
{
	struct request *r = ctx;
	struct login *l = r->state;
	const char *identity = registry_identity_token(l->session);
	struct err err;

	l->call = NULL;
	if (failed) {
		err = *failed;
		if (err.kind == ERR_FORBIDDEN)
			err.kind = ERR_DENIED;
		err_wrap(&err, "login attempt to https://%s/v2/ failed", registry_host(l->session));
		reply_err(r, failed->kind == ERR_DENIED ? failed : &err);
	} else if (answer->status != 200) {
		reply_error(r, ERR_UPSTREAM, "login attempt to %s failed with status: %d", registry_host(l->session),
			    answer->status);
	} else {
		reply_json(r, 200, json_pack("{s:s, s:s}", "Status", "Login Succeeded", "IdentityToken",
					     identity ? identity : ""));
	}
}

/* "https://index.docker.io/v1/", "quay.io" and "" (Docker Hub) name a registry. */
static char *host_of(const char *address)
{
	const char *scheme = strstr(address, "://");
	AUTO_FREE char *host = NULL;

	if (scheme)
		address = scheme + 3;
	host = xstrndup(address, strcspn(address, "/"));
	if (!*host || strcmp(host, "index." HUB) == 0)
		return xstrdup(HUB);
	return steal_ptr(&host);
}

static char *base64_of(json_t *o)
{
	AUTO_FREE char *text = json_dumps(o, JSON_COMPACT);
	char *coded = xmalloc(base64_encoded_len(strlen(text)) + 1);

	base64_encode(text, strlen(text), coded);
	return coded;
}

static void have_login(struct request *r, json_t *body)
{
	const char *address = json_string_value(json_object_get(body, "serveraddress"));
	AUTO_FREE char *host = host_of(address ? address : ""), *auth = base64_of(body);
	AUTO_FREE char *name = xasprintf("%s/login", host);
	struct registry_request ping = {.path = "/v2/"};
	struct login *l = xcalloc(1, sizeof(*l));
	struct reference ref;
	struct err err;

	r->state = l;
	r->release = login_release;
	if (reference_parse(name, &ref, NULL) < 0 || strcmp(ref.domain, host) != 0) {
		reply_error(r, ERR_INVALID, "invalid registry address \"%.200s\"", address ? address : "");
		return;
	}
	l->session = registry_open(r->g, &ref, auth, REGISTRY_LOGIN);
	reference_release(&ref);
	l->call = registry_ask(l->session, &ping, on_ping, r, &err);
	if (!l->call)
		reply_err(r, &err);
}

void registry_login(struct request *r)
{
	request_json(r, false, have_login);
}

/* ---- GET /distribution/{name}/json -------------------------------------------------------------------- */

struct describing {
	struct registry_session *session;
	struct registry_fetch *fetch;
};

static void describe_release(struct request *r)
{
	struct describing *d = r->state;

	registry_fetch_cancel(d->fetch);
	registry_close(d->session);
	free(d);
}

static json_t *platform(json_t *from)
{
	static const char *const keys[] = {"architecture", "os", "os.version", "os.features", "variant"};
	json_t *p = json_object();

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (json_object_get(from, keys[i]))
			json_object_set(p, keys[i], json_object_get(from, keys[i]));
	return p;
}

static void described(void *ctx, const struct registry_image *image, const struct err *failed)
{
	struct request *r = ctx;
	struct describing *d = r->state;
	json_t *platforms, *entry, *list;
	size_t i;

	d->fetch = NULL;
	if (failed) {
		reply_err(r, failed);
		return;
	}
	platforms = json_array();
	list = json_object_get(image->index, "manifests");
	json_array_foreach(list, i, entry)
		if (json_object_get(entry, "platform"))
			json_array_append_new(platforms, platform(json_object_get(entry, "platform")));
	if (!image->index)
		json_array_append_new(platforms, platform(image->config));
	reply_json(r, 200, json_pack("{s:{s:s, s:s, s:I}, s:o}", "Descriptor", "mediaType", image->media_type, "digest",
				     image->digest, "size", (json_int_t)image->size, "Platforms", platforms));
}

void registry_distribution(struct request *r)
{
	struct describing *d = xcalloc(1, sizeof(*d));
	struct reference ref;
	struct err err;

	r->state = d;
	r->release = describe_release;
	if (reference_parse(r->name, &ref, &err) < 0) {
		reply_err(r, &err);
		return;
	}
	d->session = registry_open(r->g, &ref, exchange_header(r->x, "X-Registry-Auth"), REGISTRY_INSPECT);
	d->fetch = registry_fetch_in(d->session, ref.digest ? ref.digest : ref.tag, REGISTRY_DESCRIBE, described, r, &err);
	reference_release(&ref);
	if (!d->fetch)
		reply_err(r, &err);
}

void registry_search(struct request *r)
{
	reply_error(r, ERR_UNSUPPORTED, "this gateway does not search registries: Docker Hub's search is at "
		    "https://hub.docker.com/search, and docker pull takes any name");
}
