/* layer_cache - see layer_cache.h. One struct layer per digest, whether it is here, on its way or wanted; a
 * set goes through its layers one after the other, and sets that want the same one share its transfer. */
#include "image/layer_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>
#include <utlist.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/token.h"
#include "gateway.h"
#include "image/reference.h"
#include "image/registry_session.h"
#include "net/defer.h"

#define PART "fetch."
#define TRANSFER_MS (6 * 3600 * 1000ULL)
#define STALL_MS 60000
#define LAYERS_MAX 1000

struct layer {
	char digest[REGISTRY_DIGEST_MAX];
	char *file;
	uint64_t bytes;          /* on disk */
	uint64_t used;           /* the larger, the later */
	unsigned holds;
	bool here;
	struct transfer *transfer;
	UT_hash_handle hh;
};

struct transfer {
	struct layer_cache *cache;
	struct layer *layer;
	struct registry_session *session;
	struct registry_call *call;
	struct sha256_sum *sum;
	char *part;
	int fd;
	uint64_t bytes, allowed;
	struct err err;          /* why the disk would not take it */
	struct layer_set *waiting;
};

struct layer_set {
	struct layer_cache *cache;
	struct reference ref;
	layer_set_cb *cb;
	void *ctx;
	struct layer **layers;
	uint64_t *sizes;         /* as the manifest says */
	char **files;
	uint32_t n, next;
	struct timer *step;
	struct transfer *transfer;
	struct layer_set *prev_waiting, *next_waiting;
};

struct layer_cache {
	struct gateway *g;
	char *dir;
	uint64_t max_bytes, clock;
	struct layer *layers;
};

static void step(void *p);

/* ---- layers -------------------------------------------------------------------------------------- */

static struct layer *layer_get(struct layer_cache *c, const char *digest)
{
	struct layer *l;

	HASH_FIND_STR(c->layers, digest, l);
	if (l)
		return l;
	l = xcalloc(1, sizeof(*l));
	memcpy(l->digest, digest, sizeof(l->digest)); /* registry_is_digest has said that it is so long */
	l->file = xasprintf("%s/sha256-%s", c->dir, strchr(digest, ':') + 1);
	HASH_ADD_STR(c->layers, digest, l);
	return l;
}

static void layer_forget(struct layer_cache *c, struct layer *l)
{
	HASH_DEL(c->layers, l);
	free(l->file);
	free(l);
}

/* Room for so many bytes more, at the cost of what was not used for the longest time. */
static int make_room(struct layer_cache *c, uint64_t bytes, struct err *err)
{
	for (;;) {
		struct layer *l, *tmp, *oldest = NULL;
		uint64_t sum = bytes;

		HASH_ITER(hh, c->layers, l, tmp) {
			sum += l->here ? l->bytes : l->transfer ? l->transfer->allowed : 0;
			if (l->here && !l->holds && (!oldest || l->used < oldest->used))
				oldest = l;
		}
		if (sum <= c->max_bytes)
			return 0;
		if (!oldest)
			return err_set(err, ERR_LIMIT, "the image's layers need more than the %llu bytes of "
				       "SOCKERLESS_LAYER_CACHE_MAX", (unsigned long long)c->max_bytes);
		(void) unlink(oldest->file); /* counted again at the next start if this fails */
		layer_forget(c, oldest);
	}
}

/* ---- one layer on its way ------------------------------------------------------------------------ */

static void transfer_end(struct transfer *t, const struct err *err)
{
	struct layer_set *s, *tmp, *waiting = t->waiting;

	t->layer->transfer = NULL;
	registry_cancel(t->call);
	registry_close(t->session);
	sha256_end(t->sum, NULL);
	if (t->fd >= 0)
		close(t->fd);
	if (t->part && err)
		(void) unlink(t->part);
	free(t->part);
	free(t);
	DL_FOREACH_SAFE2(waiting, s, tmp, next_waiting) {
		DL_DELETE2(waiting, s, prev_waiting, next_waiting);
		s->transfer = NULL;
		if (err)
			s->cb(s->ctx, err);
		else
			s->step = timer_start(s->cache->g->loop, 0, step, s);
	}
}

static int take(void *ctx, const void *p, size_t n)
{
	struct transfer *t = ctx;

	t->bytes += n;
	if (t->bytes > t->allowed)
		return err_set(&t->err, ERR_UPSTREAM, "layer %s is longer than its manifest says", t->layer->digest);
	sha256_add(t->sum, p, n);
	return write_all(t->fd, p, n) < 0 ? err_sys(&t->err, errno, "write %s", t->part) : 0;
}

static int check_and_keep(struct transfer *t, struct err *err)
{
	char digest[REGISTRY_DIGEST_MAX] = "sha256:";
	uint8_t sum[SHA256_LEN];

	sha256_end(t->sum, sum);
	t->sum = NULL;
	hex_encode(sum, sizeof(sum), digest + strlen(digest));
	if (strcmp(digest, t->layer->digest) != 0)
		return err_set(err, ERR_UPSTREAM, "filesystem layer verification failed for digest %s", t->layer->digest);
	if (rename(t->part, t->layer->file) < 0)
		return err_sys(err, errno, "rename %s", t->part);
	t->layer->here = true;
	t->layer->bytes = t->bytes;
	return 0;
}

static void on_layer(void *ctx, const struct http_response *r, const struct err *failed)
{
	struct transfer *t = ctx;
	struct err err = { 0 };

	t->call = NULL;
	if (failed && t->err.kind)
		err = t->err;
	else if (failed)
		err = *failed;
	else if (r->status != 200)
		registry_refused(t->session, r, false, &err);
	else
		check_and_keep(t, &err);
	transfer_end(t, err.kind ? &err : NULL);
}

static struct transfer *transfer_start(struct layer_set *s, struct layer *l, uint64_t bytes, struct err *err)
{
	AUTO_FREE char *path = xasprintf("blobs/%s", l->digest);
	struct registry_request q = { .path = path, .timeout_ms = TRANSFER_MS, .stall_ms = STALL_MS, .write = take };
	struct transfer *t;

	if (make_room(s->cache, bytes, err) < 0)
		return NULL;
	t = xcalloc(1, sizeof(*t));
	t->cache = s->cache;
	t->layer = l;
	t->allowed = bytes;
	t->sum = sha256_begin();
	t->part = xasprintf("%s/" PART "XXXXXX", s->cache->dir);
	t->fd = mkostemp(t->part, O_CLOEXEC);
	if (t->fd < 0)
		err_sys(err, errno, "create %s", t->part);
	else
		t->session = registry_open(s->cache->g, &s->ref, NULL, REGISTRY_PULL);
	if (t->session)
		t->call = registry_ask(t->session, &q, on_layer, t, err);
	if (!t->call) {
		transfer_end(t, err);
		return NULL;
	}
	l->transfer = t;
	return t;
}

/* ---- sets ---------------------------------------------------------------------------------------- */

/* The next layer that is not here; it is joined if it is on its way. */
static void step(void *p)
{
	struct layer_set *s = p;
	struct err err;
	struct layer *l;

	s->step = NULL;
	while (s->next < s->n && s->layers[s->next]->here)
		s->next++;
	if (s->next == s->n) {
		s->cb(s->ctx, NULL);
		return;
	}
	l = s->layers[s->next];
	s->transfer = l->transfer ? l->transfer : transfer_start(s, l, s->sizes[s->next], &err);
	if (s->transfer)
		DL_APPEND2(s->transfer->waiting, s, prev_waiting, next_waiting);
	else
		s->cb(s->ctx, &err);
}

static int take_layers(struct layer_set *s, json_t *layers, struct err *err)
{
	json_t *layer;
	size_t i;

	if (json_array_size(layers) > LAYERS_MAX)
		return err_set(err, ERR_INVALID, "an image of more than %d layers", LAYERS_MAX);
	s->layers = xcalloc(json_array_size(layers) + 1, sizeof(struct layer *));
	s->files = xcalloc(json_array_size(layers) + 1, sizeof(char *));
	s->sizes = xcalloc(json_array_size(layers) + 1, sizeof(*s->sizes));
	json_array_foreach(layers, i, layer) {
		const char *digest = json_string_value(json_object_get(layer, "digest"));
		json_int_t size = json_integer_value(json_object_get(layer, "size"));
		struct layer *l;

		if (!registry_is_digest(digest) || size < 0)
			return err_set(err, ERR_UPSTREAM, "a layer without a digest or a size that is understood");
		l = layer_get(s->cache, digest);
		l->holds++;
		l->used = ++s->cache->clock;
		s->sizes[s->n] = (uint64_t)size;
		s->files[s->n] = l->file;
		s->layers[s->n++] = l;
	}
	return 0;
}

struct layer_set *layer_set_fetch(struct layer_cache *c, const char *pull_ref, json_t *manifest, layer_set_cb *cb,
				  void *ctx, struct err *err)
{
	struct layer_set *s = xcalloc(1, sizeof(*s));

	s->cache = c;
	s->cb = cb;
	s->ctx = ctx;
	if (take_layers(s, json_object_get(manifest, "layers"), err) < 0 || reference_parse(pull_ref, &s->ref, err) < 0) {
		layer_set_release(s);
		return NULL;
	}
	s->step = timer_start(c->g->loop, 0, step, s);
	return s;
}

char *const *layer_set_files(const struct layer_set *s, uint32_t *ret_n)
{
	*ret_n = s->n;
	return s->files;
}

void layer_set_release(struct layer_set *s)
{
	struct transfer *t = s ? s->transfer : NULL;
	struct err gone;

	if (!s)
		return;
	timer_cancel(&s->step);
	if (t) {
		DL_DELETE2(t->waiting, s, prev_waiting, next_waiting);
		err_set(&gone, ERR_UNAVAILABLE, "nobody wants it any more");
		if (!t->waiting)
			transfer_end(t, &gone);
	}
	for (uint32_t i = 0; i < s->n; i++) {
		struct layer *l = s->layers[i];

		if (--l->holds == 0 && !l->here)
			layer_forget(s->cache, l);
	}
	reference_release(&s->ref);
	free(s->layers);
	free(s->files);
	free(s->sizes);
	free(s);
}

/* ---- life ---------------------------------------------------------------------------------------- */

static void load_one(struct layer_cache *c, const char *name)
{
	AUTO_FREE char *path = xasprintf("%s/%s", c->dir, name);
	AUTO_FREE char *digest = strncmp(name, "sha256-", 7) == 0 ? xasprintf("sha256:%s", name + 7) : NULL;
	struct stat st;
	struct layer *l;

	if (name[0] == '.' || stat(path, &st) < 0)
		return;
	if (!digest || !registry_is_digest(digest)) {
		(void) unlink(path); /* cut short by our end */
		return;
	}
	l = layer_get(c, digest);
	l->here = true;
	l->bytes = (uint64_t)st.st_size;
	l->used = (uint64_t)st.st_mtime;
	c->clock = l->used > c->clock ? l->used : c->clock;
}

struct layer_cache *layer_cache_new(struct gateway *g, const char *state_dir, uint64_t max_bytes, struct err *err)
{
	struct layer_cache *c = xcalloc(1, sizeof(*c));
	struct dirent *e;
	DIR *d;

	c->g = g;
	c->max_bytes = max_bytes;
	c->dir = xasprintf("%s/layers", state_dir);
	if (mkdir(c->dir, 0700) < 0 && errno != EEXIST) {
		err_sys(err, errno, "create %s", c->dir);
		layer_cache_free(c);
		return NULL;
	}
	d = opendir(c->dir);
	while (d && (e = readdir(d)))
		load_one(c, e->d_name);
	if (d)
		closedir(d);
	return c;
}

void layer_cache_free(struct layer_cache *c)
{
	struct layer *l, *tmp;

	if (!c)
		return;
	HASH_ITER(hh, c->layers, l, tmp)
		layer_forget(c, l);
	free(c->dir);
	free(c);
}
