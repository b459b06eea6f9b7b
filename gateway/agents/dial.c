/* dial - see dial.h. A small loop: health, link, wait for its end, back off, again. */
#include "agents/dial.h"

#include <jansson.h>
#include <string.h>

#include "agents/dialect_dial.h"
#include "agents/registry.h"
#include "agents/tunnel.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/token.h"
#include "gateway.h"
#include "net/defer.h"
#include "net/http_client.h"
#include "net/websocket_link.h"

struct dial {
	struct link base;          /* first: a struct link is a struct dial */
	struct gateway *g;
	char id[ID_HEX_MAX];
	char *address, *token;
	struct http_call *health;
	struct wslink *ws;
	struct timer *timer;
	uint64_t backoff_ms;
	bool greeted, stopped;
	struct buf last_words;
	struct dialect_dial *dialect; /* the predecessor's agent answers there; NULL: it has not yet */
	int main_exit;             /* as /health says, or -1 */
};

static void dial_health(void *ctx);

static void again(struct dial *d)
{
	uint16_t jitter;

	if (d->stopped || d->timer)
		return;
	random_bytes(&jitter, sizeof(jitter));
	d->timer = timer_start(d->g->loop, d->backoff_ms / 2 + jitter % (d->backoff_ms / 2 + 1), dial_health, d);
	d->backoff_ms = d->backoff_ms * 2 > DIAL_RETRY_MAX_MS ? DIAL_RETRY_MAX_MS : d->backoff_ms * 2;
}

static void drop_link(struct dial *d)
{
	struct wslink *ws = d->ws;

	d->ws = NULL;
	d->greeted = false;
	buf_consume(&d->last_words, d->last_words.len);
	registry_link_gone(d->g->registry, &d->base);
	wslink_close(ws);
}

/* ---- as the tunnel sees it ------------------------------------------------------------------------ */

static void link_wake(struct link *l)
{
	struct dial *d = (struct dial *)l;

	if (d->ws)
		wslink_wake(d->ws);
}

static void close_later(void *ctx)
{
	struct dial *d = ctx;

	d->timer = NULL;
	if (d->ws)
		drop_link(d);
	again(d);
}

static void link_close(struct link *l)
{
	struct dial *d = (struct dial *)l;

	if (d->stopped)
		return;
	timer_cancel(&d->timer);
	d->timer = timer_start(d->g->loop, 0, close_later, d);
}

static const char *link_peer(const struct link *l)
{
	return ((const struct dial *)l)->address;
}

static size_t link_queue(const struct link *l)
{
	const struct dial *d = (const struct dial *)l;

	return d->ws ? wslink_kernel_queue(d->ws) : 0;
}

static void link_refuse(struct link *l, const struct buf *frame)
{
	struct dial *d = (struct dial *)l;

	if (!frame->len || buf_append(&d->last_words, buf_head(frame), frame->len) < 0)
		link_close(l);
	else
		link_wake(l);
}

static const struct link_ops link_ops = {
	.wake = link_wake,
	.close = link_close,
	.peer = link_peer,
	.queue = link_queue,
	.refuse = link_refuse,
};

/* ---- as the WebSocket sees it --------------------------------------------------------------------- */

static char *url_of(const struct dial *d, const char *path)
{
	return xasprintf("%s%s%s", strstr(d->address, "://") ? "" : "http://", d->address, path);
}

static void dialect_gone(void *ctx)
{
	again(ctx);
}

static void on_open(void *ctx, struct wslink *ws)
{
	struct dial *d = ctx;
	AUTO_FREE char *url = NULL;

	d->backoff_ms = DIAL_RETRY_MIN_MS;
	if (wslink_has_subprotocol(ws))
		return;
	url = url_of(d, "/ws");
	d->ws = NULL;
	if (!d->dialect)
		d->dialect = dialect_dial_new(d->g, d->id, url, d->token, dialect_gone, d);
	dialect_dial_take(d->dialect, ws, d->main_exit);
}

static void on_message(void *ctx, struct wslink *ws, const uint8_t *p, size_t n)
{
	struct dial *d = ctx;
	struct err err = { 0 };
	struct buf refusal;

	if (d->base.tunnel) {
		if (tunnel_receive(d->base.tunnel, p, n, &err) < 0) {
			log_warn("link closed on a protocol error", "container=%.12s peer=%s reason=\"%s\"", d->id, d->address, err.msg);
			link_close(&d->base);
		}
		return;
	}
	if (d->greeted)
		return;
	d->greeted = true;
	buf_init(&refusal, FRAME_MAX);
	if (registry_hello(d->g->registry, d->id, &d->base, p, n, &refusal, &err) < 0) {
		log_warn("agent's hello refused", "container=%.12s peer=%s reason=\"%s\"", d->id, d->address, err.msg);
		link_refuse(&d->base, &refusal);
	}
	buf_release(&refusal);
}

static int next(void *ctx, struct wslink *ws, struct wslink_out *ret)
{
	struct dial *d = ctx;
	struct frame_out f;

	if (d->last_words.len) {
		*ret = (struct wslink_out){ .head = buf_head(&d->last_words), .head_len = d->last_words.len };
		buf_consume(&d->last_words, d->last_words.len);
		link_close(&d->base);
		return 1;
	}
	if (!d->base.tunnel || !tunnel_next_frame(d->base.tunnel, &f))
		return 0;
	*ret = (struct wslink_out){ f.head, f.head_len, f.body, f.body_len };
	return 1;
}

static void on_close(void *ctx, struct wslink *ws, int http_status, const char *reason)
{
	struct dial *d = ctx;

	log_info("dialled link closed", "container=%.12s peer=%s status=%d reason=\"%s\"", d->id, d->address,
		 http_status, reason ? reason : "");
	d->ws = NULL;
	d->greeted = false;
	registry_link_gone(d->g->registry, &d->base);
	again(d);
}

static const struct wslink_ops ws_ops = {
	.on_open = on_open,
	.on_message = on_message,
	.next = next,
	.on_close = on_close,
};

/* ---- the loop ------------------------------------------------------------------------------------- */

static void dial_link(struct dial *d)
{
	AUTO_FREE char *url = url_of(d, "/ws");
	struct wslink_options opt = {
		.url = url, .subprotocol = TUNNEL_SUBPROTOCOL, .subprotocol_optional = true,
		.tls = d->g->agent_tls, .timeout_ms = DIAL_TIMEOUT_MS,
	};
	struct err err = { 0 };

	strv_take(&opt.headers, xasprintf("Authorization: Bearer %s", d->token));
	d->ws = wslink_connect(d->g->loop, &opt, &ws_ops, d, &err);
	strv_release(&opt.headers);
	if (!d->ws) {
		log_warn("agent cannot be dialled", "container=%.12s address=%s error=\"%s\"", d->id, d->address, err.msg);
		again(d);
	}
}

static int main_exit(const struct http_response *r)
{
	json_t *health = json_loadb(r->body, r->len, 0, NULL);
	json_t *code = json_is_true(json_object_get(health, "exited")) ? json_object_get(health, "exitCode") : NULL;
	int rc = json_is_integer(code) ? (int)(json_integer_value(code) & 0xff) : -1;

	json_decref(health);
	return rc;
}

static void on_health(void *ctx, const struct http_response *r, const struct err *err)
{
	struct dial *d = ctx;

	d->health = NULL;
	if (!r || r->status != 200) {
		again(d);
		return;
	}
	d->main_exit = main_exit(r);
	dial_link(d);
}

static void dial_health(void *ctx)
{
	struct dial *d = ctx;
	AUTO_FREE char *url = url_of(d, "/health");
	struct http_call_options opt = { .method = "GET", .url = url, .timeout_ms = DIAL_TIMEOUT_MS, .max_response_bytes = 64 * 1024 };
	struct err err = { 0 };

	d->timer = NULL;
	strv_add(&opt.headers, "Connection: close"); /* every agent is another host: none is asked often */
	d->health = http_client_start(d->g->http, &opt, on_health, d, &err);
	strv_release(&opt.headers);
	if (!d->health)
		again(d);
}

struct dial *dial_start(struct gateway *g, const char *container_id, const char *address, const char *token,
			struct err *err)
{
	struct dial *d;

	if (!address[0] || strlen(address) > 512) {
		err_set(err, ERR_INVALID, "agent address is empty or too long");
		return NULL;
	}
	d = xcalloc(1, sizeof(*d));
	d->base.ops = &link_ops;
	d->g = g;
	snprintf(d->id, sizeof(d->id), "%s", container_id);
	d->address = xstrdup(address);
	d->token = xstrdup(token);
	d->backoff_ms = DIAL_RETRY_MIN_MS;
	buf_init(&d->last_words, FRAME_MAX);
	d->timer = timer_start(g->loop, 0, dial_health, d);
	return d;
}

static void free_dial(void *p)
{
	struct dial *d = p;

	buf_release(&d->last_words);
	free(d->address);
	free(d->token);
	free(d);
}

void dial_stop(struct dial *d)
{
	if (!d || d->stopped)
		return;
	d->stopped = true;
	timer_cancel(&d->timer);
	http_call_cancel(d->health);
	if (d->ws)
		drop_link(d);
	dialect_dial_free(d->dialect);
	d->dialect = NULL;
	loop_defer(d->g->loop, free_dial, d);
}
