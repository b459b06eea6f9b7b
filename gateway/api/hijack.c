/* hijack - see hijack.h.
 * The content type of framed streams is told to API 1.42 and later only, and only with a 101: older
 * clients know nothing but raw-stream, whatever the bytes are. */
#include "api/hijack.h"

#include "base/buf.h"
#include "base/mem.h"
#include "relay.h"

#define LEFTOVER_MAX (1024 * 1024 + 64 * 1024)

void hijack(struct request *r, struct relay *relay, bool multiplexed)
{
	bool upgrade = exchange_header(r->x, "Upgrade") != NULL;
	bool tell = upgrade && multiplexed && r->version >= 42;
	AUTO_FREE char *head = xasprintf(
		"HTTP/1.1 %s\r\nContent-Type: application/vnd.docker.%s-stream\r\n%s\r\n",
		upgrade ? "101 UPGRADED" : "200 OK", tell ? "multiplexed" : "raw",
		upgrade ? "Connection: Upgrade\r\nUpgrade: tcp\r\n" : "");
	struct buf leftover;
	struct conn *conn;
	bool eof = false;

	buf_init(&leftover, LEFTOVER_MAX);
	conn = exchange_hijack(r->x, &leftover, &eof);
	request_free(r);
	relay_open(relay, conn, &leftover, eof, head);
}
