/* Images: Docker's rules for finding them, tags that move, removal by name. */
#include <string.h>

#include "state/image.h"
#include "state_fixture.h"

#define A "sha256:aaaa000000000000000000000000000000000000000000000000000000000000"
#define B "sha256:bbbb000000000000000000000000000000000000000000000000000000000000"
#define D "@sha256:dddd000000000000000000000000000000000000000000000000000000000000"

static struct images *t;

static void open_images(void)
{
	struct err err = {0};

	t = images_new(&f.g, &err);
	cr_assert_not_null(t, "%s", err.msg);
}

static void setup(void)
{
	fixture_setup();
	open_images();
}

static void teardown(void)
{
	images_free(t);
	fixture_teardown();
}

static void reopen(void)
{
	images_free(t);
	fixture_reopen();
	open_images();
}

TestSuite(image, .init = setup, .fini = teardown);

static struct image *put(const char *id, const char *tag, const char *digest, const char *created)
{
	struct err err = {0};
	struct image *i = images_put(t, id, tag, digest, "host/repo" D, json_pack("{s:s}", "created", created),
				     json_pack("{s:[{s:i},{s:i}]}", "layers", "size", 10, "size", 32), &err);

	cr_assert_not_null(i, "%s", err.msg);
	return i;
}

Test(image, is_found_by_every_form_of_its_name)
{
	struct image *i = put(A, "busybox:latest", "busybox" D, "2024-01-01T00:00:00Z");
	static const char *const names[] = {
		"busybox", "busybox:latest", "docker.io/library/busybox", "library/busybox:latest",
		"index.docker.io/library/busybox:latest", "docker.io/busybox", "busybox" D, "busybox:1.36" D,
		"docker.io/library/busybox" D, A, "aaaa000000000000000000000000000000000000000000000000000000000000",
		"sha256:aaaa", "aaaa", "a",
	};

	for (int round = 0; round < 2; round++) {
		for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
			cr_expect_eq(images_find(t, names[n], NULL), i, "%s", names[n]);
		reopen();
		i = images_find(t, A, NULL);
	}
	cr_expect_eq(i->size, 42);
	cr_expect_str_eq(i->pull_ref, "host/repo" D);
	cr_expect_str_eq(json_string_value(json_object_get(i->config, "created")), "2024-01-01T00:00:00Z");
}

Test(image, a_port_is_not_a_tag)
{
	struct image *i = put(A, "localhost:5000/a/b", NULL, "");

	cr_expect_str_eq(i->tags.v[0], "localhost:5000/a/b:latest");
	cr_expect_eq(images_find(t, "localhost:5000/a/b", NULL), i);
	cr_expect_null(images_find(t, "localhost:5000/a", NULL));
	cr_expect_null(images_find(t, "a/b", NULL));
}

Test(image, not_found_says_what_was_looked_for)
{
	static const char *const table[][2] = {
		{"x", "No such image: x:latest"},
		{"docker.io/library/x", "No such image: x:latest"},
		{"ghcr.io/a/b:1", "No such image: ghcr.io/a/b:1"},
		{"x" D, "No such image: x" D},
		{B, "No such image: " B},
		{"bbbb000000000000000000000000000000000000000000000000000000000000", "No such image: " B},
		{"", "No such image: :latest"},
	};

	put(A, "busybox", NULL, "");
	for (size_t n = 0; n < sizeof(table) / sizeof(table[0]); n++) {
		struct err err = {0};

		cr_expect_null(images_find(t, table[n][0], &err));
		cr_expect_eq(err.kind, ERR_NOT_FOUND);
		cr_expect_str_eq(err.msg, table[n][1]);
	}
}

Test(image, a_name_beats_an_id_prefix_and_an_ambiguous_prefix_finds_nothing)
{
	struct image *a = put(A, "one", NULL, ""), *named = put(B, "aaaa", NULL, "");

	cr_expect_eq(images_find(t, "aaaa", NULL), named);
	cr_expect_eq(images_find(t, "aaaa0", NULL), a);
	put("sha256:aaaa100000000000000000000000000000000000000000000000000000000000", "three", NULL, "");
	cr_expect_null(images_find(t, "aaa", NULL));
}

Test(image, a_tag_moves_and_the_former_image_keeps_its_digest)
{
	struct image *a = put(A, "x:1", "x" D, ""), *b = put(B, "x:1", NULL, "");

	cr_expect_eq(images_find(t, "x:1", NULL), b);
	cr_expect_eq(a->tags.n, 0);
	cr_expect_eq(images_find(t, "x" D, NULL), a);
	reopen();
	cr_expect_str_eq(images_find(t, "x:1", NULL)->id, B);
	cr_expect_eq(images_find(t, A, NULL)->tags.n, 0);
}

Test(image, put_again_adds_names_and_keeps_the_pointer)
{
	struct image *a = put(A, "x:1", "x" D, "2024-01-01T00:00:00Z");

	cr_expect_eq(put(A, "x:1", "x" D, "2024-01-01T00:00:00Z"), a);
	cr_expect_eq(a->tags.n, 1);
	cr_expect_eq(a->digests.n, 1);
	cr_expect_eq(images_put(t, A, "y:2", NULL, NULL, NULL, NULL, NULL), a, "docker tag");
	cr_expect_eq(a->tags.n, 2);
	cr_expect_eq(a->size, 42);
	cr_expect_str_eq(a->pull_ref, "host/repo" D);
	reopen();
	cr_expect_str_eq(images_find(t, "y:2", NULL)->id, A);
	cr_expect_not_null(images_find(t, A, NULL)->config);
}

Test(image, list_is_newest_first)
{
	struct image **list;

	put(A, "old", NULL, "2020-01-01T00:00:00Z");
	put(B, "new", NULL, "2024-01-01T00:00:00.5Z");
	put("sha256:cccc", "none", NULL, "not a time");
	list = images_list(t);
	cr_expect_str_eq(list[0]->id, B);
	cr_expect_str_eq(list[1]->id, A);
	cr_expect_not_null(list[2]);
	cr_expect_null(list[3]);
	free(list);
}

Test(image, untag_deletes_with_the_last_name)
{
	struct image *a = put(A, "x:1", "x" D, "");
	struct err err = {0};
	bool deleted = true;

	put(A, "x:2", NULL, "");
	put(A, "y:1", NULL, "");
	cr_expect_eq(image_untag(t, a, "z", &deleted, &err), -1);
	cr_expect_eq(err.kind, ERR_NOT_FOUND);
	cr_expect_eq(image_untag(t, a, "docker.io/library/x:1", &deleted, &err), 0);
	cr_expect_not(deleted);
	cr_expect_eq(a->digests.n, 1, "x:2 is still there");
	cr_expect_eq(image_untag(t, a, "x:2", &deleted, &err), 0);
	cr_expect_eq(a->digests.n, 0, "the last tag of x is gone");
	cr_expect_not(deleted);
	cr_expect_eq(image_untag(t, a, "y:1", &deleted, &err), 0);
	cr_expect(deleted);
	cr_expect_null(images_find(t, A, NULL));
	reopen();
	cr_expect_null(images_find(t, A, NULL));
}

Test(image, untag_of_everything_and_of_a_digest)
{
	struct image *a = put(A, "x:1", "x" D, "");
	bool deleted = false;

	cr_expect_eq(image_untag(t, a, "x" D, &deleted, NULL), 0);
	cr_expect_not(deleted);
	cr_expect_eq(a->tags.n, 1);
	cr_expect_eq(image_untag(t, a, NULL, &deleted, NULL), 0);
	cr_expect(deleted);
}

Test(image, what_the_store_refuses_has_not_happened)
{
	struct image *a = put(A, "x:1", "x" D, "");
	struct err err = {0};
	bool deleted = false;

	put(A, "y:1", NULL, "");
	fixture_break_record(&a->version);
	cr_expect_null(images_put(t, A, "z", NULL, NULL, json_object(), json_object(), &err));
	cr_expect_eq(image_untag(t, a, "x:1", &deleted, &err), -1);
	cr_expect_eq(a->tags.n, 2);
	cr_expect_eq(a->digests.n, 1);
	cr_expect_eq(a->size, 42);
	cr_expect_null(images_find(t, "z", NULL));
}

/* Two writes move a tag; the process was killed between them. */
Test(image, after_a_crash_the_later_pull_has_the_tag)
{
	struct err err = {0};

	put(A, "x:1", NULL, "");
	cr_assert_eq(store_put(f.g.store, "image", B, "{\"tags\":[\"x:1\"],\"pulled\":9000000000000000000}", 0,
			       NULL, &err), 0, "%s", err.msg);
	reopen();
	cr_expect_str_eq(images_find(t, "x:1", NULL)->id, B);
	cr_expect_eq(images_find(t, A, NULL)->tags.n, 0);
}
