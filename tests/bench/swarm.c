/* swarm - a Cloud Run with ten thousand executions in one process: the emulator, with this file in the place
 * of its task.c. An execution is not a container but an agent's end of a tunnel, with a main process that is
 * only said to run: a session, a link to the gateway over `net`, and the rules by which src/agent/link.c
 * dials again. So the gateway does for each container all that it ever does.
 *
 * The first execution is left to whoever started the swarm, who is told its environment and runs a real agent
 * with it. On stdout, after the emulator's ready line, one line of JSON each:
 *     {"real": {"SOCKERLESS_...": "..."}}         the first execution begins
 *     {"back": n, "all_ms": t, "p50_ms": t}       all links that were cut are welcomed again, after so long
 * On stdin: "cut\n" drops every link at once. SWARM_CA: the authorities to trust, for callback URLs with TLS. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "../../src/emulator/task.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/token.h"
#include "net/defer.h"
#include "net/websocket_link.h"
#include "session.h"

#define MAIN_CHANNEL 1
#define CONNECT_MS 10000
#define SPREAD_MS 100
#define BACKOFF_MS 100
#define BACKOFF_DOUBLINGS 8

struct swarm {
	struct emulator *emu;
	struct tls *tls;
	uv_poll_t commands;
	size_t links_up, links_cut;   /* of now; of the last cut, that are not back */
	uint64_t cut_ms;
	uint32_t *back_ms;            /* after how long each came back */
	size_t n_back;
};

struct task {
	struct task *prev, *next;
	struct emulator *emu;
	task_cb *cb;
	void *ctx;
	char *execution, *url, *authorization, *container_id;
	int attempt;
	bool real, cancelled;
	struct session *session;
	struct wslink *current, *pending;
	uint64_t link_no;
	uint32_t spread_ms;
	unsigned failures;
	bool up, was_cut;
	struct timer *retry;
	uv_timer_t tick;
};

static struct swarm swarm;

static void dial(void *p);

static const char *variable(const json_t *container, const char *name)
{
	const json_t *list = json_object_get(container, "env"), *pair;
	size_t i;

	json_array_foreach(list, i, pair)
		if (!strcmp(json_string_value(json_object_get(pair, "name")), name))
			return json_string_value(json_object_get(pair, "value"));
	return NULL;
}

static uint64_t random_below(uint64_t n)
{
	uint64_t r;

	random_bytes(&r, sizeof r);
	return n ? r % n : 0;
}

/* ---- coming back ---------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static void note_back(struct task *t)
{
	t->was_cut = false;
	swarm.back_ms[swarm.n_back++] = (uint32_t)(clock_mono_ms() - swarm.cut_ms);
	if (--swarm.links_cut)
		return;
	qsort(swarm.back_ms, swarm.n_back, sizeof *swarm.back_ms, by_value);
	printf("{\"back\": %zu, \"all_ms\": %u, \"p50_ms\": %u}\n", swarm.n_back, swarm.back_ms[swarm.n_back - 1],
	       swarm.back_ms[swarm.n_back / 2]);
	fflush(stdout);
}

static void drop_link(struct task *t)
{
	if (t->up)
		swarm.links_up--;
	t->up = false;
	wslink_close(t->current);
	t->current = NULL;
	session_link_down(t->session);
	uv_timer_stop(&t->tick);
}

/* As an agent does: at random within what WELCOME said; if that fails again and again, backing off. */
static void retry(struct task *t, uint64_t at_least_ms)
{
	unsigned n = t->failures < BACKOFF_DOUBLINGS ? t->failures : BACKOFF_DOUBLINGS;
	uint64_t span = n ? (uint64_t)BACKOFF_MS << n : 0;

	timer_cancel(&t->retry);
	t->retry = timer_start(t->emu->loop, at_least_ms + random_below(span > t->spread_ms ? span : t->spread_ms), dial, t);
}

static void lost(struct task *t)
{
	drop_link(t);
	t->failures = 0;
	retry(t, 0);
}

static void cut_all(void)
{
	struct task *t;

	swarm.cut_ms = clock_mono_ms();
	swarm.back_ms = xrealloc(swarm.back_ms, (swarm.links_up + 1) * sizeof *swarm.back_ms);
	swarm.n_back = swarm.links_cut = 0;
	DL_FOREACH(swarm.emu->tasks, t)
		if (t->up) {
			t->was_cut = true;
			swarm.links_cut++;
			lost(t);
		}
}

static void on_command(uv_poll_t *h, int status, int events)
{
	char line[64];
	ssize_t n = read(0, line, sizeof line);

	if (n <= 0)
		uv_poll_stop(h);
	else if (!strncmp(line, "cut\n", 4))
		cut_all();
}

/* ---- the link ------------------------------------------------------------------------------------- */

static void on_tick(uv_timer_t *h);

static void tick(struct task *t)
{
	uint64_t now = clock_mono_ms(), next = session_tick(t->session, now);

	uv_update_time(t->emu->loop);
	uv_timer_start(&t->tick, on_tick, next > now ? next - now : 1, 0);
}

static void on_tick(uv_timer_t *h)
{
	struct task *t = h->data;

	if (session_silent_ms(t->session, clock_mono_ms()) > SESSION_SILENCE_MS)
		lost(t);
	else
		tick(t);
}

static void on_open(void *ctx, struct wslink *link)
{
	struct task *t = ctx;
	struct hello h = {
		.container_id = xstrdup(t->container_id),
		.execution = xstrdup(t->execution),
		.agent_version = xstrdup("swarm"),
		.task_attempt = (uint32_t)t->attempt,
		.link_no = ++t->link_no,
		.window_in = STREAM_WINDOW_IN,
		.window_out = STREAM_WINDOW_OUT,
		.procs = xcalloc(1, sizeof(struct proc_row)),
		.n_procs = 1,
	};

	h.procs[0] = (struct proc_row){ .channel = MAIN_CHANNEL, .exec_id = xstrdup(""), .state = PROC_RUNNING,
					.pid = 1, .exit = { .started_ns = clock_wall_ns() } };
	t->current = t->pending;
	t->pending = NULL;
	session_hello(t->session, &h, clock_mono_ms());
	hello_release(&h);
	wslink_wake(t->current);
	tick(t);
}

static void on_message(void *ctx, struct wslink *link, const uint8_t *p, size_t n)
{
	struct task *t = ctx;
	uint32_t after_ms = 0;
	struct err err;
	int verdict;

	if (session_receive(t->session, p, n, clock_mono_ms(), &err) < 0) {
		log_error("the session broke", "execution=%s error=\"%s\"", t->execution, err.msg);
		lost(t);
		return;
	}
	if (!t->up && (verdict = session_verdict(t->session, &after_ms)) >= 0) {
		if (verdict != WELCOME_RESUMED && verdict != WELCOME_NEW) {
			drop_link(t);
			retry(t, after_ms);
			return;
		}
		t->up = true;
		t->failures = 0;
		t->spread_ms = after_ms ? after_ms : SPREAD_MS;
		swarm.links_up++;
		if (t->was_cut)
			note_back(t);
	}
	tick(t);
}

static int next(void *ctx, struct wslink *link, struct wslink_out *ret)
{
	struct task *t = ctx;
	struct frame_out f;

	if (!session_next_frame(t->session, &f, clock_mono_ms()))
		return 0;
	*ret = (struct wslink_out){ f.head, f.head_len, f.body, f.body_len };
	return 1;
}

static void on_close(void *ctx, struct wslink *link, int http_status, const char *reason)
{
	struct task *t = ctx;

	if (link == t->current) {
		t->current = NULL; /* it is gone by itself */
		lost(t);
		return;
	}
	t->pending = NULL;
	if (!(t->failures++ & 63))
		log_warn("cannot reach the gateway", "execution=%s status=%d reason=\"%s\"", t->execution, http_status, reason);
	retry(t, 0);
}

static const struct wslink_ops link_ops = { .on_open = on_open, .on_message = on_message, .next = next, .on_close = on_close };

static void dial(void *p)
{
	struct task *t = p;
	struct wslink_options opt = { .url = t->url, .subprotocol = TUNNEL_SUBPROTOCOL, .tls = swarm.tls, .timeout_ms = CONNECT_MS };
	struct err err;

	t->retry = NULL;
	strv_add(&opt.headers, t->authorization);
	t->pending = wslink_connect(t->emu->loop, &opt, &link_ops, t, &err);
	strv_release(&opt.headers);
	if (!t->pending) {
		log_error("cannot dial", "error=\"%s\"", err.msg);
		t->failures++;
		retry(t, 0);
	}
}

/* ---- the session: a main process that says and takes nothing ----------------------------------------- */

static size_t on_data(void *ctx, struct stream *st, const uint8_t *p, size_t n) { return n; }
static void on_fin(void *ctx, struct stream *st) { }
static void on_reset(void *ctx, struct stream *st, uint32_t code) { }
static void on_writable(void *ctx, struct stream *st) { }
static void on_control(void *ctx, const struct control *c) { }

static void on_wake(void *ctx)
{
	struct task *t = ctx;

	if (t->current)
		wslink_wake(t->current);
}

static const struct session_ops session_ops = {
	.on_data = on_data, .on_fin = on_fin, .on_reset = on_reset, .on_writable = on_writable,
	.on_control = on_control, .on_wake = on_wake,
};

/* ---- task.h ----------------------------------------------------------------------------------------- */

static void swarm_start(struct emulator *emu)
{
	const char *ca = getenv("SWARM_CA");
	struct err err;

	swarm.emu = emu;
	uv_poll_init(emu->loop, &swarm.commands, 0);
	uv_poll_start(&swarm.commands, UV_READABLE, on_command);
	if (ca && !(swarm.tls = tls_client_new(ca, &err)))
		log_error("no TLS", "error=\"%s\"", err.msg);
}

static void announce_real(const json_t *container)
{
	const json_t *list = json_object_get(container, "env"), *pair;
	json_t *env = json_object(), *line = json_pack("{s:o}", "real", env);
	size_t i;

	json_array_foreach(list, i, pair)
		json_object_set(env, json_string_value(json_object_get(pair, "name")), json_object_get(pair, "value"));
	json_dumpf(line, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(line);
}

static void begin(void *p)
{
	struct task *t = p;

	t->retry = NULL;
	t->cb(t->ctx, TASK_HAS_IMAGES, NULL);
	t->cb(t->ctx, TASK_STARTED, NULL);
	if (!t->real)
		dial(t);
}

struct task *task_start(struct emulator *emu, const struct task_spec *spec, task_cb *cb, void *ctx)
{
	const json_t *container = json_array_get(json_object_get(spec->template, "containers"), 0);
	const char *url = variable(container, "SOCKERLESS_AGENT_CALLBACK_URL");
	const char *token = variable(container, "SOCKERLESS_AGENT_TOKEN");
	const char *id = variable(container, "SOCKERLESS_CONTAINER_ID");
	struct task *t = xcalloc(1, sizeof *t);
	uint8_t boot_id[BOOT_ID_LEN];

	t->real = !swarm.emu;
	if (!swarm.emu)
		swarm_start(emu);
	t->emu = emu;
	t->cb = cb;
	t->ctx = ctx;
	t->execution = xstrdup(spec->execution);
	t->attempt = spec->attempt;
	t->url = xstrdup(url ? url : "");
	t->container_id = xstrdup(id ? id : "");
	t->authorization = xasprintf("Authorization: Bearer %s", token ? token : "");
	t->spread_ms = SPREAD_MS;
	random_bytes(boot_id, sizeof boot_id);
	t->session = session_new(SESSION_AGENT, boot_id, &session_ops, t);
	session_open(t->session, 2 * MAIN_CHANNEL + 1, 0, STREAM_WINDOW_OUT);
	uv_timer_init(emu->loop, &t->tick);
	t->tick.data = t;
	DL_APPEND(emu->tasks, t);
	if (t->real)
		announce_real(container);
	t->retry = timer_start(emu->loop, 0, begin, t);
	return t;
}

static void freed(uv_handle_t *h)
{
	struct task *t = h->data;

	session_free(t->session);
	free(t->execution);
	free(t->url);
	free(t->container_id);
	free(t->authorization);
	free(t);
}

static void end(void *p)
{
	struct task *t = p;
	struct task_result result = { .outcome = TASK_CANCELLED, .code = RPC_CANCELLED, .message = "The execution was cancelled." };

	t->retry = NULL;
	if (t->current)
		drop_link(t);
	wslink_close(t->pending);
	t->cb(t->ctx, TASK_DONE, &result);
	DL_DELETE(t->emu->tasks, t);
	uv_close((uv_handle_t *)&t->tick, freed);
}

void task_cancel(struct task *t, uint64_t grace_ms)
{
	if (t->cancelled)
		return;
	t->cancelled = true;
	timer_cancel(&t->retry);
	t->retry = timer_start(t->emu->loop, 0, end, t);
}

void tasks_stop_all(struct emulator *emu, uint64_t grace_ms)
{
	struct task *t;

	DL_FOREACH(emu->tasks, t)
		task_cancel(t, grace_ms);
}

json_t *tasks_show(struct emulator *emu)
{
	return json_pack("{s:I}", "links_up", (json_int_t)swarm.links_up);
}
