/* A blob into a registry: there, mounted, sent from memory, from a file, from another registry. */
#include "http_fixture.h"

#include "image/registry_put.h"

static struct fake target, source;

static void setup(void)
{
	unsetenv("http_proxy");
	setenv("DOCKER_CONFIG", "/nonexistent", 1);
	fixture_open();
	fake_open(&target);
	fake_open(&source);
}

static void teardown(void)
{
	fake_close(&target);
	fake_close(&source);
	fixture_close();
}

TestSuite(upload, .init = setup, .fini = teardown);

struct outcome {
	int done;
	enum upload_result result;
	int64_t progress;
	struct err err;
};

static void on_progress(void *ctx, int64_t sent)
{
	((struct outcome *)ctx)->progress = sent;
}

static void on_done(void *ctx, enum upload_result result, const struct err *err)
{
	struct outcome *o = ctx;

	o->done++;
	o->result = result;
	if (err)
		o->err = *err;
}

static struct registry_session *session(const struct fake *f, const char *repo, enum registry_access access)
{
	AUTO_FREE char *name = xasprintf("127.0.0.1:%d/%s", f->port, repo);
	struct registry_session *s;
	struct reference ref;

	cr_assert(reference_parse(name, &ref, NULL) == 0);
	s = registry_open(&fixture_gateway, &ref, NULL, access);
	reference_release(&ref);
	return s;
}

static const struct registry_upload_ops ops = {on_progress, on_done};

static struct outcome upload(struct registry_blob *b)
{
	struct registry_session *to = session(&target, "mine", REGISTRY_PUSH);
	struct outcome o = {0};
	char digest[REGISTRY_DIGEST_MAX];

	registry_digest_of("hello", 5, digest);
	b->digest = digest;
	b->size = 5;
	cr_assert(registry_upload_start(&fixture_gateway, to, b, &ops, &o, &o.err) != NULL, "%s", o.err.msg);
	cr_expect(!o.done, "told inside the starting call");
	fixture_run_until(&o.done);
	registry_close(to);
	return o;
}

Test(upload, what_is_there_is_not_sent)
{
	struct registry_blob b = {.bytes = "hello"};
	struct outcome o;

	FAKE_SCRIPT(&target, {200, "", NULL});
	o = upload(&b);
	cr_expect(!o.err.kind && o.result == UPLOAD_EXISTS, "%s", o.err.msg);
	cr_expect(target.n_asked == 1 && strncmp(target.asked[0].line, "HEAD /v2/mine/blobs/sha256:", 27) == 0);
}

Test(upload, a_neighbours_blob_is_mounted)
{
	struct registry_blob b = {.bytes = "hello", .mount_from = "other"};
	struct outcome o;

	FAKE_SCRIPT(&target, {404, "", NULL}, {201, "", NULL});
	o = upload(&b);
	cr_expect(!o.err.kind && o.result == UPLOAD_MOUNTED);
	cr_expect(strstr(target.asked[1].line, "POST /v2/mine/blobs/uploads/?mount=sha256:") != NULL);
	cr_expect(strstr(target.asked[1].line, "&from=other") != NULL);
}

Test(upload, where_nothing_can_be_mounted_it_is_sent)
{
	static const int refusals[] = {202, 400, 404, 405};

	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		struct registry_blob b = {.bytes = "hello", .mount_from = "other"};
		struct answer script[] = {
			{404, "", NULL}, {refusals[i], "", "Location: /u/1"}, {202, "", "Location: /u/2"}, {201, "", NULL},
		};
		size_t direct = refusals[i] == 202; /* an upload was begun instead */
		struct outcome o;

		target.n_asked = target.n_listed = 0;
		if (direct)
			script[2] = script[3];
		target.answers = script;
		target.n_answers = 4 - direct;
		o = upload(&b);
		cr_expect(!o.err.kind && o.result == UPLOAD_SENT, "%d: %s", refusals[i], o.err.msg);
		cr_expect_eq(target.n_asked, 4 - direct);
		if (!direct)
			fake_expect(&target, 2, "POST /v2/mine/blobs/uploads/");
	}
}

Test(upload, bytes_of_memory_go_with_the_put)
{
	struct registry_blob b = {.bytes = "hello"};
	struct outcome o;

	FAKE_SCRIPT(&target, {404, "", NULL}, {202, "", "Location: /v2/mine/blobs/uploads/7?state=x"}, {201, "", NULL});
	o = upload(&b);
	cr_expect(!o.err.kind && o.result == UPLOAD_SENT, "%s", o.err.msg);
	cr_expect(strncmp(target.asked[2].line, "PUT /v2/mine/blobs/uploads/7?state=x&digest=sha256:", 51) == 0, "%s",
		  target.asked[2].line);
	cr_expect_str_eq(target.asked[2].body, "hello");
}

#define SENT {404, "", NULL}, {202, "", "Location: /u/1"}, {202, "", "Location: /u/2"}, {201, "", NULL}

Test(upload, a_file_is_streamed)
{
	char path[] = "/tmp/upload-test-XXXXXX";
	struct registry_blob b = {.path = path};
	int fd = mkstemp(path);
	struct outcome o;

	cr_assert(fd >= 0 && write(fd, "hello", 5) == 5);
	close(fd);
	FAKE_SCRIPT(&target, SENT);
	o = upload(&b);
	unlink(path);
	cr_expect(!o.err.kind && o.result == UPLOAD_SENT, "%s", o.err.msg);
	cr_expect_str_eq(target.asked[2].line, "PATCH /u/1");
	cr_expect_str_eq(target.asked[2].body, "hello");
	cr_expect(strncmp(target.asked[3].line, "PUT /u/2?digest=", 16) == 0);
	cr_expect(o.progress == 5);
}

Test(upload, another_registrys_blob_flows_through)
{
	struct registry_blob b = {.from = session(&source, "theirs", REGISTRY_PULL)};
	struct outcome o;

	FAKE_SCRIPT(&target, SENT);
	FAKE_SCRIPT(&source, {200, "hello", NULL});
	o = upload(&b);
	cr_expect(!o.err.kind && o.result == UPLOAD_SENT, "%s", o.err.msg);
	cr_expect_str_eq(target.asked[2].body, "hello");
	cr_expect(strncmp(source.asked[0].line, "GET /v2/theirs/blobs/sha256:", 28) == 0);
	registry_close(b.from);
}

Test(upload, a_short_source_is_an_error)
{
	struct registry_blob b = {.from = session(&source, "theirs", REGISTRY_PULL)};
	struct outcome o;

	FAKE_SCRIPT(&target, SENT);
	FAKE_SCRIPT(&source, {200, "hell", NULL});
	o = upload(&b);
	cr_expect(o.err.kind != ERR_NONE);
	registry_close(b.from);
}

Test(upload, a_refusal_is_final_and_in_the_registrys_words)
{
	struct registry_blob b = {.bytes = "hello"};
	struct outcome o;

	FAKE_SCRIPT(&target, {404, "", NULL},
		    {403, "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"requested access to the resource is denied\"}]}", NULL});
	o = upload(&b);
	cr_expect_str_eq(o.err.msg, "denied: requested access to the resource is denied");
	cr_expect(target.n_asked == 2);
}

Test(upload, what_may_pass_is_tried_again)
{
	struct registry_blob b = {.bytes = "hello"};
	struct outcome o;

	FAKE_SCRIPT(&target, {503, "", NULL}, {200, "", NULL});
	o = upload(&b);
	cr_expect(!o.err.kind && o.result == UPLOAD_EXISTS && target.n_asked == 2, "%s", o.err.msg);
}

Test(upload, cancelled_means_silence)
{
	struct registry_blob b = {.bytes = "hello", .size = 5};
	struct registry_session *to = session(&target, "mine", REGISTRY_PUSH);
	struct outcome gone = {0};
	char digest[REGISTRY_DIGEST_MAX];

	registry_digest_of("hello", 5, digest);
	b.digest = digest;
	registry_upload_cancel(registry_upload_start(&fixture_gateway, to, &b, &ops, &gone, NULL));
	registry_upload_cancel(NULL);
	registry_close(to);
	uv_run(&fixture_loop, UV_RUN_NOWAIT);
	cr_expect(!gone.done);
}

/* ---- a whole image ---------------------------------------------------------------------------------- */

static char last_digest[REGISTRY_DIGEST_MAX];

static void put_done(void *ctx, const char *digest, const struct err *err)
{
	struct outcome *o = ctx;

	o->done++;
	if (err)
		o->err = *err;
	else
		memcpy(last_digest, digest, sizeof(last_digest));
}

static struct answer all_there(struct fake *f, const struct asked *a)
{
	return (struct answer){strncmp(a->line, "PUT", 3) == 0 ? 201 : 200, "", NULL};
}

Test(upload, the_manifest_comes_after_every_blob)
{
	static const struct registry_put_ops put_ops = {NULL, NULL, put_done};
	char a[REGISTRY_DIGEST_MAX], b[REGISTRY_DIGEST_MAX], want[REGISTRY_DIGEST_MAX];
	struct registry_blob layers[5];
	struct registry_put_options opt = {
		.reference = "1", .manifest = "{}", .manifest_type = "x/y", .manifest_len = 2, .layers = layers, .n_layers = 5,
		.config = {.digest = b, .size = 1, .bytes = "b"},
	};
	struct registry_session *to = session(&target, "mine", REGISTRY_PUSH);
	struct outcome o = {0};

	registry_digest_of("a", 1, a);
	registry_digest_of("b", 1, b);
	for (size_t i = 0; i < 5; i++)
		layers[i] = (struct registry_blob){.digest = a, .size = 1, .bytes = "a"};
	target.answer = all_there;
	cr_assert(registry_put_start(&fixture_gateway, to, &opt, &put_ops, &o, &o.err) != NULL);
	fixture_run_until(&o.done);
	registry_close(to);
	cr_expect(!o.err.kind, "%s", o.err.msg);
	cr_assert(target.n_asked == 7);
	fake_expect(&target, 6, "PUT /v2/mine/manifests/1");
	registry_digest_of("{}", 2, want);
	cr_expect_str_eq(last_digest, want);
}
