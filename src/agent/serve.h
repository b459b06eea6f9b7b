/* serve - forward mode: the agent listens, the gateway dials.
 *     GET /health   no authentication: {"status":"ok","pid":n,"exited":bool,"exitCode":n}
 *     GET /ws       Authorization: a proof (prove.h), or the token, compared in constant time; then the tunnel */
#ifndef AGENT_SERVE_H
#define AGENT_SERVE_H

#include "agent.h"
#include "base/err.h"

struct serve *serve_new(struct agent *a, struct err *err);
void serve_free(struct serve *s); /* NULL is fine */

#endif
