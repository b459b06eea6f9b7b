/* wire - what happens to requests and answers on their way: injected faults (knobs.h), and the recording of every
 * request with its answer. Every answer of the APIs leaves through wire_reply. */
#ifndef EMULATOR_WIRE_H
#define EMULATOR_WIRE_H

#include "emulator.h"

/* Collects the body, waits or answers as an injected fault wants it, else calls handle; body as by
 * exchange_collect_body. */
typedef void wire_handler(struct emulator *emu, struct exchange *x, const char *body, size_t len);
void wire_receive(struct emulator *emu, struct exchange *x, wire_handler *handle);

/* As exchange_reply. */
void wire_reply(struct exchange *x, int status, const char *type, const char *body, size_t len);
/* The client has gone; for who has an exchange_on_close of its own. */
void wire_forget(struct exchange *x);

/* One JSON object a line: {agent, method, path, query, request, status, response}, the bodies as text. */
int wire_record(struct emulator *emu, const char *file, struct err *err);

#endif
