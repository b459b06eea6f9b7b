/* validate - see validate.h. Sources: the API's own field descriptions and documented limits. */
#include "validate.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "buckets.h"
#include "oci.h"
#include "schema.h"

#define JOB_ID_MAX 49
#define ENV_NAME_MAX 32768
#define ENV_VALUE_MAX 32768
#define ANNOTATION_VALUE_MAX 32768 /* Kubernetes has no limit of its own; the strictest said of Cloud Run */
#define ARGS_MAX 1000
#define CONTAINERS_MAX 10
#define VOLUMES_MAX 10
#define PROBE_BUDGET_MAX_S 600
#define TIMEOUT_MAX_MS (604800ll * 1000)
#define FIELD_MAX 256

int validate_size(const char *s, uint64_t *ret)
{
	static const struct { const char *suffix; uint64_t factor; } units[] = {
		{ "", 1 }, { "k", 1000 }, { "M", 1000000 }, { "G", 1000000000 },
		{ "Ki", 1 << 10 }, { "Mi", 1 << 20 }, { "Gi", 1 << 30 },
	};
	uint64_t n = 0;

	if (!isdigit((unsigned char)*s))
		return -1;
	for (; isdigit((unsigned char)*s); s++) {
		n = n * 10 + (uint64_t)(*s - '0');
		if (n > 1ull << 40)
			return -1;
	}
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
		if (!strcmp(s, units[i].suffix)) {
			*ret = n * units[i].factor;
			return 0;
		}
	return -1;
}

/* Where we are: builds the field's path for an error. */
struct where {
	const char *request;
	char path[FIELD_MAX];
	struct rpc_error *e;
	const struct strv *secrets;
};

static int bad(struct where *w, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static int bad(struct where *w, const char *field, const char *fmt, ...)
{
	char text[512], full[2 * FIELD_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	snprintf(full, sizeof full, "%s.%s%s%s", w->request, w->path, *w->path && *field ? "." : "",
		 field);
	return rpc_violation(w->e, full, "%s", text);
}

static const char *get(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static json_int_t number(const json_t *o, const char *key, json_int_t otherwise)
{
	const json_t *v = json_object_get(o, key);

	return v ? json_integer_value(v) : otherwise;
}

static bool is_label(const char *s, size_t max)
{
	size_t n = strlen(s);

	if (!n || n > max || !islower((unsigned char)*s) || s[n - 1] == '-')
		return false;
	return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

int validate_job_id(const char *id, struct rpc_error *e)
{
	if (is_label(id, JOB_ID_MAX))
		return 0;
	return rpc_violation(e, "CreateJobRequest.job_id", "only lowercase, digits, and hyphens; must "
			     "begin with letter, and cannot end with hyphen; must be less than %d characters.",
			     JOB_ID_MAX + 1);
}

/* ---- labels ---- */

static bool is_reserved(const char *key)
{
	static const char *const spaces[] = { "run.googleapis.com", "cloud.googleapis.com",
		"serving.knative.dev", "autoscaling.knative.dev" };
	const char *slash = strchr(key, '/');

	for (size_t i = 0; slash && i < sizeof spaces / sizeof spaces[0]; i++) {
		size_t n = strlen(spaces[i]), len = (size_t)(slash - key);
		/* the namespace itself, or one below it */
		if (len >= n && !strncmp(slash - n, spaces[i], n) && (len == n || *(slash - n - 1) == '.'))
			return true;
	}
	return false;
}

static int check_labels(struct where *w, const json_t *labels)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
	const char *key;
	json_t *v;

	if (json_object_size(labels) > 64)
		return bad(w, "labels", "at most 64 labels are allowed");
	json_object_foreach((json_t *)labels, key, v) {
		const char *value = json_string_value(v);
		if (is_reserved(key))
			return bad(w, "labels", "label key '%.80s' is in a reserved namespace", key);
		if (!islower((unsigned char)*key) || strlen(key) > 63 ||
		    strspn(key, allowed) != strlen(key))
			return bad(w, "labels", "label key '%.80s' must begin with a lowercase letter and have at "
				   "most 63 lowercase letters, digits, underscores and dashes", key);
		if (strlen(value) > 63 || strspn(value, allowed) != strlen(value))
			return bad(w, "labels", "the value of label '%.80s' must have at most 63 lowercase letters, "
				   "digits, underscores and dashes", key);
	}
	return 0;
}

/* A qualified name of Kubernetes: [prefix/]name. */
static bool is_annotation_key(const char *key)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	const char *slash = strchr(key, '/'), *name = slash ? slash + 1 : key;
	size_t n = strlen(name), prefix = slash ? (size_t)(slash - key) : 1;

	return n > 0 && n <= 63 && strspn(name, allowed) == n && isalnum((unsigned char)name[0]) &&
	       isalnum((unsigned char)name[n - 1]) && prefix > 0 && prefix <= 253;
}

static int check_annotations(struct where *w, const json_t *annotations)
{
	size_t total = 0;
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)annotations, key, v) {
		total += strlen(key) + json_string_length(v);
		if (is_reserved(key))
			return bad(w, "annotations", "annotation key '%.80s' is in a reserved namespace", key);
		if (!is_annotation_key(key))
			return bad(w, "annotations", "annotation key '%.80s' must be a qualified name: at most 63 letters, "
				   "digits, '-', '_' and '.', an alphanumeric first and last", key);
		if (json_string_length(v) > ANNOTATION_VALUE_MAX)
			return bad(w, "annotations", "the value of annotation '%.80s' is longer than %d bytes", key,
				   ANNOTATION_VALUE_MAX);
	}
	return total > 256 * 1024 ? bad(w, "annotations", "total size must be at most 256 KiB") : 0;
}

/* ---- containers ---- */

static int check_env(struct where *w, const json_t *env)
{
	const json_t *v;
	size_t i;

	json_array_foreach(env, i, v) {
		const char *name = get(v, "name"), *value = get(v, "value");
		const json_t *ref = json_object_get(json_object_get(v, "valueSource"), "secretKeyRef");
		char field[64];

		snprintf(field, sizeof field, "env[%zu]", i);
		if (!name || strlen(name) > ENV_NAME_MAX || strchr(name, '='))
			return bad(w, field, "name is required, at most %d characters without '='", ENV_NAME_MAX);
		if (value && strlen(value) > ENV_VALUE_MAX)
			return bad(w, field, "the value of %.100s is longer than %d bytes", name, ENV_VALUE_MAX);
		if (value && json_object_get(v, "valueSource"))
			return bad(w, field, "value and value_source exclude each other");
		if (ref && !get(ref, "secret"))
			return bad(w, field, "value_source.secret_key_ref.secret is required");
		if (ref && !oci_secret_file(w->secrets, get(ref, "secret")))
			return bad(w, field, "Secret %s was not found (give it to the emulator with "
				   "--secret NAME=FILE or --secrets DIR)", get(ref, "secret"));
	}
	return 0;
}

static int check_startup_probe(struct where *w, const json_t *p)
{
	json_int_t period = number(p, "periodSeconds", 10), timeout = number(p, "timeoutSeconds", 1);
	json_int_t threshold = number(p, "failureThreshold", 3);
	json_int_t delay = number(p, "initialDelaySeconds", 0);
	const char *path = get(json_object_get(p, "httpGet"), "path");

	if (json_object_get(p, "grpc"))
		return bad(w, "startup_probe.grpc", "gRPC probes are not emulated");
	if (!json_object_get(p, "tcpSocket") == !json_object_get(p, "httpGet"))
		return bad(w, "startup_probe", "exactly one of tcp_socket, http_get or grpc is required");
	if (delay < 0 || delay > 240)
		return bad(w, "startup_probe.initial_delay_seconds", "must be between 0 and 240");
	if (period < 1 || period > 240)
		return bad(w, "startup_probe.period_seconds", "must be between 1 and 240");
	if (timeout < 1 || timeout > period)
		return bad(w, "startup_probe.timeout_seconds", "must be at least 1 and not more than "
			   "period_seconds");
	if (threshold < 1 || threshold * period > PROBE_BUDGET_MAX_S)
		return bad(w, "startup_probe.failure_threshold", "failure_threshold * period_seconds must be "
			   "at most %d seconds", PROBE_BUDGET_MAX_S);
	if (path && (*path != '/' || strpbrk(path, " \r\n")))
		return bad(w, "startup_probe.http_get.path", "must be an absolute path");
	return 0;
}

static const json_t *find_named(const json_t *list, const char *name)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
		if (get(v, "name") && !strcmp(get(v, "name"), name))
			return v;
	return NULL;
}

static bool is_below(const char *path, const char *top)
{
	size_t n = strlen(top);

	return !strncmp(path, top, n) && (!path[n] || path[n] == '/');
}

static int check_mounts(struct where *w, const json_t *mounts, const json_t *volumes)
{
	const json_t *m, *other;
	size_t i, k;

	json_array_foreach(mounts, i, m) {
		const char *name = get(m, "name"), *path = get(m, "mountPath");
		char field[64];

		snprintf(field, sizeof field, "volume_mounts[%zu]", i);
		if (!name || !find_named(volumes, name))
			return bad(w, field, "volume '%.80s' is not defined", name ? name : "");
		if (!path || *path != '/' || strchr(path, ':') || strstr(path, "/..") || !path[1])
			return bad(w, field, "mount_path must be an absolute path without ':'");
		if (is_below(path, "/dev") || is_below(path, "/proc") || is_below(path, "/sys"))
			return bad(w, field, "mount_path %.100s is not allowed", path);
		if (json_object_get(m, "subPath"))
			return bad(w, field, "sub_path is not emulated");
		json_array_foreach(mounts, k, other)
			if (k < i && (is_below(path, get(other, "mountPath")) ||
				      is_below(get(other, "mountPath"), path)))
				return bad(w, field, "mount_path %.100s is inside another one", path);
	}
	return 0;
}

static int check_depends_on(struct where *w, const json_t *c, const json_t *containers)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(c, "dependsOn"), i, v) {
		const json_t *other = find_named(containers, json_string_value(v));
		for (size_t k = 0; k < i; k++)
			if (json_equal(json_array_get(json_object_get(c, "dependsOn"), k), v))
				return bad(w, "depends_on", "container '%.80s' is named twice",
					   json_string_value(v));
		if (!other)
			return bad(w, "depends_on", "container '%.80s' is not defined", json_string_value(v));
		if (!json_object_get(other, "startupProbe"))
			return bad(w, "depends_on", "Dependent container '%.80s' must have startup probe "
				   "specified", json_string_value(v));
	}
	return 0;
}

/* Follow dependsOn: more steps than containers means a circle. */
static bool in_circle(const json_t *containers, const json_t *c, size_t steps)
{
	const json_t *v;
	size_t i;

	if (steps > json_array_size(containers))
		return true;
	json_array_foreach(json_object_get(c, "dependsOn"), i, v)
		if (in_circle(containers, find_named(containers, json_string_value(v)), steps + 1))
			return true;
	return false;
}

static int check_ports(struct where *w, const json_t *ports)
{
	json_int_t port = number(json_array_get(ports, 0), "containerPort", 8080);

	if (json_array_size(ports) > 1)
		return bad(w, "ports", "only a single port can be specified");
	return port < 1 || port > 65535 ? bad(w, "ports[0].container_port", "must be 1 to 65535") : 0;
}

static int check_container(struct where *w, const json_t *c, const json_t *containers,
			   const json_t *volumes)
{
	const char *name = get(c, "name"), *dir = get(c, "workingDir");
	size_t count = json_array_size(containers);

	if (!get(c, "image"))
		return bad(w, "image", "image is required");
	if (!name && count > 1)
		return bad(w, "name", "name is required when there are several containers");
	if (name && !is_label(name, 63))
		return bad(w, "name", "must be a DNS label (RFC 1123)");
	if (name && find_named(containers, name) != c)
		return bad(w, "name", "container name '%s' is used twice", name);
	if (json_array_size(json_object_get(c, "args")) > ARGS_MAX)
		return bad(w, "args", "at most %d arguments are allowed", ARGS_MAX);
	if (dir && *dir != '/')
		return bad(w, "working_dir", "must be an absolute path");
	if (json_object_get(c, "livenessProbe") || json_object_get(c, "readinessProbe"))
		return bad(w, json_object_get(c, "livenessProbe") ? "liveness_probe" : "readiness_probe",
			   "is not supported for jobs");
	if (json_object_get(c, "sourceCode") || json_object_get(c, "baseImageUri") ||
	    json_object_get(c, "sandboxLauncher"))
		return bad(w, "", "source_code, base_image_uri and sandbox_launcher are not emulated");
	if (check_env(w, json_object_get(c, "env")) < 0 ||
	    check_ports(w, json_object_get(c, "ports")) < 0 ||
	    check_mounts(w, json_object_get(c, "volumeMounts"), volumes) < 0 ||
	    check_depends_on(w, c, containers) < 0)
		return -1;
	if (json_object_get(c, "startupProbe"))
		return check_startup_probe(w, json_object_get(c, "startupProbe"));
	return 0;
}

/* "2" or "1500m" in thousandths; -1 if neither. */
static int64_t parse_cpu(const char *s)
{
	size_t n = strspn(s, "0123456789");
	int64_t v = 0;

	if (!n || n > 6)
		return -1;
	for (size_t i = 0; i < n; i++)
		v = v * 10 + (s[i] - '0');
	return !s[n] ? v * 1000 : !strcmp(s + n, "m") ? v : -1;
}

static int check_resources(struct where *w, const json_t *containers)
{
	uint64_t memory = 0, m;
	int64_t cpu = 0;
	const json_t *c;
	size_t i;

	json_array_foreach(containers, i, c) {
		const json_t *limits = json_object_get(json_object_get(c, "resources"), "limits"), *v;
		const char *key;
		snprintf(w->path, sizeof w->path, "job.template.template.containers[%zu]", i);
		m = 512 << 20;
		int64_t one = 1000;
		json_object_foreach((json_t *)limits, key, v) {
			if (!strcmp(key, "nvidia.com/gpu"))
				return bad(w, "resources.limits", "GPUs are not emulated");
			if (!strcmp(key, "cpu") && (one = parse_cpu(json_string_value(v))) > 0)
				continue;
			if (!strcmp(key, "memory") && validate_size(json_string_value(v), &m) == 0)
				continue;
			return bad(w, "resources.limits", "Invalid value specified for container %.40s: %.40s", key,
				   json_string_value(v));
		}
		cpu += one;
		memory += m;
	}
	snprintf(w->path, sizeof w->path, "job.template.template.containers");
	if (cpu > 8000)
		return bad(w, "", "Total CPU of all containers must be at most 8, got %" PRId64 "m", cpu);
	if (memory < 512 << 20 || memory > 32ull << 30)
		return bad(w, "", "Total memory of all containers must be between 512Mi and 32Gi inclusive");
	return 0;
}

/* ---- volumes ---- */

static int check_secret(struct where *w, const json_t *s)
{
	const json_t *item;
	size_t i;

	if (!get(s, "secret"))
		return bad(w, "secret.secret", "is required");
	if (!oci_secret_file(w->secrets, get(s, "secret")))
		return bad(w, "secret.secret", "Secret %s was not found (give it to the emulator with "
			   "--secret NAME=FILE or --secrets DIR)", get(s, "secret"));
	json_array_foreach(json_object_get(s, "items"), i, item) {
		const char *path = get(item, "path");
		if (!path || *path == '/' || strstr(path, ".."))
			return bad(w, "secret.items", "path must be relative and without '..'");
	}
	return 0;
}

static int check_gcs(struct where *w, const json_t *g)
{
	const json_t *option;
	size_t i;

	if (!get(g, "bucket") || !bucket_name_valid(get(g, "bucket")))
		return bad(w, "gcs.bucket", "is not the name of a bucket");
	json_array_foreach(json_object_get(g, "mountOptions"), i, option)
		if (!bucket_mount_option_valid(json_string_value(option)))
			return bad(w, "gcs.mount_options", "Unsupported or unrecognized flag for Cloud Storage volume: %.100s",
				   json_string_value(option));
	return 0;
}

static int check_nfs(struct where *w, const json_t *n)
{
	const char *server = get(n, "server"), *path = get(n, "path");

	if (!server || !*server || strchr(server, '/') || !strcmp(server, ".") || !strcmp(server, ".."))
		return bad(w, "nfs.server", "is required");
	if (!path || *path != '/' || strstr(path, "/.."))
		return bad(w, "nfs.path", "must be an absolute path");
	return 0;
}

static int check_volume(struct where *w, const json_t *v, const json_t *volumes)
{
	static const char *const sources[] = { "emptyDir", "secret", "gcs", "nfs" };
	const char *name = get(v, "name"), *size = get(json_object_get(v, "emptyDir"), "sizeLimit");
	size_t given = 0;
	uint64_t n;

	if (!name || !is_label(name, 63))
		return bad(w, "name", "must be a DNS label (RFC 1123)");
	if (find_named(volumes, name) != v)
		return bad(w, "name", "volume name '%s' is used twice", name);
	if (json_object_get(v, "cloudSqlInstance"))
		return bad(w, "", "Cloud SQL volumes are not emulated");
	for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
		given += json_object_get(v, sources[i]) != NULL;
	if (given != 1)
		return bad(w, "", "exactly one volume source is required");
	if (json_object_get(v, "secret"))
		return check_secret(w, json_object_get(v, "secret"));
	if (json_object_get(v, "gcs"))
		return check_gcs(w, json_object_get(v, "gcs"));
	if (json_object_get(v, "nfs"))
		return check_nfs(w, json_object_get(v, "nfs"));
	if (size && (validate_size(size, &n) < 0 || n == 0))
		return bad(w, "empty_dir.size_limit", "'%.40s' is not a size", size);
	return 0;
}

/* ---- the whole ---- */

static int check_task_template(struct where *w, const json_t *t)
{
	const json_t *containers = json_object_get(t, "containers"), *c;
	const json_t *volumes = json_object_get(t, "volumes"), *v;
	json_int_t retries = number(t, "maxRetries", 3);
	const char *timeout = get(t, "timeout"), *gen = get(t, "executionEnvironment");
	int64_t ms;
	size_t i;

	if (!json_array_size(containers))
		return bad(w, "containers", "at least one container is required");
	if (json_array_size(containers) > CONTAINERS_MAX || json_array_size(volumes) > VOLUMES_MAX)
		return bad(w, "", "at most %d containers and %d volumes are allowed", CONTAINERS_MAX,
			   VOLUMES_MAX);
	if (retries < 0 || retries > 10)
		return bad(w, "max_retries", "must be between 0 and 10");
	if (timeout && (schema_duration_ms(timeout, &ms) < 0 || ms < 1000 || ms > TIMEOUT_MAX_MS))
		return bad(w, "timeout", "must be between 1s and 604800s");
	if (gen && !strcmp(gen, "EXECUTION_ENVIRONMENT_GEN1"))
		return bad(w, "execution_environment", "jobs run in the second generation environment only");
	json_array_foreach(volumes, i, v) {
		snprintf(w->path, sizeof w->path, "job.template.template.volumes[%zu]", i);
		if (check_volume(w, v, volumes) < 0)
			return -1;
	}
	json_array_foreach(containers, i, c) {
		snprintf(w->path, sizeof w->path, "job.template.template.containers[%zu]", i);
		if (check_container(w, c, containers, volumes) < 0)
			return -1;
	}
	json_array_foreach(containers, i, c)
		if (in_circle(containers, c, 0))
			return bad(w, "depends_on", "containers depend on each other in a circle");
	return check_resources(w, containers);
}

static int check_token(struct where *w, const char *job_id, const json_t *job)
{
	const char *start = get(job, "startExecutionToken"), *run = get(job, "runExecutionToken");
	const char *token = start ? start : run;

	if (start && run)
		return bad(w, "run_execution_token", "start_execution_token and run_execution_token exclude "
			   "each other");
	if (!token)
		return 0;
	size_t n = strlen(token);
	if (strspn(token, "abcdefghijklmnopqrstuvwxyz0123456789-") != n || token[n - 1] == '-')
		return bad(w, start ? "start_execution_token" : "run_execution_token", "only lowercase, digits "
			   "and hyphens, and no hyphen at the end");
	if (strlen(job_id) + n >= 63)
		return bad(w, start ? "start_execution_token" : "run_execution_token", "The sum of job name and "
			   "token length must be fewer than 63 characters.");
	return 0;
}

int validate_job(const char *request, const char *job_id, const json_t *job,
		 const struct strv *secrets, struct rpc_error *e)
{
	struct where w = { .request = request, .path = "job", .e = e, .secrets = secrets };
	const json_t *t = json_object_get(job, "template");
	json_int_t count = number(t, "taskCount", 1), parallelism = number(t, "parallelism", 0);

	if (check_labels(&w, json_object_get(job, "labels")) < 0 ||
	    check_annotations(&w, json_object_get(job, "annotations")) < 0 ||
	    check_token(&w, job_id, job) < 0)
		return -1;
	if (!t || !json_object_get(t, "template"))
		return bad(&w, "template", "template.template is required");
	snprintf(w.path, sizeof w.path, "job.template");
	if (check_labels(&w, json_object_get(t, "labels")) < 0 ||
	    check_annotations(&w, json_object_get(t, "annotations")) < 0)
		return -1;
	if (count < 1 || count > 10000)
		return bad(&w, "task_count", "must be between 1 and 10000");
	if (parallelism < 0 || parallelism > 10000)
		return bad(&w, "parallelism", "must be between 0 and 10000");
	snprintf(w.path, sizeof w.path, "job.template.template");
	return check_task_template(&w, json_object_get(t, "template"));
}

int validate_overrides(const json_t *o, const json_t *job, const struct strv *secrets,
		       struct rpc_error *e)
{
	struct where w = { .request = "RunJobRequest", .path = "overrides", .e = e, .secrets = secrets };
	const json_t *containers = json_object_get(json_object_get(json_object_get(job, "template"),
						   "template"), "containers"), *c;
	json_int_t count = number(o, "taskCount", 1);
	const char *timeout = get(o, "timeout");
	int64_t ms;
	size_t i;

	if (count < 1 || count > 10000)
		return bad(&w, "task_count", "must be between 1 and 10000");
	if (timeout && (schema_duration_ms(timeout, &ms) < 0 || ms < 1000 || ms > TIMEOUT_MAX_MS))
		return bad(&w, "timeout", "must be between 1s and 604800s");
	json_array_foreach(json_object_get(o, "containerOverrides"), i, c) {
		const char *name = get(c, "name");
		snprintf(w.path, sizeof w.path, "overrides.container_overrides[%zu]", i);
		if (name ? !find_named(containers, name) : json_array_size(containers) > 1)
			return bad(&w, "name", "container '%.80s' is not part of the job", name ? name : "");
		if (json_object_get(c, "args") && json_object_get(c, "clearArgs"))
			return bad(&w, "clear_args", "args and clear_args exclude each other");
		if (check_env(&w, json_object_get(c, "env")) < 0)
			return -1;
	}
	return 0;
}
