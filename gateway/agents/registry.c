/* registry - see registry.h. The map from container to tunnel is the container's own pointer; this
 * module is the only one that sets or clears it. Owns the list of tunnels, the waiters, and the
 * newcomers that wait for a challenge to end. */
#include "agents/registry.h"

#include <string.h>
#include <utlist.h>

#include "agents/admission.h"
#include "agents/enrol.h"
#include "agents/tunnel.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/token.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/container.h"

#define CHALLENGE_MS SESSION_PROBE_MS
#define DUPLICATE_RETRY_MS 30000
#define FORMER_RETRY_MS 50
#define ENROL_AGAIN_MS 10000   /* so long an agent that has lost its link insists on a new one (src/agent/link.c) */

#define RETRY_SPREAD_MS 100
#define AGENTS_AT_ONCE 100 /* so many new links each RETRY_SPREAD_MS at most, as far as agents heed it */

struct entry {
	struct tunnel *tunnel;
	struct entry *prev, *next;
};

struct registry_waiter {
	struct registry *registry;
	char id[ID_HEX_MAX];
	void (*fn)(void *ctx, bool ok);
	void *ctx;
	struct timer *timer;
	bool ok;
	struct registry_waiter *prev, *next;
};

/* A newcomer of another boot, while the incumbent has CHALLENGE_MS to show that it lives. */
struct challenge {
	struct registry *registry;
	char id[ID_HEX_MAX];
	struct link *link;
	uint8_t *frame;        /* the newcomer's HELLO, ours */
	size_t frame_len;
	struct timer *timer;
	struct challenge *prev, *next;
};

struct registry {
	struct gateway *g;
	struct tunnel_budget budget; /* of all sessions */
	struct enrolment enrolment;
	struct admission hellos;
	size_t n_tunnels;
	struct registry_totals totals;
	const struct tunnel_observer *observer;
	void *observer_ctx;
	struct entry *tunnels;
	struct registry_waiter *waiters;
	struct challenge *challenges;
};

struct registry *registry_new(struct gateway *g)
{
	struct registry *r = xcalloc(1, sizeof(*r));

	r->g = g;
	enrol_init(&r->enrolment);
	r->budget.limit = (size_t)g->config->tunnel_memory;
	admission_init(&r->hellos, (uint64_t)g->config->agent_rate, (uint64_t)g->config->agent_rate);
	return r;
}

void registry_observe(struct registry *r, const struct tunnel_observer *observer, void *ctx)
{
	r->observer = observer;
	r->observer_ctx = ctx;
}

static void end_challenge(struct challenge *ch)
{
	timer_cancel(&ch->timer);
	DL_DELETE(ch->registry->challenges, ch);
	free(ch->frame);
	free(ch);
}

void registry_free(struct registry *r)
{
	if (!r)
		return;
	while (r->challenges)
		end_challenge(r->challenges);
	while (r->waiters) {
		struct registry_waiter *w = r->waiters;

		registry_unwait(&w);
	}
	while (r->tunnels)
		registry_drop(r, tunnel_container(r->tunnels->tunnel));
	loop_defer(r->g->loop, free, r); /* behind the sessions, which give back what the budget has lent */
}

/* ---- who may speak ------------------------------------------------------------------------------- */

int registry_authorize(struct registry *r, const char *container_id, const char *token, struct err *err)
{
	struct container *c = container_id ? containers_by_id(r->g->containers, container_id) : NULL;

	if (!c || !c->token[0])
		return err_set(err, ERR_NOT_FOUND, "No such container: %.64s", container_id ? container_id : "");
	if (!token || !token_equal(c->token, token))
		return err_set(err, ERR_DENIED, "unauthorized");
	return c->agent_key[0] ? err_set(err, ERR_DENIED, "unauthorized: the token has served already") : 0;
}

const struct enrolment *registry_enrolment(const struct registry *r)
{
	return &r->enrolment;
}

/* ---- letting a link in --------------------------------------------------------------------------- */

static void fire_waiter(void *p)
{
	struct registry_waiter *w = p;
	void (*fn)(void *, bool) = w->fn;
	void *ctx = w->ctx;
	bool ok = w->ok;

	timer_cancel(&w->timer);
	DL_DELETE(w->registry->waiters, w);
	free(w);
	fn(ctx, ok);
}

static void wake_waiters(struct registry *r, const char *id)
{
	struct registry_waiter *w;

	DL_FOREACH(r->waiters, w)
		if (!strcmp(w->id, id) && !w->ok) {
			w->ok = true;
			timer_cancel(&w->timer);
			w->timer = timer_start(r->g->loop, 0, fire_waiter, w);
		}
}

static int refuse(enum welcome_verdict v, uint32_t retry_ms, const char *why, struct buf *out, struct err *err)
{
	session_refusal(v, retry_ms, why, out, NULL);
	return err_set(err, v == WELCOME_UNKNOWN ? ERR_NOT_FOUND : ERR_CONFLICT, "%s", why);
}

/* Few agents are back within a moment of a gateway's restart; many do not come all at once. */
static uint32_t retry_spread(const struct registry *r)
{
	size_t n = r->n_tunnels;

	return (uint32_t)(n < AGENTS_AT_ONCE ? RETRY_SPREAD_MS : RETRY_SPREAD_MS * (n / AGENTS_AT_ONCE));
}

static void take_in(struct registry *r, struct container *c, struct tunnel *t)
{
	struct entry *e = xcalloc(1, sizeof(*e));

	e->tunnel = t;
	session_set_budget(tunnel_session(t), &r->budget);
	if (r->g->config->tunnel_checksums)
		session_set_checks(tunnel_session(t));
	session_set_link_lifetime(tunnel_session(t), (uint32_t)r->g->config->link_lifetime_ms);
	DL_APPEND(r->tunnels, e);
	r->n_tunnels++;
	r->totals.sessions++;
	c->tunnel = t;
}

static int attach_new(struct registry *r, struct container *c, struct link *l, const struct hello *h, struct err *err)
{
	struct tunnel *t;

	if (enrol_admit(c, l->proof, err) < 0)
		return -1;
	t = tunnel_new(r->g, c, h, r->observer, r->observer_ctx);
	take_in(r, c, t);
	session_set_retry_spread(tunnel_session(t), retry_spread(r));
	session_set_proof(tunnel_session(t), l->proof);
	if (tunnel_attach_link(t, l, h, true, err) < 0) {
		if (c->tunnel == t)
			registry_drop(r, c);
		return -1;
	}
	log_info("agent connected", "container=%.12s execution=%s attempt=%u peer=%s agent=%s", c->id,
		 h->execution ? h->execution : "", h->task_attempt, l->ops->peer(l),
		 h->agent_version ? h->agent_version : "");
	return 0;
}

static int attach_again(struct registry *r, struct container *c, struct link *l, const struct hello *h, struct buf *out, struct err *err)
{
	struct tunnel *t = c->tunnel;

	if (h->link_no <= tunnel_link_no(t))
		return refuse(WELCOME_RETRY, 0, "a later link of this agent is already here", out, err);
	if (l->proof && !c->agent_key[0]) /* a new run has begun, whose agent is to have the token */
		return refuse(WELCOME_RETRY, DUPLICATE_RETRY_MS, "the container is started anew", out, err);
	if (enrol_admit(c, l->proof, err) < 0)
		return -1;
	if (tunnel_is_up(t))
		r->totals.takeovers[TAKEOVER_LINK]++;
	session_set_retry_spread(tunnel_session(t), retry_spread(r));
	session_set_proof(tunnel_session(t), l->proof);
	if (tunnel_attach_link(t, l, h, false, err) < 0) {
		log_warn("session cannot be resumed, begun anew", "container=%.12s reason=\"%s\"", c->id, err->msg);
		registry_drop(r, c);
		return attach_new(r, c, l, h, err);
	}
	log_info("agent resumed", "container=%.12s link=%llu peer=%s", c->id, (unsigned long long)h->link_no,
		 l->ops->peer(l));
	return 0;
}

static struct link *fenced_newcomer(struct challenge *ch)
{
	struct link *l = ch->link;

	end_challenge(ch);
	return l;
}

static void challenge_over(void *p);

static int start_challenge(struct registry *r, struct container *c, struct link *l, const uint8_t *frame,
			   size_t n, struct buf *out, struct err *err)
{
	struct challenge *ch;

	DL_FOREACH(r->challenges, ch)
		if (!strcmp(ch->id, c->id))
			return refuse(WELCOME_RETRY, CHALLENGE_MS, "another agent is being tried", out, err);
	ch = xcalloc(1, sizeof(*ch));
	ch->registry = r;
	snprintf(ch->id, sizeof(ch->id), "%s", c->id);
	ch->link = l;
	ch->frame = xmemdup(frame, n);
	ch->frame_len = n;
	ch->timer = timer_start(r->g->loop, CHALLENGE_MS, challenge_over, ch);
	DL_APPEND(r->challenges, ch);
	session_ask(tunnel_session(c->tunnel), clock_mono_ms());
	log_warn("second agent for a container; the first is asked whether it lives", "container=%.12s peer=%s",
		 c->id, l->ops->peer(l));
	return 0;
}

/* With a token that another agent has exchanged for a key: a thief, or who comes after one that is gone. */
static int let_in_another(struct registry *r, struct container *c, struct link *l, const struct hello *h,
			  const uint8_t *frame, size_t n, struct buf *out, struct err *err)
{
	uint64_t away_ms = clock_mono_ms() - r->enrolment.since_ms;
	struct tunnel_info i;

	if (l->asked && !c->tunnel)
		return attach_new(r, c, l, h, err);
	log_warn("a token that has served is used by another agent", "container=%.12s execution=%s attempt=%u peer=%s", c->id,
		 h->execution ? h->execution : "", h->task_attempt, l->ops->peer(l));
	if (c->tunnel) {
		tunnel_info(c->tunnel, &i);
		if (h->task_attempt < tunnel_attempt(c->tunnel))
			return refuse(WELCOME_SUPERSEDED, 0, "a later attempt has taken over", out, err);
		if (i.migrating)
			return refuse(WELCOME_RETRY, DUPLICATE_RETRY_MS, "the agent that has used the token is being moved", out, err);
		if (i.up)
			return start_challenge(r, c, l, frame, n, out, err);
		away_ms = i.away_ms;
	}
	if (away_ms < ENROL_AGAIN_MS)
		return refuse(WELCOME_RETRY, (uint32_t)(ENROL_AGAIN_MS - away_ms), "the agent that has used the token may come back",
			      out, err);
	if (c->tunnel) {
		r->totals.takeovers[TAKEOVER_SILENT]++;
		log_warn("agent replaced: it does not come back", "container=%.12s by=%s away_ms=%llu", c->id, l->ops->peer(l),
			 (unsigned long long)away_ms);
		registry_drop(r, c);
	}
	return attach_new(r, c, l, h, err);
}

static int let_in(struct registry *r, struct container *c, struct link *l, const struct hello *h,
		  const uint8_t *frame, size_t n, struct buf *out, struct err *err)
{
	struct tunnel *t = c->tunnel;
	uint64_t wait_us;

	/* Who renews a link in time is no crowd, and would lose the one it has. */
	if (!(t && tunnel_is_up(t) && !memcmp(tunnel_boot_id(t), h->boot_id, BOOT_ID_LEN)) &&
	    (wait_us = admission_ask(&r->hellos, clock_mono_us())))
		return refuse(WELCOME_RETRY, (uint32_t)(wait_us / 1000 + 1), "too many agents call at once", out, err);
	if (c->execution && h->execution && h->execution[0] && strcmp(c->execution, h->execution))
		return refuse(WELCOME_SUPERSEDED, 0, "the container runs in another execution now", out, err);
	if (enrol_is_another(c, l->proof))
		return let_in_another(r, c, l, h, frame, n, out, err);
	if (!t)
		return attach_new(r, c, l, h, err);
	if (!memcmp(tunnel_boot_id(t), h->boot_id, BOOT_ID_LEN))
		return attach_again(r, c, l, h, out, err);
	if (h->execution && strcmp(tunnel_execution(t), h->execution) != 0) { /* a new run's */
		if (tunnel_is_up(t))
			return refuse(WELCOME_RETRY, FORMER_RETRY_MS, "the former run's agent is leaving", out, err);
		r->totals.takeovers[TAKEOVER_RUN]++;
		registry_drop(r, c);
		return attach_new(r, c, l, h, err);
	}
	if (h->task_attempt < tunnel_attempt(t))
		return refuse(WELCOME_SUPERSEDED, 0, "a later attempt has taken over", out, err);
	if (h->task_attempt == tunnel_attempt(t) && tunnel_is_up(t))
		return start_challenge(r, c, l, frame, n, out, err);
	r->totals.takeovers[h->task_attempt > tunnel_attempt(t) ? TAKEOVER_ATTEMPT : TAKEOVER_SILENT]++;
	log_warn("agent replaced", "container=%.12s attempt=%u by_attempt=%u", c->id, tunnel_attempt(t),
		 h->task_attempt);
	registry_drop(r, c);
	return attach_new(r, c, l, h, err);
}

static void sign_refusal(struct link *l, struct buf *frame)
{
	if (frame->len && l->proof && l->proof->keyed)
		proof_sign(l->proof, SESSION_GATEWAY, frame);
}

int registry_hello(struct registry *r, const char *container_id, struct link *l, const uint8_t *frame,
		   size_t n, struct buf *ret_refusal, struct err *err)
{
	struct container *c = containers_by_id(r->g->containers, container_id);
	struct hello h;
	int rc;

	if (session_peek_hello(frame, n, &h, err) < 0)
		return -1;
	if (!c || !h.container_id || strcmp(h.container_id, container_id))
		rc = refuse(WELCOME_UNKNOWN, 0, "no such container", ret_refusal, err);
	else if ((rc = enrol_check(&r->enrolment, c, l->proof, &h, frame, n, err)) == 0)
		rc = let_in(r, c, l, &h, frame, n, ret_refusal, err);
	sign_refusal(l, ret_refusal);
	hello_release(&h);
	if (rc == 0 && l->tunnel) {
		wake_waiters(r, container_id);
		r->observer->agent_up(r->observer_ctx, c);
	}
	return rc;
}

/* The incumbent has had its time: anything heard from it since means it lives. */
static void challenge_over(void *p)
{
	struct challenge *ch = p;
	struct registry *r = ch->registry;
	struct container *c = containers_by_id(r->g->containers, ch->id);
	struct buf refusal;
	struct link *l;
	struct err err = { 0 };
	uint8_t *frame = ch->frame;
	size_t n = ch->frame_len;
	char id[ID_HEX_MAX];

	memcpy(id, ch->id, sizeof(id));
	buf_init(&refusal, FRAME_MAX);
	ch->timer = NULL;
	ch->frame = NULL;
	l = fenced_newcomer(ch);
	if (c && c->tunnel && tunnel_is_up(c->tunnel) && session_has_answered(tunnel_session(c->tunnel))) {
		r->totals.takeovers[TAKEOVER_REFUSED]++;
		log_warn("second agent refused: the first lives", "container=%.12s peer=%s incumbent=%s", c->id, l->ops->peer(l),
			 tunnel_peer(c->tunnel));
		session_refusal(WELCOME_DUPLICATE, DUPLICATE_RETRY_MS, "another agent holds this container", &refusal, NULL);
		sign_refusal(l, &refusal);
		l->ops->refuse(l, &refusal);
	} else {
		if (c && c->tunnel) {
			r->totals.takeovers[TAKEOVER_SILENT]++;
			log_warn("agent replaced: it did not answer", "container=%.12s by=%s silent_ms=%llu", c->id, l->ops->peer(l),
				 (unsigned long long)session_silent_ms(tunnel_session(c->tunnel), clock_mono_ms()));
			registry_drop(r, c);
		}
		l->asked = true;
		if (registry_hello(r, id, l, frame, n, &refusal, &err) < 0)
			l->ops->refuse(l, &refusal);
	}
	buf_release(&refusal);
	free(frame);
}

void registry_link_gone(struct registry *r, struct link *l)
{
	struct challenge *ch, *tmp;

	DL_FOREACH_SAFE(r->challenges, ch, tmp)
		if (ch->link == l)
			end_challenge(ch);
	if (l->tunnel)
		tunnel_link_lost(l->tunnel, l);
}

static void add_past(struct registry *r, struct tunnel *t)
{
	struct session_stats *past = &r->totals.past;
	struct tunnel_info i;

	tunnel_info(t, &i);
	past->bytes_in += i.stats.bytes_in;
	past->bytes_out += i.stats.bytes_out;
	past->resent_bytes += i.stats.resent_bytes;
	past->duplicate_bytes += i.stats.duplicate_bytes;
	past->links += i.stats.links;
	past->paused_ms += i.stats.paused_ms;
	past->down_ms += i.stats.down_ms;
	r->totals.discarded += i.discarded;
	r->totals.hang_ups += i.hang_ups;
}

void registry_totals(const struct registry *r, struct registry_totals *ret)
{
	*ret = r->totals;
	ret->hellos_refused = r->hellos.refused;
	ret->budget = r->budget;
}

void registry_drop(struct registry *r, struct container *c)
{
	struct tunnel *t = c->tunnel;
	struct entry *e, *tmp;

	if (!t)
		return;
	add_past(r, t);
	c->tunnel = NULL;
	DL_FOREACH_SAFE(r->tunnels, e, tmp)
		if (e->tunnel == t) {
			DL_DELETE(r->tunnels, e);
			r->n_tunnels--;
			free(e);
		}
	tunnel_free(t);
}

/* ---- another process image ------------------------------------------------------------------------- */

void registry_save(const struct registry *r, struct pack *p)
{
	const struct entry *e;
	size_t n;

	DL_COUNT(r->tunnels, e, n);
	pack_num(p, n);
	DL_FOREACH(r->tunnels, e) {
		size_t part;

		pack_str(p, tunnel_container(e->tunnel)->id);
		part = pack_begin(p);
		tunnel_save(e->tunnel, p);
		pack_end(p, part);
	}
}

void registry_restore(struct registry *r, struct unpack *u)
{
	for (uint64_t n = unpack_num(u); n && !u->bad; n--) {
		AUTO_FREE char *id = unpack_str(u);
		struct unpack part = unpack_part(u);
		struct container *c = id ? containers_by_id(r->g->containers, id) : NULL;
		struct tunnel *t = c && !c->tunnel ? tunnel_restore(r->g, c, r->observer, r->observer_ctx, &part) : NULL;

		if (t)
			take_in(r, c, t);
		else
			log_error("a session is lost; its agent will be adopted", "container=%.12s", id ? id : "?");
	}
}

/* ---- waiting ------------------------------------------------------------------------------------- */

struct registry_waiter *registry_wait(struct registry *r, const char *container_id, uint64_t timeout_ms,
				      void (*fn)(void *ctx, bool ok), void *ctx)
{
	struct registry_waiter *w = xcalloc(1, sizeof(*w));
	struct container *c = containers_by_id(r->g->containers, container_id);

	w->registry = r;
	snprintf(w->id, sizeof(w->id), "%s", container_id);
	w->fn = fn;
	w->ctx = ctx;
	w->ok = c && c->tunnel && tunnel_is_up(c->tunnel);
	w->timer = timer_start(r->g->loop, w->ok ? 0 : timeout_ms, fire_waiter, w);
	DL_APPEND(r->waiters, w);
	return w;
}

void registry_unwait(struct registry_waiter **wp)
{
	struct registry_waiter *w = *wp;

	*wp = NULL;
	if (!w)
		return;
	timer_cancel(&w->timer);
	DL_DELETE(w->registry->waiters, w);
	free(w);
}

void registry_each(struct registry *r, void (*fn)(void *ctx, struct tunnel *t), void *ctx)
{
	struct entry *e, *tmp;

	DL_FOREACH_SAFE(r->tunnels, e, tmp)
		fn(ctx, e->tunnel);
}
