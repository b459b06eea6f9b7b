/* Images with the agent in them: the layer's bytes, the image's texts, and who asks which registry for what. */
#include "http_fixture.h"

#include <archive.h>
#include <archive_entry.h>
#include <ftw.h>
#include <sys/stat.h>

#include "base/token.h"
#include "image/archive_agent.h"
#include "image/overlay.h"
#include "image/overlay_image.h"

static struct fake target, source;
static char dir[] = "/tmp/overlay-test-XXXXXX";
static atomic_bool never;

static void write_text(const char *name, const char *text)
{
	AUTO_FREE char *path = xasprintf("%s/%s", dir, name);
	FILE *f = fopen(path, "we");

	cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void setup(void)
{
	unsetenv("http_proxy");
	setenv("DOCKER_CONFIG", "/nonexistent", 1);
	cr_assert(mkdtemp(dir) != NULL);
	write_text("sockerless-agent", "#!the agent");
	write_text("ca-certificates.crt", "certificates");
	fixture_open();
	fake_open(&target);
	fake_open(&source);
	fixture_config = (struct config){
		.state_dir = dir, .agent_binary = xasprintf("%s/sockerless-agent", dir),
		.image_repository = xasprintf("127.0.0.1:%d/mine", target.port),
	};
}

static void teardown(void)
{
	fake_close(&target);
	fake_close(&source);
	fixture_close();
	free(fixture_config.agent_binary);
	free(fixture_config.image_repository);
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

TestSuite(overlay, .init = setup, .fini = teardown);

/* ---- the layer ------------------------------------------------------------------------------------- */

static struct archive_layer layer_in(const char *name)
{
	AUTO_FREE char *where = xasprintf("%s/%s", dir, name);
	struct archive_layer l;
	struct err err = {0};

	cr_assert(mkdir(where, 0700) == 0);
	cr_assert(archive_agent_layer(fixture_config.agent_binary, NULL, where, &never, &l, &err) == 0, "%s", err.msg);
	return l;
}

Test(overlay, the_same_agent_gives_the_same_bytes)
{
	struct archive_layer a = layer_in("a"), b;
	AUTO_FREE char *agent = xasprintf("%s/sockerless-agent", dir);

	cr_assert(chmod(agent, 0600) == 0); /* nothing of the file but its bytes counts */
	b = layer_in("b");
	cr_expect_str_eq(a.digest, b.digest);
	cr_expect_str_eq(a.diff_id, b.diff_id);
	cr_expect_eq(a.size, b.size);
	free(b.path);
	write_text("sockerless-agent", "#!another agent");
	b = layer_in("c");
	cr_expect_str_neq(a.digest, b.digest);
	cr_expect_str_neq(a.diff_id, b.diff_id);
	free(a.path);
	free(b.path);
}

Test(overlay, the_layer_holds_the_agent_and_its_certificates)
{
	static const struct {
		const char *name, *text;
		unsigned type, mode;
	} want[] = {
		{"sockerless/", "", AE_IFDIR, 0755},
		{"sockerless/ca-certificates.crt", "certificates", AE_IFREG, 0644},
		{"sockerless/sockerless-agent", "#!the agent", AE_IFREG, 0755},
	};
	struct archive_layer l = layer_in("a");
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	char text[64] = "";

	archive_read_support_filter_gzip(a);
	archive_read_support_format_tar(a);
	cr_assert(archive_read_open_filename(a, l.path, 4096) == ARCHIVE_OK);
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		cr_assert(archive_read_next_header(a, &e) == ARCHIVE_OK);
		cr_expect_str_eq(archive_entry_pathname(e), want[i].name);
		cr_expect(archive_entry_filetype(e) == want[i].type && archive_entry_perm(e) == want[i].mode);
		cr_expect(archive_entry_uid(e) == 0 && archive_entry_gid(e) == 0 && archive_entry_mtime(e) == 0);
		text[archive_read_data(a, text, sizeof(text) - 1)] = '\0';
		cr_expect_str_eq(text, want[i].text);
	}
	cr_expect(archive_read_next_header(a, &e) == ARCHIVE_EOF);
	archive_read_free(a);
	free(l.path);
}

Test(overlay, no_agent_is_a_sentence)
{
	struct archive_layer l;
	struct err err = {0};
	AUTO_FREE char *gone = xasprintf("%s/gone", dir);

	cr_expect(archive_agent_layer(gone, NULL, dir, &never, &l, &err) == -1);
	cr_expect(strstr(err.msg, "make the agent's layer: open ") && strstr(err.msg, "/gone: No such file"), "%s", err.msg);
	cr_expect(archive_agent_layer(NULL, dir, dir, &never, &l, &err) == -1);
	cr_expect(strstr(err.msg, "index.json") != NULL, "%s", err.msg);
}

/* ---- the texts -------------------------------------------------------------------------------------- */

#define D(c) "sha256:" c c c c c c c c
#define A8 "aaaaaaaa"
#define B8 "bbbbbbbb"
#define DOCKER "application/vnd.docker.distribution.manifest.v2+json"
#define OCI "application/vnd.oci.image.manifest.v1+json"

static const struct archive_layer fixed = {.digest = D(A8), .diff_id = D(B8), .size = 77};

static json_t *json(const char *text)
{
	json_t *j = json_loads(text, 0, NULL);

	cr_assert(j != NULL, "%s", text);
	return j;
}

static int build(const char *type, const char *manifest, const char *config, struct overlay_image *ret, struct err *err)
{
	json_t *m = json(manifest), *c = json(config);
	int rc = overlay_image_build(m, type, c, &fixed, ret, err);

	json_decref(m);
	json_decref(c);
	return rc;
}

#define MANIFEST "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"c\",\"digest\":\"old\",\"size\":1,\"data\":\"e30=\"}," \
	"\"layers\":[{\"mediaType\":\"l\",\"digest\":\"" D(B8) "\",\"size\":5}],\"subject\":{\"digest\":\"x\"}}"
#define CONFIG "{\"architecture\":\"amd64\",\"config\":{\"User\":\"app\",\"WorkingDir\":\"/srv\",\"Entrypoint\":[\"/e\"]," \
	"\"Cmd\":[\"c\"]},\"history\":[{\"created_by\":\"x\"},{\"created_by\":\"y\",\"empty_layer\":true}]," \
	"\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D(A8) "\"]}}"

Test(overlay, config_and_manifest_have_one_layer_more)
{
	struct overlay_image i, again;
	AUTO_FREE char *want = NULL;
	struct err err = {0};

	cr_assert(build(DOCKER, MANIFEST, CONFIG, &i, &err) == 0, "%s", err.msg);
	cr_expect_str_eq(i.config, "{\"architecture\":\"amd64\",\"config\":{\"User\":\"0:0\",\"WorkingDir\":\"/\",\"Entrypoint\":[\"/e\"],"
		"\"Cmd\":[\"c\"]},\"history\":[{\"created_by\":\"x\"},{\"created_by\":\"y\",\"empty_layer\":true},"
		"{\"created\":\"1970-01-01T00:00:00Z\",\"created_by\":\"sockerless-agent\"}],"
		"\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D(A8) "\",\"" D(B8) "\"]}}");
	want = xasprintf("{\"schemaVersion\":2,\"config\":{\"mediaType\":\"c\",\"digest\":\"%s\",\"size\":%zu},"
		"\"layers\":[{\"mediaType\":\"l\",\"digest\":\"" D(B8) "\",\"size\":5},"
		"{\"mediaType\":\"application/vnd.docker.image.rootfs.diff.tar.gzip\",\"size\":77,\"digest\":\"" D(A8) "\"}],"
		"\"mediaType\":\"" DOCKER "\"}", i.config_digest, strlen(i.config));
	cr_expect_str_eq(i.manifest, want);
	cr_assert(build(DOCKER, MANIFEST, CONFIG, &again, &err) == 0);
	cr_expect_str_eq(i.manifest, again.manifest);
	cr_expect_str_eq(i.config, again.config);
	overlay_image_release(&i);
	overlay_image_release(&again);
	cr_assert(build(OCI, MANIFEST, CONFIG, &i, &err) == 0);
	cr_expect(strstr(i.manifest, "\"application/vnd.oci.image.layer.v1.tar+gzip\"") && strstr(i.manifest, "\"" OCI "\""));
	overlay_image_release(&i);
}

Test(overlay, a_history_that_leaves_layers_out_stays_as_it_is)
{
	struct overlay_image i;
	struct err err = {0};

	cr_assert(build(OCI, MANIFEST, "{\"history\":[],\"rootfs\":{\"diff_ids\":[\"a\"]}}", &i, &err) == 0);
	cr_expect_str_eq(i.config, "{\"history\":[],\"rootfs\":{\"diff_ids\":[\"a\",\"" D(B8) "\"]},"
		"\"config\":{\"User\":\"0:0\",\"WorkingDir\":\"/\"}}");
	overlay_image_release(&i);
}

Test(overlay, what_is_no_image_is_refused)
{
	struct overlay_image i;
	struct err err = {0};

	cr_expect(build(OCI, MANIFEST, "{}", &i, &err) == -1 && err.kind == ERR_UPSTREAM);
	cr_expect(build(OCI, "{\"config\":{}}", CONFIG, &i, &err) == -1 && err.kind == ERR_UPSTREAM);
	cr_expect(build(OCI, MANIFEST, "{\"rootfs\":{\"diff_ids\":[]}}", &i, &err) == -1);
	cr_expect_str_eq(err.msg, "malformed image: 1 layers in its manifest, 0 in its config");
}

Test(overlay, a_tag_is_of_the_image_and_the_agent)
{
	struct archive_layer other = fixed;
	char a[OVERLAY_TAG_MAX], b[OVERLAY_TAG_MAX];

	overlay_image_tag(D(A8), &fixed, a);
	overlay_image_tag(D(A8), &fixed, b);
	cr_expect(strlen(a) == 64 && strcmp(a, b) == 0);
	snprintf(other.digest, sizeof(other.digest), "%s", D(B8)); /* packed by another gzip */
	overlay_image_tag(D(A8), &other, b);
	cr_expect_str_eq(a, b);
	overlay_image_tag(D(B8), &fixed, b);
	cr_expect_str_neq(a, b);
	snprintf(other.diff_id, sizeof(other.diff_id), "%s", D(A8));
	overlay_image_tag(D(A8), &other, b);
	cr_expect_str_neq(a, b);
}

/* ---- registries -------------------------------------------------------------------------------------- */

struct outcome {
	int done;
	char *ref;
	struct err err;
};

static void on_overlay(void *ctx, const char *ref, const struct err *err)
{
	struct outcome *o = ctx;

	cr_assert(!ref != !err && !o->done);
	o->done = 1;
	o->ref = xstrdup(ref);
	if (err)
		o->err = *err;
}

static struct overlays *begin(void)
{
	struct err err = {0};
	struct overlays *o = overlays_new(&fixture_gateway, &err);

	cr_assert(o != NULL, "%s", err.msg);
	return o;
}

static const char config_text[] = CONFIG;
static char manifest_text[1024], manifest_digest[REGISTRY_DIGEST_MAX], image[128];

/* An image of one layer in this registry. */
static void make_image(const struct fake *f)
{
	char config_digest[REGISTRY_DIGEST_MAX];

	registry_digest_of(config_text, strlen(config_text), config_digest);
	snprintf(manifest_text, sizeof(manifest_text), "{\"schemaVersion\":2,\"mediaType\":\"" OCI "\",\"config\":{\"digest\":\"%s\"},"
		 "\"layers\":[{\"digest\":\"" D(B8) "\",\"size\":5}]}", config_digest);
	registry_digest_of(manifest_text, strlen(manifest_text), manifest_digest);
	snprintf(image, sizeof(image), "127.0.0.1:%d/a/b@%s", f->port, manifest_digest);
}

static struct answer serve_image(struct fake *f, const struct asked *a)
{
	if (strncmp(a->line, "GET /v2/a/b/manifests/", 22) == 0)
		return (struct answer){200, manifest_text, NULL};
	if (strncmp(a->line, "GET /v2/a/b/blobs/" D(B8), 18 + 71) == 0)
		return (struct answer){200, "bytes", NULL};
	if (strncmp(a->line, "GET /v2/a/b/blobs/", 18) == 0)
		return (struct answer){200, config_text, NULL};
	return (struct answer){0};
}

/* Takes everything. Behind a HEAD of a manifest is nothing yet. */
static struct answer serve_target(struct fake *f, const struct asked *a)
{
	struct answer from_image = serve_image(f, a);

	if (from_image.status)
		return from_image;
	if (strncmp(a->line, "HEAD ", 5) == 0)
		return (struct answer){404, "", NULL};
	if (strstr(a->line, "mount="))
		return (struct answer){201, "", NULL};
	if (strncmp(a->line, "POST ", 5) == 0 || strncmp(a->line, "PATCH ", 6) == 0)
		return (struct answer){202, "", "Location: /v2/mine/overlays/blobs/uploads/1"};
	return (struct answer){201, "", NULL};
}

static size_t asked_for(const struct fake *f, const char *start)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_asked; i++)
		n += strncmp(f->asked[i].line, start, strlen(start)) == 0;
	return n;
}

static struct outcome get(struct overlays *o, const char *ref)
{
	struct outcome out = {0};

	overlay_get(o, ref, NULL, on_overlay, &out);
	cr_expect(!out.done, "told inside the call");
	fixture_run_until(&out.done);
	return out;
}

Test(overlay, what_is_there_costs_one_question_and_then_none)
{
	struct overlays *o = begin();
	struct outcome a, b;
	AUTO_FREE char *want = xasprintf("127.0.0.1:%d/mine/overlays@" D(A8), target.port);

	make_image(&source);
	FAKE_SCRIPT(&target, {200, "", "Docker-Content-Digest: " D(A8)});
	a = get(o, image);
	cr_assert(a.ref != NULL, "%s", a.err.msg);
	cr_expect_str_eq(a.ref, want);
	cr_expect(target.n_asked == 1 && asked_for(&target, "HEAD /v2/mine/overlays/manifests/") == 1);
	b = get(o, image);
	cr_expect(b.ref && strcmp(b.ref, want) == 0);
	cr_expect_eq(target.n_asked, 1);
	free(b.ref);
	overlay_doubt(o, image);
	b = get(o, image);
	cr_expect_eq(target.n_asked, 2);
	cr_expect_eq(source.n_asked, 0);
	free(a.ref);
	free(b.ref);
	overlays_free(o);
}

Test(overlay, a_registry_without_digests_in_its_answers_is_named_by_tag)
{
	struct overlays *o = begin();
	struct outcome a;
	AUTO_FREE char *start = xasprintf("127.0.0.1:%d/mine/overlays:", target.port);

	make_image(&source);
	FAKE_SCRIPT(&target, {200, "", NULL});
	a = get(o, image);
	cr_expect(a.ref && strncmp(a.ref, start, strlen(start)) == 0 && strlen(a.ref) == strlen(start) + 64, "%s", a.ref);
	free(a.ref);
	overlays_free(o);
}

Test(overlay, two_who_ask_at_once_share_one_injection)
{
	struct overlays *o = begin();
	struct outcome a = {0}, b = {0};
	AUTO_FREE char *line = NULL;

	make_image(&source);
	source.answer = serve_image;
	target.answer = serve_target;
	overlay_get(o, image, NULL, on_overlay, &a);
	overlay_get(o, image, NULL, on_overlay, &b);
	fixture_run_until(&a.done);
	fixture_run_until(&b.done);
	cr_assert(a.ref && b.ref, "%s %s", a.err.msg, b.err.msg);
	cr_expect_str_eq(a.ref, b.ref);
	cr_expect(strstr(a.ref, "/mine/overlays@sha256:") != NULL);
	line = xasprintf("GET /v2/a/b/manifests/%s", manifest_digest);
	fake_expect(&source, 0, line);
	cr_expect_eq(asked_for(&source, "GET /v2/a/b/manifests/"), 1);
	cr_expect_eq(asked_for(&source, "GET /v2/a/b/blobs/" D(B8)), 1); /* the layer flows from one to the other */
	cr_expect_eq(asked_for(&target, "PUT /v2/mine/overlays/manifests/"), 1);
	cr_expect_eq(asked_for(&target, "PATCH "), 2);
	free(a.ref);
	free(b.ref);
	overlays_free(o);
}

Test(overlay, layers_of_the_same_registry_are_mounted)
{
	struct overlays *o = begin();
	struct outcome a;

	make_image(&target);
	target.answer = serve_target;
	a = get(o, image);
	cr_assert(a.ref != NULL, "%s", a.err.msg);
	cr_expect_eq(asked_for(&target, "POST /v2/mine/overlays/blobs/uploads/?mount=" D(B8) "&from=a/b"), 1);
	cr_expect_eq(asked_for(&target, "GET /v2/a/b/blobs/" D(B8)), 0);
	cr_expect_eq(asked_for(&target, "PATCH "), 1); /* the agent's */
	free(a.ref);
	overlays_free(o);
}

Test(overlay, who_gives_up_ends_the_work_unless_others_wait)
{
	struct overlays *o = begin();
	struct outcome a = {0}, b = {0};
	struct overlay_wait *wait;

	make_image(&source);
	source.answer = serve_image;
	target.answer = serve_target;
	wait = overlay_get(o, image, NULL, on_overlay, &a);
	overlay_get(o, image, NULL, on_overlay, &b);
	overlay_cancel(wait);
	fixture_run_until(&b.done);
	cr_expect(!a.done && b.ref);
	free(b.ref);
	overlay_doubt(o, image);
	overlay_cancel(overlay_get(o, image, NULL, on_overlay, &a));
	b = (struct outcome){0};
	b = get(o, "127.0.0.1:1/never/there@" D(A8));
	cr_expect(!a.done);
	free(b.ref);
	overlays_free(o);
}

Test(overlay, a_failure_says_what_was_to_be_done)
{
	struct overlays *o = begin();
	struct outcome a;

	make_image(&source);
	FAKE_SCRIPT(&target, {404, "", NULL});
	FAKE_SCRIPT(&source, {404, "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"gone\"}]}", NULL});
	a = get(o, image);
	cr_expect(a.err.kind == ERR_UPSTREAM && strncmp(a.err.msg, "put the agent into the image 127.0.0.1:", 39) == 0, "%s", a.err.msg);
	cr_expect(strstr(a.err.msg, "manifest unknown: gone") != NULL, "%s", a.err.msg);
	FAKE_SCRIPT(&target, {403, "", NULL});
	a = get(o, image);
	cr_expect(a.err.kind == ERR_UPSTREAM && strstr(a.err.msg, "look for it in 127.0.0.1:") && strstr(a.err.msg, "overlays: denied: "), "%s",
		  a.err.msg);
	a = get(o, "busybox");
	cr_expect(strstr(a.err.msg, "put the agent into the image busybox: it is not known by its digest") != NULL, "%s", a.err.msg);
	overlays_free(o);
}

Test(overlay, a_busy_registry_is_asked_again)
{
	struct overlays *o = begin();
	struct outcome a;

	make_image(&source);
	FAKE_SCRIPT(&target, {503, "", NULL}, {200, "", "Docker-Content-Digest: " D(A8)});
	a = get(o, image);
	cr_expect(a.ref && target.n_asked == 2, "%s", a.err.msg);
	free(a.ref);
	overlays_free(o);
}

Test(overlay, nothing_waits_for_a_layer_that_cannot_be_made)
{
	struct overlays *o;
	struct outcome a;

	write_text("sockerless-agent", "");
	o = begin();
	a = get(o, "a/b@" D(A8));
	cr_expect(strstr(a.err.msg, "make the agent's layer: ") != NULL, "%s", a.err.msg);
	overlays_free(o);
}

Test(overlay, a_gateway_may_stop_while_the_layer_is_made)
{
	overlays_free(begin());
}
