/* event_filter - see event_filter.h. */
#include "api/event_filter.h"

#include <string.h>

#include "base/mem.h"

static const char *string_of(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* "exec_start: sh -c true" and "health_status: healthy" are also known by what is before the colon. */
static bool action_passes(const struct filters *f, const char *action)
{
	AUTO_FREE char *kind = xstrndup(action, strcspn(action, ":"));

	return filters_exact(f, "event", action) || filters_exact(f, "event", kind);
}

/* {"container": …} means events of that type with this ID, name, or beginning of either. */
static bool object_passes(const struct filters *f, const char *kind, const char *type, const char *id,
			  const char *name)
{
	if (!filters_has(f, kind))
		return true;
	return strcmp(type, kind) == 0 && (filters_prefix(f, kind, id) || (*name && filters_prefix(f, kind, name)));
}

/* An image by what it is called, with or without its tag, in its own events and its containers'. */
static bool image_passes(const struct filters *f, const char *type, const char *id, json_t *attributes)
{
	const char *name, *slash, *colon;
	AUTO_FREE char *bare = NULL;

	if (!filters_has(f, "image"))
		return true;
	if (strcmp(type, "image") != 0 && strcmp(type, "container") != 0)
		return false;
	name = string_of(attributes, strcmp(type, "image") == 0 ? "name" : "image");
	slash = strrchr(name, '/');
	colon = strchr(slash ? slash : name, ':');
	bare = colon ? xstrndup(name, (size_t)(colon - name)) : xstrdup(name);
	return filters_exact(f, "image", name) || filters_exact(f, "image", bare) ||
	       (strcmp(type, "image") == 0 && filters_exact(f, "image", id));
}

bool event_filter_passes(const struct filters *f, json_t *event)
{
	static const char *const kinds[] = {"container", "network", "volume", "daemon", "plugin", "service", "node",
					    "secret", "config"};
	json_t *actor = json_object_get(event, "Actor"), *attributes = json_object_get(actor, "Attributes");
	const char *type = string_of(event, "Type"), *id = string_of(actor, "ID");

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!object_passes(f, kinds[i], type, id, string_of(attributes, "name")))
			return false;
	return action_passes(f, string_of(event, "Action")) && filters_exact(f, "type", type) &&
	       filters_exact(f, "scope", string_of(event, "scope")) && image_passes(f, type, id, attributes) &&
	       filters_labels(f, "label", attributes);
}
