/* tunnel - the gateway's end of one agent's session: the container's main process and its execs.
 * Lives from the agent's first HELLO to the end of the run, across any number of links.
 * It stores main's output in the container's log, tells the state machine about exits, and connects
 * each exec's streams to a sink (relay.c) or to nobody (then output is counted and dropped, as Docker
 * does for a client that went away). Loop thread only. */
#ifndef AGENTS_TUNNEL_H
#define AGENTS_TUNNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "control.h"
#include "session.h"

struct gateway;
struct container;
struct exec;
struct tunnel_sink;

/* A WebSocket that carries the session at present: libwebsockets (callback.c) or wslink (dial.c). */
struct link;
struct link_ops {
	void (*wake)(struct link *l);   /* frames wait: pull them with tunnel_next_frame when writable */
	void (*close)(struct link *l);  /* close soon; no more calls into the tunnel from this link */
	const char *(*peer)(const struct link *l);
	size_t (*queue)(const struct link *l); /* bytes in our kernel that the peer's has not confirmed */
	/* Send these frame bytes (a refusing WELCOME; may be empty), then close. */
	void (*refuse)(struct link *l, const struct buf *frame);
	/* Why this agent cannot be told that, or NULL: it can. NULL as a function: it can everything. */
	const char *(*cannot)(struct link *l, const struct control *c);
};
struct link {
	const struct link_ops *ops;
	struct tunnel *tunnel;          /* NULL until welcomed and after being fenced */
	bool asked;                     /* the registry has asked another one for it, in vain */
	struct proof *proof;            /* how its two sides prove themselves (proof.h); NULL: by the token */
};

/* Who is told what happens to a container's agent (cloud/lifecycle). May drop the tunnel. */
struct tunnel_observer {
	void (*agent_up)(void *ctx, struct container *c);      /* welcomed, or main has been started since */
	void (*agent_lost)(void *ctx, struct container *c);    /* the link is down */
	/* main has ended, its output is in the log up to the last byte, and its policy runs it again:
	 * agent_up follows when it does, for the count-th time. May not drop the tunnel. */
	void (*main_restarting)(void *ctx, struct container *c, const struct exit_status *status, uint32_t count);
	/* main has ended and its output is in the log up to the last byte */
	void (*main_exited)(void *ctx, struct container *c, const struct exit_status *status);
};

struct tunnel *tunnel_new(struct gateway *g, struct container *c, const struct hello *h,
			  const struct tunnel_observer *observer, void *observer_ctx);
void tunnel_free(struct tunnel *t);     /* end of run: sinks are told their stream is lost */

/* For the process image that takes over (registry_save): all but the link and the sinks. The restored one waits for its
 * agent's next link; whoever had a sink sets it again before anything arrives (exec_id: whose channel it must be, NULL
 * for a tool's); false: it is not there. Then nobody's execs lose their stdin and nobody's tools end. */
void tunnel_save(const struct tunnel *t, struct pack *p);
struct tunnel *tunnel_restore(struct gateway *g, struct container *c, const struct tunnel_observer *observer,
			      void *observer_ctx, struct unpack *u);
bool tunnel_set_sink(struct tunnel *t, uint32_t channel, const char *exec_id, const struct tunnel_sink *sink, void *ctx);
void tunnel_give_up_orphans(struct tunnel *t);

/* registry.c: a new link for this session; the former one, if any, is fenced and closed. */
int tunnel_attach_link(struct tunnel *t, struct link *l, const struct hello *h, bool new_session, struct err *err);
void tunnel_link_lost(struct tunnel *t, struct link *l);
int tunnel_receive(struct tunnel *t, const uint8_t *frame, size_t n, struct err *err);
int tunnel_next_frame(struct tunnel *t, struct frame_out *ret);
bool tunnel_is_up(const struct tunnel *t);
const char *tunnel_peer(const struct tunnel *t); /* "" without a link */
/* Has main been run (and perhaps ended since)? False while starting or restarting, or when it could not be run. */
bool tunnel_main_started(const struct tunnel *t, uint32_t *ret_pid, int64_t *ret_started_ns);
uint32_t tunnel_main_restarts(const struct tunnel *t);  /* by the policy, in this execution */
bool tunnel_is_idle(const struct tunnel *t); /* no exec's client waits for anything from it */
/* Close the socket as if the network had (sockerlessctl tunnel kill). False: there is none just now. */
bool tunnel_cut(struct tunnel *t);

const uint8_t *tunnel_boot_id(const struct tunnel *t);
const char *tunnel_execution(const struct tunnel *t);
uint32_t tunnel_attempt(const struct tunnel *t);
uint64_t tunnel_link_no(const struct tunnel *t);    /* of the latest link that was let in */
struct session *tunnel_session(struct tunnel *t);   /* for registry.c's challenge */
struct container *tunnel_container(const struct tunnel *t);

/* ---- processes ---------------------------------------------------------------------------------- */

/* Who takes an exec's output and is told of its end. Callbacks as in session_ops. */
struct tunnel_sink {
	bool detached;   /* nobody wants output or has input: called once, on_started or on_end */
	void (*on_started)(void *ctx);                               /* only for a detached one */
	size_t (*on_output)(void *ctx, const uint8_t *p, size_t n);  /* bytes written to the client */
	void (*on_input_room)(void *ctx);                            /* tunnel_input takes bytes again */
	/* All output has been delivered and the exit is recorded. Last call. lost: sentence if the stream
	 * was lost instead (then code is meaningless). */
	void (*on_end)(void *ctx, int exit_code, const char *lost);
};

/* Start the exec (its record says what). sink NULL: detached. Errors: ERR_CONFLICT if the container
 * has no agent. The channel is stored in the record first, so a crash cannot start it twice. */
int tunnel_exec(struct tunnel *t, struct exec *e, const struct tunnel_sink *sink, void *ctx, struct err *err);
/* The exec's client is gone: output is discarded from here on, stdin gets EOF. No more callbacks. By its channel (that
 * of its record when it was started): the record of one that has exited may be forgotten before its output is out. */
void tunnel_exec_detach(struct tunnel *t, uint32_t channel);
/* Run the agent's own program (tool.h, the only caller). *ret_channel is for the functions below. */
int tunnel_tool(struct tunnel *t, const struct strv *argv, bool input, const struct tunnel_sink *sink, void *ctx,
		uint32_t *ret_channel, struct err *err);
void tunnel_tool_cancel(struct tunnel *t, uint32_t channel); /* killed; no more callbacks */
size_t tunnel_input_room(struct tunnel *t, uint32_t channel);
size_t tunnel_input(struct tunnel *t, uint32_t channel, const void *p, size_t n); /* how many were taken */
void tunnel_input_eof(struct tunnel *t, uint32_t channel);
void tunnel_output_resume(struct tunnel *t, uint32_t channel);  /* the sink has room again */
/* channel 1 = the main process. main's stdin: several attached clients may feed it; whoever is told
 * "no room" registers here and is called once when there is. */
void tunnel_main_input_wait(struct tunnel *t, void (*fn)(void *ctx), void *ctx);
void tunnel_main_input_unwait(struct tunnel *t, void *ctx);
/* main is held by its spec until this; more than once is fine. */
int tunnel_begin_main(struct tunnel *t, struct err *err);
int tunnel_set_restart_policy(struct tunnel *t, const struct restart_policy *policy, struct err *err);
/* Main has ended or will: the agent need not stay for tools (spec key stayMs). */
int tunnel_leave(struct tunnel *t, struct err *err);
int tunnel_signal(struct tunnel *t, uint32_t channel, int number, struct err *err);
int tunnel_resize(struct tunnel *t, uint32_t channel, uint16_t rows, uint16_t cols, struct err *err);

struct tunnel_info {
	const char *peer, *execution;
	bool up, migrating;
	uint64_t connected_ms;          /* since the first HELLO */
	uint64_t away_ms;               /* without a link; 0: it has one */
	uint64_t silent_ms;             /* since a frame came on the present link */
	size_t queue;                   /* bytes ahead of a ping in our kernel */
	size_t abandoned;               /* terminals whose client has gone */
	uint64_t discarded;             /* bytes of output that had no client any more */
	uint64_t hang_ups;              /* of terminals that nobody sat before */
	size_t processes, unacknowledged; /* that the agent has not been told of as recorded; exits on their way */
	struct session_stats stats;
};
void tunnel_info(const struct tunnel *t, struct tunnel_info *ret);

/* The last frames, oldest first. */
struct tunnel_frame {
	uint64_t ago_ms;
	bool to_agent;
	const char *type;               /* DATA, ACK, FIN, RESET; HELLO, WELCOME, PING, PONG, GOAWAY, MIGRATING */
	uint32_t stream;
	uint64_t offset, limit;         /* RESET: its code; ACK: delivered, and how far the other side may go */
	size_t bytes;                   /* of its body */
};
void tunnel_trace_each(const struct tunnel *t, void (*fn)(void *ctx, const struct tunnel_frame *f), void *ctx);
/* Ask the agent whether it lives; fn once: it has answered (tunnel_info: rtt_us), or its link is lost for not having done so
 * within SESSION_PROBE_MS. False: it has no link. */
bool tunnel_ping(struct tunnel *t, void (*fn)(void *ctx, bool answered), void *ctx);
void tunnel_unping(struct tunnel *t, void *ctx);

struct tunnel_process {
	const char *exec_id;            /* "" for main */
	bool has_client;                /* somebody takes its output (main's: the log) */
	uint64_t input, discarded;      /* bytes */
	uint64_t alone_ms;              /* since its terminal's client has gone; 0: it has not */
};
bool tunnel_process(const struct tunnel *t, uint32_t channel, struct tunnel_process *ret); /* false: it is over */

#endif
