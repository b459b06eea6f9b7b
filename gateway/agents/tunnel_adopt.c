/* tunnel_adopt - a session the gateway did not have: the agent is new, or the gateway was started again.
 * Main's output goes on where the container's log ends. Execs of a former gateway process have lost
 * their clients: their output goes nowhere and their stdin ends, but their exits are recorded. */
#include <string.h>

#include "agents/tunnel_state.h"
#include "base/clock.h"
#include "base/log.h"
#include "gateway.h"
#include "state/container.h"
#include "state/exec.h"
#include "state/logs.h"

#define CHANNEL_ADOPT_MAX (CONTROL_CHANNEL_MAX / 2) /* we count on from there, and have never come so far */

static const struct stream_row *find_row(const struct hello *h, uint32_t id)
{
	for (size_t i = 0; i < h->n_streams; i++)
		if (h->streams[i].id == id)
			return &h->streams[i];
	return NULL;
}

static size_t window_of(uint32_t wanted)
{
	if (!wanted)
		return STREAM_WINDOW_DEFAULT;
	return wanted > STREAM_WINDOW_MAX ? STREAM_WINDOW_MAX : wanted;
}

/* -1: what the agent says of it cannot be. */
static int open_stream(struct tunnel *t, uint32_t id, uint64_t offset, size_t window, struct stream **ret, struct err *err)
{
	*ret = session_open(t->session, id, offset, window);
	return *ret ? 0 : err_set(err, ERR_INVALID, "agent lists stream %u at %llu", id, (unsigned long long)offset);
}

/* Main's output continues where the container's log ends. */
static int adopt_main_output(struct tunnel *t, struct channel *ch, const struct hello *h, struct err *err)
{
	const struct stream_row *row = find_row(h, 2 * MAIN_CHANNEL + 1);
	struct log *log = container_log(t->c, err);
	int64_t at;

	if (!log)
		return -1;
	if (!row)
		return 0;        /* all of it is delivered and the agent has closed the stream */
	at = log_run_position(log, t->boot_id);
	if (at < 0 || (uint64_t)at < row->acked || (uint64_t)at > row->next_send) {
		if (at >= 0)
			log_error("log and agent disagree on the output's position",
				  "container=%.12s log=%lld acked=%llu written=%llu", t->c->id, (long long)at,
				  (unsigned long long)row->acked, (unsigned long long)row->next_send);
		if (open_stream(t, row->id, row->acked, window_of(h->window_out), &ch->out, err) < 0 ||
		    log_resume_run(log, t->boot_id, row->acked, err) < 0)
			return -1;
		if (row->next_send == row->acked)
			log_settle(log); /* nothing is on the way: what is remembered is all */
		return 0;
	}
	return open_stream(t, row->id, (uint64_t)at, window_of(h->window_out), &ch->out, err);
}

static int adopt_input(struct tunnel *t, struct channel *ch, const struct hello *h, struct err *err)
{
	const struct stream_row *row = find_row(h, 2 * ch->number);

	if (!row || row->fin || row->reset)
		return 0;
	if (open_stream(t, row->id, row->received, window_of(h->window_in), &ch->in, err) < 0)
		return -1;
	stream_set_bulk(ch->in, false);
	return 0;
}

/* An exec of a former gateway process: its client is gone, so its output goes nowhere. */
static int adopt_exec(struct tunnel *t, const struct hello *h, const struct proc_row *p, struct err *err)
{
	const struct stream_row *out = find_row(h, 2 * p->channel + 1);
	struct exec *e = tunnel_exec_record(t, p->exec_id);
	struct channel *ch = tunnel_channel_add(t, p->channel, p->exec_id);

	if (e && p->state != PROC_STARTING)
		exec_set_pid(e, p->pid);
	if (p->state == PROC_EXITED) {
		tunnel_take_exit(t, ch, &p->exit);
		return 0;        /* streams not opened are reset on the agent's side */
	}
	if (out && !out->reset && open_stream(t, out->id, out->acked, window_of(h->window_out), &ch->out, err) < 0)
		return -1;
	if (adopt_input(t, ch, h, err) < 0)
		return -1;
	if (ch->in)
		stream_fin(ch->in);
	tunnel_note_alone(t, ch);
	return 0;
}

static bool row_has_exec(const struct hello *h, const char *exec_id)
{
	for (size_t i = 0; i < h->n_procs; i++)
		if (!strcmp(h->procs[i].exec_id, exec_id))
			return true;
	return false;
}

/* Execs that a former gateway process handed to no agent: they never ran, and never will. */
static void fail_unsent_execs(struct tunnel *t, const struct hello *h)
{
	json_t *ids = execs_ids(t->g->execs, t->c->id), *id;
	size_t i;

	json_array_foreach(ids, i, id) {
		struct exec *e = execs_find(t->g->execs, json_string_value(id), NULL);

		if (!e || e->state != EXEC_STARTED)
			continue;
		if (e->channel >= t->next_channel)
			t->next_channel = e->channel + 1;
		if (!row_has_exec(h, e->id))
			exec_set_exited(e, 126, "the gateway was restarted before the process was started",
					clock_wall_ns(), NULL);
	}
	json_decref(ids);
}

/* Where main is by the agent's table. */
static void take_main(struct tunnel *t, struct channel *ch, const struct proc_row *p)
{
	t->main_pid = p->state == PROC_RESTARTING ? 0 : p->pid;
	t->restarts = p->restarts;
	t->main_started_ns = p->exit.started_ns ? p->exit.started_ns : clock_wall_ns();
	if (p->state == PROC_EXITED)
		tunnel_take_exit(t, ch, &p->exit);
	if (p->state == PROC_RESTARTING)
		tunnel_take_restart(t, &p->exit, p->restarts);
}

/* Our first WELCOME was lost, and with it whatever the agent has had to say since: its table tells. */
void tunnel_adopt_again(struct tunnel *t, const struct hello *h)
{
	for (size_t i = 0; i < h->n_procs; i++) {
		const struct proc_row *p = &h->procs[i];
		struct channel *ch = tunnel_channel(t, p->channel);

		if (p->state == PROC_RESTARTING && !t->main_pid && p->restarts == t->restarts)
			continue; /* it was by then, and still is */
		if (ch && p->channel == MAIN_CHANNEL)
			take_main(t, ch, p);
		else if (ch && p->state == PROC_EXITED)
			tunnel_take_exit(t, ch, &p->exit);
	}
}

int tunnel_adopt(struct tunnel *t, const struct hello *h, struct err *err)
{
	for (size_t i = 0; i < h->n_procs; i++) {
		const struct proc_row *p = &h->procs[i];

		if (tunnel_channel(t, p->channel) || p->channel > CHANNEL_ADOPT_MAX)
			return err_set(err, ERR_INVALID, "agent lists channel %u twice, or out of range", p->channel);
		if (p->channel >= t->next_channel)
			t->next_channel = p->channel + 1;
		if (p->channel != MAIN_CHANNEL) {
			if (adopt_exec(t, h, p, err) < 0)
				return -1;
			continue;
		}
		struct channel *ch = tunnel_channel_add(t, MAIN_CHANNEL, "");

		if (adopt_main_output(t, ch, h, err) < 0 || adopt_input(t, ch, h, err) < 0)
			return -1;
		take_main(t, ch, p);
	}
	if (!tunnel_channel(t, MAIN_CHANNEL))
		return err_set(err, ERR_INVALID, "agent lists no main process");
	fail_unsent_execs(t, h);
	return 0;
}
