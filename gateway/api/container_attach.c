/* container_attach - POST /containers/{id}/attach. Everything that can be refused is refused before
 * the connection stops being HTTP, and the relay listens before the client hears of it. */
#include <string.h>

#include "api/handlers.h"
#include "api/hijack.h"
#include "api/reply.h"
#include "base/mem.h"
#include "relay.h"
#include "state/container.h"

static void attach(struct request *r, size_t body_len)
{
	AUTO_FREE char *spec = request_query(r, "detachKeys");
	struct container *c = request_container(r);
	struct detach_keys keys;
	struct relay *relay;
	struct err err;
	bool tty;

	if (!c)
		return;
	if (detach_keys_parse(&keys, spec, &err) < 0) {
		reply_err(r, &err);
		return;
	}
	relay = relay_attach(r->g, c, &(struct relay_attach_options){
		.stream = request_flag(r, "stream"), .logs = request_flag(r, "logs"),
		.in = request_flag(r, "stdin"), .out = request_flag(r, "stdout"), .err = request_flag(r, "stderr"),
		.keys = &keys,
	}, &err);
	if (!relay) {
		reply_err(r, &err);
		return;
	}
	tty = c->tty;
	container_emit(c, "attach");
	hijack(r, relay, !tty);
}

void container_attach(struct request *r)
{
	struct container *c = request_container(r);

	if (c)
		request_drain(r, attach);
}
