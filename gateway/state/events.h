/* events - what happened, told to whoever listens, and the last EVENTS_HISTORY of it. */
#ifndef STATE_EVENTS_H
#define STATE_EVENTS_H

#include <jansson.h>
#include <stdint.h>

#include "base/pack.h"

#define EVENTS_HISTORY 256

struct events;
struct events *events_new(void);
void events_free(struct events *e);

/* Type "container", action "start", actor id and attributes (a JSON object, stolen; may be NULL).
 * Keeps the time. The stored object is in Docker's newest form plus status, id, from. */
void events_emit(struct events *e, const char *type, const char *action, const char *id, json_t *attributes);

struct events_watch; /* fn(ctx, event): event is borrowed; called inside events_emit, must not emit */
struct events_watch *events_watch(struct events *e, void (*fn)(void *ctx, json_t *event), void *ctx);
void events_unwatch(struct events_watch *w);
/* The history, for the process image that takes over. */
void events_save(const struct events *e, struct pack *p);
void events_restore(struct events *e, struct unpack *u);
/* Borrowed events, oldest first. */
size_t events_history(const struct events *e);
json_t *events_history_at(const struct events *e, size_t i);

#endif
