/* metrics - the tunnels in numbers, as Prometheus reads them: what would have shown each of the faults that
 * tunnels are known for. Sums over all agents; which of them it is, sockerlessctl agents says. */
#include <dirent.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "agents/registry.h"
#include "agents/tunnel.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "base/buf.h"
#include "base/mem.h"
#include "gateway.h"
#include "state/exec.h"

#define METRICS_MAX (64 * 1024)

struct sums {
	size_t up, down, migrating, streams, replay, kept, queue, queue_most, processes, unacknowledged, abandoned;
	uint64_t discarded, hang_ups;
	uint64_t rtt_most_us, rtt_us, rtts, silent_most_ms, oldest_ms;
	struct session_stats all; /* what only grows */
};

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void add_tunnel(void *ctx, struct tunnel *t)
{
	struct sums *s = ctx;
	struct tunnel_info i;

	tunnel_info(t, &i);
	s->up += i.up;
	s->down += !i.up;
	s->migrating += i.migrating;
	s->streams += i.stats.streams;
	s->replay += i.stats.replay_bytes;
	s->kept += i.stats.kept_bytes;
	s->queue += i.queue;
	s->queue_most = most(s->queue_most, i.queue);
	s->processes += i.processes;
	s->unacknowledged += i.unacknowledged;
	s->abandoned += i.abandoned;
	s->discarded += i.discarded;
	s->hang_ups += i.hang_ups;
	s->rtt_most_us = most(s->rtt_most_us, i.stats.rtt_us);
	s->rtt_us += i.stats.rtt_us;
	s->rtts += i.stats.rtt_us > 0;
	s->silent_most_ms = most(s->silent_most_ms, i.silent_ms);
	s->oldest_ms = most(s->oldest_ms, i.stats.oldest_ms);
	s->all.bytes_in += i.stats.bytes_in;
	s->all.bytes_out += i.stats.bytes_out;
	s->all.resent_bytes += i.stats.resent_bytes;
	s->all.duplicate_bytes += i.stats.duplicate_bytes;
	s->all.links += i.stats.links;
	s->all.paused_ms += i.stats.paused_ms;
	s->all.down_ms += i.stats.down_ms;
}

static void gauge(struct buf *b, const char *name, const char *help, double value)
{
	buf_printf(b, "# HELP sockerless_%s %s\n# TYPE sockerless_%s gauge\nsockerless_%s %.15g\n", name, help, name, name,
		   value);
}

static void counter(struct buf *b, const char *name, const char *help, double value)
{
	buf_printf(b, "# HELP sockerless_%s %s\n# TYPE sockerless_%s counter\nsockerless_%s %.15g\n", name, help, name, name,
		   value);
}

static void family(struct buf *b, const char *name, const char *type, const char *help)
{
	buf_printf(b, "# HELP sockerless_%s %s\n# TYPE sockerless_%s %s\n", name, help, name, type);
}

static void show_now(struct buf *b, const struct sums *s, const struct registry_totals *t)
{
	family(b, "agents", "gauge", "agents by the state of their link");
	buf_printf(b, "sockerless_agents{state=\"up\"} %zu\nsockerless_agents{state=\"waiting\"} %zu\n"
		   "sockerless_agents{state=\"migrating\"} %zu\n", s->up, s->down, s->migrating);
	gauge(b, "streams", "streams open", (double)s->streams);
	gauge(b, "processes", "processes in the tables", (double)s->processes);
	gauge(b, "exits_unacknowledged", "processes that have ended and whose output is on its way", (double)s->unacknowledged);
	gauge(b, "terminals_abandoned", "of docker exec -t, whose client has gone", (double)s->abandoned);
	gauge(b, "replay_bytes", "sent or to be sent, and kept until the agent has delivered it", (double)s->replay);
	gauge(b, "kept_bytes", "received, and not yet taken by a client", (double)s->kept);
	gauge(b, "window_lent_bytes", "by which windows have grown", (double)t->budget.used);
	gauge(b, "window_budget_bytes", "by which they may grow, together", (double)t->budget.limit);
	gauge(b, "rtt_max_seconds", "the longest of the last round trips", (double)s->rtt_most_us / 1e6);
	gauge(b, "rtt_mean_seconds", "their mean", s->rtts ? (double)s->rtt_us / 1e6 / (double)s->rtts : 0);
	gauge(b, "queue_bytes", "in our kernel, ahead of whatever is sent now", (double)s->queue);
	gauge(b, "queue_max_bytes", "the most of one agent", (double)s->queue_most);
	gauge(b, "silent_max_seconds", "since an agent that is up was heard", (double)s->silent_most_ms / 1e3);
	gauge(b, "oldest_unacked_seconds", "since the stream moved that has waited longest", (double)s->oldest_ms / 1e3);
}

static size_t open_descriptors(void)
{
	struct stat st;
	size_t n = 0;
	DIR *dir;

	if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
		return (size_t)st.st_size; /* Linux 6.2 has counted them */
	dir = opendir("/proc/self/fd");
	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n > 3 ? n - 3 : 0; /* "." and "..", and the one we looked by */
}

static void show_process(struct buf *b, const struct gateway *g)
{
	struct rlimit limit = { 0 };
	size_t execs[EXEC_EXITED + 1];

	execs_count(g->execs, execs);
	family(b, "execs", "gauge", "records of docker exec by their state");
	buf_printf(b, "sockerless_execs{state=\"created\"} %zu\nsockerless_execs{state=\"started\"} %zu\n"
		   "sockerless_execs{state=\"exited\"} %zu\n", execs[EXEC_CREATED], execs[EXEC_STARTED], execs[EXEC_EXITED]);
	getrlimit(RLIMIT_NOFILE, &limit);
	gauge(b, "descriptors", "open", (double)open_descriptors());
	gauge(b, "descriptors_max", "that may be open", (double)limit.rlim_cur);
}

static void show_totals(struct buf *b, const struct sums *s, const struct registry_totals *t)
{
	const struct session_stats *all = &s->all;
	static const char *const causes[TAKEOVERS] = {
		[TAKEOVER_LINK] = "link", [TAKEOVER_RUN] = "run", [TAKEOVER_ATTEMPT] = "attempt",
		[TAKEOVER_SILENT] = "silent", [TAKEOVER_REFUSED] = "refused"};

	family(b, "stream_bytes_total", "counter", "payload, seen from the gateway");
	buf_printf(b, "sockerless_stream_bytes_total{direction=\"in\"} %" PRIu64 "\n"
		   "sockerless_stream_bytes_total{direction=\"out\"} %" PRIu64 "\n", all->bytes_in, all->bytes_out);
	counter(b, "resent_bytes_total", "sent again after a link was lost", (double)all->resent_bytes);
	counter(b, "duplicate_bytes_total", "received twice, and cut off", (double)all->duplicate_bytes);
	counter(b, "discarded_bytes_total", "output that had no client any more", (double)s->discarded);
	counter(b, "terminals_hung_up_total", "for having had no client", (double)s->hang_ups);
	counter(b, "paused_seconds_total", "streams stood still: full, or not taken", (double)all->paused_ms / 1e3);
	counter(b, "sessions_total", "agents met for the first time", (double)t->sessions);
	counter(b, "links_total", "handshakes completed", (double)all->links);
	counter(b, "resumes_total", "of these, on a session that went on",
		all->links > t->sessions ? (double)(all->links - t->sessions) : 0);
	counter(b, "down_seconds_total", "sessions were without a link", (double)all->down_ms / 1e3);
	counter(b, "window_refused_total", "windows that did not grow for want of memory", (double)t->budget.refused);
	counter(b, "hellos_refused_total", "agents told to come back, for their number", (double)t->hellos_refused);
	family(b, "takeovers_total", "counter", "an agent in place of another, or another link in place of one that was up");
	for (int i = 0; i < TAKEOVERS; i++)
		buf_printf(b, "sockerless_takeovers_total{cause=\"%s\"} %" PRIu64 "\n", causes[i], t->takeovers[i]);
}

void metrics_show(struct request *r)
{
	struct registry_totals totals;
	struct sums s = { 0 };
	AUTO_FREE char *text = NULL;
	struct buf b;

	registry_totals(r->g->registry, &totals);
	s.all = totals.past;
	s.discarded = totals.discarded;
	s.hang_ups = totals.hang_ups;
	registry_each(r->g->registry, add_tunnel, &s);
	buf_init(&b, METRICS_MAX);
	show_now(&b, &s, &totals);
	show_process(&b, r->g);
	show_totals(&b, &s, &totals);
	text = buf_detach(&b, NULL);
	reply_text(r, 200, text);
}
