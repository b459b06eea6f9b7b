/* relay_state - struct relay, which relay.c and relay_save.c share; private to them.
 *
 *   HELD ──relay_open──▶ OPEN ──process over──▶ FLUSHING ──all written──▶ LINGERING ──client's EOF──▶ DEAD
 *     └─────────────────────┴─────client gone──────┴──────────────────────────────────────────────────▶ */
#ifndef RELAY_STATE_H
#define RELAY_STATE_H

#include "base/token.h"
#include "relay.h"
#include "stdcopy.h"

#define RELAY_IN_MAX (64 * 1024 + DETACH_KEYS_MAX) /* beside what waits already */
#define RELAY_LINGER_MS 5000

enum relay_state { RELAY_HELD, RELAY_OPEN, RELAY_FLUSHING, RELAY_LINGERING, RELAY_DEAD };

struct relay {
	struct relay *prev, *next;
	struct gateway *g;
	enum relay_state state;

	/* The client. */
	struct conn *conn;             /* ours; NULL before relay_open and after the end */
	unsigned want;                 /* CONN_* as last asked for */
	struct buf out;                /* answer head, frame headers, closing sentence: before all else */
	struct buf in;                 /* read, but not yet taken by the process */
	bool client_eof, eof_passed, input_queued;
	struct timer *linger;
	unsigned head_polls;           /* how often to look yet whether the answer's head has been read */
	struct timer *head_timer;

	/* What the client types. */
	bool stdin_wanted;
	uint32_t channel;
	struct detach_keys keys;       /* n == 0: not watched */

	/* What it is shown. */
	bool raw;                      /* the client expects bare bytes, not frames */
	struct stdcopy_filter filter;
	bool filtering;                /* exec: not every byte passes */
	bool framing;                  /* bytes without frames, and the client wants frames */
	uint32_t frame_left;           /* payload still owed to the frame whose header is out */

	/* An exec. */
	struct tunnel *tunnel;         /* borrowed; NULL from on_end on */
	char exec_id[ID_HEX_MAX];

	/* An attach. */
	char container_id[ID_HEX_MAX];
	struct log_cursor *cursor;     /* ours */
	const uint8_t *piece;          /* of the log, not yet written; valid until the cursor moves */
	size_t piece_len;
	bool follow, close_stdin, exited, pump_queued, input_waits;
	struct container_waiter *exit_waiter;
	struct registry_waiter *agent_waiter;
	struct events_watch *start_watch;
};

extern struct relay *relays; /* every living one */
extern const struct tunnel_sink relay_exec_sink;
struct relay *relay_new(struct gateway *g);
void relay_die(struct relay *r);
void relay_say_lost(struct relay *r, const char *why); /* and that is the end of the stream */
void relay_on_client(struct conn *conn, void *ctx, unsigned events);
void relay_attach_exited(void *ctx, int exit_code, const char *error);
void relay_linger_over(void *ctx);
void relay_go_on(void *ctx); /* read and write as far as it goes */

#endif
