/* image_save - GET /images/get and /images/{name}/get: images as a tar that docker load reads, docker-archive
 * and OCI layout in one, as dockerd writes it since version 25. Layers flow from the registry to the client,
 * compressed as they are, and are checked on their way; nothing is kept. What fails before the first byte has
 * its own status, later the connection is cut, so that no client takes half an archive for a whole one. */
#include <string.h>

#include "api/handlers.h"
#include "api/reply.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/token.h"
#include "image/archive_writer.h"
#include "image/reference.h"
#include "image/registry_fetch.h"
#include "state/image.h"

#define BLOBS "blobs/sha256/"
#define SHA256_PREFIX 7
#define LAYER_MS (12ULL * 3600 * 1000)
#define STALL_MS 300000
#define NAMES_MAX 1000

struct saved {
	char id[REGISTRY_DIGEST_MAX], manifest_digest[REGISTRY_DIGEST_MAX];
	struct strv tags;
	struct reference from;
	struct registry_session *session;
	char *manifest, *manifest_type, *config;
	size_t manifest_len, config_len;
	json_t *parsed;
};

struct save {
	struct saved *v;
	size_t n, image, layer;
	struct registry_fetch *fetch;
	struct registry_call *call;
	struct archive_writer *tar;
	struct sha256_sum *sum;
	int64_t left;
	json_t *written;       /* digests that are in the archive */
	bool full;             /* the client takes no more for now */
	bool waiting;          /* for it, between two files */
	struct err err;
};

static void next(struct request *r);

static void release(struct request *r)
{
	struct save *s = r->state;

	registry_fetch_cancel(s->fetch);
	registry_cancel(s->call);
	archive_writer_free(s->tar);
	sha256_end(s->sum, NULL);
	json_decref(s->written);
	for (size_t i = 0; i < s->n; i++) {
		struct saved *v = &s->v[i];

		registry_close(v->session);
		reference_release(&v->from);
		strv_release(&v->tags);
		free(v->manifest);
		free(v->manifest_type);
		free(v->config);
		json_decref(v->parsed);
	}
	free(s->v);
	free(s);
}

static void broken(struct request *r, const struct err *err)
{
	log_warn("an archive of images is cut", "why=\"%s\"", err->msg);
	exchange_abort(r->x);
	request_free(r);
}

/* ---- the archive ------------------------------------------------------------------------------------ */

static void on_out(void *ctx, const void *p, size_t n)
{
	struct request *r = ctx;
	struct save *s = r->state;

	s->full = !exchange_write(r->x, p, n);
}

static int write_file(struct save *s, const char *name, const void *p, size_t n, struct err *err)
{
	return archive_writer_file(s->tar, name, (int64_t)n, err) < 0 ? -1 : archive_writer_data(s->tar, p, n, err);
}

/* False if the archive has this blob. */
static bool claim(struct save *s, const char *digest)
{
	if (json_object_get(s->written, digest))
		return false;
	json_object_set_new(s->written, digest, json_true());
	return true;
}

static int write_blob(struct save *s, const char *digest, const void *p, size_t n, struct err *err)
{
	AUTO_FREE char *name = xasprintf(BLOBS "%s", digest + SHA256_PREFIX);

	return claim(s, digest) ? write_file(s, name, p, n, err) : 0;
}

static int write_json(struct save *s, const char *name, json_t *doc, struct err *err)
{
	AUTO_FREE char *text = json_dumps(doc, JSON_COMPACT);

	json_decref(doc);
	return write_file(s, name, text, strlen(text), err);
}

static json_t *docker_entry(const struct saved *v)
{
	json_t *tags = v->tags.n ? json_array() : json_null(), *names = json_array(), *layer;
	size_t i;

	for (i = 0; i < v->tags.n; i++)
		json_array_append_new(tags, json_string(v->tags.v[i]));
	json_array_foreach(json_object_get(v->parsed, "layers"), i, layer)
		json_array_append_new(names, json_sprintf(BLOBS "%s", json_string_value(json_object_get(layer, "digest")) +
							   SHA256_PREFIX));
	return json_pack("{s:o, s:o, s:o}", "Config", json_sprintf(BLOBS "%s", v->id + SHA256_PREFIX), "RepoTags", tags,
			 "Layers", names);
}

/* One descriptor for each name: that is how an OCI layout says names. */
static void add_descriptors(json_t *list, const struct saved *v)
{
	for (size_t i = 0; i < v->tags.n || i == 0; i++) {
		json_t *d = json_pack("{s:s, s:s, s:I}", "mediaType", v->manifest_type, "digest", v->manifest_digest, "size",
				      (json_int_t)v->manifest_len);

		if (v->tags.n)
			json_object_set_new(d, "annotations", json_pack("{s:s, s:s}", "io.containerd.image.name", v->tags.v[i],
				"org.opencontainers.image.ref.name", strrchr(v->tags.v[i], ':') + 1));
		json_array_append_new(list, d);
	}
}

static int write_index(struct save *s, struct err *err)
{
	json_t *docker = json_array(), *oci = json_array();

	for (size_t i = 0; i < s->n; i++) {
		json_array_append_new(docker, docker_entry(&s->v[i]));
		add_descriptors(oci, &s->v[i]);
	}
	oci = json_pack("{s:i, s:s, s:o}", "schemaVersion", 2, "mediaType", "application/vnd.oci.image.index.v1+json",
			"manifests", oci);
	if (write_json(s, "index.json", oci, err) < 0 || write_json(s, "manifest.json", docker, err) < 0 ||
	    write_json(s, "oci-layout", json_pack("{s:s}", "imageLayoutVersion", "1.0.0"), err) < 0)
		return -1;
	return archive_writer_end(s->tar, err);
}

/* ---- layers -------------------------------------------------------------------------------------------- */

static int on_bytes(void *ctx, const void *p, size_t n)
{
	struct request *r = ctx;
	struct save *s = r->state;

	if (s->full)
		return 1;
	s->left -= (int64_t)n;
	sha256_add(s->sum, p, n);
	if (s->left < 0)
		return err_set(&s->err, ERR_UPSTREAM, "a layer is longer than its manifest says");
	return archive_writer_data(s->tar, p, n, &s->err);
}

static const char *layer_text(const struct save *s, const char *key)
{
	json_t *layers = json_object_get(s->v[s->image].parsed, "layers");

	return json_string_value(json_object_get(json_array_get(layers, s->layer), key));
}

static void on_layer(void *ctx, const struct http_response *answer, const struct err *failed)
{
	struct request *r = ctx;
	struct save *s = r->state;
	char digest[REGISTRY_DIGEST_MAX] = "sha256:";
	uint8_t sum[SHA256_LEN];
	struct err err;
	int rc = 0;

	s->call = NULL;
	sha256_end(steal_ptr(&s->sum), sum);
	hex_encode(sum, sizeof(sum), digest + SHA256_PREFIX);
	if (failed)
		err = s->err.kind ? s->err : *failed, rc = -1;
	else if (answer->status != 200)
		rc = registry_refused(s->v[s->image].session, answer, false, &err);
	else if (s->left || strcmp(digest, layer_text(s, "digest")) != 0)
		rc = err_set(&err, ERR_UPSTREAM, "layer verification failed for digest %s", layer_text(s, "digest"));
	if (rc < 0) {
		broken(r, &err);
		return;
	}
	s->layer++;
	next(r);
}

static int start_layer(struct request *r, struct err *err)
{
	struct save *s = r->state;
	json_t *layer = json_array_get(json_object_get(s->v[s->image].parsed, "layers"), s->layer);
	const char *digest = layer_text(s, "digest");
	AUTO_FREE char *path = xasprintf("blobs/%s", digest), *name = xasprintf(BLOBS "%s", digest + SHA256_PREFIX);
	struct registry_request q = {.path = path, .write = on_bytes, .timeout_ms = LAYER_MS, .stall_ms = STALL_MS};

	s->left = json_integer_value(json_object_get(layer, "size"));
	s->sum = sha256_begin();
	if (archive_writer_file(s->tar, name, s->left, err) < 0)
		return -1;
	s->call = registry_ask(s->v[s->image].session, &q, on_layer, r, err);
	return s->call ? 0 : -1;
}

static void on_drain(struct exchange *x, void *ctx)
{
	struct request *r = ctx;
	struct save *s = r->state;

	s->full = false;
	registry_resume(s->call);
	if (s->waiting)
		next(r);
}

/* The next file; all but the layers are small. */
static void next(struct request *r)
{
	struct save *s = r->state;
	struct err err;

	s->waiting = s->full;
	if (s->full)
		return;
	for (; s->image < s->n; s->image++, s->layer = 0) {
		struct saved *v = &s->v[s->image];
		size_t layers = json_array_size(json_object_get(v->parsed, "layers"));

		while (s->layer < layers && !claim(s, layer_text(s, "digest")))
			s->layer++;
		if (s->layer < layers) {
			if (start_layer(r, &err) < 0)
				broken(r, &err);
			return;
		}
		if (write_blob(s, v->id, v->config, v->config_len, &err) < 0 ||
		    write_blob(s, v->manifest_digest, v->manifest, v->manifest_len, &err) < 0) {
			broken(r, &err);
			return;
		}
	}
	if (write_index(s, &err) < 0)
		broken(r, &err);
	else
		reply_end(r);
}

/* ---- what is to be saved ------------------------------------------------------------------------------ */

static int check_layers(json_t *manifest, struct err *err)
{
	json_t *layer;
	size_t i;

	json_array_foreach(json_object_get(manifest, "layers"), i, layer)
		if (!registry_is_digest(json_string_value(json_object_get(layer, "digest"))) ||
		    json_integer_value(json_object_get(layer, "size")) < 0)
			return err_set(err, ERR_UPSTREAM, "the manifest names layer %zu by no digest", i);
	return 0;
}

static void fetch_next(struct request *r);

static void on_fetched(void *ctx, const struct registry_image *image, const struct err *failed)
{
	struct request *r = ctx;
	struct save *s = r->state;
	struct saved *v = &s->v[s->image];
	struct err err;

	s->fetch = NULL;
	if (failed || check_layers(image->manifest, &err) < 0) {
		reply_err(r, failed ? failed : &err);
		return;
	}
	memcpy(v->manifest_digest, image->manifest_digest, sizeof(v->manifest_digest));
	v->manifest = xstrndup(image->manifest_text, image->manifest_len);
	v->manifest_len = image->manifest_len;
	v->manifest_type = xstrdup(image->manifest_type);
	v->config = xstrndup(image->config_text, image->config_len);
	v->config_len = image->config_len;
	v->parsed = json_incref(image->manifest);
	s->image++;
	fetch_next(r);
}

/* First all manifests: whatever is wrong with a registry shows here. */
static void fetch_next(struct request *r)
{
	struct save *s = r->state;
	struct err err;

	if (s->image < s->n) {
		struct saved *v = &s->v[s->image];

		v->session = registry_open(r->g, &v->from, NULL, REGISTRY_PULL);
		s->fetch = registry_fetch_in(v->session, v->from.digest ? v->from.digest : v->from.tag, REGISTRY_IMAGE,
					     on_fetched, r, &err);
		if (!s->fetch)
			reply_err(r, &err);
		return;
	}
	s->image = 0;
	s->written = json_object();
	s->tar = archive_writer_new(on_out, r);
	exchange_on_drain(r->x, on_drain, r);
	reply_begin(r, "application/x-tar");
	next(r);
}

static void add_tag(struct strv *tags, const char *tag)
{
	for (size_t i = 0; i < tags->n; i++)
		if (strcmp(tags->v[i], tag) == 0)
			return;
	strv_add(tags, tag);
}

static struct saved *add_image(struct save *s, const struct image *i, struct err *err)
{
	struct saved *v;

	for (size_t k = 0; k < s->n; k++)
		if (strcmp(s->v[k].id, i->id) == 0)
			return &s->v[k];
	s->v = xrealloc(s->v, (s->n + 1) * sizeof(*s->v));
	v = &s->v[s->n];
	*v = (struct saved){0};
	if (!i->pull_ref || reference_parse(i->pull_ref, &v->from, NULL) < 0) {
		err_set(err, ERR_SYSTEM, "%s: the registry it came from is not known", i->id);
		return NULL;
	}
	memcpy(v->id, i->id, sizeof(v->id));
	s->n++;
	return v;
}

/* A repository without a tag stands for all its tags; a tag for itself; an ID for an image without names. */
static int add_name(struct gateway *g, struct save *s, const char *name, struct err *err)
{
	struct reference ref = {0};
	const char *slash = strrchr(name, '/');
	bool bare = !strpbrk(slash ? slash : name, ":@") && reference_parse(name, &ref, NULL) == 0;
	struct image **list = images_list(g->images), *i;
	AUTO_FREE char *tag = NULL;
	struct saved *v = NULL;
	size_t len = bare ? strlen(ref.familiar) : 0;
	bool found = false, failed = false;

	for (size_t k = 0; bare && list[k]; k++)
		for (size_t n = 0; n < list[k]->tags.n && !failed; n++) {
			if (strncmp(list[k]->tags.v[n], ref.familiar, len) != 0 || list[k]->tags.v[n][len] != ':')
				continue;
			found = true;
			v = add_image(s, list[k], err);
			failed = !v;
			if (v)
				add_tag(&v->tags, list[k]->tags.v[n]);
		}
	free(list);
	reference_release(&ref);
	if (found)
		return failed ? -1 : 0;
	i = images_find(g->images, name, NULL);
	if (!i)
		return err_set(err, ERR_NOT_FOUND, "No such image: %s", name);
	v = add_image(s, i, err);
	if (v && reference_parse(name, &ref, NULL) == 0) {
		tag = reference_familiar_tagged(&ref);
		for (size_t k = 0; k < i->tags.n; k++)
			if (strcmp(i->tags.v[k], tag) == 0)
				add_tag(&v->tags, tag);
		reference_release(&ref);
	}
	return v ? 0 : -1;
}

static void begin(struct request *r, const struct strv *names)
{
	struct save *s = xcalloc(1, sizeof(*s));
	struct err err;

	r->state = s;
	r->release = release;
	for (size_t i = 0; i < names->n; i++)
		if (add_name(r->g, s, names->v[i], &err) < 0) {
			reply_err(r, &err);
			return;
		}
	fetch_next(r);
}

void image_save_one(struct request *r)
{
	struct strv names = {0};

	strv_add(&names, r->name);
	begin(r, &names);
	strv_release(&names);
}

/* ?names=a&names=b, and the older ?names=a,b. */
void image_save(struct request *r)
{
	struct strv names = {0};

	for (const char *q = exchange_query(r->x); *q && names.n < NAMES_MAX; q += strcspn(q, "&"), q += *q == '&') {
		AUTO_FREE char *one = xstrndup(q, strcspn(q, "&")), *value = parse_query(one, "names");

		for (const char *v = value; v && *v; v += strcspn(v, ","), v += *v == ',')
			strv_take(&names, xstrndup(v, strcspn(v, ",")));
	}
	begin(r, &names);
	strv_release(&names);
}
