/* logs - see logs.h. Own entries are kept as small structs with their text, and become JSON only
 * when somebody lists them: a container may print a million lines that nobody reads. */
#include "logs.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "rpc.h"
#include "wall.h"

#define INSERT_ID_MAX 64

struct entry {
	struct log_source *src; /* a reference of ours; NULL if written by entries:write */
	json_t *written;        /* the LogEntry, if so */
	int64_t time_ns, receive_ns;
	uint32_t seq;
	uint8_t stream;
	uint8_t severity;       /* hundreds; 0 = DEFAULT, which is omitted */
	bool is_json;
	uint32_t len;
	char text[];            /* len bytes and a NUL; empty if written */
};

struct logs {
	struct entry **ring;    /* capacity is a power of two */
	size_t cap, head, count;
	size_t max_entries, max_bytes;
	size_t bytes;
	uint64_t dropped, received;
	uint32_t seq;
};

static const char *const severities[] = { "DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR",
					  "CRITICAL", "ALERT", "EMERGENCY" };

/* ---- sources ---- */

struct log_source *log_source_new(const struct log_source *like)
{
	static const char *const ids[] = { "stdout", "stderr", "varlog%2Fsystem" };
	struct log_source *s = xcalloc(1, sizeof *s);

	s->refs = 1;
	s->project = xstrdup(like->project);
	s->location = xstrdup(like->location);
	s->job = xstrdup(like->job);
	s->execution = xstrdup(like->execution);
	s->instance_id = xstrdup(like->instance_id);
	s->container = xstrdup(like->container);
	s->label_container = like->label_container;
	s->task_index = like->task_index;
	s->attempt = like->attempt;
	for (int i = 0; i < 3; i++)
		s->log_name[i] = xasprintf("projects/%s/logs/run.googleapis.com%%2F%s", s->project,
					   ids[i]);
	return s;
}

void log_source_unref(struct log_source *s)
{
	if (!s || --s->refs)
		return;
	free(s->project);
	free(s->location);
	free(s->job);
	free(s->execution);
	free(s->instance_id);
	free(s->container);
	for (int i = 0; i < 3; i++)
		free(s->log_name[i]);
	free(s);
}

/* ---- the ordered ring ---- */

static size_t entry_bytes(const struct entry *e)
{
	return sizeof *e + e->len;
}

static void entry_free(struct entry *e)
{
	log_source_unref(e->src);
	json_decref(e->written);
	free(e);
}

/* As Cloud Run's look: seconds, microseconds, something; so it orders equal timestamps. */
static const char *insert_id(const struct entry *e, char out[INSERT_ID_MAX])
{
	if (e->written)
		return json_string_value(json_object_get(e->written, "insertId"));
	snprintf(out, INSERT_ID_MAX, "%08x%08x%08x", (unsigned)(e->receive_ns / 1000000000),
		 (unsigned)(e->receive_ns % 1000000000 / 1000), e->seq);
	return out;
}

static int compare_key(const struct entry *e, int64_t time_ns, const char *id)
{
	char own[INSERT_ID_MAX];

	if (e->time_ns != time_ns)
		return e->time_ns < time_ns ? -1 : 1;
	return strcmp(insert_id(e, own), id);
}

static struct entry **slot(const struct logs *l, size_t i)
{
	return &l->ring[(l->head + i) & (l->cap - 1)];
}

/* How many entries are before the key (or at it, with_equal). */
static size_t count_before(const struct logs *l, int64_t time_ns, const char *id, bool with_equal)
{
	size_t low = 0, high = l->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int cmp = compare_key(*slot(l, mid), time_ns, id);
		if (cmp < 0 || (cmp == 0 && with_equal))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void drop_oldest(struct logs *l)
{
	struct entry *e = *slot(l, 0);

	l->head = (l->head + 1) & (l->cap - 1);
	l->count--;
	l->bytes -= entry_bytes(e);
	l->dropped++;
	entry_free(e);
}

static void grow(struct logs *l)
{
	size_t cap = l->cap ? 2 * l->cap : 1024;
	struct entry **ring = xcalloc(cap, sizeof *ring);

	for (size_t i = 0; i < l->count; i++)
		ring[i] = *slot(l, i);
	free(l->ring);
	l->ring = ring;
	l->cap = cap;
	l->head = 0;
}

static void insert(struct logs *l, struct entry *e)
{
	char id[INSERT_ID_MAX];
	size_t at;

	while (l->count && (l->count >= l->max_entries || l->bytes + entry_bytes(e) > l->max_bytes))
		drop_oldest(l);
	if (l->count == l->cap)
		grow(l);
	at = l->count;
	if (at && (*slot(l, at - 1))->time_ns >= e->time_ns) /* else it is simply the newest */
		at = count_before(l, e->time_ns, insert_id(e, id), true);
	for (size_t i = l->count++; i > at; i--)
		*slot(l, i) = *slot(l, i - 1);
	*slot(l, at) = e;
	l->bytes += entry_bytes(e);
	l->received++;
}

struct logs *logs_new(size_t max_entries, size_t max_bytes)
{
	struct logs *l = xcalloc(1, sizeof *l);

	l->max_entries = max_entries;
	l->max_bytes = max_bytes;
	return l;
}

void logs_free(struct logs *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->count; i++)
		entry_free(*slot(l, i));
	free(l->ring);
	free(l);
}

void logs_get_stats(const struct logs *l, struct logs_stats *ret)
{
	*ret = (struct logs_stats){ l->count, l->bytes, l->dropped, l->received };
}

/* ---- adding ---- */

static struct entry *entry_new(struct logs *l, struct log_source *src, enum log_stream stream,
			       const char *p, size_t n)
{
	struct entry *e = xmalloc(sizeof *e + n + 1);
	int64_t now = wall_now_ns() / 1000 * 1000;

	if (now < src->last_ns) /* the wall clock was set back; its lines stay in the order of their reading */
		now = src->last_ns;
	src->last_ns = now;
	src->refs++;
	*e = (struct entry){ .src = src, .time_ns = now, .receive_ns = now, .seq = l->seq++,
			     .stream = (uint8_t)stream, .len = (uint32_t)n };
	memcpy(e->text, p, n);
	e->text[n] = 0;
	return e;
}

/* "severity" and "time" of a structured line take effect on the entry itself. */
static void note_special_fields(struct entry *e, const json_t *o)
{
	const char *s = json_string_value(json_object_get(o, "severity"));
	int64_t t;

	if (s && filter_severity_number(s) > 0)
		e->severity = (uint8_t)(filter_severity_number(s) / 100);
	s = json_string_value(json_object_get(o, "time"));
	if (s && clock_parse(s, &t) == 0 && t > e->time_ns - (int64_t)30 * 86400 * 1000000000 &&
	    t < e->time_ns + (int64_t)86400 * 1000000000)
		e->time_ns = t / 1000 * 1000;
}

void logs_add_line(struct logs *l, struct log_source *src, enum log_stream stream, const char *p,
		   size_t n)
{
	struct entry *e = entry_new(l, src, stream, p, n);

	if (n && *p == '{') {
		json_t *o = json_loadb(p, n, JSON_REJECT_DUPLICATES, NULL);
		e->is_json = json_is_object(o);
		if (e->is_json)
			note_special_fields(e, o);
		json_decref(o);
	}
	insert(l, e);
}

void logs_add_system(struct logs *l, struct log_source *src, const char *severity, const char *fmt,
		     ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	struct entry *e = entry_new(l, src, LOG_SYSTEM, text, strlen(text));
	e->severity = (uint8_t)(filter_severity_number(severity) / 100);
	insert(l, e);
}

void logs_add_written(struct logs *l, json_t *entry, size_t bytes, int64_t time_ns)
{
	struct entry *e = xcalloc(1, sizeof *e + 1);

	e->written = entry;
	e->len = (uint32_t)(3 * bytes); /* a tree of small allocations: an estimate */
	e->time_ns = time_ns;
	e->receive_ns = wall_now_ns();
	if (!json_object_get(entry, "insertId")) {
		char id[INSERT_ID_MAX];
		snprintf(id, sizeof id, "%012" PRIx64 "w%08x", (uint64_t)e->receive_ns / 1000,
			 l->seq++);
		json_object_set_new(entry, "insertId", json_string(id));
	}
	rpc_put_time(entry, "timestamp", time_ns);
	rpc_put_time(entry, "receiveTimestamp", e->receive_ns);
	insert(l, e);
}

/* ---- lines ---- */

void log_lines_init(struct log_lines *ll, struct logs *l, struct log_source *src,
		    enum log_stream stream)
{
	*ll = (struct log_lines){ .logs = l, .src = src, .stream = stream };
	src->refs++;
	buf_init(&ll->partial, LOGS_LINE_MAX);
}

static void emit(struct log_lines *ll, const char *p, size_t n)
{
	logs_add_line(ll->logs, ll->src, ll->stream, p, n);
}

static void emit_partial(struct log_lines *ll)
{
	emit(ll, (const char *)buf_head(&ll->partial), ll->partial.len);
	buf_consume(&ll->partial, ll->partial.len);
}

/* Where to cut a line of exactly LOGS_LINE_MAX bytes: not inside a UTF-8 character. */
static size_t cut_length(const uint8_t *p, size_t n)
{
	size_t back = n;

	while (back > n - 3 && (p[back - 1] & 0xc0) == 0x80)
		back--;
	if ((p[back - 1] & 0xc0) == 0xc0)
		return back - 1; /* a leading byte near the end: its character goes to the next piece */
	return n;
}

static void emit_piece(struct log_lines *ll)
{
	size_t n = cut_length(buf_head(&ll->partial), ll->partial.len);

	emit(ll, (const char *)buf_head(&ll->partial), n);
	buf_consume(&ll->partial, n);
}

void log_lines_feed(struct log_lines *ll, const char *p, size_t n)
{
	while (n) {
		const char *nl = memchr(p, '\n', n);
		size_t len = nl ? (size_t)(nl - p) : n;

		if (nl && !ll->partial.len && len <= LOGS_LINE_MAX) {
			emit(ll, p, len); /* the usual case: no copy into partial */
		} else {
			size_t take = len < buf_room(&ll->partial) ? len : buf_room(&ll->partial);
			buf_append(&ll->partial, p, take);
			if (take < len) {
				emit_piece(ll);
				p += take;
				n -= take;
				continue;
			}
			if (nl)
				emit_partial(ll);
		}
		len += nl != NULL;
		p += len;
		n -= len;
	}
}

void log_lines_end(struct log_lines *ll)
{
	if (ll->partial.len)
		emit_partial(ll);
	buf_release(&ll->partial);
	log_source_unref(ll->src);
	ll->src = NULL;
}

/* ---- entries as JSON ---- */

/* JSON text must be UTF-8; bytes that are not become U+FFFD, as Google's do. */
static json_t *json_text(const char *p, size_t n)
{
	json_t *s = json_stringn(p, n);
	AUTO_FREE char *clean = s ? NULL : utf8_clean(p, n, &n);

	return s ? s : json_stringn(clean, n);
}

static void move_member(json_t *from, const char *key, json_t *to, const char *as)
{
	json_t *v = json_object_get(from, key);

	if (v) {
		json_object_set(to, as, v);
		json_object_del(from, key);
	}
}

/* The special fields of a structured line go to the entry's own members; a message that is alone
 * afterwards is the entry's text. Source: Cloud Logging, "Structured logging", special fields. */
static void put_json_payload(json_t *out, const struct entry *e)
{
	json_t *o = json_loadb(e->text, e->len, 0, NULL), *v;
	const char *key;

	assert(o);
	if (e->severity)
		json_object_del(o, "severity");
	json_object_del(o, "time");
	move_member(o, "httpRequest", out, "httpRequest");
	move_member(o, "logging.googleapis.com/trace", out, "trace");
	move_member(o, "logging.googleapis.com/spanId", out, "spanId");
	move_member(o, "logging.googleapis.com/trace_sampled", out, "traceSampled");
	move_member(o, "logging.googleapis.com/operation", out, "operation");
	move_member(o, "logging.googleapis.com/sourceLocation", out, "sourceLocation");
	json_object_foreach(json_object_get(o, "logging.googleapis.com/labels"), key, v)
		if (json_is_string(v))
			json_object_set(json_object_get(out, "labels"), key, v);
	json_object_del(o, "logging.googleapis.com/labels");
	json_t *message = json_object_get(o, "message");
	if (json_object_size(o) == 1 && json_is_string(message)) {
		json_object_set(out, "textPayload", message);
		json_decref(o);
	} else {
		json_object_set_new(out, "jsonPayload", o);
	}
}

static json_t *entry_json(const struct entry *e)
{
	const struct log_source *s = e->src;
	char index[16], attempt[16], id[INSERT_ID_MAX];
	json_t *out, *labels;

	if (e->written)
		return json_incref(e->written);
	snprintf(index, sizeof index, "%d", s->task_index);
	snprintf(attempt, sizeof attempt, "%d", s->attempt);
	labels = json_pack("{s:s, s:s, s:s, s:s}", "instanceId", s->instance_id,
		"run.googleapis.com/execution_name", s->execution,
		"run.googleapis.com/task_attempt", attempt, "run.googleapis.com/task_index", index);
	if (s->container && (s->label_container || e->stream == LOG_SYSTEM))
		json_object_set_new(labels, "container_name", json_string(s->container));
	out = json_pack("{s:s, s:{s:s, s:{s:s, s:s, s:s}}, s:o, s:s}", "insertId", insert_id(e, id),
		"resource", "type", "cloud_run_job", "labels", "job_name", s->job, "location",
		s->location, "project_id", s->project, "labels", labels, "logName",
		s->log_name[e->stream]);
	if (e->is_json)
		put_json_payload(out, e);
	else
		json_object_set_new(out, "textPayload", json_text(e->text, e->len));
	if (e->severity)
		json_object_set_new(out, "severity", json_string(severities[e->severity]));
	rpc_put_time(out, "timestamp", e->time_ns);
	rpc_put_time(out, "receiveTimestamp", e->receive_ns);
	return out;
}

/* ---- what filters see ---- */

enum field { F_OTHER, F_TYPE, F_JOB, F_PROJECT, F_LOCATION, F_EXECUTION, F_TASK, F_ATTEMPT, F_INSTANCE,
	     F_CONTAINER, F_LOG_NAME, F_SEVERITY, F_TEXT, F_INSERT_ID, F_JSON };

static int resolve(const struct filter_path *path)
{
	static const struct { enum field field; const char *part[3]; } known[] = {
		{ F_TYPE, { "resource", "type" } },
		{ F_JOB, { "resource", "labels", "job_name" } },
		{ F_PROJECT, { "resource", "labels", "project_id" } },
		{ F_LOCATION, { "resource", "labels", "location" } },
		{ F_EXECUTION, { "labels", "run.googleapis.com/execution_name" } },
		{ F_TASK, { "labels", "run.googleapis.com/task_index" } },
		{ F_ATTEMPT, { "labels", "run.googleapis.com/task_attempt" } },
		{ F_INSTANCE, { "labels", "instanceId" } },
		{ F_CONTAINER, { "labels", "container_name" } },
		{ F_LOG_NAME, { "logName" } },
		{ F_SEVERITY, { "severity" } },
		{ F_TEXT, { "textPayload" } },
		{ F_INSERT_ID, { "insertId" } },
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
		int n = 0;
		while (n < 3 && known[i].part[n] && path->part[n] &&
		       !strcmp(known[i].part[n], path->part[n]))
			n++;
		if (!path->part[n] && (n == 3 || !known[i].part[n]))
			return known[i].field;
	}
	return path->part[0] && !strcmp(path->part[0], "jsonPayload") ? F_JSON : F_OTHER;
}

static const char *walk(const json_t *o, const char *const *part)
{
	static char number[32]; /* loop thread only, valid until the next call as get() promises */

	for (; *part && o; part++)
		o = json_object_get(o, *part);
	if (json_is_integer(o)) {
		snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(o));
		return number;
	}
	return json_is_boolean(o) ? (json_is_true(o) ? "true" : "false") : json_string_value(o);
}

static const char *get(void *p, const struct filter_path *path)
{
	static char text[INSERT_ID_MAX];
	const struct entry *e = p;
	const struct log_source *s = e->src;

	if (e->written)
		return walk(e->written, (const char *const *)path->part);
	switch ((enum field)path->field) {
	case F_TYPE:      return "cloud_run_job";
	case F_JOB:       return s->job;
	case F_PROJECT:   return s->project;
	case F_LOCATION:  return s->location;
	case F_EXECUTION: return s->execution;
	case F_INSTANCE:  return s->instance_id;
	case F_CONTAINER: return s->label_container || e->stream == LOG_SYSTEM ? s->container : NULL;
	case F_LOG_NAME:  return s->log_name[e->stream];
	case F_SEVERITY:  return severities[e->severity];
	case F_TEXT:      return e->is_json ? NULL : e->text;
	case F_INSERT_ID: return insert_id(e, text);
	case F_TASK:
	case F_ATTEMPT:
		snprintf(text, sizeof text, "%d", path->field == F_TASK ? s->task_index : s->attempt);
		return text;
	case F_JSON:
	case F_OTHER:
		break;
	}
	/* Rare and slow: make the entry and look into it. */
	static json_t *kept;
	json_decref(kept);
	kept = e->is_json ? entry_json(e) : NULL;
	return walk(kept, (const char *const *)path->part);
}

static bool get_time(void *p, const struct filter_path *path, int64_t *ret_ns)
{
	const struct entry *e = p;

	*ret_ns = path->part[0][0] == 't' || path->part[0][0] == 'T' ? e->time_ns : e->receive_ns;
	return true;
}

const struct filter_ops logs_filter_ops = { resolve, get, get_time };

/* ---- listing ---- */

static bool in_projects(const struct entry *e, const struct logs_query *q)
{
	/* "projects/P/logs/..." */
	const char *name = e->written ? json_string_value(json_object_get(e->written, "logName"))
				      : e->src->log_name[0];

	for (size_t i = 0; i < q->n_projects; i++) {
		size_t n = strlen(q->projects[i]);
		if (!strncmp(name, "projects/", 9) && !strncmp(name + 9, q->projects[i], n) &&
		    name[9 + n] == '/')
			return true;
	}
	return false;
}

/* The half-open range of entries that the position and the filter's own bounds leave. */
static void find_range(const struct logs *l, const struct logs_query *q, size_t *ret_low,
		       size_t *ret_high)
{
	size_t low = count_before(l, filter_min_time(q->filter), "", false);
	size_t high = filter_max_time(q->filter) == INT64_MAX
		? l->count : count_before(l, filter_max_time(q->filter) + 1, "", false);

	if (q->has_position) {
		size_t at = count_before(l, q->position_time_ns, q->position_id, !q->newest_first);
		if (q->newest_first && at < high)
			high = at;
		if (!q->newest_first && at > low)
			low = at;
	}
	*ret_low = low;
	*ret_high = high < low ? low : high;
}

json_t *logs_list(struct logs *l, struct logs_query *q, bool *ret_more)
{
	json_t *out = json_array();
	size_t low, high, looked = 0;

	find_range(l, q, &low, &high);
	while (low < high && json_array_size(out) < q->page_size && looked++ < LOGS_SCAN_MAX) {
		struct entry *e = *slot(l, q->newest_first ? --high : low++);
		if (low == high || json_array_size(out) + 1 == q->page_size || looked == LOGS_SCAN_MAX) {
			char id[INSERT_ID_MAX];
			q->has_position = true;
			q->position_time_ns = e->time_ns;
			snprintf(q->position_id, sizeof q->position_id, "%s", insert_id(e, id));
		}
		if (e->receive_ns < q->visible_before_ns && in_projects(e, q) &&
		    filter_match(q->filter, e))
			json_array_append_new(out, entry_json(e));
	}
	*ret_more = low < high;
	return out;
}
