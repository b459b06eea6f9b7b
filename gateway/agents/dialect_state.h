/* dialect_state - what dialect_agent.c and dialect_process.c share; private to them. */
#ifndef AGENTS_DIALECT_STATE_H
#define AGENTS_DIALECT_STATE_H

#include <uthash.h>
#include <uv.h>

#include "agents/dialect_agent.h"
#include "agents/dialect_replay.h"
#include "agents/tunnel.h"
#include "base/token.h"
#include "dialect.h"

#define MAIN_CHANNEL 1

struct dialect_wire {
	struct dialect_agent *agent;
	const struct dialect_wire_ops *ops;
	void *ctx;
	struct dialect_queue out;        /* to the agent */
	struct dialect_queue in;         /* from it, while what came before has no room */
	struct dialect_process *waits_for; /* the one that has no room */
	bool paused;
	bool closed;                     /* the socket is gone, but not yet all that came through it */
	bool held;                       /* it came while its predecessor was not yet finished with */
	uint32_t only;                   /* the one process it is for; 0: it is the agent's, for main at least */
	struct dialect_wire *prev, *next;
};

struct dialect_process {
	struct dialect_agent *agent;
	uint32_t channel;
	char id[ID_HEX_MAX];             /* as the agent knows it: exec's, and for main the container's */
	struct dialect_wire *wire;       /* NULL: none at present */
	struct stream *in, *out;         /* NULL when done with */
	bool tty, said, exited, in_ended;
	int signal;                      /* the last one sent: the agent does not say which ended it */
	struct exit_status status;       /* error is ours */
	uint8_t rest_tag;
	struct buf rest;                 /* output for which there was no room */
	UT_hash_handle hh;               /* by channel */
	UT_hash_handle hh_id;
};

struct dialect_agent {
	struct link base;                /* first: a struct link is a struct dialect_agent */
	struct dialects *all;
	char id[ID_HEX_MAX], peer[64];
	char *execution;                 /* ours: which run of the container; "" if it was not known yet */
	struct session *session;         /* the agent's end */
	uint64_t link_no;
	bool greeted;                    /* HELLO is with the registry, and has not been refused */
	bool wake_due, freed;
	bool closing;                    /* the tunnel is done with the link */
	bool expired;                    /* it has said that it takes no more processes */
	struct dialect_wire *main;       /* the agent's own; NULL: it is away */
	struct dialect_wire *wires;
	struct dialect_process *processes, *by_id;
	struct replay_tail tail[2];      /* of main's stdout and stderr */
	bool replay_due[2];              /* the next message of it begins with what we know */
	bool seeding;                    /* the log is being read for tail; attach waits for it */
	struct log_cursor *seed;
	uint64_t lost_ms;                /* main was lost and the tunnel does not know yet; 0: no */
	struct timer *forget;
	int end_code;                    /* main's, for when end fires */
	struct timer *end;
	uv_timer_t *tick;
	struct dialect_agent *prev, *next;
};

/* dialect_agent.c */
void dialect_wake(struct dialect_agent *a); /* look after everything soon */
void dialect_say(struct dialect_wire *w, const struct dialect_message *m); /* what cannot be sent closes the wire */
struct dialect_wire *dialect_wire_for(struct dialect_agent *a, uint32_t channel); /* NULL: the agent is away */

/* dialect_process.c */
extern const struct session_ops dialect_session_ops; /* ctx: the agent */
struct dialect_process *dialect_process_new(struct dialect_agent *a, uint32_t channel, const char *id);
void dialect_process_free(struct dialect_process *p);
void dialect_process_end(struct dialect_process *p, int code, const char *error);
/* Its wire is gone and it cannot be reached any more: killed by the agent, for that is what it does. */
void dialect_process_lost(struct dialect_process *p);
void dialect_process_attach(struct dialect_process *main); /* a new wire: subscribe, and go on */
/* A text from the agent. w->waits_for is set when it could not be passed on as a whole. */
int dialect_process_take(struct dialect_wire *w, const void *text, size_t n, struct err *err);
bool dialect_process_flush(struct dialect_process *p); /* true: its rest is gone */
void dialect_process_feed(struct dialect_process *p);  /* its wire may take input again */
const char *dialect_cannot(struct link *l, const struct control *c);

#endif
