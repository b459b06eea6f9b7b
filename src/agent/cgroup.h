/* cgroup - the figures of the control groups we are in, version 1 or 2, hierarchy by hierarchy. The machine's
 * root groups do not count: they would be everybody's figures. What is not in sight leaves the values as
 * they were. */
#ifndef AGENT_CGROUP_H
#define AGENT_CGROUP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum cgroup_kind { CGROUP_CPU, CGROUP_CPUACCT, CGROUP_MEMORY, CGROUP_PIDS, CGROUP_BLKIO, CGROUP_KINDS };

struct cgroups {
	char *dir[CGROUP_KINDS];    /* ours; NULL: not in sight */
	bool v2[CGROUP_KINDS];
};

struct cgroup_cpu { uint64_t usage_ns, user_ns, system_ns, periods, throttled_periods, throttled_ns; };
struct cgroup_memory { uint64_t usage, limit, max_usage, failcnt; };

void cgroups_find(struct cgroups *ret);
/* From a mountinfo and a cgroup file of /proc, as texts. */
void cgroups_find_in(const char *mountinfo, const char *membership, struct cgroups *ret);
void cgroups_release(struct cgroups *g);

void cgroup_cpu(const struct cgroups *g, struct cgroup_cpu *c);
/* stats: what memory.stat holds is added. */
void cgroup_memory(const struct cgroups *g, struct cgroup_memory *m, json_t *stats);
void cgroup_pids(const struct cgroups *g, uint64_t *current, uint64_t *limit); /* 0: no limit */
/* [{"major","minor","op":"read"|"write","bytes","ops"}], new reference */
json_t *cgroup_blkio(const struct cgroups *g);

#endif
