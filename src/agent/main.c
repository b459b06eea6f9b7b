/* main - the command line of sockerless-agent. docs/agent.md is its manual. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "sidecar.h"
#include "tool.h"

#define EXIT_USAGE 125

extern char **environ;

static const char usage[] =
	"sockerless-agent run [--] COMMAND...   run COMMAND and connect it to the gateway\n"
	"sockerless-agent install DIR           bring the agent to a shared volume (sidecar)\n"
	"sockerless-agent tool NAME ...         what the gateway asks for beside COMMAND\n"
	"sockerless-agent --version | --help\n"
	"\n"
	"Predecessor's form: sockerless-agent [-addr [HOST]:PORT] [-callback URL] [-keep-alive]\n"
	"                                     [-log-level LEVEL] [-- COMMAND...]\n"
	"\n"
	"Environment of run (none of it reaches COMMAND):\n"
	"  SOCKERLESS_CONTAINER_ID          64 hex digits\n"
	"  SOCKERLESS_AGENT_TOKEN           the secret shared with the gateway, or\n"
	"  SOCKERLESS_AGENT_TOKEN_FILE      a file that holds it\n"
	"  SOCKERLESS_AGENT_CALLBACK_URL    the gateway; without it the agent listens\n"
	"  SOCKERLESS_AGENT_LISTEN          [HOST]:PORT (:9111 when there is no callback URL)\n"
	"  SOCKERLESS_AGENT_SPEC            base64 JSON: argv, env, user, workdir, tty, openStdin, ...\n"
	"  SOCKERLESS_AGENT_CA_FILE         CA bundle (ca-certificates.crt beside the agent)\n"
	"  SOCKERLESS_AGENT_LOG             error, warn (default), info, debug\n"
	"  SOCKERLESS_SIDECAR_PORT          the sidecar's probe port (9112; 0 = there is no sidecar)\n";

static int run(int argc, char *argv[])
{
	struct config cfg;
	struct err err;
	int code;

	if (config_load(argc, argv, environ, &cfg, &err) < 0) {
		log_error("cannot begin", "error=\"%s\"", err.msg);
		return EXIT_USAGE;
	}
	code = agent_run(&cfg);
	config_release(&cfg);
	return code;
}

static int install(int argc, char *argv[])
{
	const char *text = getenv("SOCKERLESS_SIDECAR_PORT");
	const char *level = getenv("SOCKERLESS_AGENT_LOG");
	enum log_level parsed = LOG_LEVEL_WARN;
	int64_t port = SIDECAR_PORT;

	if (argc != 1) {
		fprintf(stderr, "usage: sockerless-agent install DIR\n");
		return EXIT_USAGE;
	}
	if (text && *text && (parse_i64(text, &port) < 0 || port < 1 || port > 65534)) {
		log_error("cannot begin", "error=\"SOCKERLESS_SIDECAR_PORT: no port\"");
		return EXIT_USAGE;
	}
	if (level && *level)
		log_level_parse(level, &parsed);
	log_init("sockerless-agent", parsed);
	return sidecar_run(argv[0], getenv("SOCKERLESS_AGENT_CA_FILE"), (uint16_t)port);
}

int main(int argc, char *argv[])
{
	const char *verb = argc > 1 ? argv[1] : "";

	log_init("sockerless-agent", LOG_LEVEL_WARN);
	if (strcmp(verb, "--version") == 0 || strcmp(verb, "--help") == 0) {
		printf("%s", strcmp(verb, "--help") == 0 ? usage : "sockerless-agent " VERSION "\n");
		return fflush(stdout) == 0 ? 0 : 1;
	}
	if (strcmp(verb, "install") == 0)
		return install(argc - 2, argv + 2);
	if (strcmp(verb, "run") == 0)
		return run(argc - 2, argv + 2);
	if (strcmp(verb, "tool") == 0)
		return tool_run(argc - 2, argv + 2);
	if (*verb == '-')
		return run(argc - 1, argv + 1);
	fprintf(stderr, "%s", usage);
	return EXIT_USAGE;
}
