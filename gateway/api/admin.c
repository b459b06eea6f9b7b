/* admin - what sockerlessctl asks: is the gateway well, which agents are connected, where their streams are, what one said
 * last, does it live, cut it. Never part of Docker's API; the paths have no version. */
#include <malloc.h>
#include <string.h>

#include "agents/registry.h"
#include "agents/tunnel.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "base/mem.h"
#include "handover.h"
#include "state/container.h"

void admin_health(struct request *r)
{
	struct mallinfo2 heap = mallinfo2();

	reply_json(r, 200, json_pack("{s:s, s:s, s:I}", "status", "ok", "version", VERSION, "heap_bytes",
				     (json_int_t)(heap.uordblks + heap.hblkhd)));
}

static void add_agent(void *ctx, struct tunnel *t)
{
	struct container *c = tunnel_container(t);
	struct tunnel_info i;

	tunnel_info(t, &i);
	json_array_append_new(ctx, json_pack(
		"{s:s, s:s, s:o, s:b, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "id", c->id, "name", c->name,
		"execution", reply_string(i.execution), "up", i.up, "peer", reply_string(i.peer),
		"connected_ms", (json_int_t)i.connected_ms, "rtt_us", (json_int_t)i.stats.rtt_us,
		"streams", (json_int_t)i.stats.streams, "bytes_in", (json_int_t)i.stats.bytes_in,
		"bytes_out", (json_int_t)i.stats.bytes_out, "links", (json_int_t)i.stats.links,
		"resumes", (json_int_t)(i.stats.links ? i.stats.links - 1 : 0),
		"resent_bytes", (json_int_t)i.stats.resent_bytes, "replay_bytes", (json_int_t)i.stats.replay_bytes,
		"kept_bytes", (json_int_t)i.stats.kept_bytes, "migrating", i.migrating,
		"silent_ms", (json_int_t)i.silent_ms, "queue_bytes", (json_int_t)i.queue,
		"processes", (json_int_t)i.processes, "exits_unacknowledged", (json_int_t)i.unacknowledged,
		"duplicate_bytes", (json_int_t)i.stats.duplicate_bytes, "window_bytes", (json_int_t)i.stats.window_bytes,
		"paused_ms", (json_int_t)i.stats.paused_ms, "oldest_unacked_ms", (json_int_t)i.stats.oldest_ms));
}

void admin_agents(struct request *r)
{
	json_t *list = json_array();

	registry_each(r->g->registry, add_agent, list);
	reply_json(r, 200, list);
}

/* Else it has been answered. */
static struct container *container_with_agent(struct request *r)
{
	struct container *c = request_container(r);

	if (!c || c->tunnel)
		return c;
	reply_error(r, ERR_CONFLICT, "container %s has no agent", c->id);
	return NULL;
}

struct stream_list {
	const struct tunnel *tunnel;
	json_t *rows;
};

static void add_stream(void *ctx, const struct stream_info *i)
{
	struct stream_list *l = ctx;
	struct tunnel_process p = { .exec_id = "" };
	bool known = tunnel_process(l->tunnel, i->id / 2, &p);

	json_array_append_new(l->rows, json_pack(
		"{s:s, s:b, s:I, s:I, s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:b}",
		"process", *p.exec_id || !known ? p.exec_id : "main", "client", p.has_client, "discarded",
		(json_int_t)(i->sender ? 0 : p.discarded), "alone_ms", (json_int_t)p.alone_ms, "id", (json_int_t)i->id,
		"channel", (json_int_t)(i->id / 2), "direction", i->sender ? "to agent" : "from agent", "end", (json_int_t)i->end,
		"sent", (json_int_t)i->sent, "delivered", (json_int_t)i->delivered, "limit", (json_int_t)i->limit, "window",
		(json_int_t)i->window, "paused_ms", (json_int_t)i->paused_ms, "waiting_ms", (json_int_t)i->waiting_ms,
		"fin", i->fin, "reset", i->reset));
}

void admin_streams(struct request *r)
{
	struct container *c = container_with_agent(r);
	struct stream_list list;

	if (!c)
		return;
	list = (struct stream_list){ c->tunnel, json_array() };
	session_each_stream(tunnel_session(c->tunnel), add_stream, &list);
	reply_json(r, 200, list.rows);
}

static void add_frame(void *ctx, const struct tunnel_frame *f)
{
	json_array_append_new(ctx, json_pack("{s:I, s:s, s:s, s:I, s:I, s:I, s:I}", "ago_ms", (json_int_t)f->ago_ms, "direction",
		f->to_agent ? "to agent" : "from agent", "frame", f->type, "stream", (json_int_t)f->stream, "offset",
		(json_int_t)f->offset, "limit", (json_int_t)f->limit, "bytes", (json_int_t)f->bytes));
}

void admin_trace(struct request *r)
{
	struct container *c = container_with_agent(r);
	json_t *list;

	if (!c)
		return;
	list = json_array();
	tunnel_trace_each(c->tunnel, add_frame, list);
	reply_json(r, 200, list);
}

/* ---- is it there ---------------------------------------------------------------------------------- */

static void forget_ping(struct request *r)
{
	struct container *c = containers_by_id(r->g->containers, r->state);

	if (c && c->tunnel)
		tunnel_unping(c->tunnel, r);
	free(r->state);
}

static void pinged(void *ctx, bool answered)
{
	struct request *r = ctx;
	struct container *c = containers_by_id(r->g->containers, r->state);
	struct tunnel_info i;

	if (!answered || !c || !c->tunnel) {
		reply_error(r, ERR_UNAVAILABLE, "the agent of container %s does not answer", (const char *)r->state);
		return;
	}
	tunnel_info(c->tunnel, &i);
	reply_json(r, 200, json_pack("{s:I}", "rtt_us", (json_int_t)i.stats.rtt_us));
}

void admin_ping(struct request *r)
{
	struct container *c = container_with_agent(r);

	if (!c)
		return;
	r->state = xstrdup(c->id);
	r->release = forget_ping;
	if (!tunnel_ping(c->tunnel, pinged, r))
		reply_error(r, ERR_CONFLICT, "the agent of container %s is not connected just now", c->id);
}

/* ---- planned restart ----------------------------------------------------------------------------- */

static void restart_failed(void *ctx, const struct err *err)
{
	reply_err(ctx, err);
}

static void forget_restart(struct request *r)
{
	handover_forget(r->g->handover, r);
}

static bool carry_restart(struct exchange *x, void *ctx, struct pack *p)
{
	if (p)
		pack_str(p, VERSION);
	return true;
}

/* Answered by the image that takes over, or by this one when that comes to nothing. */
void admin_restart(struct request *r)
{
	struct unpack *u = exchange_carried(r->x);
	AUTO_FREE char *former = u ? unpack_str(u) : NULL;
	struct err err;

	if (former) {
		reply_json(r, 200, json_pack("{s:s, s:s}", "former", former, "version", VERSION));
		return;
	}
	if (!r->g->handover || handover_begin(r->g->handover, restart_failed, r, &err) < 0) {
		if (!r->g->handover)
			err_set(&err, ERR_UNSUPPORTED, "this process cannot hand over to another image of itself");
		reply_err(r, &err);
		return;
	}
	r->release = forget_restart;
	exchange_on_carry(r->x, carry_restart, r);
}

void admin_cut(struct request *r)
{
	struct container *c = container_with_agent(r);

	if (!c)
		return;
	if (tunnel_cut(c->tunnel))
		reply_empty(r, 204);
	else
		reply_error(r, ERR_CONFLICT, "the agent of container %s is not connected just now", c->id);
}
