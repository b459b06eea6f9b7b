/* tunnel_state - what the tunnel_*.c share; private to them. One struct channel per process that is not over yet;
 * channel 1 is main.
 *
 *     tunnel.c          life, links, time            tunnel_process.c   what is asked of processes; their table
 *     tunnel_inbound.c  what the agent says          tunnel_settle.c    what follows: exits recorded and told
 *     tunnel_abandoned.c  processes without a client
 *     tunnel_trace.c    its last frames; pings
 *     tunnel_restart.c  main run again by its agent  tunnel_adopt.c     a session that the gateway did not have
 *     tunnel_save.c     for the next process image */
#ifndef AGENTS_TUNNEL_STATE_H
#define AGENTS_TUNNEL_STATE_H

#include <uthash.h>
#include <uv.h>

#include "agents/tunnel.h"
#include "base/token.h"

#define MAIN_CHANNEL 1

struct channel {
	uint32_t number;
	char exec_id[ID_HEX_MAX];        /* "" for main */
	struct stream *in, *out;         /* borrowed from the session; NULL once closed */
	const struct tunnel_sink *sink;  /* NULL: output is discarded */
	void *ctx;
	uint64_t input, discarded;       /* bytes taken for it; of its output, with no client to take them */
	uint64_t links;                  /* of the session, when it began */
	uint64_t alone_ms;               /* since when its terminal has no client; 0: it has one, or was to have none */
	uint64_t hung_up_ms;             /* when it was told last */
	bool hung_up_hard;
	bool exited, ended;
	const char *lost;                /* why its streams cannot be trusted; a sentence */
	struct exit_status status;       /* when exited; error is ours */
	UT_hash_handle hh;
};

struct input_waiter {
	void (*fn)(void *ctx);
	void *ctx;
	struct input_waiter *prev, *next;
};

/* What the agent has said of main's restarts, and we have not told yet: its output comes first. */
struct main_news {
	bool restarting;                 /* else: started again */
	struct exit_status status;       /* restarting; error is not kept */
	uint32_t count, pid;
	int64_t started_ns;
	struct main_news *prev, *next;
};

struct tunnel {
	struct gateway *g;
	struct container *c;             /* borrowed; registry_drop frees us before it goes */
	const struct tunnel_observer *observer;
	void *observer_ctx;
	struct session *session;
	struct link *link;               /* borrowed; tunnel_link_lost clears it */
	uint8_t boot_id[BOOT_ID_LEN], own_id[BOOT_ID_LEN]; /* the agent's, and the session's at our side */
	char *execution;
	uint32_t attempt, next_channel;
	uint64_t link_no, links, connected_ms, link_lost_ms;
	uint64_t discarded, hang_ups;    /* of all channels, the ended ones too */
	uv_timer_t *tick;                /* ours; freed by its close callback */
	uint64_t tick_due_ms;
	struct channel *channels;
	struct input_waiter *main_waiters;
	bool migrating;                  /* the agent's instance is being moved: silence means nothing */
	bool dirty, main_reported, freed;
	uint32_t main_pid;               /* 0 until it runs, and while it is restarting */
	uint32_t restarts;               /* by the policy, in this execution */
	struct main_news *main_news;
	size_t n_main_news;
	int64_t main_started_ns;
	struct timer *log_retry;
	struct tunnel_trace *trace;      /* ours; NULL before the first frame */
	struct ping_waiter *pings;
};

/* tunnel.c */
#define TUNNEL_ACK_DELAY_MS 25
struct tunnel *tunnel_alloc(struct gateway *g, struct container *c, const struct tunnel_observer *observer, void *observer_ctx);
void tunnel_on_tick(uv_timer_t *timer);
void tunnel_arm_tick(struct tunnel *t, uint64_t due_ms); /* at due_ms or earlier, if something earlier is armed already */

/* tunnel_process.c */
struct channel *tunnel_channel(struct tunnel *t, uint32_t number);
struct channel *tunnel_channel_add(struct tunnel *t, uint32_t number, const char *exec_id);
/* An exec of this container, by its whole name; NULL if it is none. What an agent says of others is nothing. */
struct exec *tunnel_exec_record(const struct tunnel *t, const char *exec_id);
void tunnel_channel_close(struct channel *ch);           /* its streams */
void tunnel_channel_free(struct tunnel *t, struct channel *ch);
void tunnel_wake_main_waiters(struct tunnel *t);

/* tunnel_abandoned.c */
void tunnel_abandon(struct tunnel *t, struct channel *ch);    /* nobody wants its output any more, nobody feeds it */
void tunnel_lose_clients(struct tunnel *t);                   /* the agent is not coming back */
void tunnel_note_alone(struct tunnel *t, struct channel *ch); /* if it is a terminal: since now */
uint64_t tunnel_hang_up_abandoned(struct tunnel *t, uint64_t now); /* whose time is up; when to call again */

/* tunnel_inbound.c */
#define OUTPUT_CHANGED "the output was changed on its way (checksums differ)"
extern const struct session_ops tunnel_session_ops;
void tunnel_take_exit(struct tunnel *t, struct channel *ch, const struct exit_status *status); /* copied */

/* tunnel_settle.c */
void tunnel_settle(struct tunnel *t);
void tunnel_end_exec(struct tunnel *t, struct channel *ch, const char *lost); /* and tell its sink */

/* tunnel_trace.c */
void tunnel_trace_out(struct tunnel *t, const struct frame_out *f);
bool tunnel_trace_in(struct tunnel *t, const uint8_t *frame, size_t n); /* true: it is a PONG */
void tunnel_answer_pings(struct tunnel *t, bool answered);

/* tunnel_restart.c */
void tunnel_take_restart(struct tunnel *t, const struct exit_status *status, uint32_t count);
void tunnel_take_start(struct tunnel *t, uint32_t pid, int64_t started_ns);
bool tunnel_settle_restarts(struct tunnel *t, struct channel *ch); /* false: main's output has to come first */

/* tunnel_adopt.c: open a channel for every process in the agent's list; or, when the agent has never heard our
 * answer to its first one, see what has become of them since. */
int tunnel_adopt(struct tunnel *t, const struct hello *h, struct err *err);
void tunnel_adopt_again(struct tunnel *t, const struct hello *h);

#endif
