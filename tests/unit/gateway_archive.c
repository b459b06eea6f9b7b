/* Image archives: what docker save and others write, taken apart; and what no archive may do. */
#include <archive.h>
#include <archive_entry.h>
#include <criterion/criterion.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "image/archive.h"
#include "image/archive_layout.h"
#include "image/archive_writer.h"

static char dir[] = "/tmp/archive-test-XXXXXX";
static atomic_bool never;
static FILE *out;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void setup(void)
{
	cr_assert(mkdtemp(dir) != NULL);
}

static void teardown(void)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

TestSuite(archive, .init = setup, .fini = teardown);

static void on_out(void *ctx, const void *p, size_t n)
{
	cr_assert(fwrite(p, 1, n, out) == n);
}

struct item {
	const char *name, *text;
};

/* A tar of these files; its path, which the caller frees. */
static char *make_tar(const struct item *items, size_t n)
{
	char *path = xasprintf("%s/tar", dir);
	struct archive_writer *w = archive_writer_new(on_out, NULL);
	struct err err = {0};

	out = fopen(path, "we");
	for (size_t i = 0; i < n; i++) {
		cr_assert(archive_writer_file(w, items[i].name, (int64_t)strlen(items[i].text), &err) == 0, "%s", err.msg);
		cr_assert(archive_writer_data(w, items[i].text, strlen(items[i].text), &err) == 0);
	}
	cr_assert(archive_writer_end(w, &err) == 0);
	archive_writer_free(w);
	fclose(out);
	return path;
}

static int unpack(const struct item *items, size_t n, struct archive_images *ret, struct err *err)
{
	AUTO_FREE char *tar = make_tar(items, n), *files = xasprintf("%s/files", dir);
	int rc;

	mkdir(files, 0700);
	rc = archive_unpack(tar, files, &never, ret, err);
	nftw(files, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return rc;
}

#define LAYER "not really a tar"

static char config_text[512], oci_manifest[1024], oci_index[1024], names[4][128];

/* An image of one layer, in both layouts. */
static void make_image(void)
{
	char diff[REGISTRY_DIGEST_MAX], config[REGISTRY_DIGEST_MAX], manifest[REGISTRY_DIGEST_MAX];

	registry_digest_of(LAYER, strlen(LAYER), diff);
	snprintf(config_text, sizeof(config_text), "{\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\"]}}", diff);
	registry_digest_of(config_text, strlen(config_text), config);
	snprintf(oci_manifest, sizeof(oci_manifest), "{\"schemaVersion\":2,\"config\":{\"digest\":\"%s\"},\"layers\":["
		 "{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"%s\"}]}", config, diff);
	registry_digest_of(oci_manifest, strlen(oci_manifest), manifest);
	snprintf(oci_index, sizeof(oci_index), "{\"manifests\":[{\"digest\":\"sha256:none\",\"platform\":{\"os\":\"linux\","
		 "\"architecture\":\"arm64\"}},{\"digest\":\"%s\",\"annotations\":{\"io.containerd.image.name\":\"docker.io/library/a:1\"}}]}",
		 manifest);
	snprintf(names[0], sizeof(names[0]), "blobs/sha256/%s", config + 7);
	snprintf(names[1], sizeof(names[1]), "blobs/sha256/%s", diff + 7);
	snprintf(names[2], sizeof(names[2]), "blobs/sha256/%s", manifest + 7);
}

static void expect_image(const struct archive_images *a)
{
	char id[REGISTRY_DIGEST_MAX];

	registry_digest_of(config_text, strlen(config_text), id);
	cr_assert(a->n == 1 && a->v[0].n_layers == 1 && a->v[0].tags.n == 1);
	cr_expect_str_eq(a->v[0].id, id);
	cr_expect_str_eq(a->v[0].config, config_text);
	cr_expect(strstr(a->v[0].manifest, id) != NULL);
	cr_expect(strstr(a->v[0].manifest, a->v[0].layers[0].digest) != NULL);
	cr_expect(strcmp(a->v[0].layers[0].digest, a->v[0].layers[0].diff_id) != 0, "a plain layer is compressed");
}

Test(archive, docker_save_is_read)
{
	struct archive_images a;
	struct err err = {0};

	make_image();
	struct item items[] = {
		{"./c.json", config_text}, {"l/layer.tar", LAYER},
		{"manifest.json", "[{\"Config\":\"c.json\",\"RepoTags\":[\"a:1\"],\"Layers\":[\"l/layer.tar\"]}]"},
	};
	cr_assert(unpack(items, 3, &a, &err) == 0, "%s", err.msg);
	expect_image(&a);
	cr_expect_str_eq(a.v[0].tags.v[0], "a:1");
	archive_images_release(&a);
}

Test(archive, an_oci_layout_is_read)
{
	struct archive_images a;
	struct err err = {0};

	make_image();
	struct item items[] = {
		{"oci-layout", "{}"}, {"index.json", oci_index}, {names[0], config_text}, {names[1], LAYER},
		{names[2], oci_manifest},
	};
	cr_assert(unpack(items, 5, &a, &err) == 0, "%s", err.msg);
	expect_image(&a);
	cr_expect_str_eq(a.v[0].tags.v[0], "docker.io/library/a:1");
	archive_images_release(&a);
}

Test(archive, the_same_layer_has_the_same_digest_each_time)
{
	char first[REGISTRY_DIGEST_MAX] = "";

	make_image();
	struct item items[] = {
		{"c.json", config_text}, {"l", LAYER},
		{"manifest.json", "[{\"Config\":\"c.json\",\"RepoTags\":[\"a:1\"],\"Layers\":[\"l\"]}]"},
	};
	for (int i = 0; i < 2; i++) {
		struct archive_images a;

		cr_assert(unpack(items, 3, &a, NULL) == 0);
		cr_expect(i == 0 || strcmp(first, a.v[0].layers[0].digest) == 0);
		memcpy(first, a.v[0].layers[0].digest, sizeof(first));
		archive_images_release(&a);
	}
}

Test(archive, what_is_wrong_is_said)
{
	static const struct {
		struct item items[3];
		const char *sentence;
	} table[] = {
		{{{"x", "y"}}, "holds no image"},
		{{{"manifest.json", "nonsense"}}, "manifest.json in the archive"},
		{{{"manifest.json", "[]"}}, "holds no image for linux/amd64"},
		{{{"manifest.json", "[{\"Config\":\"../../etc/passwd\",\"Layers\":[]}]"}}, "no file ../../etc/passwd"},
		{{{"manifest.json", "[{\"Config\":\"c\",\"Layers\":[\"l\"]}]"}, {"c", "{}"}}, "no file l"},
		{{{"manifest.json", "[{\"Config\":\"c\",\"Layers\":[\"c\"]}]"}, {"c", "{}"}}, "layers length mismatch: expected 1, got 0"},
		{{{"manifest.json", "[{\"Config\":\"c\",\"Layers\":[]}]"}, {"c", "[]"}}, "is not a JSON object"},
		{{{"manifest.json", "[{\"Config\":\"c\",\"Layers\":[\"l\"]}]"}, {"c", "{\"rootfs\":{\"diff_ids\":[\"sha256:0\"]}}"},
		  {"l", "x"}}, "invalid diffID for layer 0"},
		{{{"index.json", "{\"manifests\":[{\"digest\":\"sha256:0\"}]}"}}, "no file sha256:0"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct archive_images a;
		struct err err = {0};
		size_t n = 0;

		while (n < 3 && table[i].items[n].name)
			n++;
		cr_expect(unpack(table[i].items, n, &a, &err) < 0, "%zu", i);
		cr_expect(strstr(err.msg, table[i].sentence) != NULL, "%zu: %s", i, err.msg);
	}
}

Test(archive, a_cut_archive_is_an_error)
{
	AUTO_FREE char *tar = NULL, *files = xasprintf("%s/files", dir);
	struct archive_images a;
	struct err err = {0};

	make_image();
	struct item items[] = {{"c.json", config_text}, {"manifest.json", "[]"}};
	tar = make_tar(items, 2);
	cr_assert(truncate(tar, 700) == 0);
	mkdir(files, 0700);
	cr_expect(archive_unpack(tar, files, &never, &a, &err) < 0);
	cr_expect(strstr(err.msg, "Error processing tar file") != NULL, "%s", err.msg);
}

Test(archive, names_stay_within)
{
	static const char *const table[][3] = {
		{NULL, "./a/../b", "b"}, {NULL, "../../etc/passwd", "etc/passwd"}, {NULL, "/a//b/.", "a/b"},
		{"x/layer.tar", "../y/layer.tar", "y/layer.tar"}, {"x/layer.tar", "/z", "z"}, {NULL, "", ""},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		AUTO_FREE char *got = archive_name(table[i][0], table[i][1]);

		cr_expect_str_eq(got, table[i][2], "%s", got);
	}
}
