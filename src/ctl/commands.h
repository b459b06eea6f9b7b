/* commands - one function per subcommand of sockerlessctl; main.c has the table.
 * argv[0] is the subcommand's name. The return value is the exit status: COMMAND_USAGE makes main
 * print how to call it; any other failure has filled err. */
#ifndef CTL_COMMANDS_H
#define CTL_COMMANDS_H

#include "client.h"

enum { COMMAND_OK = 0, COMMAND_FAILED = 1, COMMAND_USAGE = 2 };

int command_agents(const struct client *c, int argc, char **argv, struct err *err);
int command_orphans(const struct client *c, int argc, char **argv, struct err *err);
int command_ping(const struct client *c, int argc, char **argv, struct err *err);
int command_restart(const struct client *c, int argc, char **argv, struct err *err);
int command_tunnel(const struct client *c, int argc, char **argv, struct err *err);

#endif
