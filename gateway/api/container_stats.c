/* container_stats - GET /containers/{id}/stats: the agent's figures every second, or once. While the container
 * does not run, zeros take their place; a stream lives until its client goes or the container is removed. */
#include <string.h>

#include "agents/tool.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "api/stats_shape.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "net/defer.h"
#include "state/container.h"

#define SAMPLE_MAX (256 * 1024)
#define IDLE_MS 1000

enum mode { STREAM, TWO_SAMPLES, ONE_SAMPLE };

struct stats {
	struct request *r;
	char id[ID_HEX_MAX];
	enum mode mode;
	struct tool *tool;
	struct timer *timer;     /* to the next sample of zeros, or to the answer */
	struct buf line;
	json_t *before;          /* the last sample, or NULL */
	json_t *answer;          /* when it is over and there is one */
	bool blocked;            /* the client is slow: samples are left out */
	bool over;
};

static void begin(struct stats *s, struct container *c);

static void release(struct request *r)
{
	struct stats *s = r->state;

	tool_cancel(s->tool);
	timer_cancel(&s->timer);
	json_decref(s->answer);
	buf_release(&s->line);
	json_decref(s->before);
	free(s);
}

static void drained(struct exchange *x, void *ctx)
{
	((struct stats *)ctx)->blocked = false;
}

/* From the loop: the tool, which may be in the middle of telling us, is cancelled with the request. */
static void finish(void *ctx)
{
	struct stats *s = ctx;

	s->timer = NULL;
	if (s->mode == STREAM)
		reply_end(s->r);
	else if (s->answer)
		reply_json(s->r, 200, json_incref(s->answer));
	else
		reply_error(s->r, ERR_NOT_FOUND, "No such container: %s", s->r->name);
}

static void finish_soon(struct stats *s, json_t *answer)
{
	s->answer = answer;
	s->over = true;
	timer_cancel(&s->timer);
	s->timer = timer_start(s->r->g->loop, 0, finish, s);
}

/* NULL: zeros. */
static void show(struct stats *s, json_t *sample)
{
	struct container *c = containers_by_id(s->r->g->containers, s->id);
	struct stats_subject subject;
	json_t *body;

	if (!c) {
		finish_soon(s, NULL);
		return;
	}
	if (s->mode == TWO_SAMPLES && sample && !s->before)
		return;
	subject = (struct stats_subject){.id = c->id, .name = c->name, .memory_limit = c->memory_limit, .version = s->r->version};
	body = stats_shape(&subject, sample, sample ? s->before : NULL);
	if (s->mode != STREAM) {
		finish_soon(s, body);
	} else if (s->blocked) {
		json_decref(body);
	} else if (!reply_line(s->r, body)) {
		s->blocked = true;
		exchange_on_drain(s->r->x, drained, s);
	}
}

static void idle_over(void *ctx)
{
	struct stats *s = ctx;
	struct container *c = containers_by_id(s->r->g->containers, s->id);

	s->timer = NULL;
	if (c)
		begin(s, c);
	else
		show(s, NULL);
}

static void idle(struct stats *s)
{
	json_decref(s->before);
	s->before = NULL;
	show(s, NULL);
	if (!s->over)
		s->timer = timer_start(s->r->g->loop, IDLE_MS, idle_over, s);
}

/* ---- the tool's lines ---------------------------------------------------------------------------- */

static void take_line(struct stats *s)
{
	json_t *sample = json_loadb((char *)buf_head(&s->line), s->line.len, 0, NULL);

	buf_consume(&s->line, s->line.len);
	if (!json_is_object(sample)) {
		json_decref(sample);
		log_warn("a sample of an agent cannot be read", "container=%.12s", s->id);
		return;
	}
	show(s, sample);
	json_decref(s->before);
	s->before = sample;
}

static size_t on_output(void *ctx, const uint8_t *p, size_t n)
{
	struct stats *s = ctx;
	size_t done = 0;

	while (done < n && !s->over) {
		const uint8_t *end = memchr(p + done, '\n', n - done);
		size_t part = end ? (size_t)(end - p) - done : n - done;

		if (buf_append(&s->line, p + done, part) < 0)
			buf_consume(&s->line, s->line.len); /* no sample is that long */
		done += part + (end != NULL);
		if (end)
			take_line(s);
	}
	return n;
}

static void on_end(void *ctx, const struct err *err)
{
	struct stats *s = ctx;
	struct container *c = containers_by_id(s->r->g->containers, s->id);

	s->tool = NULL;
	buf_consume(&s->line, s->line.len);
	if (s->over)
		return;
	if (err && s->mode != STREAM && c && container_is_running(c))
		reply_err(s->r, err);
	else
		idle(s); /* it has ended; or it runs, and is asked again */
}

static const struct tool_ops ops = {.on_output = on_output, .on_end = on_end};

static void begin(struct stats *s, struct container *c)
{
	static const char *const stream[] = {"stats", NULL}, *const once[] = {"stats", "--once", NULL};

	if (container_check_process(c, NULL) == 0)
		s->tool = tool_start(s->r->g, c, s->mode == ONE_SAMPLE ? once : stream, s->mode != ONE_SAMPLE, &ops, s, NULL);
	if (!s->tool)
		idle(s);
}

/* The next image asks the agent anew; the sample before makes its first line complete. */
static bool carry(struct exchange *x, void *ctx, struct pack *p)
{
	const struct stats *s = ((struct request *)ctx)->state;
	char *before;

	if (s->over)
		return false;
	if (p) {
		before = s->before ? json_dumps(s->before, JSON_COMPACT) : NULL;
		pack_str(p, before);
		free(before);
	}
	return true;
}

static void carried(struct stats *s)
{
	struct unpack *u = exchange_carried(s->r->x);
	AUTO_FREE char *before = u ? unpack_str(u) : NULL;

	s->before = before ? json_loads(before, 0, NULL) : NULL;
}

/* ---- the request --------------------------------------------------------------------------------- */

void container_stats(struct request *r)
{
	AUTO_FREE char *stream = request_query(r, "stream");
	struct container *c = request_container(r);
	bool one_shot = r->version >= 41 && c && request_flag(r, "one-shot");
	struct stats *s;

	if (!c)
		return;
	if (one_shot && (!stream || parse_docker_bool(stream))) {
		reply_error(r, ERR_INVALID, "cannot have stream=true and one-shot=true");
		return;
	}
	s = xcalloc(1, sizeof(*s));
	s->r = r;
	snprintf(s->id, sizeof(s->id), "%s", c->id);
	s->mode = !stream || parse_docker_bool(stream) ? STREAM : one_shot ? ONE_SAMPLE : TWO_SAMPLES;
	buf_init(&s->line, SAMPLE_MAX);
	r->state = s;
	r->release = release;
	if (s->mode == STREAM) {
		reply_begin(r, NULL);
		carried(s);
		exchange_on_carry(r->x, carry, r);
	}
	begin(s, c);
}
