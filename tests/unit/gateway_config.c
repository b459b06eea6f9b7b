/* Every setting: from the environment, from flags, and what is refused. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <string.h>

#include "config.h"

static struct config c;
static struct err err;

static void setup(void)
{
	/* Whatever the one who runs the tests has set is not ours. */
	static const char *const names[] = {
		"GCR_PROJECT", "GCR_REGION", "GCR_VPC_CONNECTOR", "GCR_SERVICE_ACCOUNT", "GCR_LOG_ID", "ENDPOINT_URL",
		"GCR_AGENT_IMAGE", "AGENT_MODE", "AGENT_PATH", "GCR_AGENT_TOKEN", "CALLBACK_URL", "CALLBACK_ADDR",
		"CALLBACK_CERT", "CALLBACK_KEY", "AGENT_ADDRESS", "POLL_INTERVAL", "AGENT_TIMEOUT", "START_TIMEOUT",
		"LOG_TIMEOUT", "CALL_TIMEOUT", "GCR_START_TOKEN", "TASK_TIMEOUT", "ADDR", "TLS_CERT", "TLS_KEY", "TLS_CLIENT_CA", "HUB_MIRROR",
		"PLAIN_REGISTRIES", "DATA_DIR", "GCR_NETWORK_TAGS", "GCR_VPC_EGRESS", "GCR_CPU", "GCR_MEMORY", "GCR_GPU",
		"GCR_VOLUME_BUCKET", "BINDS", "GCR_IMAGE_REPOSITORY", "AGENT_BINARY", "PRIVATE_HOSTS",
	};
	char name[64];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(name, sizeof(name), "SOCKERLESS_%s", names[i]);
		unsetenv(name);
	}
	err = (struct err){0};
}

static int load_argv(const char *const *args, size_t n)
{
	char *argv[20] = {(char *)"sockerless-gateway"};

	for (size_t i = 0; i < n; i++)
		argv[1 + i] = (char *)args[i];
	return config_load(&c, (int)n + 1, argv, &err);
}
#define LOAD(...) load_argv((const char *const[]){__VA_ARGS__}, \
			    sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void set(const char *name, const char *value)
{
	cr_assert(setenv(name, value, 1) == 0);
}

TestSuite(config, .init = setup);

Test(config, neither_project_nor_local_names_both)
{
	cr_assert(load_argv(NULL, 0) == -1);
	cr_expect(err.kind == ERR_INVALID);
	cr_expect(strstr(err.msg, "SOCKERLESS_GCR_PROJECT") && strstr(err.msg, "--local"), "%s", err.msg);
	set("SOCKERLESS_GCR_PROJECT", ""); /* empty is unset */
	cr_expect(load_argv(NULL, 0) == -1);
}

Test(config, defaults)
{
	cr_assert(LOAD("--local") == 0, "%s", err.msg);
	cr_expect(c.local && c.project != NULL);
	cr_expect_str_eq(c.region, "us-central1");
	cr_expect_str_eq(c.log_id, "sockerless");
	cr_expect_str_eq(c.agent_image, "sockerless/agent:latest");
	cr_expect_str_eq(c.agent_mode, "sidecar");
	cr_expect_str_eq(c.agent_path, "/sockerless/bin/sockerless-agent");
	cr_expect_str_eq(c.callback_listen, ":9112");
	cr_expect(c.poll_interval_ms == 2000 && c.agent_timeout_ms == 30000);
	cr_expect(c.start_timeout_ms == 600000 && c.log_timeout_ms == 30000);
	cr_expect(c.task_timeout_ms == 24 * 3600 * 1000LL);
	cr_expect(c.addrs.n == 1);
	cr_expect_str_eq(c.addrs.v[0], "unix:///var/run/sockerless.sock");
	cr_expect(c.log_level == LOG_LEVEL_INFO);
	cr_expect(c.state_dir && *c.state_dir == '/');
	cr_expect(c.local_bin_dir && *c.local_bin_dir == '/');
	cr_expect(!c.vpc_connector && !c.endpoint_url && !c.service_account && !c.agent_token);
	cr_expect(!c.agent_address && !c.callback_url && !c.callback_cert && !c.callback_key);
	cr_expect(!c.tls_cert && !c.tls_key && !c.tls_client_ca && !c.hub_mirror);
	cr_expect(c.plain_registries.n == 0);
	config_release(&c);
}

Test(config, overlay_is_the_mode_where_images_can_be_put)
{
	set("SOCKERLESS_GCR_PROJECT", "p");
	set("SOCKERLESS_AGENT_MODE", "overlay");
	cr_assert(LOAD("--log-level", "info") == -1);
	cr_expect(err.kind == ERR_INVALID && strstr(err.msg, "SOCKERLESS_GCR_IMAGE_REPOSITORY"), "%s", err.msg);
	cr_assert(LOAD("--local") == 0, "%s", err.msg); /* it has a registry */
	cr_expect_str_eq(c.agent_mode, "overlay");
	config_release(&c);
	set("SOCKERLESS_AGENT_MODE", "");
	set("SOCKERLESS_GCR_IMAGE_REPOSITORY", "europe-docker.pkg.dev/p/r");
	cr_assert(LOAD("--log-level", "info") == 0, "%s", err.msg);
	cr_expect_str_eq(c.agent_mode, "overlay");
	config_release(&c);
	set("SOCKERLESS_AGENT_MODE", "sidecar");
	cr_assert(LOAD("--log-level", "info") == 0, "%s", err.msg);
	cr_expect_str_eq(c.agent_mode, "sidecar");
	config_release(&c);
}

Test(config, each_variable_reaches_its_field)
{
	static const struct {
		const char *name, *value, *want;
		char **field;
	} table[] = {
		{"SOCKERLESS_GCR_PROJECT", "my-proj-1", "my-proj-1", &c.project},
		{"SOCKERLESS_GCR_REGION", "europe-west1", "europe-west1", &c.region},
		{"SOCKERLESS_GCR_VPC_CONNECTOR", "projects/p/locations/l/connectors/c",
		 "projects/p/locations/l/connectors/c", &c.vpc_connector},
		{"SOCKERLESS_GCR_LOG_ID", "l", "l", &c.log_id},
		{"SOCKERLESS_GCR_SERVICE_ACCOUNT", "a@p.iam", "a@p.iam", &c.service_account},
		{"SOCKERLESS_GCR_NETWORK_TAGS", "a,b", "a,b", &c.network_tags},
		{"SOCKERLESS_GCR_VPC_EGRESS", "private-ranges-only", "private-ranges-only", &c.vpc_egress},
		{"SOCKERLESS_GCR_CPU", "8", "8", &c.default_cpu},
		{"SOCKERLESS_GCR_MEMORY", "2g", "2g", &c.default_memory},
		{"SOCKERLESS_GCR_GPU", "nvidia-x", "nvidia-x", &c.gpu},
		{"SOCKERLESS_GCR_VOLUME_BUCKET", "my-bucket/some/folder/", "my-bucket/some/folder", &c.volume_bucket},
		{"SOCKERLESS_BINDS", "upload", "upload", &c.binds},
		{"SOCKERLESS_ENDPOINT_URL", "http://127.0.0.1:8080/", "http://127.0.0.1:8080", &c.endpoint_url},
		{"SOCKERLESS_GCR_AGENT_IMAGE", "h/a:2", "h/a:2", &c.agent_image},
		{"SOCKERLESS_AGENT_MODE", "baked", "baked", &c.agent_mode},
		{"SOCKERLESS_AGENT_BINARY", "/opt/static-agent", "/opt/static-agent", &c.agent_binary},
		{"SOCKERLESS_AGENT_PATH", "/opt/agent", "/opt/agent", &c.agent_path},
		{"SOCKERLESS_GCR_AGENT_TOKEN", "abc", "abc", &c.agent_token},
		{"SOCKERLESS_AGENT_ADDRESS", "[::1]:9111", "[::1]:9111", &c.agent_address},
		{"SOCKERLESS_CALLBACK_URL", "https://g.example:9112/", "https://g.example:9112", &c.callback_url},
		{"SOCKERLESS_CALLBACK_ADDR", "0.0.0.0:0", "0.0.0.0:0", &c.callback_listen},
		{"SOCKERLESS_CALLBACK_CERT", "/c", "/c", &c.callback_cert},
		{"SOCKERLESS_CALLBACK_KEY", "/k", "/k", &c.callback_key},
		{"SOCKERLESS_TLS_CERT", "/tc", "/tc", &c.tls_cert},
		{"SOCKERLESS_TLS_KEY", "/tk", "/tk", &c.tls_key},
		{"SOCKERLESS_TLS_CLIENT_CA", "/ca", "/ca", &c.tls_client_ca},
		{"SOCKERLESS_HUB_MIRROR", "m.example:5000/hub/", "m.example:5000/hub", &c.hub_mirror},
		{"SOCKERLESS_DATA_DIR", "/var/x", "/var/x", &c.state_dir},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		set(table[i].name, table[i].value);
	set("SOCKERLESS_POLL_INTERVAL", "500ms");
	set("SOCKERLESS_AGENT_TIMEOUT", "1m30s");
	set("SOCKERLESS_START_TIMEOUT", "2h");
	set("SOCKERLESS_LOG_TIMEOUT", "5s");
	set("SOCKERLESS_TASK_TIMEOUT", "168h");
	set("SOCKERLESS_ADDR", "/run/x.sock, tcp://127.0.0.1:2375,:9100");
	set("SOCKERLESS_PLAIN_REGISTRIES", "a.example b.example:81");
	cr_assert(load_argv(NULL, 0) == 0, "%s", err.msg);
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		cr_expect(*table[i].field && strcmp(*table[i].field, table[i].want) == 0, "%s: %s", table[i].name,
			  *table[i].field);
	cr_expect(c.poll_interval_ms == 500 && c.agent_timeout_ms == 90000 && c.start_timeout_ms == 7200000);
	cr_expect(c.log_timeout_ms == 5000 && c.task_timeout_ms == 168 * 3600 * 1000LL);
	cr_assert(c.addrs.n == 3);
	cr_expect_str_eq(c.addrs.v[0], "unix:///run/x.sock");
	cr_expect_str_eq(c.addrs.v[1], "tcp://127.0.0.1:2375");
	cr_expect_str_eq(c.addrs.v[2], "tcp://:9100");
	cr_assert(c.plain_registries.n == 2);
	cr_expect_str_eq(c.plain_registries.v[1], "b.example:81");
	cr_expect(!c.local);
	config_release(&c);
}

Test(config, bad_values_are_refused_with_name_value_and_rule)
{
	static const char *const table[][2] = {
		{"SOCKERLESS_GCR_PROJECT", "My Project"}, {"SOCKERLESS_GCR_REGION", "us/central1"},
		{"SOCKERLESS_GCR_VPC_EGRESS", "some"}, {"SOCKERLESS_GCR_CPU", "9"}, {"SOCKERLESS_GCR_CPU", "1.5"},
		{"SOCKERLESS_GCR_MEMORY", "64m"}, {"SOCKERLESS_GCR_MEMORY", "33g"}, {"SOCKERLESS_BINDS", "yes"},
		{"SOCKERLESS_GCR_VOLUME_BUCKET", "Upper"}, {"SOCKERLESS_GCR_VOLUME_BUCKET", "bucket//x"},
		{"SOCKERLESS_GCR_VOLUME_BUCKET", "bucket/../x"}, {"SOCKERLESS_GCR_VOLUME_BUCKET", "-bucket"},
		{"SOCKERLESS_ENDPOINT_URL", "127.0.0.1:80"}, {"SOCKERLESS_ENDPOINT_URL", "http://"},
		{"SOCKERLESS_ENDPOINT_URL", "http://h:99999"}, {"SOCKERLESS_ENDPOINT_URL", "http://h?x=1"},
		{"SOCKERLESS_AGENT_MODE", "Sidecar"}, {"SOCKERLESS_AGENT_PATH", "agent"},
		{"SOCKERLESS_AGENT_ADDRESS", "host"}, {"SOCKERLESS_AGENT_ADDRESS", ":9111"},
		{"SOCKERLESS_AGENT_ADDRESS", "h:0"}, {"SOCKERLESS_AGENT_ADDRESS", "::1:80"},
		{"SOCKERLESS_CALLBACK_URL", "g:9112"}, {"SOCKERLESS_CALLBACK_URL", "ftp://g"},
		{"SOCKERLESS_CALLBACK_URL", "http://u@g"}, {"SOCKERLESS_CALLBACK_URL", "http://g/x?id=1"},
		{"SOCKERLESS_CALLBACK_URL", "http://g:x"}, {"SOCKERLESS_CALLBACK_ADDR", "9112"},
		{"SOCKERLESS_CALLBACK_ADDR", ":70000"}, {"SOCKERLESS_POLL_INTERVAL", "2"},
		{"SOCKERLESS_POLL_INTERVAL", "0"}, {"SOCKERLESS_AGENT_TIMEOUT", "-5s"},
		{"SOCKERLESS_START_TIMEOUT", "soon"}, {"SOCKERLESS_LOG_TIMEOUT", "30"},
		{"SOCKERLESS_TASK_TIMEOUT", "169h"}, {"SOCKERLESS_ADDR", "udp://x:1"},
		{"SOCKERLESS_ADDR", "unix://rel"}, {"SOCKERLESS_ADDR", ":9100 host"},
		{"SOCKERLESS_HUB_MIRROR", "https://m"}, {"SOCKERLESS_PLAIN_REGISTRIES", "ok,http://m"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		setup();
		set(table[i][0], table[i][1]);
		cr_assert(LOAD("--local") == -1, "%s=%s was accepted", table[i][0], table[i][1]);
		cr_expect(err.kind == ERR_INVALID);
		cr_expect(strncmp(err.msg, table[i][0], strlen(table[i][0])) == 0, "%s", err.msg);
		cr_expect(strstr(err.msg, ": ") != NULL, "%s", err.msg);
		cr_expect(!c.project && !c.addrs.v, "something was left behind");
	}
}

Test(config, a_token_is_never_shown)
{
	set("SOCKERLESS_GCR_AGENT_TOKEN", "top secret");
	cr_assert(LOAD("--local") == -1);
	cr_expect(!strstr(err.msg, "secret") && strstr(err.msg, "SOCKERLESS_GCR_AGENT_TOKEN"), "%s", err.msg);
	set("SOCKERLESS_GCR_AGENT_TOKEN", "0123456789012345678901234567890123456789012345678901234567890123x");
	cr_expect(LOAD("--local") == -1, "65 characters were accepted");
}

Test(config, flags_win_over_the_environment)
{
	set("SOCKERLESS_ADDR", ":1,:2");
	set("SOCKERLESS_DATA_DIR", "/env");
	cr_assert(LOAD("--local", "--addr", ":3", "--addr=/s", "--state-dir", "/flag", "--log-level", "debug") == 0,
		  "%s", err.msg);
	cr_assert(c.addrs.n == 2);
	cr_expect_str_eq(c.addrs.v[0], "tcp://:3");
	cr_expect_str_eq(c.addrs.v[1], "unix:///s");
	cr_expect_str_eq(c.state_dir, "/flag");
	cr_expect(c.log_level == LOG_LEVEL_DEBUG);
	config_release(&c);
}

Test(config, the_predecessors_single_dash_works)
{
	cr_assert(LOAD("-local", "-addr", ":9100", "-tls-cert=/c", "-tls-key", "/k", "-log-level=warn") == 0, "%s",
		  err.msg);
	cr_expect_str_eq(c.addrs.v[0], "tcp://:9100");
	cr_expect_str_eq(c.tls_cert, "/c");
	cr_expect_str_eq(c.tls_key, "/k");
	cr_expect(c.log_level == LOG_LEVEL_WARN);
	config_release(&c);
}

Test(config, wrong_command_lines_are_refused)
{
	cr_expect(LOAD("--local", "--nope") == -1);
	cr_expect(strstr(err.msg, "--nope") != NULL, "%s", err.msg);
	cr_expect(LOAD("--local", "--addr") == -1);
	cr_expect(strstr(err.msg, "needs a value") != NULL, "%s", err.msg);
	cr_expect(LOAD("--local", "extra") == -1);
	cr_expect(strstr(err.msg, "extra") != NULL, "%s", err.msg);
	cr_expect(LOAD("--local", "--state-dir", "") == -1);
	cr_expect(LOAD("--local", "--log-level", "loud") == -1);
	cr_expect(LOAD("--local", "--tls-cert", "/c") == -1);
	cr_expect(LOAD("--local", "--tls-client-ca", "/c") == -1);
	cr_expect(LOAD("--local", "--callback-key", "/c") == -1);
}

Test(config, help_answers_whatever_the_environment_holds)
{
	cr_redirect_stdout();
	set("SOCKERLESS_POLL_INTERVAL", "nonsense");
	cr_expect(LOAD("--help") == 1);
	cr_expect(LOAD("--version") == 1);
}

Test(config, help_names_every_setting)
{
	static const char *const names[] = {
		"SOCKERLESS_GCR_PROJECT", "SOCKERLESS_GCR_AGENT_TOKEN", "SOCKERLESS_TASK_TIMEOUT", "SOCKERLESS_HUB_MIRROR",
		"--addr", "--callback-addr", "--tls-client-ca", "--local", "--state-dir", "--log-level", "us-central1",
	};
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	config_print_help(f);
	fclose(f);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		cr_expect(strstr(text, names[i]) != NULL, "%s", names[i]);
	free(text);
}
