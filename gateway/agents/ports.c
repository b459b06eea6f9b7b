/* ports - see ports.h. A set per container holds its listeners; a forward is one connection, and lives
 * until both its socket and its tool are done with. */
#include "agents/ports.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <uthash.h>
#include <utlist.h>

#include "agents/port_spec.h"
#include "agents/tool.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/token.h"
#include "config.h"
#include "gateway.h"
#include "net/conn.h"
#include "net/listen.h"
#include "state/container.h"

#define PIECE (64 * 1024)
#define ANY4 "0.0.0.0"
#define ANY6 "::"

struct set;

struct door { /* one listening socket */
	struct set *set;
	uint16_t port, host_port;
	char key[PORT_KEY_MAX];
	char host[64];               /* "": every address */
	int fd;                      /* until served */
	struct listener *listener;
	struct door *prev, *next;
};

struct set {
	struct ports *p;
	char id[ID_HEX_MAX];
	struct door *doors;
	bool paused;
	UT_hash_handle hh;
};

struct forward {
	struct ports *p;
	char container_id[ID_HEX_MAX];
	struct conn *conn;
	struct tool *tool;
	bool input_over, output_over; /* the client, the server has sent its end */
	bool blocked;                /* the client's socket is full */
	struct forward *prev, *next;
};

struct ports {
	struct gateway *g;
	struct set *sets;
	struct forward *forwards;
};

/* ---- connections ------------------------------------------------------------------------------------ */

static size_t forwards_of(const struct ports *p, const char *id)
{
	const struct forward *f;
	size_t n = 0;

	DL_FOREACH(p->forwards, f)
		n += strcmp(f->container_id, id) == 0;
	return n;
}

static void pace(struct set *s)
{
	bool full = forwards_of(s->p, s->id) >= PORTS_CONNECTIONS_MAX;
	struct door *d;

	if (full == s->paused)
		return;
	s->paused = full;
	if (full)
		log_warn("published ports: connections wait", "container=%.12s open=%d", s->id, PORTS_CONNECTIONS_MAX);
	DL_FOREACH(s->doors, d)
		if (d->listener)
			listener_pause(d->listener, full);
}

/* reset: the client sees a broken connection, not an end. */
static void forward_free(struct forward *f, bool reset)
{
	static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
	struct ports *p = f->p;
	struct set *s;

	if (reset)
		setsockopt(conn_fd(f->conn), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	conn_close(f->conn);
	tool_cancel(f->tool);
	DL_DELETE(p->forwards, f);
	HASH_FIND_STR(p->sets, f->container_id, s);
	free(f);
	if (s)
		pace(s);
}

static void set_wants(struct forward *f)
{
	bool room = !f->input_over && tool_input_room(f->tool) > 0;

	conn_want(f->conn, (room ? CONN_READ : 0u) | (f->blocked ? CONN_WRITE : 0u));
}

static size_t on_output(void *ctx, const uint8_t *p, size_t n)
{
	struct forward *f = ctx;
	ssize_t wrote = conn_write(f->conn, p, n);

	if (wrote == CONN_FAILED)
		return n; /* the hang-up follows; until then there is nobody to keep it for */
	f->blocked = wrote == CONN_AGAIN || (size_t)wrote < n;
	set_wants(f);
	return wrote == CONN_AGAIN ? 0 : (size_t)wrote;
}

/* The server has nothing more to say, but may listen; one whose container has ended does not. */
static void on_output_end(void *ctx)
{
	struct forward *f = ctx;
	struct set *s;

	f->output_over = true;
	HASH_FIND_STR(f->p->sets, f->container_id, s);
	if (!s)
		forward_free(f, false);
	else
		conn_shutdown_write(f->conn); /* a failure is followed by the hang-up */
}

static void on_input_room(void *ctx)
{
	set_wants(ctx);
}

static void on_end(void *ctx, const struct err *err)
{
	struct forward *f = ctx;

	f->tool = NULL;
	if (err)
		log_info("published port: connection failed", "container=%.12s client=%s error=\"%s\"", f->container_id,
			 conn_peer(f->conn), err->msg);
	forward_free(f, err != NULL);
}

static const struct tool_ops tool_ops = {
	.on_output = on_output,
	.on_output_end = on_output_end,
	.on_input_room = on_input_room,
	.on_end = on_end,
};

static void take_input(struct forward *f)
{
	static uint8_t piece[PIECE];
	size_t room = tool_input_room(f->tool);
	ssize_t n;

	if (room == 0 || f->input_over)
		return;
	n = conn_read(f->conn, piece, room < sizeof(piece) ? room : sizeof(piece));
	if (n > 0) {
		tool_input(f->tool, piece, (size_t)n);
	} else if (n == 0) {
		f->input_over = true;
		tool_input_end(f->tool);
	}
}

/* Both have ended their sending, or the client is gone. In the first case what it sent may still be on its way: the
 * tool ends when the server has it. */
static void hung_up(struct forward *f)
{
	if (!f->output_over || !f->tool) {
		forward_free(f, false);
		return;
	}
	if (!f->input_over)
		tool_input_end(f->tool);
	f->input_over = true;
}

static void on_conn(struct conn *c, void *ctx, unsigned events)
{
	struct forward *f = ctx;

	if (events & CONN_HANGUP) {
		hung_up(f);
		return;
	}
	if (events & CONN_READ)
		take_input(f);
	if (events & CONN_WRITE && f->blocked) {
		f->blocked = false;
		tool_resume(f->tool); /* may write, and block again */
	}
	if (!conn_is_open(c)) /* both ends are over already */
		return;
	set_wants(f);
}

static void on_accept(int fd, void *ctx)
{
	struct door *d = ctx;
	struct ports *p = d->set->p;
	struct container *c = containers_by_id(p->g->containers, d->set->id);
	struct forward *f;
	struct err err;
	char port[8];

	if (!c) {
		close(fd);
		return;
	}
	snprintf(port, sizeof(port), "%u", d->port);
	f = xcalloc(1, sizeof(*f));
	f->p = p;
	snprintf(f->container_id, sizeof(f->container_id), "%s", c->id);
	f->conn = conn_adopt(p->g->loop, fd, NULL, 0, on_conn, f, &err);
	if (!f->conn) {
		log_error("published port: connection dropped", "container=%.12s error=\"%s\"", c->id, err.msg);
		free(f);
		return;
	}
	DL_APPEND(p->forwards, f);
	f->tool = tool_start(p->g, c, (const char *const[]){"connect", "127.0.0.1", port, NULL}, true, &tool_ops, f, &err);
	if (!f->tool) {
		log_info("published port: connection refused", "container=%.12s error=\"%s\"", c->id, err.msg);
		forward_free(f, true);
		return;
	}
	set_wants(f);
	pace(d->set);
}

/* ---- listening -------------------------------------------------------------------------------------- */

static void set_free(struct set *s)
{
	struct door *d, *tmp;

	DL_FOREACH_SAFE(s->doors, d, tmp) {
		listener_close(d->listener);
		if (d->fd >= 0)
			close(d->fd);
		free(d);
	}
	HASH_DEL(s->p->sets, s);
	free(s);
}

static struct set *set_new(struct ports *p, const struct container *c)
{
	struct set *s;

	ports_close(p, c); /* of a run that is over */
	s = xcalloc(1, sizeof(*s));
	s->p = p;
	snprintf(s->id, sizeof(s->id), "%s", c->id);
	HASH_ADD_STR(p->sets, id, s);
	return s;
}

static bool is_ours(const struct ports *p, uint16_t host_port)
{
	const struct set *s;
	const struct door *d;

	for (s = p->sets; s; s = s->hh.next)
		DL_FOREACH(s->doors, d)
			if (d->host_port == host_port)
				return true;
	return false;
}

static int door_open(struct set *s, const struct port_wish *w, const char *host, uint16_t host_port, struct err *err)
{
	int fd = listen_tcp(*host ? host : NULL, host_port, false, err);
	struct door *d;

	if (fd < 0)
		return -1;
	d = xcalloc(1, sizeof(*d));
	d->set = s;
	d->port = w->port;
	d->host_port = listen_port(fd);
	snprintf(d->key, sizeof(d->key), "%s", w->key);
	snprintf(d->host, sizeof(d->host), "%s", host);
	d->fd = fd;
	DL_APPEND(s->doors, d);
	return 0;
}

/* The first free one of the range. */
static int open_wish(struct set *s, const struct container *c, const struct port_wish *w, struct err *err)
{
	const char *ours = s->p->g->config->publish_address;
	const char *host = *w->host ? w->host : ours ? ours : "";
	struct err why = {0};

	for (uint32_t port = w->first; port <= w->last; port++)
		if (door_open(s, w, host, (uint16_t)port, &why) == 0)
			return 0;
	if (why.code == EADDRINUSE && is_ours(s->p, w->last))
		return err_set(err, ERR_SYSTEM, "driver failed programming external connectivity on endpoint %s (%s): "
			       "Bind for %s:%u failed: port is already allocated", c->name, c->id,
			       *host ? host : ANY4, w->last);
	return err_set(err, ERR_SYSTEM, "driver failed programming external connectivity on endpoint %s (%s): "
		       "listen tcp %s:%u: bind: %s", c->name, c->id, *host ? host : ANY4, w->last,
		       why.code == EADDRINUSE ? "address already in use" : why.msg);
}

/* NetworkSettings.Ports. One socket for every address is shown as the two that dockerd has. */
static json_t *shown(const struct set *s, const struct port_wishes *wishes)
{
	json_t *map = json_object();
	struct door *d;

	for (size_t i = 0; i < wishes->n; i++)
		json_object_set_new(map, wishes->v[i].key, json_null());
	DL_FOREACH(s->doors, d) {
		json_t *list = json_object_get(map, d->key);
		AUTO_FREE char *number = xasprintf("%u", d->host_port);

		if (!json_is_array(list)) {
			list = json_array();
			json_object_set_new(map, d->key, list);
		}
		json_array_append_new(list, json_pack("{s:s, s:s}", "HostIp", *d->host ? d->host : ANY4, "HostPort", number));
		if (!*d->host)
			json_array_append_new(list, json_pack("{s:s, s:s}", "HostIp", ANY6, "HostPort", number));
	}
	return map;
}

int ports_open(struct ports *p, struct container *c, struct err *err)
{
	struct port_wishes wishes;
	struct set *s;
	int rc = 0;

	if (port_wishes_read(c->config, c->host_config, &wishes, err) < 0)
		return -1;
	s = set_new(p, c);
	for (size_t i = 0; rc == 0 && i < wishes.n; i++)
		if (wishes.v[i].tcp && wishes.v[i].publish)
			rc = open_wish(s, c, &wishes.v[i], err);
	if (rc == 0)
		rc = container_set_ports(c, shown(s, &wishes), err);
	port_wishes_release(&wishes);
	if (rc < 0 || !s->doors)
		set_free(s);
	return rc;
}

static bool has_binding(json_t *list, const char *host, const char *host_port)
{
	json_t *b;
	size_t i;

	json_array_foreach(list, i, b)
		if (strcmp(json_string_value(json_object_get(b, "HostIp")), host) == 0 &&
		    strcmp(json_string_value(json_object_get(b, "HostPort")), host_port) == 0)
			return true;
	return false;
}

static void reopen(struct set *s, const struct port_wish *w, json_t *list)
{
	json_t *b;
	size_t i;

	json_array_foreach(list, i, b) {
		const char *host = json_string_value(json_object_get(b, "HostIp"));
		const char *number = json_string_value(json_object_get(b, "HostPort"));
		bool every = has_binding(list, ANY4, number) && has_binding(list, ANY6, number);
		struct err err;

		if (every && strcmp(host, ANY6) == 0)
			continue; /* one socket had both */
		if (door_open(s, w, every ? "" : host, (uint16_t)strtoul(number, NULL, 10), &err) < 0)
			log_error("published port is lost", "container=%.12s port=%s error=\"%s\"", s->id, w->key, err.msg);
	}
}

void ports_reopen(struct ports *p, struct container *c)
{
	struct port_wishes wishes;
	struct set *s;

	if (!c->ports || port_wishes_read(c->config, c->host_config, &wishes, NULL) < 0)
		return;
	s = set_new(p, c);
	for (size_t i = 0; i < wishes.n; i++)
		if (i == 0 || strcmp(wishes.v[i].key, wishes.v[i - 1].key) != 0)
			reopen(s, &wishes.v[i], json_object_get(c->ports, wishes.v[i].key));
	port_wishes_release(&wishes);
	if (!s->doors)
		set_free(s);
}

void ports_serve(struct ports *p, const struct container *c)
{
	struct door *d;
	struct err err;
	struct set *s;

	HASH_FIND_STR(p->sets, c->id, s);
	if (!s)
		return;
	DL_FOREACH(s->doors, d) {
		if (d->listener)
			continue;
		d->listener = listener_new(p->g->loop, steal_fd(&d->fd), on_accept, d, &err);
		if (!d->listener)
			log_error("published port cannot be served", "container=%.12s error=\"%s\"", c->id, err.msg);
	}
}

void ports_close(struct ports *p, const struct container *c)
{
	struct forward *f, *tmp;
	struct set *s;

	HASH_FIND_STR(p->sets, c->id, s);
	if (s)
		set_free(s);
	DL_FOREACH_SAFE(p->forwards, f, tmp)
		if (f->output_over && strcmp(f->container_id, c->id) == 0)
			forward_free(f, false);
}

/* ---- another process image ---------------------------------------------------------------------------- */

void ports_save(const struct ports *p, struct pack *to)
{
	const struct forward *f;
	uint64_t n = 0;

	DL_FOREACH(p->forwards, f)
		n += tool_can_save(f->tool);
	pack_num(to, n);
	DL_FOREACH(p->forwards, f) {
		size_t part;

		if (!tool_can_save(f->tool))
			continue;
		part = pack_begin(to);
		pack_fd(to, conn_fd(f->conn));
		pack_str(to, f->container_id);
		pack_num(to, f->input_over);
		pack_num(to, f->output_over);
		tool_save(f->tool, to);
		pack_end(to, part);
	}
}

static void restore_forward(struct ports *p, struct unpack *u)
{
	struct forward *f = xcalloc(1, sizeof(*f));
	int fd = unpack_fd(u);
	struct container *c;

	unpack_text(u, f->container_id, sizeof(f->container_id));
	f->p = p;
	f->input_over = unpack_num(u);
	f->output_over = unpack_num(u);
	c = u->bad ? NULL : containers_by_id(p->g->containers, f->container_id);
	f->conn = fd >= 0 ? conn_adopt(p->g->loop, fd, NULL, 0, on_conn, f, NULL) : NULL;
	if (!f->conn) {
		free(f);
		return;
	}
	DL_APPEND(p->forwards, f);
	f->tool = c ? tool_restore(p->g, c, &tool_ops, f, u) : NULL;
	if (!f->tool) {
		log_warn("published port: a connection is cut by the restart", "container=%.12s", f->container_id);
		forward_free(f, true);
		return;
	}
	f->blocked = true; /* room for what waits is told from the loop */
	set_wants(f);
}

void ports_restore(struct ports *p, struct unpack *u)
{
	for (uint64_t n = unpack_num(u); n && !u->bad; n--) {
		struct unpack part = unpack_part(u);

		restore_forward(p, &part);
	}
}

/* ---- life ------------------------------------------------------------------------------------------- */

struct ports *ports_new(struct gateway *g)
{
	struct ports *p = xcalloc(1, sizeof(*p));

	p->g = g;
	return p;
}

void ports_free(struct ports *p)
{
	struct forward *f, *tmp;
	struct set *s, *next;

	if (!p)
		return;
	HASH_ITER(hh, p->sets, s, next)
		set_free(s);
	DL_FOREACH_SAFE(p->forwards, f, tmp)
		forward_free(f, true);
	free(p);
}
