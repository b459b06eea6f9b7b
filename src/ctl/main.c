/* sockerlessctl - looks into a running gateway. main is a table of subcommands. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "commands.h"

static const struct command {
	const char *name, *usage, *help;
	int (*run)(const struct client *c, int argc, char **argv, struct err *err);
} commands[] = {
	{"agents", "agents [--json]", "list the tunnels to agents in running containers", command_agents},
	{"orphans", "orphans [--json] [--remove JOB [--force]] [--adopt JOB]",
	 "list the jobs that no container here stands for; remove one, make one a container", command_orphans},
	{"ping", "ping CONTAINER", "ask an agent whether it lives, and how far away it is", command_ping},
	{"restart", "restart", "replace the gateway's program and settings; clients and their commands go on", command_restart},
	{"tunnel", "tunnel kill|streams|trace CONTAINER", "cut one tunnel's connection, the agent resumes; show how far its streams "
	 "are at both ends; its last frames", command_tunnel},
};
#define N_COMMANDS (sizeof(commands) / sizeof(*commands))

static void print_help(FILE *f)
{
	fprintf(f, "usage: sockerlessctl [-H ADDRESS] COMMAND\n\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(f, "  %-24s%s%s\n", commands[i].usage, strlen(commands[i].usage) > 24 ? "\n                           " : " ",
			commands[i].help);
	fprintf(f, "\n  -H, --host ADDRESS       unix:///path or tcp://host:port; default $DOCKER_HOST, else\n"
		"                           " CLIENT_DEFAULT_HOST "\n"
		"  --help, --version\n\n"
		"Exit status: 0 done, 1 the gateway refused or is not there, 2 wrong usage.\n");
}

static int run(const struct command *cmd, const struct client *c, int argc, char **argv)
{
	struct err err;
	int status = cmd->run(c, argc, argv, &err);

	if (status == COMMAND_USAGE)
		fprintf(stderr, "usage: sockerlessctl [-H ADDRESS] %s\n", cmd->usage);
	else if (status != COMMAND_OK)
		fprintf(stderr, "sockerlessctl: %s\n", err.msg);
	if (fflush(stdout) != 0 && status == COMMAND_OK)
		return COMMAND_FAILED;
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"host", required_argument, NULL, 'H'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	const char *docker_host = getenv("DOCKER_HOST");
	struct client c = {.host = docker_host && *docker_host ? docker_host : CLIENT_DEFAULT_HOST};
	int o;

	while ((o = getopt_long(argc, argv, "+H:h", options, NULL)) != -1) {
		switch (o) {
		case 'H':
			c.host = optarg;
			break;
		case 'h':
			print_help(stdout);
			return COMMAND_OK;
		case 'V':
			printf("sockerlessctl %s\n", VERSION);
			return COMMAND_OK;
		default:
			return COMMAND_USAGE; /* getopt has said why */
		}
	}
	for (size_t i = 0; optind < argc && i < N_COMMANDS; i++)
		if (strcmp(argv[optind], commands[i].name) == 0)
			return run(&commands[i], &c, argc - optind, argv + optind);
	if (optind < argc)
		fprintf(stderr, "sockerlessctl: no command \"%s\"\n\n", argv[optind]);
	print_help(stderr);
	return COMMAND_USAGE;
}
