/* dial - forward mode: the gateway calls the agent (GET /health, then /ws with a proof, or to an older agent the token), where
 * a network path exists, and speaks the same protocol over it. Used when no callback URL is given, or
 * when no callback came in time. Goes on dialling, with back-off, until dial_stop. A link is replaced by a new one
 * before its age can end it, every 25 to 28 minutes or within SOCKERLESS_LINK_LIFETIME. */
#ifndef AGENTS_DIAL_H
#define AGENTS_DIAL_H

#include "base/err.h"

#define DIAL_TIMEOUT_MS 5000
#define DIAL_RETRY_MIN_MS 100
#define DIAL_RETRY_MAX_MS 5000

struct gateway;
struct dial;
/* address: host:port, or a whole ws:// wss:// http:// https:// URL without path. Copies both strings. */
struct dial *dial_start(struct gateway *g, const char *container_id, const char *address, const char *token,
			struct err *err);
void dial_stop(struct dial *d); /* closes the link it holds; NULL is fine */

#endif
