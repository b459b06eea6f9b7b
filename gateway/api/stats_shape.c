/* stats_shape - see stats_shape.h. */
#include "api/stats_shape.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "state/doc.h"

#define OS_TYPE_SINCE 52

static void copy_int(json_t *to, const char *as, json_t *from, const char *key)
{
	json_object_set_new(to, as, json_integer(doc_int(from, key)));
}

/* What is zero is left out, as Go's omitempty does. */
static void copy_some(json_t *to, const char *as, json_t *from, const char *key)
{
	if (doc_int(from, key) != 0)
		copy_int(to, as, from, key);
}

static json_t *cpu_of(json_t *sample)
{
	json_t *cpu = json_object_get(sample, "cpu"), *o = json_object(), *usage = json_object(), *throttling = json_object();

	copy_int(usage, "total_usage", cpu, "usage_ns");
	copy_int(usage, "usage_in_kernelmode", cpu, "system_ns");
	copy_int(usage, "usage_in_usermode", cpu, "user_ns");
	json_object_set_new(o, "cpu_usage", usage);
	copy_some(o, "system_cpu_usage", cpu, "system_ns_total");
	copy_some(o, "online_cpus", cpu, "online");
	copy_int(throttling, "periods", cpu, "periods");
	copy_int(throttling, "throttled_periods", cpu, "throttled_periods");
	copy_int(throttling, "throttled_time", cpu, "throttled_ns");
	json_object_set_new(o, "throttling_data", throttling);
	return o;
}

static json_t *memory_of(json_t *sample, int64_t given)
{
	json_t *memory = json_object_get(sample, "memory"), *o = json_object(), *figures = json_object_get(memory, "stats");
	int64_t limit = doc_int(memory, "limit");

	if (!memory)
		return o;
	copy_int(o, "usage", memory, "usage");
	copy_some(o, "max_usage", memory, "max_usage");
	json_object_set_new(o, "stats", json_is_object(figures) ? json_incref(figures) : json_object());
	copy_some(o, "failcnt", memory, "failcnt");
	json_object_set_new(o, "limit", json_integer(given > 0 && (given < limit || limit <= 0) ? given : limit));
	return o;
}

static json_t *pids_of(json_t *sample)
{
	json_t *pids = json_object_get(sample, "pids"), *o = json_object();

	copy_some(o, "current", pids, "current");
	copy_some(o, "limit", pids, "limit");
	return o;
}

/* {major, minor, op, value} of the tool's rows, which have bytes and operations. */
static json_t *blkio_rows(json_t *rows, const char *value)
{
	json_t *list = json_array(), *row;
	size_t i;

	json_array_foreach(rows, i, row)
		json_array_append_new(list, json_pack("{s:O?, s:O?, s:O?, s:O?}", "major", json_object_get(row, "major"), "minor",
						      json_object_get(row, "minor"), "op", json_object_get(row, "op"), "value",
						      json_object_get(row, value)));
	return list;
}

/* What the kernel does not say is an empty list. */
static json_t *blkio_of(json_t *sample)
{
	static const char *const lists[] = {
		"io_service_bytes_recursive", "io_serviced_recursive", "io_queue_recursive", "io_service_time_recursive",
		"io_wait_time_recursive", "io_merged_recursive", "io_time_recursive", "sectors_recursive",
	};
	json_t *rows = json_object_get(sample, "blkio"), *o = json_object();

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		json_object_set_new(o, lists[i], sample ? json_array() : json_null());
	if (sample) {
		json_object_set_new(o, lists[0], blkio_rows(rows, "bytes"));
		json_object_set_new(o, lists[1], blkio_rows(rows, "ops"));
	}
	return o;
}

static json_t *time_of(json_t *sample)
{
	char text[CLOCK_RFC3339_MAX];

	return json_string(clock_format(doc_int(sample, "read_ns"), 0, text));
}

json_t *stats_shape(const struct stats_subject *s, json_t *now, json_t *before)
{
	json_t *o = json_pack("{s:o, s:o, s:o, s:o, s:i, s:{}, s:o, s:o, s:o}", "read", time_of(now), "preread",
			      time_of(before), "pids_stats", pids_of(now), "blkio_stats", blkio_of(now), "num_procs", 0,
			      "storage_stats", "cpu_stats", cpu_of(now), "precpu_stats", cpu_of(before), "memory_stats",
			      memory_of(now, s->memory_limit));
	json_t *networks = json_object_get(now, "networks");
	AUTO_FREE char *name = xasprintf("/%s", s->name);

	json_object_set_new(o, "name", doc_text(name));
	json_object_set_new(o, "id", json_string(s->id));
	if (json_object_size(networks))
		json_object_set(o, "networks", networks);
	if (s->version >= OS_TYPE_SINCE)
		json_object_set_new(o, "os_type", json_string("linux"));
	return o;
}
