/* job_resources - see job_resources.h. Source of the numbers: Cloud Run's documentation of CPU, memory and GPU
 * limits for jobs. */
#include "cloud/job_resources.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "cloud/job_options.h"
#include "cloud/job_volumes.h"
#include "config.h"
#include "state/container.h"

#define MIB (1024LL * 1024)
#define NANO 1000000000LL
#define GPU_CPU_MIN 4
#define GPU_MEMORY_MIN_MIB 16384
#define N(a) (sizeof(a) / sizeof((a)[0]))

static const struct size {
	int cpu;
	int64_t min_mib, max_mib;
} sizes[] = {
	{1, 512, 4096}, {2, 512, 8192}, {4, 2048, 16384}, {6, 4096, 24576}, {8, 4096, 32768},
};

static int64_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* Docker has two ways to say it; 0 = did not. */
static int64_t asked_nano_cpus(const json_t *host)
{
	int64_t nano = number(host, "NanoCpus"), quota = number(host, "CpuQuota"), period = number(host, "CpuPeriod");

	if (nano > 0 || quota <= 0)
		return nano;
	if (quota > INT64_MAX / NANO) /* absurd; enough to be refused below */
		return INT64_MAX;
	return quota * NANO / (period > 0 ? period : 100000);
}

static int64_t wanted_nano_cpus(const struct config *cfg, const struct container *c)
{
	const char *label = job_label(c, JOB_CPU), *text = job_option(cfg, c, JOB_CPU);
	int64_t asked = asked_nano_cpus(c->host_config);

	if (text && (label || asked == 0))
		return job_parse_cpu(text) * (NANO / 1000);
	return asked;
}

static int64_t wanted_mib(const struct config *cfg, const struct container *c)
{
	const char *label = job_label(c, JOB_MEMORY), *text = job_option(cfg, c, JOB_MEMORY);
	int64_t bytes = number(c->host_config, "Memory");

	if (bytes <= 0)
		bytes = number(c->host_config, "MemoryReservation");
	if (text && (label || bytes <= 0) && parse_size(text, &bytes) < 0)
		bytes = 0;
	/* What is in a tmpfs takes from the container's memory; without a limit it comes on top of the smallest pair's. */
	if (job_volumes_memory(c) > 0)
		bytes = (bytes > 0 ? bytes : sizes[0].min_mib * MIB) + job_volumes_memory(c);
	return bytes > 0 ? (bytes - 1) / MIB + 1 : 0;
}

static const char *wanted_gpu(const struct config *cfg, const struct container *c)
{
	const char *label = job_label(c, JOB_GPU);

	if (label)
		return label;
	return json_array_size(json_object_get(c->host_config, "DeviceRequests")) ? job_option(cfg, c, JOB_GPU) : NULL;
}

static int64_t max(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

int job_resources_pick(const struct config *cfg, const struct container *c, struct job_resources *ret, struct err *err)
{
	bool sidecar = strcmp(cfg->agent_mode, "sidecar") == 0;
	int cpu_max = TASK_CPU_MAX - (sidecar ? SIDECAR_CPU : 0);
	int64_t mib = wanted_mib(cfg, c), nano = wanted_nano_cpus(cfg, c);
	const struct size *best = NULL, *last = NULL;

	ret->gpu = wanted_gpu(cfg, c);
	if (ret->gpu) {
		nano = max(nano, GPU_CPU_MIN * NANO);
		mib = max(mib, GPU_MEMORY_MIN_MIB);
	}
	for (size_t i = 0; i < N(sizes) && sizes[i].cpu <= cpu_max; i++) {
		last = &sizes[i];
		if (!best && last->cpu * NANO >= nano && last->max_mib >= mib)
			best = last;
	}
	if (!best && last->cpu * NANO < nano)
		return err_set(err, ERR_INVALID, "Range of CPUs is from 0.01 to %d.00, as Cloud Run has only %d CPUs available "
			       "for this container", last->cpu, last->cpu);
	if (!best)
		return err_set(err, ERR_INVALID, "memory limit of %lldMiB is above the %lldMiB that Cloud Run has available for "
			       "this container", (long long)mib, (long long)last->max_mib);
	ret->cpu = best->cpu;
	ret->memory_mib = max(mib, best->min_mib);
	return 0;
}

json_t *job_resources_limits(const struct job_resources *r)
{
	json_t *limits = json_object();

	json_object_set_new(limits, "cpu", json_sprintf("%d", r->cpu));
	json_object_set_new(limits, "memory", json_sprintf("%lldMi", (long long)r->memory_mib));
	if (r->gpu)
		json_object_set_new(limits, "nvidia.com/gpu", json_string("1"));
	return limits;
}
