/* agent_config - environment and command line into settings. */
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "../../src/agent/config.h"
#include "base/mem.h"
#include "base/parse.h"

#define TOKEN "SOCKERLESS_AGENT_TOKEN=secret"
#define URL "SOCKERLESS_AGENT_CALLBACK_URL=http://gw:9112/x?id=1"
#define ARGV(...) (char *[]){__VA_ARGS__, NULL}
#define COUNT(...) (int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *))
#define LOAD(env, ...) load(COUNT(__VA_ARGS__), ARGV(__VA_ARGS__), env)

static struct config load(int argc, char **argv, char **env)
{
	struct config c;
	struct err err = {0};

	cr_assert_eq(config_load(argc, argv, env, &c, &err), 0, "%s", err.msg);
	return c;
}

static void refused(int argc, char **argv, char **env, const char *why)
{
	struct config c = {.listen_port = 4711};
	struct err err = {0};

	cr_assert_eq(config_load(argc, argv, env, &c, &err), -1);
	cr_assert(strstr(err.msg, why), "%s", err.msg);
	cr_assert_eq(c.listen_port, 4711);
}

static char *coded(const char *name, const char *json)
{
	AUTO_FREE char *b64 = xmalloc(base64_encoded_len(strlen(json)) + 1);

	base64_encode(json, strlen(json), b64);
	return xasprintf("%s=%s", name, b64);
}

Test(config, without_a_callback_it_listens_on_9111)
{
	struct config c = LOAD(ARGV(TOKEN), "--", "echo", "hi");

	cr_assert_str_eq(c.listen_host, "0.0.0.0");
	cr_assert_eq(c.listen_port, 9111);
	cr_assert_null(c.callback_url);
	cr_assert_eq(c.main.argv.n, 2);
	cr_assert_str_eq(c.main.argv.v[1], "hi");
	config_release(&c);
}

Test(config, with_a_callback_it_listens_only_when_told)
{
	struct config c = LOAD(ARGV(TOKEN, URL), "true");

	cr_assert_null(c.listen_host);
	config_release(&c);
	c = LOAD(ARGV(TOKEN, URL, "SOCKERLESS_AGENT_LISTEN=127.0.0.1:8000"), "true");
	cr_assert_str_eq(c.listen_host, "127.0.0.1");
	cr_assert_eq(c.listen_port, 8000);
	config_release(&c);
}

Test(config, own_variables_do_not_reach_the_process)
{
	struct config c = LOAD(ARGV("A=1", TOKEN, "SOCKERLESS_OTHER=x", "B=2"), "true");

	cr_assert_eq(c.main.env.n, 2);
	cr_assert_str_eq(c.main.env.v[0], "A=1");
	cr_assert_str_eq(c.main.env.v[1], "B=2");
	config_release(&c);
}

Test(config, the_specification_decides_what_runs)
{
	AUTO_FREE char *spec = coded("SOCKERLESS_AGENT_SPEC",
		"{\"tty\":true,\"openStdin\":true,\"stdinOnce\":true,\"user\":\"app\",\"workdir\":\"/w\","
		"\"rows\":24,\"cols\":80,\"env\":[\"X=y\"],\"argv\":[\"a\",\"b\"],\"lingerMs\":5,"
		"\"stopSignal\":\"SIGINT\",\"future\":{}}");
	struct config c = LOAD(ARGV("A=1", TOKEN, spec), "--", "other");

	cr_assert(c.main.tty && c.main.open_stdin && c.stdin_once);
	cr_assert_str_eq(c.main.user, "app");
	cr_assert_str_eq(c.main.workdir, "/w");
	cr_assert_eq(c.main.rows, 24);
	cr_assert_eq(c.main.cols, 80);
	cr_assert_eq(c.main.env.n, 1);
	cr_assert_str_eq(c.main.env.v[0], "X=y");
	cr_assert_eq(c.main.argv.n, 2);
	cr_assert_eq(c.linger_ms, 5);
	cr_assert_eq(c.stop_signal, SIGINT);
	config_release(&c);
}

Test(config, a_long_specification_comes_in_pieces)
{
	AUTO_FREE char *whole = coded("SOCKERLESS_AGENT_SPEC", "{\"argv\":[\"one\",\"two\",\"three\"]}");
	AUTO_FREE char *rest = xasprintf("SOCKERLESS_AGENT_SPEC_2=%.10s", whole + 32);
	AUTO_FREE char *tail = xasprintf("SOCKERLESS_AGENT_SPEC_3=%s", whole + 42);

	whole[32] = '\0';
	struct config c = load(0, ARGV(NULL), ARGV(tail, TOKEN, whole, rest));

	cr_assert_eq(c.main.argv.n, 3);
	cr_assert_str_eq(c.main.argv.v[2], "three");
	config_release(&c);
}

Test(config, a_broken_specification_is_refused_with_its_reason)
{
	static const struct { const char *json, *why; } cases[] = {
		{"[]", "not an object"},
		{"{\"env\":[1]}", "\"env\" holds something else"},
		{"{\"argv\":\"x\"}", "\"argv\" is not a list"},
		{"{\"user\":7}", "\"user\" is not a string"},
		{"{\"rows\":70000}", "\"rows\" is not a number"},
		{"{\"stopSignal\":\"NOPE\"}", "no signal"},
		{"{\"restart\":{\"when\":\"often\"}}", "want \"when\" to be no"},
		{"{\"restart\":1}", "not an object"},
		{"{", "SOCKERLESS_AGENT_SPEC"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		AUTO_FREE char *spec = coded("SOCKERLESS_AGENT_SPEC", cases[i].json);

		refused(1, ARGV("true"), ARGV(TOKEN, spec), cases[i].why);
	}
	refused(1, ARGV("true"), ARGV(TOKEN, "SOCKERLESS_AGENT_SPEC=%%%"), "not base64");
}

Test(config, the_life_of_the_main_process)
{
	AUTO_FREE char *spec = coded("SOCKERLESS_AGENT_SPEC", "{\"hold\":true,\"holdMs\":5,\"stayMs\":7,"
				     "\"restart\":{\"when\":\"on-failure\",\"maxRetries\":3}}");
	struct config c = LOAD(ARGV(TOKEN, spec), "true");

	cr_assert(c.hold);
	cr_assert_eq(c.hold_ms, 5);
	cr_assert_eq(c.stay_ms, 7);
	cr_assert_eq(c.restart.when, RESTART_ON_FAILURE);
	cr_assert_eq(c.restart.max_retries, 3);
	config_release(&c);
	c = LOAD(ARGV(TOKEN), "true");
	cr_assert(!c.hold);
	cr_assert_eq(c.hold_ms, 600000);
	cr_assert_eq(c.stay_ms, 0);
	cr_assert_eq(c.restart.when, RESTART_NO);
	config_release(&c);
}

Test(config, names)
{
	AUTO_FREE char *spec = coded("SOCKERLESS_AGENT_SPEC", "{\"hostname\":\"h\",\"domainname\":\"\",\"extraHosts\":[\"a:1.2.3.4\"],"
				     "\"dns\":[\"8.8.8.8\"],\"dnsSearch\":[\".\"],\"dnsOptions\":[\"ndots:1\",\"rotate\"]}");
	struct config c = LOAD(ARGV(TOKEN, spec), "true");

	cr_assert_str_eq(c.names.hostname, "h");
	cr_assert_null(c.names.domainname);
	cr_assert_str_eq(c.names.extra_hosts.v[0], "a:1.2.3.4");
	cr_assert_str_eq(c.names.dns.v[0], "8.8.8.8");
	cr_assert_str_eq(c.names.dns_search.v[0], ".");
	cr_assert_eq(c.names.dns_options.n, 2);
	config_release(&c);
}

Test(config, values_of_secrets_come_from_our_own_environment)
{
	AUTO_FREE char *var = coded("SOCKERLESS_AGENT_SPEC",
				    "{\"argv\":[\"x\"],\"env\":[\"A=given\",\"B=plain\"],\"inherit\":[\"A\",\"ABSENT\",\"C\"]}");
	struct config c = LOAD(ARGV(TOKEN, "A=secret=1", "C=new", "D=not asked for", var), "run");

	cr_assert_eq(c.main.env.n, 3);
	cr_assert_str_eq(c.main.env.v[0], "A=secret=1");
	cr_assert_str_eq(c.main.env.v[1], "B=plain");
	cr_assert_str_eq(c.main.env.v[2], "C=new");
	config_release(&c);
}

Test(config, what_cannot_work_is_refused_at_once)
{
	refused(1, ARGV("true"), ARGV(URL), "SOCKERLESS_AGENT_TOKEN");
	refused(1, ARGV("true"), ARGV(URL "&token="), "SOCKERLESS_AGENT_TOKEN");
	refused(0, ARGV(NULL), ARGV(TOKEN), "no command");
	refused(1, ARGV("true"), ARGV(TOKEN, "SOCKERLESS_AGENT_CALLBACK_URL=wss://gw/"), "no CA bundle");
	refused(1, ARGV("true"), ARGV(TOKEN, "SOCKERLESS_AGENT_CALLBACK_URL=https://gw/",
				      "SOCKERLESS_AGENT_CA_FILE=/no/such/file"), "CA bundle /no/such/file");
	refused(1, ARGV("true"), ARGV(TOKEN, "SOCKERLESS_AGENT_LISTEN=9111"), "want [HOST]:PORT");
	refused(1, ARGV("true"), ARGV(TOKEN, "SOCKERLESS_AGENT_LOG=loud"), "unknown level");
	refused(2, ARGV("-no-such", "true"), ARGV(TOKEN), "unknown option");
	refused(1, ARGV("true"), ARGV("SOCKERLESS_AGENT_TOKEN_FILE=/no/such/file"), "TOKEN_FILE");
}

Test(config, the_token_may_come_from_a_file)
{
	char path[] = "/tmp/agent-token-XXXXXX";
	AUTO_CLOSE int fd = mkstemp(path);
	AUTO_FREE char *var = xasprintf("SOCKERLESS_AGENT_TOKEN_FILE=%s", path);

	cr_assert_eq(write(fd, "from-file\n", 10), 10);
	struct config c = LOAD(ARGV(var), "true");

	unlink(path);
	cr_assert_str_eq(c.token, "from-file");
	config_release(&c);
}

Test(config, the_predecessors_url_has_the_token)
{
	struct config c = LOAD(ARGV(NULL), "-callback", "http://gw:9112/x?id=1&token=2", "--", "true");

	cr_assert_str_eq(c.token, "");
	cr_assert(c.main.open_stdin);
	config_release(&c);
}

Test(config, the_predecessors_flags_work)
{
	struct config c = LOAD(ARGV(TOKEN), "-addr", ":9000", "--callback=http://gw/", "-keep-alive",
			       "-log-level", "debug", "--", "sh", "-c", "x");

	cr_assert_eq(c.listen_port, 9000);
	cr_assert_str_eq(c.callback_url, "http://gw/");
	cr_assert(c.keep_alive);
	cr_assert_eq(c.log_level, LOG_LEVEL_DEBUG);
	cr_assert_eq(c.main.argv.n, 3);
	config_release(&c);
	c = LOAD(ARGV(TOKEN), "-keep-alive");
	cr_assert_str_eq(c.main.argv.v[0], "/bin/sh");
	config_release(&c);
}

Test(config, cloud_run_tells_execution_and_attempt)
{
	struct config c = LOAD(ARGV(TOKEN, "CLOUD_RUN_EXECUTION=job-x1", "CLOUD_RUN_TASK_ATTEMPT=2",
				    "SOCKERLESS_SIDECAR_PORT=0"), "true");

	cr_assert_str_eq(c.execution, "job-x1");
	cr_assert_eq(c.task_attempt, 2);
	cr_assert_eq(c.sidecar_port, 0);
	config_release(&c);
}
