/* reference - Docker's grammar of image names, and where such a name is asked for.
 *
 *   [domain "/"] path [":" tag] ["@" digest]
 *   domain  host with a dot or a port, "localhost", or anything with upper case; else docker.io
 *   path    components of [a-z0-9]+ joined by one of . _ __ or dashes, separated by slashes
 *
 * Source: the distribution project's reference package; the sentences are dockerd's. Pure. */
#include "image/reference.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "config.h"

#define HUB "docker.io"
#define HUB_REGISTRY "registry-1.docker.io"
#define NAME_MAX_LEN 255
#define TAG_MAX_LEN 128

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* One separator of a path component: ".", "_", "__" or a run of dashes. Its length, or 0. */
static size_t separator_len(const char *s)
{
	if (*s == '.')
		return 1;
	if (*s == '_')
		return s[1] == '_' ? 2 : 1;
	return strspn(s, "-");
}

static bool path_is_valid(const char *s)
{
	for (;;) {
		size_t sep;

		if (!is_lower_alnum(*s))
			return false;
		while (is_lower_alnum(*s))
			s++;
		if (*s == '\0')
			return true;
		sep = *s == '/' ? 1 : separator_len(s);
		if (!sep)
			return false;
		s += sep;
	}
}

static bool port_is_valid(const char *s)
{
	return *s && s[strspn(s, "0123456789")] == '\0';
}

static bool domain_is_valid(const char *s)
{
	if (*s == '[') {
		size_t n = strspn(s + 1, "0123456789abcdefABCDEF:");

		s += 1 + n;
		return n && *s++ == ']' && (*s == '\0' || (*s == ':' && port_is_valid(s + 1)));
	}
	/* Labels of letters, digits and inner dashes. */
	for (;;) {
		size_t n = 0;

		while (isalnum((unsigned char)s[n]) || s[n] == '-')
			n++;
		if (n == 0 || s[0] == '-' || s[n - 1] == '-')
			return false;
		s += n;
		if (*s == '\0')
			return true;
		if (*s == ':')
			return port_is_valid(s + 1);
		if (*s++ != '.')
			return false;
	}
}

static bool tag_is_valid(const char *s)
{
	size_t n = 0;

	if (*s == '.' || *s == '-')
		return false;
	while (isalnum((unsigned char)s[n]) || s[n] == '_' || s[n] == '.' || s[n] == '-')
		n++;
	return n > 0 && n <= TAG_MAX_LEN && s[n] == '\0';
}

static bool has_upper(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (isupper((unsigned char)s[i]))
			return true;
	return false;
}

static int check_digest(const char *s, struct err *err)
{
	size_t algorithm = strcspn(s, ":"), hex;

	hex = s[algorithm] ? strspn(s + algorithm + 1, "0123456789abcdefABCDEF") : 0;
	if (algorithm == 0 || hex < 32 || s[algorithm + 1 + hex])
		return err_set(err, ERR_INVALID, "invalid reference format");
	if (algorithm != 6 || strncmp(s, "sha256", 6) != 0)
		return err_set(err, ERR_INVALID, "unsupported digest algorithm");
	if (hex != 64)
		return err_set(err, ERR_INVALID, "invalid checksum digest length");
	if (has_upper(s, strlen(s)))
		return err_set(err, ERR_INVALID, "invalid checksum digest format");
	return 0;
}

/* Does the part before the first slash name a host, or is it the first component of a path? */
static bool names_host(const char *s, size_t n)
{
	return memchr(s, '.', n) || memchr(s, ':', n) || has_upper(s, n) ||
	       (n == strlen("localhost") && strncmp(s, "localhost", n) == 0);
}

static char *familiar_name(const char *domain, const char *path)
{
	if (strcmp(domain, HUB) != 0)
		return xasprintf("%s/%s", domain, path);
	if (strncmp(path, "library/", 8) == 0 && !strchr(path + 8, '/'))
		return xstrdup(path + 8);
	return xstrdup(path);
}

static int check(const struct reference *r, struct err *err)
{
	if (!domain_is_valid(r->domain) || !path_is_valid(r->path) ||
	    (r->tag && !tag_is_valid(r->tag)))
		return err_set(err, ERR_INVALID, "invalid reference format");
	if (r->digest && check_digest(r->digest, err) < 0)
		return -1;
	if (strlen(r->domain) + 1 + strlen(r->path) > NAME_MAX_LEN)
		return err_set(err, ERR_INVALID, "invalid reference format: repository name must "
			       "not be more than %d characters", NAME_MAX_LEN);
	return 0;
}

int reference_parse(const char *s, struct reference *ret, struct err *err)
{
	const char *slash = strchr(s, '/'), *rest = s;
	struct reference r = {0};
	size_t path_len;

	if (strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64)
		return err_set(err, ERR_INVALID, "invalid repository name (%s), cannot specify "
			       "64-byte hexadecimal strings", s);
	if (slash && names_host(s, (size_t)(slash - s))) {
		r.domain = xstrndup(s, (size_t)(slash - s));
		rest = slash + 1;
		if (strcmp(r.domain, "index." HUB) == 0) {
			free(r.domain);
			r.domain = xstrdup(HUB);
		}
	} else {
		r.domain = xstrdup(HUB);
	}
	path_len = strcspn(rest, ":@");
	if (has_upper(rest, path_len)) {
		free(r.domain);
		return err_set(err, ERR_INVALID,
			       "invalid reference format: repository name must be lowercase");
	}
	if (strcmp(r.domain, HUB) == 0 && !memchr(rest, '/', path_len))
		r.path = xasprintf("library/%.*s", (int)path_len, rest);
	else
		r.path = xstrndup(rest, path_len);
	rest += path_len;
	if (*rest == ':') {
		size_t n = strcspn(++rest, "@");

		r.tag = xstrndup(rest, n);
		rest += n;
	}
	if (*rest == '@')
		r.digest = xstrdup(rest + 1);
	if (!r.tag && !r.digest)
		r.tag = xstrdup("latest");
	r.familiar = familiar_name(r.domain, r.path);
	if (check(&r, err) < 0) {
		reference_release(&r);
		return -1;
	}
	*ret = r;
	return 0;
}

void reference_release(struct reference *r)
{
	free(r->domain);
	free(r->path);
	free(r->tag);
	free(r->digest);
	free(r->familiar);
	*r = (struct reference){0};
}

char *reference_familiar_tagged(const struct reference *r)
{
	if (r->tag)
		return xasprintf("%s:%s", r->familiar, r->tag);
	return xasprintf("%s@%s", r->familiar, r->digest);
}

/* The host part of "host:port" or "[v6]:port"; caller frees. */
static char *host_only(const char *host_port)
{
	if (*host_port == '[')
		return xstrndup(host_port + 1, strcspn(host_port + 1, "]"));
	return xstrndup(host_port, strcspn(host_port, ":"));
}

/* TLS would only be in the way on our own machine; elsewhere it is the operator's decision. */
static bool is_plain(const char *host_port, const struct config *c)
{
	AUTO_FREE char *host = host_only(host_port);
	struct in_addr v4;

	if (strcasecmp(host, "localhost") == 0 || strcmp(host, "::1") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127)
		return true;
	for (size_t i = 0; i < c->plain_registries.n; i++)
		if (strcasecmp(c->plain_registries.v[i], host_port) == 0 ||
		    strcasecmp(c->plain_registries.v[i], host) == 0)
			return true;
	return false;
}

void reference_location(const struct reference *r, const struct config *c, char **ret_host,
			char **ret_repo, int *ret_plain)
{
	bool hub = strcmp(r->domain, HUB) == 0;

	if (hub && c->hub_mirror) {
		size_t n = strcspn(c->hub_mirror, "/");
		const char *prefix = c->hub_mirror + n;

		prefix += strspn(prefix, "/");
		*ret_host = xstrndup(c->hub_mirror, n);
		*ret_repo = *prefix ? xasprintf("%s/%s", prefix, r->path) : xstrdup(r->path);
	} else {
		*ret_host = xstrdup(hub ? HUB_REGISTRY : r->domain);
		*ret_repo = xstrdup(r->path);
	}
	*ret_plain = is_plain(*ret_host, c);
}
