/* tool_stats - what the container uses, as JSON: one line, or one every second until stdin ends. Each part
 * is taken from its cgroup where one is in sight (cgroup.h), else added up from /proc: Cloud Run's first
 * generation has no cgroups. docs/agent.md has the keys. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cgroup.h"
#include "tool.h"
#include "walk.h"

#define INTERVAL_MS 1000
#define NS_PER_S 1000000000ull

/* The container's processes added up; the agent's dead children are the container's dead processes. */
struct sums { uint64_t user_ticks, system_ticks, rss, threads; };

static struct sums add_up(pid_t agent)
{
	struct sums s = {0};
	struct tasks tasks;
	struct task a;

	if (walk_task(agent, &a) == 0) {
		s.user_ticks = a.cutime;
		s.system_ticks = a.cstime;
	}
	if (walk_tasks(agent, &tasks, NULL) < 0)
		return s;
	for (size_t i = 0; i < tasks.n; i++) {
		const struct task *t = &tasks.v[i];

		s.user_ticks += t->utime + t->cutime;
		s.system_ticks += t->stime + t->cstime;
		s.rss += t->rss * (uint64_t)sysconf(_SC_PAGESIZE);
		s.threads += (uint64_t)(t->threads > 0 ? t->threads : 1);
	}
	tasks_release(&tasks);
	return s;
}

static uint64_t ticks_ns(uint64_t ticks)
{
	return ticks * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
}

static void set(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v));
}

/* ---- cpu ---------------------------------------------------------------------------------------- */

/* What all processors have spent since the start, idle or not: dockerd's system_cpu_usage. */
static uint64_t machine_ns(long online)
{
	AUTO_FREE char *text = tool_read_file("/proc/stat");
	uint64_t v[7] = {0}, sum = 0;

	if (text)
		sscanf(text, "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
		       &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6]);
	for (int i = 0; i < 7; i++)
		sum += v[i];
	return sum ? ticks_ns(sum) : clock_mono_ms() * 1000000 * (uint64_t)online;
}

static json_t *cpu(const struct cgroups *g, const struct sums *s)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	struct cgroup_cpu c = {.user_ns = ticks_ns(s->user_ticks), .system_ns = ticks_ns(s->system_ticks)};
	json_t *o = json_object();

	c.usage_ns = c.user_ns + c.system_ns;
	cgroup_cpu(g, &c);
	set(o, "usage_ns", c.usage_ns);
	set(o, "user_ns", c.user_ns);
	set(o, "system_ns", c.system_ns);
	set(o, "periods", c.periods);
	set(o, "throttled_periods", c.throttled_periods);
	set(o, "throttled_ns", c.throttled_ns);
	set(o, "online", (uint64_t)(online > 0 ? online : 1));
	set(o, "system_ns_total", machine_ns(online > 0 ? online : 1));
	return o;
}

/* ---- memory and pids ---------------------------------------------------------------------------- */

static uint64_t machine_memory(void)
{
	AUTO_FREE char *text = tool_read_file("/proc/meminfo");
	const char *at = text ? strstr(text, "MemTotal:") : NULL;

	return at ? strtoull(at + strlen("MemTotal:"), NULL, 10) * 1024 : 0;
}

static json_t *memory(const struct cgroups *g, const struct sums *s)
{
	uint64_t all = machine_memory();
	struct cgroup_memory m = {.usage = s->rss, .limit = all};
	json_t *o = json_object(), *figures = json_object();

	cgroup_memory(g, &m, figures);
	if (json_object_size(figures) == 0)
		set(figures, "rss", s->rss);
	set(o, "usage", m.usage);
	set(o, "limit", all && m.limit > all ? all : m.limit); /* "no limit" is the machine's */
	set(o, "max_usage", m.max_usage);
	set(o, "failcnt", m.failcnt);
	json_object_set_new(o, "stats", figures);
	return o;
}

static json_t *pids(const struct cgroups *g, const struct sums *s)
{
	uint64_t current = s->threads, limit = 0;
	json_t *o = json_object();

	cgroup_pids(g, &current, &limit);
	set(o, "current", current);
	set(o, "limit", limit);
	return o;
}

/* ---- networks ----------------------------------------------------------------------------------- */

/* "  eth0: bytes packets errs drop fifo frame compressed multicast | the same, sent" */
static json_t *networks(void)
{
	static const char *const keys[] = {"rx_bytes", "rx_packets", "rx_errors", "rx_dropped",
					   "tx_bytes", "tx_packets", "tx_errors", "tx_dropped"};
	AUTO_FREE char *text = tool_read_file("/proc/net/dev");
	json_t *all = json_object();
	char *rest = text, *line;

	while ((line = strsep(&rest, "\n"))) {
		char *name = line + strspn(line, " "), *colon = strchr(name, ':');
		uint64_t v[8];
		json_t *o;

		if (!colon || sscanf(colon + 1, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %*u %*u %*u %*u %" SCNu64
				     " %" SCNu64 " %" SCNu64 " %" SCNu64, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6],
				     &v[7]) != 8)
			continue;
		*colon = '\0';
		if (strcmp(name, "lo") == 0)
			continue;
		o = json_object();
		for (size_t i = 0; i < 8; i++)
			set(o, keys[i], v[i]);
		json_object_set_new(all, name, o);
	}
	return all;
}

/* ---- the tool ----------------------------------------------------------------------------------- */

static int one_line(const struct cgroups *g)
{
	struct sums s = add_up(getppid());

	return tool_write_json(json_pack("{s:I, s:o, s:o, s:o, s:o, s:o}", "read_ns", (json_int_t)clock_wall_ns(), "cpu",
					 cpu(g, &s), "memory", memory(g, &s), "pids", pids(g, &s), "blkio",
					 cgroup_blkio(g), "networks", networks()));
}

/* Until then or the end of stdin: false. */
static bool wait_until(uint64_t when_ms)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	char ignored[512];

	for (;;) {
		uint64_t now = clock_mono_ms();

		if (now >= when_ms)
			return true;
		int rc = poll(&p, 1, (int)(when_ms - now));
		if (rc > 0 && read(STDIN_FILENO, ignored, sizeof(ignored)) <= 0)
			return false;
		if (rc < 0 && errno != EINTR)
			return false;
	}
}

int tool_stats(int argc, char *argv[])
{
	bool once = argc == 2 && strcmp(argv[1], "--once") == 0;
	uint64_t next_ms = clock_mono_ms();
	struct cgroups g;
	int rc;

	if (argc != 1 && !once)
		return tool_fail(TOOL_INVALID, "usage: stats [--once]");
	cgroups_find(&g);
	do {
		rc = one_line(&g);
		next_ms += INTERVAL_MS;
		if (next_ms < clock_mono_ms()) /* nobody read for a while */
			next_ms = clock_mono_ms() + INTERVAL_MS;
	} while (rc == TOOL_OK && !once && wait_until(next_ms));
	cgroups_release(&g);
	return rc;
}
