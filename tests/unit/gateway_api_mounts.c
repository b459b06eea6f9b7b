/* A create request's mounts: what is taken, what is refused and in which words, and what the job gets of it. */
#include <string.h>

#include "api/container_mounts.h"
#include "base/err.h"
#include "cloud/job_volumes.h"
#include "config.h"
#include "state/volume.h"
#include "state_fixture.h"

static struct config cfg;

static void setup(void)
{
	struct err err = {0};

	fixture_setup();
	cfg = (struct config){.volume_bucket = (char *)"bucket/pre/fix"};
	f.g.config = &cfg;
	f.g.volumes = volumes_new(&f.g, &err);
	cr_assert_not_null(f.g.volumes, "%s", err.msg);
}

static void teardown(void)
{
	volumes_free(f.g.volumes);
	fixture_teardown();
}

TestSuite(mounts, .init = setup, .fini = teardown);

static json_t *json(const char *text)
{
	json_t *o = json_loads(text, JSON_DECODE_ANY, NULL);

	cr_assert_not_null(o, "test data: %s", text);
	return o;
}

/* The list of a request, made; NULL if refused. */
static json_t *make(const char *config_text, const char *host_text, const char *image_text, struct err *err)
{
	json_t *config = json(config_text), *host = json(host_text), *image = json(image_text), *warnings = json_array();
	json_t *mounts = container_mounts_read(&f.g, config, host, image, warnings, err);

	if (mounts && container_mounts_make(&f.g, mounts, NULL, err) < 0) {
		json_decref(mounts);
		mounts = NULL;
	}
	json_decref(config);
	json_decref(host);
	json_decref(image);
	json_decref(warnings);
	return mounts;
}

Test(mounts, what_is_refused_and_why)
{
	static const struct { const char *host, *why; } table[] = {
		{"{\"Binds\":[\"/etc:/x\"]}", "cannot see this machine's files"},
		{"{\"Binds\":[\"/var/run/docker.sock:/x\"]}", "DOCKER_HOST"},
		{"{\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/etc\",\"Target\":\"/x\"}]}", "cannot see this machine's files"},
		{"{\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"rel\",\"Target\":\"/x\"}]}", "'rel' mount path must be absolute"},
		{"{\"Mounts\":[{\"Type\":\"bind\",\"Target\":\"/x\"}]}", "field Source must not be empty"},
		{"{\"Mounts\":[{\"Type\":\"image\",\"Source\":\"i\",\"Target\":\"/x\"}]}", "not available on Cloud Run"},
		{"{\"Mounts\":[{\"Type\":\"npipe\",\"Source\":\"i\",\"Target\":\"/x\"}]}", "mount type unknown"},
		{"{\"Mounts\":[{\"Target\":\"/x\"}]}", "mount type unknown"},
		{"{\"Mounts\":[3]}", "cannot unmarshal"},
		{"{\"Mounts\":[{\"Type\":\"volume\",\"Target\":3}]}", "json: cannot unmarshal number"},
		{"{\"Mounts\":[{\"Type\":\"volume\",\"Source\":\"vv\",\"Target\":\"/x\",\"TmpfsOptions\":{\"Mode\":1}}]}",
		 "field TmpfsOptions must not be specified"},
		{"{\"Mounts\":[{\"Type\":\"volume\",\"Target\":\"/x\",\"ReadOnly\":true}]}", "must not set ReadOnly"},
		{"{\"Mounts\":[{\"Type\":\"volume\",\"Source\":\"vv\",\"Target\":\"/x\",\"VolumeOptions\":{\"Subpath\":\"../y\"}}]}",
		 "subpath must be a relative path"},
		{"{\"Mounts\":[{\"Type\":\"volume\",\"Source\":\"vv\",\"Target\":\"/x\",\"VolumeOptions\":{\"Subpath\":\"a/../y\"}}]}",
		 "subpath must be a relative path"},
		{"{\"Binds\":[\"vv:/x:rw,ro\"]}", "invalid mode: rw,ro"},
		{"{\"Binds\":[\"vv:/x:rshared\"]}", "invalid mode: rshared"},
		{"{\"Binds\":[\"vv:/x:\"]}", "invalid volume specification: 'vv:/x:'"},
		{"{\"Binds\":[\"vv:ro\"]}", "invalid volume specification: 'vv:ro'"},
		{"{\"Binds\":[\"a:b:c:d:e\"]}", "invalid volume specification: 'a:b:c:d:e'"},
		{"{\"Binds\":[\"vv:/a/..\"]}", "destination can't be '/'"},
		{"{\"Binds\":[\"vv:/x\",\"ww:/x/\"]}", "Duplicate mount point: /x"},
		{"{\"Binds\":[\"vv:/x\",\"ww:/x/y\"]}", "no nested volumes"},
		{"{\"Binds\":[\"vv:/x/y\",\"ww:/x\"]}", "no nested volumes"},
		{"{\"Binds\":[\"vv:/proc/x\"]}", "/dev, /proc and /sys"},
		{"{\"Binds\":[\"vv:/sockerless\"]}", "the agent is there"},
		{"{\"Tmpfs\":{\"/x\":\"size=lots\"}}", "invalid tmpfs option \"size=lots\""},
		{"{\"Tmpfs\":{\"x\":\"\"}}", "invalid mount path: 'x'"},
		{"{\"Tmpfs\":{\"/1\":\"\",\"/2\":\"\",\"/3\":\"\",\"/4\":\"\",\"/5\":\"\",\"/6\":\"\",\"/7\":\"\",\"/8\":\"\","
		 "\"/9\":\"\",\"/10\":\"\"}}", "at most 9"},
		{"{\"VolumesFrom\":[\"\"]}", "cannot be an empty string"},
		{"{\"VolumesFrom\":[\"x:bad\"]}", "invalid mode: bad"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct err err = {0};
		json_t *mounts = make("{}", table[i].host, "{}", &err);

		cr_expect(!mounts, "%s was accepted", table[i].host);
		cr_expect(strstr(err.msg, table[i].why), "%s: %s", table[i].host, err.msg);
		cr_expect_eq(err.kind, ERR_INVALID, "%s", table[i].host);
		json_decref(mounts);
	}
}

Test(mounts, without_a_bucket_named_volumes_cannot_be_mounted)
{
	struct err err = {0};
	struct volume **list;
	json_t *mounts;

	cfg.volume_bucket = NULL;
	cr_expect(!make("{\"Volumes\":{\"/anon\":{}}}", "{\"Binds\":[\"vv:/x\"]}", "{}", &err));
	cr_expect_eq(err.kind, ERR_INVALID);
	cr_expect(strstr(err.msg, "SOCKERLESS_GCR_VOLUME_BUCKET"), "%s", err.msg);
	list = volumes_list(f.g.volumes);
	cr_expect(list[0] && !list[1], "the named record stays, the anonymous one does not");
	free(list);
	/* What needs no bucket works. */
	mounts = make("{\"Volumes\":{\"/anon\":{}}}", "{\"Tmpfs\":{\"/t\":\"\"}}", "{\"/img\":{}}", &err);
	cr_assert(mounts, "%s", err.msg);
	cr_expect_eq(json_array_size(mounts), 3);
	json_decref(mounts);
}

static void expect_job(const char *config, const char *host, const char *image, const char *volumes, const char *mounts)
{
	struct err err = {0};
	struct container c = {.mounts = make(config, host, image, &err)};
	json_t *got_volumes = json_array(), *got_mounts = json_array(), *want_volumes = json(volumes), *want_mounts = json(mounts);
	AUTO_FREE char *text = NULL, *text2 = NULL;

	cr_assert(c.mounts, "%s: %s", host, err.msg);
	job_volumes_add(&cfg, &c, got_volumes, got_mounts);
	text = json_dumps(got_volumes, JSON_COMPACT);
	text2 = json_dumps(got_mounts, JSON_COMPACT);
	cr_expect(json_equal(got_volumes, want_volumes), "%s: volumes are %s", host, text);
	cr_expect(json_equal(got_mounts, want_mounts), "%s: mounts are %s", host, text2);
	json_decref(got_volumes);
	json_decref(got_mounts);
	json_decref(want_volumes);
	json_decref(want_mounts);
	json_decref(c.mounts);
}

#define MODES "\"file-mode=777\",\"dir-mode=777\""

Test(mounts, a_named_volume_is_a_folder_of_the_bucket)
{
	expect_job("{}", "{\"Binds\":[\"data:/d/../d\"]}", "{}",
		   "[{\"name\":\"volume-0\",\"gcs\":{\"bucket\":\"bucket\",\"readOnly\":false,"
		   "\"mountOptions\":[\"only-dir=pre/fix/data\"," MODES "]}}]",
		   "[{\"name\":\"volume-0\",\"mountPath\":\"/d\"}]");
	cfg.volume_bucket = (char *)"flat";
	expect_job("{}", "{\"Mounts\":[{\"Type\":\"volume\",\"Source\":\"data\",\"Target\":\"/d\",\"ReadOnly\":true,"
		   "\"VolumeOptions\":{\"Subpath\":\"a/b\"}}]}", "{}",
		   "[{\"name\":\"volume-0\",\"gcs\":{\"bucket\":\"flat\",\"readOnly\":true,"
		   "\"mountOptions\":[\"only-dir=data/a/b\"," MODES "]}}]",
		   "[{\"name\":\"volume-0\",\"mountPath\":\"/d\"}]");
}

Test(mounts, the_same_volume_is_one_volume_unless_it_is_mounted_both_ways)
{
	expect_job("{}", "{\"Binds\":[\"data:/a\",\"data:/b\",\"data:/c:ro\"]}", "{}",
		   "[{\"name\":\"volume-0\",\"gcs\":{\"bucket\":\"bucket\",\"readOnly\":false,"
		   "\"mountOptions\":[\"only-dir=pre/fix/data\"," MODES "]}},"
		   "{\"name\":\"volume-2\",\"gcs\":{\"bucket\":\"bucket\",\"readOnly\":true,"
		   "\"mountOptions\":[\"only-dir=pre/fix/data\"," MODES "]}}]",
		   "[{\"name\":\"volume-0\",\"mountPath\":\"/a\"},{\"name\":\"volume-0\",\"mountPath\":\"/b\"},"
		   "{\"name\":\"volume-2\",\"mountPath\":\"/c\"}]");
}

Test(mounts, memory_and_nfs)
{
	struct err err = {0};
	json_t *options = json("{\"type\":\"nfs\",\"o\":\"nolock,addr=10.0.0.1,ro\",\"device\":\":/exp\"}");

	cr_assert(volumes_add(f.g.volumes, &(struct volume_new){.name = "net", .options = options}, &err), "%s", err.msg);
	json_decref(options);
	options = json("{\"type\":\"tmpfs\",\"o\":\"size=10m\",\"device\":\"tmpfs\"}");
	cr_assert(volumes_add(f.g.volumes, &(struct volume_new){.name = "ram", .options = options}, &err), "%s", err.msg);
	json_decref(options);
	expect_job("{}", "{\"Binds\":[\"net:/n\",\"ram:/r\"],\"Tmpfs\":{\"/t\":\"rw,noexec,size=65537k\",\"/u\":\"\"}}", "{}",
		   "[{\"name\":\"volume-0\",\"nfs\":{\"server\":\"10.0.0.1\",\"path\":\"/exp\",\"readOnly\":true}},"
		   "{\"name\":\"volume-1\",\"emptyDir\":{\"medium\":\"MEMORY\",\"sizeLimit\":\"10Mi\"}},"
		   "{\"name\":\"volume-2\",\"emptyDir\":{\"medium\":\"MEMORY\",\"sizeLimit\":\"65Mi\"}},"
		   "{\"name\":\"volume-3\",\"emptyDir\":{\"medium\":\"MEMORY\"}}]",
		   "[{\"name\":\"volume-0\",\"mountPath\":\"/n\"},{\"name\":\"volume-1\",\"mountPath\":\"/r\"},"
		   "{\"name\":\"volume-2\",\"mountPath\":\"/t\"},{\"name\":\"volume-3\",\"mountPath\":\"/u\"}]");
}

Test(mounts, an_images_volume_is_a_record_and_nothing_in_the_job)
{
	struct volume **list;

	expect_job("{}", "{\"Binds\":[\"data:/data\"]}", "{\"/data\":{},\"/logs\":{}}",
		   "[{\"name\":\"volume-0\",\"gcs\":{\"bucket\":\"bucket\",\"readOnly\":false,"
		   "\"mountOptions\":[\"only-dir=pre/fix/data\"," MODES "]}}]",
		   "[{\"name\":\"volume-0\",\"mountPath\":\"/data\"}]");
	list = volumes_list(f.g.volumes);
	cr_assert(list[0] && list[1] && !list[2]);
	for (size_t i = 0; i < 2; i++)
		cr_expect(list[i]->anonymous == (strlen(list[i]->name) == 64));
	free(list);
}

Test(mounts, sizes)
{
	static const struct { const char *text; int64_t bytes; } table[] = {
		{"0", 0}, {"1", 1}, {"1k", 1024}, {"2m", 2 << 20}, {"1G", 1 << 30}, {"3mb", 3 << 20}, {"", -1}, {"m", -1},
		{"1x", -1}, {"-1", -1}, {"50%", -1}, {"99999999999999999999", -1},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		cr_expect_eq(volume_size(table[i].text), table[i].bytes, "%s", table[i].text);
}

Test(mounts, records_are_as_they_were_after_a_restart)
{
	struct err err = {0};
	json_t *labels = json("{\"a\":\"b\"}");
	struct volume *v = volumes_add(f.g.volumes, &(struct volume_new){.name = "kept", .labels = labels}, &err);
	int64_t created;

	cr_assert(v, "%s", err.msg);
	created = v->created_ns;
	volumes_free(f.g.volumes);
	f.g.volumes = volumes_new(&f.g, &err);
	v = volumes_find(f.g.volumes, "kept", &err);
	cr_assert(v, "%s", err.msg);
	cr_expect(v->created_ns == created && !v->anonymous && json_equal(v->labels, labels));
	volume_remove(f.g.volumes, v);
	cr_expect(!volumes_find(f.g.volumes, "kept", &err));
	cr_expect_str_eq(err.msg, "get kept: no such volume");
	json_decref(labels);
}
