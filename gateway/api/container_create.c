/* container_create - POST /containers/create: check, fill in, record. Nothing runs yet.
 * What Cloud Run cannot give is refused here with the reason, if leaving it out would change what the
 * container does; what merely has no effect is told as a warning. */
#include <stdio.h>
#include <string.h>

#include "api/container_binds.h"
#include "api/container_mounts.h"
#include "api/container_network.h"
#include "api/container_spec.h"
#include "api/handlers.h"
#include "api/image_store.h"
#include "api/image_view.h"
#include "api/reply.h"
#include "base/mem.h"
#include "cloud/job_options.h"
#include "cloud/job_resources.h"
#include "image/image_config.h"
#include "state/container.h"
#include "state/image.h"

static json_t *read_mounts(struct request *r, json_t *config, json_t *host_config, json_t *image, json_t *warnings,
			   struct err *err)
{
	return container_mounts_read(r->g, config, host_config, json_object_get(image, "Volumes"), warnings, err);
}

/* What Cloud Run would refuse at the start. */
static int check_job(struct request *r, json_t *config, json_t *host_config, json_t *mounts, json_t *warnings,
		     struct err *err)
{
	struct container draft = {.config = config, .host_config = host_config, .mounts = mounts};
	struct job_resources size;

	if (job_options_check(json_object_get(config, "Labels"), warnings, err) < 0)
		return -1;
	return job_resources_pick(r->g->config, &draft, &size, err);
}

/* Whose account, whose secrets, how large, where to: that is for who makes the container to say, not for the image's author. */
static void drop_image_options(json_t *labels, const json_t *given, json_t *warnings)
{
	const char *key;
	json_t *v;
	void *next;

	json_object_foreach_safe(labels, next, key, v) {
		if (strncmp(key, JOB_LABEL_PREFIX, strlen(JOB_LABEL_PREFIX)) != 0 || json_object_get(given, key))
			continue;
		json_array_append_new(warnings, json_sprintf("Label %s of the image has no effect.", key));
		json_object_del(labels, key);
	}
}

/* The image's part of the configuration. */
static int merge_image(json_t *config, const struct image *i, json_t *warnings, struct err *err)
{
	json_t *given = json_copy(json_object_get(config, "Labels"));
	int rc = image_config_merge(config, json_object_get(i->config, "config"), err);

	drop_image_options(json_object_get(config, "Labels"), given, warnings);
	json_decref(given);
	return rc;
}

/* Images are linux/amd64, or they would not have been pulled. */
static int check_platform(struct request *r, const char *image, struct err *err)
{
	AUTO_FREE char *platform = request_query(r, "platform");

	if (r->version < 41 || image_platform_check(platform, err) == 0)
		return 0;
	if (err->kind == ERR_NOT_FOUND)
		err_set(err, ERR_NOT_FOUND, "image with reference %s was found but does not match the specified platform: "
			"wanted %s, actual: linux/amd64", image, platform);
	return -1;
}

/* name= is given to containers_add as it came; "" means none, as in dockerd. */
static void add(struct request *r, json_t *config, json_t *host_config, json_t *networking, json_t *warnings)
{
	AUTO_FREE char *name = request_query(r, "name");
	const char *image = json_string_value(json_object_get(config, "Image"));
	struct image *i = NULL;
	struct container *c;
	json_t *mounts = NULL, *body;
	struct err err;

	i = images_find(r->g->images, image, &err);
	if (!i)
		image_name_blame(image, &err);
	if (i && check_platform(r, image, &err) == 0)
		mounts = read_mounts(r, config, host_config, json_object_get(i->config, "config"), warnings, &err);
	if (!mounts || merge_image(config, i, warnings, &err) < 0 ||
	    check_job(r, config, host_config, mounts, warnings, &err) < 0 ||
	    container_mounts_make(r->g, mounts, json_string_value(json_object_get(host_config, "VolumeDriver")), &err) < 0) {
		json_decref(mounts);
		json_decref(warnings);
		reply_err(r, &err);
		return;
	}
	c = containers_add(r->g->containers, &(struct container_new){
		.name = name && *name ? name : NULL, .image = image, .image_id = i->id, .image_ref = i->pull_ref,
		.config = json_incref(config), .host_config = json_incref(host_config),
		.networking = networking ? json_incref(networking) : NULL, .mounts = json_incref(mounts),
	}, &err);
	if (!c)
		container_mounts_undo(r->g, mounts);
	json_decref(mounts);
	if (!c) {
		json_decref(warnings);
		reply_err(r, &err);
		return;
	}
	body = json_pack("{s:s, s:o}", "Id", c->id, "Warnings", warnings);
	if (container_binds_any(c))
		container_binds_pack(r, c, body);
	else
		reply_json(r, 201, body);
}

static json_t *take(json_t *object, const char *key)
{
	json_t *v = json_object_get(object, key);

	if (json_is_null(v))
		v = NULL;
	json_incref(v);
	json_object_del(object, key);
	return v;
}

static void create(struct request *r, json_t *config)
{
	json_t *host_config = NULL, *given = NULL, *networking = NULL, *warnings = json_array();
	struct err err;

	if (json_object_size(config) == 0) {
		err_set(&err, ERR_INVALID, "Config cannot be empty in order to create a container");
		goto bad;
	}
	if (container_spec_config(config, &err) < 0)
		goto bad;
	if (r->version < 44)
		json_object_del(json_object_get(config, "Healthcheck"), "StartInterval");
	host_config = take(config, "HostConfig");
	given = take(config, "NetworkingConfig");
	if (!host_config)
		host_config = json_object();
	if (container_spec_host(host_config, warnings, &err) < 0 ||
	    container_network(r->g->containers, config, host_config, given, r->version, warnings, &networking, &err) < 0)
		goto bad;
	container_spec_warn(config, warnings);
	add(r, config, host_config, networking, warnings);
	json_decref(host_config);
	json_decref(given);
	json_decref(networking);
	return;
bad:
	json_decref(warnings);
	json_decref(host_config);
	json_decref(given);
	json_decref(networking);
	reply_err(r, &err);
}

void container_create(struct request *r)
{
	request_json(r, false, create);
}
