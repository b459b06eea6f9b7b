/* freeze - docker pause and unpause: the agent stops every process of the container, or lets them go on.
 * One at a time and container; a kill that has to thaw does not wait for it. */
#include <string.h>

#include "agents/tool.h"
#include "agents/tunnel.h"
#include "base/log.h"
#include "base/mem.h"
#include "cloud/lifecycle_ops.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/container.h"

struct freeze {
	struct slot *slot;
	struct tool *tool;
	bool pause;
	struct lifecycle_wait *waits;
};

void freeze_end(struct freeze *f, const struct err *err)
{
	struct slot *s = f->slot;

	tool_cancel(f->tool);
	s->freeze = NULL;
	waits_finish(&f->waits, err);
	free(f);
	slot_release(s);
}

static size_t on_output(void *ctx, const uint8_t *p, size_t n)
{
	return n; /* it has nothing to say */
}

static void on_end(void *ctx, const struct err *failed)
{
	struct freeze *f = ctx;
	struct container *c = slot_container(f->slot);
	struct err err = { 0 };

	f->tool = NULL;
	if (failed)
		err = *failed;
	else if (!c || container_check_process(c, &err) < 0)
		err_set(&err, ERR_CONFLICT, "Container %s is not running", f->slot->id);
	else if (c->paused != f->pause)
		container_set_paused(c, f->pause, &err);
	freeze_end(f, err.kind ? &err : NULL);
}

static const struct tool_ops ops = { .on_output = on_output, .on_end = on_end };

static int freeze_begin(struct slot *s, struct container *c, bool pause, struct err *err)
{
	const char *argv[] = { pause ? "freeze" : "thaw", NULL };
	struct freeze *f = xcalloc(1, sizeof(*f));

	f->slot = s;
	f->pause = pause;
	f->tool = tool_start(s->l->g, c, argv, false, &ops, f, err);
	if (!f->tool) {
		free(f);
		return -1;
	}
	s->freeze = f;
	return 0;
}

struct lifecycle_wait *lifecycle_pause(struct lifecycle *l, struct container *c, bool pause, lifecycle_cb *cb, void *ctx,
				       struct err *err)
{
	struct slot *s;

	if (pause && container_check_process(c, err) < 0)
		return NULL;
	if (c->paused == pause) {
		err_set(err, pause ? ERR_CONFLICT : ERR_SYSTEM, "Container %s is %s paused", c->id,
			pause ? "already" : "not");
		return NULL;
	}
	s = slot_get(l, c->id);
	if (s->freeze && s->freeze->pause != pause) {
		err_set(err, ERR_CONFLICT, "Container %s is being %s", c->id, pause ? "unpaused" : "paused");
		return NULL;
	}
	if (!s->freeze && freeze_begin(s, c, pause, err) < 0) {
		slot_release(s);
		return NULL;
	}
	return waits_add(l, &s->freeze->waits, cb, ctx);
}

void thaw_for_signal(struct slot *s, struct container *c)
{
	struct lifecycle *l = s->l;
	struct err err = { 0 };

	if (s->freeze)
		freeze_end(s->freeze, NULL);
	s = slot_get(l, c->id);
	if (freeze_begin(s, c, false, &err) < 0 || container_set_paused(c, false, &err) < 0)
		log_error("container cannot be unpaused", "container=%.12s error=\"%s\"", c->id, err.msg);
	slot_release(s);
}
