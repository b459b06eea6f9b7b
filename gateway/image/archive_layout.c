/* archive_layout - see archive_layout.h. Of an index only what runs on linux/amd64 is taken. */
#include "image/archive_layout.h"
#include "base/path.h"

#include <string.h>

#define LINKS_MAX 10
#define INDEX_DEPTH_MAX 4
#define IMAGES_MAX 1000
#define REF_NAME "org.opencontainers.image.ref.name"
#define FULL_NAME "io.containerd.image.name"

struct reading {
	struct archive_files *files;
	struct archive_layout *layout;
	archive_read_fn *read;
};

/* ---- files ---------------------------------------------------------------------------------------- */

char *archive_name(const char *beside, const char *name)
{
	const char *slash = beside && *name != '/' ? strrchr(beside, '/') : NULL;
	AUTO_FREE char *whole = xasprintf("/%.*s/%s", slash ? (int)(slash - beside) : 0, beside ? beside : "", name);
	AUTO_FREE char *clean = path_clean(whole);

	return xstrdup(clean + 1);
}

static void file_free(struct archive_file *f)
{
	free(f->name);
	free(f->link);
	free(f->path);
	if (f->layer)
		free(f->layer->path);
	free(f->layer);
	free(f);
}

struct archive_file *archive_files_add(struct archive_files *files, const char *name)
{
	struct archive_file *f = xcalloc(1, sizeof(*f)), *old;

	f->name = archive_name(NULL, name);
	HASH_FIND_STR(files->by_name, f->name, old);
	if (old) {
		HASH_DEL(files->by_name, old);
		file_free(old);
	}
	HASH_ADD_KEYPTR(hh, files->by_name, f->name, strlen(f->name), f);
	files->n++;
	return f;
}

void archive_files_release(struct archive_files *files)
{
	struct archive_file *f, *tmp;

	HASH_ITER(hh, files->by_name, f, tmp) {
		HASH_DEL(files->by_name, f);
		file_free(f);
	}
}

/* What the name stands for, through links; NULL if there is no such file. */
static struct archive_file *find(struct archive_files *files, const char *name)
{
	AUTO_FREE char *clean = archive_name(NULL, name ? name : "");
	struct archive_file *f;

	HASH_FIND_STR(files->by_name, clean, f);
	for (int i = 0; f && f->link && i < LINKS_MAX; i++) {
		const char *to = f->link;

		HASH_FIND_STR(files->by_name, to, f);
	}
	return f && !f->link ? f : NULL;
}

static struct archive_file *find_blob(struct archive_files *files, json_t *descriptor)
{
	const char *digest = json_string_value(json_object_get(descriptor, "digest"));
	AUTO_FREE char *name = registry_is_digest(digest) ? xasprintf("blobs/sha256/%s", digest + 7) : NULL;
	struct archive_file *f = name ? find(files, name) : NULL;

	return f && strcmp(f->digest, digest) == 0 ? f : NULL;
}

static json_t *read_json(const struct reading *r, const struct archive_file *f, struct err *err)
{
	AUTO_FREE char *text = NULL;
	size_t len;
	json_error_t why;
	json_t *root;

	if (r->read(f, &text, &len, err) < 0)
		return NULL;
	root = json_loadb(text, len, 0, &why);
	if (!root)
		err_set(err, ERR_INVALID, "%s in the archive: %s", f->name, why.text);
	return root;
}

static struct archive_parts *add_image(struct archive_layout *l)
{
	l->v = xrealloc(l->v, (l->n + 1) * sizeof(*l->v));
	l->v[l->n] = (struct archive_parts){0};
	return &l->v[l->n++];
}

static int missing(const char *what, struct err *err)
{
	return err_set(err, ERR_INVALID, "the archive has no file %.200s", what ? what : "where one is named");
}

/* ---- docker save's manifest.json ---------------------------------------------------------------------- */

static int take_docker(struct reading *r, json_t *item, struct err *err)
{
	const char *config = json_string_value(json_object_get(item, "Config"));
	json_t *layers = json_object_get(item, "Layers"), *tags = json_object_get(item, "RepoTags"), *v;
	struct archive_parts *p = add_image(r->layout);
	size_t i;

	p->config = find(r->files, config);
	if (!p->config)
		return missing(config, err);
	json_array_foreach(tags, i, v)
		if (json_is_string(v))
			strv_add(&p->tags, json_string_value(v));
	p->layers = xcalloc(json_array_size(layers) + 1, sizeof(*p->layers));
	json_array_foreach(layers, i, v) {
		p->layers[i] = find(r->files, json_string_value(v));
		if (!p->layers[i])
			return missing(json_string_value(v), err);
		p->n_layers++;
	}
	return 0;
}

/* ---- an OCI layout's index.json ------------------------------------------------------------------------- */

static void take_name(struct archive_parts *p, json_t *annotations)
{
	const char *full = json_string_value(json_object_get(annotations, FULL_NAME));
	const char *ref = json_string_value(json_object_get(annotations, REF_NAME));

	if (full)
		strv_add(&p->tags, full);
	else if (ref && strpbrk(ref, ":/")) /* a bare tag names nothing */
		strv_add(&p->tags, ref);
}

static int take_manifest(struct reading *r, struct archive_file *f, json_t *manifest, json_t *names, struct err *err)
{
	json_t *layers = json_object_get(manifest, "layers"), *v;
	struct archive_parts *p = add_image(r->layout);
	size_t i;

	p->manifest = f;
	take_name(p, names);
	p->config = find_blob(r->files, json_object_get(manifest, "config"));
	if (!p->config)
		return missing("of the config, or its digest is another", err);
	p->layers = xcalloc(json_array_size(layers) + 1, sizeof(*p->layers));
	json_array_foreach(layers, i, v) {
		p->layers[i] = find_blob(r->files, v);
		if (!p->layers[i])
			return missing(json_string_value(json_object_get(v, "digest")), err);
		/* The manifest is kept byte for byte, so a layer that we would compress does not fit it. */
		if (!strstr(json_string_value(json_object_get(v, "mediaType")) ? : "", "+"))
			p->manifest = NULL;
		p->n_layers++;
	}
	return 0;
}

static bool runs(json_t *descriptor)
{
	json_t *p = json_object_get(descriptor, "platform");
	const char *os = json_string_value(json_object_get(p, "os"));
	const char *arch = json_string_value(json_object_get(p, "architecture"));

	return !p || (os && arch && strcmp(os, "linux") == 0 && strcmp(arch, "amd64") == 0);
}

static int take_index(struct reading *r, json_t *index, json_t *names, int depth, struct err *err)
{
	json_t *entry, *list = json_object_get(index, "manifests");
	size_t i;
	int rc = 0;

	if (depth > INDEX_DEPTH_MAX || json_array_size(list) > IMAGES_MAX)
		return err_set(err, ERR_LIMIT, "the archive's index is too deep or too long");
	for (i = 0; rc == 0 && (entry = json_array_get(list, i)); i++) {
		struct archive_file *f = find_blob(r->files, entry);
		json_t *own = json_object_get(entry, "annotations"), *doc;

		if (!runs(entry))
			continue;
		if (!f)
			return missing(json_string_value(json_object_get(entry, "digest")), err);
		doc = read_json(r, f, err);
		if (!doc)
			return -1;
		if (json_object_get(doc, "manifests"))
			rc = take_index(r, doc, own ? own : names, depth + 1, err);
		else if (json_object_get(doc, "layers"))
			rc = take_manifest(r, f, doc, own ? own : names, err);
		json_decref(doc);
	}
	return rc;
}

int archive_layout_read(struct archive_files *files, struct archive_layout *ret, archive_read_fn *read, struct err *err)
{
	struct archive_file *docker = find(files, "manifest.json"), *oci = find(files, "index.json");
	struct reading r = {files, ret, read};
	json_t *root, *item;
	int rc = 0;

	if (!docker && !oci)
		return err_set(err, ERR_INVALID, "the archive holds no image: neither manifest.json (docker save) nor "
			       "index.json (OCI layout)");
	root = read_json(&r, docker ? docker : oci, err);
	if (!root)
		return -1;
	if (docker)
		for (size_t i = 0; rc == 0 && i < IMAGES_MAX && (item = json_array_get(root, i)); i++)
			rc = take_docker(&r, item, err);
	else
		rc = take_index(&r, root, NULL, 0, err);
	json_decref(root);
	if (rc == 0 && ret->n == 0)
		rc = err_set(err, ERR_INVALID, "the archive holds no image for linux/amd64");
	return rc;
}

void archive_layout_release(struct archive_layout *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].layers);
		strv_release(&l->v[i].tags);
	}
	free(l->v);
}
