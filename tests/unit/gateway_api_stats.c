/* docker stats: the agent's figures in Docker's shape. */
#include <criterion/criterion.h>
#include <string.h>

#include "api/stats_shape.h"

static json_t *sample(int n)
{
	return json_pack("{s:I, s:{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}, s:{s:i, s:I, s:i, s:i, s:{s:i}}, s:{s:i, s:i}, s:[{s:i, s:i, s:s, s:i, s:i}], "
			 "s:{s:{s:i}}}",
			 "read_ns", (json_int_t)n * 1000000000, "cpu", "usage_ns", 100 * n, "user_ns", 70 * n, "system_ns", 30 * n,
			 "periods", 1, "throttled_periods", 2, "throttled_ns", 3, "online", 2, "system_ns_total", 1000 * n, "memory",
			 "usage", 500, "limit", (json_int_t)4000, "max_usage", 0, "failcnt", 0, "stats", "inactive_file", 17, "pids",
			 "current", 4, "limit", 0, "blkio", "major", 8, "minor", 1, "op",
			 "read", "bytes", 4096, "ops", 2, "networks", "eth0", "rx_bytes", 5);
}

static json_int_t number(json_t *o, const char *a, const char *b, const char *c)
{
	o = json_object_get(json_object_get(o, a), b);
	return json_integer_value(c ? json_object_get(o, c) : o);
}

static json_int_t blkio(json_t *o, const char *list)
{
	json_t *row = json_array_get(json_object_get(json_object_get(o, "blkio_stats"), list), 0);

	cr_expect_str_eq(json_string_value(json_object_get(row, "op")), "read");
	return json_integer_value(json_object_get(row, "value"));
}

Test(stats, two_samples_make_a_difference)
{
	struct stats_subject s = {.id = "abc", .name = "x", .memory_limit = 1000, .version = 41};
	json_t *one = sample(1), *two = sample(2), *o = stats_shape(&s, two, one);

	cr_expect_str_eq(json_string_value(json_object_get(o, "name")), "/x");
	cr_expect_str_eq(json_string_value(json_object_get(o, "id")), "abc");
	cr_expect_str_eq(json_string_value(json_object_get(o, "preread")), "1970-01-01T00:00:01Z");
	cr_expect_eq(number(o, "cpu_stats", "cpu_usage", "total_usage"), 200);
	cr_expect_eq(number(o, "cpu_stats", "cpu_usage", "usage_in_kernelmode"), 60);
	cr_expect_eq(number(o, "precpu_stats", "cpu_usage", "total_usage"), 100);
	cr_expect_eq(number(o, "cpu_stats", "system_cpu_usage", NULL), 2000);
	cr_expect_eq(number(o, "precpu_stats", "system_cpu_usage", NULL), 1000);
	cr_expect_eq(number(o, "cpu_stats", "online_cpus", NULL), 2);
	cr_expect_eq(number(o, "cpu_stats", "throttling_data", "throttled_time"), 3);
	cr_expect_eq(number(o, "memory_stats", "usage", NULL), 500);
	cr_expect_eq(number(o, "memory_stats", "stats", "inactive_file"), 17);
	cr_expect_eq(number(o, "memory_stats", "limit", NULL), 1000, "Cloud Run's, not the machine's");
	cr_expect_null(json_object_get(json_object_get(o, "memory_stats"), "max_usage"));
	cr_expect_eq(number(o, "pids_stats", "current", NULL), 4);
	cr_expect_eq(number(o, "networks", "eth0", "rx_bytes"), 5);
	cr_expect_eq(blkio(o, "io_service_bytes_recursive"), 4096);
	cr_expect_eq(blkio(o, "io_serviced_recursive"), 2);
	cr_expect_null(json_object_get(o, "os_type"));
	json_decref(o);
	json_decref(one);
	json_decref(two);
}

Test(stats, the_first_sample_has_nothing_before_it)
{
	struct stats_subject s = {.id = "abc", .name = "x", .memory_limit = 9000, .version = 52};
	json_t *one = sample(1), *o = stats_shape(&s, one, NULL);

	cr_expect_str_eq(json_string_value(json_object_get(o, "preread")), "0001-01-01T00:00:00Z");
	cr_expect_eq(number(o, "precpu_stats", "cpu_usage", "total_usage"), 0);
	cr_expect_null(json_object_get(json_object_get(o, "precpu_stats"), "system_cpu_usage"));
	cr_expect_eq(number(o, "memory_stats", "limit", NULL), 4000, "the smaller one");
	cr_expect_str_eq(json_string_value(json_object_get(o, "os_type")), "linux");
	json_decref(o);
	json_decref(one);
}

Test(stats, a_stopped_container_has_dockerds_zeros)
{
	struct stats_subject s = {.id = "abc", .name = "x", .memory_limit = 9000, .version = 41};
	json_t *o = stats_shape(&s, NULL, NULL), *want = json_loads(
		"{\"read\":\"0001-01-01T00:00:00Z\",\"preread\":\"0001-01-01T00:00:00Z\",\"pids_stats\":{},\"blkio_stats\":{"
		"\"io_service_bytes_recursive\":null,\"io_serviced_recursive\":null,\"io_queue_recursive\":null,"
		"\"io_service_time_recursive\":null,\"io_wait_time_recursive\":null,\"io_merged_recursive\":null,"
		"\"io_time_recursive\":null,\"sectors_recursive\":null},\"num_procs\":0,\"storage_stats\":{},\"cpu_stats\":{"
		"\"cpu_usage\":{\"total_usage\":0,\"usage_in_kernelmode\":0,\"usage_in_usermode\":0},\"throttling_data\":{"
		"\"periods\":0,\"throttled_periods\":0,\"throttled_time\":0}},\"precpu_stats\":{\"cpu_usage\":{\"total_usage\":0,"
		"\"usage_in_kernelmode\":0,\"usage_in_usermode\":0},\"throttling_data\":{\"periods\":0,\"throttled_periods\":0,"
		"\"throttled_time\":0}},\"memory_stats\":{},\"name\":\"/x\",\"id\":\"abc\"}", 0, NULL);

	cr_expect(json_equal(o, want), "%s", json_dumps(o, 0));
	json_decref(o);
	json_decref(want);
}
