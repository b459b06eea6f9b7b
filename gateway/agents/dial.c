/* dial - see dial.h. A small loop: health, link, wait for its end, back off, again. Each WebSocket is a struct lane; there
 * are two only while an old one is replaced for its age (make before break, R22). */
#include "agents/dial.h"

#include <jansson.h>
#include <string.h>
#include <utlist.h>

#include "agents/dialect_dial.h"
#include "agents/enrol.h"
#include "agents/registry.h"
#include "agents/tunnel.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/token.h"
#include "gateway.h"
#include "net/defer.h"
#include "net/http_client.h"
#include "net/websocket_link.h"
#include "state/container.h"

#define RENEW_MS (26 * 60 * 1000 + 30 * 1000) /* give or take 6 %, as the agent does it */

struct lane {
	struct link base;          /* first: a struct link is a struct lane */
	struct dial *dial;
	struct wslink *ws;
	bool greeted, closing;
	struct proof proof;        /* what base.proof is, where the agent wants one */
	struct buf last_words;
	struct lane *prev, *next;
};

struct dial {
	struct gateway *g;
	char id[ID_HEX_MAX];
	char *address, *token;
	struct http_call *health;
	struct lane *lanes;        /* the latest is the last */
	struct timer *timer;       /* to dial again */
	struct timer *renewal;     /* the present lane's age is up */
	uint64_t backoff_ms;
	bool stopped;
	bool proves;               /* as /health says: the agent wants no token, and lanes have proofs */
	struct dialect_dial *dialect; /* the predecessor's agent answers there; NULL: it has not yet */
	int main_exit;             /* as /health says, or -1 */
};

static void dial_health(void *ctx);
static void renew(void *ctx);

static uint64_t random_below(uint64_t n)
{
	uint64_t r;

	random_bytes(&r, sizeof(r));
	return n ? r % n : 0;
}

/* With no lane left, and nothing under way. */
static void again(struct dial *d)
{
	if (d->stopped || d->timer || d->lanes)
		return;
	d->timer = timer_start(d->g->loop, d->backoff_ms / 2 + random_below(d->backoff_ms / 2 + 1), dial_health, d);
	d->backoff_ms = d->backoff_ms * 2 > DIAL_RETRY_MAX_MS ? DIAL_RETRY_MAX_MS : d->backoff_ms * 2;
}

static void free_lane(void *p)
{
	struct lane *lane = p;

	buf_release(&lane->last_words);
	free(lane);
}

/* The memory lives for this round: the tunnel may be looking at it. */
static void drop_lane(struct lane *lane)
{
	struct dial *d = lane->dial;

	DL_DELETE(d->lanes, lane);
	wslink_close(lane->ws);
	lane->ws = NULL;
	registry_link_gone(d->g->registry, &lane->base);
	loop_defer(d->g->loop, free_lane, lane);
}

/* ---- as the tunnel sees it ------------------------------------------------------------------------ */

static void link_wake(struct link *l)
{
	struct lane *lane = (struct lane *)l;

	if (lane->ws)
		wslink_wake(lane->ws);
}

static void close_later(void *ctx)
{
	struct lane *lane = ctx;
	struct dial *d = lane->dial;

	if (!lane->ws)
		return; /* it has ended by itself meanwhile */
	drop_lane(lane);
	again(d);
}

static void link_close(struct link *l)
{
	struct lane *lane = (struct lane *)l;

	if (lane->closing || !lane->ws)
		return;
	lane->closing = true;
	loop_defer(lane->dial->g->loop, close_later, lane);
}

static const char *link_peer(const struct link *l)
{
	return ((const struct lane *)l)->dial->address;
}

static size_t link_queue(const struct link *l)
{
	const struct lane *lane = (const struct lane *)l;

	return lane->ws ? wslink_kernel_queue(lane->ws) : 0;
}

static void link_refuse(struct link *l, const struct buf *frame)
{
	struct lane *lane = (struct lane *)l;

	if (!frame->len || buf_append(&lane->last_words, buf_head(frame), frame->len) < 0)
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

/* Before what is between us and the agent ends this link for its age. */
static uint64_t renewal_due(const struct dial *d)
{
	uint64_t life = (uint64_t)d->g->config->link_lifetime_ms, due = RENEW_MS - RENEW_MS * 6 / 100;

	due += random_below(RENEW_MS * 12 / 100);
	life -= life / 10;
	life -= random_below(life / 10);
	return life && life < due ? life : due;
}

static int take_answer(struct lane *lane)
{
	struct dial *d = lane->dial;
	const struct container *c = containers_by_id(d->g->containers, d->id);
	struct err err = { 0 };

	if (c && enrol_take_answer(registry_enrolment(d->g->registry), c, &lane->proof, wslink_answer(lane->ws), &err) == 0)
		return 0;
	log_warn("agent cannot be believed", "container=%.12s peer=%s reason=\"%s\"", d->id, d->address, err.msg);
	link_close(&lane->base);
	return -1;
}

static void on_open(void *ctx, struct wslink *ws)
{
	struct lane *lane = ctx;
	struct dial *d = lane->dial;
	AUTO_FREE char *url = NULL;

	if (d->proves && take_answer(lane) < 0)
		return;
	d->backoff_ms = DIAL_RETRY_MIN_MS;
	if (wslink_has_subprotocol(ws)) {
		timer_cancel(&d->renewal);
		d->renewal = timer_start(d->g->loop, renewal_due(d), renew, d);
		return;
	}
	url = url_of(d, "/ws");
	lane->ws = NULL;
	drop_lane(lane);
	if (!d->dialect)
		d->dialect = dialect_dial_new(d->g, d->id, url, d->token, dialect_gone, d);
	dialect_dial_take(d->dialect, ws, d->main_exit);
}

static void on_message(void *ctx, struct wslink *ws, const uint8_t *p, size_t n)
{
	struct lane *lane = ctx;
	struct dial *d = lane->dial;
	struct err err = { 0 };
	struct buf refusal;

	if (lane->base.tunnel) {
		if (tunnel_receive(lane->base.tunnel, p, n, &err) < 0) {
			log_warn("link closed on a protocol error", "container=%.12s peer=%s reason=\"%s\"", d->id, d->address, err.msg);
			link_close(&lane->base);
		}
		return;
	}
	if (lane->greeted)
		return;
	lane->greeted = true;
	buf_init(&refusal, FRAME_MAX);
	if (registry_hello(d->g->registry, d->id, &lane->base, p, n, &refusal, &err) < 0) {
		log_warn("agent's hello refused", "container=%.12s peer=%s reason=\"%s\"", d->id, d->address, err.msg);
		link_refuse(&lane->base, &refusal);
	}
	buf_release(&refusal);
}

static int next(void *ctx, struct wslink *ws, struct wslink_out *ret)
{
	struct lane *lane = ctx;
	struct frame_out f;

	if (lane->last_words.len) {
		*ret = (struct wslink_out){ .head = buf_head(&lane->last_words), .head_len = lane->last_words.len };
		buf_consume(&lane->last_words, lane->last_words.len);
		link_close(&lane->base);
		return 1;
	}
	if (!lane->base.tunnel || !tunnel_next_frame(lane->base.tunnel, &f))
		return 0;
	*ret = (struct wslink_out){ f.head, f.head_len, f.body, f.body_len };
	return 1;
}

/* The agent closes a link when it has been given another: then the session is on that one, or will be. */
static void on_close(void *ctx, struct wslink *ws, int http_status, const char *reason)
{
	struct lane *lane = ctx;
	struct dial *d = lane->dial;

	log_info("dialled link closed", "container=%.12s peer=%s status=%d reason=\"%s\"", d->id, d->address,
		 http_status, reason ? reason : "");
	lane->ws = NULL;
	drop_lane(lane);
	if (d->lanes && !d->renewal) /* the new one did not come about */
		d->renewal = timer_start(d->g->loop, DIAL_RETRY_MAX_MS, renew, d);
	again(d);
}

static const struct wslink_ops ws_ops = {
	.on_open = on_open,
	.on_message = on_message,
	.next = next,
	.on_close = on_close,
};

/* ---- the loop ------------------------------------------------------------------------------------- */

/* Never the token to somebody who has it exchanged for a key. */
static char *authorization(struct dial *d, struct lane *lane)
{
	const struct container *c = containers_by_id(d->g->containers, d->id);
	char text[PROOF_TEXT_MAX];

	lane->base.proof = d->proves ? &lane->proof : NULL;
	if (!d->proves)
		return c && c->agent_key[0] ? NULL : xasprintf(PROOF_REQUEST ": Bearer %s", d->token);
	if (!c)
		return NULL;
	enrol_request(registry_enrolment(d->g->registry), c, &lane->proof, text);
	return xasprintf(PROOF_REQUEST ": %s", text);
}

static void dial_link(struct dial *d)
{
	AUTO_FREE char *url = url_of(d, "/ws");
	struct wslink_options opt = {
		.url = url, .subprotocol = TUNNEL_SUBPROTOCOL, .subprotocol_optional = !d->proves, .answer_header = PROOF_ANSWER,
		.tls = d->g->agent_tls, .timeout_ms = DIAL_TIMEOUT_MS,
	};
	struct lane *lane = xcalloc(1, sizeof(*lane));
	struct err err = { 0 };
	char *header = authorization(d, lane);

	if (!header) {
		log_warn("this is not the agent that has enrolled", "container=%.12s address=%s", d->id, d->address);
		free(lane);
		again(d);
		return;
	}
	lane->base.ops = &link_ops;
	lane->dial = d;
	buf_init(&lane->last_words, FRAME_MAX);
	DL_APPEND(d->lanes, lane);
	strv_take(&opt.headers, header);
	lane->ws = wslink_connect(d->g->loop, &opt, &ws_ops, lane, &err);
	strv_release(&opt.headers);
	if (!lane->ws) {
		log_warn("agent cannot be dialled", "container=%.12s address=%s error=\"%s\"", d->id, d->address, err.msg);
		drop_lane(lane);
		again(d);
	}
}

/* The present link is used until the agent greets on the new one. */
static void renew(void *ctx)
{
	struct dial *d = ctx;

	d->renewal = NULL;
	if (!d->lanes || d->lanes->next)
		return;
	log_info("link renewed for its age", "container=%.12s peer=%s", d->id, d->address);
	dial_link(d);
}

static void read_health(struct dial *d, const struct http_response *r)
{
	json_t *health = json_loadb(r->body, r->len, 0, NULL);
	json_t *code = json_is_true(json_object_get(health, "exited")) ? json_object_get(health, "exitCode") : NULL;

	d->main_exit = json_is_integer(code) ? (int)(json_integer_value(code) & 0xff) : -1;
	d->proves = json_is_true(json_object_get(health, "proofs"));
	json_decref(health);
}

static void on_health(void *ctx, const struct http_response *r, const struct err *err)
{
	struct dial *d = ctx;

	d->health = NULL;
	if (!r || r->status != 200) {
		again(d);
		return;
	}
	read_health(d, r);
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
	d->g = g;
	snprintf(d->id, sizeof(d->id), "%s", container_id);
	d->address = xstrdup(address);
	d->token = xstrdup(token);
	d->backoff_ms = DIAL_RETRY_MIN_MS;
	d->timer = timer_start(g->loop, 0, dial_health, d);
	return d;
}

static void free_dial(void *p)
{
	struct dial *d = p;

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
	timer_cancel(&d->renewal);
	http_call_cancel(d->health);
	while (d->lanes)
		drop_lane(d->lanes);
	dialect_dial_free(d->dialect);
	d->dialect = NULL;
	loop_defer(d->g->loop, free_dial, d);
}
