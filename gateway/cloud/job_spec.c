/* job_spec - builds the body of jobs.create from a container's record and the settings. */
#include "cloud/job_spec.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cloud/job_options.h"
#include "cloud/job_resources.h"
#include "cloud/job_secrets.h"
#include "cloud/job_volumes.h"
#include "cloud/policy.h"
#include "config.h"
#include "image/image_config.h"
#include "state/container.h"

#define VOLUME "sockerless"
#define VOLUME_PATH "/sockerless"
#define SHARED_AGENT VOLUME_PATH "/sockerless-agent"
#define CONNECT_PATH "/internal/v1/agent/connect"
#define AGENT_LISTEN ":9111"
#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define SHORT_ID 12

static bool is_sidecar(const struct config *cfg)
{
	return strcmp(cfg->agent_mode, "sidecar") == 0;
}

static bool is_baked(const struct config *cfg)
{
	return strcmp(cfg->agent_mode, "baked") == 0;
}

static const char *get_string(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* ---- what the agent is told ------------------------------------------------------------------- */

static void unset(struct strv *env, const char *key)
{
	size_t len = strlen(key), kept = 0;

	for (size_t i = 0; i < env->n; i++) {
		if (strncmp(env->v[i], key, len) == 0 && env->v[i][len] == '=')
			free(env->v[i]);
		else
			env->v[kept++] = env->v[i];
	}
	env->n = kept;
	env->v[kept] = NULL;
}

/* The complete environment of the user's process, as dockerd makes it: the defaults, then the merged
 * Env, in which "KEY" without a value takes KEY away. */
static json_t *process_env(const struct container *c)
{
	const char *hostname = get_string(c->config, "Hostname");
	json_t *list = json_object_get(c->config, "Env"), *item, *ret = json_array();
	struct strv env = {0};
	size_t i;

	strv_add(&env, DEFAULT_PATH);
	strv_take(&env, *hostname ? xasprintf("HOSTNAME=%s", hostname)
				  : xasprintf("HOSTNAME=%.*s", SHORT_ID, c->id));
	if (c->tty)
		strv_add(&env, "TERM=xterm");
	json_array_foreach(list, i, item) {
		const char *s = json_string_value(item);

		if (s && strchr(s, '='))
			strv_env_set(&env, s);
		else if (s)
			unset(&env, s);
	}
	for (size_t k = 0; k < env.n; k++)
		json_array_append_new(ret, json_string(env.v[k]));
	strv_release(&env);
	return ret;
}

static void add_list(json_t *spec, const char *key, json_t *list)
{
	if (json_array_size(list))
		json_object_set(spec, key, list);
}

/* Docker's "NAME:ADDRESS", "NAME=ADDRESS" and "NAME:[ADDRESS]" in one form. */
static json_t *extra_hosts(json_t *given)
{
	json_t *list = json_array(), *v;
	size_t i;

	json_array_foreach(given, i, v) {
		const char *line = json_string_value(v), *address = line + strcspn(line, ":=");
		int name_len = (int)(address - line);
		size_t n;

		address += *address != '\0';
		n = strlen(address);
		if (n > 1 && *address == '[' && address[n - 1] == ']')
			json_array_append_new(list, json_sprintf("%.*s:%.*s", name_len, line, (int)n - 2, address + 1));
		else
			json_array_append_new(list, json_sprintf("%.*s:%s", name_len, line, address));
	}
	return list;
}

static void add_names(json_t *spec, const struct container *c)
{
	json_t *hosts = extra_hosts(json_object_get(c->host_config, "ExtraHosts"));
	const char *hostname = get_string(c->config, "Hostname"), *domainname = get_string(c->config, "Domainname");

	if (*hostname)
		json_object_set_new(spec, "hostname", json_string(hostname));
	if (*domainname)
		json_object_set_new(spec, "domainname", json_string(domainname));
	add_list(spec, "extraHosts", hosts);
	json_decref(hosts);
	add_list(spec, "dns", json_object_get(c->host_config, "Dns"));
	add_list(spec, "dnsSearch", json_object_get(c->host_config, "DnsSearch"));
	add_list(spec, "dnsOptions", json_object_get(c->host_config, "DnsOptions"));
}

static void add_limits(json_t *spec, const struct container *c)
{
	json_t *modes = job_volumes_modes(c), *limit;
	size_t i;

	if (modes)
		json_object_set_new(spec, "modes", modes);
	json_array_foreach(json_object_get(c->host_config, "Ulimits"), i, limit)
		if (strcmp(get_string(limit, "Name"), "nofile") == 0)
			json_object_set_new(spec, "nofile", json_pack("{s:I, s:I}", "soft",
					    json_integer_value(json_object_get(limit, "Soft")), "hard",
					    json_integer_value(json_object_get(limit, "Hard"))));
}

/* waits: others run in its task, and the gateway tells the agent when it may leave. */
static json_t *agent_spec(const struct config *cfg, const struct container *c, bool waits, const struct strv *argv_inside)
{
	json_t *size = json_object_get(c->host_config, "ConsoleSize");
	json_int_t rows = json_integer_value(json_array_get(size, 0));
	json_int_t cols = json_integer_value(json_array_get(size, 1));
	const char *user = get_string(c->config, "User");
	const char *workdir = get_string(c->config, "WorkingDir");
	const char *stop_signal = get_string(c->config, "StopSignal");
	json_t *spec = json_pack("{s:b, s:b, s:b, s:o, s:I}", "tty", c->tty, "openStdin",
				 c->open_stdin, "stdinOnce", c->stdin_once, "env", process_env(c),
				 "lingerMs", waits ? (json_int_t)cfg->task_timeout_ms : (json_int_t)JOB_SPEC_LINGER_MS);

	if (c->hold)
		json_object_set_new(spec, "hold", json_true());
	json_object_set_new(spec, "proofs", json_true());
	if (cfg->tunnel_checksums)
		json_object_set_new(spec, "checksums", json_true());
	/* --rm removes the container at its end: nobody can ask for its files any more. */
	if (waits)
		json_object_set_new(spec, "stayMs", json_integer(cfg->task_timeout_ms));
	else if (cfg->exit_stay_ms > 0 && !c->auto_remove)
		json_object_set_new(spec, "stayMs", json_integer(cfg->exit_stay_ms));
	json_object_set_new(spec, "restart", policy_spec(c)); /* NULL: no key */
	if (*user)
		json_object_set_new(spec, "user", json_string(user));
	if (*workdir)
		json_object_set_new(spec, "workdir", json_string(workdir));
	if (*stop_signal)
		json_object_set_new(spec, "stopSignal", json_string(stop_signal));
	if (rows > 0 && cols > 0) {
		json_object_set_new(spec, "rows", json_integer(rows));
		json_object_set_new(spec, "cols", json_integer(cols));
	}
	add_names(spec, c);
	add_limits(spec, c);
	job_secrets_add_names(c, spec);
	if (argv_inside) {
		json_t *argv = json_array();

		for (size_t i = 0; i < argv_inside->n; i++)
			json_array_append_new(argv, json_string(argv_inside->v[i]));
		json_object_set_new(spec, "argv", argv);
	}
	return spec;
}

static void add_env(json_t *env, const char *name, const char *value)
{
	json_array_append_new(env, json_pack("{s:s, s:s}", "name", name, "value", value));
}

static int add_spec(json_t *env, json_t *spec, struct err *err)
{
	AUTO_FREE char *text = json_dumps(spec, JSON_COMPACT);
	size_t n = strlen(text), left = base64_encoded_len(n);
	AUTO_FREE char *coded = NULL;
	const char *p;

	if (left > (size_t)JOB_SPEC_PIECE_MAX * JOB_SPEC_PIECES_MAX)
		return err_set(err, ERR_INVALID, "environment and arguments are too long: %zu bytes", n);
	p = coded = xmalloc(left + 1);
	base64_encode(text, n, coded);
	for (int piece = 1; left > 0; piece++) {
		size_t len = left < JOB_SPEC_PIECE_MAX ? left : JOB_SPEC_PIECE_MAX;
		char name[40] = "SOCKERLESS_AGENT_SPEC";

		if (piece > 1)
			snprintf(name, sizeof(name), "SOCKERLESS_AGENT_SPEC_%d", piece);
		json_array_append_new(env, json_pack("{s:s, s:s%}", "name", name, "value", p, len));
		p += len;
		left -= len;
	}
	return 0;
}

static json_t *agent_env(const struct config *cfg, const struct container *c, json_t *spec,
			 struct err *err)
{
	AUTO_FREE char *url = job_spec_callback_url(cfg, c->id);
	json_t *env = json_array();

	add_env(env, "SOCKERLESS_CONTAINER_ID", c->id);
	add_env(env, "SOCKERLESS_AGENT_TOKEN", c->token);
	if (url)
		add_env(env, "SOCKERLESS_AGENT_CALLBACK_URL", url);
	/* With a callback the agent listens only if we could dial it when the callback fails. */
	if (url && cfg->agent_address)
		add_env(env, "SOCKERLESS_AGENT_LISTEN", AGENT_LISTEN);
	if (!is_sidecar(cfg))
		add_env(env, "SOCKERLESS_SIDECAR_PORT", "0");
	job_secrets_add(c, env);
	if (add_spec(env, spec, err) < 0) {
		json_decref(env);
		return NULL;
	}
	return env;
}

/* ---- containers ------------------------------------------------------------------------------- */

static bool argv_fits(const struct strv *argv)
{
	size_t bytes = 0;

	for (size_t i = 0; i < argv->n; i++)
		bytes += strlen(argv->v[i]) + 1;
	return argv->n + 2 <= JOB_SPEC_ARGS_MAX && bytes <= JOB_SPEC_ARG_BYTES_MAX;
}

static json_t *main_container(const struct config *cfg, const struct container *c, const struct job_resources *size,
			      bool waits, struct err *err)
{
	json_t *env, *spec, *args = json_pack("[s]", "run");
	struct strv argv = {0};
	bool fits;

	image_config_argv(c->config, &argv);
	fits = argv_fits(&argv);
	if (fits) {
		json_array_append_new(args, json_string("--"));
		for (size_t i = 0; i < argv.n; i++)
			json_array_append_new(args, json_string(argv.v[i]));
	}
	spec = agent_spec(cfg, c, waits, fits ? NULL : &argv);
	strv_release(&argv);
	env = agent_env(cfg, c, spec, err);
	json_decref(spec);
	if (!env) {
		json_decref(args);
		return NULL;
	}
	return json_pack("{s:s, s:s, s:[s], s:o, s:o, s:{s:o}}", "name", JOB_SPEC_MAIN,
			 "image", c->overlay_ref ? c->overlay_ref : c->image_ref, "command",
			 is_baked(cfg) ? cfg->agent_path : SHARED_AGENT,
			 "args", args, "env", env, "resources", "limits", job_resources_limits(size));
}

static json_t *agent_volume(void)
{
	return json_pack("[{s:s, s:{s:s, s:s}}]", "name", VOLUME, "emptyDir", "medium", "MEMORY", "sizeLimit", "64Mi");
}

static json_t *volume_mounts(void)
{
	return json_pack("[{s:s, s:s}]", "name", VOLUME, "mountPath", VOLUME_PATH);
}

/* It copies the agent, then opens the port: that is what main waits for. The probe's numbers: ready
 * within a second of the copy, given up after two minutes, timeout below period as Cloud Run wants. */
static json_t *sidecar_container(const struct config *cfg)
{
	return json_pack("{s:s, s:s, s:[s], s:[s,s], s:o, s:{s:{s:s, s:s}}, s:{s:{s:i}, s:i, s:i, s:i}}",
			 "name", JOB_SPEC_SIDECAR, "image", cfg->agent_image,
			 "command", "/sockerless-agent", "args", "install", VOLUME_PATH,
			 "volumeMounts", volume_mounts(),
			 "resources", "limits", "cpu", "1", "memory", "512Mi",
			 "startupProbe", "tcpSocket", "port", JOB_SPEC_PROBE_PORT,
			 "periodSeconds", 2, "timeoutSeconds", 1, "failureThreshold", 60);
}

/* ---- the job ---------------------------------------------------------------------------------- */

static json_t *task_template(const struct config *cfg, const struct container *c, const char *gpu, json_t *containers,
			     json_t *volumes)
{
	const char *account = job_option(cfg, c, JOB_SERVICE_ACCOUNT), *generation = job_option(cfg, c, JOB_EXECUTION_ENVIRONMENT);
	json_t *t, *vpc = job_vpc_access(cfg, c);

	/* maxRetries: absent would mean 3, and a container must never run twice by itself. */
	t = json_pack("{s:i, s:o, s:o}", "maxRetries", 0, "timeout",
		      json_sprintf("%llds", (long long)job_timeout_s(cfg, c, gpu != NULL)), "containers", containers);
	if (!generation || strcmp(generation, "default") != 0)
		json_object_set_new(t, "executionEnvironment", json_string("EXECUTION_ENVIRONMENT_GEN2"));
	if (account)
		json_object_set_new(t, "serviceAccount", json_string(account));
	if (vpc)
		json_object_set_new(t, "vpcAccess", vpc);
	if (gpu) {
		json_object_set_new(t, "nodeSelector", json_pack("{s:s}", "accelerator", gpu));
		json_object_set_new(t, "gpuZonalRedundancyDisabled", json_true());
	}
	if (json_array_size(volumes))
		json_object_set(t, "volumes", volumes);
	return t;
}

/* One of the task's user containers, and its volumes beside those of the others. */
static json_t *user_container(const struct config *cfg, const struct container *c, const char *name, bool waits,
			      json_t *volumes, struct job_resources *ret_size, struct err *err)
{
	json_t *container, *own, *mounts, *v;
	size_t i;

	if (job_resources_pick(cfg, c, ret_size, err) < 0)
		return NULL;
	container = main_container(cfg, c, ret_size, waits, err);
	if (!container)
		return NULL;
	own = json_array();
	mounts = json_array();
	job_volumes_add(cfg, c, own, mounts);
	if (strcmp(name, JOB_SPEC_MAIN) != 0) {
		json_object_set_new(container, "name", json_string(name));
		json_array_foreach(own, i, v)
			json_object_set_new(v, "name", json_sprintf("%s-%s", name, get_string(v, "name")));
		json_array_foreach(mounts, i, v)
			json_object_set_new(v, "name", json_sprintf("%s-%s", name, get_string(v, "name")));
	}
	if (is_sidecar(cfg)) {
		v = volume_mounts();
		json_array_extend(v, mounts);
		json_decref(mounts);
		mounts = v;
		json_object_set_new(container, "dependsOn", json_pack("[s]", JOB_SPEC_SIDECAR));
	}
	json_array_extend(volumes, own);
	json_decref(own);
	if (json_array_size(mounts))
		json_object_set(container, "volumeMounts", mounts);
	json_decref(mounts);
	return container;
}

static json_t *all_containers(const struct config *cfg, const struct container *c, struct container *const *members,
			      json_t *volumes, struct job_resources *ret_size, struct err *err)
{
	bool shared = members && members[0];
	json_t *containers = json_array(), *one = user_container(cfg, c, JOB_SPEC_MAIN, shared, volumes, ret_size, err);
	int cpus = ret_size->cpu + (is_sidecar(cfg) ? SIDECAR_CPU : 0);

	for (size_t i = 0; one && shared && members[i]; i++) {
		AUTO_FREE char *name = xasprintf("shared-%.12s", members[i]->id);
		struct job_resources size;

		json_array_append_new(containers, one);
		one = user_container(cfg, members[i], name, false, volumes, &size, err);
		cpus += one ? size.cpu : 0;
	}
	if (one)
		json_array_append_new(containers, one);
	if (one && is_sidecar(cfg))
		json_array_append_new(containers, sidecar_container(cfg));
	if (one && (!shared || cpus <= TASK_CPU_MAX))
		return containers;
	if (one)
		err_set(err, ERR_INVALID, "the containers that share the network of %s want %d CPUs together: a Cloud Run task "
			"has %d", c->name, cpus, TASK_CPU_MAX);
	json_decref(containers);
	return NULL;
}

json_t *job_spec_build(const struct config *cfg, const struct container *c, struct container *const *members,
		       struct err *err)
{
	char created[CLOCK_RFC3339_MAX], short_id[SHORT_ID + 1];
	json_t *containers, *volumes, *job;
	struct job_resources size = {0};

	assert(c->image_ref && c->name);
	volumes = is_sidecar(cfg) ? agent_volume() : json_array();
	containers = all_containers(cfg, c, members, volumes, &size, err);
	if (!containers) {
		json_decref(volumes);
		return NULL;
	}
	snprintf(short_id, sizeof(short_id), "%.*s", SHORT_ID, c->id);
	clock_format(c->created_ns, 0, created);
	job = json_pack("{s:{s:s, s:s, s:s, s:s}, s:{s:s, s:s, s:s}, s:{s:i, s:i, s:o}}",
			 "labels", "sockerless_managed", "true", "sockerless_container_id", short_id,
			 "sockerless_backend", "cloudrun", "sockerless_instance", cfg->instance,
			 "annotations", "sockerless_container_id", c->id, "sockerless_name", c->name,
			 "sockerless_created_at", created,
			 "template", "taskCount", 1, "parallelism", 1,
			 "template", task_template(cfg, c, size.gpu, containers, volumes));
	json_decref(volumes);
	return job;
}

char *job_spec_callback_url(const struct config *cfg, const char *container_id)
{
	const char *url = cfg->callback_url, *host, *path;

	if (!url)
		return NULL;
	host = strstr(url, "://");
	path = strchr(host ? host + 3 : url, '/');
	if (!path)
		return xasprintf("%s" CONNECT_PATH "?id=%s", url, container_id);
	return xasprintf("%s%cid=%s", url, strchr(path, '?') ? '&' : '?', container_id);
}
