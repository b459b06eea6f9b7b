/* Every setting: from the environment, from flags, and what is refused. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <string.h>

#include "config_settings.h"

static struct config c;
static struct err err;

static void setup(void)
{
	/* Whatever the one who runs the tests has set is not ours. */
	for (size_t i = 0; i < config_settings_n; i++)
		if (config_settings[i].env)
			unsetenv(config_settings[i].env);
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
	cr_expect_eq(c.terminal_timeout_ms, 0, "dockerd never hangs up a terminal");
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

/* What an environment made for the predecessor says, and what it leaves unsaid, means the same here. Its own defaults;
 * NULL: none. */
Test(config, the_predecessors_variables_are_all_here_with_its_defaults)
{
	static const struct { const char *env, *def; } seed[] = {
		{"SOCKERLESS_GCR_PROJECT", NULL}, {"SOCKERLESS_GCR_REGION", "us-central1"}, {"SOCKERLESS_GCR_VPC_CONNECTOR", NULL},
		{"SOCKERLESS_GCR_LOG_ID", "sockerless"}, {"SOCKERLESS_GCR_AGENT_IMAGE", "sockerless/agent:latest"},
		{"SOCKERLESS_GCR_AGENT_TOKEN", NULL}, {"SOCKERLESS_CALLBACK_URL", NULL}, {"SOCKERLESS_ENDPOINT_URL", NULL},
		{"SOCKERLESS_POLL_INTERVAL", "2s"}, {"SOCKERLESS_AGENT_TIMEOUT", "30s"}, {"SOCKERLESS_LOG_TIMEOUT", "30s"},
	};

	for (size_t i = 0; i < sizeof(seed) / sizeof(*seed); i++) {
		const struct setting *found = NULL;

		for (size_t k = 0; k < config_settings_n; k++)
			if (config_settings[k].env && strcmp(config_settings[k].env, seed[i].env) == 0)
				found = &config_settings[k];
		cr_assert(found != NULL, "%s", seed[i].env);
		if (seed[i].def)
			cr_expect_str_eq(found->def ? found->def : "", seed[i].def, "%s", seed[i].env);
		else
			cr_expect(found->def == NULL, "%s has a default", seed[i].env);
	}
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
		{"SOCKERLESS_CALLBACK_CERT", "/etc/passwd", "/etc/passwd", &c.callback_cert},
		{"SOCKERLESS_CALLBACK_KEY", "/etc/group", "/etc/group", &c.callback_key},
		{"SOCKERLESS_TLS_CERT", "/etc/hosts", "/etc/hosts", &c.tls_cert},
		{"SOCKERLESS_TLS_KEY", "/etc/hostname", "/etc/hostname", &c.tls_key},
		{"SOCKERLESS_TLS_CLIENT_CA", "/etc/passwd", "/etc/passwd", &c.tls_client_ca},
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

/* Every variable that has a rule, with the values on both sides of it. */
static const struct {
	const char *name, *value, *rule;
} bad[] = {
#define NAME "want lower-case letters, digits and dashes only"
#define CPUS "want a whole number of CPUs from 1 to 8"
#define MEMORY "want a size from 512MiB to 32GiB"
#define BUCKET "want BUCKET[/PREFIX], the bucket in lower-case letters, digits, dashes, dots"
#define RESOURCE "want a name, or projects/PROJECT/... without blanks"
#define TAGS "want lower-case letters, digits and dashes, with commas between tags"
#define ENDPOINT "want http(s)://host[:port]"
#define CALLBACK "want http(s):// or ws(s)://host[:port][/path]"
#define REGISTRY "want host[:port][/prefix] without a scheme"
#define GO_DURATION "want a duration such as 500ms, 30s or 1m30s"
#define GO_SIZE "want a size such as 512MiB or 4GiB"
#define NO_FILE "want a file that can be read: No such file or directory"
#define ADDR "want unix:///path, /path, tcp://host:port or :port"
	{"SOCKERLESS_GCR_PROJECT", "My Project", NAME},
	{"SOCKERLESS_GCR_REGION", "us/central1", NAME},
	{"SOCKERLESS_GCR_INSTANCE", "A", NULL},
	{"SOCKERLESS_GCR_VPC_CONNECTOR", "my connector", RESOURCE},
	{"SOCKERLESS_GCR_VPC_CONNECTOR", "https://x/y", RESOURCE},
	{"SOCKERLESS_GCR_NETWORK", "/n", RESOURCE},
	{"SOCKERLESS_GCR_SUBNETWORK", "n/", RESOURCE},
	{"SOCKERLESS_GCR_NETWORK_TAGS", "a,,b", TAGS},
	{"SOCKERLESS_GCR_NETWORK_TAGS", "a,B", TAGS},
	{"SOCKERLESS_GCR_NETWORK_TAGS", "a-", TAGS},
	{"SOCKERLESS_GCR_VPC_EGRESS", "some", "want all-traffic or private-ranges-only"},
	{"SOCKERLESS_GCR_CPU", "9", CPUS},
	{"SOCKERLESS_GCR_CPU", "0", CPUS},
	{"SOCKERLESS_GCR_CPU", "1.5", CPUS},
	{"SOCKERLESS_GCR_MEMORY", "511m", MEMORY},
	{"SOCKERLESS_GCR_MEMORY", "33g", MEMORY},
	{"SOCKERLESS_GCR_GPU", "NVIDIA L4", NAME},
	{"SOCKERLESS_BINDS", "yes", "want label, upload or refuse"},
	{"SOCKERLESS_GCR_VOLUME_BUCKET", "Upper", BUCKET},
	{"SOCKERLESS_GCR_VOLUME_BUCKET", "-bucket", BUCKET},
	{"SOCKERLESS_GCR_VOLUME_BUCKET", "bucket//x", "want a plain folder as the prefix"},
	{"SOCKERLESS_GCR_VOLUME_BUCKET", "bucket/../x", "want a plain folder as the prefix"},
	{"SOCKERLESS_GCR_SERVICE_ACCOUNT", "me", "want an e-mail address"},
	{"SOCKERLESS_GCR_SERVICE_ACCOUNT", "a@b@c", "want an e-mail address"},
	{"SOCKERLESS_GCR_LOG_ID", "a b", "want letters, digits and /_-. only"},
	{"SOCKERLESS_ENDPOINT_URL", "127.0.0.1:80", ENDPOINT},
	{"SOCKERLESS_ENDPOINT_URL", "http://", ENDPOINT},
	{"SOCKERLESS_ENDPOINT_URL", "http://h:99999", ENDPOINT},
	{"SOCKERLESS_ENDPOINT_URL", "http://h?x=1", ENDPOINT},
	{"SOCKERLESS_ENDPOINT_AUTH", "yes", "want none or google"},
	{"GOOGLE_CLOUD_QUOTA_PROJECT", "p\r\nX: y", "want printable characters without spaces"},
	{"GOOGLE_CLOUD_UNIVERSE_DOMAIN", "a/b", NAME},
	{"GCE_METADATA_HOST", "http://x", REGISTRY},
	{"SOCKERLESS_GCR_AGENT_IMAGE", "reg.example/Upper", "want an image such as REGISTRY/NAME:TAG"},
	{"SOCKERLESS_AGENT_MODE", "Sidecar", "want sidecar, overlay or baked"},
	{"SOCKERLESS_AGENT_BINARY", "agent", "want an absolute path"},
	{"SOCKERLESS_AGENT_PATH", "agent", "want an absolute path"},
	{"SOCKERLESS_AGENT_ADDRESS", "host", "want host:port"},
	{"SOCKERLESS_AGENT_ADDRESS", ":9111", "want host:port"},
	{"SOCKERLESS_AGENT_ADDRESS", "h:0", "want host:port"},
	{"SOCKERLESS_AGENT_ADDRESS", "::1:80", "want host:port"},
	{"SOCKERLESS_CALLBACK_URL", "g:9112", CALLBACK},
	{"SOCKERLESS_CALLBACK_URL", "ftp://g", CALLBACK},
	{"SOCKERLESS_CALLBACK_URL", "http://u@g", CALLBACK},
	{"SOCKERLESS_CALLBACK_URL", "http://g:x", CALLBACK},
	{"SOCKERLESS_CALLBACK_URL", "http://g/x?id=1", "want no query: ?id= is added for each container"},
	{"SOCKERLESS_CALLBACK_ADDR", "9112", "want [host]:port"},
	{"SOCKERLESS_CALLBACK_ADDR", ":70000", "want [host]:port"},
	{"SOCKERLESS_ENV_FILE", "settings", "want an absolute path"},
	{"SOCKERLESS_CALLBACK_CERT", "/no/such/file", NO_FILE},
	{"SOCKERLESS_CALLBACK_KEY", "/no/such/file", NO_FILE},
	{"SOCKERLESS_POLL_INTERVAL", "2", GO_DURATION},
	{"SOCKERLESS_POLL_INTERVAL", "9ms", "want 10ms to 1h"},
	{"SOCKERLESS_POLL_INTERVAL", "61m", "want 10ms to 1h"},
	{"SOCKERLESS_AGENT_TIMEOUT", "-5s", "want 100ms to 1h"},
	{"SOCKERLESS_SWEEP_INTERVAL", "0", "want 1s to 24h"},
	{"SOCKERLESS_START_TIMEOUT", "soon", GO_DURATION},
	{"SOCKERLESS_CALL_TIMEOUT", "1ms", "want 1s to 1h"},
	{"SOCKERLESS_LOG_TIMEOUT", "30", GO_DURATION},
	{"SOCKERLESS_ACCEPT_BOOTSTRAPS", "perhaps", "want 1, true, 0 or false"},
	{"SOCKERLESS_GCR_START_TOKEN", "maybe", "want 1, true, 0 or false"},
	{"SOCKERLESS_TUNNEL_MEMORY", "1x", GO_SIZE},
	{"SOCKERLESS_TUNNEL_CHECKSUMS", "yes", "want 1, true, 0 or false"},
	{"SOCKERLESS_LINK_LIFETIME", "25h", "want 0s to 24h"},
	{"SOCKERLESS_AGENT_RATE", "many", GO_SIZE},
	{"SOCKERLESS_TERMINAL_TIMEOUT", "169h", "want 0s to 168h"},
	{"SOCKERLESS_GCR_EXIT_STAY", "2h", "want 0s to 1h"},
	{"SOCKERLESS_TASK_TIMEOUT", "169h", "want 1s to 168h"},
	{"SOCKERLESS_ADDR", "udp://x:1", ADDR},
	{"SOCKERLESS_ADDR", "unix://rel", ADDR},
	{"SOCKERLESS_ADDR", ":9100 host", NULL}, /* the second one */
	{"SOCKERLESS_TLS_CERT", "/no/such/file", NO_FILE},
	{"SOCKERLESS_TLS_KEY", "/no/such/file", NO_FILE},
	{"SOCKERLESS_TLS_CLIENT_CA", "/no/such/file", NO_FILE},
	{"SOCKERLESS_PUBLISH_ADDRESS", "localhost", "want an IP address"},
	{"SOCKERLESS_HUB_MIRROR", "https://m", REGISTRY},
	{"SOCKERLESS_GCR_IMAGE_REPOSITORY", "a b", REGISTRY},
	{"SOCKERLESS_PLAIN_REGISTRIES", "ok,http://m", NULL},
	{"SOCKERLESS_PRIVATE_HOSTS", "http://m", REGISTRY},
	{"SOCKERLESS_LAYER_CACHE_MAX", "lots", GO_SIZE},
	{"SOCKERLESS_PENDING_FILES_MAX", "1x", GO_SIZE},
	{"SOCKERLESS_DATA_DIR", "/etc/passwd", "want a folder, this is none"},
	{"SOCKERLESS_LOCAL_FORWARD", "yes", "want 0 or 1"},
};

Test(config, bad_values_are_refused_with_name_value_and_rule)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		AUTO_FREE char *want = xasprintf("%s=%s: %s", bad[i].name, bad[i].value, bad[i].rule ? bad[i].rule : "");

		setup();
		set(bad[i].name, bad[i].value);
		cr_assert(LOAD("--local") == -1, "%s=%s was accepted", bad[i].name, bad[i].value);
		cr_expect(err.kind == ERR_INVALID);
		if (bad[i].rule)
			cr_expect_str_eq(err.msg, want);
		else
			cr_expect(strncmp(err.msg, bad[i].name, strlen(bad[i].name)) == 0 && strstr(err.msg, ": want "), "%s", err.msg);
		cr_expect(!c.project && !c.addrs.v, "something was left behind");
		unsetenv(bad[i].name);
	}
}

/* A variable that is new has to come into the list above. */
Test(config, every_variable_with_a_rule_is_tested_above)
{
	size_t ruled = 0;

	for (size_t i = 0; i < config_settings_n; i++) {
		const struct setting *s = &config_settings[i];
		bool found = false;

		if (!s->env || s->check == check_token || (!s->check && s->kind != DURATION && s->kind != SIZE && s->kind != FLAG))
			continue; /* a token is never shown: below */
		ruled++;
		for (size_t k = 0; k < sizeof(bad) / sizeof(*bad); k++)
			found = found || strcmp(bad[k].name, s->env) == 0;
		cr_expect(found, "%s", s->env);
	}
	cr_expect(ruled > 40);
}

Test(config, only_what_google_and_docker_read_themselves_has_no_rule)
{
	for (size_t i = 0; i < config_settings_n; i++) {
		const struct setting *s = &config_settings[i];

		if (s->kind == STRING || s->kind == LIST)
			cr_expect(s->check != NULL, "%s", s->env ? s->env : s->flag);
		cr_expect(s->help && *s->help);
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
	cr_assert(LOAD("-local", "-addr", ":9100", "-tls-cert=/etc/passwd", "-tls-key", "/etc/group", "-log-level=warn") == 0, "%s",
		  err.msg);
	cr_expect_str_eq(c.addrs.v[0], "tcp://:9100");
	cr_expect_str_eq(c.tls_cert, "/etc/passwd");
	cr_expect_str_eq(c.tls_key, "/etc/group");
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
	cr_expect(LOAD("--local", "--tls-cert", "/etc/passwd") == -1);
	cr_expect(LOAD("--local", "--tls-client-ca", "/etc/passwd") == -1);
	cr_expect(LOAD("--local", "--callback-key", "/etc/passwd") == -1);
}

Test(config, help_answers_whatever_the_environment_holds)
{
	cr_redirect_stdout();
	set("SOCKERLESS_POLL_INTERVAL", "nonsense");
	cr_expect(LOAD("--help") == 1);
	cr_expect(LOAD("--version") == 1);
}

static char *printed(void (*print)(FILE *f))
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	print(f);
	fclose(f);
	return text;
}

Test(config, help_names_every_setting_and_its_default)
{
	AUTO_FREE char *text = printed(config_print_help);

	for (size_t i = 0; i < config_settings_n; i++) {
		const struct setting *s = &config_settings[i];
		AUTO_FREE char *flag = xasprintf("--%s", s->flag ? s->flag : ""), *env = xasprintf("%s=", s->env ? s->env : "");
		AUTO_FREE char *def = xasprintf("(default %s)", s->def ? s->def : "");

		cr_expect(!s->flag || strstr(text, flag), "%s", flag);
		cr_expect(!s->env || strstr(text, env), "%s", env);
		cr_expect(!s->def || strstr(text, def), "%s", def);
	}
}

Test(config, the_man_page_is_what_the_table_says)
{
	AUTO_FREE char *want = printed(config_print_man);
	AUTO_FREE char *have = xcalloc(1, strlen(want) + 2);
	FILE *f = fopen("docs/sockerless-gateway.8", "re");

	cr_assert(f != NULL, "unit tests run in the project's folder");
	cr_expect(fread(have, 1, strlen(want) + 1, f) > 0);
	fclose(f);
	cr_expect(strcmp(have, want) == 0, "docs/sockerless-gateway.8 is not what the program prints: make man");
}
