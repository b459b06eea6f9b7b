/* tool - see tool.h. Its stdout and stderr come as records of one stream (session.h); stdout is passed
 * on, the first TOOL_SENTENCE_MAX bytes of stderr are kept for the error. */
#include "agents/tool.h"

#include <stdio.h>
#include <string.h>

#include "agents/registry.h"
#include "agents/tunnel.h"
#include "base/mem.h"
#include "base/token.h"
#include "config.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/container.h"
#include "tool_exit.h"

#define STDERR_TAG 2

struct tool {
	struct gateway *g;
	char container_id[ID_HEX_MAX];
	const struct tool_ops *ops;
	void *ctx;
	struct strv argv;
	bool input, input_ended;
	struct registry_waiter *agent;   /* while there is none */
	struct tunnel *tunnel;           /* while the process lives; on_end comes before it goes */
	uint32_t channel;
	uint8_t head[RECORD_HEADER];
	unsigned have;                   /* bytes of the present record's header */
	uint32_t left;                   /* and payload bytes still to come */
	char sentence[TOOL_SENTENCE_MAX + 1];
	size_t sentence_len;
	bool freed;
};

static void free_tool(void *p)
{
	struct tool *t = p;

	strv_release(&t->argv);
	free(t);
}

/* We may be inside one of the tunnel's callbacks. */
static void dispose(struct tool *t)
{
	if (t->freed)
		return;
	t->freed = true;
	registry_unwait(&t->agent);
	loop_defer(t->g->loop, free_tool, t);
}

static void finish(struct tool *t, const struct err *err)
{
	dispose(t);
	t->ops->on_end(t->ctx, err);
}

/* ---- output -------------------------------------------------------------------------------------- */

static size_t take_header(struct tool *t, const uint8_t *p, size_t n)
{
	size_t part = RECORD_HEADER - t->have;

	if (part > n)
		part = n;
	memcpy(t->head + t->have, p, part);
	t->have += (unsigned)part;
	if (t->have == RECORD_HEADER)
		t->left = (uint32_t)t->head[4] << 24 | (uint32_t)t->head[5] << 16 |
			  (uint32_t)t->head[6] << 8 | t->head[7];
	return part;
}

static size_t take_sentence(struct tool *t, const uint8_t *p, size_t n)
{
	size_t room = TOOL_SENTENCE_MAX - t->sentence_len, part = n < room ? n : room;

	memcpy(t->sentence + t->sentence_len, p, part);
	t->sentence_len += part;
	return n;
}

/* A record of no bytes. */
static void stream_ended(struct tool *t)
{
	if (t->head[0] != STDERR_TAG && t->ops->on_output_end)
		t->ops->on_output_end(t->ctx);
}

static size_t on_output(void *ctx, const uint8_t *p, size_t n)
{
	struct tool *t = ctx;
	size_t taken = 0;

	while (taken < n && !t->freed) {
		size_t part = n - taken, got;

		if (t->have < RECORD_HEADER) {
			taken += take_header(t, p + taken, part);
			if (t->have == RECORD_HEADER && t->left == 0)
				stream_ended(t);
		} else {
			part = part < t->left ? part : t->left;
			got = t->head[0] == STDERR_TAG ? take_sentence(t, p + taken, part) :
			      t->ops->on_output(t->ctx, p + taken, part);
			taken += got;
			t->left -= (uint32_t)got;
			if (got < part)
				break;
		}
		if (t->have == RECORD_HEADER && t->left == 0)
			t->have = 0;
	}
	return t->freed ? n : taken;
}

static void on_input_room(void *ctx)
{
	struct tool *t = ctx;

	if (t->ops->on_input_room && !t->input_ended)
		t->ops->on_input_room(t->ctx);
}

/* ---- the end ------------------------------------------------------------------------------------- */

static enum err_kind kind_of(int code)
{
	switch (code) {
	case TOOL_INVALID:
		return ERR_INVALID;
	case TOOL_FORBIDDEN:
		return ERR_FORBIDDEN;
	case TOOL_NOT_FOUND:
		return ERR_NOT_FOUND;
	case TOOL_CONFLICT:
		return ERR_CONFLICT;
	default:
		return ERR_UPSTREAM;
	}
}

static void on_end(void *ctx, int code, const char *lost)
{
	struct tool *t = ctx;
	struct err err;

	t->tunnel = NULL;
	while (t->sentence_len && t->sentence[t->sentence_len - 1] == '\n')
		t->sentence_len--;
	t->sentence[t->sentence_len] = '\0';
	if (!lost && code == TOOL_OK) {
		finish(t, NULL);
		return;
	}
	if (lost)
		err_set(&err, ERR_UNAVAILABLE, "%s", lost);
	else if (t->sentence_len)
		err_set(&err, kind_of(code), "%s", t->sentence);
	else
		err_set(&err, ERR_UPSTREAM, "the agent's tool %s ended with code %d", t->argv.v[0], code);
	finish(t, &err);
}

static const struct tunnel_sink sink = {
	.on_output = on_output,
	.on_input_room = on_input_room,
	.on_end = on_end,
};

/* ---- the beginning ------------------------------------------------------------------------------- */

static int begin(struct tool *t, struct container *c, struct err *err)
{
	if (tunnel_tool(c->tunnel, &t->argv, t->input, &sink, t, &t->channel, err) < 0)
		return -1;
	t->tunnel = c->tunnel;
	return 0;
}

static void agent_waited(void *ctx, bool ok)
{
	struct tool *t = ctx;
	struct container *c = containers_by_id(t->g->containers, t->container_id);
	struct err err;

	t->agent = NULL;
	if (!ok || !c || !c->tunnel) {
		err_set(&err, ERR_UNAVAILABLE, "the agent of container %s is not connected", t->container_id);
		finish(t, &err);
	} else if (begin(t, c, &err) < 0) {
		finish(t, &err);
	} else if (t->input_ended) {
		tunnel_input_eof(t->tunnel, t->channel);
	} else if (t->input) {
		on_input_room(t);
	}
}

struct tool *tool_start(struct gateway *g, struct container *c, const char *const argv[], bool input,
			const struct tool_ops *ops, void *ctx, struct err *err)
{
	struct tool *t;

	if (!c->tunnel && !container_is_running(c)) {
		err_set(err, ERR_CONFLICT, "Container %s is not running", c->id);
		return NULL;
	}
	t = xcalloc(1, sizeof(*t));
	t->g = g;
	t->ops = ops;
	t->ctx = ctx;
	t->input = input;
	snprintf(t->container_id, sizeof(t->container_id), "%s", c->id);
	for (size_t i = 0; argv[i]; i++)
		strv_add(&t->argv, argv[i]);
	if (!c->tunnel) {
		t->agent = registry_wait(g->registry, c->id, (uint64_t)g->config->agent_timeout_ms, agent_waited, t);
	} else if (begin(t, c, err) < 0) {
		dispose(t);
		return NULL;
	}
	return t;
}

size_t tool_input_room(const struct tool *t)
{
	return t->tunnel ? tunnel_input_room(t->tunnel, t->channel) : 0;
}

size_t tool_input(struct tool *t, const void *p, size_t n)
{
	return t->tunnel ? tunnel_input(t->tunnel, t->channel, p, n) : 0;
}

void tool_input_end(struct tool *t)
{
	t->input_ended = true;
	if (t->tunnel)
		tunnel_input_eof(t->tunnel, t->channel);
}

void tool_resume(struct tool *t)
{
	if (t->tunnel)
		tunnel_output_resume(t->tunnel, t->channel);
}

void tool_cancel(struct tool *t)
{
	if (!t || t->freed)
		return;
	if (t->tunnel)
		tunnel_tool_cancel(t->tunnel, t->channel);
	dispose(t);
}

/* ---- another process image ----------------------------------------------------------------------- */

bool tool_can_save(const struct tool *t)
{
	return t->tunnel && !t->freed;
}

void tool_save(const struct tool *t, struct pack *p)
{
	pack_num(p, t->channel);
	pack_str(p, t->argv.n ? t->argv.v[0] : "");
	pack_num(p, t->input);
	pack_num(p, t->input_ended);
	pack_bytes(p, t->head, sizeof(t->head));
	pack_num(p, t->have);
	pack_num(p, t->left);
	pack_bytes(p, t->sentence, t->sentence_len);
}

struct tool *tool_restore(struct gateway *g, struct container *c, const struct tool_ops *ops, void *ctx, struct unpack *u)
{
	struct tool *t = xcalloc(1, sizeof(*t));
	const uint8_t *sentence;
	char *name;

	t->g = g;
	t->ops = ops;
	t->ctx = ctx;
	snprintf(t->container_id, sizeof(t->container_id), "%s", c->id);
	t->channel = (uint32_t)unpack_num(u);
	name = unpack_str(u);
	if (name)
		strv_take(&t->argv, name);
	t->input = unpack_num(u);
	t->input_ended = unpack_num(u);
	unpack_exact(u, t->head, sizeof(t->head));
	t->have = (unsigned)unpack_num(u);
	t->left = (uint32_t)unpack_num(u);
	sentence = unpack_bytes(u, &t->sentence_len);
	u->bad |= !name || t->sentence_len > TOOL_SENTENCE_MAX;
	if (u->bad || !c->tunnel || !tunnel_set_sink(c->tunnel, t->channel, NULL, &sink, t)) {
		dispose(t);
		return NULL;
	}
	if (sentence)
		memcpy(t->sentence, sentence, t->sentence_len);
	t->tunnel = c->tunnel;
	return t;
}
