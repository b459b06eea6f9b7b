/* proc - one process and its two streams, and the table of all of them (R18: the table is the truth
 * about what was started).
 *
 *   STARTING ──spawn──> RUNNING ──exit, output drained──> EXITED ──EXIT_ACK, 10 min──> forgotten
 *       └────────── cannot start: 126, 127 ────────────────┘
 *
 * and the main process, besides:
 *
 *   HELD ──BEGIN──> STARTING        RUNNING ──its restart policy──> RESTARTING ──pause──> STARTING
 *     └──a signal, no gateway──> EXITED                                └──a signal, policy no──> EXITED
 *
 * proc.c owns the table and the life cycle, proc_main.c what only the main process does, proc_io.c the
 * descriptors; proc_table.h is between them. Loop thread only. */
#ifndef AGENT_PROC_H
#define AGENT_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uthash.h>

#include "agent.h"
#include "control.h"
#include "pump.h"
#include "session.h"
#include "spawn.h"
#include "tee.h"

#define MAIN_CHANNEL 1
#define EXEC_ROWS_MAX 4096               /* the oldest acknowledged go first */
#define EXEC_KEEP_MS (10 * 60 * 1000)    /* after EXIT_ACK */
#define DRAIN_IDLE_MS 100                /* R13: a descendant holds the pipes and is silent so long, */
#define DRAIN_MAX_MS 2000                /* or not silent: then we close them */

struct outlet {                          /* one descriptor the process writes to */
	struct pump_item item;
	struct proc *proc;
	struct tee *tee;                 /* NULL but for the main process */
	uint8_t tag;                     /* of its records: 1 stdout, 2 stderr */
	bool blocked;                    /* in agent's list of those that wait for window */
	bool grown;                      /* its pipe has been found full of bulk once */
	size_t chunk;                    /* to read at once: grows with what comes */
	size_t owed;                     /* bytes from before the process' exit, still to be read */
	struct outlet *prev, *next;      /* list of the blocked */
};

struct proc {
	struct procs *table;
	uint32_t channel;
	char *exec_id;                   /* ours; "" for the main process */
	uint8_t spec_hash[32];
	enum proc_state state;
	pid_t pid;                       /* 0 = never ran */
	bool reaped;                     /* the process has ended; its output may not have */
	bool acked;
	uint64_t acked_ms;
	struct exit_status exit;

	bool tool;                       /* the agent's own program: it outlives the container */
	struct stream *in, *out;         /* NULL when done with */
	bool in_ended;                   /* all of in has come */
	uint64_t out_end;                /* where out ended, once it is NULL */
	bool tty;
	uint8_t record_head;             /* 0, 8 or 16 bytes before each piece of output */
	struct pump_item inlet;
	struct outlet outlet[2];
	bool inlet_grown;                /* the pipe of its stdin has been found full once */
	bool active;                     /* output was read since the drain timer last looked */
	uint64_t reaped_ms;
	struct timer *drain;

	UT_hash_handle hh;               /* by channel */
	UT_hash_handle hh_id;            /* by exec_id; not the main process */
	UT_hash_handle hh_pid;           /* while it runs */
	struct proc *prev, *next;        /* list of the acknowledged, oldest first */
};

/* ---- the table ---------------------------------------------------------------------------------- */

struct procs *procs_new(struct agent *a);
void procs_free(struct procs *t);        /* closes descriptors, kills no one; NULL is fine */

void procs_start_main(struct procs *t);  /* by the configuration: runs it or holds it */
void procs_begin_main(struct procs *t);  /* if it is held */
void procs_end_held_main(struct procs *t, const char *why); /* it will not be begun: 125 */
/* From now on. RESTART_NO also ends a pause. */
void procs_set_restart(struct procs *t, const struct restart_policy *policy);
void procs_exec(struct procs *t, uint32_t channel, const struct exec_spec *spec);
void procs_signal(struct procs *t, uint32_t channel, int sig);
void procs_resize(struct procs *t, uint32_t channel, uint16_t rows, uint16_t cols);
void procs_exit_acked(struct procs *t, uint32_t channel);
void procs_reap(struct procs *t);        /* collect every ended child, ours or adopted */

void procs_list(const struct procs *t, struct hello *ret); /* appends the rows */
/* NULL while the main process runs or its output is not yet drained. */
const struct exit_status *procs_main_exit(const struct procs *t);
bool procs_main_held(const struct procs *t);
bool procs_settled(const struct procs *t); /* all but tools has ended, and the gateway has all of it */
unsigned procs_tools(const struct procs *t); /* that run */
uint64_t procs_main_unacked(const struct procs *t); /* output bytes not confirmed */

/* Session callbacks. */
size_t procs_on_data(struct stream *st, const uint8_t *p, size_t n);
void procs_on_fin(struct stream *st);
void procs_on_reset(struct stream *st);
/* Windows may have opened: let those who waited for it read again. After every received frame. */
void procs_unblock(struct procs *t);

#endif
