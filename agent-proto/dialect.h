/* dialect - the predecessor's messages as plain C, and their JSON form (docs/predecessor.md): one JSON
 * object in each WebSocket text message. Pure. What it means is told in gateway/agents/dialect_agent.h
 * (we are the gateway) and src/agent/dialect.h (we are the agent).
 *
 * And a queue of such texts, for whoever has to wait for a socket. */
#ifndef AGENT_PROTO_DIALECT_H
#define AGENT_PROTO_DIALECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

#define DIALECT_MESSAGE_MAX (3 * 1024 * 1024) /* of JSON; its own longest is a replay of 1.4 MB */
#define DIALECT_CHUNK (32 * 1024)             /* bytes of data in a message, as the predecessor has it */
#define DIALECT_REPLAY (1024 * 1024)          /* but in a replay */

enum dialect_type {
	/* to the agent */
	DIALECT_EXEC, DIALECT_ATTACH, DIALECT_STDIN, DIALECT_CLOSE_STDIN, DIALECT_SIGNAL, DIALECT_RESIZE,
	/* from the agent */
	DIALECT_STDOUT, DIALECT_STDERR, DIALECT_EXIT, DIALECT_ERROR, DIALECT_HEALTH, DIALECT_LIFETIME_EXPIRED,
	DIALECT_UNKNOWN, /* of a later version; type_name says which */
};

/* A field that is absent is zero, as in the JSON. Decoded: everything is ours. */
struct dialect_message {
	enum dialect_type type;
	char *type_name;         /* DIALECT_UNKNOWN only */
	char *id;                /* which session: an exec's id, or one chosen for an attach; NULL = absent */
	struct strv cmd, env;
	char *workdir;
	bool tty;
	const uint8_t *data;     /* decoded: owned by the message, see mem */
	size_t data_len;
	char *signal, *message;
	bool has_code;
	int32_t code;
	uint16_t width, height;
	void *mem;               /* ours: what data points to */
};

/* Appends the JSON and a newline. -1: text that is not UTF-8 (JSON cannot carry it), or out is full. */
int dialect_encode(const struct dialect_message *m, struct buf *out, struct err *err);
/* Unknown fields are skipped, a known one of the wrong kind is an error, null is absent. *ret needs
 * dialect_release only after 0. */
int dialect_decode(const void *text, size_t n, struct dialect_message *ret, struct err *err);
void dialect_release(struct dialect_message *m);
/* Strings of this kind survive the way through JSON. */
bool dialect_can_carry(const char *s);

/* The signals the predecessor's agent knows, by their number; NULL: not one of them. */
const char *dialect_signal_name(int number);

/* ---- a queue of texts ------------------------------------------------------------------------- */

struct dialect_queue {
	struct buf bytes;        /* [length, 4 bytes of this machine][text], one after the other */
	size_t handed;           /* length of the front one that dialect_queue_next gave away */
};
void dialect_queue_init(struct dialect_queue *q, size_t max);
void dialect_queue_release(struct dialect_queue *q);
static inline size_t dialect_queue_len(const struct dialect_queue *q) { return q->bytes.len; }
int dialect_queue_put(struct dialect_queue *q, const void *text, size_t n);       /* -1: full */
int dialect_queue_say(struct dialect_queue *q, const struct dialect_message *m, struct err *err);
/* The next text, valid until the next call of any of these. False: there is none. */
bool dialect_queue_next(struct dialect_queue *q, const uint8_t **ret, size_t *ret_len);

#endif
