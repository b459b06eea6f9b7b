/* container_put - docker cp into a container: PUT /containers/{id}/archive. While it runs, the body flows into
 * the agent's "put"; a slow one stops the client. Otherwise the archive is kept for the start to come: is there
 * such a directory, take the body, can it be read, keep it.
 *
 * A container that has ended takes files as one that has not begun: its next run begins with a fresh file
 * system, and they must be in that. */
#include <string.h>

#include "agents/tool.h"
#include "api/container_files.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "base/buf.h"
#include "base/mem.h"
#include "image/archive_files.h"
#include "state/container.h"
#include "state/pending_files.h"

#define HELD_MAX (256 * 1024)

struct put {
	struct request *r;
	char *path, *copy_user;
	bool no_overwrite;
	struct tool *tool;
	struct buf held;          /* of the body; not yet in the tool */
	bool body_ended;
	struct image_files *image; /* looks whether the directory is there, then whether the archive is sound */
	struct pending_upload *upload;
	struct strv made;         /* directories the start must make before the archive */
};

static void release(struct request *r)
{
	struct put *p = r->state;

	tool_cancel(p->tool);
	image_files_cancel(p->image);
	pending_upload_drop(p->upload);
	buf_release(&p->held);
	strv_release(&p->made);
	free(p->path);
	free(p->copy_user);
	free(p);
}

static void answer(struct put *p, const struct err *err)
{
	struct request *r = p->r;
	struct container *c = err ? NULL : containers_find(r->g->containers, r->name, NULL);

	if (c)
		container_emit(c, "extract-to-dir");
	if (!err)
		reply_empty(r, 200);
	else if (err->kind == ERR_NOT_FOUND)
		reply_error(r, ERR_NOT_FOUND, "Could not find the file %s in container %s", p->path, r->name);
	else
		reply_err(r, err);
}

/* ---- into the agent ------------------------------------------------------------------------------ */

static void feed(void *ctx)
{
	struct put *p = ctx;

	while (p->held.len && tool_input_room(p->tool) > 0)
		buf_consume(&p->held, tool_input(p->tool, buf_head(&p->held), p->held.len));
	if (p->held.len)
		exchange_pause_body(p->r->x);
	else if (p->body_ended)
		tool_input_end(p->tool);
	else
		exchange_resume_body(p->r->x);
}

static void body_to_tool(struct exchange *x, void *ctx, const void *data, size_t n)
{
	struct put *p = ctx;
	struct err err;

	if (buf_append(&p->held, data, n) == 0) {
		feed(p);
		return;
	}
	err_set(&err, ERR_UPSTREAM, "the body came faster than it was asked for");
	answer(p, &err);
}

static void body_to_tool_ended(struct exchange *x, void *ctx)
{
	struct put *p = ctx;

	p->body_ended = true;
	feed(p);
}

static size_t ignore_output(void *ctx, const uint8_t *data, size_t n)
{
	return n;
}

static void tool_ended(void *ctx, const struct err *err)
{
	struct put *p = ctx;

	p->tool = NULL;
	answer(p, err);
}

static void put_to_agent(struct put *p, struct container *c)
{
	static const struct tool_ops ops = { .on_output = ignore_output, .on_input_room = feed, .on_end = tool_ended };
	static const struct exchange_body_ops body = { body_to_tool, body_to_tool_ended };
	const char *argv[8] = { "put" };
	struct err err;
	size_t n = 1;

	if (p->no_overwrite)
		argv[n++] = "--no-overwrite-dir-non-dir";
	if (p->copy_user) {
		argv[n++] = "--copy-uid-gid";
		argv[n++] = p->copy_user;
	}
	argv[n] = p->path;
	p->tool = tool_start(p->r->g, c, argv, true, &ops, p, &err);
	if (p->tool)
		exchange_stream_body(p->r->x, &body, p);
	else
		answer(p, &err);
}

/* ---- for the start to come ----------------------------------------------------------------------- */

/* The working directory is made when a container starts, which is too late for files that go into it. */
static int keep_made(struct put *p, const char *container_id, struct err *err)
{
	AUTO_FREE char *tar = NULL;
	struct pending_upload *u;
	size_t n;

	if (p->made.n == 0)
		return 0;
	tar = archive_files_dirs(p->made.v, &n);
	u = pending_upload_new(p->r->g->pending_files, container_id, err);
	if (u && pending_upload_write(u, tar, n, err) == 0)
		return pending_upload_keep(u, &(struct pending_archive){ .path = (char *)"/" }, err);
	pending_upload_drop(u);
	return -1;
}

static int keep(struct put *p, struct err *err)
{
	struct container *c = containers_find(p->r->g->containers, p->r->name, err);
	struct pending_archive what = { .path = p->path, .no_overwrite = p->no_overwrite, .copy_user = p->copy_user };

	if (!c || keep_made(p, c->id, err) < 0)
		return -1;
	if (c->state == CONTAINER_STARTING || container_is_running(c))
		return err_set(err, ERR_CONFLICT, "container %s was started while files were copied to it; copy them again", c->id);
	return pending_upload_keep(steal_ptr(&p->upload), &what, err);
}

static void verified(void *ctx, const struct err *failed)
{
	struct put *p = ctx;
	struct err err;

	p->image = NULL;
	if (failed)
		answer(p, failed);
	else
		answer(p, keep(p, &err) < 0 ? &err : NULL);
}

static void body_to_disk(struct exchange *x, void *ctx, const void *data, size_t n)
{
	struct put *p = ctx;
	struct err err;

	if (pending_upload_write(p->upload, data, n, &err) < 0)
		answer(p, &err);
}

static void body_to_disk_ended(struct exchange *x, void *ctx)
{
	struct put *p = ctx;
	struct err err;

	p->image = image_files_verify(p->r->g, pending_upload_file(p->upload), verified, p, &err);
	if (!p->image)
		answer(p, &err);
}

static void directory_is_there(void *ctx, char *const *made)
{
	static const struct exchange_body_ops body = { body_to_disk, body_to_disk_ended };
	struct put *p = ctx;
	struct container *c;
	struct err err;

	p->image = NULL;
	for (size_t i = 0; made && made[i]; i++)
		strv_add(&p->made, made[i]);
	c = containers_find(p->r->g->containers, p->r->name, &err);
	p->upload = c ? pending_upload_new(p->r->g->pending_files, c->id, &err) : NULL;
	if (p->upload)
		exchange_stream_body(p->r->x, &body, p);
	else
		reply_err(p->r, &err);
}

static void directory_is_not(void *ctx, const struct err *err)
{
	struct put *p = ctx;

	p->image = NULL;
	answer(p, err);
}

static void put_for_start(struct put *p, struct container *c)
{
	static const struct image_files_ops ops = { .on_checked = directory_is_there, .on_end = directory_is_not };
	struct err err;

	p->image = files_ask_image(p->r->g, c, IMAGE_FILES_CHECK, p->path, &ops, p, &err);
	if (!p->image)
		reply_err(p->r, &err);
}

/* ---- the beginning ------------------------------------------------------------------------------- */

/* copyUIDGID: the files belong to the user that the container runs as. */
static char *copy_user(const struct request *r, const struct container *c)
{
	const char *user = json_string_value(json_object_get(c->config, "User"));

	return request_flag(r, "copyUIDGID") && user && *user ? xstrdup(user) : NULL;
}

static void settled(struct request *r, struct container *c)
{
	struct put *p = xcalloc(1, sizeof(*p));

	p->r = r;
	p->path = request_query(r, "path");
	p->no_overwrite = request_flag(r, "noOverwriteDirNonDir");
	p->copy_user = copy_user(r, c);
	buf_init(&p->held, HELD_MAX);
	r->state = p;
	r->release = release;
	if (container_is_running(c))
		put_to_agent(p, c);
	else
		put_for_start(p, c);
}

void container_put_archive(struct request *r)
{
	files_settled_at_path(r, settled);
}
