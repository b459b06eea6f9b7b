/* main - builds struct gateway, opens the doors, runs the loop, closes in reverse order. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "agents/callback.h"
#include "agents/dialect_agent.h"
#include "agents/ports.h"
#include "agents/registry.h"
#include "api/api.h"
#include "auth/auth.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/token.h"
#include "cloud/lifecycle.h"
#include "cloud/run.h"
#include "gateway.h"
#include "handover.h"
#include "health.h"
#include "image/layer_cache.h"
#include "image/overlay.h"
#include "local.h"
#include "net/defer.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "net/listen.h"
#include "state/container.h"
#include "state/events.h"
#include "state/exec.h"
#include "state/image.h"
#include "state/network.h"
#include "state/pending_files.h"
#include "state/store.h"
#include "state/volume.h"
#include "takeover.h"

#define EXIT_USAGE 2
#define LOOP_SLOW_MS 100
#define LOCK_MS 1000

struct program {
	struct gateway g;
	struct config config;
	struct local *local;
	struct tls *docker_tls;
	uv_signal_t term, intr, hup;
	uv_prepare_t round_end;     /* measures how long a round kept the loop busy */
	uv_check_t round_begin;
	uint64_t round_began_ms;
	int lock;
	bool failed;
	char **argv, **environment;
	struct takeover takeover;   /* from a former image of this process */
};

/* ---- state directory ----------------------------------------------------------------------------- */

static int make_directories(const char *path, struct err *err)
{
	AUTO_FREE char *p = xstrdup(path);

	for (char *slash = strchr(p + 1, '/');; slash = strchr(slash + 1, '/')) {
		if (slash)
			*slash = '\0';
		if (mkdir(p, 0700) < 0 && errno != EEXIST)
			return err_sys(err, errno, "create %s", p);
		if (!slash)
			return 0;
		*slash = '/';
	}
}

/* Two gateways on one state directory would undo each other's work. One that was killed a moment ago may still have
 * threads that end. */
static int lock_state(struct program *p, struct err *err)
{
	AUTO_FREE char *path = xasprintf("%s/lock", p->config.state_dir);

	p->lock = p->takeover.lock;
	if (p->lock >= 0)
		return 0;
	p->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (p->lock < 0)
		return err_sys(err, errno, "open %s", path);
	for (uint64_t deadline = clock_mono_ms() + LOCK_MS; flock(p->lock, LOCK_EX | LOCK_NB) < 0; poll(NULL, 0, 10))
		if (clock_mono_ms() >= deadline)
			return err_set(err, ERR_CONFLICT, "another gateway uses %s", p->config.state_dir);
	return 0;
}

/* Who we are: a name that any disk gives, and one of this disk alone. */
static int load_identity(struct gateway *g, struct err *err)
{
	const struct config *c = g->config;
	AUTO_FREE char *text = xasprintf("%s/%s/%s", c->project, c->region, c->instance);
	struct err none = { 0 };
	AUTO_FREE char *doc = store_get(g->store, "gateway", "identity", NULL, &none);
	json_t *j = doc ? json_loads(doc, 0, NULL) : NULL;
	const char *home = json_string_value(json_object_get(j, "home"));
	uint8_t digest[SHA256_LEN];
	uint64_t version;
	int rc = 0;

	sha256(text, strlen(text), digest);
	hex_encode(digest, sizeof(g->instance_id) / 2, g->instance_id);
	g->disk_is_new = !json_is_true(json_object_get(j, "complete"));
	if (home && strlen(home) == sizeof(g->home_id) - 1) {
		snprintf(g->home_id, sizeof(g->home_id), "%s", home);
	} else {
		AUTO_FREE char *fresh = NULL;

		random_hex(g->home_id, sizeof(g->home_id) - 1);
		fresh = xasprintf("{\"home\":\"%s\"}", g->home_id);
		rc = store_put(g->store, "gateway", "identity", fresh, 0, &version, err);
	}
	json_decref(j);
	return rc;
}

static int open_state(struct program *p, struct err *err)
{
	struct gateway *g = &p->g;
	AUTO_FREE char *db = xasprintf("%s/state.db", p->config.state_dir);
	AUTO_FREE char *logs = xasprintf("%s/logs", p->config.state_dir);

	if (make_directories(logs, err) < 0)
		return -1;
	g->store = store_open(db, err);
	if (!g->store || load_identity(g, err) < 0)
		return -1;
	g->events = events_new();
	g->pending_files = pending_files_new(p->config.state_dir, (uint64_t)p->config.pending_files_max, err);
	g->layers = g->pending_files ? layer_cache_new(g, p->config.state_dir, (uint64_t)p->config.layer_cache_max, err) : NULL;
	g->images = g->layers ? images_new(g, err) : NULL;
	g->containers = g->images ? containers_new(g, logs, err) : NULL;
	g->volumes = g->containers ? volumes_new(g, err) : NULL;
	g->networks = g->volumes ? networks_new(g, err) : NULL;
	g->execs = g->networks ? execs_new(g, err) : NULL;
	return g->execs ? 0 : -1;
}

/* ---- doors --------------------------------------------------------------------------------------- */

static int split_host_port(const char *s, char **ret_host, uint16_t *ret_port, struct err *err)
{
	const char *colon = strrchr(s, ':');
	long port = colon ? strtol(colon + 1, NULL, 10) : -1;

	if (port < 0 || port > 65535)
		return err_set(err, ERR_INVALID, "\"%s\" is not host:port", s);
	*ret_host = *s == '[' && colon > s + 1 ? xstrndup(s + 1, (size_t)(colon - s - 2)) : xstrndup(s, (size_t)(colon - s));
	*ret_port = (uint16_t)port;
	return 0;
}

static int open_tcp(const char *address, struct err *err)
{
	AUTO_FREE char *host = NULL;
	uint16_t port;

	if (split_host_port(address, &host, &port, err) < 0)
		return -1;
	return listen_tcp(*host ? host : NULL, port, true, err);
}

static int open_docker_door(struct program *p, const char *addr, struct err *err)
{
	bool tcp = !strncmp(addr, "tcp://", 6);
	int fd = tcp ? open_tcp(addr + 6, err) : listen_unix(addr + strlen("unix://"), 0660, err);

	if (fd < 0)
		return -1;
	if (tcp && !p->docker_tls)
		log_warn("the Docker API is served without TLS: whoever reaches it can run containers", "addr=%s", addr);
	if (tcp)
		log_info("Docker API", "addr=%s port=%u tls=%d", addr, listen_port(fd), p->docker_tls != NULL);
	else
		log_info("Docker API", "addr=%s", addr);
	return http_server_listen(p->g.api, fd, tcp ? p->docker_tls : NULL, err);
}

static int open_doors(struct program *p, struct err *err)
{
	struct config *c = &p->config;
	int fd;

	if (c->callback_url) {
		fd = open_tcp(c->callback_listen, err);
		if (fd < 0)
			return err_wrap(err, "listen for agents");
		log_info("agents call back", "url=%s addr=%s port=%u", c->callback_url, c->callback_listen, listen_port(fd));
		p->g.callback = callback_new(&p->g, fd, c->callback_cert, c->callback_key, err);
		if (!p->g.callback)
			return -1;
	} else {
		log_info("no callback URL: agents are dialled (forward mode)", "%s", "");
	}
	if (c->tls_cert) {
		p->docker_tls = tls_server_new(c->tls_cert, c->tls_key, c->tls_client_ca, err);
		if (!p->docker_tls)
			return -1;
	}
	for (size_t i = 0; i < c->addrs.n; i++) {
		if (open_docker_door(p, c->addrs.v[i], err) == 0)
			continue;
		err_wrap(err, "listen on %s", c->addrs.v[i]);
		if (!p->takeover.here)
			return -1;
		log_error("the others are served", "error=\"%s\"", err->msg); /* nobody is left to go on instead */
	}
	return 0;
}

/* ---- loop ---------------------------------------------------------------------------------------- */

static void on_stop_signal(uv_signal_t *s, int number)
{
	log_info("stopping", "signal=%d", number);
	uv_stop(s->loop);
}

static void restart_failed(void *ctx, const struct err *err)
{
	/* The log has it. */
}

static void on_restart_signal(uv_signal_t *s, int number)
{
	struct program *p = s->data;
	struct err err;

	if (!p->g.handover || handover_begin(p->g.handover, restart_failed, p, &err) < 0)
		log_warn("no restart now", "signal=%d reason=\"%s\"", number, p->g.handover ? err.msg : "still starting");
}

static void on_round_begin(uv_check_t *h)
{
	((struct program *)h->data)->round_began_ms = clock_mono_ms();
}

static void on_round_end(uv_prepare_t *h)
{
	struct program *p = h->data;
	uint64_t took = p->round_began_ms ? clock_mono_ms() - p->round_began_ms : 0;

	if (took > LOOP_SLOW_MS)
		log_warn("the loop was busy", "ms=%llu", (unsigned long long)took);
}

static void start_loop(struct program *p)
{
	uv_loop_t *loop = p->g.loop;

	uv_signal_init(loop, &p->term);
	uv_signal_init(loop, &p->intr);
	uv_signal_start(&p->term, on_stop_signal, SIGTERM);
	uv_signal_start(&p->intr, on_stop_signal, SIGINT);
	uv_signal_init(loop, &p->hup);
	p->hup.data = p;
	uv_signal_start(&p->hup, on_restart_signal, SIGHUP);
	takeover_unblock_signals();
	uv_check_init(loop, &p->round_begin);
	uv_prepare_init(loop, &p->round_end);
	p->round_begin.data = p->round_end.data = p;
	uv_check_start(&p->round_begin, on_round_begin);
	uv_prepare_start(&p->round_end, on_round_end);
}

static void close_loop(struct program *p)
{
	uv_loop_t *loop = p->g.loop;

	uv_close((uv_handle_t *)&p->term, NULL);
	uv_close((uv_handle_t *)&p->intr, NULL);
	uv_close((uv_handle_t *)&p->hup, NULL);
	uv_close((uv_handle_t *)&p->round_begin, NULL);
	uv_close((uv_handle_t *)&p->round_end, NULL);
	loop_defer_finish(loop);
	uv_run(loop, UV_RUN_DEFAULT);
	if (uv_loop_close(loop) != 0)
		log_error("the loop still has handles", "%s", "");
}

/* ---- build and take down -------------------------------------------------------------------------- */

static void on_ready(void *ctx)
{
	struct program *p = ctx;
	struct err err = { 0 };

	p->g.health = health_new(&p->g);
	p->failed = open_doors(p, &err) < 0;
	takeover_clients(&p->takeover, &p->g);
	if (!p->failed) {
		p->g.handover = handover_new(&p->g, p->argv, p->environment, p->lock);
		return;
	}
	log_error("cannot start", "error=\"%s\"", err.msg);
	uv_stop(p->g.loop);
}

static int build(struct program *p, struct err *err)
{
	struct gateway *g = &p->g;

	if (make_directories(p->config.state_dir, err) < 0 || lock_state(p, err) < 0)
		return -1;
	takeover_listeners(&p->takeover);
	if (p->config.local) {
		p->local = local_start(&p->config, err);
		if (!p->local)
			return -1;
	}
	if (auth_check(&p->config, err) < 0)
		return -1;
	if (open_state(p, err) < 0)
		return err_wrap(err, "open the state in %s", p->config.state_dir);
	g->http = http_client_new(g->loop);
	if (strcmp(p->config.agent_mode, "overlay") == 0) {
		g->overlays = overlays_new(g, err);
		if (!g->overlays)
			return -1;
	}
	g->cloud = cloud_new(g);
	g->registry = registry_new(g);
	g->dialects = dialects_new(g);
	g->ports = ports_new(g);
	g->lifecycle = lifecycle_new(g);
	g->api = api_new(g, err);
	if (!g->api)
		return -1;
	takeover_state(&p->takeover, g);
	lifecycle_recover(g->lifecycle, on_ready, p);
	return 0;
}

static void take_down(struct program *p)
{
	struct gateway *g = &p->g;

	handover_free(g->handover);
	g->handover = NULL;
	if (g->api)
		api_free(g);
	health_free(g->health);
	callback_free(g->callback); /* its links end in the registry, and that in the lifecycle */
	dialects_free(g->dialects);
	ports_free(g->ports);
	lifecycle_free(g->lifecycle);
	registry_free(g->registry);
	overlays_free(g->overlays);
	if (g->cloud)
		cloud_free(g->cloud);
	if (g->http)
		http_client_free(g->http);
	execs_free(g->execs);
	volumes_free(g->volumes);
	networks_free(g->networks);
	containers_free(g->containers);
	images_free(g->images);
	pending_files_free(g->pending_files);
	layer_cache_free(g->layers);
	if (g->events)
		events_free(g->events);
	if (g->store)
		store_close(g->store);
	tls_unref(p->docker_tls);
	tls_unref(g->agent_tls);
	close_loop(p);
	local_stop(p->local);
	if (p->lock >= 0)
		close(p->lock);
	config_release(&p->config);
	free(p->environment);
}

static void raise_fd_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

int main(int argc, char **argv)
{
	struct program p = { .lock = -1 };
	struct err err = { 0 };
	uv_loop_t loop;
	int rc, check;

	p.environment = handover_environment();
	rc = config_load(&p.config, argc, argv, &err);
	check = takeover_check(&p.config, rc < 0 ? &err : NULL);
	if (check >= 0 || rc != 0)
		free(p.environment);
	if (check >= 0) {
		config_release(&p.config);
		return check;
	}
	if (rc != 0) {
		if (rc < 0)
			fprintf(stderr, "sockerless-gateway: %s\n", err.msg);
		config_release(&p.config);
		return rc < 0 ? EXIT_USAGE : 0;
	}
	log_init("sockerless-gateway", p.config.log_level);
	takeover_begin(&p.takeover);
	config_warn_unknown();
	signal(SIGPIPE, SIG_IGN);
	p.argv = argv;
	raise_fd_limit();
	uv_loop_init(&loop);
	p.g.loop = &loop;
	p.g.config = &p.config;
	p.g.started_ns = clock_wall_ns();
	start_loop(&p);
	rc = build(&p, &err);
	if (rc < 0)
		log_error("cannot start", "error=\"%s\"", err.msg);
	else
		uv_run(&loop, UV_RUN_DEFAULT);
	take_down(&p);
	return rc < 0 || p.failed ? 1 : 0;
}
