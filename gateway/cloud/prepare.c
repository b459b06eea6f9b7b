/* prepare - see prepare.h. One archive at a time: a file on our disk into the agent's "put". */
#include "cloud/prepare.h"

#include <errno.h>
#include <fcntl.h>

#include "agents/tool.h"
#include "base/mem.h"
#include "base/token.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/container.h"
#include "state/pending_files.h"

#define PIECE (64 * 1024)

struct prepare {
	struct gateway *g;
	char container_id[ID_HEX_MAX];
	struct pending_list archives;
	size_t next;             /* the archive to deliver after the present one */
	struct tool *tool;       /* the present one */
	int fd;
	struct timer *step;
	prepare_cb *cb;
	void *ctx;
};

bool prepare_needed(const struct gateway *g, const struct container *c)
{
	return pending_files_any(g->pending_files, c->id);
}

static void prepare_free(struct prepare *p)
{
	tool_cancel(p->tool);
	timer_cancel(&p->step);
	if (p->fd >= 0)
		close(p->fd);
	pending_list_release(&p->archives);
	free(p);
}

static void finish(struct prepare *p, const struct err *err)
{
	prepare_cb *cb = p->cb;
	void *ctx = p->ctx;

	prepare_free(p);
	cb(ctx, err);
}

static void deliver_next(void *ctx);

static void on_delivered(void *ctx, const struct err *failed)
{
	struct prepare *p = ctx;
	struct err err;

	p->tool = NULL;
	close(p->fd);
	p->fd = -1;
	if (!failed) {
		deliver_next(p);
		return;
	}
	err = *failed;
	err_wrap(&err, "copy files to %s before the start", p->archives.v[p->next - 1].path);
	finish(p, &err);
}

/* As much as the agent takes now. A file that cannot be read is cut short, and "put" refuses it. */
static void feed(void *ctx)
{
	static char piece[PIECE];
	struct prepare *p = ctx;
	size_t room;

	while ((room = tool_input_room(p->tool)) > 0) {
		ssize_t n = read(p->fd, piece, room < PIECE ? room : PIECE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			tool_input_end(p->tool);
			return;
		}
		tool_input(p->tool, piece, (size_t)n);
	}
}

static size_t ignore_output(void *ctx, const uint8_t *data, size_t n)
{
	return n;
}

static const struct tool_ops put_ops = {
	.on_output = ignore_output,
	.on_input_room = feed,
	.on_end = on_delivered,
};

static int deliver(struct prepare *p, const struct pending_archive *a, struct err *err)
{
	struct container *c = containers_by_id(p->g->containers, p->container_id);
	const char *argv[8] = { "put" };
	size_t n = 1;

	if (!c)
		return err_set(err, ERR_NOT_FOUND, "No such container: %s", p->container_id);
	if (a->no_overwrite)
		argv[n++] = "--no-overwrite-dir-non-dir";
	if (a->copy_user) {
		argv[n++] = "--copy-uid-gid";
		argv[n++] = a->copy_user;
	}
	argv[n] = a->path;
	p->fd = open(a->file, O_RDONLY | O_CLOEXEC);
	if (p->fd < 0)
		return err_sys(err, errno, "open %s", a->file);
	p->tool = tool_start(p->g, c, argv, true, &put_ops, p, err);
	if (!p->tool)
		return -1;
	feed(p);
	return 0;
}

static void deliver_next(void *ctx)
{
	struct prepare *p = ctx;
	struct err err;

	p->step = NULL;
	if (p->next == p->archives.n)
		finish(p, NULL);
	else if (deliver(p, &p->archives.v[p->next++], &err) < 0)
		finish(p, &err);
}

struct prepare *prepare_begin(struct gateway *g, struct container *c, prepare_cb *cb, void *ctx)
{
	struct prepare *p = xcalloc(1, sizeof(*p));

	p->g = g;
	snprintf(p->container_id, sizeof(p->container_id), "%s", c->id);
	p->fd = -1;
	p->cb = cb;
	p->ctx = ctx;
	pending_files_list(g->pending_files, c->id, &p->archives);
	p->step = timer_start(g->loop, 0, deliver_next, p);
	return p;
}

void prepare_cancel(struct prepare *p)
{
	if (p)
		prepare_free(p);
}
