/* registry_url - see registry_url.h. By libcurl's URL functions; nothing is transferred here. */
#include "image/registry_url.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

/* "https://host:443", however it was spelled; NULL if it is none. Caller frees. */
static char *origin_of(CURLU *u)
{
	char *scheme = NULL, *host = NULL, *port = NULL, *ret = NULL;

	if (!curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) && !curl_url_get(u, CURLUPART_HOST, &host, 0) &&
	    !curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT))
		ret = xasprintf("%s://%s:%s", scheme, host, port);
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	return ret;
}

char *registry_url_resolve(const char *host, const char *base, const char *location, bool *ret_foreign,
			   struct err *err)
{
	AUTO_FREE char *before = NULL, *after = NULL;
	char *url = NULL, *ret = NULL;
	CURLU *u = curl_url();

	if (location && !curl_url_set(u, CURLUPART_URL, base, 0) && (before = origin_of(u)) &&
	    !curl_url_set(u, CURLUPART_URL, location, 0) && (after = origin_of(u)))
		curl_url_get(u, CURLUPART_URL, &url, 0);
	if (!url || (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0))
		err_set(err, ERR_UPSTREAM, "registry %s: redirect without a usable Location", host);
	else if (strncmp(before, "https:", 6) == 0 && strncmp(after, "https:", 6) != 0)
		err_set(err, ERR_UPSTREAM, "registry %s: refused a redirect from https to http", host);
	else
		ret = xstrdup(url);
	if (ret)
		*ret_foreign = strcmp(before, after) != 0;
	curl_free(url);
	curl_url_cleanup(u);
	return ret;
}


bool registry_url_host_in(const char *url, const struct strv *hosts)
{
	char *host = NULL, *port = NULL;
	CURLU *u = curl_url();
	bool found = false;

	if (!curl_url_set(u, CURLUPART_URL, url, 0) && !curl_url_get(u, CURLUPART_HOST, &host, 0) &&
	    !curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT)) {
		AUTO_FREE char *with_port = xasprintf("%s:%s", host, port);

		for (size_t i = 0; i < hosts->n; i++)
			found = found || strcasecmp(hosts->v[i], host) == 0 || strcasecmp(hosts->v[i], with_port) == 0;
	}
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(u);
	return found;
}

void registry_url_private(struct err *err)
{
	if (err->kind != ERR_FORBIDDEN)
		return;
	err->kind = ERR_UPSTREAM;
	err_wrap(err, "refused to go where a public registry sends us (SOCKERLESS_PRIVATE_HOSTS allows hosts)");
}
