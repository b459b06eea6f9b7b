/* http_carry - the connections of a server, handed to the process image that takes over (http_server.h).
 *
 * A client between two requests is its descriptor and what is not parsed yet. An exchange that can be carried is
 * told to the next image as the request it was, without its body, which has been consumed, and as what its owner
 * packs. TLS connections stay behind: what OpenSSL knows cannot be handed over. */
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "base/mem.h"
#include "http_server_state.h"

#define REQUEST_MAX (2 * 1024 * 1024)

static bool may_carry(const struct client *c)
{
	struct exchange *x = c->x;

	return c->phase == DONE && x->carry && x->carry(x, x->carry_ctx, NULL);
}

static bool is_busy(const struct client *c)
{
	if (c->x)
		return !may_carry(c);
	return c->phase == BODY || (c->phase == DONE && c->close_after) || (c->phase == HEAD && http1_started(c->parser));
}

size_t http_server_busy(const struct http_server *s, char *why, size_t cap)
{
	const struct client *c;
	size_t n = 0;

	*why = '\0';
	DL_FOREACH(s->clients, c) {
		if (!is_busy(c))
			continue;
		if (n++ == 0)
			snprintf(why, cap, "%s %s", c->x ? http1_method(c->parser) : "a request",
				 c->x ? c->x->path : "on its way");
	}
	return n;
}

/* ---- save ---- */

static bool is_about_body(const char *name)
{
	return strcmp(name, "content-length") == 0 || strcmp(name, "transfer-encoding") == 0 || strcmp(name, "expect") == 0;
}

static void pack_request(struct pack *p, const struct client *c)
{
	const struct exchange *x = c->x;
	const char *name, *value;
	struct buf text;

	buf_init(&text, REQUEST_MAX);
	buf_printf(&text, "%s %s%s%s HTTP/1.%d\r\n", http1_method(c->parser), x->path, *x->query ? "?" : "", x->query,
		   x->http_1_0 ? 0 : 1);
	for (size_t i = 0; http1_header_at(c->parser, i, &name, &value); i++)
		if (!is_about_body(name))
			buf_printf(&text, "%s: %s\r\n", name, value);
	buf_append(&text, "\r\n", 2);
	pack_buf(p, &text);
	buf_release(&text);
}

static void save_client(const struct client *c, struct pack *p)
{
	struct exchange *x = c->x;
	size_t part;

	pack_fd(p, conn_fd(c->conn));
	pack_num(p, c->phase == LINGER);
	pack_num(p, c->eof);
	pack_num(p, c->close_after);
	pack_buf(p, &c->in);
	pack_buf(p, &c->out);
	pack_num(p, x != NULL);
	if (!x)
		return;
	pack_request(p, c);
	pack_num(p, (x->begun ? ANSWER_BEGUN : 0u) | (x->bodyless ? ANSWER_BODYLESS : 0u) | (x->chunked ? ANSWER_CHUNKED : 0u));
	part = pack_begin(p);
	x->carry(x, x->carry_ctx, p);
	pack_end(p, part);
}

static bool stays_behind(const struct client *c)
{
	return !c->conn || c->broken || c->phase == DEAD || !conn_is_plain(c->conn);
}

void http_server_save(const struct http_server *s, struct pack *p)
{
	const struct client *c;
	uint64_t n = 0;

	DL_FOREACH(s->clients, c)
		n += !stays_behind(c);
	pack_num(p, n);
	DL_FOREACH(s->clients, c)
		if (!stays_behind(c))
			save_client(c, p);
}

/* ---- restore ---- */

static void restore_exchange(struct client *c, struct unpack *u)
{
	size_t n;
	const uint8_t *request = unpack_bytes(u, &n);
	unsigned answer = (unsigned)unpack_num(u);
	struct unpack carried = unpack_part(u);
	struct http_server *s = c->server;

	if (u->bad)
		return;
	s->carried = &carried;
	s->carried_answer = answer;
	server_client_feed(c, (const char *)request, n);
	s->carried = NULL;
	if (c->x)
		c->x->carried = NULL;
}

static void append(struct buf *b, struct unpack *u)
{
	size_t n;
	const uint8_t *p = unpack_bytes(u, &n);

	if (n && buf_append(b, p, n) < 0)
		u->bad = true;
}

/* False: this one is lost, or the rest makes no sense. */
static bool restore_client(struct http_server *s, struct unpack *u)
{
	int fd = unpack_fd(u);
	bool linger = unpack_num(u), eof = unpack_num(u), close_after = unpack_num(u), exchange;
	struct client *c = fd >= 0 ? server_client_new(s, fd, NULL, NULL) : NULL;
	struct buf in;

	if (!c) {
		u->bad = true;
		return false;
	}
	buf_init(&in, READ_BYTES_PER_EVENT);
	append(&in, u);
	append(&c->out, u);
	exchange = unpack_num(u);
	if (exchange && !u->bad) {
		restore_exchange(c, u);
		c->close_after |= close_after;
	} else if (linger) {
		c->phase = LINGER; /* the idle timeout ends it if the client does not */
	}
	c->eof = eof;
	if (c->phase != DEAD && !u->bad) {
		buf_append(&c->in, buf_head(&in), in.len);
		server_client_feed(c, NULL, 0);
	}
	buf_release(&in);
	return !u->bad;
}

size_t http_server_restore(struct http_server *s, struct unpack *u)
{
	uint64_t n = unpack_num(u);
	size_t taken = 0;

	while (taken < n && !u->bad && restore_client(s, u))
		taken++;
	return taken;
}
