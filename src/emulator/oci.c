/* oci - see oci.h. */
#include "oci.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/parse.h"
#include "fs.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define SECRET_MAX (64 * 1024) /* Secret Manager's own limit */
#define LINE_SIZE 4096
#define OPEN_FILES 25000 /* Cloud Run's limit */

static const char *get(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static void add_strings(struct strv *out, const json_t *array)
{
	size_t i;
	const json_t *v;

	json_array_foreach(array, i, v)
		strv_add(out, json_string_value(v));
}

void oci_args(const json_t *container, const struct image *image, struct strv *out)
{
	const json_t *command = json_object_get(container, "command");
	const json_t *args = json_object_get(container, "args");

	if (command)
		add_strings(out, command);
	else
		for (size_t i = 0; i < image->entrypoint.n; i++)
			strv_add(out, image->entrypoint.v[i]);
	if (args)
		add_strings(out, args);
	else if (!command)
		for (size_t i = 0; i < image->cmd.n; i++)
			strv_add(out, image->cmd.v[i]);
}

/* ---- users ---- */

/* Cut "a:b:c\n" into at most n fields, in place. */
static size_t split(char *line, char **field, size_t n)
{
	size_t count = 0;

	line[strcspn(line, "\r\n")] = 0;
	while (count < n) {
		field[count++] = line;
		line = strchr(line, ':');
		if (!line)
			break;
		*line++ = 0;
	}
	return count;
}

static FILE *open_in_image(const char *rootfs, const char *path)
{
	int fd = fs_open_in_root(rootfs, path, O_RDONLY);

	return fd < 0 ? NULL : fdopen(fd, "r");
}

static bool is_number(const char *s, unsigned *ret)
{
	int64_t n;

	if (!isdigit((unsigned char)*s) || parse_i64(s, &n) < 0 || n > UINT32_MAX)
		return false;
	*ret = (unsigned)n;
	return true;
}

/* root:x:0:0:... by name or uid. True if found; user's uid and gid set, *ret_name for the groups. */
static bool find_passwd(const char *rootfs, const char *who, struct oci_user *user, char **ret_name)
{
	FILE *f = open_in_image(rootfs, "/etc/passwd");
	char line[LINE_SIZE], *field[4];
	unsigned wanted, uid, gid;
	bool by_uid = is_number(who, &wanted), found = false;

	while (f && !found && fgets(line, sizeof line, f))
		if (split(line, field, 4) == 4 && is_number(field[2], &uid) &&
		    is_number(field[3], &gid) && (by_uid ? uid == wanted : !strcmp(field[0], who))) {
			user->uid = uid;
			user->gid = gid;
			*ret_name = xstrdup(field[0]);
			found = true;
		}
	if (f)
		fclose(f);
	return found;
}

/* "a,name,b" */
static bool lists(const char *members, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = members; *at; at += strcspn(at, ","), at += *at == ',')
		if (strcspn(at, ",") == n && !strncmp(at, name, n))
			return true;
	return false;
}

/* Supplementary groups of name; and the gid of group, if asked for. */
static void read_groups(const char *rootfs, const char *name, const char *group,
			struct oci_user *user)
{
	FILE *f = open_in_image(rootfs, "/etc/group");
	char line[LINE_SIZE], *field[4];
	unsigned gid;

	while (f && fgets(line, sizeof line, f)) {
		size_t n = split(line, field, 4);
		if (n < 3 || !is_number(field[2], &gid))
			continue;
		if (group && !strcmp(field[0], group))
			user->gid = gid;
		else if (!group && name && n == 4 && lists(field[3], name) &&
			 user->n_groups < OCI_GROUPS_MAX)
			user->groups[user->n_groups++] = gid;
	}
	if (f)
		fclose(f);
}

void oci_user(const char *rootfs, const char *spec, struct oci_user *ret)
{
	AUTO_FREE char *who = xstrdup(spec ? spec : "");
	AUTO_FREE char *name = NULL;
	char *group = strchr(who, ':');

	*ret = (struct oci_user){ 0 };
	if (group)
		*group++ = 0;
	if (!*who || !find_passwd(rootfs, who, ret, &name))
		if (!is_number(who, &ret->uid))
			ret->uid = 0;
	if (group && *group && is_number(group, &ret->gid))
		return;
	read_groups(rootfs, name, group && *group ? group : NULL, ret);
}

static json_t *user_json(const struct oci_user *u)
{
	json_t *o = json_pack("{s:I, s:I}", "uid", (json_int_t)u->uid, "gid", (json_int_t)u->gid);

	if (u->n_groups) {
		json_t *groups = json_array();
		for (size_t i = 0; i < u->n_groups; i++)
			json_array_append_new(groups, json_integer(u->groups[i]));
		json_object_set_new(o, "additionalGids", groups);
	}
	return o;
}

/* ---- environment ---- */

const char *oci_secret_file(const struct strv *secrets, const char *name)
{
	const char *slash = strrchr(name, '/');

	return strv_env_get(secrets, slash ? slash + 1 : name);
}

void oci_secrets_scan(struct strv *secrets, const char *dir)
{
	DIR *d = dir ? opendir(dir) : NULL;
	const struct dirent *e;

	while (d && (e = readdir(d))) {
		AUTO_FREE char *entry = xasprintf("%s=%s/%s", e->d_name, dir, e->d_name);

		if (*e->d_name != '.')
			strv_env_set(secrets, entry);
	}
	if (d)
		closedir(d);
}

static int add_env(struct strv *env, const json_t *var, const struct strv *secrets, struct err *err)
{
	const char *name = get(var, "name"), *value = get(var, "value");
	const json_t *ref = json_object_get(json_object_get(var, "valueSource"), "secretKeyRef");
	AUTO_FREE char *secret = NULL;

	if (ref) {
		const char *file = oci_secret_file(secrets, get(ref, "secret"));
		if (!file)
			return err_set(err, ERR_NOT_FOUND, "Secret %s was not found", get(ref, "secret"));
		secret = fs_read(file, SECRET_MAX, NULL, err);
		if (!secret)
			return -1;
		value = secret;
	}
	AUTO_FREE char *assignment = xasprintf("%s=%s", name, value ? value : "");
	strv_env_set(env, assignment);
	return 0;
}

/* NULL if one is not UTF-8: the kernel takes any bytes, but crun reads JSON. */
static json_t *strings(const struct strv *s)
{
	json_t *a = json_array();

	for (size_t i = 0; i < s->n; i++)
		if (json_array_append_new(a, json_string(s->v[i])) < 0) {
			json_decref(a);
			return NULL;
		}
	return a;
}

static json_t *env_json(const struct oci_spec *spec, struct err *err)
{
	struct strv env = { 0 };
	const json_t *var;
	json_t *out = NULL;
	size_t i;

	for (i = 0; i < spec->image->env.n; i++)
		strv_env_set(&env, spec->image->env.v[i]);
	json_array_foreach(json_object_get(spec->container, "env"), i, var)
		if (add_env(&env, var, spec->secrets, err) < 0)
			goto done;
	for (i = 0; i < spec->task_env->n; i++)
		strv_env_set(&env, spec->task_env->v[i]);
	if (!strv_env_get(&env, "PATH"))
		strv_add(&env, DEFAULT_PATH);
	out = strings(&env);
	if (!out)
		err_set(err, ERR_INVALID, "an environment variable is not UTF-8");
done:
	strv_release(&env);
	return out;
}

/* ---- the file ---- */

static json_t *capabilities(bool root)
{
	/* Docker's default set. A process that is not root holds none, as after its setuid(). */
	static const char set[] =
		"[\"CAP_CHOWN\", \"CAP_DAC_OVERRIDE\", \"CAP_FSETID\", \"CAP_FOWNER\", \"CAP_MKNOD\","
		"\"CAP_NET_RAW\", \"CAP_SETGID\", \"CAP_SETUID\", \"CAP_SETFCAP\", \"CAP_SETPCAP\","
		"\"CAP_NET_BIND_SERVICE\", \"CAP_SYS_CHROOT\", \"CAP_KILL\", \"CAP_AUDIT_WRITE\"]";
	json_t *caps = json_object();

	json_object_set_new(caps, "bounding", json_loads(set, 0, NULL));
	json_object_set_new(caps, "effective", root ? json_loads(set, 0, NULL) : json_array());
	json_object_set_new(caps, "permitted", root ? json_loads(set, 0, NULL) : json_array());
	json_object_set_new(caps, "inheritable", json_array());
	json_object_set_new(caps, "ambient", json_array());
	return caps;
}

static void add_bind(json_t *mounts, const char *source, const char *target, bool read_only)
{
	json_array_append_new(mounts, json_pack("{s:s, s:s, s:s, s:[s, s, s, s]}", "destination",
		target, "type", "bind", "source", source, "options", "rbind", "rprivate",
		read_only ? "ro" : "rw", "nosuid"));
}

static json_t *mounts_json(const struct oci_spec *spec)
{
	static const char fixed[] = "["
		"{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\",\"options\":[\"nosuid\",\"noexec\",\"nodev\"]},"
		"{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"nosuid\",\"strictatime\",\"mode=755\",\"size=65536k\"]},"
		"{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\",\"options\":[\"nosuid\",\"noexec\",\"newinstance\",\"ptmxmode=0666\",\"mode=0620\",\"gid=5\"]},"
		"{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\",\"source\":\"shm\",\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"mode=1777\",\"size=67108864\"]},"
		"{\"destination\":\"/sys\",\"type\":\"sysfs\",\"source\":\"sysfs\",\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"ro\"]}]";
	json_t *mounts = json_loads(fixed, 0, NULL);

	add_bind(mounts, spec->hosts, "/etc/hosts", false);
	add_bind(mounts, spec->resolv_conf, "/etc/resolv.conf", false);
	for (size_t i = 0; i < spec->n_mounts; i++)
		add_bind(mounts, spec->mounts[i].source, spec->mounts[i].target,
			 spec->mounts[i].read_only);
	return mounts;
}

static json_t *linux_json(const struct oci_spec *spec)
{
	/* No cgroups, hence no limits: see docs/emulator.md. The machine stays out of reach. */
	return json_pack("{s:[{s:s}, {s:s}, {s:s}, {s:s}, {s:s, s:s}], s:[s,s,s,s,s,s], s:[s,s,s,s,s]}",
		"namespaces", "type", "pid", "type", "mount", "type", "ipc", "type", "uts",
		"type", "network", "path", spec->netns,
		"maskedPaths", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list",
		"/proc/sched_debug", "/sys/firmware",
		"readonlyPaths", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
		"/proc/sysrq-trigger");
}

/* A mounted volume's own folder exists; anything else must come with the image. */
static bool folder_exists(const struct oci_spec *spec, const char *path)
{
	for (size_t i = 0; i < spec->n_mounts; i++)
		if (!strcmp(spec->mounts[i].target, path))
			return true;
	int fd = fs_open_in_root(spec->image->rootfs, path, O_PATH | O_DIRECTORY);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static const char *working_dir(const struct oci_spec *spec)
{
	const char *cwd = get(spec->container, "workingDir");

	if (!cwd)
		cwd = spec->image->working_dir;
	return cwd && *cwd ? cwd : "/";
}

/* Raising a hard limit takes a capability that root in a container may lack. */
static json_t *rlimits(void)
{
	struct rlimit own;
	json_int_t n = OPEN_FILES;

	if (getrlimit(RLIMIT_NOFILE, &own) == 0 && own.rlim_max < OPEN_FILES)
		n = (json_int_t)own.rlim_max;
	return json_pack("[{s:s, s:I, s:I}]", "type", "RLIMIT_NOFILE", "hard", n, "soft", n);
}

json_t *oci_config(const struct oci_spec *spec, struct err *err)
{
	struct strv args = { 0 };
	struct oci_user user;
	const char *cwd = working_dir(spec);
	json_t *config = NULL, *env;

	oci_args(spec->container, spec->image, &args);
	if (!args.n) {
		err_set(err, ERR_INVALID, "the image has no entrypoint and no command was given");
		goto done;
	}
	if (!folder_exists(spec, cwd)) {
		err_set(err, ERR_INVALID, "failed to find initial working directory \"%s\"", cwd);
		goto done;
	}
	env = env_json(spec, err);
	if (!env)
		goto done;
	oci_user(spec->image->rootfs, spec->image->user, &user);
	json_t *process = json_pack("{s:b, s:o, s:o, s:o, s:s, s:o, s:b, s:o}",
		"terminal", 0, "user", user_json(&user), "args", strings(&args), "env", env, "cwd", cwd,
		"capabilities", capabilities(user.uid == 0), "noNewPrivileges", 1,
		"rlimits", rlimits());
	if (!process) {
		err_set(err, ERR_INVALID, "an argument or variable is not UTF-8");
		goto done;
	}
	config = json_pack("{s:s, s:o, s:{s:s, s:b}, s:s, s:o, s:o}", "ociVersion", "1.0.2",
		"process", process, "root", "path", "rootfs", "readonly", 0,
		"hostname", "localhost", "mounts", mounts_json(spec), "linux", linux_json(spec));
done:
	strv_release(&args);
	return config;
}
