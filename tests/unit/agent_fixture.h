/* agent_fixture - the whole agent, in a child process, against a small gateway in this one.
 * The gateway is the session in its other role behind http_server and wslink. Every wait is for an
 * event, with a bound that only a failure meets. The test program is its own agent: started as
 * `PROGRAM tool NAME ...` it is the tool. */
#ifndef AGENT_FIXTURE_H
#define AGENT_FIXTURE_H

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/agent/agent.h"
#include "../../src/agent/tool.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/token.h"
#include "net/defer.h"
#include "net/http_server.h"
#include "net/listen.h"
#include "net/websocket.h"
#include "net/websocket_link.h"
#include "session.h"

/* What the agent runs for a tool is /proc/self/exe. */
__attribute__((constructor)) static void be_the_tool(int argc, char *argv[])
{
	if (argc > 2 && strcmp(argv[1], "tool") == 0)
		_exit(tool_run(argc - 2, argv + 2));
}

#define TOKEN "the-token"
#define CHANNELS 64
#define WAIT_MS 20000
#define OUTPUT_MAX (256 * 1024 * 1024)

struct channel {
	struct stream *in, *out;
	struct buf raw;              /* output as it came */
	size_t hold;                 /* take no more than so many bytes altogether; 0 = all */
	bool started, exited, fin, in_reset;
	unsigned starts, exits;      /* STARTED and EXIT messages seen */
	unsigned restarts;           /* RESTARTING messages seen; the last of them: */
	struct { struct exit_status status; uint32_t count, delay_ms; } again;
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
	unsigned links, hellos, refused, moves;
	enum welcome_verdict refuse_with; /* 0 = let in */
	uint32_t lifetime_ms;        /* what WELCOME says of links */
	struct channel ch[CHANNELS];
	struct hello last_hello;
	pid_t agent;
	bool as_init;                /* the agent is to be PID 1 of its own namespace, as in a container */
	int log_fd;                  /* the agent's stdout and stderr */
};

/* ---- the gateway's side of the session ---------------------------------------------------------- */

static inline struct channel *channel_of(struct gw *g, struct stream *st)
{
	return &g->ch[stream_id(st) / 2];
}

static inline void feed(struct channel *c)
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

static inline size_t on_data(void *ctx, struct stream *st, const uint8_t *p, size_t n)
{
	struct channel *c = channel_of(ctx, st);

	if (c->hold && c->raw.len + n > c->hold)
		n = c->hold - c->raw.len;
	cr_assert_eq(buf_append(&c->raw, p, n), 0);
	return n;
}

static inline void on_fin(void *ctx, struct stream *st)
{
	channel_of(ctx, st)->fin = true;
}

static inline void on_reset(void *ctx, struct stream *st, uint32_t code)
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

static inline void on_writable(void *ctx, struct stream *st)
{
	feed(channel_of(ctx, st));
}

static inline void send_control(struct gw *g, const struct control *c)
{
	struct err err = {0};

	cr_assert_eq(session_send(g->session, c, &err), 0, "%s", err.msg);
}

static inline void ack_exit(struct gw *g, uint32_t channel)
{
	send_control(g, &(struct control){.type = CONTROL_EXIT_ACK, .channel = channel});
}

static inline void take_exit(struct gw *g, uint32_t channel, const struct exit_status *e)
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

static inline void on_control(void *ctx, const struct control *c)
{
	struct gw *g = ctx;

	cr_assert_lt(c->channel, CHANNELS);
	if (c->type == CONTROL_MIGRATING) {
		g->moves++;
	} else if (c->type == CONTROL_STARTED) {
		g->ch[c->channel].started = true;
		g->ch[c->channel].starts++;
	} else if (c->type == CONTROL_EXIT) {
		take_exit(g, c->channel, &c->exit.status);
	} else if (c->type == CONTROL_RESTARTING) {
		g->ch[c->channel].restarts++;
		g->ch[c->channel].again.status = c->restarting.status;
		g->ch[c->channel].again.count = c->restarting.count;
		g->ch[c->channel].again.delay_ms = c->restarting.delay_ms;
	}
}

static inline void on_wake(void *ctx)
{
	struct gw *g = ctx;

	if (g->link)
		wslink_wake(g->link);
}

static const struct session_ops session_ops = {
	.on_data = on_data, .on_fin = on_fin, .on_reset = on_reset, .on_writable = on_writable,
	.on_control = on_control, .on_wake = on_wake,
};

static inline void make_session(struct gw *g)
{
	uint8_t id[BOOT_ID_LEN];

	random_bytes(id, sizeof(id));
	g->session = session_new(SESSION_GATEWAY, id, &session_ops, g);
	session_set_checks(g->session);
	session_set_link_lifetime(g->session, g->lifetime_ms);
	g->known = false;
}

static inline const struct stream_row *find_row(const struct hello *h, uint32_t id)
{
	for (size_t i = 0; i < h->n_streams; i++)
		if (h->streams[i].id == id)
			return &h->streams[i];
	return NULL;
}

/* A gateway that knows nothing takes over what the agent lists. */
static inline void adopt(struct gw *g, const struct hello *h)
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

static inline void cut(struct gw *g)
{
	wslink_close(g->link);
	g->link = NULL;
	g->up = false;
	session_link_down(g->session);
}

static struct buf refusal;

static inline void take_hello(struct gw *g, const uint8_t *p, size_t n)
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

static inline void link_message(void *ctx, struct wslink *l, const uint8_t *p, size_t n)
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

static inline int link_next(void *ctx, struct wslink *l, struct wslink_out *ret)
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

static inline void link_closed(void *ctx, struct wslink *l, int status, const char *reason)
{
	struct gw *g = ctx;

	if (l == g->link) {
		g->link = NULL;
		g->up = false;
		session_link_down(g->session);
	}
}

static inline void link_open(void *ctx, struct wslink *l) {}

static const struct wslink_ops link_ops = {link_open, link_message, link_next, link_closed};

static inline void on_request(struct exchange *x, void *ctx)
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

static inline void on_bound(uv_timer_t *h)
{
	((struct gw *)h->data)->late = true;
}

static inline void on_tick(uv_timer_t *h)
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

static inline void gw_init(struct gw *g)
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

static inline void gw_listen(struct gw *g)
{
	static const struct http_server_options opt = {.max_connections = 16};
	struct err err = {0};
	int fd = listen_tcp("127.0.0.1", g->port, false, &err);

	cr_assert_geq(fd, 0, "%s", err.msg);
	g->http = http_server_new(&g->loop, &opt, on_request, g);
	cr_assert_eq(http_server_listen(g->http, fd, NULL, &err), 0, "%s", err.msg);
}

/* A gateway that died and came back knowing nothing. */
static inline void gw_restart(struct gw *g)
{
	cut(g);
	session_free(g->session);
	make_session(g);
	for (int i = 0; i < CHANNELS; i++)
		g->ch[i].in = g->ch[i].out = NULL;
}

#define COMMAND(...) (const char *[]){__VA_ARGS__, NULL}

static inline struct config settings(struct gw *g, const char **argv)
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
static inline void close_sockets(void)
{
	struct stat st;

	for (int fd = 3; fd < 256; fd++)
		if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
			close(fd);
}

static inline void agent_start(struct gw *g, struct config c)
{
	int pair[2];

	cr_assert_eq(pipe2(pair, O_CLOEXEC), 0);
	fcntl(pair[0], F_SETPIPE_SZ, 1 << 20);
	g->agent = g->as_init ? (pid_t)syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0) : fork();
	cr_assert_geq(g->agent, 0);
	if (g->agent == 0) {
		if (g->as_init && (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
				   mount("proc", "/proc", "proc", 0, NULL) < 0))
			_exit(99);
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

static inline void gw_start_renewing(struct gw *g, const char **argv, uint64_t renew_ms)
{
	struct config c;

	gw_init(g);
	gw_listen(g);
	c = settings(g, argv);
	c.main.open_stdin = true;
	c.renew_ms = renew_ms;
	agent_start(g, c);
	UNTIL(g, g->up);
}

static inline void gw_start(struct gw *g, const char **argv)
{
	gw_start_renewing(g, argv, 0);
}

static inline bool agent_gone(struct gw *g, int *ret_status)
{
	return g->agent && waitpid(g->agent, ret_status, WNOHANG) == g->agent;
}

/* The status the agent exits with; the loop runs meanwhile. */
static inline int agent_status(struct gw *g)
{
	int status = 0;

	UNTIL(g, agent_gone(g, &status));
	g->agent = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline void close_handle(uv_handle_t *h, void *arg)
{
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

static inline void finish(struct gw *g)
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

static inline struct exec_spec spec(const char **argv)
{
	struct exec_spec s = {.open_stdin = true};

	for (; *argv; argv++)
		strv_add(&s.argv, *argv);
	s.exec_id = xmalloc(65);
	random_hex(s.exec_id, 64);
	return s;
}

static inline void send_exec(struct gw *g, uint32_t channel, const struct exec_spec *s)
{
	struct control c = {.type = CONTROL_EXEC, .channel = channel, .exec = *s};

	send_control(g, &c);
}

static inline struct channel *exec_with(struct gw *g, struct exec_spec s, const void *input, size_t n)
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

static inline void signal_channel(struct gw *g, uint32_t channel, int sig)
{
	send_control(g, &(struct control){.type = CONTROL_SIGNAL, .channel = channel, .signal.number = sig});
}

static inline struct exec_spec tool(const char **argv)
{
	struct exec_spec s = spec(argv);

	s.tool = true;
	return s;
}

static inline bool ended(const struct channel *c)
{
	return c->exited && c->raw.len >= c->status.final_offset;
}

/* The payload of the records with this tag (0: both), as a string the caller frees. */
static inline char *payload(const struct channel *c, int tag, size_t *ret_n)
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

static inline void exec_prints(struct gw *g, struct exec_spec s, const char *input, const char *out, const char *err,
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
static inline char *agent_log(struct gw *g)
{
	char *text = xcalloc(1, 1 << 20);
	ssize_t n = read(g->log_fd, text, (1 << 20) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static inline uint8_t *pattern(size_t n)
{
	uint8_t *p = xmalloc(n);
	uint64_t x = 88172645463325252ull;

	for (size_t i = 0; i < n; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		p[i] = (uint8_t)x;
	}
	return p;
}

static const char *idle[] __attribute__((unused)) = {"sleep", "1000", NULL};

#endif
