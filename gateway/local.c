/* local - see local.h. */
#include "local.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "image/archive_agent.h"
#include "net/listen.h"

#define READY_MS 20000
#define STOP_MS 20000
#define RUN_MS 60000
#define PUSH_TRIES 3

struct local {
	char *state_file;
	pid_t emulator, registry;
	char *emulator_url, *host_address;
	uint16_t registry_port, callback_port;
};

/* ---- processes ----------------------------------------------------------------------------------- */

static void local_free(struct local *l)
{
	free(l->state_file);
	free(l->emulator_url);
	free(l->host_address);
	free(l);
}

/* The child lives in its own session: a SIGKILL of the gateway or a Ctrl-C does not reach it. */
static pid_t spawn(char *const argv[], int stdout_fd, const char *log_path, struct err *err)
{
	AUTO_CLOSE int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	pid_t pid;

	if (log < 0)
		return err_sys(err, errno, "open %s", log_path);
	pid = fork();
	if (pid < 0)
		return err_sys(err, errno, "start %s", argv[0]);
	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

		setsid();
		dup2(null, STDIN_FILENO);
		dup2(stdout_fd >= 0 ? stdout_fd : log, STDOUT_FILENO);
		dup2(log, STDERR_FILENO);
		execvp(argv[0], argv);
		dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	return pid;
}

static int run(char *const argv[], const char *log_path, struct err *err)
{
	int status;
	pid_t pid = spawn(argv, -1, log_path, err);

	if (pid < 0)
		return -1;
	for (uint64_t deadline = clock_mono_ms() + RUN_MS; waitpid(pid, &status, WNOHANG) != pid; poll(NULL, 0, 5)) {
		if (clock_mono_ms() < deadline)
			continue;
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		return err_set(err, ERR_TIMEOUT, "%s did not end within %d s; see %s", argv[0], RUN_MS / 1000, log_path);
	}
	if (status != 0)
		return err_set(err, ERR_SYSTEM, "%s failed; see %s", argv[0], log_path);
	return 0;
}

/* Is pid still the program we started? A recycled number is not. */
static bool is_program(pid_t pid, const char *name)
{
	AUTO_FREE char *link = xasprintf("/proc/%d/exe", (int)pid);
	char path[4096];
	ssize_t n = pid > 0 ? readlink(link, path, sizeof(path) - 1) : -1;
	const char *base;

	if (n < 0)
		return false;
	path[n] = '\0';
	base = strrchr(path, '/');
	return base && !strncmp(base + 1, name, strlen(name));
}

static void end_child(pid_t pid, const char *name, uint64_t deadline_ms)
{
	int status;

	if (!is_program(pid, name))
		return;
	kill(pid, SIGTERM);
	/* Not our child when it was adopted: then waitpid fails and /proc tells. */
	while (clock_mono_ms() < deadline_ms) {
		if (waitpid(pid, &status, WNOHANG) == pid || !is_program(pid, name))
			return;
		poll(NULL, 0, 20);
	}
	log_warn("child did not end in time, killed", "program=%s pid=%d", name, (int)pid);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
}

/* ---- the registry -------------------------------------------------------------------------------- */

/* A port that is free now; the small race with others is settled by the child failing to start. */
static int free_port(uint16_t *ret, struct err *err)
{
	AUTO_CLOSE int fd = listen_tcp("127.0.0.1", 0, false, err);

	if (fd < 0)
		return -1;
	*ret = listen_port(fd);
	return 0;
}

/* The port of last time, if it is free: stored images name the registry by it. */
static int registry_port(const char *file, uint16_t *ret, struct err *err)
{
	FILE *f = fopen(file, "re");
	unsigned last = 0;
	int rc;

	if (f && fscanf(f, "%u", &last) == 1 && last > 0 && last < 65536) {
		AUTO_CLOSE int fd = listen_tcp("127.0.0.1", (uint16_t)last, false, NULL);

		*ret = (uint16_t)last;
		rc = fd >= 0 ? 0 : free_port(ret, err);
	} else {
		rc = free_port(ret, err);
	}
	if (f)
		fclose(f);
	f = rc == 0 ? fopen(file, "we") : NULL;
	if (f) {
		fprintf(f, "%u\n", *ret);
		fclose(f);
	}
	return rc;
}

static bool port_answers(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
}

static int write_registry_config(const char *path, const char *data, uint16_t port, struct err *err)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return err_sys(err, errno, "open %s", path);
	fprintf(f,
		"version: 0.1\n"
		"log: {level: warn, accesslog: {disabled: true}}\n"
		"storage: {filesystem: {rootdirectory: \"%s\"}, delete: {enabled: true}}\n"
		"http: {addr: \"127.0.0.1:%u\"}\n",
		data, port);
	if (fclose(f) != 0)
		return err_sys(err, errno, "write %s", path);
	return 0;
}

static int start_registry(struct local *l, const struct config *c, struct err *err)
{
	AUTO_FREE char *config = xasprintf("%s/registry.yml", c->state_dir);
	AUTO_FREE char *data = xasprintf("%s/registry", c->state_dir);
	AUTO_FREE char *port = xasprintf("%s/registry.port", c->state_dir);
	AUTO_FREE char *log = xasprintf("%s/registry.log", c->state_dir);
	char *argv[] = { "docker-registry", "serve", config, NULL };
	uint64_t deadline = clock_mono_ms() + READY_MS;

	if (registry_port(port, &l->registry_port, err) < 0 ||
	    write_registry_config(config, data, l->registry_port, err) < 0)
		return -1;
	l->registry = spawn(argv, -1, log, err);
	if (l->registry < 0)
		return -1;
	while (!port_answers(l->registry_port)) {
		int status;

		if (waitpid(l->registry, &status, WNOHANG) == l->registry || clock_mono_ms() > deadline)
			return err_set(err, ERR_SYSTEM, "the local registry (docker-registry) does not start; see %s", log);
		poll(NULL, 0, 10);
	}
	return 0;
}

/* ---- the emulator -------------------------------------------------------------------------------- */

/* One line of JSON on its stdout says that it is ready, and where. */
static int read_ready(struct local *l, int fd, const char *log, struct err *err)
{
	uint64_t deadline = clock_mono_ms() + READY_MS;
	char line[4096];
	size_t n = 0;
	json_t *j;

	while (n < sizeof(line) - 1 && !memchr(line, '\n', n)) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint64_t now = clock_mono_ms();
		ssize_t k;

		if (now >= deadline || poll(&p, 1, (int)(deadline - now)) <= 0)
			return err_set(err, ERR_TIMEOUT, "cloudrun-emulator is not ready after %d s; see %s", READY_MS / 1000, log);
		k = read(fd, line + n, sizeof(line) - 1 - n);
		if (k <= 0)
			return err_set(err, ERR_SYSTEM, "cloudrun-emulator ended before it was ready; see %s", log);
		n += (size_t)k;
	}
	line[n] = '\0';
	j = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
	l->emulator_url = xstrdup(json_string_value(json_object_get(j, "url")));
	l->host_address = xstrdup(json_string_value(json_object_get(j, "host_address")));
	json_decref(j);
	if (!l->emulator_url || !l->host_address)
		return err_set(err, ERR_SYSTEM, "cloudrun-emulator's ready line makes no sense: %.200s", line);
	return 0;
}

static int start_emulator(struct local *l, const struct config *c, struct err *err)
{
	AUTO_FREE char *program = xasprintf("%s/cloudrun-emulator", c->local_bin_dir);
	AUTO_FREE char *state = xasprintf("%s/emulator", c->state_dir);
	AUTO_FREE char *secrets = xasprintf("%s/secrets", c->state_dir);
	AUTO_FREE char *log = xasprintf("%s/emulator.log", c->state_dir);
	char *argv[] = { program, "--listen", "127.0.0.1:0", "--state-dir", state, "--secrets", secrets, "--survive-parent",
			 NULL };
	AUTO_CLOSE int in = -1;
	AUTO_CLOSE int out = -1;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	in = fds[0];
	out = fds[1];
	l->emulator = spawn(argv, out, log, err);
	if (l->emulator < 0)
		return -1;
	close(steal_fd(&out));
	return read_ready(l, in, log, err);
}

/* ---- the agent's image --------------------------------------------------------------------------- */

static int push_agent_image(const struct local *l, const struct config *c, struct err *err)
{
	AUTO_FREE char *dir = archive_agent_image(c);
	AUTO_FREE char *from = dir ? xasprintf("oci:%s:latest", dir) : NULL;
	AUTO_FREE char *to = xasprintf("docker://127.0.0.1:%u/sockerless/agent:latest", l->registry_port);
	AUTO_FREE char *log = xasprintf("%s/push.log", c->state_dir);
	char *argv[] = { "skopeo", "copy", "--quiet", "--dest-tls-verify=false", from, to, NULL };

	if (!dir)
		return err_set(err, ERR_NOT_FOUND, "the agent's image is not beside %s (../share/agent-image); run make", c->local_bin_dir);
	for (int i = 1; run(argv, log, err) < 0; i++) {
		if (i == PUSH_TRIES)
			return err_wrap(err, "push the agent's image to the local registry");
		poll(NULL, 0, 300);
	}
	return 0;
}

/* ---- what survives the gateway ------------------------------------------------------------------- */

static int save(const struct local *l, struct err *err)
{
	AUTO_FREE char *tmp = xasprintf("%s.new", l->state_file);
	json_t *j = json_pack("{s:i, s:i, s:s, s:s, s:s, s:s}", "emulator_pid", (int)l->emulator, "registry_pid",
			      (int)l->registry, "emulator", l->emulator_url, "host_address", l->host_address,
			      "registry", "", "callback", "");
	int rc;

	json_object_set_new(j, "registry", json_sprintf("127.0.0.1:%u", l->registry_port));
	json_object_set_new(j, "callback", json_sprintf("%s:%u", l->host_address, l->callback_port));
	rc = json_dump_file(j, tmp, JSON_INDENT(2));
	json_decref(j);
	if (rc < 0 || rename(tmp, l->state_file) < 0)
		return err_sys(err, errno, "write %s", l->state_file);
	return 0;
}

static uint16_t port_of(json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));
	const char *colon = s ? strrchr(s, ':') : NULL;

	return colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
}

/* Children of a gateway that was killed. Both must live, else the rest is ended and all begins anew. */
static bool adopt(struct local *l)
{
	json_t *j = json_load_file(l->state_file, 0, NULL);
	uint64_t deadline = clock_mono_ms() + STOP_MS;

	if (!j)
		return false;
	l->emulator = (pid_t)json_integer_value(json_object_get(j, "emulator_pid"));
	l->registry = (pid_t)json_integer_value(json_object_get(j, "registry_pid"));
	l->registry_port = port_of(j, "registry");
	l->callback_port = port_of(j, "callback");
	if (is_program(l->emulator, "cloudrun-emulator") && is_program(l->registry, "docker-registry")) {
		l->emulator_url = xstrdup(json_string_value(json_object_get(j, "emulator")));
		l->host_address = xstrdup(json_string_value(json_object_get(j, "host_address")));
	} else {
		end_child(l->emulator, "cloudrun-emulator", deadline);
		end_child(l->registry, "docker-registry", deadline);
	}
	json_decref(j);
	return l->emulator_url && l->host_address;
}

static void set(char **field, char *value)
{
	free(*field);
	*field = value;
}

static void fill_config(const struct local *l, struct config *c)
{
	const char *forward = getenv("SOCKERLESS_LOCAL_FORWARD");

	set(&c->endpoint_url, xstrdup(l->emulator_url));
	if (!c->volume_bucket)
		c->volume_bucket = xstrdup("sockerless-local-volumes");
	set(&c->hub_mirror, xasprintf("127.0.0.1:%u", l->registry_port));
	if (!c->image_repository)
		c->image_repository = xasprintf("127.0.0.1:%u/sockerless", l->registry_port);
	set(&c->agent_image, xasprintf("127.0.0.1:%u/sockerless/agent:latest", l->registry_port));
	if (forward && *forward == '1') {
		set(&c->callback_url, NULL);
		return;
	}
	set(&c->callback_url, xasprintf("http://%s:%u", l->host_address, l->callback_port));
	set(&c->callback_listen, xasprintf("%s:%u", l->host_address, l->callback_port));
}

struct local *local_start(struct config *c, struct err *err)
{
	struct local *l = xcalloc(1, sizeof(*l));

	l->state_file = xasprintf("%s/local.json", c->state_dir);
	if (adopt(l)) {
		log_info("going on with the local Cloud Run of a former gateway", "emulator=%s", l->emulator_url);
	} else {
		if (start_registry(l, c, err) < 0 || start_emulator(l, c, err) < 0 ||
		    free_port(&l->callback_port, err) < 0 || save(l, err) < 0 || push_agent_image(l, c, err) < 0) {
			err_wrap(err, "--local");
			local_stop(l);
			return NULL;
		}
		log_info("local Cloud Run is up", "emulator=%s registry=127.0.0.1:%u", l->emulator_url, l->registry_port);
	}
	fill_config(l, c);
	return l;
}

void local_stop(struct local *l)
{
	uint64_t deadline = clock_mono_ms() + STOP_MS;

	if (!l)
		return;
	end_child(l->emulator, "cloudrun-emulator", deadline);
	end_child(l->registry, "docker-registry", deadline);
	unlink(l->state_file);
	local_free(l);
}
