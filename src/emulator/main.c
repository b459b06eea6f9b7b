/* main - the emulator's process: options, its own PID and mount namespaces, start and end.
 *
 *   caller ── waits for ── guard (host's namespaces) ── waits for ── emulator (PID 1 of its own)
 *
 * The guard passes signals on, tells the caller how it ended, and dies with its parent. The emulator
 * is process 1, so the kernel kills every container when it dies, and unmounts what it mounted in
 * its private mount namespace, and removes the network namespaces nobody holds any more: a crash
 * leaves nothing behind but the image cache. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "api.h"
#include "base/log.h"
#include "base/parse.h"
#include "emulator.h"
#include "fs.h"
#include "net/defer.h"
#include "net/listen.h"
#include "store.h"
#include "task.h"
#include "wire.h"

#define LOG_ENTRIES_MAX 1000000
#define LOG_BYTES_MAX (256u << 20)

struct options {
	char *listen_host;
	uint16_t listen_port;
	bool survive_parent;
};

enum { OPT_LISTEN = 256, OPT_STATE_DIR, OPT_PLAIN, OPT_START_LATENCY, OPT_LOG_DELAY,
       OPT_OPERATION_LATENCY, OPT_SHUTDOWN_GRACE, OPT_ERROR, OPT_QUOTA, OPT_MAX_JOBS, OPT_SECRET, OPT_SECRETS,
       OPT_TOKEN, OPT_RECORD, OPT_SURVIVE, OPT_LOG_LEVEL, OPT_HELP, OPT_VERSION };

static const struct {
	struct option option;
	const char *argument, *help;
} options[] = {
	{ { "listen", 1, 0, OPT_LISTEN }, "HOST:PORT", "serve the APIs here [127.0.0.1:0]" },
	{ { "state-dir", 1, 0, OPT_STATE_DIR }, "DIR",
	  "cache of unpacked images [/var/tmp/cloudrun-emulator]" },
	{ { "registry-plain-http", 1, 0, OPT_PLAIN }, "HOST",
	  "a registry without TLS (repeatable); 127.* and localhost always are" },
	{ { "secret", 1, 0, OPT_SECRET }, "NAME=FILE", "a secret of Secret Manager (repeatable)" },
	{ { "secrets", 1, 0, OPT_SECRETS }, "DIR", "a folder whose files are secrets, looked at for each job" },
	{ { "require-token", 1, 0, OPT_TOKEN }, "TOKEN", "refuse other bearer tokens [accept any]" },
	{ { "start-latency-ms", 1, 0, OPT_START_LATENCY }, "MS", "between image and start [0]" },
	{ { "log-delay-ms", 1, 0, OPT_LOG_DELAY }, "MS", "hide young entries from entries:list [0]" },
	{ { "operation-latency-ms", 1, 0, OPT_OPERATION_LATENCY }, "MS",
	  "how long create, patch and delete take [0]" },
	{ { "error", 1, 0, OPT_ERROR }, "METHOD:PATH:STATUS:COUNT",
	  "answer so when the path contains PATH (repeatable); status 0 cuts the connection" },
	{ { "quota", 1, 0, OPT_QUOTA }, "run=N|log-read=N", "requests per minute, then 429" },
	{ { "max-jobs", 1, 0, OPT_MAX_JOBS }, "N", "per project and region [1000]" },
	{ { "shutdown-grace-ms", 1, 0, OPT_SHUTDOWN_GRACE }, "MS",
	  "SIGTERM to SIGKILL for containers when the emulator ends [1000]" },
	{ { "record", 1, 0, OPT_RECORD }, "FILE",
	  "append each request and its answer as a line of JSON [$CLOUDRUN_EMULATOR_RECORD]" },
	{ { "survive-parent", 0, 0, OPT_SURVIVE }, NULL, "do not end when the calling process does" },
	{ { "log-level", 1, 0, OPT_LOG_LEVEL }, "LEVEL", "error, warn, info or debug [info]" },
	{ { "help", 0, 0, OPT_HELP }, NULL, "this text" },
	{ { "version", 0, 0, OPT_VERSION }, NULL, "the version" },
};
#define N_OPTIONS (sizeof options / sizeof options[0])

static void print_help(void)
{
	puts("Usage: cloudrun-emulator [OPTION]...\n"
	     "A local Cloud Run: Run v2 jobs, Cloud Logging and the metadata server; tasks are real\n"
	     "containers (crun), images come from real registries (skopeo, umoci). Needs root.\n"
	     "Prints one line of JSON on standard output when it is ready. SIGTERM ends it.\n");
	for (size_t i = 0; i < N_OPTIONS; i++) {
		char left[64];
		snprintf(left, sizeof left, "--%s%s%s", options[i].option.name,
			 options[i].argument ? "=" : "", options[i].argument ? options[i].argument : "");
		printf("  %-38s %s\n", left, options[i].help);
	}
}

static int usage_error(const char *what)
{
	fprintf(stderr, "cloudrun-emulator: %s (see --help)\n", what);
	return 2;
}

static int read_ms(const char *text, uint64_t *ret, struct err *err)
{
	int64_t ms;

	if (parse_i64(text, &ms) < 0 || ms < 0 || ms > 600000)
		return err_set(err, ERR_INVALID, "'%s' is not a number of milliseconds up to 600000", text);
	*ret = (uint64_t)ms;
	return 0;
}

static int read_listen(const char *text, struct options *o, struct err *err)
{
	const char *colon = strrchr(text, ':');
	int64_t port;

	if (!colon || parse_i64(colon + 1, &port) < 0 || port < 0 || port > 65535)
		return err_set(err, ERR_INVALID, "'%s' is not HOST:PORT", text);
	free(o->listen_host);
	o->listen_host = xstrndup(text, (size_t)(colon - text));
	o->listen_port = (uint16_t)port;
	return 0;
}

static int read_secret(struct emulator *emu, const char *text, struct err *err)
{
	const char *eq = strchr(text, '=');

	if (!eq || eq == text)
		return err_set(err, ERR_INVALID, "'%s' is not NAME=FILE", text);
	strv_env_set(&emu->secrets, text);
	return 0;
}

static int read_secrets_dir(struct emulator *emu, const char *text)
{
	free(emu->secrets_dir);
	emu->secrets_dir = xstrdup(text);
	return 0;
}

static int read_option(int opt, const char *arg, struct emulator *emu, struct options *o,
		       enum log_level *level, struct err *err)
{
	struct knobs *k = &emu->knobs;

	switch (opt) {
	case OPT_LISTEN:            return read_listen(arg, o, err);
	case OPT_PLAIN:             strv_add(&emu->plain_hosts, arg); return 0;
	case OPT_SECRET:            return read_secret(emu, arg, err);
	case OPT_SECRETS:           return read_secrets_dir(emu, arg);
	case OPT_TOKEN:             return knobs_require_token(k, arg, err);
	case OPT_RECORD:            return wire_record(emu, arg, err);
	case OPT_START_LATENCY:     return read_ms(arg, &k->start_latency_ms, err);
	case OPT_LOG_DELAY:         return read_ms(arg, &k->log_delay_ms, err);
	case OPT_OPERATION_LATENCY: return read_ms(arg, &k->operation_latency_ms, err);
	case OPT_SHUTDOWN_GRACE:    return read_ms(arg, &k->shutdown_grace_ms, err);
	case OPT_ERROR:             return knobs_add_injection(k, arg, err);
	case OPT_QUOTA:             return knobs_set_quota(k, arg, err);
	case OPT_SURVIVE:           o->survive_parent = true; return 0;
	case OPT_STATE_DIR:
		free(emu->state_dir);
		emu->state_dir = xstrdup(arg);
		return 0;
	case OPT_MAX_JOBS:
		if (parse_i64(arg, &k->max_jobs) < 0 || k->max_jobs < 1)
			return err_set(err, ERR_INVALID, "--max-jobs must be a positive number");
		return 0;
	case OPT_LOG_LEVEL:
		if (log_level_parse(arg, level) < 0)
			return err_set(err, ERR_INVALID, "'%s' is not a log level", arg);
		return 0;
	}
	return err_set(err, ERR_INVALID, "unknown option");
}

/* -1: go on; else the exit status. */
static int read_options(int argc, char **argv, struct emulator *emu, struct options *o)
{
	struct option longs[N_OPTIONS + 1] = { 0 };
	enum log_level level = LOG_LEVEL_INFO;
	struct err err = { 0 };
	int opt;

	for (size_t i = 0; i < N_OPTIONS; i++)
		longs[i] = options[i].option;
	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (opt == '?')
			return 2;
		if (opt == OPT_HELP || opt == OPT_VERSION) {
			opt == OPT_HELP ? print_help() : (void)puts("cloudrun-emulator " VERSION);
			return 0;
		}
		if (read_option(opt, optarg, emu, o, &level, &err) < 0)
			return usage_error(err.msg);
	}
	if (!emu->record && getenv("CLOUDRUN_EMULATOR_RECORD") &&
	    wire_record(emu, getenv("CLOUDRUN_EMULATOR_RECORD"), &err) < 0)
		return usage_error(err.msg);
	if (optind < argc)
		return usage_error("arguments are not understood");
	if (strpbrk(emu->state_dir, ":,\\ \n"))
		return usage_error("--state-dir must not contain colons, commas, blanks or backslashes");
	log_init("cloudrun-emulator", level);
	return -1;
}

/* ---- the guard ---- */

static pid_t guarded;

static void pass_on(int sig)
{
	kill(guarded, sig);
}

static void guard(void)
{
	int status;

	while (waitpid(guarded, &status, 0) < 0)
		if (errno != EINTR)
			_exit(1);
	/* Not exit(): a process that gave its children a PID namespace which is gone by now cannot
	 * start a thread any more, and a sanitizer's exit handler wants one. */
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* Returns in the emulator only, with -1; or with the exit status of a process that cannot start. */
static int split_off(const struct options *o, pid_t parent)
{
	static const int passed[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };
	struct sigaction sa = { .sa_handler = pass_on };

	if (!o->survive_parent) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent)
			return 1; /* it died before we could ask for the signal */
	}
	if (unshare(CLONE_NEWPID) < 0) {
		fprintf(stderr, "cloudrun-emulator: cannot make namespaces: %s (it needs root)\n",
			strerror(errno));
		return 1;
	}
	guarded = fork();
	if (guarded < 0) {
		perror("cloudrun-emulator: fork");
		return 1;
	}
	if (guarded == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		return -1;
	}
	for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++)
		sigaction(passed[i], &sa, NULL);
	guard();
	return 1;
}

/* ---- start ---- */

/* Our own view of /proc and, where cgroup v1 and v2 are mixed, one without the v2 half, which this
 * crun cannot work with. */
static int make_mounts(struct emulator *emu, struct err *err)
{
	AUTO_FREE char *run = xasprintf("%s/run", emu->state_dir);

	emu->host_proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(err, errno, "make a mount namespace");
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return err_sys(err, errno, "mount /proc");
	(void)umount2("/sys/fs/cgroup/unified", MNT_DETACH);
	if (fs_mkdir_p(run, 0755, err) < 0)
		return -1;
	/* What containers write lives in memory, as on Cloud Run, and goes with this namespace. */
	if (mount("tmpfs", run, "tmpfs", MS_NODEV, "mode=0755") < 0)
		return err_sys(err, errno, "mount %s", run);
	emu->run_dir = realpath(run, NULL);
	return emu->run_dir ? 0 : err_sys(err, errno, "resolve %s", run);
}

static int listen_api(struct emulator *emu, const struct options *o, struct err *err)
{
	static const struct http_server_options opt = {
		.max_header_bytes = 256 * 1024, .max_connections = 4096, .head_timeout_ms = 30000,
		.idle_timeout_ms = 300000, .write_stall_ms = 120000, .server_name = "ESF",
	};
	int fd = listen_tcp(o->listen_host, o->listen_port, false, err);

	if (fd < 0)
		return -1;
	snprintf(emu->url, sizeof emu->url, "http://%s:%u", o->listen_host, listen_port(fd));
	emu->server = http_server_new(emu->loop, &opt, api_handle, emu);
	return http_server_listen(emu->server, fd, NULL, err);
}

static int start(struct emulator *emu, const struct options *o, struct err *err)
{
	if (make_mounts(emu, err) < 0 || network_init(&emu->network, err) < 0)
		return -1;
	emu->procs = procs_new(emu->loop, err);
	emu->client = http_client_new(emu->loop);
	emu->logs = logs_new(LOG_ENTRIES_MAX, LOG_BYTES_MAX);
	emu->store = store_new();
	if (!emu->procs)
		return -1;
	emu->images = images_new(emu->loop, emu->procs, emu->client, emu->state_dir, &emu->plain_hosts,
				 err);
	return emu->images ? listen_api(emu, o, err) : -1;
}

/* ---- end ---- */

static void on_all_gone(uv_timer_t *t)
{
	struct emulator *emu = t->data;

	if (!emu->tasks)
		uv_stop(emu->loop);
}

static void on_term(uv_signal_t *s, int signum)
{
	struct emulator *emu = s->data;

	/* A second signal is from somebody in a hurry. */
	tasks_stop_all(emu, emu->stopping ? 0 : emu->knobs.shutdown_grace_ms);
	if (emu->stopping)
		return;
	log_info("stopping", "signal=%s", signal_name(signum));
	emu->stopping = true;
	http_server_stop_listening(emu->server);
}

static void finish(struct emulator *emu)
{
	store_free(emu->store);
	http_server_free(emu->server);
	http_client_free(emu->client);
	images_free(emu->images);
	logs_free(emu->logs);
	procs_free(emu->procs);
	network_release(&emu->network);
	knobs_release(&emu->knobs);
	strv_release(&emu->plain_hosts);
	strv_release(&emu->secrets);
	free(emu->secrets_dir);
	umount2(emu->run_dir, MNT_DETACH);
	if (emu->record)
		fclose(emu->record);
	free(emu->run_dir);
	free(emu->state_dir);
}

static void close_handle(uv_handle_t *h, void *arg)
{
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

static int run(struct emulator *emu)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	uv_signal_t handles[3];
	uv_timer_t look;

	for (int i = 0; i < 3; i++) {
		uv_signal_init(emu->loop, &handles[i]);
		handles[i].data = emu;
		uv_signal_start(&handles[i], on_term, signals[i]);
	}
	printf("{\"ready\":true,\"url\":\"%s\",\"host_address\":\"%s\"}\n", emu->url,
	       emu->network.host_address);
	fflush(stdout);
	log_info("ready", "url=%s host_address=%s", emu->url, emu->network.host_address);
	while (!emu->stopping)
		uv_run(emu->loop, UV_RUN_ONCE);
	uv_timer_init(emu->loop, &look);
	look.data = emu;
	uv_timer_start(&look, on_all_gone, 0, 5);
	uv_run(emu->loop, UV_RUN_DEFAULT);
	for (int i = 0; i < 3; i++)
		uv_close((uv_handle_t *)&handles[i], NULL);
	uv_close((uv_handle_t *)&look, NULL);
	finish(emu);
	loop_defer_finish(emu->loop);
	uv_run(emu->loop, UV_RUN_NOWAIT);
	uv_walk(emu->loop, close_handle, NULL);
	uv_run(emu->loop, UV_RUN_NOWAIT);
	log_info("stopped", "%s", "");
	return 0;
}

int main(int argc, char **argv)
{
	static struct emulator emu;
	static uv_loop_t loop;
	struct options o = { .listen_host = xstrdup("127.0.0.1") };
	pid_t parent = getppid();
	struct err err = { 0 };
	int rc;

	emu.state_dir = xstrdup("/var/tmp/cloudrun-emulator");
	knobs_init(&emu.knobs);
	rc = read_options(argc, argv, &emu, &o);
	if (rc < 0)
		rc = split_off(&o, parent);
	if (rc >= 0)
		return rc;

	signal(SIGPIPE, SIG_IGN);
	json_object_seed(0); /* before worker threads could race for it */
	uv_loop_init(&loop);
	emu.loop = &loop;
	if (start(&emu, &o, &err) < 0) {
		fprintf(stderr, "cloudrun-emulator: %s\n", err.msg);
		return 1;
	}
	free(o.listen_host);
	return run(&emu);
}
