/* link - see link.h. */
#include "link.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/token.h"
#include "dialect.h"
#include "net/defer.h"
#include "net/tls.h"
#include "proc.h"
#include "prove.h"

#define SPREAD_MS 100            /* a lost link: at once, give or take; the gateway may say otherwise */
#define SPREAD_MAX_MS 30000
#define INSIST_MS 10000          /* for so long, or a hundred spreads: a gateway that restarts is back by then */
#define BACKOFF_MS 100           /* then rand(0, this * 2^n) */
#define SLOW_RETRY_MS 30000      /* the gateway answers, but not with what we want */
#define FLAPS_MAX 50             /* links in a row that were up but not for long: then we back off */
#define NOT_FOUND_PATIENCE 5     /* so many 404 may be a gateway that is starting */
#define SUSPECT_SILENCE_MS 5000

struct links {
	struct agent *agent;
	struct tls *tls;             /* loaded at the first dial that needs it */
	struct wslink *current;      /* the session's */
	struct wslink *pending;      /* dialling; becomes current when open */
	struct prover prover;
	struct dialect *dialect;     /* for back ends of the predecessor; NULL before the first */
	bool bridged;                /* it is the session's link; current is NULL */
	uint64_t link_no;
	bool forward;                /* current was opened by the gateway */
	bool up;                     /* WELCOME has come on current */
	bool hurried, stopped;
	uint64_t opened_ms, up_ms;
	uint64_t insist_until_ms;    /* a link that was up has been lost: no backing off yet */
	uint32_t spread_ms;          /* as the last WELCOME said */
	uint64_t renew_at_ms;        /* 0 = not again on this link */
	bool moved;                  /* SIGTSTP has said that we shall be, and SIGCONT has not come */
	unsigned failures, flaps, not_found;
	unsigned tries;              /* in vain since the link was up: for the log */
	struct timer *retry;
	uv_timer_t tick;
	bool tick_open;
};

static const struct wslink_ops link_ops;
static void dial(void *ctx);

static uint64_t random_below(uint64_t n)
{
	uint64_t r;

	random_bytes(&r, sizeof(r));
	return n ? r % n : 0;
}

/* ---- dialling again ----------------------------------------------------------------------------- */

static void retry_in(struct links *l, uint64_t ms)
{
	timer_cancel(&l->retry);
	if (l->stopped || l->pending || !l->agent->cfg->callback_url)
		return;
	if (l->bridged && dialect_dialled(l->dialect))
		return;
	log_debug("dialling again", "in_ms=%llu", (unsigned long long)ms);
	l->retry = timer_start(&l->agent->loop, ms, dial, l);
}

static void retry_backed_off(struct links *l)
{
	uint64_t cap = l->hurried ? LINK_RETRY_HURRIED_MS : LINK_RETRY_MAX_MS;
	uint64_t span = l->spread_ms;

	if (clock_mono_ms() >= l->insist_until_ms && l->failures > 0)
		span = (uint64_t)BACKOFF_MS << (l->failures < 10 ? l->failures : 10);
	if (clock_mono_ms() >= l->insist_until_ms)
		l->failures++;
	retry_in(l, random_below(span < cap ? span : cap));
}

static void retry_slowly(struct links *l)
{
	uint64_t ms = l->hurried ? LINK_RETRY_HURRIED_MS : SLOW_RETRY_MS;

	retry_in(l, ms / 2 + random_below(ms));
}

/* What the gateway's HTTP answer instead of 101 means for the next try. */
static void retry_after_refusal(struct links *l, int http_status)
{
	l->not_found = http_status == 404 ? l->not_found + 1 : 0;
	if (http_status == 401 || http_status == 403 || l->not_found >= NOT_FOUND_PATIENCE)
		retry_slowly(l);
	else
		retry_backed_off(l);
}

static struct tls *client_tls(struct links *l, struct err *err)
{
	const char *url = l->agent->cfg->callback_url;

	if (strncmp(url, "wss:", 4) != 0 && strncmp(url, "https:", 6) != 0)
		return NULL;
	if (!l->tls)
		l->tls = tls_client_new(l->agent->cfg->ca_file, err);
	return l->tls;
}

static void dial(void *ctx)
{
	struct links *l = ctx;
	const struct config *cfg = l->agent->cfg;
	struct strv headers = {0};
	struct wslink_options opt = {
		.url = cfg->callback_url,
		.subprotocol = TUNNEL_SUBPROTOCOL,
		.subprotocol_optional = true,
		.timeout_ms = LINK_CONNECT_MS,
	};
	char proof[PROOF_TEXT_MAX];
	struct err err = {0};

	l->retry = NULL;
	opt.tls = client_tls(l, &err);
	if (err.kind == ERR_NONE) {
		if (cfg->proofs) {
			prover_request(&l->prover, proof);
			strv_take(&headers, xasprintf(PROOF_REQUEST ": %s", proof));
			opt.answer_header = PROOF_ANSWER;
			opt.subprotocol_optional = false;
		} else if (*cfg->token)
			strv_take(&headers, xasprintf("Authorization: Bearer %s", cfg->token));
		opt.headers = headers;
		l->pending = wslink_connect(&l->agent->loop, &opt, &link_ops, l, &err);
		strv_release(&headers);
	}
	if (!l->pending) {
		log_error("cannot dial the gateway", "error=\"%s\"", err.msg);
		retry_slowly(l);
	}
}

/* ---- the present link --------------------------------------------------------------------------- */

static void drop_current(struct links *l)
{
	if (l->bridged) {
		l->bridged = l->up = false;
		dialect_end(l->dialect);
		session_link_down(l->agent->session);
	}
	if (!l->current)
		return;
	wslink_close(l->current);
	l->current = NULL;
	if (l->up)
		prover_left(&l->prover);
	l->up = false;
	session_link_down(l->agent->session);
}

/* The present link is of no more use. */
static void lost(struct links *l, const char *why)
{
	uint64_t now = clock_mono_ms();

	if (l->up && now - l->up_ms >= LINK_STABLE_MS)
		l->flaps = 0;
	if (l->up && l->flaps++ < FLAPS_MAX) {
		l->failures = 0;
		l->insist_until_ms = now + (INSIST_MS > 100ull * l->spread_ms ? INSIST_MS : 100ull * l->spread_ms);
	}
	log_warn("link lost", "reason=\"%s\" link=%llu", why, (unsigned long long)l->link_no);
	drop_current(l);
	retry_backed_off(l);
}

static void say_hello(struct links *l)
{
	struct agent *a = l->agent;
	struct hello h = {
		.container_id = xstrdup(a->cfg->container_id),
		.execution = xstrdup(a->cfg->execution),
		.agent_version = xstrdup(VERSION),
		.task_attempt = a->cfg->task_attempt,
		.link_no = ++l->link_no,
		.window_in = STREAM_WINDOW_IN,
		.window_out = STREAM_WINDOW_OUT,
	};

	procs_list(a->procs, &h);
	session_hello(a->session, &h, clock_mono_ms());
	hello_release(&h);
}

/* An open WebSocket takes over; the one before is fenced off first, so that nothing is read twice. */
static void take_over(struct links *l, struct wslink *link, const struct proof *proof, bool forward)
{
	struct err err;

	drop_current(l);
	l->current = link;
	l->renew_at_ms = 0;
	l->forward = forward;
	l->opened_ms = clock_mono_ms();
	if (proof && prover_begin(&l->prover, proof, &err) < 0) {
		lost(l, err.msg);
		return;
	}
	say_hello(l);
	wslink_wake(link);
}

/* Before whatever is between us and the gateway ends this link for its age, by our own choice of the moment. */
static uint64_t renewal_due(const struct links *l)
{
	uint64_t own = l->agent->cfg->renew_ms, life = session_link_lifetime(l->agent->session);

	own -= own * 6 / 100;
	own += random_below(own * 12 / 100);
	life -= life / 10;
	life -= random_below(life / 10);
	if (!own || (life && life < own))
		own = life;
	return own ? clock_mono_ms() + own : 0;
}

static void on_back_end_lost(void *ctx)
{
	struct links *l = ctx;

	l->failures = clock_mono_ms() - l->up_ms >= LINK_STABLE_MS ? 0 : l->failures;
	l->up_ms = clock_mono_ms();
	log_warn("link lost", "reason=\"the back end has closed it\" link=%llu", (unsigned long long)l->link_no);
	retry_backed_off(l);
}

/* The other side of this WebSocket is the predecessor's. */
static void bridge(struct links *l, struct wslink *link, bool dialled)
{
	if (!l->dialect)
		l->dialect = dialect_new(l->agent, on_back_end_lost, l);
	if (!l->bridged) {
		drop_current(l);
		l->bridged = l->up = true;
		l->forward = !dialled;
		say_hello(l);
		dialect_begin(l->dialect);
	}
	l->up_ms = clock_mono_ms();
	dialect_add(l->dialect, link, dialled);
}

static void on_verdict(struct links *l, int verdict, uint32_t retry_after_ms)
{
	switch (verdict) {
	case WELCOME_RESUMED:
	case WELCOME_NEW:
		l->up = true;
		l->up_ms = clock_mono_ms();
		if (l->agent->cfg->proofs)
			prover_proved(&l->prover);
		l->renew_at_ms = l->forward || !l->agent->cfg->callback_url ? 0 : renewal_due(l);
		l->not_found = l->tries = 0;
		l->spread_ms = !retry_after_ms ? SPREAD_MS : retry_after_ms < SPREAD_MAX_MS ? retry_after_ms : SPREAD_MAX_MS;
		log_info("link up", "link=%llu peer=%s resumed=%d", (unsigned long long)l->link_no,
			 wslink_peer(l->current), verdict == WELCOME_RESUMED);
		return;
	case WELCOME_UNKNOWN:
	case WELCOME_SUPERSEDED:
		log_error("the gateway does not want this session", "verdict=%s",
			  verdict == WELCOME_UNKNOWN ? "unknown" : "superseded");
		l->stopped = true;
		drop_current(l);
		return;
	case WELCOME_DUPLICATE:
		log_warn("another agent holds this container", "retry_ms=%d", SLOW_RETRY_MS);
		drop_current(l);
		retry_slowly(l);
		return;
	default:
		drop_current(l);
		retry_in(l, retry_after_ms + random_below(l->spread_ms));
	}
}

static void on_open(void *ctx, struct wslink *link)
{
	struct links *l = ctx;
	struct err err;

	if (link != l->pending)
		return;
	l->pending = NULL;
	if (l->agent->cfg->proofs && prover_take_answer(&l->prover, wslink_answer(link), &err) < 0) {
		log_error("the gateway cannot be believed", "retry_ms=%d reason=\"%s\"", SLOW_RETRY_MS, err.msg);
		wslink_close(link);
		retry_slowly(l);
	} else if (wslink_has_subprotocol(link))
		take_over(l, link, l->agent->cfg->proofs ? &l->prover.dialled : NULL, false);
	else
		bridge(l, link, true);
}

static void on_message(void *ctx, struct wslink *link, const uint8_t *p, size_t n)
{
	struct links *l = ctx;
	struct session *s = l->agent->session;
	uint32_t retry_after_ms = 0;
	struct err err;
	int verdict;

	if (link != l->current)
		return;
	if (session_receive(s, p, n, clock_mono_ms(), &err) < 0) {
		lost(l, err.msg);
		return;
	}
	if (!l->up && (verdict = session_verdict(s, &retry_after_ms)) >= 0)
		on_verdict(l, verdict, retry_after_ms);
	procs_unblock(l->agent->procs);
}

static int next(void *ctx, struct wslink *link, struct wslink_out *ret)
{
	struct links *l = ctx;
	struct frame_out f;

	if (link != l->current || !session_next_frame(l->agent->session, &f, clock_mono_ms()))
		return 0;
	*ret = (struct wslink_out){f.head, f.head_len, f.body, f.body_len};
	return 1;
}

static void on_close(void *ctx, struct wslink *link, int http_status, const char *reason)
{
	struct links *l = ctx;

	if (link == l->current) {
		lost(l, reason);
	} else if (link == l->pending) {
		l->pending = NULL;
		if (http_status == 401)
			log_error(l->agent->cfg->proofs ? "the gateway refuses our proof" : "the gateway refuses our token", "retry_ms=%d", SLOW_RETRY_MS);
		else if ((l->tries & (l->tries + 1)) == 0) /* the 1st, 2nd, 4th, 8th ... in a row */
			log_warn("cannot reach the gateway", "tries=%u status=%d reason=\"%s\"",
				 l->tries + 1, http_status, reason);
		l->tries++;
		retry_after_refusal(l, http_status);
	}
}

static const struct wslink_ops link_ops = {
	.on_open = on_open, .on_message = on_message, .next = next, .on_close = on_close,
};

/* ---- API ---------------------------------------------------------------------------------------- */

static void on_tick(uv_timer_t *h)
{
	/* Its firing has woken the loop: links_tick runs in every round. */
}

struct links *links_new(struct agent *a)
{
	struct links *l = xcalloc(1, sizeof(*l));

	l->agent = a;
	l->spread_ms = SPREAD_MS;
	prover_init(&l->prover, a);
	uv_timer_init(&a->loop, &l->tick);
	l->tick.data = l;
	return l;
}

static void tick_closed(uv_handle_t *h)
{
	free(h->data);
}

void links_free(struct links *l)
{
	if (!l)
		return;
	l->stopped = true;
	timer_cancel(&l->retry);
	l->bridged = false;
	dialect_free(l->dialect);
	wslink_close(l->pending);
	wslink_close(l->current);
	l->pending = l->current = NULL;
	tls_unref(l->tls);
	uv_close((uv_handle_t *)&l->tick, tick_closed);
}

void links_dial(struct links *l)
{
	if (l->agent->cfg->callback_url)
		dial(l);
}

int links_take_request(struct links *l, const char *authorization, struct proof *ret, struct err *err)
{
	return prover_take_request(&l->prover, authorization, l->up, ret, err);
}

void links_adopt(struct links *l, struct conn *conn, struct buf *leftover, const struct proof *proof)
{
	timer_cancel(&l->retry);
	wslink_close(l->pending);
	l->pending = NULL;
	take_over(l, wslink_adopt(conn, leftover, &link_ops, l), proof, true);
}

void links_adopt_dialect(struct links *l, struct conn *conn, struct buf *leftover)
{
	bridge(l, wslink_adopt(conn, leftover, dialect_wslink_ops(), l->dialect), false);
}

void links_wake(struct links *l)
{
	if (l->bridged)
		dialect_wake(l->dialect);
	else if (l->current)
		wslink_wake(l->current);
}

static void arm_tick(struct links *l, uint64_t at_ms)
{
	uint64_t now = clock_mono_ms();

	uv_update_time(&l->agent->loop);
	uv_timer_start(&l->tick, on_tick, at_ms > now ? at_ms - now : 1, 0);
}

/* This is asked in every turn of the loop, the kernel for its queue only when something is wrong. */
static bool is_dead(struct links *l, uint64_t now)
{
	struct session *s = l->agent->session;
	bool well = session_has_answered(s) && session_silent_ms(s, now) <= SESSION_SILENCE_MS;

	return session_link_dead(s, well ? 0 : wslink_kernel_queue(l->current), now);
}

void links_tick(struct links *l)
{
	struct session *s = l->agent->session;
	uint64_t now = clock_mono_ms(), next_ms;

	if (l->bridged) {
		arm_tick(l, session_tick(s, now));
		return;
	}
	if (l->current && !l->up && now - l->opened_ms > LINK_HANDSHAKE_MS)
		lost(l, "no WELCOME");
	else if (l->up && is_dead(l, now))
		lost(l, "silence");
	else if (l->up && l->renew_at_ms && now >= l->renew_at_ms && !l->pending) {
		l->renew_at_ms = 0;
		log_info("link renewed for its age", "link=%llu age_ms=%llu", (unsigned long long)l->link_no,
			 (unsigned long long)(now - l->up_ms));
		retry_in(l, 0);
	}
	if (!l->current) {
		uv_timer_stop(&l->tick);
		return;
	}
	next_ms = session_tick(s, now);
	if (!l->up && next_ms > l->opened_ms + LINK_HANDSHAKE_MS)
		next_ms = l->opened_ms + LINK_HANDSHAKE_MS + 1;
	if (l->up && l->renew_at_ms && next_ms > l->renew_at_ms)
		next_ms = l->renew_at_ms;
	arm_tick(l, next_ms);
}

void links_hurry(struct links *l, bool hurry)
{
	l->hurried = hurry;
	if (hurry && !l->current && !l->pending)
		retry_in(l, 0);
}

void links_moving(struct links *l)
{
	struct control c = { .type = CONTROL_MIGRATING };

	l->moved = true;
	session_send(l->agent->session, &c, NULL);
}

void links_suspect(struct links *l)
{
	bool moved = l->moved;

	l->moved = false;
	if (l->current && session_silent_ms(l->agent->session, clock_mono_ms()) > SUSPECT_SILENCE_MS) {
		l->failures = 0;
		lost(l, "silent while we were stopped");
	}
	/* After a move the old link leads nowhere, but there is no harm in it until the new one is open. */
	if (!l->pending && (!l->current || (moved && !l->forward)))
		retry_in(l, 0);
}

void links_replace(struct links *l, uint32_t within_ms)
{
	if (!l->forward)
		retry_in(l, random_below(within_ms));
}

bool links_hopeless(const struct links *l)
{
	return l->stopped && !l->current && !l->bridged && !l->agent->cfg->listen_host;
}
