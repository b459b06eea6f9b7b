/* image - a hash by ID; names are few per image and looked for one by one.
 * Docker's order of looking: a full ID is only that; else the name, then a prefix of an ID. */
#include "state/image.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway.h"
#include "state/doc.h"
#include "state/store.h"

#define KIND "image"
#define HEX "0123456789abcdef"
#define SHA256 "sha256:"
#define SHA256_LEN_HEX 64

struct images {
	struct gateway *g;
	struct image *by_id; /* ours */
};

static void image_free(struct image *i)
{
	strv_release(&i->tags);
	strv_release(&i->digests);
	free(i->pull_ref);
	json_decref(i->config);
	json_decref(i->manifest);
	free(i);
}

/* ---- names -------------------------------------------------------------------------------------- */

/* Up to the tag or digest. A colon before the last slash is a port. */
static size_t repository_len(const char *name)
{
	size_t n = strcspn(name, "@");

	while (n > 0 && name[n - 1] != '/')
		n--;
	return n + strcspn(name + n, ":@");
}

static const char *without(const char *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(s, prefix, n) == 0 && s[n] ? s + n : s;
}

/* "docker.io/library/busybox" → "busybox:latest"; "x:1@sha256:…" → "x@sha256:…". Caller frees. */
static char *familiar(const char *ref)
{
	const char *s = without(ref, "index.docker.io/"), *at, *last;
	size_t n;

	s = without(s, "docker.io/");
	last = without(s, "library/");
	if (!strchr(last, '/')) /* "library/a/b" keeps its library */
		s = last;
	n = repository_len(s);
	at = strchr(s, '@');
	if (at)
		return xasprintf("%.*s%s", (int)n, s, at);
	return xasprintf("%s%s", s, s[n] == ':' ? "" : ":latest");
}

static char **strv_find(const struct strv *list, const char *s)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->v[i], s) == 0)
			return &list->v[i];
	return NULL;
}

static void strv_without(struct strv *list, const char *s)
{
	char **at = strv_find(list, s);

	if (!at)
		return;
	free(*at);
	list->n--;
	memmove(at, at + 1, (size_t)(list->v + list->n + 1 - at) * sizeof(*at)); /* with the NULL */
}

static bool is_digest_ref(const char *name)
{
	return strchr(name, '@') != NULL;
}

static struct strv *names_of(struct image *i, const char *name)
{
	return is_digest_ref(name) ? &i->digests : &i->tags;
}

static struct image *by_name(struct images *t, const char *name)
{
	struct image *i, *tmp;

	HASH_ITER(hh, t->by_id, i, tmp)
		if (strv_find(names_of(i, name), name))
			return i;
	return NULL;
}

/* ---- stored form -------------------------------------------------------------------------------- */

static int save(struct images *t, struct image *i, struct err *err)
{
	json_t *d = json_object();

	json_object_set_new(d, "tags", doc_list(&i->tags));
	json_object_set_new(d, "digests", doc_list(&i->digests));
	json_object_set_new(d, "pullRef", doc_text(i->pull_ref));
	json_object_set(d, "config", i->config);
	json_object_set(d, "manifest", i->manifest);
	json_object_set_new(d, "size", json_integer(i->size));
	json_object_set_new(d, "pulled", json_integer(i->pulled_ns));
	if (doc_save(t->g->store, KIND, i->id, d, &i->version, err) < 0)
		return err_wrap(err, "image %.19s", i->id);
	return 0;
}

static void table_add(struct images *t, struct image *i)
{
	HASH_ADD_KEYPTR(hh, t->by_id, i->id, strlen(i->id), i);
}

static int load_one(void *ctx, const char *key, json_t *d, uint64_t version, struct err *err)
{
	struct image *i = xcalloc(1, sizeof(*i));

	snprintf(i->id, sizeof(i->id), "%s", key);
	doc_strv(d, "tags", &i->tags);
	doc_strv(d, "digests", &i->digests);
	i->pull_ref = doc_dup(d, "pullRef");
	i->config = doc_object(d, "config");
	i->manifest = doc_object(d, "manifest");
	i->size = doc_int(d, "size");
	i->pulled_ns = doc_int(d, "pulled");
	i->version = version;
	table_add(ctx, i);
	return 0;
}

/* A name moves by two writes, the new place first. After a crash between them the later pull has it. */
static int settle(struct images *t, struct err *err)
{
	struct image *i, *tmp, *other, *tmp2;

	HASH_ITER(hh, t->by_id, i, tmp) {
		size_t before = i->tags.n + i->digests.n;

		HASH_ITER(hh, t->by_id, other, tmp2) {
			if (other == i || other->pulled_ns <= i->pulled_ns)
				continue;
			for (size_t n = 0; n < other->tags.n; n++)
				strv_without(&i->tags, other->tags.v[n]);
			for (size_t n = 0; n < other->digests.n; n++)
				strv_without(&i->digests, other->digests.v[n]);
		}
		if (i->tags.n + i->digests.n != before && save(t, i, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- the table ---------------------------------------------------------------------------------- */

struct images *images_new(struct gateway *g, struct err *err)
{
	struct images *t = xcalloc(1, sizeof(*t));

	t->g = g;
	if (doc_load_all(g->store, KIND, load_one, t, err) == 0 && settle(t, err) == 0)
		return t;
	images_free(t);
	return NULL;
}

void images_free(struct images *t)
{
	struct image *i, *tmp;

	if (!t)
		return;
	HASH_ITER(hh, t->by_id, i, tmp) {
		HASH_DEL(t->by_id, i);
		image_free(i);
	}
	free(t);
}

/* Unique among the IDs; Docker finds nothing rather than one of several. */
static struct image *by_id_prefix(struct images *t, const char *ref)
{
	const char *hex = without(ref, SHA256);
	size_t n = strlen(hex), found = 0;
	struct image *i, *tmp, *match = NULL;

	if (n == 0 || n > SHA256_LEN_HEX || strspn(hex, HEX) != n)
		return NULL;
	HASH_ITER(hh, t->by_id, i, tmp) {
		if (strncmp(i->id + strlen(SHA256), hex, n) != 0)
			continue;
		match = i;
		found++;
	}
	return found == 1 ? match : NULL;
}

static bool is_full_id(const char *ref)
{
	const char *hex = without(ref, SHA256);

	return strlen(hex) == SHA256_LEN_HEX && strspn(hex, HEX) == SHA256_LEN_HEX;
}

struct image *images_find(struct images *t, const char *ref, struct err *err)
{
	AUTO_FREE char *name = NULL;
	struct image *i = NULL;

	if (is_full_id(ref)) {
		i = by_id_prefix(t, ref);
		if (!i)
			err_set(err, ERR_NOT_FOUND, "No such image: " SHA256 "%s", without(ref, SHA256));
		return i;
	}
	name = familiar(ref);
	i = by_name(t, name);
	if (!i)
		i = by_id_prefix(t, ref);
	if (!i)
		err_set(err, ERR_NOT_FOUND, "No such image: %s", name);
	return i;
}

static int64_t layers_size(const json_t *manifest)
{
	json_t *layer;
	size_t n;
	int64_t sum = 0;

	json_array_foreach(json_object_get(manifest, "layers"), n, layer)
		sum += doc_int(layer, "size");
	return sum;
}

/* The name is somebody else's now. */
static int take_from_others(struct images *t, const struct image *owner, const char *name, struct err *err)
{
	struct image *i, *tmp;

	if (!name)
		return 0;
	HASH_ITER(hh, t->by_id, i, tmp) {
		struct strv *names = names_of(i, name);

		if (i == owner || !strv_find(names, name))
			continue;
		strv_without(names, name);
		if (save(t, i, err) < 0)
			return -1;
	}
	return 0;
}

static void add_name(struct image *i, const char *name)
{
	if (name && !strv_find(names_of(i, name), name))
		strv_add(names_of(i, name), name);
}

struct image *images_put(struct images *t, const char *id, const char *tag, const char *digest_ref,
			 const char *pull_ref, json_t *config, json_t *manifest, struct err *err)
{
	AUTO_FREE char *tag_name = tag ? familiar(tag) : NULL;
	AUTO_FREE char *digest_name = digest_ref ? familiar(digest_ref) : NULL;
	struct image *old, *i = xcalloc(1, sizeof(*i));

	/* Built beside the old record, so that a refused write changes nothing. */
	HASH_FIND(hh, t->by_id, id, strlen(id), old);
	snprintf(i->id, sizeof(i->id), "%s", id);
	if (old) {
		strv_copy(&i->tags, &old->tags);
		strv_copy(&i->digests, &old->digests);
		i->version = old->version;
	}
	add_name(i, tag_name);
	add_name(i, digest_name);
	i->pull_ref = xstrdup(pull_ref ? pull_ref : old ? old->pull_ref : NULL);
	i->config = config ? config : old ? json_incref(old->config) : NULL;
	i->manifest = manifest ? manifest : old ? json_incref(old->manifest) : NULL;
	i->size = layers_size(i->manifest);
	i->pulled_ns = clock_wall_ns();
	if (save(t, i, err) < 0) {
		image_free(i);
		return NULL;
	}
	if (old) {
		/* In place: callers may hold the pointer. */
		struct image tmp = *old;

		*old = *i;
		old->hh = tmp.hh;
		*i = tmp;
		image_free(i);
		i = old;
	} else {
		table_add(t, i);
	}
	if (take_from_others(t, i, tag_name, err) < 0 || take_from_others(t, i, digest_name, err) < 0)
		return NULL;
	return i;
}

void images_pushed(struct images *t, const char *id, const char *repository, const char *digest)
{
	AUTO_FREE char *name = xasprintf("%s@%s", repository, digest);
	struct image *i;
	struct err err;

	HASH_FIND(hh, t->by_id, id, strlen(id), i);
	if (!i || strv_find(&i->digests, name))
		return;
	strv_add(&i->digests, name);
	if (save(t, i, &err) < 0 || take_from_others(t, i, name, &err) < 0)
		log_warn("a pushed image's digest is not kept", "why=\"%s\"", err.msg);
}

static int64_t created_ns(const struct image *i)
{
	const char *s = doc_str(i->config, "created");
	int64_t ns;

	return s && clock_parse(s, &ns) == 0 ? ns : 0;
}

struct dated {
	int64_t created_ns;
	struct image *image;
};

static int newest_first(const void *a, const void *b)
{
	const struct dated *x = a, *y = b;
	int by_creation = (x->created_ns < y->created_ns) - (x->created_ns > y->created_ns);

	if (by_creation)
		return by_creation;
	return (x->image->pulled_ns < y->image->pulled_ns) - (x->image->pulled_ns > y->image->pulled_ns);
}

struct image **images_list(struct images *t)
{
	size_t n = 0, count = HASH_COUNT(t->by_id);
	AUTO_FREE struct dated *dated = xcalloc(count, sizeof(*dated));
	struct image **list = xcalloc(count + 1, sizeof(*list)), *i, *tmp;

	HASH_ITER(hh, t->by_id, i, tmp)
		dated[n++] = (struct dated){created_ns(i), i};
	qsort(dated, count, sizeof(*dated), newest_first);
	for (n = 0; n < count; n++)
		list[n] = dated[n].image;
	return list;
}

/* Once the last tag of a repository is gone, its digests name nothing a user gave. */
static void drop_repository(struct image *i, const char *name)
{
	size_t len = repository_len(name), n = 0;

	for (size_t k = 0; k < i->tags.n; k++)
		if (repository_len(i->tags.v[k]) == len && strncmp(i->tags.v[k], name, len) == 0)
			return;
	while (n < i->digests.n) {
		if (repository_len(i->digests.v[n]) == len && strncmp(i->digests.v[n], name, len) == 0)
			strv_without(&i->digests, i->digests.v[n]);
		else
			n++;
	}
}

static int image_delete(struct images *t, struct image *i, struct err *err)
{
	if (store_delete(t->g->store, KIND, i->id, err) < 0)
		return err_wrap(err, "image %.19s", i->id);
	HASH_DEL(t->by_id, i);
	image_free(i);
	return 0;
}

int image_untag(struct images *t, struct image *i, const char *tag, bool *ret_deleted, struct err *err)
{
	AUTO_FREE char *name = tag ? familiar(tag) : NULL;
	struct strv tags = {0}, digests = {0};

	if (name && !strv_find(names_of(i, name), name))
		return err_set(err, ERR_NOT_FOUND, "No such image: %s", name);
	strv_copy(&tags, &i->tags);
	strv_copy(&digests, &i->digests);
	if (name) {
		strv_without(names_of(i, name), name);
		if (!is_digest_ref(name))
			drop_repository(i, name);
	} else {
		strv_release(&i->tags);
		strv_release(&i->digests);
	}
	*ret_deleted = i->tags.n == 0 && i->digests.n == 0;
	if ((*ret_deleted ? image_delete(t, i, err) : save(t, i, err)) == 0) {
		strv_release(&tags);
		strv_release(&digests);
		return 0;
	}
	*ret_deleted = false;
	strv_release(&i->tags);
	strv_release(&i->digests);
	i->tags = tags;
	i->digests = digests;
	return -1;
}
