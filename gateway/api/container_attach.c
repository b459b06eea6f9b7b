/* container_attach - POST /containers/{id}/attach and GET …/attach/ws. Everything that can be refused is
 * refused before the connection stops being HTTP, and the relay listens before the client hears of it. */
#include <string.h>

#include "api/handlers.h"
#include "api/hijack.h"
#include "api/reply.h"
#include "base/mem.h"
#include "relay.h"
#include "state/container.h"

#define WEBSOCKET_KEY_LEN 24 /* base64 of 16 bytes: RFC 6455, 4.1 */

/* NULL after an answer. */
static struct relay *attach_relay(struct request *r, const struct relay_attach_options *opt, bool *ret_tty)
{
	AUTO_FREE char *spec = request_query(r, "detachKeys");
	struct container *c = request_container(r);
	struct detach_keys keys;
	struct relay_attach_options with_keys;
	struct relay *relay = NULL;
	struct err err;

	if (!c)
		return NULL;
	if (c->restarting || c->paused) {
		reply_error(r, ERR_CONFLICT, c->paused ? "container %s is paused, unpause the container before attach"
						       : "container %s is restarting, wait until the container is running",
			    r->name);
		return NULL;
	}
	with_keys = *opt;
	with_keys.stream = request_flag(r, "stream");
	with_keys.logs = request_flag(r, "logs");
	with_keys.keys = &keys;
	if (detach_keys_parse(&keys, spec, &err) == 0)
		relay = relay_attach(r->g, c, &with_keys, &err);
	if (!relay) {
		reply_err(r, &err);
		return NULL;
	}
	*ret_tty = c->tty;
	container_emit(c, "attach");
	return relay;
}

static void attach(struct request *r, size_t body_len)
{
	struct relay_attach_options opt = {
		.in = request_flag(r, "stdin"), .out = request_flag(r, "stdout"), .err = request_flag(r, "stderr"),
	};
	bool tty;
	struct relay *relay = attach_relay(r, &opt, &tty);

	if (relay)
		hijack(r, relay, !tty);
}

void container_attach(struct request *r)
{
	struct container *c = request_container(r);

	if (c)
		request_drain(r, attach);
}

void container_attach_websocket(struct request *r)
{
	const char *upgrade = exchange_header(r->x, "Upgrade"), *key = exchange_header(r->x, "Sec-WebSocket-Key");
	bool all = r->version < 42, tty; /* the three were not looked at before 1.42 */
	struct relay_attach_options opt = {
		.in = all || request_flag(r, "stdin"), .out = all || request_flag(r, "stdout"),
		.err = all || request_flag(r, "stderr"), .raw = true,
	};
	struct relay *relay;
	AUTO_FREE char *own_key = NULL;

	if (!request_container(r))
		return;
	if (!upgrade || strcasecmp(upgrade, "websocket") != 0 || !key || strlen(key) != WEBSOCKET_KEY_LEN) {
		reply_error(r, ERR_INVALID, "attach/ws wants a WebSocket handshake (Upgrade: websocket, Sec-WebSocket-Key)");
		return;
	}
	own_key = xstrdup(key);
	relay = attach_relay(r, &opt, &tty);
	if (relay)
		hijack_websocket(r, relay, own_key);
}
