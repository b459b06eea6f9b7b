/* agent - see agent.h.
 *
 * Order of a run: listen, start the main process, dial. The main process never waits for a link, and
 * no link that goes away touches a process. After its end we linger until the gateway has every byte
 * and the exit, within bounds (R11), and after that as long as we were told to be there for tools. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/token.h"
#include "link.h"
#include "net/defer.h"
#include "proc.h"
#include "serve.h"

/* Cloud Run sends SIGTERM about ten seconds before SIGKILL, which takes us along with everything:
 * the main process gets eight of them, the rest is for its last output and its exit. */
#define TERM_KILL_MS 8000
#define TERM_LEAVE_MS 9000
#define TOOL_AWAIT_MS (10 * 60 * 1000) /* a tool that runs when we would leave */
#define NEVER UINT64_MAX

static const int signals[] = {SIGCHLD, SIGTERM, SIGINT,  SIGHUP,  SIGQUIT,
			      SIGUSR1, SIGUSR2, SIGWINCH, SIGTSTP, SIGCONT};
#define N_SIGNALS (sizeof(signals) / sizeof(*signals))

struct run {
	struct agent a;
	uv_signal_t signal[N_SIGNALS];
	uv_prepare_t prepare;
	uv_timer_t deadline;
	uint64_t kill_ms;        /* end the main process then */
	uint64_t leave_ms;       /* leave then, whatever is unconfirmed */
	uint64_t stay_ms;        /* all is confirmed; leave then if no tool runs */
	uint64_t alone_ms;       /* since when main is held and no gateway is there; 0: one is */
	bool lingering, staying, leaving, late, terminated, dismissed;
	int life_line;           /* socket to the sidecar; its closing tells it that we are gone */
};

/* ---- session callbacks -------------------------------------------------------------------------- */

static size_t on_data(void *ctx, struct stream *st, const uint8_t *p, size_t n)
{
	return procs_on_data(st, p, n);
}

static void on_fin(void *ctx, struct stream *st)
{
	procs_on_fin(st);
}

static void on_reset(void *ctx, struct stream *st, uint32_t code)
{
	procs_on_reset(st);
}

static void on_writable(void *ctx, struct stream *st)
{
	/* Tells only of space after none at all; procs_unblock looks after every frame instead. */
}

/* Nobody needs us once all is confirmed. */
static void dismiss(struct run *r)
{
	r->dismissed = true;
	r->stay_ms = r->staying ? clock_mono_ms() : NEVER;
}

static void on_control(void *ctx, const struct control *c)
{
	struct run *r = ctx;
	struct procs *t = r->a.procs;

	switch (c->type) {
	case CONTROL_EXEC:
		procs_exec(t, c->channel, &c->exec);
		break;
	case CONTROL_SIGNAL:
		procs_signal(t, c->channel, c->signal.number);
		break;
	case CONTROL_RESIZE:
		procs_resize(t, c->channel, c->resize.rows, c->resize.cols);
		break;
	case CONTROL_EXIT_ACK:
		procs_exit_acked(t, c->channel);
		break;
	case CONTROL_BEGIN:
		procs_begin_main(t);
		break;
	case CONTROL_RESTART_POLICY:
		procs_set_restart(t, &c->restart_policy);
		break;
	case CONTROL_LEAVE:
		dismiss(r);
		break;
	case CONTROL_GOAWAY:
		links_replace(r->a.links, c->goaway.reconnect_within_ms);
		break;
	default:
		log_warn("control message not for an agent", "type=%d", (int)c->type);
	}
}

static void on_wake(void *ctx)
{
	struct run *r = ctx;

	if (r->a.links)
		links_wake(r->a.links);
}

static uint64_t now_us(void *ctx)
{
	return clock_mono_us();
}

static const struct session_ops session_ops = {
	.on_data = on_data, .on_fin = on_fin, .on_reset = on_reset, .on_writable = on_writable,
	.on_control = on_control, .on_wake = on_wake, .now_us = now_us,
};

/* ---- the end ------------------------------------------------------------------------------------ */

static void arm_deadline(struct run *r);

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The predecessor's -keep-alive: serve on after the main process, until told to end. */
static bool stays(const struct run *r)
{
	return r->a.cfg->keep_alive && !r->terminated;
}

static void begin_linger(struct run *r)
{
	r->lingering = true;
	links_hurry(r->a.links, true);
	if (!stays(r))
		r->leave_ms = sooner(r->leave_ms, clock_mono_ms() + r->a.cfg->linger_ms);
	arm_deadline(r);
}

/* The gateway has all of the main process and the execs. From here on only tools keep us. */
static void begin_stay(struct run *r)
{
	r->staying = true;
	if (!r->terminated)
		r->leave_ms = NEVER;
	links_hurry(r->a.links, false);
	if (stays(r))
		r->stay_ms = NEVER;
	else
		r->stay_ms = clock_mono_ms() + (r->terminated || r->dismissed ? 0 : r->a.cfg->stay_ms);
	arm_deadline(r);
}

/* A tool's end is awaited, and that its last bytes arrive. */
static uint64_t stay_limit(const struct run *r)
{
	struct session_stats stats;

	if (procs_tools(r->a.procs))
		return r->stay_ms + TOOL_AWAIT_MS;
	session_stats(r->a.session, &stats);
	return r->stay_ms + (stats.replay_bytes ? r->a.cfg->linger_ms : 0);
}

static void leave(struct run *r, bool late)
{
	r->leaving = true;
	r->late = late;
	uv_stop(&r->a.loop);
}

/* A held main process that nobody begins is no reason to be here for ever. */
static void check_hold(struct run *r, uint64_t now)
{
	bool alone = procs_main_held(r->a.procs) && !session_link_up(r->a.session);

	if (!alone) {
		r->alone_ms = 0;
		return;
	}
	if (!r->alone_ms) {
		r->alone_ms = now;
		arm_deadline(r);
	}
	if (links_hopeless(r->a.links))
		procs_end_held_main(r->a.procs, "the gateway does not want this container");
	else if (now - r->alone_ms >= r->a.cfg->hold_ms)
		procs_end_held_main(r->a.procs, "the gateway did not say in time that the container may begin");
}

/* Once per loop round, after everything that could have changed it. */
static void check_end(struct run *r)
{
	uint64_t now = clock_mono_ms();

	check_hold(r, now);
	if (!r->lingering && procs_main_exit(r->a.procs))
		begin_linger(r);
	if (!r->lingering && now >= r->kill_ms) {
		r->kill_ms = NEVER;
		log_warn("main process outlived SIGTERM", "after_ms=%d sent=SIGKILL", TERM_KILL_MS);
		procs_signal(r->a.procs, MAIN_CHANNEL, SIGKILL);
		arm_deadline(r);
	}
	if (r->leaving)
		return;
	if (r->lingering && !r->staying && procs_settled(r->a.procs))
		begin_stay(r);
	if (r->lingering && !stays(r) && links_hopeless(r->a.links))
		leave(r, !r->staying);
	else if (r->staying && r->stay_ms != NEVER && now >= r->stay_ms && now >= stay_limit(r))
		leave(r, false);
	else if (now >= r->leave_ms)
		leave(r, !r->staying);
	else if (r->staying && now >= r->stay_ms)
		arm_deadline(r); /* what is awaited may have changed */
}

static void on_deadline(uv_timer_t *h)
{
	/* Its firing has woken the loop: check_end runs in every round. */
}

static void arm_deadline(struct run *r)
{
	uint64_t at = sooner(r->lingering ? NEVER : r->kill_ms, r->leave_ms), now = clock_mono_ms();

	if (r->staying && r->stay_ms != NEVER)
		at = sooner(at, now < r->stay_ms ? r->stay_ms : stay_limit(r));
	if (r->alone_ms)
		at = sooner(at, r->alone_ms + r->a.cfg->hold_ms);
	uv_update_time(&r->a.loop);
	if (at == NEVER)
		uv_timer_stop(&r->deadline);
	else
		uv_timer_start(&r->deadline, on_deadline, at > now ? at - now : 0, 0);
}

static void on_prepare(uv_prepare_t *h)
{
	struct run *r = h->data;

	links_tick(r->a.links);
	check_end(r);
}

/* ---- signals ------------------------------------------------------------------------------------ */

static void on_terminate(struct run *r)
{
	uint64_t now = clock_mono_ms();

	log_info("SIGTERM", "forwarded_as=%d", r->a.cfg->stop_signal);
	if (!r->terminated)
		r->kill_ms = now + TERM_KILL_MS;
	r->terminated = true;
	procs_set_restart(r->a.procs, &(struct restart_policy){RESTART_NO, 0});
	if (r->staying)
		dismiss(r);
	r->leave_ms = sooner(r->leave_ms, now + TERM_LEAVE_MS);
	procs_signal(r->a.procs, MAIN_CHANNEL, r->a.cfg->stop_signal);
	links_hurry(r->a.links, true);
	arm_deadline(r);
}

static void on_signal(uv_signal_t *h, int sig)
{
	struct run *r = h->data;

	if (r->leaving) /* Cloud Run's SIGTERM on our way out: what it was for has ended */
		return;
	switch (sig) {
	case SIGCHLD:
		procs_reap(r->a.procs);
		break;
	case SIGTERM:
		on_terminate(r);
		break;
	case SIGTSTP: /* Cloud Run is about to move us: stopping would only lose the warning */
		log_info("SIGTSTP: the instance will be moved", "%s", "");
		links_moving(r->a.links);
		break;
	case SIGCONT:
		log_info("SIGCONT", "%s", "");
		links_suspect(r->a.links);
		break;
	default:
		procs_signal(r->a.procs, MAIN_CHANNEL, sig);
	}
}

static void watch_signals(struct run *r)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
	for (size_t i = 0; i < N_SIGNALS; i++) {
		uv_signal_init(&r->a.loop, &r->signal[i]);
		r->signal[i].data = r;
		uv_signal_start(&r->signal[i], on_signal, signals[i]);
	}
}

/* ---- set-up and release ------------------------------------------------------------------------- */

/* 0, 1 and 2 are open, so that no descriptor of ours becomes one of them. */
static void ensure_stdio(void)
{
	int fd;

	while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd < 3)
		;
	if (fd > 2)
		close(fd);
}

static void raise_nofile(struct agent *a)
{
	struct rlimit wide;

	if (getrlimit(RLIMIT_NOFILE, &a->nofile) < 0)
		return;
	wide = (struct rlimit){a->nofile.rlim_max, a->nofile.rlim_max};
	setrlimit(RLIMIT_NOFILE, &wide);
	a->nofile = setup_files(&a->cfg->setup, a->nofile);
}

/* Held until our death, by whatever cause. Nobody listening means: no sidecar. */
static int connect_life_line(uint16_t sidecar_port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(sidecar_port + 1),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	AUTO_CLOSE int fd = -1;

	if (!sidecar_port)
		return -1;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS))
		return -1;
	return steal_fd(&fd);
}

static int set_up(struct run *r, const struct config *cfg, struct err *err)
{
	struct agent *a = &r->a;

	ensure_stdio();
	a->cfg = cfg;
	random_bytes(a->boot_id, sizeof(a->boot_id));
	raise_nofile(a);
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* what the container starts stays below us: walk.h */
	r->life_line = connect_life_line(cfg->sidecar_port);
	uv_loop_init(&a->loop);
	a->session = session_new(SESSION_AGENT, a->boot_id, &session_ops, r);
	a->budget.limit = cfg->tunnel_memory;
	session_set_budget(a->session, &a->budget);
	if (cfg->checksums)
		session_set_checks(a->session);
	a->pump = pump_new(&a->loop, err);
	if (!a->pump)
		return -1;
	for (int i = 0; i < 2; i++)
		tee_init(&a->tee[i], a->pump, i + 1);
	a->procs = procs_new(a);
	a->links = links_new(a);
	uv_prepare_init(&a->loop, &r->prepare);
	uv_timer_init(&a->loop, &r->deadline);
	r->prepare.data = r->deadline.data = r;
	r->kill_ms = r->leave_ms = r->stay_ms = NEVER;
	watch_signals(r);
	if (cfg->listen_host && !(a->serve = serve_new(a, err)))
		return err_wrap(err, "listen for the gateway");
	return 0;
}

static void close_handle(uv_handle_t *h, void *arg)
{
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

static void tear_down(struct run *r)
{
	struct agent *a = &r->a;

	r->leaving = true; /* the loop goes on for a moment, and with it the signals */
	for (int i = 0; a->pump && i < 2; i++)
		tee_finish(&a->tee[i], 1000);
	serve_free(a->serve);
	links_free(a->links);
	a->links = NULL;
	procs_free(a->procs);
	pump_close(a->pump);
	session_free(a->session);
	if (r->life_line >= 0)
		close(r->life_line);
	for (int i = 0; i < 8; i++)
		uv_run(&a->loop, UV_RUN_NOWAIT);
	loop_defer_finish(&a->loop);
	uv_walk(&a->loop, close_handle, NULL);
	while (uv_run(&a->loop, UV_RUN_NOWAIT))
		;
	uv_loop_close(&a->loop);
}

/* The last words of R11, where Cloud Logging finds them. */
static void say_unconfirmed(struct run *r)
{
	const struct exit_status *e = procs_main_exit(r->a.procs);
	AUTO_FREE char *line = NULL;

	if (e)
		line = xasprintf("sockerless-agent: the main process ended with code %d; the gateway has "
				 "not confirmed this, nor the last %llu bytes of output\n", e->code,
				 (unsigned long long)procs_main_unacked(r->a.procs));
	else
		line = xasprintf("sockerless-agent: leaving while the main process still runs\n");
	if (tee_ready(&r->a.tee[0]))
		tee_write(&r->a.tee[0], line, strlen(line));
}

int agent_run(const struct config *cfg)
{
	struct run r = {.life_line = -1};
	const struct exit_status *e;
	struct err err;
	int code = AGENT_EXIT_UNUSABLE;

	log_init("sockerless-agent", cfg->log_level);
	log_as_json("sockerless_agent"); /* docker logs leaves such lines out when it reads Cloud Logging */
	if (set_up(&r, cfg, &err) < 0) {
		log_error("cannot begin", "error=\"%s\"", err.msg);
		tear_down(&r);
		return code;
	}
	names_apply(&cfg->names, "/etc");
	setup_apply(&cfg->setup);
	procs_start_main(r.a.procs);
	links_dial(r.a.links);
	uv_prepare_start(&r.prepare, on_prepare);
	while (!r.leaving)
		uv_run(&r.a.loop, UV_RUN_DEFAULT);
	uv_prepare_stop(&r.prepare);
	if (r.late)
		say_unconfirmed(&r);
	e = procs_main_exit(r.a.procs);
	code = e ? e->code : 128 + SIGKILL;
	tear_down(&r);
	return code;
}
