/* log_gather - see log_gather.h. Waiting lines are a sorted list: pages are nearly in order, so a line is put in
 * from the end. */
#include "cloud/log_gather.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cloud/job_spec.h"

#define SPLITS_MAX 1000

struct seen {
	UT_hash_handle hh;
	char id[];
};

struct line {
	int64_t time_ns;
	bool is_stderr;
	char *id;             /* insertId: orders lines of one instant */
	char *split;          /* uid while pieces are missing, else NULL */
	char **pieces;        /* n_pieces of them, NULL while missing; one for a whole entry */
	size_t *lens;
	size_t n_pieces, n_present;
	struct line *prev, *next;
};

struct log_gather {
	char *container;
	bool is_main;
	struct seen *seen;
	struct line *lines;   /* oldest first */
	struct line *given;   /* the one whose text the caller has */
	char *text;           /* of that */
	int64_t newest_ns;
	int exit_code;
};

static const char *get(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void line_free(struct line *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->n_pieces; i++)
		free(l->pieces[i]);
	free(l->pieces);
	free(l->lens);
	free(l->id);
	free(l->split);
	free(l);
}

/* ---- what an entry says ----------------------------------------------------------------------------- */

static bool is_ours(const struct log_gather *g, json_t *entry)
{
	const char *name = get(json_object_get(entry, "labels"), "container_name");

	return *name && strcmp(name, "worker") != 0 ? strcmp(name, g->container) == 0 : g->is_main;
}

/* An insertId says no more than which of the entries of one instant it is. */
char *log_entry_id(json_t *entry)
{
	const char *id = get(entry, "insertId");

	return *id ? xasprintf("%s %s", get(entry, "timestamp"), id) : NULL;
}

static bool is_new(struct log_gather *g, json_t *entry)
{
	AUTO_FREE char *id = log_entry_id(entry);
	struct seen *s;

	if (!id)
		return true;
	HASH_FIND_STR(g->seen, id, s);
	if (s)
		return false;
	s = xcalloc(1, sizeof(*s) + strlen(id) + 1);
	memcpy(s->id, id, strlen(id) + 1);
	HASH_ADD_STR(g->seen, id, s);
	return true;
}

/* The shortest digits that are the same numbers again: 0.1 stays 0.1. */
static char *dump(json_t *payload)
{
	for (size_t digits = 15;; digits++) {
		char *text = json_dumps(payload, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));
		json_t *again = text ? json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;
		bool same = digits == 17 || json_equal(payload, again);

		json_decref(again);
		if (same)
			return text;
		free(text);
	}
}

/* What Logging makes members of the entry, it has taken out of the line. A time is the entry's in any case, and labels
 * cannot be told from Cloud Run's own. */
static json_t *whole_payload(json_t *entry, json_t *payload)
{
	static const char *const taken[][2] = {
		{"severity", "severity"}, {"httpRequest", "httpRequest"}, {"trace", "logging.googleapis.com/trace"},
		{"spanId", "logging.googleapis.com/spanId"}, {"traceSampled", "logging.googleapis.com/trace_sampled"},
		{"operation", "logging.googleapis.com/operation"},
		{"sourceLocation", "logging.googleapis.com/sourceLocation"},
	};
	json_t *whole = json_copy(payload);

	for (size_t i = 0; json_is_object(whole) && i < sizeof(taken) / sizeof(*taken); i++) {
		json_t *v = json_object_get(entry, taken[i][0]);

		if (v && !json_object_get(whole, taken[i][1]) &&
		    !(json_is_string(v) && strcmp(json_string_value(v), "DEFAULT") == 0))
			json_object_set(whole, taken[i][1], v);
	}
	return whole;
}

/* The agent's last word when no gateway has confirmed its end is no JSON: it is for people who read Cloud Logging. */
static bool is_last_word(const char *text)
{
	static const char says[] = "sockerless-agent: the main process ended with code ";

	return strncmp(text, says, strlen(says)) == 0;
}

/* What the entry adds to a line; NULL: nothing of the container's. */
static char *payload_of(json_t *entry, size_t *ret_len)
{
	json_t *text = json_object_get(entry, "textPayload"), *payload = json_object_get(entry, "jsonPayload");
	char *s;

	if (json_is_string(text) && is_last_word(json_string_value(text)))
		return NULL;
	if (json_is_string(text)) {
		*ret_len = json_string_length(text); /* NUL bytes are bytes */
		s = xmalloc(*ret_len + 1);
		memcpy(s, json_string_value(text), *ret_len);
		s[*ret_len] = '\0';
		return s;
	}
	if (!payload || json_object_get(payload, "sockerless_agent"))
		return NULL;
	payload = whole_payload(entry, payload);
	s = dump(payload);
	json_decref(payload);
	*ret_len = s ? strlen(s) : 0;
	return s;
}

static void read_exit(struct log_gather *g, json_t *entry)
{
	static const char exited[] = "Container called exit(", killed[] = "Container terminated on signal ";
	const char *text = get(entry, "textPayload");

	if (strncmp(text, exited, strlen(exited)) == 0)
		g->exit_code = (int)(strtol(text + strlen(exited), NULL, 10) & 0xff);
	else if (strncmp(text, killed, strlen(killed)) == 0)
		g->exit_code = 128 + (int)(strtol(text + strlen(killed), NULL, 10) & 0x7f);
}

/* ---- lines ------------------------------------------------------------------------------------------ */

static int compare(const struct line *a, const struct line *b)
{
	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns ? -1 : 1;
	return strcmp(a->id, b->id);
}

static void put_in(struct log_gather *g, struct line *l)
{
	struct line *after = g->lines ? g->lines->prev : NULL; /* utlist: head->prev = tail */

	while (after && compare(l, after) < 0)
		after = after == g->lines ? NULL : after->prev;
	if (after)
		DL_APPEND_ELEM(g->lines, after, l);
	else
		DL_PREPEND(g->lines, l);
}

static struct line *find_split(struct log_gather *g, const char *uid)
{
	struct line *l;

	DL_FOREACH(g->lines, l)
		if (l->split && strcmp(l->split, uid) == 0)
			return l;
	return NULL;
}

static void add_line(struct log_gather *g, json_t *entry, int64_t time_ns, bool is_stderr, char *text, size_t len)
{
	json_t *split = json_object_get(entry, "split");
	json_int_t total = json_integer_value(json_object_get(split, "totalSplits"));
	json_int_t index = json_integer_value(json_object_get(split, "index"));
	bool is_split = *get(split, "uid") && total > 1 && total <= SPLITS_MAX && index >= 0 && index < total;
	struct line *l = is_split ? find_split(g, get(split, "uid")) : NULL;
	size_t at;

	if (!l) {
		l = xcalloc(1, sizeof(*l));
		l->time_ns = time_ns;
		l->is_stderr = is_stderr;
		l->id = xstrdup(get(entry, "insertId"));
		l->split = is_split ? xstrdup(get(split, "uid")) : NULL;
		l->n_pieces = is_split ? (size_t)total : 1;
		l->pieces = xcalloc(l->n_pieces, sizeof(*l->pieces));
		l->lens = xcalloc(l->n_pieces, sizeof(*l->lens));
		put_in(g, l);
	}
	at = is_split ? (size_t)index : 0;
	if (at >= l->n_pieces || l->pieces[at]) {
		free(text);
		return;
	}
	l->pieces[at] = text;
	l->lens[at] = len;
	l->n_present++;
}

/* ---- API -------------------------------------------------------------------------------------------- */

struct log_gather *log_gather_new(const char *container)
{
	struct log_gather *g = xcalloc(1, sizeof(*g));

	g->container = xstrdup(container);
	g->is_main = strcmp(container, JOB_SPEC_MAIN) == 0;
	g->exit_code = -1;
	return g;
}

void log_gather_free(struct log_gather *g)
{
	struct seen *s, *next_seen;
	struct line *l, *next;

	if (!g)
		return;
	HASH_ITER(hh, g->seen, s, next_seen) {
		HASH_DEL(g->seen, s);
		free(s);
	}
	DL_FOREACH_SAFE(g->lines, l, next)
		line_free(l);
	line_free(g->given);
	free(g->text);
	free(g->container);
	free(g);
}

size_t log_gather_add(struct log_gather *g, json_t *entries)
{
	json_t *entry;
	size_t i, n = 0;

	json_array_foreach(entries, i, entry) {
		const char *name = get(entry, "logName"), *tail = strrchr(name, 'F') ? strrchr(name, 'F') + 1 : name; /* behind %2F */
		int64_t time_ns = 0;
		size_t len;
		char *text;

		if (clock_parse(get(entry, "timestamp"), &time_ns) == 0 && time_ns > g->newest_ns)
			g->newest_ns = time_ns;
		if (!is_ours(g, entry) || !is_new(g, entry))
			continue;
		if (strcmp(tail, "system") == 0) {
			read_exit(g, entry);
			continue;
		}
		text = payload_of(entry, &len);
		if (!text)
			continue;
		add_line(g, entry, time_ns, strcmp(tail, "stderr") == 0, text, len);
		n++;
	}
	return n;
}

bool log_gather_next(struct log_gather *g, int64_t until_ns, struct log_line *ret)
{
	struct line *l = g->lines;
	size_t len = 0, at = 0;

	line_free(g->given);
	free(g->text);
	g->given = NULL;
	g->text = NULL;
	if (!l || l->time_ns > until_ns || (l->n_present < l->n_pieces && until_ns != INT64_MAX))
		return false;
	DL_DELETE(g->lines, l);
	g->given = l;
	for (size_t i = 0; i < l->n_pieces; i++)
		len += l->lens[i];
	g->text = xmalloc(len + 1);
	for (size_t i = 0; i < l->n_pieces; at += l->lens[i], i++)
		if (l->pieces[i])
			memcpy(g->text + at, l->pieces[i], l->lens[i]);
	g->text[len] = '\n';
	*ret = (struct log_line){l->time_ns, l->is_stderr, g->text, len + 1};
	return true;
}

int64_t log_gather_newest_ns(const struct log_gather *g)
{
	return g->newest_ns;
}

int log_gather_exit_code(const struct log_gather *g)
{
	return g->exit_code;
}
