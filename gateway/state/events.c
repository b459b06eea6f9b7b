/* events - the ring of recent events and the list of listeners.
 * A listener may stop listening, itself or another, while an event is being told: it is then only
 * marked, and freed after the round. */
#include "state/events.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/mem.h"
#include "state/doc.h"

struct events_watch {
	struct events_watch *prev, *next;
	struct events *events;
	void (*fn)(void *ctx, json_t *event);
	void *ctx;
	bool gone;
};

struct events {
	json_t *ring[EVENTS_HISTORY];
	uint64_t emitted;
	struct events_watch *watches;
	bool telling;
};

struct events *events_new(void)
{
	return xcalloc(1, sizeof(struct events));
}

void events_free(struct events *e)
{
	struct events_watch *w, *tmp;

	if (!e)
		return;
	DL_FOREACH_SAFE(e->watches, w, tmp)
		free(w);
	for (size_t i = 0; i < EVENTS_HISTORY; i++)
		json_decref(e->ring[i]);
	free(e);
}

static json_t *event_new(const char *type, const char *action, const char *id, json_t *attributes)
{
	bool container = strcmp(type, "container") == 0;
	int64_t now = clock_wall_ns();
	json_t *ev = json_object(), *actor = json_object();

	/* The members of API versions before 1.22, which clients still read. */
	if (container || strcmp(type, "image") == 0) {
		json_object_set_new(ev, "status", doc_text(action));
		if (*id)
			json_object_set_new(ev, "id", doc_text(id));
	}
	if (container && doc_str(attributes, "image"))
		json_object_set(ev, "from", json_object_get(attributes, "image"));
	json_object_set_new(actor, "ID", doc_text(id));
	json_object_set_new(actor, "Attributes", attributes);
	json_object_set_new(ev, "Type", doc_text(type));
	json_object_set_new(ev, "Action", doc_text(action));
	json_object_set_new(ev, "Actor", actor);
	json_object_set_new(ev, "scope", json_string("local"));
	json_object_set_new(ev, "time", json_integer(now / 1000000000));
	json_object_set_new(ev, "timeNano", json_integer(now));
	return ev;
}

void events_emit(struct events *e, const char *type, const char *action, const char *id, json_t *attributes)
{
	json_t *ev = event_new(type, action, id, attributes ? attributes : json_object());
	json_t **slot = &e->ring[e->emitted++ % EVENTS_HISTORY];
	struct events_watch *w, *tmp, *last;

	assert(!e->telling);
	json_decref(*slot);
	*slot = ev;
	last = e->watches ? e->watches->prev : NULL; /* those that come during the round are told later */
	e->telling = true;
	DL_FOREACH(e->watches, w) {
		if (!w->gone)
			w->fn(w->ctx, ev);
		if (w == last)
			break;
	}
	e->telling = false;
	DL_FOREACH_SAFE(e->watches, w, tmp)
		if (w->gone)
			events_unwatch(w);
}

struct events_watch *events_watch(struct events *e, void (*fn)(void *ctx, json_t *event), void *ctx)
{
	struct events_watch *w = xcalloc(1, sizeof(*w));

	w->events = e;
	w->fn = fn;
	w->ctx = ctx;
	DL_APPEND(e->watches, w);
	return w;
}

void events_unwatch(struct events_watch *w)
{
	if (!w)
		return;
	if (w->events->telling) {
		w->gone = true;
		return;
	}
	DL_DELETE(w->events->watches, w);
	free(w);
}

void events_save(const struct events *e, struct pack *p)
{
	pack_num(p, events_history(e));
	for (size_t i = 0; i < events_history(e); i++) {
		char *text = json_dumps(events_history_at(e, i), JSON_COMPACT);

		pack_str(p, text);
		free(text);
	}
}

void events_restore(struct events *e, struct unpack *u)
{
	for (uint64_t n = unpack_num(u); n && !u->bad; n--) {
		AUTO_FREE char *text = unpack_str(u);
		json_t *event = text ? json_loads(text, 0, NULL) : NULL;

		if (event)
			e->ring[e->emitted++ % EVENTS_HISTORY] = event;
	}
}

size_t events_history(const struct events *e)
{
	return e->emitted < EVENTS_HISTORY ? (size_t)e->emitted : EVENTS_HISTORY;
}

json_t *events_history_at(const struct events *e, size_t i)
{
	assert(i < events_history(e));
	return e->ring[(e->emitted - events_history(e) + i) % EVENTS_HISTORY];
}
