/* control - the tunnel's control messages as plain C, and their protobuf form (tunnel.proto).
 * control.c is the only file that sees the generated tunnel.pb-c.h. Pure.
 *
 * Two classes. Link messages (HELLO, WELCOME, PING, PONG, GOAWAY, MIGRATING) concern one WebSocket and die
 * with it. Session messages (all others) travel as records of the session's control streams:
 * ordered, re-sent after a cut, delivered exactly once. */
#ifndef AGENT_PROTO_CONTROL_H
#define AGENT_PROTO_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

#define TUNNEL_PROTOCOL_VERSION 1
#define TUNNEL_SUBPROTOCOL "sockerless.tunnel.v1"
#define BOOT_ID_LEN 16
#define CONTROL_MESSAGE_MAX (512 * 1024) /* an EXEC with its environment; protobuf bytes */
#define CONTROL_PROCS_MAX 8192           /* rows of the exec table in one HELLO */
#define CONTROL_STREAMS_MAX 32768        /* rows of streams in one HELLO or WELCOME */
#define CONTROL_HANDSHAKE_MAX (3 * 1024 * 1024) /* HELLO and WELCOME with all their rows */
#define PROOF_TRAILER_LEN 35             /* of HELLO and WELCOME, behind their rows (proof.h) */
#define CONTROL_CHANNEL_MAX 0x7fffffff

/* The agent's process table. The main process is channel 1; execs count up from 2, never reused. */
enum proc_state {
	PROC_STARTING = 0,
	PROC_RUNNING = 1,
	PROC_EXITED = 2,
	PROC_HELD = 3,       /* main only: it waits for BEGIN */
	PROC_RESTARTING = 4, /* main only: it has ended and will be run again by its restart policy */
};

struct exit_status {
	int32_t code;             /* 0..255 as a shell would show it: 128+n for signal n; 126, 127 */
	int32_t signal;           /* > 0 when a signal ended the process */
	bool core_dumped;
	bool pipes_held;          /* a descendant still held stdout or stderr when we closed them (R13) */
	uint64_t final_offset;    /* of the output stream: exit may be reported once these are written */
	uint64_t output_check;    /* stream_check of the output at final_offset; 0 = none */
	int64_t started_ns, finished_ns; /* wall clock; started 0 if it never ran */
	char *error;              /* why it could not start (code 125, 126 or 127), or NULL; ours. With a
				   * started_ns: why main could not be started again (code: of its last run) */
};

struct proc_row {                 /* one row of the exec table, as HELLO lists it */
	uint32_t channel;
	char *exec_id;            /* Docker's 64 hex digits; "" for the main process; ours */
	uint8_t spec_hash[32];
	enum proc_state state;
	uint32_t pid;
	struct exit_status exit;  /* PROC_EXITED: valid; PROC_RESTARTING: of the run before; else only
				   * started_ns may be set */
	uint32_t restarts;        /* main: runs begun by the restart policy since BEGIN */
};

struct stream_row {               /* one stream's position on the reporting side */
	uint32_t id;
	uint64_t received;        /* receiver: contiguous bytes taken from the link */
	uint64_t delivered;       /* receiver: bytes written to their destination */
	uint64_t acked;           /* sender: the peer's delivered as last heard; replay starts here */
	uint64_t next_send;       /* sender: end of what the application wrote */
	bool fin;                 /* sender: finished at next_send; receiver: fin seen */
	bool reset;
};

struct hello {
	uint32_t version;
	char *container_id, *execution, *agent_version;   /* ours */
	uint32_t task_attempt;
	uint8_t boot_id[BOOT_ID_LEN];
	uint64_t link_no;                 /* 1, 2, 3 ... within a boot */
	uint8_t gateway_id[BOOT_ID_LEN];  /* the gateway session we were last welcomed by; 0 = none */
	uint32_t window_in, window_out;   /* bytes a stream may hold unacknowledged at first */
	uint32_t features;                /* what the agent can do, FEATURE_* */
	struct proc_row *procs; size_t n_procs;
	struct stream_row *streams; size_t n_streams;
};

/* What both sides may do once WELCOME has said so. Bits a side does not know are ignored. */
enum { FEATURE_CHECKS = 1,       /* FIN carries a checksum of the stream */
       FEATURE_MIGRATING = 2 };  /* the agent may say that it will be still for a while */

enum welcome_verdict {
	WELCOME_RESUMED = 0,   /* same session: continue from the positions */
	WELCOME_NEW = 1,       /* the gateway knows nothing of this session: control streams restart at
				* 0, data streams continue from the positions listed */
	WELCOME_UNKNOWN = 2,   /* no such container: stop dialling */
	WELCOME_SUPERSEDED = 3,/* a later attempt has taken over: stop dialling */
	WELCOME_DUPLICATE = 4, /* another agent holds the container and is alive: dial slowly */
	WELCOME_RETRY = 5,     /* come back after retry_after_ms */
};
struct welcome {
	enum welcome_verdict verdict;
	uint8_t gateway_id[BOOT_ID_LEN];
	uint32_t retry_after_ms;          /* RETRY: when to come back; RESUMED and NEW: how far apart the
					   * agents' first tries shall be when the link is lost */
	char *message;                    /* ours */
	uint32_t features;                /* what of them both shall do */
	uint32_t link_lifetime_ms;        /* something between us ends links of this age; 0 = nothing known */
	struct stream_row *streams; size_t n_streams;
};

struct exec_spec {
	uint32_t channel;
	char *exec_id;                    /* ours */
	struct strv argv, env;            /* env: whole assignments, added to the main process's */
	char *workdir, *user;             /* NULL or "" = as the main process */
	bool tty, open_stdin, detach;     /* detach: output goes nowhere and stdin is /dev/null */
	uint16_t rows, cols;              /* 0 = not given */
	/* The agent's own program is run as `sockerless-agent tool argv...` with the agent's rights, in
	 * "/" and without the container's environment: cp, top, stats and the like need nothing of the
	 * image. Also possible while main is held and after it has ended. */
	bool tool;
};
/* sha256 over the canonical protobuf form without the channel: what "the same exec" means (R18). */
void exec_spec_hash(const struct exec_spec *spec, uint8_t out[32]);
void exec_spec_release(struct exec_spec *spec);

/* When the agent runs main again after it has ended, with a growing pause (100 ms doubled to 1 min; a
 * run of 10 s starts over). Its file system is kept, as in Docker. */
enum restart_when { RESTART_NO, RESTART_ON_FAILURE, RESTART_ALWAYS };
struct restart_policy {
	enum restart_when when;
	uint32_t max_retries;             /* RESTART_ON_FAILURE; 0 = no limit */
};

enum control_type {
	CONTROL_HELLO, CONTROL_WELCOME, CONTROL_PING, CONTROL_PONG, CONTROL_GOAWAY,   /* link */
	CONTROL_MIGRATING,
	CONTROL_EXEC, CONTROL_STARTED, CONTROL_EXIT, CONTROL_EXIT_ACK,                /* session */
	CONTROL_SIGNAL, CONTROL_RESIZE, CONTROL_BEGIN, CONTROL_RESTART_POLICY, CONTROL_RESTARTING,
	CONTROL_LEAVE,
};

struct control {
	enum control_type type;
	uint32_t channel;                 /* session messages: which process */
	union {
		struct hello hello;
		struct welcome welcome;
		struct { uint64_t stamp_us; } ping;           /* PONG returns it unchanged */
		struct { uint32_t reconnect_within_ms; } goaway;
		struct exec_spec exec;
		struct { uint32_t pid; int64_t started_ns; } started;
		struct { struct exit_status status; } exit;
		struct { int32_t number; } signal;            /* to the process, not its group */
		struct { uint16_t rows, cols; } resize;
		/* CONTROL_BEGIN has no fields: main, held until now by its spec, is run. Again: nothing. */
		struct restart_policy restart_policy;         /* replaces the spec's; NO before a stop */
		/* main has ended (status, its output delivered up to final_offset) and STARTED follows
		 * after delay_ms, unless the policy changes: then EXIT does. */
		struct { struct exit_status status; uint32_t count, delay_ms; } restarting;
		/* CONTROL_LEAVE has no fields: nobody needs the agent once main has ended. */
		/* CONTROL_MIGRATING has no fields: our instance is moved; silence means nothing. */
	};
};

/* Appends the protobuf bytes to out; -1 if that would pass CONTROL_MESSAGE_MAX (HELLO and WELCOME:
 * CONTROL_HANDSHAKE_MAX) or out's own maximum, or an EXEC holds a text that the agent would not take. */
int control_encode(const struct control *c, struct buf *out, struct err *err);
/* Fills *ret (release it with control_release). Refuses unknown types, out-of-range values and
 * lists beyond their bounds; unknown fields are skipped, as protobuf defines. */
int control_decode(const uint8_t *p, size_t n, struct control *ret, struct err *err);
void control_release(struct control *c);

#endif
