/* task - see task.h. Everything an attempt makes hangs below one tmpfs and one network namespace:
 *
 *   RUN/tSEQ/ (tmpfs)  hosts resolv.conf v0/ v1/ ... (volumes)
 *                      c0/ (bundle) config.json pid crun.log upper/ work/ rootfs/ (overlay)
 *
 * so that clean-up is one lazy unmount. */
#include "task.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <utlist.h>

#include "base/log.h"
#include "base/token.h"
#include "buckets.h"
#include "container.h"
#include "fs.h"
#include "hostpid.h"
#include "metadata.h"
#include "net/defer.h"
#include "oci.h"
#include "probe.h"
#include "schema.h"
#include "validate.h"

#define INSTANCE_ID_DIGITS 64
#define MOUNTS_MAX 64
#define DEFAULT_MEMORY (512ull << 20) /* of a container that names no limit */
#define SECRET_MAX (64 * 1024)

enum state { ADDRESS, IMAGES, SETUP, LATENCY, RUNNING, STOPPING, CLEANUP };

struct task {
	struct emulator *emu;
	struct task *prev, *next;      /* emu->tasks */
	struct task *wait_prev, *wait_next; /* emu->tasks_waiting */
	struct task_spec spec;         /* its strings are ours */
	enum state state;
	struct netns ns;
	char *dir;
	char instance_id[INSTANCE_ID_DIGITS + 1];
	struct container *containers;
	size_t n_containers;
	unsigned images_missing;
	struct strv env;               /* CLOUD_RUN_... */
	uv_work_t work;
	struct err setup_err;
	struct http_server *metadata;
	struct timer *timer;           /* latency, then the attempt's timeout, then the grace time */
	bool main_started, cancelled;
	uint64_t grace_ms;
	struct task_result result;     /* filled by whoever ends the attempt; message "" until then */
	task_cb *cb;
	void *ctx;
};

static void conclude(struct task *t);
static void stop_containers(struct task *t);
static void got_address(struct task *t);

static const char *get(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

/* ---- setup, on a worker thread: reads the task, touches only files, mounts and t->ns ---- */

/* Half of what the containers may use, unless the volume says otherwise. */
static uint64_t volume_size(const struct task *t, const json_t *empty_dir)
{
	const char *limit = get(empty_dir, "sizeLimit");
	uint64_t size, total = 0;

	if (limit && validate_size(limit, &size) == 0)
		return size;
	for (size_t i = 0; i < t->n_containers; i++) {
		const char *m = get(json_object_get(json_object_get(t->containers[i].spec, "resources"),
						    "limits"), "memory");
		total += m && validate_size(m, &size) == 0 ? size : DEFAULT_MEMORY;
	}
	return total / 2;
}

static int make_empty_dir(struct task *t, const char *dir, const json_t *v, struct err *err)
{
	const char *medium = get(v, "medium");
	/* Root's, as in the second generation; ephemeral disks are for everybody. No noexec. */
	AUTO_FREE char *options = xasprintf("size=%" PRIu64 ",mode=%s", volume_size(t, v),
					    medium && !strcmp(medium, "DISK") ? "0777" : "0755");

	if (mount("tmpfs", dir, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
		return err_sys(err, errno, "mount a volume");
	return 0;
}

static mode_t secret_mode(const json_t *item, const json_t *volume)
{
	const json_t *m = json_object_get(item, "mode");

	if (!m)
		m = json_object_get(volume, "defaultMode");
	/* "umask of 0222 will be applied to any non-zero value" */
	return m && json_integer_value(m) ? (mode_t)json_integer_value(m) & 0777 & ~0222u : 0444;
}

static int make_secret(struct task *t, const char *dir, const json_t *v, struct err *err)
{
	const char *name = get(v, "secret"), *slash = strrchr(name, '/');
	const char *file = oci_secret_file(&t->emu->secrets, name);
	const json_t *items = json_object_get(v, "items"), *item;
	size_t len, i;

	if (!file)
		return err_set(err, ERR_NOT_FOUND, "Secret %s was not found", name);
	AUTO_FREE char *payload = fs_read(file, SECRET_MAX, &len, err);
	if (!payload)
		return -1;
	if (!items) {
		AUTO_FREE char *path = xasprintf("%s/%s", dir, slash ? slash + 1 : name);
		return fs_write(path, secret_mode(NULL, v), payload, len, err);
	}
	json_array_foreach(items, i, item) {
		AUTO_FREE char *path = xasprintf("%s/%s", dir, get(item, "path"));
		AUTO_FREE char *parent = xstrdup(path);
		*strrchr(parent, '/') = 0;
		if (fs_mkdir_p(parent, 0755, err) < 0 ||
		    fs_write(path, secret_mode(item, v), payload, len, err) < 0)
			return -1;
	}
	return 0;
}

static int make_volume(struct task *t, const char *dir, const json_t *v, struct err *err)
{
	const json_t *source;

	if ((source = json_object_get(v, "secret")))
		return make_secret(t, dir, source, err);
	if ((source = json_object_get(v, "gcs")))
		return bucket_mount(t->emu, source, dir, err);
	if ((source = json_object_get(v, "nfs")))
		return nfs_mount(t->emu, source, dir, err);
	return make_empty_dir(t, dir, json_object_get(v, "emptyDir"), err);
}

static int make_volumes(struct task *t, struct err *err)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(t->spec.template, "volumes"), i, v) {
		AUTO_FREE char *dir = xasprintf("%s/v%zu", t->dir, i);

		if (mkdir(dir, 0755) < 0)
			return err_sys(err, errno, "make folder %s", dir);
		if (make_volume(t, dir, v, err) < 0)
			return err_wrap(err, "volume %s", get(v, "name"));
	}
	return 0;
}

static int write_hosts(struct task *t, struct err *err)
{
	struct buf text;
	AUTO_FREE char *hosts = xasprintf("%s/hosts", t->dir);
	AUTO_FREE char *resolv = xasprintf("%s/resolv.conf", t->dir);
	size_t len = 0;
	AUTO_FREE char *host_resolv = fs_read("/etc/resolv.conf", 64 * 1024, &len, NULL);

	buf_init(&text, 64 * 1024);
	buf_printf(&text, "127.0.0.1\tlocalhost\n::1\tlocalhost\n"
		   NETNS_METADATA_ADDRESS "\tmetadata.google.internal metadata\n");
	for (size_t i = 0; i < t->n_containers; i++)
		buf_printf(&text, "127.0.0.1\t%s\n", t->containers[i].name);
	int rc = fs_write(hosts, 0644, buf_head(&text), text.len, err);
	buf_release(&text);
	return rc < 0 ? -1 : fs_write(resolv, 0644, host_resolv ? host_resolv : "", len, err);
}

static size_t volume_index(const struct task *t, const char *name)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(t->spec.template, "volumes"), i, v)
		if (!strcmp(get(v, "name"), name))
			break;
	return i;
}

static bool is_read_only(const json_t *v)
{
	return json_object_get(v, "secret") || json_is_true(json_object_get(json_object_get(v, "gcs"), "readOnly")) ||
	       json_is_true(json_object_get(json_object_get(v, "nfs"), "readOnly"));
}

static json_t *make_config(struct task *t, struct container *c, struct err *err)
{
	struct oci_mount mounts[MOUNTS_MAX];
	struct strv sources = { 0 };
	AUTO_FREE char *netns = xasprintf("/proc/1/fd/%d", t->ns.fd);
	AUTO_FREE char *hosts = xasprintf("%s/hosts", t->dir);
	AUTO_FREE char *resolv = xasprintf("%s/resolv.conf", t->dir);
	struct oci_spec spec = { .image = c->image, .container = c->spec, .netns = netns,
				 .hosts = hosts, .resolv_conf = resolv, .mounts = mounts,
				 .task_env = &t->env, .secrets = &t->emu->secrets };
	const json_t *m, *volumes = json_object_get(t->spec.template, "volumes");
	size_t i;

	json_array_foreach(json_object_get(c->spec, "volumeMounts"), i, m) {
		size_t v = volume_index(t, get(m, "name"));
		assert(i < MOUNTS_MAX && v < json_array_size(volumes)); /* validated */
		strv_take(&sources, xasprintf("%s/v%zu", t->dir, v));
		mounts[spec.n_mounts++] = (struct oci_mount){ sources.v[i], get(m, "mountPath"),
			is_read_only(json_array_get(volumes, v)) };
	}
	json_t *config = oci_config(&spec, err);
	strv_release(&sources);
	return config;
}

static int make_bundle(struct task *t, struct container *c, struct err *err)
{
	static const char *const dirs[] = { "", "/upper", "/work", "/rootfs" };

	for (size_t i = 0; i < 4; i++) {
		AUTO_FREE char *dir = xasprintf("%s%s", c->bundle, dirs[i]);
		if (mkdir(dir, 0755) < 0)
			return err_sys(err, errno, "make folder %s", dir);
	}
	AUTO_FREE char *root = xasprintf("%s/rootfs", c->bundle);
	AUTO_FREE char *options = xasprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work",
					    c->image->rootfs, c->bundle, c->bundle);
	if (mount("overlay", root, "overlay", 0, options) < 0)
		return err_sys(err, errno, "mount the root file system");
	json_t *config = make_config(t, c, err);
	if (!config)
		return -1;
	AUTO_FREE char *path = xasprintf("%s/config.json", c->bundle);
	AUTO_FREE char *text = json_dumps(config, JSON_COMPACT);
	json_decref(config);
	return fs_write(path, 0600, text, strlen(text), err);
}

static int setup(struct task *t, struct err *err)
{
	if (netns_make(&t->emu->network, &t->ns, err) < 0)
		return -1;
	if (mkdir(t->dir, 0755) < 0)
		return err_sys(err, errno, "make folder %s", t->dir);
	if (mount("tmpfs", t->dir, "tmpfs", MS_NODEV, "mode=0755") < 0)
		return err_sys(err, errno, "mount %s", t->dir);
	if (write_hosts(t, err) < 0 || make_volumes(t, err) < 0)
		return -1;
	for (size_t i = 0; i < t->n_containers; i++)
		if (make_bundle(t, &t->containers[i], err) < 0)
			return -1;
	return 0;
}

static void setup_work(uv_work_t *w)
{
	struct task *t = w->data;

	if (setup(t, &t->setup_err) < 0)
		assert(t->setup_err.kind);
}

static void cleanup_work(uv_work_t *w)
{
	struct task *t = w->data;

	netns_unmake(&t->emu->network, &t->ns);
	umount2(t->dir, MNT_DETACH);
	rmdir(t->dir);
}

/* ---- the end ---- */

static void task_free(struct task *t)
{
	struct emulator *emu = t->emu;

	for (size_t i = 0; i < t->n_containers; i++)
		container_release(&t->containers[i]);
	free(t->containers);
	free(t->dir);
	strv_release(&t->env);
	free((char *)t->spec.project);
	free((char *)t->spec.location);
	free((char *)t->spec.job);
	free((char *)t->spec.execution);
	DL_DELETE(emu->tasks, t);
	free(t);
}

/* Somebody may wait for the address that became free. */
static void serve_waiting(struct emulator *emu)
{
	struct task *t = emu->tasks_waiting;

	if (t && netns_reserve(&emu->network, &t->ns) == 0) {
		DL_DELETE2(emu->tasks_waiting, t, wait_prev, wait_next);
		got_address(t);
	}
}

static void cleaned(uv_work_t *w, int status)
{
	struct task *t = w->data;
	struct emulator *emu = t->emu;

	netns_unreserve(&emu->network, &t->ns);
	task_free(t);
	serve_waiting(emu);
}

static void report(void *p)
{
	struct task *t = p;

	t->cb(t->ctx, TASK_DONE, &t->result);
	t->spec.template = NULL;
	if (t->ns.x) {
		t->work.data = t;
		uv_queue_work(t->emu->loop, &t->work, cleanup_work, cleaned);
	} else {
		task_free(t);
	}
}

/* No container runs (any more): the result is known. */
static void conclude(struct task *t)
{
	assert(t->state != CLEANUP);
	t->state = CLEANUP;
	timer_cancel(&t->timer);
	http_server_free(t->metadata);
	t->metadata = NULL;
	for (size_t i = 0; i < t->n_containers; i++) {
		image_request_cancel(t->containers[i].request);
		t->containers[i].request = NULL;
	}
	loop_defer(t->emu->loop, report, t);
}

static void set_result(struct task *t, enum task_outcome outcome, enum rpc_code code,
		       const char *reason, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
static void set_result(struct task *t, enum task_outcome outcome, enum rpc_code code,
		       const char *reason, const char *fmt, ...)
{
	va_list ap;

	if (*t->result.message)
		return; /* what ended the attempt first is what it ended from */
	t->result.outcome = outcome;
	t->result.code = code;
	t->result.reason = reason;
	va_start(ap, fmt);
	vsnprintf(t->result.message, sizeof t->result.message, fmt, ap);
	va_end(ap);
}

static void conclude_if_all_ended(struct task *t)
{
	for (size_t i = 0; i < t->n_containers; i++)
		if (t->containers[i].state == CONTAINER_STARTING ||
		    t->containers[i].state == CONTAINER_RUNNING)
			return;
	conclude(t);
}

static void on_grace_over(void *p)
{
	struct task *t = p;

	t->timer = NULL;
	for (size_t i = 0; i < t->n_containers; i++)
		container_signal(&t->containers[i], SIGKILL);
}

static void stop_containers(struct task *t)
{
	assert(t->state == RUNNING);
	t->state = STOPPING;
	timer_cancel(&t->timer);
	for (size_t i = 0; i < t->n_containers; i++) {
		probe_cancel(t->containers[i].probe);
		t->containers[i].probe = NULL;
		container_signal(&t->containers[i], SIGTERM);
	}
	t->timer = timer_start(t->emu->loop, t->grace_ms, on_grace_over, t);
	conclude_if_all_ended(t);
}

static void on_timeout(void *p)
{
	struct task *t = p;

	t->timer = NULL;
	logs_add_system(t->emu->logs, t->containers[0].source, "ERROR",
			"Terminating task because it has reached the maximum timeout of %" PRIu64
			" seconds. To change this limit, see "
			"https://cloud.google.com/run/docs/configuring/task-timeout",
			t->spec.timeout_ms / 1000);
	set_result(t, TASK_FAILED, RPC_DEADLINE_EXCEEDED, NULL, "The configured timeout was reached.");
	stop_containers(t);
}

void task_cancel(struct task *t, uint64_t grace_ms)
{
	if (t->state == STOPPING && t->cancelled && grace_ms < t->grace_ms) {
		/* Cancelled again, by somebody in a hurry. */
		timer_cancel(&t->timer);
		t->timer = timer_start(t->emu->loop, grace_ms, on_grace_over, t);
	}
	if (t->state == CLEANUP || t->cancelled)
		return;
	t->cancelled = true;
	t->grace_ms = grace_ms;
	set_result(t, TASK_CANCELLED, RPC_CANCELLED, NULL, "The execution was cancelled.");
	switch (t->state) {
	case ADDRESS:
		DL_DELETE2(t->emu->tasks_waiting, t, wait_prev, wait_next);
		conclude(t);
		break;
	case IMAGES:
	case LATENCY:
		conclude(t);
		break;
	case RUNNING:
		stop_containers(t);
		break;
	case SETUP:    /* setup_done() looks */
	case STOPPING: /* it is under way */
	case CLEANUP:
		break;
	}
}

/* ---- running ---- */

static bool dependencies_ready(struct task *t, const struct container *c)
{
	const json_t *name;
	size_t i;

	json_array_foreach(json_object_get(c->spec, "dependsOn"), i, name)
		for (size_t k = 0; k < t->n_containers; k++)
			if (!strcmp(t->containers[k].name, json_string_value(name)) &&
			    !t->containers[k].ready)
				return false;
	return true;
}

static void start_failed(struct task *t, struct container *c, const char *why)
{
	logs_add_system(t->emu->logs, c->source, "ERROR", "Application failed to start: %s", why);
	set_result(t, TASK_FAILED, RPC_ABORTED, NULL, "Application failed to start: %s", why);
}

static void start_what_can(struct task *t)
{
	for (size_t i = 0; i < t->n_containers && t->state == RUNNING; i++) {
		struct container *c = &t->containers[i];
		struct err err = { 0 };

		if (c->state != CONTAINER_WAITING || !dependencies_ready(t, c))
			continue;
		if (container_start(c, &err) < 0) {
			start_failed(t, c, err.msg);
			stop_containers(t);
		}
	}
}

static void on_probe(void *ctx, bool passed)
{
	struct container *c = ctx;
	struct task *t = c->ctx;

	c->probe = NULL;
	if (passed) {
		c->ready = true;
		start_what_can(t);
		return;
	}
	logs_add_system(t->emu->logs, c->source, "ERROR", "STARTUP probe failed %d times consecutively "
		"for container \"%s\".", (int)json_integer_value(json_object_get(
		json_object_get(c->spec, "startupProbe"), "failureThreshold")), c->name);
	set_result(t, TASK_FAILED, RPC_ABORTED, NULL,
		   "The startup probe of container \"%s\" failed.", c->name);
	stop_containers(t);
}

static void container_started(struct task *t, struct container *c)
{
	const json_t *probe = json_object_get(c->spec, "startupProbe");
	const json_t *port = json_array_get(json_object_get(c->spec, "ports"), 0);
	int default_port = (int)json_integer_value(json_object_get(port, "containerPort"));

	if (c == t->containers)
		t->main_started = true;
	if (t->state != RUNNING)
		return;
	if (probe) {
		c->probe = probe_start(t->emu->loop, &t->emu->network, &t->ns, probe,
				       default_port ? default_port : 8080, on_probe, c);
		return;
	}
	c->ready = true;
	start_what_can(t);
}

static void main_exited(struct task *t, struct container *c)
{
	struct task_result *r = &t->result;

	r->has_exit_code = WIFEXITED(c->status);
	r->exit_code = WIFEXITED(c->status) ? WEXITSTATUS(c->status) : 0;
	r->term_signal = WIFSIGNALED(c->status) ? WTERMSIG(c->status) : 0;
	if (r->has_exit_code && r->exit_code == 0 && !*r->message)
		set_result(t, TASK_SUCCEEDED, RPC_OK, NULL, "Completed.");
	else if (r->has_exit_code)
		set_result(t, TASK_FAILED, RPC_ABORTED, NULL, "The container exited with an error.");
	else
		set_result(t, TASK_FAILED, RPC_ABORTED, NULL, "The container was terminated by signal %d.",
			   r->term_signal);
}

static void container_exited(struct task *t, struct container *c)
{
	probe_cancel(c->probe);
	c->probe = NULL;
	if (WIFEXITED(c->status))
		logs_add_system(t->emu->logs, c->source, WEXITSTATUS(c->status) ? "WARNING" : "INFO",
				"Container called exit(%d).", WEXITSTATUS(c->status));
	else
		logs_add_system(t->emu->logs, c->source, "WARNING", "Container terminated on signal %d.",
				WTERMSIG(c->status));
	if (c == t->containers)
		main_exited(t, c);
	else if (t->state == RUNNING && !t->main_started)
		set_result(t, TASK_FAILED, RPC_ABORTED, NULL,
			   "Container \"%s\" ended before the main container started.", c->name);
	else if (t->state == RUNNING)
		return; /* a sidecar's end is its own matter */
	if (t->state == RUNNING)
		stop_containers(t);
	else
		conclude_if_all_ended(t);
}

static void on_container(void *ctx, struct container *c, enum container_event event, const char *why)
{
	struct task *t = ctx;

	switch (event) {
	case CONTAINER_STARTED:
		container_started(t, c);
		break;
	case CONTAINER_START_FAILED:
		start_failed(t, c, why);
		if (t->state == RUNNING)
			stop_containers(t);
		else
			conclude_if_all_ended(t);
		break;
	case CONTAINER_EXITED:
		container_exited(t, c);
		break;
	}
}

static void begin(void *p)
{
	struct task *t = p;

	t->state = RUNNING;
	t->timer = timer_start(t->emu->loop, t->spec.timeout_ms, on_timeout, t);
	t->cb(t->ctx, TASK_STARTED, NULL);
	if (t->state == RUNNING)
		start_what_can(t);
}

/* ---- from the images to the start ---- */

static void serve_metadata(struct exchange *x, void *ctx)
{
	struct task *t = ctx;

	metadata_handle(x, &(struct metadata_identity){ t->spec.project, t->spec.location,
							t->instance_id });
}

static void setup_done(uv_work_t *w, int status)
{
	static const struct http_server_options opt = {
		.max_header_bytes = 64 * 1024, .max_connections = 64, .head_timeout_ms = 30000,
		.idle_timeout_ms = 60000, .server_name = "Metadata Server for VM",
	};
	struct task *t = w->data;
	struct err err = t->setup_err;

	if (err.kind) {
		/* The program's own mistakes read as the platform's do. */
		bool program = err.kind == ERR_INVALID;
		if (program)
			start_failed(t, &t->containers[0], err.msg);
		else
			set_result(t, TASK_CANNOT_START, RPC_INTERNAL, "INTERNAL", "%s", err.msg);
		log_warn("task set-up failed", "execution=%s why=\"%s\"", t->spec.execution, err.msg);
	} else if (!t->cancelled) {
		t->metadata = http_server_new(t->emu->loop, &opt, serve_metadata, t);
		if (http_server_listen(t->metadata, steal_fd(&t->ns.metadata_fd), NULL, &err) < 0)
			set_result(t, TASK_CANNOT_START, RPC_INTERNAL, "INTERNAL", "%s", err.msg);
	}
	if (*t->result.message) {
		conclude(t);
		return;
	}
	t->state = LATENCY;
	if (t->emu->knobs.start_latency_ms)
		t->timer = timer_start(t->emu->loop, t->emu->knobs.start_latency_ms, begin, t);
	else
		begin(t);
}

static void have_images(struct task *t)
{
	t->cb(t->ctx, TASK_HAS_IMAGES, NULL);
	if (t->state != IMAGES)
		return;
	t->state = SETUP;
	t->work.data = t;
	uv_queue_work(t->emu->loop, &t->work, setup_work, setup_done);
}

static void on_image(void *ctx, const struct image *image, const struct err *err)
{
	struct container *c = ctx;
	struct task *t = c->ctx;

	c->request = NULL;
	c->image = image;
	if (!image) {
		const char *ref = get(c->spec, "image");
		const char *reason = err->kind == ERR_DENIED ? "CONTAINER_IMAGE_UNAUTHORIZED"
								 : "CONTAINER_MISSING";
		set_result(t, TASK_CANNOT_START, RPC_NOT_FOUND, reason, "Image '%s' not found. (%s)", ref,
			   err->msg);
		conclude(t);
		return;
	}
	if (--t->images_missing == 0)
		have_images(t);
}

static void got_address(struct task *t)
{
	t->state = IMAGES;
	for (size_t i = 0; i < t->n_containers; i++) {
		struct container *c = &t->containers[i];
		c->request = image_get(t->emu->images, get(c->spec, "image"), on_image, c);
	}
}

static void set_env(struct task *t)
{
	strv_take(&t->env, xasprintf("CLOUD_RUN_JOB=%s", t->spec.job));
	strv_take(&t->env, xasprintf("CLOUD_RUN_EXECUTION=%s", t->spec.execution));
	strv_take(&t->env, xasprintf("CLOUD_RUN_TASK_INDEX=%d", t->spec.index));
	strv_take(&t->env, xasprintf("CLOUD_RUN_TASK_ATTEMPT=%d", t->spec.attempt));
	strv_take(&t->env, xasprintf("CLOUD_RUN_TASK_COUNT=%d", t->spec.count));
}

struct task *task_start(struct emulator *emu, const struct task_spec *spec, task_cb *cb, void *ctx)
{
	static unsigned long seq;
	const json_t *list = json_object_get(spec->template, "containers");
	struct task *t = xcalloc(1, sizeof *t);

	t->emu = emu;
	t->spec = *spec;
	t->spec.project = xstrdup(spec->project);
	t->spec.location = xstrdup(spec->location);
	t->spec.job = xstrdup(spec->job);
	t->spec.execution = xstrdup(spec->execution);
	t->cb = cb;
	t->ctx = ctx;
	t->grace_ms = TASK_STOP_GRACE_MS;
	t->dir = xasprintf("%s/t%lu", emu->run_dir, ++seq);
	random_hex(t->instance_id, INSTANCE_ID_DIGITS);
	set_env(t);
	t->n_containers = t->images_missing = (unsigned)json_array_size(list);
	t->containers = xcalloc(t->n_containers, sizeof *t->containers);
	for (size_t i = 0; i < t->n_containers; i++) {
		struct container *c = &t->containers[i];
		container_init(c, emu, json_array_get(list, i), xasprintf("t%lu-%zu", seq, i),
			       xasprintf("%s/c%zu", t->dir, i), on_container, t);
		c->source = log_source_new(&(struct log_source){
			.project = t->spec.project ? (char *)t->spec.project : NULL,
			.location = (char *)t->spec.location, .job = (char *)t->spec.job,
			.execution = (char *)t->spec.execution, .instance_id = t->instance_id,
			.container = c->name, .label_container = t->n_containers > 1,
			.task_index = t->spec.index, .attempt = t->spec.attempt });
	}
	DL_APPEND(emu->tasks, t);
	if (netns_reserve(&emu->network, &t->ns) == 0)
		got_address(t);
	else
		DL_APPEND2(emu->tasks_waiting, t, wait_prev, wait_next);
	return t;
}

void tasks_stop_all(struct emulator *emu, uint64_t grace_ms)
{
	struct task *t;

	DL_FOREACH(emu->tasks, t)
		task_cancel(t, grace_ms);
}

/* ---- for tests ---- */

json_t *tasks_show(struct emulator *emu)
{
	static const char *const states[] = { "ADDRESS", "IMAGES", "SETUP", "LATENCY", "RUNNING",
					      "STOPPING", "CLEANUP" };
	static const char *const container_states[] = { "WAITING", "STARTING", "RUNNING", "ENDED" };
	pid_t self = hostpid_self(emu->host_proc);
	json_t *list = json_array();
	struct task *t;

	DL_FOREACH(emu->tasks, t) {
		json_t *containers = json_array(), *o;
		for (size_t i = 0; i < t->n_containers; i++) {
			struct container *c = &t->containers[i];
			json_array_append_new(containers, json_pack("{s:s, s:s, s:s, s:i, s:b}", "name",
				c->name, "id", c->id, "state", container_states[c->state], "pid",
				c->pid ? (int)hostpid_of(emu->host_proc, c->pid) : 0, "ready", c->ready));
		}
		o = json_pack("{s:s, s:s, s:i, s:i, s:s, s:s, s:s, s:o}", "job", t->spec.job, "execution",
			t->spec.execution, "index", t->spec.index, "attempt", t->spec.attempt, "state",
			states[t->state], "instanceId", t->instance_id, "ip", t->ns.address,
			"containers", containers);
		if (t->ns.fd >= 0) {
			AUTO_FREE char *path = xasprintf("/proc/%d/fd/%d", (int)self, t->ns.fd);
			json_object_set_new(o, "netns", json_string(path));
			json_object_set_new(o, "device", json_string(t->ns.device));
		}
		json_array_append_new(list, o);
	}
	return json_pack("{s:o}", "tasks", list);
}
