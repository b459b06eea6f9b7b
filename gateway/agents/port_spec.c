/* port_spec - see port_spec.h. A key without a protocol means tcp. */
#include "agents/port_spec.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"

#define INVALID "invalid port specification: \"%s\""

static int read_number(const char *s, uint16_t *ret)
{
	int64_t n;

	if (parse_i64(s, &n) < 0 || n < 0 || n > UINT16_MAX)
		return -1;
	*ret = (uint16_t)n;
	return 0;
}

/* "80" and "80/udp". */
static int read_key(const char *key, struct port_wish *ret)
{
	size_t n = strcspn(key, "/");
	const char *protocol = key[n] ? key + n + 1 : "tcp";
	AUTO_FREE char *number = xstrndup(key, n);

	if (read_number(number, &ret->port) < 0 || ret->port == 0 || strlen(protocol) > 4 || !*protocol)
		return -1;
	snprintf(ret->key, sizeof(ret->key), "%u/%s", ret->port, protocol);
	ret->tcp = strcmp(protocol, "tcp") == 0;
	return 0;
}

/* "", "8080" and "8000-8010". */
static int read_range(const char *s, struct port_wish *ret)
{
	const char *dash = strchr(s, '-');
	AUTO_FREE char *first = xstrndup(s, dash ? (size_t)(dash - s) : strlen(s));

	ret->first = ret->last = 0;
	if (!*s)
		return 0;
	if (read_number(first, &ret->first) < 0 || read_number(dash ? dash + 1 : first, &ret->last) < 0)
		return -1;
	return ret->last < ret->first ? -1 : 0;
}

static int read_host(const char *s, struct port_wish *ret, struct err *err)
{
	struct in6_addr any;

	if (*s && inet_pton(AF_INET, s, &any) != 1 && inet_pton(AF_INET6, s, &any) != 1)
		return err_set(err, ERR_INVALID, "invalid IP address: %s", s);
	snprintf(ret->host, sizeof(ret->host), "%s", s);
	return 0;
}

static void add(struct port_wishes *w, const struct port_wish *wish)
{
	w->v = xrealloc(w->v, (w->n + 1) * sizeof(*w->v));
	w->v[w->n++] = *wish;
}

static const char *text_of(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* All bindings of one port; an empty list means any free port, null means none. */
static int read_bindings(struct port_wishes *w, const char *key, json_t *bindings, struct err *err)
{
	struct port_wish wish = {.publish = true};
	json_t *binding;
	size_t i;

	if (read_key(key, &wish) < 0)
		return err_set(err, ERR_INVALID, INVALID, key);
	if (!json_is_array(bindings) && !json_is_null(bindings))
		return err_set(err, ERR_INVALID, "json: cannot unmarshal into Go struct field HostConfig.PortBindings of "
			       "type []nat.PortBinding");
	json_array_foreach(bindings, i, binding) {
		if (read_range(text_of(binding, "HostPort"), &wish) < 0)
			return err_set(err, ERR_INVALID, INVALID, text_of(binding, "HostPort"));
		if (read_host(text_of(binding, "HostIp"), &wish, err) < 0)
			return -1;
		add(w, &wish);
	}
	if (json_array_size(bindings) > 0)
		return 0;
	wish.publish = json_is_array(bindings);
	add(w, &wish);
	return 0;
}

static bool has_key(const struct port_wishes *w, const char *key)
{
	for (size_t i = 0; i < w->n; i++)
		if (strcmp(w->v[i].key, key) == 0)
			return true;
	return false;
}

static int by_number(const void *a, const void *b)
{
	const struct port_wish *x = a, *y = b;

	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	return strcmp(x->key, y->key);
}

int port_wishes_read(json_t *config, json_t *host_config, struct port_wishes *ret, struct err *err)
{
	bool all = json_is_true(json_object_get(host_config, "PublishAllPorts"));
	const char *key;
	json_t *v;

	*ret = (struct port_wishes){0};
	json_object_foreach(json_object_get(host_config, "PortBindings"), key, v)
		if (read_bindings(ret, key, v, err) < 0) {
			port_wishes_release(ret);
			return -1;
		}
	json_object_foreach(json_object_get(config, "ExposedPorts"), key, v) {
		struct port_wish wish = {.publish = all};

		/* dockerd keeps a nonsensical name here and makes nothing of it. */
		if (read_key(key, &wish) == 0 && !has_key(ret, wish.key))
			add(ret, &wish);
	}
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), by_number);
	return 0;
}

void port_wishes_release(struct port_wishes *w)
{
	free(w->v);
	*w = (struct port_wishes){0};
}
