/* container - the record of one container and its state machine; the table of all of them.
 * This module is the only writer of records; every change is in the store before it is visible.
 *
 *   created ──start──▶ starting ──agent is up──▶ running ──exit──▶ exited ──start──▶ starting
 *      ▲                  │ failed                  │ rm -f / gone                    │
 *      └──────────────────┘                         ▼                                 ▼
 *                                                removing ─────────────────────────▶ (removed)
 *
 * Docker shows "starting" as "created" (first start) or "exited". A running one may also be paused, or
 * restarting: main has ended and is run again by the restart policy. Docker calls both running. That is
 * container_run.c; a restart that needs a new execution is "starting" and restarting. Loop thread only. */
#ifndef STATE_CONTAINER_H
#define STATE_CONTAINER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "base/err.h"
#include "base/token.h"

struct gateway;
struct log;
struct tunnel;

enum container_state { CONTAINER_CREATED, CONTAINER_STARTING, CONTAINER_RUNNING, CONTAINER_EXITED, CONTAINER_REMOVING };

struct container {
	/* Identity and configuration; fixed after create but for the name. */
	char id[ID_HEX_MAX];
	char *name;                 /* without slash */
	int64_t created_ns;
	json_t *config;             /* Docker's Config, image defaults merged in (Env, Cmd, Entrypoint, ...) */
	json_t *host_config;        /* as given, defaults filled */
	json_t *networking;         /* NetworkingConfig: EndpointsConfig as given and connected since (state/network.h) */
	json_t *mounts;             /* list, or NULL; api/container_mounts.h says what an entry holds */
	char *image;                /* as the user wrote it */
	char *image_id;             /* sha256:… of the config */
	char *image_ref;            /* what Cloud Run pulls: host/repo@sha256:… */
	bool tty, open_stdin, stdin_once, auto_remove;
	bool shares_network;         /* --network container:NAME */
	bool foreign;               /* the predecessor made its job: looked at, stopped and removed, never started */

	/* State. Change only through the functions below. */
	enum container_state state;
	int exit_code;
	char *error;                /* why the last start failed, or NULL */
	int64_t started_ns, finished_ns;
	uint32_t pid;               /* 0 while running: known from its job only, its agent has not spoken yet */
	json_t *ports;              /* of the latest run: NetworkSettings.Ports; NULL if none is exposed */
	bool output_incomplete;     /* the agent was lost before its last byte */
	uint64_t runs;              /* starts so far */
	bool paused, restarting;
	int restart_count;          /* by the policy, since the last docker start */
	int restart_base;           /* of these, before the present execution */
	int executions_lost;        /* in a row; cloud/again.c */
	bool stopped_by_hand;       /* since then: docker stop or kill; what unless-stopped looks at */
	bool exit_on_next;          /* since then: no restart whatever the policy says */
	json_t *health;             /* Docker's State.Health (state/health.h), or NULL */
	int64_t memory_limit;       /* of the present execution, in bytes */

	/* Cloud Run and the agent of the present run. */
	char *job, *execution;      /* short names; NULL if none */
	char token[ID_HEX_MAX];     /* what the agent proves itself with at first, */
	char agent_key[ID_HEX_MAX]; /* and from then on; "": none has called, or one without proofs. Shown to nobody */
	char agent_public[ID_HEX_MAX]; /* which process has that key */
	uint64_t staged_run;        /* its agent is there and holds main, in this run of the container whose network it
				     * shares (cloud/shared_task.h); 0: no */

	/* Not stored. */
	uint64_t version;           /* of the stored document */
	struct log *log;            /* ours; opened on first use by container_log */
	struct tunnel *tunnel;      /* borrowed; agents/registry sets and clears it */
	char *overlay_ref;          /* this run's image with the agent, instead of image_ref; NULL in other agent modes */
	bool hold;                  /* this run's main is held back until cloud/start lets it go */
	struct container_waiter *waiters; /* ours */
	UT_hash_handle hh_id, hh_name;
	struct containers *table;
};

struct containers;
/* Loads every record. log_dir: one file per container. */
struct containers *containers_new(struct gateway *g, const char *log_dir, struct err *err);
void containers_free(struct containers *t);

/* By full ID, then exact name (with or without slash), then unique ID prefix.
 * ERR_NOT_FOUND "No such container: x"; ERR_INVALID "multiple IDs found with provided prefix: x". */
struct container *containers_find(struct containers *t, const char *ref, struct err *err);
struct container *containers_by_id(struct containers *t, const char *id);
size_t containers_count(const struct containers *t);
size_t containers_sharing(const struct containers *t); /* how many are in another's network */
/* Newest first; a NULL-terminated array the caller frees. */
struct container **containers_list(struct containers *t);

/* A new record in CREATED; takes the JSON references (also on failure). name NULL: one is made up. Names are checked
 * (ERR_INVALID) and unique (ERR_CONFLICT, Docker's sentence). Emits "create". */
struct container_new {
	const char *name, *image, *image_id, *image_ref;
	json_t *config, *host_config, *networking, *mounts;
};
struct container *containers_add(struct containers *t, struct container_new *spec, struct err *err);
/* What of c another gateway needs to know it by: all that is no state. New reference. */
json_t *container_record(const struct container *c);
/* A container this table has lost, from such a record and the members of state that were found out (state, exitCode,
 * started, finished, job, execution, token, ... as stored). Borrowed. A name that is taken gets the short ID behind it.
 * Stored; nothing is emitted. */
struct container *containers_adopt(struct containers *t, const char *id, const json_t *record, struct err *err);
int container_rename(struct container *c, const char *name, struct err *err);
struct log *container_log(struct container *c, struct err *err);

/* Transitions; each stores, then wakes waiters and emits. -1 only if the store fails. */
/* runs++, stores job=NULL. A container that is restarting keeps its count. */
int container_set_starting(struct container *c, const char *token, struct err *err);
/* Not a start yet: its agent comes along with another container's. */
int container_set_staged(struct container *c, const char *token, uint64_t owners_run, const char *hostname, struct err *err);
/* The agent of this run that the token has let in. */
int container_set_agent_key(struct container *c, const char *key, const char *public_key, struct err *err);
int container_set_job(struct container *c, const char *job, const char *execution, struct err *err);
int container_set_ports(struct container *c, json_t *ports, struct err *err); /* takes the reference */
int container_set_start_failed(struct container *c, int exit_code, const char *sentence, struct err *err);
int container_set_running(struct container *c, uint32_t pid, int64_t started_ns, struct err *err);
/* Emits die (and nothing else), unless it was restarting and this is the exit known already.
 * incomplete: output may be missing. Told twice, the first one counts. While REMOVING the state stays so. */
int container_set_exited(struct container *c, int exit_code, int64_t finished_ns, bool incomplete, struct err *err);
int container_set_removing(struct container *c, struct err *err);
/* Deletes record and log, wakes everybody, emits destroy; c is gone. The tunnel is dropped before;
 * the caller also calls execs_container_removed. */
void container_remove(struct container *c);
int container_save(struct container *c, struct err *err); /* after a change to config or host_config */

/* During a run (container_run.c). Main has ended and the policy runs it again: emits die, wakes waiters;
 * container_set_running follows, or container_set_exited. count: RestartCount from now on. */
int container_set_restarting(struct container *c, int exit_code, int64_t finished_ns, int count, struct err *err);
/* It has been run again; perhaps not for the first time since we last heard of it. Emits start. */
int container_set_restarted(struct container *c, uint32_t pid, int64_t started_ns, int count, struct err *err);
/* Adopted as running, and now its agent has spoken: it runs since then; or (held) it never began. Nothing is emitted. */
int container_set_found(struct container *c, uint32_t pid, int64_t started_ns, int count, struct err *err);
int container_set_held(struct container *c, uint64_t owners_run, struct err *err);
int container_set_paused(struct container *c, bool paused, struct err *err);       /* emits pause, unpause */
int container_set_health(struct container *c, json_t *health, struct err *err);    /* stolen; emits health_status */
/* docker stop or kill. for_good: whatever the policy says. */
int container_set_stop_asked(struct container *c, bool for_good, struct err *err);
int container_set_host_config(struct container *c, json_t *host_config, struct err *err); /* stolen; emits update */

const char *container_state_name(const struct container *c);  /* as Docker's State.Status */
bool container_is_running(const struct container *c);         /* as Docker's State.Running: also paused, restarting */
/* ERR_CONFLICT in dockerd's words: what only a container with a living main process can do. */
int container_check_process(const struct container *c, struct err *err);

/* Waiters: for docker wait, attach, logs -f, stop. fn runs once, from the loop (deferred), with the
 * exit code; removed tells why. Conditions as Docker names them. */
enum wait_condition { WAIT_NOT_RUNNING, WAIT_NEXT_EXIT, WAIT_REMOVED };
struct container_waiter;
typedef void container_wait_cb(void *ctx, int exit_code, const char *error);
struct container_waiter *container_wait(struct container *c, enum wait_condition cond, container_wait_cb *fn, void *ctx);
void container_unwait(struct container_waiter *w); /* before fn has run */

/* Event attributes every container event carries: image, name, labels. New reference. */
json_t *container_event_attributes(const struct container *c);
void container_emit(struct container *c, const char *action); /* with those attributes */

#endif
