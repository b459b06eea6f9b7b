/* api - see api.h.
 *
 *   /v2/projects/...                       run.googleapis.com v2
 *   [/upload]/storage/v1/b...              storage.googleapis.com v1
 *   /v2/entries:list, /v2/entries:write    logging.googleapis.com v2
 *   /computeMetadata/v1/...                the metadata server
 *   /emulator/v1/{knobs,tasks,stats}       for tests */
#include "api.h"

#include <string.h>

#include "base/token.h"
#include "logging_api.h"
#include "metadata.h"
#include "rpc.h"
#include "run_api.h"
#include "storage_api.h"
#include "task.h"
#include "wire.h"

#define DEFAULT_PROJECT "emulated-project"
#define DEFAULT_LOCATION "us-central1"

static bool under(const char *path, const char *prefix)
{
	return !strncmp(path, prefix, strlen(prefix));
}

/* Members of /emulator/v1/. */

static void knobs(struct emulator *emu, struct exchange *x, const char *body, size_t len)
{
	struct err err = { 0 };

	if (!strcmp(exchange_method(x), "POST")) {
		json_t *o = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
		if (!o)
			err_set(&err, ERR_INVALID, "not JSON");
		else
			knobs_update(&emu->knobs, o, &err);
		json_decref(o);
		if (err.kind) {
			rpc_reply_status(x, 400, err.msg);
			return;
		}
	}
	rpc_reply(x, knobs_show(&emu->knobs));
}

static void stats(struct emulator *emu, struct exchange *x)
{
	struct logs_stats s;

	logs_get_stats(emu->logs, &s);
	rpc_reply(x, json_pack("{s:{s:I, s:I, s:I, s:I}, s:I}", "logs",
		"entries", (json_int_t)s.entries, "bytes", (json_int_t)s.bytes,
		"dropped", (json_int_t)s.dropped, "received", (json_int_t)s.received,
		"connections", (json_int_t)http_server_connections(emu->server)));
}

static void for_tests(struct emulator *emu, struct exchange *x, const char *body, size_t len)
{
	const char *path = exchange_path(x) + strlen("/emulator/v1/");

	if (!strcmp(path, "knobs"))
		knobs(emu, x, body, len);
	else if (!strcmp(path, "tasks"))
		rpc_reply(x, tasks_show(emu));
	else if (!strcmp(path, "stats"))
		stats(emu, x);
	else
		rpc_reply_status(x, 404, "There is knobs, tasks and stats.");
}

static bool authorized(const struct emulator *emu, const struct exchange *x)
{
	const char *given = exchange_header(x, "Authorization");

	return !*emu->knobs.require_token ||
	       (given && under(given, "Bearer ") && token_equal(emu->knobs.require_token, given + 7));
}

static void handle(struct emulator *emu, struct exchange *x, const char *body, size_t len)
{
	const char *path = exchange_path(x);
	bool post = !strcmp(exchange_method(x), "POST");

	if (under(path, "/computeMetadata/") || !strcmp(path, "/"))
		metadata_handle(x, &(struct metadata_identity){ DEFAULT_PROJECT, DEFAULT_LOCATION, "0" });
	else if (under(path, "/emulator/v1/"))
		for_tests(emu, x, body, len);
	else if (!authorized(emu, x))
		rpc_reply_status(x, 401, "Request had invalid authentication credentials. Expected OAuth 2 "
				 "access token, login cookie or other valid authentication credential.");
	else if (under(path, "/storage/v1/b"))
		storage_api_handle(emu, x, body, len);
	else if (post && under(path, "/upload/storage/v1/b/"))
		storage_api_upload(emu, x, body, len);
	else if (under(path, "/v2/projects/"))
		run_api_handle(emu, x, body, len);
	else if (post && !strcmp(path, "/v2/entries:list"))
		logging_list(emu, x, body, len);
	else if (post && !strcmp(path, "/v2/entries:write"))
		logging_write(emu, x, body, len);
	else
		rpc_reply_status(x, 404, "Not Found");
}

void api_handle(struct exchange *x, void *ctx)
{
	wire_receive(ctx, x, handle);
}
