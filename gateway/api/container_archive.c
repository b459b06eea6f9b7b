/* container_archive - docker cp out of a container, and docker export: GET and HEAD /containers/{id}/archive,
 * GET /containers/{id}/export. A tool of the agent, or the image while nothing runs yet, writes the answer. */
#include <stdio.h>
#include <string.h>

#include "agents/tool.h"
#include "api/container_files.h"
#include "api/download.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "base/mem.h"
#include "state/container.h"

static const struct tool_ops tool_ops = { .on_output = download_output, .on_end = download_end };
static const struct image_files_ops image_ops = { .on_output = download_output, .on_end = download_end };

static void resume_tool(void *source) { tool_resume(source); }
static void cancel_tool(void *source) { tool_cancel(source); }
static void resume_image(void *source) { image_files_resume(source); }
static void cancel_image(void *source) { image_files_cancel(source); }

static const struct download_source from_tool = { resume_tool, cancel_tool };
static const struct download_source from_image = { resume_image, cancel_image };

static void answer(struct request *r, struct container *c, struct download *d, enum image_files_what what,
		   const char *const argv[], const char *path)
{
	struct err err;
	void *source;

	if (files_with_agent(c))
		source = tool_start(r->g, c, argv, false, &tool_ops, d, &err);
	else if (files_of_image(c))
		source = files_ask_image(r->g, c, what, path, &image_ops, d, &err);
	else
		source = NULL, files_ended(c, &err);
	if (source)
		download_from(d, files_with_agent(c) ? &from_tool : &from_image, source);
	else
		reply_err(r, &err);
}

static void archive_settled(struct request *r, struct container *c)
{
	AUTO_FREE char *path = request_query(r, "path");
	bool get = strcmp(exchange_method(r->x), "GET") == 0;
	const char *argv[] = { get ? "get" : "stat", path, NULL };
	struct download *d;

	d = download_new(r, get ? DOWNLOAD_STAT_AND_BODY : DOWNLOAD_STAT, "application/x-tar",
			 xasprintf("Could not find the file %s in container %s", path, r->name), "archive-path");
	answer(r, c, d, get ? IMAGE_FILES_GET : IMAGE_FILES_STAT, argv, path);
}

void container_archive(struct request *r)
{
	files_settled_at_path(r, archive_settled);
}

static void export_settled(struct request *r, struct container *c)
{
	const char *argv[] = { "export", NULL };

	struct download *d = download_new(r, DOWNLOAD_BODY, "application/octet-stream", NULL, "export");

	answer(r, c, d, IMAGE_FILES_EXPORT, argv, "/");
}

void container_export(struct request *r)
{
	files_settled(r, export_settled);
}
