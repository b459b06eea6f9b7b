/* serve - see serve.h. */
#include "serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <jansson.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/token.h"
#include "link.h"
#include "net/http_server.h"
#include "net/listen.h"
#include "net/websocket.h"
#include "proc.h"

#define MAX_CONNECTIONS 64
#define MAX_HEADER_BYTES (64 * 1024)

struct serve {
	struct http_server *http; /* ours */
};

static void reply_text(struct exchange *x, int status, const char *text)
{
	exchange_reply(x, status, "text/plain; charset=utf-8", text, strlen(text));
}

static void answer_health(struct agent *a, struct exchange *x)
{
	const struct exit_status *e = procs_main_exit(a->procs);
	struct buf b;

	buf_init(&b, 256);
	buf_printf(&b, "{\"status\":\"ok\",\"pid\":%d,\"exited\":%s", (int)getpid(),
		   e ? "true" : "false");
	if (a->cfg->proofs)
		buf_printf(&b, ",\"proofs\":true");
	if (e)
		buf_printf(&b, ",\"exitCode\":%d", e->code);
	buf_printf(&b, "}\n");
	exchange_reply(x, 200, "application/json", buf_head(&b), b.len);
	buf_release(&b);
}

/* By a proof, where that is the way; else the token in the header, or, as the predecessor has it too, in the query. */
static bool authorized(const struct agent *a, const struct exchange *x, struct proof *proof, struct err *err)
{
	const char *value = exchange_header(x, "Authorization");
	AUTO_FREE char *argument = parse_query(exchange_query(x), "token");

	if (a->cfg->proofs)
		return links_take_request(a->links, value, proof, err) == 0;
	err_set(err, ERR_DENIED, "wrong token");
	if (value && strncasecmp(value, "Bearer ", 7) == 0 && token_equal(a->cfg->token, value + 7))
		return true;
	return argument && token_equal(a->cfg->token, argument);
}

/* Is word one of the comma-separated list? */
static bool lists(const char *list, const char *word)
{
	AUTO_FREE char *copy = xstrdup(list ? list : "");
	char *rest = copy, *item;

	while ((item = strsep(&rest, ","))) {
		item += strspn(item, " \t");
		size_t n = strcspn(item, " \t");

		if (n == strlen(word) && strncasecmp(item, word, n) == 0)
			return true;
	}
	return false;
}

/* ours: the other side has asked for our subprotocol. proof NULL: it came with the token. */
static void accept_tunnel(struct agent *a, struct exchange *x, const char *key, bool ours, const struct proof *proof)
{
	char accept[29], answered[PROOF_TEXT_MAX];
	struct buf answer, leftover;
	struct conn *conn;
	bool eof = false;

	ws_accept_key(key, accept);
	buf_init(&answer, 1024);
	buf_printf(&answer,
		   "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		   "Sec-WebSocket-Accept: %s\r\n%s", accept,
		   ours ? "Sec-WebSocket-Protocol: " TUNNEL_SUBPROTOCOL "\r\n" : "");
	if (proof) {
		proof_answer(proof, SESSION_AGENT, answered);
		buf_printf(&answer, PROOF_ANSWER ": %s\r\n", answered);
	}
	buf_append(&answer, "\r\n", 2);
	buf_init(&leftover, 1024 * 1024);
	conn = exchange_hijack(x, &leftover, &eof);
	/* A fresh connection takes these 200 bytes at once, or it is not worth having. NULL: a body was to follow. */
	if (!conn)
		log_warn("tunnel refused: a request with a body", "%s", "");
	else if (eof || conn_write(conn, buf_head(&answer), answer.len) != (ssize_t)answer.len)
		conn_close(conn);
	else if (ours)
		links_adopt(a->links, conn, &leftover, proof);
	else
		links_adopt_dialect(a->links, conn, &leftover);
	buf_release(&leftover);
	buf_release(&answer);
}

static void answer_tunnel(struct agent *a, struct exchange *x)
{
	const char *key = exchange_header(x, "Sec-WebSocket-Key");
	const char *version = exchange_header(x, "Sec-WebSocket-Version");
	const char *offered = exchange_header(x, "Sec-WebSocket-Protocol");
	struct proof proof;
	struct err err;

	if (!authorized(a, x, &proof, &err)) {
		log_warn("tunnel refused", "peer=%s reason=\"%s\"", exchange_peer(x), err.msg);
		reply_text(x, 401, "unauthorized\n");
	} else if (!exchange_wants_upgrade(x) || !lists(exchange_header(x, "Upgrade"), "websocket") ||
		   !key || strlen(key) != 24) {
		reply_text(x, 400, "this is a WebSocket endpoint\n");
	} else if (!version || strcmp(version, "13") != 0) {
		exchange_add_header(x, "Sec-WebSocket-Version", "13");
		reply_text(x, 426, "WebSocket version 13 is spoken here\n");
	} else if ((offered || a->cfg->proofs) && !lists(offered, TUNNEL_SUBPROTOCOL)) {
		reply_text(x, 400, "subprotocol " TUNNEL_SUBPROTOCOL " is spoken here\n");
	} else {
		accept_tunnel(a, x, key, offered != NULL, a->cfg->proofs ? &proof : NULL);
	}
}

static void on_request(struct exchange *x, void *ctx)
{
	struct agent *a = ctx;

	if (strcmp(exchange_method(x), "GET") != 0)
		reply_text(x, 405, "only GET\n");
	else if (strcmp(exchange_path(x), "/health") == 0)
		answer_health(a, x);
	else if (strcmp(exchange_path(x), "/ws") == 0)
		answer_tunnel(a, x);
	else
		reply_text(x, 404, "not found\n");
}

/* One JSON line in Cloud Logging is how a gateway without a configured address finds us
 * (docs/decisions/0004). Before the main process runs, so the line is whole. */
static void report_addresses(uint16_t port)
{
	struct ifaddrs *all, *i;
	json_t *listen = json_array(), *line;
	char host[INET6_ADDRSTRLEN];
	AUTO_FREE char *text = NULL;

	if (getifaddrs(&all) == 0) {
		for (i = all; i; i = i->ifa_next) {
			const struct sockaddr_in *in = (const struct sockaddr_in *)i->ifa_addr;

			if (in && in->sin_family == AF_INET && !(i->ifa_flags & IFF_LOOPBACK) &&
			    inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host)))
				json_array_append_new(listen, json_sprintf("%s:%u", host, port));
		}
		freeifaddrs(all);
	}
	line = json_pack("{s:{s:o}, s:s}", "sockerless_agent", "listen", listen, "message", "sockerless-agent listens");
	text = json_dumps(line, JSON_COMPACT);
	json_decref(line);
	if (dprintf(STDOUT_FILENO, "%s\n", text) < 0)
		log_warn("listening addresses cannot be reported", "error=\"%s\"", strerror(errno));
}

struct serve *serve_new(struct agent *a, struct err *err)
{
	struct http_server_options opt = {
		.max_header_bytes = MAX_HEADER_BYTES,
		.max_connections = MAX_CONNECTIONS,
		.write_stall_ms = 30000,
		.server_name = "sockerless-agent",
	};
	struct serve *s;
	int fd = listen_tcp(a->cfg->listen_host, a->cfg->listen_port, false, err);

	if (fd < 0)
		return NULL;
	if (!a->cfg->callback_url)
		report_addresses(listen_port(fd));
	s = xcalloc(1, sizeof(*s));
	s->http = http_server_new(&a->loop, &opt, on_request, a);
	if (http_server_listen(s->http, fd, NULL, err) < 0) {
		serve_free(s);
		return NULL;
	}
	return s;
}

void serve_free(struct serve *s)
{
	if (!s)
		return;
	http_server_free(s->http);
	free(s);
}
