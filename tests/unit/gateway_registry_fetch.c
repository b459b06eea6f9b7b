/* Fetching a manifest and a config: from scripted registries, with every way they have to refuse. */
#include "http_fixture.h"

#include <jansson.h>
#include <sys/stat.h>

#include "base/parse.h"
#include "base/token.h"
#include "image/registry_fetch.h"

#define INDEX_TYPE "application/vnd.oci.image.index.v1+json"

static struct fake registry, other;
static char docker_config[] = "/tmp/registry-test-XXXXXX";

struct outcome {
	int done;
	struct registry_image image;
	struct err err;
};

static void on_image(void *ctx, const struct registry_image *image, const struct err *err)
{
	struct outcome *o = ctx;

	cr_assert(!image != !err, "exactly one of them");
	o->done++;
	if (image) {
		o->image = *image;
		json_incref(o->image.manifest);
		json_incref(o->image.config);
	} else {
		o->err = *err;
	}
}

static void setup(void)
{
	unsetenv("http_proxy");
	cr_assert(mkdtemp(docker_config) != NULL);
	setenv("DOCKER_CONFIG", docker_config, 1);
	fixture_open();
	fake_open(&registry);
	fake_open(&other);
}

static void teardown(void)
{
	AUTO_FREE char *file = xasprintf("%s/config.json", docker_config);

	unlink(file);
	rmdir(docker_config);
	fake_close(&registry);
	fake_close(&other);
	fixture_close();
}

TestSuite(registry, .init = setup, .fini = teardown);

static struct outcome fetch(const char *name, const char *auth)
{
	AUTO_FREE char *full = xasprintf("127.0.0.1:%d/%s", registry.port, name);
	struct outcome o = {0};
	struct registry_fetch *f;
	struct reference ref;

	cr_assert(reference_parse(full, &ref, &o.err) == 0, "%s", o.err.msg);
	f = registry_fetch_start(&fixture_gateway, &ref, auth, on_image, &o, &o.err);
	cr_expect(!o.done, "answered inside the starting call");
	reference_release(&ref);
	if (!f)
		return o;
	fixture_run_until(&o.done);
	return o;
}

static void outcome_release(struct outcome *o)
{
	json_decref(o->image.manifest);
	json_decref(o->image.config);
}

/* ---- an image ---------------------------------------------------------------------------------- */

static char config_digest[72], manifest_digest[72], index_digest[72];
static const char config_text[] = "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Cmd\":[\"sh\"]}}";
static char manifest_text[512], index_text[512];

static void digest(const char *text, char out[72])
{
	uint8_t sum[SHA256_LEN];

	sha256(text, strlen(text), sum);
	memcpy(out, "sha256:", 7);
	hex_encode(sum, sizeof(sum), out + 7);
}

static void make_image(void)
{
	digest(config_text, config_digest);
	snprintf(manifest_text, sizeof(manifest_text), "{\"schemaVersion\":2,\"config\":{\"digest\":\"%s\"},\"layers\":[]}",
		 config_digest);
	digest(manifest_text, manifest_digest);
	snprintf(index_text, sizeof(index_text), "{\"schemaVersion\":2,\"manifests\":["
		 "{\"digest\":\"sha256:0\",\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\"}},"
		 "{\"digest\":\"%s\",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}}]}", manifest_digest);
	digest(index_text, index_digest);
}

/* Serves the image; where the scripted answer has something else to say, it is asked first. */
static struct answer serve_image(struct fake *f, const struct asked *a)
{
	if (strstr(a->line, "/blobs/"))
		return (struct answer){200, config_text, NULL};
	if (strstr(a->line, manifest_digest))
		return (struct answer){200, manifest_text, NULL};
	return (struct answer){200, index_text, "Content-Type: " INDEX_TYPE};
}

static void expect_image(const struct outcome *o)
{
	cr_assert(o->image.config != NULL, "%s", o->err.msg);
	cr_expect_str_eq(o->image.id, config_digest);
	cr_expect_str_eq(o->image.manifest_digest, manifest_digest);
	cr_expect(json_object_get(o->image.manifest, "layers") != NULL);
	cr_expect(json_object_get(o->image.config, "config") != NULL);
}

Test(registry, an_index_leads_to_the_manifest_for_amd64_and_its_config)
{
	struct outcome o;
	AUTO_FREE char *line = NULL;

	make_image();
	registry.answer = serve_image;
	o = fetch("a/b:1", NULL);
	expect_image(&o);
	cr_expect_str_eq(o.image.digest, index_digest);
	cr_assert(registry.n_asked == 3);
	fake_expect(&registry, 0, "GET /v2/a/b/manifests/1");
	line = xasprintf("GET /v2/a/b/blobs/%s", config_digest);
	fake_expect(&registry, 2, line);
	cr_expect(!registry.asked[0].authorization);
	outcome_release(&o);
}

Test(registry, a_digest_is_asked_for_and_checked)
{
	AUTO_FREE char *name = NULL;
	struct outcome o;

	make_image();
	registry.answer = serve_image;
	name = xasprintf("x@%s", manifest_digest);
	o = fetch(name, NULL);
	expect_image(&o);
	cr_expect_str_eq(o.image.digest, manifest_digest);
	outcome_release(&o);

	free(name);
	name = xasprintf("x@%s", config_digest); /* the index is served for it */
	o = fetch(name, NULL);
	cr_expect(o.err.kind == ERR_UPSTREAM && strstr(o.err.msg, "manifest verification failed"), "%s", o.err.msg);
}

static struct answer wrong_config(struct fake *f, const struct asked *a)
{
	return strstr(a->line, "/blobs/") ? (struct answer){200, "{\"config\":{}}", NULL} : serve_image(f, a);
}

Test(registry, a_config_with_another_digest_is_not_believed)
{
	struct outcome o;

	make_image();
	registry.answer = wrong_config;
	o = fetch("x", NULL);
	cr_expect(o.err.kind == ERR_UPSTREAM && strstr(o.err.msg, "config verification failed"), "%s", o.err.msg);
}

Test(registry, refusals_are_dockerds_sentences)
{
	static const struct {
		struct answer answer;
		enum err_kind kind;
		const char *sentence; /* behind host:port/ */
	} table[] = {
		{{404, "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\"}]}", NULL}, ERR_NOT_FOUND,
		 "a:t not found: manifest unknown: manifest unknown"},
		{{404, "", NULL}, ERR_NOT_FOUND, "a:t not found: manifest unknown: manifest unknown"},
		{{404, "{\"errors\":[{\"code\":\"NAME_UNKNOWN\",\"message\":\"repository name not known to registry\"}]}", NULL},
		 ERR_NOT_FOUND, "a not found: name unknown: repository name not known to registry"},
		{{403, "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"requested access to the resource is denied\"}]}", NULL},
		 ERR_NOT_FOUND, "a, repository does not exist or may require 'docker login': denied: requested access to the "
		 "resource is denied"},
		{{401, "", NULL}, ERR_NOT_FOUND, "a, repository does not exist or may require 'docker login': denied: requested "
		 "access to the resource is denied"},
		{{429, "{\"errors\":[{\"code\":\"TOOMANYREQUESTS\",\"message\":\"slow\"}]}", NULL}, ERR_LIMIT,
		 "toomanyrequests: slow"},
		{{500, "oops", NULL}, ERR_UPSTREAM, "received unexpected HTTP status 500"},
		{{200, "[]", NULL}, ERR_UPSTREAM, "is not JSON"},
		{{200, "{\"schemaVersion\":1}", NULL}, ERR_UNSUPPORTED, "schema version 1"},
		{{200, "{\"schemaVersion\":2}", NULL}, ERR_UPSTREAM, "names no config"},
		{{200, "{\"manifests\":[{\"digest\":\"x\",\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\"}}]}", NULL},
		 ERR_NOT_FOUND, "no matching manifest for linux/amd64 in the manifest list entries"},
		{{307, "", NULL}, ERR_UPSTREAM, "redirect without a usable Location"},
		{{307, "", "Location: ftp://x/y"}, ERR_UPSTREAM, "redirect without a usable Location"},
		{{302, "", "Location: /v2/again"}, ERR_UPSTREAM, "more than 5 redirects"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct outcome o;

		registry.answers = &table[i].answer;
		registry.n_answers = 1;
		o = fetch("a:t", NULL);
		cr_expect(o.done && o.err.kind == table[i].kind, "%zu: %d %s", i, (int)o.err.kind, o.err.msg);
		cr_expect(strstr(o.err.msg, table[i].sentence) != NULL, "%zu: %s", i, o.err.msg);
	}
}

/* ---- authentication ---------------------------------------------------------------------------- */

static char challenge[256];
static const char *expected; /* Authorization that opens the registry */

static struct answer guarded(struct fake *f, const struct asked *a)
{
	if (strncmp(a->line, "GET /token", 10) == 0 || strncmp(a->line, "POST /token", 11) == 0)
		return (struct answer){0};
	if (!a->authorization || strcmp(a->authorization, expected) != 0)
		return (struct answer){401, "{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"authentication required\"}]}",
				       challenge};
	return serve_image(f, a);
}

static void guard(const char *with)
{
	make_image();
	expected = with;
	registry.answer = guarded;
	snprintf(challenge, sizeof(challenge), "Www-Authenticate: Bearer realm=\"http://127.0.0.1:%d/token\","
		 "service=\"reg, \\\"quoted\\\"\",scope=\"repository:a/b:pull\"", registry.port);
}

static char *header_of(const char *json)
{
	char *coded = xmalloc(base64_encoded_len(strlen(json)) + 1);

	base64_encode(json, strlen(json), coded);
	return coded;
}

Test(registry, a_bearer_challenge_is_answered_with_a_token)
{
	struct outcome o;

	guard("Bearer tok");
	FAKE_SCRIPT(&registry, {200, "{\"token\":\"tok\"}", NULL});
	o = fetch("a/b", NULL);
	expect_image(&o);
	fake_expect(&registry, 1, "GET /token?client_id=sockerless&service=reg%2C%20%22quoted%22&scope=repository%3Aa%2Fb%3Apull");
	cr_expect(!registry.asked[1].authorization);
	cr_expect(registry.n_asked == 5, "asked for one token only");
	outcome_release(&o);
}

Test(registry, the_users_password_goes_to_the_token_server)
{
	AUTO_FREE char *auth = header_of("{\"username\":\"u\",\"password\":\"p\"}");
	struct outcome o;

	guard("Bearer tok");
	FAKE_SCRIPT(&registry, {200, "{\"access_token\":\"tok\"}", NULL});
	o = fetch("a/b", auth);
	expect_image(&o);
	cr_expect_str_eq(registry.asked[1].authorization, "Basic dTpw");
	cr_expect(!registry.asked[0].authorization, "a password is only shown when asked for");
	outcome_release(&o);
}

Test(registry, an_identity_token_is_posted)
{
	AUTO_FREE char *auth = header_of("{\"identitytoken\":\"i&d\"}");
	struct outcome o;

	guard("Bearer tok");
	FAKE_SCRIPT(&registry, {200, "{\"access_token\":\"tok\"}", NULL});
	o = fetch("a/b", auth);
	expect_image(&o);
	fake_expect(&registry, 1, "POST /token");
	cr_expect(strstr(registry.asked[1].body, "grant_type=refresh_token&") != NULL);
	cr_expect(strstr(registry.asked[1].body, "&refresh_token=i%26d") != NULL);
	outcome_release(&o);
}

Test(registry, a_basic_challenge_is_answered_with_the_password)
{
	AUTO_FREE char *auth = header_of("{\"username\":\"u\",\"password\":\"p\"}");
	AUTO_FREE char *wrong = header_of("{\"username\":\"u\",\"password\":\"x\"}");
	struct outcome o;

	guard("Basic dTpw");
	snprintf(challenge, sizeof(challenge), "Www-Authenticate: Basic realm=\"x\"");
	o = fetch("a/b", auth);
	expect_image(&o);
	outcome_release(&o);
	o = fetch("a/b", wrong);
	cr_expect(o.err.kind == ERR_DENIED, "%s", o.err.msg);
	cr_expect_str_eq(o.err.msg, "unauthorized: authentication required");
}

Test(registry, a_token_that_does_not_open_is_not_asked_for_again)
{
	struct outcome o;

	guard("Bearer other");
	FAKE_SCRIPT(&registry, {200, "{\"token\":\"tok\"}", NULL});
	o = fetch("a/b", NULL);
	cr_expect(o.err.kind == ERR_NOT_FOUND && strstr(o.err.msg, "pull access denied"), "%s", o.err.msg);
	cr_expect(registry.n_asked == 3);
}

Test(registry, a_refused_password_says_so)
{
	AUTO_FREE char *auth = header_of("{\"username\":\"u\",\"password\":\"x\"}");
	struct outcome o;

	guard("Bearer tok");
	FAKE_SCRIPT(&registry, {401, "{}", NULL});
	o = fetch("a/b", auth);
	cr_expect(o.err.kind == ERR_DENIED);
}

Test(registry, dockers_file_is_used_when_the_client_sends_nothing)
{
	AUTO_FREE char *file = xasprintf("%s/config.json", docker_config);
	FILE *f = fopen(file, "we");
	struct outcome o;

	cr_assert(f != NULL);
	fprintf(f, "{\"auths\":{\"other.example\":{\"auth\":\"eDp5\"},\"http://127.0.0.1:%d/v1/\":{\"auth\":\"dTpw\"}}}",
		registry.port);
	fclose(f);
	guard("Basic dTpw");
	snprintf(challenge, sizeof(challenge), "Www-Authenticate: Basic realm=\"x\"");
	o = fetch("a/b", "e30=");
	expect_image(&o);
	outcome_release(&o);
}

Test(registry, a_header_that_is_no_auth_config_counts_as_none)
{
	struct outcome o;

	make_image();
	registry.answer = serve_image;
	o = fetch("a/b", "!!!");
	expect_image(&o);
	cr_expect(!registry.asked[0].authorization);
	outcome_release(&o);
}

/* ---- redirects --------------------------------------------------------------------------------- */

static char elsewhere[128];

static struct answer blobs_elsewhere(struct fake *f, const struct asked *a)
{
	if (f == &registry && strstr(a->line, "/blobs/"))
		return (struct answer){307, "", elsewhere};
	return f == &registry ? guarded(f, a) : (struct answer){200, config_text, NULL};
}

Test(registry, a_redirect_elsewhere_does_not_carry_the_token)
{
	struct outcome o;

	guard("Bearer tok");
	registry.answer = blobs_elsewhere;
	other.answer = blobs_elsewhere;
	FAKE_SCRIPT(&registry, {200, "{\"token\":\"tok\"}", NULL});
	snprintf(elsewhere, sizeof(elsewhere), "Location: http://127.0.0.1:%d/signed?x=1", other.port);
	o = fetch("a/b", NULL);
	expect_image(&o);
	fake_expect(&other, 0, "GET /signed?x=1");
	cr_expect(!other.asked[0].authorization);
	cr_expect_str_eq(registry.asked[registry.n_asked - 1].authorization, "Bearer tok");
	outcome_release(&o);
}

static struct answer blobs_moved(struct fake *f, const struct asked *a)
{
	if (strstr(a->line, "/blobs/"))
		return (struct answer){302, "", "Location: ../moved"};
	return strstr(a->line, "/moved") ? (struct answer){200, config_text, NULL} : serve_image(f, a);
}

Test(registry, a_relative_redirect_is_followed)
{
	struct outcome o;

	make_image();
	registry.answer = blobs_moved;
	o = fetch("a/b", NULL);
	expect_image(&o);
	fake_expect(&registry, 3, "GET /v2/a/b/moved");
	outcome_release(&o);
}

Test(registry, cancelled_means_silence)
{
	AUTO_FREE char *full = xasprintf("127.0.0.1:%d/x", registry.port);
	struct outcome gone = {0}, o;
	struct registry_fetch *f;
	struct reference ref;

	make_image();
	registry.answer = serve_image;
	cr_assert(reference_parse(full, &ref, NULL) == 0);
	f = registry_fetch_start(&fixture_gateway, &ref, NULL, on_image, &gone, NULL);
	registry_fetch_cancel(f);
	registry_fetch_cancel(NULL);
	reference_release(&ref);
	o = fetch("x", NULL);
	expect_image(&o);
	cr_expect(!gone.done);
	outcome_release(&o);
}
