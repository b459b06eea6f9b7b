/* What Docker accepts as an image name, what it makes of it, and where we ask for it. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "config.h"
#include "image/reference.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX

static int same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

Test(reference, names_are_taken_apart_as_docker_does)
{
	static const struct {
		const char *in, *domain, *path, *tag, *digest, *familiar;
	} table[] = {
		{"busybox", "docker.io", "library/busybox", "latest", NULL, "busybox"},
		{"busybox:1.36", "docker.io", "library/busybox", "1.36", NULL, "busybox"},
		{"library/busybox", "docker.io", "library/busybox", "latest", NULL, "busybox"},
		{"docker.io/busybox", "docker.io", "library/busybox", "latest", NULL, "busybox"},
		{"index.docker.io/busybox:x", "docker.io", "library/busybox", "x", NULL, "busybox"},
		{"docker.io/library/busybox", "docker.io", "library/busybox", "latest", NULL, "busybox"},
		{"a/b", "docker.io", "a/b", "latest", NULL, "a/b"},
		{"a/b/c:t", "docker.io", "a/b/c", "t", NULL, "a/b/c"},
		{"ghcr.io/a/b:1", "ghcr.io", "a/b", "1", NULL, "ghcr.io/a/b"},
		{"localhost/x", "localhost", "x", "latest", NULL, "localhost/x"},
		{"localhost:5000/x", "localhost:5000", "x", "latest", NULL, "localhost:5000/x"},
		{"127.0.0.1:5000/x:v", "127.0.0.1:5000", "x", "v", NULL, "127.0.0.1:5000/x"},
		{"[::1]:5000/x", "[::1]:5000", "x", "latest", NULL, "[::1]:5000/x"},
		{"Host/x", "Host", "x", "latest", NULL, "Host/x"},
		{"localhost:5000", "docker.io", "library/localhost", "5000", NULL, "localhost"},
		{"x@" DIGEST, "docker.io", "library/x", NULL, DIGEST, "x"},
		{"q.io/x:t@" DIGEST, "q.io", "x", "t", DIGEST, "q.io/x"},
		{"a.b_c__d---e", "docker.io", "library/a.b_c__d---e", "latest", NULL, "a.b_c__d---e"},
		{"x:A_b.c-9", "docker.io", "library/x", "A_b.c-9", NULL, "x"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct reference r = {0};
		struct err err = {0};

		cr_assert(reference_parse(table[i].in, &r, &err) == 0, "%s: %s", table[i].in, err.msg);
		cr_expect(same(r.domain, table[i].domain), "%s: domain %s", table[i].in, r.domain);
		cr_expect(same(r.path, table[i].path), "%s: path %s", table[i].in, r.path);
		cr_expect(same(r.tag, table[i].tag), "%s: tag %s", table[i].in, r.tag);
		cr_expect(same(r.digest, table[i].digest), "%s: digest %s", table[i].in, r.digest);
		cr_expect(same(r.familiar, table[i].familiar), "%s: familiar %s", table[i].in, r.familiar);
		reference_release(&r);
	}
}

Test(reference, what_docker_refuses_is_refused_in_its_words)
{
	static const struct {
		const char *in, *sentence;
	} table[] = {
		{"", "invalid reference format"},
		{"Busybox", "invalid reference format: repository name must be lowercase"},
		{"ghcr.io/A/b", "invalid reference format: repository name must be lowercase"},
		{"-x", "invalid reference format"},
		{"x-", "invalid reference format"},
		{"a..b", "invalid reference format"},
		{"a___b", "invalid reference format"},
		{"a//b", "invalid reference format"},
		{"/a", "invalid reference format"},
		{"a/", "invalid reference format"},
		{"a b", "invalid reference format"},
		{"x:", "invalid reference format"},
		{"x:-t", "invalid reference format"},
		{"x:t:u", "invalid reference format"},
		{"-h.io/x", "invalid reference format"},
		{"h.io:/x", "invalid reference format"},
		{"h.io:5a/x", "invalid reference format"},
		{"[::1/x", "invalid reference format"},
		{"x@", "invalid reference format"},
		{"x@sha256:", "invalid reference format"},
		{"x@sha256:xyz", "invalid reference format"},
		{"x@" DIGEST "0", "invalid checksum digest length"},
		{"x@md5:" HEX, "unsupported digest algorithm"},
		{"http://h.io/x", "invalid reference format"},
		{HEX, "invalid repository name (" HEX "), cannot specify 64-byte hexadecimal strings"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct reference r = {0};
		struct err err = {0};

		cr_assert(reference_parse(table[i].in, &r, &err) == -1, "%s was accepted", table[i].in);
		cr_expect(err.kind == ERR_INVALID);
		cr_expect(same(err.msg, table[i].sentence), "%s: %s", table[i].in, err.msg);
		cr_expect(!r.domain && !r.path, "%s: something was left behind", table[i].in);
	}
}

Test(reference, a_tag_has_at_most_128_characters_and_a_name_255)
{
	char tag[2 + 129 + 1] = "x:", name[256 + 1];
	struct reference r;
	struct err err;

	memset(tag + 2, 't', 129);
	cr_expect(reference_parse(tag, &r, &err) == -1);
	tag[2 + 128] = '\0';
	cr_assert(reference_parse(tag, &r, &err) == 0);
	reference_release(&r);

	memset(name, 'n', 256);
	name[256] = '\0';
	memcpy(name, "h.io/", 5);
	cr_expect(reference_parse(name, &r, &err) == -1);
	name[255] = '\0';
	cr_assert(reference_parse(name, &r, &err) == 0, "%s", err.msg);
	reference_release(&r);
}

Test(reference, familiar_tagged_shows_tag_or_digest)
{
	static const char *const table[][2] = {
		{"busybox", "busybox:latest"}, {"q.io/x:1", "q.io/x:1"}, {"x@" DIGEST, "x@" DIGEST},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct reference r;
		AUTO_FREE char *s = NULL;

		cr_assert(reference_parse(table[i][0], &r, NULL) == 0);
		s = reference_familiar_tagged(&r);
		cr_expect(same(s, table[i][1]), "%s", s);
		reference_release(&r);
	}
}

Test(reference, location_is_docker_hub_its_mirror_or_the_named_host)
{
	static const struct {
		const char *in, *mirror, *host, *repo;
		int plain;
	} table[] = {
		{"busybox", NULL, "registry-1.docker.io", "library/busybox", 0},
		{"busybox", "127.0.0.1:5001", "127.0.0.1:5001", "library/busybox", 1},
		{"a/b", "eu-docker.pkg.dev/p/hub", "eu-docker.pkg.dev", "p/hub/a/b", 0},
		{"ghcr.io/a/b", "127.0.0.1:5001", "ghcr.io", "a/b", 0},
		{"localhost:5000/x", NULL, "localhost:5000", "x", 1},
		{"127.1.2.3:80/x", NULL, "127.1.2.3:80", "x", 1},
		{"[::1]:80/x", NULL, "[::1]:80", "x", 1},
		{"128.0.0.1:80/x", NULL, "128.0.0.1:80", "x", 0},
		{"plain.example:81/x", NULL, "plain.example:81", "x", 1},
		{"plain.example:82/x", NULL, "plain.example:82", "x", 0},
		{"all.example:9/x", NULL, "all.example:9", "x", 1},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct config c = {.hub_mirror = (char *)table[i].mirror};
		AUTO_FREE char *host = NULL, *repo = NULL;
		struct reference r;
		int plain = -1;

		strv_add(&c.plain_registries, "plain.example:81");
		strv_add(&c.plain_registries, "all.example");
		cr_assert(reference_parse(table[i].in, &r, NULL) == 0);
		reference_location(&r, &c, &host, &repo, &plain);
		cr_expect(same(host, table[i].host), "%s: %s", table[i].in, host);
		cr_expect(same(repo, table[i].repo), "%s: %s", table[i].in, repo);
		cr_expect(plain == table[i].plain, "%s: plain %d", table[i].in, plain);
		reference_release(&r);
		strv_release(&c.plain_registries);
	}
}
