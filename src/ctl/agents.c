/* agents - the tunnels of a gateway, as a table or as JSON; the streams and the last frames of one; its round trip; and
 * cutting one.
 * GET /internal/v1/agents answers a list of {container, name, execution, state, rtt_us, streams,
 * bytes_in, bytes_out, resumes, peer}. */
#include "commands.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "table.h"

#define AGENTS_PATH "/internal/v1/agents"

static void as_link_state(json_t *v, char *out, size_t n)
{
	snprintf(out, n, "%s", json_is_true(v) ? "up" : "waiting");
}

static void as_yes_no(json_t *v, char *out, size_t n)
{
	snprintf(out, n, "%s", json_is_true(v) ? "yes" : "-");
}

static void as_duration(json_t *v, char *out, size_t n)
{
	json_int_t us = json_integer_value(v);

	if (us <= 0)
		snprintf(out, n, "-");
	else if (us < 10000)
		snprintf(out, n, "%.2fms", (double)us / 1000);
	else
		snprintf(out, n, "%.0fms", (double)us / 1000);
}

static void as_ms(json_t *v, char *out, size_t n)
{
	json_int_t ms = json_integer_value(v);

	if (ms < 10000)
		snprintf(out, n, "%" PRId64 "ms", (int64_t)ms);
	else
		snprintf(out, n, "%" PRId64 "s", (int64_t)ms / 1000);
}

static void as_bytes(json_t *v, char *out, size_t n)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double bytes = (double)json_integer_value(v);
	size_t u = 0;

	while (bytes >= 1024 && u + 1 < sizeof(units) / sizeof(*units)) {
		bytes /= 1024;
		u++;
	}
	snprintf(out, n, u ? "%.1f%s" : "%.0f%s", bytes, units[u]);
}

static const struct column columns[] = {
	{"CONTAINER", "id", table_short_id, false},
	{"NAME", "name", table_text, false},
	{"EXECUTION", "execution", table_text, false},
	{"STATE", "up", as_link_state, false},
	{"RTT", "rtt_us", as_duration, true},
	{"STREAMS", "streams", table_text, true},
	{"IN", "bytes_in", as_bytes, true},
	{"OUT", "bytes_out", as_bytes, true},
	{"RESUMES", "resumes", table_text, true},
	{"RESENT", "resent_bytes", as_bytes, true},
	{"OLDEST", "oldest_unacked_ms", as_ms, true},
	{"PEER", "peer", table_text, false},
};
#define N_COLUMNS (sizeof(columns) / sizeof(*columns))

int command_agents(const struct client *c, int argc, char **argv, struct err *err)
{
	bool as_json = argc == 2 && strcmp(argv[1], "--json") == 0;
	json_t *answer;

	if (argc != 1 && !as_json)
		return COMMAND_USAGE;
	if (client_request(c, "GET", AGENTS_PATH, &answer, err) < 0)
		return COMMAND_FAILED;
	if (as_json) {
		json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
		putchar('\n');
	} else if (json_is_array(answer)) {
		table_print(answer, columns, N_COLUMNS);
	} else {
		json_decref(answer);
		err_set(err, ERR_UPSTREAM, "%s answered no list of agents", c->host);
		return COMMAND_FAILED;
	}
	json_decref(answer);
	return COMMAND_OK;
}

static const struct column stream_columns[] = {
	{"CHANNEL", "channel", table_text, true},
	{"PROCESS", "process", table_short_id, false},
	{"CLIENT", "client", as_yes_no, false},
	{"DIRECTION", "direction", table_text, false},
	{"END", "end", table_text, true},             /* written here, or received here */
	{"SENT", "sent", table_text, true},
	{"DELIVERED", "delivered", table_text, true}, /* at the far end, as last heard, or here */
	{"LIMIT", "limit", table_text, true},
	{"WINDOW", "window", as_bytes, true},
	{"DISCARDED", "discarded", as_bytes, true},   /* since its client has gone */
	{"WAITS", "waiting_ms", as_ms, true},
	{"PAUSED", "paused_ms", as_ms, true},
};

static const struct column frame_columns[] = {
	{"AGO", "ago_ms", as_ms, true},
	{"DIRECTION", "direction", table_text, false},
	{"FRAME", "frame", table_text, false},
	{"STREAM", "stream", table_text, true},
	{"OFFSET", "offset", table_text, true},
	{"LIMIT", "limit", table_text, true},
	{"BYTES", "bytes", table_text, true},
};

static const struct view {
	const char *name;
	const struct column *columns;
	size_t n;
} views[] = {
	{"streams", stream_columns, sizeof(stream_columns) / sizeof(*stream_columns)},
	{"trace", frame_columns, sizeof(frame_columns) / sizeof(*frame_columns)},
};

static int show(const struct client *c, const char *id, const struct view *v, struct err *err)
{
	AUTO_FREE char *path = xasprintf(AGENTS_PATH "/%s/%s", id, v->name);
	json_t *answer;

	if (client_request(c, "GET", path, &answer, err) < 0)
		return COMMAND_FAILED;
	table_print(answer, v->columns, v->n);
	json_decref(answer);
	return COMMAND_OK;
}

int command_tunnel(const struct client *c, int argc, char **argv, struct err *err)
{
	AUTO_FREE char *id = NULL, *path = NULL;
	json_t *answer;

	if (argc != 3 || !*argv[2])
		return COMMAND_USAGE;
	id = client_escape(argv[2]);
	for (size_t i = 0; i < sizeof(views) / sizeof(*views); i++)
		if (strcmp(argv[1], views[i].name) == 0)
			return show(c, id, &views[i], err);
	if (strcmp(argv[1], "kill") != 0)
		return COMMAND_USAGE;
	path = xasprintf(AGENTS_PATH "/%s/cut", id);
	if (client_request(c, "POST", path, &answer, err) < 0)
		return COMMAND_FAILED;
	json_decref(answer);
	return COMMAND_OK;
}

int command_ping(const struct client *c, int argc, char **argv, struct err *err)
{
	AUTO_FREE char *id = NULL, *path = NULL;
	char rtt[32];
	json_t *answer;

	if (argc != 2 || !*argv[1])
		return COMMAND_USAGE;
	id = client_escape(argv[1]);
	path = xasprintf(AGENTS_PATH "/%s/ping", id);
	if (client_request(c, "POST", path, &answer, err) < 0)
		return COMMAND_FAILED;
	as_duration(json_object_get(answer, "rtt_us"), rtt, sizeof(rtt));
	printf("%s answers, round trip %s\n", argv[1], rtt);
	json_decref(answer);
	return COMMAND_OK;
}
