/* lifecycle_ops - what lifecycle.c, start.c, stop.c, remove.c, again.c, freeze.c, find_agent.c and watch.c share; private to them.
 *
 * One slot per container with anything going on. Each operation is a small struct with the one thing
 * it waits for (a call, a timer, the agent), a list of callers, and one function per step. */
#ifndef CLOUD_LIFECYCLE_OPS_H
#define CLOUD_LIFECYCLE_OPS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "base/err.h"
#include "base/pack.h"
#include "base/token.h"
#include "cloud/lifecycle.h"

struct cloud_call;
struct dial;
struct exit_status;
struct timer;

struct slot {
	char id[ID_HEX_MAX];
	struct lifecycle *l;
	struct start *start;
	struct stop *stop;
	struct removal *removal;
	struct freeze *freeze;     /* pause or unpause under way */
	struct again *again;       /* a lost execution's successor waits */
	struct watch *watch;       /* looks at the execution while no agent speaks for it */
	struct dial *dial;         /* forward mode */
	struct cloud_call *finding; /* its address in the execution's log */
	struct timer *hang_up;     /* ends the dialling of an agent that stays for an ended container's files */
	struct cloud_call *cancel; /* executions.cancel under way */
	bool hanging_up;           /* its link goes down within our own call: the slot stays */
	UT_hash_handle hh;
};

struct lifecycle {
	struct gateway *g;
	struct slot *slots;
	struct recovery *recovery; /* recover.c */
	bool stopping;             /* links that go down now are our own doing */
};

struct slot *slot_get(struct lifecycle *l, const char *id);    /* made when absent */
void slot_release(struct slot *s);                             /* freed when nothing goes on */
struct container *slot_container(const struct slot *s);        /* NULL when it was removed */

void run_ended(struct lifecycle *l, struct container *c);       /* after container_set_exited */

/* Callers of one operation. */
struct lifecycle_wait *waits_add(struct lifecycle *l, struct lifecycle_wait **list, lifecycle_cb *cb, void *ctx);
void waits_finish(struct lifecycle_wait **list, const struct err *err); /* all, from the loop; err copied */

/* start.c */
int start_begin(struct slot *s, struct container *c, struct err *err);
void start_resume(struct slot *s, struct container *c);        /* recover: the execution exists already */
struct lifecycle_wait **start_waits(struct start *st);
void start_agent_up(struct start *st, struct container *c);
void start_agent_lost(struct start *st);
void start_abort(struct start *st, const char *sentence);
bool start_is_waiting(const struct start *st);                  /* for the agent's call, and start_resume would do the same */
void start_main_exited(struct start *st, struct container *c, const struct exit_status *status);

/* stop.c */
int stop_begin(struct slot *s, struct container *c, int signal, int timeout_s, struct err *err);
struct lifecycle_wait **stop_waits(struct stop *st);
void stop_end(struct stop *st, const struct err *err);
void stop_end_soon(struct stop *st);                            /* well, from the loop */
bool stop_is_waiting(const struct stop *st);                    /* for the end or a deadline */
void stop_save(const struct stop *st, struct pack *p);
void stop_restore(struct slot *s, struct unpack *u);
int signal_number_of(const struct container *c);               /* StopSignal */
void cancel_execution(struct slot *s, struct container *c);

/* remove.c */
int removal_begin(struct slot *s, struct container *c, bool force, struct err *err);
struct lifecycle_wait **removal_waits(struct removal *r);
void removal_take_volumes(struct removal *r);                   /* those that nobody named */
void removal_agent_left(struct removal *r);
void removal_end(struct removal *r, const struct err *err);
void removal_automatic(struct slot *s, struct container *c);   /* --rm */

/* again.c; true: the container lives on, and all is arranged */
bool again_after_end(struct slot *s, struct container *c, int exit_code, int64_t finished_ns, bool incomplete);
bool again_after_failed_start(struct slot *s, struct container *c);
bool again_end(struct slot *s);                                /* it does not, after all; was there something to end? */

/* freeze.c */
void freeze_end(struct freeze *f, const struct err *err);
void thaw_for_signal(struct slot *s, struct container *c);     /* paused no more, and no need to wait for it */

/* find_agent.c: forward mode, or no callback for a while. For the container's present execution; once found, it is dialled
 * until slot_hang_up. Not found (yet), nothing happens: ask again. */
void find_agent_if_silent(struct slot *s, struct container *c, uint64_t silent_ms);
void slot_hang_up(struct slot *s);

/* lifecycle.c: what a former process or another disk left */
void take_up(struct lifecycle *l, struct container *c);

/* recover.c */
void recovery_end(struct lifecycle *l);
bool recovery_is_over(const struct lifecycle *l);              /* nothing is being adopted */

/* watch.c */
void watch_begin(struct slot *s, uint64_t first_ms);           /* first look after so long */
void watch_end(struct slot *s);
void run_lost(struct slot *s, struct container *c, int code, const char *how); /* ended without its agent's word */

#endif
