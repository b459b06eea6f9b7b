/* tunnel_restart - main is run again by its policy: what the agent tells of it is passed on in order, an exit
 * when all its output is in the log, so that whoever waits for it has seen everything. */
#include <utlist.h>

#include "agents/tunnel_state.h"
#include "base/log.h"
#include "base/mem.h"
#include "state/container.h"
#include "state/logs.h"

#define NEWS_MAX 1024 /* an agent restarts main once a minute in the end: half a day's, while nothing can be stored */

static void add_news(struct tunnel *t, struct main_news *news)
{
	struct main_news *oldest = t->main_news;

	if (t->n_main_news == NEWS_MAX) { /* the later ones have the count */
		DL_DELETE(t->main_news, oldest);
		free(oldest);
	} else {
		t->n_main_news++;
	}
	DL_APPEND(t->main_news, news);
	t->dirty = true;
}

void tunnel_take_restart(struct tunnel *t, const struct exit_status *status, uint32_t count)
{
	struct main_news *news = xcalloc(1, sizeof(*news));

	news->restarting = true;
	news->status = *status;
	news->status.error = NULL;
	news->count = count;
	add_news(t, news);
}

static void main_runs(struct tunnel *t, uint32_t pid, int64_t started_ns)
{
	t->main_pid = pid;
	t->main_started_ns = started_ns;
	t->observer->agent_up(t->observer_ctx, t->c);
}

/* Behind a restart that is not told yet, as its output is still on the way. */
void tunnel_take_start(struct tunnel *t, uint32_t pid, int64_t started_ns)
{
	struct main_news *news;

	if (!t->main_news) {
		main_runs(t, pid, started_ns);
		return;
	}
	news = xcalloc(1, sizeof(*news));
	news->pid = pid;
	news->started_ns = started_ns;
	add_news(t, news);
}

/* The next run's output is of its own: no line goes on across the two. */
static void end_run_in_log(struct tunnel *t, const struct main_news *news)
{
	struct err err;
	struct log *log = container_log(t->c, &err);

	if (!log || log_begin_run(log, t->boot_id, news->status.final_offset, &err) < 0)
		log_error("the end of a run is not in the log", "container=%.12s error=\"%s\"", t->c->id, err.msg);
}

/* Told in order, and an exit when its output is in the log. False: the rest has to wait. */
bool tunnel_settle_restarts(struct tunnel *t, struct channel *ch)
{
	struct main_news *news;

	while ((news = t->main_news) && !t->freed) {
		if (news->restarting && ch->out && !ch->lost && stream_delivered(ch->out) < news->status.final_offset)
			return false;
		DL_DELETE(t->main_news, news);
		t->n_main_news--;
		if (news->restarting) {
			t->main_pid = 0;
			t->restarts = news->count;
			if (ch->out && stream_delivered(ch->out) == news->status.final_offset)
				end_run_in_log(t, news);
			t->observer->main_restarting(t->observer_ctx, t->c, &news->status, news->count);
		} else {
			main_runs(t, news->pid, news->started_ns);
		}
		free(news);
	}
	return !t->freed;
}
