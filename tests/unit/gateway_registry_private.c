/* A registry of the internet may not send us into our own network. The "internet" is an address of a documentation
 * range on the loopback of a network namespace. */
#include "http_fixture.h"

#include <sched.h>

#include "image/registry_fetch.h"

#define PUBLIC "203.0.113.7"

static struct fake registry, far, near;

static void setup(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		cr_skip_test("needs a network namespace of its own");
	cr_assert(system("ip link set lo up && ip addr add " PUBLIC "/32 dev lo") == 0);
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	unsetenv("ALL_PROXY");
	setenv("DOCKER_CONFIG", "/nonexistent", 1);
	fixture_open();
	fake_open_at(&registry, PUBLIC);
	fake_open_at(&far, PUBLIC);
	fake_open(&near);
	fixture_config = (struct config){0};
	strv_add(&fixture_config.plain_registries, PUBLIC);
}

static void teardown(void)
{
	fake_close(&registry);
	fake_close(&far);
	fake_close(&near);
	fixture_close();
	strv_release(&fixture_config.plain_registries);
	strv_release(&fixture_config.private_hosts);
}

TestSuite(private, .init = setup, .fini = teardown);

struct outcome {
	int done;
	bool there;
	struct err err;
};

static void on_image(void *ctx, const struct registry_image *image, const struct err *err)
{
	struct outcome *o = ctx;

	o->done = 1;
	o->there = image != NULL;
	if (err)
		o->err = *err;
}

static struct outcome fetch(const char *address, const struct fake *f)
{
	AUTO_FREE char *name = xasprintf("%s:%d/a/b", address, f->port);
	struct outcome o = {0};
	struct reference ref;

	cr_assert(reference_parse(name, &ref, &o.err) == 0);
	cr_assert(registry_fetch_start(&fixture_gateway, &ref, NULL, on_image, &o, &o.err) != NULL, "%s", o.err.msg);
	fixture_run_until(&o.done);
	reference_release(&ref);
	return o;
}

static const char config_text[] = "{\"architecture\":\"amd64\",\"os\":\"linux\"}";
static char manifest_text[256], answer_header[200];

static struct answer blobs_elsewhere(struct fake *f, const struct asked *a)
{
	char digest[REGISTRY_DIGEST_MAX];

	registry_digest_of(config_text, strlen(config_text), digest);
	snprintf(manifest_text, sizeof(manifest_text), "{\"schemaVersion\":2,\"config\":{\"digest\":\"%s\"},\"layers\":[]}", digest);
	if (strstr(a->line, "/blobs/"))
		return (struct answer){307, "", answer_header};
	return (struct answer){200, manifest_text, NULL};
}

static void expect_refused(const struct outcome *o)
{
	cr_expect(!o->there && o->err.kind == ERR_UPSTREAM);
	cr_expect(strstr(o->err.msg, "refused to go where a public registry sends us (SOCKERLESS_PRIVATE_HOSTS allows hosts)") &&
		  strstr(o->err.msg, "127.0.0.1 is a private address"), "%s", o->err.msg);
	cr_expect_eq(near.n_asked, 0);
}

Test(private, a_redirect_into_our_network_is_refused)
{
	struct outcome o;

	registry.answer = blobs_elsewhere;
	snprintf(answer_header, sizeof(answer_header), "Location: http://127.0.0.1:%d/blob", near.port);
	o = fetch(PUBLIC, &registry);
	expect_refused(&o);
}

Test(private, a_token_server_in_our_network_is_refused)
{
	static struct answer script[1];
	struct outcome o;

	snprintf(answer_header, sizeof(answer_header), "WWW-Authenticate: Bearer realm=\"http://127.0.0.1:%d/token\"", near.port);
	script[0] = (struct answer){401, "", answer_header};
	registry.answers = script;
	registry.n_answers = 1;
	o = fetch(PUBLIC, &registry);
	expect_refused(&o);
}

Test(private, another_public_host_is_fine)
{
	struct outcome o;

	registry.answer = blobs_elsewhere;
	snprintf(answer_header, sizeof(answer_header), "Location: http://" PUBLIC ":%d/blob", far.port);
	FAKE_SCRIPT(&far, {200, config_text, NULL});
	o = fetch(PUBLIC, &registry);
	cr_expect(o.there, "%s", o.err.msg);
	fake_expect(&far, 0, "GET /blob");
}

Test(private, a_host_that_is_named_is_fine)
{
	struct outcome o;

	strv_take(&fixture_config.private_hosts, xasprintf("127.0.0.1:%d", near.port));
	registry.answer = blobs_elsewhere;
	snprintf(answer_header, sizeof(answer_header), "Location: http://127.0.0.1:%d/blob", near.port);
	FAKE_SCRIPT(&near, {200, config_text, NULL});
	o = fetch(PUBLIC, &registry);
	cr_expect(o.there, "%s", o.err.msg);
	fake_expect(&near, 0, "GET /blob");
}

Test(private, a_private_registry_may_send_us_to_its_neighbours)
{
	struct fake own = {0};
	struct outcome o;

	fake_open(&own);
	own.answer = blobs_elsewhere;
	snprintf(answer_header, sizeof(answer_header), "Location: http://127.0.0.1:%d/blob", near.port);
	FAKE_SCRIPT(&near, {200, config_text, NULL});
	o = fetch("127.0.0.1", &own);
	cr_expect(o.there, "%s", o.err.msg);
	fake_expect(&near, 0, "GET /blob");
	fake_close(&own);
}
