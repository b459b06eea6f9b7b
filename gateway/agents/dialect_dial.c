/* dialect_dial - see dialect_dial.h. One struct plug per WebSocket: between a wslink and a wire. */
#include "agents/dialect_dial.h"

#include <stdio.h>
#include <utlist.h>

#include "agents/dial.h"
#include "agents/dialect_agent.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/token.h"
#include "gateway.h"
#include "net/websocket_link.h"

struct plug {
	struct dialect_dial *dial;
	struct wslink *ws;
	struct dialect_wire *wire;
	bool main;
	struct plug *prev, *next;
};

struct dialect_dial {
	struct gateway *g;
	char id[ID_HEX_MAX];
	char *url, *token;
	void (*on_gone)(void *ctx);
	void *ctx;
	struct plug *plugs;
};

static void plug_free(struct plug *p)
{
	struct dialect_dial *d = p->dial;
	bool main = p->main;

	DL_DELETE(d->plugs, p);
	free(p);
	if (main)
		d->on_gone(d->ctx);
}

/* ---- as the wire sees it ---------------------------------------------------------------------------- */

static void wire_wake(void *ctx)
{
	wslink_wake(((struct plug *)ctx)->ws);
}

static void wire_pause(void *ctx, bool pause)
{
	wslink_pause_reading(((struct plug *)ctx)->ws, pause);
}

static void wire_close(void *ctx)
{
	struct plug *p = ctx;

	wslink_close(p->ws);
	plug_free(p);
}

static const char *wire_peer(void *ctx)
{
	return wslink_peer(((struct plug *)ctx)->ws);
}

static void *wire_open(void *ctx, struct dialect_wire *w);

static const struct dialect_wire_ops wire_ops = {
	.wake = wire_wake,
	.pause = wire_pause,
	.close = wire_close,
	.peer = wire_peer,
	.open = wire_open,
};

/* ---- as the WebSocket sees it ----------------------------------------------------------------------- */

static void on_open(void *ctx, struct wslink *ws)
{
	wslink_speak_text(ws);
}

static void on_message(void *ctx, struct wslink *ws, const uint8_t *text, size_t n)
{
	struct plug *p = ctx;
	struct err err;

	if (dialect_wire_receive(p->wire, text, n, &err) == 0)
		return;
	log_warn("predecessor's agent is cut off", "container=%.12s peer=%s reason=\"%s\"", p->dial->id, wslink_peer(ws), err.msg);
	dialect_wire_gone(p->wire);
	wire_close(p);
}

static int next(void *ctx, struct wslink *ws, struct wslink_out *ret)
{
	*ret = (struct wslink_out){ 0 };
	return dialect_wire_next(((struct plug *)ctx)->wire, &ret->head, &ret->head_len);
}

static void on_close(void *ctx, struct wslink *ws, int http_status, const char *reason)
{
	struct plug *p = ctx;

	log_info("dialled link closed", "container=%.12s peer=%s status=%d reason=\"%s\"", p->dial->id, wslink_peer(ws), http_status, reason);
	dialect_wire_gone(p->wire);
	plug_free(p);
}

static const struct wslink_ops ws_ops = {
	.on_open = on_open,
	.on_message = on_message,
	.next = next,
	.on_close = on_close,
};

/* ---- opening ---------------------------------------------------------------------------------------- */

static struct plug *plug_new(struct dialect_dial *d)
{
	struct plug *p = xcalloc(1, sizeof(*p));

	p->dial = d;
	DL_APPEND(d->plugs, p);
	return p;
}

static void *wire_open(void *ctx, struct dialect_wire *w)
{
	struct dialect_dial *d = ((struct plug *)ctx)->dial;
	struct wslink_options opt = { .url = d->url, .tls = d->g->agent_tls, .timeout_ms = DIAL_TIMEOUT_MS };
	struct plug *p = plug_new(d);
	struct err err;

	p->wire = w;
	strv_take(&opt.headers, xasprintf("Authorization: Bearer %s", d->token));
	p->ws = wslink_connect(d->g->loop, &opt, &ws_ops, p, &err);
	strv_release(&opt.headers);
	if (p->ws)
		return p;
	log_warn("agent cannot be dialled", "container=%.12s url=%s error=\"%s\"", d->id, d->url, err.msg);
	plug_free(p);
	return NULL;
}

void dialect_dial_take(struct dialect_dial *d, struct wslink *ws, int main_exit)
{
	struct plug *p = plug_new(d);

	log_info("the predecessor's agent answers", "container=%.12s peer=%s", d->id, wslink_peer(ws));
	p->main = true;
	p->ws = ws;
	wslink_speak_text(ws);
	wslink_give(ws, &ws_ops, p);
	p->wire = dialect_wire_new(d->g->dialects, d->id, &wire_ops, p);
	if (!p->wire)
		wire_close(p);
	else if (main_exit >= 0)
		dialect_wire_main_ended(p->wire, main_exit);
}

struct dialect_dial *dialect_dial_new(struct gateway *g, const char *container_id, const char *url, const char *token,
				      void (*on_gone)(void *ctx), void *ctx)
{
	struct dialect_dial *d = xcalloc(1, sizeof(*d));

	d->g = g;
	snprintf(d->id, sizeof(d->id), "%s", container_id);
	d->url = xstrdup(url);
	d->token = xstrdup(token);
	d->on_gone = on_gone;
	d->ctx = ctx;
	return d;
}

void dialect_dial_free(struct dialect_dial *d)
{
	if (!d)
		return;
	while (d->plugs) {
		struct plug *p = d->plugs;

		p->main = false;
		dialect_wire_gone(p->wire);
		wire_close(p);
	}
	free(d->url);
	free(d->token);
	free(d);
}
