/* store - see store.h. */
#include "store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/mem.h"
#include "base/parse.h"
#include "base/token.h"
#include "operations.h"

struct store *store_new(void)
{
	return xcalloc(1, sizeof(struct store));
}

void store_free(struct store *s)
{
	struct execution *e, *tmp;
	struct job *j, *tmp2;

	if (!s)
		return;
	operations_free(s);
	DL_FOREACH_SAFE(s->executions, e, tmp)
		store_remove_execution(s, e);
	DL_FOREACH_SAFE(s->jobs, j, tmp2)
		store_remove_job(s, j);
	free(s);
}

struct job *store_job(struct store *s, const char *name)
{
	struct job *j;

	HASH_FIND_STR(s->jobs_by_name, name, j);
	return j;
}

struct execution *store_execution(struct store *s, const char *name)
{
	struct execution *e;

	HASH_FIND_STR(s->executions_by_name, name, e);
	return e;
}

void store_add_job(struct store *s, struct job *j)
{
	j->seq = ++s->seq;
	HASH_ADD_KEYPTR(hh, s->jobs_by_name, j->name, strlen(j->name), j);
	DL_PREPEND(s->jobs, j);
}

void store_remove_job(struct store *s, struct job *j)
{
	HASH_DEL(s->jobs_by_name, j);
	DL_DELETE(s->jobs, j);
	free(j->name);
	free(j->project);
	free(j->location);
	free(j->id);
	json_decref(j->spec);
	free(j);
}

void store_add_execution(struct store *s, struct execution *e)
{
	e->seq = ++s->seq;
	HASH_ADD_KEYPTR(hh, s->executions_by_name, e->name, strlen(e->name), e);
	DL_PREPEND(s->executions, e);
}

void store_hide_execution(struct store *s, struct execution *e)
{
	if (e->deleted)
		return;
	e->deleted = true;
	HASH_DEL(s->executions_by_name, e);
	if (e->job && e->job->latest == e)
		e->job->latest = NULL;
	e->job = NULL;
}

void store_remove_execution(struct store *s, struct execution *e)
{
	store_hide_execution(s, e);
	operations_forget(e);
	DL_DELETE(s->executions, e);
	free(e->name);
	free(e->project);
	free(e->location);
	free(e->job_id);
	free(e->id);
	free(e->launch_stage);
	free(e->client);
	free(e->client_version);
	json_decref(e->labels);
	json_decref(e->annotations);
	json_decref(e->template);
	for (int i = 0; i < N_CONDITIONS; i++)
		free(e->conditions[i].message);
	free(e->tasks);
	free(e);
}

void store_uuid(char out[UUID_MAX])
{
	char hex[33];

	random_hex(hex, 32);
	hex[12] = '4';
	hex[16] = "89ab"[hex[16] & 3];
	snprintf(out, UUID_MAX, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
		 hex + 20);
}

void store_etag(char out[40])
{
	char hex[25];

	random_hex(hex, 24);
	snprintf(out, 40, "\"%s\"", hex);
}

int store_check_etag(const char *current, const char *given, struct rpc_error *e)
{
	if (!given || !*given || !strcmp(given, current))
		return 0;
	return rpc_fail(e, RPC_ABORTED, "The etag provided does not match the resource's current etag.");
}

int page_begin(struct page *p, const char *query, const char *parent, struct rpc_error *e)
{
	AUTO_FREE char *size = parse_query(query, "pageSize");
	AUTO_FREE char *token = parse_query(query, "pageToken");
	int64_t n = 0;

	*p = (struct page){ .size = PAGE_DEFAULT, .before_seq = UINT64_MAX, .parent = parent };
	if (size && *size && (parse_i64(size, &n) < 0 || n < 0))
		return rpc_fail(e, RPC_INVALID_ARGUMENT, "page_size must not be negative");
	if (n)
		p->size = n > PAGE_MAX ? PAGE_MAX : (size_t)n;
	p->list = json_array();
	if (!token || !*token)
		return 0;
	size_t len;
	AUTO_FREE char *bytes = (char *)base64_decode(token, &len);
	AUTO_FREE char *text = bytes ? xstrndup(bytes, len) : NULL;
	char *space = text ? strchr(text, ' ') : NULL;
	if (space)
		*space++ = 0;
	if (!space || strcmp(space, parent) || parse_i64(text, &n) < 0) {
		json_decref(p->list);
		return rpc_fail(e, RPC_INVALID_ARGUMENT, "The page token is not valid for this list");
	}
	p->before_seq = (uint64_t)n;
	return 0;
}

/* "SEQ PARENT" in base64: opaque enough, and of no use under another parent. */
static char *page_token(const struct page *p)
{
	AUTO_FREE char *text = xasprintf("%" PRIu64 " %s", p->last_seq, p->parent);
	char *out = xmalloc(base64_encoded_len(strlen(text)) + 1);

	base64_encode(text, strlen(text), out);
	/* It travels in a query string, where '+' means a space. */
	for (char *c = out; *c; c++)
		*c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
	return out;
}

bool page_wants(struct page *p, uint64_t seq)
{
	if (seq >= p->before_seq || p->more)
		return false;
	p->more = json_array_size(p->list) == p->size;
	return !p->more;
}

void page_add(struct page *p, uint64_t seq, json_t *record)
{
	json_array_append_new(p->list, record);
	p->last_seq = seq;
}

/* As Google does, an empty list is left out. */
void page_reply(struct page *p, struct exchange *x, const char *name)
{
	AUTO_FREE char *token = p->more ? page_token(p) : NULL;
	json_t *out = json_object();

	if (json_array_size(p->list))
		json_object_set(out, name, p->list);
	json_decref(p->list);
	rpc_put_string(out, "nextPageToken", token);
	rpc_reply(x, out);
}
