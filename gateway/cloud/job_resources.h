/* job_resources - how much of Cloud Run a container gets: CPU and memory come in pairs, a GPU brings its own
 * minimum. The smallest that holds what was asked for by --cpus, --memory (or --memory-reservation), the labels
 * run.sockerless.cpu, .memory and .gpu, and the sizes of its tmpfs mounts, which count as memory. Pure. */
#ifndef CLOUD_JOB_RESOURCES_H
#define CLOUD_JOB_RESOURCES_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"

struct config;
struct container;

#define SIDECAR_CPU 1
#define TASK_CPU_MAX 8 /* of all containers of a task together */

struct job_resources {
	int cpu;                  /* whole CPUs */
	int64_t memory_mib;
	const char *gpu;          /* the accelerator's name, or NULL; borrowed from config or container */
};

/* ERR_INVALID with Docker's sentence when that is beyond what Cloud Run has. */
int job_resources_pick(const struct config *cfg, const struct container *c, struct job_resources *ret, struct err *err);
/* {"cpu", "memory"[, "nvidia.com/gpu"]}; new reference. */
json_t *job_resources_limits(const struct job_resources *r);

#endif
