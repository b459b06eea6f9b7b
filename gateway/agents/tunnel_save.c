/* tunnel_save - a tunnel for the process image that takes over: its session, its processes and what is not told yet
 * of main. Sinks are pointers and stay behind; their owners come back with tunnel_set_sink. */
#include <string.h>
#include <utlist.h>

#include "agents/tunnel_state.h"
#include "base/clock.h"
#include "base/mem.h"

#define FIRST_TICK_MS 25

/* ---- save ----------------------------------------------------------------------------------------- */

static void save_status(const struct exit_status *s, struct pack *p)
{
	pack_num(p, (uint32_t)s->code);
	pack_num(p, (uint32_t)s->signal);
	pack_num(p, s->core_dumped);
	pack_num(p, s->pipes_held);
	pack_num(p, s->final_offset);
	pack_num(p, s->output_check);
	pack_num(p, (uint64_t)s->started_ns);
	pack_num(p, (uint64_t)s->finished_ns);
	pack_str(p, s->error);
}

static void save_channel(const struct channel *ch, struct pack *p)
{
	pack_num(p, ch->number);
	pack_str(p, ch->exec_id);
	pack_num(p, ch->in != NULL);
	pack_num(p, ch->out != NULL);
	pack_num(p, ch->input);
	pack_num(p, ch->discarded);
	pack_num(p, ch->links);
	pack_num(p, ch->alone_ms);
	pack_num(p, ch->hung_up_ms);
	pack_num(p, ch->hung_up_hard);
	pack_num(p, ch->exited);
	pack_num(p, ch->lost != NULL);
	pack_num(p, ch->ended);
	save_status(&ch->status, p);
}

void tunnel_save(const struct tunnel *t, struct pack *p)
{
	const struct main_news *news;
	const struct channel *ch;
	size_t n;

	pack_bytes(p, t->boot_id, sizeof(t->boot_id));
	pack_bytes(p, t->own_id, sizeof(t->own_id));
	pack_str(p, t->execution);
	pack_num(p, t->attempt);
	pack_num(p, t->next_channel);
	pack_num(p, t->link_no);
	pack_num(p, t->links);
	pack_num(p, t->discarded);
	pack_num(p, t->hang_ups);
	pack_num(p, t->connected_ms);
	pack_num(p, t->link ? 0 : t->link_lost_ms);
	pack_num(p, t->main_reported);
	pack_num(p, t->main_pid);
	pack_num(p, t->restarts);
	pack_num(p, (uint64_t)t->main_started_ns);
	session_save(t->session, p);
	pack_num(p, HASH_COUNT(t->channels));
	for (ch = t->channels; ch; ch = ch->hh.next)
		save_channel(ch, p);
	DL_COUNT(t->main_news, news, n);
	pack_num(p, n);
	DL_FOREACH(t->main_news, news) {
		pack_num(p, news->restarting);
		save_status(&news->status, p);
		pack_num(p, news->count);
		pack_num(p, news->pid);
		pack_num(p, (uint64_t)news->started_ns);
	}
}

/* ---- restore -------------------------------------------------------------------------------------- */

static void restore_status(struct exit_status *s, struct unpack *u)
{
	s->code = (int32_t)unpack_num(u);
	s->signal = (int32_t)unpack_num(u);
	s->core_dumped = unpack_num(u);
	s->pipes_held = unpack_num(u);
	s->final_offset = unpack_num(u);
	s->output_check = unpack_num(u);
	s->started_ns = (int64_t)unpack_num(u);
	s->finished_ns = (int64_t)unpack_num(u);
	s->error = unpack_str(u);
}

static struct stream *stream_of(struct tunnel *t, uint32_t id, struct unpack *u)
{
	struct stream *st = session_stream(t->session, id);

	u->bad |= !st;
	return st;
}

static void restore_channel(struct tunnel *t, struct unpack *u)
{
	uint32_t number = (uint32_t)unpack_num(u);
	char exec_id[ID_HEX_MAX];
	struct channel *ch;

	unpack_text(u, exec_id, sizeof(exec_id));
	if (u->bad || tunnel_channel(t, number)) {
		u->bad = true;
		return;
	}
	ch = tunnel_channel_add(t, number, exec_id);
	ch->in = unpack_num(u) ? stream_of(t, 2 * number, u) : NULL;
	ch->out = unpack_num(u) ? stream_of(t, 2 * number + 1, u) : NULL;
	ch->input = unpack_num(u);
	ch->discarded = unpack_num(u);
	ch->links = unpack_num(u);
	ch->alone_ms = unpack_num(u);
	ch->hung_up_ms = unpack_num(u);
	ch->hung_up_hard = unpack_num(u);
	ch->exited = unpack_num(u);
	ch->lost = unpack_num(u) ? "the output stream was lost" : NULL; /* the log has said why */
	ch->ended = unpack_num(u);
	restore_status(&ch->status, u);
}

static void restore_news(struct tunnel *t, struct unpack *u)
{
	struct main_news *news = xcalloc(1, sizeof(*news));

	news->restarting = unpack_num(u);
	restore_status(&news->status, u);
	free(news->status.error);
	news->status.error = NULL; /* not kept, see tunnel_state.h */
	news->count = (uint32_t)unpack_num(u);
	news->pid = (uint32_t)unpack_num(u);
	news->started_ns = (int64_t)unpack_num(u);
	DL_APPEND(t->main_news, news);
	t->n_main_news++;
}

static void restore(struct tunnel *t, struct unpack *u)
{
	unpack_exact(u, t->boot_id, sizeof(t->boot_id));
	unpack_exact(u, t->own_id, sizeof(t->own_id));
	t->execution = unpack_str(u);
	t->attempt = (uint32_t)unpack_num(u);
	t->next_channel = (uint32_t)unpack_num(u);
	t->link_no = unpack_num(u);
	t->links = unpack_num(u);
	t->discarded = unpack_num(u);
	t->hang_ups = unpack_num(u);
	t->connected_ms = unpack_num(u);
	t->link_lost_ms = unpack_num(u);
	t->main_reported = unpack_num(u);
	t->main_pid = (uint32_t)unpack_num(u);
	t->restarts = (uint32_t)unpack_num(u);
	t->main_started_ns = (int64_t)unpack_num(u);
	t->session = session_restore(&tunnel_session_ops, t, clock_mono_ms(), u);
	if (!t->session)
		return;
	for (uint64_t n = unpack_num(u); n && !u->bad; n--)
		restore_channel(t, u);
	for (uint64_t n = unpack_num(u); n && !u->bad; n--)
		restore_news(t, u);
}

struct tunnel *tunnel_restore(struct gateway *g, struct container *c, const struct tunnel_observer *observer,
			      void *observer_ctx, struct unpack *u)
{
	struct tunnel *t = tunnel_alloc(g, c, observer, observer_ctx);

	restore(t, u);
	if (u->bad || !t->session || !t->execution) {
		tunnel_free(t);
		return NULL;
	}
	if (!t->link_lost_ms)
		t->link_lost_ms = clock_mono_ms();
	t->dirty = true; /* whatever was not settled is, with the next link */
	uv_timer_start(t->tick, tunnel_on_tick, FIRST_TICK_MS, 0);
	return t;
}
