/* relay_save - relays for the process image that takes over: the client's descriptor, what waits in either direction,
 * and where in the process's stream or the container's log the client is. Waiters and wishes are made anew. */
#include <string.h>
#include <utlist.h>

#include "agents/tunnel.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway.h"
#include "net/defer.h"
#include "relay_state.h"
#include "state/container.h"
#include "state/exec.h"
#include "state/logs.h"

/* ---- save ----------------------------------------------------------------------------------------- */

static bool stays_behind(const struct relay *r)
{
	return !r->conn || !conn_is_plain(r->conn);
}

static void save_filter(const struct stdcopy_filter *f, struct pack *p)
{
	pack_num(p, f->want_stdout);
	pack_num(p, f->want_stderr);
	pack_num(p, f->drop_headers);
	pack_bytes(p, f->head, sizeof(f->head));
	pack_num(p, f->have);
	pack_num(p, f->left);
}

static void save_keys(const struct detach_keys *k, struct pack *p)
{
	pack_bytes(p, k->key, k->n);
	pack_num(p, k->seen);
}

static void save_relay(const struct relay *r, struct pack *p)
{
	pack_fd(p, conn_fd(r->conn));
	pack_num(p, r->state);
	pack_buf(p, &r->out);
	pack_buf(p, &r->in);
	pack_num(p, r->client_eof);
	pack_num(p, r->eof_passed);
	pack_num(p, r->stdin_wanted);
	pack_num(p, r->channel);
	save_keys(&r->keys, p);
	pack_num(p, r->raw);
	save_filter(&r->filter, p);
	pack_num(p, r->filtering);
	pack_num(p, r->framing);
	pack_num(p, r->frame_left);
	pack_str(p, r->exec_id);
	pack_num(p, r->tunnel != NULL);
	pack_str(p, r->container_id);
	pack_num(p, r->follow);
	pack_num(p, r->close_stdin);
	pack_num(p, r->exited);
	pack_num(p, r->cursor != NULL);
	if (!r->cursor)
		return;
	pack_num(p, r->piece_len);
	log_cursor_save(r->cursor, r->piece_len, p);
}

void relays_save(struct pack *p)
{
	const struct relay *r;
	uint64_t n = 0;

	DL_FOREACH(relays, r)
		n += !stays_behind(r);
	pack_num(p, n);
	DL_FOREACH(relays, r) {
		size_t part;

		if (stays_behind(r))
			continue;
		part = pack_begin(p);
		save_relay(r, p);
		pack_end(p, part);
	}
}

/* ---- restore -------------------------------------------------------------------------------------- */

static void restore_buf(struct buf *b, size_t room, struct unpack *u)
{
	size_t n;
	const uint8_t *p = unpack_bytes(u, &n);

	if (b->max < n + room)
		b->max = n + room;
	buf_append(b, p, n);
}

static void restore_filter(struct stdcopy_filter *f, struct unpack *u)
{
	f->want_stdout = unpack_num(u);
	f->want_stderr = unpack_num(u);
	f->drop_headers = unpack_num(u);
	unpack_exact(u, f->head, sizeof(f->head));
	f->have = (unsigned)unpack_num(u);
	f->left = (uint32_t)unpack_num(u);
}

static void restore_keys(struct detach_keys *k, struct unpack *u)
{
	size_t n;
	const uint8_t *keys = unpack_bytes(u, &n);

	u->bad |= n > DETACH_KEYS_MAX;
	if (!u->bad && n)
		memcpy(k->key, keys, n);
	k->n = u->bad ? 0 : n;
	k->seen = unpack_num(u);
	u->bad |= k->seen > k->n;
}

/* The piece that was being written, whose header the client has. */
static void restore_cursor(struct relay *r, struct container *c, struct unpack *u)
{
	size_t owed = unpack_num(u);
	struct err err;
	struct log *log = c ? container_log(c, &err) : NULL;
	uint8_t tag;
	int64_t time_ns;

	r->cursor = log ? log_cursor_restore(log, u) : NULL;
	u->bad |= !r->cursor;
	if (u->bad || !owed)
		return;
	if (log_cursor_next(r->cursor, &tag, &time_ns, &r->piece, &r->piece_len, &err) != 1 || r->piece_len < owed) {
		u->bad = true;
		return;
	}
	if (r->piece_len > owed)
		log_cursor_unread(r->cursor, r->piece_len - owed);
	r->piece_len = owed;
}

static void restore_fields(struct relay *r, struct unpack *u, bool *ret_tunnel)
{
	r->state = (enum relay_state)unpack_num(u);
	restore_buf(&r->out, 0, u);
	restore_buf(&r->in, RELAY_IN_MAX, u);
	r->client_eof = unpack_num(u);
	r->eof_passed = unpack_num(u);
	r->stdin_wanted = unpack_num(u);
	r->channel = (uint32_t)unpack_num(u);
	restore_keys(&r->keys, u);
	r->raw = unpack_num(u);
	restore_filter(&r->filter, u);
	r->filtering = unpack_num(u);
	r->framing = unpack_num(u);
	r->frame_left = (uint32_t)unpack_num(u);
	unpack_text(u, r->exec_id, sizeof(r->exec_id));
	*ret_tunnel = unpack_num(u);
	unpack_text(u, r->container_id, sizeof(r->container_id));
	r->follow = unpack_num(u);
	r->close_stdin = unpack_num(u);
	r->exited = unpack_num(u);
}

static void go_on_with_exec(struct relay *r, struct container *c)
{
	struct exec *e = execs_find(r->g->execs, r->exec_id, NULL);

	if (c && e && c->tunnel && tunnel_set_sink(c->tunnel, e->channel, e->id, &relay_exec_sink, r))
		r->tunnel = c->tunnel;
	else
		relay_say_lost(r, "its session did not survive the gateway's restart");
}

static bool restore_relay(struct gateway *g, struct unpack *u)
{
	int fd = unpack_fd(u);
	struct relay *r = relay_new(g);
	struct container *c;
	struct err err = { 0 };
	bool has_tunnel;

	r->conn = fd >= 0 ? conn_adopt(g->loop, fd, NULL, 0, relay_on_client, r, &err) : NULL;
	restore_fields(r, u, &has_tunnel);
	c = containers_by_id(g->containers, r->container_id);
	if (r->conn && !u->bad && unpack_num(u))
		restore_cursor(r, c, u);
	if (!r->conn || u->bad) {
		log_error("a client is lost", "container=%.12s exec=%.12s error=\"%s\"", r->container_id, r->exec_id, err.msg);
		relay_die(r);
		return false;
	}
	if (r->state == RELAY_LINGERING) {
		r->linger = timer_start(g->loop, RELAY_LINGER_MS, relay_linger_over, r);
		conn_want(r->conn, CONN_READ);
		return true;
	}
	if (has_tunnel)
		go_on_with_exec(r, c);
	if (r->cursor && r->follow && !r->exited && c)
		r->exit_waiter = container_wait(c, WAIT_NEXT_EXIT, relay_attach_exited, r);
	loop_defer(g->loop, relay_go_on, r);
	return true;
}

size_t relays_restore(struct gateway *g, struct unpack *u)
{
	size_t taken = 0;

	for (uint64_t n = unpack_num(u); n && !u->bad; n--) {
		struct unpack part = unpack_part(u);

		taken += restore_relay(g, &part);
	}
	return taken;
}
