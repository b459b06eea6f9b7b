/* From Cloud Run's container to an OCI configuration, over a root file system made of a few files. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/emulator/fs.h"
#include "../../src/emulator/oci.h"

static char root[] = "/tmp/emulator-oci.XXXXXX";

static void put(const char *path, const char *text)
{
	AUTO_FREE char *full = xasprintf("%s%s", root, path);

	cr_assert_eq(fs_write(full, 0644, text, strlen(text), NULL), 0);
}

static void setup(void)
{
	cr_assert(mkdtemp(root));
	AUTO_FREE char *etc = xasprintf("%s/etc", root);
	cr_assert_eq(mkdir(etc, 0755), 0);
	put("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:an app:/home/app:/bin/sh\nbroken\n");
	put("/etc/group", "root:x:0:\nwheel:x:10:root,app\napp:x:1001:\naudio:x:29:xapp,app\n");
}

static void teardown(void)
{
	fs_remove_tree(root);
}
TestSuite(oci, .init = setup, .fini = teardown);

static void user_is(const char *spec, unsigned uid, unsigned gid, size_t groups)
{
	struct oci_user u;

	oci_user(root, spec, &u);
	cr_expect(u.uid == uid && u.gid == gid && u.n_groups == groups, "'%s': %u:%u +%zu",
		  spec ? spec : "(none)", u.uid, u.gid, u.n_groups);
}

Test(oci, users)
{
	user_is(NULL, 0, 0, 0);
	user_is("", 0, 0, 0);
	user_is("root", 0, 0, 1);
	user_is("app", 1000, 1001, 2);
	user_is("1000", 1000, 1001, 2);
	user_is("app:wheel", 1000, 10, 0);
	user_is("app:5", 1000, 5, 0);
	user_is("4711", 4711, 0, 0);
	user_is("4711:4712", 4711, 4712, 0);
	user_is("nobody-knows", 0, 0, 0); /* Cloud Run: root */
}

Test(oci, a_passwd_file_that_is_a_link_is_followed_inside_the_image_only)
{
	AUTO_FREE char *passwd = xasprintf("%s/etc/passwd", root);

	unlink(passwd);
	cr_assert_eq(symlink("/../../../etc/passwd.real", passwd), 0);
	put("/etc/passwd.real", "app:x:7:8::/:/bin/sh\n");
	user_is("app", 7, 8, 2);
	unlink(passwd);
	cr_assert_eq(symlink("/proc/self/environ", passwd), 0);
	user_is("app", 0, 0, 0);
}

static struct image image(void)
{
	struct image im = { .rootfs = root };

	strv_add(&im.entrypoint, "/entry");
	strv_add(&im.entrypoint, "-e");
	strv_add(&im.cmd, "cmd");
	strv_add(&im.env, "A=image");
	strv_add(&im.env, "B=image");
	return im;
}

static void args_are(const char *container, const char *want)
{
	struct image im = image();
	struct strv args = { 0 };
	json_t *c = json_loads(container, 0, NULL);
	char got[256] = "";

	oci_args(c, &im, &args);
	for (size_t i = 0; i < args.n; i++) {
		size_t n = strlen(got);
		snprintf(got + n, sizeof got - n, "%s%s", i ? " " : "", args.v[i]);
	}
	cr_expect_str_eq(got, want);
	strv_release(&args);
	strv_release(&im.entrypoint);
	strv_release(&im.cmd);
	strv_release(&im.env);
	json_decref(c);
}

Test(oci, arguments)
{
	args_are("{}", "/entry -e cmd");
	args_are("{\"args\":[\"a\"]}", "/entry -e a");
	args_are("{\"command\":[\"c\"]}", "c");
	args_are("{\"command\":[\"c\"],\"args\":[\"a\",\"b\"]}", "c a b");
}

static json_t *config(const char *container, const char *user, struct err *err)
{
	struct image im = image();
	struct strv task_env = { 0 }, secrets = { 0 };
	AUTO_FREE char *secret = xasprintf("key=%s/etc/group", root);
	json_t *c = json_loads(container, 0, NULL);
	struct oci_mount mount = { "/run/v0", "/data", false };

	im.user = (char *)user;
	strv_add(&task_env, "CLOUD_RUN_JOB=j");
	strv_add(&secrets, secret);
	json_t *out = oci_config(&(struct oci_spec){ .image = &im, .container = c, .netns = "/n",
		.hosts = "/h", .resolv_conf = "/r", .mounts = &mount, .n_mounts = 1,
		.task_env = &task_env, .secrets = &secrets }, err);
	json_decref(c);
	strv_release(&task_env);
	strv_release(&secrets);
	strv_release(&im.entrypoint);
	strv_release(&im.cmd);
	strv_release(&im.env);
	return out;
}

static const json_t *at(const json_t *o, const char *a, const char *b)
{
	o = json_object_get(o, a);
	return b ? json_object_get(o, b) : o;
}

Test(oci, environment)
{
	struct err err = { 0 };
	json_t *c = config("{\"env\":[{\"name\":\"B\",\"value\":\"job\"},{\"name\":\"S\",\"valueSource\":"
			   "{\"secretKeyRef\":{\"secret\":\"projects/p/secrets/key\"}}}]}", NULL, &err);
	cr_assert(c, "%s", err.msg);
	const json_t *env = at(c, "process", "env");
	cr_expect_str_eq(json_string_value(json_array_get(env, 0)), "A=image");
	cr_expect_str_eq(json_string_value(json_array_get(env, 1)), "B=job");
	cr_expect_eq(strncmp(json_string_value(json_array_get(env, 2)), "S=root:x:0:", 11), 0);
	cr_expect_str_eq(json_string_value(json_array_get(env, 3)), "CLOUD_RUN_JOB=j");
	cr_expect_eq(strncmp(json_string_value(json_array_get(env, 4)), "PATH=/usr", 9), 0);
	json_decref(c);
}

Test(oci, working_directory_must_exist)
{
	struct err err = { 0 };
	json_t *c = config("{\"workingDir\":\"/etc\"}", NULL, &err);

	cr_assert(c);
	cr_expect_str_eq(json_string_value(at(c, "process", "cwd")), "/etc");
	json_decref(c);
	c = config("{\"workingDir\":\"/data\"}", NULL, &err);
	cr_assert(c, "a mounted volume exists");
	json_decref(c);
	cr_assert_null(config("{\"workingDir\":\"/nowhere\"}", NULL, &err));
	cr_expect(strstr(err.msg, "failed to find initial working directory"));
	cr_assert_null(config("{\"workingDir\":\"/etc/passwd\"}", NULL, &err), "a file is none");
}

Test(oci, only_root_holds_capabilities)
{
	struct err err = { 0 };
	json_t *c = config("{}", NULL, &err);

	cr_expect_eq(json_array_size(json_object_get(at(c, "process", "capabilities"), "effective")), 14);
	json_decref(c);
	c = config("{}", "app", &err);
	cr_expect_eq(json_array_size(json_object_get(at(c, "process", "capabilities"), "effective")), 0);
	cr_expect_eq(json_array_size(json_object_get(at(c, "process", "capabilities"), "bounding")), 14);
	cr_expect_eq(json_integer_value(json_object_get(at(c, "process", "user"), "uid")), 1000);
	json_decref(c);
}
