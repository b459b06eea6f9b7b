/* The job's body, field by field, in both modes. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"
#include "cloud/job_options.h"
#include "cloud/job_spec.h"
#include "config.h"
#include "state/container.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct config cfg;
static struct container c;

static void setup(void)
{
	cfg = (struct config){.agent_mode = (char *)"sidecar", .instance = (char *)"here", .agent_image = (char *)"h/agent:1",
			      .agent_path = (char *)"/baked/agent", .task_timeout_ms = 90500,
			      .callback_url = (char *)"http://g:9112"};
	c = (struct container){.id = ID, .name = (char *)"quirky", .created_ns = 1700000000000000000,
			       .image_ref = (char *)"h/x@sha256:1", .token = "secret-token"};
	c.config = json_pack("{s:[s], s:[s,s], s:[s], s:s}", "Entrypoint", "/e", "Cmd", "a b", "", "Env", "K=v",
			     "User", "1000:1000");
	c.host_config = json_object();
}

static void teardown(void)
{
	json_decref(c.config);
	json_decref(c.host_config);
}

static json_t *build(void)
{
	struct err err = {0};
	json_t *job = job_spec_build(&cfg, &c, NULL, &err);

	cr_assert(job != NULL, "%s", err.msg);
	return job;
}

static json_t *task(json_t *job)
{
	return json_object_get(json_object_get(job, "template"), "template");
}

static json_t *container_at(json_t *job, size_t i)
{
	return json_array_get(json_object_get(task(job), "containers"), i);
}

static const char *env_of(json_t *job, const char *name)
{
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(container_at(job, 0), "env"), i, v)
		if (strcmp(json_string_value(json_object_get(v, "name")), name) == 0)
			return json_string_value(json_object_get(v, "value"));
	return NULL;
}

/* All pieces, joined and decoded. */
static json_t *spec_of(json_t *job)
{
	AUTO_FREE char *all = xstrdup(env_of(job, "SOCKERLESS_AGENT_SPEC"));
	AUTO_FREE uint8_t *raw = NULL;
	char name[40];
	json_t *spec;
	size_t n;

	cr_assert(all && strlen(all) <= JOB_SPEC_PIECE_MAX);
	for (int i = 2;; i++) {
		const char *piece;
		char *longer;

		snprintf(name, sizeof(name), "SOCKERLESS_AGENT_SPEC_%d", i);
		piece = env_of(job, name);
		if (!piece)
			break;
		cr_assert(strlen(piece) <= JOB_SPEC_PIECE_MAX);
		longer = xasprintf("%s%s", all, piece);
		free(all);
		all = longer;
	}
	raw = base64_decode(all, &n);
	cr_assert(raw != NULL);
	spec = json_loadb((char *)raw, n, 0, NULL);
	cr_assert(json_is_object(spec));
	return spec;
}

static void expect_json(json_t *got, const char *want, const char *what)
{
	json_t *w = json_loads(want, JSON_DECODE_ANY, NULL);
	AUTO_FREE char *text = json_dumps(got, JSON_ENCODE_ANY | JSON_COMPACT);

	cr_assert(w != NULL, "test data: %s", want);
	cr_expect(json_equal(got, w), "%s is %s", what, text);
	json_decref(w);
}
#define EXPECT(object, key, want) expect_json(json_object_get(object, key), want, key)

TestSuite(job_spec, .init = setup, .fini = teardown);

Test(job_spec, the_job_has_no_name_and_says_whose_it_is)
{
	json_t *job = build(), *labels = json_object_get(job, "labels");

	cr_expect(!json_object_get(job, "name"));
	EXPECT(labels, "sockerless_managed", "\"true\"");
	EXPECT(labels, "sockerless_container_id", "\"0123456789ab\"");
	EXPECT(labels, "sockerless_backend", "\"cloudrun\"");
	EXPECT(labels, "sockerless_instance", "\"here\"");
	EXPECT(job, "annotations", "{\"sockerless_container_id\":\"" ID "\",\"sockerless_name\":\"quirky\","
	       "\"sockerless_created_at\":\"2023-11-14T22:13:20Z\"}");
	json_decref(job);
}

Test(job_spec, the_task_runs_once_and_never_again_by_itself)
{
	json_t *job = build(), *t = json_object_get(job, "template");

	EXPECT(t, "taskCount", "1");
	EXPECT(t, "parallelism", "1");
	EXPECT(task(job), "maxRetries", "0");
	EXPECT(task(job), "timeout", "\"91s\"");
	EXPECT(task(job), "executionEnvironment", "\"EXECUTION_ENVIRONMENT_GEN2\"");
	cr_expect(!json_object_get(task(job), "vpcAccess"));
	cr_expect(!json_object_get(task(job), "serviceAccount"));
	EXPECT(task(job), "volumes",
	       "[{\"name\":\"sockerless\",\"emptyDir\":{\"medium\":\"MEMORY\",\"sizeLimit\":\"64Mi\"}}]");
	json_decref(job);
}

Test(job_spec, connector_and_service_account_only_when_set)
{
	json_t *job;

	cfg.vpc_connector = (char *)"conn";
	cfg.service_account = (char *)"a@b";
	job = build();
	EXPECT(task(job), "vpcAccess", "{\"connector\":\"conn\",\"egress\":\"ALL_TRAFFIC\"}");
	EXPECT(task(job), "serviceAccount", "\"a@b\"");
	json_decref(job);
}

Test(job_spec, main_runs_the_agent_with_the_original_argv)
{
	json_t *job = build(), *m = container_at(job, 0);

	EXPECT(m, "name", "\"main\"");
	EXPECT(m, "image", "\"h/x@sha256:1\"");
	EXPECT(m, "command", "[\"/sockerless/sockerless-agent\"]");
	EXPECT(m, "args", "[\"run\",\"--\",\"/e\",\"a b\",\"\"]");
	EXPECT(m, "dependsOn", "[\"sockerless-agent\"]");
	EXPECT(m, "volumeMounts", "[{\"name\":\"sockerless\",\"mountPath\":\"/sockerless\"}]");
	EXPECT(m, "resources", "{\"limits\":{\"cpu\":\"1\",\"memory\":\"512Mi\"}}");
	cr_expect(!json_object_get(m, "workingDir"));
	json_decref(job);
}

Test(job_spec, the_sidecar_installs_the_agent_and_opens_a_port)
{
	json_t *job = build();

	cr_assert(json_array_size(json_object_get(task(job), "containers")) == 2);
	expect_json(container_at(job, 1), "{\"name\":\"sockerless-agent\",\"image\":\"h/agent:1\","
		"\"command\":[\"/sockerless-agent\"],\"args\":[\"install\",\"/sockerless\"],"
		"\"volumeMounts\":[{\"name\":\"sockerless\",\"mountPath\":\"/sockerless\"}],"
		"\"resources\":{\"limits\":{\"cpu\":\"1\",\"memory\":\"512Mi\"}},"
		"\"startupProbe\":{\"tcpSocket\":{\"port\":9112},\"periodSeconds\":2,\"timeoutSeconds\":1,"
		"\"failureThreshold\":60}}", "sidecar");
	json_decref(job);
}

Test(job_spec, baked_mode_is_one_container_and_nothing_else)
{
	json_t *job;

	cfg.agent_mode = (char *)"baked";
	job = build();
	cr_expect(json_array_size(json_object_get(task(job), "containers")) == 1);
	EXPECT(container_at(job, 0), "command", "[\"/baked/agent\"]");
	cr_expect(!json_object_get(container_at(job, 0), "dependsOn"));
	cr_expect(!json_object_get(container_at(job, 0), "volumeMounts"));
	cr_expect(!json_object_get(task(job), "volumes"));
	cr_expect_str_eq(env_of(job, "SOCKERLESS_SIDECAR_PORT"), "0");
	json_decref(job);
}

Test(job_spec, overlay_mode_is_one_container_with_the_agent_where_a_sidecar_would_put_it)
{
	json_t *job;

	cfg.agent_mode = (char *)"overlay";
	c.overlay_ref = (char *)"h/overlays@sha256:2";
	job = build();
	c.overlay_ref = NULL;
	cr_expect(json_array_size(json_object_get(task(job), "containers")) == 1);
	EXPECT(container_at(job, 0), "image", "\"h/overlays@sha256:2\"");
	EXPECT(container_at(job, 0), "command", "[\"/sockerless/sockerless-agent\"]");
	cr_expect(!json_object_get(container_at(job, 0), "dependsOn"));
	cr_expect(!json_object_get(container_at(job, 0), "volumeMounts"));
	cr_expect(!json_object_get(task(job), "volumes"));
	cr_expect_str_eq(env_of(job, "SOCKERLESS_SIDECAR_PORT"), "0");
	json_decref(job);
}

Test(job_spec, the_token_is_in_the_environment_only)
{
	json_t *job = build(), *m;
	AUTO_FREE char *args = NULL, *url = NULL;

	cr_expect_str_eq(env_of(job, "SOCKERLESS_AGENT_TOKEN"), "secret-token");
	cr_expect_str_eq(env_of(job, "SOCKERLESS_CONTAINER_ID"), ID);
	m = container_at(job, 0);
	args = json_dumps(json_object_get(m, "args"), 0);
	url = xstrdup(env_of(job, "SOCKERLESS_AGENT_CALLBACK_URL"));
	cr_expect(!strstr(args, "secret-token") && !strstr(url, "secret-token"));
	json_object_del(m, "env");
	free(args);
	args = json_dumps(job, 0);
	cr_expect(!strstr(args, "secret-token"));
	json_decref(job);
}

Test(job_spec, callback_url_gets_our_path_or_keeps_its_own)
{
	static const char *const table[][2] = {
		{"http://g:9112", "http://g:9112/internal/v1/agent/connect?id=" ID},
		{"wss://g.example/v1/cloudrun/reverse", "wss://g.example/v1/cloudrun/reverse?id=" ID},
	};
	json_t *job;

	for (size_t i = 0; i < 2; i++) {
		AUTO_FREE char *url = NULL;

		cfg.callback_url = (char *)table[i][0];
		url = job_spec_callback_url(&cfg, ID);
		cr_expect_str_eq(url, table[i][1]);
	}
	cfg.callback_url = NULL;
	job = build();
	cr_expect(!env_of(job, "SOCKERLESS_AGENT_CALLBACK_URL"));
	cr_expect(!env_of(job, "SOCKERLESS_AGENT_LISTEN"));
	json_decref(job);
}

Test(job_spec, an_agent_that_could_be_dialled_listens)
{
	json_t *job;

	cfg.agent_address = (char *)"10.0.0.1:9111";
	job = build();
	cr_expect_str_eq(env_of(job, "SOCKERLESS_AGENT_LISTEN"), ":9111");
	json_decref(job);
}

Test(job_spec, the_specification_of_a_plain_container)
{
	json_t *job = build(), *spec = spec_of(job);

	expect_json(spec, "{\"tty\":false,\"openStdin\":false,\"stdinOnce\":false,\"user\":\"1000:1000\","
		"\"lingerMs\":60000,\"proofs\":true,\"env\":["
		"\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\","
		"\"HOSTNAME=0123456789ab\",\"K=v\"]}", "spec");
	json_decref(spec);
	json_decref(job);
}

Test(job_spec, the_specification_of_a_terminal)
{
	json_t *job, *spec;

	c.tty = c.open_stdin = c.stdin_once = true;
	json_object_set_new(c.config, "Hostname", json_string("box"));
	json_object_set_new(c.config, "WorkingDir", json_string("/w"));
	json_object_set_new(c.config, "StopSignal", json_string("SIGINT"));
	json_object_set_new(c.config, "User", json_string(""));
	json_object_set_new(c.host_config, "ConsoleSize", json_pack("[i,i]", 24, 80));
	job = build();
	spec = spec_of(job);
	expect_json(spec, "{\"tty\":true,\"openStdin\":true,\"stdinOnce\":true,\"workdir\":\"/w\",\"rows\":24,"
		"\"cols\":80,\"stopSignal\":\"SIGINT\",\"lingerMs\":60000,\"proofs\":true,\"hostname\":\"box\",\"env\":["
		"\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\",\"HOSTNAME=box\","
		"\"TERM=xterm\",\"K=v\"]}", "spec");
	json_decref(spec);
	json_decref(job);
}

Test(job_spec, the_users_environment_overrides_and_removes_the_defaults)
{
	json_t *job, *spec;

	c.tty = true;
	json_object_set_new(c.config, "Env", json_pack("[s,s,s,s]", "PATH=/p", "TERM", "E=", "HOSTNAME=h=h"));
	job = build();
	spec = spec_of(job);
	EXPECT(spec, "env", "[\"PATH=/p\",\"HOSTNAME=h=h\",\"E=\"]");
	json_decref(spec);
	json_decref(job);
}

Test(job_spec, too_many_arguments_go_into_the_specification)
{
	json_t *cmd = json_array(), *job, *spec;

	for (int i = 0; i < 998; i++) /* with /e, run and --: 1001 */
		json_array_append_new(cmd, json_string("x"));
	json_object_set_new(c.config, "Cmd", cmd);
	job = build();
	EXPECT(container_at(job, 0), "args", "[\"run\"]");
	spec = spec_of(job);
	cr_expect(json_array_size(json_object_get(spec, "argv")) == 999);
	json_decref(spec);
	json_decref(job);

	json_array_remove(cmd, 0);
	job = build();
	cr_expect(json_array_size(json_object_get(container_at(job, 0), "args")) == 1000);
	json_decref(job);
}

Test(job_spec, a_long_specification_comes_in_pieces)
{
	AUTO_FREE char *big = xmalloc(100001);
	json_t *job, *spec;

	memset(big, 'x', 100000);
	memcpy(big, "BIG=", 4);
	big[100000] = '\0';
	json_object_set_new(c.config, "Env", json_pack("[s]", big));
	json_object_set_new(c.config, "Cmd", json_pack("[s]", big));
	job = build();
	cr_expect(env_of(job, "SOCKERLESS_AGENT_SPEC_2") != NULL);
	cr_expect(env_of(job, "SOCKERLESS_AGENT_SPEC_9") != NULL);
	spec = spec_of(job);
	cr_expect_str_eq(json_string_value(json_array_get(json_object_get(spec, "argv"), 1)), big);
	cr_expect_str_eq(json_string_value(json_array_get(json_object_get(spec, "env"), 2)), big);
	json_decref(spec);
	json_decref(job);
}

Test(job_spec, a_specification_beyond_all_pieces_is_refused)
{
	size_t n = 2 * 1024 * 1024;
	AUTO_FREE char *big = xmalloc(n + 1);
	struct err err = {0};

	memset(big, 'x', n);
	big[n] = '\0';
	json_object_set_new(c.config, "Cmd", json_pack("[s]", big));
	cr_expect(job_spec_build(&cfg, &c, NULL, &err) == NULL);
	cr_expect(err.kind == ERR_INVALID);
}

Test(job_spec, cpu_and_memory_become_the_smallest_pair_that_holds_them)
{
	static const struct {
		const char *mode, *host_config, *limits; /* NULL: refused */
	} table[] = {
		{"sidecar", "{\"NanoCpus\":0,\"Memory\":0}", "{\"cpu\":\"1\",\"memory\":\"512Mi\"}"},
		{"sidecar", "{\"NanoCpus\":500000000}", "{\"cpu\":\"1\",\"memory\":\"512Mi\"}"},
		{"sidecar", "{\"NanoCpus\":1500000000}", "{\"cpu\":\"2\",\"memory\":\"512Mi\"}"},
		{"sidecar", "{\"NanoCpus\":3000000000}", "{\"cpu\":\"4\",\"memory\":\"2048Mi\"}"},
		{"sidecar", "{\"CpuQuota\":200000,\"CpuPeriod\":100000}", "{\"cpu\":\"2\",\"memory\":\"512Mi\"}"},
		{"sidecar", "{\"CpuQuota\":50000}", "{\"cpu\":\"1\",\"memory\":\"512Mi\"}"},
		{"sidecar", "{\"Memory\":6291456}", "{\"cpu\":\"1\",\"memory\":\"512Mi\"}"},
		{"sidecar", "{\"Memory\":1073741825}", "{\"cpu\":\"1\",\"memory\":\"1025Mi\"}"},
		{"sidecar", "{\"Memory\":4294967296}", "{\"cpu\":\"1\",\"memory\":\"4096Mi\"}"},
		{"sidecar", "{\"Memory\":4294967297}", "{\"cpu\":\"2\",\"memory\":\"4097Mi\"}"},
		{"sidecar", "{\"Memory\":25769803776}", "{\"cpu\":\"6\",\"memory\":\"24576Mi\"}"},
		{"sidecar", "{\"Memory\":25769803777}", NULL},
		{"sidecar", "{\"NanoCpus\":7000000000}", NULL},
		{"sidecar", "{\"CpuQuota\":9223372036854775807}", NULL},
		{"baked", "{\"NanoCpus\":7000000000}", "{\"cpu\":\"8\",\"memory\":\"4096Mi\"}"},
		{"baked", "{\"Memory\":34359738368}", "{\"cpu\":\"8\",\"memory\":\"32768Mi\"}"},
		{"baked", "{\"NanoCpus\":9000000000}", NULL},
		{"overlay", "{\"NanoCpus\":8000000000,\"Memory\":34359738368}", "{\"cpu\":\"8\",\"memory\":\"32768Mi\"}"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct err err = {0};
		json_t *job;

		cfg.agent_mode = (char *)table[i].mode;
		json_decref(c.host_config);
		c.host_config = json_loads(table[i].host_config, 0, NULL);
		job = job_spec_build(&cfg, &c, NULL, &err);
		if (table[i].limits) {
			cr_assert(job != NULL, "%s: %s", table[i].host_config, err.msg);
			expect_json(json_object_get(json_object_get(container_at(job, 0), "resources"), "limits"),
				    table[i].limits, table[i].host_config);
		} else {
			cr_expect(!job && err.kind == ERR_INVALID, "%s was accepted", table[i].host_config);
		}
		json_decref(job);
	}
}

Test(job_spec, main_is_held_and_the_agent_stays_when_told, .init = setup, .fini = teardown)
{
	json_t *job = build(), *spec = spec_of(job);

	cr_expect_null(json_object_get(spec, "hold"));
	cr_expect_null(json_object_get(spec, "stayMs"));
	json_decref(spec);
	json_decref(job);
	cfg.exit_stay_ms = 15000;
	c.hold = true;
	job = build();
	spec = spec_of(job);
	cr_expect(json_is_true(json_object_get(spec, "hold")));
	cr_expect_eq(json_integer_value(json_object_get(spec, "stayMs")), 15000);
	json_decref(spec);
	json_decref(job);
	c.auto_remove = true;
	job = build();
	spec = spec_of(job);
	cr_expect_null(json_object_get(spec, "stayMs"));
	json_decref(spec);
	json_decref(job);
}

/* ---- labels and settings ---- */

static void label(const char *key, const char *value)
{
	json_t *labels = json_object_get(c.config, "Labels");

	if (!labels) {
		labels = json_object();
		json_object_set_new(c.config, "Labels", labels);
	}
	json_object_set_new(labels, key, json_string(value));
}

Test(job_spec, labels_win_over_flags_and_settings)
{
	json_t *job, *m;

	cfg.service_account = (char *)"all@x";
	cfg.vpc_connector = (char *)"conn";
	cfg.default_cpu = (char *)"2";
	json_object_set_new(c.host_config, "Memory", json_integer(1 << 30));
	label("run.sockerless.cpu", "3.5");
	label("run.sockerless.memory", "6g");
	label("run.sockerless.timeout", "168h");
	label("run.sockerless.service-account", "one@x");
	label("run.sockerless.network", "net");
	label("run.sockerless.subnetwork", "sub");
	label("run.sockerless.network-tags", "a,b");
	label("run.sockerless.vpc-egress", "private-ranges-only");
	label("run.sockerless.execution-environment", "default");
	job = build();
	m = container_at(job, 0);
	EXPECT(m, "resources", "{\"limits\":{\"cpu\":\"4\",\"memory\":\"6144Mi\"}}");
	EXPECT(task(job), "timeout", "\"604800s\"");
	EXPECT(task(job), "serviceAccount", "\"one@x\"");
	EXPECT(task(job), "vpcAccess", "{\"networkInterfaces\":[{\"network\":\"net\",\"subnetwork\":\"sub\",\"tags\":[\"a\",\"b\"]}],"
	       "\"egress\":\"PRIVATE_RANGES_ONLY\"}");
	cr_expect(!json_object_get(task(job), "executionEnvironment"));
	json_decref(job);
}

Test(job_spec, settings_are_for_those_who_ask_for_nothing)
{
	json_t *job;

	cfg.default_cpu = (char *)"2";
	cfg.default_memory = (char *)"3g";
	cfg.network = (char *)"net";
	job = build();
	EXPECT(container_at(job, 0), "resources", "{\"limits\":{\"cpu\":\"2\",\"memory\":\"3072Mi\"}}");
	EXPECT(task(job), "vpcAccess", "{\"networkInterfaces\":[{\"network\":\"net\"}],\"egress\":\"ALL_TRAFFIC\"}");
	json_decref(job);
	json_object_set_new(c.host_config, "NanoCpus", json_integer(500000000));
	json_object_set_new(c.host_config, "MemoryReservation", json_integer(1 << 30));
	job = build();
	EXPECT(container_at(job, 0), "resources", "{\"limits\":{\"cpu\":\"1\",\"memory\":\"1024Mi\"}}");
	json_decref(job);
}

Test(job_spec, a_gpu_brings_its_minimum)
{
	json_t *job;

	cfg.gpu = (char *)"nvidia-l4";
	cfg.task_timeout_ms = 24 * 3600 * 1000LL;
	json_object_set_new(c.host_config, "DeviceRequests", json_pack("[{s:i}]", "Count", -1));
	job = build();
	EXPECT(container_at(job, 0), "resources", "{\"limits\":{\"cpu\":\"4\",\"memory\":\"16384Mi\",\"nvidia.com/gpu\":\"1\"}}");
	EXPECT(task(job), "nodeSelector", "{\"accelerator\":\"nvidia-l4\"}");
	EXPECT(task(job), "timeout", "\"3600s\"");
	json_decref(job);
}

Test(job_spec, tmpfs_counts_as_memory)
{
	json_t *job;

	c.mounts = json_pack("[{s:s, s:s, s:i}]", "type", "tmpfs", "target", "/t", "size", 100 << 20);
	job = build();
	EXPECT(container_at(job, 0), "resources", "{\"limits\":{\"cpu\":\"1\",\"memory\":\"612Mi\"}}");
	json_decref(job);
	json_object_set_new(c.host_config, "Memory", json_integer(1 << 30));
	job = build();
	EXPECT(container_at(job, 0), "resources", "{\"limits\":{\"cpu\":\"1\",\"memory\":\"1124Mi\"}}");
	json_decref(job);
	json_decref(c.mounts);
}

Test(job_spec, labels_are_checked)
{
	static const char *const bad[][2] = {
		{"cpu", "none"}, {"cpu", "9"}, {"cpu", "0"}, {"memory", "33g"}, {"memory", "x"}, {"timeout", "169h"},
		{"timeout", "10"}, {"service-account", "a b"}, {"network-tags", "a,,b"}, {"vpc-egress", "some"},
		{"execution-environment", "gen1"}, {"bind", "yes"}, {"vpc-connector", ""},
	};
	json_t *warnings = json_array();
	struct err err = {0};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *labels = json_object();
		AUTO_FREE char *key = xasprintf("run.sockerless.%s", bad[i][0]);
		AUTO_FREE char *start = xasprintf("label %s=%s: want ", key, bad[i][1]);

		json_object_set_new(labels, key, json_string(bad[i][1]));
		cr_expect_eq(job_options_check(labels, warnings, &err), -1, "%s=%s", key, bad[i][1]);
		cr_expect(strncmp(err.msg, start, strlen(start)) == 0, "%s", err.msg);
		json_decref(labels);
	}
	cr_expect_eq(json_array_size(warnings), 0);
	label("run.sockerless.typo", "x");
	label("run.sockerless.agent-address", "x:1");
	label("other", "x");
	cr_expect_eq(job_options_check(json_object_get(c.config, "Labels"), warnings, &err), 0);
	cr_expect_eq(json_array_size(warnings), 1);
	label("run.sockerless.network", "x");
	label("run.sockerless.vpc-connector", "y");
	cr_expect_eq(job_options_check(json_object_get(c.config, "Labels"), warnings, &err), -1);
	json_decref(warnings);
}

Test(job_spec, names_limits_and_modes_are_the_agents)
{
	json_t *job, *spec;

	json_object_set_new(c.config, "Hostname", json_string("box"));
	json_object_set_new(c.config, "Domainname", json_string("example"));
	json_object_set_new(c.host_config, "ExtraHosts", json_pack("[s,s,s]", "a:1.2.3.4", "b=::1", "c:[::2]"));
	json_object_set_new(c.host_config, "Dns", json_pack("[s]", "1.1.1.1"));
	json_object_set_new(c.host_config, "DnsSearch", json_array());
	json_object_set_new(c.host_config, "Ulimits", json_pack("[{s:s, s:i, s:i}]", "Name", "nofile", "Soft", 5, "Hard", -1));
	c.mounts = json_pack("[{s:s, s:s}, {s:s, s:s, s:i}]", "type", "tmpfs", "target", "/t", "type", "tmpfs", "target", "/u",
			     "perm", 0700);
	job = build();
	spec = spec_of(job);
	EXPECT(spec, "hostname", "\"box\"");
	EXPECT(spec, "domainname", "\"example\"");
	EXPECT(spec, "extraHosts", "[\"a:1.2.3.4\",\"b:::1\",\"c:::2\"]");
	EXPECT(spec, "dns", "[\"1.1.1.1\"]");
	cr_expect(!json_object_get(spec, "dnsSearch"));
	EXPECT(spec, "nofile", "{\"soft\":5,\"hard\":-1}");
	EXPECT(spec, "modes", "[{\"path\":\"/t\",\"mode\":1023},{\"path\":\"/u\",\"mode\":448}]");
	json_decref(spec);
	json_decref(job);
	json_decref(c.mounts);
}

Test(job_spec, containers_that_share_a_network_are_one_task, .init = setup, .fini = teardown)
{
	struct container b = {.id = "b" ID, .name = (char *)"b", .image_ref = (char *)"h/y@sha256:2", .token = "other",
			      .hold = true};
	struct container *members[] = {&b, NULL};
	json_t *job, *first, *second, *v;
	struct err err = {0};
	size_t i;

	b.id[64] = '\0';
	b.config = json_pack("{s:[s]}", "Cmd", "x");
	b.host_config = json_pack("{s:I}", "NanoCpus", (json_int_t)2000000000);
	c.mounts = json_pack("[{s:s, s:s, s:i}]", "type", "tmpfs", "target", "/t", "size", 1048576);
	b.mounts = json_incref(c.mounts);
	job = job_spec_build(&cfg, &c, members, &err);
	cr_assert(job != NULL, "%s", err.msg);
	first = container_at(job, 0);
	second = container_at(job, 1);
	cr_expect_str_eq(json_string_value(json_object_get(first, "name")), "main");
	cr_expect_str_eq(json_string_value(json_object_get(second, "name")), "shared-b0123456789a");
	cr_expect_str_eq(json_string_value(json_object_get(second, "image")), "h/y@sha256:2");
	cr_expect_str_eq(json_string_value(json_object_get(container_at(job, 2), "name")), "sockerless-agent");
	cr_expect_eq(json_array_size(json_object_get(second, "volumeMounts")), 2);
	cr_expect_str_eq(json_string_value(json_array_get(json_object_get(second, "dependsOn"), 0)), "sockerless-agent");
	/* each mount's volume is there, once */
	json_array_foreach(json_object_get(second, "volumeMounts"), i, v) {
		json_t *volume;
		size_t k, found = 0;

		json_array_foreach(json_object_get(task(job), "volumes"), k, volume)
			found += json_equal(json_object_get(volume, "name"), json_object_get(v, "name"));
		cr_expect_eq(found, 1);
	}
	json_decref(job);
	json_object_set_new(c.host_config, "NanoCpus", json_integer(6000000000));
	cr_expect(job_spec_build(&cfg, &c, members, &err) == NULL);
	cr_expect(strstr(err.msg, "want 9 CPUs together") != NULL, "%s", err.msg);
	json_decref(c.mounts);
	json_decref(b.mounts);
	json_decref(b.config);
	json_decref(b.host_config);
}
