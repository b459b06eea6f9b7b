/* proc_table - what proc.c, proc_main.c and proc_io.c share of the table (proc.h) and nobody else sees. */
#ifndef AGENT_PROC_TABLE_H
#define AGENT_PROC_TABLE_H

#include "base/err.h"
#include "proc.h"

struct procs {
	struct agent *agent;
	struct proc *by_channel, *by_id, *by_pid;
	struct proc *acked;              /* list, oldest first; the main process is never in it */
	struct proc *main;               /* also in by_channel */
	struct outlet *blocked;
	size_t running, tools;           /* in by_pid: those of the container, and ours */
	size_t unacked;                  /* exited rows the gateway has not confirmed, tools not counted */
	uint32_t highest;                /* channel given out so far: never reused, whoever asks */

	/* proc_main.c */
	struct exec_spec main_spec;      /* what it is run from; execs inherit */
	struct restart_policy policy;
	uint32_t restarts;               /* by the policy, the one a pause waits for included */
	uint64_t delay_ms;               /* the last pause */
	uint64_t started_ms;             /* of the present run, monotonic */
	struct timer *pause;
};

/* ---- proc.c ------------------------------------------------------------------------------------- */

struct proc *proc_new(struct procs *t, uint32_t channel, const char *exec_id);
int proc_open_streams(struct proc *p, bool detach, struct err *err);
/* From STARTING to RUNNING. -1: code and err as spawn's. */
int proc_spawn(struct proc *p, const struct exec_spec *spec, int *ret_code, struct err *err);
void proc_start_failed(struct proc *p, int code, const struct err *err);
void proc_finish(struct proc *p);        /* to EXITED, and tell */
void procs_tell(struct procs *t, const struct control *c);

/* ---- proc_main.c -------------------------------------------------------------------------------- */

bool main_goes_on(struct proc *p);       /* it has ended, drained and closed: is it run again? */
bool main_takes_signal(struct procs *t, int sig); /* it has no process: that is settled here */
const char *main_refuses_execs(const struct procs *t); /* why; NULL: it does not */
void main_reaped(struct proc *p);        /* everything else ends with it */
bool main_waits(const struct proc *p);   /* its input is kept for the next run */
bool main_has_next_run(const struct procs *t); /* if nothing changes */
void main_release(struct procs *t);

/* ---- proc_io.c ---------------------------------------------------------------------------------- */

void proc_io_init(struct proc *p, struct tee tee[2]); /* tee NULL: no copy */
void proc_io_open(struct proc *p, const struct spawned *s, struct pump *pump);
size_t proc_io_input(struct proc *p, const uint8_t *data, size_t n); /* bytes taken */
void proc_io_input_end(struct proc *p);  /* half-close: a pipe closes, a terminal stays */
void proc_io_reaped(struct proc *p);     /* note what is owed, read it soon */
bool proc_io_owes(const struct proc *p);
bool proc_io_ended(const struct proc *p); /* all outlets are at their end */
void proc_io_kick(struct proc *p);
void proc_io_unblock(struct outlet **blocked);
void proc_io_close(struct proc *p);
int proc_io_resize(struct proc *p, uint16_t rows, uint16_t cols);

struct outlet **procs_blocked(struct procs *t);
void proc_output_ended(struct proc *p);  /* the last outlet is at its end */

#endif
