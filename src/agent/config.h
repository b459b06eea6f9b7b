/* config - what the agent is told: command line and SOCKERLESS_* environment, checked once.
 * docs/agent.md lists every variable. Nothing of it reaches the user's process. */
#ifndef AGENT_CONFIG_H
#define AGENT_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "control.h"
#include "names.h"
#include "setup.h"

#define AGENT_LISTEN_PORT 9111
#define SIDECAR_PORT 9112 /* the startup probe; the next port is the life line */
#define LINGER_MS 60000
#define HOLD_MS (10 * 60 * 1000)
#define TUNNEL_MEMORY (32 << 20)
#define RENEW_MS (1590 * 1000)       /* +- 6 %: 25 to 28 minutes */

struct config {
	char *container_id;          /* ours, as are all strings; "" if not given */
	char *token;
	char *callback_url;          /* NULL = no reverse link */
	char *ca_file;               /* NULL = none found */
	char *execution;             /* "" outside Cloud Run */
	uint32_t task_attempt;
	char *listen_host;           /* NULL = do not listen */
	uint16_t listen_port;
	uint16_t sidecar_port;       /* 0 = no sidecar to hold on to */
	enum log_level log_level;
	uint64_t linger_ms;
	uint64_t stay_ms;            /* for tools, after all is confirmed */
	bool hold;                   /* the main process waits for BEGIN, */
	uint64_t hold_ms;            /* for so long while no gateway is there */
	bool checksums;              /* of streams from their first byte on, before a gateway asks for it */
	bool proofs;                 /* the gateway knows them (proof.h): the token itself is never sent */
	uint64_t renew_ms;           /* a link is replaced at this age; 0 = only where the gateway says so */
	size_t tunnel_memory;        /* what windows may grow by, of all streams together */
	struct restart_policy restart;
	bool keep_alive;             /* the predecessor's flag: stay when the main process has ended */
	int stop_signal;             /* what Cloud Run's SIGTERM becomes for the main process */
	struct exec_spec main;       /* argv, complete env, workdir, user, terminal */
	struct names names;
	struct setup setup;
	bool stdin_once;             /* the gateway acts on it; here for the record */
};

/* argv: everything behind the program's name (and behind "run"). envp: the process' environment.
 * On failure *ret is untouched. */
int config_load(int argc, char *const argv[], char *const envp[], struct config *ret,
		struct err *err);
void config_release(struct config *c);
/* `file` in the folder of the running executable; caller frees. */
char *config_beside_executable(const char *file);

#endif
