/* orphans - jobs that belong to no container of the gateway: list them, remove or adopt one.
 * GET /internal/v1/orphans answers a list of {job, container, name, instance, maker, state, created, ours, why}. */
#include "commands.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "table.h"

#define ORPHANS_PATH "/internal/v1/orphans"

static const struct column columns[] = {
	{"JOB", "job", table_text, false},
	{"CONTAINER", "container", table_short_id, false},
	{"NAME", "name", table_text, false},
	{"INSTANCE", "instance", table_text, false},
	{"STATE", "state", table_text, false},
	{"CREATED", "created", table_text, false},
	{"WHY", "why", table_text, false},
};

static int list(const struct client *c, bool as_json, struct err *err)
{
	json_t *answer;

	if (client_request(c, "GET", ORPHANS_PATH, &answer, err) < 0)
		return COMMAND_FAILED;
	if (as_json) {
		json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
		putchar('\n');
	} else {
		table_print(answer, columns, sizeof(columns) / sizeof(*columns));
	}
	json_decref(answer);
	return COMMAND_OK;
}

static int one(const struct client *c, const char *method, const char *job, const char *tail, struct err *err)
{
	AUTO_FREE char *name = client_escape(job), *path = xasprintf(ORPHANS_PATH "/%s%s", name, tail);
	json_t *answer;

	if (client_request(c, method, path, &answer, err) < 0)
		return COMMAND_FAILED;
	json_decref(answer);
	return COMMAND_OK;
}

int command_orphans(const struct client *c, int argc, char **argv, struct err *err)
{
	bool forced = argc == 4 && strcmp(argv[3], "--force") == 0;

	if (argc == 1 || (argc == 2 && strcmp(argv[1], "--json") == 0))
		return list(c, argc == 2, err);
	if ((argc == 3 || forced) && strcmp(argv[1], "--remove") == 0 && *argv[2])
		return one(c, "DELETE", argv[2], forced ? "?force=1" : "", err);
	if (argc == 3 && strcmp(argv[1], "--adopt") == 0 && *argv[2])
		return one(c, "POST", argv[2], "/adopt", err);
	return COMMAND_USAGE;
}
