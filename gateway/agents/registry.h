/* registry - which agent serves which container. Decides who may hold a container (R21):
 * same boot: the higher link number wins at once and the old link is fenced; another boot: the higher
 * task attempt wins; equal attempts: the incumbent is pinged and, silent for 2 s, replaced, else the
 * newcomer is told DUPLICATE. Where the incumbent has exchanged the token for a key, whoever comes with the token
 * again has no rank: it is asked for as if of an equal attempt, and 10 s without a link are awaited. Removal
 * compares the generation, so a late close cannot unregister a successor. */
#ifndef AGENTS_REGISTRY_H
#define AGENTS_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tunnel.h"

struct enrolment;
struct registry;
struct registry *registry_new(struct gateway *g);
void registry_free(struct registry *r);
/* Before the first agent: who is told what happens to them. */
void registry_observe(struct registry *r, const struct tunnel_observer *observer, void *ctx);

/* Before the upgrade: may somebody with this token speak for this container?
 * 0, or ERR_NOT_FOUND (unknown container: 404) or ERR_DENIED (401, compared in constant time; or it has been exchanged
 * for a key). For those that prove it instead of sending it: enrol.h, with */
const struct enrolment *registry_enrolment(const struct registry *r);
int registry_authorize(struct registry *r, const char *container_id, const char *token, struct err *err);

/* The first frame on an authorised link. 0: the link is in (l->tunnel is set) or waits for a challenge;
 * -1: *ret_refusal holds a WELCOME frame to send before closing (may be empty). */
int registry_hello(struct registry *r, const char *container_id, struct link *l, const uint8_t *frame,
		   size_t n, struct buf *ret_refusal, struct err *err);
void registry_link_gone(struct registry *r, struct link *l);

/* The run is over (exited and acknowledged, or removed): forget the tunnel. */
void registry_drop(struct registry *r, struct container *c);

/* Call fn once when the container's agent is welcomed (ok) or after timeout_ms (not ok), from the loop. */
struct registry_waiter;
struct registry_waiter *registry_wait(struct registry *r, const char *container_id, uint64_t timeout_ms,
				      void (*fn)(void *ctx, bool ok), void *ctx);
void registry_unwait(struct registry_waiter **w); /* sets *w NULL; NULL inside is fine */

/* Every session, for the process image that takes over. restore: as if all links had just been lost. */
void registry_save(const struct registry *r, struct pack *p);
void registry_restore(struct registry *r, struct unpack *u);
/* What has happened since the gateway began, the tunnels that are gone included. */
enum replacement { TAKEOVER_LINK, TAKEOVER_RUN, TAKEOVER_ATTEMPT, TAKEOVER_SILENT, TAKEOVER_REFUSED, TAKEOVERS };
struct registry_totals {
	uint64_t takeovers[TAKEOVERS];  /* a new link of the same agent; of a new run; of a later attempt; an
					 * incumbent that did not answer; one that did */
	uint64_t hellos_refused;        /* for their rate */
	uint64_t sessions;              /* begun */
	struct session_stats past;      /* of tunnels that are gone: what only grows */
	uint64_t discarded, hang_ups;   /* of these, too */
	struct tunnel_budget budget;
};
void registry_totals(const struct registry *r, struct registry_totals *ret);

/* For sockerlessctl agents. */
void registry_each(struct registry *r, void (*fn)(void *ctx, struct tunnel *t), void *ctx);

#endif
