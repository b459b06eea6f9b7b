/* exec - the record of one docker exec: what was asked, whether it runs, how it ended.
 * The agent's table is the truth about processes (idempotent by exec id); this one remembers the
 * request and the result for docker inspect. Stored, so that a restarted gateway still knows them. */
#ifndef STATE_EXEC_H
#define STATE_EXEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/token.h"

struct gateway;
struct container;

enum exec_state { EXEC_CREATED, EXEC_STARTED, EXEC_EXITED };

struct exec {
	char id[ID_HEX_MAX];
	char container_id[ID_HEX_MAX];
	uint64_t run;                /* the container's run it belongs to */
	uint32_t channel;            /* in the tunnel; 0 until started */
	struct strv argv, env;
	char *workdir, *user, *detach_keys;
	bool tty, attach_stdin, attach_stdout, attach_stderr, privileged;
	bool probe;                  /* of a health check */
	bool detached;               /* started without a client */
	char *by;                    /* who started it: the client's address; NULL: we, or nobody has */
	uint16_t rows, cols;
	enum exec_state state;
	uint32_t pid;
	int exit_code;               /* valid when EXEC_EXITED */
	char *error;                 /* why it could not start, or NULL */
	int64_t created_ns, finished_ns;

	/* Not stored. */
	uint64_t version;
	bool exit_visible;
	UT_hash_handle hh;
	struct execs *table;
};

#define EXECS_KEPT_MAX 4096     /* finished ones; the oldest are forgotten first */
#define EXECS_OPEN_MAX 65536    /* created or running; ERR_LIMIT above */

struct execs;
/* Loads; g->containers is there already: execs of containers that are gone are forgotten, those of an
 * ended run have ended. The rest stays as it was (STARTED: the agent's HELLO decides). */
struct execs *execs_new(struct gateway *g, struct err *err);
void execs_free(struct execs *t);
struct exec *execs_find(struct execs *t, const char *id_or_prefix, struct err *err); /* "No such exec instance: x" */
/* Takes the contents of *spec (strings and lists are moved, *spec is zeroed; on failure it is as it was).
 * id is minted, state CREATED, stored. ERR_LIMIT above EXECS_OPEN_MAX. */
struct exec *execs_add(struct execs *t, struct container *c, struct exec *spec, struct err *err);
int exec_set_started(struct exec *e, uint32_t channel, struct err *err);
void exec_set_pid(struct exec *e, uint32_t pid);
int exec_set_exited(struct exec *e, int exit_code, const char *error, int64_t finished_ns, struct err *err);
/* Why it could not be run, in dockerd's words; NULL if it could. Caller frees. */
char *exec_start_error(const struct exec *e);
/* "exec_create: sh -c true"; dockerd's blank behind a lone word included. */
void exec_emit(const struct exec *e, struct container *c, const char *what);
/* The container ended or its run is over: every exec of it that still runs has ended (137). */
void execs_container_ended(struct execs *t, const char *container_id, uint64_t run);
void execs_container_removed(struct execs *t, const char *container_id);
/* How many there are in each state. */
void execs_count(const struct execs *t, size_t ret[EXEC_EXITED + 1]);
/* IDs of the execs of a container that are not finished, as a JSON array, or JSON null. */
json_t *execs_ids(struct execs *t, const char *container_id);

#endif
