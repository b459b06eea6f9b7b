/* health - see health.h. A monitor per container with a check that runs; it waits for the next probe or for
 * the end of the present one. */
#include "health.h"

#include <assert.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

#include "agents/tunnel.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/container.h"
#include "state/events.h"
#include "state/exec.h"
#include "state/health.h"
#include "stdcopy.h"

#define NS_PER_MS 1000000

struct monitor {
	char id[ID_HEX_MAX];
	struct health_monitors *all;
	struct health_check check;
	struct timer *timer;            /* to the next probe, or the present one's deadline */

	/* The present probe. */
	struct tunnel *tunnel;          /* borrowed; NULL: none is running */
	char exec_id[ID_HEX_MAX];
	uint32_t channel;
	int64_t start_ns;
	struct stdcopy_filter filter;
	struct buf output;
	bool truncated;
	UT_hash_handle hh;
};

struct health_monitors {
	struct gateway *g;
	struct events_watch *watch;
	struct monitor *monitors;
	struct strv news;               /* containers of which an event told */
	struct timer *news_timer;
};

static void probe(void *ctx);

static struct container *container_of_monitor(const struct monitor *m)
{
	return containers_by_id(m->all->g->containers, m->id);
}

static void wait_for_next(struct monitor *m, const struct container *c)
{
	int64_t ns = health_pause_ns(&m->check, c->health, c->started_ns, clock_wall_ns());

	timer_cancel(&m->timer);
	m->timer = timer_start(m->all->g->loop, (uint64_t)(ns / NS_PER_MS), probe, m);
}

/* ---- a probe's end ------------------------------------------------------------------------------- */

static void forget_probe(struct monitor *m)
{
	m->tunnel = NULL;
	m->exec_id[0] = '\0';
	m->truncated = false;
	buf_release(&m->output);
}

/* Nobody waits for it any more. kill: nor shall it go on. */
static void leave_probe(struct monitor *m, bool kill)
{
	if (m->tunnel && kill)
		tunnel_signal(m->tunnel, m->channel, SIGKILL, NULL);
	if (m->tunnel)
		tunnel_exec_detach(m->tunnel, m->channel);
	forget_probe(m);
}

static void take_result(struct monitor *m, int exit_code, const char *output)
{
	struct container *c = container_of_monitor(m);
	struct health_result r = {
		.start_ns = m->start_ns, .end_ns = clock_wall_ns(), .exit_code = exit_code, .output = output,
	};
	struct err err;

	if (!c || c->state != CONTAINER_RUNNING || c->restarting || c->paused)
		return; /* its run is over, and so are we, soon */
	if (container_set_health(c, health_after(c->health, &m->check, &r, c->started_ns), &err) < 0)
		log_error("health cannot be stored", "container=%.12s error=\"%s\"", m->id, err.msg);
	wait_for_next(m, c);
}

/* What it printed, as a string; dockerd's dots when there was more. */
static char *output_of(struct monitor *m)
{
	AUTO_FREE char *text = xstrndup(m->output.len ? (char *)buf_head(&m->output) : "", m->output.len);

	return xasprintf("%s%s", text, m->truncated ? "..." : "");
}

static void too_late(void *ctx)
{
	struct monitor *m = ctx;
	struct container *c = container_of_monitor(m);
	bool away = !m->tunnel || !tunnel_is_up(m->tunnel);
	char limit[HEALTH_DURATION_MAX];
	AUTO_FREE char *printed = output_of(m), *text = NULL;

	m->timer = NULL;
	text = xasprintf("Health check exceeded timeout (%s)%s%s", health_duration(m->check.timeout_ns, limit),
			 *printed ? ": " : "", printed);
	leave_probe(m, true);
	if (!away)
		take_result(m, -1, text);
	else if (c)
		wait_for_next(m, c); /* it may have ended long ago, and we have not heard: no result */
}

static size_t on_output(void *ctx, const uint8_t *p, size_t n)
{
	struct monitor *m = ctx;
	size_t done = 0;

	while (done < n) {
		bool pass;
		size_t run = stdcopy_filter_next(&m->filter, p + done, n - done, &pass);
		size_t room = HEALTH_OUTPUT_MAX - m->output.len, part = run < room ? run : room;

		if (pass) {
			buf_append(&m->output, p + done, part);
			m->truncated = m->truncated || part < run;
		}
		stdcopy_filter_advance(&m->filter, p + done, run);
		done += run;
	}
	return n;
}

static void on_input_room(void *ctx)
{
}

static void on_end(void *ctx, int exit_code, const char *lost)
{
	struct monitor *m = ctx;
	struct exec *e = execs_find(m->all->g->execs, m->exec_id, NULL);
	AUTO_FREE char *error = e ? exec_start_error(e) : NULL, *output = output_of(m);
	struct container *c = container_of_monitor(m);

	timer_cancel(&m->timer);
	forget_probe(m);
	if (!lost)
		take_result(m, error ? -1 : exit_code, error ? error : output);
	else if (c)
		wait_for_next(m, c); /* the run is over, or the stream was lost: the container is told apart */
}

static const struct tunnel_sink sink = {.on_output = on_output, .on_input_room = on_input_room, .on_end = on_end};

/* ---- a probe's beginning ------------------------------------------------------------------------- */

static struct exec *probe_exec(struct monitor *m, struct container *c, struct err *err)
{
	struct exec spec = {.attach_stdout = true, .attach_stderr = true, .probe = true}, *e;

	strv_copy(&spec.argv, &m->check.argv);
	e = execs_add(m->all->g->execs, c, &spec, err);
	if (!e)
		strv_release(&spec.argv);
	return e;
}

/* One that took too long, or of a former gateway process, and still lives. */
static void end_old_probes(struct monitor *m, struct container *c)
{
	json_t *ids = execs_ids(m->all->g->execs, c->id), *id;
	size_t i;

	json_array_foreach(ids, i, id) {
		struct exec *e = execs_find(m->all->g->execs, json_string_value(id), NULL);

		if (e && e->probe && e->state == EXEC_STARTED)
			tunnel_signal(c->tunnel, e->channel, SIGKILL, NULL);
	}
	json_decref(ids);
}

static void probe(void *ctx)
{
	struct monitor *m = ctx;
	struct container *c = container_of_monitor(m);
	struct exec *e;
	struct err err;

	m->timer = NULL;
	if (!c)
		return;
	if (!c->tunnel || !tunnel_is_up(c->tunnel) || c->paused || container_check_process(c, NULL) < 0) {
		wait_for_next(m, c);
		return;
	}
	end_old_probes(m, c);
	m->start_ns = clock_wall_ns();
	if (m->check.argv.n == 0) {
		take_result(m, -1, "No exec command specified");
		return;
	}
	e = probe_exec(m, c, &err);
	if (!e) {
		take_result(m, -1, err.msg);
		return;
	}
	exec_emit(e, c, "exec_create");
	snprintf(m->exec_id, sizeof(m->exec_id), "%s", e->id);
	m->filter = (struct stdcopy_filter){.want_stdout = true, .want_stderr = true, .drop_headers = true};
	buf_init(&m->output, HEALTH_OUTPUT_MAX);
	if (tunnel_exec(c->tunnel, e, &sink, m, &err) < 0) {
		forget_probe(m);
		take_result(m, -1, err.msg);
		return;
	}
	m->tunnel = c->tunnel;
	m->channel = e->channel;
	exec_emit(e, c, "exec_start");
	m->timer = timer_start(m->all->g->loop, (uint64_t)(m->check.timeout_ns / NS_PER_MS), too_late, m);
}

/* ---- who is watched ------------------------------------------------------------------------------ */

static void monitor_free(struct monitor *m, bool kill)
{
	HASH_DEL(m->all->monitors, m);
	timer_cancel(&m->timer);
	leave_probe(m, kill);
	health_release(&m->check);
	free(m);
}

static bool is_to_be_watched(const struct container *c)
{
	return c && c->state == CONTAINER_RUNNING && !c->restarting && !c->paused && health_wanted(c->config);
}

static void monitor_begin(struct health_monitors *h, const struct container *c)
{
	struct monitor *m = xcalloc(1, sizeof(*m));

	snprintf(m->id, sizeof(m->id), "%s", c->id);
	m->all = h;
	if (!health_read(c->config, &m->check))
		assert(!"only what has a check is watched");
	HASH_ADD_STR(h->monitors, id, m);
	wait_for_next(m, c);
}

static void look_at(struct health_monitors *h, const char *id)
{
	struct container *c = containers_by_id(h->g->containers, id);
	struct monitor *m;

	HASH_FIND_STR(h->monitors, id, m);
	if (m)
		monitor_free(m, c && c->state == CONTAINER_RUNNING);
	if (is_to_be_watched(c))
		monitor_begin(h, c);
}

static void look(void *ctx)
{
	struct health_monitors *h = ctx;
	struct strv news = h->news;

	h->news_timer = NULL;
	h->news = (struct strv){0};
	for (size_t i = 0; i < news.n; i++)
		look_at(h, news.v[i]);
	strv_release(&news);
}

/* Told inside events_emit: only note it. */
static void on_event(void *ctx, json_t *event)
{
	static const char *const changes[] = {"start", "die", "pause", "unpause", "destroy"};
	struct health_monitors *h = ctx;
	const char *type = json_string_value(json_object_get(event, "Type"));
	const char *action = json_string_value(json_object_get(event, "Action"));
	const char *id = json_string_value(json_object_get(json_object_get(event, "Actor"), "ID"));

	if (!type || !action || !id || strcmp(type, "container") != 0)
		return;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		if (strcmp(action, changes[i]) == 0) {
			strv_add(&h->news, id);
			if (!h->news_timer)
				h->news_timer = timer_start(h->g->loop, 0, look, h);
			return;
		}
}

struct health_monitors *health_new(struct gateway *g)
{
	struct health_monitors *h = xcalloc(1, sizeof(*h));
	struct container **list = containers_list(g->containers);

	h->g = g;
	h->watch = events_watch(g->events, on_event, h);
	for (size_t i = 0; list[i]; i++)
		if (is_to_be_watched(list[i]))
			monitor_begin(h, list[i]);
	free(list);
	return h;
}

void health_free(struct health_monitors *h)
{
	struct monitor *m, *tmp;

	if (!h)
		return;
	events_unwatch(h->watch);
	timer_cancel(&h->news_timer);
	HASH_ITER(hh, h->monitors, m, tmp)
		monitor_free(m, false);
	strv_release(&h->news);
	free(h);
}
