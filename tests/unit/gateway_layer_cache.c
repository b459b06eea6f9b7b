/* Layers on their way to our disk: checked, shared, bounded, thrown away. */
#include "http_fixture.h"

#include <dirent.h>
#include <jansson.h>
#include <sys/stat.h>

#include "base/token.h"
#include "image/layer_cache.h"
#include "image/registry_session.h"

static struct fake registry;
static char dir[] = "/tmp/layers-test-XXXXXX";
static struct layer_cache *cache;

static void open_cache(uint64_t max_bytes)
{
	struct err err = { 0 };

	layer_cache_free(cache);
	cache = layer_cache_new(&fixture_gateway, dir, max_bytes, &err);
	cr_assert_not_null(cache, "%s", err.msg);
}

static void setup(void)
{
	unsetenv("http_proxy");
	cr_assert_not_null(mkdtemp(dir));
	setenv("DOCKER_CONFIG", dir, 1);
	fixture_open();
	fake_open(&registry);
	open_cache(1000);
}

/* Names in the folder that begin so; all are removed with remove. */
static int files(const char *prefix, bool remove_them)
{
	AUTO_FREE char *layers = xasprintf("%s/layers", dir);
	DIR *d = opendir(layers);
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d))) {
		AUTO_FREE char *path = xasprintf("%s/%s", layers, e->d_name);

		n += e->d_name[0] != '.' && strncmp(e->d_name, prefix, strlen(prefix)) == 0;
		if (remove_them)
			unlink(path);
	}
	closedir(d);
	if (remove_them)
		rmdir(layers);
	return n;
}

static void teardown(void)
{
	layer_cache_free(cache);
	cache = NULL;
	fake_close(&registry);
	fixture_close();
	files("", true);
	rmdir(dir);
}

TestSuite(layer_cache, .init = setup, .fini = teardown);

struct outcome {
	int done;
	struct err err;
};

static void on_set(void *ctx, const struct err *err)
{
	struct outcome *o = ctx;

	o->done++;
	if (err)
		o->err = *err;
}

/* A manifest of layers with these contents; the caller drops it. */
static json_t *manifest_of(const char *const *contents)
{
	json_t *layers = json_array();
	char digest[REGISTRY_DIGEST_MAX];

	for (; *contents; contents++) {
		registry_digest_of(*contents, strlen(*contents), digest);
		json_array_append_new(layers, json_pack("{s:s, s:i}", "digest", digest, "size", (int)strlen(*contents)));
	}
	return json_pack("{s:o}", "layers", layers);
}

static struct layer_set *start(const char *const *contents, struct outcome *o)
{
	AUTO_FREE char *ref = xasprintf("127.0.0.1:%d/x@sha256:%064d", registry.port, 0);
	json_t *manifest = manifest_of(contents);
	struct layer_set *s = layer_set_fetch(cache, ref, manifest, on_set, o, &o->err);

	json_decref(manifest);
	cr_assert_not_null(s, "%s", o->err.msg);
	cr_expect_eq(o->done, 0, "answered inside the starting call");
	return s;
}

static struct outcome fetch(const char *const *contents)
{
	struct outcome o = { 0 };
	struct layer_set *s = start(contents, &o);

	fixture_run_until(&o.done);
	layer_set_release(s);
	return o;
}

static void expect_file(const char *file, const char *want)
{
	char got[64] = "";
	FILE *f = fopen(file, "r");

	cr_assert_not_null(f, "%s", file);
	cr_expect_str_eq(fgets(got, sizeof(got), f), want);
	fclose(f);
}

Test(layer_cache, layers_come_once_and_in_order)
{
	static const struct answer answers[] = {{200, "lower", NULL}, {200, "upper", NULL}};
	static const char *const contents[] = {"lower", "upper", NULL};
	struct outcome o = { 0 };
	struct layer_set *s;
	uint32_t n;

	registry.answers = answers;
	registry.n_answers = 2;
	s = start(contents, &o);
	fixture_run_until(&o.done);
	cr_assert_eq(o.err.kind, ERR_NONE, "%s", o.err.msg);
	cr_assert_eq((layer_set_files(s, &n), n), 2);
	expect_file(layer_set_files(s, &n)[0], "lower");
	expect_file(layer_set_files(s, &n)[1], "upper");
	layer_set_release(s);
	open_cache(1000); /* a new process */
	o = fetch(contents);
	cr_expect_eq(o.err.kind, ERR_NONE, "%s", o.err.msg);
	fake_expect(&registry, 0, "GET /v2/x/blobs/sha256:8c6fb1e9e37a1aea1d308c785192e1a17d71cef08c7f50a68d2e0ab292b2e7f4");
	cr_expect_eq(registry.n_asked, 2, "asked again for what is here");
}

Test(layer_cache, two_who_want_the_same_share_its_transfer)
{
	static const struct answer answers[] = {{200, "layer", NULL}};
	static const char *const contents[] = {"layer", NULL};
	struct outcome a = { 0 }, b = { 0 }, gone = { 0 };
	struct layer_set *first, *second, *third;

	registry.answers = answers;
	registry.n_answers = 1;
	first = start(contents, &a);
	second = start(contents, &b);
	third = start(contents, &gone);
	while (!registry.n_asked)
		uv_run(&fixture_loop, UV_RUN_ONCE);
	layer_set_release(third);
	fixture_run_until(&a.done);
	fixture_run_until(&b.done);
	cr_expect_eq(a.err.kind, ERR_NONE, "%s", a.err.msg);
	cr_expect_eq(b.err.kind, ERR_NONE, "%s", b.err.msg);
	cr_expect_eq(gone.done, 0);
	cr_expect_eq(registry.n_asked, 1);
	layer_set_release(first);
	layer_set_release(second);
}

Test(layer_cache, what_is_not_what_it_should_be_is_not_kept)
{
	static const struct answer answers[] = {{200, "evil!", NULL}, {200, "much too long", NULL},
						{404, "{\"errors\":[{\"code\":\"BLOB_UNKNOWN\"}]}", NULL}};
	static const char *const contents[] = {"layer", NULL};
	struct outcome o;

	registry.answers = answers;
	registry.n_answers = 3;
	o = fetch(contents);
	cr_expect_eq(o.err.kind, ERR_UPSTREAM);
	cr_expect(strstr(o.err.msg, "verification failed"), "%s", o.err.msg);
	o = fetch(contents);
	cr_expect(strstr(o.err.msg, "longer than its manifest says"), "%s", o.err.msg);
	o = fetch(contents);
	cr_expect_neq(o.err.kind, ERR_NONE);
	cr_expect_eq(files("", false), 0, "something is left");
}

Test(layer_cache, the_longest_unused_goes_when_there_is_no_room)
{
	static const struct answer answers[] = {{200, "aaaaaaaaaa", NULL}, {200, "bbbbbbbbbb", NULL},
						{200, "cccccccccc", NULL}, {200, "bbbbbbbbbb", NULL}};
	static const char *const a[] = {"aaaaaaaaaa", NULL}, *const b[] = {"bbbbbbbbbb", NULL},
				 *const c[] = {"cccccccccc", NULL}, *const big[] = {"ddddddddddddddddddddddddd", NULL};
	struct outcome o;

	open_cache(24);
	registry.answers = answers;
	registry.n_answers = 4;
	fetch(a);
	fetch(b);
	fetch(a); /* used again: b is the oldest */
	o = fetch(c);
	cr_expect_eq(o.err.kind, ERR_NONE, "%s", o.err.msg);
	cr_expect_eq(registry.n_asked, 3);
	fetch(a);
	cr_expect_eq(registry.n_asked, 3, "the one in use was thrown away");
	fetch(b);
	cr_expect_eq(registry.n_asked, 4, "the oldest was kept");
	o = fetch(big);
	cr_expect_eq(o.err.kind, ERR_LIMIT, "%s", o.err.msg);
	cr_expect_eq(registry.n_asked, 4);
}

/* A size below nothing is, without its sign, one that has room beside any other. */
Test(layer_cache, a_size_below_zero_is_none)
{
	static const struct answer answers[] = {{200, "layer", NULL}, {200, "a flood", NULL}};
	static const char *const contents[] = {"layer", NULL};
	AUTO_FREE char *ref = xasprintf("127.0.0.1:%d/x@sha256:%064d", registry.port, 0);
	char digest[REGISTRY_DIGEST_MAX];
	struct outcome o;
	json_t *manifest;

	registry.answers = answers;
	registry.n_answers = 2;
	fetch(contents);
	registry_digest_of("a flood", 7, digest);
	manifest = json_pack("{s:[{s:s, s:i}]}", "layers", "digest", digest, "size", -1);
	o = (struct outcome){ 0 };
	cr_expect_null(layer_set_fetch(cache, ref, manifest, on_set, &o, &o.err));
	cr_expect_eq(o.err.kind, ERR_UPSTREAM, "%s", o.err.msg);
	json_decref(manifest);
}

Test(layer_cache, nobody_is_left_and_the_transfer_ends)
{
	static const struct answer answers[] = {{200, "layer", NULL}};
	static const char *const contents[] = {"layer", NULL};
	struct outcome o = { 0 };
	struct layer_set *s;

	registry.answers = answers;
	registry.n_answers = 1;
	s = start(contents, &o);
	while (!files("fetch.", false))
		uv_run(&fixture_loop, UV_RUN_ONCE);
	layer_set_release(s);
	cr_expect_eq(files("", false), 0, "half a layer is left");
	cr_expect_eq(o.done, 0);
}
