/* agent_tunnel - the whole agent, in a child process, against a small gateway in this one.
 * The gateway is session.c in its other role behind http_server and wslink. Every wait is for an
 * event, with a bound that only a failure meets. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/agent/agent.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/token.h"
#include "net/defer.h"
#include "net/http_server.h"
#include "net/websocket.h"
#include "net/websocket_link.h"
#include "session.h"

#define TOKEN "the-token"
#define CHANNELS 64
#define WAIT_MS 20000
#define OUTPUT_MAX (256 * 1024 * 1024)

struct channel {
	struct stream *in, *out;
	struct buf raw;              /* output as it came */
	size_t hold;                 /* take no more than so many bytes altogether; 0 = all */
	bool started, exited, fin, in_reset;
	unsigned exits;              /* EXIT messages seen */
	struct exit_status status;
	const uint8_t *feed;         /* input still to be written */
	size_t feed_left;
	bool feed_fin;
};

struct gw {
	uv_loop_t loop;
	uv_timer_t bound, tick;
	struct http_server *http;
	uint16_t port;
	struct session *session;
	struct wslink *link;
	bool up, late, known, no_ack;
	unsigned links, hellos, refused;
	enum welcome_verdict refuse_with; /* 0 = let in */
	struct channel ch[CHANNELS];
	struct hello last_hello;
	pid_t agent;
	int log_fd;                  /* the agent's stdout and stderr */
};

/* ---- the gateway's side of the session ---------------------------------------------------------- */

static struct channel *channel_of(struct gw *g, struct stream *st)
{
	return &g->ch[stream_id(st) / 2];
}

static void feed(struct channel *c)
{
	while (c->feed_left) {
		size_t n = stream_write(c->in, c->feed, c->feed_left);

		if (!n)
			return;
		c->feed += n;
		c->feed_left -= n;
	}
	if (c->feed_fin)
		stream_fin(c->in);
}

static size_t on_data(void *ctx, struct stream *st, const uint8_t *p, size_t n)
{
	struct channel *c = channel_of(ctx, st);

	if (c->hold && c->raw.len + n > c->hold)
		n = c->hold - c->raw.len;
	cr_assert_eq(buf_append(&c->raw, p, n), 0);
	return n;
}

static void on_fin(void *ctx, struct stream *st)
{
	channel_of(ctx, st)->fin = true;
}

static void on_reset(void *ctx, struct stream *st, uint32_t code)
{
	struct channel *c = channel_of(ctx, st);

	if (st == c->in) {
		c->in_reset = true;
		c->feed_left = 0;
		c->in = NULL;
	} else {
		c->out = NULL;
	}
	stream_close(st);
}

static void on_writable(void *ctx, struct stream *st)
{
	feed(channel_of(ctx, st));
}

static void send_control(struct gw *g, const struct control *c)
{
	struct err err = {0};

	cr_assert_eq(session_send(g->session, c, &err), 0, "%s", err.msg);
}

static void ack_exit(struct gw *g, uint32_t channel)
{
	send_control(g, &(struct control){.type = CONTROL_EXIT_ACK, .channel = channel});
}

static void take_exit(struct gw *g, uint32_t channel, const struct exit_status *e)
{
	struct channel *c = &g->ch[channel];

	c->exits++;
	if (!c->exited) {
		c->status = *e;
		c->status.error = xstrdup(e->error);
	}
	c->exited = true;
	if (!g->no_ack)
		ack_exit(g, channel);
}

static void on_control(void *ctx, const struct control *c)
{
	struct gw *g = ctx;

	cr_assert_lt(c->channel, CHANNELS);
	if (c->type == CONTROL_STARTED)
		g->ch[c->channel].started = true;
	else if (c->type == CONTROL_EXIT)
		take_exit(g, c->channel, &c->exit.status);
}

static void on_wake(void *ctx)
{
	struct gw *g = ctx;

	if (g->link)
		wslink_wake(g->link);
}

static const struct session_ops session_ops = {on_data, on_fin, on_reset, on_writable, on_control, on_wake};

static void make_session(struct gw *g)
{
	uint8_t id[BOOT_ID_LEN];

	random_bytes(id, sizeof(id));
	g->session = session_new(SESSION_GATEWAY, id, &session_ops, g);
	g->known = false;
}

static const struct stream_row *find_row(const struct hello *h, uint32_t id)
{
	for (size_t i = 0; i < h->n_streams; i++)
		if (h->streams[i].id == id)
			return &h->streams[i];
	return NULL;
}

/* A gateway that knows nothing takes over what the agent lists. */
static void adopt(struct gw *g, const struct hello *h)
{
	for (size_t i = 0; i < h->n_procs; i++) {
		const struct proc_row *p = &h->procs[i];
		struct channel *c = &g->ch[p->channel];
		const struct stream_row *in = find_row(h, 2 * p->channel);
		const struct stream_row *out = find_row(h, 2 * p->channel + 1);

		if (out)
			c->out = session_open(g->session, out->id, c->raw.len ? c->raw.len : out->acked,
					      STREAM_WINDOW_DEFAULT);
		if (in && !in->fin && !in->reset)
			c->in = session_open(g->session, in->id, in->received, STREAM_WINDOW_DEFAULT);
		c->started = p->pid != 0;
		if (p->state == PROC_EXITED)
			take_exit(g, p->channel, &p->exit);
	}
}

/* ---- links -------------------------------------------------------------------------------------- */

static void cut(struct gw *g)
{
	wslink_close(g->link);
	g->link = NULL;
	g->up = false;
	session_link_down(g->session);
}

static struct buf refusal;

static void take_hello(struct gw *g, const uint8_t *p, size_t n)
{
	struct err err = {0};

	hello_release(&g->last_hello);
	cr_assert_eq(session_peek_hello(p, n, &g->last_hello, &err), 0, "%s", err.msg);
	g->hellos++;
	if (g->refuse_with) {
		g->refused++;
		session_refusal(g->refuse_with, 10, "no", &refusal, &err);
		return;
	}
	if (!g->known)
		adopt(g, &g->last_hello);
	cr_assert_eq(session_accept(g->session, &g->last_hello, !g->known, clock_mono_ms(), &err), 0, "%s",
		     err.msg);
	g->known = g->up = true;
	g->links++;
}

static void link_message(void *ctx, struct wslink *l, const uint8_t *p, size_t n)
{
	struct gw *g = ctx;
	struct err err = {0};

	if (l != g->link)
		return;
	if (!g->up)
		take_hello(g, p, n);
	else
		cr_assert_eq(session_receive(g->session, p, n, clock_mono_ms(), &err), 0, "%s", err.msg);
	wslink_wake(l);
}

static int link_next(void *ctx, struct wslink *l, struct wslink_out *ret)
{
	struct gw *g = ctx;
	struct frame_out f;

	if (l != g->link)
		return 0;
	if (refusal.len) {
		*ret = (struct wslink_out){.head = buf_head(&refusal), .head_len = refusal.len};
		refusal.len = 0;
		return 1;
	}
	if (!g->up || !session_next_frame(g->session, &f, clock_mono_ms()))
		return 0;
	*ret = (struct wslink_out){f.head, f.head_len, f.body, f.body_len};
	return 1;
}

static void link_closed(void *ctx, struct wslink *l, int status, const char *reason)
{
	struct gw *g = ctx;

	if (l == g->link) {
		g->link = NULL;
		g->up = false;
		session_link_down(g->session);
	}
}

static void link_open(void *ctx, struct wslink *l) {}

static const struct wslink_ops link_ops = {link_open, link_message, link_next, link_closed};

static void on_request(struct exchange *x, void *ctx)
{
	struct gw *g = ctx;
	const char *auth = exchange_header(x, "Authorization"), *key = exchange_header(x, "Sec-WebSocket-Key");
	char accept[29];
	struct buf leftover;
	struct conn *conn;
	bool eof;

	cr_assert(auth && strcmp(auth, "Bearer " TOKEN) == 0);
	cr_assert_str_eq(exchange_path(x), "/agent");
	cr_assert_str_eq(exchange_query(x), "id=abc");
	ws_accept_key(key, accept);
	buf_init(&leftover, 1 << 20);
	conn = exchange_hijack(x, &leftover, &eof);
	AUTO_FREE char *answer = xasprintf(
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: " TUNNEL_SUBPROTOCOL "\r\n\r\n", accept);

	cr_assert_eq(conn_write(conn, answer, strlen(answer)), (ssize_t)strlen(answer));
	if (g->link)
		cut(g);
	g->link = wslink_adopt(conn, &leftover, &link_ops, g);
	buf_release(&leftover);
}

/* ---- driving ------------------------------------------------------------------------------------ */

static void on_bound(uv_timer_t *h)
{
	((struct gw *)h->data)->late = true;
}

static void on_tick(uv_timer_t *h)
{
	struct gw *g = h->data;

	if (g->session)
		session_tick(g->session, clock_mono_ms());
}

#define UNTIL(g, condition)                                                                        \
	do {                                                                                       \
		uv_timer_start(&(g)->bound, on_bound, WAIT_MS, 0);                                 \
		while (!(condition) && !(g)->late)                                                 \
			uv_run(&(g)->loop, UV_RUN_ONCE);                                           \
		cr_assert(!(g)->late, "waited in vain for: " #condition);                          \
	} while (0)

static void gw_init(struct gw *g)
{
	int fd;

	*g = (struct gw){.log_fd = -1};
	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&g->loop);
	uv_timer_init(&g->loop, &g->bound);
	uv_timer_init(&g->loop, &g->tick);
	g->bound.data = g->tick.data = g;
	uv_timer_start(&g->tick, on_tick, 5, 5);
	for (int i = 0; i < CHANNELS; i++)
		buf_init(&g->ch[i].raw, OUTPUT_MAX);
	buf_init(&refusal, 4096);
	make_session(g);
	fd = listen_tcp("127.0.0.1", 0, false, NULL);
	g->port = listen_port(fd);
	close(fd);
}

static void gw_listen(struct gw *g)
{
	static const struct http_server_options opt = {.max_connections = 16};
	struct err err = {0};
	int fd = listen_tcp("127.0.0.1", g->port, false, &err);

	cr_assert_geq(fd, 0, "%s", err.msg);
	g->http = http_server_new(&g->loop, &opt, on_request, g);
	cr_assert_eq(http_server_listen(g->http, fd, NULL, &err), 0, "%s", err.msg);
}

/* A gateway that died and came back knowing nothing. */
static void gw_restart(struct gw *g)
{
	cut(g);
	session_free(g->session);
	make_session(g);
	for (int i = 0; i < CHANNELS; i++)
		g->ch[i].in = g->ch[i].out = NULL;
}

#define COMMAND(...) (const char *[]){__VA_ARGS__, NULL}

static struct config settings(struct gw *g, const char **argv)
{
	struct config c = {
		.container_id = xstrdup("abc"), .token = xstrdup(TOKEN), .execution = xstrdup("exec-1"),
		.callback_url = xasprintf("http://127.0.0.1:%d/agent?id=abc", g->port),
		.log_level = LOG_LEVEL_ERROR, .linger_ms = 30000, .stop_signal = SIGTERM,
	};

	for (; *argv; argv++)
		strv_add(&c.main.argv, *argv);
	strv_add(&c.main.env, "PATH=/usr/local/bin:/usr/bin:/bin");
	strv_add(&c.main.env, "HOME=/");
	return c;
}

/* The agent must not hold the gateway's sockets open; libuv's own pipes it needs. */
static void close_sockets(void)
{
	struct stat st;

	for (int fd = 3; fd < 256; fd++)
		if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
			close(fd);
}

static void agent_start(struct gw *g, struct config c)
{
	int pair[2];

	cr_assert_eq(pipe2(pair, O_CLOEXEC), 0);
	fcntl(pair[0], F_SETPIPE_SZ, 1 << 20);
	g->agent = fork();
	cr_assert_geq(g->agent, 0);
	if (g->agent == 0) {
		dup2(pair[1], 1);
		dup2(pair[1], 2);
		close_sockets();
		_exit(agent_run(&c));
	}
	close(pair[1]);
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	g->log_fd = pair[0];
	config_release(&c);
}

static void gw_start(struct gw *g, const char **argv)
{
	struct config c;

	gw_init(g);
	gw_listen(g);
	c = settings(g, argv);
	c.main.open_stdin = true;
	agent_start(g, c);
	UNTIL(g, g->up);
}

static bool agent_gone(struct gw *g, int *ret_status)
{
	return g->agent && waitpid(g->agent, ret_status, WNOHANG) == g->agent;
}

/* The status the agent exits with; the loop runs meanwhile. */
static int agent_status(struct gw *g)
{
	int status = 0;

	UNTIL(g, agent_gone(g, &status));
	g->agent = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void close_handle(uv_handle_t *h, void *arg)
{
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

static void finish(struct gw *g)
{
	if (g->agent) {
		kill(g->agent, SIGTERM);
		agent_status(g);
	}
	wslink_close(g->link);
	g->link = NULL;
	if (g->http)
		http_server_free(g->http);
	buf_release(&refusal);
	close(g->log_fd);
	for (int i = 0; i < 8; i++)
		uv_run(&g->loop, UV_RUN_NOWAIT);
	loop_defer_finish(&g->loop);
	uv_walk(&g->loop, close_handle, NULL);
	while (uv_run(&g->loop, UV_RUN_NOWAIT))
		;
	cr_assert_eq(uv_loop_close(&g->loop), 0);
	/* Only now, for the ticks went on until here. */
	for (int i = 0; i < CHANNELS; i++) {
		buf_release(&g->ch[i].raw);
		free(g->ch[i].status.error);
	}
	session_free(g->session);
	hello_release(&g->last_hello);
}

static uint32_t next_channel = 2;

static struct exec_spec spec(const char **argv)
{
	struct exec_spec s = {.open_stdin = true};

	for (; *argv; argv++)
		strv_add(&s.argv, *argv);
	s.exec_id = xmalloc(65);
	random_hex(s.exec_id, 64);
	return s;
}

static void send_exec(struct gw *g, uint32_t channel, const struct exec_spec *s)
{
	struct control c = {.type = CONTROL_EXEC, .channel = channel, .exec = *s};

	send_control(g, &c);
}

static struct channel *exec_with(struct gw *g, struct exec_spec s, const void *input, size_t n)
{
	uint32_t channel = next_channel++;
	struct channel *c = &g->ch[channel];

	send_exec(g, channel, &s);
	c->in = session_open(g->session, 2 * channel, 0, STREAM_WINDOW_DEFAULT);
	c->out = session_open(g->session, 2 * channel + 1, 0, STREAM_WINDOW_DEFAULT);
	c->feed = input;
	c->feed_left = n;
	c->feed_fin = true;
	if (input)
		feed(c);
	exec_spec_release(&s);
	return c;
}

static bool ended(const struct channel *c)
{
	return c->exited && c->raw.len >= c->status.final_offset;
}

/* The payload of the records with this tag (0: both), as a string the caller frees. */
static char *payload(const struct channel *c, int tag, size_t *ret_n)
{
	const uint8_t *p = buf_head(&c->raw), *end = p + c->raw.len;
	char *text = xmalloc(c->raw.len + 1);
	size_t at = 0;

	while (p < end) {
		size_t n = (size_t)p[4] << 24 | (size_t)p[5] << 16 | (size_t)p[6] << 8 | p[7];
		const uint8_t *data = p + 8 + (p[1] & RECORD_TIMED ? 8 : 0);

		cr_assert(p[0] == 1 || p[0] == 2);
		cr_assert(data + n <= end);
		if (!tag || p[0] == tag) {
			memcpy(text + at, data, n);
			at += n;
		}
		p = data + n;
	}
	text[at] = '\0';
	if (ret_n)
		*ret_n = at;
	return text;
}

static void exec_prints(struct gw *g, struct exec_spec s, const char *input, const char *out, const char *err,
			int code)
{
	struct channel *c = exec_with(g, s, input, input ? strlen(input) : 0);

	UNTIL(g, ended(c));
	AUTO_FREE char *got_out = payload(c, 1, NULL);
	AUTO_FREE char *got_err = payload(c, 2, NULL);

	cr_assert_str_eq(got_out, out);
	cr_assert_str_eq(got_err, err);
	cr_assert_eq(c->status.code, code);
}

/* What the agent wrote to its own stdout and stderr. */
static char *agent_log(struct gw *g)
{
	char *text = xcalloc(1, 1 << 20);
	ssize_t n = read(g->log_fd, text, (1 << 20) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static uint8_t *pattern(size_t n)
{
	uint8_t *p = xmalloc(n);
	uint64_t x = 88172645463325252ull;

	for (size_t i = 0; i < n; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		p[i] = (uint8_t)x;
	}
	return p;
}

static const char *idle[] = {"sleep", "1000", NULL};

/* ---- the main process --------------------------------------------------------------------------- */

Test(tunnel, main_output_arrives_with_times_and_the_exit_is_exact)
{
	struct gw g;
	int64_t before = clock_wall_ns();

	gw_start(&g, COMMAND("sh", "-c", "echo hi; echo no >&2; exit 42"));
	struct channel *c = &g.ch[1];

	UNTIL(&g, ended(c) && c->fin);
	AUTO_FREE char *out = payload(c, 1, NULL);
	AUTO_FREE char *err = payload(c, 2, NULL);

	cr_assert_str_eq(out, "hi\n");
	cr_assert_str_eq(err, "no\n");
	cr_assert_eq(c->status.code, 42);
	cr_assert_null(c->status.error);
	cr_assert(c->status.started_ns >= before && c->status.finished_ns >= c->status.started_ns);
	cr_assert_eq(buf_head(&c->raw)[1], RECORD_TIMED);
	cr_assert_eq(agent_status(&g), 42);
	AUTO_FREE char *log = agent_log(&g);

	cr_assert(strstr(log, "hi\n") && strstr(log, "no\n"), "the copy for Cloud Logging: %s", log);
	finish(&g);
}

Test(tunnel, hello_tells_who_and_what)
{
	struct gw g;

	gw_start(&g, idle);
	cr_assert_str_eq(g.last_hello.container_id, "abc");
	cr_assert_str_eq(g.last_hello.execution, "exec-1");
	cr_assert_str_eq(g.last_hello.agent_version, VERSION);
	cr_assert_eq(g.last_hello.n_procs, 1);
	cr_assert_eq(g.last_hello.procs[0].channel, 1);
	cr_assert_eq(g.last_hello.procs[0].state, PROC_RUNNING);
	cr_assert_gt(g.last_hello.procs[0].pid, 0);
	finish(&g);
}

Test(tunnel, a_signal_is_128_plus_its_number)
{
	struct gw g;

	gw_start(&g, COMMAND("sh", "-c", "kill -9 $$"));
	UNTIL(&g, g.ch[1].exited);
	cr_assert_eq(g.ch[1].status.code, 137);
	cr_assert_eq(g.ch[1].status.signal, 9);
	cr_assert_eq(agent_status(&g), 137);
	finish(&g);
}

Test(tunnel, a_main_process_that_cannot_start_is_told_as_one)
{
	struct gw g;

	gw_start(&g, COMMAND("no-such-program"));
	UNTIL(&g, g.ch[1].exited);
	cr_assert_eq(g.ch[1].status.code, 127);
	cr_assert_str_eq(g.ch[1].status.error, "exec: \"no-such-program\": executable file not found in $PATH");
	cr_assert_eq(g.ch[1].status.started_ns, 0);
	cr_assert_eq(agent_status(&g), 127);
	finish(&g);
}

Test(tunnel, main_output_waits_for_a_gateway_that_comes_late)
{
	struct gw g;
	size_t n;

	gw_init(&g);
	agent_start(&g, settings(&g, COMMAND("sh", "-c", "seq 1 300000; exit 3")));
	for (int i = 0; i < 50; i++) /* nobody listens; the copy for Cloud Logging flows on */
		free(agent_log(&g)), uv_run(&g.loop, UV_RUN_ONCE);
	gw_listen(&g);
	uv_timer_start(&g.bound, on_bound, WAIT_MS, 0);
	while (!ended(&g.ch[1]) && !g.late)
		free(agent_log(&g)), uv_run(&g.loop, UV_RUN_ONCE);
	AUTO_FREE char *out = payload(&g.ch[1], 1, &n);

	cr_assert_eq(n, 1988895);
	cr_assert(strncmp(out, "1\n2\n3\n", 6) == 0);
	cr_assert_str_eq(out + n - 14, "299999\n300000\n");
	cr_assert_eq(g.ch[1].status.code, 3);
	cr_assert_eq(agent_status(&g), 3);
	finish(&g);
}

Test(tunnel, stderr_before_stdout_stays_so)
{
	struct gw g;

	gw_start(&g, idle);
	for (int i = 0; i < 20; i++) {
		struct channel *c = exec_with(&g, spec(COMMAND("sh", "-c", "echo e >&2; echo o")), NULL, 0);

		UNTIL(&g, ended(c));
		AUTO_FREE char *both = payload(c, 0, NULL);

		cr_assert_str_eq(both, "e\no\n");
	}
	finish(&g);
}

Test(tunnel, main_has_a_terminal_when_asked)
{
	struct gw g;
	struct config c;

	gw_init(&g);
	gw_listen(&g);
	c = settings(&g, COMMAND("sh", "-c", "stty size; read x; stty size; echo $TERM"));
	c.main.tty = c.main.open_stdin = true;
	c.main.rows = 10;
	c.main.cols = 20;
	agent_start(&g, c);
	UNTIL(&g, g.up && g.ch[1].raw.len);
	send_control(&g, &(struct control){.type = CONTROL_RESIZE, .channel = 1, .resize = {30, 40}});
	stream_write(g.ch[1].in, "\n", 1);
	UNTIL(&g, ended(&g.ch[1]));
	AUTO_FREE char *out = payload(&g.ch[1], 1, NULL);

	cr_assert_str_eq(out, "10 20\r\n\r\n30 40\r\nxterm\r\n");
	cr_assert_eq(agent_status(&g), 0);
	finish(&g);
}

Test(tunnel, sigterm_reaches_main_and_its_exit_reaches_the_gateway)
{
	struct gw g;

	gw_start(&g, COMMAND("sh", "-c", "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done"));
	UNTIL(&g, g.ch[1].raw.len);
	kill(g.agent, SIGTERM);
	UNTIL(&g, ended(&g.ch[1]));
	AUTO_FREE char *out = payload(&g.ch[1], 1, NULL);

	cr_assert_str_eq(out, "ready\nbye\n");
	cr_assert_eq(agent_status(&g), 5);
	finish(&g);
}

/* As Docker does: a child of the process hears of it only through the process. */
Test(tunnel, signals_reach_the_process_and_not_its_children)
{
	struct gw g;

	gw_start(&g, COMMAND("sh", "-c", "trap 'echo usr1' USR1; (sleep 0.3; echo child lives) & echo ready; wait; wait; exit 9"));
	UNTIL(&g, g.ch[1].raw.len);
	send_control(&g, &(struct control){.type = CONTROL_SIGNAL, .channel = 1, .signal.number = SIGUSR1});
	UNTIL(&g, ended(&g.ch[1]));
	AUTO_FREE char *out = payload(&g.ch[1], 1, NULL);

	cr_assert(strstr(out, "usr1\n") && strstr(out, "child lives\n"), "%s", out);
	cr_assert_eq(agent_status(&g), 9);
	finish(&g);
}

Test(tunnel, execs_end_with_the_main_process)
{
	struct gw g;

	gw_start(&g, COMMAND("sh", "-c", "read x"));
	struct channel *c = exec_with(&g, spec(COMMAND("sleep", "1000")), NULL, 0);

	UNTIL(&g, c->started);
	send_control(&g, &(struct control){.type = CONTROL_SIGNAL, .channel = 1, .signal.number = SIGKILL});
	UNTIL(&g, c->exited && g.ch[1].exited);
	cr_assert_eq(c->status.code, 137);
	cr_assert_eq(agent_status(&g), 137);
	finish(&g);
}

Test(tunnel, without_a_gateway_it_leaves_after_the_linger_and_says_so)
{
	struct gw g;
	struct config c;

	gw_init(&g);
	c = settings(&g, COMMAND("sh", "-c", "echo out; exit 6"));
	c.linger_ms = 50;
	agent_start(&g, c);
	cr_assert_eq(agent_status(&g), 6);
	AUTO_FREE char *log = agent_log(&g);

	cr_assert(strstr(log, "out\n"));
	cr_assert(strstr(log, "ended with code 6; the gateway has not confirmed this"), "%s", log);
	finish(&g);
}

Test(tunnel, it_stays_until_the_exit_is_acknowledged)
{
	struct gw g;

	gw_init(&g);
	gw_listen(&g);
	g.no_ack = true;
	agent_start(&g, settings(&g, COMMAND("true")));
	UNTIL(&g, g.ch[1].exited && g.ch[1].fin);
	cut(&g);
	UNTIL(&g, g.links == 2);
	cr_assert_eq(g.ch[1].exits, 1, "the exit was delivered once");
	cr_assert(!agent_gone(&g, NULL));
	ack_exit(&g, 1);
	cr_assert_eq(agent_status(&g), 0);
	finish(&g);
}

/* ---- execs -------------------------------------------------------------------------------------- */

Test(tunnel, an_exec_has_stdin_stdout_stderr_and_a_code)
{
	struct gw g;

	gw_start(&g, idle);
	exec_prints(&g, spec(COMMAND("cat")), "x\n", "x\n", "", 0);
	exec_prints(&g, spec(COMMAND("cat")), "", "", "", 0);
	exec_prints(&g, spec(COMMAND("sh", "-c", "echo o; echo e >&2; exit 7")), NULL, "o\n", "e\n", 7);
	exec_prints(&g, spec(COMMAND("sh", "-c", "kill -TERM $$")), NULL, "", "", 143);
	finish(&g);
}

Test(tunnel, an_exec_inherits_and_overrides)
{
	struct gw g;
	struct config c;
	struct exec_spec s;

	gw_init(&g);
	gw_listen(&g);
	c = settings(&g, idle);
	strv_add(&c.main.env, "A=main");
	strv_add(&c.main.env, "B=main");
	c.main.workdir = xstrdup("/usr");
	agent_start(&g, c);
	UNTIL(&g, g.up);
	s = spec(COMMAND("sh", "-c", "echo $A $B; pwd"));
	strv_add(&s.env, "B=exec");
	exec_prints(&g, s, NULL, "main exec\n/usr\n", "", 0);
	s = spec(COMMAND("sh", "-c", "pwd; id -u"));
	s.workdir = xstrdup("/tmp");
	s.user = xstrdup("12345");
	if (geteuid() == 0)
		exec_prints(&g, s, NULL, "/tmp\n12345\n", "", 0);
	finish(&g);
}

Test(tunnel, an_exec_that_cannot_start_says_why)
{
	struct gw g;

	gw_start(&g, idle);
	struct channel *c = exec_with(&g, spec(COMMAND("/tmp")), "input nobody reads", 18);

	UNTIL(&g, c->exited);
	cr_assert_eq(c->status.code, 126);
	cr_assert_str_eq(c->status.error, "exec: \"/tmp\": permission denied");
	cr_assert_eq(c->status.final_offset, 0);
	finish(&g);
}

Test(tunnel, the_same_exec_twice_runs_once)
{
	struct gw g;
	struct exec_spec s = spec(COMMAND("sh", "-c", "echo once; read x"));

	gw_start(&g, idle);
	struct exec_spec again = spec(COMMAND("sh", "-c", "echo once; read x"));

	memcpy(again.exec_id, s.exec_id, 64);
	struct channel *c = exec_with(&g, s, NULL, 0);

	UNTIL(&g, c->started);
	c->started = false;
	send_exec(&g, 2, &again);
	UNTIL(&g, c->started); /* told again, not done again */
	strv_add(&again.argv, "other");
	send_exec(&g, 3, &again);
	UNTIL(&g, g.ch[3].exited);
	cr_assert_eq(g.ch[3].status.code, 126);
	cr_assert_str_eq(g.ch[3].status.error, "exec id reused");
	stream_fin(c->in);
	UNTIL(&g, ended(c));
	AUTO_FREE char *out = payload(c, 1, NULL);

	cr_assert_str_eq(out, "once\n");
	finish(&g);
	exec_spec_release(&again);
}

Test(tunnel, a_terminal_exec_is_raw_and_resizes)
{
	struct gw g;
	struct exec_spec s = spec(COMMAND("sh", "-c", "stty size; trap 'stty size; exit 0' WINCH; echo ready; "
						      "while :; do sleep 0.02; done"));

	s.tty = true;
	s.rows = 5;
	s.cols = 6;
	gw_start(&g, idle);
	struct channel *c = exec_with(&g, s, NULL, 0);

	UNTIL(&g, c->raw.len >= 12);
	send_control(&g, &(struct control){.type = CONTROL_RESIZE, .channel = 2, .resize = {7, 8}});
	UNTIL(&g, ended(c));
	cr_assert_eq(c->raw.len, 17);
	cr_assert(memcmp(buf_head(&c->raw), "5 6\r\nready\r\n7 8\r\n", 17) == 0);
	finish(&g);
}

Test(tunnel, control_c_interrupts_through_the_terminal)
{
	struct gw g;
	struct exec_spec s = spec(COMMAND("cat"));

	s.tty = true;
	gw_start(&g, idle);
	struct channel *c = exec_with(&g, s, NULL, 0);

	stream_write(c->in, "x\n", 2);
	UNTIL(&g, c->raw.len >= 6); /* its echo and cat's */
	stream_write(c->in, "\003", 1);
	UNTIL(&g, ended(c));
	cr_assert_eq(c->status.code, 130);
	finish(&g);
}

Test(tunnel, a_descendant_that_holds_the_pipes_does_not_hold_the_exit)
{
	struct gw g;

	gw_start(&g, idle);
	struct channel *c = exec_with(&g, spec(COMMAND("sh", "-c", "sleep 1000 & echo hi")), NULL, 0);

	UNTIL(&g, ended(c));
	AUTO_FREE char *out = payload(c, 1, NULL);

	cr_assert_str_eq(out, "hi\n");
	cr_assert(c->status.pipes_held);
	c = exec_with(&g, spec(COMMAND("sh", "-c", "(while :; do echo on; sleep 0.02; done) & echo hi")), NULL, 0);
	UNTIL(&g, ended(c));
	cr_assert(c->status.pipes_held);
	finish(&g);
}

Test(tunnel, input_a_process_does_not_want_blocks_nobody)
{
	struct gw g;
	size_t n = 8 << 20;
	AUTO_FREE uint8_t *data = pattern(n);

	gw_start(&g, idle);
	/* closes its stdin, and lives on */
	struct channel *c = exec_with(&g, spec(COMMAND("sh", "-c", "exec <&-; echo closed; sleep 1000")), data, n);
	/* never reads it */
	struct channel *full = exec_with(&g, spec(COMMAND("sleep", "1000")), data, n);

	UNTIL(&g, c->in_reset);
	exec_prints(&g, spec(COMMAND("cat")), "still here", "still here", "", 0);
	cr_assert_gt(full->feed_left, 0);
	finish(&g);
}

Test(tunnel, a_slow_reader_stops_its_process_and_loses_nothing)
{
	struct gw g;
	size_t n;

	gw_start(&g, idle);
	struct channel *c = &g.ch[next_channel];

	c->hold = 100000;
	exec_with(&g, spec(COMMAND("sh", "-c", "seq 1 1000000; exit 4")), NULL, 0);
	UNTIL(&g, c->raw.len == 100000);
	exec_prints(&g, spec(COMMAND("echo", "other")), NULL, "other\n", "", 0);
	cr_assert(!c->exited, "it cannot have written all of it");
	while (!ended(c)) {
		c->hold += 300000;
		stream_resume(c->out);
		UNTIL(&g, c->raw.len == c->hold || ended(c));
	}
	AUTO_FREE char *out = payload(c, 1, &n);

	cr_assert_eq(n, 6888896);
	cr_assert_eq(c->status.code, 4);
	cr_assert(!c->status.pipes_held);
	finish(&g);
}

Test(tunnel, a_detached_exec_has_no_output)
{
	struct gw g;
	struct exec_spec s = spec(COMMAND("sh", "-c", "echo lost; cat; exit 8"));

	s.detach = true;
	gw_start(&g, idle);
	struct channel *c = exec_with(&g, s, NULL, 0);

	UNTIL(&g, c->exited && c->fin);
	cr_assert_eq(c->raw.len, 0);
	cr_assert_eq(c->status.code, 8);
	finish(&g);
}

Test(tunnel, a_client_that_gave_up_does_not_stop_the_process)
{
	struct gw g;
	char file[] = "/tmp/agent-tunnel-XXXXXX";
	AUTO_FREE char *script = NULL;

	close(mkstemp(file));
	script = xasprintf("seq 1 1000000; echo done >%s", file);
	gw_start(&g, idle);
	struct channel *c = &g.ch[next_channel];

	c->hold = 1000;
	exec_with(&g, spec(COMMAND("sh", "-c", script)), NULL, 0);
	UNTIL(&g, c->raw.len == 1000);
	stream_reset(c->out, RESET_CANCELLED);
	UNTIL(&g, c->exited);
	cr_assert_eq(c->status.code, 0);
	AUTO_CLOSE int fd = open(file, O_RDONLY);
	char text[8] = "";

	cr_assert_eq(read(fd, text, 7), 5);
	cr_assert_str_eq(text, "done\n");
	unlink(file);
	finish(&g);
}

/* ---- links that come and go --------------------------------------------------------------------- */

Test(tunnel, nothing_is_lost_when_the_link_is_cut_in_a_transfer)
{
	struct gw g;
	size_t n = 24 << 20, got;
	AUTO_FREE uint8_t *data = pattern(n);

	gw_start(&g, idle);
	struct channel *c = exec_with(&g, spec(COMMAND("cat")), data, n);

	for (size_t i = 1; i <= 10; i++) {
		UNTIL(&g, g.up && c->raw.len >= i * (n / 12));
		cut(&g);
	}
	UNTIL(&g, ended(c));
	AUTO_FREE char *out = payload(c, 1, &got);

	cr_assert_eq(got, n);
	cr_assert(memcmp(out, data, n) == 0);
	cr_assert_eq(c->status.code, 0);
	cr_assert_geq(g.links, 11);
	finish(&g);
}

Test(tunnel, an_exit_while_the_link_is_down_arrives_with_the_next)
{
	struct gw g;

	gw_start(&g, idle);
	struct channel *c = exec_with(&g, spec(COMMAND("sh", "-c", "echo before; sleep 0.1; echo after; exit 11")), NULL, 0);

	UNTIL(&g, c->raw.len);
	cut(&g);
	http_server_free(g.http);
	for (int i = 0; i < 60; i++)
		uv_run(&g.loop, UV_RUN_ONCE);
	gw_listen(&g);
	UNTIL(&g, ended(c));
	AUTO_FREE char *out = payload(c, 1, NULL);

	cr_assert_str_eq(out, "before\nafter\n");
	cr_assert_eq(c->status.code, 11);
	cr_assert_eq(c->exits, 1);
	finish(&g);
}

Test(tunnel, a_gateway_that_forgot_everything_learns_it_from_the_agent)
{
	struct gw g;

	gw_start(&g, COMMAND("sh", "-c", "echo one; read x; echo two; exit 12"));
	struct channel *c = exec_with(&g, spec(COMMAND("sh", "-c", "exit 13")), NULL, 0);

	UNTIL(&g, c->exited && g.ch[1].raw.len);
	c = exec_with(&g, spec(COMMAND("sh", "-c", "read x; exit 14")), NULL, 0);
	UNTIL(&g, c->started);
	gw_restart(&g);
	UNTIL(&g, g.up);
	cr_assert_eq(g.last_hello.n_procs, 2, "main and the running exec; the other is settled");
	send_control(&g, &(struct control){.type = CONTROL_SIGNAL, .channel = 3, .signal.number = SIGKILL});
	UNTIL(&g, c->exited);
	cr_assert_eq(c->status.code, 137);
	exec_prints(&g, spec(COMMAND("echo", "new")), NULL, "new\n", "", 0);
	finish(&g);
}

Test(tunnel, unknown_and_superseded_agents_stop_dialling_and_leave_when_done)
{
	struct gw g;

	gw_init(&g);
	gw_listen(&g);
	g.refuse_with = WELCOME_UNKNOWN;
	agent_start(&g, settings(&g, COMMAND("sh", "-c", "sleep 0.3; exit 3")));
	cr_assert_eq(agent_status(&g), 3);
	cr_assert_eq(g.refused, 1);
	finish(&g);
}

Test(tunnel, retry_comes_back_after_the_time_given)
{
	struct gw g;

	gw_init(&g);
	gw_listen(&g);
	g.refuse_with = WELCOME_RETRY;
	agent_start(&g, settings(&g, idle));
	UNTIL(&g, g.refused == 3);
	g.refuse_with = 0;
	UNTIL(&g, g.up);
	finish(&g);
}

/* ---- forward mode ------------------------------------------------------------------------------- */

static void connect_forward(struct gw *g, uint16_t port, const char *token)
{
	AUTO_FREE char *url = xasprintf("ws://127.0.0.1:%d/ws", port);
	struct wslink_options opt = {.url = url, .subprotocol = TUNNEL_SUBPROTOCOL, .timeout_ms = 5000};

	strv_take(&opt.headers, xasprintf("Authorization: Bearer %s", token));
	g->link = wslink_connect(&g->loop, &opt, &link_ops, g, NULL);
	strv_release(&opt.headers);
}

static void start_forward(struct gw *g, const char **argv)
{
	struct config c;

	gw_init(g);
	c = settings(g, argv);
	free(c.callback_url);
	c.callback_url = NULL;
	c.listen_host = xstrdup("127.0.0.1");
	c.listen_port = g->port;
	agent_start(g, c);
}

static void pause_briefly(struct gw *g)
{
	for (int i = 0; i < 4; i++)
		uv_run(&g->loop, UV_RUN_ONCE);
}

Test(tunnel, forward_mode_speaks_the_same)
{
	struct gw g;

	start_forward(&g, idle);
	do {
		if (!g.link)
			connect_forward(&g, g.port, TOKEN);
		pause_briefly(&g);
	} while (!g.up);
	exec_prints(&g, spec(COMMAND("cat")), "forward", "forward", "", 0);
	/* a second link replaces the first */
	cut(&g);
	connect_forward(&g, g.port, TOKEN);
	UNTIL(&g, g.up);
	exec_prints(&g, spec(COMMAND("echo", "again")), NULL, "again\n", "", 0);
	send_control(&g, &(struct control){.type = CONTROL_SIGNAL, .channel = 1, .signal.number = SIGTERM});
	UNTIL(&g, ended(&g.ch[1]));
	cr_assert_eq(agent_status(&g), 143);
	finish(&g);
}

Test(tunnel, forward_mode_refuses_a_wrong_token)
{
	struct gw g;

	start_forward(&g, idle);
	for (int i = 0; i < 20; i++) {
		if (!g.link)
			connect_forward(&g, g.port, "the-tokem");
		pause_briefly(&g);
	}
	cr_assert_eq(g.hellos, 0);
	finish(&g);
}
