/* hijack - see hijack.h.
 * The content type of framed streams is told to API 1.42 and later only, and only with a 101: older
 * clients know nothing but raw-stream, whatever the bytes are. */
#include "api/hijack.h"

#include <string.h>

#include "api/api.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/websocket.h"
#include "net/websocket_stream.h"
#include "relay.h"

#define LEFTOVER_MAX (1024 * 1024 + 64 * 1024)

void hijack(struct request *r, struct relay *relay, bool multiplexed)
{
	bool upgrade = exchange_header(r->x, "Upgrade") != NULL;
	bool tell = upgrade && multiplexed && r->version >= 42;
	/* dockerd tells who it is on an exec's stream, and not on an attach's. */
	bool says_who = strncmp(r->path, "/exec/", 6) == 0;
	AUTO_FREE char *head = xasprintf(
		"HTTP/1.1 %s\r\nContent-Type: application/vnd.docker.%s-stream\r\n%s%s\r\n",
		upgrade ? "101 UPGRADED" : "200 OK", tell ? "multiplexed" : "raw",
		upgrade ? "Connection: Upgrade\r\nUpgrade: tcp\r\n" : "",
		says_who ? "Api-Version: " API_VERSION_MAX_TEXT "\r\nDocker-Experimental: false\r\nOstype: linux\r\n"
			   "Server: Docker/" VERSION " (linux)\r\n" : "");
	struct buf leftover;
	struct conn *conn;
	bool eof = false;

	buf_init(&leftover, LEFTOVER_MAX);
	conn = exchange_hijack(r->x, &leftover, &eof);
	request_free(r);
	relay_open(relay, conn, &leftover, eof, head);
}

/* relay_open wants the connection's far end; events of it before that are none of ours. */
static void not_yet(struct conn *c, void *ctx, unsigned events)
{
}

void hijack_websocket(struct request *r, struct relay *relay, const char *key)
{
	uv_loop_t *loop = r->g->loop;
	struct buf leftover, nothing;
	struct conn *conn, *far = NULL;
	char accept[29];
	bool eof = false;
	struct err err;

	ws_accept_key(key, accept);
	AUTO_FREE char *head = xasprintf("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
					 "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept);
	buf_init(&leftover, LEFTOVER_MAX);
	buf_init(&nothing, LEFTOVER_MAX);
	conn = exchange_hijack(r->x, &leftover, &eof);
	request_free(r);
	if (conn)
		far = ws_stream_open(loop, conn, &leftover, head, not_yet, NULL, &err);
	else
		buf_release(&leftover);
	if (conn && !far)
		log_warn("WebSocket client cut", "error=\"%s\"", err.msg);
	relay_open(relay, far, &nothing, false, "");
}
