/* dialect_dial - the sockets to a predecessor's agent that listens: one WebSocket for main, and one for every
 * process that is run beside it, as its own gateway has it, so that no process waits for another's reader.
 * dial.c has found the agent and opened the first one. */
#ifndef AGENTS_DIALECT_DIAL_H
#define AGENTS_DIALECT_DIAL_H

struct gateway;
struct wslink;
struct dialect_dial;

/* url: of the agent's WebSocket. on_gone: the connection for main is closed; give another, some time. */
struct dialect_dial *dialect_dial_new(struct gateway *g, const char *container_id, const char *url, const char *token,
				      void (*on_gone)(void *ctx), void *ctx);
/* An open WebSocket for main; it is ours from here on. main_exit: the code its main process has ended with, or -1. */
void dialect_dial_take(struct dialect_dial *d, struct wslink *ws, int main_exit);
void dialect_dial_free(struct dialect_dial *d); /* all are closed; NULL is fine */

#endif
