/* events - GET /events: what happened since, what happens from now on, until.
 * A client that does not read is cut when EVENTS_QUEUED_MAX bytes wait for it: dropping single events
 * would go unnoticed, and holding them costs memory without end. */
#include "state/events.h"

#include <string.h>

#include "api/event_filter.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "api/version.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "net/defer.h"

#define EVENTS_QUEUED_MAX (4 * 1024 * 1024)

struct watching {
	struct request *r;
	struct filters filters;
	struct events_watch *watch;
	struct timer *until;
	size_t queued;        /* bytes since the client last kept up; 0 = it does */
	bool sequence;        /* RFC 7464: a record separator before every event */
	bool too_slow;        /* to be cut after this round */
	bool gone;
};

static void free_watching(void *p)
{
	struct watching *w = p;

	filters_release(&w->filters);
	free(w);
}

static void release(struct request *r)
{
	struct watching *w = r->state;

	w->gone = true;
	events_unwatch(w->watch);
	timer_cancel(&w->until);
	loop_defer(r->g->loop, free_watching, w);
}

static void cut(void *p)
{
	struct watching *w = p;
	struct request *r = w->r;

	if (w->gone)
		return;
	log_warn("events client cut: it does not read", "peer=%s", exchange_peer(r->x));
	exchange_abort(r->x);
	request_free(r);
}

static void send_event(struct watching *w, json_t *event)
{
	AUTO_FREE char *text = NULL, *line = NULL;
	json_t *shown;
	size_t len;

	if (w->too_slow || !event_filter_passes(&w->filters, event))
		return;
	shown = version_trim(json_copy(event), VERSION_EVENT, w->r->version);
	text = json_dumps(shown, JSON_COMPACT);
	json_decref(shown);
	line = xasprintf("%s%s\n", w->sequence ? "\x1e" : "", text);
	len = strlen(line);
	w->queued = exchange_write(w->r->x, line, len) ? 0 : w->queued + len;
	if (w->queued > EVENTS_QUEUED_MAX) {
		w->too_slow = true;
		loop_defer(w->r->g->loop, cut, w);
	}
}

static void on_event(void *ctx, json_t *event)
{
	send_event(ctx, event);
}

static void until_reached(void *p)
{
	struct watching *w = p;

	w->until = NULL;
	reply_end(w->r);
}

/* What the client may choose by Accept since API 1.52 (jsonl: 1.53); the bytes of the first three are the same. */
static const char *media_type(struct request *r)
{
	static const struct {
		const char *name;
		int first;
	} types[] = {{"application/x-ndjson", 52}, {"application/jsonl", 53}, {"application/json-seq", 52}};
	const char *accept = exchange_header(r->x, "Accept");

	for (size_t i = 0; accept && i < sizeof(types) / sizeof(types[0]); i++)
		if (r->version >= types[i].first && strstr(accept, types[i].name))
			return types[i].name;
	return "application/json";
}

static void send_history(struct watching *w, int64_t since_ns, int64_t until_ns)
{
	struct events *e = w->r->g->events;

	for (size_t i = 0; i < events_history(e); i++) {
		json_t *event = events_history_at(e, i);
		int64_t at = json_integer_value(json_object_get(event, "timeNano"));

		if (at >= since_ns && at <= until_ns)
			send_event(w, event);
	}
}

/* What there was is written; what comes is told by the next image. */
static bool carry(struct exchange *x, void *ctx, struct pack *p)
{
	return !((struct watching *)((struct request *)ctx)->state)->too_slow;
}

void events_get(struct request *r)
{
	struct watching *w = xcalloc(1, sizeof(*w));
	AUTO_FREE char *text = request_query(r, "filters");
	const char *type = media_type(r);
	int64_t since_ns = 0, until_ns = INT64_MAX, now = clock_wall_ns();
	bool since, until;
	struct err err;

	w->r = r;
	r->state = w;
	r->release = release;
	w->sequence = strcmp(type, "application/json-seq") == 0;
	/* Keys that no event has are ignored, as dockerd does. */
	if (request_time(r, "since", &since_ns, &since, &err) < 0 ||
	    request_time(r, "until", &until_ns, &until, &err) < 0 || filters_parse(&w->filters, text, &err) < 0) {
		reply_err(r, &err);
		return;
	}
	if (since && until && until_ns < since_ns) {
		reply_error(r, ERR_INVALID, "`since` time (%lld) cannot be after `until` time (%lld)",
			    (long long)(since_ns / 1000000000), (long long)(until_ns / 1000000000));
		return;
	}
	reply_begin(r, type);
	if (since && !exchange_carried(r->x))
		send_history(w, since_ns, until_ns);
	if (until && until_ns <= now) {
		reply_end(r);
		return;
	}
	if (until)
		w->until = timer_start(r->g->loop, (uint64_t)((until_ns - now) / 1000000 + 1), until_reached, w);
	w->watch = events_watch(r->g->events, on_event, w);
	exchange_on_carry(r->x, carry, r);
}
