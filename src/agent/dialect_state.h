/* dialect_state - what dialect.c and dialect_process.c share; private to them. */
#ifndef AGENT_DIALECT_STATE_H
#define AGENT_DIALECT_STATE_H

#include <uv.h>

#include "../../agent-proto/dialect.h"
#include "agent.h"
#include "control.h"
#include "dialect.h"
#include "proc.h"

struct wire {                    /* one WebSocket of a back end */
	struct dialect *dialect;
	struct wslink *ws;
	bool dialled;
	struct dialect_queue out;
	struct served *waits_for;    /* has no room for its input: reading is paused */
	struct wire *prev, *next;
};

struct served {                  /* one process */
	struct dialect *dialect;
	uint32_t channel;
	char *id;                    /* as the back end calls it; "" for main, see struct audience */
	struct wire *wire;           /* NULL: its back end is gone, or main's */
	struct stream *in, *out;     /* NULL when done with */
	bool tty, exited;
	bool over;                   /* its end has been told */
	bool acked;                  /* main: and that has left */
	struct exit_status status;   /* error is ours */
	struct buf rest;             /* input for which there was no room */
	/* where we are in the output's records */
	uint8_t head[RECORD_HEADER + RECORD_TIME];
	size_t head_len, left;
	struct served *prev, *next;
};

struct audience {                /* who has attached to main */
	struct wire *wire;
	char *id;
	struct audience *prev, *next;
};

struct dialect {
	struct agent *agent;
	void (*on_lost)(void *ctx);
	void *ctx;
	bool active, wake_due;
	struct session *session;     /* the gateway's end; NULL before HELLO */
	struct wire *wires;
	struct served *served;       /* main too */
	struct served *main;
	struct audience *audience;
	uint32_t next_channel;
	uint64_t main_offset;        /* of its output, taken so far */
	struct buf ring[2];          /* the last DIALECT_REPLAY of its stdout and stderr, or more */
	uv_timer_t *tick;
	uint8_t *frame;              /* one on its way */
};

/* dialect.c */
void dialect_say(struct wire *w, const struct dialect_message *m); /* what cannot be sent cuts the wire off later */
void dialect_set_paused(struct wire *w);

/* dialect_process.c */
extern const struct session_ops dialect_session_ops; /* ctx: the dialect */
int dialect_adopt(struct dialect *d, const struct hello *h, struct err *err); /* before session_accept */
int dialect_take(struct wire *w, const void *text, size_t n, struct err *err); /* -1: not the dialect */
void dialect_wire_lost(struct wire *w); /* its processes go on alone */
void dialect_settle(struct dialect *d); /* what follows from what has come: rooms, ends */
void dialect_release_all(struct dialect *d);

#endif
