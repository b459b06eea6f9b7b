/* image_config - what dockerd does with an image's config and a request's before it runs anything.
 * The subtle part is Entrypoint and Cmd: null (not given) and [] (given, empty) are different there,
 * and both may come as a bare string. Pure. */
#include "image/image_config.h"

#include <stdbool.h>
#include <string.h>

static json_t *get(json_t *o, const char *key)
{
	json_t *v = json_object_get(o, key);

	return json_is_null(v) ? NULL : v;
}

/* The list behind key, with a bare string taken as a list of one; NULL for null or absent. */
static int read_list(json_t *o, const char *key, const char *whose, json_t **ret, struct err *err)
{
	json_t *v = get(o, key), *item;
	size_t i;

	if (json_is_string(v)) {
		*ret = json_pack("[O]", v);
		return 0;
	}
	if (v && !json_is_array(v))
		return err_set(err, ERR_INVALID, "%s: %s must be a list of strings", whose, key);
	json_array_foreach(v, i, item)
		if (!json_is_string(item))
			return err_set(err, ERR_INVALID, "%s: %s must be a list of strings",
				       whose, key);
	*ret = json_incref(v);
	return 0;
}

static int merge_command(json_t *config, json_t *image, struct err *err)
{
	json_t *entrypoint = NULL, *cmd = NULL, *image_entrypoint = NULL, *image_cmd = NULL;
	int r = -1;

	if (read_list(config, "Entrypoint", "config", &entrypoint, err) < 0 ||
	    read_list(config, "Cmd", "config", &cmd, err) < 0 ||
	    read_list(image, "Entrypoint", "image", &image_entrypoint, err) < 0 ||
	    read_list(image, "Cmd", "image", &image_cmd, err) < 0)
		goto out;
	if (json_array_size(entrypoint) == 0) {
		if (json_array_size(cmd) == 0) {
			json_decref(cmd);
			cmd = json_incref(image_cmd);
		}
		if (!entrypoint)
			entrypoint = json_incref(image_entrypoint);
	}
	/* [""] asks for no entrypoint at all; it has kept the image's Cmd away, as dockerd does. */
	if (json_array_size(entrypoint) == 1 &&
	    !*json_string_value(json_array_get(entrypoint, 0))) {
		json_decref(entrypoint);
		entrypoint = NULL;
	}
	if (json_array_size(entrypoint) + json_array_size(cmd) == 0) {
		err_set(err, ERR_INVALID, "no command specified");
		goto out;
	}
	json_object_set_new(config, "Entrypoint", entrypoint ? json_deep_copy(entrypoint) : json_null());
	json_object_set_new(config, "Cmd", cmd ? json_deep_copy(cmd) : json_null());
	r = 0;
out:
	json_decref(entrypoint);
	json_decref(cmd);
	json_decref(image_entrypoint);
	json_decref(image_cmd);
	return r;
}

static bool same_variable(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return n == strcspn(b, "=") && strncmp(a, b, n) == 0;
}

/* The request's variables first and in their order, then the image's it does not mention. "KEY"
 * without a value counts as mentioned: that is how a variable of the image is removed. */
static int merge_env(json_t *config, json_t *image, struct err *err)
{
	json_t *ours = NULL, *theirs = NULL, *merged, *v, *w;
	size_t i, j;

	if (read_list(config, "Env", "config", &ours, err) < 0 ||
	    read_list(image, "Env", "image", &theirs, err) < 0) {
		json_decref(ours);
		return -1;
	}
	merged = json_array();
	json_array_foreach(ours, i, v) {
		if (strcspn(json_string_value(v), "=") == 0) {
			err_set(err, ERR_INVALID, "invalid environment variable: %s",
				json_string_value(v));
			json_decref(ours);
			json_decref(theirs);
			json_decref(merged);
			return -1;
		}
		json_array_append(merged, v);
	}
	json_array_foreach(theirs, i, v) {
		bool found = false;

		json_array_foreach(ours, j, w)
			found = found || same_variable(json_string_value(v), json_string_value(w));
		if (!found)
			json_array_append(merged, v);
	}
	json_decref(ours);
	json_decref(theirs);
	json_object_set_new(config, "Env", merged);
	return 0;
}

static bool has_only_strings(json_t *object)
{
	const char *key;
	json_t *v;

	json_object_foreach(object, key, v)
		if (!json_is_string(v))
			return false;
	return true;
}

/* Keys of the image's object that the request's has not. */
static int merge_object(json_t *config, json_t *image, const char *key, struct err *err)
{
	json_t *ours = get(config, key), *theirs = get(image, key);

	if (ours && !json_is_object(ours))
		return err_set(err, ERR_INVALID, "config: %s must be an object", key);
	if (!json_is_object(theirs))
		return 0;
	if (strcmp(key, "Labels") == 0 && !has_only_strings(theirs))
		return err_set(err, ERR_INVALID, "image: %s must be strings", key);
	if (!ours)
		return json_object_set_new(config, key, json_deep_copy(theirs));
	return json_object_update_missing(ours, theirs);
}

static int merge_string(json_t *config, json_t *image, const char *key, struct err *err)
{
	json_t *ours = get(config, key), *theirs = get(image, key);

	if (ours && !json_is_string(ours))
		return err_set(err, ERR_INVALID, "config: %s must be a string", key);
	if ((!ours || !*json_string_value(ours)) && json_is_string(theirs))
		json_object_set(config, key, theirs);
	return 0;
}

/* A zero in a given Healthcheck means: as the image says. */
static int merge_healthcheck(json_t *config, json_t *image, struct err *err)
{
	json_t *ours = get(config, "Healthcheck"), *theirs = get(image, "Healthcheck"), *test = NULL, *v;
	const char *key;

	if (!json_is_object(theirs))
		return 0;
	if (read_list(theirs, "Test", "image: Healthcheck", &test, err) < 0)
		return -1;
	json_decref(test);
	if (!json_is_object(ours))
		return json_object_set_new(config, "Healthcheck", json_deep_copy(theirs));
	json_object_foreach(theirs, key, v) {
		json_t *given = get(ours, key);

		if (!given || (json_is_array(given) && json_array_size(given) == 0) ||
		    (json_is_integer(given) && json_integer_value(given) == 0))
			json_object_set(ours, key, v);
	}
	return 0;
}

static int merge_shell(json_t *config, json_t *image, struct err *err)
{
	json_t *theirs = NULL;

	if (get(config, "Shell"))
		return 0;
	if (read_list(image, "Shell", "image", &theirs, err) < 0)
		return -1;
	return theirs ? json_object_set_new(config, "Shell", theirs) : 0;
}

int image_config_merge(json_t *config, json_t *image_config, struct err *err)
{
	static const char *const objects[] = {"Labels", "ExposedPorts", "Volumes"};
	static const char *const strings[] = {"WorkingDir", "User", "StopSignal"};

	for (size_t i = 0; i < sizeof(objects) / sizeof(*objects); i++)
		if (merge_object(config, image_config, objects[i], err) < 0)
			return -1;
	for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++)
		if (merge_string(config, image_config, strings[i], err) < 0)
			return -1;
	if (merge_shell(config, image_config, err) < 0 || merge_healthcheck(config, image_config, err) < 0 ||
	    merge_env(config, image_config, err) < 0)
		return -1;
	return merge_command(config, image_config, err);
}

void image_config_argv(json_t *config, struct strv *ret)
{
	static const char *const keys[] = {"Entrypoint", "Cmd"};

	for (size_t k = 0; k < 2; k++) {
		json_t *list = get(config, keys[k]), *item;
		size_t i;

		if (json_is_string(list))
			strv_add(ret, json_string_value(list));
		json_array_foreach(list, i, item)
			if (json_is_string(item))
				strv_add(ret, json_string_value(item));
	}
}
