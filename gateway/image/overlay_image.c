/* overlay_image - see overlay_image.h. Source: the image specifications of Docker 1.2 and OCI 1.0. */
#include "image/overlay_image.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "base/token.h"

#define DOCKER_GZIP "application/vnd.docker.image.rootfs.diff.tar.gzip"
#define OCI_GZIP "application/vnd.oci.image.layer.v1.tar+gzip"
#define SHAPE "1"    /* of what is built here: another one has other tags */

/* Empty layers of a history are none of the file system. */
static size_t layers_in(json_t *history)
{
	json_t *h;
	size_t i, n = 0;

	json_array_foreach(history, i, h)
		n += !json_is_true(json_object_get(h, "empty_layer"));
	return n;
}

static json_t *config_with(json_t *base, const struct archive_layer *agent)
{
	json_t *c = json_deep_copy(base), *diff_ids = json_object_get(json_object_get(c, "rootfs"), "diff_ids");
	json_t *history = json_object_get(c, "history"), *run = json_object_get(c, "config");

	/* A history that leaves layers out would give ours to another one's step. */
	if (history && layers_in(history) == json_array_size(diff_ids))
		json_array_append_new(history, json_pack("{s:s, s:s}", "created", "1970-01-01T00:00:00Z", "created_by",
							 "sockerless-agent"));
	json_array_append_new(diff_ids, json_string(agent->diff_id));
	if (!json_is_object(run)) {
		run = json_object();
		json_object_set_new(c, "config", run);
	}
	json_object_set_new(run, "User", json_string("0:0"));
	json_object_set_new(run, "WorkingDir", json_string("/"));
	return c;
}

static json_t *manifest_with(json_t *base, const char *type, const struct archive_layer *agent,
			     const struct overlay_image *i)
{
	json_t *m = json_deep_copy(base), *config = json_object_get(m, "config");
	bool oci = strstr(type, "oci") != NULL;

	json_object_set_new(m, "mediaType", json_string(type));
	json_object_set_new(config, "digest", json_string(i->config_digest));
	json_object_set_new(config, "size", json_integer((json_int_t)i->config_len));
	json_object_del(config, "data");  /* a copy of the former bytes, if anything */
	json_object_del(m, "subject");    /* this one is nobody's attachment */
	json_array_append_new(json_object_get(m, "layers"), json_pack("{s:s, s:I, s:s}", "mediaType",
		oci ? OCI_GZIP : DOCKER_GZIP, "size", (json_int_t)agent->size, "digest", agent->digest));
	return m;
}

static char *text_of(json_t *j, size_t *ret_len)
{
	char *text = json_dumps(j, JSON_COMPACT);

	json_decref(j);
	*ret_len = strlen(text);
	return text;
}

int overlay_image_build(json_t *manifest, const char *manifest_type, json_t *config, const struct archive_layer *agent,
			struct overlay_image *ret, struct err *err)
{
	json_t *diff_ids = json_object_get(json_object_get(config, "rootfs"), "diff_ids");
	size_t n = json_array_size(json_object_get(manifest, "layers"));

	*ret = (struct overlay_image){0};
	if (!json_is_array(diff_ids) || !json_is_object(json_object_get(manifest, "config")) ||
	    !json_is_array(json_object_get(manifest, "layers")))
		return err_set(err, ERR_UPSTREAM, "malformed image: its manifest or config lists no layers");
	if (n != json_array_size(diff_ids))
		return err_set(err, ERR_UPSTREAM, "malformed image: %zu layers in its manifest, %zu in its config", n,
			       json_array_size(diff_ids));
	ret->config = text_of(config_with(config, agent), &ret->config_len);
	registry_digest_of(ret->config, ret->config_len, ret->config_digest);
	ret->manifest = text_of(manifest_with(manifest, manifest_type, agent, ret), &ret->manifest_len);
	return 0;
}

void overlay_image_release(struct overlay_image *i)
{
	free(i->config);
	free(i->manifest);
	*i = (struct overlay_image){0};
}

void overlay_image_tag(const char *base, const struct archive_layer *agent, char ret[OVERLAY_TAG_MAX])
{
	AUTO_FREE char *key = xasprintf(SHAPE "\n%s\n%s\n", base, agent->diff_id);
	uint8_t sum[SHA256_LEN];

	sha256(key, strlen(key), sum);
	hex_encode(sum, sizeof(sum), ret);
}
