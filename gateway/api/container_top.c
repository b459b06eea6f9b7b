/* container_top - GET /containers/{id}/top: the agent lists the processes, ps.c shows them as asked. PIDs are
 * those inside the container. */
#include <string.h>

#include "agents/tool.h"
#include "api/handlers.h"
#include "api/ps.h"
#include "api/reply.h"
#include "base/clock.h"
#include "base/mem.h"
#include "state/container.h"

#define LIST_MAX (16 * 1024 * 1024)

struct top {
	struct ps ps;
	struct tool *tool;
	struct buf list;
	bool too_long;
};

static void release(struct request *r)
{
	struct top *t = r->state;

	tool_cancel(t->tool);
	ps_release(&t->ps);
	buf_release(&t->list);
	free(t);
}

static size_t on_output(void *ctx, const uint8_t *p, size_t n)
{
	struct top *t = ((struct request *)ctx)->state;

	if (buf_append(&t->list, p, n) < 0)
		t->too_long = true;
	return n;
}

static void on_end(void *ctx, const struct err *err)
{
	struct request *r = ctx;
	struct top *t = r->state;
	struct container *c;
	json_t *list, *table;

	t->tool = NULL;
	if (err) {
		reply_err(r, err);
		return;
	}
	c = request_container(r);
	if (!c)
		return;
	list = t->too_long ? NULL : json_loadb((char *)buf_head(&t->list), t->list.len, 0, NULL);
	if (!json_is_array(json_object_get(list, "processes"))) {
		json_decref(list);
		reply_error(r, ERR_UPSTREAM, "the agent's list of processes cannot be read");
		return;
	}
	table = ps_table(&t->ps, json_object_get(list, "processes"), clock_wall_ns() / 1000000000);
	json_decref(list);
	container_emit(c, "top");
	reply_json(r, 200, table);
}

static const struct tool_ops ops = {.on_output = on_output, .on_end = on_end};

void container_top(struct request *r)
{
	static const char *const argv[] = {"top", NULL};
	AUTO_FREE char *args = request_query(r, "ps_args");
	struct container *c = request_container(r);
	struct err err;
	struct top *t;

	if (!c)
		return;
	t = xcalloc(1, sizeof(*t));
	buf_init(&t->list, LIST_MAX);
	r->state = t;
	r->release = release;
	if (ps_parse(&t->ps, args ? args : "", &err) < 0 || container_check_process(c, &err) < 0) {
		reply_err(r, &err);
		return;
	}
	t->tool = tool_start(r->g, c, argv, false, &ops, r, &err);
	if (!t->tool)
		reply_err(r, &err);
}
